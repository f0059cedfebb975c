//! Sync: compares the source with what was ingested, submits the difference, and reports the result.
//!
//! The order of a command: [`unfinished`] groups of the database are worked off first (and [`finish`]ed), then [`plan`],
//! [`submit`], work until the group has ended, [`finish`], and [`prune`] if that was asked for. Each part can be interrupted
//! anywhere: running the same command again continues from what is on disk.
//!
//! The vector database says which content is stored. The table `document` remembers size and time of each file, so that an
//! unchanged one costs a stat, and what could not be read, so that it is not tried again.

mod give;
mod options;
pub(super) mod plan;
mod report;
mod submit;
pub(super) mod verdict;

pub use give::{Place, give};
pub use options::{SyncOptions, Unread};
pub use plan::{Failed, PlannedRun, SyncPlan, plan};
pub use report::{DocumentOutcome, DocumentStatus, SyncReport, finish, settle};
pub use submit::{prune, remove, submit, try_server, unfinished};
pub use verdict::Why;
