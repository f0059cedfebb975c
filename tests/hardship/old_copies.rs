//! An engine database that is older than the files beside it: an old copy that was put back, or one whose newest
//! commits never reached the disk.

use crate::Place;
use serde_json::Value;
use std::{fs, path::Path};

const NOOP: &str = "id: noop\nsteps: [{ name: a, uses: windlass/noop }]\n";

/// A home whose only document has this text.
fn saying(text: &str) -> Place {
    let place = Place::new();
    place.write("noop.yaml", NOOP);
    fs::create_dir(place.path().join("docs")).unwrap();
    say(&place, text);
    place
}

fn say(place: &Place, text: &str) {
    place.write("docs/rope.md", &format!("# Ropes\n\nThe {text} rope holds a load.\n"));
    place.ok(&["ingest", "docs"]);
}

#[track_caller]
fn assert_says(place: &Place, text: &str) {
    let found = place.ok(&["search", "which rope holds a load", "--json"]);
    assert!(found.contains(&format!("The {text} rope")), "{found}");
}

/// `cp old home/engine.db`, as people do it.
fn put_back(place: &Place, old: &Path) {
    for name in ["engine.db-wal", "engine.db-shm"] {
        let _ = fs::remove_file(place.home().join(name));
    }
    fs::copy(old, place.database()).unwrap();
}

fn counter(place: &Place, id: i64) -> i64 {
    let db = rusqlite::Connection::open(place.database()).unwrap();
    db.query_row("SELECT value FROM counter WHERE id = ?1", [id], |row| row.get(0)).unwrap()
}

fn report(place: &Place) -> Value {
    let kept: Vec<_> = fs::read_dir(place.home().join("damaged")).unwrap().flatten().collect();
    assert_eq!(kept.len(), 1, "{kept:?}");
    serde_json::from_slice(&fs::read(kept[0].path().join("report.json")).unwrap()).unwrap()
}

#[test]
fn an_old_copy_of_the_engine_database_is_reported_and_gives_out_no_run_twice() {
    let place = saying("first");
    let old = place.path().join("old.db");
    fs::copy(place.database(), &old).unwrap();
    say(&place, "second");
    say(&place, "third");
    for (nth, first) in
        [&["list", "groups"][..], &["doctor"], &["submit", "noop.yaml", "--items", "x"]].iter().enumerate()
    {
        put_back(&place, &old);
        let done = place.run(first);
        assert_eq!(done.code, i32::from(first == &["doctor"]), "{done:?}");
        assert!(done.err.contains("lost its newest commits") && done.err.contains("run 3"), "{first:?}: {done:?}");
        for command in ["doctor", "status"] {
            let done = place.run(&[command]);
            assert_eq!(done.code, i32::from(command == "doctor"), "{done:?}");
            let words =
                ["runs are counted up to 1, but run 3 is in vector database", "default.db", "damaged/counters-"];
            assert!(words.iter().all(|it| done.out.contains(it)), "{command}: {done:?}");
        }
        let said = report(&place);
        assert_eq!((&said["counters"][0]["after"], &said["counters"][0]["last"]), (&1.into(), &3.into()), "{said}");
        assert!(
            counter(&place, 3) >= 3 && counter(&place, 1) > 1 << 42,
            "{} {}",
            counter(&place, 3),
            counter(&place, 1)
        );
        // Under a number that was already used, the vector database would keep the old content.
        say(&place, &format!("newest {nth}"));
        assert_says(&place, &format!("newest {nth}"));
        fs::remove_dir_all(place.home().join("damaged")).unwrap();
        place.ok(&["doctor"]);
        // For the next round, the document is as the third run left it.
        fs::remove_dir_all(place.home().join("vectors")).unwrap();
        fs::remove_file(place.home().join("workers/issued")).unwrap();
        put_back(&place, &old);
        say(&place, "second");
        say(&place, "third");
    }
}

