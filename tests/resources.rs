//! Counted resources and rates against a real store: never more than the capacity, all or nothing, and no starvation.

mod support {
    pub mod house;
}

use support::house;

use house::{Book, WORKER, chain, record};
use proptest::prelude::*;
use std::collections::BTreeMap;
use windlass::{
    model::{Capacity, CapacitySource, GroupId, Millis, Rate, Status, StepId, Timestamp},
    store::{
        Claimed, Held, Settlement,
        capacity::NewDemand,
        learned,
        read::{self, ResourceRow},
        reap::Death,
    },
};

/// Takes these resources. `capacities` has the capacities that change.
fn takes(units: &[(&str, i64)], capacities: &[(&str, i64)]) -> NewDemand {
    NewDemand {
        units: units.iter().map(|(name, units)| (name.to_string(), Some(*units))).collect(),
        capacities: capacities.iter().map(|(name, units)| (name.to_string(), workflow(*units))).collect(),
        ..NewDemand::default()
    }
}

fn workflow(units: i64) -> Capacity {
    Capacity { units, source: CapacitySource::Workflow }
}

fn rate(name: &str, starts: i64, per: i64) -> NewDemand {
    let rate = Rate { starts, per: Millis(per as u64) };
    NewDemand { rates: BTreeMap::from([(name.to_string(), rate)]), ..NewDemand::default() }
}

fn submit(book: &Book, demand: &NewDemand, items: usize) -> GroupId {
    submit_of(book, "a", demand, items, 0)
}

fn submit_of(book: &Book, step_type: &str, demand: &NewDemand, items: usize, priority: i64) -> GroupId {
    let items: Vec<String> = (0..items).map(|it| it.to_string()).collect();
    let items: Vec<&str> = items.iter().map(String::as_str).collect();
    let takes = [Some(demand.clone())];
    book.submit_taking(&chain(&[step_type]), &items, &[], &takes, |new| new.priority = priority).unwrap()
}

fn resource(book: &Book, name: &str) -> ResourceRow {
    let all = book.store.read(|tx| read::resources(tx, None, 1_000)).unwrap();
    all.into_iter().find(|it| it.name == name).unwrap_or_else(|| panic!("no resource `{name}`"))
}

fn groups(steps: &[Claimed]) -> Vec<GroupId> {
    steps.iter().map(|it| it.group).collect()
}

#[test]
fn no_more_steps_run_than_there_are_units_and_the_next_follows_at_once() {
    let book = Book::new();
    let group = submit(&book, &takes(&[("gpu", 1)], &[("gpu", 2)]), 5);
    let running = book.claims("*", 10);
    assert_eq!(running.len(), 2);
    let row = resource(&book, "gpu");
    assert_eq!((row.held, row.capacity, row.waiting, row.holders.len()), (2, 2, 3, 2));
    book.check();
    let mut running = running;
    for left in (0..5).rev() {
        assert_eq!(book.complete(&running.remove(0)), Held::Yes);
        running.extend(book.claims("*", 10));
        assert_eq!(running.len(), left.min(2));
        assert!(running.windows(2).all(|it| it[0].lease.step < it[1].lease.step), "in the order of the runs");
        book.check();
    }
    assert!(book.ended(group));
    assert_eq!(resource(&book, "gpu").held, 0);
}

#[test]
fn a_step_holds_nothing_while_it_waits() {
    let book = Book::new();
    let both = takes(&[("a", 1), ("b", 1)], &[]);
    submit_of(&book, "a", &takes(&[("a", 1)], &[]), 1, 9);
    let first = book.claim("*");
    submit(&book, &both, 1);
    assert!(book.claims("*", 1).is_empty());
    assert_eq!(resource(&book, "b").held, 0, "all or nothing");
    submit_of(&book, "b", &takes(&[("b", 1)], &[]), 1, 0);
    let second = book.claim("*");
    assert_eq!(book.type_name(&second), "b", "it takes what the waiting step needs, too");
    book.complete(&first);
    assert!(book.claims("*", 1).is_empty(), "`b` is in use");
    assert_eq!(resource(&book, "a").held, 0);
    book.check();
    book.complete(&second);
    let third = book.claim("*");
    assert_eq!(book.type_name(&third), "a");
    assert_eq!((resource(&book, "a").held, resource(&book, "b").held), (1, 1));
    book.complete(&third);
    book.check();
}

