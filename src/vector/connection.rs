//! Opens connections and verifies every pragma by reading it back.

use super::{Error, Result, foreign};
use crate::{
    decide::schema::{Object, Schema},
    os::{private, regular_file},
};
use percent_encoding::percent_decode_str;
use rusqlite::{Connection, OpenFlags, config::DbConfig, functions::FunctionFlags, types::ValueRef};
use std::{
    borrow::Cow,
    cell::RefCell,
    path::{Path, PathBuf},
    sync::LazyLock,
    time::Duration,
};

/// `wlVD`, so that windlass and `file` recognise our databases.
pub(super) const APPLICATION_ID: i64 = 0x776c_5644;
pub(super) const SCHEMA_VERSION: i64 = 3;
/// The oldest version that a reader accepts as is; a writer upgrades it.
pub(super) const OLDEST_SCHEMA: i64 = 1;

pub(super) const SCHEMA: &str = include_str!("schema.sql");
static OURS: LazyLock<Schema> = LazyLock::new(|| Schema::new(SCHEMA, OF_FTS5));
/// The tables that FTS5 creates for the word index.
const OF_FTS5: &[&str] = &[
    "CREATE TABLE 'chunk_text_data'(id INTEGER PRIMARY KEY, block BLOB)",
    "CREATE TABLE 'chunk_text_idx'(segid, term, pgno, PRIMARY KEY(segid, term)) WITHOUT ROWID",
    "CREATE TABLE 'chunk_text_docsize'(id INTEGER PRIMARY KEY, sz BLOB, origin INTEGER)",
    "CREATE TABLE 'chunk_text_config'(k PRIMARY KEY, v) WITHOUT ROWID",
];

/// A page of this size holds fifteen vectors of 256 dimensions, or three of 1024, with little space left over.
const PAGE_SIZE: i64 = 16_384;
const BUSY_TIMEOUT: Duration = Duration::from_secs(10);

/// When a commit reaches the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Durability {
    /// A commit survives a power cut.
    #[default]
    Full,
    /// A power cut may lose the last commits but never damages the file.
    #[cfg_attr(not(any(test, feature = "internals")), allow(dead_code))]
    Normal,
}

pub(super) enum Access {
    Read,
    Write,
}

/// Opens `path`. For reading it must exist; for writing it is created.
pub(super) fn open(path: &Path, access: Access, durability: Durability) -> Result<Connection> {
    // SQLite would block on a fifo, waiting for a writer.
    for ending in ["", "-wal", "-shm", "-journal"] {
        let file = PathBuf::from(format!("{}{ending}", path.display()));
        regular_file::check(&file).map_err(|source| Error::Io { action: "open", path: file, source })?;
    }
    let failed = |source| Error::sql("open", path, source);
    let mode = match access {
        Access::Read => OpenFlags::SQLITE_OPEN_READ_ONLY,
        Access::Write => OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE,
    };
    if matches!(access, Access::Write) {
        private::create_file(path).map_err(|source| Error::Io { action: "create", path: path.into(), source })?;
    }
    let mode = mode | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let db = match access {
        Access::Read if foreign::is_foreign(path) => {
            Connection::open_with_flags(foreign::as_it_is(path)?, mode | OpenFlags::SQLITE_OPEN_URI)
        }
        _ => Connection::open_with_flags(path, mode),
    };
    let db = db.map_err(failed)?;
    harden(&db, path)?;
    db.busy_timeout(BUSY_TIMEOUT).map_err(failed)?;
    db.set_prepared_statement_cache_capacity(64);
    if matches!(access, Access::Write) {
        // Only takes effect on a new file, before it is switched to WAL.
        db.pragma_update(None, "page_size", PAGE_SIZE).map_err(failed)?;
        become_wal(&db, path)?;
        let level = match durability {
            Durability::Full => 2,
            Durability::Normal => 1,
        };
        set(&db, path, "synchronous", level)?;
        set(&db, path, "foreign_keys", 1)?;
        set(&db, path, "journal_size_limit", 64 << 20)?;
    }
    set(&db, path, "mmap_size", 0)?;
    set(&db, path, "cache_size", -16_384)?;
    set(&db, path, "temp_store", 2)?;
    if !db.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true).map_err(failed)? {
        return Err(mismatch(path, "query planner stability", "on".into(), "off".into()));
    }
    add_dot(&db).map_err(failed)?;
    add_readable_uri(&db).map_err(failed)?;
    Ok(db)
}

