//! Combines store, process and decide: submit, consumers, attempts, heartbeat, reaper, resource locks.
//!
//! May import: everything on the floors below. Never: writes SQL; decides without `decide`.

mod adopt;
mod answers;
mod attempt;
mod before;
mod cache;
mod cache_files;
mod cancel;
mod catalog;
mod children;
mod chores;
mod condition;
mod consumer;
mod error;
mod handle;
mod heartbeat;
mod hooks;
mod item;
mod items_from;
pub mod kind;
mod liveness_lock;
mod needs;
mod notify;
mod numbers;
mod outer;
mod outputs;
mod pause;
mod pools;
mod prune;
mod recovery;
mod removal;
mod reserve;
mod resource_lock;
mod retention;
mod retry;
mod schedules;
mod settlement;
mod state;
pub mod step_child;
pub mod step_kind;
mod submit;
mod task;
mod wait;
mod waiting_step;
mod watch;
mod watcher;
mod work_dir;
mod worker;
mod worker_pools;

pub use error::{Error, Result, with_causes};
pub(crate) use handle::tag_is_alive;
pub use handle::{Chore, DiskRoom, Engine, Options, Registry, process_tag};
pub use item::item_value;
pub use needs::{Needs, check_needs};
pub use numbers::numbers_in;
pub use outputs::{Collected, Until};
pub use prune::{Prune, Pruned};
pub use resource_lock::{KeyGuard, LockWait};
pub use retry::Retry;
pub use schedules::{
    SKIPPED as SKIPPED_FIRING, ScheduledWorkflow, times as times_of_schedule, trigger as trigger_of_schedule,
};
pub use state::WorkerOptions;
pub use step_kind::{StepContext, StepInput, StepKind, StepResult};
pub use submit::{Submission, Submitted, check_secrets};
pub use wait::{Ending, GroupEnd};
#[cfg(any(test, feature = "internals"))]
pub use watch::Watches;
pub use watch::is_held as watch_is_held;
pub use work_dir::WorkDir;
pub use worker::Worker;
pub use worker_pools::{PoolKey, WorkerPools};
