//! The base of all verbs: connections, the writer and its batches, transactions, migrations, checks, copies.
//!
//! The only room of the store that knows which database it uses. All other files use `Row`, `Value` and `params!`, and
//! name in their first lines the SQLite-only features of SQL that they use.

pub mod backup;
pub(in crate::store) mod batch;
pub(in crate::store) mod budget;
pub mod check;
pub mod counter;
pub mod daemon;
pub mod elsewhere;
pub mod error;
pub(in crate::store) mod handle;
pub(in crate::store) mod jobs;
pub mod lost_commits;
pub(in crate::store) mod memory;
pub(in crate::store) mod migration;
pub(in crate::store) mod open;
pub(in crate::store) mod params;
#[cfg(any(test, feature = "internals"))]
pub mod plan;
pub(in crate::store) mod presence;
pub(in crate::store) mod read_tx;
pub(in crate::store) mod readers;
pub(in crate::store) mod reply;
pub(in crate::store) mod request;
pub mod restored;
pub(in crate::store) mod row;
pub(in crate::store) mod schema;
pub(in crate::store) mod sequence;
pub(in crate::store) mod tx;
pub mod vacuum;
pub(in crate::store) mod value;
pub(in crate::store) mod wal;
pub(in crate::store) mod writer;
