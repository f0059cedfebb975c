//! Database files that are damaged, missing, exchanged, of another version or foreign.

use crate::{Place, Running, eventually};
use std::{fs, time::Duration};

const NOOP: &str = "id: noop\nsteps: [{ name: a, uses: windlass/noop }]\n";
const CODES: [i32; 4] = [0, 1, 3, 74];

fn filled() -> Place {
    let place = Place::new();
    place.write("noop.yaml", NOOP);
    let items: Vec<String> = (0..600).map(|it| format!("item {it} {}", "x".repeat(100))).collect();
    place.write("items", &items.join("\n"));
    place.ok(&["run", "noop.yaml", "--items-from", "items"]);
    place
}

/// A worker that was killed with commits in its log. A reader keeps the log from being emptied until then.
fn killed() -> Place {
    let place = filled();
    let reader = rusqlite::Connection::open(place.database()).unwrap();
    reader.execute_batch("BEGIN; SELECT count(*) FROM step").unwrap();
    let worker = place.start(&["worker"]);
    place.ok(&["submit", "noop.yaml", "--items-from", "items", "--name", "second"]);
    eventually("it is done", || place.ok(&["list", "groups"]).matches("COMPLETED").count() == 2);
    worker.signal("KILL");
    drop(worker);
    // The reader would empty the log when it closes, so the files are copied as they are now.
    let other = Place::new();
    other.write("noop.yaml", NOOP);
    fs::copy(place.path().join("items"), other.path().join("items")).unwrap();
    fs::create_dir(other.home()).unwrap();
    for name in ["engine.db", "engine.db-wal", "engine.db-shm"] {
        fs::copy(place.home().join(name), other.home().join(name)).unwrap();
    }
    other
}

#[test]
fn a_damaged_page_is_found_or_harmless_and_never_crashes_anything() {
    let place = filled();
    let whole = fs::read(place.database()).unwrap();
    let pages = whole.len() / 4096;
    let mut found = 0;
    for page in (1..pages).step_by((pages / 12).max(1)) {
        let mut damaged = whole.clone();
        // The header of a page: its type, and where its cells begin.
        damaged[page * 4096] ^= 0x40;
        damaged[page * 4096 + 5] ^= 0x10;
        let _ = fs::remove_file(place.home().join("engine.db-wal"));
        let _ = fs::remove_file(place.home().join("engine.db-shm"));
        fs::write(place.database(), &damaged).unwrap();
        let doctor = place.run(&["doctor"]);
        found += usize::from(doctor.code != 0);
        for arguments in [&["list", "steps"][..], &["status"], &["run", "noop.yaml", "--items", "new"]] {
            let ended = place.run(arguments);
            assert!(CODES.contains(&ended.code), "page {page}: {arguments:?} {ended:?}");
            assert!(ended.code == 0 || !ended.err.is_empty(), "page {page}: {arguments:?} fails without a word");
        }
    }
    assert!(found >= 8, "doctor found {found}");
}

#[test]
fn a_log_that_was_cut_short_leaves_an_earlier_state_that_is_sound() {
    let place = killed();
    let log = place.home().join("engine.db-wal");
    let whole = fs::read(&log).unwrap();
    let database = fs::read(place.database()).unwrap();
    assert!(whole.len() > 8 * 4096, "nothing in the log: {}", whole.len());
    for part in 0..8 {
        fs::write(place.database(), &database).unwrap();
        fs::write(&log, &whole[..whole.len() * part / 8 + part * 13]).unwrap();
        let _ = fs::remove_file(place.home().join("engine.db-shm"));
        place.assert_sound();
        place.ok(&["run", "noop.yaml", "--items", "more"]);
        place.assert_sound();
    }
}

#[test]
fn a_shared_memory_file_left_from_before_is_not_believed() {
    let place = killed();
    let shm = place.home().join("engine.db-shm");
    let old = fs::read(&shm).unwrap();
    place.ok(&["run", "noop.yaml", "--items-from", "items", "--name", "third"]);
    for stale in [old.clone(), vec![0xff; old.len()], vec![0; 100]] {
        fs::write(&shm, stale).unwrap();
        assert_eq!(place.ok(&["list", "groups"]).matches("COMPLETED").count(), 3);
        place.assert_sound();
    }
}

#[test]
fn a_log_that_is_deleted_after_a_clean_stop_takes_nothing_with_it() {
    let place = filled();
    for name in ["engine.db-wal", "engine.db-shm"] {
        let _ = fs::remove_file(place.home().join(name));
    }
    assert!(place.ok(&["list", "groups"]).contains("COMPLETED"));
    place.assert_sound();
    // After a kill the log contains commits. They are lost with it, and the state before them is left.
    let place = killed();
    fs::remove_file(place.home().join("engine.db-wal")).unwrap();
    place.assert_sound();
}

