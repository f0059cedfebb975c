//! Content-addressed files: put, get, sweep. Names never become paths; paths come from hashes only.
//!
//! May import: `model`, `decide`, `os`, `settings`. Never: knows of rows; the caller commits them.
