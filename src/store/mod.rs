//! The engine database; all of its SQL. One file per table, one function per verb.
//!
//! Owns: `schema.sql`, migrations, the writer thread, the read pool, every verb.
//! May import: `model`, `decide`, `os`, `settings`.
//! Never: lets a rusqlite type out; runs a step; waits while a transaction is open.

pub mod artifact;
pub mod attempt;
pub mod audit;
pub mod backup;
mod batch;
pub mod batch_group;
mod budget;
pub mod cancel;
pub mod check;
pub mod claim;
pub mod counter;
pub mod daemon;
pub mod definition;
pub mod document;
pub mod document_batch;
pub mod document_removal;
pub mod document_uri;
pub mod elsewhere;
pub mod error;
pub mod event;
pub mod group;
mod handle;
pub mod hook;
pub mod idle;
pub mod input;
pub mod kept_output;
pub mod lease;
pub mod ledger;
pub mod lost_commits;
mod memory;
mod migration;
mod open;
pub mod output;
pub mod overview;
pub mod pause;
pub mod plan;
mod presence;
pub mod prune;
mod readers;
mod redo;
mod reply;
mod request;
pub mod resource_key;
pub mod resource_lock;
pub mod retry;
pub mod run;
pub mod run_removal;
mod schema;
pub mod settle;
pub mod step;
pub mod step_cache;
pub mod step_type;
pub mod submit_key;
pub mod sync_state;
mod tx;
mod wal;
pub mod worker;
mod writer;

pub use error::{Error, Result};
pub use handle::{Commit, CommitListener, Pulse, Store, Watch, WriteFailure};
pub use open::{Durability, Options, glance};
pub use request::{Claim, Claimed, Settle, Settled, Settlement, Take};
pub use tx::{ReadTx, WriteTx};

/// The schema version that this build writes (`PRAGMA user_version`).
pub const SCHEMA_VERSION: i64 = migration::VERSION;

/// Whether a settling verb still held its lease. A lost lease is a value, not an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Held {
    Yes,
    Lost,
}
