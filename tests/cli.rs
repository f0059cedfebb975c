//! The command line as people and scripts use it: the real binary, its output and its exit codes.

#[path = "support"]
mod support {
    pub mod binary;
    pub mod needs;
    pub mod place;
}

use serde_json::Value;
use std::{
    fs,
    io::{BufRead, BufReader},
    process::{Command, Stdio},
};

#[path = "cli/completion.rs"]
mod completion;
#[path = "cli/databases.rs"]
mod databases;
#[path = "cli/failures.rs"]
mod failures;
#[path = "cli/first_steps.rs"]
mod first_steps;
#[path = "cli/json.rs"]
mod json;
#[path = "cli/logs.rs"]
mod logs;
#[path = "cli/states.rs"]
mod states;
#[path = "cli/terminal.rs"]
mod terminal;
#[path = "cli/what_ran.rs"]
mod what_ran;

use support::{
    binary::{Ended, WINDLASS},
    needs::needs_root,
    place::Place,
};

fn lines_of_json(out: &str) -> Vec<Value> {
    out.lines().map(|it| serde_json::from_str(it).unwrap_or_else(|error| panic!("{error}: {it}"))).collect()
}

const TWO_STEPS: &str = "
id: greet
steps:
  - name: make
    run: 'echo {{ params.word }} {{ item }} > {{ out }}/greeting'
  - name: check
    run: 'test -s {{ inputs.make.dir }}/greeting && cat {{ inputs.make.dir }}/greeting && test {{ item }} != bad'
";

#[test]
fn every_command_has_help_with_an_example_of_its_use() {
    let place = Place::new();
    let help = place.ok(&["--help"]);
    let commands = help.lines().skip_while(|it| *it != "Commands:").skip(1).take_while(|it| !it.is_empty());
    // Later lines of a description are indented further.
    let commands = commands.filter_map(|it| it.strip_prefix("  ").filter(|it| !it.starts_with(' ')));
    let commands: Vec<&str> = commands.filter_map(|it| it.split_whitespace().next()).collect();
    for expected in [
        "ingest",
        "search",
        "run",
        "submit",
        "wait",
        "worker",
        "status",
        "list",
        "show",
        "why",
        "logs",
        "events",
        "export",
        "cancel",
        "retry",
        "pause",
        "resume",
        "locks",
        "vacuum",
        "db",
        "doctor",
        "settings",
        "init",
        "completions",
    ] {
        assert!(commands.contains(&expected), "{expected} is missing in {commands:?}");
    }
    for command in commands.iter().filter(|it| **it != "help") {
        let help = place.ok(&[command, "--help"]);
        assert!(help.contains("Usage: windlass") && help.contains("--json"), "{command}: {help}");
    }
    assert!(!place.path().join("home").exists(), "help made a home");
}

#[test]
fn wrong_usage_ends_with_2_and_says_what_is_right() {
    let place = Place::new();
    place.write("bad.yaml", "id: x\nstepz: []\n");
    place.write("items.jsonl", "{\"a\": 1}\n{\"a\": \n");
    place.write("flow.yaml", TWO_STEPS);
    for (arguments, said) in [
        (&["no-such-command"][..], "unrecognized subcommand"),
        (&["show", "12"], "write g12, r12 or s12"),
        (&["run"], "--each"),
        (&["run", "bad.yaml"], "bad.yaml:2"),
        (&["run", "flow.yaml"], "--items"),
        (&["run", "flow.yaml", "--items", "a"], "params.word"),
        (&["run", "flow.yaml", "--items", "a", "--param", "word"], "--param word=TEXT"),
        (&["run", "--each", "echo \"{{ item }}\"", "--items", "a"], "remove the quotes"),
        (&["run", "--each", "cat", "--items-from", "items.jsonl"], "items.jsonl:2"),
        (&["worker", "--pool", "parse"], "--pool parse=4"),
        (&["ingest"], "PATH"),
        (&["search", "x", "--filter", "source ="], "hint"),
        (&["cancel", "w1"], "Ctrl-C"),
        (&["locks", "hold", "key"], "CMD"),
    ] {
        let ended = place.run(arguments);
        assert_eq!(ended.code, 2, "{arguments:?}: {}", ended.err);
        assert!(ended.err.contains(said), "{arguments:?}: {}", ended.err);
        assert!(ended.err.contains("error: ") && ended.out.is_empty(), "{arguments:?}: {}", ended.out);
    }
}

