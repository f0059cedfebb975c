//! The trait of built-in step kinds, and their context.
//!
//! A kind never accesses the database: it reads its input, writes artifacts, and reports. It can therefore also run in
//! a child process.

use super::{
    error::{Error, Result, with_causes},
    outputs::{Collected, Until},
    work_dir::WorkDir,
    worker_pools::WorkerPools,
};
use crate::{
    artifact::{ArtifactStore, PutGuard},
    definition::{Definition, StepDefinition},
    model::{
        ArtifactHash, ArtifactRef, AttemptStats, GroupId, HookContext, Millis, Outcome, Report, RunId, StepId,
        StepState, Token,
    },
    os::{CancelToken, FileLock, LockState, ownership},
    settings::{self, Secret},
    store::{self, Store, output::Output},
};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::{collections::BTreeMap, fs::File, net::SocketAddr, path::PathBuf};

/// What to do about a missing secret.
pub(super) const NO_SECRET: &str = "write it to a file of this name in `secrets` in the home directory, with mode 600, or set the variable of this name";

/// The input of a step: ids for idempotency, its item and parameters, and the results of its predecessors.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct StepInput {
    pub group: GroupId,
    pub run: RunId,
    pub step: StepId,
    /// Counted from 1.
    pub attempt: u32,
    pub token: Token,
    /// A JSON string for a plain item.
    pub item: Value,
    pub params: Value,
    /// `with:` of the definition, rendered.
    pub with: Value,
    /// The results of all earlier steps in the run that have completed, by step name.
    pub inputs: BTreeMap<String, Output>,
    /// The statuses, such as `skipped`, of needed steps that did not complete, by name. Their value is null.
    #[serde(default)]
    pub unfinished: BTreeMap<String, String>,
    /// Files with one line of JSON for each child run of an earlier step, by the name of that step.
    #[serde(default)]
    pub children: BTreeMap<String, PathBuf>,
    /// The directory in which its commands start.
    pub directory: PathBuf,
    pub home: PathBuf,
    /// The directory with one file for each secret of the home.
    #[serde(default)]
    pub secrets: PathBuf,
    pub group_name: String,
    /// What the kind looked up for this attempt.
    #[serde(default)]
    pub looked_up: Value,
    /// The event of a hook. `group`, `run` and `step` are those of the event, or 0.
    #[serde(default)]
    pub hook: Option<HookContext>,
}

impl StepInput {
    /// The address of the home's daemon, if one runs.
    pub(super) fn daemon(&self) -> Option<SocketAddr> {
        let claim = self.home.join("engine.db.lock");
        if !matches!(FileLock::probe(&claim), Ok(LockState::Held)) {
            return None;
        }
        ownership::read_to_string(&self.home.join("serve.port")).ok()?.trim().parse().ok()
    }

    /// The secret with this name. If there is none, the error says what to do.
    pub(super) fn secret(&self, name: &str) -> Result<Secret> {
        match settings::secret_of_step(&self.secrets, name) {
            Ok(Some(secret)) => Ok(secret),
            Ok(None) => Err(Error::refused(format!("the secret `{name}` is not set"), Some(NO_SECRET))),
            Err(error) => {
                let hint = error.hint().map(|it| format!("; {it}")).unwrap_or_default();
                Err(Error::refused(format!("{}{hint}", with_causes(&error)), None))
            }
        }
    }

    /// The status of a needed step. `None`: it completed.
    pub(super) fn status_of(&self, step: &str) -> Option<&'static str> {
        let name = self.unfinished.get(step)?;
        StepState::ALL.iter().map(|it| it.name()).find(|it| it == name)
    }
}

/// Everything that a step kind can use.
pub struct StepContext<'a> {
    pub input: &'a StepInput,
    pub definition: &'a Definition,
    pub step: &'a StepDefinition,
    pub artifacts: &'a ArtifactStore,
    pub cancel: &'a CancelToken,
    /// The file lock of the step's resource key. A child that does keyed work inherits it.
    pub lock: Option<&'a File>,
    /// A directory for this attempt alone; created on demand, removed afterwards.
    pub work: &'a WorkDir,
    /// Processes for work that may crash, hang or use too much memory.
    pub pools: &'a WorkerPools,
}

