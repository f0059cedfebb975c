//! Backups: one file with everything that a home directory holds, taken while workers run, and a home made of it.
//!
//! The file is a zip archive whose entries are stored as they are, so that `unzip` opens it too: `engine.db.zst`,
//! `vectors/NAME.db.zst`, `params/NAME.yaml`, `windlass.toml`, `artifacts/ab/HASH[.zst]`, and last `manifest.json` with the
//! size and SHA-256 of each of them but artifacts, whose names are their hashes. Not in it: secrets, logs of processes, and
//! vector databases outside of the home, which are named.
//!
//! The order makes it consistent: the engine's database first, then what it refers to. Artifacts can't be swept meanwhile
//! (a shared lock), and a vector database that is newer than the engine only has steps done that will be done again.
//!
//! May import: everything on the floors below. Never: opens a database that may be in use with anything but SQLite;
//! deletes anything of a home that it restores into.

mod archive;
mod error;
mod restore;
mod take;
mod verify;

pub use error::{Error, Result};
pub use restore::{Restore, Restored, SET_ASIDE};
pub use take::{Taken, take};
pub use verify::{Checked, verify};
