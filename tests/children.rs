//! Steps that start runs of their own, wait for them without a worker, and end with them.

mod support {
    pub mod binary;
    pub mod house;
    pub mod place;
    pub mod plant;
}

use serde_json::{Value, json};
use std::{fs, path::Path, time::Duration};
use support::{
    binary::eventually,
    house::{self, Book},
    place::Place,
    plant,
};
use windlass::{
    definition::{KnownKinds, parse},
    engine::{Engine, Retry, Submission},
    model::{Event, EventKind, GroupId, Millis, Status, StepId, Tolerate},
    store::{
        Held, Settlement, Store, check,
        child_group::{self, NewChild},
        event::{self, Cursor},
        group, output,
        read::{self, Below, GroupFilter},
        waiting::{NewWait, WaitDetail, WaitsFor},
    },
};

/// Asserts that the store finds no problem.
#[track_caller]
fn sound(engine: &Engine) {
    let found = engine.store().read(check::check).unwrap();
    assert!(found.is_empty(), "{found:?}");
}

fn groups(engine: &Engine, below: Below) -> Vec<read::GroupRow> {
    let filter = GroupFilter { limit: 100_000, below, ..GroupFilter::default() };
    engine.store().read(|tx| read::groups(tx, &filter)).unwrap()
}

/// The group that a step started.
#[track_caller]
fn child(engine: &Engine, step: i64) -> GroupId {
    engine.store().read(|tx| child_group::of_step(tx, StepId(step))).unwrap().expect("it started a group").group
}

fn value(engine: &Engine, step: i64) -> Value {
    engine.store().read(|tx| output::of_step(tx, StepId(step))).unwrap().and_then(|it| it.value).unwrap_or_default()
}

fn status(engine: &Engine, step: i64) -> Status {
    engine.store().read(|tx| read::status_of_step(tx, StepId(step))).unwrap()
}

/// All events so far.
fn events(store: &Store) -> Vec<Event> {
    let mut all = Vec::new();
    let mut cursor = Cursor::default();
    loop {
        let page = store.read(|tx| event::after(tx, cursor, 500)).unwrap();
        let Some((last, _)) = page.last() else { return all };
        cursor = *last;
        all.extend(page.into_iter().map(|it| it.1));
    }
}

/// Runs a workflow for one item. Returns the engine and the status of its group.
fn run(home: &Path, text: &str, item: &str) -> (Engine, GroupId, Status) {
    let engine = plant::open(home);
    let worker = plant::worker(&engine, 1);
    let group = plant::submit(&engine, text, &[item]);
    let status = plant::wait(&engine, &worker, group);
    worker.stop(Millis::seconds(5));
    sound(&engine);
    (engine, group, status)
}

const PAGES: &str = r#"
id: pages
steps:
  - name: split
    run: "printf 'a\nb\nb\nc\n' > {{ out }}/list.txt; echo '{\"lang\": \"de\"}'"
  - name: page
    for_each: inputs.split.files["list.txt"]
    run: "echo page-{{ item }}-{{ inputs.split.value.lang }}; wc -l < {{ inputs.split.dir }}/list.txt >&2"
  - name: join
    run: "cat {{ inputs.page.children }} > {{ out }}/all.jsonl; wc -l < {{ inputs.page.children }}"
"#;

#[test]
fn each_line_of_a_file_is_a_run_and_the_next_step_reads_their_results_in_order() {
    let home = tempfile::tempdir().unwrap();
    let (engine, _, ended) = run(home.path(), PAGES, "book");
    assert_eq!(ended, Status::Completed);
    let counts = json!({"count": 4, "completed": 4, "failed": 0, "skipped": 0, "cancelled": 0});
    assert_eq!(value(&engine, 2), counts, "equal elements are separate runs");
    let left = engine.store().read(|tx| output::of_step(tx, StepId(3))).unwrap().unwrap();
    let text = String::from_utf8(engine.artifacts().get_bytes(&left.files[0].1).unwrap()).unwrap();
    let lines: Vec<Value> = text.lines().map(|it| serde_json::from_str(it).unwrap()).collect();
    let read: Vec<(&str, &str, &str)> = lines
        .iter()
        .map(|it| (it["item"].as_str().unwrap(), it["status"].as_str().unwrap(), it["value"].as_str().unwrap()))
        .collect();
    let page = |item: &'static str, value: &'static str| (item, "completed", value);
    let wanted = [page("a", "page-a-de"), page("b", "page-b-de"), page("b", "page-b-de"), page("c", "page-c-de")];
    assert_eq!(read, wanted, "an inline step sees what the step before it left");
    assert_eq!(groups(&engine, Below::Nothing).len(), 1, "lists show the outermost groups");
    let below = groups(&engine, Below::Of(GroupId(1)));
    assert_eq!((below.len(), below[0].parent_step), (1, Some(StepId(2))));
    assert_eq!(below[0].name, "pages / page");
}

