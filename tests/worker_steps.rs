//! `worker:` steps in the engine: values and files, failures, units, limits, ends.

mod support {
    pub mod binary;
    pub mod needs;
    pub mod worker_house;
}

use support::binary::Windlass;
use support::needs::needs;
use support::worker_house;

use std::{
    collections::BTreeMap,
    fs,
    path::Path,
    process::Command,
    sync::Arc,
    thread,
    time::{Duration, Instant},
};
use windlass::{
    artifact::{ArtifactOptions, ArtifactStore},
    decide::recycle::RecycleReason,
    definition::{Definition, KnownKinds, parse},
    engine::{self, Ending, Engine, GroupEnd, Options, Registry, Submission, Worker, WorkerOptions},
    model::{Bytes, GroupId, KillIntent, Millis, Outcome, ResourceLimit, Scope, Status, StepId},
    observe::{Counter, Metrics},
    os::{FileLock, LockState, SystemClock},
    process::exchange::WorkLimits,
    store::{self, Store, attempt, output, read},
};
use worker_house::{Extra, House, pid, run, run_with, value, wait_until};

/// An engine in the directory of a house.
struct Shop {
    house: House,
    engine: Engine,
    counts: Arc<Counts>,
}

#[derive(Default)]
struct Counts(std::sync::Mutex<BTreeMap<String, u64>>);

impl Metrics for Counts {
    fn add(&self, counter: Counter, label: &str, by: u64) {
        if counter == Counter::WorkerRecycled {
            *self.0.lock().unwrap().entry(label.to_string()).or_default() += by;
        }
    }
}

impl Shop {
    fn new(python: &str) -> Shop {
        let house = House::new();
        fs::write(house.path("steps.py"), format!("import os, time\nfrom windlass_worker import *\n{python}\nrun()\n"))
            .unwrap();
        let home = house.dir.path();
        let store = Store::open(&store::Options::new(home.join("engine.db")), Arc::new(SystemClock)).unwrap();
        let artifacts =
            ArtifactStore::open(&home.join("artifacts"), ArtifactOptions::default(), &engine::process_tag()).unwrap();
        let mut kinds = Registry::default();
        engine::kind::register(&mut kinds);
        let counts = Arc::new(Counts::default());
        let options = Options { ballast: Bytes(0), ..Options::new(home) };
        let engine = Engine::new(store, artifacts, kinds, options, counts.clone());
        Shop { house, engine, counts }
    }

    fn definition(&self, text: &str) -> Definition {
        parse(text, "test.yaml", &KnownKinds::new(self.engine.kinds().names())).unwrap()
    }

    /// Submits steps that run on a pool `py` of one process.
    fn submit(&self, steps: &str, items: &[&str]) -> GroupId {
        self.submit_with(steps, "{ command: [python3, steps.py] }", items)
    }

    fn submit_with(&self, steps: &str, worker: &str, items: &[&str]) -> GroupId {
        let definition = self.definition(&format!("id: test\nsteps:\n{steps}\nworkers:\n  py: {worker}\n"));
        let items = items.iter().map(|it| it.to_string()).collect();
        let submission = Submission { directory: self.house.dir.path().into(), ..Submission::new(definition, items) };
        self.engine.submit(submission).unwrap().group
    }

    fn worker(&self, size: usize) -> Worker {
        let pools = BTreeMap::from([("*".to_string(), size)]);
        Worker::start(&self.engine, WorkerOptions { pools, scope: Scope::Everything }).unwrap()
    }

    fn wait(&self, group: GroupId) -> GroupEnd {
        let deadline = std::time::Instant::now() + std::time::Duration::from_secs(60);
        match self.engine.wait_for_group(group, Some(deadline), || false).unwrap() {
            Ending::Ended(end) => end,
            other => panic!("{group} did not end: {other:?}"),
        }
    }

    fn attempts(&self, step: i64) -> Vec<attempt::Attempt> {
        self.engine.store().read(|tx| attempt::of_step(tx, StepId(step))).unwrap()
    }

    fn value(&self, step: i64) -> serde_json::Value {
        let output = self.engine.store().read(|tx| output::of_step(tx, StepId(step))).unwrap();
        output.and_then(|it| it.value).unwrap_or_default()
    }

    fn reason(&self, step: i64, attempt: usize) -> String {
        self.attempts(step)[attempt].detail.as_ref().unwrap()["message"].as_str().unwrap().to_string()
    }
}