#[test]
fn a_large_request_is_passed_for_a_while_and_then_not() {
    let book = Book::new();
    let one = takes(&[("slots", 1)], &[("slots", 4)]);
    submit(&book, &one, 3);
    let mut running = book.claims("*", 3);
    let large = submit_of(&book, "large", &takes(&[("slots", 4)], &[]), 1, 0);
    assert_eq!(book.claims("*", 1).len(), 0, "one is free, and it needs four");
    let small = submit(&book, &one, 20);
    let passing = book.claims("*", 1);
    assert_eq!(groups(&passing), [small], "what fits goes first");
    running.extend(passing);
    book.clock.advance(Millis::seconds(30));
    for left in (0..4).rev() {
        assert_eq!(book.complete(&running.remove(0)), Held::Yes);
        let found = book.claims("*", 10);
        match left {
            0 => assert_eq!(groups(&found), [large]),
            _ => assert!(found.is_empty(), "nothing passes it, {left} still run"),
        }
        running.extend(found);
        book.check();
    }
    book.complete(&running.remove(0));
    assert_eq!(book.claims("*", 10).len(), 4, "the small ones go on");
    book.check();
}

#[test]
fn a_large_request_that_no_worker_takes_stops_others_only_for_a_moment() {
    let book = Book::new();
    let one = takes(&[("slots", 1)], &[("slots", 2)]);
    submit(&book, &one, 2);
    let running = book.claims("*", 2);
    submit_of(&book, "large", &takes(&[("slots", 2)], &[]), 1, 9);
    assert!(book.claims("*", 1).is_empty());
    book.open_pool("large");
    book.clock.advance(Millis(1));
    submit(&book, &one, 10);
    assert!(book.claims_others(&["large"], 1).is_empty());
    book.clock.advance(Millis::seconds(40));
    running.iter().for_each(|it| _ = book.complete(it));
    assert!(book.claims_others(&["large"], 2).is_empty(), "the units are kept for it");
    book.check();
    book.clock.advance(Millis::seconds(6));
    assert_eq!(book.claims_others(&["large"], 2).len(), 2, "it was not fetched");
    book.check();
}

#[test]
fn units_come_back_however_a_step_leaves_its_lease() {
    type Leave = fn(&Book, &Claimed);
    let ways: [(&str, Leave); 6] = [
        ("fails", |book, it| _ = book.fail(it, "x")),
        ("is retried later", |book, it| {
            let due = book.now() + Millis(60_000);
            _ = book.settle(it, Settlement::Retry { due, crashed: false, record: record("x") });
        }),
        ("is released", |book, it| _ = book.settle(it, Settlement::Release { due: it.due, record: None })),
        ("is cancelled", |book, it| {
            book.cancel(it.group);
            _ = book.settle(it, Settlement::Cancelled { record: record("x") });
        }),
        ("dies with its worker", |book, _| _ = book.reap(WORKER)),
        ("was running when a backup was made", |book, _| _ = book.reap_for(WORKER, Death::Restored)),
    ];
    for (way, leave) in ways {
        let book = Book::new();
        submit(&book, &takes(&[("gpu", 3)], &[("gpu", 3)]), 1);
        let step = book.claim("*");
        assert_eq!(resource(&book, "gpu").held, 3);
        leave(&book, &step);
        assert_eq!(resource(&book, "gpu").held, 0, "a step that {way}");
        assert_eq!(book.count("holding"), 0);
        book.check();
    }
}

