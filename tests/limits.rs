//! Resource limits as people use them: files, commands and worker processes.

mod support {
    pub mod binary;
    pub mod place;
}

use serde_json::Value;
use std::{fs, time::Duration};
use support::{binary::eventually, place::Place};

/// The message of a command that is refused.
#[track_caller]
fn refusal(place: &Place, arguments: &[&str]) -> String {
    let ended = place.run(arguments);
    assert_ne!(ended.code, 0, "{}", ended.said());
    ended.said()
}

/// The resource with this name, as `list resources` shows it.
fn resource(place: &Place, name: &str) -> Value {
    let list = place.json(&["list", "resources"]);
    let found = list["resources"].as_array().unwrap().iter().find(|it| it["name"] == name);
    found.unwrap_or_else(|| panic!("no `{name}` in {list}")).clone()
}

fn steps(place: &Place, group: &str) -> Vec<Value> {
    place.json(&["list", "steps", "--group", group])["steps"].as_array().unwrap().clone()
}

#[test]
fn three_workers_run_no_more_than_there_is_at_a_time() {
    let place = Place::new();
    place.write(
        "flow.yaml",
        "id: a\ncapacity: { slot: 2 }\nsteps:\n- { name: a, resources: { slot: 1 }, run: 'echo + >> log; sleep 0.05; echo - >> log' }\n",
    );
    let items: Vec<String> = (0..18).map(|it| it.to_string()).collect();
    place
        .ok(&[&["submit", "flow.yaml", "--items"], &items.iter().map(String::as_str).collect::<Vec<_>>()[..]].concat());
    let workers = [0, 1, 2].map(|_| place.start(&["worker", "--pool", "*=4", "--until-idle"]));
    for worker in workers {
        assert_eq!(worker.end(Duration::from_secs(120)).code, 0);
    }
    assert_eq!(side_by_side(&place), (36, 2), "two at a time");
    assert_eq!(resource(&place, "slot")["held"], 0);
    place.assert_sound();
}

/// What a command logs: how many lines there are, and how many commands ran at the same time.
fn side_by_side(place: &Place) -> (usize, i64) {
    let log = fs::read_to_string(place.path().join("log")).unwrap();
    let (mut now, mut most) = (0, 0);
    for line in log.lines() {
        now += if line == "+" { 1 } else { -1 };
        most = most.max(now);
    }
    (log.lines().count(), most)
}

#[test]
fn the_capacity_of_a_workflow_holds_for_what_its_steps_start() {
    // It ends only if as many as there are units have been at work at the same time.
    let run = "resources: { slot: 1 }, run: 'echo + >> log; until [ $(grep -c + log) -ge MOST ]; do sleep 0.02; done; sleep 0.05; echo - >> log'";
    let each = "for_each: '[1, 2, 3, 4, 5, 6, 7, 8]'";
    let inner = format!("id: inner\nsteps: [{{ name: a, {run} }}]\n");
    for (what, capacity, step, most) in [
        ("a list", 3, format!("{each}, {run}"), 3),
        ("a workflow for each", 3, format!("{each}, workflow: {{ id: i, steps: [{{ name: a, {run} }}] }}"), 3),
        ("a file for each", 3, format!("{each}, workflow: inner.yaml"), 3),
        (
            "its own",
            1,
            format!("{each}, workflow: {{ id: i, capacity: {{ slot: 4 }}, steps: [{{ name: a, {run} }}] }}"),
            4,
        ),
        (
            "two levels",
            3,
            format!("{each}, workflow: {{ id: i, steps: [{{ name: b, for_each: '[1, 2]', {run} }}] }}"),
            3,
        ),
    ] {
        let place = Place::new();
        let write = |name: &str, text: &str| place.write(name, &text.replace("MOST", &most.to_string()));
        write("inner.yaml", &inner);
        write("flow.yaml", &format!("id: flow\ncapacity: {{ 'sl*': {capacity} }}\nsteps: [{{ name: s, {step} }}]\n"));
        place.ok(&["run", "flow.yaml", "--pool", "*=6"]);
        let (lines, found) = side_by_side(&place);
        assert_eq!((lines % 16, found), (0, most), "{what}");
        assert_eq!(
            (&resource(&place, "slot")["held"], &resource(&place, "slot")["capacity"]),
            (&0.into(), &most.into())
        );
        place.assert_sound();
    }
}

