//! The event bus, metrics and the log.
//!
//! May import: `model`, `settings`. Never: announces what was not committed.
