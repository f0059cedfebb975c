//! Text to vectors: the built-in static table, feature hashing, served models.
//!
//! May import: `model`, `os`, `settings`. Never: stores anything.
