//! Table `step`, and where a live step waits: `ready`, its line, its due time, its paused group.

use crate::model::code::{STEP_BLOCKED, STEP_COMPLETED, STEP_DELAYED, STEP_OPEN};
use crate::model::{DefinitionId, GroupId, KeyId, RunId, StepId, StepState, Timestamp, TypeId};
use crate::store::{
    error::Result,
    memory::KnownShape,
    params::params,
    request::ReadyRow,
    row::Row,
    tx::{ReadTx, WriteTx},
};
use const_format::formatcp;
use std::cmp::Reverse;

/// Due steps that one transaction promotes at most.
const PROMOTE: usize = 256;

/// The hot columns of a step.
#[derive(Debug, Clone, Copy)]
pub(in crate::store) struct StepRow {
    pub id: StepId,
    pub run: RunId,
    pub group: GroupId,
    pub no: usize,
    pub step_type: TypeId,
    pub state: StepState,
    pub priority: i64,
    pub due: i64,
    pub key: Option<KeyId>,
    pub scope: i64,
    pub attempts: i64,
}

/// A step as it is born.
#[derive(Debug, Clone, Copy)]
pub(in crate::store) struct NewStep {
    pub run: RunId,
    pub group: GroupId,
    pub no: usize,
    pub step_type: TypeId,
    pub priority: i64,
    pub due: Timestamp,
    pub unmet: usize,
    pub key: Option<KeyId>,
    pub scope: i64,
}

pub(in crate::store) fn insert(tx: &WriteTx, id: StepId, new: &NewStep) -> Result<()> {
    tx.execute(
        formatcp!(
            "INSERT INTO step(id, run_id, group_id, no, type_id, state, priority, due, unmet, key_id, scope)
             VALUES (?1, ?2, ?3, ?4, ?5, {STEP_OPEN}, ?6, ?7, ?8, ?9, ?10)"
        ),
        params![
            id.0,
            new.run.0,
            new.group.0,
            new.no as i64,
            new.step_type.0,
            new.priority,
            new.due.0,
            new.unmet as i64,
            new.key.map(|it| it.0),
            new.scope
        ],
    )?;
    Ok(())
}

pub(in crate::store) fn get(tx: &ReadTx, id: StepId) -> Result<Option<StepRow>> {
    tx.row(
        "SELECT id, run_id, group_id, no, type_id, state, priority, due, key_id, scope, attempts
           FROM step WHERE id = ?1",
        [id.0],
        read,
    )
}

fn read(row: &Row) -> Result<StepRow> {
    Ok(StepRow {
        id: StepId(row.get(0)?),
        run: RunId(row.get(1)?),
        group: GroupId(row.get(2)?),
        no: row.get::<i64>(3)? as usize,
        step_type: TypeId(row.get(4)?),
        state: StepState::from_code(row.get(5)?).unwrap_or(StepState::Open),
        priority: row.get(6)?,
        due: row.get(7)?,
        key: row.get::<Option<i64>>(8)?.map(KeyId),
        scope: row.get(9)?,
        attempts: row.get(10)?,
    })
}

/// One need of step `no` of a run is met; with its last one the step becomes claimable. False: it has ended already.
pub(in crate::store) fn need_met(tx: &WriteTx, shape: &KnownShape, first: StepId, no: usize) -> Result<bool> {
    let id = StepId(first.0 + no as i64);
    if shape.shape.steps[no].needs.len() > 1 {
        tx.execute(
            formatcp!("UPDATE step SET unmet = unmet - 1 WHERE id = ?1 AND state = {STEP_OPEN} AND unmet > 0"),
            [id.0],
        )?;
        let unmet = tx.row("SELECT unmet FROM step WHERE id = ?1", [id.0], |row| row.get::<i64>(0))?;
        if unmet != Some(0) {
            return Ok(true);
        }
    }
    enter(tx, id, shape.types[no])
}

