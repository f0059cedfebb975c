use super::*;
use crate::{
    definition::workflow::{Action, Background, Command, Unit},
    model::{Bytes, Millis, WorkerLimits},
};

fn kinds() -> KnownKinds {
    KnownKinds::new(["windlass/noop", "windlass/store", "windlass/sleep"])
}

fn read(text: &str) -> Result<Definition> {
    parse(text, "flow.yaml", &kinds())
}

const NIGHTLY: &str = r#"id: nightly
name: Nightly reports
steps:
  - name: fetch
    run: [curl, -sSf, -o, "{{ out }}/data.csv", "https://host/{{ item }}.csv"]
    retries: 3
    backoff: { initial: 1s, factor: 2, max: 5m, jitter: 0.2 }
    timeout: 10m
  - name: clean
    run: "sort -u < {{ inputs.fetch.dir }}/data.csv > {{ out }}/clean.csv"
    cache: true
    limits: { memory: 1GiB, open_files: 64, cpu: 30s }
    permanent_exits: [3, 4]
  - name: model
    worker: py
    needs: [clean]
    type: heavy
    resource_key: "db:{{ params.store.path }}"
    with: { depth: 3, names: ["{{ item }}"] }
    env: { PYTHONPATH: lib, HOST: }
    unit: run
  - name: publish
    uses: windlass/store
hooks:
  group_end: [{ name: tell, run: "notify-send done {{ group }}", retries: 1 }]
workers:
  py: { command: [python3, worker.py], size: 2, limits: { rss: 1GiB, fds: 200, age: ~ }, start_timeout: 2m }
"#;

#[test]
fn the_whole_language_reads() {
    let it = read(NIGHTLY).unwrap();
    assert_eq!((it.id.as_str(), it.name.as_str(), it.steps.len()), ("nightly", "Nightly reports", 4));
    let [fetch, clean, model, publish] = &it.steps[..] else { panic!() };
    assert!(matches!(&fetch.action, Action::Run(Command::Argv(words)) if words.len() == 5));
    assert_eq!((fetch.retries, fetch.timeout), (3, Some(Millis::minutes(10))));
    assert!(matches!(&clean.action, Action::Run(Command::Shell(_))));
    assert_eq!(
        (clean.cache, clean.limits.memory, &clean.permanent_exits[..]),
        (Some(true), Some(Bytes(1 << 30)), &[3, 4][..])
    );
    assert_eq!(model.action, Action::Worker { worker: "py".into(), handler: "model".into() });
    assert_eq!((model.step_type.as_str(), model.unit, model.env["HOST"].is_none()), ("heavy", Unit::Run, true));
    assert_eq!((publish.step_type.as_str(), publish.max_crashes, publish.cache), ("publish", 3, None));
    assert_eq!(it.hooks[&crate::model::EventKind::GroupEnd][0].retries, 1);
    assert_eq!(it.workers["py"].start_timeout, Some(Millis::minutes(2)));
    assert_eq!((it.workers["py"].size, it.workers["py"].limits.age, it.workers["py"].limits.fds), (2, None, Some(200)));
    assert!(it.is_chain());
    assert_eq!((it.successors(0), it.successors(3), it.successors(9)), (&[1][..], &[][..], &[][..]));
}

#[test]
fn steps_are_put_in_an_order_in_which_needs_point_backwards() {
    let text = "id: d\nsteps:\n- {name: last, uses: windlass/noop, needs: [left, right]}\n\
                - {name: left, uses: windlass/noop, needs: []}\n- {name: right, uses: windlass/noop, needs: left}\n";
    let it = read(text).unwrap();
    let order: Vec<_> = it.steps.iter().map(|it| (it.name.as_str(), it.needs.clone())).collect();
    assert_eq!(order, [("left", vec![]), ("right", vec![0]), ("last", vec![0, 1])]);
    assert!(!it.is_chain());
    assert_eq!(it.successors(0), [1, 2]);
}

