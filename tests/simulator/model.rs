//! What the store should do, as plain values: no queues, no turns, no cursors, no sums. A step is claimable when the rules
//! of the contract say so, and everything is computed anew whenever it is asked.

mod claims;
mod control;
mod ends;

use std::collections::{BTreeMap, BTreeSet};
use windlass::model::{After, Shape, Status};

pub const KEYS: [&str; 2] = ["k0", "k1"];
pub const TYPES: [&str; 3] = ["a", "b", "c"];
/// Resources with units.
pub const COUNTED: [&str; 2] = ["x", "y"];
/// So many starts in any window of so many milliseconds, for steps that are rated.
pub const RATE: (usize, i64) = (2, 4_000);
/// Once a step has waited so long for units, nothing that came later takes them.
pub const FAIR_AFTER: i64 = 30_000;

/// What a step takes while it runs: units of each resource, and a start under the rate.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Takes {
    pub units: [i64; 2],
    pub rated: bool,
}

impl Takes {
    pub fn is_nothing(&self) -> bool {
        *self == Takes::default()
    }

    fn shares(&self, other: &Takes) -> bool {
        self.units.iter().zip(other.units).any(|(own, other)| *own > 0 && other > 0)
    }
}

/// Steps of one type that take the same wait in one line.
pub type Line = (Takes, String);

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
    pub cancel_requested: bool,
    /// The units that it holds.
    pub units: [i64; 2],
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
    pub takes: Takes,
    pub priority: i64,
    pub due: i64,
    pub scope: i64,
    /// PENDING or ERROR while it waits.
    pub status: Status,
    pub attempts: i64,
    pub delayed: bool,
    /// While it is WAITING.
    pub wait: Option<Wait>,
    /// The group that it started.
    pub child: Option<i64>,
    pub lease: Option<Lease>,
}

