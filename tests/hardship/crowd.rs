//! Concurrency: processes that submit in a hot loop, and a long-running reader.

use crate::support::binary::Windlass;
use crate::support::needs::needs;
use crate::{Place, Running, eventually};
use std::{
    collections::BTreeMap,
    env, fs,
    process::{Command, Stdio},
    sync::Arc,
    time::{Duration, Instant},
};
use windlass::{
    definition::{KnownKinds, parse},
    engine::Submission,
    observe::NoMetrics,
    os::process_stat,
    settings,
};

const NOOP: &str = "id: noop\nsteps: [{ name: a, uses: windlass/noop }]\n";

/// Not a test on its own: the work of each process.
#[test]
fn part_that_submits() {
    let Some(home) = env::var_os("CROWD_HOME") else { return };
    let seconds: u64 = env::var("CROWD_SECONDS").unwrap().parse().unwrap();
    let settings = settings::load(home.as_ref(), [], &[]).unwrap();
    let engine = windlass::assembly::engine(&settings, Arc::new(NoMetrics)).unwrap();
    let definition = parse(NOOP, "noop", &KnownKinds::new(engine.kinds().names())).unwrap();
    let (begun, mut count, mut longest, mut total) = (Instant::now(), 0u64, Duration::ZERO, Duration::ZERO);
    while begun.elapsed() < Duration::from_secs(seconds) {
        let call = Instant::now();
        let item = format!("{} {count}", std::process::id());
        engine.submit(Submission::new(definition.clone(), vec![item])).unwrap();
        let took = call.elapsed();
        (count, longest, total) = (count + 1, longest.max(took), total + took);
    }
    engine.store().close();
    println!("\nCROWD {count} {} {}", longest.as_millis(), (total / count.max(1) as u32).as_micros());
}

/// `TEST_SECONDS` says for how long (5).
#[test]
fn eight_processes_in_a_hot_loop_beside_a_worker_are_all_served() {
    let seconds: u64 = env::var("TEST_SECONDS").ok().and_then(|it| it.parse().ok()).unwrap_or(5);
    let place = Place::new();
    place.ok(&["status"]);
    let workers: Vec<Running> = (0..2).map(|_| place.start(&["worker"])).collect();
    eventually("both work", || place.ok(&["list", "workers"]).lines().count() >= 3);
    let crowd: Vec<Running> = (0..8)
        .map(|_| {
            let mut command = Windlass::role("crowd::part_that_submits");
            command.env("CROWD_HOME", place.home()).env("CROWD_SECONDS", seconds.to_string());
            command.piped().spawn().unwrap()
        })
        .collect();
    let mut counts = Vec::new();
    for process in crowd {
        let ended = process.end(Duration::from_secs(seconds + 60));
        assert_eq!(ended.code, 0, "{ended:?}");
        assert!(!ended.err.contains("locked"), "{ended:?}");
        let line = ended.out.lines().find_map(|it| it.strip_prefix("CROWD ")).unwrap_or_else(|| panic!("{ended:?}"));
        let numbers: Vec<u64> = line.split(' ').map(|it| it.parse().unwrap()).collect();
        counts.push((numbers[0], numbers[1], numbers[2]));
    }
    let total: u64 = counts.iter().map(|it| it.0).sum();
    let longest = counts.iter().map(|it| it.1).max().unwrap();
    println!("{total} submissions in {seconds} s; count, longest ms and mean us of each process: {counts:?}");
    assert!(longest < 2_000, "a call took {longest} ms: {counts:?}");
    let least = counts.iter().map(|it| it.0).min().unwrap();
    assert!(least * 8 * 4 > total, "somebody starves: {counts:?}");
    let store = place.store();
    let idle = || store.read(|tx| windlass::store::idle::is_idle(tx, windlass::model::Scope::Everything)).unwrap();
    eventually("all of it is done", idle);
    let events = store.read(|tx| windlass::store::event::after(tx, Default::default(), 100_000_000)).unwrap();
    let mut kinds: BTreeMap<String, u64> = BTreeMap::new();
    for (_, event) in &events {
        *kinds.entry(format!("{:?}", event.kind)).or_default() += 1;
    }
    assert_eq!(kinds.get("GroupEnd"), Some(&total), "{kinds:?}");
    assert_eq!(kinds.get("StepReaped"), None, "{kinds:?}");
    assert_eq!(kinds.get("StepEnd"), Some(&total), "{kinds:?}");
    store.close();
    for worker in workers {
        worker.signal("TERM");
        let ended = worker.end(Duration::from_secs(30));
        assert!(!ended.err.contains("locked"), "{ended:?}");
    }
}

