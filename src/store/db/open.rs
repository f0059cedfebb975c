//! Opens connections. Pragmas are set and read back; a connection is refused if one did not take effect.

use crate::store::{
    elsewhere::IssuedNumbers,
    error::{Error, Result, UNNAMED},
    lost_commits, migration, schema,
    tx::ReadTx,
};
use crate::{
    failpoint::{Failpoint, is_active},
    model::Timestamp,
    os::{
        Shortage, limits, ownership, private, process_stat,
        turnstile::{Turnstile, WRITE_LOCK},
        wal_readers,
    },
};
use rusqlite::{Connection, OpenFlags, config::DbConfig};
use std::{
    io,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

/// Older versions can lose commits when the WAL is reset.
const OLDEST_SQLITE: i32 = 3_051_003;

/// A database that changes this often while it is being opened is refused.
const MOST_EXCHANGES: u32 = 3;
const BUSY: Duration = Duration::from_millis(100);
const JOURNAL_SIZE_LIMIT: i64 = 64 << 20;
/// The page cache of a reading connection; negative: in KiB.
const READER_CACHE: i64 = -2_048;
const STATEMENTS: usize = 192;

/// Which commits survive a power cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Durability {
    /// Every acknowledged commit.
    Full,
    /// All but the most recent commits. Nothing is corrupted.
    Normal,
}

#[derive(Debug, Clone)]
pub struct Options {
    /// The database file; its directory must exist.
    pub path: PathBuf,
    pub durability: Durability,
    /// How long a writer waits for its turn. The error then names the holder.
    pub patience: Duration,
    /// How long a step waits at the head of a resource's line before no other step that needs the resource may pass it.
    pub fair_after: crate::model::Millis,
    /// The size of the read pool.
    pub readers: u32,
    /// Finds numbers of this engine outside the database, which must never be issued again.
    pub issued: Option<IssuedNumbers>,
}

impl Options {
    pub fn new(path: impl Into<PathBuf>) -> Options {
        Options {
            path: path.into(),
            durability: Durability::Full,
            patience: Duration::from_secs(30),
            fair_after: crate::model::Millis::seconds(30),
            readers: 8,
            issued: None,
        }
    }
}

/// Whether the database exists and is current, so that it can be read. Waits for no turn and writes nothing, so a
/// reader sees the last commit immediately, even during a write. A newer or foreign database is refused.
pub(in crate::store) fn is_ready(options: &Options) -> Result<bool> {
    let path = &options.path;
    if std::fs::metadata(path).map_or(0, |it| it.len()) == 0 {
        return Ok(false);
    }
    match can_be_read(path, options.issued.as_ref()) {
        Err(error @ (Error::Newer { .. } | Error::NotOurs { .. } | Error::Schema { .. })) => Err(error),
        // Any other problem is reported when the database is opened for writing.
        ready => Ok(ready.unwrap_or(false)),
    }
}

fn can_be_read(path: &Path, issued: Option<&IssuedNumbers>) -> Result<bool> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let conn = Connection::open_with_flags(path, flags)?;
    schema::harden(&conn)?;
    conn.busy_timeout(BUSY)?;
    let mode: String = conn.pragma_query_value(None, "journal_mode", |row| row.get(0))?;
    let vacuum: i64 = conn.pragma_query_value(None, "auto_vacuum", |row| row.get(0))?;
    let ready = migration::is_current(&conn, path)? && mode == "wal" && vacuum == 2;
    if ready {
        schema::check(&conn, path)?;
    }
    // A damaged log and an old copy are reported by the first command, whether it writes or not.
    let ready = ready && !lost_commits::are_suspected(&conn, path)?;
    Ok(ready && !issued.map_or(Ok(false), |it| lost_commits::are_seen(&conn, it))?)
}

