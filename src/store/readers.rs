//! Reading connections: opened when they are needed, by the thread that needs them, and kept for the next.
//!
//! Without a thread of its own a pool can't fail to start one, and an error of the system reaches whoever asked.

use super::{
    error::{Error, Result},
    open,
};
use crate::os::Shortage;
use rusqlite::Connection;
use std::{
    collections::VecDeque,
    ops::{Deref, DerefMut},
    path::PathBuf,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

/// How long a caller waits for a connection while all are in use.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long one waits for what the system is short of, while others have connections that they will give back; and
/// while nobody has.
const SHORT_PATIENCE: Duration = Duration::from_secs(20);
const LONELY_PATIENCE: Duration = Duration::from_secs(2);
/// Between two tries to open one.
const LOOK: Duration = Duration::from_millis(50);
/// A connection that nobody wanted for so long is closed.
const KEPT_FOR: Duration = Duration::from_secs(600);

/// The connections of one process. They see the last committed state and never wait for the writer.
#[derive(Clone)]
pub(super) struct Readers(Arc<Shared>);

struct Shared {
    path: PathBuf,
    most: usize,
    state: Mutex<State>,
    freed: Condvar,
}

#[derive(Default)]
struct State {
    /// The one that was used last at the end.
    idle: VecDeque<(Connection, Instant)>,
    /// All of them, those in use included.
    open: usize,
}

/// A connection of the pool, given back on drop.
pub(super) struct Reader {
    pool: Arc<Shared>,
    conn: Option<Connection>,
}

impl Readers {
    /// At most `most` connections to the database `path`. None is opened yet.
    pub(super) fn new(path: PathBuf, most: usize) -> Readers {
        Readers(Arc::new(Shared { path, most: most.max(1), state: Mutex::default(), freed: Condvar::new() }))
    }

    /// A connection: an idle one, a new one, or else the next that is given back.
    pub(super) fn get(&self) -> Result<Reader> {
        let pool = &self.0;
        let begun = Instant::now();
        loop {
            let mut state = pool.lock();
            if let Some((conn, _)) = state.idle.pop_back() {
                return Ok(self.lend(conn));
            }
            if state.open < pool.most {
                state.open += 1;
                drop(state);
                let error = match pool.open() {
                    Ok(conn) => return Ok(self.lend(conn)),
                    Err(error) => error,
                };
                state = pool.lock();
                state.open -= 1;
                let patience = if state.open > 0 { SHORT_PATIENCE } else { LONELY_PATIENCE };
                if !passes(&error) || begun.elapsed() >= patience {
                    return Err(error);
                }
            } else if begun.elapsed() >= PATIENCE {
                let reason = format!("all {} reading connections were in use for {} s", pool.most, PATIENCE.as_secs());
                return Err(Error::Sqlite { reason });
            }
            drop(pool.freed.wait_timeout(state, LOOK).unwrap_or_else(PoisonError::into_inner));
        }
    }

    /// A connection that its owner keeps: it takes no place from those that come and go.
    pub(super) fn apart(&self) -> Result<Connection> {
        let begun = Instant::now();
        loop {
            match self.0.open() {
                Err(error) if passes(&error) && begun.elapsed() < SHORT_PATIENCE => std::thread::sleep(LOOK),
                opened => return opened,
            }
        }
    }

    fn lend(&self, conn: Connection) -> Reader {
        Reader { pool: self.0.clone(), conn: Some(conn) }
    }
}

/// A full disk is left to the caller, who may know what to give up.
fn passes(error: &Error) -> bool {
    Shortage::behind(error).is_some_and(|it| it != Shortage::Disk)
}

impl Shared {
    fn open(&self) -> Result<Connection> {
        open::reader(&self.path).map_err(|error| open::at(error, &self.path))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Deref for Reader {
    type Target = Connection;

    fn deref(&self) -> &Connection {
        // Taken only by `drop`.
        self.conn.as_ref().unwrap_or_else(|| unreachable!("a reader holds its connection until it is dropped"))
    }
}

impl DerefMut for Reader {
    fn deref_mut(&mut self) -> &mut Connection {
        self.conn.as_mut().unwrap_or_else(|| unreachable!("a reader holds its connection until it is dropped"))
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        let Some(conn) = self.conn.take() else { return };
        let now = Instant::now();
        let mut state = self.pool.lock();
        // One whose transaction could not be ended would show the past to the next reader.
        let usable = conn.is_autocommit();
        let mut closed = Vec::new();
        match usable {
            true => state.idle.push_back((conn, now)),
            false => closed.push(conn),
        }
        while state.idle.front().is_some_and(|it| now.duration_since(it.1) >= KEPT_FOR) {
            closed.extend(state.idle.pop_front().map(|it| it.0));
        }
        state.open -= closed.len();
        drop(state);
        self.pool.freed.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::thread;

    #[test]
    fn many_callers_share_few_connections() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.db");
        Connection::open(&path).unwrap().execute_batch("CREATE TABLE t(x); INSERT INTO t VALUES (7)").unwrap();
        let readers = Readers::new(path, 2);
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
        let state = readers.0.lock();
        assert!((1..=2).contains(&state.open) && state.idle.len() == state.open);
    }

    #[test]
    fn what_will_not_pass_is_an_error_at_once() {
        let dir = tempfile::tempdir().unwrap();
        let begun = Instant::now();
        let error = Readers::new(dir.path().join("none.db"), 2).get().err().unwrap();
        assert!(matches!(error, Error::Io { .. }) && begun.elapsed() < LONELY_PATIENCE, "{error:?}");
    }
}
