//! Conditions and failures: steps that are skipped, that handle a failure, that may fail, and that run on cancellation.

mod support {
    pub mod binary;
    pub mod house;
    pub mod place;
}

use std::{fs, time::Duration};
use support::{
    binary::eventually,
    house::{self, Book, completion, record, step},
    place::Place,
};
use windlass::{
    model::{After, Shape, ShapeStep, Status, StepId},
    store::{Held, Settlement, cancel, read, retry},
};

/// A place with a workflow in it.
fn with_flow(workflow: &str) -> Place {
    let place = Place::new();
    place.write("flow.yaml", workflow);
    place
}

/// The output of a command that must end with this code.
#[track_caller]
fn ends(place: &Place, code: i32, words: &[&str]) -> String {
    let done = place.run(words);
    assert_eq!(done.code, code, "windlass {words:?}\n{}\n{}", done.out, done.err);
    format!("{}{}", done.out, done.err)
}

/// The status of each step of a run, in the order of the workflow.
#[track_caller]
fn statuses(place: &Place, run: &str) -> Vec<String> {
    let shown = place.json(&["show", run]);
    let steps = shown["steps"].as_array().unwrap_or_else(|| panic!("{shown}"));
    steps.iter().map(|it| it["status"].as_str().unwrap().to_string()).collect()
}

const BRANCH: &str = r#"
id: branch
steps:
  - name: sort
    run: "echo {{ item }}"
  - name: short
    when: size(inputs.sort.value) < 4
    run: "echo short-{{ inputs.sort.value }}"
  - name: long
    needs: [sort]
    when: size(inputs.sort.value) >= 4
    run: "echo long-{{ inputs.sort.value }}"
  - name: join
    needs: [short, long]
    run: "echo {{ inputs.short.value }}{{ inputs.long.value.title }},{{ inputs.short.status }},{{ inputs.long.status }}; ls {{ inputs.long.dir }}"
"#;

#[test]
fn a_diamond_of_two_exclusive_branches_joins_by_itself() {
    let place = with_flow(BRANCH);
    ends(&place, 0, &["run", "flow.yaml", "--items", "abc"]);
    assert_eq!(statuses(&place, "r1"), ["COMPLETED", "COMPLETED", "SKIPPED", "COMPLETED"]);
    let shown = place.json(&["show", "r1"]);
    assert_eq!(shown["status"], "COMPLETED");
    assert_eq!(shown["output"], "short-abc,completed,skipped", "a skipped need is null, and has no files");
}

#[test]
fn a_skipped_step_keeps_its_condition_and_what_that_saw() {
    let place = with_flow(BRANCH);
    ends(&place, 0, &["run", "flow.yaml", "--items", "abc"]);
    let why = place.json(&["why", "s3"]);
    let why = &why["steps"][0]["facts"];
    assert_eq!(why["skipped"]["when"], "size(inputs.sort.value) >= 4");
    assert_eq!(why["skipped"]["values"]["inputs.sort.value"], "abc");
    let said = ends(&place, 0, &["why", "s3"]);
    assert!(said.contains("its condition is false") && said.contains("inputs.sort.value = \"abc\""), "{said}");
    let shown = place.json(&["show", "s3"]);
    assert_eq!((&shown["status"], &shown["attempts"]), (&"SKIPPED".into(), &0.into()), "no attempt is spent");
    assert_eq!(shown["attempts_all"][0]["outcome"], "skipped");
    assert_eq!(shown["attempts_all"][0]["detail"]["condition"]["when"], "size(inputs.sort.value) >= 4");
}

