//! Workers without heartbeats: which are silent, and which only had to wait.

use crate::support::needs::needs_working;
use crate::{
    Place, eventually,
    plant::{open_with, submit, worker_on},
};
use std::{
    fs,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::Arc,
    time::{Duration, Instant},
};
use windlass::{
    engine::{Engine, Options},
    model::{Millis, Scope, WorkerId},
    os::{Clock, FileLock, SystemClock, Turnstile},
    store::{self, idle},
};

fn engine(home: &Path) -> Engine {
    let quick = |it| Options { heartbeat: Millis(100), silent_after: Millis::seconds(1), ..it };
    open_with(home, Arc::new(SystemClock), quick)
}

fn liveness_lock(home: &Path, worker: WorkerId) -> PathBuf {
    home.join("workers").join(format!("{worker}.lock"))
}

/// Waits until a worker has sent this many heartbeats.
#[track_caller]
fn beats(home: &Path, worker: WorkerId, times: usize) {
    let mut seen = Vec::new();
    eventually("its heart beats", || {
        let text = fs::read_to_string(liveness_lock(home, worker)).unwrap();
        if seen.last() != Some(&text) {
            seen.push(text);
        }
        seen.len() > times
    });
}

/// A worker of another process, as far as the engine can tell. This test holds its liveness lock.
fn stranger(engine: &Engine) -> (WorkerId, FileLock) {
    let id = engine.store().write(store::worker::reserve).unwrap();
    let path = liveness_lock(engine.home(), id);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    let line = FileLock::try_exclusive(&path).unwrap().unwrap();
    beat(&line, 0);
    let identity = windlass::os::process_stat::own_identity();
    let (version, pools) = ("0".to_string(), "{}".to_string());
    let new = store::worker::NewWorker { identity, version, pools, scope: Scope::Everything };
    engine.store().write(move |tx| store::worker::register(tx, id, &new)).unwrap();
    (id, line)
}

/// Writes a heartbeat this many milliseconds from now.
fn beat(line: &FileLock, ahead: i64) {
    let text = format!("{:020}\n", SystemClock.monotonic().0 + ahead);
    line.file().write_all_at(text.as_bytes(), 0).unwrap();
}

fn take_turn(turnstile: &Turnstile) -> windlass::os::Turn<'_> {
    turnstile.enter(Instant::now() + Duration::from_secs(60)).unwrap().unwrap()
}

#[test]
fn a_heart_beats_while_the_keeper_of_its_worker_waits_for_a_turn_to_write() {
    let dir = tempfile::tempdir().unwrap();
    let engine = engine(dir.path());
    let group = submit(
        &engine,
        "id: it\nsteps: [{ name: a, run: 'touch begun; until test -e go; do sleep 0.02; done' }]\n",
        &["x"],
    );
    let worker = worker_on(&engine, "*", 1);
    let (gone, line) = stranger(&engine);
    eventually("it begins", || dir.path().join("begun").exists());
    let turnstile = Turnstile::open(dir.path(), "engine").unwrap();
    let turn = take_turn(&turnstile);
    // Another worker dies, and the reaper is about to take its steps.
    drop(line);
    eventually("the keeper waits", || engine.store().pulse().busy.is_some_and(|it| it > Duration::from_millis(200)));
    beats(dir.path(), worker.id(), 5);
    drop(turn);
    let listed = || engine.store().read(store::worker::list).unwrap();
    eventually("who died is gone", || listed().iter().all(|it| it.id != gone));
    fs::write(dir.path().join("go"), "").unwrap();
    eventually("the group ends", || engine.group_end(group).unwrap().is_some());
    worker.stop(Millis::seconds(5));
}

#[test]
fn a_heart_beats_while_a_claim_waits_for_its_turn() {
    let dir = tempfile::tempdir().unwrap();
    let engine = engine(dir.path());
    let text = "id: it\nsteps: [{ name: a, run: 'test -e again || { touch again; exit 1; }', retries: 1, backoff: { initial: 2s, max: 2s, jitter: 0 } }]\n";
    let group = submit(&engine, text, &["x"]);
    let worker = worker_on(&engine, "*", 1);
    eventually("it has failed once", || {
        engine.store().read(idle::next_due).unwrap().is_some() && worker.running() == 0
    });
    let turnstile = Turnstile::open(dir.path(), "engine").unwrap();
    let turn = take_turn(&turnstile);
    eventually("it is claimed again", || engine.store().pulse().busy.is_some_and(|it| it > Duration::from_millis(200)));
    assert_eq!(worker.running(), 0, "nothing runs yet");
    beats(dir.path(), worker.id(), 5);
    drop(turn);
    eventually("the group ends", || engine.group_end(group).unwrap().is_some());
    worker.stop(Millis::seconds(5));
}

