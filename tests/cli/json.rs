//! docs/json.md and the output of `--json` agree: every command is run in homes with something to print, and every
//! document is checked against its type.

use super::{Ended, Place, lines_of_json};
use crate::support::binary::{Running, Windlass};
use crate::support::needs::needs;
use notation::Page;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use std::{
    collections::BTreeSet,
    fs,
    io::{BufRead, BufReader},
    path::Path,
    time::{Duration, Instant},
};
use windlass::model::{AttemptOutcome, EventKind};

#[path = "json/notation.rs"]
mod notation;

const PAGE: &str = include_str!("../../docs/json.md");

/// Produces a file, a link, a value and a remark; fails for one item, and so do its hooks.
const GREET: &str = r#"
id: greet
name: Greetings
steps:
  - name: make
    run: 'echo hi > {{ out }}/greeting; ln -s greeting {{ out }}/link; echo oops >&2; printf "{\"remark\": \"%s\"}" {{ params.word }}; test {{ item }} != bad'
    env: { WHO: ann }
    resource_key: "greet:{{ item }}"
hooks:
  item_failed: [{ name: tell, run: "exit 1" }]
  step_failed: [{ name: tell, run: "exit 1" }]
"#;

/// Two steps of one key, and a worker process.
const GATE: &str = r#"
id: gate
workers: { py: { command: [python3, worker.py], size: 1, limits: { rss: 1GiB, fds: 200, age: 10m } } }
steps:
  - { name: hold, run: 'echo begun; touch {{ item }}.began; until [ -e go ]; do sleep 0.05; done', resource_key: shared }
  - { name: serve, worker: py, needs: [], resources: { gate: 1 }, rate: { begins: 9/1h } }
  - { name: after, uses: windlass/noop, needs: [hold, serve] }
"#;

const WORKER: &str = "import os, time
from windlass_worker import run, step
@step('serve')
def serve(ctx):
    while not os.path.exists('go'):
        time.sleep(0.05)
run()
";

/// The documents printed so far, in one home after another, compared with the page.
struct Reading {
    place: Place,
    page: Page,
    read: BTreeSet<String>,
    home: &'static str,
}

impl Reading {
    fn command(&self, arguments: &[&str]) -> Windlass {
        let mut command = self.place.command(arguments);
        command.env("XDG_DATA_HOME", self.place.path().join("data")).env("HOME", self.place.path());
        command.env("WINDLASS_HOME", self.place.path().join(self.home)).env("WINDLASS_DURABILITY", "normal");
        command.arg("--json");
        command
    }

    /// Runs what the page calls `command`, and returns its documents.
    #[track_caller]
    fn ends(&mut self, command: &str, arguments: &[&str], code: i32) -> Vec<Value> {
        let ended = self.command(arguments).run();
        self.hold(command, ended, code)
    }

    #[track_caller]
    fn hold(&mut self, command: &str, ended: Ended, code: i32) -> Vec<Value> {
        assert_eq!(ended.code, code, "{command}: {} {}", ended.out, ended.err);
        let documents = lines_of_json(&ended.out);
        documents.iter().for_each(|it| self.page.hold(command, it));
        self.read.insert(command.to_string());
        documents
    }

    #[track_caller]
    fn reads(&mut self, command: &str, arguments: &[&str]) -> Value {
        self.ends(command, arguments, 0).pop().unwrap_or_default()
    }

    fn start(&self, arguments: &[&str]) -> Running {
        self.command(arguments).piped().spawn().unwrap()
    }

    #[track_caller]
    fn until(&mut self, what: &str, mut is: impl FnMut(&mut Reading) -> bool) {
        let deadline = Instant::now() + Duration::from_secs(60);
        while !is(self) {
            assert!(Instant::now() < deadline, "it never came that {what}");
            std::thread::yield_now();
        }
    }

    fn path(&self, name: &str) -> String {
        self.place.path().join(name).to_string_lossy().into_owned()
    }
}