/// A worker must report that its database was removed, and end.
fn taken_away(how: impl Fn(&Place)) {
    let place = filled();
    let worker = place.start(&["worker"]);
    eventually("it works", || place.ok(&["list", "workers"]).lines().count() >= 2);
    how(&place);
    let ended = worker.end(Duration::from_secs(20));
    assert_eq!(ended.code, 1, "{ended:?}");
    assert!(ended.err.contains("replaced or removed"), "{ended:?}");
}

#[test]
fn a_database_that_is_removed_under_a_worker_ends_it() {
    taken_away(|place| fs::remove_file(place.database()).unwrap());
}

#[test]
fn a_database_that_is_replaced_under_a_worker_ends_it() {
    taken_away(|place| {
        let other = filled();
        fs::copy(other.database(), place.home().join("new")).unwrap();
        fs::rename(place.home().join("new"), place.database()).unwrap();
    });
}

#[test]
fn a_home_that_is_moved_away_under_a_worker_ends_it() {
    taken_away(|place| fs::rename(place.home(), place.path().join("elsewhere")).unwrap());
}

#[test]
fn a_newer_schema_is_refused_before_anything_is_written() {
    let place = filled();
    let raw = rusqlite::Connection::open(place.database()).unwrap();
    raw.pragma_update(None, "user_version", 99).unwrap();
    raw.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).unwrap();
    drop(raw);
    let before = fs::read(place.database()).unwrap();
    for arguments in [&["status"][..], &["worker", "--until-idle"], &["run", "noop.yaml", "--items", "x"]] {
        let ended = place.run(arguments);
        assert_eq!(ended.code, 1, "{ended:?}");
        assert!(ended.err.contains("schema version 99") && ended.err.contains("hint:"), "{ended:?}");
    }
    assert!(fs::read(place.database()).unwrap() == before, "it was written to");
}

#[test]
fn a_schema_that_becomes_newer_under_a_worker_stops_its_next_write() {
    let place = filled();
    let worker: Running = place.start(&["worker"]);
    eventually("it works", || place.ok(&["list", "workers"]).lines().count() >= 2);
    let raw = rusqlite::Connection::open(place.database()).unwrap();
    raw.busy_timeout(Duration::from_secs(10)).unwrap();
    raw.execute_batch("BEGIN IMMEDIATE; PRAGMA user_version = 99; COMMIT").unwrap();
    let ended = worker.end(Duration::from_secs(20));
    assert_eq!(ended.code, 1, "{ended:?}");
    assert!(ended.err.contains("schema version 99"), "{ended:?}");
}

#[test]
fn a_database_of_another_program_is_refused_and_left_as_it_is() {
    let place = Place::new();
    fs::create_dir(place.home()).unwrap();
    let raw = rusqlite::Connection::open(place.database()).unwrap();
    raw.execute_batch("CREATE TABLE theirs(x); INSERT INTO theirs VALUES (1)").unwrap();
    drop(raw);
    let before = fs::read(place.database()).unwrap();
    let ended = place.run(&["status"]);
    assert_eq!(ended.code, 1, "{ended:?}");
    assert!(ended.err.contains("is not a windlass database"), "{ended:?}");
    assert!(fs::read(place.database()).unwrap() == before, "it was written to");
    fs::write(place.database(), "no database at all, but text of some length".repeat(100)).unwrap();
    let ended = place.run(&["status"]);
    assert_eq!(ended.code, 1, "{ended:?}");
}

#[test]
fn two_processes_that_meet_at_a_new_home_make_one_schema() {
    for _ in 0..5 {
        let place = Place::new();
        place.write("noop.yaml", NOOP);
        let mut both: Vec<_> =
            (0..2).map(|_| place.command(&["submit", "noop.yaml", "--items", "x"]).spawn().unwrap()).collect();
        assert!(both.iter_mut().all(|it| it.wait().unwrap().success()));
        assert_eq!(place.ok(&["list", "groups", "--quiet"]).matches("noop").count(), 2);
        place.assert_sound();
    }
}

#[test]
fn what_prints_into_a_pipe_that_closes_ends_quietly() {
    let place = filled();
    for command in ["list steps --limit 1000", "list runs --limit 1000", "events", "settings", "--help", "status"] {
        let ended = place.under(&["sh", "-c", &format!("\"$0\" {command} | head -1")], &[]).run();
        assert_eq!(ended.code, 0, "{command}: {ended:?}");
        // A hint may be printed, but no error.
        let trouble = ["error", "panicked", "ipe"].iter().any(|it| ended.err.contains(it));
        assert!(!trouble, "{command}: {ended:?}");
        // Also if stdout is closed from the start.
        place.under(&["sh", "-c", &format!("\"$0\" {command} >&-")], &[]).run();
    }
}

