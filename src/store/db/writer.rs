//! The only thread of the process that writes. Requests that wait at the same time share one transaction and one fsync.
//! Each caller gets its answer only after the COMMIT.

use crate::store::{
    batch::{self, Done, refused},
    counter, daemon,
    error::{Error, Result},
    jobs::{Commit, Job, PulseState, Shared, Waiting, Work, WriteFailure},
    memory::Memory,
    migration, open,
    open::Options,
    presence::Presence,
    reply::{self, Answer, lock},
    request::Request,
    tx::{ReadTx, Times, WriteTx},
};
use crate::{
    failpoint::{
        Failpoint, is_active,
        probe::{self, Window},
    },
    model::Event,
    os::{Turnstile, Unpoisoned, clock::Clock},
};
use rusqlite::Connection;
use std::{
    cell::{Cell, RefCell},
    path::Path,
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant},
};

const IDLE_BEFORE_CHECKPOINT: Duration = Duration::from_secs(1);

/// How often a writer that could not write checks whether it can again.
const SICK_BEFORE_LOOK: Duration = Duration::from_secs(1);

/// A log with this many pages gets a checkpoint after the commit.
const LONG_LOG: i32 = 1000;

thread_local! {
    /// The pages in the log after the last commit of this thread.
    static PAGES: Cell<i32> = const { Cell::new(0) };
}

pub(in crate::store) struct Writer {
    /// None until the first write, unless the database had to be created.
    conn: Option<Connection>,
    turnstile: Turnstile,
    options: Options,
    clock: Arc<dyn Clock>,
    shared: Arc<Shared>,
    memory: RefCell<Memory>,
    /// None: the cache must be reloaded.
    data_version: Option<i64>,
    poisoned: bool,
    /// Something was committed since the last checkpoint.
    dirty: bool,
    /// The daemon epoch last seen as the current one.
    epoch: i64,
}

impl Writer {
    pub(in crate::store) fn new(
        conn: Option<Connection>,
        turnstile: Turnstile,
        options: Options,
        clock: Arc<dyn Clock>,
        shared: Arc<Shared>,
    ) -> Writer {
        Writer {
            conn: conn.map(counting_pages),
            turnstile,
            options,
            clock,
            shared,
            memory: RefCell::default(),
            data_version: None,
            poisoned: false,
            dirty: false,
            epoch: 0,
        }
    }

    pub(in crate::store) fn run(mut self) {
        loop {
            let first = match self.next() {
                Next::Job(first) => first,
                Next::Idle if self.is_sick() => {
                    self.look_again();
                    continue;
                }
                Next::Idle => {
                    self.checkpoint();
                    continue;
                }
                Next::Close => break,
            };
            self.batch(first);
        }
        self.checkpoint();
    }

    /// Whether the last transaction failed with an error that may be temporary.
    fn is_sick(&self) -> bool {
        let failure = lock(&self.shared.pulse).failure;
        matches!(failure, Some(WriteFailure::Busy | WriteFailure::Broken)) && !self.poisoned
    }

    /// Tries a write that changes nothing, without waiting for a turn, so that observers learn when the writer has
    /// recovered.
    fn look_again(&mut self) {
        let work: Work = Box::new(|tx| tx.execute(counter::TOUCH, []).map(|_| Box::new(()) as Answer));
        let (answer, _) = reply::pair();
        let patience = std::mem::take(&mut self.options.patience);
        self.batch(Waiting { job: Job::Work(Some(work)), answer });
        self.options.patience = patience;
    }

    fn next(&mut self) -> Next {
        let wait = if self.is_sick() { SICK_BEFORE_LOOK } else { IDLE_BEFORE_CHECKPOINT };
        let must_look = self.dirty || self.is_sick();
        let mut queue = lock(&self.shared.queue);
        loop {
            if let Some(first) = queue.waiting.pop_front() {
                return Next::Job(first);
            }
            if queue.closing {
                return Next::Close;
            }
            if !must_look {
                queue = self.shared.filled.wait(queue).unpoisoned();
                continue;
            }
            let waited = self.shared.filled.wait_timeout(queue, wait);
            let (again, timeout) = waited.unpoisoned();
            queue = again;
            if timeout.timed_out() && queue.waiting.is_empty() {
                return Next::Idle;
            }
        }
    }

    /// One transaction for all waiting requests.
    fn batch(&mut self, first: Waiting) {
        let begun = Instant::now();
        let mut done = Vec::new();
        let committed = self.transaction(Some(first), &mut done);
        let news = self.take_news();
        match committed {
            Ok(()) => {
                let count = done.len();
                reply::send_all(done.into_iter().map(|it| (it.answer, it.outcome)));
                self.announce(&news, begun, count);
            }
            Err(error) => self.rescue(error, done),
        }
    }

