//! A group, a run, a step or a definition in full.

use super::{
    error::{Error, Result},
    reason::reasons_of,
    wording::quoted,
    words,
    worker::workers,
};
use crate::{
    definition::{Action, Definition, Input, Values, masked, masked_text, shown_json, variables},
    engine::{Engine, item_value},
    model::{DefinitionId, GroupId, RunId, Status, StepId, Timestamp, nearest},
    store::{
        ReadTx, Store, definition, output,
        read::{self, Children, FailureKind, GroupDetails, RunDetails, StepDetails},
    },
};
use serde::Serialize;
use serde_json::Value;
use std::borrow::Cow;

/// The maximum number of failure kinds shown for a group.
const KINDS: usize = 20;

#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct GroupView {
    #[serde(flatten)]
    pub details: GroupDetails,
    /// Its status and progress, for people.
    pub words: String,
    /// What it waits for, for people; null while it runs and after it has ended.
    pub waits: Option<String>,
    /// The failures, with equal ones counted together; the most frequent first, at most 20 kinds.
    pub failure_kinds: Vec<FailureKind>,
}

#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct RunView {
    #[serde(flatten)]
    pub details: RunDetails,
    /// Its status and progress, for people.
    pub words: String,
}

#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct StepView {
    #[serde(flatten)]
    pub details: StepDetails,
    /// Its status and progress, for people.
    pub words: String,
    /// The command with its values filled in. Values that are unknown outside an attempt stay as `{{ }}`. Values from
    /// `env` and anything that looks like a secret are masked. Null if the definition can't be read.
    pub command: Option<String>,
    /// Names of the variables that its `env` sets.
    pub variables: Vec<String>,
    /// The step as in its workflow file; anything that looks like a secret is masked.
    pub step_definition: Value,
    /// The group that it started, for `for_each` and `workflow`.
    pub children: Option<Children>,
}

/// One version of a definition.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct DefinitionView {
    pub id: String,
    pub name: String,
    /// `d12` on the command line.
    pub number: DefinitionId,
    /// The version: SHA-256 over its canonical form.
    pub hash: String,
    pub created: Timestamp,
    /// As in a workflow file; anything that looks like a secret is masked.
    pub definition: Value,
}

pub fn show_group(store: &Store, id: GroupId) -> Result<GroupView> {
    let mut details = store.read(|tx| read::show_group(tx, id))?;
    details.params = masked(&details.params);
    let failure_kinds = match details.group.failed {
        0 => Vec::new(),
        _ => store.read(|tx| read::failure_kinds(tx, id, KINDS))?,
    };
    let workers = workers(store)?.workers;
    let (words, waits) = (words::of_group(&details.group, &workers), words::waits(&details.group, &workers));
    Ok(GroupView { details, words, waits, failure_kinds })
}

pub fn show_run(engine: &Engine, id: RunId) -> Result<RunView> {
    let details = engine.store().read(|tx| read::show_run(tx, id))?;
    let waiting = matches!(details.run.status, Status::Pending | Status::Waiting | Status::Error);
    let open = details.steps.iter().find(|it| waiting && !it.status.is_terminal());
    let reasons = open.map(|it| reasons_of(engine, it.id)).transpose()?.unwrap_or_default();
    Ok(RunView { words: words::of_run(&details, &reasons), details })
}

pub fn show_step(engine: &Engine, id: StepId) -> Result<StepView> {
    let (details, stored, inputs, children) = engine.store().read(|tx| {
        let mut details = read::show_step(tx, id)?;
        // Masked before anything is built from them.
        details.params = masked(&details.params);
        let stored = definition::of_id(tx, details.definition_id)?;
        let inputs = inputs(tx, &details)?;
        Ok((details, stored, inputs, read::children(tx, id)?))
    })?;
    let waiting = matches!(details.step.status, Status::Pending | Status::Waiting | Status::Error);
    let reasons = if waiting { reasons_of(engine, id)? } else { Vec::new() };
    let words = words::of_step(details.step.status, &reasons);
    let mut no = details.step.no as usize;
    let mut definition = Definition::from_stored(&stored.body, &stored.hash).ok();
    if let Some(hook) = &details.hook {
        definition = definition.and_then(|it| it.with_hook(hook.no));
        no = definition.as_ref().map_or(0, |it| it.steps.len() - 1);
    }
    let values = values(&details, inputs);
    let command = definition.as_ref().and_then(|it| command(it, no, &values));
    let step = definition.as_ref().and_then(|it| it.steps.get(no));
    Ok(StepView {
        variables: step.map(|it| variables(&it.env)).unwrap_or_default(),
        children,
        step_definition: match (&definition, &details.hook) {
            (Some(it), Some(hook)) => it.written_hook(hook.no),
            (Some(it), None) => it.written_step(no),
            (None, _) => Value::Null,
        },
        details,
        words,
        command,
    })
}

