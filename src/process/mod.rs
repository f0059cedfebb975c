//! Child processes: the shim, the child, the protocol, the pool of workers and their health.
//!
//! May import: `model`, `decide`, `os`, `settings`. Never: knows scheduling or opens the database.
