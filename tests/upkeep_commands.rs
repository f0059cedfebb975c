//! Pruning, fetching files and long lists through the real binary.

mod support {
    pub mod binary;
    pub mod place;
}

use serde_json::Value;
use std::{fs, os::unix::fs::symlink, process::Stdio};

use support::{
    binary::{Ended, Running, WINDLASS, Windlass},
    place::Place,
};

const MAKE: &str =
    "id: make\nsteps:\n  - { name: make, run: 'printf \"%s\\0tail\" {{ item }} > {{ out }}/data.bin' }\n";

#[test]
fn a_file_of_a_step_is_fetched_before_and_after_its_group_was_pruned() {
    let place = Place::new();
    fs::write(place.path().join("w.yaml"), MAKE).unwrap();
    place.ok(&["run", "w.yaml", "--items", "one", "--key", "k"]);
    let fetch = || place.run(&["show", "s1", "--file", "data.bin"]);
    assert_eq!(fetch().out, "one\0tail");
    let Ended { code, err, .. } = place.run(&["show", "s1", "--file", "data.bim"]);
    assert!(code == 4 && err.contains("did you mean `--file data.bin`?"), "{err}");

    let plan = place.json(&["prune", "--keep", "0s", "--dry-run"]);
    assert_eq!((plan["groups"][0]["id"].clone(), plan["steps"].clone()), (1.into(), 1.into()), "{plan}");
    let pruned = place.json(&["prune", "--keep", "0s"]);
    assert_eq!((pruned["groups"].clone(), pruned["kept"].clone()), (1.into(), 1.into()), "{pruned}");
    assert_eq!(place.run(&["show", "g1"]).code, 4);
    assert_eq!(fetch().out, "one\0tail");
    let left = place.json(&["show", "s1"]);
    assert_eq!((&left["pruned"], &left["name"]), (&Value::from(true), &Value::from("make")), "{left}");
    // The key is known, and other content is refused.
    let Ended { code, err, .. } = place.run(&["run", "w.yaml", "--items", "one", "--key", "k"]);
    assert!(code == 0 && err.contains("ended COMPLETED, and was pruned since"), "{code} {err}");
    let Ended { code, err, .. } = place.run(&["run", "w.yaml", "--items", "two", "--key", "k"]);
    assert!(code == 5 && err.contains("in use by g1 with other content"), "{code} {err}");

    place.ok(&["prune", "--keep", "0s", "--outputs"]);
    assert_eq!(fetch().code, 4);
    place.ok(&["doctor"]);
}

#[test]
fn a_damaged_file_is_not_fetched_in_part() {
    let place = Place::new();
    fs::write(place.path().join("w.yaml"), MAKE).unwrap();
    place.ok(&["run", "w.yaml", "--items", "one"]);
    for shard in fs::read_dir(place.path().join("home/artifacts")).unwrap().flatten().filter(|it| it.path().is_dir()) {
        for file in fs::read_dir(shard.path()).unwrap().flatten() {
            fs::write(file.path(), "one\0tale").unwrap();
        }
    }
    let Ended { code, out, err } = place.run(&["show", "s1", "--file", "data.bin"]);
    assert!(code == 1 && out.is_empty() && err.contains("corrupt"), "{code} {err}");
}

#[test]
fn steps_are_listed_by_status_however_few_they_are_among_many() {
    let place = Place::new();
    let text = "id: many\nsteps:\n  - { name: a, run: 'test {{ item }} != 3 -a {{ item }} != 4' }\n  - { name: b, uses: windlass/noop }\n";
    fs::write(place.path().join("w.yaml"), text).unwrap();
    let items: Vec<String> = (1..=6).map(|it| it.to_string()).collect();
    let items: Vec<&str> = items.iter().map(String::as_str).collect();
    assert_eq!(place.run(&[&["run", "w.yaml", "--items"], &items[..]].concat()).code, 3);
    let list = |more: &[&str]| place.json(&[&["list", "steps"], more].concat());
    let ids = |list: &Value| {
        list["steps"].as_array().unwrap().iter().map(|it| it["id"].as_i64().unwrap()).collect::<Vec<_>>()
    };
    assert_eq!(ids(&list(&["--status", "FAILED"])), [5, 7]);
    assert_eq!(ids(&list(&["--status", "CANCELLED"])), [6, 8]);
    assert_eq!(ids(&list(&["--status", "COMPLETED"])).len(), 8);
    let first = list(&["--status", "FAILED", "--limit", "1"]);
    assert_eq!((ids(&first), &first["next"]), (vec![5], &Value::from(3)));
    let second = list(&["--status", "FAILED", "--limit", "1", "--after", "3"]);
    assert_eq!(ids(&second), [7]);
    assert!(ids(&list(&["--status", "RUNNING"])).is_empty() && ids(&list(&["--status", "ERROR"])).is_empty());
}

