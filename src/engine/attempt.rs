//! One attempt: gathers the input of the step, runs its kind, and lets `decide` judge the report.

use super::{
    Engine,
    before::Before,
    cache, children, condition,
    error::Error,
    hooks,
    item::item_value,
    outer::{Outer, collected, own_children},
    resource_lock::{KeyGuard, StepKey},
    settlement,
    state::WorkerState,
    step_child,
    step_kind::{StepContext, StepInput, StepKind, StepResult},
    task::Task,
    waiting_step,
    work_dir::WorkDir,
};
use crate::{
    artifact::PutGuard,
    decide::{
        outcome::overrule,
        retry::{after_release, next_look},
    },
    definition::{Action, Children, Input, Values, render_json},
    engine::kind::{command, worker},
    failpoint::{
        Failpoint, is_active,
        probe::{self, Window},
    },
    model::{KillIntent, Outcome, Report, ResourceLimit, Timestamp},
    os::{CancelToken, Unpoisoned, threads},
    store::{self, Claimed, Settle, Settlement, input, output::Output},
};
use serde_json::Value;
use std::{
    borrow::Cow,
    collections::BTreeMap,
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
};

/// How to settle the step, and the guards that must live until the settlement is committed.
pub(super) struct Attempted {
    pub settlement: Settlement,
    pub guards: Vec<PutGuard>,
    pub key: Option<KeyGuard>,
    /// For the metrics. Empty if the step could not be read.
    pub step_type: String,
}

impl Attempted {
    fn bare(settlement: Settlement) -> Attempted {
        Attempted { settlement, guards: Vec::new(), key: None, step_type: String::new() }
    }
}

pub(super) fn run(state: &WorkerState, claimed: &Claimed, cancel: &CancelToken) -> Attempted {
    if let Some(reason) = &claimed.impossible {
        return Attempted::bare(impossible(reason));
    }
    let key = match claimed.key.map(|key| StepKey::take(state, claimed, key)) {
        None => None,
        Some(Ok(StepKey::Held(key))) => Some(key),
        Some(Ok(StepKey::Locked(reason))) => return Attempted::bare(blocked(state, claimed, reason)),
        Some(Ok(StepKey::Lost)) => {
            return Attempted::bare(release(state, claimed, "another process got its resource"));
        }
        Some(Err(error)) => return Attempted::bare(refuse(state, claimed, &error)),
    };
    let task = match gather(state, claimed) {
        Ok(task) => task,
        Err(error) => return Attempted { key, ..Attempted::bare(refuse(state, claimed, &error)) },
    };
    let step_type = task.known.definition.steps[task.row.no].step_type.clone();
    if task.row.recomputing {
        let otherwise = Box::new(Settlement::Release { due: claimed.due, record: None });
        let settlement = Settlement::Recompute { damaged: Vec::new(), otherwise };
        return Attempted { settlement, guards: Vec::new(), key, step_type };
    }
    if let Some(settlement) = condition::judge(claimed, &task) {
        return Attempted { settlement, guards: Vec::new(), key, step_type };
    }
    if let Action::Wait(wait) = &task.known.definition.steps[task.row.no].action {
        let settlement = waiting_step::begin(claimed, &task, wait);
        return Attempted { settlement, guards: Vec::new(), key, step_type };
    }
    let cache_key = cache::key(state, &task, cancel);
    if let Some(hit) =
        cache_key.filter(|_| !task.group.force && !task.row.begins).and_then(|it| cache::find(state, &it))
    {
        let settlement = Settlement::Cached { output: hit, record: None };
        return Attempted { settlement, guards: Vec::new(), key, step_type };
    }
    if claimed.group.is_of_hooks() && is_active(Failpoint::HookFirst) {
        let settlement = Settlement::Complete { output: None, cache_key: None, record: None };
        let _ = state.engine.store.settle(Settle { lease: claimed.lease, settlement, then: None });
    }
    if let Action::Children(children) = &task.known.definition.steps[task.row.no].action {
        let settlement = start_children(state, claimed, &task, children);
        return Attempted { settlement, guards: Vec::new(), key, step_type };
    }
    let mut result = execute(state, claimed, &task, cancel, key.as_ref());
    let guards = std::mem::take(&mut result.guards);
    learn(state, claimed, &result.report);
    if let Some(intent) = cancel.intent() {
        result.report.outcome = overrule(result.report.outcome, intent);
    }
    if let Some(reason) = result.waits_for.take() {
        pause_group(state, claimed, &reason);
    }
    let cache_key = cache_key.filter(|_| !result.uncached);
    let damaged = std::mem::take(&mut result.damaged);
    let cache_key = match result.report.outcome {
        Outcome::Succeeded => cache::confirm(state, &task, cache_key, cancel),
        _ => cache_key,
    };
    let settlement = settlement::judge(state, claimed, &task, result, cache_key);
    let settlement = match settlement {
        Settlement::Retry { .. } | Settlement::Fail { .. } if !damaged.is_empty() => {
            Settlement::Recompute { damaged, otherwise: Box::new(settlement) }
        }
        other => other,
    };
    Attempted { settlement, guards, key, step_type }
}

