//! Copies a vector database while other processes write it.

use super::{
    Durability, Error, Result,
    connection::{self, Access},
};
use rusqlite::{
    Connection, OpenFlags,
    backup::{Backup, StepResult},
};
use std::{path::Path, time::Duration};

const PAGES: i32 = 500;

/// Copies one consistent state into a new file that needs no log. Returns false if `go_on` returned false.
pub fn copy(from: &Path, to: &Path, go_on: &dyn Fn() -> bool) -> Result<bool> {
    let failed = |source| Error::sql("copy", from, source);
    let mut source = connection::open(from, Access::Read, Durability::Full)?;
    // Without this transaction, other writers would make the copy start over.
    let snapshot = source.transaction().map_err(failed)?;
    snapshot.query_row("SELECT count(*) FROM sqlite_schema", [], |_| Ok(())).map_err(failed)?;
    let mut target = Connection::open(to).map_err(failed)?;
    {
        let backup = Backup::new(&snapshot, &mut target).map_err(failed)?;
        loop {
            match backup.step(PAGES).map_err(failed)? {
                StepResult::Done => break,
                StepResult::Busy | StepResult::Locked => std::thread::sleep(Duration::from_millis(5)),
                _ if !go_on() => return Ok(false),
                _ => {}
            }
        }
    }
    target.query_row("PRAGMA journal_mode=DELETE", [], |_| Ok(())).map_err(failed)?;
    Ok(true)
}

/// Refuses a copy that is not a vector database, or contains objects that are not ours.
pub fn check_copy(path: &Path) -> Result<()> {
    super::VectorDb::open(path, &super::OpenOptions::default()).map(drop)
}

/// The problems that SQLite finds in a copy. No other process may have it open.
pub fn problems_of_copy(path: &Path) -> Result<Vec<String>> {
    let failed = |source| Error::sql("check", path, source);
    let conn = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY).map_err(failed)?;
    connection::harden(&conn, path)?;
    let version = conn.pragma_query_value(None, "user_version", |row| row.get(0)).map_err(failed)?;
    connection::check_schema(&conn, path, version)?;
    let mut statement = conn.prepare("PRAGMA integrity_check").map_err(failed)?;
    let rows = statement.query_map([], |row| row.get::<_, String>(0)).map_err(failed)?;
    let mut found = rows.collect::<rusqlite::Result<Vec<_>>>().map_err(failed)?;
    found.retain(|it| it != "ok");
    Ok(found)
}
