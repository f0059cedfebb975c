//! Temporary shortages are named and retried, and blamed on no step: space, descriptors, memory, threads, and system
//! calls interrupted by signals.

use crate::support::needs::needs_working;
use crate::{Ended, Place, Running, WINDLASS, Windlass, disk::SmallDisk, eventually};
use serde_json::Value;
use std::{
    fs,
    process::Stdio,
    time::{Duration, Instant},
};

const NOOP: &str = "id: noop\nsteps: [{ name: a, uses: windlass/noop }]\n";

/// As in a home that was closed cleanly. SQLite creates both files again if there is space.
fn without_log(disk: &SmallDisk) {
    for name in ["engine.db-wal", "engine.db-shm"] {
        let _ = fs::remove_file(disk.root().join(name));
    }
}

fn worker(command: &mut Windlass) -> Running {
    command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap()
}

fn lines(place: &Place, name: &str) -> usize {
    fs::read_to_string(place.path().join(name)).unwrap_or_default().lines().count()
}

#[test]
fn every_verb_on_a_disk_without_a_byte_says_that_there_is_no_space() {
    let Some(disk) = SmallDisk::new(16) else { return };
    disk.place.write("noop.yaml", NOOP);
    let bare = |arguments: &[&str]| disk.command(arguments).env("WINDLASS_BALLAST", "0MiB").run();
    assert_eq!(bare(&["run", "noop.yaml", "--items", "before"]).code, 0);
    without_log(&disk);
    disk.fill();
    for verb in
        ["status", "list groups", "show g1", "why g1", "submit noop.yaml --items a", "prune", "worker", "doctor"]
    {
        let words: Vec<&str> = verb.split(' ').collect();
        let said = bare(&words);
        assert_eq!(said.code, 74, "{verb}: {said:?}");
        assert!(said.err.contains("no space left") && said.err.contains("hint:"), "{verb}: {said:?}");
        without_log(&disk);
        disk.fill();
    }
    disk.free();
    assert_eq!(bare(&["doctor"]).code, 0);
}

#[test]
fn the_ballast_is_there_from_the_first_start_and_lets_prune_work_on_a_full_disk() {
    let Some(disk) = SmallDisk::new(24) else { return };
    let text = "id: files\nsteps: [{ name: a, run: 'head -c 500000 /dev/urandom > {{ out }}/f' }]\n";
    disk.place.write("files.yaml", text);
    let run = |arguments: &[&str]| disk.command(arguments).env("WINDLASS_BALLAST", "4MiB").run();
    assert_eq!(run(&["run", "files.yaml", "--items", "1", "2", "3", "4", "5", "6"]).code, 0);
    let size = |name: &str| fs::metadata(disk.root().join(name)).map_or(0, |it| it.len());
    assert_eq!(size("ballast"), 4 << 20, "before any disk was full");
    without_log(&disk);
    disk.fill();
    let looked_at = run(&["status"]);
    assert!(looked_at.code == 0 && size("ballast") > 0, "a look leaves something for others: {looked_at:?}");
    disk.fill();
    let pruned = run(&["prune", "--group", "g1", "--outputs"]);
    assert_eq!(pruned.code, 0, "{pruned:?}");
    assert!(pruned.out.contains("removed 6 artifacts"), "{pruned:?}");
    disk.free();
    assert_eq!(run(&["run", "files.yaml", "--items", "7"]).code, 0);
    assert_eq!(size("ballast"), 4 << 20, "restored");
    assert_eq!(run(&["doctor"]).code, 0);
}

