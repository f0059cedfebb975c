//! Backups: taken while work goes on, read back, restored, and continued.

mod plant;

use plant::{WINDLASS, open, submit_numbers, wait, worker};
use std::{
    collections::BTreeMap,
    fs,
    os::unix::fs::PermissionsExt,
    path::Path,
    process::{Command, Output, Stdio},
    sync::Arc,
    time::{Duration, Instant},
};
use windlass::{
    backup::{self, Error, Restore},
    engine::Engine,
    model::{Bytes, Millis, Status},
    os::{Clock, SystemClock},
    store::{audit, check},
};

#[track_caller]
fn assert_sound(engine: &Engine) {
    assert_eq!(engine.store().read(check::check).unwrap(), Vec::<String>::new());
    assert_eq!(engine.store().read(check::integrity).unwrap(), Vec::<String>::new());
    for artifact in engine.store().read(audit::artifacts).unwrap() {
        engine.artifacts().verify(&artifact).unwrap();
    }
}

fn restore(file: &Path, home: &Path) -> Restore {
    Restore { file: file.to_path_buf(), home: home.to_path_buf(), force: false, reserve: Bytes(0) }
}

fn run(restore: &Restore) -> Result<backup::Restored, Error> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    restore.run(&clock, &|| true)
}

const WORK: &str = "
id: work
steps:
  - { name: make, run: 'seq 1 {{ item }}00 > {{ out }}/numbers; echo {{ token }}' }
  - { name: rest, uses: windlass/sleep, with: { for: 5ms }, resource_key: 'shared' }
  - { name: use, needs: [make, rest], run: 'wc -l < {{ inputs.make.dir }}/numbers' }
";

#[test]
fn a_backup_taken_while_workers_run_flat_out_is_restored_and_runs_to_its_end() {
    let dir = tempfile::tempdir().unwrap();
    let (home, file, other) = (dir.path().join("home"), dir.path().join("b.zip"), dir.path().join("other"));
    fs::create_dir(&home).unwrap();
    fs::write(home.join("windlass.toml"), "keep = \"9d\"\nartifact_dir = \"/elsewhere\"\n").unwrap();
    let engine = open(&home);
    let group = submit_numbers(&engine, WORK, 60);
    let working = worker(&engine, 4);
    let done = |engine: &Engine| engine.store().read(audit::steps).unwrap().iter().filter(|it| it.state == 5).count();
    let deadline = Instant::now() + Duration::from_secs(60);
    while done(&engine) < 20 {
        assert!(Instant::now() < deadline);
    }
    let taken = backup::take(&engine, &file, &|| true).unwrap();
    assert!(taken.checked.artifacts > 0 && taken.bytes == fs::metadata(&file).unwrap().len());
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    let at_backup = done(&engine);
    assert_eq!(wait(&engine, &working, group), Status::Completed);
    working.stop(Millis::seconds(10));

    let restored = run(&restore(&file, &other)).unwrap();
    assert!(restored.engine_id != restored.backup.engine_id && restored.artifact_dir_unset);
    let settings = fs::read_to_string(other.join("windlass.toml")).unwrap();
    assert!(settings.contains("keep = \"9d\"") && settings.contains("# taken out"), "{settings}");
    let again = open(&other);
    assert_sound(&again);
    let before = done(&again);
    assert!(before > 0 && before <= at_backup, "{before} of {at_backup}");
    let working = worker(&again, 4);
    assert_eq!(wait(&again, &working, group), Status::Completed);
    working.stop(Millis::seconds(10));
    assert_sound(&again);
    // No token of the restored engine is one that the old one gave out after the backup.
    let tokens = |engine: &Engine| {
        let steps = engine.store().read(audit::steps).unwrap();
        steps.iter().map(|it| (it.id, it.token.unwrap())).collect::<BTreeMap<_, _>>()
    };
    let (old, new) = (tokens(&engine), tokens(&again));
    let newest = old.values().max().unwrap();
    let ran_again: Vec<_> = new.iter().filter(|(id, token)| old[id] != **token).collect();
    assert!(!ran_again.is_empty() && ran_again.iter().all(|(_, token)| *token > newest));
    let output = |engine: &Engine| {
        let steps = engine.store().read(audit::steps).unwrap();
        steps.into_iter().filter(|it| it.no == 2).map(|it| it.output).collect::<Vec<_>>()
    };
    assert_eq!(output(&engine), output(&again));
}