    fn announce(&self, news: &News, begun: Instant, requests: usize) {
        let commit = Commit {
            events: &news.events,
            woke: news.woke,
            lost_leases: news.lost_leases,
            lost_races: news.lost_races,
            took: begun.elapsed(),
            requests,
        };
        for listener in lock(&self.shared.listeners).iter() {
            listener.committed(&commit);
        }
    }

    /// After a rollback: runs the requests again one by one, unless the database itself failed.
    fn rescue(&mut self, error: Error, done: Vec<Done>) {
        let hopeless = error.ends_transaction()
            || matches!(error, Error::Busy { .. } | Error::Newer { .. } | Error::Replaced { .. } | Error::Fenced);
        let alone = done.len() == 1;
        for it in done {
            let outcome = match it.again {
                Some(request) if !hopeless && !alone => self.single(request),
                _ if hopeless || alone => Err(error.duplicate()),
                // A closure can't run twice. The failed one gets the reason; the others may be retried by their
                // callers.
                _ => Err(it.outcome.err().unwrap_or(Error::Aborted)),
            };
            it.answer.send(outcome);
        }
    }

    fn single(&mut self, request: Request) -> Result<Answer> {
        // This reply has no receiver: the outcome is taken from the batch.
        let (answer, _) = reply::pair();
        let mut done = Vec::new();
        let begun = Instant::now();
        let committed = self.transaction(Some(Waiting { job: Job::Request(request), answer }), &mut done);
        let news = self.take_news();
        committed?;
        self.announce(&news, begun, 1);
        done.into_iter().next().map_or(Err(Error::Aborted), |it| it.outcome)
    }

    fn take_news(&mut self) -> News {
        let mut memory = self.memory.borrow_mut();
        News {
            events: std::mem::take(&mut memory.events),
            woke: std::mem::take(&mut memory.woke),
            lost_leases: std::mem::take(&mut memory.lost_leases),
            lost_races: std::mem::take(&mut memory.lost_races),
        }
    }

    /// Runs jobs until none is waiting, then commits. On an error, everything is rolled back and the cache cleared.
    fn transaction(&mut self, first: Option<Waiting>, done: &mut Vec<Done>) -> Result<()> {
        lock(&self.shared.pulse).since = Some(Instant::now());
        let result = self.try_transaction(first, done).map_err(|error| open::at(error, &self.options.path));
        *lock(&self.shared.pulse) = PulseState { since: None, failure: result.as_ref().err().and_then(failure_of) };
        if let Err(error) = &result {
            if let Some(conn) = self.conn.as_ref().filter(|it| !it.is_autocommit()) {
                let _ = conn.execute_batch("ROLLBACK");
            }
            *self.memory.borrow_mut() = Memory::default();
            self.data_version = None;
            self.poisoned |= matches!(error, Error::Poisoned);
        }
        result
    }

    fn try_transaction(&mut self, mut first: Option<Waiting>, done: &mut Vec<Done>) -> Result<()> {
        let deadline = Instant::now() + self.options.patience;
        // The first job gets any error from here on.
        let entered = if self.poisoned { Err(Error::Poisoned) } else { self.connect() };
        let entered = entered.and_then(|()| {
            if is_active(Failpoint::DeferredBegin) {
                return Ok(None);
            }
            let turn = self.turnstile.enter(deadline);
            let path = self.options.path.clone();
            turn.map_err(|source| Error::File { action: "lock the turnstile of", path, source })?
                .ok_or_else(|| open::busy(&self.options))
                .map(Some)
        });
        let (conn, turn) = match (self.conn.as_ref(), entered) {
            (Some(conn), Ok(turn)) => (conn, turn),
            (_, entered) => {
                done.extend(first.take().map(refused));
                return Err(entered.err().unwrap_or(Error::Closed));
            }
        };
        let mut begin = || -> Result<()> {
            // Writes to an unlinked file are lost, even if they are synced.
            lock(&self.shared.file).check()?;
            begin_immediate(conn, deadline).map_err(|error| match error {
                Error::Busy { .. } => open::busy(&self.options),
                other => other,
            })?;
            let epoch = self.shared.epoch.load(Ordering::Acquire);
            if epoch != self.epoch {
                // A new daemon reloads it, even if no process has written since.
                self.data_version = None;
            }
            refresh(conn, &self.options.path, &self.memory, &mut self.data_version, epoch)?;
            self.epoch = epoch;
            Ok(())
        };
        if let Err(error) = begin() {
            done.extend(first.take().map(refused));
            return Err(error);
        }
        let fair_after = self.options.fair_after;
        let times = Times { wall: self.clock.wall(), monotonic: self.clock.monotonic(), fair_after };
        let tx = WriteTx::new(conn, &self.memory, times);
        batch::work(&tx, &self.shared, first, done)?;
        batch::finish(&tx)?;
        if is_active(Failpoint::EarlyAnswer) {
            reply::send_all(done.drain(..).map(|it| (it.answer, it.outcome)));
            std::thread::sleep(Duration::from_millis(3));
        }
        let committing = probe::inside(Window::Commit);
        conn.prepare_cached("COMMIT")?.execute([])?;
        drop((committing, self.memory.borrow_mut().group_end.take()));
        let pages = PAGES.take();
        if pages >= LONG_LOG {
            self.poisoned |= fsync_failed(conn, "PRAGMA wal_checkpoint(PASSIVE)");
        }
        drop(turn);
        // A claim that found nothing has written nothing. A checkpoint after it would look like a commit to watchers,
        // which would then claim again: an idle engine would never come to rest.
        self.dirty |= pages > 0;
        Ok(())
    }