#[test]
fn a_definition_survives_storage_with_its_hash() {
    let it = read(NIGHTLY).unwrap();
    let back = Definition::from_stored(&it.to_json(), &it.hash()).unwrap();
    assert_eq!((back.hash(), back.to_json()), (it.hash(), it.to_json()));
    assert_eq!(back, it);
    let changed = it.to_json().replace("\"needs\":[0]", "\"needs\":[7]");
    let error = Definition::from_stored(&changed, &it.hash()).unwrap_err();
    assert!(error.to_string().contains("its hash differs"), "{error}");
    assert!(
        Definition::from_stored(
            &changed,
            &crate::definition::canonical::digest_of_text("windlass definition 1", &changed)
        )
        .is_err()
    );
}

#[test]
fn equal_meaning_has_an_equal_hash() {
    let one = read("id: a\nsteps:\n- {name: s, run: [ls], timeout: 60s}\n").unwrap();
    let same = read("steps:\n  - run:\n    - ls\n    timeout: \"1m\"\n    name: s\n    needs: []\nid: a\n").unwrap();
    let other = read("id: a\nsteps:\n- {name: s, run: [ls, -l], timeout: 60s}\n").unwrap();
    assert_eq!(one.hash(), same.hash());
    assert_ne!(one.hash(), other.hash());
}

#[test]
fn a_change_of_one_step_changes_the_versions_of_those_that_need_it() {
    let flow = |middle: &str, retries: u32| {
        let text = format!(
            "id: a\nsteps:\n- {{name: a, run: x, retries: {retries}}}\n- {{name: b, run: {middle}}}\n- {{name: c, run: z}}\n"
        );
        read(&text).unwrap().step_hashes()
    };
    let (before, after) = (flow("y", 0), flow("yy", 0));
    assert_eq!(before[0], after[0]);
    assert!(before[1] != after[1] && before[2] != after[2]);
    assert_eq!(before, flow("y", 7), "patience does not change a result");
}

#[test]
fn parameters_that_templates_ask_for_must_be_there() {
    let it = read(NIGHTLY).unwrap();
    assert!(it.check_parameters(&serde_json::json!({"store": {"path": "x"}})).is_ok());
    let refused = it.check_parameters(&serde_json::json!({"store": {}})).unwrap_err();
    assert!(refused.hint().unwrap().starts_with("step `model` needs it"), "{refused}");
}