/// The file is untrusted data: it can't make us run a trigger, a view or a function, and nothing can write around SQL.
pub(super) fn harden(db: &Connection, path: &Path) -> Result<()> {
    for (config, on) in [
        (DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true),
        (DbConfig::SQLITE_DBCONFIG_TRUSTED_SCHEMA, false),
        (DbConfig::SQLITE_DBCONFIG_ENABLE_TRIGGER, false),
        (DbConfig::SQLITE_DBCONFIG_ENABLE_VIEW, false),
    ] {
        if db.set_db_config(config, on).map_err(|it| Error::sql("open", path, it))? != on {
            return Err(mismatch(path, "defences", "on".into(), "off".into()));
        }
    }
    Ok(())
}

/// Refuses a schema that is not ours, and names the differences. An older version may lack newer objects and have had
/// other columns.
pub(super) fn check_schema(db: &Connection, path: &Path, version: i64) -> Result<()> {
    let read = || {
        let mut statement = db.prepare("SELECT type, name, sql FROM sqlite_schema")?;
        let object = |row: &rusqlite::Row<'_>| Ok(Object { kind: row.get(0)?, name: row.get(1)?, sql: row.get(2)? });
        statement.query_map([], object)?.collect::<rusqlite::Result<Vec<_>>>()
    };
    let found = read().map_err(|it| Error::sql("open", path, it))?;
    let differences = if version < SCHEMA_VERSION { OURS.strangers(&found) } else { OURS.differences(&found) };
    match differences.is_empty() {
        true => Ok(()),
        false => Err(Error::Schema { path: path.to_path_buf(), differences: differences.join(", ") }),
    }
}

/// Switches to WAL. This fails immediately with "locked" if another process switches too, whatever the busy timeout is.
fn become_wal(db: &Connection, path: &Path) -> Result<()> {
    let mut tries = 0;
    loop {
        match db.pragma_update_and_check(None, "journal_mode", "wal", |row| row.get::<_, String>(0)) {
            Ok(mode) if mode == "wal" => return Ok(()),
            Ok(mode) => return Err(mismatch(path, "journal_mode", "wal".into(), mode)),
            Err(error) if tries < 100 && error.sqlite_error_code() == Some(rusqlite::ErrorCode::DatabaseBusy) => {
                tries += 1;
                std::thread::sleep(Duration::from_millis(10));
            }
            Err(error) => return Err(Error::sql("open", path, error)),
        }
    }
}

fn set(db: &Connection, path: &Path, pragma: &'static str, wanted: i64) -> Result<()> {
    let failed = |source| Error::sql("open", path, source);
    db.pragma_update(None, pragma, wanted).map_err(failed)?;
    let found: Option<i64> = match db.pragma_query_value(None, pragma, |row| row.get(0)) {
        Ok(found) => Some(found),
        // An SQLite built without memory mapping returns no row for `mmap_size`: there is nothing to switch off.
        Err(rusqlite::Error::QueryReturnedNoRows) if pragma == "mmap_size" => Some(0),
        Err(error) => return Err(failed(error)),
    };
    match found {
        Some(found) if found == wanted => Ok(()),
        _ => Err(mismatch(path, pragma, wanted.to_string(), format!("{found:?}"))),
    }
}

fn mismatch(path: &Path, pragma: &'static str, wanted: String, found: String) -> Error {
    Error::Pragma { path: path.to_path_buf(), pragma, wanted, found }
}

