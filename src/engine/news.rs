//! Announces what was committed, by this process or any other of this home, on the bus: in commit order, after the commit.
//!
//! One thread reads the event table where it left off. Nothing is told that is not on disk, and whoever writes never
//! waits for whoever listens.

use super::{
    Engine,
    bell::Bell,
    error::{Error, Result},
};
use crate::{
    observe::Bus,
    store::{Commit, CommitListener, Store, Watch, event},
};
use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};

/// How often the commits of other processes are looked for.
const LOOK: Duration = Duration::from_millis(100);
/// While nobody listens only the history is kept, at leisure.
const LEISURE: Duration = Duration::from_millis(500);
/// Between two reads: what is committed meanwhile is read together.
const PAUSE: Duration = Duration::from_millis(20);
/// Transactions of one read.
const BATCHES: usize = 64;
/// Transactions that a read may be behind; what is older is left out. Who needs every event reads the table.
const BEHIND: i64 = 1_024;

/// When anybody last committed to this home's database, as far as this process saw.
#[derive(Debug, Default)]
pub struct LastCommit(Mutex<Option<Instant>>);

impl LastCommit {
    /// `None`: nobody has since this process began to look.
    pub fn age(&self) -> Option<Duration> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).map(|it| it.elapsed())
    }

    fn set(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
    }
}

/// The running announcer. Dropping it stops it.
pub struct News {
    shared: Arc<Shared>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

struct Shared {
    store: Store,
    bus: Bus,
    /// Rung when events were committed.
    bell: Bell,
    /// Rung when it shall end.
    ending: Bell,
    stop: AtomicBool,
    last_commit: Arc<LastCommit>,
}

impl CommitListener for Shared {
    fn committed(&self, commit: &Commit<'_>) {
        if !commit.events.is_empty() {
            self.bell.ring();
        }
    }
}

impl News {
    /// Announces on `bus` what is committed from now on.
    pub fn start(engine: &Engine, bus: Bus) -> Result<News> {
        let store = engine.store.clone();
        let (cursor, watch) = (store.read(event::newest)?, store.watch()?);
        let shared = Arc::new(Shared {
            store: store.clone(),
            bus,
            bell: Bell::default(),
            ending: Bell::default(),
            stop: AtomicBool::new(false),
            last_commit: Arc::default(),
        });
        store.listen(shared.clone());
        let own = shared.clone();
        let name = "windlass-news";
        let thread = std::thread::Builder::new().name(name.into()).spawn(move || own.run(watch, cursor));
        let thread = thread.map_err(|source| Error::Io { action: "start thread", path: name.into(), source })?;
        Ok(News { shared, thread: Mutex::new(Some(thread)) })
    }

    pub fn last_commit(&self) -> Arc<LastCommit> {
        self.shared.last_commit.clone()
    }

    /// Announces what is committed by now, then ends. Idempotent.
    pub fn stop(&self) {
        self.shared.stop.store(true, Ordering::Release);
        self.shared.ending.ring_all();
        self.shared.bell.ring_all();
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread {
            let _ = thread.join();
        }
    }
}

impl Drop for News {
    fn drop(&mut self) {
        self.stop();
    }
}

impl Shared {
    fn run(&self, watch: Watch, mut cursor: event::Cursor) {
        let mut seen = watch.version().ok();
        loop {
            let stop = self.stop.load(Ordering::Acquire);
            let heard = self.bell.heard();
            let now = watch.version().ok();
            if now != seen {
                seen = now;
                self.last_commit.set();
                // A database that can't be read is for others to report.
                let _ = self.announce(&mut cursor);
            }
            if stop {
                return;
            }
            // Both are interrupted by the stop; `ending` is rung once.
            if self.bus.subscriber_count() == 0 {
                self.ending.wait_for(0, LEISURE);
            } else {
                self.bell.wait_for(heard, LOOK);
                self.ending.wait_for(0, PAUSE);
            }
        }
    }

    fn announce(&self, cursor: &mut event::Cursor) -> Result<()> {
        let newest = self.store.read(event::newest)?;
        if newest.seq - cursor.seq > BEHIND {
            *cursor = event::Cursor { seq: newest.seq - BEHIND, index: 0 };
        }
        while *cursor < newest {
            let from = *cursor;
            let found = self.store.read(|tx| event::after(tx, from, BATCHES))?;
            let Some((last, _)) = found.last() else { return Ok(()) };
            *cursor = *last;
            self.bus.publish(found.into_iter().map(|it| it.1));
        }
        Ok(())
    }
}
