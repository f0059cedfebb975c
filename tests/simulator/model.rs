//! What the store should do, as plain values: no queues, no turns, no cursors, no sums. A step is claimable when the rules
//! of the contract say so, and everything is computed anew whenever it is asked.

use std::collections::{BTreeMap, BTreeSet};
use windlass::model::{After, Shape, Status};

pub const KEYS: [&str; 2] = ["k0", "k1"];
pub const TYPES: [&str; 3] = ["a", "b", "c"];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Holder {
    /// The lease token.
    Step(i64),
    /// The token of a lock that somebody outside took.
    Outside(i64),
}

#[derive(Debug, Clone)]
pub struct Lease {
    pub token: i64,
    pub worker: i64,
    /// When the step was due as it was claimed.
    pub due: i64,
    pub asked: bool,
}

#[derive(Debug, Clone)]
pub struct Step {
    pub run: i64,
    pub group: i64,
    pub needs: Vec<i64>,
    pub after: After,
    pub allow_failure: bool,
    pub on_cancel_run: bool,
    /// The canceller is a failure: what follows failures follows this, too.
    pub by_failure: bool,
    /// An attempt of it left a trace.
    pub begun: bool,
    pub step_type: String,
    pub key: Option<usize>,
    pub priority: i64,
    pub due: i64,
    pub scope: i64,
    /// PENDING or ERROR while it waits.
    pub status: Status,
    pub attempts: i64,
    pub delayed: bool,
    /// While it is WAITING.
    pub wait: Option<Wait>,
    pub lease: Option<Lease>,
}

/// When a wait ends by itself, and whether its step completes then.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wait {
    pub due: Option<i64>,
    pub completes: bool,
}

#[derive(Debug, Clone)]
pub struct Run {
    pub group: i64,
    pub steps: Vec<i64>,
    pub opened: bool,
    pub ended: bool,
    /// Its group was paused when it was cancelled, and no slice of that cancel has reached it: what a cancel starts may still be
    /// paused.
    pub parked: bool,
}

#[derive(Debug, Clone, Default)]
pub struct Group {
    pub runs: Vec<i64>,
    pub paused: bool,
    pub cancelling: bool,
    /// The last run that a retry under way has looked at.
    pub reopening: Option<i64>,
    pub ended: bool,
    pub ends: usize,
}

#[derive(Debug, Clone, Default)]
pub struct Model {
    pub now: i64,
    pub steps: BTreeMap<i64, Step>,
    pub runs: BTreeMap<i64, Run>,
    pub groups: BTreeMap<i64, Group>,
    pub held: BTreeMap<usize, Holder>,
    pub paused_types: BTreeSet<String>,
}

/// What a worker asks for.
#[derive(Debug, Clone)]
pub enum Pool {
    Any,
    Only(String),
    AllBut(String),
}

/// A claim.
#[derive(Debug, Clone)]
pub struct Asked {
    pub pool: Pool,
    pub scope: Option<i64>,
    pub limit: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    Complete,
    Fail,
    Skip,
    Retry(i64),
    Release(Option<i64>),
    Cancelled,
    Wait(Wait),
}

impl Model {
    /// Every transaction first promotes what is due. True when something was.
    pub fn tick(&mut self, now: i64) -> bool {
        self.now = now;
        let due = self.steps.values_mut().filter(|it| it.delayed && it.due <= now);
        let promoted = due.map(|it| it.delayed = false).count() > 0;
        let over = |step: &Step| step.wait.and_then(|it| it.due).filter(|due| *due <= now);
        let mut waits: Vec<(i64, i64)> = self.steps.iter().filter_map(|(id, it)| Some((over(it)?, *id))).collect();
        waits.sort_unstable();
        for (_, id) in &waits {
            // The end of one may have cancelled the next.
            if let Some(wait) = self.steps[id].wait {
                self.end_wait(*id, wait.completes);
            }
        }
        promoted || !waits.is_empty()
    }

    /// Ends a wait; false: the step does not wait.
    pub fn end_wait(&mut self, id: i64, completes: bool) -> bool {
        let step = self.steps.get_mut(&id).unwrap();
        if step.wait.take().is_none() {
            return false;
        }
        step.status = if completes { Status::Completed } else { Status::Failed };
        step.attempts += 1;
        self.after_end(id);
        true
    }

