//! The output of a step's attempts.

use super::error::{Error, Result};
use crate::{
    engine::{Engine, WorkDir},
    model::{RunId, StepId, Timestamp, Token},
    process::live,
    store::{
        Store,
        attempt::{self, Attempt},
        read,
    },
};
use serde::Serialize;
use std::io::Read;

/// The newest part of one stream of one attempt.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct LogText {
    pub step: StepId,
    pub run: RunId,
    /// The attempt.
    pub token: Token,
    /// Its position among all attempts of the step, from 1.
    pub attempt: i64,
    pub started: Option<Timestamp>,
    pub ended: Option<Timestamp>,
    /// How the attempt ended; null while it is running.
    pub outcome: Option<&'static str>,
    /// `stdout` or `stderr`.
    pub stream: &'static str,
    /// The total number of bytes; more than `text` holds if the beginning was not kept.
    pub total: u64,
    pub text: String,
    /// The output as it was printed, which may not be valid UTF-8.
    #[serde(skip)]
    pub body: Vec<u8>,
}

#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct Logs {
    /// Oldest attempt first.
    pub logs: Vec<LogText>,
}

/// A stream in our store is far smaller.
const MOST: u64 = 64 << 20;

/// The stored parts of a step's streams, oldest attempt first; only attempts with the token `from` or later.
pub fn logs(store: &Store, step: StepId, from: Token) -> Result<Logs> {
    let (run, attempts, found) = store.read(|tx| {
        let run = read::run_of_step(tx, step)?;
        Ok((run, attempt::of_step(tx, step)?, attempt::logs(tx, step, from)?))
    })?;
    let text = |(token, log): (Token, attempt::Log)| {
        let body = unpacked(&log.body).map_err(|source| Error::DamagedLog { step, source })?;
        let stream = if log.stream == 1 { "stdout" } else { "stderr" };
        Ok(of_attempt(step, run, &attempts, token, stream).with(log.total, body))
    };
    Ok(Logs { logs: found.into_iter().map(text).collect::<Result<_>>()? })
}

/// Like `logs`, with the output so far of attempts that are running on this machine.
pub fn logs_until_now(engine: &Engine, step: StepId, from: Token) -> Result<Logs> {
    let running = WorkDir::of_step(engine.home(), step);
    // Read after finding the directories, so that an attempt that ends in between is in at least one of the two.
    let mut found = logs(engine.store(), step, from)?;
    for (token, dir) in running.into_iter().filter(|it| it.0 >= from) {
        for (number, stream) in [(1, "stdout"), (2, "stderr")] {
            if found.logs.iter().any(|it| it.token == token && it.stream == stream) {
                continue;
            }
            let Some((from, body)) = live::read_from(&dir, number, 0) else { continue };
            let total = from + body.len() as u64;
            found.logs.push(log_of(engine.store(), step, token, stream)?.with(total, body));
        }
    }
    Ok(found)
}

/// The log of one stream of an attempt, without any text yet.
pub fn log_of(store: &Store, step: StepId, token: Token, stream: &'static str) -> Result<LogText> {
    let (run, attempts) = store.read(|tx| Ok((read::run_of_step(tx, step)?, attempt::of_step(tx, step)?)))?;
    Ok(of_attempt(step, run, &attempts, token, stream))
}

fn of_attempt(step: StepId, run: RunId, attempts: &[Attempt], token: Token, stream: &'static str) -> LogText {
    let found = attempts.iter().find(|it| it.token == token);
    LogText {
        step,
        run,
        token,
        // An attempt that has just begun comes after the known ones.
        attempt: found.map_or(attempts.len() as i64 + 1, |it| it.no),
        started: found.map(|it| it.started),
        ended: found.and_then(|it| it.ended),
        outcome: found.and_then(|it| it.outcome),
        stream,
        total: 0,
        text: String::new(),
        body: Vec::new(),
    }
}

impl LogText {
    /// Sets the output: `body` is the newest part of `total` bytes.
    pub fn with(self, total: u64, body: Vec<u8>) -> LogText {
        LogText { total, text: String::from_utf8_lossy(&body).into_owned(), body, ..self }
    }
}

fn unpacked(body: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut text = Vec::new();
    zstd::stream::read::Decoder::new(body)?.take(MOST).read_to_end(&mut text)?;
    Ok(text)
}
