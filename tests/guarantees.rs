//! The page of guarantees names tests, and each must exist. Also has tests for guarantees that no other test covers.

mod support {
    pub mod binary;
    pub mod house;
    pub mod needs;
}

use support::binary::{Running, Windlass, eventually, signal};
use support::house;
use support::needs::needs;

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};
use windlass::store::{Error, resource_key};

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

fn page() -> String {
    fs::read_to_string(Path::new(ROOT).join("docs/guarantees.md")).unwrap()
}

#[test]
fn every_test_and_script_that_the_page_names_exists() {
    let page = page();
    let mut count = 0;
    for word in page.split('`').skip(1).step_by(2) {
        let (path, name) = word.split_once("::").unwrap_or((word, ""));
        if !["src/", "tests/", "scripts/", "benches/"].iter().any(|it| path.starts_with(it)) {
            continue;
        }
        let path = path.split(' ').next().unwrap_or_default();
        let text = fs::read_to_string(Path::new(ROOT).join(path)).unwrap_or_else(|error| panic!("{path}: {error}"));
        let is_test = || text.lines().any(|it| it.trim().starts_with(&format!("fn {name}(")));
        assert!(name.is_empty() || is_test(), "{path} has no test `{name}`");
        count += 1;
    }
    assert!(count > 100, "only {count} are named");
}

/// The part of a source file that is built into the program: everything before its tests.
fn production(path: &Path) -> String {
    let text = fs::read_to_string(path).unwrap();
    text.split("#[cfg(test)]\nmod ").next().unwrap_or_default().to_string()
}

fn sources(dir: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => sources(&path, found),
            false if path.extension().is_some_and(|it| it == "rs") => found.push(path),
            false => (),
        }
    }
}

/// Names shared by so many functions that they identify none.
const COMMON: &[&str] =
    &["new", "name", "get", "of", "read", "run", "open", "check", "at", "all", "parse", "path", "start", "default"];

/// The names of a file's public functions.
fn shown(text: &str) -> Vec<&str> {
    let functions =
        text.lines().filter(|line| line.trim_start().starts_with("pub")).filter_map(|line| line.split_once("fn "));
    functions
        .map(|(_, rest)| rest.split(|it: char| !it.is_alphanumeric() && it != '_').next().unwrap_or_default())
        .collect()
}

#[test]
fn evidence_from_a_unit_test_is_of_code_that_something_else_calls() {
    let root = Path::new(ROOT);
    let mut all = Vec::new();
    sources(&root.join("src"), &mut all);
    let texts: Vec<(PathBuf, String)> = all
        .into_iter()
        .filter(|path| !path.ends_with("tests.rs"))
        .map(|path| (path.clone(), production(&path)))
        .collect();
    let is_called = |file: &Path| {
        // A file with only tests covers the file or directory next to it.
        let about = |path: &Path| match file.ends_with("tests.rs") {
            true => path.starts_with(file.parent().unwrap()) || path == file.parent().unwrap().with_extension("rs"),
            false => path == file,
        };
        let mut names: Vec<&str> =
            texts.iter().filter(|(path, _)| about(path)).flat_map(|(_, text)| shown(text)).collect();
        if names.iter().any(|name| !COMMON.contains(name)) {
            names.retain(|name| !COMMON.contains(name));
        }
        let others = texts.iter().filter(|(path, _)| !about(path));
        let is_word = |it: char| it.is_alphanumeric() || it == '_';
        others.flat_map(|(_, text)| text.split(|it| !is_word(it))).any(|word| names.contains(&word))
    };
    let page = page();
    let named = page.split('`').skip(1).step_by(2).filter_map(|word| word.split_once("::"));
    let unit: Vec<PathBuf> =
        named.map(|(path, _)| path).filter(|path| path.starts_with("src/")).map(|it| root.join(it)).collect();
    assert!(unit.len() > 10, "only {} are named", unit.len());
    let idle: Vec<&PathBuf> = unit.iter().filter(|path| !is_called(path)).collect();
    assert!(idle.is_empty(), "tests of code that nothing calls are no evidence: {idle:?}");
}

