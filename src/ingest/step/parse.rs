//! `windlass/parse`: to Markdown, in a process of its own.

use super::{Work, cache_key_of, ended, go_on, item_of, of_artifact, of_engine, of_io, parameters_of};
use crate::{
    engine::{StepContext, StepInput, StepKind, StepResult},
    ingest::{
        item::Item,
        parameters,
        parse_child::{ANSWER, Answer, MARKDOWN, Request, STRUCTURE, WORD},
    },
    model::{Bytes, ExitStatus, KillIntent, Millis, Outcome, ResourceLimit},
    process::{ChildEnd, ChildLimits, ChildSpec, Stdin, child, program},
};
use std::{
    env,
    fs::{self, File},
    io::Read,
    path::Path,
};

/// Raised whenever a reader reads otherwise than before.
pub(super) const VERSION: u32 = 1;
/// A child that prints more than this is out of its mind.
const OUTPUT_MAX: Bytes = Bytes::mib(64);
/// An answer holds at most a hundred warnings and a title.
const ANSWER_MAX: u64 = 16 << 20;
/// The program itself, its stacks and libraries, beside what a document takes.
const OWN_ADDRESS_SPACE: u64 = 768 << 20;

pub struct ParseKind;

impl StepKind for ParseKind {
    fn run(&self, cx: &StepContext) -> StepResult {
        match start(cx) {
            Ok((spec, limits)) => {
                let end = child::run(&spec, cx.cancel);
                let result = ended(judge(cx, &spec.dir, &end, limits));
                result.with_certificate(child::certificate(&end))
            }
            Err(outcome) => StepResult::ended(outcome),
        }
    }

    fn cache_key(&self, input: &StepInput) -> Option<[u8; 32]> {
        cache_key_of("parse", input)
    }
}

/// The memory and the time that the document may take.
type Limits = (Bytes, Millis);

fn start(cx: &StepContext) -> Result<(ChildSpec, Limits), Outcome> {
    go_on(cx)?;
    let item = item_of(cx.input)?;
    let set = parameters_of(cx.input)?;
    let (memory, time) = parameters::parse_limits(&set);
    let request = Request {
        file: readable(cx.input, &item)?,
        name: item.name.clone(),
        sha256: item.sha256,
        options: parameters::parse_options(&set),
    };
    let request = serde_json::to_vec(&request).map_err(|error| Outcome::permanent("request", error.to_string()))?;
    let program = program::program().map_err(|error| Outcome::permanent("not_startable", error))?;
    let mut spec = ChildSpec::new(vec![program.into(), WORD.into()], cx.work.create("parse").map_err(of_engine)?);
    spec.stdin = Stdin::Bytes(request);
    // OCR looks for its program and its languages there.
    for name in ["PATH", "TESSDATA_PREFIX"] {
        spec.env.retain(|it| it.0 != name);
        spec.env.extend(env::var_os(name).map(|value| (name.into(), value)));
    }
    spec.limits = ChildLimits {
        memory: Some(memory),
        address_space: Some(Bytes(memory.0.saturating_add(OWN_ADDRESS_SPACE))),
        cpu: Some(time),
        wall: Some(time),
        output: Some(OUTPUT_MAX),
        open_files: None,
    };
    // It holds nothing that could be put in order.
    spec.grace = Millis(200);
    spec.drain = Millis::seconds(2);
    spec.capture = Bytes(64 << 10);
    Ok((spec, (memory, time)))
}

/// The URI of the file that the validate step found to hold the content.
fn readable(input: &StepInput, item: &Item) -> Result<String, Outcome> {
    let seen = input.inputs.values().find_map(|it| it.value.as_ref()?.get("uri")?.as_str());
    let document = item.documents.iter().find(|it| Some(it.uri.as_str()) == seen).or(item.documents.first());
    match document {
        Some(document) => Ok(document.file.clone().unwrap_or_else(|| document.uri.clone())),
        None => Err(Outcome::permanent("no_item", "the item names no document")),
    }
}

