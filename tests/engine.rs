//! The engine on real files: workers, commands, retries, hooks, locks.

mod support {
    pub mod binary;
    pub mod needs;
    pub mod plant;
}

use support::needs::needs;
use support::plant;
mod outputs;

use std::{
    fs,
    path::PathBuf,
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};
use windlass::{
    engine::{self, Ending, Engine, GroupEnd, Worker},
    model::{GroupId, Holder, HolderKind, Millis, ResourceKey, Scope, Status, StepId},
    os::{FileLock, LockState},
    store::{self, attempt},
    view,
};

struct Shop {
    dir: tempfile::TempDir,
    engine: Engine,
}

impl Shop {
    fn new() -> Shop {
        let dir = tempfile::tempdir().unwrap();
        let engine = plant::open(dir.path());
        Shop { dir, engine }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn submit(&self, text: &str, items: &[&str]) -> GroupId {
        plant::submit(&self.engine, text, items)
    }

    fn worker(&self, size: usize) -> Worker {
        plant::worker(&self.engine, size)
    }

    fn wait(&self, group: GroupId) -> GroupEnd {
        let deadline = Instant::now() + Duration::from_secs(30);
        match self.engine.wait_for_group(group, Some(deadline), || false).unwrap() {
            Ending::Ended(end) => end,
            other => panic!("{group} did not end: {other:?}"),
        }
    }

    fn attempts(&self, step: i64) -> Vec<attempt::Attempt> {
        self.engine.store().read(|tx| attempt::of_step(tx, StepId(step))).unwrap()
    }
}

fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !holds() {
        assert!(Instant::now() < deadline, "{what}");
        std::thread::yield_now();
    }
}

#[test]
fn commands_pass_values_and_files_to_their_successors() {
    let shop = Shop::new();
    let _worker = shop.worker(2);
    let text = r#"
id: chain
steps:
  - name: make
    run: "printf %s {{ item }} > {{ out }}/data.txt; echo '{\"n\": 3}'"
  - name: use
    run: "cat {{ inputs.make.dir }}/data.txt > result-{{ item }}.txt; printf ' %s' {{ inputs.make.value.n }} >> result-{{ item }}.txt"
"#;
    let group = shop.submit(text, &["a b", "it's"]);
    assert_eq!(shop.wait(group).status, Status::Completed);
    assert_eq!(fs::read_to_string(shop.path("result-a b.txt")).unwrap(), "a b 3");
    assert_eq!(fs::read_to_string(shop.path("result-it's.txt")).unwrap(), "it's 3");
}

#[test]
fn a_file_that_can_be_run_can_be_run_by_later_steps() {
    let shop = Shop::new();
    let _worker = shop.worker(1);
    let text = r#"
id: tools
steps:
  - name: build
    run: "printf '#!/bin/sh\\necho ran' > {{ out }}/tool; chmod 755 {{ out }}/tool; echo plain > {{ out }}/text"
  - name: use
    run: "test ! -x {{ inputs.build.dir }}/text && {{ inputs.build.dir }}/tool > ran.txt"
"#;
    let group = shop.submit(text, &["x"]);
    assert_eq!(shop.wait(group).status, Status::Completed);
    assert_eq!(fs::read_to_string(shop.path("ran.txt")).unwrap(), "ran\n");
}

#[test]
fn a_failing_command_is_retried_and_leaves_its_certificate() {
    let shop = Shop::new();
    let _worker = shop.worker(1);
    let text = r#"
id: flaky
steps:
  - name: try
    run: "echo attempt {{ attempt }} >&2; test {{ attempt }} -ge 3"
    retries: 3
    backoff: { initial: 5ms, factor: 1, max: 5ms, jitter: 0 }
"#;
    let group = shop.submit(text, &["x"]);
    assert_eq!(shop.wait(group).status, Status::Completed);
    let attempts = shop.attempts(1);
    assert_eq!(attempts.len(), 3);
    assert_eq!(attempts[0].outcome, Some("failed"));
    assert_eq!(attempts[0].detail.as_ref().unwrap()["certificate"]["last_lines"], "attempt 1\n");
    assert_eq!(attempts[2].outcome, Some("succeeded"));
}