#[test]
fn an_expression_makes_the_list_and_objects_have_fields() {
    let home = tempfile::tempdir().unwrap();
    let text = r#"
id: fields
steps:
  - name: plan
    run: "echo '{\"rows\": [{\"n\": 1}, {\"n\": 2}, {\"n\": 3}]}'"
  - name: each
    for_each: 'inputs.plan.value.rows.filter(it, it.n > 1).map(it, {"n": it.n, "of": item})'
    run: "echo {{ item.n }}-{{ item.of }}"
  - name: join
    run: "cat {{ inputs.each.children }}"
"#;
    let (engine, _, ended) = run(home.path(), text, "x");
    assert_eq!(ended, Status::Completed);
    let read = engine.store().read(|tx| read::results(tx, child(&engine, 2), None, 10)).unwrap();
    let values: Vec<Value> = read.into_iter().map(|it| it.steps[0].1.clone().unwrap()).collect();
    assert_eq!(values, [json!("2-x"), json!("3-x")]);
}

#[test]
fn an_empty_list_completes_with_a_count_of_zero() {
    for list in ["[]", "inputs.plan.files[\"none.txt\"]"] {
        let home = tempfile::tempdir().unwrap();
        let text = format!(
            "id: empty\nsteps:\n  - {{ name: plan, run: 'touch {{{{ out }}}}/none.txt' }}\n  - {{ name: each, for_each: '{list}', uses: windlass/fail }}\n  - {{ name: join, run: 'wc -c < {{{{ inputs.each.children }}}}' }}\n"
        );
        let (engine, _, ended) = run(home.path(), &text, "x");
        assert_eq!(ended, Status::Completed, "{list}");
        assert_eq!(value(&engine, 2), json!({"count": 0, "completed": 0, "failed": 0, "skipped": 0, "cancelled": 0}));
        assert_eq!(value(&engine, 3), json!(0), "{list}");
    }
}

#[test]
fn a_list_that_can_not_be_made_fails_its_step_and_says_what_it_saw() {
    for (list, said) in [
        ("item.pages", "its list `item.pages` can't be made"),
        ("params", "takes a list"),
        ("inputs.plan.files[\"list.txt\"]", "step `plan` left no file `list.txt`"),
        ("inputs.plan.value", "not a list"),
    ] {
        let home = tempfile::tempdir().unwrap();
        let text = format!(
            "id: bad\nsteps:\n  - {{ name: plan, run: echo 7 }}\n  - {{ name: each, for_each: '{list}', uses: windlass/noop }}\n"
        );
        let refused = parse(&text, "bad.yaml", &KnownKinds::new(["windlass/noop"]));
        if let Err(error) = refused {
            assert!(error.to_string().contains(said), "{error}");
            continue;
        }
        let (engine, group, ended) = run(home.path(), &text, "{\"a\": 1}");
        assert_eq!(ended, Status::Failed, "{list}");
        let failures = engine.store().read(|tx| read::failure_kinds(tx, group, 5)).unwrap();
        assert!(failures[0].reason.contains(said), "{list}: {}", failures[0].reason);
        assert!(groups(&engine, Below::Of(group)).is_empty());
    }
}

#[test]
fn as_many_runs_may_fail_as_the_step_tolerates() {
    for (tolerate, ended) in [
        ("0", Status::Failed),
        ("1", Status::Failed),
        ("2", Status::Completed),
        ("49%", Status::Failed),
        ("50%", Status::Completed),
    ] {
        let home = tempfile::tempdir().unwrap();
        let text = format!(
            "id: some\nsteps:\n  - {{ name: each, for_each: '[\"a\", \"b\", \"c\", \"d\"]', run: 'test {{{{ item }}}} \">\" b', tolerate: {tolerate} }}\n"
        )
        .replace("test {{ item }} \">\" b", "case {{ item }} in a|b) exit 1; esac");
        let (engine, group, got) = run(home.path(), &text, "x");
        assert_eq!(got, ended, "tolerate: {tolerate}");
        let child = child(&engine, 1);
        assert_eq!(engine.group_end(child).unwrap().unwrap().failed, 2);
        if ended == Status::Failed {
            let failures = engine.store().read(|tx| read::failure_kinds(tx, group, 5)).unwrap();
            assert!(failures[0].reason.contains("2 of 4 runs failed in g2"), "{}", failures[0].reason);
            let why = windlass::view::why(&engine, windlass::view::Subject::Group(group)).unwrap();
            let below = why.steps[0].reasons.iter().find(|it| it.code == "failed_runs").unwrap();
            assert_eq!(below.command.as_deref(), Some(format!("windlass why {child}").as_str()));
        } else {
            assert_eq!(value(&engine, 1)["failed"], 2);
        }
    }
}

#[test]
fn a_workflow_in_another_is_read_at_the_submission_and_gets_its_parameters() {
    let place = Place::new();
    place.write("inner/inner.yaml", "id: inner\nsteps:\n  - { name: one, run: 'echo {{ item }}-{{ params.depth }}' }\n  - { name: two, needs: [one], run: 'echo {{ inputs.one.value }}-two' }\n");
    place.write(
        "outer.yaml",
        "id: outer\nsteps:\n  - { name: sub, workflow: inner/inner.yaml, with: { depth: '{{ params.depth }}9' } }\n  - { name: show, run: 'cat {{ inputs.sub.children }}' }\n",
    );
    let submitted = place.ok(&["submit", "outer.yaml", "--items", "x", "--param", "depth=1"]);
    assert!(submitted.starts_with("g1"), "{submitted}");
    place.write("inner/inner.yaml", "id: inner\nsteps: [{ name: other, run: 'exit 1' }]\n");
    place.ok(&["worker", "--until-idle"]);
    let shown = place.json(&["show", "s2"]);
    let line: Value =
        serde_json::from_str(shown["output"].as_str().unwrap_or_default()).unwrap_or(shown["output"].clone());
    assert_eq!(
        (&line["item"], &line["value"], &line["status"]),
        (&json!("x"), &json!("x-19-two"), &json!("completed"))
    );
    place.assert_sound();
}

