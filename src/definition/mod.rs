//! Workflow and parameter-set YAML to validated values; templates and their quoting.
//!
//! May import: `model`, `decide`, `settings`. Never: reads the database or runs anything.
