//! The state of work in words for people.

use super::{Ended, Place};

#[test]
fn status_names_the_daemon_its_address_and_since_when() {
    let place = Place::new();
    assert!(place.ok(&["status"]).contains("no daemon is running"), "{}", place.ok(&["status"]));
    assert!(place.json(&["status"])["daemon"].is_null());
    place.ok(&["serve", "--background", "--listen", "127.0.0.1:0"]);
    let status = place.json(&["status"]);
    let text = place.ok(&["status"]);
    place.ok(&["stop"]);
    let daemon = &status["daemon"];
    let (pid, address) = (daemon["pid"].as_u64().unwrap(), daemon["http"].as_str().unwrap().to_string());
    assert!(daemon["since"].is_i64() && daemon["version"].is_string(), "{status}");
    let line = text.lines().find(|it| it.starts_with("daemon")).unwrap();
    assert!(line.contains(&format!("http://{address}")) && line.contains(&format!("process {pid}")), "{line}");
    assert!(line.contains("since"), "{line}");
    assert!(place.json(&["status"])["daemon"].is_null(), "it is gone");
}

#[test]
fn paused_steps_are_not_ready() {
    let place = Place::new();
    place.ok(&["submit", "--each", "true {{ item }}", "--items", "a", "b", "c"]);
    let queue = |place: &Place| place.json(&["status"])["queues"]["types"][0].clone();
    let counts = |it: &serde_json::Value| (it["ready"].as_i64().unwrap(), it["on_hold"].as_i64().unwrap());
    assert_eq!(counts(&queue(&place)), (3, 0));
    assert!(place.ok(&["status"]).contains("3 steps ready, but no worker is running"));
    for target in ["each", "g1"] {
        place.ok(&["pause", target]);
        assert_eq!(counts(&queue(&place)), (0, 3), "{target}");
        let text = place.ok(&["status"]);
        assert!(!text.contains("could run") && text.contains("PAUSED"), "{text}");
        place.ok(&["resume", target]);
    }
    place.ok(&["pause", "g1"]);
    place.ok(&["worker", "--until-idle"]);
    let queues = place.json(&["status"])["queues"].clone();
    assert_eq!((&queues["on_hold"], &queues["types"]), (&3.into(), &serde_json::json!([])), "a claim has met them");
    assert!(place.ok(&["status"]).contains("3 steps are paused"));
}

#[test]
fn a_group_of_a_paused_type_says_so() {
    let place = Place::new();
    place.ok(&["submit", "--each", "true {{ item }}", "--items", "a", "b"]);
    place.ok(&["pause", "each"]);
    let words = "PENDING (the type `each` is paused)";
    for arguments in [&["show", "g1"][..], &["show", "r1"], &["show", "s1"]] {
        assert!(place.ok(arguments).contains(words), "{arguments:?}: {}", place.ok(arguments));
    }
    for arguments in [&["status"][..], &["list", "groups"]] {
        assert!(place.ok(arguments).contains("(the type `each` is paused)"), "{}", place.ok(arguments));
    }
    let listed = place.json(&["list", "groups"]);
    assert_eq!(
        (&listed["groups"][0]["words"], &listed["groups"][0]["waits"]),
        (&words.into(), &"the type `each` is paused".into())
    );
    place.ok(&["resume", "each"]);
    assert!(place.ok(&["show", "g1"]).contains("PENDING (waiting for a worker)"));
}

#[test]
fn why_says_nothing_of_the_past_of_a_step_that_is_retried() {
    let place = Place::new();
    assert_eq!(place.run(&["run", "--each", "test {{ item }} = x", "--items", "a", "b", "c"]).code, 3);
    place.ok(&["retry", "g1"]);
    let why = place.json(&["why", "g1"]);
    let reasons: Vec<&str> =
        why["steps"][0]["reasons"].as_array().unwrap().iter().map(|it| it["code"].as_str().unwrap()).collect();
    assert_eq!(reasons, ["no_worker"], "{why}");
}

