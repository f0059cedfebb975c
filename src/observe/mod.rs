//! The event bus, metrics and the log.
//!
//! May import: `model`, `settings`. Never: announces what was not committed.
pub trait Metrics: Send + Sync {
    fn count(&self, name: &'static str, by: u64);
    fn observe(&self, name: &'static str, value: f64);
}
pub struct NoMetrics;
impl Metrics for NoMetrics {
    fn count(&self, _: &'static str, _: u64) {}
    fn observe(&self, _: &'static str, _: f64) {}
}
