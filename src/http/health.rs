//! `/health`: whether the engine can make progress, and its current state.
//!
//! It takes no lock that a step can hold, does not itself access the database or the disk, and answers within a second
//! even if something hangs.

use super::{
    App, Caller,
    health_body::{self, Reason},
    observer::Observation,
};
use crate::{
    decide::admission,
    model,
    store::{Pulse, WriteFailure},
};
use axum::{
    Extension,
    extract::State,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use std::time::Duration;
use utoipa_axum::{router::OpenApiRouter, routes};

/// A transaction or a check of the database that takes longer than this counts as stuck.
const STUCK: Duration = Duration::from_secs(30);

pub fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(health))
}

/// Reports whether the engine can make progress: 200, or 503 with the reasons. Needs no token, and then shows numbers only.
#[utoipa::path(
    get, path = "/health", tag = "daemon",
    responses((status = 200, body = health_body::Health), (status = 503, body = health_body::Health))
)]
async fn health(State(app): State<App>, Extension(caller): Extension<Caller>) -> Response {
    let key = (caller.is_known(), app.is_stopping());
    let (status, body) = match app.0.health.of(key) {
        Some(answer) => answer,
        None => {
            let observation = app.0.observer.look().await;
            let reasons = reasons(&Facts::of(&app, observation.as_deref()));
            let status = if reasons.is_empty() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
            let body =
                serde_json::to_vec(&health_body::Health::of(&app, observation, reasons, key.0)).unwrap_or_default();
            app.0.health.keep(key, (status, body.into()))
        }
    };
    let headers = [(header::CACHE_CONTROL, "no-store"), (header::CONTENT_TYPE, "application/json")];
    (status, headers, body).into_response()
}

/// The facts that determine the reasons.
struct Facts {
    stopping: bool,
    consumes: bool,
    pulse: Pulse,
    readable: bool,
    /// How long the current check has been running.
    looking: Duration,
    free: Option<model::Bytes>,
    reserve: model::Bytes,
}

impl Facts {
    fn of(app: &App, observation: Option<&Observation>) -> Facts {
        Facts {
            stopping: app.is_stopping(),
            consumes: app.worker().is_some_and(|it| it.fatal().is_none()),
            pulse: app.engine().store().pulse(),
            readable: observation.is_none_or(|it| it.readable),
            looking: app.0.observer.stuck(),
            free: observation.and_then(|it| it.free_disk),
            reserve: app.settings().disk_reserve,
        }
    }
}

fn reasons(facts: &Facts) -> Vec<Reason> {
    let below = facts.free.is_some_and(|free| !admission::admit(free, facts.reserve).is_admitted());
    let cannot_write = match facts.pulse.failure {
        // The next write will show whether the disk has space again.
        Some(WriteFailure::DiskFull) => below,
        Some(WriteFailure::Busy | WriteFailure::Broken) => true,
        None => facts.pulse.busy.is_some_and(|it| it >= STUCK),
    };
    let all = [
        (facts.stopping, Reason::Stopping),
        (cannot_write, Reason::DatabaseNotWritable),
        (!facts.readable || facts.looking >= STUCK, Reason::DatabaseNotReadable),
        (below, Reason::DiskBelowReserve),
        (!facts.consumes && !facts.stopping, Reason::NoConsumer),
    ];
    all.into_iter().filter(|it| it.0).map(|it| it.1).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Bytes;

    fn well() -> Facts {
        Facts {
            stopping: false,
            consumes: true,
            pulse: Pulse::default(),
            readable: true,
            looking: Duration::ZERO,
            free: Some(Bytes::mib(100)),
            reserve: Bytes::mib(64),
        }
    }

    #[test]
    fn every_reason_has_its_fact() {
        let pulse = |failure| Pulse { failure: Some(failure), ..Pulse::default() };
        for (facts, reasons_are) in [
            (well(), vec![]),
            (Facts { stopping: true, consumes: false, ..well() }, vec![Reason::Stopping]),
            (Facts { consumes: false, ..well() }, vec![Reason::NoConsumer]),
            (Facts { free: Some(Bytes::mib(1)), ..well() }, vec![Reason::DiskBelowReserve]),
            (Facts { free: None, ..well() }, vec![]),
            (Facts { pulse: pulse(WriteFailure::DiskFull), ..well() }, vec![]),
            (Facts { pulse: pulse(WriteFailure::Broken), ..well() }, vec![Reason::DatabaseNotWritable]),
            (Facts { readable: false, ..well() }, vec![Reason::DatabaseNotReadable]),
            (Facts { looking: STUCK, ..well() }, vec![Reason::DatabaseNotReadable]),
            (Facts { looking: STUCK / 2, ..well() }, vec![]),
        ] {
            assert_eq!(reasons(&facts), reasons_are);
        }
        let slow = |time| Facts { pulse: Pulse { busy: Some(time), ..Pulse::default() }, ..well() };
        assert_eq!(reasons(&slow(Duration::from_secs(10))), [], "a slow fsync is no failure");
        assert_eq!(reasons(&slow(STUCK)), [Reason::DatabaseNotWritable]);
        let full = Facts { free: Some(Bytes(0)), pulse: pulse(WriteFailure::DiskFull), ..well() };
        assert_eq!(reasons(&full), [Reason::DatabaseNotWritable, Reason::DiskBelowReserve]);
    }
}
