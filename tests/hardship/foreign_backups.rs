//! Malicious backups: their contents reach no other home, and nothing runs that `restore` did not name.

use crate::{Ended, Place};
use sha2::Digest;
use std::{
    fs,
    io::{Read, Write},
    path::{Path, PathBuf},
};
use zip::{CompressionMethod, ZipArchive, ZipWriter, write::SimpleFileOptions};

/// Rewrites a backup with an engine database changed by these statements.
fn tampered(from: &Path, to: &Path, sql: &str) {
    let mut old = ZipArchive::new(fs::File::open(from).unwrap()).unwrap();
    let mut new = ZipWriter::new(fs::File::create(to).unwrap());
    let names: Vec<String> = old.file_names().map(|it| it.unwrap().into_owned()).collect();
    let mut read = |name: &str| {
        let mut bytes = Vec::new();
        old.by_name(name).unwrap().read_to_end(&mut bytes).unwrap();
        bytes
    };
    let mut manifest: serde_json::Value = serde_json::from_slice(&read("manifest.json")).unwrap();
    let mut write = |name: &str, bytes: &[u8]| {
        new.start_file(name, SimpleFileOptions::default().compression_method(CompressionMethod::Stored)).unwrap();
        new.write_all(bytes).unwrap();
    };
    for name in names.iter().filter(|it| *it != "manifest.json") {
        let mut bytes = read(name);
        if name == "engine.db.zst" {
            let path = to.with_extension("db");
            fs::write(&path, zstd::decode_all(&bytes[..]).unwrap()).unwrap();
            rusqlite::Connection::open(&path).unwrap().execute_batch(sql).unwrap();
            let plain = fs::read(&path).unwrap();
            bytes = zstd::encode_all(&plain[..], 3).unwrap();
            let files = manifest["files"].as_array_mut().unwrap();
            let entry = files.iter_mut().find(|it| it["name"] == **name).unwrap();
            entry["size"] = bytes.len().into();
            entry["plain"] = plain.len().into();
            entry["sha256"] = hex::encode(sha2::Sha256::digest(&bytes)).into();
        }
        write(name, &bytes);
    }
    write("manifest.json", &serde_json::to_vec(&manifest).unwrap());
    new.finish().unwrap();
}

/// The home of another person, whose backup is restored, and the new home.
struct Case {
    place: Place,
    new: PathBuf,
}

impl Case {
    fn new() -> Case {
        let place = Place::new();
        let new = place.path().join("new");
        Case { place, new }
    }

    fn home(&self) -> &str {
        self.new.to_str().unwrap()
    }

    fn in_new(&self, arguments: &[&str]) -> Ended {
        self.place.run(&[&["--home", self.new.to_str().unwrap()], arguments].concat())
    }

    /// Takes a backup, changes it, and restores it.
    fn restored(&self, sql: &str) -> Ended {
        self.place.ok(&["backup", "--force", "good.zip"]);
        tampered(&self.place.path().join("good.zip"), &self.place.path().join("evil.zip"), sql);
        let _ = fs::remove_dir_all(&self.new);
        self.in_new(&["restore", "evil.zip"])
    }

    /// The tables and columns of the restored home that contain a text.
    fn named(&self, text: &str) -> Vec<String> {
        let db = rusqlite::Connection::open(self.new.join("engine.db")).unwrap();
        let columns = "SELECT m.name, c.name FROM sqlite_schema m JOIN pragma_table_info(m.name) c
                        WHERE m.type = 'table' AND c.type = 'TEXT' ORDER BY m.name, c.name";
        let mut statement = db.prepare(columns).unwrap();
        let columns = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
        let columns: Vec<(String, String)> = columns.map(Result::unwrap).collect();
        let holds = |(table, column): &&(String, String)| {
            let sql = format!("SELECT count(*) FROM \"{table}\" WHERE instr(\"{column}\", ?1) > 0");
            db.query_row(&sql, [text], |row| row.get::<_, i64>(0)).unwrap() > 0
        };
        columns.iter().filter(holds).map(|(table, column)| format!("{table}.{column}")).collect()
    }
}