/// Opens the connection for writing: file, WAL, schema. Called under the turnstile, because the switch to WAL and the
/// first transaction of a new file do not wait for each other.
pub(in crate::store) fn writer(options: &Options, turnstile: &Turnstile, now: Timestamp) -> Result<Connection> {
    assert!(rusqlite::version_number() >= OLDEST_SQLITE, "bundled SQLite is too old: {}", rusqlite::version());
    let deadline = Instant::now() + options.patience;
    let path = &options.path;
    let turn = turnstile.enter(deadline).map_err(|source| Error::File {
        action: "lock the turnstile of",
        path: path.clone(),
        source,
    })?;
    let Some(_turn) = turn else {
        return Err(busy(options));
    };
    // Older versions of windlass use another turnstile. What they have begun is finished before the schema changes;
    // after that they refuse the database.
    let older = older_turnstile(path)?;
    let older_turn = older.as_ref().map(|older| older.enter(deadline)).transpose().map_err(|source| Error::File {
        action: "lock the old turnstile of",
        path: path.clone(),
        source,
    })?;
    if older_turn.as_ref().is_some_and(Option::is_none) {
        return Err(busy(options));
    }
    let (mut judged, mut exchanged) = (judge_files(path)?, 0);
    loop {
        match attempt_writer(options, now) {
            // A reader that is just opening the file can still block the switch to WAL.
            Err(Error::Busy { .. }) if Instant::now() < deadline => std::thread::sleep(Duration::from_millis(2)),
            Err(Error::Busy { .. }) => return Err(busy(options)),
            Err(error) => return Err(at(error, path)),
            Ok(conn) => {
                if let Err(error) = confirm_files(path, judged) {
                    // Some stacked file systems give a file another number when it is first opened for writing.
                    exchanged += 1;
                    if exchanged == MOST_EXCHANGES {
                        return Err(error);
                    }
                    drop(conn);
                    judged = judge_files(path)?;
                    continue;
                }
                if let Some(older) = &older {
                    older.remove();
                }
                return Ok(conn);
            }
        }
    }
}

/// Refuses the files of a database unless they are ours. Returns device and inode of the database, if it exists.
fn judge_files(path: &Path) -> Result<Option<(u64, u64)>> {
    for ending in ["", "-wal", "-shm", "-journal"] {
        let file = PathBuf::from(format!("{}{ending}", path.display()));
        ownership::check_file(&file).map_err(|error| Error::File {
            action: "open",
            path: file,
            source: error.into(),
        })?;
    }
    ownership::id_of(path).map_err(|source| Error::File { action: "open", path: path.to_path_buf(), source })
}

/// SQLite opens files by name, so the files behind these names are checked again once they are open: they must be ours,
/// and the database must be the file that was checked before and that this process has open now.
fn confirm_files(path: &Path, judged: Option<(u64, u64)>) -> Result<()> {
    let now = judge_files(path)?;
    let same = now.is_some() && (judged.is_none() || judged == now);
    let is_open = now.and_then(process_stat::this_process_has_open);
    match same && is_open != Some(false) {
        true => Ok(()),
        false => {
            let source = io::Error::new(io::ErrorKind::PermissionDenied, "it was replaced while it was opened");
            Err(Error::File { action: "open", path: path.to_path_buf(), source })
        }
    }
}

fn older_turnstile(path: &Path) -> Result<Option<Turnstile>> {
    let dir = path.parent().unwrap_or(Path::new("."));
    let stem = path.file_stem().unwrap_or_default().to_string_lossy();
    let opened = Turnstile::of_older(dir, &stem);
    opened.map_err(|source| Error::File { action: "open the old turnstile of", path: path.to_path_buf(), source })
}

pub(in crate::store) fn busy(options: &Options) -> Error {
    let lock = options.path.with_extension(WRITE_LOCK);
    // This process itself may hold the lock while it waits for a program that does not use the turnstile.
    let inside = || process_stat::who_holds_lock(&lock).filter(|pid| *pid != std::process::id());
    Error::Busy {
        path: options.path.clone(),
        holder: wal_readers::writer(&options.path).or_else(inside),
        waited_ms: options.patience.as_millis() as u64,
    }
}

/// Adds the file to an SQLite error that does not name it, and the resource that ran out, if SQLite did not say.
pub(in crate::store) fn at(error: Error, path: &Path) -> Error {
    if let Error::Io { .. } = error
        && let Some(short) = Shortage::at(path)
    {
        return Error::short(short, path);
    }
    let path = path.to_path_buf();
    match error {
        Error::DiskFull { .. } => Error::DiskFull { path },
        Error::File { action: UNNAMED, source, .. } => Error::File { action: UNNAMED, path, source },
        Error::Io { reason, .. } => Error::Io { path, reason },
        Error::Corrupt { reason, .. } => Error::Corrupt { path, reason },
        Error::Busy { holder, waited_ms, .. } => Error::Busy { path, holder, waited_ms },
        other => other,
    }
}

