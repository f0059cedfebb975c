//! The input of a hook. In every other respect a hook is a step.

use super::{
    Engine,
    before::Before,
    error::{Error, Result},
    item::item_value,
    state::WorkerState,
    step_kind::StepInput,
    task::Task,
};
use crate::{
    decide::status,
    definition::{Action, Values, render_json},
    model::{HookContext, RunId, Scope, Status, StepId},
    store::{
        self, Claimed, attempt,
        group::{self, GroupDetail},
        hook::{self, Hook},
        input,
        read::{self, FailureKind},
        schedule,
    },
};
use serde_json::Value;
use std::{borrow::Cow, collections::BTreeMap, path::PathBuf, sync::Arc};

/// How many hooks run at once by default.
pub(super) const PLACES: usize = 2;

/// The most kinds of failures in `group.reasons`.
const REASONS: usize = 5;

/// Reads the event of a hook and its part of the workflow.
pub(super) fn gather(state: &WorkerState, claimed: &Claimed) -> Result<Task> {
    let engine = &state.engine;
    let (row, hook) = engine.store.read(|tx| {
        let id = claimed.lease.step;
        Ok((input::read(tx, id)?, hook::of_step(tx, id)?.ok_or_else(|| store::Error::not_found(id))?))
    })?;
    let known = engine.catalog.hook(&engine.store, hook.definition, hook.no)?;
    let known = known.ok_or_else(|| Error::refused("the definition has no such hook".to_string(), None))?;
    let no = known.definition.steps.len() - 1;
    let row = input::Input { definition: hook.definition, no, ..row };
    let (group, context) = match hook.group.0 {
        0 => of_schedule(engine, &hook)?,
        _ => (engine.catalog.group(&engine.store, hook.group)?, of_group(engine, &hook)?),
    };
    let item = match hook.run {
        Some(run) => engine.store.read(|tx| store::run::item(tx, run))?,
        None => None,
    };
    let mut input = StepInput {
        group: hook.group,
        run: hook.run.unwrap_or(RunId(0)),
        step: hook.step.unwrap_or(StepId(0)),
        attempt: claimed.attempt,
        token: claimed.lease.token,
        item: item.as_deref().map(item_value).unwrap_or_default(),
        params: group.params.clone(),
        with: known.definition.steps[no].with.clone(),
        inputs: BTreeMap::new(),
        unfinished: BTreeMap::new(),
        children: BTreeMap::new(),
        directory: PathBuf::from(&group.directory),
        home: engine.options.home.clone(),
        secrets: engine.options.secrets.clone(),
        group_name: group.name.clone(),
        looked_up: Value::Null,
        hook: Some(context),
    };
    if let Action::Uses(name) = &known.definition.steps[no].action {
        input.with = render_json(&input.with, &values(&input))?;
        if let Some(kind) = engine.kinds.get(name) {
            input.looked_up = kind.look_up(&input, &engine.store)?;
        }
    }
    Ok(Task { known, group, row, input, before: Before::default(), children: BTreeMap::new() })
}

/// The current state of the group, and why it, its run or its step failed.
fn of_group(engine: &Engine, hook: &Hook) -> Result<HookContext> {
    Ok(engine.store.read(|tx| {
        let end = group::end(tx, hook.group)?;
        let detail = group::detail(tx, hook.group)?;
        let status = match end.ended {
            Some(_) => status::ended(end.failed > 0, end.cancelled > 0),
            None => Status::Running,
        };
        let reasons = match (hook.step, hook.run) {
            (Some(step), _) => attempt::last_reason(tx, step)?.unwrap_or_default(),
            (None, Some(run)) => read::show_run(tx, run)?.run.reason.unwrap_or_default(),
            (None, None) if end.failed > 0 => reasons(read::failure_kinds(tx, hook.group, REASONS)?),
            (None, None) => String::new(),
        };
        let (event, status) = (hook.event.clone(), status.name().to_string());
        Ok(HookContext { event, name: detail.name, status, failed: end.failed, total: detail.runs, reasons })
    })?)
}

/// Distinct reasons with the number of runs, most frequent first.
fn reasons(kinds: Vec<FailureKind>) -> String {
    let mut found: Vec<(String, i64)> = Vec::new();
    for kind in kinds {
        match found.iter_mut().find(|it| it.0 == kind.reason) {
            Some((_, runs)) => *runs += kind.runs,
            None => found.push((kind.reason, kind.runs)),
        }
    }
    let text = |(reason, runs): &(String, i64)| match runs {
        1 => format!("{reason} (1 run)"),
        runs => format!("{reason} ({runs} runs)"),
    };
    found.iter().map(text).collect::<Vec<_>>().join("; ")
}

/// A schedule, presented as a group.
fn of_schedule(engine: &Engine, hook: &Hook) -> Result<(Arc<GroupDetail>, HookContext)> {
    let row = engine.store.read(|tx| schedule::of_id(tx, hook.subject))?;
    let context = HookContext {
        event: hook.event.clone(),
        name: row.name.clone(),
        reasons: row.problem,
        ..HookContext::default()
    };
    let detail = GroupDetail {
        id: hook.group,
        definition: row.definition,
        name: row.name,
        params: serde_json::from_str(&row.params).unwrap_or_default(),
        directory: row.directory,
        priority: row.priority,
        force: false,
        runs: 0,
        scope: Scope::Everything,
        created: row.created,
        weight: 1,
        parent: None,
    };
    Ok((Arc::new(detail), context))
}

fn values(input: &StepInput) -> Values<'_> {
    Values {
        item: Some(Cow::Borrowed(&input.item)),
        params: Some(Cow::Borrowed(&input.params)),
        group: Some(input.group).filter(|it| it.0 > 0),
        run: Some(input.run),
        step: Some(input.step),
        attempt: Some(input.attempt),
        token: Some(input.token),
        hook: input.hook.as_ref().map(Cow::Borrowed),
        ..Values::default()
    }
}