#[test]
fn a_home_that_is_in_use_or_not_empty_is_not_restored_into() {
    let dir = tempfile::tempdir().unwrap();
    let (home, file) = (dir.path().join("home"), dir.path().join("b.zip"));
    fs::create_dir(&home).unwrap();
    let engine = open(&home);
    let group = submit_numbers(&engine, WORK, 1);
    backup::take(&engine, &file, &|| true).unwrap();
    let working = worker(&engine, 4);
    let forced = Restore { force: true, ..restore(&file, &home) };
    assert!(matches!(run(&forced), Err(Error::InUse { .. })));
    wait(&engine, &working, group);
    working.stop(Millis::seconds(10));
    assert!(matches!(run(&restore(&file, &home)), Err(Error::NotEmpty { .. })));
    let full = Restore { force: true, reserve: Bytes(u64::MAX / 2), ..restore(&file, &home) };
    assert!(matches!(run(&full), Err(Error::DiskFull { .. })));
    engine.store().close();
    let aside = run(&forced).unwrap().moved_aside.unwrap();
    assert!(aside.join("engine.db").exists(), "nothing is deleted");
    let again = open(&home);
    assert_sound(&again);
    assert_eq!(again.store().read(audit::steps).unwrap().iter().filter(|it| it.state == 5).count(), 0);
}

#[test]
fn a_flipped_byte_anywhere_in_a_backup_is_found() {
    let dir = tempfile::tempdir().unwrap();
    let (home, file, other) = (dir.path().join("home"), dir.path().join("b.zip"), dir.path().join("other"));
    fs::create_dir(&home).unwrap();
    let engine = open(&home);
    let group = submit_numbers(&engine, WORK, 3);
    let working = worker(&engine, 4);
    wait(&engine, &working, group);
    working.stop(Millis::seconds(10));
    backup::take(&engine, &file, &|| true).unwrap();
    let whole = fs::read(&file).unwrap();
    let manifest = whole.windows(13).position(|it| it == b"manifest.json").unwrap();
    for at in (0..12).map(|it| 40 + it * (manifest - 80) / 12).chain([whole.len() - 30]) {
        let mut bytes = whole.clone();
        bytes[at] ^= 0x20;
        fs::write(&file, &bytes).unwrap();
        let found = backup::verify(&file, &|| true);
        // A local header repeats what the list of entries says; nothing is read from it but its length.
        if let Ok(checked) = &found {
            assert_eq!(checked, &backup::verify(&file, &|| true).unwrap());
            continue;
        }
        assert!(run(&restore(&file, &other)).is_err(), "byte {at}");
        assert!(!other.join("engine.db").exists() && !other.join("restore.unfinished").exists());
    }
    fs::write(&file, &whole[..whole.len() / 2]).unwrap();
    assert!(matches!(backup::verify(&file, &|| true), Err(Error::Damaged { .. })));
    let left: Vec<_> = fs::read_dir(dir.path()).unwrap().map(|it| it.unwrap().file_name()).collect();
    assert!(left.iter().all(|it| !it.to_string_lossy().starts_with(".windlass")), "{left:?}");
}

fn windlass(home: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(WINDLASS);
    command.args(arguments).env("WINDLASS_HOME", home).env("WINDLASS_DURABILITY", "normal").stdin(Stdio::null());
    command
}

fn ended(mut command: Command) -> (i32, String, String) {
    let Output { status, stdout, stderr } = command.output().unwrap();
    let text = |it: Vec<u8>| String::from_utf8(it).unwrap();
    (status.code().unwrap_or(-1), text(stdout), text(stderr))
}

