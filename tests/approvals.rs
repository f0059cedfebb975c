//! Steps that wait for people, times and signals, used from the command line.

mod support {
    pub mod binary;
    pub mod place;
}

use serde_json::json;
use support::{binary::eventually, place::Place};

const FLOW: &str = r#"
id: publish
steps:
  - name: ask
    approve: "Publish {{ item }}?"
  - name: publish
    run: "echo {{ inputs.ask.value.by }} >> published"
"#;

/// A place in which a run of this workflow waits.
fn waiting_in(flow: &str) -> Place {
    let place = Place::new();
    place.write("flow.yaml", flow);
    place.ok(&["submit", "flow.yaml", "--items", "a.md"]);
    place.ok(&["worker", "--until-idle"]);
    place
}

#[track_caller]
fn ends(place: &Place, code: i32, words: &[&str]) -> String {
    let done = place.run(words);
    assert_eq!(done.code, code, "windlass {words:?}\n{}\n{}", done.out, done.err);
    format!("{}{}", done.out, done.err)
}

fn status(place: &Place, id: &str) -> String {
    place.json(&["show", id])["status"].as_str().unwrap().to_string()
}

#[test]
fn a_step_asks_and_an_approval_continues_its_run() {
    let place = waiting_in(FLOW);
    assert_eq!(status(&place, "s1"), "WAITING");
    assert_eq!(status(&place, "r1"), "WAITING");
    assert_eq!(status(&place, "g1"), "WAITING");
    let listed = place.ok(&["list", "waiting"]);
    assert!(listed.contains("an approval: Publish a.md?") && listed.contains("s1"), "{listed}");
    assert!(place.ok(&["list"]).contains("1 step waits for an approval"));
    let why = place.ok(&["why", "s1"]);
    assert!(why.contains("Publish a.md?") && why.contains("windlass approve s1"), "{why}");
    assert!(place.ok(&["status"]).contains("1 step waits for an approval"));
    let said = place.ok(&["approve", "s1", "--by", "anna"]);
    assert!(said.contains("s1 is approved"), "{said}");
    place.ok(&["worker", "--until-idle"]);
    assert_eq!(status(&place, "g1"), "COMPLETED");
    let by = std::fs::read_to_string(place.path().join("published")).unwrap();
    assert_eq!(by.trim(), "anna", "the value of an approval says who gave it");
    let shown = place.json(&["show", "s1"]);
    let answer = &shown["attempts_all"][0]["detail"]["answer"];
    assert_eq!((&answer["approved"], &answer["by"]), (&json!(true), &json!("anna")));
    assert!(answer["at"].as_i64().unwrap() > 0);
    assert!(place.ok(&["show", "s1"]).contains("approved by anna"));
    place.assert_sound();
}

#[test]
fn the_first_answer_counts_and_the_second_person_is_told_of_it() {
    let place = waiting_in(FLOW);
    ends(&place, 0, &["approve", "s1", "--by", "anna"]);
    let again = ends(&place, 0, &["approve", "s1", "--by", "anna"]);
    assert!(again.contains("was already approved by anna"), "{again}");
    let other = ends(&place, 5, &["reject", "s1", "--by", "bob", "--reason", "too early"]);
    assert!(other.contains("s1 was already approved by anna"), "{other}");
    ends(&place, 5, &["approve", "s1", "--by", "bob"]);
    let events = place.ok(&["events", "--json"]);
    assert_eq!(events.matches("STEP_ANSWERED").count(), 1, "{events}");
}

#[test]
fn two_people_who_answer_at_once_get_one_answer() {
    let place = waiting_in(FLOW);
    let anna = place.start(&["approve", "s1", "--by", "anna"]);
    let bob = place.start(&["reject", "s1", "--by", "bob", "--reason", "no"]);
    let codes = [anna, bob].map(|it| it.wait_with_output().unwrap().status.code().unwrap());
    assert!(codes == [0, 5] || codes == [5, 0], "{codes:?}");
    let won = if codes[0] == 0 { "COMPLETED" } else { "FAILED" };
    assert_eq!(status(&place, "s1"), won);
    place.assert_sound();
}

#[test]
fn a_rejection_fails_the_step_with_its_reason_and_a_retry_asks_again() {
    let place = waiting_in(FLOW);
    ends(&place, 2, &["reject", "s1"]);
    ends(&place, 0, &["reject", "s1", "--by", "bob", "--reason", "wrong logo"]);
    assert_eq!(status(&place, "g1"), "FAILED");
    let why = ends(&place, 0, &["why", "s1"]);
    assert!(why.contains("rejected by bob: wrong logo"), "{why}");
    ends(&place, 0, &["retry", "g1"]);
    ends(&place, 0, &["worker", "--until-idle"]);
    assert_eq!(status(&place, "s1"), "WAITING");
    ends(&place, 0, &["approve", "s1"]);
    ends(&place, 0, &["worker", "--until-idle"]);
    assert_eq!(status(&place, "g1"), "COMPLETED");
    let shown = place.json(&["show", "s1"]);
    assert_eq!(shown["attempts_all"][0]["detail"]["answer"]["by"], "bob", "the first answer is kept");
    place.assert_sound();
}

