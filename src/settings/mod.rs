//! The settings in one struct: defaults < file < environment < flags, and where each value came from.
//!
//! One table (in `table.rs`) drives loading, `windlass settings` and `docs/configuration.md`. May import: `model`,
//! `os`. Never: is read again after start; values are passed on.

mod alerts;
mod error;
mod folders;
mod guard;
mod home;
mod kind;
mod load;
mod portable;
#[cfg(any(test, feature = "internals"))]
mod reference;
mod secrets;
mod table;
mod trust;

pub use alerts::Alerts;
pub use error::{Error, Result};
pub use folders::{Folders, WatchedFolder};
pub use guard::{check_home, vet};
pub use home::{Home, HomeInputs, HomeOrigin, JudgedHome, PROJECT, UNFINISHED_RESTORE, find_home, platform_data_dir};
pub use kind::{
    Addresses, Capacities, Choice, Compression, Durability, Levels, LogFormat, Names, Pools, Score, Secret, Servers,
};
pub use load::load;
pub use portable::{Ported, portable};
#[cfg(any(test, feature = "internals"))]
pub use reference::markdown;
pub use secrets::{is_secret_file_name, secret_of_step};
pub use table::{FILE, Listed, Origin, Settings, secret_in};
pub use trust::{Trusted, TrustedHome};
