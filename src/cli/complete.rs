//! Shell completion of ids, names and statuses. It only reads: it creates no home and skips what it can't read.

use super::{context::Context, output::Output};
use crate::{
    assembly,
    ingest::parameter_sets::all as parameter_sets_of,
    model::{GroupId, RunId, Status, StepId, WaitKind},
    store::{
        Store, definition,
        read::{self, GroupFilter, Numbered, StepDetails, WaitingFilter},
        resource_lock, schedule, step_type, worker,
    },
    view,
};
use clap_complete::{CompleteEnv, engine::CompletionCandidate};
use std::{ffi::OsStr, path::PathBuf};

/// Set by the scripts that `completions` prints.
pub const VARIABLE: &str = "_WINDLASS_COMPLETE";

/// The most ids of one kind to offer.
const IDS: usize = 50;
/// The most open groups to examine for each status.
const OPEN: usize = 1000;

/// Answers a shell's request for completions of the words of `command` and ends the process. Does nothing if there is no such
/// request.
pub fn answer(command: fn() -> clap::Command) {
    CompleteEnv::with_factory(command).var(VARIABLE).complete();
}

type Candidates = Vec<CompletionCandidate>;

/// The context of the home that the command line or environment names. None if it does not exist yet.
fn context() -> Option<Context> {
    let mut words = std::env::args_os().skip_while(|it| it != "--").skip(1);
    let mut home = None;
    while let Some(word) = words.next() {
        let word = word.to_string_lossy();
        match word.strip_prefix("--home") {
            Some("") => home = words.next().map(PathBuf::from),
            Some(rest) => home = rest.strip_prefix('=').map(PathBuf::from).or(home),
            None => (),
        }
    }
    let cx = Context::new(home, Output::new(false, true, false, false));
    let found = cx.home().ok()?;
    found.path.join(assembly::DATABASE).is_file().then_some(cx)
}

/// What `found` finds in the database, limited to entries that begin with the typed text.
fn of_store(current: &OsStr, found: impl Fn(&Store, &str) -> crate::store::Result<Candidates>) -> Candidates {
    let Some(typed) = current.to_str() else { return Vec::new() };
    let Some(cx) = context() else { return Vec::new() };
    let candidates = cx.store().ok().and_then(|store| found(store, typed).ok()).unwrap_or_default();
    cx.close();
    candidates.into_iter().filter(|it| it.get_value().to_string_lossy().starts_with(typed)).collect()
}

fn candidate(value: impl ToString, help: impl Into<String>) -> CompletionCandidate {
    let help = super::wording::cut(&super::wording::plain(&help.into()), 60);
    CompletionCandidate::new(value.to_string()).help((!help.is_empty()).then(|| help.into()))
}

/// Groups with an id that begins with the typed text; the newest if no number was typed.
fn groups_of(store: &Store, typed: &str, open: bool) -> crate::store::Result<Candidates> {
    let listed = |filter: GroupFilter| store.read(|tx| read::groups(tx, &filter));
    let mut rows = Vec::new();
    match (open, typed.strip_prefix('g').filter(|it| !it.is_empty())) {
        (true, _) => {
            for status in [Status::Running, Status::Waiting, Status::Error, Status::Pending] {
                // Entries that don't match the typed text are filtered out later, so none may be missing here.
                rows.extend(listed(GroupFilter { status: Some(status), limit: OPEN, ..GroupFilter::default() })?);
            }
        }
        (false, None) => rows = listed(GroupFilter { limit: IDS, ..GroupFilter::default() })?,
        (false, Some(digits)) => {
            for id in store.read(|tx| read::ids_beginning(tx, Numbered::Group, digits, IDS))? {
                rows.extend(listed(GroupFilter { before: Some(GroupId(id + 1)), limit: 1, ..GroupFilter::default() })?);
            }
        }
    }
    Ok(rows.into_iter().map(|it| candidate(it.id, format!("{} {}", it.status, it.name))).collect())
}

/// Runs with an id that begins with the typed text; the newest if no number was typed.
fn runs_of(store: &Store, typed: &str) -> crate::store::Result<Candidates> {
    let digits = typed.strip_prefix('r').unwrap_or(typed);
    store.read(|tx| {
        let ids = read::ids_beginning(tx, Numbered::Run, digits, IDS)?.into_iter();
        let runs = ids.filter_map(|id| read::show_run(tx, RunId(id)).ok()).map(|it| it.run);
        Ok(runs.map(|it| candidate(it.id, format!("{} {}", it.status, it.item))).collect())
    })
}

