//! Table `ready`: the claimable steps of each group, in claim order. `turn` decides which group is next.
//!
//! A pool claims from one queue: the queue of a type that has a pool of its own, or the shared queue, number 0. Each
//! row repeats the columns of its step that a claim needs, so a claim reads only this table.

use crate::model::code::STEP_OPEN;
use crate::model::{DemandId, GroupId, KeyId, RunId, StepId, TypeId};
use crate::store::{
    error::Result,
    line,
    params::params,
    resource,
    row::Row,
    step::StepRow,
    turn,
    tx::{ReadTx, WriteTx},
};
use const_format::formatcp;
use std::cmp::Reverse;

/// A claimable step.
#[derive(Debug, Clone, Copy)]
pub(in crate::store) struct ReadyRow {
    pub queue: i64,
    pub priority: i64,
    pub due: i64,
    pub step: StepId,
    pub step_type: TypeId,
    pub run: RunId,
    pub group: GroupId,
    pub scope: i64,
    pub key: Option<KeyId>,
    pub attempts: i64,
}

impl ReadyRow {
    /// The row of a step that becomes claimable. A step that takes resources goes to the line for them.
    pub(in crate::store) fn of(tx: &WriteTx, step: &StepRow) -> Result<ReadyRow> {
        let queue = match step.demand {
            Some(demand) => line::queue_of(line::enter(tx, demand, step.step_type)?),
            None => tx.memory().queue(step.step_type),
        };
        Ok(ReadyRow {
            queue,
            priority: step.priority,
            due: step.due,
            step: step.id,
            step_type: step.step_type,
            run: step.run,
            group: step.group,
            scope: step.scope,
            key: step.key,
            attempts: step.attempts,
        })
    }

    /// Whether this step gets the key that both need before the other step does: higher priority first, then earlier
    /// due time, then lower id.
    pub(in crate::store) fn outranks(&self, other: &ReadyRow) -> bool {
        let rank = |it: &ReadyRow| (Reverse(it.priority), it.due, it.step);
        rank(self) < rank(other)
    }
}

/// A position in the order of the table within a queue.
#[derive(Debug, Clone, Copy)]
pub struct Place {
    priority: i64,
    group: i64,
    step: i64,
}

impl Place {
    /// Precedes every row.
    const START: Place = Place { priority: i64::MAX, group: i64::MAX, step: i64::MAX };

    pub(in crate::store) fn of(row: &ReadyRow) -> Place {
        Place { priority: row.priority, group: row.group.0, step: row.step.0 }
    }
}

/// All columns, in the order that `read` and `insert` use.
const COLUMNS: &str = "queue, priority, group_id, step_id, due, type_id, run_id, scope, key_id, attempts";

fn read(row: &Row) -> Result<ReadyRow> {
    Ok(ReadyRow {
        queue: row.get(0)?,
        priority: row.get(1)?,
        group: GroupId(row.get(2)?),
        step: StepId(row.get(3)?),
        due: row.get(4)?,
        step_type: TypeId(row.get(5)?),
        run: RunId(row.get(6)?),
        scope: row.get(7)?,
        key: row.get::<Option<i64>>(8)?.map(KeyId),
        attempts: row.get(9)?,
    })
}

pub(in crate::store) fn insert(tx: &WriteTx, row: &ReadyRow) -> Result<()> {
    turn::enter(tx, row.queue, row.priority, row.group)?;
    tx.execute(
        formatcp!("INSERT INTO ready({COLUMNS}) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)"),
        params![
            row.queue,
            row.priority,
            row.group.0,
            row.step.0,
            row.due,
            row.step_type.0,
            row.run.0,
            row.scope,
            row.key.map(|it| it.0),
            row.attempts
        ],
    )?;
    Ok(())
}

/// Makes an open step without a key and without resources claimable, in one statement. Returns false if it is not open, or has
/// either.
pub(in crate::store) fn enter(tx: &WriteTx, id: StepId, queue: i64) -> Result<bool> {
    let entered = tx.change(ENTER, [id.0, queue], |row| Ok((row.get(0)?, GroupId(row.get(1)?))))?;
    let Some((priority, group)) = entered else { return Ok(false) };
    turn::enter(tx, queue, priority, group)?;
    Ok(true)
}

/// S3: a successor without a key. This does not check the due time. Before the first attempt, `due` is the time of
/// submission and serves only as a sort key, so setting the wall clock back delays nothing.
pub(in crate::store) const ENTER: &str = formatcp!(
    "INSERT INTO ready({COLUMNS})
     SELECT ?2, priority, group_id, id, due, type_id, run_id, scope, key_id, attempts
       FROM step WHERE id = ?1 AND state = {STEP_OPEN} AND key_id IS NULL AND demand_id IS NULL
     RETURNING priority, group_id"
);

pub(in crate::store) fn delete(tx: &WriteTx, row: &ReadyRow) -> Result<()> {
    tx.execute(DELETE, [row.queue, row.priority, row.group.0, row.step.0])?;
    Ok(())
}

/// C3.
pub(in crate::store) const DELETE: &str =
    "DELETE FROM ready WHERE queue = ?1 AND priority = ?2 AND group_id = ?3 AND step_id = ?4";

