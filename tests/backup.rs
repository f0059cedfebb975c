//! Backups: taken while work continues, verified, restored, and continued.

mod support {
    pub mod binary;
    pub mod plant;
}

use support::binary::Windlass;
use support::plant;

use plant::{open, submit_numbers, wait, worker};
use sha2::Digest;
use std::{
    collections::BTreeMap,
    fs,
    os::unix::fs::PermissionsExt,
    path::Path,
    process::Output,
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
    fs::write(home.join("windlass.toml"), "compression.level = 9\nartifact_dir = \"/elsewhere\"\n").unwrap();
    let engine = open(&home);
    let group = submit_numbers(&engine, WORK, 60);
    let working = worker(&engine, 4);
    let done = |engine: &Engine| {
        engine
            .store()
            .read(audit::steps)
            .unwrap()
            .iter()
            .filter(|it| it.state == windlass::model::StepState::Completed)
            .count()
    };
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
    assert!(restored.engine_id != restored.backup.engine_id && restored.settings_dropped == ["artifact_dir"]);
    let settings = fs::read_to_string(other.join("windlass.toml")).unwrap();
    assert!(settings.contains("level = 9") && settings.contains("# Removed"), "{settings}");
    assert_eq!(restored.will_run.iter().map(|it| it.group).collect::<Vec<_>>(), [group]);
    let again = open(&other);
    assert_sound(&again);
    let before = done(&again);
    assert!(before > 0 && before <= at_backup, "{before} of {at_backup}");
    let working = worker(&again, 4);
    assert_eq!(wait(&again, &working, group), Status::Completed);
    working.stop(Millis::seconds(10));
    assert_sound(&again);
    // The restored engine issues no token that the old one issued after the backup.
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
    assert_eq!(
        again
            .store()
            .read(audit::steps)
            .unwrap()
            .iter()
            .filter(|it| it.state == windlass::model::StepState::Completed)
            .count(),
        0
    );
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
        // A local header repeats the central directory. Only its length is read.
        if let Ok(checked) = &found {
            assert_eq!(checked, &backup::verify(&file, &|| true).unwrap());
            continue;
        }
        assert!(run(&restore(&file, &other)).is_err(), "byte {at}");
        assert!(!other.exists(), "byte {at}");
    }
    fs::write(&file, &whole[..whole.len() / 2]).unwrap();
    assert!(matches!(backup::verify(&file, &|| true), Err(Error::Damaged { .. })));
    let left: Vec<_> = fs::read_dir(dir.path()).unwrap().map(|it| it.unwrap().file_name()).collect();
    assert!(left.iter().all(|it| !it.to_string_lossy().starts_with(".windlass")), "{left:?}");
}

fn windlass(home: &Path, arguments: &[&str]) -> Windlass {
    let mut command = Windlass::on(home);
    command.args(arguments).env("WINDLASS_DURABILITY", "normal");
    command
}