impl Step {
    fn line(&self) -> Line {
        (self.takes, self.step_type.clone())
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wait {
    /// When it ends by itself, if at all, and whether its step completes then.
    Until { due: Option<i64>, completes: bool },
    /// For the end of this group. `back`: what the step is if it starts again.
    Children { group: i64, back: Status },
}

#[derive(Debug, Clone)]
pub struct Run {
    pub group: i64,
    pub steps: Vec<i64>,
    pub opened: bool,
    pub ended: bool,
    /// Its group was paused when it was cancelled, and no slice of that cancel has reached it: what a cancel starts may still be
    /// paused.
    pub paused: bool,
}

/// What a step says of the group that it starts.
#[derive(Debug, Clone, Copy, Default)]
pub struct Child {
    /// How many runs may be lost before the step fails.
    pub tolerate: usize,
    /// How many runs are open side by side.
    pub at_most: Option<usize>,
}

#[derive(Debug, Clone, Default)]
pub struct Group {
    pub runs: Vec<i64>,
    /// Its submission is acknowledged.
    pub sealed: bool,
    /// The step that started it.
    pub parent: Option<i64>,
    pub child: Child,
    /// Its step was asked to stop, or has ended without it.
    pub cancel_requested: bool,
    /// Its step was retried, and what failed in it was not yet.
    pub again: bool,
    /// It is paused because the group of its step is.
    pub held: bool,
    /// A run of it was retried while it was open: that one runs beside the others.
    pub crowded: bool,
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
    /// How many units there are of each resource.
    pub capacity: [i64; 2],
    /// The monotonic clock, and its times of the starts under the rate.
    pub elapsed: i64,
    pub starts: Vec<i64>,
    /// Since when each line has had steps without a break, and no start.
    pub lines: BTreeMap<Line, i64>,
    /// When a step of a line had to wait because there were too few units; it could not have started since.
    pub refused: BTreeMap<Line, i64>,
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
pub struct Request {
    pub pool: Pool,
    pub scope: Option<i64>,
    pub limit: usize,
    /// Steps that become claimable with the end of the transaction that the claim is in.
    pub late: BTreeSet<i64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    Complete,
    Fail,
    Skip,
    Retry(i64),
    Release(Option<i64>),
    Cancelled,
    Wait {
        due: Option<i64>,
        completes: bool,
    },
    /// Waits for the end of the group that it started.
    Children(i64),
}

/// A run to add, and what its steps are.
pub struct NewRun<'a> {
    pub shape: &'a Shape,
    pub keys: &'a [Option<usize>],
    pub takes: &'a [Takes],
    pub priority: i64,
    pub scope: i64,
}

impl Model {
    /// Every transaction first promotes what is due. True when something was.
    pub fn tick(&mut self, now: i64, elapsed: i64) -> bool {
        if now < self.now {
            // Whoever waits since a time that is to come has waited long enough.
            self.lines.values_mut().for_each(|since| *since = i64::MIN);
            self.refused.clear();
        }
        (self.now, self.elapsed) = (now, elapsed);
        let due = self.steps.values_mut().filter(|it| it.delayed && it.due <= now);
        let promoted = due.map(|it| it.delayed = false).count() > 0;
        let over = |step: &Step| match step.wait {
            Some(Wait::Until { due, .. }) => due.filter(|due| *due <= now),
            _ => None,
        };
        let mut waits: Vec<(i64, i64)> = self.steps.iter().filter_map(|(id, it)| Some((over(it)?, *id))).collect();
        waits.sort_unstable();
        for (_, id) in &waits {
            // The end of one may have cancelled the next.
            if let Some(Wait::Until { completes, .. }) = self.steps[id].wait {
                self.end_wait(*id, completes);
            }
        }
        promoted || !waits.is_empty()
    }

    /// Ends a wait for a time or an answer; false: the step does not wait.
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

    /// Steps that wait for a time or an answer.
    pub fn waiting(&self) -> Vec<i64> {
        let until = |it: &Step| matches!(it.wait, Some(Wait::Until { .. }));
        self.steps.iter().filter(|(_, it)| until(it)).map(|it| *it.0).collect()
    }

    /// A group that is being built. `parent`: the step that starts it.
    pub fn create(&mut self, id: i64, parent: Option<(i64, Child)>) {
        let mut group = Group::default();
        if let Some((step, child)) = parent {
            let above = &self.groups[&self.steps[&step].group];
            (group.parent, group.child) = (Some(step), child);
            (group.paused, group.held) = (above.paused, above.paused);
            self.steps.get_mut(&step).unwrap().child = Some(id);
        }
        self.groups.insert(id, group);
    }

    pub fn add_run(&mut self, group: i64, (run, first): (i64, i64), new: &NewRun) {
        let steps: Vec<i64> = (0..new.shape.steps.len() as i64).map(|no| first + no).collect();
        for (no, kind) in new.shape.steps.iter().enumerate() {
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
                key: new.keys.get(no).copied().flatten(),
                takes: new.takes.get(no).copied().unwrap_or_default(),
                priority: new.priority,
                due: self.now,
                scope: new.scope,
                status: Status::Pending,
                attempts: 0,
                delayed: false,
                wait: None,
                child: None,
                lease: None,
            };
            self.steps.insert(first + no as i64, step);
        }
        self.runs.insert(run, Run { group, steps, opened: false, ended: false, paused: false });
        self.groups.get_mut(&group).unwrap().runs.push(run);
    }

    /// The group is acknowledged; one that nobody waits for is cancelled.
    pub fn seal(&mut self, id: i64) {
        let group = self.groups.get_mut(&id).unwrap();
        group.sealed = true;
        let unwanted = group.cancel_requested || group.parent.is_some_and(|it| self.steps[&it].status.is_terminal());
        if unwanted {
            self.cancel_group(id);
        }
        self.end_group(id);
    }

    /// Its builder died before the seal.
    pub fn remove(&mut self, id: i64) {
        let group = self.groups.remove(&id).unwrap();
        for run in group.runs {
            for step in self.runs.remove(&run).unwrap().steps {
                self.steps.remove(&step);
            }
        }
        if let Some(parent) = group.parent {
            self.steps.get_mut(&parent).unwrap().child = None;
        }
    }

    /// The runs of a group begin, as many as may go side by side.
    pub fn open_runs(&mut self, id: i64) {
        let group = &self.groups[&id];
        let mut room = group.child.at_most.unwrap_or(usize::MAX);
        room = room.saturating_sub(group.runs.iter().filter(|it| self.is_active(**it)).count());
        for run in group.runs.clone() {
            let run = self.runs.get_mut(&run).unwrap();
            if run.opened {
                continue;
            }
            // What was cancelled before it began takes no room.
            if !run.ended {
                let Some(left) = room.checked_sub(1) else { return };
                room = left;
            }
            run.opened = true;
        }
    }

    fn is_active(&self, run: i64) -> bool {
        self.runs[&run].opened && !self.runs[&run].ended
    }

    /// Groups with more runs side by side than their steps say.
    pub fn overfull(&self) -> Option<i64> {
        let active = |it: &Group| it.runs.iter().filter(|it| self.is_active(**it)).count();
        let over = |it: &Group| !it.crowded && it.child.at_most.is_some_and(|most| active(it) > most);
        self.groups.iter().find(|it| over(it.1)).map(|it| *it.0)
    }

    pub fn status(&self, id: i64) -> Status {
        let step = &self.steps[&id];
        if step.lease.is_some() { Status::Running } else { step.status }
    }

    fn open(&self, id: i64) -> bool {
        !self.steps[&id].status.is_terminal()
    }

    pub fn claimed(&mut self, id: i64, token: i64, worker: i64, impossible: bool) {
        let now = self.now;
        let step = self.steps.get_mut(&id).unwrap();
        let units = if impossible { [0, 0] } else { step.takes.units };
        step.lease = Some(Lease { token, worker, due: step.due, cancel_requested: false, units });
        if step.takes.rated && !impossible {
            self.starts.push(self.elapsed);
        }
        self.refused.remove(&step.line());
        self.lines.insert(step.line(), now);
        if let Some(key) = step.key {
            self.held.insert(key, Holder::Step(token));
        }
    }

    /// False: the lease was lost.
    pub fn settle(&mut self, id: i64, token: i64, ending: Ending) -> bool {
        let cancelling = self.groups[&self.steps[&id].group].cancelling;
        let step = self.steps.get_mut(&id).unwrap();
        let Some(lease) = step.lease.take_if(|it| it.token == token) else { return false };
        let stops = lease.cancel_requested || (cancelling && !step.on_cancel_run);
        // What is given back without a word leaves no trace.
        step.begun |= lease.cancel_requested || !matches!(ending, Ending::Release(_));
        let back = if step.status == Status::Error { Status::Error } else { Status::Pending };
        step.attempts +=
            i64::from(!matches!(ending, Ending::Release(_) | Ending::Skip | Ending::Wait { .. } | Ending::Children(_)));
        match ending {
            Ending::Complete => step.status = Status::Completed,
            Ending::Fail => step.status = Status::Failed,
            Ending::Skip => step.status = Status::Skipped,
            Ending::Children(_) => {}
            Ending::Retry(_) | Ending::Release(_) | Ending::Wait { .. } if lease.cancel_requested => {
                step.status = Status::Cancelled;
            }
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
            Ending::Wait { due: Some(due), completes } if due <= self.now => {
                step.status = if completes { Status::Completed } else { Status::Failed };
                step.attempts += 1;
            }
            Ending::Wait { due, completes } => {
                (step.status, step.wait) = (Status::Waiting, Some(Wait::Until { due, completes }));
            }
        }
        self.let_go(token);
        match ending {
            Ending::Children(group) => self.wait_for(id, group, back, stops),
            _ => self.after_end(id),
        }
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
            if lease.cancel_requested {
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
}