#[test]
fn a_restored_backup_deletes_no_document_of_another_home() {
    let case = Case::new();
    let theirs = Place::new();
    theirs.write("rope.md", "# Ropes\n\nHemp rots in salt water.\n");
    theirs.ok(&["ingest", "rope.md"]);
    let database = theirs.home().canonicalize().unwrap().join("vectors/default.db");
    let uri = format!("file://{}", theirs.path().canonicalize().unwrap().join("rope.md").display());
    case.place.write("own.md", "# Own\n\nAn anchor of our own.\n");
    case.place.ok(&["ingest", "own.md"]);
    let (there, up) = (database.display(), case.new.display());
    let removal = "INSERT INTO document_removal(database, source, uri, at, version, done) VALUES";
    let ended = case.restored(&format!(
        "{removal} ('{there}', 'default', '{uri}', 9996078723601, 0, 0);
         {removal} ('{up}/../{there}', 'default', '{uri}', 9996078723601, 0, 0);
         {removal} ('{there}', 'default', 'done', 1, 0, 1);
         INSERT INTO document(database, source, uri, sha256, size, mtime, params, updated)
           SELECT '{there}', source, 'x', sha256, size, mtime, params, updated FROM document LIMIT 1;
         INSERT INTO run_document(run_id, database, source, documents) SELECT id, '{there}', 'default', '[]' FROM run LIMIT 1;
         INSERT INTO resource_key(name) VALUES ('vec:{there}');
         UPDATE group_detail SET params = json_set(params, '$.store.path', '{there}');"
    ));
    assert!(ended.code == 0 && ended.err.contains(&there.to_string()), "{ended:?}");
    let run = case.in_new(&["worker", "--until-idle"]);
    assert_eq!(run.code, 0, "{run:?}");
    assert!(theirs.ok(&["search", "hemp", "--mode", "text"]).contains("salt water"), "it was deleted");
    assert_eq!(case.named(&format!("{there}")), ["resource_key.name"], "the key is known by another name");
    let key = rusqlite::Connection::open(case.new.join("engine.db")).unwrap();
    let keys = "SELECT count(*) FROM resource_key WHERE name LIKE 'vec:%' AND instr(name, ?1) > 0";
    assert_eq!(key.query_row(keys, [there.to_string()], |row| row.get::<_, i64>(0)).unwrap(), 0);
    // The home's own data has moved with it.
    assert!(case.in_new(&["search", "anchor", "--mode", "text"]).out.contains("of our own"));
    assert!(case.named(&case.place.home().display().to_string()).iter().all(|it| !it.ends_with(".database")));
    assert_eq!(case.in_new(&["doctor"]).code, 0);
}

#[test]
fn a_parameter_that_is_there_twice_names_one_database_only() {
    let case = Case::new();
    case.place.write("own.md", "# Own\n\nAn anchor of our own.\n");
    case.place.ok(&["ingest", "own.md"]);
    let twice = format!("{{\"store\":{{\"path\":\"{}/vectors/a.db\",\"path\":\"/theirs/b.db\"}}}}", case.home());
    let ended = case.restored(&format!("UPDATE group_detail SET params = '{twice}'"));
    assert!(ended.code == 0 && ended.err.contains("/theirs/b.db"), "{ended:?}");
    assert_eq!(case.named("/theirs/b.db"), Vec::<String>::new());
}

