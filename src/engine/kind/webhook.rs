//! `windlass/webhook`: one HTTP request that reports an event to a chat or another service.

use crate::{
    definition::webhook::{Webhook as Parameters, Word},
    engine::{
        error::Result,
        step_kind::{StepContext, StepInput, StepKind, StepResult},
    },
    model::{Outcome, Status, bounded::bounded},
    os::threads,
};
use serde_json::json;
use sha2::{Digest, Sha256};
use std::{sync::mpsc, time::Duration};
use ureq::Agent;

/// The time limit for a response, unless the step has a shorter `timeout`.
const PATIENCE: Duration = Duration::from_secs(30);
const CONNECT: Duration = Duration::from_secs(10);
/// How often a waiting step checks whether it was cancelled.
const LOOK: Duration = Duration::from_millis(50);
/// How many bytes of a response are read, and how many are shown.
const ANSWER: u64 = 64 << 10;
const SHOWN: usize = 300;
/// The block size of SHA-256, in bytes.
const BLOCK: usize = 64;

pub(super) struct Webhook;

impl StepKind for Webhook {
    fn run(&self, cx: &StepContext) -> StepResult {
        let parameters = match Parameters::of(&cx.input.with) {
            Ok(parameters) => parameters,
            Err(message) => return StepResult::permanent("with", format!("windlass/webhook: {message}")),
        };
        let request = match Request::of(cx.input, &parameters) {
            Ok(request) => request,
            Err(error) => return StepResult::not_run(&error, false),
        };
        let patience = cx.step.timeout.map_or(PATIENCE, |it| it.duration().min(PATIENCE));
        let (reported, answer) = mpsc::channel();
        let sent = threads::start("windlass-webhook", move || reported.send(request.send(patience)).is_ok());
        if let Err(error) = sent {
            let reason = format!("no thread available to send the request: {error}");
            return StepResult::ended(Outcome::NoRoom { reason, in_vain: false });
        }
        loop {
            match answer.recv_timeout(LOOK) {
                Ok(outcome) => return StepResult::ended(outcome),
                // The thread ends when its own time limit is over.
                Err(mpsc::RecvTimeoutError::Timeout) if cx.cancel.intent().is_some() => {
                    return StepResult::ended(Outcome::Cancelled);
                }
                Err(mpsc::RecvTimeoutError::Timeout) => {}
                Err(mpsc::RecvTimeoutError::Disconnected) => {
                    return StepResult::retryable("webhook", "the request ended without an answer");
                }
            }
        }
    }
}

/// A request with its secrets.
struct Request {
    url: String,
    headers: Vec<(String, String)>,
    body: String,
    /// Texts that are never shown.
    secrets: Vec<String>,
}

impl Request {
    fn of(input: &StepInput, parameters: &Parameters) -> Result<Request> {
        let mut secrets = Vec::new();
        let mut reveal = |name: &str| -> Result<String> {
            let text = input.secret(name)?.reveal().to_string();
            secrets.push(text.clone());
            Ok(text)
        };
        let mut word = |it: &Word| -> Result<String> {
            match it {
                Word::Plain(text) => Ok(text.clone()),
                Word::Secret(name) => reveal(name),
            }
        };
        let url = word(&parameters.url)?;
        let mut headers = vec![("content-type".to_string(), "application/json".to_string())];
        for (name, value) in &parameters.headers {
            headers.retain(|it| !it.0.eq_ignore_ascii_case(name));
            headers.push((name.clone(), word(value)?));
        }
        let text = || parameters.text.clone().unwrap_or_else(|| message(input));
        let body = parameters.body.clone().unwrap_or_else(|| json!({"text": text()})).to_string();
        if let Some(hook) = &input.hook {
            headers.push(("x-windlass-event".to_string(), hook.event.clone()));
        }
        headers.push(("x-windlass-delivery".to_string(), input.token.0.to_string()));
        if let Some(name) = &parameters.secret {
            let signature = hex::encode(hmac(reveal(name)?.as_bytes(), body.as_bytes()));
            headers.push(("x-windlass-signature-256".to_string(), format!("sha256={signature}")));
        }
        Ok(Request { url, headers, body, secrets })
    }

