//! Schedules: when each fires next, and the outcome of its last firings.

use super::error::Result;
use crate::{
    definition::watch::{FileWatch, Trigger},
    engine::{Engine, SKIPPED_FIRING as SKIPPED, times_of_schedule, trigger_of_schedule, watch_is_held},
    model::{FiringState, GroupId, Millis, Status, Timestamp},
    store::{
        definition,
        read::{self, GroupFilter},
        schedule::{self, FiringRow, ScheduleRow},
        watch,
    },
};
use serde::Serialize;

/// How many coming times and firings are shown.
const NEXT: usize = 5;
const LAST: usize = 10;

/// The outcome of a scheduled time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct FiringView {
    pub instant: Timestamp,
    pub state: FiringState,
    /// The group that it started. Null: none, or it has been pruned.
    pub group: Option<GroupId>,
    pub status: Option<Status>,
    /// When the outcome was recorded.
    pub at: Timestamp,
    /// Why it failed, or which times were missed.
    pub detail: String,
}

impl FiringView {
    /// Whether nothing was submitted because an earlier group has not ended, by `policy: skip`.
    pub fn skipped(&self) -> bool {
        self.state == FiringState::Started && self.detail.starts_with(SKIPPED)
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct ScheduleView {
    pub name: String,
    pub workflow: String,
    pub file: String,
    /// Its times as in its file, such as `0 2 * * * (Europe/Berlin)`; or its files, such as `*.pdf in /inbox`.
    pub times: String,
    pub paused: bool,
    /// When it fires next. Null: it is paused, waits for files, or can't fire.
    pub next: Option<Timestamp>,
    /// What it watches. Null: it has times.
    pub watch: Option<WatchView>,
    /// Its next times.
    pub upcoming: Vec<Timestamp>,
    /// How many times it has missed since it was added.
    pub missed: i64,
    /// The schedule's problem; empty if there is none.
    pub problem: String,
    /// Newest first.
    pub firings: Vec<FiringView>,
    pub created: Timestamp,
}

/// A directory in which files that come or change start the workflow.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct WatchView {
    pub directory: String,
    /// Patterns of names, of which one must match.
    #[serde(rename = "match")]
    pub patterns: Vec<String>,
    /// How long a file must be unchanged.
    #[schema(value_type = String)]
    pub settled: Millis,
    /// Whether files that were there when it was added count as having come.
    pub existing: bool,
    /// Files that are known: each started the workflow in its present version, or was there before.
    pub known: i64,
    /// Whether a process watches.
    pub watched: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct Schedules {
    pub schedules: Vec<ScheduleView>,
}

/// All schedules by name, each with its last firing and its next time.
pub fn schedules(engine: &Engine) -> Result<Schedules> {
    let rows = engine.store().read(schedule::all)?;
    let views = rows.into_iter().map(|row| view(engine, row, 1, 1));
    Ok(Schedules { schedules: views.collect::<Result<_>>()? })
}

/// One schedule with its next five times and its last ten firings.
pub fn show_schedule(engine: &Engine, name: &str) -> Result<ScheduleView> {
    let row = engine.store().read(|tx| schedule::get(tx, name))?;
    view(engine, row, NEXT, LAST)
}

fn view(engine: &Engine, row: ScheduleRow, next: usize, last: usize) -> Result<ScheduleView> {
    let store = engine.store();
    let firings = store.read(|tx| schedule::firings(tx, row.id, last))?;
    let workflow = store.read(|tx| definition::body(tx, row.definition))?;
    let workflow: serde_json::Value = serde_json::from_str(&workflow).unwrap_or_default();
    let watch = match trigger_of_schedule(&row) {
        Ok(Trigger::Files(files)) => watch_view(engine, &row, files)?,
        _ => None,
    };
    let (times, upcoming) = match times_of_schedule(&row) {
        _ if watch.is_some() => (watch.as_ref().map(WatchView::words).unwrap_or_default(), Vec::new()),
        Ok((spec, recurrence)) => {
            let from = Timestamp(row.cursor.0.max(store.now().0));
            let coming = std::iter::successors(recurrence.next_after(from), |it| recurrence.next_after(*it));
            (spec.words(), coming.take(if row.paused { 0 } else { next }).collect())
        }
        Err(error) => (error.to_string(), Vec::new()),
    };
    let firings = firings.into_iter().map(|it| firing_view(engine, it)).collect::<Result<_>>()?;
    Ok(ScheduleView {
        workflow: workflow["id"].as_str().unwrap_or_default().to_string(),
        name: row.name,
        file: row.file,
        times,
        paused: row.paused,
        next: row.due,
        watch,
        upcoming,
        missed: row.missed,
        problem: row.problem,
        firings,
        created: row.created,
    })
}

fn watch_view(engine: &Engine, row: &ScheduleRow, files: FileWatch) -> Result<Option<WatchView>> {
    let found = engine.store().read(|tx| {
        let Some((id, directory, _)) = watch::of_schedule(tx, row.id)? else { return Ok(None) };
        Ok(Some((id, directory, watch::count(tx, id)?)))
    })?;
    let Some((id, directory, known)) = found else { return Ok(None) };
    let FileWatch { patterns, settled, existing, .. } = files;
    Ok(Some(WatchView { directory, patterns, settled, existing, known, watched: watch_is_held(engine, id) }))
}

impl WatchView {
    /// As a person would say it: `*.pdf in /inbox`.
    fn words(&self) -> String {
        format!("{} in {}", self.patterns.join(", "), self.directory)
    }
}

/// Adds the status of the group that it started.
pub fn firing_view(engine: &Engine, row: FiringRow) -> Result<FiringView> {
    let before = row.group.map(|it| GroupId(it.0 + 1));
    let filter = GroupFilter { limit: 1, before, ..GroupFilter::default() };
    let found = match row.group {
        Some(_) => engine.store().read(|tx| read::groups(tx, &filter))?.pop(),
        None => None,
    };
    let found = found.filter(|it| Some(it.id) == row.group);
    Ok(FiringView {
        instant: row.instant,
        state: row.state,
        group: found.as_ref().map(|it| it.id),
        status: found.map(|it| it.status),
        at: row.at,
        detail: row.detail,
    })
}
