//! Steps in Rust.

use crate::{
    artifact::PutGuard,
    assembly,
    engine::{self, Registry},
    model::{ArtifactRef, GroupId, RunId, StepId, Token},
};
use serde_json::Value;
use std::{
    fmt,
    io::{self, Read},
    path::PathBuf,
};

/// A kind of step, written in Rust. A workflow names it with `uses: NAME`.
///
/// A step kind never sees the database: it reads its input and returns a result, which the engine records once. After a
/// crash the attempt runs again, so its external effects should be idempotent; [`StepContext::token`] and
/// [`StepContext::run`] are good keys for them.
pub trait StepKind: Send + Sync {
    /// Does the work of one attempt.
    ///
    /// It runs on a thread of the worker. Long work should check [`StepContext::is_cancelled`] at least every 100 ms
    /// and return when it is true; the result is then ignored. A panic is an error, and the step is retried.
    fn run(&self, cx: &StepContext<'_>) -> StepResult;

    /// Whether it can run in a separate process, without access to this program's memory. If a step was running when
    /// its process crashed, its next attempt runs separately, so that it can't take anything else down. True by
    /// default.
    fn can_run_in_child(&self) -> bool {
        true
    }
}

/// The step kinds that an engine knows, by name.
#[derive(Clone)]
pub struct Kinds {
    pub(super) registry: Registry,
}

impl Kinds {
    /// The built-in kinds: commands, worker processes, `windlass/noop` and the like and, with the feature `ingest`,
    /// those for documents.
    pub fn builtin() -> Kinds {
        Kinds { registry: assembly::registry() }
    }

    /// Adds a kind under a name such as `example/words`, replacing an existing one of the same name.
    pub fn with(mut self, name: &str, kind: impl StepKind + 'static) -> Kinds {
        self.registry.register(name, Adapter(kind));
        self
    }
}

impl fmt::Debug for Kinds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.registry.names()).finish()
    }
}

/// The input of an attempt, and its access to the engine.
pub struct StepContext<'a> {
    inner: &'a engine::StepContext<'a>,
}

impl StepContext<'_> {
    /// The group, run and step of this attempt.
    pub fn ids(&self) -> (GroupId, RunId, StepId) {
        (self.inner.input.group, self.inner.input.run, self.inner.input.step)
    }

    /// The run: the same for all attempts of all steps of one item.
    pub fn run(&self) -> RunId {
        self.inner.input.run
    }

    /// The token of this attempt. No other attempt ever has the same.
    pub fn token(&self) -> Token {
        self.inner.input.token
    }

    /// Counted from 1.
    pub fn attempt(&self) -> u32 {
        self.inner.input.attempt
    }

    /// The item of the run: a JSON object if it was submitted as one, otherwise a string.
    pub fn item(&self) -> &Value {
        &self.inner.input.item
    }

    /// The parameters of the submission.
    pub fn params(&self) -> &Value {
        &self.inner.input.params
    }

    /// `with:` of the step, with its templates rendered.
    pub fn with(&self) -> &Value {
        &self.inner.input.with
    }

    /// The value of an earlier step of the run. `None` if the step is not before this one or has no value.
    pub fn input(&self, step: &str) -> Option<&Value> {
        self.inner.input.inputs.get(step)?.value.as_ref()
    }

    /// Opens a file of an earlier step of the run.
    ///
    /// # Errors
    ///
    /// There is no such step or file (`NotFound`), or the file is damaged or can't be read.
    pub fn open_file(&self, step: &str, name: &str) -> io::Result<impl Read + use<>> {
        let files = self.inner.input.inputs.get(step).map(|output| &output.files[..]).unwrap_or_default();
        let artifact = files.iter().find(|(own, _)| own == name).map(|(_, artifact)| artifact);
        let artifact =
            artifact.ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, format!("no file {step}/{name}")))?;
        self.inner.artifacts.get(artifact).map_err(io::Error::other)
    }

    /// Stores a file for later steps and for people. Pass the result to [`StepResult::with_file`].
    ///
    /// # Errors
    ///
    /// The disk is full, or reading `content` fails.
    pub fn keep(&self, content: impl Read) -> io::Result<Kept> {
        let put = self.inner.artifacts.put(content, "file").map_err(io::Error::other)?;
        Ok(Kept { artifact: put.artifact, guard: put.guard })
    }

    /// An empty directory for this attempt only. It is removed with its contents when the attempt ends.
    ///
    /// # Errors
    ///
    /// The directory can't be created.
    pub fn work_dir(&self) -> io::Result<PathBuf> {
        self.inner.work.create("work").map_err(io::Error::other)
    }

    /// Whether the attempt should stop: it was cancelled, its time is over, or the worker is stopping.
    pub fn is_cancelled(&self) -> bool {
        self.inner.cancel.intent().is_some()
    }
}

impl fmt::Debug for StepContext<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StepContext").field("step", &self.inner.input.step).finish_non_exhaustive()
    }
}

/// A stored file that is not part of a result yet. Created by [`StepContext::keep`].
#[derive(Debug)]
pub struct Kept {
    artifact: ArtifactRef,
    guard: PutGuard,
}

/// The result of an attempt.
#[derive(Debug)]
pub struct StepResult {
    inner: engine::StepResult,
}

impl StepResult {
    /// Success, with this value or none.
    pub fn succeeded(value: impl Into<Option<Value>>) -> StepResult {
        StepResult { inner: engine::StepResult::succeeded(value.into()) }
    }

    /// A temporary failure: the step is retried as often as its `retries` allows. `code` is a word for programs
    /// (`network`), `message` is for people.
    pub fn retryable(code: &str, message: impl Into<String>) -> StepResult {
        StepResult { inner: engine::StepResult::retryable(code, message) }
    }

    /// A permanent failure: a further attempt would not help.
    pub fn permanent(code: &str, message: impl Into<String>) -> StepResult {
        StepResult { inner: engine::StepResult::permanent(code, message) }
    }

    /// Adds a file to the result, under a relative name.
    pub fn with_file(mut self, name: impl Into<String>, file: Kept) -> StepResult {
        self.inner.files.push((name.into(), file.artifact));
        self.inner.guards.push(file.guard);
        self
    }
}

struct Adapter<K>(K);

impl<K: StepKind> engine::StepKind for Adapter<K> {
    fn run(&self, cx: &engine::StepContext) -> engine::StepResult {
        self.0.run(&StepContext { inner: cx }).inner
    }

    fn can_run_in_child(&self) -> bool {
        self.0.can_run_in_child()
    }
}