#[test]
fn a_paused_or_cancelled_group_keeps_nobody_from_the_units() {
    let book = Book::new();
    let demand = takes(&[("gpu", 1)], &[]);
    let first = submit(&book, &demand, 1);
    let running = book.claim("*");
    let paused = submit_of(&book, "a", &demand, 3, 5);
    let cancelled = submit_of(&book, "a", &takes(&[("gpu", 1), ("x", 1)], &[]), 3, 5);
    let last = submit(&book, &demand, 1);
    assert!(book.claims("*", 5).is_empty());
    book.clock.advance(Millis::seconds(60));
    book.pause(paused);
    book.cancel(cancelled);
    book.complete(&running);
    assert!(book.ended(first) && book.ended(cancelled));
    let next = book.claim("*");
    assert_eq!(next.group, last);
    book.check();
    book.complete(&next);
    book.resume(paused);
    assert_eq!(groups(&book.claims("*", 5)), [paused]);
    book.check();
}

#[test]
fn a_step_that_asks_for_more_than_there_is_is_handed_out_to_fail() {
    let book = Book::new();
    submit(&book, &takes(&[("gpu", 4)], &[("gpu", 8)]), 2);
    let running = book.claims("*", 2);
    assert_eq!(running.len(), 2);
    submit(&book, &takes(&[("gpu", 4)], &[]), 1);
    assert!(book.claims("*", 1).is_empty());
    submit_of(&book, "b", &takes(&[("gpu", 1)], &[("gpu", 3)]), 1, 0);
    let row = resource(&book, "gpu");
    assert_eq!((row.capacity, row.held), (3, 8), "what runs goes on");
    book.check();
    let failing = book.claim("*");
    assert_eq!(failing.impossible.as_deref(), Some("it needs 4 of `gpu`, whose capacity is 3"));
    assert_eq!(resource(&book, "gpu").held, 8, "it holds nothing");
    book.fail(&failing, "too large");
    running.iter().for_each(|it| _ = book.complete(it));
    assert_eq!(book.type_name(&book.claim("*")), "b");
    book.check();
}

#[test]
fn a_hundred_thousand_steps_behind_a_full_resource_are_not_touched_by_claims() {
    let book = Book::in_memory();
    let count = std::env::var("TEST_ROWS").ok().and_then(|it| it.parse().ok()).unwrap_or(100_000);
    submit(&book, &takes(&[("gpu", 1)], &[]), count);
    let holder = book.claim("*");
    let others = submit_others(&book, 50);
    let before = (book.count("ready"), book.count("line"), book.count("line_wait"));
    for _ in 0..50 {
        let step = book.claim("*");
        assert_eq!(step.group, others);
        book.complete(&step);
    }
    let after = (book.count("ready"), book.count("line"), book.count("line_wait"));
    // The first of these claims tried the line once, and closed it.
    assert_eq!((before.0 - after.0, after.1, after.2), (50, 1, 1));
    assert_eq!(resource(&book, "gpu").waiting, (count - 1).min(100_000) as i64);
    book.complete(&holder);
    assert_eq!(book.claims("*", 5).len(), 1);
    assert_eq!(book.count("ready"), count as i64 - 2);
}

fn submit_others(book: &Book, items: usize) -> GroupId {
    let items: Vec<String> = (0..items).map(|it| it.to_string()).collect();
    book.submit(&chain(&["plain"]), &items.iter().map(String::as_str).collect::<Vec<_>>())
}

#[test]
fn a_workflow_without_resources_leaves_their_tables_alone() {
    let book = Book::new();
    let group = book.submit(&chain(&["a", "b"]), &["x", "y"]);
    while let Some(step) = book.claims("*", 1).pop() {
        book.complete(&step);
    }
    assert!(book.ended(group));
    for table in ["resource", "demand", "demand_part", "holding", "line", "line_wait", "rate_start"] {
        assert_eq!(book.count(table), 0, "{table}");
    }
}

