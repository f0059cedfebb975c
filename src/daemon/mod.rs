//! The daemon's life: the claim, the sentinel, the files that tell of it, serve and stop.
//!
//! Owns: `engine.db.lock`, `serve.pid`, `serve.port`, `serve.stopping` in the home directory.
//! May import: everything on the floors below. Never: signals a process whose identity it has not checked; unlinks the lock.

pub mod serve;
