//! A validated workflow definition, from which runs are made.

use super::{
    canonical::{canonical_json, digest, digest_of_text},
    children::ChildrenOf,
    concurrency::Concurrency,
    condition::Condition,
    error::{Error, Result},
    expression::Values,
    resources::Takes,
    template::Template,
    wait::Wait,
};
use crate::{
    decide::retry::{Backoff, RetryPolicy},
    model::{After, Bytes, CapacityOf, EventKind, Millis, WorkerLimits},
};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The variables of a command. `None` passes on the engine's own variable of that name.
pub type Env = BTreeMap<String, Option<Template>>;

/// A validated workflow. `needs` refer only to earlier steps.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Stored", into = "Stored")]
pub struct Definition {
    pub id: String,
    pub name: String,
    pub steps: Vec<StepDefinition>,
    pub hooks: BTreeMap<EventKind, Vec<HookDefinition>>,
    pub workers: BTreeMap<String, WorkerDefinition>,
    /// Groups with the same name do not overlap.
    pub concurrency: Option<Concurrency>,
    /// Whether the alerts in the settings apply to its groups.
    pub alerts: bool,
    /// The capacities of the resources that its steps take.
    pub capacity: CapacityOf,
    /// The steps that run after all runs of a group have ended, as a workflow of their own.
    pub collect: Option<Box<Definition>>,
    /// Whether it is such a workflow. Its steps see the results of the group's runs.
    pub collects: bool,
    successors: Vec<Vec<usize>>,
}

/// One step of a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StepDefinition {
    pub name: String,
    pub action: Action,
    /// Positions in `Definition::steps`, ascending and before this step's own.
    pub needs: Vec<usize>,
    /// The pool that runs it.
    pub step_type: String,
    /// Rendered at submit, so it may use only `item` and `params`.
    pub resource_key: Option<Template>,
    #[serde(default, skip_serializing_if = "Takes::is_empty")]
    pub takes: Takes,
    /// Attempts after the first.
    pub retries: u32,
    pub backoff: Backoff,
    pub timeout: Option<Millis>,
    pub max_crashes: u32,
    /// Passed to the step kind or worker. Its texts are templates (`render_json`).
    pub with: serde_json::Value,
    pub env: Env,
    /// Variables of the command that hold secrets, with the names of the secrets.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub secrets: BTreeMap<String, String>,
    /// Exit codes that a retry can't fix.
    pub permanent_exits: Vec<i32>,
    /// Whether results are cached. `None` leaves it to the step kind; commands and workers are cached only if true.
    pub cache: Option<bool>,
    /// Files and directories that the result depends on, rendered with `item` and `params`. `None` if not declared.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cache_files: Option<Vec<Template>>,
    pub limits: StepLimits,
    pub unit: Unit,
    /// What happens to processes that a command leaves behind.
    #[serde(default, skip_serializing_if = "Background::is_usual")]
    pub background: Background,
    /// Where its value is stored.
    #[serde(default, skip_serializing_if = "ValueForm::is_usual")]
    pub value: ValueForm,
    /// Evaluated when the step would start. If false, the step is skipped.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub when: Option<Condition>,
    #[serde(default, skip_serializing_if = "After::is_usual")]
    pub after: After,
    /// If it fails, neither the run nor its dependents fail.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub allow_failure: bool,
    /// It runs even if its group, its run or a step that it needs is cancelled.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub on_cancel_run: bool,
}

/// The runs that a step starts.
pub type Children = ChildrenOf<Definition>;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// A command, started for each attempt.
    Run(Command),
    /// A built-in step kind such as `windlass/store`.
    Uses(String),
    /// A unit of work for a long-lived worker process. `handler` defaults to the step's name.
    Worker { worker: String, handler: String },
    /// The step waits and holds no worker.
    Wait(Wait),
    /// The step starts a group of runs and waits for it.
    Children(Box<Children>),
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Command {
    /// Run by `/bin/sh -c`. Every `{{ }}` becomes one quoted word.
    Shell(Template),
    /// Program and arguments, without a shell. Never empty.
    Argv(Vec<Template>),
}