#[test]
fn what_is_not_there_ends_with_4_and_says_where_to_look() {
    let place = Place::new();
    for (arguments, hint) in [
        (&["show", "g99"][..], ""),
        (&["wait", "99"], ""),
        (&["logs", "s99"], ""),
        (&["why", "r99"], ""),
        (&["search", "x"], "windlass ingest PATH"),
        (&["vacuum", "nope"], "windlass ingest PATH"),
        (&["run", "nope.yaml"], ""),
        (&["settings", "hartbeat"], "did you mean `heartbeat`?"),
        (&["pause", "nope"], ""),
        (&["locks", "release", "nope", "--force"], "windlass locks"),
        (&["list", "runs"], "windlass run FILE"),
    ] {
        let ended = place.run(arguments);
        assert_eq!(ended.code, 4, "{arguments:?}: {}", ended.err);
        assert!(ended.err.starts_with("error: ") && ended.err.contains(hint), "{arguments:?}: {}", ended.err);
    }
}

#[test]
fn an_error_is_one_line_of_json_when_json_was_asked_for() {
    let ended = Place::new().run(&["search", "x", "--json"]);
    let error: Value = serde_json::from_str(ended.err.trim()).unwrap();
    assert_eq!((ended.code, error["exit"].as_i64()), (4, Some(4)));
    assert!(error["error"].as_str().unwrap().contains("default") && error["hint"].is_string());
}

#[test]
fn a_workflow_runs_to_its_end_and_can_be_looked_at() {
    let place = Place::new();
    place.write("flows/greet.yaml", TWO_STEPS);
    let out = place.ok(&["run", "flows/greet.yaml", "--items", "ann", "bob", "--param", "word=hello"]);
    assert!(out.starts_with("g1 completed: 2 of 2 runs in "), "{out}");
    assert_eq!(place.ok(&["logs", "s2"]), "hello ann\n");
    let step = place.json(&["show", "s1"]);
    assert_eq!(
        (&step["name"], &step["status"], &step["files"][0][0]),
        (&"make".into(), &"COMPLETED".into(), &"greeting".into())
    );
    let runs = place.json(&["list", "runs", "--group", "g1"]);
    let items: Vec<&str> = runs["runs"].as_array().unwrap().iter().map(|it| it["item"].as_str().unwrap()).collect();
    assert_eq!(items, ["ann", "bob"]);
    assert_eq!(
        place.json(&["list", "steps", "--group", "g1", "--type", "check"])["steps"].as_array().unwrap().len(),
        2
    );
    assert_eq!(place.json(&["list", "definitions"])["definitions"][0]["id"], "greet");
    assert!(place.ok(&["list"]).contains("COMPLETED"));
    place.ok(&["doctor"]);
}

#[test]
fn a_failure_ends_with_3_and_names_the_item_the_step_and_what_to_do() {
    let place = Place::new();
    place.write("greet.yaml", TWO_STEPS);
    let ended = place.run(&["run", "greet.yaml", "--items", "ann", "bad", "--param", "word=hi"]);
    assert_eq!(ended.code, 3);
    assert!(
        ended.out.contains("g1 failed: 1 of 2 runs") && ended.out.contains("s4 check  bad: exit code 1"),
        "{}",
        ended.out
    );
    assert!(ended.err.contains("windlass why s4") && ended.err.contains("windlass logs s4"), "{}", ended.err);
    let why = place.ok(&["why", "g1"]);
    assert!(why.contains("it failed after 1 attempt: exit code 1") && why.contains("windlass retry r2"), "{why}");
    let status = place.json(&["status"]);
    assert!(status["problems"][0]["command"].as_str().unwrap().contains("windlass why g1"), "{status}");
    let ended = place.run(&["wait", "g1"]);
    assert_eq!((ended.code, ended.out.starts_with("g1 FAILED\n")), (3, true), "{}", ended.out);

    place.ok(&["retry", "g1"]);
    let again = place.run(&["run", "--resume", "g1"]);
    assert_eq!(again.code, 3, "the item is still bad: {}", again.out);
    assert_eq!(place.json(&["show", "r1"])["status"], "COMPLETED");
}

