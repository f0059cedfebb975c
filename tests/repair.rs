//! Repairs: failed steps continue under a repaired workflow, and finished runs rerun from a step.

mod support {
    pub mod binary;
    pub mod place;
}

use std::fs;
use support::place::Place;

/// Each step writes its name and item to `log`; `build` fails in the first version.
const BROKEN: &str = r#"
id: pack
steps:
  - name: fetch
    run: "echo fetch-{{ item }} >> log; echo got-{{ item }}"
  - name: build
    run: "echo build-{{ item }} >> log; test {{ item }} != bad"
  - name: send
    needs: [fetch, build]
    run: "echo send-{{ item }} >> log; echo {{ inputs.fetch.value }}"
"#;

fn repaired() -> String {
    BROKEN.replace("; test {{ item }} != bad", "; echo built")
}

fn with_flow(workflow: &str) -> Place {
    let place = Place::new();
    place.write("flow.yaml", workflow);
    place
}

fn log(place: &Place) -> Vec<String> {
    let text = fs::read_to_string(place.path().join("log")).unwrap_or_default();
    fs::write(place.path().join("log"), "").unwrap();
    let mut lines: Vec<String> = text.lines().map(str::to_string).collect();
    lines.sort();
    lines
}

#[track_caller]
fn ends(place: &Place, code: i32, words: &[&str]) -> String {
    let done = place.run(words);
    assert_eq!(done.code, code, "windlass {words:?}\n{}\n{}", done.out, done.err);
    format!("{}{}", done.out, done.err)
}

#[test]
fn what_failed_goes_on_under_the_repaired_workflow_and_what_was_done_stays() {
    let place = with_flow(BROKEN);
    ends(&place, 3, &["run", "flow.yaml", "--items", "bad", "good"]);
    log(&place);
    place.write("fixed.yaml", &repaired());
    assert!(ends(&place, 0, &["retry", "g1", "--with", "fixed.yaml"]).contains("g1 is open again"));
    ends(&place, 0, &["run", "--resume", "g1"]);
    assert_eq!(log(&place), ["build-bad", "send-bad"], "`fetch` keeps what it had made");
    assert_eq!(place.json(&["show", "r1"])["output"], "got-bad");
    let shown = place.json(&["show", "g1"]);
    let used: Vec<_> =
        shown["definitions"].as_array().unwrap().iter().map(|it| (&it["definition_id"], &it["runs"])).collect();
    assert_eq!(used, [(&1.into(), &1.into()), (&2.into(), &1.into())], "each run has the version that it ran under");
    let text = place.ok(&["show", "g1"]);
    assert!(text.contains("1 run under pack (d1)") && text.contains("1 run under pack (d2)"), "{text}");
    assert_eq!(place.json(&["show", "s2"])["definition_id"], 2);
    place.assert_sound();
}

#[test]
fn a_run_and_a_step_are_repaired_alone() {
    let place = with_flow(BROKEN);
    let items = ["run", "flow.yaml", "--items", "bad", "bad"];
    ends(&place, 3, &items);
    place.write("fixed.yaml", &repaired());
    ends(&place, 0, &["retry", "r1", "--with", "fixed.yaml"]);
    ends(&place, 3, &["run", "--resume", "g1"]);
    assert_eq!(place.json(&["show", "r1"])["status"], "COMPLETED");
    assert_eq!(place.json(&["show", "r2"])["status"], "FAILED");
    ends(&place, 0, &["retry", "s5", "--with", "fixed.yaml"]);
    ends(&place, 0, &["run", "--resume", "g1"]);
    assert_eq!(place.json(&["show", "g1"])["status"], "COMPLETED");
    place.assert_sound();
}

#[test]
fn a_workflow_of_other_steps_is_refused_with_the_difference() {
    let place = with_flow(BROKEN);
    ends(&place, 3, &["run", "flow.yaml", "--items", "bad"]);
    place.write("fixed.yaml", &repaired().replace("- name: send", "- name: mail"));
    for subject in ["g1", "r1", "s2"] {
        let said = ends(&place, 2, &["retry", subject, "--with", "fixed.yaml"]);
        assert!(said.contains("can't go on under this workflow: the step `send` is missing"), "{said}");
    }
    place.write("fixed.yaml", &repaired().replace("needs: [fetch, build]", "needs: [fetch]"));
    let said = ends(&place, 2, &["retry", "g1", "--with", "fixed.yaml"]);
    assert!(said.contains("`needs` of step `send` is [fetch], it was [fetch, build]"), "{said}");
    assert_eq!(place.json(&["show", "g1"])["status"], "FAILED", "nothing was written");
}

#[test]
fn a_plain_retry_says_that_the_file_has_changed() {
    let place = with_flow(BROKEN);
    ends(&place, 3, &["run", "flow.yaml", "--items", "bad"]);
    assert!(!ends(&place, 0, &["retry", "g1"]).contains("changed"), "it is the same file");
    ends(&place, 3, &["run", "--resume", "g1"]);
    place.write("flow.yaml", &format!("# a comment\n{BROKEN}"));
    assert!(!ends(&place, 0, &["retry", "r1"]).contains("changed"), "it says the same");
    ends(&place, 3, &["run", "--resume", "g1"]);
    place.write("flow.yaml", &repaired());
    for subject in ["g1", "r1", "s2"] {
        let said = ends(&place, 0, &["retry", subject]);
        let note = "flow.yaml changed since g1 was submitted: retry with `--with flow.yaml` to use it";
        assert!(said.contains(note), "{said}");
        ends(&place, 3, &["run", "--resume", "g1"]);
    }
    ends(&place, 0, &["retry", "g1", "--with", "flow.yaml"]);
    ends(&place, 0, &["run", "--resume", "g1"]);
    assert!(!ends(&place, 0, &["retry", "g1", "--from", "send"]).contains("changed"), "it is in use");
    ends(&place, 0, &["run", "--resume", "g1"]);
    place.write("flow.yaml", BROKEN);
    assert!(!ends(&place, 0, &["retry", "g1", "--from", "send"]).contains("changed"), "as it was submitted");
}

