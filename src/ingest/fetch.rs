//! Documents at `http://` addresses: bounded in size, time and redirects.

use super::{
    error::{Error, Result},
    upload,
};
use crate::{
    artifact::{ArtifactStore, Put},
    model::Millis,
};
use std::{path::PathBuf, time::Duration};
use ureq::{Agent, http::Response};

/// What an address may take of us.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FetchLimits {
    /// In bytes.
    pub size: u64,
    /// From the first look-up of a name to the last byte.
    pub time: Millis,
    pub redirects: u32,
}

impl Default for FetchLimits {
    fn default() -> FetchLimits {
        FetchLimits { size: 256 << 20, time: Millis::seconds(50), redirects: 5 }
    }
}

/// A document that was fetched.
#[derive(Debug)]
pub struct Fetched {
    pub put: Put,
    pub media_type: Option<String>,
    pub etag: Option<String>,
}

/// Whether the text is an address that `fetch` knows how to reach.
pub fn is_url(text: &str) -> bool {
    let scheme = text.split_once("://").map(|it| it.0.to_ascii_lowercase());
    matches!(scheme.as_deref(), Some("http" | "https"))
}

/// Gets a document and keeps it as an artifact.
pub fn fetch(artifacts: &ArtifactStore, url: &str, limits: &FetchLimits) -> Result<Fetched> {
    if url.to_ascii_lowercase().starts_with("https:") && !cfg!(feature = "https") {
        let what = format!("{url}: this build of windlass has no TLS");
        return Err(Error::refused(what, "build it with `--features https`, or download the file and ingest it"));
    }
    let agent: Agent = Agent::config_builder()
        .timeout_global(Some(limits.time.duration()))
        .timeout_connect(Some(Duration::from_secs(10)))
        .max_redirects(limits.redirects)
        // One document, one connection: an idle one that the server has closed meanwhile is no use to a redirect.
        .max_idle_connections(0)
        .user_agent(concat!("windlass/", env!("CARGO_PKG_VERSION")))
        .build()
        .into();
    let response = agent.get(url).call().map_err(|error| failed(url, &error))?;
    let header = |name: &str| text_of(&response, name);
    let (media_type, etag) = (header("content-type"), header("etag"));
    let length = header("content-length").and_then(|it| it.parse::<u64>().ok());
    if length.is_some_and(|it| it > limits.size) {
        let largest = crate::model::Bytes(limits.size);
        return Err(Error::refused(format!("{url} is larger than {largest}"), "raise `parse.max_bytes`"));
    }
    let reader = response.into_body().into_reader();
    let put = upload::receive_all(artifacts, reader, limits.size, url)?;
    Ok(Fetched { put, media_type, etag })
}

fn text_of<B>(response: &Response<B>, name: &str) -> Option<String> {
    response.headers().get(name).and_then(|it| it.to_str().ok()).map(str::to_string)
}

fn failed(url: &str, error: &ureq::Error) -> Error {
    let reason = match error {
        ureq::Error::StatusCode(status) => format!("the server answered {status}"),
        other => other.to_string(),
    };
    Error::Io { action: "fetch", path: PathBuf::from(url), source: std::io::Error::other(reason) }
}
