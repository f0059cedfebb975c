//! Copies of the whole database, taken while other processes write, and turned into an engine of their own.

use crate::model::code::{HOLDER_STEP, PHASE_LIVE};
use crate::model::{GroupId, KeyId, WorkerId};
use crate::store::{
    blocked,
    error::{Error, Result},
    migration, resource_lock,
    restored::{self, Elsewhere},
    schema,
    tx::{ReadTx, WriteTx},
};
use const_format::formatcp;
use rusqlite::{
    Connection, OpenFlags,
    backup::{Backup, StepResult},
};
use serde::Serialize;
use std::{path::Path, time::Duration};

/// How many pages are copied between two calls of `go_on`.
const PAGES: i32 = 1_000;

/// How far a restore, or the detection of a loss, raises the token counter. A thousand tokens a second for a hundred
/// years are fewer.
pub(in crate::store) const LEAP: i64 = 1 << 42;

/// Copies one consistent state into a new file, which needs no log. False: asked to stop.
///
/// This is the only place where a read transaction stays open for long. Without it, every commit of another process
/// would restart the copy. Meanwhile the log grows, and shrinks again afterwards.
pub(in crate::store) fn copy(from: &mut Connection, to: &Path, go_on: &dyn Fn() -> bool) -> Result<bool> {
    let from = from.transaction()?;
    from.query_row("SELECT count(*) FROM sqlite_schema", [], |_| Ok(()))?;
    let mut target = Connection::open(to)?;
    {
        let backup = Backup::new(&from, &mut target)?;
        loop {
            match backup.step(PAGES)? {
                StepResult::Done => break,
                StepResult::Busy | StepResult::Locked => std::thread::sleep(Duration::from_millis(5)),
                _ if !go_on() => return Ok(false),
                _ => {}
            }
        }
    }
    // A single file, without a log.
    target.query_row("PRAGMA journal_mode=DELETE", [], |_| Ok(()))?;
    Ok(true)
}

/// Reads a copy that no other process has open.
pub fn read_copy<T>(path: &Path, work: impl FnOnce(&ReadTx) -> Result<T>) -> Result<T> {
    let mut conn = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
    schema::harden(&conn)?;
    let version = migration::user_version(&conn)?;
    if version > migration::VERSION {
        return Err(Error::Newer { path: path.to_path_buf(), found: version, known: migration::VERSION });
    }
    if version == migration::VERSION {
        schema::check(&conn, path)?;
    }
    schema::add_views(&conn)?;
    let tx = conn.transaction()?;
    work(&ReadTx::new(&tx))
}

/// The id of this engine, which changes with a restore.
pub fn engine_id(tx: &ReadTx) -> Result<String> {
    tx.row("SELECT engine_id FROM engine WHERE id = 1", [], |row| row.get(0))?.ok_or_else(|| Error::not_found("engine"))
}

/// The paths of all vector databases that contain a document.
pub fn vector_databases(tx: &ReadTx) -> Result<Vec<String>> {
    tx.rows("SELECT DISTINCT database FROM document ORDER BY database", [], |row| row.get(0))
}

/// Turns a restored copy into an engine of its own: a new id, tokens that were never issued, no process that builds a
/// group or holds a lock, and no path outside its own home. `reap` then gives back the steps of its workers. Returns
/// the references to places outside the home.
pub fn renew(tx: &WriteTx, old_home: &str, new_home: &str) -> Result<Elsewhere> {
    let mut id = [0u8; 16];
    getrandom::fill(&mut id).map_err(|error| Error::Sqlite { reason: format!("no randomness: {error}") })?;
    tx.execute("UPDATE engine SET engine_id = ?1, daemon_epoch = daemon_epoch + 1 WHERE id = 1", [hex::encode(id)])?;
    tx.memory().counters.token.leap(LEAP);
    tx.execute("UPDATE group_detail SET builder = 'null' WHERE builder <> 'null'", [])?;
    let held =
        tx.rows(formatcp!("SELECT key_id FROM resource_lock WHERE holder_kind <> {HOLDER_STEP}"), [], |row| {
            row.get(0).map(KeyId)
        })?;
    for key in held {
        resource_lock::clear(tx, key)?;
        blocked::unblock(tx, key)?;
    }
    restored::settle_paths(tx, old_home, new_home)
}

/// Removes the locks of steps whose worker had fallen silent in the copied home. They have no file lock in this home.
pub fn clear_step_locks(tx: &WriteTx) -> Result<()> {
    let held = tx.rows(
        "SELECT key_id FROM resource_lock k WHERE NOT EXISTS
           (SELECT 1 FROM lease l WHERE l.step_id = k.holder AND l.token = k.token)",
        [],
        |row| row.get(0).map(KeyId),
    )?;
    for key in held {
        resource_lock::clear(tx, key)?;
        blocked::unblock(tx, key)?;
    }
    Ok(())
}

/// A group that runs as soon as a worker starts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct OpenGroup {
    pub group: GroupId,
    pub name: String,
    /// Runs that have not ended.
    pub runs: i64,
}

/// Every group that continues on its own: it has not ended and was not paused by a user. A group that waits for a
/// server continues when the server answers.
pub fn open_groups(tx: &ReadTx) -> Result<Vec<OpenGroup>> {
    tx.rows(
        formatcp!(
            "SELECT g.id, d.name, g.unfinished - (g.phase > {PHASE_LIVE}) FROM run_group g
                  JOIN group_detail d ON d.group_id = g.id
          WHERE g.ended IS NULL AND g.id > 0 AND (g.paused = 0 OR d.paused_for <> '') ORDER BY g.id"
        ),
        [],
        |row| Ok(OpenGroup { group: GroupId(row.get(0)?), name: row.get(1)?, runs: row.get(2)? }),
    )
}

/// The workers that were alive when the copy was taken.
pub fn workers(tx: &ReadTx) -> Result<Vec<WorkerId>> {
    tx.rows("SELECT id FROM worker ORDER BY id", [], |row| row.get(0).map(WorkerId))
}
