//! Tables `schedule` and `firing`: workflows that start automatically, and the outcome of each instant.

use crate::model::code::FIRING_COLLECTING;
use crate::model::{DefinitionId, EventKind, FiringState, GroupId, Timestamp};
use crate::store::{
    error::{Error, Result},
    event::{self, About},
    params::params,
    row::Row,
    tx::{ReadTx, WriteTx},
};
use const_format::formatcp;

/// How many firings of one schedule are kept.
const KEPT: i64 = 100;

/// A schedule to add, or to replace the one of the same name.
#[derive(Debug, Clone)]
pub struct NewSchedule {
    pub name: String,
    pub definition: DefinitionId,
    pub file: String,
    /// JSON of `definition::schedule::Schedule`.
    pub spec: String,
    /// JSON of `definition::schedule::ItemsFrom`. None: one run without an item.
    pub items: Option<String>,
    /// JSON.
    pub params: String,
    pub directory: String,
    pub priority: i64,
    pub weight: i64,
}

/// A row of `schedule`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScheduleRow {
    pub id: i64,
    pub name: String,
    pub definition: DefinitionId,
    pub file: String,
    pub spec: String,
    pub items: Option<String>,
    pub params: String,
    pub directory: String,
    pub priority: i64,
    pub weight: i64,
    pub paused: bool,
    pub cursor: Timestamp,
    pub due: Option<Timestamp>,
    pub missed: i64,
    pub problem: String,
    pub created: Timestamp,
}

/// A row of `firing`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FiringRow {
    pub schedule: i64,
    pub instant: Timestamp,
    pub state: FiringState,
    pub group: Option<GroupId>,
    pub at: Timestamp,
    pub detail: String,
}

const COLUMNS: &str =
    "id, name, definition_id, file, spec, items, params, directory, priority, weight, paused, cursor, due,
    missed, problem, created";

fn read(row: &Row) -> Result<ScheduleRow> {
    Ok(ScheduleRow {
        id: row.get(0)?,
        name: row.get(1)?,
        definition: DefinitionId(row.get(2)?),
        file: row.get(3)?,
        spec: row.get(4)?,
        items: row.get(5)?,
        params: row.get(6)?,
        directory: row.get(7)?,
        priority: row.get(8)?,
        weight: row.get(9)?,
        paused: row.get(10)?,
        cursor: Timestamp(row.get(11)?),
        due: row.get::<Option<i64>>(12)?.map(Timestamp),
        missed: row.get(13)?,
        problem: row.get(14)?,
        created: Timestamp(row.get(15)?),
    })
}

fn read_firing(row: &Row) -> Result<FiringRow> {
    Ok(FiringRow {
        schedule: row.get(0)?,
        instant: Timestamp(row.get(1)?),
        state: FiringState::from_code(row.get(2)?).unwrap_or(FiringState::Failed),
        group: row.get::<Option<i64>>(3)?.map(GroupId),
        at: Timestamp(row.get(4)?),
        detail: row.get(5)?,
    })
}

/// Adds a schedule; its first instant comes after `now`. A schedule with the same name is replaced, and continues where
/// it was unless its times changed. True: it is new.
pub fn put(tx: &WriteTx, new: &NewSchedule, due: Option<Timestamp>) -> Result<bool> {
    let before = find(tx, &new.name)?;
    let keeps = before.as_ref().is_some_and(|it| it.spec == new.spec);
    tx.execute(
        "INSERT INTO schedule(name, definition_id, file, spec, items, params, directory, priority, weight, cursor, due, created)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?10)
         ON CONFLICT(name) DO UPDATE SET definition_id = excluded.definition_id, file = excluded.file, spec = excluded.spec,
             items = excluded.items, params = excluded.params, directory = excluded.directory, priority = excluded.priority,
             weight = excluded.weight, problem = '',
             cursor = CASE WHEN ?12 THEN cursor ELSE excluded.cursor END,
             due = CASE WHEN ?12 OR paused THEN due ELSE excluded.due END",
        params![
            new.name, new.definition.0, new.file, new.spec, new.items, new.params, new.directory, new.priority, new.weight,
            tx.now().0, due.map(|it| it.0), keeps
        ],
    )?;
    tx.memory().woke = true;
    Ok(before.is_none())
}

pub fn find(tx: &ReadTx, name: &str) -> Result<Option<ScheduleRow>> {
    tx.row(&format!("SELECT {COLUMNS} FROM schedule WHERE name = ?1"), [name], read)
}