/// Every refusal: the lines of `steps:` or of the whole file, the refused line, and parts of the message and hint.
#[test]
fn what_is_wrong_is_refused_with_file_line_and_what_would_be_right() {
    let steps = [
        ("- {name: a, run: ls, retires: 3}", 3, "unknown key `retires` in a step", "did you mean `retries`?"),
        ("- {name: a, run: ls, timeout: 10 parsecs}", 3, "is not a duration", ""),
        ("- {name: a, run: ls, timeout: 0s}", 3, "ends every attempt at once", "remove `timeout`"),
        ("- {name: a, uses: windlass/nop}", 3, "unknown step kind `windlass/nop`", "did you mean `windlass/noop`?"),
        ("- {name: a, worker: py}", 3, "uses the worker `py`", "add it to `workers:`"),
        ("- {name: a}", 3, "step `a` has nothing to do", "`run:`"),
        ("- {name: a, run: ls, uses: windlass/noop}", 3, "more than one of", "keep one"),
        ("- {run: ls}", 3, "no `name`", ""),
        ("- {name: a.b, run: ls}", 3, "has a dot", "`inputs.STEP.dir`"),
        ("- {name: a, run: ls}\n- {name: a, run: ls}", 4, "two steps are named `a`, the first in line 3", ""),
        (
            "- {name: a, run: ls}\n- {name: b, run: ls, needs: [aa]}",
            4,
            "needs `aa`, which is not a step",
            "known: a, b",
        ),
        ("- {name: a, run: ls, needs: b}\n- {name: b, run: ls}", 3, "in a circle: a -> b -> a", "take one"),
        ("- {name: a, run: 'echo \"{{ item }}\"'}", 3, "`{{ item }}` is inside quotes", "remove the quotes"),
        ("- {name: a, run: 'ls {{ itm }}'}", 3, "`itm` is not known here", "did you mean `item`?"),
        (
            "- name: a\n  run: 'ls {{ inputs.nosuch.dir }}'",
            4,
            "`inputs.nosuch` is not among",
            "list the step in `needs`",
        ),
        ("- {name: fetch, run: ls}\n- {name: b, run: 'ls {{ inputs.fetsh.dir }}'}", 4, "inputs.fetsh", "`fetch`"),
        ("- {name: a, run: 'ls {{ env.HOME }}'}", 3, "`env.HOME` is not declared", "declare it"),
        ("- {name: a, run: ls, env: {'A-B': 1}}", 3, "not a variable name", "letters"),
        ("- {name: a, run: ls, resource_key: 'x:{{ out }}'}", 3, "`out` has no value here", "rendered at submit"),
        ("- {name: a, run: ls, with: {x: ['{{ event }}']}}", 3, "only in hooks", ""),
        ("- {name: a, run: []}", 3, "empty list", ""),
        ("- {name: a, run: ls, retries: -1}", 3, "a whole number from 0", ""),
        ("- {name: a, run: ls, backoff: {factor: 0.5}}", 3, "`factor` must be 1 to 1000", ""),
        ("- {name: a, run: ls, unit: group}", 3, "unknown unit", "`step` or `run`"),
        ("- {name: a, run: ls, limits: {rss: 1GiB}}", 3, "unknown key `rss`", "memory"),
        ("- {name: a, run: ls, cache: sometimes}", 3, "true or false", ""),
        ("- {name: a, run: ls, handler: x}", 3, "`handler` works only with `worker`", ""),
    ];
    let whole = [
        ("steps: []", 1, "`id` is missing", "id: nightly"),
        ("id: a", 1, "`steps` is missing", ""),
        ("id: a\nsteps: []", 2, "1 to 1000 steps", ""),
        ("id: a\nstep: []", 2, "unknown key `step`", "did you mean `steps`?"),
        ("id: ../x\nsteps: []", 1, "is not a valid name", "letters"),
        ("[1, 2]", 1, "must be a mapping", "id"),
        ("id: a\nsteps: [{name: a, run: ls}]\nworkers:\n  py: {size: 2}", 4, "no `command`", "python3"),
        ("id: a\nsteps: [{name: a, run: ls}]\nhooks: {group_ends: []}", 3, "unknown key", "did you mean `group_end`?"),
        (
            "id: a\nsteps: [{name: a, run: ls}]\nhooks: {group_end: [{name: h, run: 'x {{ out }}'}]}",
            3,
            "in a hook",
            "event",
        ),
    ];
    steps.into_iter().for_each(|it| refuses(&format!("id: a\nsteps:\n{}\n", it.0), it.1, it.2, it.3));
    whole.into_iter().for_each(|it| refuses(it.0, it.1, it.2, it.3));
}

fn refuses(text: &str, line: u64, message: &str, hint: &str) {
    let Err(error) = read(text) else { panic!("was read:\n{text}") };
    let said = error.to_string();
    assert!(said.starts_with(&format!("flow.yaml:{line}: ")) && said.contains(message), "{text}\n{said}");
    assert!(error.hint().unwrap_or_default().contains(hint), "{text}\n{said}\n{:?}", error.hint());
}

