//! A worker: consumer pools with a liveness lock. It is a value, not a process, so one process can have several.

use super::{
    chores, consumer,
    error::{Error, Result},
    handle::Engine,
    heartbeat::Heartbeat,
    hooks,
    needs::{Needs, check_needs},
    notify::Notify,
    numbers,
    pools::Pool,
    retention, schedules,
    state::{WorkerOptions, WorkerState},
    watch, watcher,
    worker_pools::WorkerPools,
};
use crate::{
    model::{HOOK_TYPE, KillIntent, Millis, Scope, WorkerId},
    os::{Unpoisoned, Waker, threads::Threads},
    process::pool::WorkerHealth,
    store::{self, reap::Death},
};
use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
        mpsc,
    },
    time::Instant,
};

/// A running worker. Dropping it stops it without waiting for running steps.
pub struct Worker {
    state: Arc<WorkerState>,
    /// Claim and run steps; end when the worker is drained.
    consumers: Threads,
    /// Heartbeat and watcher; end when everything is settled.
    background: Threads,
}

impl Worker {
    /// Takes a liveness lock, registers, and starts to claim.
    pub fn start(engine: &Engine, mut options: WorkerOptions) -> Result<Worker> {
        if options.pools.values().all(|size| *size == 0) {
            let what = "a worker needs at least one pool with a slot".to_string();
            return Err(Error::refused(what, Some("give one with `--pool '*=2'`")));
        }
        options.pools.entry(HOOK_TYPE.into()).or_insert(hooks::PLACES);
        check_needs(Needs::Work)?;
        engine.restore_ballast();
        engine.configure_resources()?;
        let pools = Pool::open_all(engine, &options.pools)?;
        let watch_waker = match options.scope {
            Scope::Everything => Some(Waker::new().map_err(|source| Error::Io {
                action: "make a pipe for",
                path: "windlass-watch".into(),
                source,
            })?),
            _ => None,
        };
        let membership = watcher::register(engine, &options)?;
        let state = Arc::new(WorkerState {
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
            peaks: Mutex::default(),
            watcher_notify: Notify::default(),
            chore_notify: Notify::default(),
            schedule_notify: Notify::default(),
            watch_waker,
            retention_notify: Notify::default(),
        });
        engine.store.listen(state.clone());
        let worker = Worker { state: state.clone(), consumers: Threads::default(), background: Threads::default() };
        let pools = options.pools.clone();
        let (begun, beats) = mpsc::channel();
        worker.spawn(&worker.background, "windlass-heart".into(), |state| state.keep_beating(begun))?;
        // Nothing is claimed before others can see the heartbeat thread.
        let _ = beats.recv();
        worker.spawn(&worker.background, "windlass-watcher".into(), move |state| watcher::run(&state, &pools))?;
        if options.scope == Scope::Everything {
            worker.spawn(&worker.consumers, "windlass-retention".into(), |state| retention::run(&state))?;
            worker.spawn(&worker.consumers, "windlass-chores".into(), |state| chores::run(&state))?;
            worker.spawn(&worker.consumers, "windlass-schedules".into(), |state| schedules::run(&state))?;
            worker.spawn(&worker.consumers, "windlass-watch".into(), |state| watch::run(&state))?;
        }
        for (number, pool) in state.pools.iter().enumerate() {
            for slot in 0..pool.size {
                let name = format!("windlass-{}-{slot}", pool.name);
                worker.spawn(&worker.consumers, name, move |state| consumer::run(&state, number))?;
            }
        }
        numbers::note(&worker.state.engine);
        Ok(worker)
    }

    fn spawn(
        &self,
        threads: &Threads,
        name: String,
        body: impl FnOnce(Arc<WorkerState>) + Send + 'static,
    ) -> Result<()> {
        let state = self.state.clone();
        let started = threads.start(&name, move || body(state));
        started.map_err(|source| Error::Io { action: "start thread", path: name.into(), source })
    }

    pub fn id(&self) -> WorkerId {
        self.state.id()
    }

    /// The number of running steps.
    pub fn running(&self) -> usize {
        self.state.attempts().len()
    }

    /// Name, busy slots and size of each pool.
    pub fn pools(&self) -> Vec<(String, usize, usize)> {
        let pools = self.state.pools.iter();
        pools.map(|it| (it.name.clone(), it.busy.load(Ordering::Relaxed), it.size)).collect()
    }

    /// Every long-lived worker process that its steps use.
    pub fn worker_processes(&self) -> Vec<WorkerHealth> {
        self.state.worker_pools.workers()
    }

    /// Problems of worker processes in words: failing starts, limits that are too low.
    pub fn worker_trouble(&self) -> Vec<String> {
        self.state.worker_pools.trouble()
    }

    /// Why the worker gave up. None while it works.
    pub fn fatal(&self) -> Option<String> {
        self.state.fatal.lock().unpoisoned().clone()
    }

    /// Attempts that failed since the last success. Cancelled attempts neither count nor reset it.
    pub fn failures_in_a_row(&self) -> u64 {
        self.state.failures_in_a_row.load(Ordering::Relaxed)
    }

    /// Whether nothing is claimed because free disk space is below the reserve.
    pub fn is_disk_low(&self) -> bool {
        self.state.disk_low.load(Ordering::Relaxed)
    }

    /// Whether nothing in its scope is ready, running or delayed.
    pub fn is_idle(&self) -> Result<bool> {
        if self.state.busy.load(Ordering::Acquire) > 0 {
            return Ok(false);
        }
        let scope = self.state.scope;
        Ok(self.state.engine.store.read(|tx| store::idle::is_idle(tx, scope))?)
    }

    /// Stops claiming immediately; running steps may finish.
    pub fn drain(&self) {
        self.state.draining.store(true, Ordering::Release);
        self.state.ring_all();
    }

    /// Stops the worker: running steps may finish until the timeout, then they are interrupted and given back.
    /// Idempotent.
    pub fn stop(&self, timeout: Millis) {
        self.drain();
        if !self.consumers.wait(Instant::now() + timeout.duration()) {
            self.state.interrupted.store(true, Ordering::Release);
            self.state.attempts().values().for_each(|token| token.cancel(KillIntent::Shutdown));
        }
        self.consumers.join();
        self.state.worker_pools.close();
        self.state.finished.store(true, Ordering::Release);
        self.state.ring_all();
        self.background.join();
        let mut membership = self.state.membership();
        if let Some(line) = membership.line.take() {
            let id = membership.id;
            let engine = &self.state.engine;
            // If the row can't be removed now, it is reaped later, because the liveness lock is free.
            let gone = engine.store.write(move |tx| store::worker::leave(tx, id));
            line.leave();
            numbers::note(engine);
            if matches!(gone, Ok(false)) {
                // Something could not be settled. Its steps must not stay with a worker that no longer exists.
                let _ = watcher::reap(engine, id, Death::Died);
            }
        }
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.stop(Millis(0));
    }
}
