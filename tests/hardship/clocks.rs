//! Wall clocks that jump, machines that sleep, another boot.

use crate::{
    eventually,
    plant::{open_with, submit, worker_on},
};
use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};
use windlass::{
    engine::{Engine, Options},
    model::{Millis, Monotonic, ProcessIdentity, Scope, Timestamp},
    os::{Clock, MovableClock, SystemClock},
    store::{self, idle},
};

const DAY: Millis = Millis::seconds(86_400);

/// A clock that is moved by hand and counts how often it was read, once per round by each service thread. It otherwise
/// stands still, so a heartbeat never looks old.
struct Counting {
    clock: MovableClock,
    reads: AtomicUsize,
}

impl Clock for Counting {
    fn wall(&self) -> Timestamp {
        self.clock.wall()
    }

    fn monotonic(&self) -> Monotonic {
        self.reads.fetch_add(1, Ordering::Relaxed);
        self.clock.monotonic()
    }
}

impl Counting {
    /// Waits for several rounds of the watcher.
    fn rounds(&self) {
        let begun = self.reads.load(Ordering::Relaxed);
        eventually("the keepers look", || self.reads.load(Ordering::Relaxed) > begun + 30);
    }
}

/// It considers a worker dead that is silent for three seconds.
fn engine(home: &Path, clock: Arc<dyn Clock>) -> Engine {
    open_with(home, clock, |it| Options { silent_after: Millis::seconds(3), ..it })
}

#[test]
fn a_wall_clock_that_jumps_a_day_and_a_long_sleep_cost_no_lease() {
    let dir = tempfile::tempdir().unwrap();
    let clock = Arc::new(Counting {
        clock: MovableClock::new(SystemClock.wall(), Monotonic(1_000_000)),
        reads: AtomicUsize::new(0),
    });
    let engine = engine(dir.path(), clock.clone());
    let text = "id: long\nsteps: [{ name: a, run: 'echo x >> begun; until test -e go; do sleep 0.02; done' }]\n";
    let group = submit(&engine, text, &["x"]);
    let works = worker_on(&engine, "a", 1);
    let judges = worker_on(&engine, "none", 1);
    let begun = dir.path().join("begun");
    eventually("it begins", || begun.exists());
    let now = engine.store().now();
    for wall in [Timestamp(now.0 + DAY.0 as i64), Timestamp(now.0 - DAY.0 as i64), now] {
        clock.clock.set_wall(wall);
        clock.rounds();
    }
    clock.clock.suspend(DAY);
    clock.rounds();
    let leases = engine.store().read(|tx| idle::leases(tx, works.id())).unwrap();
    assert_eq!(leases.live.len(), 1, "its lease was taken away");
    std::fs::write(dir.path().join("go"), "").unwrap();
    eventually("the group ends", || engine.group_end(group).unwrap().is_some());
    assert_eq!(std::fs::read_to_string(begun).unwrap().lines().count(), 1, "it ran twice");
    judges.stop(Millis::seconds(5));
    works.stop(Millis::seconds(5));
}

#[test]
fn what_ran_before_a_reboot_is_claimable_at_once_after_it() {
    let dir = tempfile::tempdir().unwrap();
    let engine = engine(dir.path(), Arc::new(SystemClock));
    let group = submit(&engine, "id: one\nsteps: [{ name: a, uses: windlass/noop }]\n", &["x"]);
    // From the previous boot: its process number may belong to any process now, and its heartbeat is on another clock.
    let identity = ProcessIdentity { boot_id: "before".into(), ..windlass::os::process_stat::own_identity() };
    let store = engine.store();
    let dead = store
        .write(move |tx| {
            let id = store::worker::reserve(tx)?;
            let (version, pools) = ("0".to_string(), "{}".to_string());
            let new = store::worker::NewWorker { identity, version, pools, scope: Scope::Everything };
            store::worker::register(tx, id, &new)?;
            Ok(id)
        })
        .unwrap();
    let take = store::Take::Others(Arc::from([]));
    let claim = crate::house::request(dead, take, Scope::Everything, 1);
    assert_eq!(store.claim(claim).unwrap().len(), 1);
    let begun = std::time::Instant::now();
    let worker = worker_on(&engine, "*", 1);
    eventually("the group ends", || engine.group_end(group).unwrap().is_some());
    println!("claimed again and done {:?} after the start", begun.elapsed());
    assert!(begun.elapsed() < Duration::from_millis(2_500));
    worker.stop(Millis::seconds(5));
}
