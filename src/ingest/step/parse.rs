//! `windlass/parse`: converts to Markdown, in a worker process of our own.

use super::{
    Work,
    again::{self, Again},
    cache_key_of, ended, go_on, item_of, no_room, of_artifact, of_engine, of_io, parameters_of, readable,
};
use crate::{
    engine::{PoolKey, StepContext, StepInput, StepKind, StepResult},
    ingest::{
        item::{MARKDOWN, STRUCTURE},
        parameters,
        parser::{NAME, NO_ROOM, Request},
    },
    model::{Bytes, Millis, Outcome, ResourceLimit, WorkerLimits, artifact::kind},
    os::limits,
    process::{
        exchange::WorkLimits,
        pool::{Done, Job, PoolSpec, Ran, Timing, UnitOf},
        protocol,
        serve::command_of,
        worker::{Timeouts, WorkerSpec},
    },
};
use serde_json::Value;
use std::{env, ffi::OsString, fs, fs::File, path::Path};

/// Address space for the program itself, its stacks and libraries and leftovers of earlier documents, in addition to
/// what a document needs.
const OWN_ADDRESS_SPACE: u64 = 768 << 20;
/// A parser that keeps more memory than this between two documents is replaced.
const KEPT_MOST: Bytes = Bytes::mib(128);
/// Rust's message for a failed allocation.
const OUT_OF_MEMORY: &str = "memory allocation of";
/// As many as are requested at once: the pools of the engine limit the number.
const SIZE: usize = 1024;

/// How much longer a document may take than the server that reads it.
const WAITED: Millis = Millis::seconds(5);

pub struct ParseKind;

impl StepKind for ParseKind {
    fn run(&self, cx: &StepContext) -> StepResult {
        parse(cx).unwrap_or_else(StepResult::ended)
    }

    /// Documents are read in a separate process anyway.
    fn can_run_in_child(&self) -> bool {
        false
    }

    fn cache_key(&self, input: &StepInput) -> Option<[u8; 32]> {
        cache_key_of("parse", input)
    }
}

/// The memory and the time that the document may take.
type Limits = (Bytes, Millis);

fn parse(cx: &StepContext) -> Work {
    go_on(cx)?;
    let mut item = item_of(cx.input)?;
    let set = parameters_of(cx.input)?;
    // The parser found other content the first time.
    let again = match cx.input.attempt > 1 && !again::is_current(cx, &item) {
        true => Some(again::read(cx, &item, parameters::parse_options(&set).max_bytes)?),
        false => None,
    };
    if let Some(again) = &again {
        item = again.item.clone();
    }
    let (memory, time) = parameters::parse_limits(&set);
    let (file, within) = readable(cx, &item)?;
    let request = Request {
        file,
        within,
        name: item.name.clone(),
        sha256: item.sha256,
        options: parameters::parse_options(&set),
        docling: parameters::docling(&set),
    };
    // The parser's own timeout must come first, so that it can report a slow server.
    let time = if request.docling.is_some() { Millis(time.0.saturating_add(WAITED.0)) } else { time };
    let spec = pool_spec(&cx.input.home, memory)?;
    let key = PoolKey::OurOwn(format!("parse {memory:?}"));
    let pool = cx.pools.pool(key, || spec).map_err(of_engine)?;
    let dir = cx.work.create("parse").map_err(of_engine)?;
    let work = work(cx, &request, &dir, time)?;
    let done = pool.run(&Job {
        work: &work,
        unit: UnitOf::Step,
        cancel: cx.cancel,
        deadline: Some(time),
        limits: WorkLimits { memory_if_new: Some(memory), cpu: Some(time), ..WorkLimits::default() },
        // If the first attempt failed because of another document, the second one must not.
        alone: cx.input.attempt > 1,
        live: None,
        lock: None,
    });
    match done {
        Done::NotNow { reason, after } => {
            let outcome = Outcome::Interrupted { reason: reason.unwrap_or_default() };
            Ok(StepResult { again: Some(after), ..StepResult::ended(outcome) })
        }
        Done::Ran(ran) => {
            let result = ended(judge(cx, &dir, &ran, (memory, time)));
            Ok(with_content(result, again).with_stats(ran.certificate))
        }
    }
}

