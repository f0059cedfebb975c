//! What the engine tells: metrics of everything it counts, and which daemon may write.

mod web;

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
    // Its next write is its last: work that it would take up.
    other.submit(submission(&other, NOTHING, 1)).unwrap();
    assert_eq!(web::wait(&mut web.child).code(), Some(1));
}

#[test]
fn every_metric_is_fed() {
    let home = tempfile::tempdir().unwrap();
    let text = "parse = 2\nstore = 1\n\"*\" = 2";
    std::fs::write(home.path().join("windlass.toml"), format!("[pools]\n{text}\n")).unwrap();
    let web = Web::on(home.path(), &[]);
    let flow = home.path().join("flow.yaml");
    let steps = "id: f\nsteps:\n- { name: put, run: 'echo {{ item }} > {{ out }}/a.txt' }\n\
                 - { name: get, run: 'cat {{ inputs.put.dir }}/a.txt', resource_key: 'key' }\n\
                 - { name: bad, run: 'exit 7', retries: 1, backoff: { initial: 1ms } }\n";
    std::fs::write(&flow, steps).unwrap();
    let submit = web.windlass(&["submit", flow.to_str().unwrap(), "--items", "1", "2", "3", "4"]).output().unwrap();
    assert!(submit.status.success(), "{}", String::from_utf8_lossy(&submit.stderr));
    assert_eq!(web.windlass(&["wait", "g1"]).output().unwrap().status.code(), Some(3));
    let text = until("the last count", || {
        let text = web.get("/metrics").text();
        text.contains("windlass_step_failed_total{type=\"bad\"} 4").then_some(text)
    });
    for line in [
        "windlass_step_completed_total{type=\"put\"} 4",
        "windlass_step_completed_total{type=\"get\"} 4",
        "windlass_step_error_total{type=\"bad\"} 4",
        "windlass_artifacts_bytes_total{direction=\"in\"} 8",
        "windlass_step_duration_seconds_count{type=\"put\"} 4",
        "windlass_queue_wait_seconds_count{type=\"get\"} 4",
        "windlass_pool_size{pool=\"parse\"} 2",
        "windlass_pool_busy{pool=\"store\"} 0",
        "windlass_steps{status=\"delayed\"} 0",
        "windlass_worker_reaped_total 0",
        "windlass_lease_lost_total 0",
        "windlass_resource_lock_swept_total 0",
        "windlass_claim_error_total 0",
        "windlass_pool_size{pool=\"store\"} 1",
    ] {
        assert!(text.lines().any(|it| it == line), "{line}\n{text}");
    }
    let value = |name: &str| {
        let line = text.lines().find(|it| it.starts_with(name) && !it.starts_with('#'));
        line.unwrap_or_else(|| panic!("no {name}")).rsplit(' ').next().unwrap().parse::<f64>().unwrap()
    };
    for name in ["windlass_claim_attempts_total", "windlass_claim_success_total", "windlass_claim_idle_total"] {
        assert!(value(name) > 0.0, "{name}");
    }
    for name in ["windlass_commit_duration_seconds_count", "windlass_commit_batch_requests_count"] {
        assert!(value(name) > 0.0, "{name}");
    }
    assert!(value("windlass_artifacts_bytes_total{direction=\"out\"}") >= 8.0);
    assert!(value("windlass_free_disk_bytes") > 0.0 && value("windlass_wal_bytes") >= 0.0);
    assert!(value("windlass_claim_attempts_total") >= value("windlass_claim_success_total"));
    // The history hears of a commit shortly after it.
    until("health tells of the failures and the history", || {
        let health = web.get("/health").json();
        let above_zero = |it: &serde_json::Value| it.as_i64().is_some_and(|it| it > 0);
        let told = &health["diagnostics"];
        (above_zero(&told["consecutive_failures"]) && above_zero(&told["history"]["size"])).then_some(())
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
    // The step is claimable already; then somebody else is faster.
    let held = engine.hold_key(&key, holder, windlass::engine::LockWait::No).unwrap();
    let pools = BTreeMap::from([("*".to_string(), 1)]);
    let worker = Worker::start(&engine, WorkerOptions { pools, scope: Scope::Everything }).unwrap();
    until("the claim meets the held key", || (registry.total(Counter::ClaimLostRace) > 0).then_some(()));
    drop(held);
    engine.wait_for_group(group, Some(Instant::now() + PATIENCE), || false).unwrap();
    drop(worker);
}