#[test]
fn a_permanent_failure_cancels_what_depends_on_it_and_fails_the_group() {
    let shop = Shop::new();
    let _worker = shop.worker(1);
    let text = "id: bad\nsteps:\n  - name: a\n    run: exit 64\n    retries: 5\n  - name: b\n    uses: windlass/noop\n";
    let group = shop.submit(text, &["x", "y"]);
    let end = shop.wait(group);
    assert_eq!((end.status, end.failed), (Status::Failed, 2));
    assert_eq!(shop.attempts(1).len(), 1);
}

#[test]
fn a_command_past_its_timeout_is_ended() {
    let shop = Shop::new();
    let _worker = shop.worker(1);
    let text = "id: slow\nsteps:\n  - name: a\n    run: [sleep, '600']\n    timeout: 100ms\n";
    let group = shop.submit(text, &["x"]);
    assert_eq!(shop.wait(group).status, Status::Failed);
    assert_eq!(shop.attempts(1)[0].outcome, Some("timed out"));
}

#[test]
fn hooks_run_after_the_group_and_are_retried() {
    let shop = Shop::new();
    let worker = shop.worker(1);
    let text = r#"
id: hooked
steps: [{ name: a, uses: windlass/noop }]
hooks:
  group_end: [{ name: tell, run: "echo x >> told; test $(wc -l < told) -ge 2", retries: 2, backoff: { initial: 5ms } }]
"#;
    let group = shop.submit(text, &["x"]);
    assert_eq!(shop.wait(group).status, Status::Completed);
    eventually("hooks are drained", || worker.is_idle().unwrap());
    assert_eq!(fs::read_to_string(shop.path("told")).unwrap(), "x\nx\n");
}

#[test]
fn a_running_hook_is_not_disturbed_by_what_others_commit() {
    let shop = Shop::new();
    let worker = shop.worker(1);
    let text = r#"
id: hooked
steps: [{ name: a, uses: windlass/noop }]
hooks:
  group_end: [{ name: slow, run: "echo x >> told; until test -e go; do sleep 0.01; done" }]
"#;
    shop.wait(shop.submit(text, &["x"]));
    eventually("the hook starts", || shop.path("told").exists());
    let other = "id: other\nsteps: [{ name: a, run: \"sleep 0.3\" }]\n";
    shop.wait(shop.submit(other, &["x"]));
    fs::write(shop.path("go"), "").unwrap();
    eventually("hooks are drained", || worker.is_idle().unwrap());
    assert_eq!(fs::read_to_string(shop.path("told")).unwrap(), "x\n");
}

#[test]
fn keyed_steps_never_overlap_whoever_runs_them() {
    let shop = Shop::new();
    let _one = shop.worker(2);
    let _two = shop.worker(2);
    let text =
        "id: keyed\nsteps:\n  - name: a\n    run: \"mkdir lockdir && rmdir lockdir\"\n    resource_key: \"db:one\"\n";
    let items: Vec<String> = (0..20).map(|it| it.to_string()).collect();
    let items: Vec<&str> = items.iter().map(String::as_str).collect();
    let group = shop.submit(text, &items);
    assert_eq!(shop.wait(group).status, Status::Completed, "mkdir fails when two overlap");
}

#[test]
fn a_key_held_from_outside_makes_steps_wait() {
    let shop = Shop::new();
    let key = ResourceKey("db:one".into());
    let holder = Holder { kind: HolderKind::Cli, id: 1 };
    let guard = shop.engine.hold_key(&key, holder, engine::LockWait::No).unwrap();
    let worker = shop.worker(2);
    let text = "id: keyed\nsteps:\n  - name: a\n    uses: windlass/noop\n    resource_key: \"db:one\"\n";
    let group = shop.submit(text, &["x"]);
    let other = "id: free\nsteps: [{ name: a, uses: windlass/noop }]\n";
    assert_eq!(shop.wait(shop.submit(other, &["y"])).status, Status::Completed, "others go on");
    assert!(shop.engine.group_end(group).unwrap().is_none());
    drop(guard);
    assert_eq!(shop.wait(group).status, Status::Completed);
    worker.stop(Millis::seconds(5));
}

