//! Homes that belong to others, completely or in part; projects made by others; databases changed by others.

use crate::support::binary::Windlass;
use crate::support::needs::needs_root;
use crate::{Ended, Place, eventually};
use rusqlite::Connection;
use std::{
    ffi::{OsStr, OsString},
    fs,
    os::unix::{
        ffi::{OsStrExt, OsStringExt},
        fs::{MetadataExt, PermissionsExt, symlink},
    },
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

const NOBODY: u32 = 65_534;

/// The binary in a directory, with no named home and its own data directory.
fn below(place: &Place, dir: &Path, arguments: &[&str]) -> Ended {
    let mut command = Windlass::bare();
    command.args(arguments).current_dir(dir).env("XDG_DATA_HOME", place.path().join("data")).stdin(Stdio::null());
    command.run()
}

fn with_home(place: &Place, home: &OsStr, arguments: &[&str]) -> Ended {
    let mut command = Windlass::bare();
    command.args(arguments).current_dir(place.path()).env("WINDLASS_HOME", home).stdin(Stdio::null());
    command.run()
}

fn run(place: &Place, arguments: &[&str]) -> Ended {
    with_home(place, place.home().as_os_str(), arguments)
}

/// Every path below, with its owner and the length of its content.
fn tree(dir: &Path) -> Vec<(PathBuf, u32, u64)> {
    let mut found = Vec::new();
    let mut folders = vec![dir.to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap().flatten() {
            let it = entry.metadata().unwrap();
            if it.is_dir() {
                folders.push(entry.path());
            }
            found.push((entry.path(), it.uid(), if it.is_dir() { 0 } else { it.len() }));
        }
    }
    found.sort();
    found
}

fn give_to_nobody(dir: &Path) {
    assert!(Command::new("chown").args(["-Rh", &NOBODY.to_string()]).arg(dir).status().unwrap().success());
}

#[test]
fn root_uses_no_home_of_another_user_with_any_command_and_makes_nothing_in_it() {
    if !needs_root() {
        return;
    }
    let place = Place::new();
    place.write("doc.md", "# Winches\n\nA winch pulls.\n");
    assert_eq!(run(&place, &["ingest", "doc.md"]).code, 0);
    assert_eq!(run(&place, &["backup", "b.zip"]).code, 0);
    give_to_nobody(&place.home());
    let before = tree(&place.home());
    let commands = "status|list groups|list documents|show g1|why s1|logs s1|events|wait g1|cancel g1|retry g1|pause g1|resume g1|\
                    submit --each true --items a|run --each true --items a|ingest doc.md|search winch|worker --until-idle|serve|\
                    serve --background|stop|ui --print|locks|locks hold k -- true|locks release k --force|vacuum --all|vacuum default|\
                    prune|backup c.zip|restore b.zip|restore b.zip --force|db list|db info|db check|doctor|settings|workers|init --json";
    for command in commands.split('|') {
        let words: Vec<&str> = command.split_whitespace().collect();
        let home = place.home();
        let refused = match words[0] {
            "init" => with_home(&place, OsStr::new(""), &["--home", home.to_str().unwrap(), "init"]),
            _ => run(&place, &words),
        };
        assert!(refused.code == 5 && refused.err.contains("belongs to user 65534"), "{command}: {refused:?}");
        assert!(refused.err.contains("sudo -u"), "{command}: {refused:?}");
    }
    assert_eq!(tree(&place.home()), before);
}

#[test]
fn root_makes_no_home_and_no_vector_database_in_a_directory_of_another_user() {
    if !needs_root() {
        return;
    }
    let place = Place::new();
    place.write("doc.md", "# Winches\n\nA winch pulls.\n");
    let theirs = place.path().join("theirs");
    fs::create_dir(&theirs).unwrap();
    let own = theirs.join("docs.db");
    assert_eq!(run(&place, &["ingest", "doc.md", "--db", own.to_str().unwrap()]).code, 0);
    assert_eq!(run(&place, &["backup", "b.zip"]).code, 0);
    Connection::open(&own).unwrap().execute_batch("PRAGMA wal_checkpoint(TRUNCATE)").unwrap();
    let _ = fs::remove_file(theirs.join("docs.db.lock"));
    give_to_nobody(&theirs);
    let before = tree(&theirs);
    let (new_home, new_db, new_backup) = (theirs.join("home"), theirs.join("new.db"), theirs.join("new.zip"));
    let home = new_home.to_str().unwrap();
    for arguments in [
        &["--home", home, "restore", "b.zip"][..],
        &["--home", home, "submit", "--each", "true", "--items", "a"],
        &["--home", home, "init"],
        &["vacuum", own.to_str().unwrap()],
        &["backup", new_backup.to_str().unwrap()],
        &["ingest", "doc.md", "--force", "--db", own.to_str().unwrap()],
        &["ingest", "doc.md", "--db", new_db.to_str().unwrap()],
    ] {
        let refused = run(&place, arguments);
        assert!(refused.code != 0, "{arguments:?}: {refused:?}");
        let all = format!("{}{}", refused.out, refused.err);
        assert!(all.contains("belongs to user 65534"), "{arguments:?}: {refused:?}");
        assert_eq!(tree(&theirs), before, "{arguments:?}");
    }
    // Reading leaves nothing behind either.
    let search = || run(&place, &["search", "winch", "--db", own.to_str().unwrap(), "--mode", "text"]);
    let found = search();
    assert!(found.code == 0 && found.out.contains("winch"), "{found:?}");
    assert_eq!(tree(&theirs), before);
    // While its owner works on it, everything that reading needs exists.
    let at_work = Connection::open(&own).unwrap();
    at_work.execute_batch("UPDATE chunk SET page = 7").unwrap();
    let found = search();
    assert!(found.code == 0 && found.out.contains("winch"), "{found:?}");
    // The owner's unfinished work can't be read without a new file.
    fs::copy(theirs.join("docs.db-wal"), place.path().join("wal")).unwrap();
    drop(at_work);
    fs::copy(place.path().join("wal"), theirs.join("docs.db-wal")).unwrap();
    give_to_nobody(&theirs);
    let (before, found) = (tree(&theirs), search());
    assert!(found.code == 5 && found.err.contains("belongs to user 65534"), "{found:?}");
    assert_eq!(tree(&theirs), before);
}

#[test]
fn links_in_place_of_a_homes_files_lead_nowhere() {
    let place = Place::new();
    assert_eq!(run(&place, &["run", "--each", "true", "--items", "a"]).code, 0);
    let victim = place.path().join("victim");
    fs::create_dir(&victim).unwrap();
    fs::write(victim.join("precious"), "precious").unwrap();
    let before = tree(&victim);
    for name in [
        "engine.db",
        "engine.db-wal",
        "engine.queue.lock",
        "engine.write.lock",
        "engine.db.lock",
        "serve.log",
        "serve.pid.new",
        "serve.token",
        "windlass.toml",
        "ballast",
        "params",
        "workers",
        "locks",
    ] {
        let path = place.home().join(name);
        let kept = place.path().join("kept");
        let is_there = fs::rename(&path, &kept).is_ok();
        for target in ["precious", "new"] {
            symlink(victim.join(target), &path).unwrap();
            for arguments in [&["status"][..], &["serve", "--background"], &["run", "--each", "true", "--items", "b"]] {
                let refused = run(&place, arguments);
                assert!(
                    refused.code == 5 && refused.err.contains("is a symbolic link"),
                    "{name} {arguments:?}: {refused:?}"
                );
            }
            fs::remove_file(&path).unwrap();
        }
        if is_there {
            fs::rename(&kept, &path).unwrap();
        }
    }
    let link = place.path().join("link");
    symlink(place.home(), &link).unwrap();
    for home in [link.clone(), link.join("")] {
        let refused = with_home(&place, home.as_os_str(), &["status"]);
        assert!(refused.code == 5 && refused.err.contains("is a symbolic link"), "{refused:?}");
    }
    assert_eq!(tree(&victim), before);
    assert_eq!(run(&place, &["status"]).code, 0);
}

#[test]
fn a_home_that_others_can_write_is_refused_with_the_command_that_mends_it() {
    let place = Place::new();
    fs::create_dir(place.path().join("params")).unwrap();
    place.write("set.yaml", "id: small\nconfig:\n  chunk: {size: 200}\n");
    assert_eq!(run(&place, &["run", "--each", "true", "--items", "a"]).code, 0);
    fs::create_dir(place.home().join("params")).unwrap();
    fs::copy(place.path().join("set.yaml"), place.home().join("params/small.yaml")).unwrap();
    fs::write(place.home().join("windlass.toml"), "").unwrap();
    for (name, command) in [
        ("", &["status"][..]),
        ("windlass.toml", &["settings"]),
        ("engine.db", &["list"]),
        ("engine.write.lock", &["status"]),
        ("params", &["list", "params"]),
        ("params/small.yaml", &["list", "params"]),
    ] {
        let path = place.home().join(name);
        let mode = fs::metadata(&path).unwrap().permissions();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode.mode() | 0o002)).unwrap();
        let refused = run(&place, command);
        assert!(refused.code == 5 && refused.err.contains("can be written by everybody"), "{name}: {refused:?}");
        assert!(refused.err.contains("chmod go-w"), "{name}: {refused:?}");
        fs::set_permissions(&path, mode).unwrap();
        assert_eq!(run(&place, command).code, 0, "{name}");
    }
}