#[test]
fn a_workflow_that_contains_itself_is_refused_with_the_way() {
    let place = Place::new();
    place.write("a.yaml", "id: a\nsteps: [{ name: s, workflow: b.yaml }]\n");
    place.write("b.yaml", "id: b\nsteps:\n  - { name: t, uses: windlass/noop }\n  - { name: u, workflow: a.yaml }\n");
    let refused = place.command(&["submit", "a.yaml", "--dry-run"]).ends(2);
    assert!(
        refused.err.contains("b.yaml:4: a workflow contains itself: a.yaml -> b.yaml -> a.yaml"),
        "{}",
        refused.err
    );
    for depth in 1..=9 {
        place.write(
            &format!("d{depth}.yaml"),
            &format!("id: d{depth}\nsteps: [{{ name: s, workflow: d{}.yaml }}]\n", depth + 1),
        );
    }
    place.write("d10.yaml", "id: d10\nsteps: [{ name: s, uses: windlass/noop }]\n");
    place.ok(&["submit", "d2.yaml", "--dry-run"]);
    let refused = place.command(&["submit", "d1.yaml", "--dry-run"]).ends(2);
    assert!(
        refused.err.contains("workflows are at most 8 levels deep in each other: d1.yaml -> d2.yaml"),
        "{}",
        refused.err
    );
    place.write("c.yaml", "id: c\nconcurrency: c\nsteps: [{ name: s, uses: windlass/noop }]\n");
    place.write("e.yaml", "id: e\nsteps: [{ name: s, workflow: c.yaml }]\n");
    let refused = place.command(&["submit", "e.yaml", "--dry-run"]).ends(2);
    assert!(refused.err.contains("has `concurrency`, so it can't be a part of another"), "{}", refused.err);
}

#[test]
fn a_step_that_waits_for_its_runs_holds_no_place_so_they_can_not_starve() {
    // One slot, and three levels of steps that wait for each other.
    let home = tempfile::tempdir().unwrap();
    let text = r#"
id: deep
steps:
  - name: outer
    for_each: "[1, 2, 3]"
    workflow:
      id: middle
      steps:
        - name: inner
          for_each: "[1, 2]"
          uses: windlass/noop
"#;
    let engine = plant::open(home.path());
    let worker = plant::worker(&engine, 1);
    let group = plant::submit(&engine, text, &["a", "b"]);
    assert_eq!(plant::wait(&engine, &worker, group), Status::Completed);
    worker.stop(Millis::seconds(5));
    sound(&engine);
    assert_eq!(groups(&engine, Below::All).len(), 1 + 2 + 6);
    let shown = engine.store().read(|tx| read::show_group(tx, group)).unwrap();
    let tree: Vec<(i64, &str)> = shown.below.iter().map(|it| (it.depth, it.step_name.as_str())).collect();
    let branch = [(1, "outer"), (2, "inner"), (2, "inner"), (2, "inner")];
    assert_eq!(tree, [branch, branch].concat());
}

#[test]
fn windlass_run_works_on_the_runs_that_its_steps_start_and_on_nothing_else() {
    let place = Place::new();
    place.write("other.yaml", "id: other\nsteps: [{ name: a, uses: windlass/noop }]\n");
    place.ok(&["submit", "other.yaml"]);
    place.write("pages.yaml", PAGES);
    let said = place.ok(&["run", "pages.yaml", "--items", "x", "y"]);
    assert!(said.contains("g2") || said.is_empty(), "{said}");
    assert_eq!(place.json(&["show", "g2"])["status"], "COMPLETED");
    assert_eq!(place.json(&["show", "g1"])["status"], "PENDING");
    let tree = place.ok(&["show", "g2"]);
    assert!(tree.contains("page") && tree.contains("g3") && tree.contains("g4"), "{tree}");
    let listed = place.json(&["list", "groups"]);
    let ids: Vec<i64> = listed["groups"].as_array().unwrap().iter().map(|it| it["id"].as_i64().unwrap()).collect();
    assert_eq!(ids, [2, 1]);
    let listed = place.json(&["list", "groups", "--of", "g2"]);
    assert_eq!(listed["groups"].as_array().unwrap().len(), 2);
    assert_eq!(place.json(&["list", "groups", "--all"])["groups"].as_array().unwrap().len(), 4);
    place.assert_sound();
}

#[test]
fn a_command_that_waits_for_other_work_in_its_slot_is_named() {
    let place = Place::new();
    place.write("inner.yaml", "id: inner\nsteps: [{ name: a, uses: windlass/noop }]\n");
    let directory = Path::new(support::binary::WINDLASS).parent().unwrap().display();
    place.write(
        "outer.yaml",
        &format!("id: outer\nsteps: [{{ name: trap, run: 'PATH={directory}:$PATH; windlass submit inner.yaml; windlass wait g2' }}]\n"),
    );
    place.ok(&["submit", "outer.yaml"]);
    let worker = place.start(&["worker", "--pool", "*=1"]);
    eventually("the inner group is there", || place.run(&["show", "g2"]).code == 0);
    eventually("why names the command", || {
        place.ok(&["why", "g2"]).contains("s1 holds a slot while it waits for other work")
    });
    place.ok(&["cancel", "g1"]);
    place.ok(&["wait", "g2"]);
    worker.signal("TERM");
    worker.end(Duration::from_secs(60));
}

