//! Which steps a claim may take: all that wait for nothing, as far as the units and the rate go.

use super::{COUNTED, FAIR_AFTER, Line, Model, Pool, RATE, Request, Step, Takes};
use std::collections::BTreeSet;

/// What is left for the next start.
struct Left {
    units: [i64; 2],
    starts: usize,
}

impl Model {
    /// Steps that wait for nothing but a place, a key, or units.
    pub fn claimable(&self) -> BTreeSet<i64> {
        self.steps.keys().copied().filter(|it| self.eligible(*it)).collect()
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

    /// Why a claim was wrong to take these steps, in this order; None: it was right. Each with whether it was handed out to fail, since
    /// there will never be enough units for it. `queue`: the queue of a type; None: some of its rows may still be in another.
    ///
    /// Which group's turn it is depends on what was claimed before, and is proved elsewhere; all other rules are here.
    pub fn fault_of_claim(
        &self,
        claim: &Request,
        claimed: &[(i64, bool)],
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
        let mut left = self.left();
        for (at, (id, impossible)) in claimed.iter().enumerate() {
            let step = &self.steps[id];
            if !wanted(id) || claimed[..at].iter().any(|it| it.0 == *id) {
                return Some(format!("s{id} is not to be claimed: {step:?}"));
            }
            if step.key.is_some_and(|key| !taken.insert(key)) {
                return Some(format!("the key of s{id} is taken"));
            }
            if *impossible != self.is_too_large(&step.takes) {
                return Some(format!(
                    "s{id} takes {:?} of {:?}: impossible is {impossible}",
                    step.takes, self.capacity
                ));
            }
            if !impossible {
                if !left.allows(&step.takes) {
                    return Some(format!("s{id} takes {:?} when too little is left", step.takes));
                }
                if let Some(line) = self.passed_by(&step.line()) {
                    return Some(format!("s{id} passes {line:?}, which has waited for too long"));
                }
                left.take(&step.takes);
            }
        }
        if claimed.len() > claim.limit {
            return Some(format!("{} steps instead of {}", claimed.len(), claim.limit));
        }
        let is_claimed = |id: &i64| claimed.iter().any(|it| it.0 == *id);
        let rest = self.steps.keys().copied().filter(|id| wanted(id) && !is_claimed(id) && !claim.late.contains(id));
        let rest: Vec<i64> = rest.filter(|id| !self.runs[&self.steps[id].run].paused).collect();
        let free = |id: &&i64| self.steps[*id].key.is_none_or(|key| !taken.contains(&key));
        let all = matches!(claim.pool, Pool::Any) && claim.scope.is_none();
        let may_start = |id: &&i64| {
            let takes = &self.steps[*id].takes;
            let units = takes.is_nothing() || (all && !self.is_too_large(takes) && left.allows(takes));
            units && !self.is_kept_from(**id) && !self.is_behind_taker(**id)
        };
        let full = claimed.len() == claim.limit;
        if let Some(left) = rest.iter().filter(free).find(may_start).filter(|_| !full) {
            return Some(format!("s{left} was left: {:?}", self.steps[left]));
        }
        for left in rest.iter().filter(free).filter(|id| self.is_head(**id)) {
            let behind = |id: &&(i64, bool)| {
                let (left_step, step) = (&self.steps[left], &self.steps[&id.0]);
                let line = queue(&step.step_type);
                let same_queue = line.is_some() && line == queue(&left_step.step_type);
                let (both, none) = (step.takes == left_step.takes, left_step.takes.is_nothing());
                // Steps that take the same wait in one line, and the others in the queue.
                let same_line = if none { same_queue } else { step.step_type == left_step.step_type };
                (none && left_step.priority > step.priority)
                    || (both && same_line && step.group == left_step.group && *left < id.0)
            };
            if let Some((id, _)) = claimed.iter().find(behind) {
                return Some(format!("s{id} was claimed before s{left}"));
            }
        }
        None
    }

    /// After a claim for every step that got fewer than it asked for: what is left has to wait.
    pub fn note_refused(&mut self, claim: &Request, claimed: usize) {
        if matches!(claim.pool, Pool::Any) && claim.scope.is_none() && claim.late.is_empty() && claimed < claim.limit {
            for id in self.steps.keys().copied().filter(|it| self.has_to_wait(*it)).collect::<Vec<_>>() {
                self.refused.entry(self.steps[&id].line()).or_insert(self.now);
            }
        }
    }

    /// After whatever happened: which lines have steps, and which have one that has had to wait ever since.
    pub fn note_lines(&mut self) {
        let line = |id: &i64| self.steps[id].line();
        let taking = || self.steps.iter().filter(|it| !it.1.takes.is_nothing()).map(|it| *it.0);
        let full: BTreeSet<Line> = taking().filter(|it| self.waits(*it)).map(|it| line(&it)).collect();
        let refused: BTreeSet<Line> = taking().filter(|it| self.has_to_wait(*it)).map(|it| line(&it)).collect();
        self.lines.retain(|it, _| full.contains(it));
        for line in full {
            self.lines.entry(line).or_insert(self.now);
        }
        self.refused.retain(|it, _| refused.contains(it));
    }

    /// Whether a step could start but for the units that are in use.
    fn has_to_wait(&self, id: i64) -> bool {
        let step = &self.steps[&id];
        let takes = &step.takes;
        let waits = !takes.is_nothing() && !takes.rated && step.key.is_none() && !self.runs[&step.run].paused;
        waits && self.eligible(id) && !self.is_too_large(takes) && !self.left().allows(takes)
    }

    fn is_too_large(&self, takes: &Takes) -> bool {
        takes.units.iter().zip(self.capacity).any(|(units, capacity)| *units > capacity)
    }

    fn left(&self) -> Left {
        let mut units = self.capacity;
        for lease in self.steps.values().filter_map(|it| it.lease.as_ref()) {
            (0..COUNTED.len()).for_each(|no| units[no] -= lease.units[no]);
        }
        let recent = self.starts.iter().filter(|it| self.elapsed - **it < RATE.1).count();
        Left { units, starts: RATE.0.saturating_sub(recent) }
    }

    /// A line that has waited for too long for what a start of this one takes, and was there before any step of it.
    fn passed_by(&self, own: &Line) -> Option<&Line> {
        let since = self.lines.get(own).copied().unwrap_or(self.now);
        let passed = |(line, at): (&Line, &i64)| {
            line != own && line.0.shares(&own.0) && self.now - at >= FAIR_AFTER && since > *at
        };
        self.refused.iter().find(|it| passed(*it)).map(|it| it.0)
    }

    /// Whether a line that may have waited for too long keeps a step from what it takes.
    fn is_kept_from(&self, id: i64) -> bool {
        let own = self.steps[&id].line();
        let long = |since: i64| self.now.saturating_sub(since) >= FAIR_AFTER;
        self.lines.iter().any(|(line, since)| *line != own && line.0.shares(&own.0) && long(*since))
    }

    /// Whether a step of the same key that takes something else is before it in the line of the key.
    fn is_behind_taker(&self, id: i64) -> bool {
        let takes = |it: &Step| !it.takes.is_nothing();
        self.before(id).any(|it| takes(&self.steps[&it]))
    }

    /// Whether no step that waits for the same key, of its type and scope, goes before it.
    fn is_head(&self, id: i64) -> bool {
        self.before(id).next().is_none()
    }

    /// The steps that wait for the same key and go before a step.
    fn before(&self, id: i64) -> impl Iterator<Item = i64> {
        let step = &self.steps[&id];
        let rank = |id: i64| (-self.steps[&id].priority, self.steps[&id].due, id);
        let same = move |it: &Step| {
            step.key.is_some() && it.key == step.key && it.step_type == step.step_type && it.scope == step.scope
        };
        let all = self.steps.iter().filter(move |it| same(it.1)).map(|it| *it.0);
        all.filter(move |other| rank(*other) < rank(id) && self.waits(*other))
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
}

impl Left {
    fn allows(&self, takes: &Takes) -> bool {
        let enough = takes.units.iter().zip(self.units).all(|(units, left)| *units == 0 || *units <= left);
        enough && (!takes.rated || self.starts > 0)
    }

    fn take(&mut self, takes: &Takes) {
        (0..COUNTED.len()).for_each(|no| self.units[no] -= takes.units[no]);
        self.starts -= usize::from(takes.rated);
    }
}
