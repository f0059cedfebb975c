//! The event bus, metrics and the log.
//!
//! May import: `model`, `settings`. Never: announces what was not committed; never blocks or breaks whoever announces.

mod bus;
mod log;
mod metrics;
mod registry;

pub use bus::{Bus, Listener, Subscription};
pub use log::start_log;
pub use metrics::{Counter, Gauge, Histogram, Metrics, NoMetrics};
pub use registry::Registry;
