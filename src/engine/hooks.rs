//! Durable hooks: run beside the steps, retried, their results stored.

use super::{
    attempt,
    error::{Result, with_causes},
    item::item_value,
    kind::command,
    state::{ROOM_WAIT, WorkerState},
    step_kind::{StepContext, StepInput, StepResult},
    work_dir::WorkDir,
};
use crate::{
    decide::hook::{Verdict, after_attempt, after_shortage},
    definition::{Action, StepDefinition},
    failpoint::{
        Failpoint, is_active,
        probe::{self, Window},
    },
    model::{Lease, RunId, StepId},
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

pub(super) fn run(state: &Arc<WorkerState>) {
    while !state.is_draining() {
        let heard = state.hook_notify.heard();
        match run_due(state) {
            Ok(true) => continue,
            Ok(false) => {}
            Err(error) => tracing::warn!(%error, "failed to run hooks"),
        }
        if waits(state) {
            state.hook_notify.wait_for(heard, LOOK);
        } else {
            state.hook_notify.wait(heard);
        }
    }
    finish(state);
}

/// The running steps may end their groups: hooks that become due by that run before the worker ends.
fn finish(state: &Arc<WorkerState>) {
    while !state.interrupted.load(Ordering::Acquire) {
        let heard = state.hook_notify.heard();
        let steps_run = state.busy.load(Ordering::Acquire) > 0;
        match run_due(state) {
            Ok(true) => {}
            Ok(false) if steps_run => {
                state.hook_notify.wait_for(heard, LAST_LOOK);
            }
            Ok(false) | Err(_) => return,
        }
    }
}

fn waits(state: &WorkerState) -> bool {
    state.engine.store.read(|tx| hook::next_due(tx, state.scope)).is_ok_and(|it| it.is_some())
}

/// Runs the hooks that are due; false when none was.
fn run_due(state: &WorkerState) -> Result<bool> {
    let store = &state.engine.store;
    let scope = state.scope;
    let now = store.now();
    if store.read(|tx| hook::next_due(tx, scope))?.is_none_or(|due| due > now) {
        return Ok(false);
    }
    let worker = state.id();
    let hooks = store.write(move |tx| hook::claim(tx, worker, scope, 1))?;
    let found = !hooks.is_empty();
    for due in hooks {
        let _inside = probe::inside(Window::Hook);
        if is_active(Failpoint::HookFirst) {
            settle(state, &due, &HookEnd::Done(String::new()))?;
        }
        let end = run_one(state, &due).unwrap_or_else(|error| match error.passes() {
            true => ended(after_shortage(&with_causes(&error), state.engine.store.now())),
            false => HookEnd::Failed(error.to_string()),
        });
        settle(state, &due, &end)?;
    }
    Ok(found)
}

/// Settles a hook, as long as the disk may stay full: while this worker is alive no other takes the hook over.
fn settle(state: &WorkerState, due: &hook::Hook, end: &HookEnd) -> Result<()> {
    loop {
        let (due, end) = (due.clone(), end.clone());
        match state.engine.store.write(move |tx| hook::settle(tx, &due, &end)) {
            Ok(_) => return Ok(()),
            Err(_) if state.interrupted.load(Ordering::Acquire) => return Ok(()),
            Err(store::Error::DiskFull { .. }) => {
                state.disk_low.store(true, Ordering::Relaxed);
                state.engine.give_up_ballast();
                std::thread::sleep(ROOM_WAIT);
            }
            Err(store::Error::Busy { .. } | store::Error::Aborted) => {}
            Err(error) if error.passes() => std::thread::sleep(ROOM_WAIT),
            Err(error) => return Err(error.into()),
        }
    }
}

fn run_one(state: &WorkerState, due: &hook::Hook) -> Result<HookEnd> {
    let engine = &state.engine;
    let group = engine.catalog.group(&engine.store, due.group)?;
    let known = engine.catalog.definition(&engine.store, due.definition.unwrap_or(group.definition))?;
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
        unfinished: BTreeMap::new(),
        directory: PathBuf::from(&group.directory),
        home: engine.options.home.clone(),
        group_name: group.name.clone(),
        looked_up: Value::Null,
    };
    let lease = Lease { step: input.step, token: due.token };
    let cancel = CancelToken::new();
    // Stopping the worker stops the hook too.
    state.begin(lease, cancel.clone());
    let work = WorkDir::of(&engine.options.home, state.id(), lease);
    let cx = StepContext {
        input: &input,
        definition: &known.definition,
        step: &step,
        artifacts: &engine.artifacts,
        cancel: &cancel,
        lock: None,
        work: &work,
        pools: &state.worker_pools,
    };
    let result = match &hook.action {
        Action::Run(words) => command::run_for_event(&cx, words, &hook.env, event.name()),
        Action::Uses(name) => match engine.kinds.get(name) {
            Some(kind) => attempt::here(&cx, &**kind),
            None => StepResult::permanent("unknown_kind", format!("unknown step kind `{name}` in this windlass")),
        },
        Action::Worker { .. } | Action::Wait(_) => StepResult::permanent("worker", "a hook can't be a worker"),
    };
    state.attempts().remove(&lease);
    let outcome = result.report.outcome.bounded();
    let now = engine.store.now();
    Ok(ended(after_attempt(&outcome, due.attempts as u32, hook.retries, &hook.backoff, now)))
}

/// The verdict, as the store writes it.
fn ended(verdict: Verdict) -> HookEnd {
    match verdict {
        Verdict::Done => HookEnd::Done(String::new()),
        Verdict::Release => HookEnd::Released,
        Verdict::PutOff { due, reason } => HookEnd::PutOff(due, reason),
        Verdict::RetryAt { due, reason } => HookEnd::RetryAt(due, reason),
        Verdict::Fail { reason } => HookEnd::Failed(reason),
    }
}
