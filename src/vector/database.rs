//! A connection to a vector database.

use super::{
    Error, Result,
    connection::{self, APPLICATION_ID, Access, Durability, OLDEST_SCHEMA, SCHEMA_VERSION},
    hidden::Hidden,
};
use crate::os::{ownership, private};
use rusqlite::{Connection, Transaction, TransactionBehavior};
use std::{
    fs,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

/// The maximum duration of one read. A search of millions of passages takes seconds, but a malicious file could make it
/// hang.
const READ_WITHIN: Duration = Duration::from_secs(60);
/// How often to check the clock, in instructions of SQLite's virtual machine.
const STEPS: i32 = 10_000;

#[derive(Debug, Clone, Copy, Default)]
pub struct OpenOptions {
    pub durability: Durability,
}

/// The right to write, from [`VectorDb::raise_epoch`]. Every write checks that this is still the newest epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Epoch(pub(super) i64);

impl Epoch {
    #[cfg(any(test, feature = "internals"))]
    pub fn number(self) -> i64 {
        self.0
    }
}

/// A connection to one vector database. It can move between threads; each thread that searches opens its own.
#[derive(Debug)]
pub struct VectorDb {
    pub(super) db: Connection,
    path: PathBuf,
    embedder: String,
    dimension: usize,
    writable: bool,
    schema: i64,
    pub(super) hidden: Hidden,
    read_within: Duration,
}

impl VectorDb {
    /// Opens a database for reading.
    ///
    /// Returns [`Error::NotFound`] if it does not exist, or if a crash left an empty file behind.
    pub fn open(path: &Path, options: &OpenOptions) -> Result<VectorDb> {
        if fs::metadata(path).is_ok_and(|it| it.is_dir()) {
            return Err(Error::NotAVectorDatabase { path: path.to_path_buf() });
        }
        match fs::metadata(path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Err(Error::NotFound { path: path.to_path_buf() });
            }
            Err(source) => return Err(Error::Io { action: "open", path: path.to_path_buf(), source }),
            Ok(_) => (),
        }
        let db = connection::open(path, Access::Read, options.durability)?;
        match identity(&db, path)? {
            Identity::Ours(schema) => VectorDb::opened(db, path, false, schema),
            Identity::Blank => Err(Error::NotFound { path: path.to_path_buf() }),
        }
    }

    /// Opens a database for writing, creating it if it does not exist. The caller holds the file lock.
    ///
    /// `chunk_params` (a JSON object) is recorded in a new database; [`VectorDb::record_chunk_params`] changes it
    /// later. Returns [`Error::Embedder`] if the database was created with another embedder or dimension.
    pub fn create_or_open_for_writing(
        path: &Path,
        options: &OpenOptions,
        embedder: &str,
        dimension: usize,
        chunk_params: &serde_json::Value,
    ) -> Result<VectorDb> {
        refuse_other_owners(path)?;
        if let Some(folder) = path.parent() {
            private::create_dir_all(folder).map_err(|source| Error::Io {
                action: "make the directory of",
                path: path.to_path_buf(),
                source,
            })?;
        }
        refuse_foreign(path)?;
        let mut db = connection::open(path, Access::Write, options.durability)?;
        create(&mut db, path, embedder, dimension, chunk_params)?;
        let opened = VectorDb::opened(db, path, true, SCHEMA_VERSION)?;
        if opened.embedder != embedder || opened.dimension != dimension {
            return Err(Error::Embedder {
                path: path.to_path_buf(),
                recorded: opened.embedder,
                recorded_dimension: opened.dimension,
                requested: embedder.to_string(),
                requested_dimension: Some(dimension),
            });
        }
        Ok(opened)
    }

    /// Opens an existing database for writing, with any embedder: to remove documents or to vacuum. The caller holds
    /// the file lock. Returns [`Error::NotFound`] if the database does not exist.
    pub fn open_for_writing(path: &Path, options: &OpenOptions) -> Result<VectorDb> {
        let (embedder, dimension) = {
            let reader = VectorDb::open(path, options)?;
            (reader.embedder, reader.dimension)
        };
        VectorDb::create_or_open_for_writing(path, options, &embedder, dimension, &serde_json::json!({}))
    }

    fn opened(db: Connection, path: &Path, writable: bool, schema: i64) -> Result<VectorDb> {
        let recorded = || {
            db.query_row("SELECT embedder, dimension FROM meta", [], |row| {
                Ok((row.get(0)?, row.get::<_, i64>(1)? as usize))
            })
        };
        let (embedder, dimension) =
            bounded(&db, READ_WITHIN, recorded).map_err(|source| Error::sql("open", path, source))?;
        let hidden = Hidden::default();
        Ok(VectorDb {
            db,
            path: path.to_path_buf(),
            embedder,
            dimension,
            writable,
            schema,
            hidden,
            read_within: READ_WITHIN,
        })
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The version of its schema. Versions older than this program's have no table `version`.
    pub(super) fn schema(&self) -> i64 {
        self.schema
    }

    /// The recorded embedder, such as `static:v1`.
    pub fn embedder(&self) -> &str {
        &self.embedder
    }

    pub fn dimension(&self) -> usize {
        self.dimension
    }

    /// Takes over as the only writer: from now on, every older epoch is refused. Call it under the file lock.
    pub fn raise_epoch(&mut self) -> Result<Epoch> {
        if !self.writable {
            return Err(Error::ReadOnly { path: self.path.clone() });
        }
        let raised = self
            .db
            .query_row("UPDATE meta SET epoch = epoch + 1 RETURNING epoch", [], |row| row.get(0))
            .map_err(|source| self.failed("take over", source))?;
        Ok(Epoch(raised))
    }

    /// Whether this is still the newest epoch.
    pub fn is_current(&self, epoch: Epoch) -> Result<bool> {
        let found = self.db.query_row("SELECT epoch FROM meta", [], |row| row.get::<_, i64>(0));
        Ok(found.map_err(|source| self.failed("read the state of", source))? == epoch.0)
    }

    /// The parameters with which chunks were last cut.
    pub fn chunk_params(&self) -> Result<serde_json::Value> {
        let found = self.db.query_row("SELECT chunk_params FROM meta", [], |row| row.get::<_, String>(0));
        let text = found.map_err(|source| self.failed("read the state of", source))?;
        Ok(serde_json::from_str(&text).unwrap_or_default())
    }

    /// The server of the model that embedded the chunks, as recorded by their writer. `None` if the embedder is built
    /// in.
    pub fn server(&self) -> Result<Option<serde_json::Value>> {
        let found = self.db.query_row("SELECT server FROM meta", [], |row| row.get::<_, Option<String>>(0));
        let text = found.map_err(|source| self.failed("read the state of", source))?;
        Ok(text.and_then(|it| serde_json::from_str(&it).ok()))
    }

    /// Records where the model is served, so that a search finds the server. Contains no secret.
    pub fn record_server(&mut self, epoch: Epoch, server: &serde_json::Value) -> Result<()> {
        self.write(epoch, "record the embedding server in", |tx| {
            tx.execute("UPDATE meta SET server = ?1", [server.to_string()]).map(drop)
        })
    }

    /// Records the parameters with which chunks are cut from now on.
    pub fn record_chunk_params(&mut self, epoch: Epoch, chunk_params: &serde_json::Value) -> Result<()> {
        self.write(epoch, "record the chunk parameters in", |tx| {
            tx.execute("UPDATE meta SET chunk_params = ?1", [chunk_params.to_string()]).map(drop)
        })
    }

    /// Runs one write transaction under `epoch`. It takes effect as a whole or not at all.
    pub(super) fn write<T>(
        &mut self,
        epoch: Epoch,
        action: &'static str,
        change: impl FnOnce(&Transaction<'_>) -> rusqlite::Result<T>,
    ) -> Result<T> {
        let path = self.path.clone();
        let failed = |source| Error::sql(action, &path, source);
        let tx = self.db.transaction_with_behavior(TransactionBehavior::Immediate).map_err(failed)?;
        let current: i64 = tx.query_row("SELECT epoch FROM meta", [], |row| row.get(0)).map_err(failed)?;
        if current != epoch.0 {
            return Err(Error::Fenced { path: path.clone(), held: epoch.0, current });
        }
        let changed = change(&tx).map_err(failed)?;
        tx.commit().map_err(failed)?;
        Ok(changed)
    }

    /// Opens a read snapshot: until it is dropped, this connection keeps reading the same committed state.
    pub fn snapshot(&self) -> Result<Snapshot<'_>> {
        let tx = self.db.unchecked_transaction().map_err(|source| self.failed("read", source))?;
        Ok(Snapshot { _tx: tx })
    }

    /// Limits the duration of reads, so that no file can make a search hang. A longer read returns [`Error::TooLong`].
    #[must_use]
    pub fn read_within(mut self, time: Duration) -> VectorDb {
        self.read_within = time;
        self
    }

    /// Reads within the open snapshot or else a new one, with a time limit.
    pub(super) fn read<T>(
        &self,
        action: &'static str,
        ask: impl FnOnce(&Connection) -> rusqlite::Result<T>,
    ) -> Result<T> {
        let _own = if self.db.is_autocommit() { Some(self.snapshot()?) } else { None };
        bounded(&self.db, self.read_within, || ask(&self.db)).map_err(|source| self.failed(action, source))
    }

    /// Like `read`, without the time limit, for operations that read the whole file.
    pub(super) fn read_at_leisure<T>(
        &self,
        action: &'static str,
        ask: impl FnOnce(&Connection) -> rusqlite::Result<T>,
    ) -> Result<T> {
        let _own = if self.db.is_autocommit() { Some(self.snapshot()?) } else { None };
        ask(&self.db).map_err(|source| self.failed(action, source))
    }

    pub(super) fn failed(&self, action: &'static str, source: rusqlite::Error) -> Error {
        Error::sql(action, &self.path, source)
    }
}

/// Runs `ask`. SQLite interrupts its statement after `time`.
fn bounded<T>(db: &Connection, time: Duration, ask: impl FnOnce() -> rusqlite::Result<T>) -> rusqlite::Result<T> {
    let deadline = Instant::now() + time;
    db.progress_handler(STEPS, Some(move || Instant::now() >= deadline))?;
    let answer = ask();
    db.progress_handler(0, None::<fn() -> bool>)?;
    answer
}

/// See [`VectorDb::snapshot`]. A vacuum can't free space while a snapshot is open, so keep it short.
#[derive(Debug)]
pub struct Snapshot<'a> {
    _tx: Transaction<'a>,
}

