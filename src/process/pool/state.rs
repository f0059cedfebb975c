//! The state of a pool, behind its lock: its workers, the idle ones, and what to do for the next step.

use super::spec::{PoolSpec, Recycled};
use crate::{
    decide::{
        recycle::{Baseline, RecycleReason, limits_that_count, recycle},
        start::{MOST_FAILED, is_in_trouble, look_again, wait_after},
    },
    model::{Health, Millis, RunId, WorkerLimits, bounded},
    process::worker::{Broken, Worker},
};
use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    time::{Duration, Instant},
};

/// The maximum length of a command line in a message, in bytes.
const COMMAND: usize = 200;
/// When to retry a step that found every worker reserved for another run.
const ALL_HELD: Millis = Millis(100);

pub(super) struct State {
    /// The most recently used is last.
    pub idle: Vec<Idle>,
    /// Idle workers that the supervisor is watching.
    pub watched: usize,
    /// Every process that has sent its hello and is not ending, by number.
    pub roster: BTreeMap<u64, Listed>,
    /// How many processes are starting, and since when at least one is.
    pub starting: usize,
    pub starting_since: Option<Instant>,
    /// The process that is being started for each step, by step name.
    pub started_for: HashMap<String, u64>,
    pub starts: Starts,
    pub recycling: Option<Recycling>,
    /// Workers too far above a limit to continue, waiting until another replacement is done.
    pub queue: VecDeque<(Worker, RecycleReason)>,
    /// Workers out of service; the supervisor ends them.
    pub ending: Vec<Worker>,
    /// The worker that keeps the state of each run.
    pub runs: HashMap<RunId, u64>,
    pub baselines: Baselines,
    pub last_recycle: Option<RecycleReason>,
    /// How many steps are waiting for a worker.
    pub waiting: usize,
    pub closed: bool,
    /// Whether the supervisor sleeps until there is something to do.
    pub supervisor_dozes: bool,
    next_number: u64,
    size: usize,
}

/// An idle worker.
pub(super) struct Idle {
    pub worker: Worker,
    pub since: Instant,
    /// The supervisor last watched it at this time.
    pub seen: Instant,
    /// It is reserved for the next step of this run.
    pub run: Option<RunId>,
}

pub(super) struct Listed {
    pub pid: u32,
    pub started: Instant,
    pub units: u64,
    pub health: Health,
    pub busy: bool,
    /// It still works, or waits, until its replacement is ready.
    pub leaving: bool,
}

/// The current replacement; there is only one at a time.
pub(super) struct Recycling {
    pub number: u64,
    pub reason: RecycleReason,
    /// The old worker, if it has to stop before the new one is ready.
    pub aside: Option<Worker>,
    /// Whether the new worker is ready.
    pub ready: bool,
}

/// What to do for a step that needs a worker.
pub(super) enum Turn {
    Take(Box<Idle>),
    /// A run has reserved this worker for too long: finalize it first.
    Evict(Box<Idle>),
    Start(u64),
    /// `watched`: the supervisor is watching an idle worker.
    Wait {
        at_most: Duration,
        watched: bool,
    },
    /// Every worker is reserved for the next step of a run.
    Later {
        after: Millis,
    },
    /// The worker does not start; this is its last report.
    Broken(Box<Broken>),
    Closed,
}

impl State {
    pub(super) fn new(spec: &PoolSpec) -> State {
        State {
            idle: Vec::new(),
            watched: 0,
            roster: BTreeMap::new(),
            starting: 0,
            starting_since: None,
            started_for: HashMap::new(),
            starts: Starts::default(),
            recycling: None,
            queue: VecDeque::new(),
            ending: Vec::new(),
            runs: HashMap::new(),
            baselines: Baselines::default(),
            last_recycle: None,
            waiting: 0,
            closed: false,
            supervisor_dozes: false,
            next_number: 1,
            size: spec.size.max(1),
        }
    }