#[test]
fn a_project_that_somebody_else_made_is_used_only_once_it_is_trusted() {
    let place = Place::new();
    let (project, sub) = (place.path().join("project"), place.path().join("project/src/deep"));
    fs::create_dir_all(&sub).unwrap();
    place.write("project/src/deep/doc.md", "# Winches\n\nA winch pulls.\n");
    // As a clone or an archive brings it: the user's own files with foreign settings and work.
    let foreign = Place::new();
    let evil = format!("touch {}/attacked", place.path().display());
    assert_eq!(run(&foreign, &["submit", "--each", &evil, "--items", "a"]).code, 0);
    fs::write(foreign.home().join("windlass.toml"), "autostart = true\nparameters = \"evil\"\n").unwrap();
    let copied = Command::new("cp").arg("-r").arg(foreign.home()).arg(project.join(".windlass")).status().unwrap();
    assert!(copied.success());
    for arguments in [
        &["ingest", "doc.md"][..],
        &["ui", "--print"],
        &["submit", "--each", "true", "--items", "a"],
        &["worker", "--until-idle"],
        &["status"],
        &["settings"],
        &["prove", "--kills", "1"],
    ] {
        let refused = below(&place, &sub, arguments);
        assert!(refused.code == 5 && refused.err.contains("you did not make"), "{arguments:?}: {refused:?}");
        assert!(refused.err.contains("windlass") && refused.err.contains(" trust '"), "{arguments:?}: {refused:?}");
    }
    assert!(!place.path().join("attacked").exists());
    let init = below(&place, &project, &["init"]);
    assert_eq!(init.code, 5, "an init does not make it ours: {init:?}");
    assert_eq!(below(&place, &sub, &["status"]).code, 5);
    // Named explicitly, it is trusted.
    assert_eq!(below(&place, &sub, &["--home", "../../.windlass", "status"]).code, 0);

    let trusted = below(&place, &sub, &["trust"]);
    assert!(trusted.code == 0 && trusted.out.contains("project/.windlass"), "{trusted:?}");
    assert_eq!(below(&place, &sub, &["status"]).code, 0);
    assert!(below(&place, &sub, &["trust", "--list"]).out.contains("project/.windlass"));
    assert_eq!(below(&place, place.path(), &["trust", "--remove", "project"]).code, 0);
    assert_eq!(below(&place, &sub, &["status"]).code, 5);
    assert_eq!(below(&place, place.path(), &["trust", "--remove", "project"]).code, 4);
    assert_eq!(below(&place, place.path(), &["trust", "nowhere"]).code, 4);
}

