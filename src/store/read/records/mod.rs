//! Groups, runs and steps for the ingestion API: flat records, newest first, with totals from the counters that the
//! engine maintains anyway. Read-only.
//!
//! Runs are ordered by (group, run). A page skips whole groups by their counters, so its cost does not depend on its
//! position; within a group it scans an index.

mod group;
mod history;
mod page;
mod run;
mod stats;
mod step;
mod tally;

pub use group::{GroupRecord, group, groups};
pub use history::{HistoryRecord, history, history_size};
pub(crate) use history::{RECORDED, UNRECORDED};
pub use page::{NEWEST, Wanted, older, page, total};
pub use run::{Place, RunRecord, run, runs_of_batch};
pub use stats::{DurationRecord, StepCount, durations, step_counts};
pub use step::{StepRecord, steps_of_run, steps_with_status};
pub use tally::{Tally, tally_of_batch, tally_of_group};