fn attempt_writer(options: &Options, now: Timestamp) -> Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE
        | OpenFlags::SQLITE_OPEN_CREATE
        | OpenFlags::SQLITE_OPEN_NO_MUTEX
        | OpenFlags::SQLITE_OPEN_URI
        | OpenFlags::SQLITE_OPEN_NOFOLLOW;
    // As private as the files of the turnstile, which exist by now. SQLite gives the log the same permissions.
    let real = without_links(&options.path)?;
    let uri = private::sqlite_uri(&real, &real.with_extension(WRITE_LOCK));
    let mut conn = Connection::open_with_flags(uri, flags)?;
    schema::harden(&conn)?;
    conn.busy_timeout(BUSY)?;
    // A foreign or newer database is refused before anything is written. SQLite writes a page for `auto_vacuum` even if
    // it changes nothing. It is therefore set only in a new file, before the first page.
    if !migration::is_made(&conn, &options.path)? {
        conn.pragma_update(None, "auto_vacuum", "INCREMENTAL")?;
    }
    conn.pragma_update(None, "journal_mode", "WAL")?;
    lost_commits::look(&mut conn, &options.path, now)?;
    let synchronous = match options.durability {
        _ if is_active(Failpoint::SynchronousOff) => 0,
        Durability::Full => 2,
        Durability::Normal => 1,
    };
    conn.pragma_update(None, "synchronous", synchronous)?;
    #[cfg(target_os = "macos")]
    conn.pragma_update(None, "fullfsync", 1)?;
    // SQLite's automatic checkpoints ignore errors, including a failed fsync, so the writer runs them itself.
    conn.pragma_update(None, "wal_autocheckpoint", 0)?;
    conn.pragma_update(None, "journal_size_limit", JOURNAL_SIZE_LIMIT)?;
    common(&conn)?;
    migration::migrate(&mut conn, &options.path, now)?;
    schema::check(&conn, &options.path)?;
    schema::add_views(&conn)?;
    if let Some(issued) = &options.issued {
        lost_commits::look_elsewhere(&mut conn, &options.path, issued, now)?;
    }
    expect(&conn, &options.path, "journal_mode", "wal")?;
    expect(&conn, &options.path, "synchronous", &synchronous.to_string())?;
    expect(&conn, &options.path, "auto_vacuum", "2")?;
    expect(&conn, &options.path, "wal_autocheckpoint", "0")?;
    expect(&conn, &options.path, "journal_size_limit", &JOURNAL_SIZE_LIMIT.to_string())?;
    expect_common(&conn, &options.path)?;
    empty_the_log(&conn)?;
    Ok(conn)
}

/// The path with links in its parent directories resolved. These links are the user's own.
fn without_links(path: &Path) -> Result<PathBuf> {
    let parent = path.parent().filter(|it| !it.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let found = std::fs::canonicalize(parent);
    let dir = found.map_err(|source| Error::File { action: "find", path: parent.to_path_buf(), source })?;
    Ok(dir.join(path.file_name().unwrap_or_default()))
}

/// Moves what an earlier process left in the log into the database before anything new is acknowledged. After a failed
/// fsync it is unknown which pages of the log are on disk. If other processes use the file, it moves what it can
/// without waiting.
fn empty_the_log(conn: &Connection) -> Result<()> {
    conn.busy_timeout(Duration::ZERO)?;
    match conn.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).map_err(Error::from) {
        // A full disk leaves the log unchanged, and reads still work.
        Ok(()) | Err(Error::DiskFull { .. }) => {}
        Err(error) => return Err(error),
    }
    conn.busy_timeout(BUSY)?;
    Ok(())
}

