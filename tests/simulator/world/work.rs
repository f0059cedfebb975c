//! Submissions, claims, and the ends of leases.

use super::{World, shape_of};
use crate::{
    house::{completion, record, request},
    model::{Ending, NewRun, Pool, Request, TYPES, Takes},
    op::Settling,
};
use std::{collections::BTreeSet, sync::Arc};
use windlass::{
    decide::wait::End,
    model::{GroupId, Otherwise, Outcome, Scope, StepId, Timestamp, WorkerId},
    store::{
        Held, Settle, Settlement, Take, group, reap, resource_lock, step_type, wait_end,
        waiting::{NewWait, WaitDetail, WaitsFor},
    },
};

impl World {
    pub(super) fn submit(
        &mut self,
        shape: usize,
        (keys, takes): (&[Option<usize>], &[Takes]),
        priority: i64,
        scoped: bool,
        items: usize,
        open: bool,
    ) {
        let shape = shape_of(shape);
        let names: Vec<Option<&str>> = keys.iter().map(|it| it.map(|key| crate::model::KEYS[key])).collect();
        let items = &["w", "x", "y", "z"][..items];
        let change = |new: &mut group::NewGroup| {
            new.priority = priority;
            new.scoped = scoped;
        };
        let through = self.store().clone();
        let demands = self.demands(&takes[..takes.len().min(shape.steps.len())]);
        let (id, runs) = self.book.build_taking(&through, &shape, items, &names, &demands, change).unwrap();
        self.model.create(id.0, None);
        let scope = if scoped { id.0 } else { 0 };
        for (run, first) in runs {
            self.model.add_run(id.0, (run.0, first.0), &NewRun { shape: &shape, keys, takes, priority, scope });
        }
        self.model.seal(id.0);
        if open {
            self.open(id.0);
        }
    }

    pub(super) fn open(&mut self, id: i64) {
        let group = GroupId(id);
        while self.write(move |tx| group::open_slice(tx, group, 2)).unwrap() {}
        if self.model.groups[&id].reopening.is_none() {
            self.model.open_runs(id);
        }
    }

    pub(super) fn claim(&mut self, worker: i64, pool: usize, scope: Option<usize>, limit: usize) {
        let opened = TYPES.get(pool).filter(|it| self.pools.contains(**it));
        let pool = match (opened, limit) {
            (Some(name), 1 | 2) => Pool::Only(name.to_string()),
            (Some(name), _) => Pool::AllBut(name.to_string()),
            (None, _) => Pool::Any,
        };
        let scope = scope.and_then(|pick| self.group(pick));
        let find = |name: &str| self.store().read(|tx| step_type::find(tx, name)).unwrap().unwrap();
        let take = match &pool {
            Pool::Any => Take::Others(Arc::new([])),
            Pool::Only(name) => Take::Type(find(name)),
            Pool::AllBut(name) => Take::Others(Arc::new([find(name)])),
        };
        let claim_request = Request { pool, scope, limit, late: BTreeSet::new() };
        let scope = scope.map_or(Scope::Everything, |it| Scope::Group(GroupId(it)));
        let claimed = self.store().claim(request(WorkerId(worker + 10), take, scope, limit)).unwrap();
        self.judge(&claim_request, &claimed);
        self.take_in(&claim_request, &claimed, worker);
    }

    fn judge(&self, claim_request: &Request, claimed: &[windlass::store::Claimed]) {
        let found: Vec<(i64, bool)> = claimed.iter().map(|it| (it.lease.step.0, it.impossible.is_some())).collect();
        let known = |name: &str| self.queues.get(name).cloned().unwrap_or_default();
        let queue = |name: &str| (!self.moving.contains(name)).then(|| known(name));
        let fault = self.model.fault_of_claim(claim_request, &found, queue);
        assert_eq!(fault, None, "{claim_request:?} took {found:?}");
    }

    fn take_in(&mut self, claim_request: &Request, claimed: &[windlass::store::Claimed], worker: i64) {
        for it in claimed {
            let newest = self.leases.iter().map(|it| it.0.token.0).max().unwrap_or(0);
            assert!(it.lease.token.0 > newest, "token {:?} is not new", it.lease.token);
            assert_eq!(i64::from(it.attempt), self.model.steps[&it.lease.step.0].attempts + 1, "attempt");
            self.model.claimed(it.lease.step.0, it.lease.token.0, worker, it.impossible.is_some());
            self.leases.push((it.lease, worker));
        }
        self.model.note_refused(claim_request, claimed.len());
    }