#[test]
fn words_say_each_thing_once_and_name_what_is_there() {
    let place = Place::new();
    let empty = place.run(&["list"]);
    assert!(empty.err.contains("no groups yet; make one"), "{}", empty.err);
    assert!(place.run(&["list", "groups", "--status", "failed"]).err.contains("no such group"));
    place.ok(&["run", "--each", "true {{ item }}", "--items", "a"]);
    let step = place.ok(&["show", "s1"]);
    assert!(step.contains(": succeeded") && !step.contains("succeeded: succeeded"), "{step}");
    assert!(place.ok(&["ingest", "--help"]).contains("`https://`"));
}

#[test]
fn a_key_whose_holder_is_dead_is_held_by_nobody() {
    let place = Place::new();
    let mut holder = place.start(&["locks", "hold", "kk", "--", "sh", "-c", "touch held; exec sleep 600"]);
    place.wait_for_file("held");
    holder.kill().unwrap();
    holder.wait().unwrap();
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(60);
    while place.json(&["locks"])["locks"][0]["file_locked"] == true {
        assert!(std::time::Instant::now() < deadline, "its command goes on");
    }
    let refused = place.run(&["locks", "release", "kk"]);
    assert!(refused.err.contains("no process holds `kk`; its row expires within a minute"), "{}", refused.err);
    place.ok(&["locks", "release", "kk", "--force"]);
    let forced = place.ok(&["events", "--json"]);
    let name = rustix::process::getuid().as_raw();
    let line = forced.lines().find(|it| it.contains("kk: ")).unwrap();
    assert!(line.contains(&format!("(uid {name})")) && !line.contains("by user (uid"), "{line}");
}

#[test]
fn a_group_that_was_interrupted_waits_for_a_worker() {
    let place = Place::new();
    let each = "touch {{ item }}.began; until [ -e go.{{ item }} ]; do sleep 0.02; done";
    place.write("go.a", "");
    let mut child = place.command(&["run", "--each", each, "--items", "a", "b", "c", "--pool", "*=1"]);
    let child = child.piped().spawn().unwrap();
    place.wait_for_file("b.began");
    let words = |name: &str| place.json(&["show", name])["words"].as_str().unwrap().to_string();
    assert_eq!(words("g1"), "RUNNING (1 of 3 done)");
    rustix::process::kill_process(rustix::process::Pid::from_child(&child), rustix::process::Signal::INT).unwrap();
    place.write("go.b", "");
    assert_eq!(Ended::of(child.wait_with_output().unwrap()).code, 130);

    assert_eq!(words("g1"), "PENDING (2 of 3 done, waiting for a worker)");
    assert_eq!(place.json(&["show", "g1"])["status"], "RUNNING", "the status for programs stays");
    let shown = place.ok(&["show", "g1"]);
    assert!(shown.starts_with("g1 PENDING (2 of 3 done, waiting for a worker)"), "{shown}");
    assert_eq!(words("r3"), "PENDING (waiting for a worker)");
    assert!(place.ok(&["show", "s3"]).starts_with("s3 PENDING (waiting for a worker)"));
    for command in [&["list"][..], &["status"]] {
        let text = place.ok(command);
        let line = text.lines().find(|it| it.starts_with("g1")).unwrap();
        assert!(line.contains("PENDING") && line.contains("2/3") && line.contains("waiting for a worker"), "{line}");
    }
    place.ok(&["pause", "g1"]);
    assert_eq!(words("g1"), "PENDING (2 of 3 done, paused)");
}

#[test]
fn a_run_between_two_steps_says_how_far_it_is() {
    let place = Place::new();
    place.write("flow.yaml", "id: f\nsteps:\n  - { name: one, run: 'true' }\n  - { name: two, run: 'true' }\n");
    place.ok(&["submit", "flow.yaml"]);
    place.ok(&["pause", "two"]);
    place.ok(&["worker", "--until-idle"]);
    let list = place.ok(&["list", "runs"]);
    assert!(list.lines().any(|it| it.starts_with("r1") && it.contains("PENDING    1/2")), "{list}");
    let run = place.json(&["show", "r1"]);
    assert_eq!(
        (&run["status"], &run["words"]),
        (&"PENDING".into(), &"PENDING (1 of 2 steps done, the type `two` is paused)".into())
    );
}
