//! Table `event_batch`: what happened, in commit order, one row per transaction. An event is recorded together with the hooks
//! that it makes due.

use crate::model::{DefinitionId, Event, EventKind, GroupId, RunId, StepId, Timestamp, Token};
use crate::store::{
    error::{Error, Result},
    lease::Live,
    params::params,
    sequence,
    tx::{ReadTx, WriteTx},
};
use serde::{Deserialize, Serialize};

/// A place in the history: the next event after it is what a reader wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize)]
pub struct Cursor {
    pub seq: i64,
    /// Events of the row `seq` that were read already.
    pub index: usize,
}

/// What an event is about.
#[derive(Debug, Clone, Copy, Default)]
pub(in crate::store) struct About {
    pub group: Option<GroupId>,
    pub run: Option<RunId>,
    pub step: Option<StepId>,
    /// Of the attempt, for an event of one.
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

/// Records an event, and queues the hooks that are subscribed to it.
pub(in crate::store) fn note(tx: &WriteTx, kind: EventKind, about: About) -> Result<()> {
    note_with(tx, kind, about, String::new())
}

/// The same, with a short text for people.
pub(in crate::store) fn note_with(tx: &WriteTx, kind: EventKind, about: About, detail: String) -> Result<()> {
    let About { group, run, step, .. } = about;
    tx.memory().events.push(Event { at: tx.now(), kind, group, run, step, detail });
    queue_hooks(tx, kind, about)
}

fn queue_hooks(tx: &WriteTx, kind: EventKind, about: About) -> Result<()> {
    let Some(group) = about.group.filter(|_| kind.has_hooks() && tx.memory().any_hooks) else { return Ok(()) };
    let run = about.run.map_or(0, |run| run.0);
    let definition = "SELECT coalesce((SELECT definition_id FROM run WHERE id = ?2), definition_id) FROM group_detail
                       WHERE group_id = ?1";
    let found = tx.row(definition, [group.0, run], |row| row.get(0).map(DefinitionId))?;
    let Some(definition) = found else { return Ok(()) };
    let shape = tx.memory().shape(tx, definition)?;
    for (no, hook) in shape.shape.hooks.iter().enumerate().filter(|(_, hook)| hook.event == kind) {
        tx.execute(
            "INSERT INTO hook(event, name, no, group_id, run_id, step_id, epoch, subject, due, definition_id)
             SELECT ?1, ?2, ?3, id, ?5, ?6, epoch, ?7, ?8, ?9 FROM run_group WHERE id = ?4",
            params![
                kind.name(),
                hook.name,
                no as i64,
                group.0,
                run,
                about.step.map_or(0, |step| step.0),
                about.token.map_or(0, |token| token.0),
                tx.now().0,
                definition.0
            ],
        )?;
        tx.memory().woke = true;
    }
    Ok(())
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

/// An event as stored: [kind, group, run, step, detail], without what the row says.
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

/// Events after `cursor` in commit order, from at most `batches` transactions; each with the cursor that follows it.
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

/// The cursor before the oldest event that is kept, or before the next one when none is. Rows have consecutive numbers:
/// a reader has missed some when the row that it wants next, `cursor.seq + 1`, is a smaller one.
pub fn oldest(tx: &ReadTx) -> Result<Cursor> {
    let first = tx.row("SELECT min(seq) FROM event_batch", [], |row| row.get::<Option<i64>>(0))?.flatten();
    Ok(Cursor { seq: first.map_or_else(|| Ok::<_, Error>(sequence::last(tx, "event_batch")? + 1), Ok)?, index: 0 })
}

/// The cursor behind the newest event; of its row alone, when that is not kept.
pub fn newest(tx: &ReadTx) -> Result<Cursor> {
    let last = tx.row("SELECT seq, body FROM event_batch ORDER BY seq DESC LIMIT 1", [], |row| {
        Ok((row.get::<i64>(0)?, row.get::<String>(1)?))
    })?;
    let Some((seq, body)) = last else { return Ok(Cursor { seq: sequence::last(tx, "event_batch")?, index: 0 }) };
    Ok(Cursor { seq, index: serde_json::from_str::<Vec<Compact>>(&body).map_or(0, |it| it.len()) })
}
