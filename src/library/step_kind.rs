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

/// A kind of step, written in Rust. `uses: NAME` in a workflow names it.
///
/// A kind never sees the database: it reads its input and hands back a result, which the engine records once. After a crash
/// an attempt runs again, so what it does outside should be harmless to repeat; [`StepContext::token`] and
/// [`StepContext::run`] are good names for such work.
pub trait StepKind: Send + Sync {
    /// Does the work of one attempt.
    ///
    /// It runs on a thread of the worker. Long work looks at [`StepContext::is_cancelled`] at least every 100 ms and returns
    /// when that is true; what it returns then does not count. A panic is an error that is retried.
    fn run(&self, cx: &StepContext<'_>) -> StepResult;

    /// Whether it can run in a process of its own, where nothing that this program has in memory is at hand. A step that was
    /// running when its process died runs so the next time, where it takes nothing else along. True unless said otherwise.
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
    /// The built-in ones: commands, worker processes, `windlass/noop` and its like, and with the feature `ingest` those for
    /// documents.
    pub fn builtin() -> Kinds {
        Kinds { registry: assembly::registry() }
    }

    /// Adds one under a name such as `example/words`; it replaces one of the same name.
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

/// What an attempt works with.
pub struct StepContext<'a> {
    inner: &'a engine::StepContext<'a>,
}

impl StepContext<'_> {
    /// The group, the run and the step that this is an attempt of.
    pub fn ids(&self) -> (GroupId, RunId, StepId) {
        (self.inner.input.group, self.inner.input.run, self.inner.input.step)
    }

    /// The run: the same for all attempts of all steps of one item.
    pub fn run(&self) -> RunId {
        self.inner.input.run
    }

    /// The token of this attempt: no other attempt ever has the same.
    pub fn token(&self) -> Token {
        self.inner.input.token
    }

    /// Counted from 1.
    pub fn attempt(&self) -> u32 {
        self.inner.input.attempt
    }

    /// The item of the run: a JSON object if it was submitted as one, else a string.
    pub fn item(&self) -> &Value {
        &self.inner.input.item
    }

    /// The parameters of the submission.
    pub fn params(&self) -> &Value {
        &self.inner.input.params
    }

    /// `with:` of the step, its templates filled in.
    pub fn with(&self) -> &Value {
        &self.inner.input.with
    }

    /// What an earlier step of the run produced; `None` if it is not before this one or produced nothing.
    pub fn input(&self, step: &str) -> Option<&Value> {
        self.inner.input.inputs.get(step)?.value.as_ref()
    }

    /// Opens a file that an earlier step of the run left.
    ///
    /// # Errors
    ///
    /// There is no such step or file (`NotFound`), or it is damaged or can't be read.
    pub fn open_file(&self, step: &str, name: &str) -> io::Result<impl Read + use<>> {
        let files = self.inner.input.inputs.get(step).map(|output| &output.files[..]).unwrap_or_default();
        let artifact = files.iter().find(|(own, _)| own == name).map(|(_, artifact)| artifact);
        let artifact =
            artifact.ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, format!("no file {step}/{name}")))?;
        self.inner.artifacts.get(artifact).map_err(io::Error::other)
    }

    /// Keeps a file with the result, for later steps and for people. Hand what this gives to [`StepResult::with_file`].
    ///
    /// # Errors
    ///
    /// No room on the disk, or what `content` answers.
    pub fn keep(&self, content: impl Read) -> io::Result<Kept> {
        let put = self.inner.artifacts.put(content, "file").map_err(io::Error::other)?;
        Ok(Kept { artifact: put.artifact, guard: put.guard })
    }

    /// An empty directory of this attempt alone. It is removed with everything in it when the attempt ends.
    ///
    /// # Errors
    ///
    /// It can't be made.
    pub fn work_dir(&self) -> io::Result<PathBuf> {
        self.inner.work.create("work").map_err(io::Error::other)
    }

    /// Whether the attempt is asked to stop: it was cancelled, its time is over, or the worker stops.
    pub fn is_cancelled(&self) -> bool {
        self.inner.cancel.intent().is_some()
    }
}

impl fmt::Debug for StepContext<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StepContext").field("step", &self.inner.input.step).finish_non_exhaustive()
    }
}

/// A file that is stored and not yet part of a result. Made by [`StepContext::keep`].
#[derive(Debug)]
pub struct Kept {
    artifact: ArtifactRef,
    guard: PutGuard,
}

/// What an attempt came to.
#[derive(Debug)]
pub struct StepResult {
    inner: engine::StepResult,
}

impl StepResult {
    /// It succeeded and produced this value, or nothing.
    pub fn succeeded(value: impl Into<Option<Value>>) -> StepResult {
        StepResult { inner: engine::StepResult::succeeded(value.into()) }
    }

    /// It failed in a way that may pass: it is tried again as often as `retries` of the step allows. `code` is a word for
    /// programs (`network`), `message` is for people.
    pub fn retryable(code: &str, message: impl Into<String>) -> StepResult {
        StepResult { inner: engine::StepResult::retryable(code, message) }
    }

    /// It failed for good: no further attempt would do better.
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
