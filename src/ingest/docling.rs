//! Reads documents with a docling-serve: one request per document, with limits on size and time.
//!
//! The parser process makes the request, so a harmful answer can only affect that process.

use super::{
    error::{Error, Result},
    media_type::{self, MediaType},
    parse::finished,
    parse_error::{ParseError, check_size},
    parse_options::ParseOptions,
    reader::{self, Format},
};
use crate::model::{ArtifactHash, Millis, ParsedDocument};
use serde::{Deserialize, Serialize};
use std::time::Duration;
use ureq::Agent;

const CONNECT: Duration = Duration::from_secs(10);
/// The maximum size of an answer without its text.
const AROUND: u64 = 1 << 20;
const REFUSAL: u64 = 64 << 10;
const SHOWN: usize = 300;

/// The address of a docling-serve, and its time limit per document.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Docling {
    pub url: String,
    pub time: Millis,
}

impl Docling {
    /// Refuses an address that this build can't reach.
    pub fn check(&self) -> Result<()> {
        if self.url.to_ascii_lowercase().starts_with("https:") && !cfg!(feature = "https") {
            let what = format!("{}: this build of windlass has no TLS", self.url);
            return Err(Error::refused(what, "build it with `--features https`, or use an `http://` address"));
        }
        Ok(())
    }

    /// Reads a document with docling; `None` if its type is read here.
    pub(super) fn parse(
        &self,
        bytes: &[u8],
        name: &str,
        sha256: ArtifactHash,
        options: &ParseOptions,
    ) -> std::result::Result<Option<ParsedDocument>, ParseError> {
        let media_type = media_type::detect(bytes, name);
        let MediaType::Known(format) = media_type else { return Ok(None) };
        if !format.docling {
            return Ok(None);
        }
        check_size("the document", bytes.len() as u64, options.max_bytes)?;
        let answer = self.convert(bytes, format, sha256, options)?;
        let Some(markdown) = answer.document.and_then(|it| it.md_content) else {
            return Err(refused(answer.errors.first().map_or("it answered without text", |it| &it.error_message)));
        };
        if !matches!(answer.status.as_str(), "success" | "partial_success") {
            return Err(refused(answer.errors.first().map_or(&answer.status, |it| &it.error_message)));
        }
        let mut document = reader::read_markdown(markdown.as_bytes(), options)?;
        document.warnings.extend(answer.errors.iter().map(|it| format!("docling: {}", line(&it.error_message))));
        Ok(Some(finished(document, media_type, bytes)))
    }

    fn convert(
        &self,
        bytes: &[u8],
        format: &Format,
        sha256: ArtifactHash,
        options: &ParseOptions,
    ) -> std::result::Result<Answer, ParseError> {
        let agent: Agent = Agent::config_builder()
            .timeout_global(Some(self.time.duration()))
            .timeout_connect(Some(CONNECT))
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .proxy(None)
            .user_agent(concat!("windlass/", env!("CARGO_PKG_VERSION")))
            .build()
            .into();
        // No document contains its own hash.
        let boundary = format!("windlass-{sha256}");
        let request = agent
            .post(format!("{}/v1/convert/file", self.url.trim_end_matches('/').trim_end_matches("/v1")))
            .header("accept", "application/json")
            .header("content-type", format!("multipart/form-data; boundary={boundary}"));
        let away = |error: ureq::Error| match error {
            ureq::Error::Timeout(ureq::Timeout::Global) => {
                self.failed(true, format!("took longer than {}; raise `parse.timeout`", self.time))
            }
            other => self.failed(true, format!("can't be reached: {other}; start it, or use `parse.backend=builtin`")),
        };
        let response = request.send(&form(bytes, format, &boundary)[..]).map_err(away)?;
        let status = response.status().as_u16();
        let body = response.into_body().into_with_config();
        if status != 200 {
            let text = body.limit(REFUSAL).lossy_utf8(true).read_to_string().unwrap_or_default();
            return Err(match status {
                400 | 413 | 415 | 422 => refused(&text),
                _ => {
                    let passes = matches!(status, 408 | 425 | 429 | 500..=599);
                    self.failed(passes, format!("answered {status}: {}", line(&text)))
                }
            });
        }
        // In JSON a character may take two bytes, rarely six.
        let most = AROUND + 2 * options.max_text as u64;
        let bytes = body.limit(most).read_to_vec().map_err(|error| match error {
            ureq::Error::BodyExceedsLimit(_) => {
                ParseError::TooLarge { what: "docling's text".to_string(), size: most, limit: options.max_text as u64 }
            }
            other => away(other),
        })?;
        serde_json::from_slice(&bytes)
            .map_err(|error| self.failed(true, format!("gave an answer that is not docling's: {error}")))
    }

    fn failed(&self, retryable: bool, problem: String) -> ParseError {
        ParseError::Docling { url: self.url.clone(), problem, retryable }
    }
}

fn refused(reason: &str) -> ParseError {
    ParseError::DoclingRefused { reason: line(reason) }
}

/// The document under a name that shows its type and nothing else.
fn form(bytes: &[u8], format: &Format, boundary: &str) -> Vec<u8> {
    let mut form = Vec::with_capacity(bytes.len() + 1024);
    // Images in the text would only be noise in an index.
    for (name, value) in [("to_formats", "md"), ("image_export_mode", "placeholder")] {
        let part = format!("--{boundary}\r\ncontent-disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n");
        form.extend_from_slice(part.as_bytes());
    }
    let head = format!(
        "--{boundary}\r\ncontent-disposition: form-data; name=\"files\"; filename=\"document.{}\"\r\n\
         content-type: {}\r\n\r\n",
        format.ending(),
        format.media_type
    );
    form.extend_from_slice(head.as_bytes());
    form.extend_from_slice(bytes);
    form.extend_from_slice(format!("\r\n--{boundary}--\r\n").as_bytes());
    form
}

/// Shortens a message to one short line.
fn line(text: &str) -> String {
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    match line.char_indices().nth(SHOWN) {
        Some((at, _)) => format!("{}...", &line[..at]),
        None => line,
    }
}

#[derive(Deserialize)]
struct Answer {
    #[serde(default)]
    document: Option<Converted>,
    status: String,
    #[serde(default)]
    errors: Vec<Problem>,
}

#[derive(Deserialize)]
struct Converted {
    md_content: Option<String>,
}

#[derive(Deserialize)]
struct Problem {
    #[serde(default)]
    error_message: String,
}
