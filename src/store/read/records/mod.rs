//! Groups, runs and steps for the ingestion API: in flat records, newest first, with totals from the counters
//! that the engine keeps anyway. Only reads.
//!
//! Runs are ordered by (group, run). A page skips whole groups by their counts, so that what it costs does not depend on
//! how much comes before it; within a group it walks an index.

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
