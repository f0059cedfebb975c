//! What the engine tells: metrics of everything it counts, and which daemon may write.

mod support {
    pub mod binary;
    pub mod web;
}

use support::binary::{Running, Windlass};
use support::web;

use std::{collections::BTreeMap, sync::Arc, time::Instant};
use web::{PATIENCE, Web, until};
use windlass::{
    assembly,
    definition::{self, KnownKinds},
    engine::{Engine, Submission, Worker, WorkerOptions},
    model::Scope,
    observe::{Counter, Metrics, Registry},
    settings, store,
};

fn engine(home: &std::path::Path, metrics: Arc<dyn Metrics>) -> Engine {
    assembly::engine(&settings::load(home, [], &[]).unwrap(), metrics).unwrap()
}

fn submission(engine: &Engine, text: &str, items: usize) -> Submission {
    let known = KnownKinds::new(engine.kinds().names());
    let workflow = definition::parse(text, "flow", &known).unwrap();
    Submission::new(workflow, (0..items).map(|it| it.to_string()).collect())
}

const NOTHING: &str = "id: nothing\nsteps: [{ name: a, uses: windlass/noop }, { name: b, uses: windlass/noop }]\n";

#[test]
fn an_earlier_daemon_may_not_write_once_another_has_begun() {
    let home = tempfile::tempdir().unwrap();
    let quiet = || Arc::new(windlass::observe::NoMetrics);
    let (first, second, command) =
        (engine(home.path(), quiet()), engine(home.path(), quiet()), engine(home.path(), quiet()));
    assert_eq!(first.store().begin_epoch().unwrap(), 1);
    first.submit(submission(&first, NOTHING, 1)).unwrap();
    command.submit(submission(&command, NOTHING, 1)).unwrap();
    first.submit(submission(&first, NOTHING, 1)).unwrap();
    assert_eq!(second.store().begin_epoch().unwrap(), 2);
    for _ in 0..2 {
        let refused = first.submit(submission(&first, NOTHING, 1)).unwrap_err();
        assert!(matches!(refused, windlass::engine::Error::Store(store::Error::Fenced)), "{refused:?}");
    }
    second.submit(submission(&second, NOTHING, 1)).unwrap();
    command.submit(submission(&command, NOTHING, 1)).unwrap();
}

#[test]
fn a_fenced_daemon_ends() {
    let home = tempfile::tempdir().unwrap();
    let mut web = Web::on(home.path(), &[]);
    let other = engine(home.path(), Arc::new(windlass::observe::NoMetrics));
    assert_eq!(other.store().begin_epoch().unwrap(), 2);
    // Its next write, with which it would take up work, is its last.
    other.submit(submission(&other, NOTHING, 1)).unwrap();
    assert_eq!(web::wait(&mut web.child).code(), Some(1));
}

/// The sum over all labels; 0 if there is no line yet.
fn sum(text: &str, name: &str) -> f64 {
    let of_it = |it: &&str| it.strip_prefix(name).is_some_and(|rest| rest.starts_with([' ', '{']));
    text.lines().filter(of_it).filter_map(|it| it.rsplit(' ').next()?.parse::<f64>().ok()).sum()
}

/// Waits until a metric is above zero.
#[track_caller]
fn rises(web: &Web, name: &str) {
    until(name, || (sum(&web.get("/metrics").text(), name) > 0.0).then_some(()));
}

/// A home with a daemon, in which each counter can be made to rise.
struct Counted {
    home: tempfile::TempDir,
    web: Web,
    /// Holds the key `shared`.
    holder: Running,
}

impl Counted {
    /// A step waits for a key that a command holds before the daemon's first claim.
    fn new() -> Counted {
        let home = tempfile::tempdir().unwrap();
        let settings = "history_limit = 5\nheartbeat = \"100ms\"\nsilent_after = \"2s\"\nballast = \"0\"\n\
                        [pools]\nparse = 2\nstore = 1\n\"*\" = 3\n";
        std::fs::write(home.path().join("windlass.toml"), settings).unwrap();
        let text = "id: k\nsteps: [{ name: a, uses: windlass/noop, resource_key: shared }]\n";
        std::fs::write(home.path().join("keyed.yaml"), text).unwrap();
        let keyed = home.path().join("keyed.yaml");
        let submit = ["submit", keyed.to_str().unwrap(), "--items", "1"];
        assert!(Windlass::on(home.path()).args(submit).output().unwrap().status.success());
        let script = format!("touch {0}/held; sleep 600", home.path().display());
        let hold = ["locks", "hold", "shared", "--", "sh", "-c", &script];
        let holder = Windlass::on(home.path()).args(hold).spawn().unwrap();
        until("the key is held", || home.path().join("held").exists().then_some(()));
        let web = Web::on(home.path(), &[]);
        Counted { home, web, holder }
    }