pub fn get(tx: &ReadTx, name: &str) -> Result<ScheduleRow> {
    find(tx, name)?.ok_or_else(|| Error::not_found(format!("schedule `{name}`")))
}

/// The schedule with this id.
pub fn of_id(tx: &ReadTx, id: i64) -> Result<ScheduleRow> {
    let found = tx.row(&format!("SELECT {COLUMNS} FROM schedule WHERE id = ?1"), [id], read)?;
    found.ok_or_else(|| Error::not_found("the schedule, which was removed,"))
}

/// The schedule with this id, if it exists.
pub fn by_id(tx: &ReadTx, id: i64) -> Result<Option<ScheduleRow>> {
    tx.row(&format!("SELECT {COLUMNS} FROM schedule WHERE id = ?1"), [id], read)
}

/// All schedules, by name.
pub fn all(tx: &ReadTx) -> Result<Vec<ScheduleRow>> {
    tx.rows(&format!("SELECT {COLUMNS} FROM schedule ORDER BY name"), [], read)
}

/// When the next schedule fires.
pub fn next_due(tx: &ReadTx) -> Result<Option<Timestamp>> {
    tx.row("SELECT due FROM schedule WHERE due IS NOT NULL ORDER BY due LIMIT 1", [], |row| row.get(0).map(Timestamp))
}

/// Up to `limit` schedules whose time has come.
pub fn due(tx: &ReadTx, now: Timestamp, limit: usize) -> Result<Vec<ScheduleRow>> {
    let sql = format!("SELECT {COLUMNS} FROM schedule WHERE due IS NOT NULL AND due <= ?1 ORDER BY due LIMIT ?2");
    tx.rows(&sql, [now.0, limit as i64], read)
}

/// The newest firings of a schedule first.
pub fn firings(tx: &ReadTx, schedule: i64, limit: usize) -> Result<Vec<FiringRow>> {
    tx.rows(
        "SELECT schedule_id, instant, state, group_id, at, detail FROM firing WHERE schedule_id = ?1
          ORDER BY instant DESC LIMIT ?2",
        [schedule, limit as i64],
        read_firing,
    )
}

/// Firings whose items are being listed.
pub fn collecting(tx: &ReadTx) -> Result<Vec<(ScheduleRow, FiringRow)>> {
    let open = tx.rows(
        formatcp!(
            "SELECT schedule_id, instant, state, group_id, at, detail FROM firing WHERE state = {FIRING_COLLECTING}
                AND group_id IS NOT NULL ORDER BY schedule_id, instant"
        ),
        [],
        read_firing,
    )?;
    let mut found = Vec::with_capacity(open.len());
    for firing in open {
        if let Some(row) = by_id(tx, firing.schedule)? {
            found.push((row, firing));
        }
    }
    Ok(found)
}

/// Records the outcome of an instant. A missed or failed instant is reported as an event and stays the schedule's
/// problem until the next instant starts. False: it was already recorded.
///
/// `alerts` is the definition whose hooks apply in addition to those of the workflow.
pub fn note(tx: &WriteTx, schedule: &ScheduleRow, firing: &FiringRow, alerts: Option<DefinitionId>) -> Result<bool> {
    let before = tx.row(
        "SELECT state, group_id FROM firing WHERE schedule_id = ?1 AND instant = ?2",
        [schedule.id, firing.instant.0],
        |row| Ok((row.get::<i64>(0)?, row.get::<Option<i64>>(1)?)),
    )?;
    if before == Some((firing.state.code(), firing.group.map(|it| it.0))) {
        return Ok(false);
    }
    tx.execute(
        "INSERT INTO firing(schedule_id, instant, state, group_id, at, detail) VALUES (?1, ?2, ?3, ?4, ?5, ?6)
         ON CONFLICT(schedule_id, instant) DO UPDATE SET state = excluded.state, group_id = excluded.group_id,
             at = excluded.at, detail = excluded.detail",
        params![
            schedule.id,
            firing.instant.0,
            firing.state.code(),
            firing.group.map(|it| it.0),
            tx.now().0,
            firing.detail
        ],
    )?;
    tx.execute(
        formatcp!(
            "DELETE FROM firing WHERE schedule_id = ?1 AND state <> {FIRING_COLLECTING} AND instant <=
             (SELECT instant FROM firing WHERE schedule_id = ?1 ORDER BY instant DESC LIMIT 1 OFFSET {KEPT})"
        ),
        [schedule.id],
    )?;
    let about = About { group: firing.group, ..About::default() };
    match firing.state {
        FiringState::Collecting => {}
        FiringState::Started => {
            tx.execute("UPDATE schedule SET problem = '' WHERE id = ?1 AND problem <> ''", [schedule.id])?;
            event::note_with(tx, EventKind::ScheduleFired, about, schedule.name.clone())?;
        }
        FiringState::Failed | FiringState::Missed => {
            tx.execute("UPDATE schedule SET problem = ?2 WHERE id = ?1", params![schedule.id, firing.detail])?;
            let detail = format!("{}: {}", schedule.name, firing.detail);
            let definitions = [schedule.definition].into_iter().chain(alerts);
            event::schedule_missed(tx, schedule.id, definitions, firing.group, detail)?;
        }
    }
    Ok(true)
}

