//! Pure decisions: functions that depend only on their arguments, each tested with a table of cases.
//!
//! Owns: status, fairness, flow, retry, outcome, resource, schedule, start, recycle, liveness, admission, schema,
//! links, address, wait, watch, children. May import: `model`. Never: does I/O, reads a clock, draws randomness; `now`
//! and chance are arguments.

pub mod address;
pub mod admission;
pub mod children;
pub mod elapsed;
pub mod fairness;
pub mod flow;
pub mod inside;
pub mod links;
pub mod liveness;
pub mod outcome;
pub mod recycle;
pub mod rerun;
pub mod resource;
pub mod retry;
pub mod schedule;
pub mod schema;
pub mod start;
pub mod status;
pub mod wait;
pub mod watch;