#[test]
fn a_line_follows_its_type_into_a_queue_of_its_own() {
    let book = Book::new();
    submit(&book, &takes(&[("gpu", 1)], &[("gpu", 2)]), 3);
    book.open_pool("a");
    book.check();
    assert!(book.claims_others(&["a"], 1).is_empty());
    assert_eq!(book.claims("a", 5).len(), 2);
    book.check();
}

#[test]
fn groups_take_turns_in_the_line_of_a_resource() {
    let book = Book::new();
    let demand = takes(&[("gpu", 1)], &[]);
    let (large, small) = (submit(&book, &demand, 50), submit(&book, &demand, 2));
    let mut served = Vec::new();
    for _ in 0..6 {
        let step = book.claim("*");
        served.push(step.group);
        book.complete(&step);
    }
    assert!(served[..4].contains(&small), "{small} waits behind {large}: {served:?}");
    book.check();
}

#[test]
fn a_rate_allows_so_many_starts_and_tells_when_the_next_may_come() {
    let mut book = Book::new();
    submit(&book, &rate("api", 3, 60_000), 8);
    let begun = book.now();
    assert_eq!(book.claims("*", 10).len(), 3);
    book.check();
    let row = resource(&book, "api");
    assert_eq!((row.next, row.waiting), (Some(Timestamp(begun.0 + 60_000)), 5));
    book.clock.advance(Millis(59_999));
    assert!(book.claims("*", 10).is_empty());
    // A restart loses nothing.
    book.restart();
    assert!(book.claims("*", 10).is_empty());
    book.clock.advance(Millis(1));
    assert_eq!(book.claims("*", 10).len(), 3, "the window has passed");
    book.check();
}

#[test]
fn a_rate_does_not_follow_a_wall_clock_that_is_set() {
    let book = Book::new();
    submit(&book, &rate("api", 1, 60_000), 4);
    assert_eq!(book.claims("*", 10).len(), 1);
    assert!(book.claims("*", 10).is_empty());
    book.clock.set_wall(Timestamp(book.now().0 + 86_400_000));
    assert!(book.claims("*", 10).is_empty(), "a day passed on the wall, none on the monotonic clock");
    book.check();
    book.clock.set_wall(Timestamp(book.now().0 - 3 * 86_400_000));
    assert!(book.claims("*", 10).is_empty());
    book.clock.advance(Millis(60_000));
    book.store.write(windlass::store::capacity::look_at_all).unwrap();
    assert_eq!(book.claims("*", 10).len(), 1, "it does not wait for the wall clock to come back");
    book.check();
}

#[test]
fn three_processes_share_a_rate_and_a_capacity() {
    let book = Book::new();
    let mut demand = rate("api", 5, 60_000);
    demand.units.insert("gpu".into(), Some(1));
    demand.capacities.insert("gpu".into(), workflow(4));
    submit(&book, &demand, 30);
    let stores = [book.open_again(), book.open_again(), book.open_again()];
    let claim = |limit: usize| -> usize {
        let ask = |it: &windlass::store::Store| {
            let take = windlass::store::Take::Others(std::sync::Arc::new([]));
            it.claim(house::request(WORKER, take, windlass::model::Scope::Everything, limit)).unwrap().len()
        };
        std::thread::scope(|scope| {
            let threads: Vec<_> = stores.iter().map(|it| scope.spawn(move || ask(it))).collect();
            threads.into_iter().map(|it| it.join().unwrap()).sum()
        })
    };
    assert_eq!(claim(10), 4, "the capacity");
    book.check();
    assert_eq!(book.reap(WORKER), 4);
    assert_eq!(claim(10), 1, "the fifth start of the window");
    book.check();
    stores.iter().for_each(windlass::store::Store::close);
}