/// The result of a kind. If the guards are dropped before the rows of the files are committed, a sweep can delete the
/// files.
#[derive(Debug)]
pub struct StepResult {
    pub report: Report,
    pub files: Vec<(String, ArtifactRef)>,
    /// Names of the executable files.
    pub executable: Vec<String>,
    /// Symbolic links by their names, each with its target, relative to its own directory.
    pub links: Vec<(String, String)>,
    pub guards: Vec<PutGuard>,
    pub logs: Vec<Printed>,
    /// If it was interrupted before it began: do not retry before this much time.
    pub again: Option<Millis>,
    /// What all runs of the group wait for, in words. The group is paused until it is available again.
    pub waits_for: Option<String>,
    /// Files of earlier steps that turned out to be damaged.
    pub damaged: Vec<ArtifactHash>,
    /// The result does not match its cache key and must not be reused.
    pub uncached: bool,
}

/// What an attempt printed: `stream` 1 stdout, 2 stderr.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Printed {
    pub stream: i64,
    pub total: u64,
    pub newest: Vec<u8>,
}

impl StepResult {
    pub fn of(report: Report) -> StepResult {
        StepResult {
            report,
            files: Vec::new(),
            executable: Vec::new(),
            links: Vec::new(),
            guards: Vec::new(),
            logs: Vec::new(),
            again: None,
            waits_for: None,
            damaged: Vec::new(),
            uncached: false,
        }
    }

    pub fn succeeded(value: Option<Value>) -> StepResult {
        StepResult::of(Report::succeeded(value))
    }

    pub fn ended(outcome: Outcome) -> StepResult {
        StepResult::of(Report::of(outcome))
    }

    /// A failure that no retry can fix. `kind` is a typed code, `message` is for people.
    pub fn permanent(kind: &str, message: impl Into<String>) -> StepResult {
        StepResult::ended(Outcome::permanent(kind, message))
    }

    pub fn retryable(kind: &str, message: impl Into<String>) -> StepResult {
        StepResult::ended(Outcome::retryable(kind, message))
    }

    /// Its input could not be prepared or, after it `ran`, its result could not be stored.
    pub(super) fn not_run(error: &Error, ran: bool) -> StepResult {
        StepResult::ended(error.outcome(ran))
    }

    /// Takes over the files that the step produced, or turns the error into a failure.
    pub(super) fn keep(&mut self, collected: Result<Collected>, until: Until) {
        match collected {
            Ok(left) => {
                (self.files, self.executable, self.links) = (left.files, left.executable, left.links);
                self.guards = left.guards;
            }
            Err(error) => self.report.outcome = until.outcome(&error),
        }
    }

    pub(super) fn panicked(panic: &(dyn std::any::Any + Send)) -> StepResult {
        let words = panic.downcast_ref::<&str>().map(|it| it.to_string());
        let words = words.or_else(|| panic.downcast_ref::<String>().cloned());
        let words = words.unwrap_or_else(|| "no message".into());
        StepResult::retryable("panic", format!("the step kind panicked: {words}"))
    }

    pub fn with_stats(mut self, certificate: AttemptStats) -> StepResult {
        self.report.certificate = certificate;
        self
    }
}

/// A kind of step.
pub trait StepKind: Send + Sync {
    /// Does the work of one attempt. Polls `cx.cancel` at least every 100 ms, or runs a child that can be killed.
    fn run(&self, cx: &StepContext) -> StepResult;

    /// Whether it can run in a child process, which has nothing of this process's state.
    fn can_run_in_child(&self) -> bool {
        true
    }

    /// Reads facts from the database that the attempt needs, as JSON. Called in the engine's process before each
    /// attempt. For a step with a resource key, its lock is held, so the facts stay true as long as every writer takes
    /// the lock.
    fn look_up(&self, _input: &StepInput, _store: &Store) -> store::Result<Value> {
        Ok(Value::Null)
    }

    /// A key for everything that the result depends on: equal keys mean equal results. None: never cached.
    fn cache_key(&self, _input: &StepInput) -> Option<[u8; 32]> {
        None
    }
}