#[test]
fn a_file_lock_of_another_program_takes_no_place_from_other_steps_and_is_named() {
    let shop = Shop::new();
    let path = shop.engine.lock_file(&ResourceKey("db:one".into()));
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    if !needs("flock") {
        return;
    }
    let mut stranger = Command::new("flock");
    let mut stranger = stranger.args(["--no-fork", "-x"]).arg(&path).args(["sleep", "600"]).spawn().unwrap();
    eventually("the file is locked", || matches!(FileLock::probe(&path), Ok(LockState::Held)));
    let worker = shop.worker(1);
    let text = "id: keyed\nsteps:\n  - name: a\n    uses: windlass/noop\n    resource_key: \"db:one\"\n";
    let group = shop.submit(text, &["x", "y", "z"]);
    let why = || view::why(&shop.engine, view::Subject::Group(group)).unwrap().steps;
    let named = format!("process {}", stranger.id());
    let says = |it: &view::Explained| it.reasons.iter().any(|it| it.code == "locked" && it.text.contains(&named));
    eventually("the stranger is named", || why().iter().all(says) && worker.running() == 0);
    let locks = view::locks(&shop.engine).unwrap().locks;
    let holds = locks[0].file_holder.as_deref().unwrap_or_default();
    assert!(holds.starts_with(&named), "locks names the stranger and not the waiting step's worker: {locks:?}");
    assert_eq!(locks[0].file_pid, Some(stranger.id()));
    let problems = view::status(&shop.engine, None).unwrap().problems;
    let said = |it: &view::Problem| it.text.contains(&named) && it.text.ends_with("s1 waits");
    assert!(problems.iter().any(said), "{problems:?}");
    let begun = Instant::now();
    let other = "id: free\nsteps: [{ name: a, uses: windlass/noop }]\n";
    assert_eq!(shop.wait(shop.submit(other, &["1", "2", "3"])).status, Status::Completed);
    assert!(begun.elapsed() < Duration::from_secs(8), "they waited {:?}", begun.elapsed());
    // Checking the file writes nothing: no step is claimed in vain, and only the first step of the line is claimed at
    // all.
    let tries: usize = (1..=3).map(|it| shop.attempts(it).len()).sum();
    assert_eq!(tries, 1);
    assert_eq!(shop.engine.store().read(store::check::check).unwrap(), Vec::<String>::new());
    stranger.kill().unwrap();
    stranger.wait().unwrap();
    assert_eq!(shop.wait(group).status, Status::Completed);
    let counted: Vec<_> = (1..=3).map(|it| shop.attempts(it).last().unwrap().n).collect();
    assert_eq!(counted, [1, 1, 1], "the try was given back");
    worker.stop(Millis::seconds(5));
}

#[test]
fn stopping_gives_a_long_step_back_with_its_attempt() {
    let shop = Shop::new();
    let worker = shop.worker(1);
    let text = "id: long\nsteps:\n  - name: a\n    run: \"touch started; test -e go || sleep 600\"\n";
    let group = shop.submit(text, &["x"]);
    eventually("the step starts", || shop.path("started").exists());
    worker.stop(Millis(10));
    assert!(shop.engine.store().read(store::worker::list).unwrap().is_empty(), "peers see the departure at once");
    fs::write(shop.path("go"), "").unwrap();
    let _second = shop.worker(1);
    assert_eq!(shop.wait(group).status, Status::Completed);
    let attempts = shop.attempts(1);
    assert_eq!(attempts.iter().map(|it| it.n).collect::<Vec<_>>(), [1, 1], "the interrupted attempt was given back");
}

#[test]
fn a_worker_whose_life_line_is_free_loses_its_steps_to_another() {
    let shop = Shop::new();
    let text = "id: one\nsteps: [{ name: a, uses: windlass/noop }]\n";
    let group = shop.submit(text, &["x"]);
    // A worker that registered and claimed, and whose process is gone, so its liveness lock is free.
    let store = shop.engine.store();
    let identity = windlass::os::process_stat::own_identity();
    let dead = store
        .write(move |tx| {
            let id = store::worker::reserve(tx)?;
            let new = store::worker::NewWorker {
                identity,
                version: "0".into(),
                pools: "{}".into(),
                scope: Scope::Everything,
            };
            store::worker::register(tx, id, &new)?;
            Ok(id)
        })
        .unwrap();
    let claimed = store
        .claim(store::Claim {
            worker: dead,
            take: store::Take::Others(Arc::from([])),
            scope: Scope::Everything,
            limit: 1,
            identity: "null".into(),
            boot_id: "".into(),
            lock_deadline: Default::default(),
        })
        .unwrap();
    assert_eq!(claimed.len(), 1);
    let _worker = shop.worker(1);
    assert_eq!(shop.wait(group).status, Status::Completed);
    let attempts = shop.attempts(claimed[0].lease.step.0);
    assert_eq!(attempts[0].outcome, Some("interrupted"));
    assert_eq!(attempts[1].outcome, Some("succeeded"));
}

