//! The body of `/health`. A value that can't be read is -1 (numbers) or null; the other values are unaffected.

use super::{App, observer::Observation};
use crate::{
    observe::Counter,
    os::{Clock, SystemClock, process_stat},
};
use serde::Serialize;
use serde_json::Value;
use std::{collections::BTreeMap, sync::Arc, time::Duration};
use utoipa::ToSchema;

/// Why the engine can't make progress.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// It is stopping, and ends its steps.
    Stopping,
    DatabaseNotWritable,
    DatabaseNotReadable,
    DiskBelowReserve,
    /// Nothing in this process claims steps.
    NoConsumer,
}

/// An observation, shared with the response.
pub type Look = Option<Arc<Observation>>;

#[derive(Debug, Serialize, ToSchema)]
pub struct Health {
    /// `ok`; `degraded` if a schedule failed or missed its time, or a folder could not be synced; `unhealthy`.
    status: &'static str,
    /// Why it is unhealthy.
    reasons: Vec<Reason>,
    version: &'static str,
    /// Seconds since the start.
    uptime: u64,
    diagnostics: Diagnostics,
}

/// Numbers; with the token, names too.
#[derive(Debug, Serialize, ToSchema)]
struct Diagnostics {
    pid: u32,
    thread_count: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    thread_names: Option<Vec<String>>,
    /// Tasks of the HTTP server: one for each connection.
    async_task_count: i64,
    open_fds: i64,
    rss_bytes: i64,
    running_attempts: i64,
    /// Steps of all processes of this home.
    queue: Queue,
    pools: Pools,
    /// Long-lived worker processes: `pid`, `age_seconds`, `rss_bytes`, `open_fds`, `units`, `busy`, `last_recycle` (why the
    /// pool last replaced one; without the token only the signal: `memory`, `open_files` or `age`).
    workers: Vec<Value>,
    /// Problems of worker processes.
    #[serde(skip_serializing_if = "Option::is_none")]
    worker_trouble: Option<Vec<String>>,
    history: History,
    wal_bytes: i64,
    free_disk_bytes: i64,
    /// Seconds since the last commit of any process; the start commits, too.
    last_commit_age: f64,
    writer: WriterState,
    /// Attempts that failed since one succeeded; cancels neither count nor reset.
    consecutive_failures: i64,
    recycles: BTreeMap<String, u64>,
    leases_lost: u64,
    oldest_running: Option<Oldest>,
    /// Schedules whose last firing failed or was missed.
    schedule_problems: i64,
    /// Watched folders whose last sync failed.
    folder_problems: i64,
    http: Http,
    /// Milliseconds since the last check of the database and the disk; -1: never.
    observed_age_ms: i64,
}

#[derive(Debug, Serialize, ToSchema)]
struct Queue {
    ready: i64,
    running: i64,
    /// Waiting for a resource key that another step holds.
    blocked: i64,
    delayed: i64,
    paused: i64,
    hooks: i64,
}

#[derive(Debug, Serialize, ToSchema)]
struct Pools {
    busy: i64,
    size: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    by_name: Option<BTreeMap<String, [usize; 2]>>,
}

/// The newest events, in memory.
#[derive(Debug, Serialize, ToSchema)]
struct History {
    size: usize,
    limit: usize,
    /// Clients that follow the events.
    subscribers: usize,
}

#[derive(Debug, Serialize, ToSchema)]
struct WriterState {
    /// Seconds that the current transaction has taken; null between transactions.
    busy_seconds: Option<f64>,
    waiting: usize,
}

#[derive(Debug, Serialize, ToSchema)]
struct Oldest {
    step: i64,
    seconds: u64,
}

#[derive(Debug, Serialize, ToSchema)]
struct Http {
    connections: usize,
    /// Closed because there were too many.
    evicted: u64,
    /// Requests that wait for a thread on which they may block.
    waiting: usize,
    working: usize,
}

impl Health {
    pub fn of(app: &App, seen: Look, reasons: Vec<Reason>, all: bool) -> Health {
        let problems =
            seen.as_ref().map_or(0, |it| it.schedule_problems.unwrap_or(0) + it.folder_problems.unwrap_or(0));
        let status = match (reasons.is_empty(), problems) {
            (false, _) => "unhealthy",
            (true, 0) => "ok",
            (true, _) => "degraded",
        };
        Health {
            status,
            reasons,
            version: env!("CARGO_PKG_VERSION"),
            uptime: app.uptime().as_secs(),
            diagnostics: Diagnostics::of(app, &seen, all),
        }
    }
}