/// Adds the content that was actually read, if it differs from the submitted content. Later steps use it, and the
/// result is not cached for the old content.
fn with_content(mut result: StepResult, again: Option<Again>) -> StepResult {
    let Some(Again { item, file, guard }) = again else { return result };
    result.uncached = true;
    if let Some(Value::Object(value)) = &mut result.report.value {
        value.insert("item".to_string(), serde_json::to_value(&item).unwrap_or_default());
        result.files.push(file);
        result.guards.push(guard);
    }
    result
}

fn pool_spec(home: &Path, memory: Bytes) -> Result<PoolSpec, Outcome> {
    let command = command_of(NAME).map_err(|error| Outcome::permanent("not_startable", error))?;
    let mut env: Vec<(OsString, OsString)> = vec![("PATH".into(), "/usr/local/bin:/usr/bin:/bin".into())];
    // OCR looks for its program and its languages there.
    for name in ["PATH", "TESSDATA_PREFIX"] {
        if let Some(value) = env::var_os(name) {
            env.retain(|it| it.0 != name);
            env.push((name.into(), value));
        }
    }
    Ok(PoolSpec {
        name: "windlass/parse".to_string(),
        size: SIZE,
        limits: WorkerLimits { rss: Some(KEPT_MOST), fds: Some(200), age: Some(Millis::minutes(30)) },
        worker: WorkerSpec {
            command,
            dir: home.to_path_buf(),
            env,
            definition: "windlass/ingest".to_string(),
            handlers: vec![NAME.to_string()],
            address_space: Some(address_space(memory)),
            // It holds no state that would need an orderly shutdown.
            timeouts: Timeouts { grace: Millis(200), drain: Millis::seconds(2), ..Timeouts::default() },
        },
        timing: Timing { idle_most: Millis::minutes(1), ..Timing::default() },
    })
}

/// The address space of a parser for a document with this memory limit.
fn address_space(memory: Bytes) -> Bytes {
    Bytes(memory.0.saturating_add(OWN_ADDRESS_SPACE))
}

fn work(cx: &StepContext, request: &Request, dir: &Path, time: Millis) -> Result<protocol::Work, Outcome> {
    let item = serde_json::to_value(request).map_err(|error| Outcome::permanent("request", error.to_string()))?;
    let out = std::path::absolute(dir).map_err(|error| of_io("failed to find the directory of the step", &error))?;
    Ok(protocol::Work {
        group: cx.input.group.to_string(),
        run: cx.input.run.to_string(),
        step: cx.input.step.to_string(),
        attempt: cx.input.attempt,
        token: cx.input.token.0,
        handler: NAME.to_string(),
        item,
        out: out.to_string_lossy().into_owned(),
        deadline_ms: Some(time.0),
        ..protocol::Work::default()
    })
}

fn judge(cx: &StepContext, dir: &Path, ran: &Ran, (memory, time): Limits) -> Work {
    // A finished result is kept even if the worker is stopping.
    if cx.cancel.is_cancelled() && ran.outcome != Outcome::Succeeded {
        return Err(ran.outcome.clone());
    }
    match &ran.outcome {
        Outcome::Succeeded => parsed(cx, dir, ran),
        Outcome::TimedOut { .. } | Outcome::ResourceLimit { limit: ResourceLimit::CpuTime, .. } => {
            let message = format!("took longer than {time} to read; raise `parse.timeout` if needed");
            Err(Outcome::permanent("parse_timeout", message))
        }
        Outcome::ResourceLimit { limit: ResourceLimit::Memory, .. } => Err(too_much(memory)),
        Outcome::Crashed { signal: Some(signal), .. } => Err(crashed(ran, *signal, memory)),
        Outcome::Failed { kind, message, .. } if kind == NO_ROOM => Err(no_room(message.clone())),
        Outcome::Failed { kind, message, .. } if kind == "changed" => Err(Outcome::retryable(kind, message.as_str())),
        other => Err(other.clone()),
    }
}