/// A home with an artifact, a finished group and an empty log.
fn with_artifact() -> Place {
    let place = Place::new();
    place.write("make.yaml", "id: make\nsteps: [{ name: a, run: 'seq 100000 > $WINDLASS_OUT/numbers' }]\n");
    place.ok(&["run", "make.yaml", "--items", "x"]);
    place
}

#[test]
fn an_empty_database_in_a_used_home_is_refused_and_stays_as_it_is() {
    let place = with_artifact();
    for name in ["engine.db-wal", "engine.db-shm"] {
        let _ = fs::remove_file(place.home().join(name));
    }
    place.write("noop.yaml", NOOP);
    for missing in [false, true] {
        match missing {
            false => fs::write(place.database(), "").unwrap(),
            true => fs::remove_file(place.database()).unwrap(),
        }
        let commands = [
            &["status"][..],
            &["doctor"],
            &["list", "groups"],
            &["run", "noop.yaml", "--items", "x"],
            &["worker", "--until-idle"],
        ];
        for arguments in commands {
            let ended = place.run(arguments);
            assert_eq!(ended.code, 1, "{arguments:?}: {ended:?}");
            assert!(ended.err.contains("database was lost") && ended.err.contains("windlass restore"), "{ended:?}");
        }
        assert_eq!(place.database().metadata().map(|it| it.len()).ok(), (!missing).then_some(0));
    }
}

#[test]
fn a_home_without_any_trace_of_work_begins_with_an_empty_database() {
    let place = Place::new();
    fs::create_dir(place.home()).unwrap();
    fs::write(place.database(), "").unwrap();
    place.write("noop.yaml", NOOP);
    place.ok(&["run", "noop.yaml", "--items", "x"]);
    place.assert_sound();
}

/// Flips a byte in the first frame of a killed worker's log.
fn damage_log(place: &Place) {
    let log = place.home().join("engine.db-wal");
    let mut bytes = fs::read(&log).unwrap();
    let frames = (bytes.len() - 32) / (4096 + 24);
    assert!(frames > 40, "only {frames} frames");
    bytes[32 + 24 + 7] ^= 0x40;
    fs::write(&log, &bytes).unwrap();
    let _ = fs::remove_file(place.home().join("engine.db-shm"));
}

#[test]
fn commits_behind_a_damaged_frame_of_the_log_are_reported_and_their_numbers_never_given_out_again() {
    let place = killed();
    damage_log(&place);
    let first = place.run(&["list", "groups", "--json"]);
    assert_eq!(first.code, 0, "{first:?}");
    assert!(first.err.contains("lost"), "the first command says nothing: {first:?}");
    for command in ["doctor", "status"] {
        let ended = place.run(&[command]);
        assert!(ended.out.contains("commits") && ended.out.contains("damaged/log-"), "{command}: {ended:?}");
        assert_eq!(ended.code, if command == "doctor" { 1 } else { 0 });
    }
    let kept: Vec<_> = fs::read_dir(place.home().join("damaged")).unwrap().flatten().collect();
    assert_eq!(kept.len(), 1);
    let report: serde_json::Value =
        serde_json::from_slice(&fs::read(kept[0].path().join("report.json")).unwrap()).unwrap();
    let steps = report["counters"].as_array().unwrap().iter().find(|it| it["of"] == "step").cloned();
    // 600 of the first group, and 600 of the second, which were in the log.
    assert_eq!(steps.unwrap()["last"], 1200, "{report}");
    let new = place.ok(&["submit", "noop.yaml", "--items", "x", "--json"]);
    assert!(new.contains("\"group\":3,"), "{new}");
    fs::remove_dir_all(place.home().join("damaged")).unwrap();
    place.assert_sound();
}

#[test]
fn work_on_a_damaged_database_ends() {
    let place = filled();
    place.ok(&["submit", "noop.yaml", "--items-from", "items"]);
    let whole = fs::read(place.database()).unwrap();
    let pages = whole.len() / 4096;
    for page in (1..pages).step_by((pages / 10).max(1)) {
        let mut damaged = whole.clone();
        damaged[page * 4096..(page + 1) * 4096].fill(0);
        for name in ["engine.db-wal", "engine.db-shm"] {
            let _ = fs::remove_file(place.home().join(name));
        }
        fs::write(place.database(), &damaged).unwrap();
        let worker = place.start(&["worker", "--until-idle"]);
        let ended = worker.end(Duration::from_secs(60));
        assert!(CODES.contains(&ended.code), "page {page}: {ended:?}");
        assert!(ended.code == 0 || ended.err.contains("damaged"), "page {page}: {ended:?}");
    }
}