#[test]
fn every_sentence_has_evidence() {
    let page = page();
    let wanted = [(1, 9), (2, 11), (4, 5), (5, 9), (6, 6), (7, 7), (8, 5), (10, 5)];
    let numbers = wanted.iter().flat_map(|(chapter, last)| (1..=*last).map(move |it| format!("{chapter}.{it}")));
    for number in numbers.chain(["9".into(), "11".into()]).chain((1..=5).map(|it| format!("Flow 1.{it}"))) {
        let row = page.lines().find(|it| it.starts_with(&format!("| {number} |")));
        assert!(row.is_some_and(|it| it.contains("::")), "{number} has no evidence");
    }
}

#[test]
fn a_database_has_the_pragmas_that_are_promised() {
    let book = house::Book::new();
    let raw = rusqlite::Connection::open(book.store.path()).unwrap();
    let number = |name: &str| raw.pragma_query_value(None, name, |row| row.get::<_, i64>(0)).unwrap();
    assert_eq!(raw.pragma_query_value(None, "journal_mode", |row| row.get::<_, String>(0)).unwrap(), "wal");
    assert_eq!(number("auto_vacuum"), 2);
    assert_eq!(number("user_version"), windlass::store::SCHEMA_VERSION);
    assert_eq!(number("application_id"), 0x7764_6c73);
    assert!(rusqlite::version_number() >= 3_051_003);
    let loose: i64 = raw
        .query_row(
            "SELECT count(*) FROM pragma_table_list WHERE schema = 'main' AND type = 'table' AND strict = 0
            AND name NOT LIKE 'sqlite_%'",
            [],
            |row| row.get(0),
        )
        .unwrap();
    assert_eq!(loose, 0, "tables that are not STRICT");
}

#[test]
fn a_read_ends_with_its_call() {
    let book = house::Book::new();
    let _watch = book.store.watch().unwrap();
    book.submit(&house::chain(&["a"]), &["x", "y"]);
    book.check();
    let raw = rusqlite::Connection::open(book.store.path()).unwrap();
    let (busy, left): (i64, i64) =
        raw.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
    assert_eq!((busy, left), (0, 0), "somebody still reads");
}

#[test]
fn who_waits_for_a_writer_that_stands_still_is_told_its_process() {
    let book = house::Book::new();
    let room = book.directory.path().join("engine.write.lock");
    if !needs("flock") {
        return;
    }
    let mut holder = Command::new("flock").arg(&room).args(["sleep", "60"]).spawn().unwrap();
    let patience = Duration::from_millis(300);
    let options = windlass::store::Options { patience, ..windlass::store::Options::new(book.store.path()) };
    eventually("the lock is held", || {
        matches!(windlass::os::FileLock::probe(&room), Ok(windlass::os::LockState::Held))
    });
    let store = windlass::store::Store::open(&options, book.clock.clone()).unwrap();
    store.read(windlass::store::worker::list).unwrap();
    let error = store.write(|tx| resource_key::intern(tx, "meanwhile")).unwrap_err();
    assert!(matches!(error, Error::Busy { .. }), "{error}");
    assert!(error.to_string().contains(&format!("process {}", holder.id())), "{error}");
    assert!(error.hint().is_some());
    let children = fs::read_to_string(format!("/proc/{0}/task/{0}/children", holder.id())).unwrap();
    let sleeper = children.split_whitespace().next().unwrap().to_string();
    holder.kill().unwrap();
    holder.wait().unwrap();
    assert!(Command::new("kill").arg(sleeper).status().unwrap().success());
    book.store.write(|tx| resource_key::intern(tx, "after")).unwrap();
}

#[test]
fn a_writer_that_was_kept_out_finds_out_by_itself_that_it_can_write_again() {
    let book = house::Book::new();
    let patience = Duration::from_millis(100);
    let options = windlass::store::Options { patience, ..windlass::store::Options::new(book.store.path()) };
    let store = windlass::store::Store::open(&options, book.clock.clone()).unwrap();
    // A program that does not use the turnstile.
    let stranger = rusqlite::Connection::open(book.store.path()).unwrap();
    stranger.execute_batch("BEGIN IMMEDIATE").unwrap();
    let error = store.write(|tx| resource_key::intern(tx, "meanwhile")).unwrap_err();
    assert!(matches!(error, Error::Busy { holder: None, .. }), "{error}");
    assert_eq!(store.pulse().failure, Some(windlass::store::WriteFailure::Busy));
    stranger.execute_batch("ROLLBACK").unwrap();
    eventually("it has found out", || store.pulse().failure.is_none());
}