#[test]
fn an_output_that_does_not_fit_is_made_ever_more_seldom_and_leaves_one_attempt() {
    let Some(disk) = SmallDisk::new(24) else { return };
    let text = "id: big\nsteps: [{ name: a, run: \
        'echo x >> begun; head -c $(cat size) /dev/urandom > {{ out }}/f' }, { name: b, uses: windlass/noop }]\n";
    disk.place.write("big.yaml", text);
    // It fits once as an output, but not a second time as an artifact.
    disk.place.write("size", "15000000");
    assert_eq!(disk.run(&["submit", "big.yaml", "--items", "a"]).code, 0);
    let worker = worker(&mut disk.command(&["worker"]));
    let began = Instant::now();
    eventually("it was tried twice", || lines(&disk.place, "begun") >= 2);
    let mut status = String::new();
    eventually("status says what it waits for", || {
        status = disk.run(&["status"]).out;
        status.contains("waits for resources")
    });
    assert!(status.contains("not enough disk space") && status.contains("windlass why s1"), "{status}");
    let why = disk.run(&["why", "s1"]).out;
    assert!(why.contains("no room") && why.contains("of 10)") && why.contains("due in"), "{why}");
    eventually("some seconds pass", || began.elapsed() >= Duration::from_secs(9));
    assert!(lines(&disk.place, "begun") <= 3, "after 1 s, 4 s, 16 s: {}", lines(&disk.place, "begun"));
    let shown: Value = serde_json::from_str(&disk.run(&["show", "s1", "--json"]).out).unwrap();
    let attempts = shown["attempts_all"].as_array().unwrap();
    assert_eq!(attempts.iter().filter(|it| !it["outcome"].is_null()).count(), 1, "{shown}");

    disk.place.write("size", "1000");
    eventually("it goes on by itself", || disk.run(&["list", "groups"]).out.contains("COMPLETED"));
    worker.signal("TERM");
    assert_eq!(worker.end(Duration::from_secs(30)).code, 0);
    let shown: Value = serde_json::from_str(&disk.run(&["show", "s1", "--json"]).out).unwrap();
    assert_eq!(shown["attempts_all"].as_array().unwrap().len(), 2, "the tries, and the success: {shown}");
    assert_eq!(disk.run(&["doctor"]).code, 0);
}

#[test]
fn a_run_says_which_step_waits_for_room_and_on_which_try() {
    let Some(disk) = SmallDisk::new(24) else { return };
    disk.place.write("big.yaml", "id: big\nsteps: [{ name: a, run: 'head -c 15000000 /dev/urandom > {{ out }}/f' }]\n");
    let err = fs::File::create(disk.place.path().join("said")).unwrap();
    let mut command = disk.command(&["run", "big.yaml", "--items", "a"]);
    let run = command.stdout(Stdio::null()).stderr(err).spawn().unwrap();
    let said = || fs::read_to_string(disk.place.path().join("said")).unwrap();
    eventually("it says what waits", || said().contains("s1 waits for resources: "));
    assert!(said().contains("of 10)") && said().contains("MiB, have "), "sizes for people: {}", said());
    run.signal("INT");
    run.end(Duration::from_secs(30));
}

#[test]
fn no_step_starts_while_the_disk_of_the_artifacts_is_low_though_the_database_has_room() {
    let Some(disk) = SmallDisk::new(16) else { return };
    disk.place.write("one.yaml", "id: one\nsteps: [{ name: a, run: 'echo x >> begun; echo 1 > {{ out }}/f' }]\n");
    let home = disk.place.path().join("elsewhere");
    let command = |arguments: &[&str]| {
        let mut command = disk.command(arguments);
        command.env("WINDLASS_HOME", &home).env("WINDLASS_ARTIFACT_DIR", disk.place.home().join("artifacts"));
        command
    };
    let run = |arguments: &[&str]| -> Ended { command(arguments).run() };
    assert_eq!(run(&["submit", "one.yaml", "--items", "a", "b"]).code, 0);
    disk.fill();
    let worker = worker(&mut command(&["worker"]));
    eventually("the worker is there", || run(&["list", "workers"]).out.contains("w1"));
    let status = run(&["status"]).out;
    let first = status.lines().next().unwrap();
    assert!(first.contains("elsewhere") && first.contains("; artifacts in "), "both disks: {first}");
    assert!(status.contains("no step starts") && status.contains("/home/artifacts"), "{status}");
    assert!(run(&["why", "s1"]).out.contains("home/artifacts (artifacts) has "));
    // A worker that could start them has had time for several checks.
    let began = Instant::now();
    eventually("some time passes", || began.elapsed() >= Duration::from_secs(3));
    assert_eq!(lines(&disk.place, "begun"), 0);
    disk.free();
    eventually("it goes on by itself", || run(&["list", "groups"]).out.contains("COMPLETED"));
    assert_eq!(lines(&disk.place, "begun"), 2);
    worker.signal("TERM");
    assert_eq!(worker.end(Duration::from_secs(30)).code, 0);
}

/// The output of a command under a shell limit, and its duration.
fn under(place: &Place, limit: &str, arguments: &str) -> (Ended, Duration) {
    let began = Instant::now();
    let script = format!("{limit}; exec '{WINDLASS}' {arguments}");
    let mut command = place.under(&["sh", "-c", &script], &[]);
    let running = command.piped().spawn().unwrap();
    (running.end(Duration::from_secs(120)), began.elapsed())
}

