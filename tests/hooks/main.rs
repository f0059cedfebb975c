//! Hooks are steps: beside others, retried, timed out, quarantined, logged, explained, cancelled; and their groups are
//! hidden from people.

#[path = "../support"]
mod support {
    pub mod binary;
    pub mod needs;
    pub mod place;
    pub mod plant;
}

mod secrets;
mod telling;

use std::{fs, path::Path, sync::Arc};
use support::{
    binary::eventually,
    place::Place,
    plant::{self, PATIENCE},
};
use windlass::{
    definition::{KnownKinds, parse},
    engine::{Engine, Worker},
    model::{GroupId, Millis, Status, StepId},
    store::{self, hook, prune, read},
};

struct Shop {
    dir: tempfile::TempDir,
    engine: Engine,
    worker: Worker,
}

impl Shop {
    fn new() -> Shop {
        let dir = tempfile::tempdir().unwrap();
        let engine = plant::open(dir.path());
        let worker = plant::worker(&engine, 2);
        Shop { dir, engine, worker }
    }

    fn has(&self, name: &str) -> bool {
        self.dir.path().join(name).exists()
    }

    fn text(&self, name: &str) -> String {
        fs::read_to_string(self.dir.path().join(name)).unwrap_or_default()
    }

    fn put(&self, name: &str) {
        fs::write(self.dir.path().join(name), "").unwrap();
    }

    fn ends(&self, text: &str, items: &[&str]) -> (GroupId, Status) {
        let group = plant::submit(&self.engine, text, items);
        (group, plant::wait(&self.engine, &self.worker, group))
    }

    fn failed(&self, group: GroupId) -> Vec<read::FailedHook> {
        self.engine.store().read(|tx| read::failed_hooks(tx, group, 9)).unwrap()
    }

    fn idle(&self) {
        eventually("the worker is idle", || self.worker.is_idle().unwrap());
    }

    /// The hook steps of a group, newest first.
    fn steps(&self, group: GroupId) -> Vec<StepId> {
        let filter = read::RunFilter { limit: 100, ..Default::default() };
        let runs = self.engine.store().read(|tx| read::runs(tx, group.hooks(), &filter)).unwrap();
        let step = |run: &read::RunRow| self.engine.store().read(|tx| read::show_run(tx, run.id)).unwrap().steps[0].id;
        runs.iter().map(step).collect()
    }
}

fn hooked(event: &str, hook: &str) -> String {
    format!(
        "id: hooked\nsteps: [{{ name: a, uses: windlass/noop }}]\nhooks: {{ {event}: [{{ name: tell, {hook} }}] }}\n"
    )
}

#[test]
fn a_hook_that_hangs_holds_up_no_hook_of_another_group() {
    let shop = Shop::new();
    let hang = hooked("group_end", "run: 'touch hangs; until test -e go; do sleep 0.02; done'");
    shop.ends(&hang, &["x"]);
    eventually("the first hook runs", || shop.has("hangs"));
    shop.ends(&hooked("group_end", "run: 'touch told'"), &["x"]);
    eventually("the second hook has run", || shop.has("told"));
    assert!(!shop.worker.is_idle().unwrap(), "the first still runs");
    shop.put("go");
    shop.idle();
}

#[test]
fn a_due_hook_keeps_its_group_neither_open_nor_counts_in_it() {
    let shop = Shop::new();
    let text = hooked("item_end", "run: 'until test -e go; do sleep 0.02; done; exit 7', retries: 0");
    let (group, status) = shop.ends(&text, &["x", "y", "z"]);
    assert_eq!(status, Status::Completed);
    let details = shop.engine.store().read(|tx| read::show_group(tx, group)).unwrap();
    assert_eq!((details.group.runs, details.group.running, details.group.failed), (3, 0, 0));
    assert_eq!(details.steps.iter().map(|it| it.count).sum::<i64>(), 3);
    let queues = shop.engine.store().read(read::queues).unwrap();
    assert_eq!((queues.groups_open, queues.hooks_waiting + queues.hooks_running), (0, 3));
    assert!(queues.types.is_empty(), "{:?}", queues.types);
    shop.put("go");
    shop.idle();
    assert_eq!(shop.failed(group).len(), 3);
    let groups = shop.engine.store().read(|tx| read::groups(tx, &read::GroupFilter { limit: 9, ..Default::default() }));
    assert_eq!(groups.unwrap().iter().map(|it| (it.id, it.status)).collect::<Vec<_>>(), [(group, Status::Completed)]);
}