/// A home directory, and the processes that work in it, which are killed with it.
struct Place {
    dir: tempfile::TempDir,
    workers: Vec<Running>,
}

impl Place {
    fn new(workflow: &str) -> Place {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("it.yaml"), workflow).unwrap();
        Place { dir, workers: Vec::new() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn command(&self, arguments: &[&str]) -> Windlass {
        let mut command = Windlass::on(self.path("home"));
        command.args(arguments).current_dir(self.dir.path());
        command.env("WINDLASS_HEARTBEAT", "200ms").env("WINDLASS_SILENT_AFTER", "1s").env("WINDLASS_LOCK_TTL", "2s");
        command
    }

    #[track_caller]
    fn ok(&self, arguments: &[&str]) -> String {
        let done = self.command(arguments).output().unwrap();
        assert!(done.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&done.stderr));
        String::from_utf8_lossy(&done.stdout).into_owned()
    }

    /// Starts a worker and returns its process.
    fn worker(&mut self) -> u32 {
        let child = self.command(&["worker", "--pool", "*=1"]).silent().spawn();
        self.workers.push(child.unwrap());
        self.workers.last().unwrap().id()
    }

    fn lines(&self, name: &str) -> usize {
        fs::read_to_string(self.path(name)).unwrap_or_default().lines().count()
    }
}

const PATIENT: &str = "id: it
steps: [{ name: a, resource_key: 'k', run: 'mkdir alone && echo x >> begun && until test -e go; do sleep 0.02; done; rmdir alone' }]
";

#[test]
fn a_worker_that_stood_still_for_long_has_lost_its_lease_and_starts_anew() {
    let mut place = Place::new(
        &PATIENT.replace("resource_key: 'k', ", "").replace("mkdir alone && ", "").replace("; rmdir alone", ""),
    );
    place.ok(&["submit", "it.yaml", "--items", "x"]);
    let first = place.worker();
    eventually("it begins", || place.lines("begun") == 1);
    let second = place.worker();
    eventually("both are there", || place.ok(&["list", "workers"]).lines().count() == 3);
    signal(first, "STOP");
    // Ten times as long as a worker may be silent.
    let stopped = Instant::now();
    eventually("the other takes its step", || place.lines("begun") == 2);
    println!("its step ran elsewhere {:?} after it stood still", stopped.elapsed());
    fs::write(place.path("go"), "").unwrap();
    eventually("the group ends", || place.ok(&["list", "groups"]).contains("COMPLETED"));
    eventually("ten thresholds have passed", || stopped.elapsed() > Duration::from_secs(10));
    signal(first, "CONT");
    eventually("it is there under a new number", || place.ok(&["list", "workers"]).contains("w3"));
    let events = place.ok(&["events", "--json"]);
    assert_eq!(events.matches("\"STEP_END\"").count(), 1, "{events}");
    assert_eq!(events.matches("\"GROUP_END\"").count(), 1, "{events}");
    // It continues to work.
    signal(second, "TERM");
    place.ok(&["submit", "it.yaml", "--items", "y"]);
    eventually("it works", || place.ok(&["list", "groups"]).matches("COMPLETED").count() == 2);
}

#[test]
fn a_key_is_not_handed_on_while_its_holder_stands_still() {
    let mut place = Place::new(PATIENT);
    place.ok(&["submit", "it.yaml", "--items", "x", "y"]);
    let first = place.worker();
    eventually("it begins", || place.lines("begun") == 1);
    place.worker();
    signal(first, "STOP");
    let stopped = Instant::now();
    // Its command is still running and holds the lock.
    eventually("three thresholds have passed", || stopped.elapsed() > Duration::from_secs(3));
    assert_eq!(place.lines("begun"), 1, "another began while the command of the first still ran");
    signal(first, "CONT");
    fs::write(place.path("go"), "").unwrap();
    eventually("the group ends", || place.ok(&["list", "groups"]).contains("COMPLETED"));
}