#[test]
fn a_type_reserves_what_its_steps_have_used() {
    let book = Book::new();
    let learnt = NewDemand {
        units: BTreeMap::from([("memory".to_string(), None)]),
        capacities: BTreeMap::from([("memory".to_string(), workflow(1_000))]),
        ..NewDemand::default()
    };
    submit(&book, &learnt, 40);
    let first = book.claims("*", 3);
    assert_eq!((first.len(), resource(&book, "memory").held), (3, 0), "nothing is known yet");
    let step_type = first[0].step_type;
    let note = |bytes: i64| book.store.write(move |tx| learned::note(tx, &[(step_type, bytes)])).unwrap();
    note(300);
    first.iter().for_each(|it| _ = book.complete(it));
    let fitting = book.claims("*", 10);
    assert_eq!((fitting.len(), resource(&book, "memory").held), (3, 990), "as many as fit");
    book.check();
    let types = book.store.read(learned::types).unwrap();
    assert_eq!((types[0].measured, types[0].reserves), (1, Some(330)));
    // The first step is killed for memory.
    let killed = fitting[0].lease.step;
    let again = || Settlement::Retry { due: book.now(), crashed: false, record: record("killed") };
    let double = || book.store.write(move |tx| learned::double(tx, killed, 1)).unwrap();
    double();
    book.settle(&fitting[0], again());
    assert!(book.claims("*", 1).is_empty(), "660 do not fit beside 660");
    book.complete(&fitting[1]);
    let twice = book.claim("*");
    assert_eq!((twice.lease.step, resource(&book, "memory").held), (killed, 990));
    double();
    book.settle(&twice, again());
    book.complete(&fitting[2]);
    assert_eq!((book.claim("*").lease.step, resource(&book, "memory").held), (killed, 330), "once");
    // If one step has used more than exists, each reserves everything.
    for _ in 0..200 {
        note(5_000_000);
    }
    assert_eq!(book.count("memory_peak"), 200);
    assert!(book.claims("*", 5).is_empty());
    book.check();
}

/// One event in the history.
#[derive(Debug, Clone)]
enum Act {
    Submit { step_type: u8, units: Vec<i64>, rate: bool },
    Claim(usize),
    End(usize, u8),
    Reap,
    Pass(u64),
    Capacity(u8, i64),
    Cancel(usize),
    Pause(usize),
    Resume(usize),
    Restart,
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        4 => (0u8..2, prop::collection::vec(0i64..5, 3), any::<bool>())
            .prop_map(|(step_type, units, rate)| Act::Submit { step_type, units, rate }),
        6 => (1usize..4).prop_map(Act::Claim),
        6 => (any::<prop::sample::Index>(), 0u8..4).prop_map(|(at, how)| Act::End(at.index(1_000), how)),
        1 => Just(Act::Reap),
        3 => (1u64..40_000).prop_map(Act::Pass),
        1 => (0u8..3, 1i64..6).prop_map(|(of, units)| Act::Capacity(of, units)),
        1 => (0usize..20).prop_map(Act::Cancel),
        1 => (0usize..20).prop_map(Act::Pause),
        1 => (0usize..20).prop_map(Act::Resume),
        1 => Just(Act::Restart),
    ]
}

const NAMES: [&str; 3] = ["x", "y", "z"];
const RATE: i64 = 3;
const PER: i64 = 10_000;

struct World {
    book: Book,
    /// Two more processes on the same file.
    others: [windlass::store::Store; 2],
    running: Vec<Claimed>,
    groups: Vec<GroupId>,
    /// Monotonic times of starts under the rate.
    starts: Vec<i64>,
    time: i64,
    rated: std::collections::BTreeSet<GroupId>,
}