#[test]
fn a_hook_runs_although_its_group_was_cancelled() {
    let shop = Shop::new();
    let text = "id: hooked\nsteps: [{ name: a, run: 'touch begun; sleep 600' }]\n\
                hooks: { group_end: [{ name: tell, run: 'echo {{ event }} {{ group }} > told' }] }\n";
    let group = plant::submit(&shop.engine, text, &["x"]);
    eventually("the step runs", || shop.has("begun"));
    shop.engine.cancel_group(group).unwrap();
    assert_eq!(plant::wait(&shop.engine, &shop.worker, group), Status::Cancelled);
    shop.idle();
    assert_eq!(shop.text("told"), format!("group_end {group}\n"));
}

#[test]
fn hooks_with_the_same_resource_key_never_overlap() {
    let shop = Shop::new();
    let run = "mkdir busy && sleep 0.05 && rmdir busy && echo x >> told";
    let text = hooked("item_end", &format!("run: '{run}', retries: 0, resource_key: mail"));
    let (group, _) = shop.ends(&text, &["1", "2", "3", "4", "5", "6"]);
    shop.idle();
    assert_eq!((shop.text("told").lines().count(), shop.failed(group)), (6, vec![]));
}

#[test]
fn a_key_with_values_a_step_of_the_type_of_hooks_and_an_unknown_worker_are_refused() {
    let known = KnownKinds::new(["windlass/noop"]);
    for (text, wanted) in [
        (hooked("group_end", "run: ls, resource_key: 'k{{ params.x }}'"), "can't have values"),
        ("id: a\nsteps: [{ name: hooks, run: ls }]\n".to_string(), "has the type `hooks`"),
        ("id: a\nsteps: [{ name: a, type: hooks, run: ls }]\n".to_string(), "has the type `hooks`"),
        (hooked("group_end", "worker: py"), "hook `tell` uses the worker `py`, which is not defined"),
        (hooked("group_end", "timeout: 3s"), "hook `tell` has nothing to do"),
    ] {
        let error = parse(&text, "t.yaml", &known).unwrap_err().to_string();
        assert!(error.contains(wanted), "{error}");
    }
}

#[test]
fn what_a_hook_prints_is_logged_and_the_hook_is_explained_and_cancelled_as_a_step() {
    let place = Place::new();
    let text = "id: hooked\nsteps: [{ name: a, run: 'true' }]\nhooks: { group_end: [\
                { name: tell, run: 'echo said {{ group }}; echo aside >&2; exit 3', retries: 0 },\
                { name: wait, run: 'touch waits; sleep 600' }] }\n";
    place.write("hooked.yaml", text);
    place.ok(&["submit", "hooked.yaml"]);
    let worker = place.start(&["worker"]);
    place.wait_for_file("waits");
    eventually("the hook has failed", || {
        place.json(&["--json", "show", "g1"])["failed_hooks"].as_array().is_some_and(|it| it.len() == 1)
    });
    let shown = place.json(&["--json", "show", "g1"]);
    assert_eq!(shown["failed_hooks"][0]["id"], 2);
    let logs = place.ok(&["logs", "s2"]);
    assert!(logs.contains("said g1") && logs.contains("aside"), "{logs}");
    let step = place.json(&["--json", "show", "s2"]);
    assert_eq!((&step["group"], &step["status"], &step["name"]), (&1.into(), &"FAILED".into(), &"tell".into()));
    assert_eq!((&step["hook"]["event"], &step["definition"]), (&"group_end".into(), &"hooked".into()));
    assert!(step["command"].as_str().unwrap().contains("echo said 'g1'"), "{step}");
    let said = place.run(&["show", "g1"]);
    assert!(said.err.contains("windlass logs s2"), "{said:?}");
    let why = place.ok(&["why", "s2"]);
    assert!(why.contains("exit code 3"), "{why}");
    let why = place.ok(&["why", "s3"]);
    assert!(why.contains("RUNNING") || why.contains("runs"), "{why}");
    place.ok(&["cancel", "s3"]);
    eventually("the hook is cancelled", || place.json(&["--json", "show", "s3"])["status"] == "CANCELLED");
    let events = place.ok(&["events"]);
    assert!(events.contains("wait: cancelled") && events.contains("tell: exit"), "{events}");
    place.ok(&["retry", "s2"]);
    eventually("the hook runs again", || {
        place.json(&["--json", "show", "s2"])["attempts_all"].as_array().is_some_and(|it| it.len() == 2)
    });
    worker.signal("INT");
    worker.end(PATIENCE);
    place.assert_sound();
}