#[test]
fn a_condition_without_an_answer_fails_its_step_and_says_what_it_saw() {
    let flow = "id: a\nsteps: [{ name: one, when: item.pages > 3, run: echo no, retries: 5 }]";
    let place = with_flow(flow);
    let said = ends(&place, 3, &["run", "flow.yaml", "--items", "{\"name\": \"x\"}"]);
    assert!(
        said.contains("there is no field `pages`") && said.contains("`item.pages > 3` with item = {\"name\":\"x\"}"),
        "{said}"
    );
    let shown = place.json(&["show", "s1"]);
    assert_eq!(
        (&shown["status"], shown["attempts_all"].as_array().unwrap().len()),
        (&"FAILED".into(), 1),
        "no retry helps"
    );
}

#[test]
fn a_condition_is_judged_once_and_not_again_before_a_retry() {
    let flow = r#"
id: a
steps:
  - { name: other, run: "until test -e tried; do sleep 0.02; done; exit 1" }
  - name: one
    needs: []
    when: "!run.failed"
    run: "if test -e tried; then echo again; else touch tried; exit 1; fi"
    retries: 1
    backoff: { initial: 1s }
"#;
    let place = with_flow(flow);
    ends(&place, 3, &["run", "flow.yaml", "--items", "x", "--pool", "*=2"]);
    assert_eq!(
        statuses(&place, "r1"),
        ["FAILED", "COMPLETED"],
        "the second attempt runs although a step failed meanwhile"
    );
}

#[test]
fn wrong_conditions_are_refused_at_submit_with_file_line_and_hint() {
    let table = [
        ("when: itm.x", "`itm` is not known here", "a condition knows `item`"),
        ("when: inputs.two.value == 1", "`inputs.two` is not among the steps", "known: one (or list it in `needs`)"),
        ("when: size(item)", "a condition is true or false, this is a number", ""),
        ("when: '1 < \"a\"'", "`<` stands between a number and a text", ""),
        ("when: run.failed &&", "the end is not expected here", ""),
        ("after: sometimes", "unknown value `sometimes` of `after`", "`success`, `failure` or `always`"),
        ("on_cancel: run", "`on_cancel: run` in a step that follows success", "add `after: always`"),
    ];
    for (line, message, hint) in table {
        let place =
            with_flow(&format!("id: a\nsteps:\n  - name: one\n    run: x\n  - name: three\n    run: y\n    {line}\n"));
        let said = ends(&place, 2, &["run", "flow.yaml", "--items", "x"]);
        assert!(said.contains("flow.yaml:7") && said.contains(message) && said.contains(hint), "{line}: {said}");
    }
    let place = with_flow("id: a\nsteps: [{ name: one, run: x, after: always }]");
    assert!(ends(&place, 2, &["run", "flow.yaml", "--items", "x"]).contains("in a step that needs no other"));
    let place = with_flow("id: a\nsteps: [{ name: one, run: x, when: params.min > 3 }]");
    assert!(ends(&place, 2, &["run", "flow.yaml", "--items", "x"]).contains("params.min"));
}

const CLEANED: &str = r#"
id: cleaned
steps:
  - { name: build, run: "test {{ item }} != bad" }
  - { name: publish, run: "echo published >> log" }
  - { name: alarm, after: failure, run: "echo alarm-{{ inputs.publish.status }} >> log" }
  - { name: clean, needs: [build, publish], after: always, run: "echo clean >> log" }
"#;

#[test]
fn what_follows_a_failure_runs_and_the_run_is_failed_all_the_same() {
    let place = with_flow(CLEANED);
    ends(&place, 3, &["run", "flow.yaml", "--items", "bad"]);
    assert_eq!(statuses(&place, "r1"), ["FAILED", "CANCELLED", "COMPLETED", "COMPLETED"]);
    assert_eq!(place.json(&["show", "r1"])["status"], "FAILED");
    let mut log: Vec<String> =
        fs::read_to_string(place.path().join("log")).unwrap().lines().map(str::to_string).collect();
    log.sort();
    assert_eq!(log, ["alarm-cancelled", "clean"]);
}

