//! The schema of an open file: it must equal ours, and nothing in it may run code.

use crate::decide::schema::{Object, Schema, statements};
use crate::store::{
    error::{Error, Result},
    migration::SCHEMA,
};
use rusqlite::{Connection, config::DbConfig};
use std::{path::Path, sync::LazyLock};

static OURS: LazyLock<Schema> = LazyLock::new(|| Schema::new(SCHEMA, &[]));

/// What a file says of itself is data: no trigger, no view, no function of its choice runs, and nothing writes past SQL.
/// Foreign keys work without triggers.
pub(in crate::store) fn harden(conn: &Connection) -> rusqlite::Result<()> {
    for (config, on) in [
        (DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true),
        (DbConfig::SQLITE_DBCONFIG_TRUSTED_SCHEMA, false),
        (DbConfig::SQLITE_DBCONFIG_ENABLE_TRIGGER, false),
        (DbConfig::SQLITE_DBCONFIG_ENABLE_VIEW, false),
    ] {
        if conn.set_db_config(config, on)? != on {
            return Err(rusqlite::Error::InvalidQuery);
        }
    }
    Ok(())
}

/// Refuses a schema that is not ours, and names the differences.
pub(in crate::store) fn check(conn: &Connection, path: &Path) -> Result<()> {
    let mut statement = conn.prepare("SELECT type, name, sql FROM sqlite_schema")?;
    let object = |row: &rusqlite::Row<'_>| Ok(Object { kind: row.get(0)?, name: row.get(1)?, sql: row.get(2)? });
    let found = statement.query_map([], object)?.collect::<rusqlite::Result<Vec<_>>>()?;
    let differences = OURS.differences(&found);
    match differences.is_empty() {
        true => Ok(()),
        false => Err(Error::Schema { path: path.to_path_buf(), differences: differences.join(", ") }),
    }
}

/// Our views, made of our own text for this connection alone: those in the file are for people.
pub(in crate::store) fn add_views(conn: &Connection) -> rusqlite::Result<()> {
    let mut views = statements(SCHEMA).into_iter().filter_map(|it| it.strip_prefix("CREATE VIEW "));
    views.try_for_each(|it| conn.execute_batch(&format!("CREATE TEMP VIEW {it}")))
}