    pub fn waiting(&self) -> Vec<i64> {
        self.steps.iter().filter(|(_, it)| it.wait.is_some()).map(|it| *it.0).collect()
    }

    pub fn submit(&mut self, group: i64, runs: &[(i64, i64)], shape: &Shape, keys: &[Option<usize>], new: (i64, bool)) {
        let (priority, scoped) = new;
        for &(run, first) in runs {
            let steps: Vec<i64> = (0..shape.steps.len() as i64).map(|no| first + no).collect();
            for (no, kind) in shape.steps.iter().enumerate() {
                let step = Step {
                    run,
                    group,
                    needs: kind.needs.iter().map(|&it| first + it as i64).collect(),
                    after: kind.after,
                    allow_failure: kind.allow_failure,
                    on_cancel_run: kind.on_cancel_run,
                    by_failure: false,
                    begun: false,
                    step_type: kind.step_type.clone(),
                    key: keys.get(no).copied().flatten(),
                    priority,
                    due: self.now,
                    scope: if scoped { group } else { 0 },
                    status: Status::Pending,
                    attempts: 0,
                    delayed: false,
                    wait: None,
                    lease: None,
                };
                self.steps.insert(first + no as i64, step);
            }
            self.runs.insert(run, Run { group, steps, opened: false, ended: false, parked: false });
        }
        let runs: Vec<i64> = runs.iter().map(|it| it.0).collect();
        let ended = runs.is_empty();
        self.groups.insert(group, Group { runs, ended, ends: ended.into(), ..Group::default() });
    }

    pub fn status(&self, id: i64) -> Status {
        let step = &self.steps[&id];
        if step.lease.is_some() { Status::Running } else { step.status }
    }

    fn open(&self, id: i64) -> bool {
        !self.steps[&id].status.is_terminal()
    }

    fn eligible(&self, id: i64) -> bool {
        let step = &self.steps[&id];
        let group = &self.groups[&step.group];
        self.open(id)
            && step.lease.is_none()
            && !step.delayed
            && step.wait.is_none()
            && self.runs[&step.run].opened
            && step.needs.iter().all(|need| !self.open(*need))
            && if group.cancelling { step.on_cancel_run } else { !group.paused }
            && !self.paused_types.contains(&step.step_type)
    }

    /// Why a claim was wrong to take these steps, in this order; None: it was right. `queue`: the queue of a type;
    /// None: some of its rows may still be in another.
    ///
    /// Which group's turn it is depends on what was claimed before, and is proved elsewhere; all other rules are here.
    pub fn fault_of_claim(
        &self,
        claim: &Asked,
        claimed: &[i64],
        queue: impl Fn(&str) -> Option<String>,
    ) -> Option<String> {
        let fits = |step: &Step| match &claim.pool {
            Pool::Any => true,
            Pool::Only(name) => step.step_type == *name,
            Pool::AllBut(name) => step.step_type != *name,
        };
        let wanted = |id: &i64| {
            let step = &self.steps[id];
            self.eligible(*id) && fits(step) && claim.scope.is_none_or(|it| step.scope == it)
        };
        let mut taken: BTreeSet<usize> = self.held.keys().copied().collect();
        for (at, id) in claimed.iter().enumerate() {
            let step = &self.steps[id];
            if !wanted(id) || claimed[..at].contains(id) {
                return Some(format!("s{id} is not to be claimed: {step:?}"));
            }
            if step.key.is_some_and(|key| !taken.insert(key)) {
                return Some(format!("the key of s{id} is taken"));
            }
        }
        if claimed.len() > claim.limit {
            return Some(format!("{} steps instead of {}", claimed.len(), claim.limit));
        }
        let rest = self.steps.keys().copied().filter(|id| wanted(id) && !claimed.contains(id));
        let rest: Vec<i64> = rest.filter(|id| !self.runs[&self.steps[id].run].parked).collect();
        let free = |id: &&i64| self.steps[*id].key.is_none_or(|key| !taken.contains(&key));
        if let Some(left) = rest.iter().find(free).filter(|_| claimed.len() < claim.limit) {
            return Some(format!("s{left} was left: {:?}", self.steps[left]));
        }
        for left in rest.iter().filter(free).filter(|id| self.is_head(**id)) {
            let behind = |id: &&i64| {
                let (left_step, step) = (&self.steps[left], &self.steps[*id]);
                let line = queue(&step.step_type);
                let same_line = step.group == left_step.group && line.is_some() && line == queue(&left_step.step_type);
                left_step.priority > step.priority || (same_line && left < *id)
            };
            if let Some(id) = claimed.iter().find(behind) {
                return Some(format!("s{id} was claimed before s{left}"));
            }
        }
        None
    }