    /// Submits a workflow with these steps for one item; `more` has further lines of the file.
    #[track_caller]
    fn submit(&self, steps: &str, more: &str) -> String {
        self.submit_items(steps, more, &["1"])
    }

    fn submit_items(&self, steps: &str, more: &str, items: &[&str]) -> String {
        let file = self.home.path().join("it.yaml");
        std::fs::write(&file, format!("id: it\nsteps:\n{steps}{more}")).unwrap();
        let command = self
            .web
            .windlass(&[&["submit", file.to_str().unwrap(), "--json", "--items"], items].concat())
            .output()
            .unwrap();
        assert!(command.status.success(), "{}", String::from_utf8_lossy(&command.stderr));
        let answer: serde_json::Value = serde_json::from_slice(&command.stdout).unwrap();
        answer["group"].to_string()
    }

    #[track_caller]
    fn run(&self, steps: &str, code: i32) {
        let group = self.submit(steps, "");
        let waited = self.web.windlass(&["wait", &group]).output().unwrap();
        assert_eq!(waited.status.code(), Some(code), "{steps}: {}", String::from_utf8_lossy(&waited.stderr));
    }

    fn wait_for(&self, name: &str) {
        until(name, || self.home.path().join(name).exists().then_some(()));
    }

    fn signal(child: &std::process::Child, signal: rustix::process::Signal) {
        rustix::process::kill_process(rustix::process::Pid::from_child(child), signal).unwrap();
    }

    /// The daemon is stopped, another worker takes its step, and dies with it.
    fn lose_a_lease_and_reap_a_worker(&self) {
        self.submit("- { name: long, run: 'touch begun; until test -e go; do sleep 0.05; done' }\n", "");
        self.wait_for("begun");
        rises(&self.web, "windlass_pool_busy");
        let mut other = self.web.windlass(&["worker"]);
        let mut other = other.stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null()).spawn().unwrap();
        let said =
            |arguments: &[&str]| String::from_utf8(self.web.windlass(arguments).output().unwrap().stdout).unwrap();
        until("the other is there", || (said(&["list", "workers"]).lines().count() >= 3).then_some(()));
        Counted::signal(&self.web.child, rustix::process::Signal::STOP);
        until("its step is taken", || said(&["events", "--json"]).contains("STEP_REAPED").then_some(()));
        Counted::signal(&self.web.child, rustix::process::Signal::CONT);
        rises(&self.web, "windlass_lease_lost_total");
        until("the other runs it", || said(&["list", "workers", "--json"]).contains("\"running\":1").then_some(()));
        Counted::signal(&other, rustix::process::Signal::KILL);
        other.wait().unwrap();
        rises(&self.web, "windlass_worker_reaped_total");
        std::fs::write(self.home.path().join("go"), "").unwrap();
    }

    /// One step holds a resource, and another waits for it; a third waits for an approval.
    fn share_a_resource(&self) {
        let steps = "- { name: takes, resources: { gpu: 1 }, run: 'until test -e given; do sleep 0.05; done' }\n\
                     - { name: asks, needs: [], approve: 'Go?' }\n";
        let group = self.submit_items(steps, "", &["1", "2"]);
        for line in [
            "windlass_resource_capacity{resource=\"gpu\"} 1",
            "windlass_resource_in_use{resource=\"gpu\"} 1",
            "windlass_resource_waiting{resource=\"gpu\",kind=\"counted\"} 1",
            "windlass_steps_waiting{for=\"approval\"} 2",
        ] {
            until(line, || self.web.get("/metrics").text().lines().any(|it| it == line).then_some(()));
        }
        std::fs::write(self.home.path().join("given"), "").unwrap();
        assert!(self.web.windlass(&["cancel", &format!("g{group}")]).output().unwrap().status.success());
        assert_eq!(self.web.windlass(&["wait", &group]).output().unwrap().status.code(), Some(6));
    }

    /// A worker process exceeds its memory limit.
    fn recycle_a_process(&self) {
        let library = self.web.windlass(&["worker", "sdk", "python"]).output().unwrap().stdout;
        std::fs::write(self.home.path().join("windlass_worker.py"), library).unwrap();
        let grow = "from windlass_worker import run, step\nkept = []\n@step\ndef grow(ctx):\n    \
                    kept.append(b'x' * (30 << 20))\nrun()\n";
        std::fs::write(self.home.path().join("grow.py"), grow).unwrap();
        let workers = "workers: { py: { command: [python3, grow.py], limits: { rss: 100MiB } } }\n";
        // A process is judged by its memory after five units.
        let group =
            self.submit_items("- { name: grow, worker: py }\n", workers, &["1", "2", "3", "4", "5", "6", "7", "8"]);
        let waited = self.web.windlass(&["wait", &group]).output().unwrap();
        assert!(waited.status.success(), "{}", String::from_utf8_lossy(&waited.stderr));
        let line = "windlass_worker_recycled_total{reason=\"memory\"} ";
        until(line, || self.web.get("/metrics").text().contains(line).then_some(()));
    }

    /// Another program locks the database for longer than a claim waits.
    fn lock_the_database(&self) {
        let again = "- { name: again, run: 'exit 1', retries: 1, backoff: { initial: 3s, max: 3s, jitter: 0 } }\n";
        let group = self.submit(again, "");
        until("it has failed once", || {
            let text = self.web.get("/metrics").text();
            text.contains("windlass_step_error_total{type=\"again\"} 1").then_some(())
        });
        let other = rusqlite::Connection::open(self.home.path().join("engine.db")).unwrap();
        other.busy_timeout(PATIENCE).unwrap();
        other.execute_batch("BEGIN IMMEDIATE").unwrap();
        rises(&self.web, "windlass_claim_error_total");
        other.execute_batch("ROLLBACK").unwrap();
        assert_eq!(self.web.windlass(&["wait", &group]).output().unwrap().status.code(), Some(3));
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        let _ = self.holder.kill();
        let _ = self.holder.wait();
    }
}

