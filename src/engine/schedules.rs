//! Fires schedules, in each process whose worker takes every group, but each instant only once.
//!
//! The submit key of a firing is `schedule:NAME@INSTANT`. So the submission finds the existing group after a crash
//! between submission and record, in a second process at the same moment, or after the clock was set back.

use super::{
    Engine, Submission,
    error::{Error, Result, with_causes},
    items_from::{check_size, lines, listed, matching},
    state::WorkerState,
    watch as folders,
};
use crate::{
    decide::schedule::{self as rule, Firings, MOST},
    definition::{
        Definition,
        recurrence::{self, Recurrence},
        schedule::{ItemsFrom, Schedule},
        watch::Trigger,
    },
    failpoint::{Failpoint, is_active},
    model::{FiringState, GroupId, Kind, Millis, Status, Timestamp},
    observe::Counter,
    store::{
        self, WriteTx, group, output,
        read::{self, RunFilter},
        schedule::{self, FiringRow, NewSchedule, ScheduleRow},
        watch,
    },
};
use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

/// How many schedules fire in one round.
const AT_ONCE: usize = 100;
/// When a firing that failed because of a shortage is tried again.
const AGAIN: Millis = Millis::seconds(10);
/// What the detail of a firing begins with if `policy: skip` skipped it because an earlier group has not ended.
pub const SKIPPED: &str = "skipped: ";
/// The file written by a command that lists items.
const ITEMS: &str = "items";

/// A workflow that starts automatically.
#[derive(Debug, Clone)]
pub struct ScheduledWorkflow {
    pub name: String,
    pub definition: Definition,
    pub trigger: Trigger,
    pub items_from: Option<ItemsFrom>,
    pub params: serde_json::Value,
    /// The directory in which its commands start, and to which paths in `items_from` are relative.
    pub directory: String,
    /// The workflow file, for people.
    pub file: String,
    pub priority: i64,
    pub weight: i64,
}

pub(super) fn run(state: &Arc<WorkerState>) {
    loop {
        let heard = state.schedule_notify.heard();
        if state.is_draining() {
            return;
        }
        let again = match state.engine.fire_due_schedules() {
            Ok(more) => more.then_some(Millis(0)),
            Err(error) => {
                tracing::warn!(error = %with_causes(&error), "schedules could not be fired");
                Some(AGAIN)
            }
        };
        match again {
            Some(wait) => drop(state.schedule_notify.wait_for(heard, wait.duration())),
            None => state.schedule_notify.wait(heard),
        }
    }
}

impl Engine {
    /// Fires the schedules that are due. True: there may be more.
    ///
    /// # Errors
    ///
    /// The database can't be used, or a resource is short. Due schedules fire later.
    pub fn fire_due_schedules(&self) -> Result<bool> {
        // What another process submits may never be whole, if it dies. It keeps no other schedule from firing.
        let mut submitted_elsewhere = None;
        let mut pass = |done: Result<()>| match done {
            Err(error) if error.kind() == Kind::Conflict => {
                submitted_elsewhere = Some(error);
                Ok(())
            }
            done => done,
        };
        for (row, firing) in self.store.read(schedule::collecting)? {
            pass(self.start_collected(&row, &firing))?;
        }
        let now = self.store.now();
        let due = self.store.read(|tx| schedule::due(tx, now, AT_ONCE))?;
        for row in &due {
            pass(self.fire_schedule(row, now))?;
        }
        match submitted_elsewhere {
            Some(error) => Err(error),
            None => Ok(due.len() == AT_ONCE),
        }
    }