/// The outputs of the steps that it needs.
fn inputs(tx: &ReadTx, details: &StepDetails) -> crate::store::Result<Vec<(String, Input)>> {
    let input = |need: &read::StepNeed| {
        let value = output::of_step(tx, need.step)?.and_then(|it| it.value);
        // As its attempt sees them: an input that did not complete has the value null.
        let status = match need.status {
            Status::Skipped => Some("skipped"),
            Status::Failed => Some("failed"),
            Status::Cancelled => Some("cancelled"),
            _ => None,
        };
        Ok((need.name.clone(), Input { value, status, ..Input::default() }))
    };
    let done = |it: &&read::StepNeed| it.status.is_terminal();
    details.needs.iter().filter(done).map(input).collect()
}

/// The values of a step that are known outside of its attempts, whose directories are gone.
fn values(details: &StepDetails, inputs: Vec<(String, Input)>) -> Values<'static> {
    let last = details.attempts_all.last();
    Values {
        item: Some(Cow::Owned(item_value(&details.item))),
        params: Some(Cow::Owned(details.params.clone())),
        inputs: inputs.into_iter().collect(),
        group: Some(details.group),
        run: Some(details.hook.as_ref().map_or(details.run, |it| it.run.unwrap_or(RunId(0)))),
        step: Some(details.hook.as_ref().map_or(details.step.id, |it| it.step.unwrap_or(StepId(0)))),
        // The rest of what it was told is known only when it runs.
        hook: None,
        attempt: last.map(|it| it.n as u32),
        token: last.map(|it| it.token),
        ..Values::default()
    }
}

fn command(definition: &Definition, no: usize, values: &Values<'_>) -> Option<String> {
    let step = definition.steps.get(no)?;
    let with = match &step.with {
        Value::Null => String::new(),
        with => format!(" {}", masked(&shown_json(with, values))),
    };
    Some(match &step.action {
        Action::Run(command) => masked_text(&command.shown(values, quoted)),
        Action::Uses(kind) => format!("{kind}{with}"),
        Action::Wait(wait) => masked_text(&wait.shown(values)),
        Action::Worker { worker, handler } => {
            let words = definition.workers.get(worker).map(|it| it.command.iter().map(|it| quoted(it)));
            let program = words.map(|it| masked_text(&it.collect::<Vec<_>>().join(" "))).unwrap_or_default();
            format!("{handler}{with}  (worker {worker}: {program})")
        }
        Action::Children(children) => format!("{}{with}", children.shown()),
    })
}

/// The definition with this name or number (`d12`), or with a hash that begins with this text.
pub fn show_definition(store: &Store, text: &str) -> Result<DefinitionView> {
    let found = store.read(|tx| definition::find(tx, text))?;
    let version = match <[definition::Version; 1]>::try_from(found) {
        Ok([version]) => version,
        Err(found) => {
            let names = store.read(definition::list)?.into_iter().map(|it| it.id);
            let names: Vec<String> = names.collect();
            let meant = nearest(text, names.iter().map(String::as_str)).map(str::to_string);
            return Err(Error::NoDefinition { text: text.to_string(), many: !found.is_empty(), meant });
        }
    };
    let definition = Definition::from_stored(&version.body, &hex::decode(&version.hash).unwrap_or_default());
    let name = definition.as_ref().map_or_else(|_| version.name.clone(), |it| it.name.clone());
    // If this version can't read a definition, it is not shown, because it might contain secrets.
    let definition = definition.map_or(Value::Null, |it| it.written());
    let (number, hash, created) = (version.number, version.hash, version.created);
    Ok(DefinitionView { id: version.name, name, number, hash, created, definition })
}