#[test]
fn a_worker_that_is_back_before_its_steps_are_taken_keeps_them() {
    let dir = tempfile::tempdir().unwrap();
    let engine = engine(dir.path());
    submit(&engine, "id: it\nsteps: [{ name: a, uses: windlass/noop }]\n", &["x"]);
    let (id, line) = stranger(&engine);
    let take = store::Take::Others(Arc::from([]));
    let claim = crate::house::request(id, take, Scope::Everything, 1);
    assert_eq!(engine.store().claim(claim).unwrap().len(), 1);
    beat(&line, 0);
    let judge = worker_on(&engine, "none", 1);
    let turnstile = Turnstile::open(dir.path(), "engine").unwrap();
    let turn = take_turn(&turnstile);
    eventually("it is found silent", || engine.store().pulse().busy.is_some_and(|it| it > Duration::from_millis(600)));
    beat(&line, 3_600_000);
    drop(turn);
    // A whole round later it still has its step.
    let (gone, its_line) = stranger(&engine);
    drop(its_line);
    let listed = || engine.store().read(store::worker::list).unwrap();
    eventually("who is dead is found", || listed().iter().all(|it| it.id != gone));
    assert_eq!(engine.store().read(|tx| idle::leases(tx, id)).unwrap().live.len(), 1, "its step was taken away");
    judge.stop(Millis::seconds(5));
}

/// Processes that want all of one processor before others get any.
struct Hogs(Vec<Child>);

impl Hogs {
    fn on(processor: &str) -> Hogs {
        let hog = || {
            Command::new("taskset")
                .args(["-c", processor, "nice", "-n", "-20", "sh", "-c", "while :; do :; done"])
                .spawn()
        };
        Hogs((0..4).map(|_| hog().unwrap()).collect())
    }
}

impl Drop for Hogs {
    fn drop(&mut self) {
        for it in &mut self.0 {
            let _ = it.kill();
            let _ = it.wait();
        }
    }
}

#[test]
fn a_worker_that_gets_no_processor_keeps_its_steps() {
    if !needs_working("nice", &["-n", "-20", "true"])
        || !needs_working("taskset", &["-c", "0", "chrt", "-i", "0", "true"])
    {
        return;
    }
    let place = Place::new();
    place.write(
        "it.yaml",
        "id: it\nsteps: [{ name: a, run: 'echo x >> begun; until test -e go; do sleep 0.02; done' }]\n",
    );
    place.ok(&["submit", "it.yaml", "--items", "x"]);
    let start = |pool: &str| {
        let mut command = place.command(&["worker", "--pool", pool]);
        command.env("WINDLASS_HEARTBEAT", "300ms").env("WINDLASS_SILENT_AFTER", "900ms");
        command.silent().spawn().unwrap()
    };
    let starved = start("*=1");
    place.wait_for_file("begun");
    let judge = start("none=1");
    eventually("both are there", || place.ok(&["list", "workers"]).lines().count() == 3);
    let line = liveness_lock(&place.home(), WorkerId(1));
    let hogs = Hogs::on("0");
    let pid = starved.id().to_string();
    for words in [["chrt", "-i", "-a", "-p", "0"], ["taskset", "-a", "-c", "-p", "0"]] {
        let done = Command::new(words[0]).args(&words[1..]).arg(&pid).stdout(Stdio::null()).status().unwrap();
        assert!(done.success(), "{words:?}");
    }
    // Until it has been stopped for four times as long as a worker may be silent.
    let age = || fs::metadata(&line).unwrap().modified().unwrap().elapsed().unwrap_or_default();
    let begun = Instant::now();
    let mut oldest = Duration::ZERO;
    while oldest < Duration::from_millis(3_600) && begun.elapsed() < Duration::from_secs(40) {
        oldest = oldest.max(age());
        std::thread::sleep(Duration::from_millis(20));
    }
    drop(hogs);
    println!("it got no processor for {oldest:?}");
    fs::write(place.path().join("go"), "").unwrap();
    eventually("the group ends", || place.ok(&["list", "groups"]).contains("COMPLETED"));
    let events = place.ok(&["events", "--json"]);
    assert!(!events.contains("REAP"), "a starved worker was reaped: {events}");
    if oldest < Duration::from_millis(1_800) {
        println!("this machine gave it a processor after all");
    }
    judge.signal("TERM");
    judge.end(Duration::from_secs(60));
    starved.signal("TERM");
    starved.end(Duration::from_secs(60));
}