#[test]
fn a_project_of_ones_own_is_never_asked_about() {
    let place = Place::new();
    for name in ["made", "used", "other/deep"] {
        fs::create_dir_all(place.path().join(name)).unwrap();
    }
    assert_eq!(below(&place, place.path(), &["init", "made"]).code, 0);
    assert_eq!(below(&place, &place.path().join("made"), &["run", "--each", "true", "--items", "a"]).code, 0);
    // Created by its first use.
    let first =
        below(&place, &place.path().join("used"), &["--home", ".windlass", "run", "--each", "true", "--items", "a"]);
    assert_eq!(first.code, 0, "{first:?}");
    assert_eq!(below(&place, &place.path().join("used"), &["status"]).code, 0);
    // Created by a restore.
    assert_eq!(below(&place, &place.path().join("made"), &["backup", "b.zip"]).code, 0);
    let restored = below(&place, &place.path().join("other"), &["--home", ".windlass", "restore", "../made/b.zip"]);
    assert_eq!(restored.code, 0, "{restored:?}");
    assert_eq!(below(&place, &place.path().join("other/deep"), &["status"]).code, 0);
    // A copy of it is another directory.
    fs::rename(place.path().join("made/.windlass"), place.path().join("aside")).unwrap();
    let copied =
        Command::new("cp").arg("-r").arg(place.path().join("aside")).arg(place.path().join("made/.windlass")).status();
    assert!(copied.unwrap().success());
    assert_eq!(below(&place, &place.path().join("made"), &["status"]).code, 5);
}

