//! The watcher of a worker: notices commits of other processes, checks whether other workers are alive, and completes
//! interrupted work. Runs on one thread, which sleeps while there is nothing to watch.

use super::{
    error::{Error, Result},
    handle::Engine,
    liveness_lock::{self, Beat, LivenessLock, heart_time},
    recovery::{self, Recovery},
    state::{Membership, WorkerOptions, WorkerState},
};
use crate::{
    decide::{
        liveness::{LivenessLock as Line, OwnTick, Sighting, Stillness, Verdict, judge, stillness},
        retry::pause_after,
    },
    failpoint::{Failpoint, is_active},
    model::{KillIntent, Millis, Monotonic, ResourceKey, Scope, ThreadLook, ThreadState, Timestamp, Token, WorkerId},
    observe::Counter,
    os::{LockState, Unpoisoned, Waker, boot_id, process_stat, thread_stat},
    store::{
        self, Watch, idle,
        reap::Death,
        resource_lock,
        worker::{NewWorker, WorkerRow},
    },
};
use std::{
    collections::{BTreeMap, HashMap, HashSet},
    io,
    path::Path,
    sync::{Arc, atomic::Ordering},
};

/// The interval between checks for commits of other processes.
const TICK: Millis = Millis(100);
/// A wall clock that goes back by more than this was set.
const SET_BACK: Millis = Millis(500);
/// The interval after nothing has happened for `QUIET`, because every check wakes the processor.
const IDLE_TICK: Millis = Millis(200);
const QUIET: Millis = Millis::seconds(2);
/// The interval between probes of liveness locks: well within the promised second.
const PROBE: Millis = Millis(400);
/// The interval between checks of free disk space.
const DISK: Millis = Millis::seconds(1);
/// The interval between checks for resource locks of dead holders.
const SWEEP: Millis = Millis::seconds(5);
/// The interval at which the health of worker processes is written to the database.
const TELL: Millis = Millis::seconds(5);
const REAP_SLICE: usize = 100;

/// The liveness lock of a worker and its last heartbeat. A lock file that can't be opened belongs to another user. Then
/// the process table shows whether the worker is alive, and its heartbeat is unknown.
fn look_at(home: &Path, worker: &WorkerRow) -> Result<(LockState, Option<Beat>)> {
    match liveness_lock::look(home, worker.id) {
        Ok(seen) => Ok(seen),
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            let lives = process_stat::is_alive(&worker.identity);
            Ok((if lives { LockState::Held } else { LockState::Free }, None))
        }
        Err(source) => {
            Err(Error::Io { action: "probe the liveness lock", path: liveness_lock::path(home, worker.id), source })
        }
    }
}

/// Takes a liveness lock, then registers under the id that the lock was taken for.
pub(super) fn register(engine: &Engine, options: &WorkerOptions) -> Result<Membership> {
    register_as(engine, &options.pools, options.scope, 0)
}

/// `heartbeat`: the heartbeat thread; 0 if it has not started.
fn register_as(engine: &Engine, pools: &BTreeMap<String, usize>, scope: Scope, heartbeat: u32) -> Result<Membership> {
    let id = engine.store.write(store::worker::reserve)?;
    let path = liveness_lock::path(&engine.options.home, id);
    let line = LivenessLock::take(&engine.options.home, id).map_err(|source| Error::Io {
        action: "take the liveness lock",
        path,
        source,
    })?;
    // The first heartbeat comes before other processes can see the worker.
    let _ = line.beat(heart_time(&**engine.store.clock()), heartbeat);
    let new = NewWorker {
        identity: (*engine.identity).clone(),
        version: engine.options.version.clone(),
        pools: serde_json::to_string(pools).unwrap_or_else(|_| "{}".into()),
        scope,
    };
    engine.store.write(move |tx| store::worker::register(tx, id, &new))?;
    Ok(Membership { id, line: Some(Arc::new(line)) })
}

