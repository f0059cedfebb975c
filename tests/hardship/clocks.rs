//! Wall clocks that jump, machines that sleep, another boot.

use crate::eventually;
use std::{collections::BTreeMap, path::Path, sync::Arc, time::Duration};
use windlass::{
    artifact::{ArtifactOptions, ArtifactStore},
    definition::{KnownKinds, parse},
    engine::{self, Engine, Options, Registry, Submission, Worker, WorkerOptions},
    model::{Bytes, Millis, Monotonic, ProcessIdentity, Scope, Timestamp},
    observe::NoMetrics,
    os::{Clock, MovableClock, SystemClock},
    store::{self, Store, idle},
};

const DAY: Millis = Millis::seconds(86_400);

/// An engine whose clock is moved by hand. It stands still else: a heart that beats looks young for ever.
fn engine(home: &Path, clock: Arc<dyn Clock>) -> Engine {
    windlass::process::program::use_program(Path::new(crate::WINDLASS));
    let store = Store::open(&store::Options::new(home.join("engine.db")), clock).unwrap();
    let artifacts = ArtifactStore::open(&home.join("artifacts"), ArtifactOptions::default(), &engine::process_tag());
    let mut kinds = Registry::default();
    engine::kind::register(&mut kinds);
    let options = Options { ballast: Bytes(0), silent_after: Millis::seconds(3), ..Options::new(home) };
    Engine::new(store, artifacts.unwrap(), kinds, options, Arc::new(NoMetrics))
}

fn worker(engine: &Engine, pool: &str) -> Worker {
    let pools = BTreeMap::from([(pool.to_string(), 1)]);
    Worker::start(engine, WorkerOptions { pools, scope: Scope::Everything }).unwrap()
}

fn submit(engine: &Engine, home: &Path, text: &str) -> windlass::model::GroupId {
    let definition = parse(text, "test", &KnownKinds::new(engine.kinds().names())).unwrap();
    engine.submit(Submission { directory: home.into(), ..Submission::new(definition, vec!["x".into()]) }).unwrap().group
}

#[test]
fn a_wall_clock_that_jumps_a_day_and_a_long_sleep_cost_no_lease() {
    let dir = tempfile::tempdir().unwrap();
    let clock = Arc::new(MovableClock::new(SystemClock.wall(), Monotonic(1_000_000)));
    let engine = engine(dir.path(), clock.clone());
    let text = "id: long\nsteps: [{ name: a, run: 'echo x >> begun; until test -e go; do sleep 0.02; done' }]\n";
    let group = submit(&engine, dir.path(), text);
    let works = worker(&engine, "a");
    let judges = worker(&engine, "none");
    let begun = dir.path().join("begun");
    eventually("it begins", || begun.exists());
    let now = engine.store().now();
    for wall in [Timestamp(now.0 + DAY.0 as i64), Timestamp(now.0 - DAY.0 as i64), now] {
        clock.set_wall(wall);
        // Several rounds of the judge.
        std::thread::sleep(Duration::from_millis(1_000));
    }
    clock.suspend(DAY);
    std::thread::sleep(Duration::from_millis(1_000));
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
    let group = submit(&engine, dir.path(), "id: one\nsteps: [{ name: a, uses: windlass/noop }]\n");
    // Of the boot before: its process number may be anybody's now, and its heartbeat is of another clock.
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
    let worker = worker(&engine, "*");
    eventually("the group ends", || engine.group_end(group).unwrap().is_some());
    println!("claimed again and done {:?} after the start", begun.elapsed());
    assert!(begun.elapsed() < Duration::from_millis(2_500));
    worker.stop(Millis::seconds(5));
}
