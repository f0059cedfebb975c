//! The comparison with the model, and the end of a history.

use super::World;
use crate::{model::TYPES, op::Settling};
use windlass::{
    model::{EventKind, GroupId, StepId},
    os::Clock,
    store::{cancel, child_group, event, group, pause, read, reap, retry},
};

impl World {
    /// Statuses, group ends and the invariants of the layout.
    pub fn compare(&self) {
        let ids: Vec<i64> = self.model.steps.keys().copied().collect();
        let found = self.book.store.read(|tx| {
            ids.iter().map(|id| read::status_of_step(tx, StepId(*id))).collect::<windlass::store::Result<Vec<_>>>()
        });
        for (id, status) in ids.iter().zip(found.unwrap()) {
            assert_eq!(status, self.model.status(*id), "s{id}");
        }
        let events = self.book.store.read(|tx| event::after(tx, event::Cursor::default(), 1_000_000)).unwrap();
        for (id, group) in &self.model.groups {
            assert_eq!(self.book.ended(GroupId(*id)), group.ended, "whether g{id} has ended");
            let ends = events.iter().filter(|(_, it)| it.kind == EventKind::GroupEnd);
            assert_eq!(ends.filter(|(_, it)| it.group == Some(GroupId(*id))).count(), group.ends, "ends of g{id}");
        }
        self.book.check();
    }

    /// Undoes every hindrance as a keeper would, works until nothing is left, and sees that everything has ended.
    pub fn heal_and_drain(mut self) {
        self.tick();
        for group in self.book.store.read(retry::unfinished).unwrap() {
            while self.write(move |tx| retry::group_slice(tx, group, 1, None)).unwrap() {
                assert!(self.model.retry_slice(group.0));
            }
            assert!(!self.model.retry_slice(group.0));
        }
        for (group, _) in self.book.store.read(group::unsealed).unwrap() {
            self.remove_unsealed(group.0);
        }
        for group in self.book.store.read(group::unopened).unwrap() {
            self.open(group.0);
        }
        self.finish_cancels();
        for group in self.model.groups.keys().copied().collect::<Vec<_>>() {
            self.resume(group);
        }
        assert!(self.book.store.read(pause::unfinished).unwrap().is_empty());
        assert!(self.book.store.read(child_group::half_paused).unwrap().is_empty());
        for name in TYPES {
            self.write(move |tx| pause::step_type(tx, name, false)).unwrap();
            self.model.paused_types.remove(name);
        }
        for worker in 0..4 {
            self.reap(worker, reap::Death::Died);
        }
        self.sweep();
        self.model.note_lines();
        self.compare();
        while self.model.groups.values().any(|it| !it.ended) {
            let latest = self.model.steps.values().map(|it| it.due).max().unwrap_or(0);
            let now = self.book.now().0;
            self.pass((latest - now).max(0) + 10_000, false);
            let moved = self.model.tick(self.book.now().0, self.book.clock.monotonic().0);
            // What is over by now ends groups at the end of a transaction, not within that of the claim.
            self.write(|_| Ok(())).unwrap();
            let cancels = self.finish_cancels();
            let before = self.leases.len();
            let waiting = self.model.waiting();
            waiting.iter().for_each(|id| self.answer(*id, true));
            self.claim(0, 9, None, 3);
            assert!(
                moved || cancels || self.leases.len() > before || !waiting.is_empty(),
                "open groups, but nothing is claimable: a step is stranded"
            );
            for at in before..self.leases.len() {
                self.settle(at, &Settling::Complete, false);
            }
        }
        assert!(self.model.steps.keys().all(|id| self.model.status(*id).is_terminal()));
        self.compare();
        self.other.close();
    }

    /// What a keeper does about cancels, which go down to the groups that steps have started. Whether there was anything to do.
    fn finish_cancels(&mut self) -> bool {
        let mut done = Vec::new();
        loop {
            let open = self.book.store.read(cancel::unfinished).unwrap();
            let Some(group) = open.into_iter().find(|it| !done.contains(it)) else { return !done.is_empty() };
            self.cancel_slices(group.0, usize::MAX);
            done.push(group);
        }
    }
}