/// The resource limits of one attempt. `None` sets no limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct StepLimits {
    pub memory: Option<Bytes>,
    pub open_files: Option<u64>,
    pub cpu: Option<Millis>,
}

/// How many consecutive steps share state in one worker before it is asked to finalize.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Unit {
    #[default]
    Step,
    Run,
}

/// What happens to processes that a command leaves behind when it succeeds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Background {
    #[default]
    End,
    /// They keep running, even after the engine has ended.
    Allow,
}

/// Where the value of a step is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ValueForm {
    /// In the database, with a size limit.
    #[default]
    Inline,
    /// In the file `value` among its output files, without a size limit.
    File,
}

impl ValueForm {
    fn is_usual(&self) -> bool {
        *self == ValueForm::Inline
    }
}

impl Background {
    fn is_usual(&self) -> bool {
        *self == Background::End
    }
}

/// An action that runs at least once after an event is committed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct HookDefinition {
    pub name: String,
    pub action: Action,
    pub retries: u32,
    pub backoff: Backoff,
    pub timeout: Option<Millis>,
    pub with: serde_json::Value,
    pub env: Env,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub secrets: BTreeMap<String, String>,
    /// A literal, because there is no item when an event makes a hook due.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resource_key: Option<String>,
    /// How often its process may crash. `None`: the default of steps.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_crashes: Option<u32>,
}

/// A long-lived worker process.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct WorkerDefinition {
    /// Program and arguments, without templates.
    pub command: Vec<String>,
    /// How many processes, at least 1.
    pub size: u32,
    pub limits: WorkerLimits,
    /// From process start to its hello message. None: the engine's default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start_timeout: Option<Millis>,
    pub env: BTreeMap<String, Option<String>>,
}

/// Whether a stored definition still matches its hash.
pub fn is_as_stored(text: &str, hash: &[u8]) -> bool {
    digest_of_text(DOMAIN, text)[..] == *hash
}

/// Separates the hashes of definitions from other hashes.
const DOMAIN: &str = "windlass definition 1";

/// The form in which a definition is stored and hashed.
#[derive(Clone, Serialize, Deserialize)]
struct Stored {
    id: String,
    name: String,
    steps: Vec<StepDefinition>,
    /// By event name.
    hooks: BTreeMap<String, Vec<HookDefinition>>,
    workers: BTreeMap<String, WorkerDefinition>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    concurrency: Option<Concurrency>,
    #[serde(default = "yes", skip_serializing_if = "is_yes")]
    alerts: bool,
    #[serde(default, skip_serializing_if = "CapacityOf::is_empty")]
    capacity: CapacityOf,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    collect: Option<Box<Definition>>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    collects: bool,
}

fn yes() -> bool {
    true
}

fn is_yes(it: &bool) -> bool {
    *it
}

impl Definition {
    /// Builds a definition from validated parts. Steps must be in topological order.
    pub(super) fn new(
        id: String,
        name: String,
        steps: Vec<StepDefinition>,
        hooks: BTreeMap<EventKind, Vec<HookDefinition>>,
        workers: BTreeMap<String, WorkerDefinition>,
    ) -> Result<Definition> {
        let mut successors = vec![Vec::new(); steps.len()];
        for (no, step) in steps.iter().enumerate() {
            for need in &step.needs {
                if *need >= no {
                    let message = format!("step `{}` needs a step that is not before it", step.name);
                    return Err(Error::Stored { what: "definition", message });
                }
                successors[*need].push(no);
            }
        }
        Ok(Definition {
            id,
            name,
            steps,
            hooks,
            workers,
            concurrency: None,
            capacity: CapacityOf::default(),
            alerts: true,
            collect: None,
            collects: false,
            successors,
        })
    }