#[test]
fn every_metric_is_fed() {
    let mut it = Counted::new();
    rises(&it.web, "windlass_claim_lost_race_total");
    // The holder of the key is killed, and the waiting step gets it.
    it.holder.kill().unwrap();
    it.holder.wait().unwrap();
    rises(&it.web, "windlass_resource_lock_swept_total");
    it.run(
        "- { name: put, run: 'echo 1 > {{ out }}/a.txt' }\n- { name: get, run: 'cat {{ inputs.put.dir }}/a.txt' }\n\
         - { name: bad, run: 'exit 7', retries: 1, backoff: { initial: 1ms } }\n",
        3,
    );
    let remembered = "- { name: twice, run: 'echo 1', cache: true }\n";
    it.run(remembered, 0);
    it.run(remembered, 0);
    it.run("- { name: never, run: 'echo 1', when: run.failed }\n", 0);
    it.run("- { name: rest, wait: 1ms }\n", 0);
    it.run("- { name: each, for_each: '[\"a\"]', run: 'true' }\n", 0);
    it.share_a_resource();
    // One schedule starts its workflow, and one has no items.
    for (name, items) in [("starts", "{ list: [x] }"), ("misses", "{ file: nothing.txt }")] {
        let text = format!(
            "id: {name}\nschedule: {{ every: 1d }}\nitems_from: {items}\nsteps: [{{ name: a, uses: windlass/noop }}]\n"
        );
        let added = it.web.post_json("/api/v1/schedules", &serde_json::json!({ "definition": text }));
        assert_eq!(added.status, 201, "{}", added.text());
        assert_eq!(it.web.post_json(&format!("/api/v1/schedules/{name}/run"), &serde_json::json!({})).status, 200);
    }
    let inbox = it.home.path().join("in");
    std::fs::create_dir(&inbox).unwrap();
    std::fs::write(inbox.join("a"), "x").unwrap();
    let text = "id: comes\non: { files: in, settled: 100ms }\nsteps: [{ name: a, uses: windlass/noop }]\n";
    let new = serde_json::json!({ "definition": text, "directory": it.home.path() });
    assert_eq!(it.web.post_json("/api/v1/schedules", &new).status, 201);
    rises(&it.web, "windlass_watch_files_total");
    // Another program holds the lock file, so the step is given back.
    let key = windlass::model::ResourceKey("file".to_string());
    let path = engine(it.home.path(), Arc::new(windlass::observe::NoMetrics)).lock_file(&key);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    let stranger = windlass::os::FileLock::try_exclusive(&path).unwrap().unwrap();
    let group = it.submit("- { name: back, uses: windlass/noop, resource_key: file }\n", "");
    rises(&it.web, "windlass_step_released_total");
    drop(stranger);
    assert!(it.web.windlass(&["wait", &group]).output().unwrap().status.success());
    let group = it.submit("- { name: stop, run: 'touch runs; sleep 600' }\n", "");
    it.wait_for("runs");
    assert!(it.web.windlass(&["cancel", &format!("g{group}")]).output().unwrap().status.success());
    rises(&it.web, "windlass_step_cancelled_total");
    it.lose_a_lease_and_reap_a_worker();
    it.recycle_a_process();
    web::stream::Stream::open(&it.web, "?after=0.0", None).to("GROUP_END");
    it.lock_the_database();
    // Counted again every few seconds.
    let line = "windlass_steps{status=\"delayed\"} 0";
    until(line, || it.web.get("/metrics").text().contains(line).then_some(()));
    let text = it.web.get("/metrics").text();
    for line in [
        "windlass_step_completed_total{type=\"put\"} 1",
        "windlass_step_completed_total{type=\"get\"} 1",
        "windlass_step_error_total{type=\"bad\"} 1",
        "windlass_step_failed_total{type=\"bad\"} 1",
        "windlass_step_cached_total{type=\"twice\"} 1",
        "windlass_step_skipped_total{type=\"never\"} 1",
        "windlass_step_waiting_total{type=\"rest\"} 1",
        "windlass_artifacts_bytes_total{direction=\"in\"} 2",
        "windlass_step_duration_seconds_count{type=\"put\"} 1",
        "windlass_queue_wait_seconds_count{type=\"get\"} 1",
        "windlass_pool_size{pool=\"parse\"} 2",
        "windlass_pool_size{pool=\"store\"} 1",
        "windlass_pool_busy{pool=\"store\"} 0",
    ] {
        assert!(text.lines().any(|it| it == line), "{line}\n{text}");
    }
    // No declared metric is left out: each has risen.
    let declared = |kind: &str| {
        let of_kind = move |it: &str| it.strip_prefix("# TYPE ")?.strip_suffix(&format!(" {kind}")).map(str::to_string);
        text.lines().filter_map(of_kind).collect::<Vec<_>>()
    };
    let counters = declared("counter");
    assert!(counters.len() >= Counter::ALL.len(), "{counters:?}");
    let fed = |it: &String| sum(&text, it) > 0.0;
    let unfed: Vec<&String> = counters.iter().filter(|it| !fed(it)).collect();
    assert!(unfed.is_empty(), "{unfed:?}\n{text}");
    let distributions = declared("histogram");
    let unfed: Vec<&String> = distributions.iter().filter(|it| !fed(&format!("{it}_count"))).collect();
    assert!(!distributions.is_empty() && unfed.is_empty(), "{unfed:?}\n{text}");
    assert!(sum(&text, "windlass_artifacts_bytes_total") >= 4.0);
    assert!(sum(&text, "windlass_free_disk_bytes") > 0.0 && sum(&text, "windlass_wal_bytes") > 0.0);
    assert!(sum(&text, "windlass_claim_attempts_total") >= sum(&text, "windlass_claim_success_total"));
    // The history learns of a commit shortly after it.
    until("health tells of the failures and the history", || {
        let health = it.web.get("/health").json();
        let above_zero = |it: &serde_json::Value| it.as_i64().is_some_and(|it| it > 0);
        let diagnostics = &health["diagnostics"];
        (above_zero(&diagnostics["consecutive_failures"]) && above_zero(&diagnostics["history"]["size"])).then_some(())
    });
}

#[test]
fn a_lost_race_for_a_key_is_counted() {
    let home = tempfile::tempdir().unwrap();
    let registry = Arc::new(Registry::new());
    let engine = engine(home.path(), registry.clone());
    let key = windlass::model::ResourceKey("shared".to_string());
    let holder = windlass::model::Holder { kind: windlass::model::HolderKind::Cli, id: 1 };
    let text = "id: k\nsteps: [{ name: a, uses: windlass/noop, resource_key: shared }]\n";
    let group = engine.submit(submission(&engine, text, 1)).unwrap().group;
    // The step is already claimable when another holder is faster.
    let held = engine.hold_key(&key, holder, windlass::engine::LockWait::No).unwrap();
    let pools = BTreeMap::from([("*".to_string(), 1)]);
    let worker = Worker::start(&engine, WorkerOptions { pools, scope: Scope::Everything }).unwrap();
    until("the claim meets the held key", || (registry.total(Counter::ClaimLostRace) > 0).then_some(()));
    drop(held);
    engine.wait_for_group(group, Some(Instant::now() + PATIENCE), || false).unwrap();
    drop(worker);
}