const SLOW: &str = r#"
id: slow
steps:
  - name: each
    for_each: "[1, 2, 3, 4, 5, 6]"
    at_most: 2
    run: "while [ ! -e {{ params.go }} ]; do sleep 0.02; done"
  - name: after
    run: "true"
"#;

/// A running workflow whose runs wait for a file.
fn slow(home: &Path, size: usize) -> (Engine, windlass::engine::Worker, GroupId, std::path::PathBuf) {
    let engine = plant::open(home);
    let worker = plant::worker(&engine, size);
    let go = home.join("go");
    let definition = parse(SLOW, "slow.yaml", &KnownKinds::new(engine.kinds().names())).unwrap();
    let params = json!({"go": go});
    let submission = Submission { params, directory: home.into(), ..Submission::new(definition, vec!["x".into()]) };
    let group = engine.submit(submission).unwrap().group;
    (engine, worker, group, go)
}

fn running(engine: &Engine, group: GroupId) -> i64 {
    engine.store().read(|tx| read::progress(tx, group)).unwrap().running
}

#[test]
fn only_so_many_runs_go_side_by_side_and_the_next_follows_at_once() {
    let home = tempfile::tempdir().unwrap();
    let (engine, worker, group, go) = slow(home.path(), 6);
    eventually("two run", || status(&engine, 1) == Status::Waiting && running(&engine, group) == 2);
    let below = child(&engine, 1);
    let why = windlass::view::why(&engine, windlass::view::Subject::Step(StepId(1))).unwrap();
    let said = &why.steps[0].reasons[0];
    assert_eq!(said.code, "wait_children");
    assert!(
        said.text.starts_with("it waits for its runs: 6 of 6 runs in g2 have not ended: r2 (1), r3 (2), r4 (3), ..."),
        "{}",
        said.text
    );
    let why = windlass::view::why(&engine, windlass::view::Subject::Step(StepId(5))).unwrap();
    assert_eq!(why.steps[0].reasons[0].code, "at_most", "{:?}", why.steps[0].reasons);
    sound(&engine);
    fs::write(go, "").unwrap();
    assert_eq!(plant::wait(&engine, &worker, group), Status::Completed);
    worker.stop(Millis::seconds(5));
    sound(&engine);
    let (mut open, mut most) = (0, 0);
    for it in events(engine.store()).iter().filter(|it| it.group == Some(below)) {
        match it.kind {
            EventKind::ItemStart => open += 1,
            EventKind::ItemEnd => open -= 1,
            _ => {}
        }
        most = most.max(open);
    }
    assert_eq!((open, most), (0, 2), "never more than two");
}

#[test]
fn a_cancel_goes_down_and_the_step_ends_with_its_runs() {
    let home = tempfile::tempdir().unwrap();
    let (engine, worker, group, _) = slow(home.path(), 6);
    eventually("two run", || status(&engine, 1) == Status::Waiting && running(&engine, group) == 2);
    let below = child(&engine, 1);
    assert!(engine.cancel_group(group).unwrap());
    assert_eq!(plant::wait(&engine, &worker, group), Status::Cancelled);
    assert!(engine.group_end(below).unwrap().is_some(), "the group ends after its children");
    assert_eq!(engine.group_end(below).unwrap().unwrap().cancelled, 6);
    worker.stop(Millis::seconds(5));
    sound(&engine);
    assert_eq!((status(&engine, 1), status(&engine, 2)), (Status::Cancelled, Status::Cancelled));
}

#[test]
fn a_pause_goes_down_and_a_resume_only_to_what_it_paused() {
    let home = tempfile::tempdir().unwrap();
    let (engine, worker, group, go) = slow(home.path(), 6);
    eventually("two run", || status(&engine, 1) == Status::Waiting && running(&engine, group) == 2);
    let below = child(&engine, 1);
    let paused = |id: GroupId| groups(&engine, Below::All).iter().any(|it| it.id == id && it.paused);
    assert!(engine.pause_group(group).unwrap());
    assert!(paused(group) && paused(below));
    let refused = engine.resume_group(below).unwrap_err().to_string();
    assert!(refused.contains("g2 is paused because g1 is"), "{refused}");
    fs::write(go, "").unwrap();
    eventually("the running ones end", || running(&engine, group) == 0);
    assert!(engine.resume_group(group).unwrap());
    assert!(!paused(below));
    assert_eq!(plant::wait(&engine, &worker, group), Status::Completed);
    worker.stop(Millis::seconds(5));
    sound(&engine);
}

#[test]
fn a_pause_of_the_group_below_alone_outlives_that_of_the_one_above() {
    let home = tempfile::tempdir().unwrap();
    let (engine, worker, group, go) = slow(home.path(), 6);
    eventually("two run", || status(&engine, 1) == Status::Waiting && running(&engine, group) == 2);
    let below = child(&engine, 1);
    let paused = |id: GroupId| groups(&engine, Below::All).iter().any(|it| it.id == id && it.paused);
    assert!(engine.pause_group(below).unwrap());
    engine.pause_group(group).unwrap();
    engine.resume_group(group).unwrap();
    assert!(paused(below) && !paused(group));
    assert!(engine.resume_group(below).unwrap());
    fs::write(go, "").unwrap();
    assert_eq!(plant::wait(&engine, &worker, group), Status::Completed);
    worker.stop(Millis::seconds(5));
    sound(&engine);
}