    /// Its capacities hold for what its steps start, and for the steps that run after all of its runs, unless these say otherwise.
    pub(super) fn share_capacity(&mut self) {
        let started = self.steps.iter_mut().filter_map(|it| match &mut it.action {
            Action::Children(children) => Some(&mut children.workflow),
            _ => None,
        });
        for inner in started.chain(self.collect.as_deref_mut()) {
            inner.capacity.add(&self.capacity);
            inner.share_capacity();
        }
    }

    /// Adds a step that needs no other step.
    pub(super) fn add_step(&mut self, step: StepDefinition) {
        self.steps.push(step);
        self.successors.push(Vec::new());
    }

    /// A workflow with one shell command that runs for each item, as `windlass run --each` submits it.
    pub fn of_command(id: &str, command: &str) -> Result<Definition> {
        let template = Template::parse(command)?;
        super::shell::check(&template, &[]).map_err(|(message, hint)| Error::Template {
            template: command.to_string(),
            message,
            hint: Some(hint.to_string()),
        })?;
        super::read::check_alone(&template)?;
        let step = StepDefinition::new("each", Action::Run(Command::Shell(template)));
        Definition::new(id.to_string(), id.to_string(), vec![step], BTreeMap::new(), BTreeMap::new())
    }

    /// The steps that need step `no`, ascending. Empty for an unknown number.
    #[cfg(any(test, feature = "internals"))]
    pub fn successors(&self, no: usize) -> &[usize] {
        self.successors.get(no).map_or(&[], Vec::as_slice)
    }

    /// Whether each step needs exactly the step before it, so that unmet needs need not be counted.
    #[cfg(any(test, feature = "internals"))]
    pub fn is_chain(&self) -> bool {
        let needs_the_one_before = |(no, step): (usize, &StepDefinition)| match no {
            0 => step.needs.is_empty(),
            _ => step.needs == [no - 1],
        };
        let plain = |it: &StepDefinition| it.after.is_usual() && !it.allow_failure && !it.on_cancel_run;
        self.steps.iter().all(plain) && self.steps.iter().enumerate().all(needs_the_one_before)
    }

    /// The version: SHA-256 over the canonical form. Files with the same meaning have the same hash.
    pub fn hash(&self) -> [u8; 32] {
        digest(DOMAIN, &serde_json::to_value(self).unwrap_or_default())
    }

    /// The version of each step for the step cache: a hash of what the step and, transitively, the steps that it needs
    /// do. Retries, step type and limits do not change a result and are left out.
    pub fn step_hashes(&self) -> Vec<[u8; 32]> {
        let mut hashes: Vec<[u8; 32]> = Vec::with_capacity(self.steps.len());
        for step in &self.steps {
            let worker = match &step.action {
                Action::Worker { worker, .. } => self.workers.get(worker).map(|it| (&it.command, &it.env)),
                _ => None,
            };
            let needs: Vec<String> = step.needs.iter().map(|need| hex::encode(hashes[*need])).collect();
            let mut what = serde_json::json!({
                "name": step.name, "action": step.action, "with": step.with, "env": step.env, "worker": worker,
                "needs": needs,
            });
            if !step.secrets.is_empty() {
                what["secrets"] = serde_json::json!(step.secrets);
            }
            if step.value == ValueForm::File {
                what["value"] = serde_json::json!(step.value);
            }
            hashes.push(digest("windlass step 1", &what));
        }
        hashes
    }

    /// For the database: canonical JSON, so that equal definitions are equal texts.
    pub fn to_json(&self) -> String {
        canonical_json(&serde_json::to_value(self).unwrap_or_default())
    }

    /// Reads what `to_json` wrote, if its hash is still the one that was stored with it.
    pub fn from_stored(text: &str, hash: &[u8]) -> Result<Definition> {
        if !is_as_stored(text, hash) {
            let message = "it was changed after it was submitted: its hash differs".to_string();
            return Err(Error::Stored { what: "definition", message });
        }
        serde_json::from_str(text).map_err(|error| Error::Stored { what: "definition", message: error.to_string() })
    }

