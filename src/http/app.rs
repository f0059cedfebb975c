//! The state passed to every handler: the engine, the settings, and the state that the requests of this process share.

use super::{Access, Failure, Result, api, budget, connections, health_cache, jobs::Jobs, observer};
use crate::{
    engine::{Engine, Worker},
    model::Timestamp,
    observe::Registry,
    settings::Settings,
    view::DaemonView,
};
use axum::{body::Bytes, extract::Request, middleware::Next, response::Response};
use std::{
    net::SocketAddr,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

/// The parts of an `App`.
pub struct Parts {
    pub engine: Engine,
    pub settings: Arc<Settings>,
    pub registry: Arc<Registry>,
    /// The worker of this process, if it has one.
    pub worker: Option<Arc<Worker>>,
    pub access: Access,
    /// Asks the process to stop, as the first SIGTERM would.
    pub on_stop: Box<dyn Fn() + Send + Sync>,
}

/// The state passed to every handler. Cheap to clone.
#[derive(Clone)]
pub struct App(pub(super) Arc<Inner>);

pub(super) struct Inner {
    parts: Parts,
    /// Runs requests that only read.
    pub(super) jobs: Jobs,
    /// Runs requests that change something. They may wait to write, so reads don't queue behind them.
    pub(super) changes: Jobs,
    pub(super) observer: observer::Observer,
    history: api::EventRing,
    started: Instant,
    since: Timestamp,
    /// Known once the server listens.
    address: OnceLock<SocketAddr>,
    stopping: AtomicBool,
    /// Known once the runtime runs.
    pub(super) runtime: OnceLock<tokio::runtime::Handle>,
    pub(super) connections: Arc<connections::Connections>,
    pub(super) budget: Arc<budget::Budget>,
    pub(super) health: health_cache::Recent,
    describe: OnceLock<fn() -> utoipa::openapi::OpenApi>,
    /// As JSON; all clients get the same bytes.
    openapi: OnceLock<Bytes>,
}

impl App {
    pub fn new(parts: Parts) -> App {
        let observer = observer::Observer::new(&parts.engine);
        let history = api::EventRing::start(&parts.engine, parts.settings.history_limit, parts.registry.clone());
        let since = parts.engine.store().now();
        App(Arc::new(Inner {
            parts,
            since,
            address: OnceLock::new(),
            jobs: Jobs::default(),
            changes: Jobs::default(),
            observer,
            history,
            started: Instant::now(),
            stopping: AtomicBool::new(false),
            runtime: OnceLock::new(),
            connections: Arc::default(),
            budget: Arc::default(),
            health: health_cache::Recent::default(),
            describe: OnceLock::new(),
            openapi: OnceLock::new(),
        }))
    }

    /// Handlers use it only inside `blocking`: it may wait for the disk.
    pub fn engine(&self) -> &Engine {
        &self.0.parts.engine
    }

    pub fn settings(&self) -> &Arc<Settings> {
        &self.0.parts.settings
    }

    pub fn registry(&self) -> &Arc<Registry> {
        &self.0.parts.registry
    }

    /// The newest events, and their subscribers.
    pub fn history(&self) -> &api::EventRing {
        &self.0.history
    }

    pub fn worker(&self) -> Option<&Arc<Worker>> {
        self.0.parts.worker.as_ref()
    }

    pub fn access(&self) -> &Access {
        &self.0.parts.access
    }

    pub fn uptime(&self) -> Duration {
        self.0.started.elapsed()
    }

    /// This process, as `status` shows it.
    pub(super) fn daemon(&self) -> DaemonView {
        DaemonView {
            pid: Some(std::process::id()),
            http: self.0.address.get().map(SocketAddr::to_string),
            since: Some(self.0.since),
            version: Some(env!("CARGO_PKG_VERSION").to_string()),
            phase: if self.is_stopping() { "stopping" } else { "ready" },
        }
    }

    pub(super) fn listens_at(&self, address: SocketAddr) {
        let _ = self.0.address.set(address);
    }

    /// Sets the function that describes the API. The router provides it, because it knows every handler.
    pub(super) fn is_described_by(&self, describe: fn() -> utoipa::openapi::OpenApi) {
        let _ = self.0.describe.set(describe);
    }

    /// The OpenAPI description of the whole API, as JSON. Generated from the handlers on first use.
    pub fn openapi(&self) -> Bytes {
        let description = || self.0.describe.get().map(|describe| describe());
        let made = || serde_json::to_vec(&description()).unwrap_or_default().into();
        self.0.openapi.get_or_init(made).clone()
    }

    /// Whether the process is about to end; `/health` says so, and streams end.
    pub fn is_stopping(&self) -> bool {
        self.0.stopping.load(Ordering::Acquire)
    }

    /// From now on `/health` answers 503 with the reason `stopping`.
    pub fn begin_stop(&self) {
        self.0.stopping.store(true, Ordering::Release);
        self.0.history.stop();
    }

    /// Whether requests have freed so much memory that it should be returned to the system.
    pub fn has_left_much(&self) -> bool {
        self.0.budget.has_left_much()
    }

    /// Asks the process to stop, as the first SIGTERM would. Asking again changes nothing.
    pub fn request_stop(&self) {
        (self.0.parts.on_stop)();
    }

    /// Runs work that may block (a read, a write, a file) outside the server's thread, on a few threads with a bounded
    /// queue. Requests that change something have their own threads and queue. Returns 503 if the queue is full, and
    /// 500 after a panic. Work that has not begun when its client disconnects is dropped.
    pub async fn blocking<T, E>(&self, work: impl FnOnce(&Engine) -> Result<T, E> + Send + 'static) -> Result<T>
    where
        T: Send + 'static,
        E: Into<Failure> + 'static,
    {
        let app = self.clone();
        let jobs = if CHANGES.try_get().unwrap_or(false) { &self.0.changes } else { &self.0.jobs };
        jobs.run(move || work(app.engine()).map_err(Into::into)).await
    }
}

tokio::task_local! {
    /// Whether the current request changes something.
    static CHANGES: bool;
}

/// Records for `App::blocking` whether the request changes something.
pub(super) async fn note_kind(request: Request, next: Next) -> Response {
    let changes = !request.method().is_safe();
    CHANGES.scope(changes, next.run(request)).await
}