#[test]
fn the_page_on_json_has_what_is_printed_and_nothing_else() {
    if !needs("python3") {
        return;
    }
    let page = Page::read(PAGE);
    let mut reading = Reading { place: Place::new(), page, read: BTreeSet::new(), home: "home" };
    let it = &mut reading;
    homes(it);
    groups(it);
    skipping(it);
    repairing(it);
    asking(it);
    children(it);
    sharing(it);
    learning(it);
    schedules(it);
    waiting(it);
    running(it);
    ended_and_pruned(it);
    documents(it);
    vectors(it);
    locks(it);
    keeping(it);
    serving(it);
    proving(it);
    let commands: BTreeSet<String> = it.page.commands.keys().cloned().collect();
    let missing: Vec<_> = commands.difference(&it.read).collect();
    assert!(missing.is_empty(), "the page has commands that were not run: {missing:?}");
    let never = it.page.never_seen();
    assert!(never.is_empty(), "the page has fields that were never printed: {never:#?}");
}

fn homes(it: &mut Reading) {
    fs::create_dir_all(it.place.path().join("project")).unwrap();
    it.reads("init", &["init", "project"]);
    it.reads("trust", &["trust", "project"]);
    let list = it.reads("trust --list", &["trust", "--list"]);
    assert_eq!(list["trusted"].as_array().unwrap().len(), 1, "{list}");
    it.reads("trust", &["trust", "project", "--remove"]);
    let refused = it.command(&["show", "g99"]).run();
    assert_eq!(refused.code, 4);
    it.page.hold_type("Failed", &serde_json::from_str(&refused.err).unwrap());
    let refused = it.command(&["run"]).run();
    it.page.hold_type("Failed", &serde_json::from_str(&refused.err).unwrap());
}