#[test]
fn four_deaths_of_the_engine_quarantine_nothing() {
    let mut place = Place::new(
        "id: it
steps:
  - { name: a, run: 'echo x >> begun; until test -e go; do sleep 0.02; done' }
  - { name: b, uses: windlass/noop }
",
    );
    place.ok(&["submit", "it.yaml", "--items", "x"]);
    for death in 1..=4 {
        let worker = place.worker();
        eventually("it begins", || place.lines("begun") == death);
        signal(worker, "KILL");
    }
    fs::write(place.path("go"), "").unwrap();
    place.ok(&["worker", "--until-idle"]);
    assert!(place.ok(&["list", "groups"]).contains("COMPLETED"));
    let steps: serde_json::Value = serde_json::from_str(&place.ok(&["list", "steps", "--json"])).unwrap();
    for step in steps["steps"].as_array().unwrap() {
        assert_eq!(step["attempts"], 1, "{step}");
    }
}

#[test]
fn an_idle_worker_writes_nothing() {
    let mut place = Place::new("id: it\nsteps: [{ name: a, run: 'true' }]\n");
    let worker = place.worker();
    place.ok(&["submit", "it.yaml", "--items", "x", "y"]);
    eventually("the group ends", || place.ok(&["list", "groups"]).contains("COMPLETED"));
    let field = |name: &str| -> u64 {
        let text = fs::read_to_string(format!("/proc/{worker}/io")).unwrap();
        text.lines().find_map(|it| it.strip_prefix(name)?.trim().parse().ok()).unwrap()
    };
    // After a second without writes, the log is emptied once.
    let (mut writes, mut since) = (field("syscw:"), Instant::now());
    eventually("three seconds without a write", || {
        if field("syscw:") != writes {
            (writes, since) = (field("syscw:"), Instant::now());
        }
        since.elapsed() > Duration::from_secs(3)
    });
    let log = fs::metadata(place.path("home/engine.db-wal")).map_or(0, |it| it.len());
    assert_eq!(log, 0, "the log was not emptied");
}

#[test]
fn hostile_names_and_links_stay_where_they_belong() {
    let long = "n".repeat(250);
    let script = format!(
        "cd {{{{ out }}}}; echo 1 > ./-rf; echo 2 > '..x'; echo 3 > '{long}'; mkdir -p 'd/...'; echo 4 > 'd/.../f'; \
         echo 5 > 'a b;$(touch pwned)'; ln -s ./-rf inside"
    );
    let text = serde_json::json!({"id": "it", "steps": [
        {"name": "a", "run": script},
        {"name": "b", "run": "cd {{ inputs.a.dir }}; find . -type f | LC_ALL=C sort; find . ! -type f ! -type d"},
    ]});
    let place = Place::new(&text.to_string());
    place.ok(&["run", "it.yaml", "--items", "../x"]);
    let seen = place.ok(&["logs", "s2"]);
    for name in ["./-rf", "./..x", &format!("./{long}"), "./d/.../f", "./a b;$(touch pwned)"] {
        assert!(seen.contains(name), "{name} is missing: {seen}");
    }
    assert!(seen.contains("./inside"), "the link is missing: {seen}");
    assert!(!place.path("pwned").exists());
    // Links and special files are refused by name.
    for (name, make) in [
        ("link", "ln -s /etc/passwd link"),
        ("root", "ln -s / root"),
        ("pipe", "mkfifo pipe"),
        ("up", "mkdir d; ln -s ../.. d/up"),
    ] {
        let step = serde_json::json!({"name": "a", "run": format!("cd {{{{ out }}}}; {make}")});
        fs::write(place.path("it.yaml"), serde_json::json!({"id": "it", "steps": [step]}).to_string()).unwrap();
        let done = place.command(&["run", "it.yaml", "--items", "x"]).output().unwrap();
        assert_eq!(done.status.code(), Some(3), "{make}");
        let said = String::from_utf8_lossy(&done.stdout);
        assert!(said.contains(&format!("{name}`")), "{make}: {said}");
    }
    // A name that is not text is refused by name.
    let text =
        serde_json::json!({"id": "it", "steps": [{"name": "a", "run": "cd {{ out }}; : > \"$(printf 'x\\377')\""}]});
    fs::write(place.path("it.yaml"), text.to_string()).unwrap();
    let done = place.command(&["run", "it.yaml", "--items", "x"]).output().unwrap();
    assert_eq!(done.status.code(), Some(3));
    assert!(String::from_utf8_lossy(&done.stdout).contains("not UTF-8"), "{done:?}");
}
