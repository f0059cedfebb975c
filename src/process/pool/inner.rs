//! The processes of a pool, and how a step gets one.

use super::{
    spec::{Listener, PoolSpec},
    state::{State, Turn},
};
use crate::{
    decide::recycle::jittered_age,
    model::{KillIntent, Millis, RunId},
    os::{CancelToken, Unpoisoned, threads::Threads},
    process::worker::{Broken, StartFailure, Worker},
};
use std::{
    io::{PipeReader, PipeWriter, Write},
    sync::{Arc, Condvar, Mutex, MutexGuard},
    time::{Duration, Instant},
};

/// How often to check the cancel token while waiting for a worker.
const LOOK: Duration = Duration::from_millis(100);

/// The processes of a pool, and the steps that wait for one.
pub(super) struct Inner {
    pub spec: PoolSpec,
    pub listener: Listener,
    pub state: Mutex<State>,
    /// Wakes a step that waits for a worker.
    pub freed: Condvar,
    /// Wakes the supervisor when there is something to do.
    pub chores: Condvar,
    /// Wakes the supervisor from watching.
    pub notify: (PipeReader, PipeWriter),
    /// Cancelled when the pool is closed.
    pub closing: CancelToken,
    /// The threads that wait until processes are ready.
    pub starters: Threads,
}

/// Why a step gets no worker.
pub(super) enum Unavailable {
    NotStartable(String),
    NoRoom(String),
    /// It was started several times and never became ready.
    Broken(Box<Broken>),
    NotNow {
        reason: Option<String>,
        after: Millis,
    },
    Stopped(KillIntent),
}

impl Inner {
    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unpoisoned()
    }

    pub(super) fn ring(&self) {
        // If the pipe is full, a notification is already pending.
        let _ = (&self.notify.1).write(&[0]);
    }

    /// Returns a living worker for this step. If its unit is a run, the worker is that run's.
    pub(super) fn check_out(
        self: &Arc<Self>,
        step: &str,
        run: Option<RunId>,
        cancel: &CancelToken,
    ) -> Result<Worker, Unavailable> {
        let mut state = self.lock();
        // A start that has already taken long is not waited for again.
        let until = state.starting_since.unwrap_or_else(Instant::now) + self.spec.timing.start_wait.duration();
        loop {
            if let Some(intent) = cancel.intent() {
                return Err(Unavailable::Stopped(intent));
            }
            match state.next_turn(&self.spec, step, run, Instant::now()) {
                Turn::Take(idle) => {
                    drop(state);
                    let mut worker = idle.worker;
                    if self.answers(&mut worker, idle.since) {
                        return Ok(worker);
                    }
                    self.bury(worker);
                    state = self.lock();
                }
                Turn::Evict(idle) => {
                    drop(state);
                    self.end_unit(idle);
                    state = self.lock();
                }
                Turn::Start(number) => {
                    drop(state);
                    match self.start_aside(number).wait(until, cancel) {
                        None => state = self.lock(),
                        Some(Ok(worker)) => {
                            self.lock().enter(&worker, run);
                            return Ok(worker);
                        }
                        Some(Err(StartFailure::NotStartable(why))) => return Err(Unavailable::NotStartable(why)),
                        Some(Err(StartFailure::NoRoom(why))) => return Err(Unavailable::NoRoom(why)),
                        Some(Err(StartFailure::Stopped(intent))) => return Err(Unavailable::Stopped(intent)),
                        Some(Err(StartFailure::Failed(_))) => state = self.lock(),
                    }
                }
                // Steps of other types can use the slot of a step that waits for a start.
                Turn::Wait { .. } if state.starts_for_waiters() && Instant::now() >= until => {
                    let after = state.look_again(Instant::now());
                    return Err(Unavailable::NotNow { reason: None, after });
                }
                Turn::Wait { at_most, watched } => {
                    if watched {
                        self.ring();
                    }
                    state.waiting += 1;
                    let wait = at_most.min(LOOK);
                    state = self.freed.wait_timeout(state, wait).unpoisoned().0;
                    state.waiting -= 1;
                }
                Turn::Broken(broken) => return Err(Unavailable::Broken(broken)),
                Turn::Later { after } => return Err(Unavailable::NotNow { reason: None, after }),
                Turn::Closed => return Err(Unavailable::Stopped(KillIntent::Shutdown)),
            }
        }
    }

    /// A worker that has served no step. A used one is ended and replaced.
    pub(super) fn check_out_new(self: &Arc<Self>, step: &str, cancel: &CancelToken) -> Result<Worker, Unavailable> {
        let worker = self.check_out(step, None, cancel)?;
        if worker.units == 0 {
            return Ok(worker);
        }
        self.lost(worker);
        let number = self.lock().make_room();
        match self.start(number, cancel) {
            Ok(worker) => {
                self.lock().enter(&worker, None);
                Ok(worker)
            }
            Err(StartFailure::NotStartable(why)) => Err(Unavailable::NotStartable(why)),
            Err(StartFailure::NoRoom(why)) => Err(Unavailable::NoRoom(why)),
            Err(StartFailure::Stopped(intent)) => Err(Unavailable::Stopped(intent)),
            Err(StartFailure::Failed(broken)) => {
                Err(Unavailable::NotNow { reason: Some(broken.why), after: self.spec.timing.backoff })
            }
        }
    }

    /// Starts a process in the place that was reserved for it, and records the result.
    pub(super) fn start(&self, number: u64, cancel: &CancelToken) -> Result<Worker, StartFailure> {
        let started = Worker::start(number, &self.spec.worker, cancel);
        let mut state = self.lock();
        state.start_ended(number);
        match started {
            Ok(mut worker) => {
                state.starts.succeeded();
                worker.age_limit = self.spec.limits.age.map(|it| jittered_age(it, chance()));
                tracing::debug!(worker = self.spec.name, pid = worker.pid, "started a worker process");
                Ok(worker)
            }
            Err(failure) => {
                if let StartFailure::Failed(broken) = &failure {
                    state.starts.failed(&self.spec, broken, Instant::now());
                }
                self.wake_waiters(&state);
                Err(failure)
            }
        }
    }

    /// Whether an idle worker is alive and, if it has been silent for long, still answers.
    pub(super) fn answers(&self, worker: &mut Worker, since: Instant) -> bool {
        if !worker.attend() {
            return false;
        }
        since.elapsed() < self.spec.timing.doubt.duration() || worker.pings()
    }

    /// Removes a worker that died while idle. No step is blamed; the next step gets another.
    pub(super) fn bury(&self, mut worker: Worker) {
        tracing::info!(worker = self.spec.name, pid = worker.pid, "an idle worker process died; it will be replaced");
        worker.end(&CancelToken::new());
        let mut state = self.lock();
        state.leave(worker.number);
        self.wake_waiters(&state);
    }

    pub(super) fn wake_waiters(&self, state: &State) {
        if state.waiting > 0 {
            self.freed.notify_all();
        }
    }
}

/// A random number from 0 to 1, to spread ages.
fn chance() -> f64 {
    f64::from(getrandom::u32().unwrap_or(u32::MAX / 2)) / f64::from(u32::MAX)
}