#[test]
fn resource_keys_and_hooks_are_those_of_the_repaired_workflow() {
    let place = with_flow(BROKEN);
    ends(&place, 3, &["run", "flow.yaml", "--items", "bad"]);
    let fixed = repaired().replace("- name: build", "- name: build\n    resource_key: \"disk:{{ item }}\"");
    place.write(
        "fixed.yaml",
        &format!("{fixed}hooks: {{ group_end: [{{ name: note, run: \"echo {{{{ group }}}} > hook\" }}] }}\n"),
    );
    ends(&place, 0, &["retry", "g1", "--with", "fixed.yaml"]);
    assert_eq!(place.json(&["show", "s2"])["key"], "disk:bad");
    ends(&place, 0, &["run", "--resume", "g1"]);
    assert_eq!(fs::read_to_string(place.path().join("hook")).unwrap(), "g1\n");
    place.assert_sound();
}

/// Cached steps write to `log` only when they really run.
const CACHED: &str = r#"
id: pack
steps:
  - name: fetch
    cache: true
    run: "echo fetch-{{ item }} >> log; echo got"
  - name: build
    cache: true
    cache_files: []
    run: "echo build-{{ item }} >> log; cat version"
  - name: check
    needs: [fetch]
    run: "echo check-{{ item }} >> log"
  - name: send
    needs: [build]
    cache: true
    run: "echo send-{{ item }} >> log; echo {{ inputs.build.value }}"
"#;

fn cached() -> Place {
    let place = with_flow(CACHED);
    place.write("version", "one");
    place
}

#[test]
fn a_finished_run_runs_again_from_a_step_which_is_really_run() {
    let place = cached();
    ends(&place, 0, &["run", "flow.yaml", "--items", "a"]);
    log(&place);
    // Nothing has changed: the named step runs, and the results of its dependents are still valid.
    let said = ends(&place, 0, &["retry", "r1", "--from", "build"]);
    assert!(said.contains("r1: 2 steps will run again"), "{said}");
    ends(&place, 0, &["run", "--resume", "g1"]);
    assert_eq!(log(&place), ["build-a"]);
    place.write("version", "two");
    ends(&place, 0, &["retry", "r1", "--from", "build"]);
    ends(&place, 0, &["run", "--resume", "g1"]);
    assert_eq!(log(&place), ["build-a", "send-a"], "what is behind it follows by its key");
    assert_eq!(place.json(&["show", "r1"])["output"], "two");
    let tries = place.json(&["show", "s2"])["attempts_all"].as_array().unwrap().len();
    assert_eq!(tries, 3, "its earlier successes stay in its history");
    place.assert_sound();
}

#[test]
fn every_run_of_a_group_runs_again_from_a_step_and_one_that_failed_before_begins_there() {
    let place = with_flow(BROKEN);
    ends(&place, 3, &["run", "flow.yaml", "--items", "bad", "good"]);
    log(&place);
    ends(&place, 0, &["retry", "g1", "--from", "send"]);
    ends(&place, 3, &["run", "--resume", "g1"]);
    assert_eq!(log(&place), ["build-bad", "send-good"]);
    let shown = place.json(&["show", "g1"]);
    assert_eq!((&shown["epoch"], &shown["failed"]), (&2.into(), &1.into()));
    place.write("fixed.yaml", &repaired());
    ends(&place, 0, &["retry", "g1", "--with", "fixed.yaml", "--from", "build"]);
    ends(&place, 0, &["run", "--resume", "g1"]);
    assert_eq!(log(&place), ["build-bad", "build-good", "send-bad", "send-good"]);
    place.assert_sound();
}

#[test]
fn a_step_that_is_none_and_a_single_step_are_refused() {
    let place = with_flow(BROKEN);
    ends(&place, 3, &["run", "flow.yaml", "--items", "bad"]);
    let said = ends(&place, 2, &["retry", "g1", "--from", "sent"]);
    assert!(said.contains("the workflow `pack` has no step `sent`: it has fetch, build, send"), "{said}");
    assert!(ends(&place, 2, &["retry", "s1", "--from", "send"]).contains("name the run or its group"));
}

#[test]
fn an_older_version_of_a_document_does_not_win_when_its_run_is_run_again() {
    let place = Place::new();
    fs::create_dir(place.path().join("notes")).unwrap();
    place.write("notes/a.md", "The anchor is old.");
    ends(&place, 0, &["ingest", "notes"]);
    place.write("notes/a.md", "The anchor is quite new now.");
    ends(&place, 0, &["ingest", "notes"]);
    ends(&place, 0, &["retry", "g1", "--from", "chunk"]);
    ends(&place, 0, &["run", "--resume", "g1"]);
    let shown = place.json(&["show", "r1"]);
    assert!(shown["output"].to_string().contains("superseded by r2"), "{shown}");
    let found = place.ok(&["search", "anchor"]);
    assert!(found.contains("quite new") && !found.contains("old."), "{found}");
    // The newest collecting step may run again, and its condition is evaluated again.
    ends(&place, 0, &["retry", "g2", "--from", "chunk"]);
    ends(&place, 0, &["run", "--resume", "g2"]);
    assert!(place.ok(&["search", "anchor"]).contains("quite new"));
    place.assert_sound();
}
