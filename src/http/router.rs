//! One sub-router per area, behind one door.

use super::{
    App, Area, Failure, admission, api, app, describe, failure, health, ingestion, metrics, page, session, stop,
};
use axum::{Router, middleware};
use utoipa_axum::router::OpenApiRouter;

/// Whether requests to this path may take longer than others.
pub(super) fn takes_long(path: &str) -> bool {
    ingestion::LONG.contains(&path)
}

/// The areas, with the access that each requires.
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

/// The whole API and the page, behind the door.
pub fn router(app: App) -> Router {
    app.is_described_by(description);
    let mut all = Router::new();
    for (area, router) in areas() {
        let (router, _) = router.split_for_parts();
        let guard = middleware::from_fn_with_state((app.clone(), area), admission::guard);
        // An area without routes needs no guard, and axum refuses a layer without routes.
        all = all.merge(if router.has_routes() { router.route_layer(guard) } else { router });
    }
    all.fallback(async || Failure::not_found("no such address"))
        .method_not_allowed_fallback(async || Failure::new(405, "this address does not support this method"))
        .layer(middleware::from_fn(app::note_kind))
        .layer(middleware::from_fn(failure::shape))
        .layer(middleware::from_fn_with_state(app.clone(), admission::admit))
        .with_state(app)
}