#[test]
fn values_files_and_words_pass_through_a_worker() {
    if !needs("python3") {
        return;
    }
    let shop = Shop::new(
        r#"
@step("make")
def make(ctx):
    print("printed for", ctx.item)
    ctx.log("logged", "debug")
    yield 1, 2
    ctx.artifact.put("deep/data.txt", ctx.item * 2)
    yield "nearly there"
    return {"twice": ctx.config["n"] * 2, "key": [ctx.group, ctx.run, ctx.step, ctx.attempt], "left": ctx.deadline}

@step
def use(ctx):
    assert ctx.inputs["make"].files == ["deep/data.txt"], ctx.inputs
    return [ctx.artifact.get("make").decode(), ctx.inputs["make"].value["twice"], ctx.config["of"]]

@step
async def nothing(ctx):
    pass
"#,
    );
    let worker = shop.worker(2);
    let steps = r#"
  - { name: first, worker: py, handler: make, with: { n: 21 } }
  - { name: make, worker: py, with: { n: 4 } }
  - { name: use, worker: py, with: { of: "{{ inputs.make.value.twice }}" } }
  - { name: nothing, worker: py }
  - { name: shell, needs: [make, nothing], run: "cat {{ inputs.make.dir }}/deep/data.txt" }
"#;
    let group = shop.submit(steps, &["ab"]);
    let end = shop.wait(group);
    let reasons: Vec<_> = (1..=5).map(|it| (shop.value(it), shop.attempts(it))).collect();
    assert_eq!(end.status, Status::Completed, "{reasons:?}");
    assert_eq!(shop.value(1), serde_json::json!({"twice": 42, "key": ["g1", "r1", "s1", 1], "left": null}));
    assert_eq!(shop.value(3), serde_json::json!(["abab", 8, 8]));
    assert_eq!((shop.value(4), shop.value(5)), (serde_json::Value::Null, "abab".into()));
    let certificate = shop.attempts(1)[0].detail.as_ref().unwrap()["certificate"].clone();
    assert_eq!(certificate["last_lines"], "[debug] logged\n");
    let workers = worker.worker_processes();
    assert_eq!((workers.len(), workers[0].units, workers[0].busy), (1, 4, false));
    assert!(workers[0].rss_bytes.is_some_and(|it| it > 1 << 20) && workers[0].open_fds.is_some_and(|it| it >= 5));
    worker.stop(Millis::seconds(5));
    assert!(worker_house::is_gone(workers[0].pid), "no process outlives its worker");
}

#[test]
fn exceptions_say_whether_to_try_again_and_where_they_came_from() {
    if !needs("python3") {
        return;
    }
    let shop = Shop::new(
        r#"
@step
def flaky(ctx):
    if ctx.attempt < 3:
        raise (Retryable("not yet") if ctx.attempt == 1 else KeyError("gone"))

@step
def hopeless(ctx):
    def inner():
        raise Permanent("needs a password", kind="encrypted")
    inner()

@step
def strange(ctx):
    return {1, 2}
"#,
    );
    let _worker = shop.worker(1);
    let one = |name: &str| format!("  - {{ name: {name}, worker: py, retries: 5, backoff: {{ initial: 5ms }} }}");
    assert_eq!(shop.wait(shop.submit(&one("flaky"), &["x"])).status, Status::Completed);
    assert_eq!(shop.attempts(1).len(), 3);
    assert_eq!(shop.reason(1, 0), "not yet (steps.py:7, in flaky)");
    assert_eq!(shop.reason(1, 1), "KeyError: 'gone' (steps.py:7, in flaky)");
    for (step, name, kind, reason) in [
        (2, "hopeless", "encrypted", "needs a password (steps.py:12, in inner)"),
        (3, "strange", "bad_value", "the step's value is not JSON: Object of type set is not JSON serializable"),
        (4, "absent", "no_handler", "the worker has no handler 'absent'; it has: flaky, hopeless, strange"),
    ] {
        assert_eq!(shop.wait(shop.submit(&one(name), &["x"])).status, Status::Failed);
        let attempts = shop.attempts(step);
        let detail = attempts[0].detail.as_ref().unwrap();
        assert_eq!((attempts.len(), &detail["outcome"]["kind"]), (1, &kind.into()), "{detail}");
        assert!(shop.reason(step, 0).starts_with(reason), "{}", shop.reason(step, 0));
    }
    let lines = shop.attempts(2)[0].detail.as_ref().unwrap()["certificate"]["last_lines"].as_str().unwrap().to_string();
    assert!(lines.starts_with("Traceback") && lines.contains("steps.py\", line 13, in hopeless"), "{lines}");
    assert!(!lines.contains("windlass_worker.py"), "{lines}");
}