#[test]
fn items_come_from_stdin_as_lines_and_as_json() {
    let place = Place::new();
    let ended = place
        .command(&["run", "--each", "printf %s {{ item.name }}", "--items-from", "-", "--quiet"])
        .input("{\"name\": \"it's a b\"}\n\n{\"name\": \"$(c)\"}\n")
        .run();
    assert_eq!((ended.code, ended.out.as_str(), ended.err.as_str()), (0, "", ""));
    assert_eq!(place.ok(&["logs", "s1"]), "it's a b");
    assert_eq!(place.ok(&["logs", "s2"]), "$(c)", "an item is never run by the shell");
}

#[test]
fn a_dry_run_shows_the_plan_and_writes_nothing() {
    let place = Place::new();
    place.write("greet.yaml", TWO_STEPS);
    let plan = place.json(&["run", "greet.yaml", "--items", "a", "b", "--param", "word=x", "--dry-run"]);
    assert_eq!((plan["steps"][1]["needs"][0].as_str(), plan["items"][1].as_str()), (Some("make"), Some("b")));
    let out = place.ok(&["submit", "greet.yaml", "--items", "a", "--param", "word=x", "--dry-run"]);
    assert!(out.contains("1 run of 2 steps") && out.contains("nothing was written"), "{out}");
    assert!(!place.path().join("home").exists());
}

#[test]
fn a_run_tells_programs_its_progress_as_json_lines() {
    let place = Place::new();
    let ended = place.run(&["run", "--each", "test {{ item }} = a", "--items", "a", "b", "--json"]);
    let events = lines_of_json(&ended.out);
    let kinds: Vec<&str> = events.iter().map(|it| it["event"].as_str().unwrap()).collect();
    assert_eq!((ended.code, kinds.first(), kinds.last()), (3, Some(&"submitted"), Some(&"ended")));
    let last = events.last().unwrap();
    assert_eq!((&last["status"], &last["failed"], &last["runs"]), (&"FAILED".into(), &1.into(), &2.into()));
    assert_eq!(last["failures"][0]["item"], "b");
}

#[test]
fn a_submission_waits_for_a_worker_and_its_key_makes_it_once() {
    let place = Place::new();
    let submit = ["submit", "--each", "true {{ item }}", "--items", "a", "--key", "k"];
    let first = place.run(&submit);
    assert_eq!((first.code, first.out.as_str()), (0, "g1\n"));
    assert!(first.err.contains(&format!("no worker is running: start one with `{WINDLASS} worker`")), "{}", first.err);
    assert_eq!(place.ok(&submit), "g1\n");
    let other = place.run(&["submit", "--each", "true {{ item }}", "--items", "b", "--key", "k"]);
    assert_eq!(other.code, 5, "{}", other.err);

    assert!(place.ok(&["why", "g1"]).contains("no worker takes steps of type `each`"));
    let late = place.run(&["wait", "g1", "--timeout", "50ms"]);
    assert_eq!(late.code, 7, "{}", late.err);
    place.ok(&["worker", "--until-idle", "--quiet"]);
    assert_eq!(place.ok(&["wait", "1"]), "g1 COMPLETED\n");
}

