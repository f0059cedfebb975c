//! Reading connections, opened when needed and kept for reuse.
//!
//! r2d2 manages them. On its own it panics if it can't start its thread, and a caller whose wait times out does not
//! learn the cause. So the thread is started here, one for all pools of the process, and the last failure to open a
//! connection is kept for the next waiter.

use crate::os::{Shortage, Unpoisoned, threads};
use crate::store::{
    error::{Error, Result},
    open,
};
use r2d2::{ManageConnection, Pool, PooledConnection};
use r2d2_sqlite::SqliteConnectionManager;
use rusqlite::{Connection, OpenFlags};
use scheduled_thread_pool::ScheduledThreadPool;
use std::{
    io,
    panic::catch_unwind,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard},
    thread,
    time::{Duration, Instant},
};

/// How long a caller waits while all connections are in use.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long a caller waits during a shortage: while others have connections that they will return, and while no one has
/// any.
const SHORT_PATIENCE: Duration = Duration::from_secs(20);
const LONELY_PATIENCE: Duration = Duration::from_secs(2);
/// The interval between tries to open a connection.
const LOOK: Duration = Duration::from_millis(100);
/// A connection that is unused for this long is closed.
const KEPT_FOR: Duration = Duration::from_secs(600);

/// The connections of one process. They see the last committed state and never wait for the writer.
#[derive(Clone)]
pub(in crate::store) struct Readers {
    pool: Pool<Shared>,
    manager: Shared,
}

/// A connection of the pool, given back on drop.
pub(in crate::store) type Reader = PooledConnection<Shared>;

pub(in crate::store) struct Manager {
    sqlite: SqliteConnectionManager,
    path: Arc<Path>,
    /// Why the last connection could not be opened.
    failure: Mutex<Option<Error>>,
}

/// The manager, shared by the pool and by connections outside it.
#[derive(Clone)]
pub(in crate::store) struct Shared(Arc<Manager>);

impl ManageConnection for Shared {
    type Connection = Connection;
    type Error = Error;

    fn connect(&self) -> Result<Connection> {
        self.0.open().map_err(|error| {
            *lock(&self.0.failure) = Some(error);
            Error::Aborted
        })
    }

    fn is_valid(&self, _: &mut Connection) -> Result<()> {
        Ok(())
    }

    /// A connection whose transaction could not be ended would show old data to the next reader.
    fn has_broken(&self, conn: &mut Connection) -> bool {
        !conn.is_autocommit()
    }
}

impl Manager {
    fn open(&self) -> Result<Connection> {
        let opened = self.sqlite.connect().map_err(Error::from).and_then(|conn| {
            open::set_up_reader(&conn, &self.path)?;
            Ok(conn)
        });
        opened.map_err(|error| open::at(error, &self.path))
    }
}

impl Readers {
    /// At most `most` connections to the database `path`. None is opened yet.
    pub(in crate::store) fn new(path: PathBuf, most: usize) -> Result<Readers> {
        let path: Arc<Path> = path.into();
        let start =
            |source| Error::File { action: "start a thread for the readers of", path: path.to_path_buf(), source };
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let sqlite = SqliteConnectionManager::file(&path).with_flags(flags);
        let manager = Shared(Arc::new(Manager { sqlite, path: path.clone(), failure: Mutex::default() }));
        let pool = Pool::builder()
            .max_size(u32::try_from(most.max(1)).unwrap_or(u32::MAX))
            .min_idle(Some(0))
            .test_on_check_out(false)
            .idle_timeout(Some(KEPT_FOR))
            .connection_timeout(PATIENCE)
            .error_handler(Box::new(r2d2::NopErrorHandler))
            .thread_pool(opener().map_err(start)?)
            .build_unchecked(manager.clone());
        Ok(Readers { pool, manager })
    }

    /// Gets an idle connection, opens a new one, or waits for the next one to be returned.
    pub(in crate::store) fn get(&self) -> Result<Reader> {
        let begun = Instant::now();
        *lock(&self.manager.0.failure) = None;
        loop {
            if let Ok(reader) = self.pool.get_timeout(LOOK) {
                return Ok(reader);
            }
            let failure = lock(&self.manager.0.failure).take();
            let state = self.pool.state();
            let in_use = state.connections > state.idle_connections;
            let patience = if in_use { SHORT_PATIENCE } else { LONELY_PATIENCE };
            match failure {
                Some(error) if !passes(&error) || begun.elapsed() >= patience => return Err(error),
                None if begun.elapsed() >= PATIENCE => {
                    let most = self.pool.max_size();
                    let reason = format!("all {most} reading connections were in use for {} s", PATIENCE.as_secs());
                    return Err(Error::Sqlite { reason });
                }
                _ => {}
            }
        }
    }

    /// A connection that its owner keeps. It does not count towards the pool.
    pub(in crate::store) fn apart(&self) -> Result<Connection> {
        let begun = Instant::now();
        loop {
            match self.manager.0.open() {
                Err(error) if passes(&error) && begun.elapsed() < SHORT_PATIENCE => thread::sleep(LOOK),
                opened => return opened,
            }
        }
    }
}

/// A full disk is reported to the caller, who may know what to give up.
fn passes(error: &Error) -> bool {
    Shortage::behind(error).is_some_and(|it| it != Shortage::Disk)
}

/// The thread that opens connections for all pools of this process.
fn opener() -> io::Result<Arc<ScheduledThreadPool>> {
    static OPENER: Mutex<Option<Arc<ScheduledThreadPool>>> = Mutex::new(None);
    let mut opener = lock(&OPENER);
    if let Some(opener) = &*opener {
        return Ok(opener.clone());
    }
    // r2d2 panics if it can't start a thread. A thread that starts and ends shows that it can.
    let trial = threads::start("windlass-trial", || ())?;
    let _ = trial.join();
    let build = || ScheduledThreadPool::builder().num_threads(1).thread_name_pattern("windlass-opener").build();
    let made = catch_unwind(build).map_err(|_| io::Error::from_raw_os_error(libc::EAGAIN))?;
    Ok(opener.insert(Arc::new(made)).clone())
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unpoisoned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_callers_share_few_connections() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.db");
        Connection::open(&path).unwrap().execute_batch("CREATE TABLE t(x); INSERT INTO t VALUES (7)").unwrap();
        let readers = Readers::new(path, 2).unwrap();
        thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    for _ in 0..20 {
                        let reader = readers.get().unwrap();
                        let seven: i64 = reader.query_row("SELECT x FROM t", [], |row| row.get(0)).unwrap();
                        assert_eq!(seven, 7);
                    }
                });
            }
        });
        assert!((1..=2).contains(&readers.pool.state().connections));
    }

    #[test]
    fn what_will_not_pass_is_an_error_at_once() {
        let dir = tempfile::tempdir().unwrap();
        let begun = Instant::now();
        let error = Readers::new(dir.path().join("none.db"), 2).unwrap().get().err().unwrap();
        assert!(matches!(error, Error::Io { .. }) && begun.elapsed() < LONELY_PATIENCE, "{error:?}");
    }

    #[test]
    fn a_connection_with_an_open_transaction_is_not_given_to_the_next() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.db");
        Connection::open(&path).unwrap().execute_batch("CREATE TABLE t(x)").unwrap();
        let readers = Readers::new(path, 1).unwrap();
        readers.get().unwrap().execute_batch("BEGIN; SELECT x FROM t").unwrap();
        assert!(readers.get().unwrap().is_autocommit());
    }
}
