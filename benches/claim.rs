//! Measures the cost of a claim depending on the amount of stored data, and how fast steps are processed. `cargo bench
//! --bench claim`.
//!
//! `WINDLASS_ROWS` (default 1,000,000) is the number of pending, of completed and of delayed steps in the large
//! database; a tenth of that number is blocked behind a held key. Rounds on the small and the large database alternate,
//! since the speed of the machine varies from minute to minute.

#[path = "../tests/support/house.rs"]
mod house;

use house::{Book, WORKER, chain, completion, record, request, step};
use std::{
    sync::{
        Arc,
        atomic::{AtomicI64, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};
use windlass::{
    model::{Holder, HolderKind, Millis, Monotonic, ResourceKey, Scope, Shape},
    store::{Claim, Claimed, Commit, CommitListener, Durability, Settle, Settlement, Store, Take, resource_lock},
};

const CONSUMERS: usize = 64;
const BATCH: usize = 100;
const ROUNDS: usize = 200;
/// Steps of one run in the large database, in parallel: the benchmark measures steps, not runs.
const WIDE: usize = 100;

fn main() {
    let rows = std::env::var("WINDLASS_ROWS").ok().and_then(|it| it.parse().ok()).unwrap_or(1_000_000);
    claims(rows);
    groups(rows);
    drain(100_000.min(rows));
}

fn any(limit: usize) -> Claim {
    request(WORKER, Take::Others(Arc::new([])), Scope::Everything, limit)
}

/// Reads the processor time of the writer's thread after each commit. Unlike the wall clock, other processes do not
/// affect it.
#[derive(Default)]
struct Meter(AtomicI64);

impl CommitListener for Meter {
    fn committed(&self, _: &Commit<'_>) {
        let now = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
        self.0.store(now.tv_sec * 1_000_000_000 + now.tv_nsec, Ordering::SeqCst);
    }
}

impl Meter {
    fn of(store: &Store) -> Arc<Meter> {
        let meter = Arc::new(Meter::default());
        store.listen(meter.clone());
        // The first commit initialises it.
        store.claim(any(0)).expect("the claim succeeds");
        meter
    }

    /// The processor time so far, in nanoseconds. The answer arrives before the reading, so this waits for an empty
    /// transaction.
    fn read(&self, store: &Store) -> i64 {
        store.claim(any(0)).expect("the claim succeeds");
        self.0.load(Ordering::SeqCst)
    }
}

/// The cost per claimed step in a small and in a large database.
fn claims(rows: usize) {
    let small = Book::new();
    submit(&small, 1000, None);
    let begun = Instant::now();
    let large = Book::new();
    fill(&large, rows);
    println!("filled the large database with {} steps in {:.0?}", large.count("step"), begun.elapsed());
    let mut times = [Vec::new(), Vec::new()];
    let meters = [Meter::of(&small.store), Meter::of(&large.store)];
    for round in 0..ROUNDS + 20 {
        for (at, book) in [&small, &large].into_iter().enumerate() {
            let begun = meters[at].read(&book.store);
            let claimed = book.store.claim(any(BATCH)).expect("the claim succeeds");
            let took = meters[at].read(&book.store) - begun;
            assert_eq!(claimed.len(), BATCH);
            give_back(&book.store, claimed);
            if round >= 20 {
                times[at].push(took as f64 / BATCH as f64 / 1000.0);
            }
        }
    }
    let [small, large] = times.map(median);
    println!("claim of a step, processor time, median of {ROUNDS} batches of {BATCH}:");
    println!("  1,000 pending                                        {small:.2} us");
    println!(
        "  {rows} each pending, completed, delayed; {} in line      {large:.2} us, ratio {:.2}",
        rows / 10,
        large / small
    );
}

/// The cost per claimed step when many groups take turns, in a small and in a large database.
fn groups(rows: usize) {
    const GROUPS: usize = 1000;
    let [small, large] = [GROUPS * WIDE / 100, rows].map(|steps| {
        let book = Book::new();
        for _ in 0..GROUPS {
            let shape = Shape {
                steps: (0..steps.div_ceil(GROUPS).min(WIDE)).map(|_| step("work", &[])).collect(),
                hooks: vec![],
            };
            let runs = steps.div_ceil(GROUPS * shape.steps.len());
            book.submit_with(&shape, &vec!["item"; runs], 0, &[]);
        }
        book
    });
    let mut times = [Vec::new(), Vec::new()];
    let meters = [Meter::of(&small.store), Meter::of(&large.store)];
    for round in 0..ROUNDS + 20 {
        for (at, book) in [&small, &large].into_iter().enumerate() {
            let begun = meters[at].read(&book.store);
            let claimed = book.store.claim(any(BATCH)).expect("the claim succeeds");
            let took = meters[at].read(&book.store) - begun;
            assert_eq!(claimed.len(), BATCH);
            give_back(&book.store, claimed);
            if round >= 20 {
                times[at].push(took as f64 / BATCH as f64 / 1000.0);
            }
        }
    }
    let [few, many] = times.map(median);
    println!("the same of {GROUPS} groups that take turns:");
    println!("  {} pending                                        {few:.2} us", small.count("ready"));
    println!(
        "  {} pending                                        {many:.2} us, ratio {:.2}",
        large.count("ready"),
        many / few
    );
}

fn median(mut times: Vec<f64>) -> f64 {
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}

fn give_back(store: &Store, claimed: Vec<Claimed>) {
    for it in claimed {
        let settlement = Settlement::Release { due: it.due, record: None };
        store.settle(Settle { lease: it.lease, settlement, then: None }).expect("the release succeeds");
    }
}

fn fill(book: &Book, rows: usize) {
    submit(book, rows, None);
    work(&book.store, rows, completion);
    submit(book, rows, None);
    let due = book.now() + Millis(86_400_000);
    work(&book.store, rows, || Settlement::Retry { due, crashed: false, record: record("later") });
    let holder = Holder { kind: HolderKind::Cli, id: 1 };
    let taker =
        resource_lock::Taker { holder, identity: "{}".into(), boot_id: "boot".into(), deadline: Monotonic(i64::MAX) };
    let key = ResourceKey("held".into());
    book.store.write(move |tx| resource_lock::acquire(tx, &key, &taker)).expect("the key is free");
    submit(book, rows / 10, Some("held"));
    submit(book, rows, None);
}

fn submit(book: &Book, steps: usize, key: Option<&str>) {
    let shape = Shape { steps: (0..WIDE).map(|_| step("work", &[])).collect(), hooks: vec![] };
    let items = vec!["item"; steps / WIDE];
    book.submit_with(&shape, &items, 0, &vec![key; WIDE]);
}

/// Claims and settles exactly `count` steps, with as many consumers as a busy engine has. Returns the time that it
/// took.
fn work(store: &Store, count: usize, how: impl Fn() -> Settlement + Sync) -> Duration {
    let left = AtomicUsize::new(count);
    // Permission to claim one more step.
    let more = || left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |it| it.checked_sub(1)).is_ok();
    let begun = Instant::now();
    std::thread::scope(|scope| {
        for _ in 0..CONSUMERS {
            scope.spawn(|| {
                let first = if more() { store.claim(any(1)).expect("the claim succeeds") } else { Vec::new() };
                let mut mine = first;
                while let Some(step) = mine.pop() {
                    let then = more().then(|| any(1));
                    let settled = store.settle(Settle { lease: step.lease, settlement: how(), then });
                    mine = settled.expect("the settlement succeeds").next;
                }
            });
        }
    });
    begun.elapsed()
}

/// Single-step runs at full durability. Each consumer settles a step and claims the next one in one call.
fn drain(steps: usize) {
    let book = Book::with(Durability::Full);
    let items = vec!["item"; steps];
    book.submit(&chain(&["work"]), &items);
    let meter = Meter::of(&book.store);
    let begun = meter.read(&book.store);
    let took = work(&book.store, steps, completion);
    let processor = (meter.read(&book.store) - begun) as f64 / steps as f64 / 1000.0;
    println!(
        "drained {steps} runs of one step with {CONSUMERS} consumers at full durability in {took:.2?}: {:.0} steps/s, \
         {processor:.1} us of the writer's processor time each",
        steps as f64 / took.as_secs_f64()
    );
    assert!(book.store.claim(any(1)).expect("the claim succeeds").is_empty(), "every step was taken");
    book.check();
}