impl World {
    fn act(&mut self, act: &Act) {
        match act {
            Act::Submit { step_type, units, rate: rated } => {
                let units: Vec<_> = NAMES.iter().zip(units).filter(|it| *it.1 > 0).map(|it| (*it.0, *it.1)).collect();
                // The first step that names a resource declares its capacity.
                let mut demand = takes(&units, &[]);
                for (name, _) in &units {
                    let known = self.book.store.read(|tx| windlass::store::capacity::capacity_of(tx, name)).unwrap();
                    if known.is_none() {
                        demand.capacities.insert(name.to_string(), workflow(4));
                    }
                }
                if *rated {
                    demand.rates = rate("api", RATE, PER).rates;
                }
                if demand.is_empty() {
                    return;
                }
                let group = submit_of(&self.book, ["a", "b"][*step_type as usize], &demand, 2, 0);
                self.groups.push(group);
                if *rated {
                    self.rated.insert(group);
                }
            }
            Act::Claim(limit) => {
                for step in self.book.claims("*", *limit) {
                    if step.impossible.is_some() {
                        self.book.fail(&step, "too large");
                        continue;
                    }
                    if self.rated.contains(&step.group) {
                        self.starts.push(self.time);
                    }
                    self.running.push(step);
                }
            }
            Act::End(at, how) if !self.running.is_empty() => {
                let step = self.running.remove(at % self.running.len());
                match how {
                    0 => _ = self.book.fail(&step, "x"),
                    1 => {
                        let due = self.book.now() + Millis(5_000);
                        let retry = Settlement::Retry { due, crashed: false, record: record("x") };
                        _ = self.book.settle(&step, retry);
                    }
                    _ => _ = self.book.complete(&step),
                }
            }
            Act::End(..) => {}
            Act::Reap => {
                self.book.reap(WORKER);
                self.running.clear();
            }
            Act::Pass(time) => {
                self.book.clock.advance(Millis(*time));
                self.time += *time as i64;
            }
            Act::Capacity(of, units) => {
                let name = NAMES[*of as usize];
                let all = self
                    .book
                    .store
                    .read(|tx| windlass::store::capacity::capacities(tx, windlass::model::ResourceId(0), 10));
                let known = all.unwrap().into_iter().find(|it| it.1 == name);
                let changed: Vec<_> = known.map(|it| (it.0, workflow(*units))).into_iter().collect();
                self.book.store.write(move |tx| windlass::store::capacity::configure(tx, &changed)).unwrap();
            }
            Act::Cancel(at) => self.live(*at).into_iter().for_each(|it| self.book.cancel(it)),
            Act::Pause(at) => self.live(*at).into_iter().for_each(|it| self.book.pause(it)),
            Act::Resume(at) => self.live(*at).into_iter().for_each(|it| self.book.resume(it)),
            Act::Restart => self.book.restart(),
        }
    }

    /// Another process is the next one to do something.
    fn turn_to(&mut self, process: usize) {
        if let Some(other) = self.others.get_mut(process) {
            std::mem::swap(&mut self.book.store, other);
        }
    }

    fn live(&self, at: usize) -> Option<GroupId> {
        self.groups.get(at).copied().filter(|it| !self.book.ended(*it))
    }

    /// Nothing is stuck: with time, and steps that end, everything ends.
    fn drain(&mut self) {
        for group in self.groups.clone() {
            if !self.book.ended(group) {
                self.book.resume(group);
            }
        }
        for _ in 0..10_000 {
            self.act(&Act::Claim(3));
            match self.running.is_empty() {
                true if self.groups.iter().all(|it| self.book.ended(*it)) => return,
                true => self.act(&Act::Pass(5_000)),
                false => self.act(&Act::End(0, 9)),
            }
        }
        let waiting: Vec<_> = self.groups.iter().filter(|it| !self.book.ended(**it)).collect();
        panic!("these wait for ever: {waiting:?}");
    }