#[test]
fn what_nobody_can_answer_is_refused_with_what_it_is() {
    let place = waiting_in(FLOW);
    let said = ends(&place, 5, &["approve", "s2"]);
    assert!(said.contains("s2 does not wait for an approval"), "{said}");
    ends(&place, 4, &["approve", "s99"]);
    let said = ends(&place, 2, &["approve", "g1"]);
    assert!(said.contains("windlass list waiting"), "{said}");
    let said = ends(&place, 2, &["approve", "s1", "--value", "yes"]);
    assert!(said.contains("is not JSON"), "{said}");
    let said = ends(&place, 2, &["signal", "g1", "go"]);
    assert!(said.contains("no step of g1 waits for a signal"), "{said}");
    ends(&place, 0, &["cancel", "g1"]);
    let said = ends(&place, 5, &["approve", "s1"]);
    assert!(said.contains("s1 is cancelled"), "{said}");
}

#[test]
fn a_value_becomes_that_of_the_step() {
    let place = waiting_in(FLOW);
    ends(&place, 0, &["approve", "s1", "--value", "{\"by\": \"the board\"}"]);
    ends(&place, 0, &["worker", "--until-idle"]);
    let by = std::fs::read_to_string(place.path().join("published")).unwrap();
    assert_eq!(by.trim(), "the board");
    let large = format!("\"{}\"", "x".repeat(70_000));
    place.ok(&["submit", "flow.yaml", "--items", "b.md"]);
    place.ok(&["worker", "--until-idle"]);
    let said = ends(&place, 2, &["approve", "s3", "--value", &large]);
    assert!(said.contains("the limit is 64"), "{said}");
    assert_eq!(status(&place, "s3"), "WAITING");
}

#[test]
fn nobody_answers_in_time() {
    for (otherwise, end) in [("reject", "FAILED"), ("approve", "COMPLETED")] {
        let place = Place::new();
        let flow = format!(
            "id: a\nsteps:\n  - name: ask\n    approve: {{ ask: \"Go?\", within: 300ms, otherwise: {otherwise} }}\n  - name: b\n    run: echo b\n"
        );
        place.write("flow.yaml", &flow);
        place.run(&["run", "flow.yaml"]);
        assert_eq!(status(&place, "s1"), end);
        assert_eq!(status(&place, "g1"), end);
        if otherwise == "reject" {
            assert!(place.ok(&["why", "s1"]).contains("no answer came within 300ms"));
        }
        place.assert_sound();
    }
}

#[test]
fn a_wait_takes_its_time_and_no_slot() {
    let place = Place::new();
    let flow = "id: a\nsteps:\n  - name: later\n    wait: \"{{ item }}\"\n  - name: b\n    run: date +%s%3N >> ends\n";
    place.write("flow.yaml", flow);
    let begun = std::time::Instant::now();
    place.ok(&["run", "flow.yaml", "--items", "700ms", "--items", "700ms", "--items", "700ms", "--items", "700ms"]);
    assert!(begun.elapsed().as_millis() >= 700, "it waits");
    let shown = place.json(&["show", "s1"]);
    let took = shown["ended"].as_i64().unwrap() - shown["started"].as_i64().unwrap();
    assert!(took >= 700, "{took} ms");
    let said = place.run(&["run", "flow.yaml", "--items", "soon"]);
    assert_eq!(said.code, 3, "{}{}", said.out, said.err);
    let why = place.ok(&["why", "g2"]);
    assert!(why.contains("`soon` is not a duration"), "{why}");
}

