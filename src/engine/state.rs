//! The state shared by the threads of a worker.

use super::{
    error::Error,
    handle::Engine,
    heartbeat::Heartbeat,
    liveness_lock::{LivenessLock, heart_time},
    notify::Notify,
    pools::Pool,
    worker_pools::WorkerPools,
};
use crate::{
    model::{KillIntent, Lease, Scope, TypeId, WorkerId},
    observe::{Counter, Histogram},
    os::{CancelToken, Unpoisoned, Waker},
    store::{Commit, CommitListener, hook},
};
use std::{
    collections::{BTreeMap, HashMap},
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
        mpsc::Sender,
    },
    time::Duration,
};

/// The interval between tries to claim or settle during a shortage, such as a full disk.
pub(super) const ROOM_WAIT: Duration = Duration::from_millis(500);

/// The options of a worker.
#[derive(Debug, Clone)]
pub struct WorkerOptions {
    /// How many steps of each type may run at once. `"*"` covers all types without a pool of their own.
    pub pools: BTreeMap<String, usize>,
    pub scope: Scope,
}

/// The state shared by the threads of a worker.
pub(super) struct WorkerState {
    pub engine: Engine,
    pub scope: Scope,
    pub pools: Vec<Pool>,
    pub worker_pools: WorkerPools,
    /// Changes when a reaped worker wakes up and registers again.
    pub membership: Mutex<Membership>,
    /// The running attempts. Only `begin` adds one, and wakes the heartbeat.
    pub attempts: Mutex<HashMap<Lease, CancelToken>>,
    pub heartbeat: Heartbeat,
    /// No more claims; running steps may finish.
    pub draining: AtomicBool,
    /// The time for running steps to finish is over.
    pub interrupted: AtomicBool,
    /// Everything is settled, so the watcher may end.
    pub finished: AtomicBool,
    pub busy: AtomicUsize,
    /// Attempts that failed since the last success. Cancels and releases neither count nor reset it.
    pub failures_in_a_row: AtomicU64,
    pub disk_low: AtomicBool,
    pub fatal: Mutex<Option<String>>,
    /// Peak memory of ended attempts, which the watcher records. Empty unless the engine learns.
    pub peaks: Mutex<Vec<(TypeId, i64)>>,
    pub watcher_notify: Notify,
    /// Rung after every commit that the watcher sees.
    pub chore_notify: Notify,
    /// Rung when a schedule may be due.
    pub schedule_notify: Notify,
    /// Wakes the thread that watches directories; a worker of one group has none.
    pub watch_waker: Option<Waker>,
    /// Rung only when the worker ends.
    pub retention_notify: Notify,
}

/// The id under which the worker is registered, and its liveness lock.
pub(super) struct Membership {
    pub id: WorkerId,
    pub line: Option<Arc<LivenessLock>>,
}

impl WorkerState {
    pub(super) fn id(&self) -> WorkerId {
        self.membership().id
    }

    pub(super) fn membership(&self) -> MutexGuard<'_, Membership> {
        self.membership.lock().unpoisoned()
    }

    pub(super) fn attempts(&self) -> MutexGuard<'_, HashMap<Lease, CancelToken>> {
        self.attempts.lock().unpoisoned()
    }

    /// Whether consumers of a pool must stop claiming. Hooks that the last steps make due still run before the worker
    /// ends.
    pub(super) fn is_over(&self, pool: &Pool) -> bool {
        if !self.is_draining() || pool.hooks.is_none() || self.interrupted.load(Ordering::Acquire) {
            return self.is_draining();
        }
        let steps = self.pools.iter().filter(|it| it.hooks.is_none());
        let rests = steps.map(|it| it.busy.load(Ordering::Acquire)).sum::<usize>() == 0;
        rests && (self.disk_low.load(Ordering::Relaxed) || !self.hooks_wait(pool))
    }

    /// Whether claiming for a pool is worthwhile. The pool of hooks first reads, because most commits make no hook due.
    pub(super) fn hooks_wait(&self, pool: &Pool) -> bool {
        let Some(queue) = pool.hooks else { return true };
        let store = &self.engine.store;
        store.read(|tx| hook::may_wait(tx, queue, store.now())).unwrap_or(true)
    }

    pub(super) fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Acquire)
    }

    /// Whether the disks currently have space for a step to start.
    pub(super) fn has_room(&self) -> bool {
        let enough = !self.disk_low.load(Ordering::Relaxed) && self.engine.disk().enough;
        if !enough {
            // The watcher checks again, and wakes the waiting threads.
            self.disk_low.store(true, Ordering::Relaxed);
        }
        enough
    }

    /// Registers an attempt that begins. If the worker's time is over, the attempt ends immediately.
    pub(super) fn begin(&self, lease: Lease, cancel: CancelToken) {
        self.attempts().insert(lease, cancel.clone());
        self.heartbeat.rouse();
        if self.interrupted.load(Ordering::Acquire) {
            cancel.cancel(KillIntent::Shutdown);
        }
    }

    /// Cancels the running attempts of these leases. Leases without an attempt here are skipped.
    pub(super) fn cancel_all(&self, leases: &[Lease], intent: KillIntent) {
        let attempts = self.attempts();
        leases.iter().filter_map(|lease| attempts.get(lease)).for_each(|token| token.cancel(intent));
    }

    /// Sends heartbeats until everything is settled. `begun` is dropped with the first one.
    pub(super) fn keep_beating(&self, begun: Sender<()>) {
        let between = self.engine.options.heartbeat.duration();
        let rests = || self.attempts().is_empty();
        let over = || self.finished.load(Ordering::Acquire);
        self.heartbeat.run(between, begun, rests, over, || self.beat());
    }

    /// Writes a heartbeat on behalf of the heartbeat thread.
    pub(super) fn beat(&self) {
        let now = heart_time(&**self.engine.store.clock());
        // A slow disk must not keep others from reading the worker's id.
        let line = self.membership().line.clone();
        if let Some(line) = line {
            // If the disk is full or gone, the database notices first. The liveness lock itself still works.
            let _ = line.beat(now, self.heartbeat.thread.load(Ordering::SeqCst));
        }
    }

    pub(super) fn fail(&self, error: &Error) {
        let mut fatal = self.fatal.lock().unpoisoned();
        fatal.get_or_insert_with(|| error.to_string());
        drop(fatal);
        self.draining.store(true, Ordering::Release);
        self.ring_all();
    }

    pub(super) fn ring(&self) {
        self.pools.iter().for_each(|it| it.notify.ring());
        self.watcher_notify.ring();
    }

    pub(super) fn ring_all(&self) {
        self.pools.iter().for_each(|it| it.notify.ring_all());
        self.watcher_notify.ring_all();
        self.chore_notify.ring_all();
        self.schedule_notify.ring_all();
        self.retention_notify.ring_all();
        self.watch_waker.iter().for_each(Waker::wake);
        self.heartbeat.ring();
    }
}

impl CommitListener for WorkerState {
    fn committed(&self, commit: &Commit<'_>) {
        if commit.woke {
            self.ring();
        }
        let metrics = &self.engine.metrics;
        for (counter, count) in [(Counter::LeaseLost, commit.lost_leases), (Counter::ClaimLostRace, commit.lost_races)]
        {
            if count > 0 {
                metrics.add(counter, "", count);
            }
        }
        metrics.time(Histogram::CommitDuration, "", commit.took);
        metrics.observe(Histogram::CommitBatch, "", commit.requests as f64);
    }
}