#[test]
fn a_hook_that_kills_its_process_is_quarantined() {
    let place = Place::new();
    let hook = "uses: windlass/fail, with: { mode: abort }, max_crashes: 2, backoff: { initial: 5ms }";
    place.write("hooked.yaml", &hooked("group_end", hook));
    place.write("plain.yaml", "id: plain\nsteps: [{ name: a, run: 'touch worked' }]\n");
    place.ok(&["submit", "hooked.yaml"]);
    let first = place.run(&["worker", "--until-idle"]);
    assert_ne!(first.code, 0, "the hook has killed the worker: {first:?}");
    place.ok(&["submit", "plain.yaml"]);
    let second = place.run(&["worker", "--until-idle"]);
    assert_eq!(second.code, 0, "{second:?}");
    assert!(place.path().join("worked").exists());
    let shown = place.json(&["--json", "show", "g1"]);
    assert_eq!(shown["status"], "COMPLETED");
    let detail = shown["failed_hooks"][0]["detail"].as_str().unwrap();
    assert!(detail.contains("SIGABRT") || detail.contains("signal 6"), "{detail}");
    assert_eq!(place.json(&["--json", "show", "s2"])["crashes"], 2);
    place.assert_sound();
}

#[test]
fn hooks_run_in_a_pool_of_their_own_of_the_size_that_is_set() {
    let dir = tempfile::tempdir().unwrap();
    let engine = plant::open(dir.path());
    let pools = [("*".to_string(), 1), ("hooks".to_string(), 5)].into();
    let options = windlass::engine::WorkerOptions { pools, scope: windlass::model::Scope::Everything };
    let worker = Worker::start(&engine, options).unwrap();
    let run = "touch {{ item }}; until test -e go; do sleep 0.02; done";
    let group = plant::submit_numbers(&engine, &hooked("item_end", &format!("run: '{run}'")), 9);
    plant::wait(&engine, &worker, group);
    let begun = || (0..9).filter(|it| dir.path().join(it.to_string()).exists()).count();
    eventually("five hooks run", || begun() == 5);
    assert_eq!(worker.pools().iter().find(|it| it.0 == "hooks"), Some(&("hooks".to_string(), 5, 5)));
    fs::write(dir.path().join("go"), "").unwrap();
    eventually("the worker is idle", || worker.is_idle().unwrap());
    assert_eq!(begun(), 9);
    worker.stop(Millis::seconds(5));
}

#[test]
fn a_group_is_pruned_with_its_hooks_once_they_have_ended() {
    let shop = Shop::new();
    let text = hooked("item_end", "run: 'echo x; until test -e go; do sleep 0.02; done'");
    let (group, _) = shop.ends(&text, &["x", "y"]);
    let steps = shop.steps(group);
    let begin = || shop.engine.store().write(move |tx| prune::begin(tx, group)).unwrap();
    assert!(!begin(), "its hooks are due");
    shop.put("go");
    shop.idle();
    assert!(begin());
    let mut sum = prune::Removed::default();
    while shop
        .engine
        .store()
        .write(move |tx| {
            let mut removed = prune::Removed::default();
            let more = prune::slice(tx, group, prune::Outputs::Keep, 5, &mut removed)?;
            Ok((more, removed))
        })
        .map(|(more, removed)| {
            sum.hooks += removed.hooks;
            more
        })
        .unwrap()
    {
        let found = shop.engine.store().read(store::check::check).unwrap();
        assert_eq!(found, Vec::<String>::new());
    }
    assert_eq!((steps.len(), sum.hooks), (2, 2));
    for step in steps {
        assert_eq!(shop.engine.store().read(|tx| hook::of_step(tx, step)).unwrap(), None);
    }
    assert_eq!(
        shop.engine.store().read(store::check::row_counts).unwrap().iter().find(|it| it.0 == "run_group"),
        Some(&("run_group".into(), 0))
    );
}

/// A step that starts runs, of a workflow that has hooks of its own.
const ABOVE: &str = "
id: above
steps:
  - name: each
    for_each: '[1, 2]'
    workflow:
      id: below
      steps: [{ name: a, run: 'touch {{ item }}.begun; until test -e end; do sleep 0.02; done' }]
      hooks: { group_end: [{ name: tell, run: 'echo {{ event }} {{ group }} {{ group.status }} >> told; until test -e go; do sleep 0.02; done' }] }