#[test]
fn a_worker_that_is_killed_gives_its_units_back() {
    let place = Place::new();
    place.write(
        "flow.yaml",
        "id: a\nsteps:\n- { name: a, resources: { gpu: 1 }, run: 'touch {{ item }}.began; until [ -e go ]; do sleep 0.05; done' }\n",
    );
    place.ok(&["submit", "flow.yaml", "--items", "one", "two"]);
    let first = place.start(&["worker", "--pool", "*=2"]);
    place.wait_for_file("one.began");
    let held = resource(&place, "gpu");
    assert_eq!((held["held"].as_i64(), held["holders"][0]["step"].as_i64()), (Some(1), Some(1)), "{held}");
    eventually("the second step waits", || resource(&place, "gpu")["waiting"] == 1);
    let why = place.ok(&["why", "s2"]);
    assert!(why.contains("it needs 1 of `gpu`: 1 of 1 are in use by s1"), "{why}");
    let shown = place.ok(&["list", "resources"]);
    assert!(shown.contains("1 of 1") && shown.contains("s1"), "{shown}");
    let second = place.start(&["worker", "--pool", "*=2"]);
    first.signal("KILL");
    first.end(Duration::from_secs(30));
    eventually("another worker takes over", || {
        let held = resource(&place, "gpu");
        held["held"] == 1 && steps(&place, "g1").iter().any(|it| it["status"] == "RUNNING" && it["worker"] == 2)
    });
    place.write("go", "");
    eventually("both complete", || steps(&place, "g1").iter().all(|it| it["status"] == "COMPLETED"));
    second.signal("INT");
    second.end(Duration::from_secs(60));
    assert_eq!(resource(&place, "gpu")["held"], 0);
    place.assert_sound();
}

#[test]
fn a_request_that_can_never_fit_is_refused_at_submit_and_says_who_set_the_capacity() {
    let place = Place::new();
    let flow = |units: &str, capacity: &str| {
        let text = format!("id: a\n{capacity}\nsteps: [{{ name: fit, run: 'true', resources: {{ {units} }} }}]\n");
        place.write("flow.yaml", &text);
    };
    let submit = ["submit", "flow.yaml", "--items", "3"];
    flow("gpu: \"{{ item }}\"", "capacity: { \"g*\": 2 }");
    let said = refusal(&place, &submit);
    assert!(said.contains("step `fit` needs 3 of `gpu`, but its capacity is 2, as a workflow says"), "{said}");
    assert!(said.contains("`capacity:`"), "{said}");
    flow("memory: 9000TiB", "");
    let said = refusal(&place, &submit);
    assert!(said.contains("of `memory`, but its capacity is") && said.contains("as the machine says"), "{said}");
    flow("gpu: 2", "");
    let said = refusal(&place, &submit);
    assert!(said.contains("needs 2 of `gpu`, but its capacity is 1"), "{said}");
    flow("\"{{ item }}\": x", "");
    assert!(refusal(&place, &submit).contains("whole number"), "a number is no matter of the name");
    assert_eq!(place.json(&["list"])["groups"], serde_json::json!([]), "nothing was submitted");
}

#[test]
fn wrong_resources_are_refused_with_file_line_and_hint() {
    let place = Place::new();
    for (lines, parts) in [
        ("steps:\n- name: a\n  run: x\n  resources: gpu", ["flow.yaml:5", "must be a mapping", "gpu: 1"]),
        ("steps:\n- name: a\n  run: x\n  resources: { memory: 12 }", ["flow.yaml:5", "needs a unit", "12GiB"]),
        ("steps:\n- name: a\n  run: x\n  resources: { gpu: 1.5 }", ["flow.yaml:5", "whole number", "gpu"]),
        ("steps:\n- name: a\n  run: x\n  resources: { \"{{ out }}\": 1 }", ["flow.yaml:5", "no value here", "item"]),
        ("steps:\n- name: a\n  run: x\n  rate: { api: 60 }", ["flow.yaml:5", "is not a rate", "60/1m"]),
        ("steps:\n- name: a\n  run: x\n  rate: { api: 0/1m }", ["flow.yaml:5", "allows no start", "1/"]),
        ("capacity: { gpu: 0 }\nsteps: [{ name: a, run: x }]", ["flow.yaml:2", "lets no step start", "1 or more"]),
        ("capacity: { \"{{ item }}\": 1 }\nsteps: [{ name: a, run: x }]", ["flow.yaml:2", "no template", "api:*"]),
        ("steps:\n- name: a\n  run: x\n  resource: { gpu: 1 }", ["flow.yaml:5", "unknown key `resource`", "resource"]),
    ] {
        place.write("flow.yaml", &format!("id: a\n{lines}\n"));
        let said = refusal(&place, &["submit", "flow.yaml", "--items", "x"]);
        for part in parts {
            assert!(said.contains(part), "{lines}: no `{part}` in {said}");
        }
    }
}

