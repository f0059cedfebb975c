//! The HTTP server: one sub-router per area, behind one door.
//!
//! Owns: the listening thread, its bounds, who may in, `/health`, `/metrics`. The areas: `ingestion` (what existing clients
//! of the ingestion API speak), `api` (windlass's own API) and `page`.
//! May import: everything on the floors below. Never: takes a lock that a step can hold; touches SQLite, a file or a
//! process on the thread of the server: that is done inside `App::blocking`.

pub mod access;
pub mod api;
mod budget;
mod connections;
mod describe;
mod drain;
#[cfg(any(test, feature = "internals"))]
mod example;
mod failure;
mod health;
mod health_body;
pub mod ingestion;
mod jobs;
#[cfg(any(test, feature = "internals"))]
mod manual;
mod metrics;
mod observer;
pub mod page;
mod server;
mod session;
mod stop;
mod stream;
pub mod token;

pub use access::{Access, Area, Caller};
pub use failure::{Failure, Result};
#[cfg(any(test, feature = "internals"))]
pub use manual::manual;
pub use server::{Limits, Server};

use crate::{
    engine::{Engine, Worker},
    model::Timestamp,
    observe::Registry,
    settings::Settings,
    view::DaemonView,
};
use axum::{
    Router,
    body::Bytes,
    extract::Request,
    middleware::{self, Next},
    response::Response,
};
use jobs::Jobs;
use std::{
    net::SocketAddr,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};
use utoipa_axum::router::OpenApiRouter;

/// What an `App` is made of.
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

/// What every handler gets. Cheap to clone.
#[derive(Clone)]
pub struct App(Arc<Inner>);

struct Inner {
    parts: Parts,
    /// What reads.
    jobs: Jobs,
    /// What changes something, and may wait for its turn to write: no read waits behind it.
    changes: Jobs,
    observer: observer::Observer,
    history: api::EventRing,
    started: Instant,
    since: Timestamp,
    /// Known once the server listens.
    address: OnceLock<SocketAddr>,
    stopping: AtomicBool,
    /// Known once the runtime runs.
    runtime: OnceLock<tokio::runtime::Handle>,
    connections: Arc<connections::Connections>,
    budget: Arc<budget::Budget>,
    health: health::Recent,
    /// As JSON; all clients get the same bytes.
    openapi: OnceLock<Bytes>,
}

impl App {
    pub fn new(parts: Parts) -> App {
        let observer = observer::Observer::new(&parts);
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
            health: health::Recent::default(),
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

    /// The newest events, and who follows them.
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

    /// This process as `status` names it.
    fn daemon(&self) -> DaemonView {
        DaemonView {
            pid: Some(std::process::id()),
            http: self.0.address.get().map(SocketAddr::to_string),
            since: Some(self.0.since),
            version: Some(env!("CARGO_PKG_VERSION").to_string()),
            phase: if self.is_stopping() { "stopping" } else { "ready" },
        }
    }

    fn listens_at(&self, address: SocketAddr) {
        let _ = self.0.address.set(address);
    }

    /// The description of everything that is served, made from the handlers, as JSON. Made when it is first asked for.
    pub fn openapi(&self) -> Bytes {
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

    /// Whether requests have left so much freed memory behind that it should be given back to the system.
    pub fn has_left_much(&self) -> bool {
        self.0.budget.has_left_much()
    }

    /// Asks the process to stop, as the first SIGTERM would. Asking again changes nothing.
    pub fn request_stop(&self) {
        (self.0.parts.on_stop)();
    }

    /// Runs work that may block (a read, a write, a file) away from the server's thread, on a few threads with a bounded
    /// queue; requests that change something have threads and a queue of their own. 503 when the queue is full; a panic is a 500. Work whose client went away before it began is dropped.
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
    /// Whether the request at hand changes something.
    static CHANGES: bool;
}

/// Notes for `App::blocking` what kind of request it is.
async fn note_kind(request: Request, next: Next) -> Response {
    let changes = !request.method().is_safe();
    CHANGES.scope(changes, next.run(request)).await
}

/// Whether requests to this address may take longer than others.
fn takes_long(path: &str) -> bool {
    ingestion::LONG.contains(&path)
}

/// The areas with what each asks of a request.
fn areas() -> [(Area, OpenApiRouter<App>); 3] {
    [
        (Area::Open, health::router().merge(session::open_router()).merge(page::router()).merge(api::openapi_router())),
        (Area::Own, metrics::router().merge(stop::router()).merge(session::router()).merge(api::router())),
        (Area::Ingestion, ingestion::router()),
    ]
}

/// What is served, as OpenAPI 3.1, made from the handlers.
pub fn description() -> utoipa::openapi::OpenApi {
    let all = areas().into_iter().fold(OpenApiRouter::new(), |all, (_, area)| all.merge(area));
    describe::complete(all.split_for_parts().1)
}

/// Everything that is served, behind the door.
pub fn router(app: App) -> Router {
    let mut all = Router::new();
    for (area, router) in areas() {
        let (router, _) = router.split_for_parts();
        let guard = middleware::from_fn_with_state((app.clone(), area), access::guard);
        // An area without routes has nothing to guard, and a layer over nothing is refused.
        all = all.merge(if router.has_routes() { router.route_layer(guard) } else { router });
    }
    all.fallback(async || Failure::not_found("no such address"))
        .method_not_allowed_fallback(async || Failure::new(405, "this address does not support this method"))
        .layer(middleware::from_fn(note_kind))
        .layer(middleware::from_fn(failure::shape))
        .layer(middleware::from_fn_with_state(app.clone(), access::door))
        .with_state(app)
}