    pub(super) fn settle(&mut self, at: usize, how: &Settling, then: bool) {
        let (lease, worker) = self.leases[at];
        let step = self.model.steps.get(&lease.step.0);
        let ends = matches!(how, Settling::Complete | Settling::Skip | Settling::Wait { .. });
        if ends && step.is_some_and(|it| it.child.is_some()) {
            // A step that has started a group ends with it.
            let group = self.starting[&lease.step.0].clone();
            return self.start(at, &group, usize::MAX);
        }
        let Some(step) = step else { return };
        let due_at_claim = step.lease.as_ref().map_or(0, |it| it.due);
        let now = self.model.now;
        let (ending, settlement) = match how {
            Settling::Complete => (Ending::Complete, completion()),
            Settling::Fail => (Ending::Fail, Settlement::Fail { crashed: false, record: record("no") }),
            Settling::Skip => (Ending::Skip, Settlement::Skip { record: record("not wanted") }),
            Settling::Retry(wait) => {
                let due = Timestamp(now + wait);
                (Ending::Retry(due.0), Settlement::Retry { due, crashed: wait % 2 == 0, record: record("later") })
            }
            Settling::Release => {
                (Ending::Release(None), Settlement::Release { due: Timestamp(due_at_claim), record: None })
            }
            Settling::ReleaseLater(wait) => {
                let due = Timestamp(now + wait);
                (Ending::Release(Some(due.0)), Settlement::Release { due, record: None })
            }
            Settling::Cancelled => (Ending::Cancelled, Settlement::Cancelled { record: record("stopped") }),
            Settling::Wait { until, completes } => {
                let due = until.map(|it| now + it);
                let wait = NewWait {
                    on: if due.is_some() { WaitsFor::Approval } else { WaitsFor::Signal("go".into()) },
                    due: due.map(Timestamp),
                    otherwise: if *completes { Otherwise::Complete } else { Otherwise::Fail },
                    detail: WaitDetail::default(),
                };
                (Ending::Wait { due, completes: *completes }, Settlement::Wait { wait })
            }
        };
        let (run, before) = (step.run, self.model.claimable());
        let mine = self.model.settle(lease.step.0, lease.token.0, ending);
        let next = request(WorkerId(worker + 10), Take::Others(Arc::new([])), Scope::Everything, 1);
        let settled = self.store().settle(Settle { lease, settlement, then: then.then_some(next) }).unwrap();
        assert_eq!(settled.held == Held::Yes, mine, "{how:?} of {lease:?}");
        if mine {
            assert!(self.accepted.insert((lease.step.0, lease.token.0)), "{lease:?} settled twice");
        }
        // A line that could have started now loses what it waited for if nobody fetches it.
        self.model.note_lines();
        // What follows from the end of a group, or of one of only so many runs, comes after the claim.
        let follows = |it: &i64| !before.contains(it) && self.model.steps[it].run != run;
        let late = self.model.claimable().into_iter().filter(follows).collect();
        let claim_request = Request { pool: Pool::Any, scope: None, limit: usize::from(then), late };
        self.judge(&claim_request, &settled.next);
        self.take_in(&claim_request, &settled.next, worker);
    }

    pub(super) fn answer(&mut self, id: i64, completes: bool) {
        let end = if completes { End::Complete(None) } else { End::Fail(Outcome::permanent("rejected", "no")) };
        let ended = self.write(move |tx| wait_end::end(tx, StepId(id), &end, None)).unwrap();
        assert_eq!(ended, self.model.end_wait(id, completes), "answer to s{id}");
    }

    pub(super) fn reap(&mut self, worker: i64, death: reap::Death) {
        let count = self.model.reap(worker, death == reap::Death::Silent);
        assert_eq!(self.book.reap_through(self.store(), WorkerId(worker + 10), death), count);
    }

    pub(super) fn sweep(&mut self) {
        for row in self.book.store.read(resource_lock::list).unwrap() {
            self.write(move |tx| resource_lock::sweep(tx, &row)).unwrap();
        }
        self.model.sweep();
    }
}