#[test]
fn a_step_with_cache_true_runs_once_for_the_same_input() {
    let shop = Shop::new();
    let _worker = shop.worker(1);
    let text =
        "id: cached\nsteps:\n  - name: a\n    run: \"echo x >> ran; echo {{ item }} > {{ out }}/o\"\n    cache: true\n";
    for _ in 0..3 {
        assert_eq!(shop.wait(shop.submit(text, &["x"])).status, Status::Completed);
    }
    assert_eq!(fs::read_to_string(shop.path("ran")).unwrap(), "x\n");
    shop.wait(shop.submit(text, &["y"]));
    assert_eq!(fs::read_to_string(shop.path("ran")).unwrap(), "x\nx\n", "another item is another input");
}

#[test]
fn a_remembered_result_goes_with_the_content_of_its_files() {
    let shop = Shop::new();
    let _worker = shop.worker(1);
    fs::write(shop.path("a.txt"), "one").unwrap();
    fs::create_dir(shop.path("more")).unwrap();
    let text = "id: cached\nsteps:\n  - name: a\n    run: 'cat {{ item }} >> ran; ls more >> ran'\n    cache: true\n    \
                cache_files: ['{{ item }}', more]\n";
    let ran = || {
        assert_eq!(shop.wait(shop.submit(text, &["a.txt"])).status, Status::Completed);
        fs::read_to_string(shop.path("ran")).unwrap()
    };
    assert_eq!((ran().as_str(), ran().as_str()), ("one", "one"));
    fs::write(shop.path("a.txt"), "two").unwrap();
    assert_eq!((ran().as_str(), ran().as_str()), ("onetwo", "onetwo"), "the file is another one");
    fs::write(shop.path("more/file"), "").unwrap();
    assert_eq!((ran().as_str(), ran().as_str()), ("onetwotwofile\n", "onetwotwofile\n"), "so is the directory");
}

#[test]
fn a_result_whose_files_changed_meanwhile_is_not_remembered() {
    let shop = Shop::new();
    let _worker = shop.worker(1);
    fs::write(shop.path("a.txt"), "").unwrap();
    let text =
        "id: cached\nsteps: [{ name: a, run: 'echo x >> {{ item }}', cache: true, cache_files: ['{{ item }}'] }]\n";
    for _ in 0..2 {
        assert_eq!(shop.wait(shop.submit(text, &["a.txt"])).status, Status::Completed);
    }
    assert_eq!(fs::read_to_string(shop.path("a.txt")).unwrap(), "x\nx\n");
    let gone = "id: gone\nsteps: [{ name: a, run: 'echo x >> ran', cache: true, cache_files: [missing] }]\n";
    for _ in 0..2 {
        assert_eq!(shop.wait(shop.submit(gone, &["b"])).status, Status::Completed);
    }
    assert_eq!(fs::read_to_string(shop.path("ran")).unwrap(), "x\nx\n", "what can't be read is not remembered");
}

