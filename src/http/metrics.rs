//! `/metrics`: everything that is counted, in the text format of Prometheus.

use super::{App, observer::Observation};
use crate::{
    model::ResourceKind,
    observe::{Gauge, Registry},
};
use axum::{extract::State, http::header, response::IntoResponse};
use utoipa_axum::{router::OpenApiRouter, routes};

pub fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(metrics))
}

/// All metrics, in the text format of Prometheus (0.0.4). Queue lengths come from the last check of the database, which
/// `/health` uses as well, so that a scrape does not count a long queue again. At most 100 resources are listed, those
/// with the longest lines first.
#[utoipa::path(
    get, path = "/metrics", tag = "daemon", summary = "All metrics, in the text format of Prometheus (0.0.4)",
    responses((status = 200, body = String, content_type = "text/plain"))
)]
async fn metrics(State(app): State<App>) -> impl IntoResponse {
    let (registry, observation) = (app.registry(), app.0.observer.look().await);
    measure(registry, observation.as_deref(), &app.worker().map(|it| it.pools()).unwrap_or_default());
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], registry.prometheus())
}

/// Sets the gauges. A value that could not be read is omitted, or is -1 if the metric has a single value.
fn measure(registry: &Registry, observation: Option<&Observation>, pools: &[(String, usize, usize)]) {
    let queues = observation.and_then(|it| it.queues.as_ref());
    let of_types = queues.iter().flat_map(|it| &it.types).flat_map(|it| {
        let counts = [("ready", it.ready), ("running", it.running), ("blocked", it.in_line)];
        counts.map(|(status, count)| ([status, it.step_type.as_str()], count as f64))
    });
    let of_all =
        queues.iter().flat_map(|it| [("delayed", it.delayed), ("paused", it.paused), ("waiting", it.waiting.all())]);
    registry.replace(Gauge::Steps, of_types.chain(of_all.map(|(status, count)| ([status, ""], count as f64))));
    let waits = queues.iter().flat_map(|it| {
        let it = it.waiting;
        [("time", it.time), ("approval", it.approval), ("signal", it.signal), ("children", it.children)]
    });
    registry.replace(Gauge::StepsWaiting, waits.map(|(what, count)| ([what], count as f64)));
    let resources = || observation.and_then(|it| it.resources.as_ref()).into_iter().flatten();
    let counted = || resources().filter(|it| it.kind == ResourceKind::Counted);
    registry.replace(Gauge::ResourceCapacity, counted().map(|it| ([it.name.as_str()], it.capacity as f64)));
    registry.replace(Gauge::ResourceInUse, counted().map(|it| ([it.name.as_str()], it.held as f64)));
    let in_line = resources().map(|it| ([it.name.as_str(), it.kind.name()], it.waiting as f64));
    registry.replace(Gauge::ResourceWaiting, in_line);
    registry.replace(Gauge::PoolBusy, pools.iter().map(|it| ([it.0.as_str()], it.1 as f64)));
    registry.replace(Gauge::PoolSize, pools.iter().map(|it| ([it.0.as_str()], it.2 as f64)));
    let number = |value: Option<u64>| [([], value.map_or(-1.0, |it| it as f64))];
    registry.replace(Gauge::WalBytes, number(observation.and_then(|it| it.wal_bytes)));
    registry.replace(Gauge::FreeDiskBytes, number(observation.and_then(|it| it.free_disk).map(|it| it.0)));
}