/// Pauses the group of a step that waits for something external, such as a server. Hooks don't pause their group.
fn pause_group(state: &WorkerState, claimed: &Claimed, reason: &str) {
    if claimed.group.is_of_hooks() {
        return;
    }
    if let Err(error) = state.engine.pause_group_for(claimed.group, reason) {
        tracing::warn!(%error, group = %claimed.group, "the group could not be paused");
    }
}

/// The results of earlier steps that templates can use before any file is written for them.
fn seen(
    inputs: &BTreeMap<String, Output>,
    unfinished: &BTreeMap<String, &'static str>,
    files: &BTreeMap<String, PathBuf>,
) -> BTreeMap<String, Input> {
    let input = |(name, it): (&String, &Output)| {
        let children = files.get(name).map(|it| it.to_string_lossy().into_owned());
        let (value, status) = (it.value.clone(), unfinished.get(name).copied());
        (name.clone(), Input { dir: None, value, status, children })
    };
    inputs.iter().map(input).collect()
}

/// Starts the child runs of a step. The step then waits for them, or fails if they can't be started.
fn start_children(state: &WorkerState, claimed: &Claimed, task: &Task, children: &Children) -> Settlement {
    let (artifacts, damage) = state.engine.artifacts.noting();
    let settlement = match children::start(&state.engine, claimed, task, children, &artifacts) {
        Ok(settlement) => settlement,
        Err(error) if children::passes(&error) => release(state, claimed, &error.to_string()),
        Err(error) => refuse(state, claimed, &error),
    };
    let damaged = damage.found();
    match damaged.is_empty() {
        true => settlement,
        false => Settlement::Recompute { damaged, otherwise: Box::new(settlement) },
    }
}

fn gather(state: &WorkerState, claimed: &Claimed) -> Result<Task, Error> {
    if claimed.group.is_of_hooks() { hooks::gather(state, claimed) } else { gather_step(state, claimed) }
}

fn gather_step(state: &WorkerState, claimed: &Claimed) -> Result<Task, Error> {
    let engine = &state.engine;
    let row = engine.store.read(|tx| input::read(tx, claimed.lease.step))?;
    let known = engine.catalog.definition(&engine.store, row.definition)?;
    let group = engine.catalog.group(&engine.store, claimed.group)?;
    let step = &known.definition.steps[row.no];
    let earlier: Vec<usize> = (0..row.no).collect();
    let outputs = match earlier.is_empty() {
        true => Vec::new(),
        false => engine.store.read(|tx| input::outputs(tx, row.first_step, &earlier))?,
    };
    let mut inputs: BTreeMap<String, _> = earlier
        .iter()
        .zip(outputs)
        .filter_map(|(no, output)| Some((known.definition.steps[*no].name.clone(), output?)))
        .collect();
    let before = Before::of(engine, &row, &known.definition)?;
    before.fill(&mut inputs);
    let mut unfinished: BTreeMap<String, &'static str> = before.unfinished.clone();
    let mut children = own_children(&known.definition, &row, claimed.group);
    inputs.extend(collected(engine, &known.definition, claimed.group)?);
    Outer::of(engine, &group, &known.definition, step)?.fill(&mut inputs, &mut unfinished, &mut children);
    let files = child_files(&WorkDir::root_of(&engine.options.home, state.id(), claimed.lease), children.keys());
    let item = item_value(&row.item);
    let mut values = Values {
        item: Some(Cow::Borrowed(&item)),
        params: Some(Cow::Borrowed(&group.params)),
        group: Some(claimed.group),
        run: Some(claimed.run),
        step: Some(claimed.lease.step),
        attempt: Some(claimed.attempt),
        token: Some(claimed.lease.token),
        inputs: seen(&inputs, &unfinished, &files),
        ..Values::default()
    };
    // A needed step has completed, even if it produced nothing.
    for need in step.needs.iter().filter_map(|it| known.definition.steps.get(*it)) {
        values.inputs.entry(need.name.clone()).or_default();
    }
    let with = match step.action {
        Action::Uses(_) | Action::Children(_) => render_json(&step.with, &values)?,
        Action::Wait(ref wait) => wait.render(&values)?.map_or(Value::Null, Value::from),
        _ => step.with.clone(),
    };
    let mut input = StepInput {
        group: claimed.group,
        run: claimed.run,
        step: claimed.lease.step,
        attempt: claimed.attempt,
        token: claimed.lease.token,
        item,
        params: group.params.clone(),
        with,
        inputs,
        children: files,
        unfinished: unfinished.iter().map(|(name, it)| (name.clone(), it.to_string())).collect(),
        directory: PathBuf::from(&group.directory),
        home: engine.options.home.clone(),
        secrets: engine.options.secrets.clone(),
        group_name: group.name.clone(),
        looked_up: Value::Null,
        hook: None,
    };
    if let Action::Uses(name) = &step.action
        && let Some(kind) = engine.kinds.get(name)
    {
        input.looked_up = kind.look_up(&input, &engine.store)?;
    }
    Ok(Task { known, group, row, input, before, children })
}