/// Puts an open step that waits for nothing where it belongs. The usual case is one statement. False: it has ended.
pub(in crate::store) fn enter(tx: &WriteTx, id: StepId, step_type: TypeId) -> Result<bool> {
    let (lane, flagged) = {
        let memory = tx.memory();
        (memory.lane(step_type), !memory.paused_groups.is_empty() || !memory.cancelling_groups.is_empty())
    };
    if !flagged {
        let entered = tx.execute(ENTER, params![id.0, lane])?;
        if entered == 1 {
            tx.memory().woke = true;
            return Ok(true);
        }
    }
    match get(tx, id)? {
        Some(step) if step.state.is_terminal() => Ok(false),
        Some(step) => place_due(tx, &step).map(|()| true),
        None => Ok(false),
    }
}

/// S3: a successor without a key. When it is due is not asked: before its first attempt `due` is the time of its
/// submission and only orders, so that a wall clock that was set back delays nothing.
pub(in crate::store) const ENTER: &str = formatcp!(
    "INSERT INTO ready(lane, priority, due, step_id, type_id, run_id, group_id, scope, key_id, attempts)
     SELECT ?2, priority, due, id, type_id, run_id, group_id, scope, key_id, attempts
       FROM step WHERE id = ?1 AND state = {STEP_OPEN} AND key_id IS NULL"
);

/// Decides where an unfinished step that needs nothing more waits: due later, parked, in line, or claimable.
///
/// The step must be in neither `ready` nor `lease`. A step of a group that is being cancelled is left to the canceller.
pub(in crate::store) fn place(tx: &WriteTx, step: &StepRow) -> Result<()> {
    if !step.state.is_terminal() && step.due > tx.now().0 {
        set_state(tx, step.id, StepState::Delayed)?;
        tx.memory().due_at(Timestamp(step.due));
        return Ok(());
    }
    place_due(tx, step)
}

/// The same for a step that was due already, whatever the wall clock says now.
pub(in crate::store) fn place_due(tx: &WriteTx, step: &StepRow) -> Result<()> {
    if step.state.is_terminal() {
        return Ok(());
    }
    let paused = {
        let memory = tx.memory();
        memory.paused_groups.contains(&step.group) || memory.cancelling_groups.contains(&step.group)
    };
    if paused {
        return set_state(tx, step.id, StepState::Paused);
    }
    let row = ready_row(tx, step);
    let Some(key) = step.key else { return make_ready(tx, step.state, &row) };
    match head(tx, key, step.step_type, step.scope)? {
        Some(head) if !outranks(&row, &head) => set_state(tx, step.id, StepState::Blocked),
        Some(head) => {
            back_in_line(tx, &head)?;
            make_ready(tx, step.state, &row)
        }
        None if crate::store::resource_lock::is_held(tx, key)? => set_state(tx, step.id, StepState::Blocked),
        None => make_ready(tx, step.state, &row),
    }
}

fn ready_row(tx: &WriteTx, step: &StepRow) -> ReadyRow {
    ReadyRow {
        lane: tx.memory().lane(step.step_type),
        priority: step.priority,
        due: step.due,
        step: step.id,
        step_type: step.step_type,
        run: step.run,
        group: step.group,
        scope: step.scope,
        key: step.key,
        attempts: step.attempts,
    }
}

fn make_ready(tx: &WriteTx, state: StepState, row: &ReadyRow) -> Result<()> {
    if state != StepState::Open {
        set_state(tx, row.step, StepState::Open)?;
    }
    insert_ready(tx, row)?;
    tx.memory().woke = true;
    Ok(())
}

pub(in crate::store) fn set_state(tx: &WriteTx, id: StepId, state: StepState) -> Result<()> {
    tx.execute(
        formatcp!("UPDATE step SET state = ?2 WHERE id = ?1 AND state < {STEP_COMPLETED}"),
        params![id.0, state.code()],
    )?;
    Ok(())
}

pub(in crate::store) fn insert_ready(tx: &WriteTx, row: &ReadyRow) -> Result<()> {
    tx.execute(
        "INSERT INTO ready(lane, priority, due, step_id, type_id, run_id, group_id, scope, key_id, attempts)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
        params![
            row.lane,
            row.priority,
            row.due,
            row.step.0,
            row.step_type.0,
            row.run.0,
            row.group.0,
            row.scope,
            row.key.map(|it| it.0),
            row.attempts
        ],
    )?;
    Ok(())
}

