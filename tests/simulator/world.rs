//! The real store beside its model; every operation is done to both and their answers are compared.

mod children;
mod control;
mod drain;
mod work;

use crate::{
    house::{self, Book, chain, diamond, step},
    model::{COUNTED, Model, RATE, TYPES, Takes},
    op::{Op, Settling, Starting},
};
use std::collections::{BTreeMap, BTreeSet};
use windlass::{
    model::{After, Capacity, CapacitySource, Lease, Millis, Rate, ResourceId, Shape, ShapeStep, Timestamp, WorkerId},
    os::Clock,
    store::{
        Store,
        capacity::{self, NewDemand},
        reap,
    },
};

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
    /// The groups that steps start.
    starting: BTreeMap<i64, Starting>,
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
        let model = Model { capacity: [2, 2], ..Model::default() };
        let (leases, pools) = (Vec::new(), BTreeSet::new());
        World {
            book,
            other,
            model,
            leases,
            pools,
            queues: BTreeSet::new(),
            moving: BTreeSet::new(),
            accepted: BTreeSet::new(),
            starting: BTreeMap::new(),
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
        picked(self.model.groups.iter().filter(|it| it.1.sealed).map(|it| *it.0), pick)
    }

    pub fn step(&mut self, other: bool, op: &Op) {
        self.through_other = other;
        self.tick();
        match op {
            Op::Submit { shape, keys, takes, priority, scoped, items, open } => {
                self.submit(*shape, (keys, takes), *priority, *scoped, *items, *open);
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
            Op::Clock { by, set } => self.pass(*by, *set),
            Op::Capacity { of, units } => self.set_capacity(*of, *units),
            Op::Start { lease, group, transactions } if !self.leases.is_empty() => {
                let back = lease % self.leases.len().min(6);
                self.start(self.leases.len() - 1 - back, group, *transactions);
            }
            Op::Start { .. } => (),
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
        self.model.note_lines();
        assert_eq!(self.model.overfull(), None, "more runs are open side by side than their step says");
    }

    fn pass(&mut self, by: i64, set: bool) {
        match set {
            true => self.book.clock.set_wall(Timestamp(self.book.now().0 + by)),
            false => self.book.clock.advance(Millis(by as u64)),
        }
        if by < 0 {
            // As the watcher of a worker does when it sees that.
            self.write(capacity::look_at_all).unwrap();
        }
    }

    fn set_capacity(&mut self, of: usize, units: i64) {
        let known = self.book.store.read(|tx| capacity::capacities(tx, ResourceId(0), 10)).unwrap();
        if let Some((id, ..)) = known.into_iter().find(|it| it.1 == COUNTED[of]) {
            let new = Capacity { units, source: CapacitySource::Workflow };
            self.write(move |tx| capacity::configure(tx, &[(id, new)])).unwrap();
            self.model.capacity[of] = units;
        }
    }

    /// What steps take, as the store has it. The first to name a resource says how much there is of it.
    fn demands(&self, takes: &[Takes]) -> Vec<Option<NewDemand>> {
        let demand = |takes: &Takes| {
            let mut new = NewDemand::default();
            for (name, units) in COUNTED.iter().zip(takes.units).filter(|it| it.1 > 0) {
                new.units.insert(name.to_string(), Some(units));
                if self.book.store.read(|tx| capacity::capacity_of(tx, name)).unwrap().is_none() {
                    let two = Capacity { units: 2, source: CapacitySource::Workflow };
                    new.capacities.insert(name.to_string(), two);
                }
            }
            if takes.rated {
                new.rates.insert("calls".into(), Rate { starts: RATE.0 as i64, per: Millis(RATE.1 as u64) });
            }
            new
        };
        takes.iter().map(|it| (!it.is_nothing()).then(|| demand(it))).collect()
    }

    /// Tells the model what time it is.
    fn tick(&mut self) {
        let elapsed = self.book.clock.monotonic().0;
        if self.model.tick(self.book.now().0, elapsed) {
            // The store promotes in its next transaction, which may come after the clock was set back.
            self.write(|_| Ok(())).unwrap();
        }
    }
}

/// One of these, by chance.
fn picked(all: impl Iterator<Item = i64>, pick: usize) -> Option<i64> {
    let all: Vec<i64> = all.collect();
    all.get(pick % all.len().max(1)).copied()
}

fn shape_of(drawn: usize) -> Shape {
    match drawn {
        0 => chain(&["a"]),
        1 => chain(&["a", "b", "c"]),
        2 => diamond_of_types(),
        it if it >= 4 => conditional(it),
        _ => Shape { steps: vec![step("a", &[]), step("b", &[]), step("a", &[0, 1]), step("c", &[0])], hooks: vec![] },
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