    fn check(&self) {
        self.book.check();
        for (at, begin) in self.starts.iter().enumerate() {
            let within = self.starts[at..].iter().filter(|it| **it < begin + PER).count() as i64;
            assert!(within <= RATE, "{within} starts in one window: {:?}", self.starts);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(), failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_happens_capacities_and_rates_hold_and_everything_ends(acts in prop::collection::vec((0usize..4, act()), 1..60)) {
        let book = Book::in_memory();
        let others = [book.open_again(), book.open_again()];
        let (running, groups, starts) = (Vec::new(), Vec::new(), Vec::new());
        let mut world = World { book, others, running, groups, starts, time: 0, rated: Default::default() };
        for (process, act) in &acts {
            world.turn_to(*process);
            world.act(act);
            world.check();
        }
        world.drain();
        world.check();
        world.others.iter().for_each(windlass::store::Store::close);
    }

    /// Small requests of any sizes come without end and take any time. Once the large one has waited for half a minute, only what runs
    /// then, and one step of each line that has waited longer, come before it.
    #[test]
    fn a_large_request_starts_in_bounded_time_however_many_small_ones_come(
        capacity in 2i64..6,
        large in 2i64..6,
        small in prop::collection::vec((1i64..4, 1i64..12), 1..6),
        both in any::<bool>(),
    ) {
        let large = large.min(capacity);
        let book = Book::in_memory();
        let mut ends: Vec<(i64, Claimed)> = Vec::new();
        let longest = small.iter().map(|it| it.1).max().unwrap();
        let streams: Vec<(GroupId, i64)> = small
            .iter()
            .map(|(units, time)| {
                let mut units = vec![("slots", (*units).min(capacity - 1).max(1))];
                if both {
                    units.push(("more", 1));
                }
                let takes = takes(&units, &[("slots", capacity), ("more", 3)]);
                (submit_of(&book, &format!("small{}{time}", units[0].1), &takes, 300, 0), *time)
            })
            .collect();
        let claim = |second: i64, ends: &mut Vec<(i64, Claimed)>| {
            for step in book.claims("*", 9) {
                let time = streams.iter().find(|it| it.0 == step.group).map_or(5, |it| it.1);
                ends.push((second + time, step));
            }
        };
        claim(0, &mut ends);
        let mut units = vec![("slots", large)];
        if both {
            units.push(("more", 2));
        }
        let group = submit_of(&book, "large", &takes(&units, &[]), 1, 0);
        let mut started = None;
        for second in 1..200i64 {
            book.clock.advance(Millis::seconds(1));
            let (over, left): (Vec<_>, Vec<_>) = ends.drain(..).partition(|it| it.0 <= second);
            ends = left;
            over.iter().for_each(|it| _ = book.complete(&it.1));
            claim(second, &mut ends);
            if ends.iter().any(|it| it.1.group == group) {
                started = Some(second);
                break;
            }
        }
        let latest = 30 + (streams.len() as i64 + 1) * longest + 2;
        prop_assert!(started.is_some_and(|it| it <= latest), "it started at {:?}, not by {}", started, latest);
        book.check();
    }
}

fn cases() -> u32 {
    std::env::var("PROPTEST_CASES").ok().and_then(|it| it.parse().ok()).unwrap_or(60)
}

/// Small requests arrive without end, but the large one is served.
#[test]
fn a_large_request_does_not_starve_behind_a_stream_of_small_ones() {
    let book = Book::in_memory();
    let small = takes(&[("slots", 1)], &[("slots", 3)]);
    submit_of(&book, "small", &small, 3_000, 0);
    let mut running = book.claims("*", 3);
    let large = submit_of(&book, "large", &takes(&[("slots", 3)], &[]), 1, 0);
    for round in 0.. {
        assert!(round < 200, "the large request starves");
        book.clock.advance(Millis(1_000));
        book.complete(&running.remove(0));
        running.extend(book.claims("*", 3));
        if running.iter().any(|it| it.group == large) {
            assert!(round > 25, "small ones pass it for half a minute, but it came in round {round}");
            break;
        }
    }
    let steps: Vec<StepId> = running.iter().map(|it| it.lease.step).collect();
    assert_eq!(steps.len(), 1, "{steps:?}");
    assert_eq!(book.status(&running[0]), Status::Running);
    book.check();
}
