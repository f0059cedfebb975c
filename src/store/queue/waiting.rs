//! Table `waiting`: steps that wait for a time, a person, a signal or a group, and hold no lease, slot or thread; and
//! table `signal`. `wait_end` has the verbs that end a wait.
//!
//! SQLite only: `INDEXED BY`.

use crate::model::code::{STEP_OPEN, STEP_WAITING};
use crate::model::{
    EventKind, GroupId, Lease, Millis, Otherwise, RunId, StepId, StepState, Timestamp, Token, WaitKind, WorkerId,
};
use crate::store::{
    attempt,
    error::{Error, Result},
    event::{self, About},
    lease::Live,
    params::params,
    row::Row,
    step::{self, StepRow},
    tx::{ReadTx, WriteTx},
};
use const_format::formatcp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// What ends a wait, besides its due time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WaitsFor {
    /// Nothing else.
    Time,
    Approval,
    /// A signal with this name to its group or run.
    Signal(String),
    /// The end of this group.
    Children(GroupId),
}

impl WaitsFor {
    pub fn kind(&self) -> WaitKind {
        match self {
            WaitsFor::Time => WaitKind::Time,
            WaitsFor::Approval => WaitKind::Approval,
            WaitsFor::Signal(_) => WaitKind::Signal,
            WaitsFor::Children(_) => WaitKind::Children,
        }
    }

    /// The name of the signal; empty if it does not wait for one.
    pub fn signal(&self) -> &str {
        match self {
            WaitsFor::Signal(name) => name,
            WaitsFor::Time | WaitsFor::Approval | WaitsFor::Children(_) => "",
        }
    }
}

/// A wait that begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewWait {
    pub on: WaitsFor,
    /// When it ends on its own; None: never. A wait for a time always has one.
    pub due: Option<Timestamp>,
    /// What happens then.
    pub otherwise: Otherwise,
    pub detail: WaitDetail,
}

/// The description of a wait for people.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(default)]
pub struct WaitDetail {
    /// The question of an approval; empty otherwise.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub ask: String,
    /// The longest wait, as the workflow says.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub within: Option<Millis>,
}

/// A step that waits.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct Waiting {
    pub step: StepId,
    pub run: RunId,
    pub group: GroupId,
    pub kind: WaitKind,
    pub since: Timestamp,
    /// When the wait ends on its own. Null: never.
    pub due: Option<Timestamp>,
    /// What happens then.
    pub otherwise: Otherwise,
    /// The name of the awaited signal; empty if none.
    pub signal: String,
    /// The awaited group.
    pub children: Option<GroupId>,
    #[serde(flatten)]
    pub detail: WaitDetail,
    #[serde(skip)]
    pub token: Token,
    #[serde(skip)]
    pub worker: WorkerId,
}

const COLUMNS: &str =
    "step_id, run_id, group_id, kind, started, due, otherwise, signal, children, detail, token, worker";

fn read(row: &Row) -> Result<Waiting> {
    Ok(Waiting {
        step: StepId(row.get(0)?),
        run: RunId(row.get(1)?),
        group: GroupId(row.get(2)?),
        kind: WaitKind::from_code(row.get(3)?).unwrap_or(WaitKind::Time),
        since: Timestamp(row.get(4)?),
        due: row.get::<Option<i64>>(5)?.map(Timestamp),
        otherwise: Otherwise::from_code(row.get(6)?).unwrap_or(Otherwise::Fail),
        signal: row.get(7)?,
        children: row.get::<Option<i64>>(8)?.map(GroupId),
        detail: serde_json::from_str(&row.get::<String>(9)?).unwrap_or_default(),
        token: Token(row.get(10)?),
        worker: WorkerId(row.get(11)?),
    })
}