#[test]
fn the_steps_of_a_run_stay_on_one_worker_until_the_unit_is_over() {
    if !needs("python3") {
        return;
    }
    let shop = Shop::new(
        r#"
@step
def open_up(ctx):
    ctx.unit["item"] = ctx.item

@step
def work(ctx):
    return [ctx.unit["item"], os.getpid()]

@step
def shut(ctx):
    return [ctx.unit["item"], os.getpid()]

@finalize
def end(unit):
    with open("finalized", "a") as file:
        file.write(unit["item"] + "\n")
"#,
    );
    let _worker = shop.worker(3);
    let steps = "  - { name: open_up, worker: py, unit: run }\n  - { name: work, worker: py, unit: run }\n\
        \x20 - { name: pause, uses: windlass/noop }\n  - { name: shut, worker: py, unit: run }";
    let items = ["a", "b", "c", "d", "e", "f"];
    let group = shop.submit_with(steps, "{ command: [python3, steps.py], size: 2 }", &items);
    assert_eq!(shop.wait(group).status, Status::Completed);
    for (at, item) in items.iter().enumerate() {
        let (work, shut) = (shop.value(4 * at as i64 + 2), shop.value(4 * at as i64 + 4));
        assert_eq!((&work[0], &work), (&serde_json::json!(item), &shut));
    }
    let mut finalized: Vec<String> =
        fs::read_to_string(shop.house.path("finalized")).unwrap().lines().map(str::to_string).collect();
    finalized.sort();
    assert_eq!(finalized, items);
}

#[test]
fn a_step_past_its_timeout_and_a_cancelled_one_lose_their_worker() {
    if !needs("python3") {
        return;
    }
    let shop = Shop::new("@step\ndef hang(ctx):\n    open(ctx.item, 'w').close()\n    time.sleep(1000)");
    let worker = shop.worker(1);
    let group = shop.submit("  - { name: hang, worker: py, timeout: 200ms }", &["late"]);
    assert_eq!(shop.wait(group).status, Status::Failed);
    assert_eq!(shop.attempts(1)[0].outcome, Some("timed out"));
    let group = shop.submit("  - { name: hang, worker: py }", &["started"]);
    wait_until("the step runs", || shop.house.path("started").exists());
    shop.engine.cancel_group(group).unwrap();
    assert_eq!(shop.wait(group).status, Status::Cancelled);
    let group = shop.submit("  - { name: hang, worker: py }", &["stopped"]);
    wait_until("the step runs", || shop.house.path("stopped").exists());
    worker.stop(Millis(10));
    assert!(shop.engine.group_end(group).unwrap().is_none());
    assert_eq!(shop.attempts(3)[0].outcome, Some("interrupted"));
}

#[test]
fn a_worker_that_never_becomes_ready_fails_its_steps_with_its_last_words_and_others_go_on() {
    if !needs("python3") {
        return;
    }
    let shop = Shop::new("");
    fs::write(shop.house.path("steps.py"), "def load():\n    import no_such_module\nload()\n").unwrap();
    let worker = shop.worker(2);
    let steps =
        "  - { name: work, worker: py, needs: [], retries: 3 }\n  - { name: other, uses: windlass/noop, needs: [] }";
    let group = shop.submit(steps, &["x", "y"]);
    assert_eq!(shop.wait(group).status, Status::Failed);
    let words = ["worker `py` (`python3 steps.py`) exited with code 1", "no_such_module", "in a row"];
    for step in [1, 3] {
        let attempts = shop.attempts(step);
        assert_eq!((attempts.len(), attempts[0].outcome), (1, Some("failed")), "{attempts:?}");
        let detail = attempts[0].detail.as_ref().unwrap();
        let message = detail["message"].as_str().unwrap();
        assert!(words.iter().all(|it| message.contains(it)), "{message}");
        let traceback = detail["certificate"]["last_lines"].as_str().unwrap();
        assert!(traceback.contains("line 2, in load"), "{traceback}");
    }
    let status = |step| shop.engine.store().read(|tx| read::status_of_step(tx, StepId(step))).unwrap();
    assert_eq!([2, 4].map(status), [Status::Completed, Status::Completed], "{:?}", shop.attempts(2));
    assert!(worker.worker_trouble().join("; ").contains("no_such_module"));
    // Once it is fixed, the steps can be tried again.
    fs::write(
        shop.house.path("steps.py"),
        "from windlass_worker import *\n@step\ndef work(ctx):\n    return 1\nrun()\n",
    )
    .unwrap();
    assert!(shop.engine.retry_group(group).unwrap());
    assert!(
        matches!(shop.wait(group).status, Status::Completed | Status::Failed),
        "the pool starts it again when its pause is over"
    );
}

