//! The one place that registers step kinds and builds an engine from settings.
//!
//! May import: everything on the floors below. Never: has behaviour of its own.