    /// Whether no step that waits for the same key, of its type and scope, goes before it.
    fn is_head(&self, id: i64) -> bool {
        let step = &self.steps[&id];
        let rank = |id: i64| (-self.steps[&id].priority, self.steps[&id].due, id);
        step.key.is_none()
            || !self.steps.iter().any(|(other, it)| {
                it.key == step.key
                    && it.step_type == step.step_type
                    && it.scope == step.scope
                    && rank(*other) < rank(id)
                    && self.waits(*other)
            })
    }

    /// Whether it stands where steps of its key stand: claimable, but for its group or its type.
    fn waits(&self, id: i64) -> bool {
        let step = &self.steps[&id];
        self.open(id)
            && step.lease.is_none()
            && !step.delayed
            && step.wait.is_none()
            && self.runs[&step.run].opened
            && step.needs.iter().all(|need| !self.open(*need))
    }

    pub fn claimed(&mut self, id: i64, token: i64, worker: i64) {
        let step = self.steps.get_mut(&id).unwrap();
        step.lease = Some(Lease { token, worker, due: step.due, asked: false });
        if let Some(key) = step.key {
            self.held.insert(key, Holder::Step(token));
        }
    }

    /// False: the lease was lost.
    pub fn settle(&mut self, id: i64, token: i64, ending: Ending) -> bool {
        let step = self.steps.get_mut(&id).unwrap();
        let Some(lease) = step.lease.take_if(|it| it.token == token) else { return false };
        // What is given back without a word leaves no trace.
        step.begun |= lease.asked || !matches!(ending, Ending::Release(_));
        let back = if step.status == Status::Error { Status::Error } else { Status::Pending };
        step.attempts += i64::from(!matches!(ending, Ending::Release(_) | Ending::Skip | Ending::Wait(_)));
        match ending {
            Ending::Complete => step.status = Status::Completed,
            Ending::Fail => step.status = Status::Failed,
            Ending::Skip => step.status = Status::Skipped,
            Ending::Retry(_) | Ending::Release(_) | Ending::Wait(_) if lease.asked => step.status = Status::Cancelled,
            Ending::Cancelled => step.status = Status::Cancelled,
            Ending::Retry(due) => {
                step.status = Status::Error;
                step.due = due;
                step.delayed = due > self.now;
            }
            Ending::Release(None) => step.status = back,
            Ending::Release(Some(due)) => {
                step.status = back;
                step.delayed = due != lease.due && due > self.now;
                step.due = due;
            }
            // What is over already does not wait.
            Ending::Wait(wait) if wait.due.is_some_and(|due| due <= self.now) => {
                step.status = if wait.completes { Status::Completed } else { Status::Failed };
                step.attempts += 1;
            }
            Ending::Wait(wait) => (step.status, step.wait) = (Status::Waiting, Some(wait)),
        }
        self.let_go(token);
        self.after_end(id);
        true
    }

    pub fn reap(&mut self, worker: i64, silent: bool) -> usize {
        let mine: Vec<i64> = self
            .steps
            .iter()
            .filter(|(_, it)| it.lease.as_ref().is_some_and(|it| it.worker == worker))
            .map(|it| *it.0)
            .collect();
        for &id in &mine {
            let step = self.steps.get_mut(&id).unwrap();
            let Some(lease) = step.lease.take() else { continue };
            step.begun = true;
            if lease.asked {
                step.status = Status::Cancelled;
                step.attempts += 1;
            }
            if !silent {
                self.let_go(lease.token);
            }
            self.after_end(id);
        }
        mine.len()
    }

