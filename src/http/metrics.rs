//! `/metrics`: everything that is counted, in the text format of Prometheus.

use super::{App, Result};
use crate::{
    engine::Engine,
    observe::{Gauge, Metrics, Registry},
    os::disk_space,
    store::{self, overview},
};
use axum::{extract::State, http::header, response::IntoResponse};
use std::fs;
use utoipa_axum::{router::OpenApiRouter, routes};

pub fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(metrics))
}

/// Everything that is counted, in the text format of Prometheus (0.0.4).
#[utoipa::path(get, path = "/metrics", tag = "daemon", responses((status = 200, content_type = "text/plain")))]
async fn metrics(State(app): State<App>) -> Result<impl IntoResponse> {
    let (registry, worker) = (app.registry().clone(), app.worker().cloned());
    let text = app.blocking(move |engine| {
        let pools = worker.map(|it| it.pools()).unwrap_or_default();
        measure(engine, &registry, &pools)?;
        Ok::<_, store::Error>(registry.prometheus())
    });
    Ok(([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], text.await?))
}

/// Sets what goes up and down, as it is now.
fn measure(engine: &Engine, registry: &Registry, pools: &[(String, usize, usize)]) -> store::Result<()> {
    let queues = engine.store().read(overview::queues)?;
    registry.clear(Gauge::Steps);
    for it in &queues.types {
        for (status, count) in [("ready", it.ready), ("running", it.running), ("blocked", it.in_line)] {
            registry.set(Gauge::Steps, &[status, &it.step_type], count as f64);
        }
    }
    registry.set(Gauge::Steps, &["delayed", ""], queues.delayed as f64);
    registry.set(Gauge::Steps, &["paused", ""], queues.parked as f64);
    registry.clear(Gauge::PoolBusy);
    registry.clear(Gauge::PoolSize);
    for (name, busy, size) in pools {
        registry.set(Gauge::PoolBusy, &[name], *busy as f64);
        registry.set(Gauge::PoolSize, &[name], *size as f64);
    }
    let log = format!("{}-wal", engine.store().path().display());
    let log = fs::metadata(log).map_or(-1.0, |it| it.len() as f64);
    registry.set(Gauge::WalBytes, &[], log);
    registry.set(Gauge::FreeDiskBytes, &[], disk_space::free(engine.home()).map_or(-1.0, |it| it.0 as f64));
    Ok(())
}