fn ended(mut command: Windlass) -> (i32, String, String) {
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
    // Each restore is killed as soon as one of these exists: right after the mark, while unpacking, while moving in.
    for sign in ["restore.unfinished", ".restore", ".restore/engine.db-wal", "artifacts"] {
        let arguments = ["restore", &file.to_string_lossy()];
        let mut child = windlass(&other, &arguments).silent().spawn().unwrap();
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
    assert!(code == 5 && err.contains("already exists"), "{err}");
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
    // As if its disk were not mounted.
    fs::rename(&artifacts, dir.path().join("unplugged")).unwrap();
    let (code, out, err) = ended(windlass(&home, &["backup", &file.to_string_lossy()]));
    assert!(code == 1 && err.contains("2 artifacts could not be read"), "{code} {out} {err}");
    assert!(!out.contains("whole") && err.contains("artifact_dir"), "{out} {err}");
    let (code, out, err) = ended(windlass(&home, &["doctor"]));
    assert!(code != 0 && out.contains("2 artifacts missing"), "{code} {out} {err}");
    fs::remove_dir_all(&artifacts).unwrap();
    fs::rename(dir.path().join("unplugged"), &artifacts).unwrap();
    assert_eq!(ended(windlass(&home, &["backup", &file.to_string_lossy(), "--force"])).0, 0);
}

/// Rewrites a backup with each entry changed by `change`: its bytes, its compression, and its line in the manifest.
fn rewritten(from: &Path, to: &Path, change: impl Fn(&str, &mut Vec<u8>, &mut Listing)) {
    let mut old = zip::ZipArchive::new(fs::File::open(from).unwrap()).unwrap();
    let mut new = zip::ZipWriter::new(fs::File::create(to).unwrap());
    let read = |old: &mut zip::ZipArchive<fs::File>, name: &str| {
        let mut bytes = Vec::new();
        std::io::copy(&mut old.by_name(name).unwrap(), &mut bytes).unwrap();
        bytes
    };
    let mut manifest: serde_json::Value = serde_json::from_slice(&read(&mut old, "manifest.json")).unwrap();
    let names: Vec<String> = old.file_names().map(|it| it.unwrap().into_owned()).collect();
    for name in names.iter().filter(|it| *it != "manifest.json") {
        let mut bytes = read(&mut old, name);
        let mut listing = Listing { name: name.clone(), deflated: false, plain: None };
        let before = bytes.clone();
        change(name, &mut bytes, &mut listing);
        write_entry(&mut new, &listing.name, &bytes, listing.deflated);
        let entry = manifest["files"].as_array_mut().unwrap().iter_mut().find(|it| it["name"] == **name);
        if let Some(entry) = entry.filter(|_| bytes != before || listing.plain.is_some()) {
            entry["size"] = bytes.len().into();
            entry["plain"] = listing.plain.unwrap_or(bytes.len() as u64).into();
            entry["sha256"] = hex::encode(sha2::Sha256::digest(&bytes)).into();
        }
    }
    write_entry(&mut new, "manifest.json", &serde_json::to_vec(&manifest).unwrap(), false);
    new.finish().unwrap();
}

struct Listing {
    name: String,
    deflated: bool,
    plain: Option<u64>,
}

fn write_entry(zip: &mut zip::ZipWriter<fs::File>, name: &str, bytes: &[u8], deflated: bool) {
    let method = if deflated { zip::CompressionMethod::Deflated } else { zip::CompressionMethod::Stored };
    let options = zip::write::SimpleFileOptions::default().compression_method(method).large_file(true);
    zip.start_file(name, options).unwrap();
    std::io::Write::write_all(zip, bytes).unwrap();
}

/// A backup of a home with settings, parameter sets and a group that has not run.
fn backup_with(dir: &Path, settings: &str, params: &[(&str, &str)]) -> std::path::PathBuf {
    let (home, file) = (dir.join("home"), dir.join("b.zip"));
    fs::create_dir_all(home.join("params")).unwrap();
    let engine = open(&home);
    submit_numbers(&engine, WORK, 2);
    fs::write(home.join("windlass.toml"), settings).unwrap();
    params.iter().for_each(|(name, text)| fs::write(home.join("params").join(name), text).unwrap());
    backup::take(&engine, &file, &|| true).unwrap();
    engine.store().close();
    file
}

#[test]
fn a_backup_that_unpacks_to_more_than_it_says_is_refused_before_it_does() {
    let dir = tempfile::tempdir().unwrap();
    let file = backup_with(dir.path(), "keep = \"9d\"\n", &[("small.yaml", "id: small\n")]);
    let bomb = dir.path().join("bomb.zip");
    let zeros = 64 << 20;
    type Change = Box<dyn Fn(&str, &mut Vec<u8>, &mut Listing)>;
    let changes: [(&str, Change); 6] = [
        (
            "deflated settings",
            Box::new(move |name, bytes, it| {
                if name == "windlass.toml" {
                    (*bytes, it.deflated) = (vec![b' '; zeros], true);
                }
            }),
        ),
        (
            "large settings",
            Box::new(|name, bytes, _| {
                if name == "windlass.toml" {
                    *bytes = vec![b'\n'; 2 << 20];
                }
            }),
        ),
        (
            "a large parameter set",
            Box::new(|name, bytes, _| {
                if name == "params/small.yaml" {
                    *bytes = vec![b'\n'; 2 << 20];
                }
            }),
        ),
        ("a deflated artifact", Box::new(|name, _, it| it.deflated = name.starts_with("engine.db"))),
        (
            "a database that says it is small",
            Box::new(move |name, bytes, it| {
                if name == "engine.db.zst" {
                    *bytes = zstd::encode_all(&vec![0u8; zeros][..], 3).unwrap();
                    it.plain = Some(4_096);
                }
            }),
        ),
        (
            "a database that says it is larger than any disk",
            Box::new(|name, _, it| {
                it.plain = (name == "engine.db.zst").then_some(1 << 60);
            }),
        ),
    ];
    for (what, change) in changes {
        rewritten(&file, &bomb, change);
        let other = dir.path().join("other");
        for found in [backup::verify(&bomb, &|| true).err(), run(&restore(&bomb, &other)).err()] {
            let found = found.unwrap_or_else(|| panic!("{what} was accepted"));
            assert!(matches!(found, Error::Damaged { .. } | Error::DiskFull { .. }), "{what}: {found}");
        }
        let left = walked(&other);
        assert!(left < 1 << 20, "{what} left {left} bytes");
        let _ = fs::remove_dir_all(&other);
    }
    rewritten(&file, &bomb, |_, _, _| {});
    backup::verify(&bomb, &|| true).unwrap();
}

fn walked(dir: &Path) -> u64 {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    entries.map(|it| if it.path().is_dir() { walked(&it.path()) } else { it.metadata().unwrap().len() }).sum()
}

#[test]
fn a_restored_home_takes_over_no_setting_that_reaches_beyond_it() {
    let dir = tempfile::tempdir().unwrap();
    let original = dir.path().join("original");
    fs::create_dir(&original).unwrap();
    fs::write(original.join("precious"), "precious").unwrap();
    let settings = format!(
        "\"artifact_dir\" = {original:?}\n'listen' = \"0.0.0.0:9\"\n\"api\\u005ftoken\" = \"known\"\nsecrets_dir = \"/etc\"\n\
         trust_proxy_headers = [\"10.0.0.1\"]\nhosts = [\"evil\"]\napi_open = true\nread_open = true\nautostart = true\nkeep = \"9d\"\n\
         ballast = \"1TiB\"\ndisk_reserve = \"1TiB\"\nhttp.body = \"1TiB\"\npools = {{ \"*\" = 9000 }}\ncompression.level = 9\n"
    );
    let params = [
        ("plain.yaml", "id: plain\nconfig: { chunk: { size: 200 } }\n"),
        ("server.yaml", "id: server\nconfig: { embed: { url: \"http://evil:1\", model: m } }\n"),
        ("key.yml", "id: key\nconfig: { \"embed\": { \"key\": HOME } }\n"),
        ("docling.yaml", "id: docling\nconfig: { parse: { backend: docling, url: \"http://evil:1\" } }\n"),
        ("path.yaml", "id: path\nconfig: { store: { path: /var/lib/x.db } }\n"),
        ("broken.yaml", "id: [\n"),
    ];
    let file = backup_with(dir.path(), &settings, &params);
    let other = dir.path().join("other");
    let (code, out, err) = ended(windlass(&other, &["restore", &file.to_string_lossy(), "--json"]));
    assert_eq!(code, 0, "{err}");
    let restored: serde_json::Value = serde_json::from_str(&out).unwrap();
    let dropped = [
        "api_open",
        "api_token",
        "artifact_dir",
        "autostart",
        "ballast",
        "disk_reserve",
        "hosts",
        "http.body",
        "keep",
        "listen",
        "pools",
        "read_open",
        "secrets_dir",
        "trust_proxy_headers",
    ];
    assert_eq!(restored["settings_dropped"], serde_json::json!(dropped));
    let aside = ["broken.yaml", "docling.yaml", "key.yml", "path.yaml", "server.yaml"];
    assert_eq!(restored["params_set_aside"], serde_json::json!(aside));
    assert_eq!(restored["will_run"], serde_json::json!([{"group": 1, "name": "work", "runs": 2}]));
    let (_, out, _) = ended(windlass(&other, &["settings", "--json"]));
    let settings: serde_json::Value = serde_json::from_str(&out).unwrap();
    let of_file = |it: &&serde_json::Value| it["origin"].as_str().unwrap().contains("windlass.toml");
    let kept: Vec<_> =
        settings["settings"].as_array().unwrap().iter().filter(of_file).map(|it| it["name"].clone()).collect();
    assert_eq!(kept, ["compression.level"]);
    let (_, out, _) = ended(windlass(&other, &["list", "params", "--json"]));
    assert!(out.contains("\"plain\"") && !out.contains("server"), "{out}");
    assert_eq!(fs::read_dir(other.join("params")).unwrap().count(), params.len(), "nothing is lost");
    let (code, _, err) = ended(windlass(&other, &["prune", "--keep", "0s"]));
    assert!(code == 0 && original.join("precious").exists(), "{code} {err}");
    let again = dir.path().join("again");
    let (_, _, err) = ended(windlass(&again, &["restore", &file.to_string_lossy()]));
    for said in [
        "artifact_dir",
        "server.yaml.restored",
        "1 group of the backup with 2 runs will resume",
        "g1 work",
        "cancel g1",
    ] {
        assert!(err.contains(said), "{said}: {err}");
    }
}

#[test]
fn a_backup_whose_database_holds_a_trigger_is_not_restored() {
    let dir = tempfile::tempdir().unwrap();
    let file = backup_with(dir.path(), "", &[]);
    let evil = dir.path().join("evil.zip");
    rewritten(&file, &evil, |name, bytes, listing| {
        if name == "engine.db.zst" {
            let path = dir.path().join("copy.db");
            fs::write(&path, zstd::decode_all(&bytes[..]).unwrap()).unwrap();
            let trigger = "CREATE TRIGGER evil AFTER INSERT ON definition BEGIN UPDATE definition SET body = '{}'; END";
            rusqlite::Connection::open(&path).unwrap().execute_batch(trigger).unwrap();
            let plain = fs::read(&path).unwrap();
            listing.plain = Some(plain.len() as u64);
            *bytes = zstd::encode_all(&plain[..], 3).unwrap();
        }
    });
    let other = dir.path().join("other");
    for found in [backup::verify(&evil, &|| true).err(), run(&restore(&evil, &other)).err()] {
        assert!(found.is_some_and(|it| it.to_string().contains("trigger `evil`")));
    }
    assert!(!other.exists(), "a refused restore leaves nothing");
    fs::create_dir(&other).unwrap();
    fs::write(other.join("mine"), "mine").unwrap();
    assert!(run(&Restore { force: true, ..restore(&evil, &other) }).is_err());
    let left: Vec<_> = fs::read_dir(&other).unwrap().map(|it| it.unwrap().file_name()).collect();
    assert_eq!(left, ["mine"], "nor does it move anything");
}

#[test]
fn the_schedules_of_a_restored_home_start_nothing_until_they_are_resumed() {
    let dir = tempfile::tempdir().unwrap();
    let (home, other, file) = (dir.path().join("home"), dir.path().join("other"), dir.path().join("b.zip"));
    let inbox = dir.path().join("inbox");
    fs::create_dir(&inbox).unwrap();
    for (name, what) in
        [("often", "schedule: { every: 1s }"), ("watch", "on: { files: inbox }"), ("rests", "schedule: { every: 1s }")]
    {
        let path = dir.path().join(format!("{name}.yaml"));
        fs::write(&path, format!("id: {name}\n{what}\nsteps: [{{ name: a, uses: windlass/noop }}]\n")).unwrap();
        let added = ended(windlass(&home, &["schedule", "add", path.to_str().unwrap()]));
        assert_eq!(added.0, 0, "{}", added.2);
    }
    assert_eq!(ended(windlass(&home, &["schedule", "pause", "rests"])).0, 0);
    assert_eq!(ended(windlass(&home, &["backup", file.to_str().unwrap()])).0, 0);
    fs::write(inbox.join("came"), "x").unwrap();
    let (code, _, said) = ended(windlass(&other, &["restore", file.to_str().unwrap()]));
    assert_eq!(code, 0, "{said}");
    let paused = "2 schedules of the backup are paused, since the old home may still start them: often, watch; when it is gone, start them";
    assert!(said.contains(paused) && said.contains("windlass schedule resume often`"), "{said}");
    let engine = open(&other);
    let begun = engine.store().now();
    while engine.store().now().0 <= begun.0 + 1_000 {
        std::thread::yield_now();
    }
    assert!(!engine.fire_due_schedules().unwrap());
    let groups = || engine.store().read(audit::groups).unwrap().len();
    assert_eq!(groups(), 0);
    assert!(engine.resume_schedule("often").unwrap() && engine.resume_schedule("watch").unwrap());
    let worker = worker(&engine, 1);
    let deadline = Instant::now() + Duration::from_secs(30);
    let names = || engine.store().read(audit::groups).unwrap().into_iter().map(|it| it.name).collect::<Vec<_>>();
    while !["often", "watch"].iter().all(|it| names().iter().any(|name| name == it)) {
        assert!(Instant::now() < deadline, "{:?}", names());
        std::thread::yield_now();
    }
    worker.stop(Millis::seconds(5));
    assert_sound(&engine);
}