fn judge(cx: &StepContext, dir: &Path, end: &ChildEnd, (memory, time): Limits) -> Work {
    if cx.cancel.is_cancelled() || end.start_error.is_some() {
        return Err(child::outcome(end, &[]));
    }
    match (end.intent, end.exit) {
        (None, Some(ExitStatus::Code(0))) => parsed(cx, dir),
        (Some(KillIntent::Deadline(_) | KillIntent::Limit(ResourceLimit::CpuTime)), _) => {
            let message = format!("took longer than {time} to read; raise `parse.timeout` if it is worth it");
            Err(Outcome::permanent("parse_timeout", message))
        }
        (Some(KillIntent::Limit(ResourceLimit::Memory)), _) => Err(too_much(memory)),
        (Some(KillIntent::Limit(_)), _) => Err(Outcome::permanent("parse_output", "the parser printed without end")),
        (None, Some(ExitStatus::Signal(signal))) => Err(crashed(end, signal, memory)),
        _ => Err(child::outcome(end, &[])),
    }
}

/// The same bytes crash the same parser again, so there is no second attempt; but what SIGKILL or SIGTERM ended was ended
/// by somebody else, the kernel for want of memory perhaps, and counts as any other crash.
fn crashed(end: &ChildEnd, signal: i32, memory: Bytes) -> Outcome {
    let lines = end.stderr.last_lines(4096);
    let own = [libc::SIGSEGV, libc::SIGABRT, libc::SIGBUS, libc::SIGILL, libc::SIGFPE, libc::SIGTRAP, libc::SIGSYS];
    match own.contains(&signal) {
        // Rust's own words for an allocation beyond the limit on address space, and for a stack that was used up.
        true if lines.contains("memory allocation of") => too_much(memory),
        true if lines.contains("has overflowed its stack") => {
            Outcome::permanent("too_deep", "nested too deeply to be read")
        }
        true => {
            let message = format!("the parser crashed on this document (signal {signal})");
            Outcome::permanent("parser_crashed", message)
        }
        false => child::outcome(end, &[]),
    }
}

fn too_much(memory: Bytes) -> Outcome {
    let message = format!("took more than {memory} of memory to read; raise `parse.memory` if it is worth it");
    Outcome::permanent("parse_memory", message)
}

fn parsed(cx: &StepContext, dir: &Path) -> Work {
    let answer = dir.join(ANSWER);
    let mut text = Vec::new();
    File::open(&answer)
        .and_then(|it| it.take(ANSWER_MAX).read_to_end(&mut text))
        .map_err(|error| of_io("the parser left no answer", &error))?;
    let answer: Answer = serde_json::from_slice(&text)
        .map_err(|error| Outcome::retryable("answer", format!("the answer of the parser can't be read: {error}")))?;
    let summary = match answer {
        Answer::Parsed(summary) => summary,
        Answer::Changed => {
            let message = "the document changed while it was being ingested; run the same command again";
            return Err(Outcome::permanent("changed", message));
        }
        Answer::Failed { code, message, hint, retryable } => {
            let message = hint.map_or(message.clone(), |hint| format!("{message}; {hint}"));
            return Err(Outcome::Failed { retryable, kind: code, message });
        }
    };
    let value = serde_json::to_value(&summary).map_err(|error| Outcome::permanent("answer", error.to_string()))?;
    let mut result = StepResult::succeeded(Some(value));
    for (name, kind) in [(MARKDOWN, "markdown"), (STRUCTURE, "json")] {
        let path = dir.join(name);
        let file = File::open(&path).map_err(|error| of_io("the parser left no text", &error))?;
        let put = cx.artifacts.put(file, kind).map_err(of_artifact)?;
        result.files.push((name.to_string(), put.artifact));
        result.guards.push(put.guard);
        // The disk holds it twice no longer than it must.
        let _ = fs::remove_file(&path);
    }
    Ok(result)
}
