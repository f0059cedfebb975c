//! Models behind an OpenAI-compatible server: Ollama, llama.cpp, OpenAI itself.

use super::{Embedder, Error, Result, Server, builtin, embedder::normalise, key, server::address};
use crate::settings::Secret;
use serde::Deserialize;
use serde_json::{Value, json};
use std::time::Duration;
use ureq::Agent;

/// The prefix of the id of every served model.
pub(super) const PREFIX: &str = "openai:";

const CONNECT: Duration = Duration::from_secs(10);
/// The maximum size of an answer per text, in bytes: 16,000 dimensions of 32 characters each.
const ANSWER_PER_TEXT: u64 = 512 << 10;
const ANSWER_LEAST: u64 = 1 << 20;
const ANSWER_MOST: u64 = 256 << 20;
/// How much of an error response is read, and how much is shown.
const REFUSAL: u64 = 64 << 10;
const SHOWN: usize = 300;

/// The client of a server. It sends nothing until the first text is embedded.
pub(super) struct ServedEmbedder {
    server: Server,
    id: String,
    address: String,
    dimension: Option<usize>,
    agent: Agent,
}

impl ServedEmbedder {
    /// With a `dimension`, refuses vectors of any other length. Otherwise, the first answer determines the dimension.
    pub(super) fn new(server: Server, dimension: Option<usize>) -> Result<ServedEmbedder> {
        let url = server.url.clone();
        if builtin::by_name(&server.model).is_ok() {
            return Err(Error::NoModel { url, model: server.model });
        }
        if url.to_ascii_lowercase().starts_with("https:") && !cfg!(feature = "https") {
            return Err(Error::NoTls { url });
        }
        let mut config = Agent::config_builder()
            .timeout_global(Some(server.timeout.duration()))
            .timeout_connect(Some(CONNECT))
            .http_status_as_error(false)
            // A key goes only to the named server, never to the target of a redirect.
            .max_redirects(0)
            .max_redirects_will_error(false)
            .user_agent(concat!("windlass/", env!("CARGO_PKG_VERSION")));
        if is_this_machine(&url) {
            config = config.proxy(None);
        }
        let id = format!("{PREFIX}{}", server.model);
        let dimension = dimension.or(server.dimensions);
        Ok(ServedEmbedder { id, address: address(&url), dimension, agent: config.build().into(), server })
    }

    fn ask(&self, texts: &[&str]) -> Result<Answer> {
        let mut body = json!({ "model": self.server.model, "input": texts, "encoding_format": "float" });
        if let Some(dimensions) = self.server.dimensions {
            body["dimensions"] = dimensions.into();
        }
        let mut request = self.agent.post(&self.address);
        let key = match &self.server.key {
            Some(name) => Some(key::find(&self.server, name)?),
            None => None,
        };
        if let Some(key) = &key {
            request = request.header("authorization", format!("Bearer {}", key.reveal()));
        }
        let away = |error: ureq::Error| {
            let reason = match error {
                ureq::Error::Io(error) => error.to_string(),
                other => other.to_string(),
            };
            Error::Away { url: self.server.url.clone(), reason }
        };
        let response = request.send_json(&body).map_err(away)?;
        let status = response.status();
        let body = response.into_body().into_with_config();
        if !status.is_success() {
            let text = body.limit(REFUSAL).lossy_utf8(true).read_to_string().unwrap_or_default();
            let said = said(&text, key.as_ref());
            return Err(Error::Status { url: self.server.url.clone(), status: status.as_u16(), said });
        }
        let most = (ANSWER_LEAST + ANSWER_PER_TEXT * texts.len() as u64).min(ANSWER_MOST);
        let bytes = body.limit(most).read_to_vec().map_err(|error| match error {
            ureq::Error::BodyExceedsLimit(_) => self.odd(format!("longer than {most} bytes")),
            other => away(other),
        })?;
        serde_json::from_slice(&bytes).map_err(|error| self.odd(error.to_string()))
    }

    fn odd(&self, reason: String) -> Error {
        Error::Answer { url: self.server.url.clone(), reason }
    }
}

impl Embedder for ServedEmbedder {
    fn id(&self) -> &str {
        &self.id
    }

    fn dimension(&self) -> Option<usize> {
        self.dimension
    }

    fn server(&self) -> Option<&Server> {
        Some(&self.server)
    }