#[test]
fn a_reader_that_stays_is_named_and_the_log_is_short_again_when_it_leaves() {
    let place = Place::new();
    place.write("noop.yaml", NOOP);
    let items: Vec<String> = (0..1500).map(|it| format!("{it} {}", "x".repeat(300))).collect();
    place.write("items", &items.join("\n"));
    place.ok(&["submit", "noop.yaml", "--items", "first"]);
    let reader = rusqlite::Connection::open(place.database()).unwrap();
    reader.execute_batch("BEGIN; SELECT count(*) FROM step").unwrap();
    let worker = place.start(&["worker"]);
    let log = || fs::metadata(place.home().join("engine.db-wal")).map_or(0, |it| it.len());
    while log() < 9 << 20 {
        place.ok(&["submit", "noop.yaml", "--items-from", "items"]);
    }
    let status = place.ok(&["status"]);
    let own_process = format!("process {}", std::process::id());
    assert!(status.contains(&own_process) && status.contains("MiB"), "{status}");
    drop(reader);
    eventually("the log is short again", || {
        // The next write may restart the log. If there is none, the log is emptied.
        log() < 1 << 20
    });
    worker.signal("TERM");
    assert_eq!(worker.end(Duration::from_secs(60)).code, 0);
    place.assert_sound();
}

/// The duration of a command that must succeed.
fn at_once(place: &Place, arguments: &[&str]) -> String {
    let begun = Instant::now();
    let ended = place.run(arguments);
    assert_eq!(ended.code, 0, "{arguments:?}: {ended:?}");
    // A writer waits for half a minute.
    assert!(begun.elapsed() < Duration::from_secs(15), "{arguments:?} took {:?}", begun.elapsed());
    format!("{}{}", ended.out, ended.err)
}

#[test]
fn who_only_reads_is_answered_at_once_while_another_program_keeps_the_writers_waiting() {
    let place = Place::new();
    place.write("noop.yaml", "id: noop\nsteps: [{ name: a, uses: windlass/noop }]\n");
    place.write("docs/rope.md", "A rope holds a load.");
    place.ok(&["ingest", "docs"]);
    place.ok(&["submit", "noop.yaml", "--items", "x"]);
    let stranger = rusqlite::Connection::open(place.database()).unwrap();
    stranger.execute_batch("BEGIN IMMEDIATE").unwrap();
    // The worker holds the turn to write, and waits for the other program.
    let worker = place.start(&["worker"]);
    let room = place.home().join("engine.write.lock");
    eventually("the worker waits", || process_stat::who_holds_lock(&room) == Some(worker.id()));
    let named = format!("process {} ", std::process::id());
    for command in [
        "status",
        "list groups",
        "list steps",
        "list workers",
        "show g1",
        "show s1",
        "why s1",
        "events",
        "export g1",
        "doctor",
        "search rope",
    ] {
        let words: Vec<&str> = command.split(' ').collect();
        let said = at_once(&place, &words);
        assert!(said.contains(&named), "`{command}` does not name who holds the writer: {said}");
    }
    assert!(at_once(&place, &["list", "groups"]).contains("PENDING"), "the last commit is shown");
    let err = std::fs::File::create(place.path().join("said")).unwrap();
    let mut command = place.command(&["submit", "noop.yaml", "--items", "y"]);
    let submit = command.stdout(Stdio::null()).stderr(err).spawn().unwrap();
    let waits = format!("waiting: process {} (", std::process::id());
    let said = || std::fs::read_to_string(place.path().join("said")).unwrap();
    eventually("a writer says for whom it waits", || said().contains(&waits));
    assert!(said().contains(") holds the lock of the database"), "{}", said());
    stranger.execute_batch("COMMIT").unwrap();
    assert_eq!(submit.end(Duration::from_secs(60)).code, 0);
    assert_eq!(said().matches("waiting: ").count(), 1, "once: {}", said());
    eventually("the group ends", || place.ok(&["list", "groups"]).contains("COMPLETED"));
    assert!(!at_once(&place, &["show", "g1"]).contains("locked"), "nothing is in the way any more");
    worker.signal("TERM");
    assert_eq!(worker.end(Duration::from_secs(60)).code, 0);
}

#[test]
fn who_only_reads_is_answered_at_once_while_a_writer_stands_still_in_its_transaction() {
    if !needs("flock") {
        return;
    }
    let place = Place::new();
    place.write("noop.yaml", "id: noop\nsteps: [{ name: a, uses: windlass/noop }]\n");
    place.ok(&["submit", "noop.yaml", "--items", "x"]);
    let room = place.home().join("engine.write.lock");
    let holder = Running::of(Command::new("flock").arg("--no-fork").arg(&room).args(["sleep", "600"])).unwrap();
    eventually("the room is taken", || process_stat::who_holds_lock(&room) == Some(holder.id()));
    holder.signal("STOP");
    let named = format!("process {} (sleep) was stopped", holder.id());
    eventually("it is named", || at_once(&place, &["status"]).contains(&named));
    assert!(at_once(&place, &["list", "groups"]).contains(&named));
    holder.signal("CONT");
}