#[test]
fn an_old_copy_is_noticed_in_a_home_that_only_ran_commands() {
    let place = Place::new();
    let run = || place.ok(&["run", "--each", "true", "--items", "a"]);
    run();
    let old = place.path().join("old.db");
    let db = rusqlite::Connection::open(place.database()).unwrap();
    db.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).unwrap();
    drop(db);
    fs::copy(place.database(), &old).unwrap();
    run();
    place.ok(&["doctor"]);
    put_back(&place, &old);
    let done = place.run(&["doctor"]);
    assert!(done.code == 1 && done.out.contains("run 2 is in") && done.out.contains("workers/issued"), "{done:?}");
    assert!(counter(&place, 3) >= 2 && counter(&place, 1) > 1 << 42, "no number is given out twice");
    fs::remove_dir_all(place.home().join("damaged")).unwrap();
    run();
    place.ok(&["doctor"]);
}

#[test]
fn names_of_work_directories_and_life_lines_raise_what_is_counted() {
    let place = saying("first");
    place.ok(&["submit", "noop.yaml", "--items", "x"]);
    fs::create_dir_all(place.home().join("tmp/w50-s700-800")).unwrap();
    fs::create_dir_all(place.home().join("workers")).unwrap();
    fs::write(place.home().join("workers/w60.lock"), "").unwrap();
    let done = place.run(&["doctor"]);
    assert!(done.code == 1 && done.out.contains("step 700 is in") && done.out.contains("worker 60 is in"), "{done:?}");
    assert!(counter(&place, 1) > 800 && counter(&place, 4) >= 700);
    place.ok(&["worker", "--until-idle"]);
    let db = rusqlite::Connection::open(place.database()).unwrap();
    let last: i64 =
        db.query_row("SELECT seq FROM sqlite_sequence WHERE name = 'worker'", [], |row| row.get(0)).unwrap();
    assert!(last > 60, "{last}");
    drop(db);
    fs::remove_dir_all(place.home().join("damaged")).unwrap();
    place.ok(&["doctor"]);
}

#[test]
fn numbers_that_nothing_gave_out_are_not_believed() {
    let place = saying("first");
    for name in ["tmp/w1-s1-9223372036854775807", "tmp/w-1-s-5", "workers/w9223372036854775807.lock"] {
        fs::create_dir_all(place.home().join(name)).unwrap();
    }
    place.ok(&["doctor"]);
    assert!(counter(&place, 1) < 1000);
}

#[test]
fn a_home_at_work_is_not_taken_for_an_old_copy() {
    let place = saying("first");
    let worker = place.start(&["worker"]);
    for nth in 0..10 {
        place.write("docs/rope.md", &format!("# Ropes\n\nThe rope {nth} holds a load.\n"));
        for arguments in [&["ingest", "docs"][..], &["submit", "noop.yaml", "--items", "x"], &["list", "groups"]] {
            let done = place.run(arguments);
            assert!(done.code == 0 && !done.err.contains("lost"), "{arguments:?} {done:?}");
        }
    }
    drop(worker);
    assert!(!place.home().join("damaged").exists());
}

#[test]
fn a_restored_home_writes_into_a_vector_database_that_is_newer_than_the_backup() {
    let place = saying("first");
    place.ok(&["backup", "b.zip"]);
    say(&place, "second");
    say(&place, "third");
    let newer = place.path().join("newer.db");
    let vectors = place.home().join("vectors/default.db");
    let db = rusqlite::Connection::open(&vectors).unwrap();
    db.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).unwrap();
    drop(db);
    fs::copy(&vectors, &newer).unwrap();
    place.ok(&["restore", "b.zip", "--force"]);
    fs::copy(&newer, &vectors).unwrap();
    assert!(counter(&place, 1) > 1 << 42, "{}", counter(&place, 1));
    let done = place.run(&["doctor"]);
    assert!(done.code == 0 && done.err.is_empty(), "the numbers are another engine's: {done:?}");
    say(&place, "fourth");
    assert_says(&place, "fourth");
}