hooks: { group_end: [{ name: tell, run: 'echo {{ event }} {{ group }} {{ group.status }} >> told' }] }
";

#[test]
fn hooks_of_a_group_below_run_after_a_cancel_from_above_and_hold_back_a_prune_until_they_have_ended() {
    let shop = Shop::new();
    let hook_events = || {
        let mut lines: Vec<String> = shop.text("told").lines().map(String::from).collect();
        lines.sort();
        lines
    };
    let group = plant::submit(&shop.engine, ABOVE, &["x"]);
    eventually("both runs below work", || shop.has("1.begun") && shop.has("2.begun"));
    shop.engine.cancel_group(group).unwrap();
    assert_eq!(plant::wait(&shop.engine, &shop.worker, group), Status::Cancelled);
    eventually("both groups are told of", || hook_events().len() == 2);
    assert_eq!(hook_events(), ["group_end g1 CANCELLED", "group_end g2 CANCELLED"]);
    let one =
        windlass::engine::Prune { groups: vec![group], ..windlass::engine::Prune::before(shop.engine.store().now()) };
    let refused = shop.engine.prune(&one, &|| true).unwrap_err().to_string();
    assert!(refused.contains("g1 still has due hooks, a locked key, or a group below it"), "{refused}");
    shop.put("go");
    shop.put("end");
    shop.idle();
    assert_eq!(shop.ends(ABOVE, &["x"]), (GroupId(3), Status::Completed));
    shop.idle();
    assert_eq!(hook_events()[2..], ["group_end g3 COMPLETED", "group_end g4 COMPLETED"]);
    let both = windlass::engine::Prune { groups: vec![group, GroupId(3)], ..one };
    assert_eq!(shop.engine.prune(&both, &|| true).unwrap().removed.hooks, 4);
    assert_eq!(shop.engine.store().read(store::check::check).unwrap(), Vec::<String>::new());
    let left = shop.engine.store().read(store::check::row_counts).unwrap();
    for table in ["run_group", "run", "step", "hook", "child_group", "waiting"] {
        assert_eq!(left.iter().find(|it| it.0 == table), Some(&(table.to_string(), 0)));
    }
}

#[test]
fn a_run_alone_runs_the_hooks_of_the_groups_that_its_steps_started_also_after_a_kill() {
    let place = Place::new();
    place.write("above.yaml", &ABOVE.replace("until test -e go; do sleep 0.02; done", "true"));
    let hook_events = || {
        let text = fs::read_to_string(place.path().join("told")).unwrap_or_default();
        let mut lines: Vec<String> = text.lines().map(String::from).collect();
        lines.sort();
        lines
    };
    place.write("end", "");
    place.ok(&["run", "above.yaml", "--items", "x"]);
    assert_eq!(hook_events(), ["group_end g1 COMPLETED", "group_end g2 COMPLETED"]);
    fs::remove_file(place.path().join("end")).unwrap();
    fs::remove_file(place.path().join("1.begun")).unwrap();
    let mut run = place.start(&["run", "above.yaml", "--items", "x"]);
    place.wait_for_file("1.begun");
    run.kill().unwrap();
    place.write("end", "");
    place.ok(&["run", "--resume", "g3"]);
    assert_eq!(hook_events()[2..], ["group_end g3 COMPLETED", "group_end g4 COMPLETED"]);
    place.assert_sound();
}

#[test]
fn a_hook_of_a_built_in_kind_ends_at_its_timeout_and_its_templates_are_rendered() {
    let shop = Shop::new();
    let slow = "uses: windlass/sleep, with: { for: 600s }, timeout: 100ms, retries: 0";
    let (group, _) = shop.ends(&hooked("group_end", slow), &["x"]);
    shop.idle();
    assert!(shop.failed(group)[0].detail.contains("timed out after 100ms"), "{:?}", shop.failed(group));
    let fails = "uses: windlass/fail, with: { message: '{{ event }} of {{ group }}', retryable: false }";
    let (group, _) = shop.ends(&hooked("group_end", fails), &["x"]);
    shop.idle();
    assert!(shop.failed(group)[0].detail.contains(&format!("group_end of {group}")), "{:?}", shop.failed(group));
}