const FAILS: &str = r#"
id: fails
steps:
  - name: each
    for_each: "[1, 2, 3]"
    run: "echo {{ item }} >> {{ params.log }}; test {{ item }} != 2 -o -e {{ params.log }}.good"
  - name: after
    run: "true"
"#;

#[test]
fn a_retry_opens_again_only_what_failed_below() {
    for of_group in [true, false] {
        let home = tempfile::tempdir().unwrap();
        let log = home.path().join("log");
        let engine = plant::open(home.path());
        let worker = plant::worker(&engine, 1);
        let definition = parse(FAILS, "f.yaml", &KnownKinds::new(engine.kinds().names())).unwrap();
        let params = json!({"log": log});
        let submission =
            Submission { params, directory: home.path().into(), ..Submission::new(definition, vec!["x".into()]) };
        let group = engine.submit(submission).unwrap().group;
        assert_eq!(plant::wait(&engine, &worker, group), Status::Failed);
        let below = child(&engine, 1);
        let refused = engine.retry_group(below).unwrap_err().to_string();
        assert!(refused.contains("g2 belongs to s1 of g1: retry that, with `windlass retry s1`"), "{refused}");
        fs::write(home.path().join("log.good"), "").unwrap();
        match of_group {
            true => assert!(engine.retry_group(group).unwrap()),
            false => assert_eq!(engine.retry_step_as(StepId(1), &Retry::default()).unwrap(), 2),
        }
        assert_eq!(plant::wait(&engine, &worker, group), Status::Completed);
        worker.stop(Millis::seconds(5));
        sound(&engine);
        assert_eq!(child(&engine, 1), below, "it is the same group");
        assert_eq!(fs::read_to_string(&log).unwrap().lines().collect::<String>(), "1232", "one run ran again");
        assert_eq!(value(&engine, 1)["completed"], 3);
    }
}

#[test]
fn a_run_from_the_step_on_makes_another_group() {
    let home = tempfile::tempdir().unwrap();
    let (engine, group, ended) = run(home.path(), PAGES, "x");
    assert_eq!(ended, Status::Completed);
    let first = child(&engine, 2);
    let worker = plant::worker(&engine, 1);
    engine.retry_group_as(group, &Retry { from: Some("page".into()), ..Retry::default() }).unwrap();
    assert_eq!(plant::wait(&engine, &worker, group), Status::Completed);
    worker.stop(Millis::seconds(5));
    sound(&engine);
    assert_ne!(child(&engine, 2), first);
    let shown = engine.store().read(|tx| read::show_group(tx, group)).unwrap();
    assert_eq!(shown.below.iter().map(|it| it.past).collect::<Vec<_>>(), [true, false]);
}

#[test]
fn a_repaired_workflow_goes_on_below() {
    let home = tempfile::tempdir().unwrap();
    let text = |command: &str| format!("id: r\nsteps: [{{ name: each, for_each: '[1, 2]', run: '{command}' }}]\n");
    let (engine, group, ended) = run(home.path(), &text("test {{ item }} = 1"), "x");
    assert_eq!(ended, Status::Failed);
    let repaired = parse(&text("echo {{ item }}"), "r.yaml", &KnownKinds::new(engine.kinds().names())).unwrap();
    let worker = plant::worker(&engine, 1);
    engine.retry_group_as(group, &Retry { definition: Some(repaired), from: None }).unwrap();
    assert_eq!(plant::wait(&engine, &worker, group), Status::Completed);
    worker.stop(Millis::seconds(5));
    sound(&engine);
    let other = parse("id: r\nsteps: [{ name: each, run: 'true' }]\n", "r.yaml", &KnownKinds::new(["k"; 0])).unwrap();
    let refused =
        engine.retry_group_as(group, &Retry { definition: Some(other), from: Some("each".into()) }).unwrap_err();
    assert!(refused.to_string().contains("step `each` started runs of its own, and no longer does"), "{refused}");
}

#[test]
fn a_prune_takes_the_groups_below_along_and_none_of_them_alone() {
    let home = tempfile::tempdir().unwrap();
    let (engine, group, _) = run(home.path(), PAGES, "x");
    let below = child(&engine, 2);
    let one =
        |id| windlass::engine::Prune { groups: vec![id], ..windlass::engine::Prune::before(engine.store().now()) };
    let refused = engine.prune(&one(below), &|| true).unwrap_err().to_string();
    assert!(refused.contains("g2 belongs to s2 of g1: prune g1"), "{refused}");
    engine.prune(&one(group), &|| true).unwrap();
    sound(&engine);
    let left = engine.store().read(check::row_counts).unwrap();
    let rows = |table: &str| left.iter().find(|it| it.0 == table).unwrap().1;
    for table in ["run_group", "run", "step", "item", "child_group", "waiting", "submit_key"] {
        assert_eq!(rows(table), 0, "{table}");
    }
}

const COLLECTED: &str = r#"
id: collected
steps:
  - name: work
    run: "test {{ item }} != b -o -e {{ params.good }} && echo {{ item }}{{ item }}"
collect:
  - name: count
    run: "cat {{ inputs.runs }} >> {{ out }}/all.jsonl; wc -l < {{ inputs.runs }}; echo once >> {{ params.good }}.log"
  - name: say
    when: inputs.runs.value.failed > 0
    run: "echo {{ inputs.runs.value.failed }} failed"