    fn embed(&self, texts: &[&str]) -> Result<Vec<Vec<f32>>> {
        if texts.is_empty() {
            return Ok(Vec::new());
        }
        let mut rows = self.ask(texts)?.data;
        if rows.iter().all(|it| it.index.is_some()) {
            rows.sort_by_key(|it| it.index);
            if rows.iter().enumerate().any(|(at, row)| row.index != Some(at)) {
                return Err(self.odd("its vectors are not numbered from 0".to_string()));
            }
        }
        if rows.len() != texts.len() {
            return Err(self.odd(format!("{} vectors for {} texts", rows.len(), texts.len())));
        }
        let mut vectors: Vec<Vec<f32>> = rows.into_iter().map(|it| it.embedding).collect();
        let expected = self.dimension.unwrap_or(vectors[0].len());
        for vector in &mut vectors {
            if vector.len() != expected {
                return Err(Error::Dimension { model: self.server.model.clone(), expected, got: vector.len() });
            }
            normalise(vector);
            if vector.is_empty() || vector.iter().any(|it| !it.is_finite()) {
                return Err(self.odd("a vector that is empty or not finite".to_string()));
            }
        }
        Ok(vectors)
    }
}

#[derive(Deserialize)]
struct Answer {
    data: Vec<Row>,
}

#[derive(Deserialize)]
struct Row {
    /// The number of the text that this vector belongs to, from 0. Some servers omit it and keep the order.
    index: Option<usize>,
    embedding: Vec<f32>,
}

/// A proxy sends requests through another machine, where `localhost` would be another host.
fn is_this_machine(url: &str) -> bool {
    let host = url.split_once("://").map_or(url, |it| it.1);
    ["localhost", "127.", "[::1]"].iter().any(|it| host.starts_with(it))
}

/// The server's error message, on one line. If it contains the key, the key is masked.
fn said(text: &str, key: Option<&Secret>) -> String {
    let read: Value = serde_json::from_str(text).unwrap_or_default();
    let message = [&read["error"]["message"], &read["error"], &read["message"], &read["detail"]];
    let message = message.into_iter().find_map(Value::as_str).unwrap_or(text);
    let mut line = message.split_whitespace().collect::<Vec<_>>().join(" ");
    if let Some(key) = key.map(Secret::reveal).filter(|it| !it.is_empty()) {
        line = line.replace(key, "(the key)");
    }
    match line.char_indices().nth(SHOWN) {
        _ if line.is_empty() => String::new(),
        Some((at, _)) => format!(": {}...", &line[..at]),
        None => format!(": {line}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Millis;

    #[test]
    fn the_address_is_found_from_whatever_people_write() {
        for url in ["http://h:1", "http://h:1/", "http://h:1/v1", "http://h:1/v1/", "http://h:1/v1/embeddings"] {
            assert_eq!(address(url), "http://h:1/v1/embeddings", "{url}");
        }
    }

    #[test]
    fn a_refusal_is_said_in_one_line_and_never_with_the_key() {
        let key = Secret::new("sk-123");
        let text = r#"{"error": {"message": "Wrong key\n sk-123 given"}}"#;
        assert_eq!(said(text, Some(&key)), ": Wrong key (the key) given");
        assert_eq!(said(r#"{"error": "no model"}"#, None), ": no model");
        assert_eq!(said("<b>bad\ngateway</b>", None), ": <b>bad gateway</b>");
        assert_eq!(said("", None), "");
        assert_eq!(said(&"é".repeat(999), None).chars().count(), SHOWN + 5);
    }

    #[test]
    fn what_is_recorded_leads_back_to_the_server_without_a_key() {
        let server = Server {
            url: "http://h:1/v1".to_string(),
            model: "m".to_string(),
            dimensions: Some(8),
            key: Some("MY_KEY".to_string()),
            timeout: Millis::minutes(9),
        };
        let recorded = serde_json::to_value(&server).unwrap();
        assert_eq!(recorded, json!({"url": "http://h:1/v1", "model": "m", "dimensions": 8}));
        let foreign = json!({"url": "http://h:1/v1", "model": "m", "dimensions": 8, "key": "HOME"});
        let read: Server = serde_json::from_value(foreign).unwrap();
        assert_eq!(read, Server { timeout: Millis::seconds(30), key: None, ..server });
    }
}