/// Records that every instant up to `cursor` was handled; `missed` of them did not fire. False: another process was
/// faster.
pub fn advance(
    tx: &WriteTx,
    schedule: &ScheduleRow,
    cursor: Timestamp,
    due: Option<Timestamp>,
    missed: i64,
) -> Result<bool> {
    let changed = tx.execute(
        "UPDATE schedule SET cursor = ?3, due = CASE WHEN paused THEN NULL ELSE ?4 END, missed = missed + ?5
          WHERE id = ?1 AND cursor = ?2",
        params![schedule.id, schedule.cursor.0, cursor.0, due.map(|it| it.0), missed],
    )?;
    Ok(changed == 1)
}

/// Stops a schedule that can't be read, until it is added again.
pub fn stop(tx: &WriteTx, schedule: &ScheduleRow, problem: &str, alerts: Option<DefinitionId>) -> Result<()> {
    tx.execute(
        "UPDATE schedule SET due = NULL, problem = ?2 WHERE id = ?1 AND cursor = ?3",
        params![schedule.id, problem, schedule.cursor.0],
    )?;
    let definitions = [schedule.definition].into_iter().chain(alerts);
    event::schedule_missed(tx, schedule.id, definitions, None, format!("{}: {problem}", schedule.name))
}

/// Pauses a schedule. False: it is already paused.
pub fn pause(tx: &WriteTx, name: &str) -> Result<bool> {
    let row = get(tx, name)?;
    let changed = tx.execute("UPDATE schedule SET paused = 1, due = NULL WHERE id = ?1 AND paused = 0", [row.id])?;
    if changed == 1 {
        event::note_with(tx, EventKind::Pause, About::default(), format!("schedule {name}"))?;
    }
    Ok(changed == 1)
}

/// Resumes a schedule. Instants during the pause are not caught up. False: it is not paused.
pub fn resume(tx: &WriteTx, name: &str, due: Option<Timestamp>) -> Result<bool> {
    let row = get(tx, name)?;
    let changed = tx.execute(
        "UPDATE schedule SET paused = 0, cursor = max(cursor, ?2), due = ?3 WHERE id = ?1 AND paused = 1",
        params![row.id, tx.now().0, due.map(|it| it.0)],
    )?;
    if changed == 1 {
        tx.memory().woke = true;
        event::note_with(tx, EventKind::Resume, About::default(), format!("schedule {name}"))?;
    }
    Ok(changed == 1)
}

/// Deletes a schedule and its firings. The groups that it started stay.
pub fn remove(tx: &WriteTx, name: &str) -> Result<()> {
    let row = get(tx, name)?;
    tx.execute("DELETE FROM firing WHERE schedule_id = ?1", [row.id])?;
    tx.execute("DELETE FROM schedule WHERE id = ?1", [row.id])?;
    Ok(())
}

/// Schedules whose last firing was missed or failed, for metrics and health.
pub fn with_problems(tx: &ReadTx) -> Result<Vec<(String, String)>> {
    tx.rows("SELECT name, problem FROM schedule WHERE problem <> '' ORDER BY name", [], |row| {
        Ok((row.get(0)?, row.get(1)?))
    })
}

/// A row for missed instants.
pub fn missed(schedule: &ScheduleRow, instant: Timestamp, detail: String) -> FiringRow {
    FiringRow { schedule: schedule.id, instant, state: FiringState::Missed, group: None, at: instant, detail }
}