/// Removes a step from whichever queue it is in; returns false if it is in none. For the rare verbs that know only the
/// step. If the step was ahead of blocked steps, the caller must unblock the next one.
pub(in crate::store) fn leave(tx: &WriteTx, step: &StepRow) -> Result<bool> {
    if let Some(demand) = step.demand {
        return leave_line(tx, step, demand);
    }
    let queue = tx.memory().queue(step.step_type);
    for queue in [queue, 0] {
        if tx.execute(DELETE, [queue, step.priority, step.group.0, step.id.0])? > 0 {
            return Ok(true);
        }
    }
    Ok(false)
}

fn leave_line(tx: &WriteTx, step: &StepRow, demand: DemandId) -> Result<bool> {
    let Some(id) = line::find(tx, demand, step.step_type)? else { return Ok(false) };
    let left = tx.execute(DELETE, [line::queue_of(id), step.priority, step.group.0, step.id.0])? > 0;
    // An empty closed line would hold a place in the order that it no longer needs.
    if left && let Some(line) = line::get(tx, id)?.filter(|it| !it.open) {
        resource::remove_line_if_empty(tx, &line)?;
    }
    Ok(left)
}

/// Moves a row into another queue.
pub(in crate::store) fn change_queue(tx: &WriteTx, row: &ReadyRow, queue: i64) -> Result<()> {
    delete(tx, row)?;
    insert(tx, &ReadyRow { queue, ..*row })?;
    tx.memory().woke = true;
    Ok(())
}

/// Up to `limit` claimable steps of a group in a queue, after the step `after`, in claim order.
pub(in crate::store) fn of_group(
    tx: &ReadTx,
    (queue, priority, group): (i64, i64, GroupId),
    after: StepId,
    limit: usize,
) -> Result<Vec<ReadyRow>> {
    tx.rows(OF_GROUP, [queue, priority, group.0, after.0, limit as i64], read)
}

/// C2.
pub(in crate::store) const OF_GROUP: &str = formatcp!(
    "SELECT {COLUMNS} FROM ready WHERE queue = ?1 AND priority = ?2 AND group_id = ?3 AND step_id > ?4
      ORDER BY step_id LIMIT ?5"
);

/// Like `of_group`, but only steps in the group's own scope. Steps that are not adopted yet are left to other workers.
pub(in crate::store) fn of_scope(
    tx: &ReadTx,
    (queue, priority, group): (i64, i64, GroupId),
    limit: usize,
) -> Result<Vec<ReadyRow>> {
    tx.rows(OF_SCOPE, [queue, priority, group.0, limit as i64], read)
}

pub(in crate::store) const OF_SCOPE: &str = formatcp!(
    "SELECT {COLUMNS} FROM ready WHERE queue = ?1 AND priority = ?2 AND group_id = ?3 AND scope = ?3
      ORDER BY step_id LIMIT ?4"
);

/// The claimable steps of the groups that steps of a scope started, the oldest runs first.
pub(in crate::store) fn below_scope(tx: &ReadTx, queue: i64, scope: GroupId, limit: usize) -> Result<Vec<ReadyRow>> {
    tx.rows(BELOW_SCOPE, [queue, scope.0, limit as i64], read)
}

pub(in crate::store) const BELOW_SCOPE: &str = formatcp!(
    "SELECT {COLUMNS} FROM ready WHERE scope = ?2 AND queue = ?1 AND scope > 0 AND scope <> group_id
      ORDER BY step_id LIMIT ?3"
);

/// Up to `limit` rows of the shared queue after a place, in the order of the table.
pub(in crate::store) fn shared_behind(tx: &ReadTx, after: Option<Place>, limit: usize) -> Result<Vec<ReadyRow>> {
    let from = after.unwrap_or(Place::START);
    // Three ranges of the primary key: a single comparison of all three columns would scan the earlier rows again.
    let [same_group, later, lower] = RANGES;
    let limit = limit as i64;
    let mut rows = tx.rows(same_group, [limit, from.priority, from.group, from.step], read)?;
    rows.extend(tx.rows(later, [limit - rows.len() as i64, from.priority, from.group], read)?);
    rows.extend(tx.rows(lower, [limit - rows.len() as i64, from.priority], read)?);
    Ok(rows)
}

pub(in crate::store) const RANGES: [&str; 3] = [
    formatcp!(
        "SELECT {COLUMNS} FROM ready
          WHERE queue = 0 AND priority = ?2 AND group_id = ?3 AND step_id > ?4 ORDER BY step_id LIMIT ?1"
    ),
    formatcp!(
        "SELECT {COLUMNS} FROM ready
          WHERE queue = 0 AND priority = ?2 AND group_id > ?3 ORDER BY group_id, step_id LIMIT ?1"
    ),
    formatcp!(
        "SELECT {COLUMNS} FROM ready
          WHERE queue = 0 AND priority < ?2 ORDER BY priority DESC, group_id, step_id LIMIT ?1"
    ),
];

/// The claimable step of a key, type and scope. All other steps with the same three are blocked behind it, so there is
/// at most one.
pub(in crate::store) fn head(tx: &ReadTx, key: KeyId, step_type: TypeId, scope: i64) -> Result<Option<ReadyRow>> {
    tx.row(HEAD, [key.0, step_type.0, scope], read)
}

pub(in crate::store) const HEAD: &str =
    formatcp!("SELECT {COLUMNS} FROM ready WHERE key_id = ?1 AND key_id IS NOT NULL AND type_id = ?2 AND scope = ?3");
