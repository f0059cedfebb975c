//! Where a model is served.

use crate::model::Millis;
use serde::{Deserialize, Serialize};

/// Where a model is served. A vector database records it without the name of the key. A later search uses the server
/// only if the user knows it, see `paired`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Server {
    /// With or without a trailing `/v1`.
    pub url: String,
    pub model: String,
    /// The number of dimensions to request, for models with a choice.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dimensions: Option<usize>,
    /// The name of the variable or secret with the API key. Never taken from a database.
    #[serde(skip)]
    pub key: Option<String>,
    /// The timeout of one request, from name resolution to the last byte.
    #[serde(skip, default = "a_moment")]
    pub timeout: Millis,
}

/// The timeout for a search.
fn a_moment() -> Millis {
    Millis::seconds(30)
}

/// The address of the embeddings endpoint.
pub(super) fn address(url: &str) -> String {
    let url = url.trim_end_matches('/');
    match url {
        _ if url.ends_with("/embeddings") => url.to_string(),
        _ if url.ends_with("/v1") => format!("{url}/embeddings"),
        _ => format!("{url}/v1/embeddings"),
    }
}
