//! What people and programs read: groups, runs, steps, queues, and why a step does not run. Read-only. Lists are paged
//! by key, so that every page costs the same.

mod ahead;
pub mod audit;
mod below;
mod failure;
mod group;
mod hook;
mod ids;
mod progress;
mod queue;
pub mod records;
mod resource;
mod result;
mod run;
mod step;
mod waiting;
mod why;

pub use ahead::{Ahead, GroupAhead};
pub use below::{Children, GroupBelow, OpenRun, children};
pub use failure::{Failure, FailureKind, failure_kinds, failures};
pub use group::{Below, GroupDetails, GroupFilter, GroupRow, TypeCount, groups, show_group, worked};
pub(in crate::store) use hook::FAILED as FAILED_HOOKS_OF_GROUP;
pub use hook::{FailedHook, failed_hooks};
pub use ids::{Numbered, ids_beginning};
pub use progress::{Progress, StepTally, Tally, progress, step_names};
pub(in crate::store) use queue::{ALL_PAUSED, BLOCKED, DELAYED};
pub use queue::{PutOff, Queues, TypeQueue, Waits, oldest_running, put_off, queues};
pub use resource::{HeldBy, Lacks, ResourceRow, busiest_resources, busy_resources, resources};
pub use result::{RunResult, results};
pub use run::{RunDetails, RunFilter, RunRow, runs, runs_with_steps, show_run};
pub(in crate::store) use run::{WITH_CANCELLED, WITH_ERROR, WITH_FAILED, WITH_SKIPPED, WITH_WAITING};
pub use step::{
    OfHook, RunningStep, StepDetails, StepNeed, StepRow, cached_from, run_of_step, running_steps, show_step,
    status_of_step,
};
pub use waiting::{WaitingFilter, WaitingStep, waiting};
pub use why::{KeyFacts, Taker, Why, why};