"#;

/// Submits `COLLECTED` with these items.
fn collected(engine: &Engine, home: &Path, items: &[&str]) -> GroupId {
    let definition = parse(COLLECTED, "c.yaml", &KnownKinds::new(engine.kinds().names())).unwrap();
    let params = json!({"good": home.join("good")});
    let items = items.iter().map(|it| it.to_string()).collect();
    engine.submit(Submission { params, directory: home.into(), ..Submission::new(definition, items) }).unwrap().group
}

#[test]
fn collect_runs_once_after_all_runs_and_again_after_a_retry() {
    let home = tempfile::tempdir().unwrap();
    let engine = plant::open(home.path());
    let group = collected(&engine, home.path(), &["a", "b", "c"]);
    sound(&engine);
    let worker = plant::worker(&engine, 3);
    assert_eq!(plant::wait(&engine, &worker, group), Status::Failed);
    sound(&engine);
    assert_eq!((value(&engine, 4), value(&engine, 5)), (json!(3), json!("1 failed")));
    let left = engine.store().read(|tx| output::of_step(tx, StepId(4))).unwrap().unwrap();
    let text = String::from_utf8(engine.artifacts().get_bytes(&left.files[0].1).unwrap()).unwrap();
    let lines: Vec<Value> = text.lines().map(|it| serde_json::from_str(it).unwrap()).collect();
    let read: Vec<(&Value, &Value)> = lines.iter().map(|it| (&it["item"], &it["status"])).collect();
    let wanted = [(json!("a"), json!("completed")), (json!("b"), json!("failed")), (json!("c"), json!("completed"))];
    assert_eq!(read, wanted.iter().map(|it| (&it.0, &it.1)).collect::<Vec<_>>());
    assert!(lines[1]["reason"].as_str().unwrap().contains("exit code 1"), "{}", lines[1]);
    fs::write(home.path().join("good"), "").unwrap();
    assert!(engine.retry_group(group).unwrap());
    assert_eq!(plant::wait(&engine, &worker, group), Status::Completed);
    sound(&engine);
    assert_eq!(status(&engine, 5), Status::Skipped, "nothing failed this time");
    // A single run reruns and completes as before, so the results are collected once more.
    engine.retry_run_as(windlass::model::RunId(1), &Retry { from: Some("work".into()), ..Retry::default() }).unwrap();
    sound(&engine);
    assert_eq!(plant::wait(&engine, &worker, group), Status::Completed);
    worker.stop(Millis::seconds(5));
    sound(&engine);
    assert_eq!(fs::read_to_string(home.path().join("good.log")).unwrap().lines().count(), 3);
    assert_eq!(events(engine.store()).iter().filter(|it| it.kind == EventKind::GroupEnd).count(), 3);
}

#[test]
fn collect_that_fails_alone_is_retried_alone() {
    let home = tempfile::tempdir().unwrap();
    let text = "id: c\nsteps: [{ name: a, run: 'echo x >> log' }]\ncollect:\n  - { name: b, run: 'test -e good' }\n  - { name: c, run: 'true' }\n";
    let engine = plant::open(home.path());
    let group = plant::submit(&engine, text, &["1", "2"]);
    let worker = plant::worker(&engine, 2);
    assert_eq!(plant::wait(&engine, &worker, group), Status::Failed);
    fs::write(home.path().join("good"), "").unwrap();
    assert!(engine.retry_group(group).unwrap());
    assert_eq!(plant::wait(&engine, &worker, group), Status::Completed);
    worker.stop(Millis::seconds(5));
    sound(&engine);
    assert_eq!(fs::read_to_string(home.path().join("log")).unwrap().lines().count(), 2, "no run ran again");
}

#[test]
fn collect_follows_an_empty_list_and_is_cancelled_with_its_group() {
    let home = tempfile::tempdir().unwrap();
    let engine = plant::open(home.path());
    let group = collected(&engine, home.path(), &[]);
    sound(&engine);
    let worker = plant::worker(&engine, 1);
    assert_eq!(plant::wait(&engine, &worker, group), Status::Completed);
    assert_eq!(value(&engine, 1), json!(0));
    worker.stop(Millis::seconds(5));
    let group = collected(&engine, home.path(), &["a"]);
    engine.cancel_group(group).unwrap();
    assert_eq!(engine.group_end(group).unwrap().unwrap().cancelled, 2);
    sound(&engine);
}

#[test]
fn collect_has_no_item_and_belongs_to_the_workflow_in_another_too() {
    let home = tempfile::tempdir().unwrap();
    for (step, said) in [
        ("{ name: a, run: 'echo {{ item }}' }", "`item` has no value in `collect`"),
        ("{ name: runs, run: 'true' }", "can't be named `runs`"),
        ("{ name: a, run: 'true', resource_key: k }", "has no `resource_key`"),
    ] {
        let text = format!("id: c\nsteps: [{{ name: a, run: 'true' }}]\ncollect: [{step}]\n");
        let refused = parse(&text, "c.yaml", &KnownKinds::default()).unwrap_err();
        assert!(refused.to_string().contains(said), "{refused}");
    }
    let text = r#"
id: outer
steps:
  - name: each
    for_each: "[1, 2, 3]"
    workflow:
      id: inner
      steps: [{ name: one, run: 'echo {{ item }}' }]
      collect: [{ name: all, run: 'test $(wc -l < {{ inputs.runs }}) = 3' }]
"#;
    let (engine, _, ended) = run(home.path(), text, "x");
    assert_eq!(ended, Status::Completed);
    assert_eq!(value(&engine, 1)["count"], 3);
}