pub(super) fn run(state: &Arc<WorkerState>, pools: &BTreeMap<String, usize>) {
    let mut watcher = match Watcher::new(state.clone(), pools.clone()) {
        Ok(watcher) => watcher,
        Err(error) => return state.fail(&error),
    };
    while !state.finished.load(Ordering::Acquire) {
        match watcher.tick() {
            Ok(()) => {}
            // Temporary problems are retried at the next tick: a full or busy database, and a shortage.
            Err(error) if error.is_full() => {
                state.disk_low.store(true, Ordering::Relaxed);
                state.engine.give_up_ballast();
            }
            Err(error) if error.passes() => {}
            Err(error) => state.fail(&error),
        }
        std::thread::sleep(watcher.pause.duration());
    }
    // Records the memory of the last steps; the work itself is settled.
    let _ = watcher.note_peaks();
}

/// When the file of a locked key is tried next.
struct Knock {
    token: Token,
    at: Monotonic,
    tries: u32,
}

struct Watcher {
    state: Arc<WorkerState>,
    pools: BTreeMap<String, usize>,
    watch: Watch,
    version: Option<i64>,
    next_due: Option<Timestamp>,
    /// When the next wait is due.
    next_wait: Option<Timestamp>,
    /// When the next schedule fires.
    next_firing: Option<Timestamp>,
    /// Changes when a watch changes.
    watches: [i64; 3],
    /// The other workers, read again after each commit.
    others: Vec<WorkerRow>,
    /// Keys whose files another process holds.
    locked: HashMap<ResourceKey, Knock>,
    /// Since when each of the other workers has been still.
    still: HashMap<WorkerId, Stillness>,
    recovery: Recovery,
    /// Whether interrupted work has been completed once.
    recovered: bool,
    /// When interrupted work was last searched for.
    recovery_looked: Monotonic,
    /// The wall clock at the last tick, to detect whether it was set back.
    wall: Timestamp,
    /// The time until the next tick.
    pause: Millis,
    planned: Monotonic,
    /// When a commit was last seen.
    stirred: Monotonic,
    probed: Monotonic,
    disk_checked: Monotonic,
    swept: Monotonic,
    reported: Monotonic,
    /// The worker processes in the last report.
    reported_pids: Vec<u32>,
}

impl Watcher {
    fn new(state: Arc<WorkerState>, pools: BTreeMap<String, usize>) -> Result<Watcher> {
        let watch = state.engine.store.watch()?;
        let now = state.engine.store.clock().monotonic();
        let wall = state.engine.store.now();
        let long_ago = Monotonic(i64::MIN / 2);
        Ok(Watcher {
            state,
            pools,
            watch,
            version: None,
            next_due: None,
            next_wait: None,
            next_firing: None,
            watches: [0; 3],
            others: Vec::new(),
            locked: HashMap::new(),
            still: HashMap::new(),
            recovery: Recovery::default(),
            recovered: false,
            recovery_looked: now,
            wall,
            pause: TICK,
            planned: now,
            stirred: now,
            probed: long_ago,
            disk_checked: now,
            swept: long_ago,
            reported: now,
            reported_pids: Vec::new(),
        })
    }

    fn tick(&mut self) -> Result<()> {
        let now = self.state.engine.store.clock().monotonic();
        let late = now.since(self.planned);
        (self.pause, self.planned) = (TICK, now + TICK);
        self.look_at_clock()?;
        self.look_at_commits(now)?;
        self.due()?;
        self.knock(now)?;
        if now.since(self.disk_checked) >= DISK {
            self.disk_checked = now;
            // Nothing may ever be written, so an idle worker must check this too.
            self.state.engine.store.check_file()?;
            self.ask_disk();
        }
        if now.since(self.probed) >= PROBE && !self.others.is_empty() {
            self.probed = now;
            self.judge_others(late)?;
        }
        if now.since(self.swept) >= SWEEP {
            self.swept = now;
            self.sweep_locks()?;
        }
        if now.since(self.reported) >= TELL {
            self.reported = now;
            self.note_peaks()?;
            self.tell_processes()?;
        }
        if !self.recovered {
            // On a full disk this takes more than one try.
            self.recovery.begin(&self.state.engine)?;
            self.recovered = true;
        } else if now.since(self.recovery_looked) >= recovery::INTERVAL {
            self.recovery_looked = now;
            self.recovery.look(&self.state.engine)?;
        }
        if self.is_quiet(now) {
            (self.pause, self.planned) = (IDLE_TICK, now + IDLE_TICK);
        }
        Ok(())
    }