    /// Adds a schedule, or replaces the one with the same name. True: it is new.
    pub fn add_schedule(&self, new: &ScheduledWorkflow) -> Result<bool> {
        new.definition.check_parameters(&new.params)?;
        self.check_secrets(&new.definition)?;
        let asks = new.definition.asks_for_item()?;
        if asks && new.items_from.is_none() && matches!(new.trigger, Trigger::Times(_)) {
            let what =
                format!("the workflow `{}` needs items, and its file does not say where they come from", new.name);
            let hint =
                "add a line such as `items_from: { glob: \"/data/*.csv\" }`, with `glob`, `file`, `list` or `command`";
            return Err(Error::refused(what, Some(hint)));
        }
        if let Some(ItemsFrom::Command(command)) = &new.items_from {
            collector(&new.name, command)?.check_parameters(&new.params)?;
        }
        let now = self.store.now();
        let (due, directory) = match &new.trigger {
            Trigger::Times(times) => (due_after(&recurrence(times, now)?, times, &new.name, now), None),
            Trigger::Files(files) => {
                folders::check(&new.definition)?;
                (None, Some(folders::directory_of(files, Path::new(&new.directory))?))
            }
        };
        let row = NewSchedule {
            name: new.name.clone(),
            definition: self.intern(&new.definition)?,
            file: new.file.clone(),
            spec: json(&new.trigger),
            items: new.items_from.as_ref().map(json),
            params: new.params.to_string(),
            directory: new.directory.clone(),
            priority: new.priority,
            weight: new.weight,
        };
        let trigger = new.trigger.clone();
        let (fresh, id) = self.store.write(move |tx| put(tx, &row, due, &trigger, directory.as_deref()))?;
        if let Trigger::Files(files) = &new.trigger {
            folders::know_existing(self, id, files)?;
        }
        Ok(fresh)
    }

    /// Pauses a schedule. False: it is already paused.
    pub fn pause_schedule(&self, name: &str) -> Result<bool> {
        let name = name.to_string();
        Ok(self.store.write(move |tx| {
            watch::touch(tx, &name)?;
            schedule::pause(tx, &name)
        })?)
    }

    /// Resumes a schedule. False: it is not paused.
    pub fn resume_schedule(&self, name: &str) -> Result<bool> {
        let row = self.store.read(|tx| schedule::get(tx, name))?;
        let due = match trigger(&row)? {
            Trigger::Times(spec) => due_after(&recurrence(&spec, row.created)?, &spec, name, self.store.now()),
            Trigger::Files(_) => None,
        };
        let name = name.to_string();
        Ok(self.store.write(move |tx| {
            watch::touch(tx, &name)?;
            schedule::resume(tx, &name, due)
        })?)
    }

    pub fn remove_schedule(&self, name: &str) -> Result<()> {
        let name = name.to_string();
        self.store.write(move |tx| {
            watch::end(tx, schedule::get(tx, &name)?.id)?;
            schedule::remove(tx, &name)
        })?;
        folders::sweep(self)
    }

    /// Fires a schedule now, regardless of its times and of a pause. A schedule that watches a directory starts for all
    /// existing files.
    pub fn run_schedule(&self, name: &str) -> Result<FiringRow> {
        let row = self.store.read(|tx| schedule::get(tx, name))?;
        self.fire(&row, self.store.now())
    }

    /// Fires every instant from `from` to `to` that has not fired yet, oldest first.
    pub fn backfill_schedule(&self, name: &str, from: Timestamp, to: Timestamp) -> Result<Vec<FiringRow>> {
        let row = self.store.read(|tx| schedule::get(tx, name))?;
        let (_, recurrence) = times(&row)?;
        let mut instants = Vec::new();
        let mut at = Timestamp(from.0 - 1);
        while let Some(next) = recurrence.next_after(at).filter(|it| *it <= to) {
            if instants.len() == MOST {
                let what = format!("more than {MOST} instants lie between these times");
                return Err(Error::refused(what, Some("give a shorter time")));
            }
            instants.push(next);
            at = next;
        }
        instants.into_iter().map(|it| self.fire(&row, it)).collect()
    }

