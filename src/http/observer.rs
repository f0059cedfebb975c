//! Checks the database and the disk, which can block. A separate thread does so on request, so that `/health` can answer with
//! the last result while a new check is stuck.

use crate::{
    engine::Engine,
    model::{Bytes, StepId, Timestamp},
    os::{Unpoisoned, threads},
    store::{
        read::{self, Queues, ResourceRow},
        schedule, synced_folder,
    },
};
use std::{
    fs,
    sync::{Arc, Condvar, Mutex, MutexGuard, Weak},
    time::{Duration, Instant},
};
use tokio::sync::watch;

/// How long `/health` waits for a new check before it returns the last result, and how long it waits for the first
/// check.
const FRESH: Duration = Duration::from_millis(30);
const FIRST: Duration = Duration::from_millis(300);
/// After a check that took time t, the next one waits for this many times t, because counting a long queue is
/// expensive.
const REST: u32 = 20;
/// How many resources are measured.
const RESOURCES: usize = 100;
const LEAST_REST: Duration = Duration::from_millis(100);

/// The result of a check. A value that could not be read is `None`.
#[derive(Debug, Clone)]
pub struct Observation {
    pub at: Instant,
    pub took: Duration,
    pub readable: bool,
    pub queues: Option<Queues>,
    pub oldest_running: Option<(StepId, Timestamp)>,
    /// Resources and rates, those with the longest lines first.
    pub resources: Option<Vec<ResourceRow>>,
    /// Schedules whose last firing failed or was missed.
    pub schedule_problems: Option<usize>,
    /// Watched folders whose last sync failed.
    pub folder_problems: Option<usize>,
    pub wal_bytes: Option<u64>,
    pub free_disk: Option<Bytes>,
}

/// Requests checks and returns their results.
pub struct Observer {
    request: Arc<Request>,
    observation: watch::Receiver<Option<Arc<Observation>>>,
}

#[derive(Default)]
struct Request {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    wanted: bool,
    /// When the current check began.
    looking: Option<Instant>,
}

impl Observer {
    pub fn new(engine: &Engine) -> Observer {
        let (tell, observation) = watch::channel(None);
        let request = Arc::new(Request::default());
        let (weak, engine) = (Arc::downgrade(&request), engine.clone());
        let started = threads::start("windlass-health", move || run(&weak, &engine, &tell));
        if let Err(error) = started {
            // Without the thread, `/health` reports that nothing can be read.
            tracing::error!(%error, "failed to watch the health of the engine");
        }
        Observer { request, observation }
    }

    /// The newest result. Waits a short time for a new check.
    pub async fn look(&self) -> Option<Arc<Observation>> {
        let mut observation = self.observation.clone();
        let newest = observation.borrow_and_update().clone();
        let rested = |it: &Arc<Observation>| it.at.elapsed() >= (it.took * REST).max(LEAST_REST);
        if newest.as_ref().is_some_and(|it| !rested(it)) {
            return newest;
        }
        self.ask();
        let patience = if newest.is_some() { FRESH } else { FIRST };
        let _ = tokio::time::timeout(patience, observation.changed()).await;
        observation.borrow().clone()
    }

    /// How long the current check has been stuck.
    pub fn stuck(&self) -> Duration {
        self.request.lock().looking.map_or(Duration::ZERO, |it| it.elapsed())
    }

    fn ask(&self) {
        self.request.lock().wanted = true;
        self.request.changed.notify_one();
    }
}

impl Drop for Observer {
    fn drop(&mut self) {
        self.ask();
    }
}

impl Request {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unpoisoned()
    }

    /// Waits for a request and marks the check as started.
    fn wait(&self) {
        let mut state = self.lock();
        state.looking = None;
        while !state.wanted {
            state = self.changed.wait(state).unpoisoned();
        }
        *state = State { wanted: false, looking: Some(Instant::now()) };
    }
}

/// Runs until no requester is left.
fn run(request: &Weak<Request>, engine: &Engine, tell: &watch::Sender<Option<Arc<Observation>>>) {
    while let Some(strong) = request.upgrade() {
        strong.wait();
        if Arc::strong_count(&strong) == 1 {
            return;
        }
        drop(strong);
        if tell.send(Some(Arc::new(look(engine)))).is_err() {
            return;
        }
    }
}

fn look(engine: &Engine) -> Observation {
    let begun = Instant::now();
    let read = engine.store().read(|tx| {
        let problems = (schedule::with_problems(tx)?.len(), synced_folder::with_problems(tx)?.len());
        Ok((read::queues(tx)?, read::oldest_running(tx)?, read::busiest_resources(tx, RESOURCES)?, problems))
    });
    let log = format!("{}-wal", engine.store().path().display());
    let (readable, queues, oldest_running, resources, problems) = match read {
        Ok((queues, oldest, resources, problems)) => (true, Some(queues), oldest, Some(resources), Some(problems)),
        Err(_) => (false, None, None, None, None),
    };
    Observation {
        readable,
        queues,
        oldest_running,
        resources,
        schedule_problems: problems.map(|it| it.0),
        folder_problems: problems.map(|it| it.1),
        wal_bytes: fs::metadata(log).ok().map(|it| it.len()),
        free_disk: Some(engine.disk().free).filter(|it| it.0 < u64::MAX),
        at: Instant::now(),
        took: begun.elapsed(),
    }
}
