//! What follows from the end of a step, a run or a group.

use super::{Model, Wait};
use windlass::model::{After, Status};

impl Model {
    /// What follows from the end of a step: those that need it are cancelled, skipped, or may run; its run and its group end.
    pub(super) fn after_end(&mut self, id: i64) {
        let run = self.steps[&id].run;
        if !self.open(id) {
            if self.steps[&id].status != Status::Completed {
                self.abandon(id);
            }
            self.follow(id);
        }
        self.end_run(run);
    }

    /// A step ends without the group that it started: that is cancelled.
    pub(super) fn abandon(&mut self, id: i64) {
        if let Some(group) = self.steps[&id].child {
            self.ask(group);
        }
    }

    /// Has the group of a step cancelled, once. One that is being built is cancelled with its seal.
    pub(super) fn ask(&mut self, id: i64) {
        let group = self.groups.get_mut(&id).unwrap();
        if !group.ended && !std::mem::replace(&mut group.cancel_requested, true) && group.sealed {
            self.cancel_group(id);
        }
    }

    /// A step waits for its group from now on, which may have ended before. `stops`: the step was asked to stop.
    pub(super) fn wait_for(&mut self, id: i64, group: i64, back: Status, stops: bool) {
        let own = self.groups.get_mut(&group).unwrap();
        let asks = stops && !std::mem::replace(&mut own.cancel_requested, true);
        match own.ended {
            true => self.children_ended(id, group, back),
            false => {
                let step = self.steps.get_mut(&id).unwrap();
                (step.status, step.wait) = (Status::Waiting, Some(Wait::Children { group, back }));
            }
        }
        if asks {
            self.cancel_group(group);
        }
    }

    /// The group that a step waits for has ended, and the step with it, once.
    fn children_ended(&mut self, id: i64, group: i64, back: Status) {
        let own = &self.groups[&group];
        let lost = own.runs.iter().filter(|it| self.lost(**it)).count();
        let cancelled = own.runs.iter().any(|it| self.lost(*it) && !self.failed(*it));
        let (again, status) = match own {
            it if it.again => (true, back),
            it if it.cancel_requested && cancelled => (false, Status::Cancelled),
            it if lost <= it.child.tolerate => (false, Status::Completed),
            _ => (false, Status::Failed),
        };
        let step = self.steps.get_mut(&id).unwrap();
        (step.status, step.wait) = (status, None);
        if !again {
            step.attempts += 1;
            self.after_end(id);
        }
    }

    /// The end of a step reaches those that need it directly; what ends by that, those behind it.
    pub(super) fn follow(&mut self, id: i64) {
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
                self.abandon(dependent);
                self.follow(dependent);
            } else if skips {
                step.status = Status::Skipped;
                self.follow(dependent);
            }
        }
    }

    pub(super) fn end_run(&mut self, id: i64) {
        if self.runs[&id].ended || self.runs[&id].steps.iter().any(|it| self.open(*it)) {
            return;
        }
        let run = self.runs.get_mut(&id).unwrap();
        run.ended = true;
        let (group, opened) = (run.group, run.opened);
        self.end_group(group);
        let group_now = &self.groups[&group];
        if opened && group_now.child.at_most.is_some() && !group_now.ended && group_now.reopening.is_none() {
            self.open_runs(group);
        }
    }

    pub(super) fn end_group(&mut self, id: i64) {
        let group = &self.groups[&id];
        let is_open = group.reopening.is_some() || group.runs.iter().any(|it| !self.runs[it].ended);
        if group.ended || !group.sealed || is_open {
            return;
        }
        let group = self.groups.get_mut(&id).unwrap();
        group.ended = true;
        group.ends += 1;
        (group.paused, group.cancelling, group.held) = (false, false, false);
        if let Some(step) = group.parent {
            match self.steps[&step].wait {
                Some(Wait::Children { group, back }) if group == id => self.children_ended(step, id, back),
                _ => {}
            }
        }
    }
}