    /// Fires the due instants of a schedule, and advances it.
    fn fire_schedule(&self, row: &ScheduleRow, now: Timestamp) -> Result<()> {
        let (spec, recurrence) = match times(row) {
            Ok(found) => found,
            Err(error) => {
                let (row, problem) = (row.clone(), error.to_string());
                let alerts = self.alerts()?;
                return Ok(self.store.write(move |tx| schedule::stop(tx, &row, &problem, alerts))?);
            }
        };
        let due: Vec<Timestamp> = newest_first(&recurrence, row.cursor, now)
            .skip_while(|it| it.0 + rule::delay(&row.name, *it, spec.jitter).0 as i64 > now.0)
            .take(MOST + 1)
            .collect();
        let Some(newest) = due.first().copied() else {
            // A clock change or a new zone has moved the due time before the next instant.
            return self.advance_schedule(row, &spec, &recurrence, row.cursor, 0);
        };
        let Firings { fire, missed } = rule::firings(due, now, spec.rule());
        for instant in &fire {
            self.fire(row, *instant)?;
        }
        if missed > 0 && fire.is_empty() {
            let at_least = if missed > MOST { "at least " } else { "" };
            let times = if missed == 1 { "1 time".to_string() } else { format!("{at_least}{missed} times") };
            let firing =
                schedule::missed(row, newest, format!("missed {times}, last at {}", recurrence::rfc3339(newest)));
            self.note_firing(row, firing)?;
        }
        self.advance_schedule(row, &spec, &recurrence, newest, missed as i64)
    }

    fn advance_schedule(
        &self,
        row: &ScheduleRow,
        spec: &Schedule,
        recurrence: &Recurrence,
        cursor: Timestamp,
        missed: i64,
    ) -> Result<()> {
        let due = due_after(recurrence, spec, &row.name, cursor);
        let row = row.clone();
        self.store.write(move |tx| schedule::advance(tx, &row, cursor, due, missed))?;
        Ok(())
    }

    /// Starts a workflow for one instant, unless it was already started for it.
    ///
    /// # Errors
    ///
    /// Temporary errors, after which the firing is tried again. Any other error becomes a failed firing.
    fn fire(&self, row: &ScheduleRow, instant: Timestamp) -> Result<FiringRow> {
        let started = self.started(row, instant, "");
        let firing = match started.and_then(|found| found.map_or_else(|| self.begin(row, instant), Ok)) {
            Ok(firing) => firing,
            Err(error) if error.passes() || error.kind() == Kind::Conflict => return Err(error),
            Err(error) => failed(row, instant, with_causes(&error)),
        };
        self.note_firing(row, firing)
    }

    /// The firing of an instant whose group already exists. A group that is still being submitted does not count: if its
    /// process dies, the group is removed.
    fn started(&self, row: &ScheduleRow, instant: Timestamp, part: &str) -> Result<Option<FiringRow>> {
        let key = format!("{}{part}", key(row, instant));
        let found = self.store.read(|tx| group::submitted_as(tx, &key))?;
        Ok(found.map(|group| started(row, instant, Some(group))))
    }

    fn begin(&self, row: &ScheduleRow, instant: Timestamp) -> Result<FiringRow> {
        let items: Option<ItemsFrom> =
            row.items.as_deref().map(serde_json::from_str).transpose().map_err(unreadable)?;
        let directory = Path::new(&row.directory);
        if let Trigger::Files(files) = trigger(row)? {
            let watched = folders::directory_of(&files, directory)?;
            return self.start(row, instant, folders::all_files(self, &files, &watched)?);
        }
        let items = match items {
            None => vec![String::new()],
            Some(ItemsFrom::List(items)) => items,
            Some(ItemsFrom::File(file)) => listed(&directory.join(file))?,
            Some(ItemsFrom::Glob(pattern)) => matching(directory, &pattern)?,
            Some(ItemsFrom::Command(command)) => return self.collect_items(row, instant, &command),
        };
        self.start(row, instant, items)
    }

    /// Submits the command that lists the items. `start_collected` reads its output once the group has ended.
    fn collect_items(&self, row: &ScheduleRow, instant: Timestamp, command: &str) -> Result<FiringRow> {
        let submission = Submission {
            name: Some(format!("{}: items", row.name)),
            directory: row.directory.clone().into(),
            key: Some(format!("{}#items", key(row, instant))),
            priority: row.priority,
            weight: row.weight,
            params: serde_json::from_str(&row.params).map_err(unreadable)?,
            ..Submission::new(collector(&row.name, command)?, vec![String::new()])
        };
        let group = match self.submit(submission) {
            Err(error) if error.kind() == Kind::Conflict => {
                self.started(row, instant, "#items")?.and_then(|it| it.group).ok_or(error)?
            }
            submitted => submitted?.group,
        };
        Ok(FiringRow { state: FiringState::Collecting, ..started(row, instant, Some(group)) })
    }