/// A running step, and the settlement with which it waits for a group.
fn parent(book: &Book) -> (windlass::store::Claimed, impl Fn(GroupId) -> Settlement + use<>) {
    book.submit(&house::chain(&["p", "q"]), &["x"]);
    let claimed = book.claim("*");
    let wait = |group| Settlement::Wait {
        wait: NewWait {
            on: WaitsFor::Children(group),
            due: None,
            otherwise: windlass::model::Otherwise::Fail,
            detail: WaitDetail::default(),
        },
    };
    (claimed, wait)
}

fn start(book: &Book, step: StepId, items: &[&str]) -> GroupId {
    let new = NewChild { step, list: [7; 32], tolerate: Tolerate::default(), at_most: None };
    book.submit_group(&house::chain(&["c"]), items, &[], |it| {
        it.child = Some(new);
        it.key = Some((format!("step:{step}"), [1; 32]));
    })
    .unwrap()
}

#[test]
fn a_group_that_ends_before_its_step_waits_ends_it_as_well() {
    let book = Book::new();
    let (step, wait) = parent(&book);
    let below = start(&book, step.lease.step, &["a", "b"]);
    for claimed in book.claims("*", 10) {
        book.complete(&claimed);
    }
    assert!(book.ended(below));
    assert_eq!(book.settle(&step, wait(below)), Held::Yes);
    assert_eq!(book.status(&step), Status::Completed);
    book.check();
    let next = book.claim("*");
    assert_eq!(next.lease.step.0, step.lease.step.0 + 1, "the next step follows");
}

#[test]
fn the_end_of_a_group_is_one_transaction_with_that_of_its_step_and_happens_once() {
    let book = Book::new();
    let (step, wait) = parent(&book);
    let below = start(&book, step.lease.step, &["a"]);
    assert_eq!(book.settle(&step, wait(below)), Held::Yes);
    assert_eq!(book.status(&step), Status::Waiting);
    book.check();
    assert_eq!(book.count("lease"), 0, "it holds no lease");
    let claimed = book.claim("*");
    book.fail(&claimed, "no");
    assert_eq!(book.status(&step), Status::Failed);
    assert_eq!((book.events("GROUP_END"), book.events("STEP_FAILED")), (2, 2));
    book.check();
    assert!(book.ended(GroupId(1)));
}

#[test]
fn an_attempt_that_follows_a_dead_one_finds_its_group_and_makes_no_second() {
    let mut book = Book::new();
    let (step, wait) = parent(&book);
    let id = step.lease.step;
    let below = start(&book, id, &["a"]);
    // The worker died after the seal, before the step waited.
    assert_eq!(book.reap(windlass::model::WorkerId(1)), 1);
    book.restart();
    let again = book.claims("*", 10).into_iter().find(|it| it.lease.step == id).expect("it is claimed again");
    assert_eq!(start(&book, id, &["a"]), below, "the key finds it");
    assert_eq!(book.settle(&again, wait(below)), Held::Yes);
    book.check();
    assert_eq!(book.count("child_group"), 1);
}

#[test]
fn a_group_whose_step_was_cancelled_meanwhile_is_cancelled_too() {
    let book = Book::new();
    let (step, _) = parent(&book);
    let id = step.lease.step;
    let below = start(&book, id, &["a", "b"]);
    book.reap(windlass::model::WorkerId(1));
    // The step is claimable again, and is cancelled before the next attempt finds the group.
    book.store.write(move |tx| windlass::store::cancel::step(tx, id)).unwrap();
    book.check();
    let flagged = book.store.read(windlass::store::cancel::unfinished).unwrap();
    assert_eq!(flagged, [below]);
    book.cancel(below);
    assert!(book.ended(below));
    book.check();
}

#[test]
fn killed_again_and_again_each_step_starts_one_group_and_each_group_ends_once() {
    let place = Place::new();
    place.write(
        "many.yaml",
        "id: many\nsteps:\n  - { name: list, run: 'seq 400 > {{ out }}/list.txt' }\n  - { name: each, for_each: 'inputs.list.files[\"list.txt\"]', uses: windlass/noop }\n  - { name: join, run: 'wc -l < {{ inputs.each.children }}' }\n",
    );
    place.ok(&["submit", "many.yaml", "--items", "a", "b", "c", "d"]);
    let store = place.store();
    let sequence = || events(&store).len();
    let mut kills = 0;
    loop {
        let worker = place.command(&["worker", "--until-idle"]).silent().spawn().unwrap();
        let (before, wanted) = (sequence(), 2 + kills * 3 % 17);
        eventually("it works, or is done", || sequence() >= before + wanted || open_groups(&place) == 0);
        worker.signal("KILL");
        let _ = worker.end(Duration::from_secs(60));
        kills += 1;
        if open_groups(&place) == 0 {
            break;
        }
        assert!(kills < 400, "it never ends");
    }
    store.close();
    assert!(kills > 3, "it was killed {kills} times");
    place.assert_sound();
    let all = place.json(&["list", "groups", "--all"]);
    assert_eq!(all["groups"].as_array().unwrap().len(), 1 + 4);
    for run in 1..=4 {
        let shown = place.json(&["show", &format!("s{}", run * 3)]);
        assert_eq!(shown["output"], 400, "{shown}");
    }
    let store = place.store();
    let ends = events(&store).iter().filter(|it| it.kind == EventKind::GroupEnd).count();
    store.close();
    assert_eq!(ends, 5);
}

