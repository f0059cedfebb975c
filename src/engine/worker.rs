//! A worker: consumer pools with a liveness lock. A value, not a process: two can live in one.

use super::{
    Engine, chores, consumer,
    error::{Error, Result},
    heartbeat::{self, Heartbeat},
    hooks,
    liveness_lock::LivenessLock,
    needs::{Needs, check_needs},
    notify::Notify,
    pools::Pool,
    retention, watcher,
    worker_pools::WorkerPools,
};
use crate::{
    model::{KillIntent, Lease, Millis, Scope, WorkerId},
    observe::{Counter, Histogram},
    os::{CancelToken, Unpoisoned},
    process::pool::WorkerHealth,
    store::{self, Commit, CommitListener, reap::Death},
};
use std::{
    collections::{BTreeMap, HashMap},
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
        mpsc,
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};

const WATCHER: &str = "windlass-watcher";
const HEART: &str = "windlass-heart";

/// What a worker is for.
#[derive(Debug, Clone)]
pub struct WorkerOptions {
    /// Steps of each type that may run at once; `"*"` takes every type without a pool of its own.
    pub pools: BTreeMap<String, usize>,
    pub scope: Scope,
}

/// A running worker. Dropping it stops it without grace.
pub struct Worker {
    shared: Arc<Shared>,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

/// What the threads of a worker share.
pub(super) struct Shared {
    pub engine: Engine,
    pub scope: Scope,
    pub pools: Vec<Pool>,
    pub worker_pools: WorkerPools,
    /// The number changes when a reaped worker wakes up and registers again.
    pub membership: Mutex<Membership>,
    /// What runs. To be added to by `begin` alone, which rouses the heartbeat.
    pub attempts: Mutex<HashMap<Lease, CancelToken>>,
    pub heartbeat: Heartbeat,
    /// Stop claiming; what runs may finish.
    pub draining: AtomicBool,
    /// The time of what still runs is over.
    pub interrupted: AtomicBool,
    /// Everything is settled: the watcher may end.
    pub finished: AtomicBool,
    pub busy: AtomicUsize,
    /// Attempts that failed since the last one that succeeded. Cancels and releases neither count nor reset.
    pub failures_in_a_row: AtomicU64,
    pub disk_low: AtomicBool,
    pub fatal: Mutex<Option<String>>,
    pub hook_notify: Notify,
    pub watcher_notify: Notify,
    /// Rung after every commit that the watcher sees.
    pub chore_notify: Notify,
    /// Rung only when the worker is to end.
    pub retention_notify: Notify,
}

/// Under which number the worker is known, and the line that it holds.
pub(super) struct Membership {
    pub id: WorkerId,
    pub line: Option<Arc<LivenessLock>>,
}

impl Shared {
    pub(super) fn id(&self) -> WorkerId {
        self.membership().id
    }

    pub(super) fn membership(&self) -> MutexGuard<'_, Membership> {
        self.membership.lock().unpoisoned()
    }

    pub(super) fn attempts(&self) -> MutexGuard<'_, HashMap<Lease, CancelToken>> {
        self.attempts.lock().unpoisoned()
    }

    pub(super) fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Acquire)
    }

    /// Whether the disks have room for a step to start, as they are now.
    pub(super) fn has_room(&self) -> bool {
        let enough = !self.disk_low.load(Ordering::Relaxed) && self.engine.disk().enough;
        if !enough {
            // The watcher looks again, and wakes those who wait.
            self.disk_low.store(true, Ordering::Relaxed);
        }
        enough
    }

    /// An attempt begins.
    pub(super) fn begin(&self, lease: Lease, cancel: CancelToken) {
        self.attempts().insert(lease, cancel);
        self.heartbeat.rouse();
    }

    /// Writes a heartbeat, for the thread whose business that is.
    pub(super) fn beat(&self) {
        let now = watcher::heart_time(&**self.engine.store.clock());
        // A slow disk must not keep others from asking for the worker's number.
        let line = self.membership().line.clone();
        if let Some(line) = line {
            // A disk that is full or gone is found by the database first; the liveness lock itself still works.
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
        self.hook_notify.ring();
        self.watcher_notify.ring();
    }

    pub(super) fn ring_all(&self) {
        self.pools.iter().for_each(|it| it.notify.ring_all());
        self.hook_notify.ring_all();
        self.watcher_notify.ring_all();
        self.chore_notify.ring_all();
        self.retention_notify.ring_all();
        self.heartbeat.ring();
    }
}