    /// Steps that wait for a rate wait by the monotonic clock. Their stored time is on the wall clock, and would come
    /// too late after that clock was set back.
    fn look_at_clock(&mut self) -> Result<()> {
        let wall = self.state.engine.store.now();
        let was = std::mem::replace(&mut self.wall, wall);
        if wall.0 < was.0 - SET_BACK.0 as i64 && self.next_due.is_some() {
            self.state.engine.store.write(store::capacity::look_at_all)?;
        }
        Ok(())
    }

    /// Whether nothing happens, no worker needs checking, and nothing is due before the next check.
    fn is_quiet(&self, now: Monotonic) -> bool {
        let soon = self.state.engine.store.now() + IDLE_TICK;
        now.since(self.stirred) >= QUIET
            && self.others.is_empty()
            && self.locked.is_empty()
            && self.next_due.is_none_or(|due| due > soon)
            && self.state.attempts().is_empty()
    }

    fn note_peaks(&self) -> Result<()> {
        let peaks = std::mem::take(&mut *self.state.peaks.lock().unpoisoned());
        if peaks.is_empty() {
            return Ok(());
        }
        Ok(self.state.engine.store.write(move |tx| store::learned::note(tx, &peaks))?)
    }

    /// Reports only while there is work: an idle worker writes only when one of its processes starts or ends.
    fn tell_processes(&mut self) -> Result<()> {
        let processes = self.state.worker_pools.workers();
        let pids: Vec<u32> = processes.iter().map(|it| it.pid).collect();
        let works = !pids.is_empty() && !self.state.attempts().is_empty();
        if !works && pids == self.reported_pids {
            return Ok(());
        }
        let (id, text) = (self.state.id(), serde_json::to_string(&processes).unwrap_or_else(|_| "[]".into()));
        self.state.engine.store.write(move |tx| store::worker::tell_processes(tx, id, &text))?;
        self.reported_pids = pids;
        Ok(())
    }

    /// Commits of this process ring the notifies themselves. Those of other processes show in the data version.
    fn look_at_commits(&mut self, now: Monotonic) -> Result<()> {
        let version = self.watch.version()?;
        if self.version == Some(version) {
            return Ok(());
        }
        self.version = Some(version);
        self.stirred = now;
        let store = &self.state.engine.store;
        let own = self.state.id();
        let (next_due, next_wait, next_firing, watches, workers, leases, left) = store.read(|tx| {
            let left = resource_lock::left_behind(tx)?;
            let next_firing = store::schedule::next_due(tx)?;
            let (next_due, next_wait) = (idle::next_due(tx)?, store::waiting::next_due(tx)?);
            let watches = store::watch::stamp(tx)?;
            Ok((next_due, next_wait, next_firing, watches, store::worker::list(tx)?, idle::leases(tx, own)?, left))
        })?;
        self.next_due = next_due;
        self.next_wait = next_wait;
        self.next_firing = next_firing;
        if watches != self.watches {
            self.watches = watches;
            self.state.watch_waker.iter().for_each(Waker::wake);
        }
        self.locked.retain(|key, it| left.iter().any(|row| row.key == *key && row.token == it.token));
        for row in left {
            let first = Knock { token: row.token, at: now + pause_after(0), tries: 0 };
            self.locked.entry(row.key).or_insert(first);
        }
        let registered = workers.iter().any(|it| it.id == own);
        self.others = workers.into_iter().filter(|it| it.id != own).collect();
        self.state.cancel_all(&leases.cancelled, KillIntent::Cancel);
        if !registered {
            self.come_back()?;
        } else {
            self.drop_lost(&leases.live.into_iter().collect());
        }
        self.state.chore_notify.ring();
        self.state.schedule_notify.ring();
        self.state.ring();
        Ok(())
    }

