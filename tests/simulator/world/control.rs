//! What people ask for.

use super::{World, picked};
use crate::{
    model::{Holder, KEYS, TYPES},
    op::Op,
};
use windlass::{
    model::{GroupId, HolderKind, Monotonic, ResourceKey, RunId, StepId, Token, lock},
    store::{Held, cancel, child_group, group, pause, resource_lock, retry},
};

impl World {
    /// What people ask for.
    pub(super) fn control(&mut self, op: &Op) {
        match op {
            Op::PauseType { name, paused } => {
                if self.queues.insert(TYPES[*name].into()) {
                    self.moving.insert(TYPES[*name].into());
                }
                let (name, paused) = (TYPES[*name], *paused);
                self.write(move |tx| pause::step_type(tx, name, paused)).unwrap();
                match paused {
                    true => self.model.paused_types.insert(name.into()),
                    false => self.model.paused_types.remove(name),
                };
            }
            Op::OpenPool(name) => {
                self.book.open_pool(TYPES[*name]);
                self.pools.insert(TYPES[*name].into());
                self.queues.insert(TYPES[*name].into());
                self.moving.remove(TYPES[*name]);
            }
            Op::TakeKey(key) => self.take_key(*key),
            Op::ForceKey(key) => {
                let key_name = ResourceKey(KEYS[*key].into());
                let forced = resource_lock::Forced { key: key_name, why: "test".into(), by: "a test".into() };
                let forced = self.write(move |tx| resource_lock::force_release(tx, &forced)).unwrap();
                assert_eq!(forced, self.model.held.remove(key).is_some());
            }
            Op::CancelRun(pick) => {
                let Some(id) = self.run(*pick) else { return };
                self.write(move |tx| cancel::run(tx, RunId(id))).unwrap();
                self.model.cancel_run(id);
            }
            Op::CancelStep(pick) => {
                let Some(id) = self.any_step(*pick) else { return };
                self.write(move |tx| cancel::step(tx, StepId(id))).unwrap();
                self.model.cancel_step(id);
            }
            Op::Answer { step, completes } => {
                let waiting = self.model.waiting();
                // Mostly one that waits, and none that waits for its group.
                let any = self.any_step(*step).filter(|it| self.model.steps[it].child.is_none());
                let picked = if step % 5 > 0 { picked(waiting.into_iter(), *step) } else { any };
                if let Some(id) = picked {
                    self.answer(id, *completes);
                }
            }
            Op::RetryRun(pick) => {
                let Some(id) = self.run(*pick) else { return };
                let done = self.write(move |tx| retry::run(tx, RunId(id)));
                assert_eq!(done.ok(), self.model.retry_run(id), "retry of r{id}");
            }
            other => self.control_group(other),
        }
    }

    fn control_group(&mut self, op: &Op) {
        let (Op::Pause(pick)
        | Op::Resume(pick)
        | Op::Open(pick)
        | Op::Adopt(pick)
        | Op::Inherit(pick)
        | Op::CancelGroup { group: pick, .. }
        | Op::RetryGroup { group: pick, .. }) = op
        else {
            unreachable!("{op:?} is no verb for groups");
        };
        let Some(id) = self.group(*pick) else { return };
        let group = GroupId(id);
        match op {
            Op::Pause(_) => {
                let done = self.write(move |tx| pause::group(tx, group));
                let known = self.model.groups.get_mut(&id).unwrap();
                assert_eq!(done.ok(), (!known.ended).then_some(!known.paused), "pause of {group}");
                known.paused |= !known.ended;
            }
            Op::Resume(_) => self.resume(id),
            Op::Open(_) => self.open(id),
            Op::Adopt(_) => self.adopt(id, id),
            Op::Inherit(_) => {
                let changed = self.write(move |tx| pause::inherit(tx, group)).unwrap();
                assert_eq!(changed, self.model.inherit(id), "whether {group} takes over a pause");
                while self.write(move |tx| pause::resume_slice(tx, group, 2)).unwrap() {}
            }
            Op::CancelGroup { slices, .. } => {
                self.write(move |tx| cancel::group(tx, group)).unwrap();
                self.model.cancel_group(id);
                self.cancel_slices(id, *slices);
            }
            Op::RetryGroup { slices, .. } => {
                let done = self.write(move |tx| retry::group(tx, group));
                assert_eq!(done.ok(), self.model.retry_group(id), "retry of {group}");
                for _ in 0..*slices {
                    let more = self.write(move |tx| retry::group_slice(tx, group, 1, None)).unwrap();
                    assert_eq!(more, self.model.retry_slice(id), "retry slice of {group}");
                }
            }
            _ => (),
        }
    }