#[test]
fn a_remembered_step_that_reads_a_file_must_name_it() {
    let shop = Shop::new();
    for name in ["a.txt", "model.py"] {
        fs::write(shop.path(name), "x").unwrap();
    }
    let here = shop.dir.path().display().to_string();
    let refused = |step: &str, item: &str| {
        let workers = "workers: { w: { command: [cat] } }\n";
        let text = format!("id: c\nsteps: [{{ name: a, cache: true, {step} }}]\n{workers}");
        let definition = windlass::definition::parse(&text, "c.yaml", &Default::default()).unwrap();
        let submission = windlass::engine::Submission {
            directory: shop.dir.path().to_path_buf(),
            params: serde_json::json!({"file": "a.txt"}),
            ..windlass::engine::Submission::new(definition, vec![item.to_string()])
        };
        let refused = shop.engine.submit(submission).err();
        refused.map(|it| format!("{it}; {}", it.hint().unwrap_or_default()))
    };
    for (step, item, hint) in [
        ("run: 'wc -l < {{ item }}'", "a.txt", r#"cache_files: ["{{ item }}"]"#),
        ("run: 'wc -l < {{ params.file }}'", "x", r#"["{{ params.file }}"]"#),
        ("run: 'wc -l {{ item.path }}.txt > out'", r#"{"path": "a"}"#, r#"["{{ item.path }}.txt"]"#),
        ("run: [python3, model.py, '{{ item }}']", "a.txt", r#"["model.py", "{{ item }}"]"#),
        ("run: 'cat \"$WINDLASS_ITEM\"'", "a.txt", r#"["{{ item }}"]"#),
        ("run: 'wc -w < a.txt'", "x", r#"["a.txt"]"#),
        ("run: 'wc -w DIR/a.txt'", "x", r#"["DIR/a.txt"]"#),
        ("run: 'wc -w < DIR/a.txt'", "x", r#"["DIR/a.txt"]"#),
        ("run: 'DIR/model.py; < DIR/a.txt wc'", "x", r#"["DIR/a.txt"]"#),
        ("run: [cat, DIR/a.txt]", "x", r#"["DIR/a.txt"]"#),
        ("run: [cat], env: { CONFIG: DIR/a.txt }", "x", r#"["DIR/a.txt"]"#),
        ("worker: w", "a.txt", r#"["{{ item }}"]"#),
        ("worker: w", r#"{"n": 1, "path": "a.txt"}"#, r#"["{{ item.path }}"]"#),
    ] {
        let said = refused(&step.replace("DIR", &here), item).unwrap_or_else(|| panic!("{step} was let pass"));
        let hint = hint.replace("DIR", &here);
        assert!(said.contains("step `a` has `cache: true` and reads") && said.contains(&hint), "{step}: {said}");
    }
    for (step, item) in [
        ("run: 'wc -l < {{ item }}', cache_files: ['{{ item }}']", "a.txt"),
        ("run: 'echo {{ item }}', cache_files: []", "a.txt"),
        ("run: 'echo {{ item }} > a.txt'", "b"),
        ("run: [/bin/echo, '{{ item }}']", "no such file"),
        ("run: [DIR/model.py, '{{ item }}']", "no such file"),
        ("run: 'cd x && DIR/model.py > DIR/a.txt 2>/dev/null </dev/null; env /usr/bin/env /bin/sh'", "b"),
    ] {
        assert_eq!(refused(&step.replace("DIR", &here), item), None, "{step}");
    }
}

#[test]
fn a_thousand_noops_drain_through_four_consumers() {
    let shop = Shop::new();
    let _worker = shop.worker(4);
    let items: Vec<String> = (0..1000).map(|it| it.to_string()).collect();
    let items: Vec<&str> = items.iter().map(String::as_str).collect();
    let text = "id: many\nsteps:\n  - { name: a, uses: windlass/noop }\n  - { name: b, uses: windlass/noop }\n";
    let group = shop.submit(text, &items);
    assert_eq!(shop.wait(group).status, Status::Completed);
}

#[test]
fn what_stopped_between_two_slices_is_finished_by_the_next_worker() {
    let shop = Shop::new();
    let text = "id: one\nsteps: [{ name: a, uses: windlass/fail }]\n";
    let failed = shop.submit(text, &["x", "y"]);
    let worker = shop.worker(1);
    assert_eq!(shop.wait(failed).status, Status::Failed);
    worker.stop(Millis::seconds(5));
    let cancelled = shop.submit("id: two\nsteps: [{ name: a, uses: windlass/noop }]\n", &["x", "y"]);
    let store = shop.engine.store();
    // The first transaction of each verb, and then a crash: the slices are not written.
    assert!(store.write(move |tx| store::retry::group(tx, failed)).unwrap());
    assert!(store.write(move |tx| store::cancel::group(tx, cancelled)).unwrap());
    let _second = shop.worker(1);
    assert_eq!(shop.wait(cancelled).status, Status::Cancelled);
    assert_eq!(shop.wait(failed).status, Status::Failed, "it was re-opened and failed again");
    assert_eq!(shop.attempts(1).len(), 2);
}

#[test]
fn what_others_stop_between_two_slices_is_finished_by_a_worker_that_lives_already() {
    let shop = Shop::new();
    let text = "id: one\nsteps: [{ name: a, uses: windlass/fail }]\n";
    let failed = shop.submit(text, &["x", "y"]);
    let _worker = shop.worker(1);
    assert_eq!(shop.wait(failed).status, Status::Failed);
    let both = "id: both\nsteps: [{ name: b, uses: windlass/noop }, { name: c, uses: windlass/noop }]\n";
    let known = shop.submit(both, &["x"]);
    assert_eq!(shop.wait(known).status, Status::Completed);
    let store = shop.engine.store();
    // All of these died after their first transaction, or before their last one.
    assert!(store.write(move |tx| store::retry::group(tx, failed)).unwrap());
    store.write(|tx| store::pause::step_type(tx, "b", true)).unwrap();
    let cancelled = shop.submit("id: two\nsteps: [{ name: b, uses: windlass/noop }]\n", &["x", "y"]);
    assert!(store.write(move |tx| store::cancel::group(tx, cancelled)).unwrap());
    store.write(|tx| store::pause::step_type(tx, "c", true)).unwrap();
    let resumed = shop.submit("id: three\nsteps: [{ name: c, uses: windlass/noop }]\n", &["x", "y"]);
    assert!(store.write(move |tx| store::pause::group(tx, resumed)).unwrap());
    store.write(|tx| store::pause::step_type(tx, "c", false)).unwrap();
    let reader = rusqlite::Connection::open(shop.path("engine.db")).unwrap();
    let paused_steps =
        || reader.query_row("SELECT count(*) FROM step WHERE state = 3", [], |row| row.get::<_, i64>(0)).unwrap();
    eventually("a claim met the steps of the paused group", || paused_steps() == 2);
    assert!(store.write(move |tx| store::pause::resume_group(tx, resumed)).unwrap());
    let ended =
        windlass::model::ProcessIdentity { boot_id: "before".into(), ..windlass::os::process_stat::own_identity() };
    let built = store.write(move |tx| {
        let new = store::group::NewGroup {
            definition: store::definition::all(tx)?[0].id,
            name: "half".into(),
            params: "{}".into(),
            directory: "/".into(),
            file: String::new(),
            concurrency: None,
            priority: 0,
            weight: 1,
            force: false,
            scoped: false,
            key: None,
            builder: ended.clone(),
            of_batch: None,
            alerts: None,
            child: None,
            collect: None,
        };
        store::group::create(tx, &new)
    });
    assert!(matches!(built.unwrap(), store::group::Created::New(_)));
    assert_eq!(shop.wait(cancelled).status, Status::Cancelled);
    assert_eq!(shop.wait(resumed).status, Status::Completed);
    assert_eq!(shop.wait(failed).status, Status::Failed, "it was re-opened and failed again");
    assert_eq!(shop.attempts(1).len(), 2);
    eventually("what was never sealed is removed", || store.read(store::group::unsealed).unwrap().is_empty());
}

#[test]
fn a_paused_type_does_not_keep_a_worker_from_being_idle() {
    let shop = Shop::new();
    let group = shop.submit("id: one\nsteps: [{ name: a, uses: windlass/noop }]\n", &["x"]);
    shop.engine.store().write(|tx| store::pause::step_type(tx, "a", true)).unwrap();
    let worker = shop.worker(1);
    eventually("it is idle", || worker.is_idle().unwrap());
    assert!(shop.engine.group_end(group).unwrap().is_none());
    shop.engine.store().write(|tx| store::pause::step_type(tx, "a", false)).unwrap();
    assert_eq!(shop.wait(group).status, Status::Completed);
}

/// A kind that counts how many of its steps run at once, and the maximum.
#[derive(Default)]
struct Counts {
    now: AtomicUsize,
    most: AtomicUsize,
    ran: AtomicUsize,
}

struct Counting(Arc<Counts>);

impl engine::StepKind for Counting {
    fn run(&self, _cx: &engine::StepContext) -> engine::StepResult {
        let Counts { now, most, ran } = &*self.0;
        most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
        // Waits until the others have arrived, or none are left.
        let until = Instant::now() + Duration::from_millis(20);
        while most.load(Ordering::SeqCst) < 3 && Instant::now() < until {
            std::thread::yield_now();
        }
        now.fetch_sub(1, Ordering::SeqCst);
        ran.fetch_add(1, Ordering::SeqCst);
        engine::StepResult::succeeded(None)
    }
}

#[test]
fn a_pool_never_runs_more_steps_than_it_has_places() {
    let dir = tempfile::tempdir().unwrap();
    let counts = Arc::new(Counts::default());
    let kind = Counting(counts.clone());
    let engine = plant::open_with_kinds(dir.path(), move |kinds| kinds.register("test/counts", kind));
    let items: Vec<String> = (0..200).map(|it| it.to_string()).collect();
    let items: Vec<&str> = items.iter().map(String::as_str).collect();
    let group = plant::submit(&engine, "id: one\nsteps: [{ name: a, uses: test/counts }]\n", &items);
    let _worker = plant::worker(&engine, 3);
    let deadline = Some(Instant::now() + Duration::from_secs(60));
    assert!(matches!(engine.wait_for_group(group, deadline, || false).unwrap(), Ending::Ended(_)));
    assert_eq!(counts.ran.load(Ordering::SeqCst), 200);
    assert_eq!(counts.most.load(Ordering::SeqCst), 3, "all places are used, and no more");
}

/// A kind that panics, and one that reports how long it may run.
struct Panics;

impl engine::StepKind for Panics {
    fn run(&self, _cx: &engine::StepContext) -> engine::StepResult {
        panic!("on purpose")
    }
}

#[test]
fn a_step_kind_that_panics_fails_its_step_or_hook_and_the_worker_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let engine = plant::open_with_kinds(dir.path(), |kinds| kinds.register("test/panics", Panics));
    let worker = plant::worker(&engine, 1);
    let text = "id: bad\nsteps: [{ name: a, uses: test/panics, retries: 1, backoff: { initial: 1ms } }]\n";
    assert_eq!(plant::wait(&engine, &worker, plant::submit(&engine, text, &["x"])), Status::Failed);
    let attempts = engine.store().read(|tx| attempt::of_step(tx, StepId(1))).unwrap();
    let said: Vec<String> = attempts.iter().map(|it| it.detail.as_ref().unwrap()["message"].to_string()).collect();
    assert_eq!(said, ["\"the step kind panicked: on purpose\""; 2]);
    let text = "id: hooked\nsteps: [{ name: a, uses: windlass/noop }]\n\
                hooks: { group_end: [{ name: h, uses: test/panics, retries: 0 }] }\n";
    let group = plant::submit(&engine, text, &["x"]);
    assert_eq!(plant::wait(&engine, &worker, group), Status::Completed);
    let failed = || engine.store().read(|tx| store::read::show_group(tx, group)).unwrap().failed_hooks;
    eventually("the hook has failed", || !failed().is_empty());
    assert!(failed()[0].detail.contains("panicked: on purpose"), "{:?}", failed()[0].detail);
    let text = "id: good\nsteps: [{ name: a, uses: windlass/noop }]\n";
    assert_eq!(plant::wait(&engine, &worker, plant::submit(&engine, text, &["x"])), Status::Completed);
}

#[test]
fn a_hook_of_a_built_in_kind_ends_at_its_timeout() {
    let shop = Shop::new();
    let worker = shop.worker(1);
    let text = "id: hooked\nsteps: [{ name: a, uses: windlass/noop }]\nhooks: { group_end: \
                [{ name: slow, uses: windlass/sleep, with: { for: 600s }, timeout: 100ms, retries: 0 }] }\n";
    let group = shop.submit(text, &["x"]);
    assert_eq!(shop.wait(group).status, Status::Completed);
    eventually("hooks are drained", || worker.is_idle().unwrap());
    let hooks = shop.engine.store().read(|tx| store::read::show_group(tx, group)).unwrap().failed_hooks;
    assert!(hooks.len() == 1 && hooks[0].detail.contains("timed out after 100ms"), "{hooks:?}");
}

#[test]
fn a_windlass_in_a_step_or_a_hook_means_the_home_that_runs_it() {
    let shop = Shop::new();
    let _worker = shop.worker(1);
    let text = "id: own\nsteps: [{ name: a, run: 'printf %s \"$WINDLASS_HOME\" > step' }]\nhooks: { group_end: [{ name: h, run: 'printf %s \"$WINDLASS_HOME\" > hook' }] }\n";
    let group = shop.submit(text, &[""]);
    assert_eq!(shop.wait(group).status, Status::Completed);
    eventually("the hook runs", || fs::read_to_string(shop.path("hook")).is_ok_and(|it| !it.is_empty()));
    let home = shop.dir.path().to_str().unwrap();
    for name in ["step", "hook"] {
        assert_eq!(fs::read_to_string(shop.path(name)).unwrap(), home, "{name}");
    }
}
