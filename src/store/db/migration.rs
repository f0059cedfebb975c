//! Creates and upgrades the database in one BEGIN IMMEDIATE transaction. Only forward.

use crate::store::error::{Error, Result};
use crate::{
    model::{Timestamp, WorkerId},
    os::file_lock::{FileLock, LockState},
};
use rusqlite::{Connection, TransactionBehavior, params};
use std::path::Path;

/// The schema version of this build.
pub(in crate::store) const VERSION: i64 = 7;

/// `wdls` in ASCII: distinguishes our files from other SQLite databases.
const APPLICATION_ID: i64 = 0x7764_6c73;

/// The oldest version that can be upgraded.
const OLDEST: i64 = 1;

pub(in crate::store) const SCHEMA: &str = include_str!("../../../schema.sql");

/// Each script upgrades the version at its position, counted from 1, to the next. The same files can be applied by
/// hand.
const STEPS: &[&str] = &[
    include_str!("../../../scripts/upgrade/001-to-002.sql"),
    include_str!("../../../scripts/upgrade/002-to-003.sql"),
    include_str!("../../../scripts/upgrade/003-to-004.sql"),
    include_str!("../../../scripts/upgrade/004-to-005.sql"),
    include_str!("../../../scripts/upgrade/005-to-006.sql"),
    include_str!("../../../scripts/upgrade/006-to-007.sql"),
];

