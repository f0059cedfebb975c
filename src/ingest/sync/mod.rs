//! Sync: compares the source with what was ingested, submits the difference, and reports the result.
//!
//! [`run`] is the whole loop, which calls back to a [`Driver`]. Groups of the database that are [`unfinished`] come
//! first, then [`plan`], [`submit`], work until the group has ended, [`prune`] if requested, and [`finish`]. Each part
//! can be interrupted: the next sync continues from what is on disk.
//!
//! The vector database knows which content is stored. The table `document` records the size and time of each file, so
//! that an unchanged file costs only a stat, and the documents that could not be read, so that they are not tried
//! again.

mod options;
pub(super) mod plan;
mod receive;
mod report;
mod run;
mod submit;
pub(super) mod verdict;

pub use options::{SyncOptions, Unreadable};
pub use plan::{Failed, PlannedRun, SyncPlan, plan};
pub use receive::{Place, receive_all};
#[cfg(any(test, feature = "internals"))]
pub use report::finish;
pub use report::{DocumentOutcome, DocumentStatus, SyncReport, settle};
pub use run::{Driver, Ended, Event, Synced, run};
pub use submit::{prune, remove, submit, try_server, unfinished};
pub use verdict::Why;
