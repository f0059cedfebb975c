//! Content-addressed files: put, get, sweep. Names never become paths; paths come from hashes only.
//!
//! A file is named `ab/<64 hex digits>`, plus `.zst` if it is compressed, so `sha256sum` and `zstd -d` can check both.
//! A file that is being written is `.tmp.<worker>.<random>`, next to the 256 directories. A power cut leaves nothing
//! but such files behind. May import: `model`, `decide`, `os`, `settings`. Never: knows about rows; the caller commits
//! them.

mod ballast;
mod damage;
mod error;
mod get;
mod incoming;
mod put;
mod store;
mod sweep;

#[cfg(test)]
mod tests;

pub use ballast::Ballast;
pub use damage::Damage;
pub use error::{Error, Result};
pub use get::ArtifactReader;
pub use incoming::Incoming;
pub use put::{Put, PutGuard};
pub use store::{ArtifactOptions, ArtifactStore};
pub use sweep::Swept;
