//! Backups: one file with everything in a home directory, taken while workers run, and a home restored from it.
//!
//! The file is a zip archive with uncompressed entries, so `unzip` opens it too: `engine.db.zst`,
//! `vectors/NAME.db.zst`, `params/NAME.yaml`, `windlass.toml`, `artifacts/ab/HASH[.zst]`, and finally `manifest.json`.
//! The manifest has the size and SHA-256 of every entry except artifacts, which are named by their hashes. The file
//! does not contain secrets, logs of processes or vector databases outside of the home; the manifest names the latter.
//!
//! The order makes a backup consistent: the engine database comes first, then everything that it refers to. A shared
//! lock keeps artifacts from being swept in the meantime. If a vector database is newer than the engine database, it
//! only contains the results of steps that will run again.
//!
//! May import: everything on the floors below. Never: opens a database that may be in use with anything but SQLite;
//! deletes anything in the home that it restores into.

mod archive;
mod error;
mod restore;
mod take;
mod verify;

pub use error::{Error, Result};
pub use restore::{Restore, Restored, SET_ASIDE};
pub use take::{Taken, take};
pub use verify::{Checked, verify};