pub(in crate::store) fn delete_ready(tx: &WriteTx, row: &ReadyRow) -> Result<usize> {
    tx.execute(DELETE_READY, params![row.lane, row.priority, row.due, row.step.0])
}

/// C3.
pub(in crate::store) const DELETE_READY: &str =
    "DELETE FROM ready WHERE lane = ?1 AND priority = ?2 AND due = ?3 AND step_id = ?4";

/// Takes a step out of `ready`, wherever it stands there; false: it was not there. For the rare verbs that know only
/// its id. The head of a line leaves a gap: the caller promotes the next.
pub(in crate::store) fn leave_ready(tx: &WriteTx, step: &StepRow) -> Result<bool> {
    let lane = tx.memory().lane(step.step_type);
    for lane in [lane, 0] {
        if tx.execute(DELETE_READY, params![lane, step.priority, step.due, step.id.0])? > 0 {
            return Ok(true);
        }
    }
    Ok(false)
}

pub(in crate::store) fn read_ready(row: &Row) -> Result<ReadyRow> {
    Ok(ReadyRow {
        lane: row.get(0)?,
        priority: row.get(1)?,
        due: row.get(2)?,
        step: StepId(row.get(3)?),
        step_type: TypeId(row.get(4)?),
        run: RunId(row.get(5)?),
        group: GroupId(row.get(6)?),
        scope: row.get(7)?,
        key: row.get::<Option<i64>>(8)?.map(KeyId),
        attempts: row.get(9)?,
    })
}

/// The claimable step of a line, if there is one.
pub(in crate::store) fn head(tx: &ReadTx, key: KeyId, step_type: TypeId, scope: i64) -> Result<Option<ReadyRow>> {
    tx.row(HEAD, params![key.0, step_type.0, scope], read_ready)
}

pub(in crate::store) const HEAD: &str =
    "SELECT lane, priority, due, step_id, type_id, run_id, group_id, scope, key_id, attempts FROM ready
      WHERE key_id = ?1 AND key_id IS NOT NULL AND type_id = ?2 AND scope = ?3";

/// The claim order: priority high first, then due time, then id.
fn outranks(one: &ReadyRow, other: &ReadyRow) -> bool {
    (Reverse(one.priority), one.due, one.step) < (Reverse(other.priority), other.due, other.step)
}

/// A head whose key is taken, or that a better step replaces, goes back in line.
pub(in crate::store) fn back_in_line(tx: &WriteTx, head: &ReadyRow) -> Result<()> {
    delete_ready(tx, head)?;
    set_state(tx, head.step, StepState::Blocked)
}

/// The steps that a paused group, or a pause of its type, takes out of a claim's way.
pub(in crate::store) fn park(tx: &WriteTx, row: &ReadyRow) -> Result<()> {
    delete_ready(tx, row)?;
    set_state(tx, row.step, StepState::Paused)?;
    match row.key {
        Some(key) => promote_line(tx, key, row.step_type, row.scope),
        None => Ok(()),
    }
}

/// After a key became free: the first of each of its lines becomes claimable.
pub(in crate::store) fn promote_lines(tx: &WriteTx, key: KeyId) -> Result<()> {
    let mut after = None;
    while let Some((step_type, scope)) = next_line(tx, key, after)? {
        promote_line(tx, key, TypeId(step_type), scope)?;
        after = Some((step_type, scope));
    }
    Ok(())
}

/// The next line of a key. Two probes: one comparison of (type, scope) pairs would walk the whole line that it just left.
fn next_line(tx: &WriteTx, key: KeyId, after: Option<(i64, i64)>) -> Result<Option<(i64, i64)>> {
    let pair = |row: &Row| Ok((row.get(0)?, row.get(1)?));
    let (step_type, scope) = after.unwrap_or((i64::MIN, i64::MIN));
    let same_type = tx.row(NEXT_SCOPE, params![key.0, step_type, scope], pair)?;
    match same_type {
        Some(found) => Ok(Some(found)),
        None => tx.row(NEXT_TYPE, params![key.0, step_type], pair),
    }
}

