//! The messages between the engine and a worker process, over two pipes that no other process has.
//!
//! Each message is a frame: a length of 4 bytes, big-endian, then that many bytes of JSON in UTF-8. Only one request is
//! in flight at a time. `docs/workers.md` describes the protocol for authors of workers in other languages.

use crate::model::{Health, number::keep_digits};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;

/// The protocol version that a worker must send in its hello.
pub const VERSION: u32 = 1;
/// The maximum length of a frame's JSON, in bytes; larger values travel as artifacts.
pub const LONGEST: usize = 16 << 20;
/// The variable with two descriptor numbers: read requests from the first, write answers to the second.
pub const FDS: &str = "WINDLASS_FDS";
/// The variable with the word that the hello must repeat.
pub const NONCE: &str = "WINDLASS_NONCE";

/// The engine's requests. Each has an id and gets one answer with that id.
#[derive(Debug, Clone, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Request<'a> {
    /// Are you there?
    Ping,
    /// The first request: the workflow, and the handlers that its steps will use.
    Load { definition: &'a str, handlers: &'a [String] },
    /// One attempt of one step.
    Run(&'a Work),
    /// The unit is over: release its state.
    Finalize { unit: &'a str },
    /// Answer, then end.
    Shutdown,
}

/// A request as the worker receives it.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Incoming {
    Ping,
    Load {
        definition: String,
        handlers: Vec<String>,
    },
    Run(Box<Work>),
    Finalize {
        unit: String,
    },
    Shutdown,
    /// A request from a later version of the protocol.
    #[serde(other)]
    Unknown,
}

/// The request of a step to a worker.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Work {
    /// Printed names such as `g12`, `r34`, `s56`.
    pub group: String,
    pub run: String,
    pub step: String,
    /// Counted from 1.
    pub attempt: u32,
    /// Different for every attempt, and never reused.
    pub token: i64,
    pub handler: String,
    /// A JSON string for a plain item.
    pub item: Value,
    pub params: Value,
    /// `with:` of the step, with its templates rendered.
    pub with: Value,
    pub inputs: BTreeMap<String, WorkInput>,
    /// A directory for output files. The worker creates it if needed. If the step succeeds, its files become artifacts
    /// of the step.
    pub out: String,
    /// The time limit of the step; `None` if unlimited.
    pub deadline_ms: Option<u64>,
}

/// The result of an earlier step.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct WorkInput {
    pub value: Option<Value>,
    /// Where its files are, if it left any.
    pub dir: Option<String>,
    /// A file with one line of JSON for each run that it started, if it started any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub children: Option<String>,
}

/// The worker's messages.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Message {
    /// The first message. `nonce` repeats the word from the environment, which proves that we started this process.
    Hello { nonce: String, protocol: u32, pid: u32 },
    /// The answer to the request with this id.
    Answer(Box<Answer>),
    /// The progress of the step. Does not extend its deadline.
    Progress { id: Option<u64>, done: Option<f64>, total: Option<f64>, message: Option<String> },
    /// A line for the log of the attempt.
    Log { id: Option<u64>, level: Option<String>, message: String },
    /// A message from a later version of the protocol.
    #[serde(other)]
    Other,
}

/// The answer to a request. Without a value and a failure, it is a success without a result.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Answer {
    pub id: u64,
    #[serde(default)]
    pub value: Option<Value>,
    #[serde(default)]
    pub failed: Option<Failed>,
    /// Whether the worker holds no state for the unit, so that `finalize` is unnecessary.
    #[serde(default)]
    pub clean: bool,
    #[serde(default)]
    pub health: Health,
}

/// A failure in the worker's words.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failed {
    #[serde(default)]
    pub retryable: bool,
    /// A failure code such as `encrypted`.
    #[serde(default)]
    pub kind: String,
    #[serde(default)]
    pub message: String,
    /// For the log.
    #[serde(default)]
    pub traceback: Option<String>,
}

/// How much memory a buffer keeps between messages, in bytes.
const KEPT: usize = 1 << 20;

#[derive(Serialize)]
struct Envelope<'a> {
    id: u64,
    #[serde(flatten)]
    request: &'a Request<'a>,
}

#[derive(Deserialize)]
struct Opened {
    id: u64,
    #[serde(flatten)]
    request: Incoming,
}

/// Encodes a request as a frame. If it is too long for a frame, returns the length of its JSON in bytes.
pub fn encode(id: u64, request: &Request) -> Result<Vec<u8>, usize> {
    frame_of(&Envelope { id, request })
}

/// Like `encode`, for a message from the worker.
pub fn encode_message(message: &Message) -> Result<Vec<u8>, usize> {
    frame_of(message)
}

/// Decodes the JSON of a frame to an id and a request.
pub fn decode(body: &[u8]) -> serde_json::Result<(u64, Incoming)> {
    serde_json::from_slice(body).map(|it: Opened| (it.id, it.request))
}

fn frame_of(content: &impl Serialize) -> Result<Vec<u8>, usize> {
    let mut frame = vec![0; 4];
    // This only fails for keys that are not strings, and there are none.
    let _ = serde_json::to_writer(&mut frame, content);
    let length = frame.len() - 4;
    if length > LONGEST {
        return Err(length);
    }
    frame[..4].copy_from_slice(&(length as u32).to_be_bytes());
    Ok(frame)
}

/// Reassembles frames from the pieces in which they arrive.
#[derive(Debug, Default)]
pub struct Frames {
    bytes: Vec<u8>,
    /// The number of bytes already returned.
    taken: usize,
}