fn groups(it: &mut Reading) {
    it.place.write("greet.yaml", GREET);
    let greet =
        |more: &[&'static str]| [&["greet.yaml", "--items", "good", "bad", "--param", "word=hello"], more].concat();
    it.reads("run --dry-run", &[&["run", "--dry-run"], &greet(&[])[..]].concat());
    it.reads("submit --dry-run", &[&["submit", "--dry-run"], &greet(&[])[..]].concat());
    it.ends("run", &[&["run"], &greet(&["--key", "k"])[..]].concat(), 3);
    let shown = it.reads("show g12", &["show", "g1"]);
    assert_eq!(shown["failed_hooks"].as_array().map(Vec::len), Some(2), "{shown}");
    it.reads("show r34", &["show", "r1"]);
    let run = it.reads("show r34", &["show", "r2"]);
    assert!(run["reason"].is_string(), "{run}");
    it.reads("show s56", &["show", "s1"]);
    it.reads("show s56", &["show", "s2"]);
    it.reads("show NAME", &["show", "greet"]);
    it.reads("why", &["why", "g1"]);
    it.ends("wait", &["wait", "g1"], 3);
    assert!(it.ends("logs", &["logs", "g1"], 0).len() >= 3);
    assert!(it.ends("events", &["events"], 0).len() > 5);
    assert_eq!(it.ends("export", &["export", "g1"], 0).len(), 2);
    it.reads("list definitions", &["list", "definitions"]);
    it.reads("list params", &["list", "params"]);
    it.reads("submit", &[&["submit"], &greet(&[])[..]].concat());
    // The runs and steps before these are those of the hooks.
    it.reads("cancel", &["cancel", "s5"]);
    it.reads("cancel", &["cancel", "r6"]);
    it.reads("retry", &["retry", "g1"]);
    it.reads("cancel", &["cancel", "g1"]);
    it.ends("wait", &["wait", "g1", "g2"], 6);
}

/// In its own home: a step that its condition skips, and one that may fail.
fn skipping(it: &mut Reading) {
    it.home = "skipping";
    let flow =
        "id: skip\nsteps: [{ name: a, run: 'exit 1', allow_failure: true }, { name: b, when: item == 'y', run: x }]\n";
    it.place.write("skip.yaml", flow);
    it.ends("run", &["run", "skip.yaml", "--items", "x"], 0);
    let why = it.reads("why", &["why", "s2"]);
    assert_eq!(why["steps"][0]["facts"]["skipped"]["when"], "item == 'y'", "{why}");
    assert_eq!(it.reads("show r34", &["show", "r1"])["allowed_failures"], 1);
    assert_eq!(it.reads("list steps", &["list", "steps", "--group", "g1", "--status", "skipped"])["steps"][0]["id"], 2);
    it.home = "home";
}

/// In a home of its own: a group that waits for another, and one whose runs have two versions of their workflow.
fn repairing(it: &mut Reading) {
    it.home = "repaired";
    let flow = "id: flow\nconcurrency: one\nsteps: [{ name: a, run: 'test {{ item }} != bad' }]";
    it.place.write("repair.yaml", flow);
    it.ends("run", &["run", "repair.yaml", "--items", "bad", "good"], 3);
    it.place.write("repair.yaml", &flow.replace("!= bad", "!= worse"));
    assert_eq!(it.reads("retry", &["retry", "g1"])["changed_file"], "repair.yaml");
    it.reads("submit", &["submit", "repair.yaml", "--items", "good"]);
    assert_eq!(it.reads("list groups", &["list", "groups"])["groups"][0]["waits_for"], 1);
    assert_eq!(it.reads("why", &["why", "g2"])["steps"][0]["facts"]["group_behind"]["group"], 1);
    it.ends("run", &["run", "--resume", "g1"], 3);
    it.reads("retry", &["retry", "g1", "--with", "repair.yaml"]);
    assert_eq!(it.reads("show g12", &["show", "g1"])["definitions"][1]["runs"], 1);
    it.home = "home";
}

/// Steps that wait for people and signals.
fn asking(it: &mut Reading) {
    it.home = "asking";
    let flow = "id: ask\nsteps:\n  - { name: ask, approve: { ask: 'Go {{ item }}?', within: 7d } }\n  - { name: go, signal: go }\n";
    it.place.write("ask.yaml", flow);
    it.reads("submit", &["submit", "ask.yaml", "--items", "a", "b"]);
    it.reads("worker", &["worker", "--until-idle"]);
    let listed = it.reads("list waiting", &["list", "waiting"]);
    assert_eq!(listed["waiting"][0]["ask"], "Go a?");
    assert_eq!(it.reads("list waiting", &["list", "waiting", "--limit", "1"])["next"], 1);
    assert_eq!(it.reads("why", &["why", "s1"])["steps"][0]["facts"]["waits"]["within"], "7d");
    it.reads("list groups", &["list", "groups"]);
    it.reads("status", &["status"]);
    it.reads("approve", &["approve", "s1", "--by", "anna", "--value", "[1]"]);
    it.reads("reject", &["reject", "s3", "--reason", "no"]);
    it.reads("signal", &["signal", "r1", "go", "--value", "2"]);
    it.reads("worker", &["worker", "--until-idle"]);
    it.reads("show s56", &["show", "s1"]);
    it.reads("show s56", &["show", "s3"]);
    it.home = "home";
}

/// In its own home: a step that waits for its child runs, one at a time.
fn children(it: &mut Reading) {
    it.home = "children";
    it.place.write(
        "fan.yaml",
        "id: fan\nsteps:\n  - { name: each, for_each: '[\"a\", \"b\"]', at_most: 1, run: 'until test -e fan.go; do sleep 0.05; done' }\n",
    );
    let child = it.start(&["run", "fan.yaml"]);
    it.until("a run below has begun", |it| {
        let listed = it.command(&["list", "steps", "--group", "g2", "--status", "running"]).run();
        listed.code == 0 && lines_of_json(&listed.out)[0]["steps"].as_array().is_some_and(|it| !it.is_empty())
    });
    let why = it.reads("why", &["why", "s1"]);
    assert_eq!(why["steps"][0]["facts"]["children"]["at_most"], 1, "{why}");
    it.reads("show s56", &["show", "s1"]);
    assert_eq!(it.reads("show g12", &["show", "g1"])["below"][0]["group"], 2);
    it.reads("show g12", &["show", "g2"]);
    it.reads("list groups", &["list", "groups", "--all"]);
    let steps = it.reads("list steps", &["list", "steps", "--group", "g2"])["steps"].clone();
    for step in steps.as_array().unwrap() {
        it.reads("why", &["why", &format!("s{}", step["id"])]);
    }
    it.place.write("fan.go", "");
    it.hold("run", Ended::of(child.wait_with_output().unwrap()), 0);
    it.home = "home";
}

/// In its own home: steps that wait for a rate, one behind the other.
fn sharing(it: &mut Reading) {
    it.home = "sharing";
    it.place.write("calls.yaml", "id: calls\nsteps: [{ name: call, rate: { calls: 1/1h }, run: 'true' }]\n");
    let child = it.start(&["run", "calls.yaml", "--items", "a", "b", "c"]);
    it.until("the first has run", |it| {
        let listed = it.command(&["list", "steps", "--group", "g1", "--status", "completed"]).run();
        listed.code == 0 && lines_of_json(&listed.out)[0]["steps"].as_array().is_some_and(|it| !it.is_empty())
    });
    it.reads("why", &["why", "s2"]);
    it.reads("why", &["why", "s3"]);
    it.reads("list resources", &["list", "resources"]);
    it.reads("cancel", &["cancel", "g1"]);
    it.hold("run", Ended::of(child.wait_with_output().unwrap()), 6);
    it.home = "home";
}

/// In a home of its own that learns: a large and a small request for a resource that another step holds, and what was learnt of the
/// one that has ended.
fn learning(it: &mut Reading) {
    it.home = "learning";
    let flow = "id: lines
capacity: { slot: 2 }
steps:
  - { name: holds, resources: { slot: 2 }, run: 'until test -e lines.go; do sleep 0.05; done' }
  - { name: large, needs: [], resources: { slot: 2 }, run: 'true' }
  - { name: small, needs: [], resources: { slot: 1 }, run: 'true' }
  - { name: stays, needs: [large, small], run: 'until test -e lines.end; do sleep 0.05; done' }
";
    it.place.write("lines.yaml", flow);
    let mut run = it.command(&["run", "lines.yaml", "--pool", "*=4"]);
    let child = run.env("WINDLASS_LEARN", "true").piped().spawn().unwrap();
    let behind = |it: &mut Reading, step: &str| {
        let why = it.command(&["why", step]).run();
        why.code == 0 && lines_of_json(&why.out)[0]["steps"][0]["facts"]["lacks"]["behind"].is_i64()
    };
    it.until("one of two requests waits behind the other", |it| behind(it, "s2") || behind(it, "s3"));
    it.reads("why", &["why", "s2"]);
    it.reads("why", &["why", "s3"]);
    let listed = it.reads("list resources", &["list", "resources"]);
    let slot = listed["resources"].as_array().unwrap().iter().find(|it| it["name"] == "slot").unwrap();
    assert!(slot["first"].is_i64() && slot["holders"][0]["units"] == 2, "{slot}");
    assert_eq!(it.reads("status", &["status"])["resources"][0]["name"], "slot");
    it.place.write("lines.go", "");
    it.until("something was learnt", |it| {
        let types = it.reads("list types", &["list", "types"]);
        types["types"].as_array().unwrap().iter().any(|it| it["reserves"].is_i64())
    });
    it.place.write("lines.end", "");
    it.hold("run", Ended::of(child.wait_with_output().unwrap()), 0);
    it.home = "home";
}

fn schedules(it: &mut Reading) {
    it.home = "schedules";
    it.place.write(
        "tick.yaml",
        "id: tick\nschedule: { cron: '0 2 * * *', zone: UTC }\nsteps: [{ name: a, run: 'true' }]\n",
    );
    assert_eq!(
        it.reads("schedule add FILE", &["schedule", "add", "tick.yaml"])["upcoming"].as_array().unwrap().len(),
        5
    );
    it.reads("schedule run NAME", &["schedule", "run", "tick"]);
    let past = &["schedule", "backfill", "tick", "--from", "2026-01-01", "--to", "2026-01-03"];
    assert_eq!(it.reads("schedule backfill NAME", past)["firings"].as_array().unwrap().len(), 2);
    assert_eq!(it.reads("schedule show NAME", &["schedule", "show", "tick"])["firings"][0]["state"], "started");
    it.reads("schedule pause", &["schedule", "pause", "tick"]);
    it.reads("schedule", &["schedule"]);
    it.reads("schedule list", &["schedule", "list"]);
    it.reads("schedule resume", &["schedule", "resume", "tick"]);
    it.reads("schedule remove", &["schedule", "remove", "tick"]);
    let inbox = "id: inbox\non: { files: in }\nsteps: [{ name: a, run: 'true' }]\n";
    it.place.write("inbox.yaml", inbox);
    let added = it.reads("schedule add FILE", &["schedule", "add", "inbox.yaml"]);
    assert_eq!(added["watch"]["match"], serde_json::json!(["*"]));
    it.reads("schedule show NAME", &["schedule", "show", "inbox"]);
    it.home = "home";
}

/// Two runs without a worker, and one that will be retried in an hour.
fn waiting(it: &mut Reading) {
    it.place.write("gate.yaml", GATE);
    it.place.write("worker.py", WORKER);
    it.place.write("windlass_worker.py", &it.place.ok(&["worker", "sdk", "python"]));
    it.reads("submit", &["submit", "gate.yaml", "--items", "one", "two", "--priority", "3"]);
    it.reads("why", &["why", "g3"]);
    for step in it.reads("list steps", &["list", "steps", "--group", "g3"])["steps"].as_array().unwrap() {
        it.reads("why", &["why", &format!("s{}", step["id"])]);
    }
    it.reads("show g12", &["show", "g3"]);
    it.reads("pause", &["pause", "g3"]);
    it.reads("why", &["why", "g3"]);
    it.reads("list groups", &["list", "groups", "--limit", "1"]);
    it.reads("list runs", &["list", "runs", "--group", "g3", "--limit", "1"]);
    it.reads("list steps", &["list", "steps", "--group", "g3", "--limit", "1"]);
    it.reads("status", &["status"]);
    it.reads("resume", &["resume", "g3"]);
    it.reads("pause", &["pause", "hold"]);
    it.reads("resume", &["resume", "hold"]);
    it.place
        .write("again.yaml", "id: again\nsteps: [{ name: a, run: 'exit 1', retries: 1, backoff: { initial: 1h } }]\n");
    let child = it.start(&["run", "again.yaml"]);
    it.until("a step waits for its next attempt", |it| {
        let listed = it.command(&["list", "steps", "--group", "g4"]).run();
        listed.code == 0 && lines_of_json(&listed.out)[0]["steps"][0]["status"] == "ERROR"
    });
    let why = it.reads("why", &["why", "g4"]);
    assert!(why["steps"][0]["facts"]["due"].is_i64(), "{why}");
    let status = it.reads("status", &["status"]);
    assert!(status["queues"]["next_due"].is_i64(), "{status}");
    kill_process(Pid::from_child(&child), Signal::INT).unwrap();
    let lines = it.hold("run", Ended::of(child.wait_with_output().unwrap()), 130);
    assert_eq!(lines.last().unwrap()["event"], "stopped");
    it.reads("cancel", &["cancel", "g4"]);
}

fn running(it: &mut Reading) {
    let child = it.start(&["run", "--resume", "g3", "--pool", "*=4"]);
    it.place.wait_for_file("one.began");
    it.until("a worker process is reported", |it| {
        let list = it.reads("list workers", &["list", "workers"]);
        list["workers"][0]["processes"].as_array().is_some_and(|it| !it.is_empty())
    });
    it.reads("workers", &["workers"]);
    let worker = it.reads("status", &["status"])["workers"][0]["id"].to_string();
    it.reads("show w7", &["show", &format!("w{worker}")]);
    let steps = it.reads("list steps", &["list", "steps", "--group", "g3"])["steps"].clone();
    for step in steps.as_array().unwrap() {
        let name = format!("s{}", step["id"]);
        it.reads("show s56", &["show", &name]);
        it.reads("why", &["why", &name]);
        it.ends("logs", &["logs", &name], 0);
    }
    it.reads("list runs", &["list", "runs", "--group", "g3"]);
    it.reads("list types", &["list", "types"]);
    let shared = it.reads("list resources", &["list", "resources"]);
    assert_eq!(shared["resources"][0]["holders"].as_array().map(Vec::len), Some(1), "{shared}");
    let held = it.reads("locks", &["locks"]);
    assert_eq!(held["locks"][0]["key"], "shared", "{held}");
    it.place.write("go", "");
    it.hold("run", Ended::of(child.wait_with_output().unwrap()), 0);
    it.reads("submit", &["submit", "--each", "true", "--items", "a"]);
    it.reads("worker", &["worker", "--until-idle"]);
}

fn ended_and_pruned(it: &mut Reading) {
    it.reads("prune --dry-run", &["prune", "--keep", "0s", "--dry-run"]);
    let pruned = it.reads("prune", &["prune", "--keep", "0s"]);
    assert!(pruned["kept"].as_i64() > Some(0), "{pruned}");
    let kept = it.reads("show s56", &["show", "s1"]);
    assert_eq!(kept["pruned"], true);
    let again = ["greet.yaml", "--items", "good", "bad", "--param", "word=hello", "--key", "k"];
    let gone = it.ends("run", &[&["run"], &again[..]].concat(), 6);
    assert_eq!(gone[0]["gone"], "CANCELLED", "{gone:?}");
    it.reads("submit", &[&["submit"], &again[..]].concat());
}

fn documents(it: &mut Reading) {
    let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/documents");
    fs::create_dir(it.place.path().join("docs")).unwrap();
    for file in fs::read_dir(examples).unwrap().flatten() {
        fs::copy(file.path(), it.place.path().join("docs").join(file.file_name())).unwrap();
    }
    it.place.write("docs/broken.pdf", "%PDF-1.7\nnothing of the kind\n");
    it.ends("ingest", &["ingest", "docs"], 3);
    it.place.write("docs/hand-winch.md", "# Winches\n\nA winch pulls.\n");
    it.place.write("docs/new.md", "# New\n\nIt was not there.\n");
    fs::remove_file(it.place.path().join("docs/rope-and-load.txt")).unwrap();
    let plan = it.ends("ingest --dry-run", &["ingest", "docs", "http://127.0.0.1:1/a.md", "--dry-run"], 0).remove(0);
    for what in ["new", "changed", "unusable", "retry", "unread", "removed", "runs"] {
        assert!(plan[what].as_array().is_some_and(|it| !it.is_empty()), "{what}: {plan}");
    }
    it.ends("ingest", &["ingest", "docs", "--prune"], 0);
    it.reads("list documents", &["list", "documents"]);
    it.reads("db documents", &["db", "documents"]);
    for mode in ["hybrid", "text", "vector"] {
        let found = it.reads("search", &["search", "crank of the winch", "--mode", mode]);
        assert!(!found["hits"].as_array().unwrap().is_empty(), "{found}");
    }
    it.reads("search", &["search", "inspection before each lift", "-k", "20"]);
    it.reads("search", &["search", "crank", "--filter", "source = \"none\""]);
}

fn vectors(it: &mut Reading) {
    it.reads("db list", &["db", "list"]);
    it.reads("db info", &["db", "info"]);
    it.reads("db check", &["db", "check"]);
    it.reads("db check --repair", &["db", "check", "--repair"]);
    it.reads("vacuum DB", &["vacuum", "default"]);
    it.reads("db remove", &["db", "remove", &it.path("docs/new.md")]);
    it.ends("ingest", &["ingest", "docs/new.md", "--db", "other"], 0);
}

fn locks(it: &mut Reading) {
    let database = it.path("home/vectors/other.db");
    let hold = format!("vec:{}", fs::canonicalize(database).unwrap().display());
    let child =
        it.start(&["locks", "hold", &hold, "--", "sh", "-c", "touch held; until [ -e free ]; do sleep 0.05; done"]);
    it.place.wait_for_file("held");
    it.reads("locks list", &["locks", "list"]);
    let all = it.reads("vacuum --all", &["vacuum", "--all"]);
    assert_eq!(all["skipped"].as_array().map(Vec::len), Some(1), "{all}");
    // Its row stays when the holder dies; its output ends with the command that holds the lock file.
    kill_process(Pid::from_child(&child), Signal::KILL).unwrap();
    it.place.write("free", "");
    child.wait_with_output().unwrap();
    it.reads("locks release", &["locks", "release", &hold, "--force"]);
    it.reads("db delete", &["db", "delete", "other"]);
}

fn keeping(it: &mut Reading) {
    it.reads("settings", &["settings"]);
    it.reads("settings NAME", &["settings", "keep"]);
    it.reads("doctor", &["doctor"]);
    it.reads("submit", &["submit", "--each", "true", "--items", "a"]);
    let hooked = "id: h\nsteps: [{ name: a, run: 'true' }]\nhooks: { group_start: [{ name: say, run: 'true' }] }\n";
    it.place.write("hooked.yaml", hooked);
    let group = it.reads("submit", &["submit", "hooked.yaml"])["group"].as_i64().unwrap();
    it.reads("pause", &["pause", &format!("g{group}")]);
    it.place.write("hourly.yaml", "id: hourly\nschedule: { every: 1h }\nsteps: [{ name: a, run: 'true' }]\n");
    it.reads("schedule add FILE", &["schedule", "add", "hourly.yaml"]);
    let file = it.path("backup.zip");
    it.reads("backup", &["backup", &file]);
    it.reads("backup --check", &["backup", "--check", &file]);
    it.home = "second";
    it.reads("submit", &["submit", "--each", "true", "--items", "a"]);
    let restored = it.reads("restore", &["restore", &file, "--force"]);
    assert_eq!(restored["will_run"].as_array().map(Vec::len), Some(1), "{restored}");
    assert_eq!(restored["hooks_ended"][0]["group"], group, "{restored}");
    assert_eq!(restored["schedules_paused"], serde_json::json!(["hourly"]), "{restored}");
}

fn serving(it: &mut Reading) {
    it.home = "served";
    it.reads("stop", &["stop"]);
    let mut child = it.start(&["serve", "--listen", "127.0.0.1:0"]);
    let mut line = String::new();
    BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
    it.page.hold("serve", &serde_json::from_str(&line).unwrap());
    it.reads("status", &["status"]);
    it.reads("serve", &["serve"]);
    it.reads("ui", &["ui", "--print"]);
    it.reads("stop", &["stop"]);
    child.wait().unwrap();
    let started = it.reads("serve", &["serve", "--background", "--listen", "127.0.0.1:0"]);
    assert_eq!(started["state"], "started");
    it.reads("stop", &["stop"]);
}

/// Whether the promises hold is checked by tests/prove.rs. A drill that could not run prints no report.
fn proving(it: &mut Reading) {
    it.until("a drill has a report", |it| {
        let drill = it.command(&["prove", "--kills", "1", "--seed", "20"]).run();
        let is_held = !drill.out.is_empty();
        if is_held {
            it.hold("prove", drill, 0);
        }
        is_held
    });
}

#[test]
fn the_page_on_json_has_every_command() {
    let place = Place::new();
    let page = Page::read(PAGE);
    let without: BTreeSet<String> =
        notation::spans(PAGE.split("but ").nth(1).unwrap().split(" ignore").next().unwrap()).collect();
    assert_eq!(without.len(), 3, "{without:?}");
    let mut found = BTreeSet::new();
    leaves(&place, &mut Vec::new(), &mut found);
    assert!(found.len() > 40, "{found:?}");
    let has = |leaf: &String| {
        let is_it = |it: &String| it == leaf || it.starts_with(&format!("{leaf} "));
        page.commands.keys().any(is_it) || without.contains(leaf)
    };
    let missing: Vec<_> = found.iter().filter(|it| !has(it)).collect();
    assert!(missing.is_empty(), "{missing:?}");
}

/// Every command without subcommands.
fn leaves(place: &Place, path: &mut Vec<String>, found: &mut BTreeSet<String>) {
    let words: Vec<&str> = path.iter().map(String::as_str).chain(["--help"]).collect();
    let help = place.ok(&words);
    let commands = help.lines().skip_while(|it| *it != "Commands:").skip(1).take_while(|it| !it.is_empty());
    let names = commands.filter_map(|it| it.strip_prefix("  ").filter(|it| !it.starts_with(' ')));
    let names: Vec<String> = names.filter_map(|it| it.split_whitespace().next()).map(str::to_string).collect();
    for name in names.iter().filter(|it| *it != "help") {
        path.push(name.clone());
        leaves(place, path, found);
        path.pop();
    }
    let does_something_itself = names.is_empty() || ["worker", "locks"].contains(&path.join(" ").as_str());
    if does_something_itself && !path.is_empty() {
        found.insert(path.join(" "));
    }
}

#[test]
fn the_page_on_json_has_the_exit_codes() {
    let rows = PAGE.split("## Exit codes").nth(1).unwrap().lines().filter_map(|it| it.strip_prefix("| "));
    let page: BTreeSet<i32> =
        rows.flat_map(|it| it.split(" |").next().unwrap().split(", ")).filter_map(|it| it.parse().ok()).collect();
    let source = include_str!("../../src/cli/failure.rs")
        .split("pub fn code(self)")
        .nth(1)
        .unwrap()
        .split("    }\n")
        .next()
        .unwrap();
    let program = source.split("=> ").skip(1).filter_map(|it| it.split(',').next()?.parse().ok()).collect();
    assert_eq!(page, program);
    assert!(page.len() > 10);
}

/// The kinds of events and the outcomes of attempts, as the program has them.
#[test]
fn the_page_on_json_has_every_word_of_the_program() {
    let page = Page::read(PAGE);
    let kinds: BTreeSet<String> = EventKind::ALL.iter().map(|kind| kind.name().to_uppercase()).collect();
    assert_eq!(page.texts("EventKind"), kinds);
    let outcomes: BTreeSet<String> = AttemptOutcome::ALL.iter().map(|it| it.name().to_string()).collect();
    assert_eq!(page.texts("Outcome"), outcomes);
    assert!(kinds.len() > 15 && outcomes.len() > 6, "{kinds:?} {outcomes:?}");
}