#[test]
fn cancel_pause_and_resume_are_seen_at_once() {
    let place = Place::new();
    place.ok(&["submit", "--each", "true {{ item }}", "--items", "a"]);
    place.ok(&["pause", "g1"]);
    assert!(place.ok(&["why", "s1"]).contains("windlass resume g1"));
    place.ok(&["worker", "--until-idle"]);
    assert_eq!(place.json(&["show", "g1"])["status"], "PENDING");
    place.ok(&["resume", "g1"]);
    assert!(place.ok(&["cancel", "g1"]).contains("g1 is cancelled"));
    assert_eq!(place.run(&["wait", "g1"]).code, 6);
    let kinds: Vec<Value> =
        lines_of_json(&place.ok(&["events", "--json"])).into_iter().map(|it| it["kind"].clone()).collect();
    for kind in ["GROUP_START", "PAUSE", "RESUME", "CANCEL", "GROUP_END"] {
        assert!(kinds.contains(&kind.into()), "{kind} in {kinds:?}");
    }
}

#[test]
fn a_pool_on_the_command_line_leaves_the_other_types_theirs() {
    let place = Place::new();
    let each = "test {{ item }}";
    assert_eq!(place.run(&["run", "--each", each, "--items", "a", "--pool", "other=1"]).code, 0);
}

#[test]
fn a_signal_drains_and_the_printed_command_goes_on() {
    let place = Place::new();
    let each = "touch {{ item }}.began; until [ -e go ]; do sleep 0.02; done";
    let home = place.path().join("other home");
    let home = home.to_str().unwrap();
    let mut child = place.start(&["--home", home, "run", "--each", each, "--items", "a", "b", "--pool", "*=1"]);
    place.wait_for_file("a.began");
    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
    let mut said = BufReader::new(child.stderr.take().unwrap()).lines().map(Result::unwrap);
    assert!(said.any(|it| it.starts_with("stopping: 1 running step")));
    place.write("go", "");
    let line = said.find(|it| it.contains("continue with")).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(130));
    assert!(!place.path().join("b.began").exists(), "nothing new was started");
    let again = line.split('`').nth(1).unwrap();
    assert_eq!(again, format!("{WINDLASS} --home '{home}' run --resume g1"));

    let script = again.to_string();
    let resumed = Ended::of(Command::new("sh").arg("-c").arg(script).current_dir(place.path()).output().unwrap());
    assert_eq!(resumed.code, 0, "{}", resumed.err);
    assert!(resumed.out.starts_with("g1 completed: 2 of 2 runs"), "{}", resumed.out);
}

#[test]
fn root_does_not_work_in_the_home_of_another_user() {
    if !needs_root() {
        return;
    }
    let place = Place::new();
    place.ok(&["run", "--each", "true", "--items", "a"]);
    std::os::unix::fs::chown(place.path().join("home/engine.db"), Some(65_534), None).unwrap();
    for command in
        [&["worker", "--until-idle"][..], &["run", "--each", "true", "--items", "a"], &["status"], &["doctor"]]
    {
        let refused = place.run(command);
        assert!(refused.code == 5 && refused.err.contains("belongs to user 65534"), "{} {}", refused.code, refused.err);
        assert!(refused.err.contains("sudo -u"), "{}", refused.err);
    }
}

#[test]
fn a_reader_that_goes_away_ends_a_command_quietly() {
    let place = Place::new();
    place.ok(&["submit", "--each", "true {{ item }}", "--items", "a"]);
    for arguments in
        [&["list"][..], &["list", "--json"], &["settings"], &["completions", "bash"], &["events"], &["--help"]]
    {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let ended = place.command(arguments).stdout(writer).stderr(Stdio::piped()).spawn().unwrap().wait_with_output();
        let ended = Ended::of(ended.unwrap());
        assert_eq!((ended.code, ended.err.as_str()), (0, ""), "{arguments:?}");
    }
}