/// Creates the schema in an empty file, or upgrades an older one. Refuses a newer or foreign one before writing.
pub(in crate::store) fn migrate(conn: &mut Connection, path: &Path, now: Timestamp) -> Result<()> {
    if check_version(conn, path)? {
        return Ok(());
    }
    let tx = conn.transaction_with_behavior(TransactionBehavior::Immediate)?;
    // Another process may have been faster, so nothing that was read before the transaction counts.
    if !check_version(&tx, path)? {
        let found = user_version(&tx)?;
        if found > 0 {
            refuse_while_used(&tx, path)?;
            upgrade(&tx, found).map_err(|error| does_not_fit(error, path, found))?;
            tx.commit()?;
            return Ok(());
        }
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

/// Refuses to change the schema while a worker of an older version lives, because that worker would not understand the
/// new tables.
fn refuse_while_used(tx: &Connection, path: &Path) -> Result<()> {
    let mut rows = tx.prepare("SELECT id FROM worker WHERE schema < ?1")?;
    for id in rows.query_map([VERSION], |row| row.get::<_, i64>(0).map(WorkerId))? {
        let worker = id?;
        // Up to version 4 a liveness lock was called `w7.life`.
        let held = ["lock", "life"].map(|ending| path.with_file_name("workers").join(format!("{worker}.{ending}")));
        if held.iter().any(|lock| lock.exists() && matches!(FileLock::probe(lock), Ok(LockState::Held))) {
            return Err(Error::InUse { path: path.to_path_buf(), worker });
        }
    }
    Ok(())
}

/// Runs the upgrade scripts from an older version to this one, in the caller's transaction.
fn upgrade(conn: &Connection, found: i64) -> Result<()> {
    for step in STEPS.iter().skip(found as usize - 1) {
        let lines = step.lines().filter(|it| !matches!(it.trim(), "BEGIN IMMEDIATE;" | "COMMIT;"));
        conn.execute_batch(&lines.collect::<Vec<_>>().join("\n"))?;
    }
    Ok(())
}

/// If the tables refuse a statement of an upgrade, they are not those of the version that the file claims.
fn does_not_fit(error: Error, path: &Path, found: i64) -> Error {
    match error {
        Error::Sqlite { reason } => {
            let differences = format!("it does not fit its version {found} ({reason})");
            Error::Schema { path: path.to_path_buf(), differences }
        }
        other => other,
    }
}

/// Whether there is a schema. A newer or foreign one is refused.
pub(in crate::store) fn is_made(conn: &Connection, path: &Path) -> Result<bool> {
    check_version(conn, path)?;
    Ok(conn.pragma_query_value(None, "page_count", |row| row.get::<_, i64>(0))? > 0)
}

/// Whether the schema exists and is current, so that nothing needs to be done. A newer or foreign one is refused.
pub(in crate::store) fn is_current(conn: &Connection, path: &Path) -> Result<bool> {
    check_version(conn, path)
}

/// Whether the schema exists and is current. False for an empty file; a newer or foreign schema is an error.
fn check_version(conn: &Connection, path: &Path) -> Result<bool> {
    // A single statement, so that a file that is being created is seen either before or after, never in between.
    let sql =
        "SELECT (SELECT application_id FROM pragma_application_id), (SELECT user_version FROM pragma_user_version),
                        (SELECT count(*) FROM sqlite_schema)";
    let row = |row: &rusqlite::Row<'_>| Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?, row.get::<_, i64>(2)?));
    let (application, version, tables) = conn.query_row(sql, [], row)?;
    if tables == 0 && version == 0 {
        return Ok(false);
    }
    if application != APPLICATION_ID {
        return Err(Error::NotOurs { path: path.to_path_buf() });
    }
    if version > VERSION {
        return Err(Error::Newer { path: path.to_path_buf(), found: version, known: VERSION });
    }
    if version < OLDEST {
        return Err(Error::Older { path: path.to_path_buf(), found: version, oldest: OLDEST });
    }
    Ok(version == VERSION)
}

pub(in crate::store) fn user_version(conn: &Connection) -> Result<i64> {
    Ok(conn.pragma_query_value(None, "user_version", |row| row.get(0))?)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What each schema version looked like when it was current.
    const OLD: &[(i64, &str)] = &[
        (1, include_str!("../../../tests/schemas/engine-001.sql")),
        (4, include_str!("../../../tests/schemas/engine-004.sql")),
        (5, include_str!("../../../tests/schemas/engine-005.sql")),
        (6, include_str!("../../../tests/schemas/engine-006.sql")),
    ];

    fn open(path: &Path) -> Connection {
        Connection::open(path).unwrap()
    }

    /// Tables with their columns and indexes with theirs, regardless of the text that created them.
    fn layout(conn: &Connection) -> Vec<String> {
        let mut statement = conn
            .prepare(
                "SELECT s.name || ' ' || c.name || ' ' || c.type || ' ' || c.\"notnull\" || ' ' || c.pk FROM sqlite_schema s
                   JOIN pragma_table_info(s.name) c WHERE s.type = 'table'
                 UNION ALL SELECT s.name || ' on ' || s.tbl_name || ' ' || coalesce(c.name, '') FROM sqlite_schema s
                   JOIN pragma_index_info(s.name) c WHERE s.type = 'index' ORDER BY 1",
            )
            .unwrap();
        statement.query_map([], |row| row.get(0)).unwrap().collect::<rusqlite::Result<_>>().unwrap()
    }

    #[test]
    fn every_older_schema_becomes_the_one_of_a_new_database_and_keeps_its_rows() {
        let dir = tempfile::tempdir().unwrap();
        let new = dir.path().join("new.db");
        let mut fresh = open(&new);
        migrate(&mut fresh, &new, Timestamp(1)).unwrap();
        for (version, schema) in OLD {
            let path = dir.path().join(format!("{version}.db"));
            let mut old = open(&path);
            old.execute_batch(schema).unwrap();
            old.execute_batch(
                "INSERT INTO engine(id, engine_id, created) VALUES (1, 'x', 1);
                 INSERT INTO counter(id, value) VALUES (1, 0), (2, 0), (3, 9), (4, 0), (5, 0);
                 INSERT INTO document(database, source, uri, sha256, size, mtime, params, run_id, updated)
                 VALUES ('/db', 's', 'u', zeroblob(32), 1, 1, zeroblob(32), 7, 1);
                 INSERT INTO document_removal(database, source, uri, at) VALUES ('/db', 's', 'gone', 1)",
            )
            .unwrap();
            old.pragma_update(None, "application_id", APPLICATION_ID).unwrap();
            old.pragma_update(None, "user_version", version).unwrap();
            migrate(&mut old, &path, Timestamp(2)).unwrap();
            assert_eq!(user_version(&old).unwrap(), VERSION);
            assert_eq!(layout(&old), layout(&fresh), "from version {version}");
            crate::store::schema::check(&old, &path).unwrap();
            let number = |sql: &str| old.query_row(sql, [], |row| row.get::<_, i64>(0)).unwrap();
            if *version == 1 {
                assert_eq!(number("SELECT version FROM document"), 7);
                assert_eq!(number("SELECT version FROM document_removal WHERE done = 0"), 9);
            }
        }
    }

    #[test]
    fn a_schema_that_is_too_old_is_refused_in_a_few_words() {
        let mut old = Connection::open_in_memory().unwrap();
        old.execute_batch("CREATE TABLE step(id INTEGER)").unwrap();
        old.pragma_update(None, "application_id", APPLICATION_ID).unwrap();
        let refused = migrate(&mut old, Path::new("old.db"), Timestamp(0)).unwrap_err().to_string();
        assert!(refused.contains("schema version 0") && refused.len() < 200, "{refused}");
    }

    #[test]
    fn a_version_that_is_lower_than_its_tables_is_said() {
        let mut conn = Connection::open_in_memory().unwrap();
        migrate(&mut conn, Path::new("engine.db"), Timestamp(0)).unwrap();
        conn.pragma_update(None, "user_version", 4).unwrap();
        let refused = migrate(&mut conn, Path::new("engine.db"), Timestamp(0)).unwrap_err();
        assert!(matches!(refused, Error::Schema { .. }), "{refused}");
        assert!(refused.to_string().contains("it does not fit its version 4"), "{refused}");
        assert!(refused.hint().is_some_and(|it| it.contains("backup")), "{:?}", refused.hint());
        assert_eq!(user_version(&conn).unwrap(), 4);
    }

    /// As `sqlite3 engine.db < scripts/upgrade/004-to-005.sql` does.
    #[test]
    fn the_upgrade_scripts_by_hand_give_a_schema_that_is_ours() {
        for (version, schema) in OLD {
            let mut old = Connection::open_in_memory().unwrap();
            old.execute_batch(schema).unwrap();
            old.pragma_update(None, "application_id", APPLICATION_ID).unwrap();
            old.pragma_update(None, "user_version", version).unwrap();
            for step in STEPS.iter().skip(*version as usize - 1) {
                old.execute_batch(step).unwrap();
            }
            assert_eq!(user_version(&old).unwrap(), VERSION, "from version {version}");
            migrate(&mut old, Path::new("engine.db"), Timestamp(0)).unwrap();
            crate::store::schema::check(&old, Path::new("engine.db")).unwrap();
        }
    }

    #[test]
    fn the_schema_is_not_changed_under_a_living_worker_of_an_older_version() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("engine.db");
        let mut old = open(&path);
        old.execute_batch(OLD[0].1).unwrap();
        old.execute_batch(
            "INSERT INTO worker(id, identity, boot_id, version, schema, pools, registered)
             VALUES (7, 'null', '', '0.1', 1, '{}', 0)",
        )
        .unwrap();
        old.pragma_update(None, "application_id", APPLICATION_ID).unwrap();
        old.pragma_update(None, "user_version", 1).unwrap();
        std::fs::create_dir(dir.path().join("workers")).unwrap();
        let life = FileLock::try_exclusive(&dir.path().join("workers/w7.life")).unwrap();
        let refused = migrate(&mut old, &path, Timestamp(0)).unwrap_err();
        assert!(matches!(refused, Error::InUse { worker: WorkerId(7), .. }), "{refused}");
        assert_eq!(user_version(&old).unwrap(), 1);
        drop(life);
    }
}