/// A frame, as far as it could be decoded.
#[derive(Debug, Clone, PartialEq)]
pub enum Frame {
    Message(Message),
    /// Complete, but not a valid message.
    Unreadable,
    /// Too long. The positions of the following frames can't be trusted either.
    TooLong,
}

impl Frames {
    pub fn push(&mut self, bytes: &[u8]) {
        self.bytes.drain(..self.taken);
        self.taken = 0;
        if self.bytes.is_empty() {
            self.bytes.shrink_to(KEPT); // a large answer is rare
        }
        self.bytes.extend_from_slice(bytes);
    }

    /// Returns the next complete frame, or `None` if more bytes are needed.
    pub fn next_frame(&mut self) -> Option<Frame> {
        let rest = &self.bytes[self.taken..];
        let length = u32::from_be_bytes(*rest.first_chunk::<4>()?) as usize;
        if length > LONGEST {
            return Some(Frame::TooLong);
        }
        let body = rest.get(4..4 + length)?;
        let frame = serde_json::from_slice(&keep_digits(body)).map_or(Frame::Unreadable, Frame::Message);
        self.taken += 4 + length;
        Some(frame)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn frame(body: &str) -> Vec<u8> {
        [&(body.len() as u32).to_be_bytes(), body.as_bytes()].concat()
    }

    #[test]
    fn a_request_is_a_length_and_flat_json() {
        let work = Work { handler: "model".into(), item: json!("a"), deadline_ms: Some(5), ..Work::default() };
        let bytes = encode(7, &Request::Run(&work)).unwrap();
        assert_eq!(u32::from_be_bytes(bytes[..4].try_into().unwrap()) as usize, bytes.len() - 4);
        let value: Value = serde_json::from_slice(&bytes[4..]).unwrap();
        assert_eq!((&value["id"], &value["type"], &value["handler"]), (&json!(7), &json!("run"), &json!("model")));
        let shutdown = encode(8, &Request::Shutdown).unwrap();
        assert_eq!(&shutdown[4..], br#"{"id":8,"type":"shutdown"}"#);
        let handlers = ["a".to_string()];
        let load = encode(1, &Request::Load { definition: "w", handlers: &handlers }).unwrap();
        assert_eq!(&load[4..], br#"{"id":1,"type":"load","definition":"w","handlers":["a"]}"#);
    }

    #[test]
    fn a_request_arrives_as_it_was_sent() {
        let inputs = BTreeMap::from([("a".to_string(), WorkInput { value: Some(json!([1])), ..WorkInput::default() })]);
        let work = Work { handler: "h".into(), item: json!({"a": 1.5}), inputs, token: -4, ..Work::default() };
        let opened = |request: &Request| decode(&encode(9, request).unwrap()[4..]).unwrap();
        assert_eq!(opened(&Request::Run(&work)), (9, Incoming::Run(Box::new(work.clone()))));
        assert_eq!(opened(&Request::Ping).1, Incoming::Ping);
        assert_eq!(opened(&Request::Finalize { unit: "r1" }).1, Incoming::Finalize { unit: "r1".into() });
        assert_eq!(decode(br#"{"id":1,"type":"of_later","x":1}"#).unwrap().1, Incoming::Unknown);
        assert!(decode(b"{}").is_err());
    }

    #[test]
    fn a_request_that_is_too_long_is_refused() {
        let work = Work { item: Value::String("x".repeat(LONGEST)), ..Work::default() };
        assert!(encode(1, &Request::Run(&work)).unwrap_err() > LONGEST);
    }

    #[test]
    fn frames_arrive_whole_in_whatever_pieces_they_come() {
        let bodies = [
            r#"{"type":"hello","nonce":"n","protocol":1,"pid":5}"#,
            r#"{"type":"answer","id":3,"value":{"a":[1,2]},"health":{"rss_bytes":5,"open_fds":null}}"#,
            r#"{"type":"answer","id":4,"failed":{"retryable":true,"kind":"k","message":"m"}}"#,
            r#"{"type":"progress","id":4,"done":1}"#,
            r#"{"type":"of_a_later_version","id":4,"x":{}}"#,
            "not JSON",
        ];
        let stream: Vec<u8> = bodies.iter().flat_map(|it| frame(it)).collect();
        for piece in [1, 3, 50, stream.len()] {
            let mut frames = Frames::default();
            let mut found = Vec::new();
            for bytes in stream.chunks(piece) {
                frames.push(bytes);
                found.extend(std::iter::from_fn(|| frames.next_frame()));
            }
            assert_eq!(found.len(), bodies.len(), "in pieces of {piece}");
            assert_eq!(found[0], Frame::Message(Message::Hello { nonce: "n".into(), protocol: 1, pid: 5 }));
            let Frame::Message(Message::Answer(answer)) = &found[1] else { panic!("{:?}", found[1]) };
            assert_eq!((answer.id, &answer.value), (3, &Some(json!({"a": [1, 2]}))));
            assert_eq!(answer.health, Health { rss_bytes: Some(5), open_fds: None });
            let Frame::Message(Message::Answer(answer)) = &found[2] else { panic!("{:?}", found[2]) };
            assert!(answer.failed.as_ref().is_some_and(|it| it.retryable) && answer.health == Health::default());
            assert_eq!(found[4..], [Frame::Message(Message::Other), Frame::Unreadable]);
        }
    }

    #[test]
    fn a_length_beyond_the_limit_is_never_waited_for() {
        let mut frames = Frames::default();
        frames.push(&(LONGEST as u32 + 1).to_be_bytes());
        assert_eq!(frames.next_frame(), Some(Frame::TooLong));
    }
}