#[test]
fn what_follows_a_failure_is_skipped_when_there_is_none() {
    let place = with_flow(CLEANED);
    ends(&place, 0, &["run", "flow.yaml", "--items", "good"]);
    assert_eq!(statuses(&place, "r1"), ["COMPLETED", "COMPLETED", "SKIPPED", "COMPLETED"]);
    assert_eq!(fs::read_to_string(place.path().join("log")).unwrap(), "published\nclean\n");
    assert!(ends(&place, 0, &["why", "s3"]).contains("nothing that it follows failed"));
}

#[test]
fn an_allowed_failure_leaves_the_run_completed_and_is_counted() {
    let flow = r#"
id: lenient
steps:
  - { name: thumbnail, run: "exit 3", allow_failure: true }
  - { name: store, when: "!run.failed", run: "echo {{ inputs.thumbnail.status }}:{{ inputs.thumbnail.value }}" }
"#;
    let place = with_flow(flow);
    ends(&place, 0, &["run", "flow.yaml", "--items", "x"]);
    assert_eq!(statuses(&place, "r1"), ["FAILED", "COMPLETED"]);
    let shown = place.json(&["show", "r1"]);
    assert_eq!((&shown["status"], &shown["output"]), (&"COMPLETED".into(), &"failed:".into()));
    assert_eq!(shown["allowed_failures"], 1);
    let said = ends(&place, 0, &["show", "r1"]);
    assert!(said.contains("1 allowed failure"), "{said}");
    let group = place.json(&["show", "g1"]);
    assert_eq!((&group["allowed_failures"], &group["failure_kinds"]), (&1.into(), &serde_json::json!([])));
}

fn run_on_cancel(after: After, needs: &[usize]) -> ShapeStep {
    ShapeStep { after, on_cancel_run: true, ..step("clean", needs) }
}

fn shape(steps: Vec<ShapeStep>) -> Shape {
    Shape { steps, hooks: vec![] }
}

#[test]
fn a_cancelled_group_ends_with_its_clean_up() {
    let book = Book::new();
    let always = ShapeStep { after: After::Always, ..step("tell", &[0]) };
    let group = book.submit(&shape(vec![step("work", &[]), run_on_cancel(After::Always, &[0]), always]), &["x", "y"]);
    let work = book.claim("*");
    book.cancel(group);
    book.check();
    assert_eq!(book.claims("*", 9).len(), 0, "its need has not ended yet");
    assert_eq!(book.settle(&work, Settlement::Cancelled { record: record("stopped") }), Held::Yes);
    book.check();
    let why = book.store.read(|tx| read::why(tx, StepId(2))).unwrap();
    assert!(
        why.ready && !why.group_cancelling && why.unmet.is_empty(),
        "the cancel is no reason why it waits: {why:?}"
    );
    let clean = book.claim("*");
    assert_eq!(book.type_name(&clean), "clean");
    book.cancel(group);
    assert!(!book.ended(group), "a second cancel leaves the clean-up, too");
    assert_eq!(book.claims("*", 9).len(), 0, "the other run had not begun, and has nothing to clean up");
    assert_eq!(book.complete(&clean), Held::Yes);
    book.check();
    assert!(book.ended(group));
    let end = book.group_end(group);
    assert_eq!((end.failed, end.cancelled), (0, 2));
    assert_eq!(book.status_of(StepId(3)), Status::Cancelled, "`always` alone is cancelled");
}

#[test]
fn a_paused_group_that_is_cancelled_still_cleans_up() {
    let book = Book::new();
    let group = book.submit(&shape(vec![step("work", &[]), run_on_cancel(After::Always, &[0])]), &["x"]);
    book.complete(&book.claim("*"));
    book.pause(group);
    assert_eq!(book.claims("*", 9).len(), 0);
    book.cancel(group);
    book.check();
    book.complete(&book.claim("*"));
    assert!(book.ended(group));
    book.check();
}

