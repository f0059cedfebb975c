//! A workflow definition, validated: what a run is made from.

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

/// The variables of a command. `None` passes the engine's own variable of that name on.
pub type Env = BTreeMap<String, Option<Template>>;

/// A validated workflow. Steps stand in an order in which `needs` only point backwards.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Stored", into = "Stored")]
pub struct Definition {
    pub id: String,
    pub name: String,
    pub steps: Vec<StepDefinition>,
    pub hooks: BTreeMap<EventKind, Vec<HookDefinition>>,
    pub workers: BTreeMap<String, WorkerDefinition>,
    /// Its groups do not overlap with others of this name.
    pub concurrency: Option<Concurrency>,
    /// Whether the alerts of the settings tell of its groups.
    pub alerts: bool,
    /// How many units there are of what its steps take.
    pub capacity: CapacityOf,
    /// The steps that run once all runs of a group have ended, as a workflow of their own.
    pub collect: Option<Box<Definition>>,
    /// It is such a workflow: its steps see the results of the group's runs.
    pub collects: bool,
    successors: Vec<Vec<usize>>,
}

/// One stage of a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StepDefinition {
    pub name: String,
    pub action: Action,
    /// Positions in `Definition::steps`, ascending, all before this step's own.
    pub needs: Vec<usize>,
    /// The pool that runs it.
    pub step_type: String,
    /// Rendered at submit, so it may use `item` and `params` only.
    pub resource_key: Option<Template>,
    #[serde(default, skip_serializing_if = "Takes::is_empty")]
    pub takes: Takes,
    /// Attempts after the first.
    pub retries: u32,
    pub backoff: Backoff,
    pub timeout: Option<Millis>,
    pub max_crashes: u32,
    /// Passed to the step kind or worker; its texts are templates (`render_json`).
    pub with: serde_json::Value,
    pub env: Env,
    /// Variables of the command with the names of the secrets that they have.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub secrets: BTreeMap<String, String>,
    /// Exit codes that no retry can fix.
    pub permanent_exits: Vec<i32>,
    /// Whether results are remembered; `None` leaves it to the step kind. Commands and workers: only if true.
    pub cache: Option<bool>,
    /// Files and directories whose content the result depends on; rendered with `item` and `params`. `None`: not said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cache_files: Option<Vec<Template>>,
    pub limits: StepLimits,
    pub unit: Unit,
    /// What becomes of processes that a command leaves behind.
    #[serde(default, skip_serializing_if = "Background::is_usual")]
    pub background: Background,
    /// Where its value is kept.
    #[serde(default, skip_serializing_if = "ValueForm::is_usual")]
    pub value: ValueForm,
    /// Judged when it would start; false skips it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub when: Option<Condition>,
    #[serde(default, skip_serializing_if = "After::is_usual")]
    pub after: After,
    /// Its failure fails neither the run nor the steps that need it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub allow_failure: bool,
    /// It runs although its group, its run or a step that it needs is cancelled.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub on_cancel_run: bool,
}

/// What a step starts that has runs of its own.
pub type Children = ChildrenOf<Definition>;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// A command, started for this attempt.
    Run(Command),
    /// A built-in step kind such as `windlass/store`.
    Uses(String),
    /// A unit of work for a long-lived worker process. `handler` defaults to the step's name.
    Worker { worker: String, handler: String },
    /// Nothing runs: the step waits, and holds no worker meanwhile.
    Wait(Wait),
    /// Runs of their own, in a group of their own, for which the step waits.
    Children(Box<Children>),
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Command {
    /// For `/bin/sh -c`. Every `{{ }}` becomes one quoted word.
    Shell(Template),
    /// Program and arguments, no shell. Never empty.
    Argv(Vec<Template>),
}

/// What one attempt may use. `None` sets no limit.
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

/// What becomes of processes that a command leaves behind when it succeeds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Background {
    #[default]
    End,
    /// They keep running, even after the engine has ended.
    Allow,
}