    fn run(&self, pick: usize) -> Option<i64> {
        let known = self.model.runs.iter().filter(|it| self.model.groups[&it.1.group].sealed);
        picked(known.map(|it| *it.0), pick)
    }

    fn any_step(&self, pick: usize) -> Option<i64> {
        let known = self.model.steps.iter().filter(|it| self.model.groups[&it.1.group].sealed);
        picked(known.map(|it| *it.0), pick)
    }

    /// `run --resume` of a group, and so of the groups below it.
    fn adopt(&mut self, id: i64, scope: i64) {
        let (group, of) = (GroupId(id), GroupId(scope));
        let mut after = Some(RunId(0));
        while let Some(from) = after {
            after = self.write(move |tx| group::adopt_slice(tx, group, of, from, 2)).unwrap();
        }
        self.model.adopt(id, scope);
        for below in self.book.store.read(|tx| child_group::below(tx, group, GroupId(0), 100)).unwrap() {
            if self.model.groups[&below.0].sealed {
                self.adopt(below.0, scope);
            }
        }
    }

    pub(super) fn resume(&mut self, id: i64) {
        let group = GroupId(id);
        let done = self.write(move |tx| pause::resume_group(tx, group));
        assert_eq!(done.ok(), self.model.resume(id), "resume of {group}");
        while self.write(move |tx| pause::resume_slice(tx, group, 2)).unwrap() {}
    }

    pub(super) fn cancel_slices(&mut self, id: i64, slices: usize) {
        let mut after = RunId(0);
        for _ in 0..slices {
            let next = self.write(move |tx| cancel::group_slice(tx, GroupId(id), after, 1)).unwrap();
            if !self.model.groups[&id].cancelling {
                return assert_eq!(next, None);
            }
            let until = next.map_or(i64::MAX, |it| it.0);
            for run in self.model.groups[&id].runs.clone() {
                if run > after.0 && run <= until {
                    self.model.cancel_run(run);
                }
            }
            let Some(reached) = next else { return };
            after = reached;
        }
    }

    fn take_key(&mut self, key: usize) {
        let name = ResourceKey(KEYS[key].into());
        let holder = lock::Holder { kind: HolderKind::Cli, id: 7 };
        let taker =
            resource_lock::Taker { holder, identity: "{}".into(), boot_id: "boot".into(), deadline: Monotonic(60_000) };
        let token = self.write(move |tx| resource_lock::acquire(tx, &name, &taker)).unwrap();
        match (self.model.held.get(&key), token) {
            (None, Some(token)) => drop(self.model.held.insert(key, Holder::Outside(token.0))),
            (Some(Holder::Outside(mine)), Some(token)) => {
                assert_eq!(*mine, token.0, "the same holder keeps its token");
                let name = ResourceKey(KEYS[key].into());
                let held = self.write(move |tx| resource_lock::release(tx, &name, Token(token.0))).unwrap();
                assert_eq!(held, Held::Yes);
                self.model.held.remove(&key);
            }
            (Some(Holder::Step(_)), None) => (),
            (known, got) => panic!("key {key} is held by {known:?}, the store gave {got:?}"),
        }
    }

    pub(super) fn restart(&mut self) {
        match self.through_other {
            true => {
                self.other.close();
                self.other = self.book.open_again();
            }
            false => self.book.restart(),
        }
    }
}
