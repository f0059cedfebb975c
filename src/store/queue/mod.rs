//! The life of a step: ready, claimed, settled, delayed, blocked, paused, retried, cancelled; and what it needs for that.

pub mod artifact;
pub mod attempt;
pub mod cancel;
pub mod claim;
pub mod idle;
pub mod input;
pub mod kept_output;
pub mod lease;
pub mod output;
pub mod pause;
pub(in crate::store) mod redo;
pub mod resource_key;
pub mod resource_lock;
pub mod retry;
pub mod settle;
pub mod step;
pub mod step_cache;
pub mod step_type;
pub mod worker;