#[test]
fn a_group_that_writes_beyond_the_restored_home_waits_for_its_owner() {
    let case = Case::new();
    let far = case.place.path().canonicalize().unwrap().join("far");
    let (key, ran) = (format!("vec:{}/x.db", far.display()), case.place.path().join("ran"));
    let text =
        format!("id: keyed\nsteps:\n  - {{ name: write, run: 'touch {}', resource_key: '{key}' }}\n", ran.display());
    case.place.write("keyed.yaml", &text);
    case.place.write("plain.yaml", "id: plain\nsteps:\n  - { name: say, run: 'true' }\n");
    case.place.ok(&["submit", "keyed.yaml"]);
    case.place.ok(&["submit", "plain.yaml"]);
    let ended = case.restored("SELECT 1");
    assert!(ended.code == 0, "{ended:?}");
    for said in
        ["far/x.db", "1 group would write there and is paused: g1;", "1 group of the backup with 1 run will resume"]
    {
        assert!(ended.err.contains(said), "{said}: {ended:?}");
    }
    assert_eq!(case.in_new(&["worker", "--until-idle"]).code, 0);
    assert!(!ran.exists() && !far.exists(), "it did not wait");
    assert_eq!(case.in_new(&["doctor"]).code, 0);
    assert_eq!(case.in_new(&["resume", "g1"]).code, 0);
    assert_eq!(case.in_new(&["worker", "--until-idle"]).code, 0);
    assert!(ran.exists());
    // A group that waits for a server continues on its own, so it is named with the others.
    let waits = "UPDATE run_group SET paused = 1 WHERE id = 2; UPDATE group_detail SET paused_for = 'http://127.0.0.1:9' WHERE group_id = 2";
    let ended = case.restored(waits);
    assert!(ended.code == 0 && ended.err.contains("will resume") && ended.err.contains("g2 plain"), "{ended:?}");
}

#[test]
fn a_due_hook_of_a_group_that_is_not_at_work_does_not_run_after_a_restore() {
    let case = Case::new();
    let ran = case.place.path().join("ran");
    let hook = format!("hooks: {{ group_end: [{{ name: shout, run: 'touch {}' }}] }}\n", ran.display());
    case.place.write("hooked.yaml", &format!("id: hooked\nsteps:\n  - {{ name: say, run: 'true' }}\n{hook}"));
    case.place.ok(&["run", "hooked.yaml"]);
    fs::remove_file(&ran).unwrap();
    for due in [
        "",
        "INSERT INTO lease(step_id, token, worker, started, type_id, run_id, group_id, due, attempts)
           SELECT id, 1, 99, 1, type_id, run_id, group_id, due, 0 FROM step WHERE group_id < 0;
         INSERT INTO worker(id, identity, boot_id, version, schema, pools, registered)
           SELECT 99, 'null', '', '0', user_version, '{}', 1 FROM pragma_user_version;
         UPDATE step SET state = 0 WHERE group_id < 0;",
    ] {
        let due = format!(
            "UPDATE run_group SET ended = NULL, unfinished = 1 WHERE id < 0;
             UPDATE run SET ended = NULL, unfinished = 1 WHERE group_id < 0;
             UPDATE step SET state = 1, ended = NULL, attempts = 0, outcome = NULL WHERE group_id < 0; {due}"
        );
        let ended = case.restored(&due);
        assert!(ended.code == 0 && ended.err.contains("will not run: group_end shout of g"), "{due}: {ended:?}");
        assert_eq!(case.in_new(&["worker", "--until-idle"]).code, 0);
        assert!(!ran.exists(), "{due}");
    }
    // A hook of a group that continues belongs to that group.
    case.place.ok(&["submit", "hooked.yaml"]);
    let ended = case.restored("SELECT 1");
    assert!(ended.code == 0 && !ended.err.contains("will not run"), "{ended:?}");
    assert_eq!(case.in_new(&["worker", "--until-idle"]).code, 0);
    assert!(ran.exists());
}

#[test]
fn a_backup_whose_ended_group_has_a_step_that_could_be_claimed_is_refused() {
    let case = Case::new();
    let ran = case.place.path().join("ran");
    case.place.write("once.yaml", &format!("id: once\nsteps:\n  - {{ name: say, run: 'touch {}' }}\n", ran.display()));
    case.place.ok(&["run", "once.yaml"]);
    let more = "INSERT INTO step(id, run_id, group_id, no, type_id, state, priority, due, unmet)
                  SELECT id + 50, run_id, group_id, 0, type_id, 0, priority, due, 0 FROM step;
                INSERT INTO ready(queue, priority, due, step_id, type_id, run_id, group_id, scope, attempts)
                  SELECT 0, priority, due, id, type_id, run_id, group_id, 0, 0 FROM step WHERE id > 50;
                UPDATE counter SET value = 100;";
    let ended = case.restored(more);
    assert!(ended.code != 0 && ended.err.contains("its group has ended"), "{ended:?}");
    assert!(!case.new.join("engine.db").exists());
}
