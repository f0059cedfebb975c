//! Table `event_batch`: the history in commit order, one row per transaction. An event is recorded together with the
//! hooks that it makes due.

use crate::model::{DefinitionId, Event, EventKind, GroupId, RunId, StepId, Timestamp, Token};
use crate::store::{
    error::{Error, Result},
    hook::{self, Subject},
    lease::Live,
    params::params,
    sequence,
    tx::{ReadTx, WriteTx},
};
use serde::{Deserialize, Serialize};

/// A position in the history. A reader continues with the next event after it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize)]
pub struct Cursor {
    pub seq: i64,
    /// How many events of the row `seq` were already read.
    pub index: usize,
}

/// What an event is about.
#[derive(Debug, Clone, Copy, Default)]
pub(in crate::store) struct About {
    pub group: Option<GroupId>,
    pub run: Option<RunId>,
    pub step: Option<StepId>,
    /// The attempt, if the event is about one.
    pub token: Option<Token>,
}

impl About {
    pub fn group(group: GroupId) -> About {
        About { group: Some(group), ..About::default() }
    }

    pub fn run(group: GroupId, run: RunId) -> About {
        About { run: Some(run), ..About::group(group) }
    }

    pub fn step(group: GroupId, run: RunId, step: StepId) -> About {
        About { step: Some(step), ..About::run(group, run) }
    }

    pub fn attempt(live: &Live) -> About {
        About { token: Some(live.lease.token), ..About::step(live.group, live.run, live.lease.step) }
    }
}

/// Records an event and queues the hooks that subscribe to it.
pub(in crate::store) fn note(tx: &WriteTx, kind: EventKind, about: About) -> Result<()> {
    note_with(tx, kind, about, String::new())
}

/// The same, with a short text for people.
pub(in crate::store) fn note_with(tx: &WriteTx, kind: EventKind, about: About, detail: String) -> Result<()> {
    let About { group, run, step, .. } = about;
    if group.is_some_and(GroupId::is_of_hooks) {
        let event = hook::event_of(tx, kind, step)?;
        tx.memory().events.extend(event);
        return Ok(());
    }
    tx.memory().events.push(Event { at: tx.now(), kind, group, run, step, detail });
    queue_hooks(tx, kind, about)
}

/// Records the end of a group. It implies that the group completed or failed; a cancelled group did neither.
pub(in crate::store) fn group_ended(tx: &WriteTx, group: GroupId) -> Result<()> {
    note(tx, EventKind::GroupEnd, About::group(group))?;
    if !tx.memory().any_hooks || group.is_of_hooks() {
        return Ok(());
    }
    let counts = "SELECT failed, cancelled FROM run_group WHERE id = ?1";
    let counts = tx.row(counts, [group.0], |row| Ok((row.get::<i64>(0)?, row.get::<i64>(1)?)))?;
    match counts.unwrap_or((0, 0)) {
        (0, 0) => implied(tx, EventKind::GroupCompleted, About::group(group)),
        (0, _) => Ok(()),
        _ => implied(tx, EventKind::GroupFailed, About::group(group)),
    }
}

/// Queues the hooks for an event that another event implies: when a group ends, it has failed or completed. Only the
/// other event is in the history.
pub(in crate::store) fn implied(tx: &WriteTx, kind: EventKind, about: About) -> Result<()> {
    queue_hooks(tx, kind, about)
}

fn queue_hooks(tx: &WriteTx, kind: EventKind, about: About) -> Result<()> {
    let Some(group) = about.group.filter(|_| kind.has_hooks() && tx.memory().any_hooks) else { return Ok(()) };
    if group.is_of_hooks() {
        return Ok(());
    }
    let run = about.run.map_or(0, |run| run.0);
    // The hooks of its workflow, then the alerts that were in force at its submission.
    let definitions = "SELECT coalesce((SELECT definition_id FROM run WHERE id = ?2), definition_id) FROM group_detail
                        WHERE group_id = ?1
                       UNION ALL SELECT definition_id FROM group_alert WHERE group_id = ?1";
    let subject = Subject { group, run: about.run, step: about.step, token: about.token, schedule: None };
    for definition in tx.rows(definitions, [group.0, run], |row| row.get(0).map(DefinitionId))? {
        hook::queue_all(tx, definition, kind, &subject)?;
    }
    Ok(())
}