/// Adds `vec_dot(stored, asked)`: the dot product of two vectors of equal length. It is their cosine, as both are
/// normalised.
fn add_dot(db: &Connection) -> rusqlite::Result<()> {
    // SQLite's blobs are unaligned, but the dot product needs aligned numbers, so they are copied into one reused
    // buffer.
    let aligned = RefCell::new(Vec::<f32>::new());
    let flags = FunctionFlags::SQLITE_UTF8 | FunctionFlags::SQLITE_DETERMINISTIC | FunctionFlags::SQLITE_INNOCUOUS;
    db.create_scalar_function("vec_dot", 2, flags, move |ctx| {
        let query = ctx.get_or_create_aux(1, |value| -> rusqlite::Result<Vec<f32>> {
            let mut numbers = Vec::new();
            read_into(&mut numbers, blob(value)?);
            Ok(numbers)
        })?;
        let mut stored = aligned.borrow_mut();
        read_into(&mut stored, blob(ctx.get_raw(0))?);
        dot(&stored, &query).ok_or_else(|| {
            let detail = format!("vec_dot of {} and {} dimensions", stored.len(), query.len());
            rusqlite::Error::UserFunctionError(detail.into())
        })
    })
}

/// Adds `readable_uri(uri)`, see [`readable_uri`].
fn add_readable_uri(db: &Connection) -> rusqlite::Result<()> {
    let flags = FunctionFlags::SQLITE_UTF8 | FunctionFlags::SQLITE_DETERMINISTIC | FunctionFlags::SQLITE_INNOCUOUS;
    db.create_scalar_function("readable_uri", 1, flags, |ctx| {
        let uri = ctx.get_raw(0).as_str().map_err(|error| rusqlite::Error::UserFunctionError(Box::new(error)))?;
        Ok(readable_uri(uri))
    })
}

/// A URI for people: percent signs are decoded, and a local file is shown as a path. Decodes nothing if the result is
/// not UTF-8.
fn readable_uri(uri: &str) -> String {
    let text = uri.strip_prefix("file://").filter(|it| it.starts_with('/')).unwrap_or(uri);
    percent_decode_str(text).decode_utf8().map_or_else(|_| text.to_string(), Cow::into_owned)
}

fn blob(value: ValueRef<'_>) -> rusqlite::Result<&[u8]> {
    value.as_blob().map_err(|error| rusqlite::Error::UserFunctionError(Box::new(error)))
}

/// Returns `None` if the lengths differ.
pub(super) fn dot(a: &[f32], b: &[f32]) -> Option<f64> {
    <f32 as simsimd::SpatialSimilarity>::dot(a, b)
}

pub(super) fn to_blob(vector: &[f32]) -> Vec<u8> {
    vector.iter().flat_map(|number| number.to_le_bytes()).collect()
}

pub(super) fn read_into(numbers: &mut Vec<f32>, blob: &[u8]) {
    numbers.clear();
    numbers.extend(blob.chunks_exact(4).map(|it| f32::from_le_bytes([it[0], it[1], it[2], it[3]])));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_uri_reads_as_people_write_it() {
        for (uri, read) in [
            ("file:///a/policy%203.md", "/a/policy 3.md"),
            ("https://host/%C3%BC?q=50%25", "https://host/ü?q=50%"),
            ("file:///a/%ff", "/a/%ff"),
            ("100%", "100%"),
            ("%4", "%4"),
            ("%zz%+4", "%zz%+4"),
        ] {
            assert_eq!(readable_uri(uri), read);
        }
    }

    #[test]
    fn vec_dot_multiplies_and_refuses_unequal_lengths() {
        let db = Connection::open_in_memory().unwrap();
        add_dot(&db).unwrap();
        let ask = |a: &[f32], b: &[f32]| {
            db.query_row("SELECT vec_dot(?1, ?2)", (to_blob(a), to_blob(b)), |row| row.get::<_, f64>(0))
        };
        assert!((ask(&[1.0, 2.0, 3.0], &[4.0, -5.0, 6.0]).unwrap() - 12.0).abs() < 1e-6);
        assert!(ask(&[1.0, 2.0], &[1.0]).is_err());
        assert!(db.query_row("SELECT vec_dot('text', 1)", [], |row| row.get::<_, f64>(0)).is_err());
    }
}