#[test]
fn a_key_is_held_for_a_command_and_named_to_others() {
    let place = Place::new();
    let inner = format!(
        "{WINDLASS} locks --json > held.json; {WINDLASS} locks hold k --max-wait 0s -- true; echo $? > second;
         {WINDLASS} locks release k 2> plain; echo $? >> plain; {WINDLASS} locks release k --force 2> named; echo $? > forced; exit 9"
    );
    assert_eq!(place.run(&["locks", "hold", "k", "--", "sh", "-c", &inner]).code, 9, "its code is ours");
    let read = |name: &str| fs::read_to_string(place.path().join(name)).unwrap();
    let held: Value = serde_json::from_str(&read("held.json")).unwrap();
    assert_eq!((&held["locks"][0]["key"], &held["locks"][0]["file_locked"]), (&"k".into(), &true.into()));
    assert_eq!((read("second").trim(), read("forced").trim()), ("5", "5"));
    let plain = read("plain");
    assert!(plain.trim_end().ends_with("\n5") && plain.contains("locks release k --force`"), "{plain}");
    assert!(read("named").contains("still holds the file lock"), "{}", read("named"));
    assert_eq!(place.json(&["locks"])["locks"], serde_json::json!([]));
    let missing = place.run(&["locks", "hold", "k", "--", "no-such-program"]);
    assert_eq!(missing.code, 4, "{}", missing.err);
}

#[test]
fn documents_become_answers_and_stay_in_step_with_their_files() {
    let place = Place::new();
    place.write("docs/winch.md", "# The winch\n\nA winch pulls a heavy load with a drum and a crank.\n");
    place.write("docs/tea.txt", "Tea is made of leaves and hot water.\n");
    let plan = place.json(&["ingest", "docs", "--dry-run"]);
    assert_eq!((plan["new"].as_array().unwrap().len(), plan["runs"][0]["steps"].as_array().unwrap().len()), (2, 5));

    let first = place.run(&["ingest", "docs"]);
    assert_eq!(first.code, 0, "{}", first.err);
    assert!(first.err.contains(&format!("next: `{WINDLASS} search")), "{}", first.err);
    assert!(first.out.contains("2 documents stored"), "{}", first.out);
    let found = place.json(&["search", "heavy", "load", "-k", "1"]);
    assert!(found["hits"][0]["uri"].as_str().unwrap().ends_with("/docs/winch.md"), "{found}");
    let printed = place.ok(&["search", "heavy load"]);
    assert!(printed.contains("pulls a heavy load") && !printed.contains(['*', '#', '\x1b']), "{printed}");
    let nonsense = place.run(&["search", "xqzzv", "blorft"]);
    assert_eq!((nonsense.code, nonsense.out.as_str()), (0, ""), "{}", nonsense.err);
    assert!(nonsense.err.contains("`--min-score 0`") && nonsense.err.lines().count() == 1, "{}", nonsense.err);
    let hits = |more: &[&str]| place.json(&[&["search", "xqzzv"], more].concat())["hits"].as_array().unwrap().len();
    assert_eq!((hits(&[]), hits(&["--min-score", "0"])), (0, 2));
    place.write("home/windlass.toml", "search.min_score = 0\n");
    assert_eq!((hits(&[]), hits(&["--min-score", "1"])), (2, 0));
    fs::remove_file(place.path().join("home/windlass.toml")).unwrap();
    assert_eq!(place.run(&["search", "x", "--min-score", "2"]).code, 2);

    assert!(place.ok(&["ingest", "docs"]).contains("nothing to do"));
    fs::remove_file(place.path().join("docs/tea.txt")).unwrap();
    let gone = place.run(&["ingest", "docs"]);
    assert!(gone.out.contains("--prune"), "{}", gone.out);
    assert_eq!(place.json(&["list", "documents"])["total"], 2);
    place.ok(&["ingest", "docs", "--prune"]);
    assert_eq!(place.json(&["db", "documents"])["total"], 1);
    std::os::unix::fs::symlink("docs", place.path().join("link")).unwrap();
    for spelled in ["docs/../docs", "./docs/", "link"] {
        place.write("docs/late.txt", "It comes late.");
        place.ok(&["ingest", spelled]);
        fs::remove_file(place.path().join("docs/late.txt")).unwrap();
        assert!(place.run(&["ingest", spelled]).out.contains("--prune"), "{spelled}");
        place.ok(&["ingest", spelled, "--prune"]);
        assert_eq!(place.json(&["db", "documents"])["total"], 1, "{spelled}");
    }
    assert_eq!(place.run(&["search", " "]).code, 2);
    assert!(place.ok(&["vacuum", "default"]).contains("before"));
    assert_eq!(place.json(&["db", "check"])["sound"], true);
    assert_eq!(place.json(&["db", "list"])["databases"][0]["documents"], 1);
}

