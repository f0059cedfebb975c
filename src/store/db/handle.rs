//! The handle to the store: it sends requests to the writer thread and reads through the pool.

use crate::store::{
    daemon,
    error::{Error, Result},
    jobs::{CommitListener, Job, Shared, Waiting, Work, WriteFailure},
    open,
    open::Options,
    presence::Presence,
    readers::Readers,
    reply::{self, Answer, lock},
    request::{Claim, Claimed, Request, Settle, Settled},
    tx::{ReadTx, WriteTx},
    writer::Writer,
};
use crate::{
    model::Timestamp,
    os::{Turnstile, clock::Clock, threads::Threads},
};
use rusqlite::Connection;
use std::{
    path::{Path, PathBuf},
    sync::{
        Arc, Condvar, Mutex,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

/// The state of the writer.
#[derive(Debug, Clone, Default)]
pub struct Pulse {
    /// How long the current transaction has been running.
    pub busy: Option<Duration>,
    /// The number of waiting requests.
    pub waiting: usize,
    /// Why its last transaction failed, if the fault was the database's or the disk's.
    pub failure: Option<WriteFailure>,
}

/// The engine database of one home: cheap to clone, one writer thread for all clones.
#[derive(Clone)]
pub struct Store {
    shared: Arc<Shared>,
    readers: Readers,
    path: Arc<Path>,
    clock: Arc<dyn Clock>,
    threads: Arc<Threads>,
}

/// A write that waits longer than this is reported.
const LONG_WAIT: Duration = Duration::from_secs(2);

impl Store {
    /// Opens the database, creating it if it does not exist. Safe from many threads and processes at once.
    ///
    /// An existing database is opened for writing by its first write, which may have to wait for its turn. Reads need
    /// no turn.
    pub fn open(options: &Options, clock: Arc<dyn Clock>) -> Result<Store> {
        let path: Arc<Path> = options.path.as_path().into();
        let turnstile = open_turnstile(&options.path)?;
        let (conn, file) = match open::is_ready(options)? {
            true => (None, Presence::of_database(&options.path)),
            false => (Some(open::writer(options, &turnstile, clock.wall())?), Presence::of(&options.path)),
        };
        let shared = Arc::new(Shared {
            queue: Mutex::default(),
            filled: Condvar::new(),
            listeners: Mutex::default(),
            epoch: AtomicI64::new(0),
            pulse: Mutex::default(),
            file: Mutex::new(file),
        });
        let writer = Writer::new(conn, turnstile, options.clone(), clock.clone(), shared.clone());
        let readers = Readers::new(options.path.clone(), open::most_readers(options))?;
        let threads = Arc::<Threads>::default();
        threads.start("windlass-writer", move || writer.run()).map_err(|source| Error::File {
            action: "start the writer of",
            path: options.path.clone(),
            source,
        })?;
        Ok(Store { shared, readers, path, clock, threads })
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    pub fn clock(&self) -> &Arc<dyn Clock> {
        &self.clock
    }

    pub fn listen(&self, listener: Arc<dyn CommitListener>) {
        lock(&self.shared.listeners).push(listener);
    }

    /// Runs verbs in one transaction, in a SAVEPOINT of its own. Blocks until it is committed.
    ///
    /// An error undoes the writes of the closure. A closure must not write more than 1,000 rows, wait, or do its own
    /// I/O.
    pub fn write<T: Send + 'static>(&self, work: impl FnOnce(&WriteTx) -> Result<T> + Send + 'static) -> Result<T> {
        let work: Work = Box::new(move |tx| work(tx).map(|value| Box::new(value) as Answer));
        self.ask(Job::Work(Some(work)))
    }

    /// The state of the writer. Never waits for it.
    pub fn pulse(&self) -> Pulse {
        let waiting = lock(&self.shared.queue).waiting.len();
        let state = lock(&self.shared.pulse);
        Pulse { busy: state.since.map(|it| it.elapsed()), waiting, failure: state.failure }
    }

    /// Makes this process the current daemon by beginning a new epoch. Every write of an earlier daemon is refused.
    /// Returns the epoch.
    pub fn begin_epoch(&self) -> Result<i64> {
        let epoch = self.write(daemon::begin_epoch)?;
        self.shared.epoch.store(epoch, Ordering::Release);
        Ok(epoch)
    }

    /// Claims steps. The list is empty if nothing is claimable.
    pub fn claim(&self, claim: Claim) -> Result<Vec<Claimed>> {
        self.ask(Job::Request(Request::Claim(claim)))
    }

    /// Settles a lease and claims the next step in one transaction.
    pub fn settle(&self, settle: Settle) -> Result<Settled> {
        self.ask(Job::Request(Request::Settle(Box::new(settle))))
    }

    /// Reads one consistent state.
    pub fn read<T>(&self, work: impl FnOnce(&ReadTx) -> Result<T>) -> Result<T> {
        let mut conn = self.readers.get()?;
        let tx = conn.transaction().map_err(|error| open::at(error.into(), &self.path))?;
        work(&ReadTx::new(&tx)).map_err(|error| open::at(error, &self.path))
    }

    /// Fails if the path now leads to another file than the open one, or to none. Opens nothing.
    pub fn check_file(&self) -> Result<()> {
        let file = lock(&self.shared.file).clone();
        file.check()
    }

    /// Copies a snapshot of the whole database into a new file while others continue. False: `go_on` returned false.
    pub fn copy_to(&self, to: &Path, go_on: &dyn Fn() -> bool) -> Result<bool> {
        let mut conn = self.readers.get()?;
        crate::store::backup::copy(&mut conn, to, go_on).map_err(|error| open::at(error, to))
    }

    /// A watch that reports when any process has committed to the database. Costs microseconds and writes nothing.
    pub fn watch(&self) -> Result<Watch> {
        Ok(Watch { conn: self.readers.apart()? })
    }

    /// Ends the writer after the queued requests, with a checkpoint. Idempotent; later calls get `Closed`.
    pub fn close(&self) {
        lock(&self.shared.queue).closing = true;
        self.shared.filled.notify_all();
        self.threads.join();
    }

    /// The wall clock that the store's transactions use.
    pub fn now(&self) -> Timestamp {
        self.clock.wall()
    }

    fn ask<T: 'static>(&self, job: Job) -> Result<T> {
        let (answer, hearing) = reply::pair();
        {
            let mut queue = lock(&self.shared.queue);
            if queue.closing {
                return Err(Error::Closed);
            }
            queue.waiting.push_back(Waiting { job, answer });
        }
        self.shared.filled.notify_one();
        let answer = hearing.recv(LONG_WAIT, || {
            let listeners: Vec<_> = lock(&self.shared.listeners).clone();
            listeners.iter().for_each(|it| it.waiting());
        });
        let answer = answer.map_err(|error| open::at(error, &self.path))?;
        match answer.downcast::<T>() {
            Ok(value) => Ok(*value),
            Err(_) => Err(Error::Sqlite { reason: "the writer answered with another type".into() }),
        }
    }
}

/// A connection that only checks for commits.
pub struct Watch {
    conn: Connection,
}

impl Watch {
    pub fn version(&self) -> Result<i64> {
        // Asked ten times a second, even by an idle engine, so the statement is cached.
        Ok(self.conn.prepare_cached("PRAGMA data_version")?.query_row([], |row| row.get(0))?)
    }
}

fn open_turnstile(path: &Path) -> Result<Turnstile> {
    let home = path.parent().map(PathBuf::from).unwrap_or_default();
    let stem = path.file_stem().unwrap_or_default().to_string_lossy().to_string();
    Turnstile::open(&home, &stem).map_err(|source| Error::File {
        action: "open the turnstile of",
        path: path.to_path_buf(),
        source,
    })
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Store").field("path", &self.path).finish()
    }
}
