//! An idle daemon sleeps: it writes nothing and hardly wakes.

mod support {
    pub mod binary;
    pub mod plant;
    pub mod web;
}

use support::{plant, web};

use std::{collections::BTreeMap, fs, thread, time::Duration};
use web::{Web, until};
use windlass::{
    definition::{KnownKinds, parse_file},
    engine::ScheduledWorkflow,
};

/// How often each thread has gone to sleep voluntarily.
fn sleeps(pid: u32) -> BTreeMap<String, u64> {
    let mut found = BTreeMap::new();
    for task in fs::read_dir(format!("/proc/{pid}/task")).unwrap().flatten() {
        let name = fs::read_to_string(task.path().join("comm")).unwrap_or_default().trim().to_string();
        let status = fs::read_to_string(task.path().join("status")).unwrap_or_default();
        let line = status.lines().find_map(|it| it.strip_prefix("voluntary_ctxt_switches:"));
        *found.entry(name).or_default() += line.and_then(|it| it.trim().parse::<u64>().ok()).unwrap_or(0);
    }
    found
}

/// Three seconds in which nothing is written and none of these threads wakes, soon after its start.
#[track_caller]
fn is_silent(web: &Web, names: &[&str]) {
    let pid = web.child.id();
    let written = || {
        let text = fs::read_to_string(format!("/proc/{pid}/io")).unwrap();
        text.lines().find_map(|it| it.strip_prefix("wchar: ")).unwrap().to_string()
    };
    // The work of the start (the last checkpoint, a first check for work) is over once a second passes without any.
    let quiet = || {
        let before = (sleeps(pid), written());
        thread::sleep(Duration::from_secs(3));
        let after = (sleeps(pid), written());
        names.iter().all(|it| before.0.get(*it) == after.0.get(*it)) && before.1 == after.1
    };
    until("three seconds of silence", || quiet().then_some(()));
    assert!(sleeps(pid).contains_key(names[0]), "{:?}", sleeps(pid));
}

#[cfg(target_os = "linux")]
#[test]
fn nobody_writes_and_no_consumer_wakes_while_there_is_nothing_to_do() {
    let names = ["windlass-writer", "windlass-store-", "windlass-*-0", "windlass-http", "windlass-health"];
    is_silent(&Web::start(), &names);
}

#[cfg(target_os = "linux")]
#[test]
fn a_thousand_schedules_that_are_not_due_cost_an_idle_daemon_nothing() {
    let home = tempfile::tempdir().unwrap();
    let engine = plant::open(home.path());
    let known = KnownKinds::new(engine.kinds().names());
    for no in 0..1_000 {
        let text = format!("id: s{no}\nschedule: {{ every: 24h }}\nsteps: [{{ name: a, uses: windlass/noop }}]\n");
        let file = parse_file(&text, "s.yaml", &known).unwrap();
        let new = ScheduledWorkflow {
            name: file.definition.id.clone(),
            trigger: file.trigger().unwrap(),
            definition: file.definition,
            items_from: None,
            params: serde_json::json!({}),
            directory: "/".into(),
            file: "s.yaml".into(),
            priority: 0,
            weight: 1,
        };
        engine.add_schedule(&new).unwrap();
    }
    engine.store().close();
    drop(engine);
    is_silent(&Web::on(home.path(), &[]), &["windlass-schedu", "windlass-writer", "windlass-*-0"]);
}