#[test]
fn a_suggested_command_can_be_typed_as_it_stands() {
    let place = Place::new();
    let suggestion = |program: &str, path: &str| {
        let mut command = Windlass::named(program);
        command.args(["submit", "--each", "true", "--items", "a"]).current_dir(place.path());
        let said = command.env("WINDLASS_HOME", place.home()).env("PATH", path).run().err;
        said.split('`').nth(1).unwrap().to_string()
    };
    let dir = place.path().join("bin");
    fs::create_dir(&dir).unwrap();
    assert_eq!(suggestion(WINDLASS, "/usr/bin"), format!("{WINDLASS} worker"));
    symlink(WINDLASS, dir.join("windlass")).unwrap();
    let path = format!("{}:/usr/bin", dir.display());
    assert_eq!(suggestion(WINDLASS, &path), "windlass worker", "PATH leads to this very program");
    assert_eq!(suggestion("bin/windlass", "/usr/bin"), "bin/windlass worker");
}

#[test]
fn a_backup_is_never_written_onto_a_directory_and_the_hint_works() {
    let place = Place::new();
    fs::create_dir(place.path().join("there")).unwrap();
    for (target, force) in [("there", true), ("there/", true), ("there", false), ("new/", false)] {
        let arguments = if force { vec!["backup", "--force", target] } else { vec!["backup", target] };
        let Ended { code, err, .. } = place.run(&arguments);
        assert_eq!(code, 2, "{arguments:?}: {err}");
        let (what, hint) =
            if target == "new/" { ("does not exist", "new.zip") } else { ("is a directory", "windlass.zip") };
        assert!(err.contains(what) && err.contains(hint) && !err.contains("os error"), "{err}");
        assert!(!err.contains("--force"), "{err}");
    }
    place.ok(&["backup", "there/windlass.zip"]);
    place.ok(&["backup", "new.zip"]);
}

#[test]
fn vacuum_with_force_leaves_a_word_in_the_history_also_where_nothing_was_locked() {
    let place = Place::new();
    fs::create_dir(place.path().join("docs")).unwrap();
    fs::write(place.path().join("docs/rope.md"), "# Ropes\n\nA rope holds a load.\n").unwrap();
    place.ok(&["ingest", "docs"]);
    place.ok(&["vacuum", "default", "--force"]);
    let events = place.ok(&["events", "--json"]);
    let forced = events.lines().find(|it| it.contains("LOCK_FORCED") || it.contains("vacuum --force"));
    let forced = forced.unwrap_or_else(|| panic!("no event: {events}"));
    for word in ["vacuum --force", "uid ", "process ", "it was not held"] {
        assert!(forced.contains(word), "{word}: {forced}");
    }
}

/// A command that holds a key until its stdin ends.
fn holder(place: &Place, key: &str) -> Running {
    let mut command = place.command(&["locks", "hold", key, "--", "sh", "-c", "echo > ready; cat"]);
    let holder = command.stdin(Stdio::piped()).spawn().unwrap();
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(60);
    while !place.path().join("ready").exists() {
        assert!(std::time::Instant::now() < deadline, "the holder does not start");
        std::thread::yield_now();
    }
    holder
}

#[test]
fn a_vacuum_waits_as_long_as_it_may_and_one_of_all_databases_skips_what_is_locked() {
    let place = Place::new();
    fs::create_dir(place.path().join("docs")).unwrap();
    fs::write(place.path().join("docs/rope.md"), "# Ropes\n\nA rope holds a load.\n").unwrap();
    for name in ["busy", "free"] {
        place.ok(&["ingest", "docs", "--db", name]);
    }
    let path = place.json(&["db", "info", "busy"])["path"].as_str().unwrap().to_string();
    let mut holder = holder(&place, &format!("vec:{path}"));
    let vacuum = |wait: &str| {
        let begun = std::time::Instant::now();
        let Ended { code, err, .. } = place.run(&["vacuum", "busy", "--max-wait", wait]);
        let who = format!("by the command line (process {})", holder.id());
        assert!(code == 5 && err.contains(&who) && err.contains("vacuum busy --force`"), "{code} {err}");
        (begun.elapsed(), err.contains("waiting for"))
    };
    assert!(!vacuum("0s").1, "it does not wait at all");
    let (took, waited) = vacuum("1s");
    assert!(waited && took >= std::time::Duration::from_secs(1), "{took:?}");

    let all = place.json(&["vacuum", "--all"]);
    let names = |part: &str| -> Vec<String> {
        all[part].as_array().unwrap().iter().map(|it| it["name"].as_str().unwrap().to_string()).collect()
    };
    assert_eq!((names("databases"), names("skipped")), (vec!["free".to_string()], vec!["busy".to_string()]), "{all}");
    assert!(all["skipped"][0]["reason"].as_str().unwrap().contains("by the command line"), "{all}");
    let Ended { code, out, err } = place.run(&["vacuum", "--all"]);
    assert!(code == 0 && err.contains("skipped `busy`: ") && out.starts_with("`free`: "), "{code} {out} {err}");
    drop(holder.stdin.take());
    holder.wait().unwrap();
    place.ok(&["vacuum", "busy", "--max-wait", "60s"]);
}

