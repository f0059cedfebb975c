//! The life of a step: ready, claimed, settled, delayed, blocked, paused, retried, cancelled; and what it needs for that.

pub mod artifact;
pub mod attempt;
pub(in crate::store) mod blocked;
pub mod cancel;
pub(in crate::store) mod cancel_step;
pub mod claim;
pub(in crate::store) mod delayed;
pub mod idle;
pub mod input;
pub mod kept_output;
pub mod lease;
pub mod output;
pub mod pause;
pub(in crate::store) mod place;
pub(in crate::store) mod ready;
pub mod reap;
pub(in crate::store) mod recompute;
pub mod resource_key;
pub mod resource_lock;
pub mod retry;
pub mod settle;
pub mod step;
pub mod step_cache;
pub mod step_type;
pub(in crate::store) mod turn;
pub mod worker;
