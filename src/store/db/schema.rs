//! The schema of an open file. It must equal ours, and nothing in it may run code.

use crate::decide::schema::{Object, Schema, statements};
use crate::store::{
    error::{Error, Result},
    migration::SCHEMA,
};
use rusqlite::{Connection, config::DbConfig};
use std::{path::Path, sync::LazyLock};

static OURS: LazyLock<Schema> = LazyLock::new(|| Schema::new(SCHEMA, &[]));

/// Treats the schema in a file as data: no trigger, view or function in it runs, and SQL can't write to internal
/// tables. Foreign keys work without triggers.
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

/// Refuses a schema that differs from ours, and names the differences.
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

/// Creates our views for this connection from our own text. The views in the file are for people.
pub(in crate::store) fn add_views(conn: &Connection) -> rusqlite::Result<()> {
    let mut views = statements(SCHEMA).into_iter().filter_map(|it| it.strip_prefix("CREATE VIEW "));
    views.try_for_each(|it| conn.execute_batch(&format!("CREATE TEMP VIEW {it}")))
}