#[test]
fn init_makes_the_home_that_is_named() {
    let place = Place::new();
    let made = below(&place, place.path(), &["--home", "elsewhere", "init"]);
    assert!(made.code == 0 && made.out.contains("elsewhere"), "{made:?}");
    assert!(place.path().join("elsewhere/windlass.toml").exists() && !place.path().join(".windlass").exists());
    assert_eq!(below(&place, place.path(), &["--home", "elsewhere", "init"]).code, 5);
    assert_eq!(below(&place, place.path(), &["--home", "elsewhere", "init", "dir"]).code, 2);
    let warned = run(&place, &["init"]);
    assert!(warned.code == 0 && warned.err.contains("WINDLASS_HOME is set"), "{warned:?}");
}

#[test]
fn a_home_whose_path_is_not_utf_8_is_refused_and_not_passed_over() {
    let place = Place::new();
    let odd = OsString::from_vec(b"h\xffme".to_vec());
    let refused = with_home(&place, &odd, &["run", "--each", "true", "--items", "a"]);
    assert!(refused.code == 2 && refused.err.contains("not UTF-8"), "{refused:?}");
    let odd_dir = place.path().join(&odd);
    fs::create_dir(&odd_dir).unwrap();
    for arguments in [&["init"][..], &["--home", "home", "status"]] {
        let refused = below(&place, &odd_dir, arguments);
        assert!(refused.code == 2 && refused.err.contains("not UTF-8"), "{arguments:?}: {refused:?}");
    }
    assert_eq!(fs::read_dir(&odd_dir).unwrap().count(), 0);
    // A home elsewhere works from there, but a group can't record that its commands start there.
    let home = place.home();
    let away = |arguments: &[&str]| below(&place, &odd_dir, &[&["--home", home.to_str().unwrap()], arguments].concat());
    let refused = away(&["run", "--each", "true", "--items", "a"]);
    assert!(refused.code == 2 && refused.err.contains("not UTF-8"), "{refused:?}");
    assert_eq!(away(&["status"]).code, 0);
    let mut command = place.command(&["status"]);
    let refused = command.env("WINDLASS_LISTEN", OsStr::from_bytes(b"\xff")).run();
    assert!(refused.code == 2 && refused.err.contains("WINDLASS_LISTEN is not UTF-8"), "{refused:?}");
}

