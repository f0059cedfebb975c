//! Metrics and the log.
//!
//! May import: `model`, `os`, `settings`. Never: blocks or breaks its callers.

mod log;
mod metrics;
mod registry;

pub use log::start_log;
pub use metrics::{Counter, Gauge, Histogram, Metrics, NoMetrics};
pub use registry::Registry;
