//! The daemon: the claim, the sentinel, the files that describe it, serve and stop.
//!
//! Owns: `engine.db.lock`, `serve.pid`, `serve.port`, `serve.stopping`, `serve.log` in the home directory. May import:
//! everything on the floors below. Never: signals a process whose identity it has not checked; unlinks the lock; trusts
//! a file where it can check the lock.

pub mod claim;
pub mod contact;
mod error;
pub mod files;
mod folders;
pub mod launch;
mod log_file;
pub mod sentinel;
pub mod serve;
pub mod startup;
pub mod stop;

pub use error::{Error, Result};