    /// Starts the workflow with the items that its command printed, once the command has ended.
    fn start_collected(&self, row: &ScheduleRow, firing: &FiringRow) -> Result<()> {
        let Some(group) = firing.group else { return Ok(()) };
        let items = match self.collected(group) {
            Ok(None) => return Ok(()),
            Ok(Some(items)) => Ok(items),
            Err(error) => Err(error),
        };
        let outcome = items.and_then(|items| match self.started(row, firing.instant, "")? {
            Some(found) => Ok(found),
            None => self.start(row, firing.instant, items),
        });
        let firing = match outcome {
            Ok(firing) => firing,
            Err(error) if error.passes() || error.kind() == Kind::Conflict => return Err(error),
            Err(error) => FiringRow { group: Some(group), ..failed(row, firing.instant, with_causes(&error)) },
        };
        self.note_firing(row, firing).map(|_| ())
    }

    /// The output lines of the command that lists items. None: it has not ended yet.
    fn collected(&self, id: GroupId) -> Result<Option<Vec<String>>> {
        let (end, runs) = self.store.read(|tx| {
            Ok((group::end(tx, id)?, read::runs(tx, id, &RunFilter { status: None, after: None, limit: 1 })?))
        })?;
        if end.ended.is_none() {
            return Ok(None);
        }
        let Some(run) = runs.first().filter(|it| it.status == Status::Completed) else {
            return Err(Error::refused(format!("the command for its items failed: see `windlass logs {id}`"), None));
        };
        let step = self.store.read(|tx| read::show_run(tx, run.id))?.steps[0].id;
        let output = self.store.read(|tx| output::of_step(tx, step))?.unwrap_or_default();
        let Some((_, file)) = output.files.iter().find(|(name, _)| name == ITEMS) else { return Ok(Some(Vec::new())) };
        check_size(file.size)?;
        let bytes = self.artifacts.get_bytes(file)?;
        let text = String::from_utf8(bytes).map_err(|_| Error::refused("the list of its items is not UTF-8", None))?;
        Ok(Some(lines(&text)))
    }

    fn start(&self, row: &ScheduleRow, instant: Timestamp, items: Vec<String>) -> Result<FiringRow> {
        if items.is_empty() {
            return Ok(FiringRow { detail: "no items".into(), ..started(row, instant, None) });
        }
        let known = self.catalog.definition(&self.store, row.definition)?;
        let submission = Submission {
            params: serde_json::from_str(&row.params).map_err(unreadable)?,
            directory: row.directory.clone().into(),
            name: Some(row.name.clone()),
            priority: row.priority,
            weight: row.weight,
            key: Some(key(row, instant)),
            file: Some(PathBuf::from(&row.file)).filter(|it| it.is_absolute()),
            ..Submission::new(known.definition.clone(), items)
        };
        match self.submit(submission) {
            Ok(submitted) => {
                let group = submitted.group;
                let detail = if submitted.skipped { format!("{SKIPPED}{group} has not ended") } else { String::new() };
                Ok(FiringRow { detail, ..started(row, instant, Some(group)) })
            }
            // Another process was faster and found other items.
            Err(error) if error.kind() == Kind::Conflict => self.started(row, instant, "")?.ok_or(error),
            Err(error) => Err(error),
        }
    }

    pub(super) fn note_firing(&self, row: &ScheduleRow, firing: FiringRow) -> Result<FiringRow> {
        let counter = match firing.state {
            FiringState::Started => Some(Counter::ScheduleFired),
            FiringState::Failed | FiringState::Missed => Some(Counter::ScheduleMissed),
            FiringState::Collecting => None,
        };
        let (row, noted, alerts) = (row.clone(), firing.clone(), self.alerts()?);
        let new = self.store.write(move |tx| schedule::note(tx, &row, &noted, alerts))?;
        if let Some(counter) = counter.filter(|_| new) {
            self.metrics.count(counter);
        }
        Ok(firing)
    }
}