    fn let_go(&mut self, token: i64) {
        self.held.retain(|_, holder| *holder != Holder::Step(token));
    }

    /// Drops the keys that no running step holds.
    pub fn sweep(&mut self) {
        let live: Vec<i64> = self.steps.values().filter_map(|it| it.lease.as_ref().map(|it| it.token)).collect();
        self.held.retain(|_, holder| matches!(holder, Holder::Step(token) if live.contains(token)));
    }

    /// What follows from the end of a step: those that need it are cancelled, skipped, or may run; its run and its group end.
    fn after_end(&mut self, id: i64) {
        let run = self.steps[&id].run;
        if !self.open(id) {
            self.follow(id);
        }
        self.end_run(run);
    }

    /// The end of a step reaches those that need it directly; what ends by that, those behind it.
    fn follow(&mut self, id: i64) {
        let dependents: Vec<i64> = self.steps.iter().filter(|(_, it)| it.needs.contains(&id)).map(|it| *it.0).collect();
        for dependent in dependents {
            if !self.open(dependent) {
                continue;
            }
            let cancelling = self.groups[&self.steps[&id].group].cancelling;
            let (step, need) = (&self.steps[&dependent], &self.steps[&id]);
            let counts = need.status == Status::Failed && !need.allow_failure;
            let cancelled = need.status == Status::Cancelled;
            let (ends, by_failure) = match step.after {
                After::Success => (counts || cancelled, counts || (cancelled && need.by_failure)),
                _ => (cancelled && !need.by_failure && !step.on_cancel_run, false),
            };
            let ends = ends || (cancelling && !step.on_cancel_run);
            let whole = step.needs.iter().all(|it| !self.open(*it));
            let failed = |it: &i64| match &self.steps[it] {
                it if it.status == Status::Failed => true,
                it => it.status == Status::Cancelled && (it.by_failure || step.on_cancel_run),
            };
            let skips = whole && step.after == After::Failure && !step.needs.iter().any(failed);
            let step = self.steps.get_mut(&dependent).unwrap();
            if ends {
                (step.status, step.by_failure, step.wait) = (Status::Cancelled, by_failure, None);
                self.follow(dependent);
            } else if skips {
                step.status = Status::Skipped;
                self.follow(dependent);
            }
        }
    }

    fn end_run(&mut self, id: i64) {
        if self.runs[&id].steps.iter().any(|it| self.open(*it)) {
            return;
        }
        let run = self.runs.get_mut(&id).unwrap();
        run.ended = true;
        let group = run.group;
        self.end_group(group);
    }

    fn end_group(&mut self, id: i64) {
        let group = &self.groups[&id];
        if group.ended || group.reopening.is_some() || group.runs.iter().any(|it| !self.runs[it].ended) {
            return;
        }
        let group = self.groups.get_mut(&id).unwrap();
        group.ended = true;
        group.ends += 1;
        group.paused = false;
        group.cancelling = false;
    }

    pub fn cancel_step(&mut self, id: i64) {
        let step = self.steps.get_mut(&id).unwrap();
        if step.status.is_terminal() {
            return;
        }
        match &mut step.lease {
            Some(lease) => lease.asked = true,
            None => {
                (step.status, step.wait) = (Status::Cancelled, None);
                self.after_end(id);
            }
        }
    }

    pub fn cancel_run(&mut self, id: i64) {
        self.runs.get_mut(&id).unwrap().parked = false;
        let steps = self.runs[&id].steps.clone();
        let begun = steps.iter().any(|it| self.steps[it].begun || self.steps[it].lease.is_some());
        let stays = |step: &Step| begun && step.on_cancel_run;
        let out: Vec<i64> = steps.into_iter().filter(|it| self.open(*it) && !stays(&self.steps[it])).collect();
        let mut ended = Vec::new();
        for id in out {
            let step = self.steps.get_mut(&id).unwrap();
            match &mut step.lease {
                Some(lease) => lease.asked = true,
                None => {
                    (step.status, step.wait) = (Status::Cancelled, None);
                    ended.push(id);
                }
            }
        }
        for id in ended {
            self.follow(id);
        }
        self.end_run(id);
    }