/// Records that a schedule missed an instant, and queues the hooks of its workflow and the alerts.
pub(in crate::store) fn schedule_missed(
    tx: &WriteTx,
    schedule: i64,
    definitions: impl IntoIterator<Item = DefinitionId>,
    group: Option<GroupId>,
    detail: String,
) -> Result<()> {
    let kind = EventKind::ScheduleMissed;
    tx.memory().events.push(Event { at: tx.now(), kind, group, run: None, step: None, detail });
    let none = GroupId::NONE;
    let subject = Subject { group: none, run: None, step: None, token: None, schedule: Some(schedule) };
    definitions.into_iter().try_for_each(|it| hook::queue_all(tx, it, kind, &subject))
}

/// Writes the events of the transaction.
pub(in crate::store) fn append(tx: &WriteTx) -> Result<()> {
    let memory = tx.memory();
    if memory.events.is_empty() {
        return Ok(());
    }
    let rows: Vec<Compact> = memory.events.iter().map(Compact::of).collect();
    drop(memory);
    let body = serde_json::to_string(&rows).map_err(|error| Error::Sqlite { reason: error.to_string() })?;
    tx.execute("INSERT INTO event_batch(at, body) VALUES (?1, ?2)", params![tx.now().0, body])?;
    Ok(())
}

/// An event as stored: [kind, group, run, step, detail], without the fields of the row.
#[derive(Serialize, Deserialize)]
struct Compact(EventKind, i64, i64, i64, String);

impl Compact {
    fn of(event: &Event) -> Compact {
        Compact(
            event.kind,
            event.group.map_or(0, |it| it.0),
            event.run.map_or(0, |it| it.0),
            event.step.map_or(0, |it| it.0),
            event.detail.clone(),
        )
    }

    fn event(self, at: Timestamp) -> Event {
        let some = |id: i64| Some(id).filter(|it| *it > 0);
        Event {
            at,
            kind: self.0,
            group: some(self.1).map(GroupId),
            run: some(self.2).map(RunId),
            step: some(self.3).map(StepId),
            detail: self.4,
        }
    }
}

/// Events after `cursor` in commit order, from at most `batches` transactions. Each comes with the cursor that follows
/// it.
pub fn after(tx: &ReadTx, cursor: Cursor, batches: usize) -> Result<Vec<(Cursor, Event)>> {
    let rows = tx.rows(
        "SELECT seq, at, body FROM event_batch WHERE seq >= ?1 ORDER BY seq LIMIT ?2",
        params![cursor.seq, batches as i64],
        |row| Ok((row.get::<i64>(0)?, Timestamp(row.get(1)?), row.get::<String>(2)?)),
    )?;
    let mut found = Vec::new();
    for (seq, at, body) in rows {
        let events: Vec<Compact> = serde_json::from_str(&body)
            .map_err(|error| Error::Sqlite { reason: format!("events of batch {seq}: {error}") })?;
        let seen = if seq == cursor.seq { cursor.index } else { 0 };
        for (index, event) in events.into_iter().enumerate().skip(seen) {
            found.push((Cursor { seq, index: index + 1 }, event.event(at)));
        }
    }
    Ok(found)
}

/// The cursor before the oldest event that is kept, or before the next event if none is kept. Rows are numbered
/// consecutively: a reader has missed some if the row that it needs next, `cursor.seq + 1`, has a smaller number than
/// the oldest row.
pub fn oldest(tx: &ReadTx) -> Result<Cursor> {
    let first = tx.row("SELECT min(seq) FROM event_batch", [], |row| row.get::<Option<i64>>(0))?.flatten();
    Ok(Cursor { seq: first.map_or_else(|| Ok::<_, Error>(sequence::last(tx, "event_batch")? + 1), Ok)?, index: 0 })
}

/// The cursor after the newest event; if the row of that event is gone, the cursor after that row.
pub fn newest(tx: &ReadTx) -> Result<Cursor> {
    let last = tx.row("SELECT seq, body FROM event_batch ORDER BY seq DESC LIMIT 1", [], |row| {
        Ok((row.get::<i64>(0)?, row.get::<String>(1)?))
    })?;
    let Some((seq, body)) = last else { return Ok(Cursor { seq: sequence::last(tx, "event_batch")?, index: 0 }) };
    Ok(Cursor { seq, index: serde_json::from_str::<Vec<Compact>>(&body).map_or(0, |it| it.len()) })
}