/// The instants after `cursor` up to `now`, newest first.
fn newest_first(recurrence: &Recurrence, cursor: Timestamp, now: Timestamp) -> impl Iterator<Item = Timestamp> + '_ {
    let before = move |at: Timestamp| recurrence.last_until(at).filter(|it| *it > cursor);
    std::iter::successors(before(now), move |it| before(Timestamp(it.0 - 1)))
}

/// When a schedule fires next, including its delay.
fn due_after(recurrence: &Recurrence, spec: &Schedule, name: &str, after: Timestamp) -> Option<Timestamp> {
    recurrence.next_after(after).map(|it| it + rule::delay(name, it, spec.jitter))
}

/// What starts a stored schedule.
pub fn trigger(row: &ScheduleRow) -> Result<Trigger> {
    serde_json::from_str(&row.spec).map_err(unreadable)
}

/// The times of a stored schedule.
pub fn times(row: &ScheduleRow) -> Result<(Schedule, Recurrence)> {
    let Trigger::Times(spec) = trigger(row)? else {
        let what = format!("`{}` has no times: it starts when files come", row.name);
        return Err(Error::refused(what, Some("`windlass schedule run` starts it for all files that are there")));
    };
    let recurrence = recurrence(&spec, row.created)?;
    Ok((spec, recurrence))
}

/// Stores a schedule. `directory` is what it watches. Returns whether it is new, and its id.
fn put(
    tx: &WriteTx,
    new: &NewSchedule,
    due: Option<Timestamp>,
    trigger: &Trigger,
    directory: Option<&str>,
) -> store::Result<(bool, i64)> {
    let before = schedule::find(tx, &new.name)?.and_then(|it| serde_json::from_str(&it.spec).ok());
    let fresh = schedule::put(tx, new, due)?;
    let id = schedule::get(tx, &new.name)?.id;
    match (trigger, directory) {
        (Trigger::Files(files), Some(directory)) => {
            // Files that came since it was added must not count as known because it is added again.
            let same = |it: Trigger| matches!(it, Trigger::Files(old) if old.patterns == files.patterns);
            watch::put(tx, id, directory, files.existing, before.is_some_and(same))?;
        }
        _ => watch::end(tx, id)?,
    }
    Ok((fresh, id))
}

fn recurrence(spec: &Schedule, anchor: Timestamp) -> Result<Recurrence> {
    spec.recurrence(anchor).map_err(|(what, hint)| match hint {
        Some(hint) => Error::refused(format!("{what}: {hint}"), None),
        None => Error::refused(what, None),
    })
}

fn collector(name: &str, command: &str) -> Result<Definition> {
    let definition = Definition::of_command("items", &format!("{{ {command}\n}} > \"$WINDLASS_OUT/{ITEMS}\""));
    definition.map_err(|error| Error::refused(format!("the command for the items of `{name}`: {error}"), None))
}

fn key(row: &ScheduleRow, instant: Timestamp) -> String {
    let key = format!("schedule:{}@{}", row.name, recurrence::rfc3339(instant));
    match is_active(Failpoint::DoubleFiring) {
        true => format!("{key}#{}", std::process::id()),
        false => key,
    }
}

fn started(row: &ScheduleRow, instant: Timestamp, group: Option<GroupId>) -> FiringRow {
    let (schedule, at) = (row.id, instant);
    FiringRow { schedule, instant, state: FiringState::Started, group, at, detail: String::new() }
}

fn failed(row: &ScheduleRow, instant: Timestamp, detail: String) -> FiringRow {
    FiringRow { state: FiringState::Failed, detail, ..started(row, instant, None) }
}

fn json(value: &impl serde::Serialize) -> String {
    serde_json::to_string(value).unwrap_or_else(|_| "null".into())
}

fn unreadable(error: serde_json::Error) -> Error {
    Error::Store(store::Error::Sqlite { reason: format!("a schedule can't be read: {error}") })
}