#[test]
fn pools_without_a_place_are_refused() {
    let place = Place::new();
    for arguments in [vec!["worker", "--pool", "*=0"], vec!["worker", "--pool", "a=0", "--pool", "*=0"]] {
        let Ended { code, err, .. } = place.run(&arguments);
        assert!(code == 2 && err.contains("at least one pool with a slot"), "{arguments:?}: {code} {err}");
    }
}

#[test]
fn a_step_that_left_nothing_says_so() {
    let place = Place::new();
    let text = "id: quiet\nsteps:\n  - { name: quiet, run: 'true' }\n  - { name: words, run: 'echo hi' }\n  \
                - { name: file, run: 'echo hi > {{ out }}/a' }\n";
    fs::write(place.path().join("w.yaml"), text).unwrap();
    place.ok(&["run", "w.yaml", "--items", "x"]);
    let shown: Vec<String> = ["s1", "s2", "s3"].iter().map(|it| place.ok(&["show", it])).collect();
    let holds: Vec<bool> = shown.iter().map(|it| it.contains("completed without output")).collect();
    assert_eq!(holds, [true, false, false], "{shown:#?}");
    assert_eq!(place.json(&["show", "s1"])["output"], Value::Null);
}

#[test]
fn a_key_that_is_taken_away_by_force_names_both_sides_in_the_history() {
    let place = Place::new();
    let mut holder = holder(&place, "printer");
    let Ended { code, err, .. } = place.run(&["locks", "release", "printer", "--force", "--why", "stuck"]);
    assert_eq!(code, 5, "its process still holds the file: {err}");
    drop(holder.stdin.take());
    holder.wait().unwrap();
    let events = place.ok(&["events", "--json"]);
    let forced = events.lines().find(|it| it.contains("stuck")).unwrap_or_else(|| panic!("no event: {events}"));
    let pid = format!("the command line (process {})", holder.id());
    assert!(forced.contains(&pid) && forced.contains("uid "), "{forced}");
}

#[cfg(target_os = "linux")]
#[test]
fn a_key_whose_holder_was_killed_is_shown_until_a_command_clears_it() {
    let place = Place::new();
    let mut holder = holder(&place, "printer");
    let lock = || place.json(&["locks"])["locks"][0].clone();
    assert_eq!((lock()["key"].as_str(), lock()["file_locked"].as_bool()), (Some("printer"), Some(true)));
    // Its command ends with its input and keeps the inherited lock until then.
    holder.kill().unwrap();
    drop(holder.stdin.take());
    holder.wait().unwrap();
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(60);
    while lock()["file_locked"] == true {
        assert!(std::time::Instant::now() < deadline, "the lock of a process that is gone stays: {}", lock());
    }
    assert_eq!(lock()["key"], "printer", "no worker is there to sweep it");
    let Ended { code, err, .. } = place.run(&["locks", "release", "printer"]);
    assert!(code == 5 && err.contains("no process holds `printer`"), "{code} {err}");
    place.ok(&["locks", "release", "printer", "--force", "--why", "its holder was killed"]);
    assert_eq!(place.json(&["locks"])["locks"], Value::Array(vec![]));
}

#[test]
fn the_unit_of_systemd_gives_up_on_a_fault_that_stays() {
    let unit = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/examples/systemd/windlass.service")).unwrap();
    let value = |name: &str| {
        let line = unit.lines().find_map(|it| it.strip_prefix(name)?.strip_prefix('='));
        line.and_then(|it| it.parse::<u64>().ok()).unwrap_or_else(|| panic!("{name} is missing"))
    };
    // The limit counts starts within the interval; with a longer pause it would never be reached.
    assert!(value("RestartSec") * value("StartLimitBurst") * 2 < value("StartLimitIntervalSec"));
}