/// Makes a step wait that has left its lease. It keeps its attempt number, which is used up when the wait ends.
pub(in crate::store) fn park(tx: &WriteTx, live: &Live, new: &NewWait) -> Result<()> {
    let step = live.lease.step;
    let kind = new.on.kind();
    let children = match &new.on {
        WaitsFor::Children(group) => Some(group.0),
        WaitsFor::Time | WaitsFor::Approval | WaitsFor::Signal(_) => None,
    };
    let changed = tx
        .execute(formatcp!("UPDATE step SET state = {STEP_WAITING} WHERE id = ?1 AND state = {STEP_OPEN}"), [step.0])?;
    if changed != 1 {
        return Err(Error::refused(format!("{step} is leased but not open")));
    }
    let detail = serde_json::json!(new.detail).to_string();
    tx.execute(
        "INSERT INTO waiting(step_id, run_id, group_id, kind, token, worker, started, due, otherwise, signal, children, detail)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)",
        params![
            step.0,
            live.run.0,
            live.group.0,
            kind.code(),
            live.lease.token.0,
            live.worker.0,
            live.started.0,
            new.due.map(|it| it.0),
            new.otherwise.code(),
            new.on.signal(),
            children,
            detail
        ],
    )?;
    if let Some(due) = new.due {
        tx.memory().due_at(due);
    }
    match kind {
        WaitKind::Approval => {
            event::note_with(tx, EventKind::ApprovalWanted, About::attempt(live), new.detail.ask.clone())
        }
        _ => event::note_with(tx, EventKind::StepWaiting, About::attempt(live), words(new)),
    }
}

fn words(new: &NewWait) -> String {
    match &new.on {
        WaitsFor::Time | WaitsFor::Approval => "for a time".into(),
        WaitsFor::Signal(name) => format!("for the signal `{name}`"),
        WaitsFor::Children(group) => format!("for {group}"),
    }
}

/// Removes a step from the table and leaves it open, but in no place. The caller ends it or puts it back. None: it does
/// not wait.
pub(in crate::store) fn take(tx: &WriteTx, id: StepId) -> Result<Option<(Waiting, Live)>> {
    let sql = formatcp!("DELETE FROM waiting WHERE step_id = ?1 RETURNING {COLUMNS}");
    let Some(waiting) = tx.change(sql, [id.0], read)? else { return Ok(None) };
    let changed =
        tx.execute(formatcp!("UPDATE step SET state = {STEP_OPEN} WHERE id = ?1 AND state = {STEP_WAITING}"), [id.0])?;
    let Some(row) = step::get(tx, id)?.filter(|_| changed == 1) else { return Ok(None) };
    let live = Live {
        lease: Lease { step: id, token: waiting.token },
        worker: waiting.worker,
        started: waiting.since,
        run: row.run,
        group: row.group,
        due: Timestamp(row.due),
        key: row.key,
        attempts: row.attempts,
    };
    Ok(Some((waiting, live)))
}

/// Called before a waiting step is cancelled. Does nothing for other steps.
pub(in crate::store) fn withdraw(tx: &WriteTx, row: &StepRow) -> Result<()> {
    if row.state != StepState::Waiting {
        return Ok(());
    }
    match take(tx, row.id)? {
        Some((_, live)) => attempt::record(tx, &live, Some(&attempt::Record::cancelled())),
        None => Ok(()),
    }
}

/// A waiting step and what it waits for. None if it does not wait.
pub fn get(tx: &ReadTx, id: StepId) -> Result<Option<Waiting>> {
    tx.row(formatcp!("SELECT {COLUMNS} FROM waiting WHERE step_id = ?1"), [id.0], read)
}

/// The step that waits for the end of a group.
pub fn of_children(tx: &ReadTx, group: GroupId) -> Result<Option<Waiting>> {
    tx.row(OF_CHILDREN, [group.0], read)
}

pub(in crate::store) const OF_CHILDREN: &str = formatcp!("SELECT {COLUMNS} FROM waiting WHERE children = ?1");