    /// A reaped worker that wakes up kills its children, drops their results and registers again.
    fn come_back(&self) -> Result<()> {
        let leases: Vec<_> = self.state.attempts().keys().copied().collect();
        self.state.cancel_all(&leases, KillIntent::Shutdown);
        let heartbeat = self.state.heartbeat.thread.load(Ordering::SeqCst);
        let fresh = register_as(&self.state.engine, &self.pools, self.state.scope, heartbeat)?;
        let mut membership = self.state.membership();
        let old = std::mem::replace(&mut *membership, fresh);
        drop(membership);
        if let Some(line) = old.line {
            line.leave();
        }
        tracing::warn!(old = %old.id, new = %self.state.id(), "this worker was declared dead; it registers again");
        Ok(())
    }

    /// Stops attempts whose lease is gone, because they work in vain.
    fn drop_lost(&self, live: &HashSet<crate::model::Lease>) {
        let store = &self.state.engine.store;
        let suspects: Vec<_> = self.state.attempts().keys().filter(|it| !live.contains(it)).copied().collect();
        if suspects.is_empty() {
            return;
        }
        // An attempt that was claimed or settled since the read above is not lost.
        let Ok(now) = store.read(|tx| idle::leases(tx, self.state.id())) else { return };
        let lost: Vec<_> = suspects.into_iter().filter(|it| !now.live.contains(it)).collect();
        self.state.cancel_all(&lost, KillIntent::Shutdown);
    }

    fn due(&mut self) -> Result<()> {
        if self.next_wait.is_some_and(|due| due <= self.state.engine.store.now()) {
            // Every transaction first ends expired waits. All consumers may be busy, so this is one.
            self.state.engine.store.write(|_| Ok(()))?;
            self.next_wait = None;
        }
        if self.next_due.is_some_and(|due| due <= self.state.engine.store.now()) {
            // The claim promotes due steps, and its commit shows when the next one is due.
            self.next_due = None;
            self.state.ring();
        }
        if self.next_firing.is_some_and(|due| due <= self.state.engine.store.now()) {
            self.next_firing = None;
            self.state.schedule_notify.ring();
        }
        Ok(())
    }

    /// Checks at growing intervals whether the files of locked keys are free. If one is, the next step with that key
    /// continues.
    fn knock(&mut self, now: Monotonic) -> Result<()> {
        let engine = self.state.engine.clone();
        for (key, it) in self.locked.iter_mut().filter(|it| it.1.at <= now) {
            it.tries += 1;
            it.at = now + pause_after(it.tries);
            engine.sweep_lock(key)?;
        }
        Ok(())
    }

    fn ask_disk(&self) {
        let enough = self.state.engine.disk().enough;
        let was_low = self.state.disk_low.swap(!enough, Ordering::Relaxed);
        if was_low && enough {
            self.state.engine.restore_ballast();
            self.state.ring_all();
        }
    }

    fn judge_others(&mut self, late: Millis) -> Result<()> {
        let engine = self.state.engine.clone();
        let own = OwnTick { now: heart_time(&**engine.store.clock()), late, tolerated: engine.options.heartbeat };
        if late > own.tolerated {
            // We were suspended or starved. Send a heartbeat before judging others.
            self.state.beat();
        }
        let others = std::mem::take(&mut self.others);
        self.still.retain(|id, _| others.iter().any(|it| it.id == *id));
        let judged = others.iter().try_for_each(|it| self.judge_one(&engine, it, &own));
        self.others = others;
        judged
    }