#[test]
fn a_document_that_can_not_be_read_fails_alone() {
    let place = Place::new();
    place.write("docs/good.md", "# Good\n\nWords to find.\n");
    place.write("docs/bad.pdf", "%PDF-1.7\nthis is no more than a beginning");
    let ended = place.run(&["ingest", "docs", "--json"]);
    let events = lines_of_json(&ended.out);
    let report = &events.last().unwrap()["report"];
    assert_eq!((ended.code, &report["stored"], &report["failed"]), (3, &1.into(), &1.into()), "{report}");
    let again = place.run(&["ingest", "docs"]);
    assert!(again.err.contains("1 skipped: failed earlier and unchanged"), "{}", again.err);
}

#[test]
fn a_mistake_in_the_pools_submits_nothing() {
    let place = Place::new();
    place.write("docs/a.md", "# A\n\nWords.\n");
    for pool in ["q", "q=two", "q=-1"] {
        for command in [&["run", "--each", "true", "--items", "1"][..], &["ingest", "docs"]] {
            let refused = place.run(&[command, &["--pool", pool]].concat());
            assert_eq!(refused.code, 2, "{}", refused.err);
            assert!(refused.err.contains("is not a pool"), "{}", refused.err);
        }
    }
    assert_eq!(place.json(&["list", "groups"])["groups"].as_array().map(Vec::len), Some(0));
}

#[test]
fn a_project_has_a_home_of_its_own_that_is_found_from_below() {
    let place = Place::new();
    let run = |dir: &str, arguments: &[&str]| {
        let mut command = place.command(arguments);
        command.env("XDG_DATA_HOME", place.path().join("data"));
        command.env_remove("WINDLASS_HOME").current_dir(place.path().join(dir)).run()
    };
    fs::create_dir_all(place.path().join("a/b")).unwrap();
    assert_eq!(run("", &["init", "a"]).code, 0);
    let settings: Value = serde_json::from_str(&run("a/b", &["settings", "--json"]).out).unwrap();
    assert!(settings["home"].as_str().unwrap().ends_with("a/.windlass"), "{settings}");
    let again = run("a", &["init"]);
    assert_eq!(again.code, 5, "{}", again.err);
}

#[test]
fn every_document_of_json_can_be_parsed() {
    let place = Place::new();
    place.ok(&["run", "--each", "echo {{ item }}", "--items", "a", "b"]);
    for arguments in [
        &["status"][..],
        &["list"],
        &["list", "groups", "--status", "completed"],
        &["list", "runs"],
        &["list", "steps"],
        &["list", "workers"],
        &["list", "definitions"],
        &["list", "params"],
        &["show", "g1"],
        &["show", "r1"],
        &["show", "s1"],
        &["why", "s1"],
        &["logs", "s1"],
        &["wait", "g1"],
        &["cancel", "g1"],
        &["locks"],
        &["db", "list"],
        &["vacuum", "--all"],
        &["doctor"],
        &["settings"],
        &["settings", "heartbeat"],
        &["submit", "--each", "true {{ item }}", "--items", "a"],
        &["pause", "g2"],
        &["resume", "g2"],
        &["worker", "--until-idle"],
    ] {
        assert!(place.json(arguments).is_object(), "{arguments:?}");
    }
}
