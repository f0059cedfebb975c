//! The page, served from the binary.
//!
//! May import: everything on the floors below, and of this room `App`, `Failure`, `Caller`. Never: reads a file of the disk.

use crate::http::App;
use utoipa_axum::router::OpenApiRouter;

pub fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new()
}