/// The files for the results of children, by the name of the step that started them.
fn child_files<'n>(root: &Path, names: impl Iterator<Item = &'n String>) -> BTreeMap<String, PathBuf> {
    let file = |name: &String| root.join("children").join(hex::encode(name)).with_extension("jsonl");
    names.map(|name| (name.clone(), file(name))).collect()
}

fn execute(
    state: &WorkerState,
    claimed: &Claimed,
    task: &Task,
    cancel: &CancelToken,
    key: Option<&KeyGuard>,
) -> StepResult {
    let engine = &state.engine;
    let step = &*condition::as_it_runs(task);
    let work = WorkDir::of(&engine.options.home, state.id(), claimed.lease);
    let (artifacts, damage) = engine.artifacts.noting();
    let cx = StepContext {
        input: &task.input,
        definition: &task.known.definition,
        step,
        artifacts: &artifacts,
        cancel,
        lock: key.map(KeyGuard::file),
        work: &work,
        pools: &state.worker_pools,
    };
    if let Err(error) = children::write_files(engine, task) {
        return StepResult::not_run(&error, false);
    }
    let _inside = probe::inside(if claimed.group.is_of_hooks() { Window::Hook } else { Window::Effect });
    let mut result = match &step.action {
        Action::Run(command) => command::run(&cx, command, &step.env),
        Action::Uses(name) => match engine.kinds.get(name) {
            Some(kind) => in_child(engine, &cx, &**kind, name, task.row.suspect).unwrap_or_else(|| here(&cx, &**kind)),
            None => StepResult::permanent("unknown_kind", format!("unknown step kind `{name}` in this windlass")),
        },
        Action::Worker { worker: name, handler } => worker::run(&cx, task.row.definition, name, handler),
        Action::Wait(_) => StepResult::permanent("wait", "a step that waits runs nothing"),
        Action::Children(_) => StepResult::permanent("children", "the step starts runs, so it does no work of its own"),
    };
    result.damaged.extend(damage.found());
    result
}

/// Runs a step alone in a child process if an engine died while running it. None: run it here.
fn in_child(engine: &Engine, cx: &StepContext, kind: &dyn StepKind, name: &str, suspect: bool) -> Option<StepResult> {
    let alone = suspect && kind.can_run_in_child();
    alone.then(|| step_child::run(engine, cx, name)).flatten()
}

/// Runs a kind in this process. It ends at its timeout, and a panic fails only this step.
pub(super) fn here(cx: &StepContext, kind: &dyn StepKind) -> StepResult {
    with_deadline(cx, || {
        catch_unwind(AssertUnwindSafe(|| kind.run(cx))).unwrap_or_else(|panic| StepResult::panicked(&*panic))
    })
}

