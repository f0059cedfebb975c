//! Runs a built-in kind in a process of its own: this program, started again for one step.
//!
//! A step that was running when an engine died may have killed it. Its next attempt runs here, where a crash harms
//! nothing else, and only crashes here count.

use super::{
    error::{Error, Result, with_causes},
    handle::{Engine, Registry},
    step_kind::{Printed, StepContext, StepInput, StepKind, StepResult},
    work_dir::WorkDir,
    worker_pools::WorkerPools,
};
use crate::{
    artifact::{ArtifactOptions, ArtifactStore},
    definition::{Definition, StepDefinition},
    embed,
    model::{ArtifactHash, ArtifactRef, AttemptStats, ExitStatus, Millis, Outcome, Report},
    observe::NoMetrics,
    os::{CancelToken, Shortage, regular_file, spawn::inherited_file, stderr},
    process::{self, ChildEnd, ChildSpec, Stdin, program},
};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::{
    env, fs,
    io::{self, Read},
    os::fd::OwnedFd,
    panic::{AssertUnwindSafe, catch_unwind},
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

/// The first argument that makes this program run one step.
const WORD: &str = "__step";
const ANSWER: &str = "answer.json";
/// The exit code of a child that could not answer, for lack of resources or because of another system fault. Neither is
/// a crash.
const NO_ROOM: i32 = 75;
const NO_ANSWER: i32 = 74;
/// Rust's message for an allocation that the system refused.
const OUT_OF_MEMORY: &str = "memory allocation of";
/// Values are limited where they are made; this is far more.
const ANSWER_MAX: u64 = 256 << 20;

static CHECKS_ROLE: AtomicBool = AtomicBool::new(false);

#[derive(Serialize, Deserialize)]
struct Request {
    kind: String,
    input: StepInput,
    definition: Definition,
    step: StepDefinition,
    artifacts: PathBuf,
    keys: embed::Keys,
    options: ArtifactOptions,
    /// The step's own directory.
    work: PathBuf,
    /// The file lock of its resource key is inherited as descriptor 3.
    locked: bool,
}

#[derive(Serialize, Deserialize)]
enum Answer {
    Ended(Box<Ended>),
    /// This program has no such kind; the parent program has registered it.
    Unknown,
}

#[derive(Serialize, Deserialize)]
struct Ended {
    outcome: Outcome,
    value: Option<Value>,
    certificate: AttemptStats,
    files: Vec<(String, ArtifactRef)>,
    executable: Vec<String>,
    links: Vec<(String, String)>,
    logs: Vec<Printed>,
    again: Option<Millis>,
    damaged: Vec<ArtifactHash>,
}

/// If this process was started to run a step, runs it and returns the exit code. `kinds` creates the registry of the
/// program. Call this at the start of `main`, after the shim. Without this call, suspect steps run in the engine's
/// process like all others.
pub fn run_if_asked(kinds: impl FnOnce() -> Registry) -> Option<i32> {
    CHECKS_ROLE.store(true, Ordering::Relaxed);
    if env::args_os().nth(1)? != WORD {
        return None;
    }
    Some(match serve(&kinds()) {
        Ok(()) => 0,
        Err(error) => {
            stderr::say(with_causes(&error));
            if error.shortage().is_some() { NO_ROOM } else { NO_ANSWER }
        }
    })
}

fn serve(kinds: &Registry) -> Result<()> {
    let io = |action, path: &'static str| move |source| Error::Io { action, path: path.into(), source };
    let mut text = Vec::new();
    io::stdin().read_to_end(&mut text).map_err(io("read", "the request"))?;
    let request: Request = serde_json::from_slice(&text).map_err(io::Error::from).map_err(io("read", "the request"))?;
    embed::use_keys(request.keys.clone());
    let answer = match kinds.get(&request.kind) {
        None => Answer::Unknown,
        Some(kind) => Answer::Ended(Box::new(work(&request, &**kind)?)),
    };
    let answer = serde_json::to_vec(&answer).map_err(io::Error::from).map_err(io("write", ANSWER))?;
    fs::write(ANSWER, answer).map_err(io("write", ANSWER))
}

fn work(request: &Request, kind: &dyn StepKind) -> Result<Ended> {
    let store = ArtifactStore::open(&request.artifacts, request.options.clone(), &super::handle::process_tag());
    let (artifacts, damage) = store?.noting();
    let lock = request.locked.then(|| inherited_file(3));
    let work = WorkDir::at(request.work.clone());
    let pools = WorkerPools::new(Arc::new(NoMetrics));
    let cx = StepContext {
        input: &request.input,
        definition: &request.definition,
        step: &request.step,
        artifacts: &artifacts,
        // To stop it, end this process.
        cancel: &CancelToken::new(),
        lock: lock.as_ref(),
        work: &work,
        pools: &pools,
    };
    let result = catch_unwind(AssertUnwindSafe(|| kind.run(&cx))).unwrap_or_else(|panic| StepResult::panicked(&*panic));
    pools.close();
    let StepResult { report, files, executable, links, logs, again, .. } = result;
    let Report { outcome, value, certificate } = report;
    Ok(Ended { outcome, value, certificate, files, executable, links, logs, again, damaged: damage.found() })
}

/// Runs a built-in kind in a child. None: the kind can't run there and must run here.
pub(super) fn run(engine: &Engine, cx: &StepContext, name: &str) -> Option<StepResult> {
    match attempt(engine, cx, name) {
        Ok(result) => result,
        Err(error) => Some(StepResult::not_run(&error, false)),
    }
}

fn attempt(engine: &Engine, cx: &StepContext, name: &str) -> Result<Option<StepResult>> {
    // A program that does not call `run_if_asked` would start its own work instead.
    if program::is_this_program() && !CHECKS_ROLE.load(Ordering::Relaxed) {
        return Ok(None);
    }
    let Ok(program) = program::program() else { return Ok(None) };
    let dir = cx.work.create("child")?;
    let request = Request {
        kind: name.to_string(),
        input: cx.input.clone(),
        definition: cx.definition.clone(),
        step: cx.step.clone(),
        artifacts: engine.artifacts.dir().to_path_buf(),
        keys: embed::keys(),
        options: engine.artifacts.options().clone(),
        work: cx.work.create("inner")?,
        locked: cx.lock.is_some(),
    };
    let text = serde_json::to_vec(&request).map_err(|error| Error::refused(error.to_string(), None))?;
    let mut spec = ChildSpec::new(vec![program.into(), WORD.into()], dir.clone());
    spec.stdin = Stdin::Bytes(text);
    spec.env = env::vars_os().collect();
    spec.limits.memory = cx.step.limits.memory;
    spec.limits.open_files = cx.step.limits.open_files;
    spec.limits.cpu = cx.step.limits.cpu;
    spec.limits.wall = cx.step.timeout;
    if let Some(lock) = cx.lock {
        let copy = lock.try_clone();
        let lock = copy.map_err(|source| Error::Io { action: "share the lock with", path: dir.clone(), source })?;
        spec.kept_fds.push(OwnedFd::from(lock));
    }
    // Protects its artifacts from sweeps until their rows are committed here.
    let guard = engine.artifacts.hold()?;
    let end = process::run(&spec, cx.cancel);
    let mut result = match answer(&dir, &end) {
        Ok(Some(Answer::Unknown)) => return Ok(None),
        Ok(Some(Answer::Ended(ended))) => ended.into_result(),
        Ok(None) => died(&end),
        Err(source) => StepResult::not_run(&Error::Io { action: "read the answer in", path: dir, source }, true),
    };
    result.guards.push(guard);
    Ok(Some(result))
}

/// None: the child left no answer. An error: this can't be checked now.
fn answer(dir: &std::path::Path, end: &ChildEnd) -> io::Result<Option<Answer>> {
    if end.intent.is_some() || end.exit != Some(ExitStatus::Code(0)) {
        return Ok(None);
    }
    let mut text = Vec::new();
    match regular_file::open(&dir.join(ANSWER)).and_then(|it| it.take(ANSWER_MAX).read_to_end(&mut text)) {
        Err(error) if Shortage::of(&error).is_some() => Err(error),
        read => Ok(read.ok().and_then(|_| serde_json::from_slice(&text).ok())),
    }
}

impl Ended {
    fn into_result(self) -> StepResult {
        let report = Report { outcome: self.outcome, value: self.value, certificate: self.certificate };
        StepResult {
            files: self.files,
            executable: self.executable,
            links: self.links,
            logs: self.logs,
            again: self.again,
            damaged: self.damaged,
            ..StepResult::of(report)
        }
    }
}

/// The child left no answer, because we stopped it, because it could not write one, or because it died.
fn died(end: &ChildEnd) -> StepResult {
    let last_lines = end.stderr.last_lines(200);
    let no_room = |what: &str| Outcome::NoRoom { reason: format!("{what}: {}", last_lines.trim()), in_vain: true };
    let outcome = match (process::outcome(end, &[]), end.exit) {
        (Outcome::Failed { .. }, Some(ExitStatus::Code(NO_ROOM))) if end.start_error.is_none() => {
            no_room("its answer could not be stored")
        }
        (Outcome::Failed { .. }, Some(ExitStatus::Code(NO_ANSWER))) if end.start_error.is_none() => {
            Outcome::retryable("io", last_lines.trim())
        }
        (Outcome::Crashed { signal: Some(libc::SIGABRT), .. }, _) if last_lines.contains(OUT_OF_MEMORY) => {
            no_room("it was refused memory")
        }
        (Outcome::Succeeded | Outcome::Failed { .. }, Some(ExitStatus::Code(code))) if end.start_error.is_none() => {
            let message = format!("crashed: exit code {code} without a message: {}", last_lines.trim());
            Outcome::Crashed { signal: None, message }
        }
        (outcome, _) => outcome,
    };
    let printed = |stream, captured| super::kind::command::printed(stream, captured);
    let mut result = StepResult::ended(outcome).with_stats(process::attempt_stats(end));
    result.logs = vec![printed(1, &end.stdout), printed(2, &end.stderr)];
    result
}
