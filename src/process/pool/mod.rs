//! A pool of worker processes: runs steps on them, replaces those that died or have lived long enough.
//!
//! A worker is a value with one owner: a step while it runs, else the pool. The pool has one thread, the supervisor, which
//! watches the idle ones, prepares replacements and ends what is no longer needed; it sleeps while nothing happens.

mod run;
mod state;
mod supervisor;

pub use run::{Done, Job, Ran, UnitOf};

use super::worker::{Broken, StartFailure, Worker, WorkerSpec};
use crate::{
    decide::recycle::{RecycleReason, jittered_age},
    model::{KillIntent, Millis, RunId, WorkerLimits},
    os::{CancelToken, Unpoisoned},
};
use serde::Serialize;
use state::{State, Turn};
use std::{
    io::{self, PipeReader, PipeWriter, Write},
    os::fd::AsFd,
    sync::{Arc, Condvar, Mutex, MutexGuard},
    thread::JoinHandle,
    time::{Duration, Instant},
};

/// A token is looked at this often while a worker is waited for.
const LOOK: Duration = Duration::from_millis(100);

/// What a pool is made of.
#[derive(Debug, Clone)]
pub struct PoolSpec {
    /// The worker's name in the workflow.
    pub name: String,
    /// How many processes at most.
    pub size: usize,
    pub limits: WorkerLimits,
    pub worker: WorkerSpec,
    pub timing: Timing,
}

/// When the pool does what.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timing {
    /// The first wait after a failed start; doubles with each failure in a row.
    pub backoff: Millis,
    pub backoff_most: Millis,
    /// A worker that was idle so long is watched by the supervisor.
    pub linger: Millis,
    /// A worker without work for so long is ended; the next step starts another.
    pub idle_most: Millis,
    /// A worker that waits for the next step of its run gives way to another run after this.
    pub hold: Millis,
    /// The same, if no other step wants it.
    pub hold_most: Millis,
    /// An idle worker is pinged after so long without a message.
    pub doubt: Millis,
}

impl Default for Timing {
    fn default() -> Timing {
        Timing {
            backoff: Millis(100),
            backoff_most: Millis::seconds(5),
            linger: Millis(200),
            idle_most: Millis::minutes(10),
            hold: Millis::seconds(5),
            hold_most: Millis::minutes(1),
            doubt: Millis::seconds(30),
        }
    }
}

/// A worker process as it is shown.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct WorkerHealth {
    pub pool: String,
    pub pid: u32,
    pub age: Millis,
    pub rss_bytes: Option<u64>,
    pub open_fds: Option<u64>,
    /// Units that it has served.
    pub units: u64,
    pub busy: bool,
    /// Beyond any of these it is replaced.
    pub limits: WorkerLimits,
    /// Why the pool last replaced a worker.
    pub last_recycle: Option<RecycleReason>,
}

/// A worker that was replaced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Recycled {
    pub pid: u32,
    pub reason: RecycleReason,
    pub age: Millis,
    pub units: u64,
}

type Listener = Box<dyn Fn(&Recycled) + Send + Sync>;

/// A pool of worker processes. Dropping it ends them.
pub struct Pool {
    inner: Arc<Inner>,
    supervisor: Mutex<Option<JoinHandle<()>>>,
}

struct Inner {
    spec: PoolSpec,
    listener: Listener,
    state: Mutex<State>,
    /// Somebody waits for a worker.
    freed: Condvar,
    /// The supervisor waits for something to do.
    chores: Condvar,
    /// Wakes the supervisor from watching.
    notify: (PipeReader, PipeWriter),
    /// Cancelled when the pool is closed.
    closing: CancelToken,
}

/// Why there is no worker for a step.
enum Unavailable {
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

impl Pool {
    /// Opens a pool. Processes are started when they are needed. `listener` is called for each recycled worker.
    pub fn open(spec: PoolSpec, listener: impl Fn(&Recycled) + Send + Sync + 'static) -> io::Result<Pool> {
        let notify = io::pipe()?;
        crate::os::readiness::never_block(notify.0.as_fd())?;
        crate::os::readiness::never_block(notify.1.as_fd())?;
        let name = format!("windlass-pool-{}", spec.name);
        let inner = Arc::new(Inner {
            state: Mutex::new(State::new(&spec)),
            spec,
            listener: Box::new(listener),
            freed: Condvar::new(),
            chores: Condvar::new(),
            notify,
            closing: CancelToken::new(),
        });
        let theirs = inner.clone();
        let supervisor = std::thread::Builder::new().name(name).spawn(move || supervisor::keep(&theirs))?;
        Ok(Pool { inner, supervisor: Mutex::new(Some(supervisor)) })
    }