impl Diagnostics {
    fn of(app: &App, seen: &Look, all: bool) -> Diagnostics {
        let pid = std::process::id();
        let names = process_stat::thread_names();
        let (registry, pulse, worker) = (app.registry(), app.engine().store().pulse(), app.worker());
        let (size, limit, subscribers) = app.history().load();
        let (reads, changes) = (app.0.jobs.load(), app.0.changes.load());
        let (waiting, working) = (reads.0 + changes.0, reads.1 + changes.1);
        let seen = seen.as_deref();
        let of_worker = |value: fn(&crate::engine::Worker) -> i64| worker.map_or(-1, |it| value(it));
        Diagnostics {
            pid,
            thread_count: if names.is_empty() { -1 } else { names.len() as i64 },
            thread_names: all.then_some(names),
            async_task_count: app.0.runtime.get().map_or(-1, |it| it.metrics().num_alive_tasks() as i64),
            open_fds: number(process_stat::open_fds(pid)),
            rss_bytes: number(process_stat::rss_bytes(pid)),
            running_attempts: of_worker(|it| it.running() as i64),
            queue: Queue::of(seen.and_then(|it| it.queues.as_ref())),
            pools: Pools::of(app, all),
            workers: worker.map(|it| processes(it, all)).unwrap_or_default(),
            worker_trouble: worker.filter(|_| all).map(|it| it.worker_trouble()),
            history: History { size, limit, subscribers },
            wal_bytes: number(seen.and_then(|it| it.wal_bytes)),
            free_disk_bytes: number(seen.and_then(|it| it.free_disk).map(|it| it.0)),
            last_commit_age: app.history().last_commit().elapsed().as_secs_f64(),
            writer: WriterState { busy_seconds: pulse.busy.map(|it| it.as_secs_f64()), waiting: pulse.waiting },
            consecutive_failures: of_worker(|it| it.failures_in_a_row() as i64),
            recycles: registry.by_label(Counter::WorkerRecycled),
            leases_lost: registry.total(Counter::LeaseLost),
            oldest_running: seen
                .and_then(|it| it.oldest_running)
                .map(|(step, started)| Oldest { step: step.0, seconds: SystemClock.wall().since(started).0 / 1000 }),
            schedule_problems: seen.and_then(|it| it.schedule_problems).map_or(-1, |it| it as i64),
            folder_problems: seen.and_then(|it| it.folder_problems).map_or(-1, |it| it as i64),
            http: Http {
                connections: app.0.connections.count(),
                evicted: app.0.connections.evicted(),
                waiting,
                working,
            },
            observed_age_ms: seen.map_or(-1, |it| Duration::as_millis(&it.at.elapsed()) as i64),
        }
    }
}

impl Queue {
    fn of(queues: Option<&crate::store::read::Queues>) -> Queue {
        let Some(it) = queues else {
            return Queue { ready: -1, running: -1, blocked: -1, delayed: -1, paused: -1, hooks: -1 };
        };
        let sum = |value: fn(&crate::store::read::TypeQueue) -> i64| it.types.iter().map(value).sum();
        Queue {
            ready: sum(|it| it.ready),
            running: sum(|it| it.running),
            blocked: sum(|it| it.in_line),
            delayed: it.delayed,
            paused: it.paused,
            hooks: it.hooks_waiting + it.hooks_running,
        }
    }
}

impl Pools {
    fn of(app: &App, all: bool) -> Pools {
        let pools = app.worker().map(|it| it.pools()).unwrap_or_default();
        let by_name = || pools.iter().map(|(name, busy, size)| (name.clone(), [*busy, *size])).collect();
        Pools {
            busy: pools.iter().map(|it| it.1 as i64).sum(),
            size: pools.iter().map(|it| it.2 as i64).sum(),
            by_name: all.then(by_name),
        }
    }
}

/// The name of a pool is user text.
fn processes(worker: &crate::engine::Worker, all: bool) -> Vec<Value> {
    let processes = worker.worker_processes().into_iter().map(|it| {
        let mut value = serde_json::json!({
            "pid": it.pid, "age_seconds": it.age.0 / 1000, "rss_bytes": number(it.rss_bytes),
            "open_fds": number(it.open_fds), "units": it.units, "busy": it.busy,
            "last_recycle": it.last_recycle.map(|it| it.signal()),
        });
        if all {
            value["last_recycle"] = serde_json::json!(it.last_recycle);
            value["pool"] = it.pool.into();
        }
        value
    });
    processes.collect()
}

fn number(value: Option<u64>) -> i64 {
    value.and_then(|it| i64::try_from(it).ok()).unwrap_or(-1)
}