/// Reads the last committed state of an engine database that this process need not have open. Writes nothing and does
/// not wait. Fails if the schema is not that of this program.
pub fn glance<T>(path: &Path, work: impl FnOnce(&ReadTx) -> Result<T>) -> Result<T> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut conn = Connection::open_with_flags(path, flags)?;
    conn.busy_timeout(BUSY)?;
    schema::harden(&conn)?;
    common(&conn)?;
    if migration::user_version(&conn)? != migration::VERSION {
        return Err(Error::refused(format!("{} has another schema", path.display())));
    }
    schema::check(&conn, path)?;
    schema::add_views(&conn)?;
    let tx = conn.transaction()?;
    work(&ReadTx::new(&tx))
}

/// Prepares a connection that only reads.
pub(in crate::store) fn set_up_reader(conn: &Connection, path: &Path) -> Result<()> {
    conn.busy_timeout(Duration::from_secs(5))?;
    schema::harden(conn)?;
    common(conn)?;
    schema::add_views(conn)?;
    conn.pragma_update(None, "query_only", 1)?;
    // There are several such connections, and the system caches the file's pages as well.
    conn.pragma_update(None, "cache_size", READER_CACHE)?;
    expect_common(conn, path)
}

/// The most reading connections. Each takes two descriptors, and commands need descriptors too, so a low limit means
/// few readers.
pub(in crate::store) fn most_readers(options: &Options) -> usize {
    options.readers.min((limits::open_files() / 12).clamp(2, 64) as u32) as usize
}

fn common(conn: &Connection) -> rusqlite::Result<()> {
    conn.pragma_update(None, "foreign_keys", 1)?;
    conn.pragma_update(None, "mmap_size", 0)?;
    conn.pragma_update(None, "cache_size", -16_384)?;
    conn.pragma_update(None, "temp_store", "MEMORY")?;
    // Without it, the planner looks at bound values and prepares a statement again at each bind.
    conn.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    conn.set_prepared_statement_cache_capacity(STATEMENTS);
    Ok(())
}

fn expect_common(conn: &Connection, path: &Path) -> Result<()> {
    expect(conn, path, "foreign_keys", "1")?;
    let mapped: Option<i64> = conn.query_row("PRAGMA mmap_size", [], |row| row.get(0)).ok();
    if mapped.is_some_and(|it| it != 0) {
        return Err(mismatch(path, "mmap_size", "0", &format!("{mapped:?}")));
    }
    match conn.db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG)? {
        true => Ok(()),
        false => Err(mismatch(path, "enable_qpsg", "1", "0")),
    }
}

fn expect(conn: &Connection, path: &Path, pragma: &'static str, wanted: &str) -> Result<()> {
    let value: rusqlite::types::Value = conn.pragma_query_value(None, pragma, |row| row.get(0))?;
    let found = match value {
        rusqlite::types::Value::Integer(number) => number.to_string(),
        rusqlite::types::Value::Text(text) => text,
        other => format!("{other:?}"),
    };
    match found == wanted {
        true => Ok(()),
        false => Err(mismatch(path, pragma, wanted, &found)),
    }
}

fn mismatch(path: &Path, pragma: &'static str, wanted: &str, found: &str) -> Error {
    Error::Pragma { path: path.to_path_buf(), pragma, wanted: wanted.to_string(), found: found.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::{self, File};

    #[test]
    fn a_database_that_is_exchanged_between_its_judgement_and_its_opening_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("engine.db");
        assert_eq!(judge_files(&path).unwrap(), None);
        fs::write(&path, "ours").unwrap();
        let judged = judge_files(&path).unwrap();
        let open = File::open(&path).unwrap();
        confirm_files(&path, judged).unwrap();
        confirm_files(&path, None).unwrap();
        fs::write(dir.path().join("other"), "theirs").unwrap();
        fs::rename(dir.path().join("other"), &path).unwrap();
        let theirs = File::open(&path).unwrap();
        assert!(confirm_files(&path, judged).is_err(), "another file has its name");
        // It was exchanged twice: its name is right again, but another file was opened.
        drop((open, theirs));
        let again = judge_files(&path).unwrap();
        let known = process_stat::this_process_has_open(again.unwrap()).is_some();
        assert_eq!(confirm_files(&path, again).is_err(), known);
        fs::remove_file(&path).unwrap();
        assert!(confirm_files(&path, judged).is_err());
    }
}
