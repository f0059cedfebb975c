//! A home of the previous version opens, and its waiting work continues.

use crate::{Place, eventually};
use rusqlite::Connection;
use std::{fs, time::Duration};
use windlass::os::FileLock;

const HOME: &str = include_str!("../schemas/home-004.sql");

/// Steps in every state: completed, failed, ready, delayed, blocked, paused, and running in a killed worker.
fn old_home() -> Place {
    let place = Place::new();
    fs::create_dir(place.home()).unwrap();
    let here = place.path().to_str().unwrap();
    // The delayed step is due by now.
    let dump = HOME.replace("'HERE'", &format!("'{here}'")).replace("1796083724515", "1");
    let old = Connection::open(place.database()).unwrap();
    old.execute_batch("PRAGMA auto_vacuum = INCREMENTAL; PRAGMA journal_mode = WAL").unwrap();
    old.execute_batch(&dump).unwrap();
    for state in [0, 1, 2, 3, 5, 6] {
        let steps = old.query_row("SELECT count(*) FROM step WHERE state = ?1", [state], |row| row.get::<_, i64>(0));
        assert!(steps.unwrap() > 0, "none of state {state}");
    }
    assert_eq!(old.query_row("SELECT count(*) FROM lease", [], |row| row.get::<_, i64>(0)).unwrap(), 1);
    place.write("ok", "");
    place
}

fn version(place: &Place) -> i64 {
    Connection::open(place.database()).unwrap().pragma_query_value(None, "user_version", |row| row.get(0)).unwrap()
}

#[test]
fn a_home_of_the_version_before_opens_and_goes_on() {
    let place = old_home();
    for name in ["engine.door", "engine.room"] {
        fs::write(place.home().join(name), "").unwrap();
    }
    place.ok(&["list", "groups"]);
    assert_eq!(version(&place), windlass::store::SCHEMA_VERSION);
    place.ok(&["worker", "--until-idle"]);
    let groups = place.ok(&["list", "groups"]);
    assert_eq!(groups.matches("COMPLETED").count(), 5, "all but the failed and the paused one: {groups}");
    place.ok(&["resume", "g5"]);
    place.ok(&["worker", "--until-idle"]);
    let groups = place.ok(&["list", "groups"]);
    assert_eq!(groups.matches("COMPLETED").count(), 6, "{groups}");
    let attempts = place.ok(&["show", "s6"]);
    assert!(attempts.contains("interrupted") || attempts.contains("crashed"), "what ran is named: {attempts}");
    place.assert_sound();
    for name in ["engine.door", "engine.room"] {
        assert!(!place.home().join(name).exists(), "{name} has no use any more");
    }
}

#[cfg(target_os = "linux")]
#[test]
fn the_schema_changes_only_when_an_older_process_has_written_what_it_began() {
    let place = old_home();
    fs::write(place.home().join("engine.door"), "").unwrap();
    let older = FileLock::try_exclusive(&place.home().join("engine.room")).unwrap().unwrap();
    let list = place.start(&["list", "groups"]);
    let files = format!("/proc/{}/fd", list.id());
    let has_opened = || {
        let open = fs::read_dir(&files).into_iter().flatten().flatten();
        open.flat_map(|file| fs::read_link(file.path())).any(|file| file.ends_with("engine.room"))
    };
    eventually("it waits for the older process", has_opened);
    assert_eq!(version(&place), 4);
    drop(older);
    let ended = list.end(Duration::from_secs(60));
    assert_eq!(ended.code, 0, "{ended:?}");
    assert_eq!(version(&place), windlass::store::SCHEMA_VERSION);
}
