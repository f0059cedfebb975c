//! The engine database; all of its SQL. One file per table, one function per verb.
//!
//! Owns: `schema.sql`, migrations, the writer thread, the read pool, every verb.
//! May import: `model`, `decide`, `os`, `settings`.
//! Never: lets a type of the database library out; runs a step; waits while a transaction is open.

mod db;
mod documents;
mod queue;
pub mod read;
mod runs;

#[cfg(any(test, feature = "internals"))]
pub use db::plan;
pub use db::{backup, check, counter, daemon, elsewhere, error, lost_commits, restored, vacuum};
use db::{
    batch, budget, jobs, memory, migration, open, params, presence, read_tx, readers, reply, request, row, schema,
    sequence, tx, value, wal, writer,
};
pub use documents::{batch_group, document, document_batch, document_removal, document_uri, sync_state, synced_folder};
pub use queue::{
    answer, artifact, attempt, cancel, capacity, claim, idle, input, kept_output, learned, lease, output, pause, reap,
    resource_key, resource_lock, retry, settle, step, step_cache, step_type, wait_end, waiting, worker,
};
use queue::{
    blocked, cancel_step, delayed, demand, follow, hold, line, place, rate, ready, recompute, redefine, resource,
    retry_facts, turn,
};
pub use read::{audit, records};
use runs::child_end;
pub use runs::{
    child_group, collect, concurrency, definition, event, group, group_end, hook, prune, run, run_removal, schedule,
    submit_key, watch,
};

pub use db::error::{Error, Result};
pub use db::handle::{Pulse, Store, Watch};
pub use db::jobs::{Commit, CommitListener, WriteFailure};
pub use db::open::{Durability, Options, glance};
pub use db::request::{Claim, Claimed, Settle, Settled, Settlement, Take};
pub use db::tx::{ReadTx, WriteTx};

/// The schema version that this build writes (`PRAGMA user_version`).
pub const SCHEMA_VERSION: i64 = migration::VERSION;

/// Whether a settling verb still held its lease. A lost lease is a value, not an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Held {
    Yes,
    Lost,
}