/// If the parser had read no other document before, the same bytes would crash it again, so there is no second attempt.
/// Otherwise an earlier document may have caused the crash, and the next attempt gets a new parser. SIGKILL or SIGTERM
/// came from another process, perhaps from the kernel for lack of memory.
fn crashed(ran: &Ran, signal: i32, memory: Bytes) -> Outcome {
    let lines = &ran.certificate.last_lines;
    let own = [libc::SIGSEGV, libc::SIGABRT, libc::SIGBUS, libc::SIGILL, libc::SIGFPE, libc::SIGTRAP, libc::SIGSYS];
    match own.contains(&signal) {
        // Rust's messages for a stack overflow (each document has a new stack) and for an allocation beyond the limit
        // on address space.
        true if lines.contains("has overflowed its stack") => {
            Outcome::permanent("too_deep", "nested too deeply to be read")
        }
        true if ran.served > 0 => ran.outcome.clone(),
        // If the limit on this process is lower than the parser's own, the document is not at fault.
        true if lines.contains(OUT_OF_MEMORY)
            && limits::address_space().is_some_and(|it| it < address_space(memory)) =>
        {
            no_room(format!("the limit on address space leaves less than {} for its parser", address_space(memory)))
        }
        true if lines.contains(OUT_OF_MEMORY) => too_much(memory),
        true => {
            let message = format!("the parser crashed on this document (signal {signal})");
            Outcome::permanent("parser_crashed", message)
        }
        false => ran.outcome.clone(),
    }
}

fn too_much(memory: Bytes) -> Outcome {
    let message = format!("took more than {memory} of memory to read; raise `parse.memory` if needed");
    Outcome::permanent("parse_memory", message)
}

fn parsed(cx: &StepContext, dir: &Path, ran: &Ran) -> Work {
    let mut result = StepResult::succeeded(ran.value.clone());
    for (name, kind) in [(MARKDOWN, kind::MARKDOWN), (STRUCTURE, kind::JSON)] {
        let path = dir.join(name);
        let file = File::open(&path).map_err(|error| of_io("the parser left no text", &error))?;
        let put = cx.artifacts.put(file, kind).map_err(of_artifact)?;
        result.files.push((name.to_string(), put.artifact));
        result.guards.push(put.guard);
        // Free the disk space as early as possible, since the artifact is a copy.
        let _ = fs::remove_file(&path);
    }
    Ok(result)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{model::AttemptStats, process::Captured};

    #[test]
    fn a_crash_is_charged_to_a_document_only_where_no_other_can_have_caused_it() {
        let kind = |signal: i32, said: &str, served: u64| {
            let ran = Ran {
                outcome: Outcome::Crashed { signal: Some(signal), message: "crashed".to_string() },
                value: None,
                certificate: AttemptStats { last_lines: said.to_string(), ..AttemptStats::default() },
                served,
                clean: false,
                stdout: Captured::default(),
                stderr: Captured::default(),
                took: Millis(0),
            };
            match crashed(&ran, signal, Bytes::mib(64)) {
                Outcome::Failed { retryable: false, kind, message } => {
                    assert!(!message.is_empty());
                    kind
                }
                Outcome::Crashed { signal, .. } => format!("crashed {signal:?}"),
                other => panic!("{other:?}"),
            }
        };
        let table = [
            (libc::SIGSEGV, "", "parser_crashed", "crashed Some(11)"),
            (libc::SIGABRT, "free(): invalid pointer", "parser_crashed", "crashed Some(6)"),
            (libc::SIGABRT, "\nthread 'parse' has overflowed its stack\n", "too_deep", "too_deep"),
            (libc::SIGABRT, "memory allocation of 99999999999 bytes failed", "parse_memory", "crashed Some(6)"),
            (libc::SIGKILL, "", "crashed Some(9)", "crashed Some(9)"),
            (libc::SIGTERM, "memory allocation of 5 bytes failed", "crashed Some(15)", "crashed Some(15)"),
        ];
        for (signal, said, of_a_new_one, of_a_used_one) in table {
            assert_eq!(kind(signal, said, 0), of_a_new_one, "{signal} {said}");
            assert_eq!(kind(signal, said, 7), of_a_used_one, "{signal} {said}");
        }
    }
}