#[test]
fn keys_of_other_tools_are_answered_with_ours() {
    for (text, line, message, hint) in [
        ("- {name: a, run: ls, retry: 3}", 3, "unknown key `retry`", "did you mean `retries`?"),
        ("- {name: a, run: ls, depends_on: [b]}", 3, "unknown key `depends_on`", "did you mean `needs`?"),
        ("- {name: a, command: ls}", 3, "unknown key `command`", "did you mean `run`?"),
        ("- {name: a, cmd: ls}", 3, "unknown key `cmd`", "did you mean `run`?"),
        ("- {name: a, script: [ls]}", 3, "unknown key `script`", "did you mean `run`?"),
        ("- {name: a, run: ls, env_vars: {A: b}}", 3, "unknown key `env_vars`", "did you mean `env`?"),
        ("- {name: a, run: ls, on_failure: x}", 3, "unknown key `on_failure`", "hooks go beside"),
        ("- {name: a, run: ls, working-dir: /x}", 3, "unknown key `working-dir`", "--chdir"),
        ("- {id: a, run: ls}", 3, "unknown key `id`", "did you mean `name`?"),
        ("- {name: a, run: ls, cache_files: [x]}", 3, "`cache_files` needs `cache: true`", ""),
        (
            "- {name: a, uses: windlass/noop, cache: true, cache_files: [x]}",
            3,
            "`cache_files` works only with `run`",
            "",
        ),
        ("- {name: a, run: ls, cache: true, cache_files: ['{{ out }}']}", 3, "`out`", "use `item` and `params`"),
        ("- {name: a, run: 'eval {{ item }}'}", 3, "as an argument of `eval`", "`sh -c {{ item }}`"),
        ("- {name: a, run: 'echo $((N))', env: {N: '{{ item }}'}}", 3, "`N`, which holds", "`expr`"),
        ("- {name: a, run: 'set -x', env: {PS4: '{{ item }}'}}", 3, "`PS4`", "another name"),
    ] {
        refuses(&format!("id: a\nsteps:\n{text}\n"), line, message, hint);
    }
    for (text, line, message, hint) in [
        ("id: a\nschedule: daily\nsteps: [{name: a, run: ls}]", 2, "`schedule` must be a mapping", "every: 15m"),
        ("id: a\ncron: daily\nsteps: [{name: a, run: ls}]", 2, "unknown key `cron`", "did you mean `schedule` with"),
        ("id: a\nsteps: [{name: a, run: ls, if: x}]", 2, "unknown key `if`", "did you mean `when`?"),
        ("id: a\njobs: []", 2, "unknown key `jobs`", "did you mean `steps`?"),
        ("id: a\non_failure: []", 2, "unknown key `on_failure`", "did you mean `hooks` with `item_failed`"),
    ] {
        refuses(text, line, message, hint);
    }
}

#[test]
fn a_command_alone_is_checked_too() {
    let it = Definition::of_command("each", "convert {{ item }} {{ item }}.webp").unwrap();
    assert_eq!((it.steps.len(), it.is_chain()), (1, true));
    for command in ["echo '{{ item }}'", "ls {{ inputs.a.dir }}", "ls {{ env.HOME }}", "ls {{ itm }}"] {
        assert!(Definition::of_command("each", command).is_err(), "{command}");
    }
}

#[test]
fn what_a_worker_does_not_say_is_left_to_the_settings() {
    let settings = WorkerLimits { rss: Some(Bytes::mib(64)), fds: None, age: Some(Millis(5)) };
    let known = kinds().with_worker_limits(settings);
    let limits = |limits: &str| {
        let text = format!("id: a\nsteps: [{{name: a, worker: py}}]\nworkers: {{py: {{command: [x]{limits}}}}}");
        parse(&text, "a.yaml", &known).unwrap().workers["py"].limits
    };
    assert_eq!(limits(""), settings);
    let said = WorkerLimits { rss: None, fds: Some(7), ..settings };
    assert_eq!(limits(", limits: {rss: ~, fds: 7}"), said);
}

#[test]
fn a_step_may_leave_processes_behind_only_where_that_can_hold() {
    let with = |step: &str| read(&format!("id: b\nsteps:\n- {{name: a, {step}}}\n"));
    let background = |step: &str| with(step).unwrap().steps[0].background;
    assert_eq!(background("run: x"), Background::End);
    assert_eq!(background("run: x, background: end"), Background::End);
    assert_eq!(background("run: x, background: allow"), Background::Allow);
    assert_eq!(with("run: x").unwrap().hash(), with("run: x, background: end").unwrap().hash());
    for (step, message) in [
        ("run: x, background: yes", "unknown value"),
        ("uses: windlass/noop, background: allow", "works only with `run`"),
        ("run: x, background: allow, resource_key: k", "can't leave processes behind"),
    ] {
        let error = with(step).unwrap_err().to_string();
        assert!(error.contains(message), "{error}");
    }
}