impl CommitListener for Shared {
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

impl Worker {
    /// Takes a liveness lock, registers, and starts to claim.
    pub fn start(engine: &Engine, options: WorkerOptions) -> Result<Worker> {
        if options.pools.values().all(|size| *size == 0) {
            let what = "a worker needs at least one pool with a slot".to_string();
            return Err(Error::refused(what, Some("give one with `--pool '*=2'`")));
        }
        check_needs(Needs::Work)?;
        engine.restore_ballast();
        let pools = Pool::open_all(engine, &options.pools)?;
        let membership = watcher::register(engine, &options)?;
        let shared = Arc::new(Shared {
            engine: engine.clone(),
            scope: options.scope,
            pools,
            worker_pools: WorkerPools::new(engine.metrics.clone()),
            membership: Mutex::new(membership),
            attempts: Mutex::default(),
            heartbeat: Heartbeat::default(),
            draining: AtomicBool::new(false),
            interrupted: AtomicBool::new(false),
            finished: AtomicBool::new(false),
            busy: AtomicUsize::new(0),
            failures_in_a_row: AtomicU64::new(0),
            disk_low: AtomicBool::new(!engine.disk().enough),
            fatal: Mutex::default(),
            hook_notify: Notify::default(),
            watcher_notify: Notify::default(),
            chore_notify: Notify::default(),
            retention_notify: Notify::default(),
        });
        engine.store.listen(shared.clone());
        let worker = Worker { shared: shared.clone(), threads: Mutex::default() };
        let pools = options.pools.clone();
        let (begun, beats) = mpsc::channel();
        worker.spawn(HEART.into(), |shared| heartbeat::run(&shared, begun))?;
        // Nothing is claimed before others can see which thread beats.
        let _ = beats.recv();
        worker.spawn(WATCHER.into(), move |shared| watcher::run(&shared, &pools))?;
        worker.spawn("windlass-hooks".into(), |shared| hooks::run(&shared))?;
        if options.scope == Scope::Everything {
            worker.spawn("windlass-upkeep".into(), |shared| retention::run(&shared))?;
            worker.spawn("windlass-chores".into(), |shared| chores::run(&shared))?;
        }
        for (number, pool) in shared.pools.iter().enumerate() {
            for slot in 0..pool.size {
                let name = format!("windlass-{}-{slot}", pool.name);
                worker.spawn(name, move |shared| consumer::run(&shared, number))?;
            }
        }
        Ok(worker)
    }

    fn spawn(&self, name: String, body: impl FnOnce(Arc<Shared>) + Send + 'static) -> Result<()> {
        let shared = self.shared.clone();
        let thread = std::thread::Builder::new()
            .name(name.clone())
            .spawn(move || body(shared))
            .map_err(|source| Error::Io { action: "start thread", path: name.into(), source })?;
        self.threads().push(thread);
        Ok(())
    }

    fn threads(&self) -> MutexGuard<'_, Vec<JoinHandle<()>>> {
        self.threads.lock().unpoisoned()
    }

    pub fn id(&self) -> WorkerId {
        self.shared.id()
    }

    /// Running steps.
    pub fn running(&self) -> usize {
        self.shared.attempts().len()
    }

    /// Busy and size of each pool, by name.
    pub fn pools(&self) -> Vec<(String, usize, usize)> {
        let pools = self.shared.pools.iter();
        pools.map(|it| (it.name.clone(), it.busy.load(Ordering::Relaxed), it.size)).collect()
    }

    /// Every long-lived worker process that its steps run on.
    pub fn worker_processes(&self) -> Vec<WorkerHealth> {
        self.shared.worker_pools.workers()
    }

    /// Problems of worker processes, for people: failing starts, limits that are too low.
    pub fn worker_trouble(&self) -> Vec<String> {
        self.shared.worker_pools.trouble()
    }

    /// Why the worker gave up; None while it works.
    pub fn fatal(&self) -> Option<String> {
        self.shared.fatal.lock().unpoisoned().clone()
    }

    /// Attempts that failed since the last one that succeeded. Cancelled ones neither count nor reset.
    pub fn failures_in_a_row(&self) -> u64 {
        self.shared.failures_in_a_row.load(Ordering::Relaxed)
    }

    /// Whether nothing claims because the disk is below its reserve.
    pub fn is_disk_low(&self) -> bool {
        self.shared.disk_low.load(Ordering::Relaxed)
    }

    /// Nothing of its scope is ready, running or delayed, and no hook is due.
    pub fn is_idle(&self) -> Result<bool> {
        if self.shared.busy.load(Ordering::Acquire) > 0 {
            return Ok(false);
        }
        let scope = self.shared.scope;
        Ok(self.shared.engine.store.read(|tx| store::idle::is_idle(tx, scope))?)
    }

    /// Stops claiming at once; what runs may finish.
    pub fn drain(&self) {
        self.shared.draining.store(true, Ordering::Release);
        self.shared.ring_all();
    }

    /// Stops: running steps may finish until the timeout, then they are interrupted and given back. Idempotent.
    pub fn stop(&self, timeout: Millis) {
        self.drain();
        let deadline = Instant::now() + timeout.duration();
        let mut threads = std::mem::take(&mut *self.threads());
        let mut interrupted = false;
        while !consumers_done(&threads) {
            if !interrupted && Instant::now() >= deadline {
                interrupted = true;
                self.shared.interrupted.store(true, Ordering::Release);
                self.shared.attempts().values().for_each(|it| it.cancel(KillIntent::Shutdown));
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        self.shared.worker_pools.close();
        self.shared.finished.store(true, Ordering::Release);
        self.shared.ring_all();
        for thread in threads.drain(..) {
            let _ = thread.join();
        }
        let mut membership = self.shared.membership();
        if let Some(line) = membership.line.take() {
            let id = membership.id;
            let engine = &self.shared.engine;
            // A row that can't be removed now is reaped later: the liveness lock is free.
            let gone = engine.store.write(move |tx| store::worker::leave(tx, id));
            line.leave();
            if matches!(gone, Ok(false)) {
                // Something could not be settled: its steps must not stay with a worker that is no more.
                let _ = watcher::reap(engine, id, Death::Died);
            }
        }
    }
}

/// All but the watcher and the heartbeat, which beats until the last step is settled.
fn consumers_done(threads: &[JoinHandle<()>]) -> bool {
    threads.iter().all(|it| it.is_finished() || matches!(it.thread().name(), Some(WATCHER | HEART)))
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.stop(Millis(0));
    }
}