/// Runs an in-process kind with the step's timeout. Such kinds poll the token, so we set our own deadline.
fn with_deadline(cx: &StepContext, run: impl FnOnce() -> StepResult) -> StepResult {
    let Some(timeout) = cx.step.timeout else { return run() };
    let done = CancelToken::new();
    let (watched, token) = (done.clone(), cx.cancel.clone());
    let started = threads::start("windlass-deadline", move || {
        if watched.wait(timeout.duration()).is_none() {
            token.cancel(KillIntent::Deadline(timeout));
        }
    });
    let watcher = match started {
        Ok(watcher) => watcher,
        // Without a deadline, the step could run for ever.
        Err(error) => {
            let reason = format!("no thread available to watch its timeout: {error}");
            return StepResult::ended(Outcome::NoRoom { reason, in_vain: false });
        }
    };
    let mut result = run();
    done.cancel(KillIntent::Shutdown);
    let _ = watcher.join();
    if let Some(intent @ KillIntent::Deadline(_)) = cx.cancel.intent() {
        result.report.outcome = overrule(result.report.outcome, intent);
    }
    result
}

/// Records the memory used by the attempt, if the engine learns. A step that was killed for memory reserves more the
/// next time.
fn learn(state: &WorkerState, claimed: &Claimed, report: &Report) {
    if !state.engine.options.learn {
        return;
    }
    let Some(peak) = report.certificate.peak_rss.and_then(|it| i64::try_from(it.0).ok()) else { return };
    state.peaks.lock().unpoisoned().push((claimed.step_type, peak));
    // The kernel kills with signal 9 when the machine runs out of memory.
    let killed = matches!(
        report.outcome,
        Outcome::ResourceLimit { limit: ResourceLimit::Memory, .. } | Outcome::Crashed { signal: Some(9), .. }
    );
    let step = claimed.lease.step;
    if killed && let Err(error) = state.engine.store.write(move |tx| store::learned::double(tx, step, peak)) {
        tracing::debug!(%error, %step, "how much memory it needs could not be noted");
    }
}

/// The step takes more of a resource than exists, because the capacity was lowered after the submission.
fn impossible(reason: &str) -> Settlement {
    let what = format!("{reason}: raise it in the settings or submit with a smaller request, then retry");
    let outcome = Outcome::permanent("resources", what).bounded();
    Settlement::Fail { crashed: false, record: settlement::record(&outcome, &Default::default(), Vec::new()) }
}

fn blocked(state: &WorkerState, claimed: &Claimed, reason: String) -> Settlement {
    let outcome = Outcome::Interrupted { reason };
    let tries = settlement::Tries::before(state, claimed, &outcome).and_one(&outcome);
    Settlement::Blocked { record: tries.record(&outcome, &Default::default(), Vec::new()) }
}

fn release(state: &WorkerState, claimed: &Claimed, reason: &str) -> Settlement {
    let due = after_release(claimed.due, state.engine.store.now());
    let outcome = Outcome::Interrupted { reason: reason.to_string() }.bounded();
    give_back(state, claimed, &outcome, due)
}

fn give_back(state: &WorkerState, claimed: &Claimed, outcome: &Outcome, due: Timestamp) -> Settlement {
    let tries = settlement::Tries::before(state, claimed, outcome).and_one(outcome);
    Settlement::Release { due, record: Some(tries.record(outcome, &Default::default(), Vec::new())) }
}

/// Defers a step that could not start because of a shortage, longer each time.
fn put_off(state: &WorkerState, claimed: &Claimed, outcome: &Outcome) -> Settlement {
    let before = settlement::Tries::before(state, claimed, outcome).all;
    let due = next_look(before, state.engine.store.now(), settlement::chance());
    give_back(state, claimed, outcome, due)
}

/// Settles a step whose input could not be read or locked. A temporary shortage is not its fault; anything else is a
/// failure.
fn refuse(state: &WorkerState, claimed: &Claimed, error: &Error) -> Settlement {
    match error {
        Error::Store(store::Error::NotFound { .. }) | Error::Definition(_) | Error::Refused { .. } => {
            let outcome = Outcome::permanent("input", error.to_string()).bounded();
            Settlement::Fail { crashed: false, record: settlement::record(&outcome, &Default::default(), Vec::new()) }
        }
        // A damaged database stays damaged, so the step would be claimed and released for ever.
        Error::Store(store::Error::Corrupt { .. }) => {
            state.fail(error);
            release(state, claimed, &error.to_string())
        }
        error => match error.no_room(false) {
            Some(outcome) => put_off(state, claimed, &outcome),
            None => release(state, claimed, &error.to_string()),
        },
    }
}