#[test]
fn what_a_worker_says_of_a_failure_is_kept_within_bounds_and_marked_as_cut() {
    if !needs("python3") {
        return;
    }
    let shop = Shop::new(
        "@step\ndef long(ctx):\n    raise Permanent('begin' + 'x' * 3_000_000 + 'end', kind='k' * 1000)\n\
        @step\ndef loud(ctx):\n    import sys\n    sys.stderr.write('y' * 3_000_000)\n    sys.stderr.flush()\n    os._exit(7)\n",
    );
    let _worker = shop.worker(1);
    let steps = "  - { name: long, worker: py, needs: [] }\n  - { name: loud, worker: py, needs: [] }\n  \
        - { name: fail, uses: windlass/fail, needs: [], with: { message: \"{{ item }}\" } }";
    let group = shop.submit(steps, &[&"z".repeat(100_000)]);
    assert_eq!(shop.wait(group).status, Status::Failed);
    for step in [1, 2, 3] {
        let detail = shop.attempts(step)[0].detail.clone().unwrap();
        let message = detail["message"].as_str().unwrap();
        assert!(message.len() <= 5_000 && message.contains("bytes cut ...]"), "s{step}: {} {message}", message.len());
        assert!(detail.to_string().len() < 20_000, "s{step}: {}", detail.to_string().len());
    }
    let long = shop.reason(1, 0);
    assert!(long.contains("beginxxx") && long.contains("xxxend"), "{long}");
}

#[test]
fn a_worker_that_can_not_be_started_fails_its_step_by_name() {
    let shop = Shop::new("");
    let _worker = shop.worker(1);
    let step = "  - { name: work, worker: py, retries: 3 }";
    let group = shop.submit_with(step, "{ command: [no-such-program] }", &["x"]);
    assert_eq!(shop.wait(group).status, Status::Failed);
    assert_eq!((shop.attempts(1).len(), shop.reason(1, 0)), (1, "`no-such-program` was not found".to_string()));
}

#[test]
fn a_leaking_worker_is_replaced_and_counted() {
    if !needs("python3") {
        return;
    }
    let shop =
        Shop::new("kept = []\n@step\ndef leak(ctx):\n    kept.append(open('/dev/null'))\n    return os.getpid()");
    let worker = shop.worker(1);
    let items: Vec<String> = (0..60).map(|it| it.to_string()).collect();
    let items: Vec<&str> = items.iter().map(String::as_str).collect();
    let limits = "{ command: [python3, steps.py], limits: { rss: ~, fds: 30, age: ~ } }";
    let recycled = || shop.counts.0.lock().unwrap().get("open_files").copied().unwrap_or_default();
    // On a fast machine a group can end before the replacement of the first worker has started. The next group then
    // uses it.
    let deadline = Instant::now() + Duration::from_secs(60);
    while recycled() == 0 {
        let group = shop.submit_with("  - { name: leak, worker: py }", limits, &items);
        assert_eq!(shop.wait(group).status, Status::Completed);
        assert!(Instant::now() < deadline, "no worker was replaced");
    }
    let named = |it: RecycleReason| matches!(it, RecycleReason::OpenFiles { limit: 30, .. });
    while !worker.worker_processes().iter().any(|it| it.last_recycle.is_some_and(named)) {
        assert!(Instant::now() < deadline, "the reason is not told");
        std::thread::yield_now();
    }
}

#[test]
fn limits_of_a_step_end_its_worker_and_are_named() {
    if !needs("python3") {
        return;
    }
    let house = House::new();
    let pool = house.pool();
    let memory = WorkLimits { memory: Some(Bytes::mib(150)), ..WorkLimits::default() };
    let cpu = WorkLimits { cpu: Some(Millis(200)), ..WorkLimits::default() };
    let files = WorkLimits { open_files: Some(100), ..WorkLimits::default() };
    for (limits, code, expected) in [
        (memory, "kept.append(bytearray(b'x') * (300 << 20)); time.sleep(1000)", ResourceLimit::Memory),
        (cpu, "while True: pass", ResourceLimit::CpuTime),
        (files, "kept.extend(open('/dev/null') for _ in range(200)); time.sleep(1000)", ResourceLimit::OpenFiles),
    ] {
        let ran = run_with(&pool, code, &Extra { limits, ..Extra::default() });
        let Outcome::ResourceLimit { limit, .. } = ran.outcome else { panic!("{:?}", ran.outcome) };
        assert_eq!(limit, expected);
    }
    let small = run_with(&pool, "result = 1", &Extra { limits: memory, ..Extra::default() });
    assert_eq!(small.outcome, Outcome::Succeeded);
}

