//! Submissions: groups, runs, definitions, submit keys, hooks; and their removal.

pub mod concurrency;
pub mod definition;
pub mod event;
pub mod group;
pub mod hook;
pub mod prune;
pub mod run;
pub mod run_removal;
pub mod schedule;
pub mod submit_key;
pub mod watch;