/// L1, the probes.
pub(in crate::store) const NEXT_SCOPE: &str = formatcp!(
    "SELECT type_id, scope FROM step WHERE state = {STEP_BLOCKED} AND key_id = ?1 AND type_id = ?2 AND scope > ?3
      ORDER BY scope LIMIT 1"
);
pub(in crate::store) const NEXT_TYPE: &str = formatcp!(
    "SELECT type_id, scope FROM step WHERE state = {STEP_BLOCKED} AND key_id = ?1 AND type_id > ?2
      ORDER BY type_id, scope LIMIT 1"
);
pub(in crate::store) const NEXT_OF_LINE: &str = formatcp!(
    "SELECT id FROM step WHERE state = {STEP_BLOCKED} AND key_id = ?1 AND type_id = ?2 AND scope = ?3
      ORDER BY priority DESC, due, id LIMIT 1"
);

/// The next of one line becomes claimable, if the line has no head and its key is free.
///
/// A paused group's step becomes claimable too: the claim that meets it parks it and promotes the next. To look for a
/// better one here could walk a long line, and to stop at it would leave the line without a head for good.
pub(in crate::store) fn promote_line(tx: &WriteTx, key: KeyId, step_type: TypeId, scope: i64) -> Result<()> {
    if head(tx, key, step_type, scope)?.is_some() || crate::store::resource_lock::is_held(tx, key)? {
        return Ok(());
    }
    let next = tx.row(NEXT_OF_LINE, params![key.0, step_type.0, scope], |row| row.get(0).map(StepId))?;
    match next.map(|id| get(tx, id)).transpose()?.flatten() {
        Some(step) => make_ready(tx, step.state, &ready_row(tx, &step)),
        None => Ok(()),
    }
}

/// Steps whose due time has come become claimable. Runs at the start of a transaction; free while nothing is due.
pub(in crate::store) fn promote_due(tx: &WriteTx) -> Result<()> {
    if tx.memory().next_due.is_none_or(|due| due > tx.now()) {
        return Ok(());
    }
    let due = tx.rows(DUE, params![tx.now().0, PROMOTE as i64], |row| row.get(0).map(StepId))?;
    for id in due {
        if let Some(step) = get(tx, id)? {
            set_state(tx, id, StepState::Open)?;
            place(tx, &StepRow { state: StepState::Open, ..step })?;
        }
    }
    let next =
        tx.row(formatcp!("SELECT due FROM step WHERE state = {STEP_DELAYED} ORDER BY due LIMIT 1"), [], |row| {
            row.get(0)
        })?;
    let mut memory = tx.memory();
    memory.next_due = next.map(Timestamp);
    // More are due than one transaction takes: ask to be asked again.
    memory.woke |= memory.next_due.is_some_and(|due| due <= tx.now());
    Ok(())
}

/// D1.
pub(in crate::store) const DUE: &str =
    formatcp!("SELECT id FROM step WHERE state = {STEP_DELAYED} AND due <= ?1 ORDER BY due LIMIT ?2");

/// The definition of a run, and its first step.
pub(in crate::store) fn definition_of_run(tx: &ReadTx, run: RunId) -> Result<Option<(DefinitionId, StepId)>> {
    tx.row("SELECT definition_id, first_step FROM run WHERE id = ?1", [run.0], |row| {
        Ok((DefinitionId(row.get(0)?), StepId(row.get(1)?)))
    })
}

/// Gives an unfinished step the scope of its group, wherever it waits.
pub(in crate::store) fn adopt(tx: &WriteTx, id: StepId, group: GroupId) -> Result<()> {
    let Some(before) = get(tx, id)? else { return Ok(()) };
    let ready = leave_ready(tx, &before)?;
    tx.execute("UPDATE step SET scope = ?2 WHERE id = ?1", params![id.0, group.0])?;
    let after = StepRow { scope: group.0, ..before };
    if ready || before.state == StepState::Blocked {
        place_due(tx, &after)?;
    }
    match before.key {
        Some(key) if ready => promote_line(tx, key, before.step_type, before.scope),
        _ => Ok(()),
    }
}
