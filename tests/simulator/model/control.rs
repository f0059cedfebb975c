//! Cancel, retry, pause, and the scope of `run --resume`.

use super::{Model, Step, Wait};
use windlass::model::{After, Status};

impl Model {
    pub fn cancel_step(&mut self, id: i64) {
        let step = self.steps.get_mut(&id).unwrap();
        if step.status.is_terminal() {
            return;
        }
        match (&mut step.lease, step.wait) {
            (Some(lease), _) => lease.cancel_requested = true,
            (None, Some(Wait::Children { group, .. })) => self.ask(group),
            (None, _) => {
                (step.status, step.wait) = (Status::Cancelled, None);
                self.after_end(id);
            }
        }
    }

    pub fn cancel_run(&mut self, id: i64) {
        self.runs.get_mut(&id).unwrap().paused = false;
        let steps = self.runs[&id].steps.clone();
        let begun = steps.iter().any(|it| self.steps[it].begun || self.steps[it].lease.is_some());
        let stays = |step: &Step| begun && step.on_cancel_run;
        let out: Vec<i64> = steps.into_iter().filter(|it| self.open(*it) && !stays(&self.steps[it])).collect();
        let (mut ended, mut cancel_requested) = (Vec::new(), Vec::new());
        for id in out {
            let step = self.steps.get_mut(&id).unwrap();
            match (&mut step.lease, step.wait) {
                (Some(lease), _) => lease.cancel_requested = true,
                (None, Some(Wait::Children { group, .. })) => cancel_requested.push(group),
                (None, _) => {
                    (step.status, step.wait) = (Status::Cancelled, None);
                    ended.push(id);
                }
            }
        }
        for id in ended {
            self.abandon(id);
            self.follow(id);
        }
        self.end_run(id);
        cancel_requested.into_iter().for_each(|it| self.ask(it));
    }

    pub fn cancel_group(&mut self, id: i64) {
        let group = self.groups.get_mut(&id).unwrap();
        if group.ended {
            return;
        }
        group.cancelling = true;
        if group.paused {
            for run in group.runs.clone() {
                self.runs.get_mut(&run).unwrap().paused = true;
            }
        }
        self.stop_retry(id);
    }

    /// Whether the retry is allowed, and begun or under way.
    pub fn retry_group(&mut self, id: i64) -> Option<bool> {
        if self.belongs_to_its_step(id) {
            return None;
        }
        self.open_again(id)
    }

    /// What failed in the group of a step that was retried runs again.
    pub fn retry_child(&mut self, id: i64) {
        let group = self.groups.get_mut(&id).unwrap();
        group.again = false;
        self.open_again(id);
    }

    /// A group that a step started, and that has ended: the step is to be retried instead.
    fn belongs_to_its_step(&self, id: i64) -> bool {
        self.groups[&id].parent.is_some() && self.groups[&id].ended
    }

    fn open_again(&mut self, id: i64) -> Option<bool> {
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
                let group = self.groups.get_mut(&id).unwrap();
                group.reopening = Some(run);
                // Where only some go side by side, the runs begin when their turn has come.
                self.runs.get_mut(&run).unwrap().opened = group.child.at_most.is_none();
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
            self.open_runs(id);
            self.end_group(id);
        }
    }

    /// The number of steps that are PENDING again; None: refused.
    pub fn retry_run(&mut self, id: i64) -> Option<usize> {
        let group = self.runs[&id].group;
        if self.belongs_to_its_step(group) {
            return None;
        }
        let facts = self.groups.get_mut(&group).unwrap();
        if !self.runs[&id].ended || facts.cancelling || facts.reopening.is_some() {
            return None;
        }
        if !self.lost(id) {
            return Some(0);
        }
        let facts = self.groups.get_mut(&group).unwrap();
        facts.crowded = true;
        if facts.ended {
            facts.ended = false;
            for run in facts.runs.clone() {
                self.runs.get_mut(&run).unwrap().opened = true;
            }
        }
        Some(self.reopen(id))
    }

    pub(super) fn lost(&self, run: i64) -> bool {
        let cancelled = self.runs[&run].steps.iter().any(|it| self.steps[it].status == Status::Cancelled);
        self.runs[&run].ended && (cancelled || self.failed(run))
    }

    pub(super) fn failed(&self, run: i64) -> bool {
        let failed = |it: &Step| it.status == Status::Failed && !it.allow_failure;
        self.runs[&run].steps.iter().any(|it| failed(&self.steps[it]))
    }

    fn reopen(&mut self, id: i64) -> usize {
        (self.runs.get_mut(&id).unwrap().ended, self.runs.get_mut(&id).unwrap().paused) = (false, false);
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
            if let Some(group) = step.child {
                let group = self.groups.get_mut(&group).unwrap();
                match step.status {
                    // All of it runs again, in another group.
                    Status::Completed => step.child = None,
                    _ => (group.again, group.cancel_requested) = (true, false),
                }
            }
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

    /// Gives the open steps of a group the scope of `run --resume`.
    pub fn adopt(&mut self, id: i64, scope: i64) {
        for step in self.steps.values_mut().filter(|it| it.group == id && !it.status.is_terminal() && it.scope == 0) {
            step.scope = scope;
        }
    }

    /// None: refused, since the group of its step is paused.
    pub fn resume(&mut self, id: i64) -> Option<bool> {
        let above = self.groups[&id].parent.is_some_and(|it| self.groups[&self.steps[&it].group].paused);
        let group = self.groups.get_mut(&id).unwrap();
        if group.paused && group.held && above {
            return None;
        }
        group.held = false;
        Some(std::mem::replace(&mut group.paused, false))
    }

    /// A group takes over the pause of the group of its step, or the end of that; whether it did.
    pub fn inherit(&mut self, id: i64) -> bool {
        let Some(step) = self.groups[&id].parent else { return false };
        let above = self.groups[&self.steps[&step].group].paused;
        let group = self.groups.get_mut(&id).unwrap();
        let changes = !group.ended && above != group.paused && (above || group.held);
        if changes {
            (group.paused, group.held) = (above, above);
        }
        changes
    }
}