#[test]
fn limits_that_are_too_low_are_named_before_anything_begins() {
    let place = Place::new();
    place.write("noop.yaml", NOOP);
    place.write("a.md", "# Ropes\n\nHemp rots.\n");
    place.ok(&["status"]);
    let cases = [
        ("ulimit -n 16", "run noop.yaml --items a", "file descriptors, but the limit is 16"),
        ("ulimit -n 20", "worker --until-idle", "file descriptors, but the limit is 20"),
        ("ulimit -n 28", "ingest a.md", "file descriptors, but the limit is 28"),
        ("ulimit -n 28", "serve", "file descriptors, but the limit is 28"),
        ("ulimit -v 80000", "ingest a.md", "of address space, but the limit is"),
        ("ulimit -v 300000", "ingest a.md", "of address space, but the limit is"),
        ("ulimit -v 500000", "serve", "of address space, but the limit is"),
    ];
    for (limit, arguments, said) in cases {
        let (refused, _) = under(&place, limit, arguments);
        assert_eq!(refused.code, 1, "{limit} {arguments}: {refused:?}");
        assert!(refused.err.contains(said) && refused.err.contains("ulimit"), "{limit} {arguments}: {refused:?}");
    }
    assert!(!place.ok(&["list", "groups"]).contains("g1"), "nothing was submitted that could not be worked on");
    // Reading needs hardly any resources.
    assert_eq!(under(&place, "ulimit -n 16", "status").0.code, 0);
}

#[test]
fn the_limits_that_are_asked_for_are_enough() {
    let place = Place::new();
    place.write(
        "noop.yaml",
        "id: t\nsteps: [{ name: a, run: 'echo 1 > {{ out }}/f' }, { name: b, run: 'cat {{ inputs.a.dir }}/f' }]\n",
    );
    place.write("a.md", "# Ropes\n\nHemp rots.\n");
    place.write("b.html", "<h1>Winches</h1><p>They turn.</p>");
    for (limit, arguments) in [
        ("ulimit -n 32", "run noop.yaml --items a b c --pool '*=1'"),
        ("ulimit -v 393216", "run noop.yaml --items d e --pool '*=2'"),
        ("ulimit -n 48", "ingest a.md b.html"),
        ("ulimit -v 1048576", "ingest --force a.md b.html"),
    ] {
        let (done, _) = under(&place, limit, arguments);
        assert_eq!(done.code, 0, "{limit} {arguments}: {done:?}");
    }
}

#[test]
fn a_database_that_finds_no_descriptor_says_so_soon() {
    let place = Place::new();
    place.ok(&["status"]);
    for limit in ["ulimit -n 6", "ulimit -n 9", "ulimit -n 11"] {
        let (ended, took) = under(&place, limit, "list groups");
        let named = ended.err.contains("open files") || ended.err.contains("file descriptors");
        assert!(ended.code == 0 || named, "{limit}: {ended:?}");
        assert!(ended.code == 0 || !ended.err.contains("unable to open database"), "{limit}: {ended:?}");
        assert!(took < Duration::from_secs(25), "{limit}: {took:?}");
    }
}

#[test]
fn where_no_thread_can_be_made_a_command_says_so_and_does_not_panic() {
    if !needs_working("strace", &["-f", "-qq", "-e", "trace=none", "true"]) {
        return;
    }
    let place = Place::new();
    place.ok(&["status"]);
    let strace = ["strace", "-f", "-qq", "-o", "/dev/null", "-e", "inject=clone,clone3:error=EAGAIN"];
    for verb in ["status", "doctor", "list"] {
        let arguments: &[&str] = if verb == "list" { &["list", "groups"] } else { &[verb] };
        let said = place.under(&strace, arguments).run();
        assert_ne!(said.code, 101, "{verb}: {said:?}");
        assert!(said.code == 0 || said.err.contains("hint: end other programs"), "{verb}: {said:?}");
    }
}

#[test]
fn a_signal_in_the_middle_of_a_lock_is_no_error_and_no_holder() {
    if !needs_working("strace", &["-f", "-qq", "-e", "trace=none", "true"]) {
        return;
    }
    let place = Place::new();
    place.write("files.yaml", "id: files\nsteps: [{ name: a, run: 'echo {{ item }} > {{ out }}/f' }]\n");
    for when in ["1+2", "2+2", "1+3"] {
        let rule = format!("inject=flock:error=EINTR:when={when}");
        let strace = ["strace", "-f", "-qq", "-o", "/dev/null", "-e", &rule];
        let done = place.under(&strace, &["run", "files.yaml", "--items", "a", "b"]).run();
        assert_eq!(done.code, 0, "{when}: {done:?}");
    }
    assert_eq!(place.ok(&["list", "groups"]).matches("COMPLETED").count(), 3);
    place.assert_sound();
}