enum Identity {
    /// A schema version that this program knows.
    Ours(i64),
    Blank,
}

fn identity(db: &Connection, path: &Path) -> Result<Identity> {
    // One statement, so that a file that is being created is seen either before or after its creation.
    let sql =
        "SELECT (SELECT application_id FROM pragma_application_id), (SELECT user_version FROM pragma_user_version),
                        (SELECT count(*) FROM sqlite_schema)";
    let row = |row: &rusqlite::Row<'_>| Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?, row.get::<_, i64>(2)?));
    let (application, version, tables) = db.query_row(sql, [], row).map_err(|it| Error::sql("open", path, it))?;
    if (application, version, tables) == (0, 0, 0) {
        return Ok(Identity::Blank);
    }
    match (application, version) {
        (APPLICATION_ID, found @ OLDEST_SCHEMA..=SCHEMA_VERSION) => {
            connection::check_schema(db, path, found).map(|()| Identity::Ours(found))
        }
        (APPLICATION_ID, found) => Err(Error::SchemaVersion { path: path.to_path_buf(), found, known: SCHEMA_VERSION }),
        _ => Err(Error::NotAVectorDatabase { path: path.to_path_buf() }),
    }
}

/// Refuses to write a database that another user owns or can write, or, as root, a database in another user's
/// directory. Reading is allowed.
pub fn refuse_other_owners(path: &Path) -> Result<()> {
    match ownership::check_through_link(path)? {
        None => ownership::check_place(path)?,
        Some(found) => ownership::judge_file(path, &found)?,
    }
    for ending in ["-wal", "-shm", "-journal"] {
        ownership::check_file(&PathBuf::from(format!("{}{ending}", path.display())))?;
    }
    Ok(())
}

