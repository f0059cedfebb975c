//! Creating and upgrading the database, inside one BEGIN IMMEDIATE, forward only.

use super::error::{Error, Result};
use crate::model::Timestamp;
use rusqlite::{Connection, TransactionBehavior, params};
use std::path::Path;

/// The schema version of this build.
pub(super) const VERSION: i64 = 1;

/// `wdls` in ASCII: tells our files from other SQLite databases.
const APPLICATION_ID: i64 = 0x7764_6c73;

const SCHEMA: &str = include_str!("../../schema.sql");

/// Creates the schema in an empty file, or brings an older one up; refuses a newer or a foreign one before writing.
pub(super) fn migrate(conn: &mut Connection, path: &Path, now: Timestamp) -> Result<()> {
    if check_version(conn, path)? {
        return Ok(());
    }
    let tx = conn.transaction_with_behavior(TransactionBehavior::Immediate)?;
    // Another process may have been faster; and nothing that was read outside the transaction counts.
    if !check_version(&tx, path)? {
        tx.execute_batch(SCHEMA)?;
        let mut id = [0u8; 16];
        getrandom::fill(&mut id).map_err(|error| Error::Sqlite { reason: format!("no randomness: {error}") })?;
        tx.execute("INSERT INTO engine(id, engine_id, created) VALUES (1, ?1, ?2)", params![hex::encode(id), now.0])?;
        tx.execute("INSERT INTO counter(id, value) VALUES (1, 0), (2, 0), (3, 0), (4, 0), (5, 0)", [])?;
        tx.pragma_update(None, "application_id", APPLICATION_ID)?;
        tx.pragma_update(None, "user_version", VERSION)?;
    }
    tx.commit()?;
    Ok(())
}

/// Whether there is a schema at all. A newer or a foreign one is refused.
pub(super) fn is_made(conn: &Connection, path: &Path) -> Result<bool> {
    check_version(conn, path)?;
    Ok(conn.pragma_query_value(None, "page_count", |row| row.get::<_, i64>(0))? > 0)
}

/// Whether the schema is there and current. An empty file is not; a newer or foreign one is an error.
fn check_version(conn: &Connection, path: &Path) -> Result<bool> {
    let version = user_version(conn)?;
    let application: i64 = conn.pragma_query_value(None, "application_id", |row| row.get(0))?;
    let tables: i64 = conn.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
    if tables == 0 && version == 0 {
        return Ok(false);
    }
    if application != APPLICATION_ID {
        return Err(Error::NotOurs { path: path.to_path_buf() });
    }
    if version > VERSION {
        return Err(Error::Newer { path: path.to_path_buf(), found: version, known: VERSION });
    }
    Ok(version == VERSION)
}

pub(super) fn user_version(conn: &Connection) -> Result<i64> {
    Ok(conn.pragma_query_value(None, "user_version", |row| row.get(0))?)
}