    /// Runs one step on a worker of the pool; waits for one that is busy. Blocks the calling thread.
    pub fn run(&self, job: &Job) -> Done {
        run::run(&self.inner, job)
    }

    /// Every worker process, the oldest first.
    pub fn workers(&self) -> Vec<WorkerHealth> {
        let state = self.inner.lock();
        let shown = |it: &state::Listed| WorkerHealth {
            pool: self.inner.spec.name.clone(),
            pid: it.pid,
            age: it.started.elapsed().into(),
            rss_bytes: it.health.rss_bytes,
            open_fds: it.health.open_fds,
            units: it.units,
            busy: it.busy,
            limits: self.inner.spec.limits,
            last_recycle: state.last_recycle,
        };
        state.roster.values().map(shown).collect()
    }

    /// What keeps it from working as it should: workers that can't be started, limits that were suspended.
    pub fn trouble(&self) -> Vec<String> {
        let state = self.inner.lock();
        let broken = state.starts.is_in_trouble().then(|| state.starts.last.why.clone());
        broken.into_iter().chain(state.baselines.suspended()).collect()
    }

    /// Ends every worker: idle ones at once, busy ones when they are given back. Idempotent.
    pub fn close(&self) {
        self.inner.closing.cancel(KillIntent::Shutdown);
        self.inner.lock().closed = true;
        self.inner.freed.notify_all();
        self.inner.chores.notify_all();
        self.inner.ring();
        let supervisor = self.supervisor.lock().unpoisoned().take();
        if let Some(supervisor) = supervisor {
            let _ = supervisor.join();
        }
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.close();
    }
}

impl std::fmt::Debug for Pool {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pool").field("name", &self.inner.spec.name).finish_non_exhaustive()
    }
}

impl Inner {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unpoisoned()
    }

    fn ring(&self) {
        // A full pipe has rung already.
        let _ = (&self.notify.1).write(&[0]);
    }

    /// A worker that lives, for a step of `run` if its unit is one.
    fn check_out(&self, run: Option<RunId>, cancel: &CancelToken) -> Result<Worker, Unavailable> {
        let mut state = self.lock();
        loop {
            if let Some(intent) = cancel.intent() {
                return Err(Unavailable::Stopped(intent));
            }
            match state.next_turn(&self.spec, run, Instant::now()) {
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
                    match self.start(number, cancel) {
                        Ok(worker) => {
                            self.lock().enter(&worker, run);
                            return Ok(worker);
                        }
                        Err(StartFailure::NotStartable(why)) => return Err(Unavailable::NotStartable(why)),
                        Err(StartFailure::NoRoom(why)) => return Err(Unavailable::NoRoom(why)),
                        Err(StartFailure::Stopped(intent)) => return Err(Unavailable::Stopped(intent)),
                        Err(StartFailure::Failed(_)) => state = self.lock(),
                    }
                }
                Turn::Wait { at_most, parked } => {
                    if parked {
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

    /// A worker that has served no step: one that has is ended and replaced.
    fn check_out_new(&self, cancel: &CancelToken) -> Result<Worker, Unavailable> {
        let worker = self.check_out(None, cancel)?;
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

    /// Starts a process in the room that was made for it, and remembers how that went.
    fn start(&self, number: u64, cancel: &CancelToken) -> Result<Worker, StartFailure> {
        let started = Worker::start(number, &self.spec.worker, cancel);
        let mut state = self.lock();
        state.starting -= 1;
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

    /// Whether an idle worker lives, and still answers if nothing was heard from it for long.
    fn answers(&self, worker: &mut Worker, since: Instant) -> bool {
        if !worker.attend() {
            return false;
        }
        since.elapsed() < self.spec.timing.doubt.duration() || worker.pings()
    }

    /// Forgets a worker that died while idle: no step is blamed, the next step gets another.
    fn bury(&self, mut worker: Worker) {
        tracing::info!(worker = self.spec.name, pid = worker.pid, "an idle worker process died; it will be replaced");
        worker.end(&CancelToken::new());
        let mut state = self.lock();
        state.leave(worker.number);
        self.wake_waiters(&state);
    }

    fn wake_waiters(&self, state: &State) {
        if state.waiting > 0 {
            self.freed.notify_all();
        }
    }
}

/// 0 to 1, for spreading ages.
fn chance() -> f64 {
    f64::from(getrandom::u32().unwrap_or(u32::MAX / 2)) / f64::from(u32::MAX)
}
