//! Where a model is served.

use crate::model::Millis;
use serde::{Deserialize, Serialize};

/// Where a model is served. A vector database records it, without the name of the key, so that a search finds the server
/// again: if the user knows it, see `paired`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Server {
    /// With or without `/v1` at its end.
    pub url: String,
    pub model: String,
    /// Asked of the server, for models that leave a choice.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dimensions: Option<usize>,
    /// The name of the variable or secret with the API key. Never from a database.
    #[serde(skip)]
    pub key: Option<String>,
    /// For one request, from the look-up of the name to the last byte.
    #[serde(skip, default = "a_moment")]
    pub timeout: Millis,
}

/// How long a search waits.
fn a_moment() -> Millis {
    Millis::seconds(30)
}

/// The address that is asked.
pub(super) fn address(url: &str) -> String {
    let url = url.trim_end_matches('/');
    match url {
        _ if url.ends_with("/embeddings") => url.to_string(),
        _ if url.ends_with("/v1") => format!("{url}/embeddings"),
        _ => format!("{url}/v1/embeddings"),
    }
}
