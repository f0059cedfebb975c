//! The handle that everyone else holds: asks the writer thread, reads through the pool.

use super::{
    error::{Error, Result},
    open,
    open::Options,
    request::{Claim, Claimed, Request, Settle, Settled},
    tx::{ReadTx, WriteTx},
    writer::Writer,
};
use crate::{
    model::{Event, Timestamp},
    os::{clock::Clock, file_lock::Turnstile},
};
use r2d2_sqlite::SqliteConnectionManager;
use std::{
    any::Any,
    collections::VecDeque,
    fs, io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, mpsc},
    thread::JoinHandle,
    time::Duration,
};

/// Told after each commit, by the writer thread: must not block.
pub trait CommitListener: Send + Sync {
    /// `woke`: something became claimable or due earlier. `lost`: settlements that had lost their lease.
    fn committed(&self, events: &[Event], woke: bool, lost: u64, took: Duration, batch: usize);
}

pub(super) type Answer = Box<dyn Any + Send>;
pub(super) type Work = Box<dyn FnOnce(&WriteTx) -> Result<Answer> + Send>;

pub(super) enum Job {
    Request(Request),
    Work(Option<Work>),
}

pub(super) struct Waiting {
    pub job: Job,
    pub answer: mpsc::SyncSender<Result<Answer>>,
}

#[derive(Default)]
pub(super) struct Queue {
    pub waiting: VecDeque<Waiting>,
    pub closing: bool,
}

pub(super) struct Shared {
    pub queue: Mutex<Queue>,
    pub filled: Condvar,
    pub listeners: Mutex<Vec<Arc<dyn CommitListener>>>,
    pub file: OpenedFile,
}

/// The engine database of one home: cheap to clone, one writer thread for all clones.
#[derive(Clone)]
pub struct Store {
    shared: Arc<Shared>,
    readers: r2d2::Pool<SqliteConnectionManager>,
    path: Arc<Path>,
    clock: Arc<dyn Clock>,
    thread: Arc<Mutex<Option<JoinHandle<()>>>>,
}

impl Store {
    /// Opens the database, creating it when it is not there; safe from many threads and processes at once.
    pub fn open(options: &Options, clock: Arc<dyn Clock>) -> Result<Store> {
        let path: Arc<Path> = options.path.as_path().into();
        let turnstile = open_turnstile(&options.path)?;
        let conn = open::writer(options, &turnstile, clock.wall())?;
        let shared = Arc::new(Shared {
            queue: Mutex::default(),
            filled: Condvar::new(),
            listeners: Mutex::default(),
            file: OpenedFile::of(&options.path)?,
        });
        let writer = Writer::new(conn, turnstile, options.clone(), clock.clone(), shared.clone());
        let readers = open::readers(options)?;
        let thread = std::thread::Builder::new()
            .name("windlass-writer".into())
            .spawn(move || writer.run())
            .map_err(|source| Error::File { action: "start the writer of", path: options.path.clone(), source })?;
        Ok(Store { shared, readers, path, clock, thread: Arc::new(Mutex::new(Some(thread))) })
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

    /// Composes verbs in one transaction, under a SAVEPOINT of its own. Blocks until it is committed.
    ///
    /// An error undoes what the closure wrote. A closure must not write more than 1,000 rows, wait, or do I/O of its own.
    pub fn write<T: Send + 'static>(&self, work: impl FnOnce(&WriteTx) -> Result<T> + Send + 'static) -> Result<T> {
        let work: Work = Box::new(move |tx| work(tx).map(|value| Box::new(value) as Answer));
        self.ask(Job::Work(Some(work)))
    }

    /// Claims steps; an empty list when nothing is claimable.
    pub fn claim(&self, claim: Claim) -> Result<Vec<Claimed>> {
        self.ask(Job::Request(Request::Claim(claim)))
    }

    /// Settles a lease and claims the next step in one transaction.
    pub fn settle(&self, settle: Settle) -> Result<Settled> {
        self.ask(Job::Request(Request::Settle(Box::new(settle))))
    }

    /// Reads one consistent state.
    pub fn read<T>(&self, work: impl FnOnce(&ReadTx) -> Result<T>) -> Result<T> {
        let mut conn = self.readers.get().map_err(|error| Error::Sqlite { reason: error.to_string() })?;
        let tx = conn.transaction().map_err(|error| open::at(error.into(), &self.path))?;
        work(&ReadTx::new(&tx)).map_err(|error| open::at(error, &self.path))
    }

    /// Refuses when the path leads to another file than the one that is open, or to none. Opens nothing.
    pub fn check_file(&self) -> Result<()> {
        self.shared.file.check()
    }

    /// Copies the whole database of one moment into a new file, while others go on. False: `go_on` said no.
    pub fn copy_to(&self, to: &Path, go_on: &dyn Fn() -> bool) -> Result<bool> {
        let mut conn = self.readers.get().map_err(|error| Error::Sqlite { reason: error.to_string() })?;
        super::backup::copy(&mut conn, to, go_on).map_err(|error| open::at(error, to))
    }

    /// Changes whenever any process has committed to the database. Costs microseconds, writes nothing.
    pub fn watch(&self) -> Result<Watch> {
        let conn = self.readers.get().map_err(|error| Error::Sqlite { reason: error.to_string() })?;
        Ok(Watch { conn })
    }

    /// Ends the writer after what is queued, with a checkpoint. Idempotent; later calls are told `Closed`.
    pub fn close(&self) {
        lock(&self.shared.queue).closing = true;
        self.shared.filled.notify_all();
        let thread = lock(&self.thread).take();
        if let Some(thread) = thread {
            let _ = thread.join();
        }
    }

    /// The wall clock that the store's transactions use.
    pub fn now(&self) -> Timestamp {
        self.clock.wall()
    }

    fn ask<T: 'static>(&self, job: Job) -> Result<T> {
        let (answer, hear) = mpsc::sync_channel(1);
        {
            let mut queue = lock(&self.shared.queue);
            if queue.closing {
                return Err(Error::Closed);
            }
            queue.waiting.push_back(Waiting { job, answer });
        }
        self.shared.filled.notify_one();
        let answer = hear.recv().map_err(|_| Error::Closed)?.map_err(|error| open::at(error, &self.path))?;
        match answer.downcast::<T>() {
            Ok(value) => Ok(*value),
            Err(_) => Err(Error::Sqlite { reason: "the writer answered with another type".into() }),
        }
    }
}

/// The database file by what it is, not by its name.
#[derive(Debug)]
pub(super) struct OpenedFile {
    path: PathBuf,
    identity: (u64, u64),
}

impl OpenedFile {
    fn of(path: &Path) -> Result<OpenedFile> {
        let identity =
            identity(path).map_err(|source| Error::File { action: "look at", path: path.to_path_buf(), source })?;
        Ok(OpenedFile { path: path.to_path_buf(), identity })
    }

    pub(super) fn check(&self) -> Result<()> {
        match identity(&self.path) {
            Ok(found) if found == self.identity => Ok(()),
            _ => Err(Error::Replaced { path: self.path.clone() }),
        }
    }
}

fn identity(path: &Path) -> io::Result<(u64, u64)> {
    let found = fs::metadata(path)?;
    Ok((found.dev(), found.ino()))
}

/// A connection that only asks whether anything was committed.
pub struct Watch {
    conn: r2d2::PooledConnection<SqliteConnectionManager>,
}

impl Watch {
    pub fn version(&self) -> Result<i64> {
        Ok(self.conn.pragma_query_value(None, "data_version", |row| row.get(0))?)
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

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Store").field("path", &self.path).finish()
    }
}
