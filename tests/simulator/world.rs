//! The real store beside its model; every operation is done to both and their answers are compared.

use crate::{
    house::{self, Book, chain, completion, diamond, record, request, step},
    model::{Asked, Ending, Holder, KEYS, Model, Pool, TYPES, Wait},
};
use std::{collections::BTreeSet, sync::Arc};
use windlass::{
    decide::wait::End,
    model::{
        After, GroupId, HolderKind, Lease, Millis, Monotonic, Otherwise, Outcome, ResourceKey, RunId, Scope, Shape,
        ShapeStep, StepId, Timestamp, Token, WorkerId, lock,
    },
    store::{
        Held, Settle, Settlement, Store, Take, cancel, event, group, pause, read, reap, resource_lock, retry,
        step_type, wait_end,
        waiting::{NewWait, WaitDetail, WaitsFor},
    },
};

#[derive(Debug, Clone)]
pub enum Op {
    Submit {
        shape: usize,
        keys: Vec<Option<usize>>,
        priority: i64,
        scoped: bool,
        items: usize,
        open: bool,
    },
    Claim {
        worker: i64,
        pool: usize,
        scope: Option<usize>,
        limit: usize,
    },
    Settle {
        lease: usize,
        how: Settling,
        then: bool,
    },
    /// The acknowledgement was lost: the newest settlement is sent once more.
    SettleAgain {
        lease: usize,
    },
    Reap {
        worker: i64,
        death: usize,
    },
    Sweep,
    Clock(i64),
    Pause(usize),
    Resume(usize),
    PauseType {
        name: usize,
        paused: bool,
    },
    OpenPool(usize),
    CancelGroup {
        group: usize,
        slices: usize,
    },
    CancelRun(usize),
    CancelStep(usize),
    /// Ends the wait of one of the steps that wait, in one of the two ways; one that does not wait does not care.
    Answer {
        step: usize,
        completes: bool,
    },
    RetryGroup {
        group: usize,
        slices: usize,
    },
    RetryRun(usize),
    Open(usize),
    TakeKey(usize),
    ForceKey(usize),
    Adopt(usize),
    Restart,
    /// A worker falls silent for long and its lock is swept; then it settles after all.
    Silence(usize),
}

#[derive(Debug, Clone)]
pub enum Settling {
    Complete,
    Fail,
    Skip,
    Retry(i64),
    Release,
    ReleaseLater(i64),
    Cancelled,
    /// Waits until this long from now, if at all, and completes then or fails.
    Wait {
        until: Option<i64>,
        completes: bool,
    },
}

pub struct World {
    book: Book,
    /// A second process on the same file: another writer with a memory of its own.
    other: Store,
    model: Model,
    /// Every lease ever given out, newest last.
    leases: Vec<(Lease, i64)>,
    pools: BTreeSet<String>,
    /// Types that have a queue of their own: they had a pool, or were paused.
    queues: BTreeSet<String>,
    /// Types that a pause gave a queue, of which the shared one may have rows still.
    moving: BTreeSet<String>,
    accepted: BTreeSet<(i64, i64)>,
    through_other: bool,
}

impl World {
    pub fn new() -> World {
        let book = Book::in_memory();
        (10..14).for_each(|it| book.enrol(WorkerId(it)));
        let other = book.open_again();
        // Every type is known, so that pools and pauses find it.
        let types = chain(&TYPES);
        book.store.write(move |tx| windlass::store::definition::intern(tx, &house::new_definition(&types))).unwrap();
        let (model, leases, pools) = (Model::default(), Vec::new(), BTreeSet::new());
        World {
            book,
            other,
            model,
            leases,
            pools,
            queues: BTreeSet::new(),
            moving: BTreeSet::new(),
            accepted: BTreeSet::new(),
            through_other: false,
        }
    }

