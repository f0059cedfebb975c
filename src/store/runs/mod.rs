//! Submissions: groups, runs, definitions, submit keys and hooks; and how they are removed.

pub(in crate::store) mod child_end;
pub mod child_group;
pub mod collect;
pub mod concurrency;
pub mod definition;
pub mod event;
pub mod group;
pub mod group_end;
pub mod hook;
pub mod prune;
pub mod run;
pub mod run_removal;
pub mod schedule;
pub mod submit_key;
pub mod watch;