/// Steps with an id that begins with the typed text; the newest if no number was typed.
fn steps_of(store: &Store, typed: &str) -> crate::store::Result<Candidates> {
    let digits = typed.strip_prefix('s').unwrap_or(typed);
    store.read(|tx| {
        let ids = read::ids_beginning(tx, Numbered::Step, digits, IDS)?.into_iter();
        let steps = ids.filter_map(|id| read::show_step(tx, StepId(id)).ok());
        let said = |it: StepDetails| candidate(it.step.id, format!("{} {} {}", it.step.status, it.step.name, it.item));
        Ok(steps.map(said).collect())
    })
}

/// Ids of groups, runs and steps. Groups come first; the others are offered once their letter is typed.
fn work_of(store: &Store, typed: &str, open: bool) -> crate::store::Result<Candidates> {
    match typed.chars().next() {
        Some('r') => runs_of(store, typed),
        Some('s') => steps_of(store, typed),
        _ => groups_of(store, typed, open),
    }
}

pub fn groups(current: &OsStr) -> Candidates {
    of_store(current, |store, typed| groups_of(store, typed, false))
}

/// Open groups.
pub fn open_groups(current: &OsStr) -> Candidates {
    of_store(current, |store, typed| groups_of(store, typed, true))
}

pub fn runs(current: &OsStr) -> Candidates {
    of_store(current, runs_of)
}

/// A group, a run or a step.
pub fn work(current: &OsStr) -> Candidates {
    of_store(current, |store, typed| work_of(store, typed, false))
}

/// Steps that wait for an approval.
pub fn approvals(current: &OsStr) -> Candidates {
    of_store(current, |store, _| {
        let filter = WaitingFilter { kind: Some(WaitKind::Approval), limit: OPEN, ..WaitingFilter::default() };
        let waiting = store.read(|tx| read::waiting(tx, &filter))?;
        Ok(waiting.into_iter().map(|it| candidate(it.wait.step, it.wait.detail.ask)).collect())
    })
}

/// A group, run, step, worker or definition.
pub fn anything(current: &OsStr) -> Candidates {
    of_store(current, |store, typed| {
        let mut found = work_of(store, typed, false)?;
        found.extend(store.read(worker::list)?.iter().map(|it| candidate(it.id, "a worker")));
        found.extend(store.read(definition::list)?.iter().map(|it| candidate(&it.id, it.title.as_str())));
        Ok(found)
    })
}

/// What can be paused: a group, or a step type.
pub fn pausable(current: &OsStr) -> Candidates {
    of_store(current, |store, typed| {
        let mut found =
            if typed.is_empty() || typed.starts_with('g') { groups_of(store, typed, true)? } else { Vec::new() };
        found.extend(store.read(step_type::names)?.iter().map(|it| candidate(it, "a step type")));
        Ok(found)
    })
}

pub fn step_types(current: &OsStr) -> Candidates {
    of_store(current, |store, _| Ok(store.read(step_type::names)?.iter().map(|it| candidate(it, "")).collect()))
}

/// Resource keys that are currently held.
pub fn keys(current: &OsStr) -> Candidates {
    of_store(current, |store, _| Ok(store.read(resource_lock::list)?.iter().map(|it| candidate(&it.key, "")).collect()))
}

/// Schedules, by name.
pub fn schedules(current: &OsStr) -> Candidates {
    of_store(current, |store, _| Ok(store.read(schedule::all)?.iter().map(|it| candidate(&it.name, "")).collect()))
}

/// Vector databases of the home, by name.
pub fn databases(current: &OsStr) -> Candidates {
    let Some(typed) = current.to_str() else { return Vec::new() };
    let home = context().and_then(|cx| cx.home().ok());
    let named = home.and_then(|it| view::databases_of(&it.path).ok()).unwrap_or_default();
    named.iter().filter(|it| it.name.starts_with(typed)).map(|it| candidate(&it.name, "")).collect()
}

/// Parameter sets, by id.
pub fn parameter_sets(current: &OsStr) -> Candidates {
    let Some(typed) = current.to_str() else { return Vec::new() };
    let sets = context().and_then(|cx| parameter_sets_of(&cx.settings().ok()?.home).ok()).unwrap_or_default();
    sets.iter()
        .map(|it| &it.set)
        .filter(|it| it.id.starts_with(typed))
        .map(|it| candidate(&it.id, it.name.as_str()))
        .collect()
}

/// Names of settings.
pub fn settings(current: &OsStr) -> Candidates {
    let typed = current.to_string_lossy();
    let cx = Context::new(None, Output::new(false, true, false, false));
    let listed = cx.settings().map(|it| it.list()).unwrap_or_default();
    let named = listed.iter().filter(|it| it.name.starts_with(&*typed));
    named.map(|it| candidate(it.name, it.doc)).collect()
}

/// The statuses, in lower case.
pub fn statuses(current: &OsStr) -> Candidates {
    let typed = current.to_string_lossy().to_lowercase();
    let names = Status::ALL.iter().map(|it| it.name().to_lowercase());
    names.filter(|it| it.starts_with(&typed)).map(|it| candidate(it, "")).collect()
}