/// When the first wait ends on its own.
pub fn next_due(tx: &ReadTx) -> Result<Option<Timestamp>> {
    tx.row("SELECT due FROM waiting WHERE due IS NOT NULL ORDER BY due LIMIT 1", [], |row| row.get(0).map(Timestamp))
}

/// Expired waits, oldest first.
pub(in crate::store) fn due(tx: &WriteTx, limit: usize) -> Result<Vec<StepId>> {
    tx.rows(DUE, params![tx.now().0, limit as i64], |row| row.get(0).map(StepId))
}

/// D2.
pub(in crate::store) const DUE: &str = "SELECT step_id FROM waiting WHERE due <= ?1 ORDER BY due LIMIT ?2";

/// Steps of a group that wait for a signal that was already sent, each with its run and the signal's name. `name`
/// limits this to one signal.
pub(in crate::store) fn with_signal(
    tx: &ReadTx,
    group: GroupId,
    name: Option<&str>,
    limit: usize,
) -> Result<Vec<(StepId, RunId, String)>> {
    tx.rows(WITH_SIGNAL, params![group.0, name, limit as i64], |row| {
        Ok((StepId(row.get(0)?), RunId(row.get(1)?), row.get(2)?))
    })
}

pub(in crate::store) const WITH_SIGNAL: &str =
    "SELECT step_id, run_id, signal FROM waiting w INDEXED BY waiting_signal WHERE group_id = ?1 AND signal <> '' AND (?2 IS NULL OR signal = ?2)
        AND EXISTS (SELECT 1 FROM signal n WHERE n.group_id = ?1 AND n.run_id IN (0, w.run_id) AND n.name = w.signal) LIMIT ?3";

/// A signal that was sent.
#[derive(Debug, Clone, PartialEq, Serialize, utoipa::ToSchema)]
pub struct Signal {
    pub group: GroupId,
    /// Null: sent to every run of the group.
    pub run: Option<RunId>,
    pub name: String,
    pub value: Option<Value>,
    /// Who sent it.
    pub by: String,
    pub at: Timestamp,
}

/// Stores a signal and replaces an earlier one with the same name and receiver.
pub(in crate::store) fn keep(tx: &WriteTx, signal: &Signal) -> Result<()> {
    tx.execute(
        "INSERT INTO signal(group_id, run_id, name, value, who, at) VALUES (?1, ?2, ?3, ?4, ?5, ?6)
         ON CONFLICT(group_id, run_id, name) DO UPDATE SET value = excluded.value, who = excluded.who, at = excluded.at",
        params![
            signal.group.0,
            signal.run.map_or(0, |it| it.0),
            signal.name,
            signal.value.as_ref().map(Value::to_string),
            signal.by,
            signal.at.0
        ],
    )?;
    Ok(())
}

/// The signal with this name that was sent to a run, otherwise the one sent to its whole group.
pub fn signal(tx: &ReadTx, group: GroupId, run: RunId, name: &str) -> Result<Option<Signal>> {
    match signal_to(tx, group, Some(run), name)? {
        Some(own) => Ok(Some(own)),
        None => signal_to(tx, group, None, name),
    }
}

/// The signal with this name that was sent to exactly this run, or to the group.
pub fn signal_to(tx: &ReadTx, group: GroupId, run: Option<RunId>, name: &str) -> Result<Option<Signal>> {
    let sql = "SELECT run_id, value, who, at FROM signal WHERE group_id = ?1 AND run_id = ?2 AND name = ?3";
    tx.row(sql, params![group.0, run.map_or(0, |it| it.0), name], |row| {
        let value: Option<String> = row.get(1)?;
        Ok(Signal {
            group,
            run: Some(row.get::<i64>(0)?).filter(|it| *it > 0).map(RunId),
            name: name.to_string(),
            value: value.and_then(|it| serde_json::from_str(&it).ok()),
            by: row.get(2)?,
            at: Timestamp(row.get(3)?),
        })
    })
}