/// A home of schema 6 with one hook due, one done and one failed.
fn home_of_schema_6(path: &Path) {
    let text = hooked("group_end", "run: 'echo {{ group }} {{ event }} >> told'");
    let definition = parse(&text, "t.yaml", &KnownKinds::new(["windlass/noop"])).unwrap();
    let shape = r#"{"steps":[{"type":"a","needs":[]}],"hooks":[{"event":"group_end","name":"tell"}]}"#;
    let conn = rusqlite::Connection::open(path.join("engine.db")).unwrap();
    conn.execute_batch("PRAGMA auto_vacuum = 2; PRAGMA journal_mode = WAL;").unwrap();
    conn.execute_batch(include_str!("../schemas/engine-006.sql")).unwrap();
    conn.execute(
        "INSERT INTO definition(id, hash, name, title, body, shape, created) VALUES (1, ?1, 'hooked', 'hooked', ?2, ?3, 1)",
        rusqlite::params![definition.hash(), definition.to_json(), shape],
    )
    .unwrap();
    conn.execute_batch(&format!(
        "INSERT INTO engine(id, engine_id, created) VALUES (1, 'x', 1);
         INSERT INTO counter(id, value) VALUES (1, 9), (2, 1), (3, 1), (4, 1), (5, 0);
         INSERT INTO step_type(id, name) VALUES (1, 'a');
         INSERT INTO run_group(id, unfinished, phase, ended) VALUES (1, 0, 0, 2);
         INSERT INTO group_detail(group_id, definition_id, name, params, directory, priority, runs, opened, open_until, created)
         VALUES (1, 1, 'hooked', '{{}}', '{}', 3, 1, 1, 1, 1);
         INSERT INTO run(id, group_id, definition_id, first_step, unfinished, ended) VALUES (1, 1, 1, 1, 0, 2);
         INSERT INTO item(run_id, item) VALUES (1, 'x');
         INSERT INTO step(id, run_id, group_id, no, type_id, state, priority, due, unmet, attempts, token, worker, started, ended, outcome)
         VALUES (1, 1, 1, 0, 1, 5, 3, 1, 0, 1, 7, 1, 1, 2, 1);
         INSERT INTO hook(id, event, name, no, group_id, epoch, due) VALUES (4, 'group_end', 'tell', 0, 1, 1, 2);
         INSERT INTO hook(id, event, name, no, group_id, run_id, epoch, state, due, attempts, started, ended)
         VALUES (5, 'item_end', 'done', 1, 1, 1, 1, 5, 2, 1, 2, 3);
         INSERT INTO hook(id, event, name, no, group_id, run_id, step_id, epoch, subject, state, due, attempts, started, ended, detail)
         VALUES (6, 'step_end', 'failed', 2, 1, 1, 1, 1, 7, 6, 2, 4, 2, 3, 'exit code 9');
         PRAGMA application_id = 0x77646c73; PRAGMA user_version = 6;",
        path.display()
    ))
    .unwrap();
}

#[test]
fn hooks_that_were_due_in_a_home_of_schema_6_run_after_the_upgrade() {
    let dir = tempfile::tempdir().unwrap();
    home_of_schema_6(dir.path());
    let engine = plant::open(dir.path());
    assert_eq!(engine.store().read(store::check::check).unwrap(), Vec::<String>::new());
    let failed = engine.store().read(|tx| read::failed_hooks(tx, GroupId(1), 9)).unwrap();
    assert_eq!(failed.len(), 1);
    let it = &failed[0];
    assert_eq!(
        (it.name.as_str(), it.event.as_str(), it.attempts, it.detail.as_str()),
        ("failed", "step_end", 4, "exit code 9")
    );
    assert_eq!((it.step, it.ended.0), (Some(StepId(1)), 3));
    let worker = plant::worker(&engine, 1);
    eventually("the hook has run", || worker.is_idle().unwrap());
    assert_eq!(fs::read_to_string(dir.path().join("told")).unwrap(), "g1 group_end\n");
    assert_eq!(engine.store().read(store::check::check).unwrap(), Vec::<String>::new());
    let group = plant::submit(&engine, &hooked("group_end", "run: 'touch again'"), &["x"]);
    plant::wait(&engine, &worker, group);
    eventually("a new hook has run", || dir.path().join("again").exists());
}

#[test]
fn the_definition_of_all_hooks_is_one_that_this_version_reads() {
    let read = windlass::definition::Definition::from_stored(hook::BODY, &hook::HASH).unwrap();
    assert_eq!((read.id.as_str(), read.to_json().as_str()), (hook::DEFINITION, hook::BODY));
    assert!(include_str!("../../scripts/upgrade/006-to-007.sql").contains(hook::BODY));
    let _ = Arc::new(read);
}
