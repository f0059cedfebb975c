//! A pool of worker processes: runs steps on them, and replaces those that die or exceed their limits.
//!
//! Each worker is a value with one owner: a step while it runs, otherwise the pool. The pool has one thread, the
//! supervisor, which watches idle workers, prepares replacements and ends workers that are no longer needed. It sleeps
//! while nothing happens.

mod inner;
mod run;
mod spec;
mod start;
mod state;
mod supervisor;

pub use run::{Done, Job, Ran, UnitOf};
pub use spec::{PoolSpec, Recycled, Timing, WorkerHealth};

use crate::{
    model::KillIntent,
    os::{CancelToken, threads::Threads},
};
use inner::Inner;
use state::State;
use std::{
    io,
    os::fd::AsFd,
    sync::{Arc, Condvar, Mutex},
};

/// A pool of worker processes. Dropping it ends them.
pub struct Pool {
    inner: Arc<Inner>,
    threads: Threads,
}

impl Pool {
    /// Opens a pool. Processes start when they are needed. `listener` is called for each recycled worker.
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
            starters: Threads::default(),
        });
        let theirs = inner.clone();
        let threads = Threads::default();
        threads.start(&name, move || supervisor::keep(&theirs))?;
        Ok(Pool { inner, threads })
    }

    /// Runs one step on a worker of the pool. Waits for a busy worker, and briefly for a starting one. Blocks the
    /// calling thread.
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

    /// The pool's problems: workers that can't be started, limits that were suspended.
    pub fn trouble(&self) -> Vec<String> {
        let state = self.inner.lock();
        let broken = state.starts.is_in_trouble().then(|| state.starts.last.why.clone());
        broken.into_iter().chain(state.baselines.suspended()).collect()
    }

    /// Ends every worker: idle ones immediately, busy ones when they are returned. Idempotent.
    pub fn close(&self) {
        self.inner.closing.cancel(KillIntent::Shutdown);
        self.inner.lock().closed = true;
        self.inner.freed.notify_all();
        self.inner.chores.notify_all();
        self.inner.ring();
        self.threads.join();
        self.inner.starters.join();
        // A process that became ready in the meantime is no longer needed.
        supervisor::keep(&self.inner);
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