    fn judge_one(&mut self, engine: &Engine, worker: &WorkerRow, own: &OwnTick) -> Result<()> {
        let seen = self.see(worker)?;
        let now = heart_time(&**engine.store.clock());
        let still = stillness(self.still.get(&worker.id).copied(), &seen, now);
        match still {
            Some(still) => drop(self.still.insert(worker.id, still)),
            None => drop(self.still.remove(&worker.id)),
        }
        let death = match judge(&seen, still, own, engine.options.silent_after) {
            Verdict::Dead if worker.identity.boot_id != boot_id() => Death::Rebooted,
            Verdict::Dead => Death::Died,
            Verdict::Silent => Death::Silent,
            Verdict::Well | Verdict::Dormant | Verdict::LookAgain => return Ok(()),
        };
        reap(engine, worker.id, death)?;
        Ok(())
    }

    fn see(&self, worker: &WorkerRow) -> Result<Sighting> {
        let options = &self.state.engine.options;
        let (state, mut beat) = look_at(&options.home, worker)?;
        if worker.identity.boot_id != boot_id() {
            beat = None;
        }
        let age = |it: Beat| heart_time(&**self.state.engine.store.clock()).since(it.at);
        let mut thread = None;
        if let Some(old) = beat.filter(|it| age(*it) >= Millis(2 * options.heartbeat.0)) {
            thread = heartbeat_of(worker, old.thread);
            // It may have sent a heartbeat just before the check.
            beat = liveness_lock::last_beat(&options.home, worker.id).or(beat);
        }
        Ok(Sighting {
            liveness_lock: match state {
                LockState::Free => Line::Free,
                LockState::Held => Line::Held,
            },
            heartbeat: beat.map(|it| it.at),
            heart: thread,
            has_leases: worker.running > 0 || self.runs_something(worker.id),
            is_own: false,
        })
    }

    fn runs_something(&self, worker: WorkerId) -> bool {
        let found = self.state.engine.store.read(|tx| idle::leases(tx, worker));
        found.is_ok_and(|it| !it.live.is_empty())
    }

    fn sweep_locks(&self) -> Result<()> {
        let engine = &self.state.engine;
        for row in engine.store.read(resource_lock::list)? {
            engine.sweep_lock(&row.key)?;
        }
        Ok(())
    }
}

/// The state of a worker's heartbeat thread.
fn heartbeat_of(worker: &WorkerRow, thread: u32) -> Option<ThreadLook> {
    match is_active(Failpoint::WallClockReaper) {
        true => None,
        false => {
            let seen = thread_stat::look(&worker.identity, thread)?;
            // It may wait for something that a starved thread holds.
            let excused = seen.state == ThreadState::Waits && thread_stat::is_any_at_work(&worker.identity);
            Some(if excused { ThreadLook { state: ThreadState::Runs, ..seen } } else { seen })
        }
    }
}

/// Gives back the steps of a dead or silent worker in slices, and removes the worker.
///
/// The judgement that a worker is silent is valid only for a while. If the write gets its turn much later, the worker
/// may be active again. Then nothing is taken, and the next check decides.
pub(super) fn reap(engine: &Engine, worker: WorkerId, death: Death) -> Result<usize> {
    let clock = engine.store.clock().clone();
    let until = (death == Death::Silent).then(|| clock.monotonic() + Millis(engine.options.silent_after.0 / 4));
    let mut count = 0;
    loop {
        let (clock, begun) = (clock.clone(), count > 0);
        let reaped = engine.store.write(move |tx| match until.is_some_and(|it| !begun && clock.monotonic() > it) {
            true => Ok(None),
            false => store::reap::reap(tx, worker, death, REAP_SLICE).map(Some),
        })?;
        let Some(reaped) = reaped else { return Ok(0) };
        count += reaped.len();
        if reaped.len() < REAP_SLICE {
            break;
        }
    }
    engine.metrics.count(Counter::WorkerReaped);
    if death != Death::Silent {
        let _ = std::fs::remove_file(liveness_lock::path(&engine.options.home, worker));
    }
    Ok(count)
}

impl Engine {}