#[test]
fn the_settings_outrank_a_workflow_and_of_two_workflows_the_last_counts() {
    let place = Place::new();
    let submit = |capacity: &str| {
        let text =
            format!("id: a\n{capacity}\nsteps: [{{ name: a, run: 'true', resources: {{ \"api:x\": 1, cpu: 1 }} }}]\n");
        place.write("flow.yaml", &text);
        place.ok(&["submit", "flow.yaml"]);
        let row = resource(&place, "api:x");
        (row["capacity"].as_i64().unwrap(), row["source"].as_str().unwrap().to_string())
    };
    assert_eq!(submit(""), (1, "default".into()));
    assert_eq!(submit("capacity: { \"api:*\": 4 }"), (4, "workflow".into()));
    assert_eq!(submit("capacity: { \"api:*\": 2 }"), (2, "workflow".into()));
    assert_eq!(submit(""), (2, "workflow".into()), "who says nothing changes nothing");
    assert_eq!(resource(&place, "cpu")["source"], "machine");
    place.write("home/windlass.toml", "[resources]\n\"api:*\" = 7\ncpu = 3\n");
    assert_eq!(submit("capacity: { \"api:*\": 2 }"), (7, "settings".into()));
    // A worker applies them to work that was submitted earlier.
    place.write("home/windlass.toml", "[resources]\n\"api:*\" = 5\ncpu = 3\n");
    place.ok(&["worker", "--until-idle"]);
    let (api, cpu) = (resource(&place, "api:x"), resource(&place, "cpu"));
    assert_eq!((api["capacity"].as_i64(), cpu["capacity"].as_i64()), (Some(5), Some(3)));
    let refused = place.command(&["list"]).env("WINDLASS_RESOURCES", "gpu=many").run();
    assert_ne!(refused.code, 0);
    let refused = refused.said();
    assert!(refused.contains("WINDLASS_RESOURCES") && refused.contains("whole number"), "{refused}");
    place.assert_sound();
}

#[test]
fn no_window_of_a_rate_has_more_starts_and_why_says_when_the_next_comes() {
    let place = Place::new();
    place.write("flow.yaml", "id: a\nsteps: [{ name: a, run: 'true', rate: { calls: 2/2s } }]\n");
    place.ok(&["submit", "flow.yaml", "--items", "1", "2", "3", "4", "5"]);
    let worker = place.start(&["worker", "--pool", "*=4"]);
    let mut explained = false;
    eventually("all complete", || {
        let all = steps(&place, "g1");
        let waits = all.iter().find(|it| it["status"] == "PENDING");
        if let Some(step) = waits.filter(|_| !explained) {
            let why = place.ok(&["why", &format!("s{}", step["id"])]);
            explained = why.contains("`calls` allows 2 starts in 2.0 s; the next is possible");
        }
        all.iter().all(|it| it["status"] == "COMPLETED")
    });
    worker.signal("INT");
    worker.end(Duration::from_secs(60));
    assert!(explained, "`why` named the rate while steps waited");
    let mut starts: Vec<i64> = steps(&place, "g1").iter().map(|it| it["started"].as_i64().unwrap()).collect();
    starts.sort_unstable();
    // The clocks are read one after the other, in milliseconds.
    let near = starts.windows(3).find(|it| it[2] - it[0] < 1_990);
    assert_eq!(near, None, "three starts within two seconds: {starts:?}");
    place.assert_sound();
}

#[test]
fn what_steps_use_is_learnt_and_shown() {
    let place = Place::new();
    place.write("home/windlass.toml", "learn = true\n");
    place.write("flow.yaml", "id: a\nsteps: [{ name: a, run: 'sleep 0.4' }]\n");
    place.ok(&["run", "flow.yaml", "--items", "1", "2"]);
    let types = place.json(&["list", "types"]);
    let it = &types["types"][0];
    assert!(it["measured"].as_i64() >= Some(1) && it["reserves"].as_i64() > Some(0), "{types}");
    let shown = place.ok(&["list", "types"]);
    assert!(shown.contains("KiB") || shown.contains("MiB"), "{shown}");
    place.ok(&["run", "flow.yaml", "--items", "1", "2"]);
    assert_eq!(resource(&place, "memory")["source"], "machine");
    place.assert_sound();
}

#[test]
fn a_retry_under_a_repaired_workflow_takes_what_that_says() {
    let place = Place::new();
    let flow = |name: &str, units: &str, exit: u8| {
        place.write(
            name,
            &format!(
                "id: a\ncapacity: {{ gpu: 4 }}\nsteps: [{{ name: a, run: 'exit {exit}', resources: {{ {units} }} }}]\n"
            ),
        );
    };
    flow("flow.yaml", "gpu: 1", 1);
    place.command(&["run", "flow.yaml"]).ends(3);
    flow("fixed.yaml", "gpu: 5", 0);
    assert!(refusal(&place, &["retry", "g1", "--with", "fixed.yaml"]).contains("needs 5 of `gpu`"));
    flow("fixed.yaml", "gpu: 2, disk: 1", 0);
    place.ok(&["retry", "g1", "--with", "fixed.yaml"]);
    place.ok(&["run", "--resume", "g1"]);
    assert_eq!(resource(&place, "disk")["held"], 0);
    assert_eq!(steps(&place, "g1")[0]["status"], "COMPLETED");
    place.assert_sound();
    place.ok(&["prune", "--keep", "0s"]);
    assert_eq!(place.json(&["list", "resources"])["resources"], serde_json::json!([]), "nothing takes them any more");
}