    fn write<T: Send + 'static>(
        &self,
        work: impl FnOnce(&windlass::store::WriteTx) -> windlass::store::Result<T> + Send + 'static,
    ) -> windlass::store::Result<T> {
        self.store().write(work)
    }

    fn store(&self) -> &Store {
        if self.through_other { &self.other } else { &self.book.store }
    }

    fn group(&self, pick: usize) -> Option<i64> {
        self.model.groups.keys().nth(pick % self.model.groups.len().max(1)).copied()
    }

    pub fn step(&mut self, other: bool, op: &Op) {
        self.through_other = other;
        self.tick();
        match op {
            Op::Submit { shape, keys, priority, scoped, items, open } => {
                self.submit(*shape, keys, *priority, *scoped, *items, *open);
            }
            Op::Claim { worker, pool, scope, limit } => self.claim(*worker, *pool, *scope, *limit),
            Op::Settle { lease, how, then } if !self.leases.is_empty() => {
                // Mostly a live one: the newest leases are the likeliest.
                let back = lease % self.leases.len().min(6);
                self.settle(self.leases.len() - 1 - back, how, *then);
            }
            Op::SettleAgain { lease } if !self.leases.is_empty() => {
                self.settle(lease % self.leases.len(), &Settling::Complete, false);
            }
            Op::Settle { .. } | Op::SettleAgain { .. } => (),
            Op::Reap { worker, death } => {
                let death = [reap::Death::Died, reap::Death::Silent, reap::Death::Rebooted][*death];
                self.reap(*worker, death);
            }
            Op::Sweep => self.sweep(),
            Op::Clock(by) => self.book.clock.set_wall(Timestamp(self.book.now().0 + by)),
            Op::Restart => self.restart(),
            Op::Silence(lease) if !self.leases.is_empty() => {
                let at = lease % self.leases.len();
                self.reap(self.leases[at].1, reap::Death::Silent);
                self.sweep();
                self.settle(at, &Settling::Complete, false);
            }
            Op::Silence(_) => (),
            other => self.control(other),
        }
    }

    /// Tells the model what time it is.
    fn tick(&mut self) {
        if self.model.tick(self.book.now().0) {
            // The store promotes in its next transaction, which may come after the clock was set back.
            self.write(|_| Ok(())).unwrap();
        }
    }

    /// What people ask for.
    fn control(&mut self, op: &Op) {
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
                let Some(id) = self.model.runs.keys().nth(pick % self.model.runs.len().max(1)).copied() else { return };
                self.write(move |tx| cancel::run(tx, RunId(id))).unwrap();
                self.model.cancel_run(id);
            }
            Op::CancelStep(pick) => {
                let Some(id) = self.model.steps.keys().nth(pick % self.model.steps.len().max(1)).copied() else {
                    return;
                };
                self.write(move |tx| cancel::step(tx, StepId(id))).unwrap();
                self.model.cancel_step(id);
            }
            Op::Answer { step, completes } => {
                let waiting = self.model.waiting();
                let any = self.model.steps.keys().nth(step % self.model.steps.len().max(1)).copied();
                // Mostly one that waits.
                let picked = if step % 5 > 0 { waiting.get(step % waiting.len().max(1)).copied() } else { any };
                if let Some(id) = picked {
                    self.answer(id, *completes);
                }
            }
            Op::RetryRun(pick) => {
                let Some(id) = self.model.runs.keys().nth(pick % self.model.runs.len().max(1)).copied() else { return };
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
            Op::Adopt(_) => {
                let mut after = Some(RunId(0));
                while let Some(from) = after {
                    after = self.write(move |tx| group::adopt_slice(tx, group, group, from, 2)).unwrap();
                }
                self.model.adopt(id);
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

    fn submit(&mut self, shape: usize, keys: &[Option<usize>], priority: i64, scoped: bool, items: usize, open: bool) {
        let shape = match shape {
            0 => chain(&["a"]),
            1 => chain(&["a", "b", "c"]),
            2 => diamond_of_types(),
            it if it >= 4 => conditional(it),
            _ => Shape {
                steps: vec![step("a", &[]), step("b", &[]), step("a", &[0, 1]), step("c", &[0])],
                hooks: vec![],
            },
        };
        let names: Vec<Option<&str>> = keys.iter().map(|it| it.map(|key| KEYS[key])).collect();
        let items = &["w", "x", "y", "z"][..items];
        let change = |new: &mut group::NewGroup| {
            new.priority = priority;
            new.scoped = scoped;
        };
        let through = self.store().clone();
        let (id, runs) = self.book.build(&through, &shape, items, &names, change).unwrap();
        let runs: Vec<(i64, i64)> = runs.iter().map(|(run, first)| (run.0, first.0)).collect();
        self.model.submit(id.0, &runs, &shape, keys, (priority, scoped));
        if open {
            self.open(id.0);
        }
    }

    fn open(&mut self, id: i64) {
        let group = GroupId(id);
        while self.write(move |tx| group::open_slice(tx, group, 2)).unwrap() {}
        if self.model.groups[&id].reopening.is_none() {
            for run in self.model.groups[&id].runs.clone() {
                self.model.runs.get_mut(&run).unwrap().opened = true;
            }
        }
    }

    fn resume(&mut self, id: i64) {
        let group = GroupId(id);
        let was = self.write(move |tx| pause::resume_group(tx, group)).unwrap();
        let known = self.model.groups.get_mut(&id).unwrap();
        assert_eq!(was, known.paused);
        known.paused = false;
        while self.write(move |tx| pause::resume_slice(tx, group, 2)).unwrap() {}
    }

    fn cancel_slices(&mut self, id: i64, slices: usize) {
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

    fn claim(&mut self, worker: i64, pool: usize, scope: Option<usize>, limit: usize) {
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
        let asked = Asked { pool, scope, limit };
        let scope = scope.map_or(Scope::Everything, |it| Scope::Group(GroupId(it)));
        let claimed = self.store().claim(request(WorkerId(worker + 10), take, scope, limit)).unwrap();
        self.judge(&asked, &claimed);
        self.take_in(&claimed, worker);
    }

    fn judge(&self, asked: &Asked, claimed: &[windlass::store::Claimed]) {
        let found: Vec<i64> = claimed.iter().map(|it| it.lease.step.0).collect();
        let known = |name: &str| self.queues.get(name).cloned().unwrap_or_default();
        let queue = |name: &str| (!self.moving.contains(name)).then(|| known(name));
        let fault = self.model.fault_of_claim(asked, &found, queue);
        assert_eq!(fault, None, "{asked:?} took {found:?}");
    }

    fn take_in(&mut self, claimed: &[windlass::store::Claimed], worker: i64) {
        for it in claimed {
            let newest = self.leases.iter().map(|it| it.0.token.0).max().unwrap_or(0);
            assert!(it.lease.token.0 > newest, "token {:?} is not new", it.lease.token);
            assert_eq!(i64::from(it.attempt), self.model.steps[&it.lease.step.0].attempts + 1, "attempt");
            self.model.claimed(it.lease.step.0, it.lease.token.0, worker);
            self.leases.push((it.lease, worker));
        }
    }

    fn settle(&mut self, at: usize, how: &Settling, then: bool) {
        let (lease, worker) = self.leases[at];
        let due_at_claim = self.model.steps[&lease.step.0].lease.as_ref().map_or(0, |it| it.due);
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
                (Ending::Wait(Wait { due, completes: *completes }), Settlement::Wait { wait })
            }
        };
        let mine = self.model.settle(lease.step.0, lease.token.0, ending);
        let next = request(WorkerId(worker + 10), Take::Others(Arc::new([])), Scope::Everything, 1);
        let settled = self.store().settle(Settle { lease, settlement, then: then.then_some(next) }).unwrap();
        assert_eq!(settled.held == Held::Yes, mine, "{how:?} of {lease:?}");
        if mine {
            assert!(self.accepted.insert((lease.step.0, lease.token.0)), "{lease:?} settled twice");
        }
        match then {
            true => self.judge(&Asked { pool: Pool::Any, scope: None, limit: 1 }, &settled.next),
            false => assert_eq!(settled.next, []),
        }
        self.take_in(&settled.next, worker);
    }

    fn answer(&mut self, id: i64, completes: bool) {
        let end = if completes { End::Complete(None) } else { End::Fail(Outcome::permanent("rejected", "no")) };
        let ended = self.write(move |tx| wait_end::end(tx, StepId(id), &end, None)).unwrap();
        assert_eq!(ended, self.model.end_wait(id, completes), "answer to s{id}");
    }

    fn reap(&mut self, worker: i64, death: reap::Death) {
        let count = self.model.reap(worker, death == reap::Death::Silent);
        assert_eq!(self.book.reap_through(self.store(), WorkerId(worker + 10), death), count);
    }

    fn sweep(&mut self) {
        for row in self.book.store.read(resource_lock::list).unwrap() {
            self.write(move |tx| resource_lock::sweep(tx, &row)).unwrap();
        }
        self.model.sweep();
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

    fn restart(&mut self) {
        match self.through_other {
            true => {
                self.other.close();
                self.other = self.book.open_again();
            }
            false => self.book.restart(),
        }
    }

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
            let ends = events.iter().filter(|(_, it)| it.kind == windlass::model::EventKind::GroupEnd);
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
        for group in self.book.store.read(group::unopened).unwrap() {
            self.open(group.0);
        }
        for group in self.book.store.read(cancel::unfinished).unwrap() {
            self.cancel_slices(group.0, usize::MAX);
        }
        for group in self.model.groups.keys().copied().collect::<Vec<_>>() {
            self.resume(group);
        }
        assert!(self.book.store.read(pause::unfinished).unwrap().is_empty());
        for name in TYPES {
            self.write(move |tx| pause::step_type(tx, name, false)).unwrap();
            self.model.paused_types.remove(name);
        }
        for worker in 0..4 {
            self.reap(worker, reap::Death::Died);
        }
        self.sweep();
        self.compare();
        while self.model.groups.values().any(|it| !it.ended) {
            let latest = self.model.steps.values().map(|it| it.due).max().unwrap_or(0);
            self.book.clock.set_wall(Timestamp(latest.max(self.book.now().0)) + Millis(1));
            let moved = self.model.tick(self.book.now().0);
            let before = self.leases.len();
            let waiting = self.model.waiting();
            waiting.iter().for_each(|id| self.answer(*id, true));
            self.claim(0, 9, None, 3);
            assert!(
                moved || self.leases.len() > before || !waiting.is_empty(),
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
}

/// Steps that follow failures, may fail or outlive a cancel; each number draws another shape.
fn conditional(drawn: usize) -> Shape {
    let rules = [After::Success, After::Failure, After::Always];
    let steps = (0..4).map(|no| {
        let bits = drawn >> (2 + no * 7);
        let needs: Vec<usize> = (0..no).filter(|at| bits & (1 << at) != 0).collect();
        let after = if needs.is_empty() { After::Success } else { rules[(bits >> 3) % 4 % 3] };
        let on_cancel_run = after != After::Success && bits & 32 != 0;
        ShapeStep { after, allow_failure: bits & 64 != 0, on_cancel_run, ..step(TYPES[no % 3], &needs) }
    });
    Shape { steps: steps.collect(), hooks: vec![] }
}

fn diamond_of_types() -> Shape {
    let mut shape = diamond();
    for (step, name) in shape.steps.iter_mut().zip(["a", "b", "b", "c"]) {
        step.step_type = name.into();
    }
    shape
}