#[test]
fn a_restore_that_is_killed_leaves_a_home_that_nobody_uses_until_it_is_restored() {
    let dir = tempfile::tempdir().unwrap();
    let (home, file, other) = (dir.path().join("home"), dir.path().join("b.zip"), dir.path().join("other"));
    fs::create_dir(&home).unwrap();
    let engine = open(&home);
    let group = submit_numbers(&engine, WORK, 20);
    let working = worker(&engine, 4);
    wait(&engine, &working, group);
    working.stop(Millis::seconds(10));
    backup::take(&engine, &file, &|| true).unwrap();
    // Each one is killed as soon as one of these is there: right after the mark, while unpacking, while moving in.
    for sign in ["restore.unfinished", ".restore", ".restore/engine.db-wal", "artifacts"] {
        let arguments = ["restore", &file.to_string_lossy()];
        let mut child = windlass(&other, &arguments).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        while !other.join(sign).exists() && child.try_wait().unwrap().is_none() {}
        child.kill().unwrap();
        child.wait().unwrap();
        if !other.join("restore.unfinished").exists() {
            assert!(other.join("engine.db").exists(), "it was faster than the kill");
            fs::remove_dir_all(&other).unwrap();
            continue;
        }
        let (code, _, err) = ended(windlass(&other, &["status"]));
        assert!(code == 1 && err.contains("interrupted") && err.contains("restore"), "{code} {err}");
    }
    let (code, _, err) = ended(windlass(&other, &["restore", &file.to_string_lossy()]));
    assert_eq!(code, 0, "{err}");
    let (code, out, err) = ended(windlass(&other, &["doctor"]));
    assert_eq!(code, 0, "{out} {err}");
    assert_sound(&open(&other));
}

#[test]
fn documents_are_found_and_unchanged_in_a_restored_home() {
    let dir = tempfile::tempdir().unwrap();
    let (home, file, other) = (dir.path().join("home"), dir.path().join("b.zip"), dir.path().join("other"));
    let texts = dir.path().join("texts");
    fs::create_dir(&texts).unwrap();
    fs::write(texts.join("ropes.md"), "# Ropes\n\nHemp rots in salt water.\n").unwrap();
    let texts = texts.to_string_lossy().into_owned();
    let ok = |home: &Path, arguments: &[&str]| {
        let (code, out, err) = ended(windlass(home, arguments));
        assert_eq!(code, 0, "{arguments:?} {out} {err}");
        out
    };
    ok(&home, &["ingest", &texts]);
    let out = ok(&home, &["backup", &file.to_string_lossy(), "--json"]);
    let taken: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!(taken["vector_databases"], serde_json::json!(["default"]));
    let (code, _, err) = ended(windlass(&home, &["backup", &file.to_string_lossy()]));
    assert!(code == 5 && err.contains("is there already"), "{err}");
    ok(&home, &["backup", "--check", &file.to_string_lossy()]);
    fs::rename(&home, dir.path().join("gone")).unwrap();
    ok(&other, &["restore", &file.to_string_lossy()]);
    assert!(ok(&other, &["search", "hemp"]).contains("salt water"));
    let plan: serde_json::Value =
        serde_json::from_str(&ok(&other, &["ingest", &texts, "--dry-run", "--json"])).unwrap();
    assert_eq!((&plan["unchanged"], &plan["runs"]), (&serde_json::json!(1), &serde_json::json!([])), "{plan}");
    ok(&other, &["doctor"]);
    assert!(!home.exists(), "the restored home has nothing to do with the old one");
}

#[test]
fn a_backup_without_all_artifacts_is_no_success_and_doctor_misses_them() {
    let dir = tempfile::tempdir().unwrap();
    let (home, file) = (dir.path().join("home"), dir.path().join("b.zip"));
    fs::create_dir(&home).unwrap();
    let artifacts = dir.path().join("disk");
    fs::write(home.join("windlass.toml"), format!("artifact_dir = {:?}\n", artifacts)).unwrap();
    let each = ["run", "--each", "echo {{ item }} > {{ out }}/f", "--items", "a", "b"];
    let (code, out, err) = ended(windlass(&home, &each));
    assert_eq!(code, 0, "{out} {err}");
    assert_eq!(ended(windlass(&home, &["doctor"])).0, 0);
    // As if its disk was not mounted.
    fs::rename(&artifacts, dir.path().join("unplugged")).unwrap();
    let (code, out, err) = ended(windlass(&home, &["backup", &file.to_string_lossy()]));
    assert!(code == 1 && err.contains("2 artifacts could not be read"), "{code} {out} {err}");
    assert!(!out.contains("whole") && err.contains("artifact_dir"), "{out} {err}");
    let (code, out, err) = ended(windlass(&home, &["doctor"]));
    assert!(code != 0 && out.contains("2 artifacts can't be found"), "{code} {out} {err}");
    fs::remove_dir_all(&artifacts).unwrap();
    fs::rename(dir.path().join("unplugged"), &artifacts).unwrap();
    assert_eq!(ended(windlass(&home, &["backup", &file.to_string_lossy(), "--force"])).0, 0);
}