/// Another user's database must not even be switched to WAL.
fn refuse_foreign(path: &Path) -> Result<()> {
    match fs::metadata(path) {
        Ok(found) if found.len() > 0 => {
            let db = connection::open(path, Access::Read, Durability::Full)?;
            identity(&db, path).map(drop)
        }
        _ => Ok(()),
    }
}

/// Each upgrades one schema version, from 1 on, to the next. People who upgrade by hand use the same files.
const UPGRADES: &[&str] = &[
    include_str!("../../scripts/upgrade/vector/001-to-002.sql"),
    include_str!("../../scripts/upgrade/vector/002-to-003.sql"),
];

/// Creates the schema in one transaction if it is missing. Upgrades an older schema.
fn create(
    db: &mut Connection,
    path: &Path,
    embedder: &str,
    dimension: usize,
    chunk_params: &serde_json::Value,
) -> Result<()> {
    let failed = |source| Error::sql("create", path, source);
    let tx = db.transaction_with_behavior(TransactionBehavior::Immediate).map_err(failed)?;
    if let Identity::Ours(found) = identity(&tx, path)? {
        if found < SCHEMA_VERSION {
            for upgrade in &UPGRADES[(found - OLDEST_SCHEMA) as usize..] {
                let lines = upgrade.lines().filter(|it| !matches!(it.trim(), "BEGIN IMMEDIATE;" | "COMMIT;"));
                tx.execute_batch(&lines.collect::<Vec<_>>().join("\n")).map_err(failed)?;
            }
            tx.commit().map_err(failed)?;
        }
        return Ok(());
    }
    tx.execute_batch(connection::SCHEMA).map_err(failed)?;
    let meta = "INSERT INTO meta (id, embedder, dimension, chunk_params, epoch) VALUES (1, ?1, ?2, ?3, 0)";
    tx.execute(meta, (embedder, dimension as i64, chunk_params.to_string())).map_err(failed)?;
    tx.pragma_update(None, "application_id", APPLICATION_ID).map_err(failed)?;
    tx.pragma_update(None, "user_version", SCHEMA_VERSION).map_err(failed)?;
    tx.commit().map_err(failed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_read_without_end_is_given_up_and_others_go_on() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("it.db");
        let nothing = serde_json::json!({});
        let db = VectorDb::create_or_open_for_writing(&path, &OpenOptions::default(), "hash:v1", 4, &nothing).unwrap();
        let db = db.read_within(Duration::from_millis(200));
        let endless = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n";
        let begun = Instant::now();
        let refused = db.read("search", |tx| tx.query_row(endless, [], |row| row.get::<_, i64>(0))).unwrap_err();
        assert!(begun.elapsed() < Duration::from_secs(30), "{:?}", begun.elapsed());
        assert!(matches!(refused, Error::TooLong { .. }) && refused.hint().is_some(), "{refused:?}");
        assert!(db.knn(&[1.0, 0.0, 0.0, 0.0], 10, None).unwrap().is_empty(), "other reads go on");
    }

    #[test]
    fn a_view_in_the_place_of_a_table_does_not_hang_a_search() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("it.db");
        let nothing = serde_json::json!({});
        drop(VectorDb::create_or_open_for_writing(&path, &OpenOptions::default(), "hash:v1", 4, &nothing).unwrap());
        let view = "ALTER TABLE vector RENAME TO kept; CREATE VIEW vector AS WITH RECURSIVE n(i) AS \
                    (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT i AS chunk, zeroblob(16) AS value FROM n";
        Connection::open(&path).unwrap().execute_batch(view).unwrap();
        let opened = VectorDb::open(&path, &OpenOptions::default());
        let answer =
            opened.and_then(|it| it.read_within(Duration::from_millis(200)).knn(&[1.0, 0.0, 0.0, 0.0], 1, None));
        assert!(answer.is_err());
    }
}