#[test]
fn what_somebody_put_into_the_database_is_refused_by_its_name() {
    let place = Place::new();
    assert_eq!(run(&place, &["run", "--each", "echo harmless", "--items", "a"]).code, 0);
    let attacked = place.path().join("attacked");
    let trigger = format!(
        "CREATE TRIGGER evil AFTER INSERT ON definition BEGIN
           UPDATE definition SET body = replace(body, 'harmless', 'harmless; touch {}') WHERE id = new.id; END",
        attacked.display()
    );
    for (make, undo, said) in [
        (trigger.as_str(), "DROP TRIGGER evil", "trigger `evil`"),
        ("CREATE TABLE extra(x)", "DROP TABLE extra", "table `extra`"),
        ("CREATE VIEW peek AS SELECT 1", "DROP VIEW peek", "view `peek`"),
        ("CREATE INDEX slow ON run(id)", "DROP INDEX slow", "index `slow`"),
    ] {
        Connection::open(place.database()).unwrap().execute_batch(make).unwrap();
        for arguments in [&["run", "--each", "echo harmless ", "--items", "a"][..], &["doctor"], &["status"]] {
            let refused = run(&place, arguments);
            assert!(refused.code == 1 && refused.err.contains(said), "{said} {arguments:?}: {refused:?}");
        }
        Connection::open(place.database()).unwrap().execute_batch(undo).unwrap();
        assert_eq!(run(&place, &["status"]).code, 0);
    }
    Connection::open(place.database()).unwrap().execute_batch("ANALYZE").unwrap();
    assert_eq!(run(&place, &["doctor"]).code, 0, "what SQLite itself adds is no stranger's");
    assert!(!attacked.exists());
}

#[test]
fn a_definition_that_was_changed_in_the_database_does_not_run() {
    let place = Place::new();
    assert_eq!(run(&place, &["submit", "--each", "echo harmless", "--items", "a"]).code, 0);
    let attacked = place.path().join("attacked");
    let body = format!("UPDATE definition SET body = replace(body, 'harmless', 'x; touch {}')", attacked.display());
    Connection::open(place.database()).unwrap().execute_batch(&body).unwrap();
    let sick = run(&place, &["doctor"]);
    assert!(sick.code == 1 && sick.out.contains("changed after it was submitted"), "{sick:?}");
    let mut worker = place.command(&["worker"]);
    let mut child = worker.silent().spawn().unwrap();
    eventually("the step has failed", || run(&place, &["why", "s1"]).out.contains("hash differs"));
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(!attacked.exists());
}

#[test]
fn what_somebody_put_into_a_vector_database_is_refused_by_its_name() {
    let place = Place::new();
    place.write("doc.md", "# Winches\n\nA winch pulls.\n");
    assert_eq!(run(&place, &["ingest", "doc.md"]).code, 0);
    let path = place.home().join("vectors/default.db");
    let endless = "CREATE VIEW chunk AS WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n)
                   SELECT i AS id, 1 AS document, i AS no, 'x' AS text, '[]' AS headings, 1 AS page, 0 AS range_start,
                          0 AS range_end, 0 AS tokens, x'00' AS text_hash FROM n";
    Connection::open(&path).unwrap().execute_batch(&format!("PRAGMA foreign_keys = 0; PRAGMA legacy_alter_table = 1; DROP INDEX chunk_by_text_hash; ALTER TABLE chunk RENAME TO old; {endless}")).unwrap();
    let mut command = place.under(&["timeout", "20"], &["search", "winch"]);
    let refused = command.run();
    assert!(refused.code == 1 && refused.err.contains("view `chunk`"), "{refused:?}");
    let sick = run(&place, &["doctor"]);
    assert!(sick.code == 1 && sick.out.contains("view `chunk`"), "{sick:?}");
    let evil = "DROP VIEW chunk; ALTER TABLE old RENAME TO chunk; CREATE INDEX chunk_by_text_hash ON chunk (text_hash);
                CREATE TRIGGER evil AFTER INSERT ON document BEGIN DELETE FROM chunk; END";
    Connection::open(&path).unwrap().execute_batch(evil).unwrap();
    place.write("doc2.md", "# Ropes\n\nA rope holds.\n");
    let refused = run(&place, &["ingest", "doc2.md"]);
    assert!(refused.code != 0 && format!("{}{}", refused.err, refused.out).contains("trigger `evil`"), "{refused:?}");
    Connection::open(&path).unwrap().execute_batch("DROP TRIGGER evil").unwrap();
    assert_eq!(run(&place, &["search", "winch"]).code, 0, "a table that was renamed there and back is ours");
}