    pub fn cancel_group(&mut self, id: i64) {
        let group = self.groups.get_mut(&id).unwrap();
        if group.ended {
            return;
        }
        group.cancelling = true;
        if group.paused {
            for run in group.runs.clone() {
                self.runs.get_mut(&run).unwrap().parked = true;
            }
        }
        self.stop_retry(id);
    }

    /// Whether the retry is allowed, and begun or under way.
    pub fn retry_group(&mut self, id: i64) -> Option<bool> {
        let lost = self.groups[&id].runs.iter().any(|it| self.lost(*it));
        let group = self.groups.get_mut(&id).unwrap();
        if group.reopening.is_some() {
            return Some(true);
        }
        if !group.ended {
            return None;
        }
        if lost {
            group.ended = false;
            group.reopening = Some(0);
        }
        Some(lost)
    }

    /// Re-opens the next run of a group; false: that was all.
    pub fn retry_slice(&mut self, id: i64) -> bool {
        let Some(after) = self.groups[&id].reopening else { return false };
        let next = self.groups[&id].runs.iter().copied().find(|it| *it > after && self.lost(*it));
        match next {
            Some(run) => {
                self.groups.get_mut(&id).unwrap().reopening = Some(run);
                self.runs.get_mut(&run).unwrap().opened = true;
                self.reopen(run);
                true
            }
            None => {
                self.stop_retry(id);
                false
            }
        }
    }

    fn stop_retry(&mut self, id: i64) {
        let group = self.groups.get_mut(&id).unwrap();
        if group.reopening.take().is_some() {
            for run in group.runs.clone() {
                self.runs.get_mut(&run).unwrap().opened = true;
            }
            self.end_group(id);
        }
    }

    /// The number of steps that are PENDING again; None: refused.
    pub fn retry_run(&mut self, id: i64) -> Option<usize> {
        let group = self.runs[&id].group;
        let facts = self.groups.get_mut(&group).unwrap();
        if !self.runs[&id].ended || facts.cancelling || facts.reopening.is_some() {
            return None;
        }
        if !self.lost(id) {
            return Some(0);
        }
        let facts = self.groups.get_mut(&group).unwrap();
        if facts.ended {
            facts.ended = false;
            for run in facts.runs.clone() {
                self.runs.get_mut(&run).unwrap().opened = true;
            }
        }
        Some(self.reopen(id))
    }

    fn lost(&self, run: i64) -> bool {
        let lost = |id: &i64| match &self.steps[id] {
            it if it.status == Status::Failed => !it.allow_failure,
            it => it.status == Status::Cancelled,
        };
        self.runs[&run].ended && self.runs[&run].steps.iter().any(lost)
    }

    fn reopen(&mut self, id: i64) -> usize {
        (self.runs.get_mut(&id).unwrap().ended, self.runs.get_mut(&id).unwrap().parked) = (false, false);
        let mut again: Vec<i64> = Vec::new();
        for id in self.runs[&id].steps.clone() {
            let step = &self.steps[&id];
            let lost = matches!(step.status, Status::Failed | Status::Cancelled);
            let decided = step.status == Status::Skipped || step.after != After::Success;
            if lost || (decided && step.needs.iter().any(|it| again.contains(it))) {
                again.push(id);
            }
        }
        for id in &again {
            let step = self.steps.get_mut(id).unwrap();
            step.status = Status::Pending;
            step.attempts = 0;
            step.due = self.now;
            step.delayed = false;
            step.by_failure = false;
        }
        // What follows a failure may have none to wait for any more.
        for id in again.clone() {
            let step = &self.steps[&id];
            let completed = |it: &i64| matches!(self.steps[it].status, Status::Completed | Status::Skipped);
            if step.after == After::Failure && step.needs.iter().all(completed) {
                self.steps.get_mut(&id).unwrap().status = Status::Skipped;
                self.follow(id);
            }
        }
        self.end_run(id);
        again.len()
    }

    pub fn adopt(&mut self, id: i64) {
        for step in self.steps.values_mut().filter(|it| it.group == id && !it.status.is_terminal() && it.scope == 0) {
            step.scope = id;
        }
    }
}