fn open_groups(place: &Place) -> usize {
    let listed = place.json(&["list", "groups", "--all"]);
    listed["groups"].as_array().unwrap().iter().filter(|it| it["ended"].is_null()).count()
}

#[test]
fn a_hundred_thousand_runs_are_started_in_slices_and_cancelled_again() {
    let home = tempfile::tempdir().unwrap();
    let engine = plant::open(home.path());
    let worker = plant::worker_on(&engine, "list", 1);
    let starter = plant::worker_on(&engine, "each", 1);
    let text = "id: huge\nsteps:\n  - { name: list, run: 'seq 100000 > {{ out }}/list.txt' }\n  - name: each\n    for_each: inputs.list.files[\"list.txt\"]\n    workflow: { id: one, steps: [{ name: never, uses: windlass/noop }] }\n";
    let group = plant::submit(&engine, text, &["x"]);
    let waits = || status(&engine, 2) == Status::Waiting;
    eventually("the step waits for its runs", waits);
    let below = child(&engine, 2);
    assert_eq!(engine.store().read(|tx| group::detail(tx, below)).unwrap().runs, 100_000);
    assert!(engine.cancel_group(group).unwrap());
    assert_eq!(plant::wait(&engine, &worker, group), Status::Cancelled);
    assert_eq!(engine.group_end(below).unwrap().unwrap().cancelled, 100_000);
    worker.stop(Millis::seconds(5));
    starter.stop(Millis::seconds(5));
}

#[test]
fn the_dry_run_says_what_a_step_starts() {
    let place = Place::new();
    place.write("pages.yaml", PAGES);
    let said = place.ok(&["submit", "pages.yaml", "--items", "x", "--dry-run"]);
    assert!(said.contains("for each of inputs.split.files[\"list.txt\"]: echo page-"), "{said}");
}

#[test]
fn the_runs_below_have_the_priority_and_the_weight_of_the_group_above() {
    let home = tempfile::tempdir().unwrap();
    let engine = plant::open(home.path());
    let text = "id: p\nsteps:\n  - name: each\n    for_each: '[1, 2]'\n    workflow: { id: i, steps: [{ name: b, for_each: '[1]', uses: windlass/noop }] }\n";
    let definition = parse(text, "p.yaml", &KnownKinds::new(engine.kinds().names())).unwrap();
    let directory = home.path().into();
    let submission = Submission { priority: 7, weight: 3, directory, ..Submission::new(definition, vec!["x".into()]) };
    let group = engine.submit(submission).unwrap().group;
    let worker = plant::worker(&engine, 1);
    assert_eq!(plant::wait(&engine, &worker, group), Status::Completed);
    worker.stop(Millis::seconds(5));
    let all = groups(&engine, Below::All);
    assert_eq!(all.len(), 4);
    for it in all {
        let detail = engine.store().read(|tx| group::detail(tx, it.id)).unwrap();
        assert_eq!((detail.priority, detail.weight), (7, 3), "{}", it.id);
    }
}

/// How many rows each table has.
fn rows(book: &Book) -> std::collections::BTreeMap<String, i64> {
    book.store.read(check::row_counts).unwrap().into_iter().collect()
}

#[test]
fn a_run_that_a_step_starts_writes_what_a_submitted_one_does() {
    let book = Book::new();
    let items: Vec<String> = (0..300).map(|it| it.to_string()).collect();
    let items: Vec<&str> = items.iter().map(String::as_str).collect();
    let (step, wait) = parent(&book);
    let more = |before: &std::collections::BTreeMap<String, i64>| {
        let after = rows(&book);
        let more = after.into_iter().map(|(table, rows)| (table.clone(), rows - before[&table]));
        // One for each transaction, and those of the group itself.
        let of_runs = more.filter(|it| {
            !["event_batch", "child_group", "submit_key", "definition", "step_type", "turn"].contains(&it.0.as_str())
        });
        of_runs.collect::<Vec<_>>()
    };
    let work = || {
        let mut claimed = 0;
        while claimed < items.len() {
            let steps = book.claims("*", 50);
            assert!(!steps.is_empty());
            claimed += steps.len();
            steps.iter().for_each(|it| _ = book.complete(it));
        }
    };
    let before = rows(&book);
    let below = start(&book, step.lease.step, &items);
    let submitted = more(&before);
    assert_eq!(book.settle(&step, wait(below)), Held::Yes);
    work();
    let done = more(&before);
    assert_eq!(book.status(&step), Status::Completed);
    book.cancel(GroupId(1));
    let before = rows(&book);
    let plain = book.submit(&house::chain(&["c"]), &items);
    assert_eq!(more(&before), submitted, "submitted");
    work();
    assert!(book.ended(plain));
    let of = |all: &[(String, i64)], table: &str| all.iter().find(|it| it.0 == table).unwrap().1;
    for table in ["run", "step", "item", "attempt", "output", "ready", "waiting"] {
        let plain = of(&more(&before), table);
        assert!((of(&done, table) - plain).abs() <= 1, "{table}: {} and {plain}", of(&done, table));
    }
}
