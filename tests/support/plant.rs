//! The fixture of tests that run a whole engine in their own process: a home on disk, real workers, and the real binary
//! for child processes.
#![allow(dead_code)] // Each test program uses its own part of it.

use super::binary::use_for_children;
use std::{
    collections::BTreeMap,
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};
use windlass::{
    artifact::{ArtifactOptions, ArtifactStore},
    definition::{KnownKinds, parse},
    engine::{self, Ending, Engine, Options, Registry, Submission, Worker, WorkerOptions},
    model::{Bytes, GroupId, Scope, Status},
    observe::NoMetrics,
    os::{Clock, SystemClock},
    store::{self, Store},
};

/// Longer than anything takes on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(120);

/// An engine with the built-in kinds.
pub fn open(home: &Path) -> Engine {
    open_with(home, Arc::new(SystemClock), |it| it)
}

pub fn open_with(home: &Path, clock: Arc<dyn Clock>, options: impl FnOnce(Options) -> Options) -> Engine {
    made(home, clock, options, |_| ())
}

/// Like `open`, with additional kinds from the test.
pub fn open_with_kinds(home: &Path, more: impl FnOnce(&mut Registry)) -> Engine {
    made(home, Arc::new(SystemClock), |it| it, more)
}

fn made(
    home: &Path,
    clock: Arc<dyn Clock>,
    options: impl FnOnce(Options) -> Options,
    more: impl FnOnce(&mut Registry),
) -> Engine {
    use_for_children();
    let durability = store::Durability::Normal;
    let at = store::Options { durability, ..store::Options::new(home.join("engine.db")) };
    let artifacts = ArtifactStore::open(&home.join("artifacts"), ArtifactOptions::default(), &engine::process_tag());
    let mut kinds = Registry::default();
    engine::kind::register(&mut kinds);
    more(&mut kinds);
    let options = options(Options { ballast: Bytes(0), ..Options::new(home) });
    Engine::new(Store::open(&at, clock).unwrap(), artifacts.unwrap(), kinds, options, Arc::new(NoMetrics))
}

/// Submits a workflow with these items; its commands run in the home directory.
pub fn submit(engine: &Engine, text: &str, items: &[&str]) -> GroupId {
    let definition = parse(text, "t.yaml", &KnownKinds::new(engine.kinds().names())).unwrap();
    let directory = engine.home().to_path_buf();
    let items = items.iter().map(|it| it.to_string()).collect();
    engine.submit(Submission { directory, ..Submission::new(definition, items) }).unwrap().group
}

/// Like `submit`, with the items `0`, `1`, `2`...
pub fn submit_numbers(engine: &Engine, text: &str, count: usize) -> GroupId {
    let items: Vec<String> = (0..count).map(|it| it.to_string()).collect();
    submit(engine, text, &items.iter().map(String::as_str).collect::<Vec<_>>())
}

/// A worker for all steps.
pub fn worker(engine: &Engine, size: usize) -> Worker {
    worker_on(engine, "*", size)
}

pub fn worker_on(engine: &Engine, pool: &str, size: usize) -> Worker {
    let pools = BTreeMap::from([(pool.to_string(), size)]);
    Worker::start(engine, WorkerOptions { pools, scope: Scope::Everything }).unwrap()
}

/// Waits until the group has ended, and returns its status.
#[track_caller]
pub fn wait(engine: &Engine, worker: &Worker, group: GroupId) -> Status {
    match engine.wait_for_group(group, Some(Instant::now() + PATIENCE), || worker.fatal().is_some()).unwrap() {
        Ending::Ended(end) => end.status,
        other => panic!("{group} did not end: {other:?}"),
    }
}