#[test]
fn a_lock_is_let_go_of_with_the_step_though_its_worker_lives_on() {
    if !needs("python3") {
        return;
    }
    let house = House::new();
    let pool = house.pool();
    let path = house.path("key");
    for end in ["result = os.getpid()", "os.kill(os.getpid(), 9)"] {
        let lock = FileLock::try_exclusive(&path).unwrap().unwrap();
        // A lent lock must not be unlocked by hand: it lasts until the last copy of its descriptor is closed.
        let file = fs::File::from(lock.lend().try_clone_to_owned().unwrap());
        drop(lock);
        let code = format!("subprocess.Popen(['sleep', '1000'], start_new_session=True); {end}");
        let ran = run_with(&pool, &code, &Extra { lock: Some(&file), ..Extra::default() });
        assert_eq!(FileLock::probe(&path).unwrap(), LockState::Held, "{:?}", ran.outcome);
        drop(file);
        wait_until("the lock is free", || FileLock::probe(&path).unwrap() == LockState::Free);
    }
}

#[test]
fn an_engine_that_is_killed_leaves_no_lock_behind_and_none_too_early() {
    if !needs("python3") {
        return;
    }
    let house = House::new();
    let mut engine = Windlass::role("the_part_of_an_engine_with_a_lock");
    let mut engine = engine.env("PART_OF", house.dir.path()).silent().spawn().unwrap();
    let worker = house.pid_in("worker");
    let shim = windlass::os::process_stat::children(engine.id())[0];
    // The shim can't act while it is stopped, so it outlives its engine, as on a busy machine.
    Command::new("kill").args(["-STOP", &shim.to_string()]).status().unwrap();
    engine.kill().unwrap();
    engine.wait().unwrap();
    let state = || FileLock::probe(&house.path("key")).unwrap();
    assert_eq!(state(), LockState::Held, "the worker still lives: {}", !worker_house::is_gone(worker));
    Command::new("kill").args(["-CONT", &shim.to_string()]).status().unwrap();
    wait_until("the lock is free", || state() == LockState::Free);
    assert!(worker_house::is_gone(worker));
}

/// Not a test on its own: an engine that others kill.
#[test]
#[ignore = "the part of an engine, played for other tests"]
fn the_part_of_an_engine_with_a_lock() {
    let Some(dir) = std::env::var_os("PART_OF") else { return };
    let house = House::new();
    let mut spec = house.spec();
    spec.worker.dir = dir.into();
    let lock = FileLock::try_exclusive(&spec.worker.dir.join("key")).unwrap().unwrap();
    let code = "open('worker', 'w').write(str(os.getpid()) + '\\n'); time.sleep(1000)";
    run_with(&house.open(spec), code, &Extra { lock: Some(lock.file()), ..Extra::default() });
}

#[test]
fn a_worker_that_hangs_while_it_is_idle_is_found_before_it_is_given_a_step() {
    if !needs("python3") {
        return;
    }
    let house = House::new();
    let mut spec = house.spec();
    spec.timing.doubt = Millis(1);
    (spec.worker.timeouts.ping, spec.worker.timeouts.grace) = (Millis(200), Millis(200));
    let pool = house.open(spec);
    let first = pid(&pool);
    assert_eq!(pid(&pool), first, "it answers a ping");
    Command::new("kill").args(["-STOP", &first.to_string()]).status().unwrap();
    assert_ne!(pid(&pool), first);
}