#[test]
fn a_cancelled_step_reaches_what_a_cancel_starts() {
    let book = Book::new();
    let steps = vec![step("work", &[]), run_on_cancel(After::Failure, &[0]), step("more", &[0])];
    let group = book.submit(&shape(steps), &["x"]);
    book.store.write(|tx| cancel::step(tx, StepId(1))).unwrap();
    book.check();
    let clean = book.claim("*");
    assert_eq!(clean.lease.step, StepId(2));
    book.complete(&clean);
    assert_eq!((book.group_end(group).cancelled, book.status_of(StepId(3))), (1, Status::Cancelled));
}

#[test]
fn a_running_command_is_cancelled_and_its_clean_up_runs() {
    let flow = r#"
id: a
steps:
  - { name: work, run: "touch begun; sleep 60" }
  - { name: clean, after: always, on_cancel: run, uses: windlass/noop }
"#;
    let place = with_flow(flow);
    let running = place.start(&["run", "flow.yaml", "--items", "x"]);
    eventually("the step runs", || place.path().join("begun").exists());
    ends(&place, 0, &["cancel", "g1"]);
    assert_eq!(running.end(Duration::from_secs(60)).code, 6);
    assert_eq!(statuses(&place, "r1"), ["CANCELLED", "COMPLETED"]);
    assert_eq!(place.json(&["show", "g1"])["status"], "CANCELLED");
}

#[test]
fn a_retry_opens_what_failed_and_what_that_decided() {
    let book = Book::new();
    let follows = |after: After, needs: &[usize]| ShapeStep { after, ..step("after", needs) };
    let steps =
        vec![step("work", &[]), step("more", &[0]), follows(After::Failure, &[1]), follows(After::Always, &[1])];
    let group = book.submit(&shape(steps), &["x"]);
    book.fail(&book.claim("*"), "no");
    for step in book.claims("*", 9) {
        book.complete(&step);
    }
    assert_eq!(book.group_end(group).failed, 1);
    assert_eq!(book.retry(group).ok(), Some(true));
    book.check();
    book.complete(&book.claim("*"));
    book.complete(&book.claim("*"));
    let last = book.claim("*");
    assert_eq!(last.lease.step, StepId(4), "`always` runs again");
    book.complete(&last);
    book.check();
    assert_eq!((book.group_end(group).failed, book.status_of(StepId(3))), (0, Status::Skipped));
    let attempts = book.store.read(|tx| read::show_step(tx, StepId(4))).unwrap().attempts_all;
    assert_eq!(attempts.len(), 2, "its first success stays in its history: {attempts:?}");
}

#[test]
fn a_step_is_not_retried_under_one_that_follows_it_and_has_begun() {
    let book = Book::new();
    let clean = ShapeStep { after: After::Always, ..step("clean", &[0]) };
    book.submit(&shape(vec![step("work", &[]), clean]), &["x"]);
    book.fail(&book.claim("*"), "no");
    let clean = book.claim("*");
    let refused = book.store.write(|tx| retry::step(tx, StepId(1))).unwrap_err();
    assert!(refused.to_string().contains("s2 follows s1 and has begun"), "{refused}");
    book.complete(&clean);
    assert_eq!(book.store.write(|tx| retry::step(tx, StepId(1))).unwrap(), 2);
    book.check();
    book.complete(&book.claim("*"));
    book.complete(&book.claim("*"));
    assert_eq!(book.status_of(StepId(2)), Status::Completed);
}

#[test]
fn a_skip_starts_what_follows_in_a_chain() {
    let book = Book::new();
    let group = book.submit(&house::chain(&["a", "b"]), &["x"]);
    assert_eq!(book.settle(&book.claim("*"), Settlement::Skip { record: record("not wanted") }), Held::Yes);
    book.check();
    assert_eq!(book.settle(&book.claim("*"), completion()), Held::Yes);
    assert_eq!((book.group_end(group).failed, book.status_of(StepId(1))), (0, Status::Skipped));
    assert_eq!(book.events("STEP_SKIPPED"), 1);
    book.check();
}