    /// Opens the database for writing, unless it already is. It must still be the file that is being read.
    fn connect(&mut self) -> Result<()> {
        if self.conn.is_some() {
            return Ok(());
        }
        let before = lock(&self.shared.file).clone();
        before.check()?;
        let conn = open::writer(&self.options, &self.turnstile, self.clock.wall())?;
        before.check()?;
        *lock(&self.shared.file) = Presence::of(&self.options.path);
        self.conn = Some(counting_pages(conn));
        Ok(())
    }

    /// Checkpoints the log when there is nothing else to do.
    fn checkpoint(&mut self) {
        self.dirty = false;
        let Some(conn) = self.conn.as_ref().filter(|_| !self.poisoned) else { return };
        if let Ok(Some(_turn)) = self.turnstile.enter(Instant::now() + Duration::from_millis(100)) {
            self.poisoned |= fsync_failed(conn, "PRAGMA wal_checkpoint(TRUNCATE)");
        }
    }
}

/// Records after each commit how many pages are in the log.
fn counting_pages(conn: Connection) -> Connection {
    conn.wal_hook(Some(|_, pages| {
        PAGES.set(pages);
        Ok(())
    }));
    conn
}

/// Runs a checkpoint. Most failures, such as a reader in the way or a full disk, are harmless: the log keeps
/// everything, and the next checkpoint tries again. A failed fsync is not: the kernel may have dropped the pages and
/// report success the next time.
fn fsync_failed(conn: &Connection, checkpoint: &str) -> bool {
    let done = conn.prepare_cached(checkpoint).and_then(|mut it| it.query_row([], |_| Ok(())));
    matches!(done.map_err(Error::from), Err(Error::Poisoned))
}

/// The effects of a transaction, for the listeners.
struct News {
    events: Vec<Event>,
    woke: bool,
    lost_leases: u64,
    lost_races: u64,
}

fn failure_of(error: &Error) -> Option<WriteFailure> {
    match error {
        Error::DiskFull { .. } => Some(WriteFailure::DiskFull),
        Error::File { .. } => Some(WriteFailure::Broken),
        Error::Busy { .. } => Some(WriteFailure::Busy),
        Error::Io { .. } | Error::Corrupt { .. } | Error::Poisoned | Error::Replaced { .. } | Error::Fenced => {
            Some(WriteFailure::Broken)
        }
        _ => None,
    }
}

enum Next {
    Job(Waiting),
    Idle,
    Close,
}

fn begin_immediate(conn: &Connection, deadline: Instant) -> Result<()> {
    let begin = if is_active(Failpoint::DeferredBegin) { "BEGIN DEFERRED" } else { "BEGIN IMMEDIATE" };
    loop {
        match conn.prepare_cached(begin)?.execute([]).map_err(Error::from) {
            // Only a program that does not use the turnstile can block this.
            Err(Error::Busy { .. }) if Instant::now() < deadline => std::thread::sleep(Duration::from_millis(1)),
            Err(error) => return Err(error),
            Ok(_) => return Ok(()),
        }
    }
}

/// Reloads the cache if another process wrote since. Refuses a newer schema, and refuses to write for a daemon (`epoch`
/// > 0) that has been replaced.
fn refresh(conn: &Connection, path: &Path, memory: &RefCell<Memory>, seen: &mut Option<i64>, epoch: i64) -> Result<()> {
    let version: i64 = conn.prepare_cached("PRAGMA data_version")?.query_row([], |row| row.get(0))?;
    if *seen == Some(version) {
        return Ok(());
    }
    let schema = migration::user_version(conn)?;
    if schema != migration::VERSION {
        return Err(Error::Newer { path: path.to_path_buf(), found: schema, known: migration::VERSION });
    }
    if epoch > 0 && epoch != daemon::epoch(&ReadTx::new(conn))? {
        return Err(Error::Fenced);
    }
    // Definitions never change, so their shapes are kept.
    let shapes = std::mem::take(&mut memory.borrow_mut().shapes);
    *memory.borrow_mut() = Memory { shapes, ..Memory::load(&ReadTx::new(conn))? };
    *seen = Some(version);
    Ok(())
}
