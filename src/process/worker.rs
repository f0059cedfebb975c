//! One long-lived worker process: its pipes, its messages and its end.
//!
//! A value without a thread: its owner sends it a request (`ask`), or watches it while it is idle (`attend`).
//! `exchange` implements the exchange of messages.

pub use super::worker_process::{Broken, ExitInfo, StartFailure, Timeouts, Worker, WorkerSpec};

use super::{
    exchange::{Awaited, Reply, RequestOptions, exchange},
    handle::NOT_BEGUN,
    protocol::{self, Request},
};
use crate::{
    decide::outcome::StartError,
    model::{
        ExitStatus, KillIntent, Millis,
        bounded::{MESSAGE, bounded},
    },
    os::{CancelToken, process_stat},
};
use std::time::Instant;

impl Worker {
    /// Starts a process, waits for its hello and makes it load its handlers.
    pub fn start(number: u64, spec: &WorkerSpec, cancel: &CancelToken) -> Result<Worker, StartFailure> {
        let nonce = nonce();
        let mut worker = Worker::launch(number, spec, &nonce)?;
        let timeouts = spec.timeouts;
        let options = RequestOptions { deadline: Some(timeouts.hello), ..RequestOptions::of(cancel, &timeouts) };
        let greeted = exchange(&mut worker, Awaited::Hello(&nonce), None, &options);
        worker.welcome(greeted, "say hello", timeouts.hello)?;
        let load = Request::Load { definition: &spec.definition, handlers: &spec.handlers };
        let options = RequestOptions { deadline: Some(timeouts.load), ..RequestOptions::of(cancel, &timeouts) };
        let loaded = worker.ask(&load, &options);
        let failed = loaded.answer.as_ref().and_then(|it| it.failed.clone());
        let mut printed = [loaded.stdout.clone(), loaded.stderr.clone()];
        worker.welcome(loaded, "load its handlers", timeouts.load)?;
        match failed {
            Some(failed) => {
                printed[1].note(failed.traceback.as_deref().unwrap_or_default());
                let why = format!("failed to load its handlers: {}", bounded(failed.message, MESSAGE));
                let [stdout, stderr] = printed;
                Err(StartFailure::Failed(Box::new(Broken { why, by_itself: true, stdout, stderr })))
            }
            None => {
                worker.rss_new = process_stat::rss_bytes(worker.pid);
                Ok(worker)
            }
        }
    }

    /// Checks the answer to a request that is part of the start.
    fn welcome(&mut self, reply: Reply, what: &str, timeouts: Millis) -> Result<(), StartFailure> {
        if reply.answer.is_some() && self.exit_info.is_none() {
            return Ok(());
        }
        let last_line = reply.remarks.first().cloned().unwrap_or_else(|| reply.stderr.last_line());
        let said = if last_line.is_empty() { String::new() } else { format!(": {last_line}") };
        let broken = |why, by_itself| {
            StartFailure::Failed(Box::new(Broken { why, by_itself, stdout: reply.stdout, stderr: reply.stderr }))
        };
        Err(match (self.start_error.take(), reply.intent) {
            (Some(StartError::NotStartable(why)), _) => StartFailure::NotStartable(why),
            (Some(StartError::NoRoom(why)), _) => StartFailure::NoRoom(why),
            (None, Some(KillIntent::Deadline(_))) => broken(format!("did not {what} within {timeouts}{said}"), false),
            (None, Some(intent)) => StartFailure::Stopped(intent),
            // Its shim did not get as far as starting it.
            (None, None) if !self.begun => StartFailure::NoRoom(NOT_BEGUN.to_string()),
            (None, None) => {
                let how = match self.exit_info.as_ref().and_then(|it| it.exit) {
                    Some(ExitStatus::Code(code)) => format!("exited with code {code}"),
                    Some(ExitStatus::Signal(signal)) => format!("was killed by signal {signal}"),
                    None => "closed its pipe".to_string(),
                };
                broken(format!("{how} before it could {what}{said}"), true)
            }
        })
    }

    /// Sends a request and waits for its answer, or for the end of the worker.
    pub fn ask(&mut self, request: &Request, options: &RequestOptions) -> Reply {
        self.last_id += 1;
        match protocol::encode(self.last_id, request) {
            Ok(frame) => exchange(self, Awaited::Answer, Some(frame), options),
            Err(length) => Reply { too_long: Some(length), ..Reply::default() },
        }
    }

    /// Asks it to end, and ends it if it does not. Its whole tree is gone afterwards.
    pub fn end(&mut self, cancel: &CancelToken) {
        if self.exit_info.is_some() {
            return;
        }
        self.last_id += 1;
        let timeouts = self.timeouts;
        let options = RequestOptions { deadline: Some(timeouts.shutdown), ..RequestOptions::of(cancel, &timeouts) };
        let frame = protocol::encode(self.last_id, &Request::Shutdown).ok();
        exchange(self, Awaited::End, frame, &options);
    }

    /// Whether the idle worker answers a ping. If not, it is ended.
    pub(super) fn pings(&mut self) -> bool {
        let (calm, timeouts) = (CancelToken::new(), self.timeouts);
        let options = RequestOptions { deadline: Some(timeouts.ping), ..RequestOptions::of(&calm, &timeouts) };
        self.ask(&Request::Ping, &options).answer.is_some() && self.exit_info.is_none()
    }
}

/// An unguessable word, so that only a process that we started can send a valid hello.
fn nonce() -> String {
    let mut bytes = [0; 16];
    if getrandom::fill(&mut bytes).is_err() {
        return format!("{:?}", Instant::now());
    }
    hex::encode(bytes)
}