#[test]
fn a_hello_that_does_not_come_in_time_is_said_so() {
    if !needs("python3") {
        return;
    }
    let house = House::new();
    let mut spec = house.spec();
    // A shell starts immediately, however busy the machine is.
    spec.worker.command = ["sh", "-c", "echo loading >&2; exec sleep 1000"].map(Into::into).to_vec();
    spec.worker.timeouts.hello = Millis(500);
    (spec.timing.backoff, spec.timing.backoff_most) = (Millis(1), Millis::seconds(60));
    let pool = house.open(spec);
    let work = worker_house::work("");
    let job = windlass::process::pool::Job {
        work: &work,
        unit: windlass::process::pool::UnitOf::Step,
        cancel: &Default::default(),
        deadline: None,
        limits: WorkLimits::default(),
        alone: false,
        live: None,
        lock: None,
    };
    // While the worker starts, the step gives up its slot each time.
    let mut ran = None;
    wait_until("the starts have failed", || {
        if let windlass::process::pool::Done::Ran(it) = pool.run(&job) {
            ran = Some(it);
        }
        ran.is_some()
    });
    let ran = ran.unwrap();
    // It may be faster the next time, so a retry can help.
    let Outcome::Failed { retryable: true, message, .. } = &ran.outcome else { panic!("{:?}", ran.outcome) };
    assert!(message.contains("did not say hello within 500ms") && message.contains("loading"), "{message}");
    assert!(message.contains("5 times in a row"), "{message}");
}

#[test]
fn cancelling_while_a_worker_starts_starts_nothing() {
    if !needs("python3") {
        return;
    }
    let house = House::new();
    fs::write(house.path("worker.py"), "import time\nopen('ready', 'w').close()\ntime.sleep(1000)").unwrap();
    let pool = house.pool();
    let extra = Extra::default();
    let ran = thread::scope(|scope| {
        let running = scope.spawn(|| run_with(&pool, "", &extra));
        wait_until("the worker starts", || house.path("ready").exists());
        extra.cancel.cancel(KillIntent::Cancel);
        running.join().unwrap()
    });
    assert_eq!((ran.outcome, pool.workers()), (Outcome::Cancelled, vec![]));
}

#[test]
fn a_value_beyond_a_frame_is_refused_and_the_worker_lives_on() {
    if !needs("python3") {
        return;
    }
    let house = House::new();
    let pool = house.pool();
    let first = pid(&pool);
    let ran = run(&pool, "result = 'x' * (17 << 20)");
    assert!(matches!(&ran.outcome, Outcome::Failed { retryable: false, kind, .. } if kind == "bad_value"));
    let ran = run(&pool, &format!("#{}", "x".repeat(17 << 20)));
    assert!(matches!(&ran.outcome, Outcome::Failed { retryable: false, kind, .. } if kind == "input"));
    assert_eq!(value(&pool, "result = len('x' * (15 << 20))"), 15 << 20);
    assert_eq!(value(&pool, "result = 'y' * (15 << 20)").as_str().unwrap().len(), 15 << 20);
    assert_eq!(pid(&pool), first);
}

#[test]
fn the_example_in_javascript_speaks_the_protocol() {
    if !needs("node") {
        return;
    }
    let shop = Shop::new("");
    let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples");
    fs::copy(examples.join("worker.mjs"), shop.house.path("worker.mjs")).unwrap();
    let worker = shop.worker(1);
    let definition = shop.definition(&fs::read_to_string(examples.join("node-worker.yaml")).unwrap());
    let items = vec!["abc".to_string(), "äö".to_string()];
    let submission = Submission { directory: shop.house.dir.path().into(), ..Submission::new(definition, items) };
    let group = shop.engine.submit(submission).unwrap().group;
    assert_eq!(shop.wait(group).status, Status::Completed);
    assert_eq!((shop.value(1), shop.value(2)), ("cba".into(), "öä".into()));
    assert!(worker.worker_processes()[0].rss_bytes.is_some());
}

#[test]
fn the_example_in_python_counts_words() {
    if !needs("python3") {
        return;
    }
    let shop = Shop::new("");
    let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples");
    fs::copy(examples.join("worker.py"), shop.house.path("worker.py")).unwrap();
    fs::write(shop.house.path("text"), "The rope and the anchor, the end.\n").unwrap();
    let _worker = shop.worker(1);
    let definition = shop.definition(&fs::read_to_string(examples.join("python-worker.yaml")).unwrap());
    let items = vec![shop.house.path("text").to_str().unwrap().to_string(), "missing".to_string()];
    let submission = Submission { directory: shop.house.dir.path().into(), ..Submission::new(definition, items) };
    let end = shop.wait(shop.engine.submit(submission).unwrap().group);
    assert_eq!((end.status, end.failed), (Status::Failed, 1));
    assert_eq!(shop.value(2), serde_json::json!({"words": 7, "different": 5, "most_common": "the"}));
    assert!(shop.reason(3, 0).starts_with("there is no file"), "{}", shop.reason(3, 0));
}