    fn send(&self, patience: Duration) -> Outcome {
        let mut config = Agent::config_builder()
            .timeout_global(Some(patience))
            .timeout_connect(Some(CONNECT.min(patience)))
            .http_status_as_error(false)
            // The request is meant for the named server and no other.
            .max_redirects(0)
            .max_redirects_will_error(false)
            .user_agent(concat!("windlass/", env!("CARGO_PKG_VERSION")));
        if is_this_machine(&self.url) {
            config = config.proxy(None);
        }
        let agent: Agent = config.build().into();
        let request = self.headers.iter().fold(agent.post(&self.url), |it, (name, value)| it.header(name, value));
        let response = match request.send(self.body.as_str()) {
            Ok(response) => response,
            Err(error) => return self.not_sent(&error),
        };
        let status = response.status();
        if status.is_success() {
            return Outcome::Succeeded;
        }
        let said = response.into_body().into_with_config().limit(ANSWER).lossy_utf8(true).read_to_string();
        let said = self.shown(&said.unwrap_or_default());
        let code = status.as_u16();
        match code {
            300..=399 => Outcome::permanent(
                "webhook",
                format!(
                    "the server answered {code}: it redirects, which is not followed; give the other address as `url`"
                ),
            ),
            408 | 429 | 500..=599 => Outcome::retryable("webhook", format!("the server answered {code}{said}")),
            _ => Outcome::permanent("webhook", format!("the server answered {code}{said}")),
        }
    }

    fn not_sent(&self, error: &ureq::Error) -> Outcome {
        let text = match error {
            ureq::Error::Io(error) => error.to_string(),
            ureq::Error::Timeout(_) => "it took too long".to_string(),
            other => other.to_string(),
        };
        let reason = format!("the request failed{}", self.shown(&text));
        match error {
            ureq::Error::BadUri(_) | ureq::Error::Http(_) => Outcome::permanent("webhook", reason),
            _ => Outcome::retryable("webhook", reason),
        }
    }

    /// A text on one line, with secrets masked.
    fn shown(&self, text: &str) -> String {
        let mut line = text.split_whitespace().collect::<Vec<_>>().join(" ");
        for secret in self.secrets.iter().filter(|it| !it.is_empty()) {
            line = line.replace(secret.as_str(), "***");
        }
        if line.is_empty() { line } else { format!(": {}", bounded(line, SHOWN)) }
    }
}

/// A description of the event for people.
fn message(input: &StepInput) -> String {
    let Some(hook) = &input.hook else {
        return format!("windlass: {} of {} ({})", input.step, input.group, input.group_name);
    };
    let reasons = if hook.reasons.is_empty() { String::new() } else { format!(": {}", hook.reasons) };
    if input.group.0 == 0 {
        return format!("windlass: schedule {} missed{reasons}", hook.name);
    }
    let of = match (input.step.0, input.run.0) {
        (0, 0) => String::new(),
        (0, run) => format!(", r{run}"),
        (step, _) => format!(", s{step}"),
    };
    let counts = match hook.status == Status::Failed.name() && of.is_empty() {
        true => format!(", {} of {} runs failed", hook.failed, hook.total),
        false => String::new(),
    };
    let what = if of.is_empty() { hook.status.to_lowercase() } else { hook.event.replace('_', " ") };
    format!("windlass: {} ({}{of}) {what}{counts}{reasons}", hook.name, input.group)
}

/// HMAC-SHA256 (RFC 2104).
fn hmac(key: &[u8], message: &[u8]) -> [u8; 32] {
    let mut block = [0; BLOCK];
    match key.len() > BLOCK {
        true => block[..32].copy_from_slice(&Sha256::digest(key)),
        false => block[..key.len()].copy_from_slice(key),
    }
    let inner = Sha256::new().chain_update(block.map(|it| it ^ 0x36)).chain_update(message).finalize();
    Sha256::new().chain_update(block.map(|it| it ^ 0x5c)).chain_update(inner).finalize().into()
}

/// A proxy leads to other machines, where `localhost` is another host.
fn is_this_machine(url: &str) -> bool {
    let host = url.split_once("://").map_or(url, |it| it.1);
    ["localhost", "127.", "[::1]"].iter().any(|it| host.starts_with(it))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Test cases 1, 2 and 6 of RFC 4231.
    #[test]
    fn the_signature_is_that_of_the_rfc() {
        for (key, message, wanted) in [
            (&[0x0b; 20][..], "Hi There", "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7"),
            (
                &b"Jefe"[..],
                "what do ya want for nothing?",
                "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843",
            ),
            (
                &[0xaa; 131][..],
                "Test Using Larger Than Block-Size Key - Hash Key First",
                "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54",
            ),
        ] {
            assert_eq!(hex::encode(hmac(key, message.as_bytes())), wanted);
        }
    }

    #[test]
    fn what_is_shown_has_no_secret() {
        let secrets = vec!["hush".to_string()];
        let request = Request { url: String::new(), headers: vec![], body: String::new(), secrets };
        assert_eq!(request.shown("no\n such hush"), ": no such ***");
        assert_eq!(request.shown(""), "");
    }
}
