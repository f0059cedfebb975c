//! `worker:` steps: a unit of work for a long-lived worker process.

use super::{
    command::{environment_passed_on, inputs, printed, render_env, values},
    value::{self, OUT},
};
use crate::{
    definition::{Action, Definition, StepDefinition, Unit, render_json},
    engine::{
        error::Result,
        outputs::Until,
        step_kind::{StepContext, StepResult},
        worker_pools::PoolKey,
    },
    model::{DefinitionId, Millis, Outcome},
    process::{
        exchange::WorkLimits,
        pool::{Done, Job, PoolSpec, Ran, Timing, UnitOf},
        protocol::{Work, WorkInput},
        worker::{Timeouts, WorkerSpec},
    },
};
use serde_json::Value;
use std::{env, path::Path};

/// Runs a step on a process of its worker's pool.
pub(crate) fn run(cx: &StepContext, definition: DefinitionId, worker: &str, handler: &str) -> StepResult {
    attempt(cx, definition, worker, handler).unwrap_or_else(|error| StepResult::not_run(&error, false))
}

fn attempt(cx: &StepContext, definition: DefinitionId, worker: &str, handler: &str) -> Result<StepResult> {
    let Some(spec) = pool_spec(cx, worker) else {
        let message = format!("the workflow has no worker `{worker}`");
        return Ok(StepResult::permanent("no_worker", message));
    };
    let key = PoolKey::Named { definition, worker: worker.to_string(), dir: cx.input.directory.clone() };
    let pool = cx.pools.pool(key, || spec)?;
    let out = cx.work.path(OUT);
    let work = work(cx, handler, &out)?;
    let limits = &cx.step.limits;
    let done = pool.run(&Job {
        work: &work,
        unit: unit(cx, worker),
        cancel: cx.cancel,
        deadline: cx.step.timeout,
        limits: WorkLimits {
            memory: limits.memory,
            open_files: limits.open_files,
            cpu: limits.cpu,
            ..WorkLimits::default()
        },
        alone: false,
        live: Some(cx.work.root()),
        lock: cx.lock,
    });
    match done {
        Done::NotNow { reason, after } => {
            let outcome = Outcome::Interrupted { reason: reason.unwrap_or_default() };
            Ok(StepResult { again: Some(after), ..StepResult::ended(outcome) })
        }
        Done::Ran(ran) => finish(cx, *ran),
    }
}

fn pool_spec(cx: &StepContext, worker: &str) -> Option<PoolSpec> {
    let definition = cx.definition.workers.get(worker)?;
    let mut env = environment_passed_on();
    env.push(("WINDLASS_HOME".into(), cx.input.home.clone().into()));
    env.extend(cx.input.daemon().map(|it| ("WINDLASS_URL".into(), format!("http://{it}").into())));
    for (name, value) in &definition.env {
        let value = value.clone().map(Into::into).or_else(|| env::var_os(name));
        env.retain(|it| it.0 != name.as_str());
        env.extend(value.map(|it| (name.into(), it)));
    }
    let mut handlers: Vec<String> = steps_of(cx.definition, worker).map(|(_, it)| handler_of(it).to_string()).collect();
    for hook in cx.definition.hooks.values().flatten() {
        if let Action::Worker { worker: its, handler } = &hook.action
            && its == worker
            && !handlers.contains(handler)
        {
            handlers.push(handler.clone());
        }
    }
    Some(PoolSpec {
        name: worker.to_string(),
        size: definition.size as usize,
        limits: definition.limits,
        worker: WorkerSpec {
            command: definition.command.iter().map(Into::into).collect(),
            dir: cx.input.directory.clone(),
            env,
            definition: cx.definition.id.clone(),
            handlers,
            address_space: None,
            timeouts: timeouts(definition.start_timeout),
        },
        timing: Timing::default(),
    })
}

/// A worker that is slow to start is also slow to load.
fn timeouts(start_timeout: Option<Millis>) -> Timeouts {
    let usual = Timeouts::default();
    match start_timeout {
        Some(time) => Timeouts { hello: time, load: usual.load.max(time), ..usual },
        None => usual,
    }
}

fn steps_of<'a>(definition: &'a Definition, worker: &str) -> impl Iterator<Item = (usize, &'a StepDefinition)> {
    let steps = definition.steps.iter().enumerate();
    steps.filter(move |(_, it)| matches!(&it.action, Action::Worker { worker: its, .. } if its == worker))
}

fn handler_of(step: &StepDefinition) -> &str {
    match &step.action {
        Action::Worker { handler, .. } => handler,
        _ => &step.name,
    }
}

/// The last step of a run that shares the unit ends it.
fn unit(cx: &StepContext, worker: &str) -> UnitOf {
    match cx.step.unit {
        Unit::Step => UnitOf::Step,
        Unit::Run => {
            let last = steps_of(cx.definition, worker).filter(|it| it.1.unit == Unit::Run).last();
            UnitOf::Run { run: cx.input.run, last: last.is_none_or(|it| it.1.name == cx.step.name) }
        }
    }
}

fn work(cx: &StepContext, handler: &str, out: &Path) -> Result<Work> {
    let inputs = inputs(cx, false)?;
    let mut values = values(cx.input, out, &inputs);
    values.env = render_env(&cx.step.env, &values)?;
    let with: Value = render_json(&cx.step.with, &values)?;
    let input = cx.input;
    Ok(Work {
        group: input.group.to_string(),
        run: input.run.to_string(),
        step: input.step.to_string(),
        attempt: input.attempt,
        token: input.token.0,
        handler: handler.to_string(),
        item: input.item.clone(),
        params: input.params.clone(),
        with,
        inputs: inputs
            .into_iter()
            .map(|(name, it)| (name, WorkInput { value: it.value, dir: it.dir, children: it.children }))
            .collect(),
        out: out.to_string_lossy().into_owned(),
        deadline_ms: cx.step.timeout.map(|it| it.0),
    })
}

fn finish(cx: &StepContext, ran: Ran) -> Result<StepResult> {
    let mut result = StepResult::ended(ran.outcome).with_stats(ran.certificate);
    result.logs = vec![printed(1, &ran.stdout), printed(2, &ran.stderr)];
    if result.report.outcome == Outcome::Succeeded {
        value::keep_returned(cx, &mut result, ran.value)?;
    }
    if result.report.outcome == Outcome::Succeeded {
        let until = Until::of(cx.cancel, cx.step.timeout, ran.took);
        result.keep(cx.work.collect(OUT, cx.artifacts, until), until);
    }
    Ok(result)
}