#[test]
fn a_time_can_be_a_text_a_template_or_an_expression() {
    let place = Place::new();
    let flow = r#"
id: a
steps:
  - name: past
    wait_until: "2020-02-03T04:05"
  - name: asked
    wait_until: "{{ item.at }}"
  - name: found
    wait_until: "has(item.later) ? item.later : item.at"
"#;
    place.write("flow.yaml", flow);
    let past = r#"{"at": "2020-02-03T04:05:06Z"}"#;
    place.ok(&["run", "flow.yaml", "--items", past]);
    assert_eq!(status(&place, "g1"), "COMPLETED");
    place.ok(&["submit", "flow.yaml", "--items", r#"{"at": "2020-02-03", "later": "2100-01-01T00:00:00Z"}"#]);
    let worker = place.start(&["worker"]);
    eventually("the last step waits", || status(&place, "s6") == "WAITING");
    let waits = place.json(&["why", "s6"])["steps"][0]["facts"]["waits"].clone();
    assert_eq!((&waits["kind"], &waits["due"]), (&json!("time"), &json!(4_102_444_800_000_i64)));
    drop(worker);
    let said = place.run(&["run", "flow.yaml", "--items", r#"{"at": "tomorrow"}"#]);
    assert_eq!(said.code, 3);
    assert!(place.ok(&["why", "g3"]).contains("\"tomorrow\" is not a time"));
}

const SIGNAL: &str = r#"
id: upload
steps:
  - name: before
    run: echo x
  - name: uploaded
    signal: uploaded
  - name: check
    run: "echo {{ item }}-{{ inputs.uploaded.value.n }} >> got"
"#;

fn got(place: &Place) -> Vec<String> {
    let text = std::fs::read_to_string(place.path().join("got")).unwrap_or_default();
    let mut lines: Vec<String> = text.lines().map(str::to_string).collect();
    lines.sort();
    lines
}

#[test]
fn a_signal_continues_all_that_wait_and_is_kept_for_those_that_come_later() {
    let place = Place::new();
    place.write("flow.yaml", SIGNAL);
    place.ok(&["submit", "flow.yaml", "--items", "a", "b"]);
    let said = ends(&place, 0, &["signal", "g1", "uploaded", "--value", "{\"n\": 1}"]);
    assert!(said.contains("it is kept"), "{said}");
    let said = ends(&place, 0, &["signal", "g1", "uploaded", "--value", "{\"n\": 1}"]);
    assert!(said.contains("already"), "{said}");
    place.ok(&["worker", "--until-idle"]);
    assert_eq!(got(&place), ["a-1", "b-1"]);
    assert_eq!(status(&place, "g1"), "COMPLETED");
    let said = ends(&place, 5, &["signal", "g1", "uploaded"]);
    assert!(said.contains("g1 has ended"), "{said}");
    place.assert_sound();
}

#[test]
fn a_signal_to_one_run_continues_that_run_only() {
    let place = Place::new();
    place.write("flow.yaml", SIGNAL);
    place.ok(&["submit", "flow.yaml", "--items", "a", "b"]);
    place.ok(&["worker", "--until-idle"]);
    let said = ends(&place, 2, &["signal", "g1", "upload"]);
    assert!(said.contains("did you mean `uploaded`?"), "{said}");
    let said = ends(&place, 0, &["signal", "r2", "uploaded", "--value", "{\"n\": 2}"]);
    assert!(said.contains("1 step continued"), "{said}");
    place.ok(&["worker", "--until-idle"]);
    assert_eq!(got(&place), ["b-2"]);
    assert_eq!(status(&place, "r1"), "WAITING");
    ends(&place, 0, &["signal", "g1", "uploaded", "--value", "{\"n\": 3}"]);
    place.ok(&["worker", "--until-idle"]);
    assert_eq!(got(&place), ["a-3", "b-2"]);
    place.assert_sound();
}

#[test]
fn a_worker_that_is_killed_leaves_what_waits_and_the_answer_counts() {
    let place = Place::new();
    place.write("flow.yaml", FLOW);
    place.ok(&["submit", "flow.yaml", "--items", "a.md"]);
    let worker = place.start(&["worker"]);
    eventually("it asks", || status(&place, "s1") == "WAITING");
    worker.signal("KILL");
    drop(worker);
    place.assert_sound();
    assert_eq!(status(&place, "s1"), "WAITING");
    place.ok(&["approve", "s1", "--by", "anna"]);
    assert_eq!(status(&place, "s1"), "COMPLETED", "no worker is needed to take an answer");
    place.ok(&["worker", "--until-idle"]);
    assert_eq!(status(&place, "g1"), "COMPLETED");
    place.assert_sound();
}

#[test]
fn a_time_that_passes_while_nothing_runs_ends_the_wait_at_the_next_start() {
    let place = Place::new();
    place.write("flow.yaml", "id: a\nsteps:\n  - name: w\n    wait: 400ms\n  - name: b\n    run: echo b\n");
    place.ok(&["submit", "flow.yaml"]);
    let worker = place.start(&["worker"]);
    eventually("it waits", || status(&place, "s1") == "WAITING" || status(&place, "s1") == "COMPLETED");
    worker.signal("KILL");
    drop(worker);
    place.ok(&["worker", "--until-idle"]);
    assert_eq!(status(&place, "g1"), "COMPLETED");
    place.assert_sound();
}

#[test]
fn wrong_waits_are_refused_at_submit_with_file_line_and_hint() {
    let table = [
        ("approve: ''", "`ask` is empty"),
        ("approve: { within: 7d }", "`approve` has no `ask`"),
        ("approve: { ask: x, otherwise: reject }", "`otherwise` without `within`"),
        ("approve: { ask: x, within: 7d, otherwise: maybe }", "write `reject` or `approve`"),
        ("approve: { ask: x, within: 0s }", "leaves no time for an answer"),
        ("approve: '{{ out }}'", "`out` has no value here"),
        ("wait: soon", "is not a duration"),
        ("wait_until: soon", "soon"),
        ("wait_until: 1 + 2", "a text is wanted"),
        ("wait_until: inputs.b.value", "is not among the steps"),
        ("signal: { name: x, otherwise: continue }", "`otherwise` without `within`"),
        ("signal: { within: 1d }", "`signal` has no `name`"),
        ("approve: x\n    run: echo", "`run` does not work with `approve`"),
        ("wait: 1s\n    retries: 3", "`retries` does not work with `wait`"),
        ("signal: x\n    on_cancel: run", "`on_cancel` does not work with `signal`"),
    ];
    let place = Place::new();
    for (step, said) in table {
        place.write("flow.yaml", &format!("id: a\nsteps:\n  - name: s\n    {step}\n"));
        let refused = ends(&place, 2, &["submit", "flow.yaml"]);
        assert!(refused.contains(said) && refused.contains("flow.yaml:"), "{step}: {refused}");
    }
}

#[test]
fn a_hook_tells_that_there_is_a_question() {
    let hooks = "hooks:\n  approval_wanted:\n    - name: tell\n      run: \"echo {{ event }} {{ step }} >> told\"\n";
    let place = waiting_in(&format!("{FLOW}{hooks}"));
    let messages = std::fs::read_to_string(place.path().join("told")).unwrap();
    assert!(messages.contains("APPROVAL_WANTED") || messages.contains("approval_wanted"), "{messages}");
}

#[test]
fn why_a_group_waits_names_what_waits_and_not_what_was_skipped() {
    let place = Place::new();
    let flow = "id: flow\nsteps:\n  - { name: skipped, when: item == 'x', run: 'true' }\n  - { name: ask, approve: 'Go?' }\n  - { name: after, run: 'true' }\n";
    place.write("flow.yaml", flow);
    place.write("pause.yaml", "id: pause\nsteps: [{ name: pause, wait: 2h }, { name: up, needs: [], signal: up }]\n");
    place.ok(&["submit", "flow.yaml", "--items", "a"]);
    place.ok(&["worker", "--until-idle"]);
    let why = place.ok(&["why", "g1"]);
    assert!(why.contains("it waits for an approval: Go?") && !why.contains("skipped"), "{why}");
    let run = place.ok(&["why", "r1"]);
    assert!(run.contains("it waits for an approval: Go?"), "{run}");
    let said = ends(&place, 0, &["approve", "s2"]);
    assert!(said.contains("no worker is running: start one with"), "{said}");
    // A run that has ended is explained by what was skipped in it.
    place.ok(&["worker", "--until-idle"]);
    let why = place.ok(&["why", "r1"]);
    assert!(why.contains("it was skipped because its condition is false"), "{why}");

    place.ok(&["submit", "pause.yaml"]);
    let worker = place.command(&["worker"]).piped().spawn().unwrap();
    eventually("both wait", || place.ok(&["list", "waiting"]).contains("`up`"));
    eventually("the group says what for", || {
        let listed = place.ok(&["list"]);
        listed.contains("pause (1 step waits for a signal, 1 for a time)")
    });
    let why = place.ok(&["why", "s4"]);
    assert!(why.contains("its wait ends in 1 h"), "{why}");
    drop(worker);
}

#[test]
fn a_schedule_that_skips_says_so_and_a_misspelt_one_gets_its_name() {
    let place = Place::new();
    let flow = "id: nightly\nschedule: { every: 1d }\nconcurrency: { group: nightly, policy: skip }\nsteps: [{ name: a, run: 'true' }]\n";
    place.write("nightly.yaml", flow);
    place.ok(&["schedule", "add", "nightly.yaml"]);
    let first = ends(&place, 0, &["schedule", "run", "nightly"]);
    assert!(first.contains("started g1") && first.contains("no worker is running"), "{first}");
    let second = ends(&place, 0, &["schedule", "run", "nightly"]);
    assert!(second.contains("  skipped: g1 has not ended") && !second.contains("started"), "{second}");
    assert!(place.ok(&["schedule", "list"]).contains("skipped"));
    let wrong = ends(&place, 4, &["schedule", "show", "nigthly"]);
    assert!(
        wrong.contains("schedule `nigthly` does not exist") && wrong.contains("did you mean `nightly`?"),
        "{wrong}"
    );
    place.ok(&["schedule", "remove", "nightly"]);
    let none = ends(&place, 4, &["schedule", "pause", "nightly"]);
    assert!(none.contains("windlass schedule add FILE"), "{none}");
}