    /// Whether another step needs the step of this name and can read its results.
    pub fn is_needed(&self, name: &str) -> bool {
        let no = self.steps.iter().position(|it| it.name == name);
        no.is_some_and(|no| !self.successors[no].is_empty())
    }

    /// Whether a step can end without completing while its dependents still run.
    pub fn is_conditional(&self) -> bool {
        self.steps.iter().any(|it| it.when.is_some() || !it.after.is_usual() || it.allow_failure || it.on_cancel_run)
    }
}

impl StepDefinition {
    /// A step without needs, with every setting at its default. Its type is its name.
    pub fn new(name: &str, action: Action) -> StepDefinition {
        StepDefinition {
            name: name.to_string(),
            action,
            needs: Vec::new(),
            step_type: name.to_string(),
            resource_key: None,
            takes: Takes::default(),
            retries: 0,
            backoff: Backoff::default(),
            timeout: None,
            max_crashes: 3,
            with: serde_json::Value::Null,
            env: BTreeMap::new(),
            secrets: BTreeMap::new(),
            permanent_exits: Vec::new(),
            cache: None,
            cache_files: None,
            limits: StepLimits::default(),
            unit: Unit::Step,
            background: Background::End,
            value: ValueForm::Inline,
            when: None,
            after: After::Success,
            allow_failure: false,
            on_cancel_run: false,
        }
    }

    pub fn retry_policy(&self) -> RetryPolicy {
        RetryPolicy { retries: self.retries, backoff: self.backoff, max_crashes: self.max_crashes }
    }

    /// The step alone: no condition, failures count, and cancelling ends it.
    pub(super) fn without_flow(self) -> StepDefinition {
        StepDefinition { when: None, after: After::Success, allow_failure: false, on_cancel_run: false, ..self }
    }
}

impl Command {
    /// Program and arguments, ready to start.
    pub fn argv(&self, values: &Values<'_>) -> Result<Vec<String>> {
        match self {
            Command::Shell(template) => Ok(vec!["/bin/sh".into(), "-c".into(), template.shell_render(values)?]),
            Command::Argv(templates) => templates.iter().map(|it| it.render(values)).collect(),
        }
    }

    pub fn templates(&self) -> &[Template] {
        match self {
            Command::Shell(template) => std::slice::from_ref(template),
            Command::Argv(templates) => templates,
        }
    }
}

impl TryFrom<Stored> for Definition {
    type Error = Error;

    fn try_from(stored: Stored) -> Result<Definition> {
        let hooks = stored.hooks.into_iter().map(|(name, hooks)| match EventKind::from_name(&name) {
            Some(kind) if kind.has_hooks() => Ok((kind, hooks)),
            _ => Err(Error::Stored { what: "definition", message: format!("`{name}` is not an event for hooks") }),
        });
        let hooks = hooks.collect::<Result<_>>()?;
        let (concurrency, capacity, alerts) = (stored.concurrency, stored.capacity, stored.alerts);
        let (collect, collects) = (stored.collect, stored.collects);
        Ok(Definition {
            concurrency,
            capacity,
            alerts,
            collect,
            collects,
            ..Definition::new(stored.id, stored.name, stored.steps, hooks, stored.workers)?
        })
    }
}

impl From<Definition> for Stored {
    fn from(it: Definition) -> Stored {
        let hooks = it.hooks.into_iter().map(|(event, hooks)| (event.name().to_string(), hooks)).collect();
        Stored {
            id: it.id,
            name: it.name,
            steps: it.steps,
            hooks,
            workers: it.workers,
            concurrency: it.concurrency,
            capacity: it.capacity,
            alerts: it.alerts,
            collect: it.collect,
            collects: it.collects,
        }
    }
}
