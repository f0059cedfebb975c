//! The vector databases, one SQLite file each; all of their SQL.
//!
//! May import: `model`, `decide`, `os`, `settings`. Never: knows of workflows, steps or the engine database.
