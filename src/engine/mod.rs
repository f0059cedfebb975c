//! Composes store, process and decide: submit, consumers, attempts, heartbeat, reaper, resource locks, hooks.
//!
//! May import: everything on the floors below. Never: writes SQL; judges without asking `decide`.

mod adopt;
mod attempt;
mod cache;
mod cache_files;
mod cancel;
mod catalog;
mod chores;
mod consumer;
mod error;
mod handle;
mod heartbeat;
mod hooks;
mod item;
pub mod kind;
mod liveness_lock;
mod needs;
mod notify;
mod numbers;
mod outputs;
mod pause;
mod pools;
mod prune;
mod recovery;
mod removal;
mod resource_lock;
mod retention;
mod retry;
mod settlement;
mod state;
pub mod step_child;
pub mod step_kind;
mod submit;
mod task;
mod wait;
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
pub use state::WorkerOptions;
pub use step_kind::{StepContext, StepInput, StepKind, StepResult};
pub use submit::{Submission, Submitted};
pub use wait::{Ending, GroupEnd};
pub use work_dir::WorkDir;
pub use worker::Worker;
pub use worker_pools::{PoolKey, WorkerPools};
