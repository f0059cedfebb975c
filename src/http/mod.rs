//! The HTTP server: one sub-router per area, with access control in front.
//!
//! Owns: the listening thread, its limits, access control, `/health`, `/metrics`. The areas: `ingestion` (the API of
//! existing ingestion clients), `api` (windlass's own API) and `page`. May import: everything on the floors below.
//! Never: takes a lock that a step can hold; accesses SQLite, a file or a process on the server's thread, but only
//! inside `App::blocking`.

pub mod access;
mod admission;
pub mod api;
mod app;
mod budget;
mod connections;
mod describe;
mod drain;
#[cfg(any(test, feature = "internals"))]
mod example;
mod failure;
mod health;
mod health_body;
mod health_cache;
pub mod ingestion;
mod jobs;
#[cfg(any(test, feature = "internals"))]
mod manual;
mod metrics;
mod observer;
pub mod page;
mod peer;
mod router;
mod server;
mod session;
mod sessions;
mod stop;
mod stream;
pub mod token;

pub use access::{Access, Area, Caller};
pub use app::{App, Parts};
pub use failure::{Failure, Result};
#[cfg(any(test, feature = "internals"))]
pub use manual::manual;
#[cfg(any(test, feature = "internals"))]
pub use router::description;
pub use router::router;
pub use server::{Limits, Server};