    pub(super) fn next_turn(&mut self, spec: &PoolSpec, step: &str, run: Option<RunId>, now: Instant) -> Turn {
        let wait = |at_most, watched: usize| Turn::Wait { at_most, watched: watched > 0 };
        const LONG: Duration = Duration::from_secs(60);
        if self.closed {
            return Turn::Closed;
        }
        if let Some(number) = run.and_then(|it| self.runs.get(&it).copied()) {
            if let Some(at) = self.idle.iter().position(|it| it.worker.number == number) {
                return self.take(at, run);
            }
            if self.roster.contains_key(&number) {
                return wait(LONG, self.watched);
            }
            // The worker died, and the run's state with it.
            self.runs.retain(|_, it| *it != number);
        }
        if let Some(at) = self.idle.iter().rposition(|it| it.run.is_none()) {
            return self.take(at, run);
        }
        if self.watched > 0 {
            return wait(LONG, self.watched);
        }
        if self.started_for.contains_key(step) {
            return wait(LONG, 0);
        }
        if self.serving() < self.size {
            let in_trouble = self.starts.is_in_trouble();
            return match self.starts.wait(now) {
                _ if in_trouble && self.starting > 0 => wait(LONG, 0),
                None => {
                    let number = self.make_room();
                    self.started_for.insert(step.to_string(), number);
                    Turn::Start(number)
                }
                // Wait for the busy one.
                Some(left) if in_trouble && self.roster.values().any(|it| it.busy) => wait(left, 0),
                Some(_) if in_trouble => Turn::Broken(Box::new(self.starts.last.clone())),
                Some(left) => wait(left, 0),
            };
        }
        let more_to_come = self.starting > 0 || self.recycling.is_some() || !self.queue.is_empty();
        if more_to_come || self.roster.values().any(|it| it.busy) {
            return wait(LONG, 0);
        }
        let kept_too_long = |it: &Idle| now.duration_since(it.since) >= spec.timing.hold.duration();
        match self.idle.iter().position(kept_too_long) {
            Some(at) => {
                let idle = self.idle.remove(at);
                self.set_busy(idle.worker.number, true);
                Turn::Evict(Box::new(idle))
            }
            None => Turn::Later { after: ALL_HELD },
        }
    }

    /// Whether a waiting step can only hope for a starting process, because no worker is busy.
    pub(super) fn starts_for_waiters(&self) -> bool {
        self.starting > 0 && !self.roster.values().any(|it| it.busy)
    }

    /// When to retry a step that gave up its slot: the longer the start has taken, the later.
    pub(super) fn look_again(&self, now: Instant) -> Millis {
        look_again(self.starting_since.map_or(Millis(0), |it| now.duration_since(it).into()))
    }

    /// A start has ended, successfully or not.
    pub(super) fn start_ended(&mut self, number: u64) {
        self.starting -= 1;
        self.started_for.retain(|_, it| *it != number);
        if self.starting == 0 {
            self.starting_since = None;
        }
    }

    fn take(&mut self, at: usize, run: Option<RunId>) -> Turn {
        let idle = self.idle.remove(at);
        self.set_busy(idle.worker.number, true);
        if let Some(run) = run {
            self.runs.insert(run, idle.worker.number);
        }
        Turn::Take(Box::new(idle))
    }

    /// The number of processes that are in service or will be.
    fn serving(&self) -> usize {
        self.starting + self.roster.values().filter(|it| !it.leaving).count()
    }

    /// Reserves a place for a process that is about to start.
    pub(super) fn make_room(&mut self) -> u64 {
        self.starting += 1;
        self.starting_since.get_or_insert_with(Instant::now);
        self.next_number += 1;
        self.next_number
    }

    /// Adds a process that was started for a step.
    pub(super) fn enter(&mut self, worker: &Worker, run: Option<RunId>) {
        let listed = Listed {
            pid: worker.pid,
            started: worker.started,
            units: 0,
            health: worker.health(),
            busy: true,
            leaving: false,
        };
        self.roster.insert(worker.number, listed);
        if let Some(run) = run {
            self.runs.insert(run, worker.number);
        }
    }

    /// Removes a process that has ended or is about to. Steps that wait only for this process get another.
    pub(super) fn leave(&mut self, number: u64) {
        self.roster.remove(&number);
        self.runs.retain(|_, it| *it != number);
        if self.recycling.as_ref().is_some_and(|it| it.number == number && it.aside.is_none()) {
            self.recycling = None;
        }
    }

    pub(super) fn set_busy(&mut self, number: u64, busy: bool) {
        if let Some(listed) = self.roster.get_mut(&number) {
            listed.busy = busy;
        }
    }

    /// Adds an idle worker, which may be reserved for the next step of a run.
    pub(super) fn put(&mut self, worker: Worker, health: Health, run: Option<RunId>) {
        if let Some(listed) = self.roster.get_mut(&worker.number) {
            (listed.busy, listed.units, listed.health) = (false, worker.units, health);
        }
        if run.is_none() {
            self.runs.retain(|_, it| *it != worker.number);
        }
        let now = Instant::now();
        self.idle.push(Idle { worker, since: now, seen: now, run });
    }

    /// Whether to recycle a worker, judged by a measurement after its unit was finalized.
    pub(super) fn judge(&mut self, spec: &PoolSpec, worker: &Worker, health: &Health) -> Option<RecycleReason> {
        if worker.units == 1 {
            self.baselines.first_reading(&spec.name, health, &spec.limits);
        }
        let limits = WorkerLimits { age: worker.age_limit, ..self.baselines.limits(&spec.limits) };
        let limits = limits_that_count(&limits, worker.units, worker.age());
        recycle(health, worker.age(), &limits)
    }

    /// Whether a worker can be replaced now: no other replacement is in progress, and the last start has not just
    /// failed.
    pub(super) fn can_recycle(&self) -> bool {
        self.recycling.is_none() && self.can_start()
    }

    pub(super) fn can_start(&self) -> bool {
        self.starts.wait(Instant::now()).is_none()
    }

