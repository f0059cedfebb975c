//! Sends requests to a running daemon.

use super::files::{Info, read_port};
use crate::settings::Secret;
use serde_json::Value;
use std::{path::Path, time::Duration};

/// The answer of `/health`, whatever its status.
pub fn health(address: &str, patience: Duration) -> Option<Value> {
    let mut response = agent(patience).get(format!("http://{address}/health")).call().ok()?;
    response.body_mut().read_json().ok()
}

/// Sends a request without a body. Returns the JSON of the answer if the request succeeded.
pub fn post(address: &str, path: &str, token: &Secret, patience: Duration) -> Option<Value> {
    let request = agent(patience)
        .post(format!("http://{address}{path}"))
        .header("authorization", format!("Bearer {}", token.reveal()));
    let mut response = request.send_empty().ok().filter(|it| it.status().is_success())?;
    response.body_mut().read_json().ok()
}

/// Whether a one-time link has been opened or is otherwise no longer valid.
pub fn is_spent(link: &str, patience: Duration) -> bool {
    agent(patience).head(link).call().is_ok_and(|it| it.status().as_u16() == 410)
}

/// The address of a home's daemon, from its files.
pub fn address(home: &Path) -> Option<String> {
    read_port(home).or_else(|| Info::read(home)?.http)
}

fn agent(patience: Duration) -> ureq::Agent {
    let config = ureq::Agent::config_builder().http_status_as_error(false).timeout_global(Some(patience)).proxy(None);
    config.build().into()
}
