//! Durable hooks: run beside the steps, retried, their results stored.

use super::{
    attempt,
    consumer::ROOM_WAIT,
    error::{Result, with_causes},
    kind::command,
    step_kind::{StepContext, StepInput, StepResult},
    submit::item_value,
    work_dir::WorkDir,
    worker::Shared,
};
use crate::{
    decide::retry::wait,
    definition::{Action, StepDefinition},
    failpoint::{
        Failpoint, is_active,
        probe::{self, Window},
    },
    model::{KillIntent, Lease, Millis, Outcome, RunId, StepId},
    os::CancelToken,
    store::{self, hook, hook::HookEnd},
};
use serde_json::Value;
use std::{
    collections::BTreeMap,
    path::PathBuf,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

/// A wait without a ring ends after this, for hooks that became due meanwhile.
const LOOK: Duration = Duration::from_millis(500);
/// The same while the last steps end.
const LAST_LOOK: Duration = Duration::from_millis(20);

/// Until a hook is tried again for which there was no room.
const NO_ROOM: Millis = Millis::seconds(10);

pub(super) fn run(shared: &Arc<Shared>) {
    while !shared.is_draining() {
        let heard = shared.hook_notify.heard();
        match run_due(shared) {
            Ok(true) => continue,
            Ok(false) => {}
            Err(error) => tracing::warn!(%error, "failed to run hooks"),
        }
        if waits(shared) {
            shared.hook_notify.wait_for(heard, LOOK);
        } else {
            shared.hook_notify.wait(heard);
        }
    }
    finish(shared);
}

/// The running steps may end their groups: hooks that become due by that run before the worker ends.
fn finish(shared: &Arc<Shared>) {
    while !shared.interrupted.load(Ordering::Acquire) {
        let heard = shared.hook_notify.heard();
        let steps_run = shared.busy.load(Ordering::Acquire) > 0;
        match run_due(shared) {
            Ok(true) => {}
            Ok(false) if steps_run => {
                shared.hook_notify.wait_for(heard, LAST_LOOK);
            }
            Ok(false) | Err(_) => return,
        }
    }
}

fn waits(shared: &Shared) -> bool {
    shared.engine.store.read(|tx| hook::next_due(tx, shared.scope)).is_ok_and(|it| it.is_some())
}

/// Runs the hooks that are due; false when none was.
fn run_due(shared: &Shared) -> Result<bool> {
    let store = &shared.engine.store;
    let scope = shared.scope;
    let now = store.now();
    if store.read(|tx| hook::next_due(tx, scope))?.is_none_or(|due| due > now) {
        return Ok(false);
    }
    let worker = shared.id();
    let hooks = store.write(move |tx| hook::claim(tx, worker, scope, 1))?;
    let found = !hooks.is_empty();
    for due in hooks {
        let _inside = probe::inside(Window::Hook);
        if is_active(Failpoint::HookFirst) {
            settle(shared, &due, &HookEnd::Done(String::new()))?;
        }
        let end = run_one(shared, &due).unwrap_or_else(|error| match error.passes() {
            true => HookEnd::PutOff(shared.engine.store.now() + NO_ROOM, with_causes(&error)),
            false => HookEnd::Failed(error.to_string()),
        });
        settle(shared, &due, &end)?;
    }
    Ok(found)
}

/// Settles a hook, as long as the disk may stay full: while this worker is alive no other takes the hook over.
fn settle(shared: &Shared, due: &hook::Hook, end: &HookEnd) -> Result<()> {
    loop {
        let (due, end) = (due.clone(), end.clone());
        match shared.engine.store.write(move |tx| hook::settle(tx, &due, &end)) {
            Ok(_) => return Ok(()),
            Err(_) if shared.interrupted.load(Ordering::Acquire) => return Ok(()),
            Err(store::Error::DiskFull { .. }) => {
                shared.disk_low.store(true, Ordering::Relaxed);
                shared.engine.give_up_ballast();
                std::thread::sleep(ROOM_WAIT);
            }
            Err(store::Error::Busy { .. } | store::Error::Aborted) => {}
            Err(error) if error.passes() => std::thread::sleep(ROOM_WAIT),
            Err(error) => return Err(error.into()),
        }
    }
}

fn run_one(shared: &Shared, due: &hook::Hook) -> Result<HookEnd> {
    let engine = &shared.engine;
    let group = engine.catalog.group(&engine.store, due.group)?;
    let known = engine.catalog.definition(&engine.store, group.definition)?;
    let all = known.definition.hooks.iter().flat_map(|(event, hooks)| hooks.iter().map(move |it| (*event, it)));
    let Some((event, hook)) = all.into_iter().nth(due.no) else {
        return Ok(HookEnd::Failed("the definition has no such hook".into()));
    };
    let item = match due.run {
        Some(run) => engine.store.read(|tx| store::run::item(tx, run))?,
        None => None,
    };
    let step = StepDefinition { timeout: hook.timeout, ..StepDefinition::new(&hook.name, hook.action.clone()) };
    let input = StepInput {
        group: due.group,
        run: due.run.unwrap_or(RunId(0)),
        step: due.step.unwrap_or(StepId(0)),
        attempt: due.attempts as u32,
        token: due.token,
        item: item.as_deref().map(item_value).unwrap_or_default(),
        params: group.params.clone(),
        with: hook.with.clone(),
        inputs: BTreeMap::new(),
        directory: PathBuf::from(&group.directory),
        home: engine.options.home.clone(),
        group_name: group.name.clone(),
        looked_up: Value::Null,
    };
    let lease = Lease { step: input.step, token: due.token };
    let cancel = CancelToken::new();
    // Stopping the worker stops the hook too.
    shared.begin(lease, cancel.clone());
    if shared.interrupted.load(Ordering::Acquire) {
        cancel.cancel(KillIntent::Shutdown);
    }
    let work = WorkDir::of(&engine.options.home, shared.id(), lease);
    let cx = StepContext {
        input: &input,
        definition: &known.definition,
        step: &step,
        artifacts: &engine.artifacts,
        cancel: &cancel,
        lock: None,
        work: &work,
        pools: &shared.worker_pools,
    };
    let result = match &hook.action {
        Action::Run(words) => command::run_for_event(&cx, words, &hook.env, event.name()),
        Action::Uses(name) => match engine.kinds.get(name) {
            Some(kind) => attempt::here(&cx, &**kind),
            None => StepResult::permanent("unknown_kind", format!("unknown step kind `{name}` in this windlass")),
        },
        Action::Worker { .. } => StepResult::permanent("worker", "a hook can't be a worker"),
    };
    shared.attempts().remove(&lease);
    let outcome = result.report.outcome.bounded();
    Ok(match outcome {
        Outcome::Succeeded => HookEnd::Done(String::new()),
        Outcome::Interrupted { .. } => HookEnd::Released,
        Outcome::NoRoom { reason, .. } => HookEnd::PutOff(engine.store.now() + NO_ROOM, reason),
        Outcome::Failed { retryable: false, .. } => HookEnd::Failed(outcome.to_string()),
        outcome if (due.attempts as u32) <= hook.retries => {
            let again = engine.store.now() + wait(due.attempts.max(1) as u32, &hook.backoff, 0.5);
            HookEnd::RetryAt(again, outcome.to_string())
        }
        outcome => HookEnd::Failed(outcome.to_string()),
    })
}