    /// Puts a worker in the queue for replacement.
    pub(super) fn enqueue(&mut self, worker: Worker, reason: RecycleReason, health: Health) {
        if let Some(listed) = self.roster.get_mut(&worker.number) {
            (listed.busy, listed.units, listed.health) = (false, worker.units, health);
        }
        self.queue.push_back((worker, reason));
    }

    /// Starts to replace a worker. It normally stays in service until its replacement is ready, so that no place is
    /// lost. If it is far above a limit, it stops at once, since it would only grow.
    pub(super) fn begin_recycling(&mut self, worker: Worker, reason: RecycleReason, health: Health) {
        let number = worker.number;
        if let Some(listed) = self.roster.get_mut(&number) {
            (listed.leaving, listed.busy, listed.units, listed.health) = (true, false, worker.units, health);
        }
        let mut aside = None;
        match reason.is_urgent() {
            false => self.put(worker, health, None),
            true => aside = Some(worker),
        }
        self.recycling = Some(Recycling { number, reason, aside, ready: false });
    }

    /// A worker that is being replaced has grown too much to stay in service.
    pub(super) fn set_aside(&mut self, worker: Worker, health: Health) {
        if let Some(listed) = self.roster.get_mut(&worker.number) {
            (listed.busy, listed.units, listed.health) = (false, worker.units, health);
        }
        match &mut self.recycling {
            Some(recycling) => recycling.aside = Some(worker),
            None => self.put(worker, health, None),
        }
    }

    /// Retires the old worker, now that its replacement is ready.
    pub(super) fn retire(&mut self, worker: Worker, reason: RecycleReason) -> Recycled {
        let recycled = Recycled { pid: worker.pid, reason, age: worker.age(), units: worker.units };
        self.last_recycle = Some(reason);
        self.recycling = None;
        self.leave(worker.number);
        self.ending.push(worker);
        recycled
    }
}

/// The history of the last starts.
#[derive(Default)]
pub(super) struct Starts {
    failures: u32,
    next_try: Option<Instant>,
    /// The report on the last failed process.
    pub last: Broken,
}

impl Starts {
    pub(super) fn succeeded(&mut self) {
        *self = Starts::default();
    }

    /// Records that a process started but was unusable.
    pub(super) fn failed(&mut self, spec: &PoolSpec, broken: &Broken, now: Instant) {
        self.failures += 1;
        let wait = wait_after(self.failures, spec.timing.backoff, spec.timing.backoff_most);
        self.next_try = Some(now + wait.duration());
        let words: Vec<_> = spec.worker.command.iter().map(|it| it.to_string_lossy()).collect();
        let command = bounded(words.join(" "), COMMAND);
        let (name, why, times) = (&spec.name, &broken.why, self.failures);
        // From the last counted failure on, the message stays the same, so that equal failures are grouped.
        let counted = match times {
            1..MOST_FAILED => format!("start {times} of {MOST_FAILED}"),
            _ => format!("failed to start {MOST_FAILED} times in a row"),
        };
        let why = format!("worker `{name}` (`{command}`) {why} ({counted})");
        match times {
            MOST_FAILED => tracing::error!(worker = name, "{why}"),
            _ => tracing::warn!(worker = name, "{why}"),
        }
        self.last = Broken { why, ..broken.clone() };
    }

    /// Whether enough starts have failed to make steps fail too.
    pub(super) fn is_in_trouble(&self) -> bool {
        is_in_trouble(self.failures)
    }

    /// How long to wait before the next start; `None` if it can start now.
    pub(super) fn wait(&self, now: Instant) -> Option<Duration> {
        self.next_try.map(|it| it.saturating_duration_since(now)).filter(|it| !it.is_zero())
    }
}

/// Limits below what every worker needs.
#[derive(Default)]
pub(super) struct Baselines {
    memory: (Baseline, bool),
    open_files: (Baseline, bool),
    words: Vec<String>,
}

impl Baselines {
    /// Records the usage of a fresh worker after its very first unit.
    fn first_reading(&mut self, pool: &str, health: &Health, limits: &WorkerLimits) {
        let signals = [
            ("memory", &mut self.memory, health.rss_bytes, limits.rss.map(|it| it.0)),
            ("open files", &mut self.open_files, health.open_fds, limits.fds),
        ];
        for (signal, (baseline, suspended), reading, limit) in signals {
            if baseline.first_reading(reading, limit) && !*suspended {
                *suspended = true;
                let words = format!(
                    "the limit on {signal} of worker `{pool}` is below what a new process needs, so it is ignored; \
                     raise it in the workflow"
                );
                tracing::warn!(worker = pool, "{words}");
                self.words.push(words);
            }
        }
    }

    fn limits(&self, limits: &WorkerLimits) -> WorkerLimits {
        WorkerLimits {
            rss: limits.rss.filter(|_| !self.memory.1),
            fds: limits.fds.filter(|_| !self.open_files.1),
            age: limits.age,
        }
    }

    pub(super) fn suspended(&self) -> impl Iterator<Item = String> + '_ {
        self.words.iter().cloned()
    }
}