/// Where the value of a step is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ValueForm {
    /// In the database, of a bounded size.
    #[default]
    Inline,
    /// In the file `value` among its output files, of any size.
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

/// Something to run when an event was committed, at least once.
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
    /// As it is: there is no item when an event makes a hook due.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resource_key: Option<String>,
    /// How often its process may crash. `None`: the default of steps.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_crashes: Option<u32>,
}

/// A long-lived worker process.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct WorkerDefinition {
    /// Program and arguments, as they are.
    pub command: Vec<String>,
    /// How many processes, at least 1.
    pub size: u32,
    pub limits: WorkerLimits,
    /// From its start to its hello; None: the engine's own patience.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start_timeout: Option<Millis>,
    pub env: BTreeMap<String, Option<String>>,
}

/// Whether a stored definition still has the hash that it was stored under.
pub fn is_as_stored(text: &str, hash: &[u8]) -> bool {
    digest_of_text(DOMAIN, text)[..] == *hash
}

/// What keeps the hashes of definitions apart from other hashes.
const DOMAIN: &str = "windlass definition 1";

/// The form in which a definition is stored and hashed.
#[derive(Clone, Serialize, Deserialize)]
struct Stored {
    id: String,
    name: String,
    steps: Vec<StepDefinition>,
    /// By the name of the event.
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
    /// Puts a validated definition together. Steps must stand in topological order.
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

    /// Adds a step that needs no other.
    pub(super) fn add_step(&mut self, step: StepDefinition) {
        self.steps.push(step);
        self.successors.push(Vec::new());
    }

    /// A workflow of one shell command, run for each item: what `windlass run --each` submits.
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

    /// The steps that need step `no`, ascending. Empty for a number that is none.
    #[cfg(any(test, feature = "internals"))]
    pub fn successors(&self, no: usize) -> &[usize] {
        self.successors.get(no).map_or(&[], Vec::as_slice)
    }

    /// Whether each step needs exactly the one before, so that nothing has to be counted.
    #[cfg(any(test, feature = "internals"))]
    pub fn is_chain(&self) -> bool {
        let needs_the_one_before = |(no, step): (usize, &StepDefinition)| match no {
            0 => step.needs.is_empty(),
            _ => step.needs == [no - 1],
        };
        let plain = |it: &StepDefinition| it.after.is_usual() && !it.allow_failure && !it.on_cancel_run;
        self.steps.iter().all(plain) && self.steps.iter().enumerate().all(needs_the_one_before)
    }

    /// The version: SHA-256 over the canonical form. Two files that mean the same have the same hash.
    pub fn hash(&self) -> [u8; 32] {
        digest(DOMAIN, &serde_json::to_value(self).unwrap_or_default())
    }

    /// The version of each step for the step cache: over what it does and what the steps that it needs do, transitively.
    /// How often it is retried, where it runs and within which limits does not change its result, so is left out.
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

    /// Whether another step needs the one of this name, so that it can read what that left.
    pub fn is_needed(&self, name: &str) -> bool {
        let no = self.steps.iter().position(|it| it.name == name);
        no.is_some_and(|no| !self.successors[no].is_empty())
    }

    /// Whether a step can end otherwise than completed while those that need it go on.
    pub fn is_conditional(&self) -> bool {
        self.steps.iter().any(|it| it.when.is_some() || !it.after.is_usual() || it.allow_failure || it.on_cancel_run)
    }
}

impl StepDefinition {
    /// A step with every setting at its default, its type its name, and no needs.
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

    /// The step on its own: it has no condition, its failure counts, and a cancel ends it.
    pub(super) fn without_flow(self) -> StepDefinition {
        StepDefinition { when: None, after: After::Success, allow_failure: false, on_cancel_run: false, ..self }
    }
}

impl Command {
    /// Program and arguments, ready to be started.
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
            _ => Err(Error::Stored { what: "definition", message: format!("`{name}` is no event for hooks") }),
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
