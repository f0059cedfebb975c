//! Tables `line` and `line_wait`: steps that take the same resources wait in one line and start from it.
//!
//! A line is a queue of `ready`, so its groups take turns and its steps are claimed in the usual order. While a
//! resource is missing, the line is closed and no claim examines it: 100,000 steps behind a full resource are one row.
//! It opens when all resources are available.

use crate::decide::resource::Waits;
use crate::model::code::RESOURCE_COUNTED;
use crate::model::{DemandId, GroupId, ResourceId, TypeId};
use crate::store::{
    error::Result,
    params::params,
    row::Row,
    tx::{ReadTx, WriteTx},
};
use const_format::formatcp;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::store) struct LineRow {
    pub id: i64,
    pub demand: DemandId,
    pub step_type: TypeId,
    pub queue: i64,
    pub open: bool,
    /// The missing resource for which it was closed.
    pub lacks: Option<ResourceId>,
    /// Since when a step in it has waited for resources. None if none waits.
    pub since: Option<i64>,
    pub offered: Option<i64>,
}

/// The queue number of a line in `ready`.
pub(in crate::store) const fn queue_of(line: i64) -> i64 {
    -line
}

/// The line of a queue. None for an ordinary queue.
pub(in crate::store) fn of_queue(queue: i64) -> Option<i64> {
    (queue < 0).then_some(-queue)
}

fn read(row: &Row) -> Result<LineRow> {
    Ok(LineRow {
        id: row.get(0)?,
        demand: DemandId(row.get(1)?),
        step_type: TypeId(row.get(2)?),
        queue: row.get(3)?,
        open: row.get(4)?,
        since: row.get(5)?,
        offered: row.get(6)?,
        lacks: row.get::<Option<i64>>(7)?.map(ResourceId),
    })
}

pub(in crate::store) fn get(tx: &ReadTx, id: i64) -> Result<Option<LineRow>> {
    tx.row(GET, [id], read)
}

pub(in crate::store) const GET: &str =
    "SELECT id, demand_id, type_id, queue, open, since, offered, lacks FROM line WHERE id = ?1";

pub(in crate::store) fn find(tx: &ReadTx, demand: DemandId, step_type: TypeId) -> Result<Option<i64>> {
    tx.row(FIND, [demand.0, step_type.0], |row| row.get(0))
}

pub(in crate::store) const FIND: &str = "SELECT id FROM line WHERE demand_id = ?1 AND type_id = ?2";

/// The line for this demand and type, created if it does not exist.
pub(in crate::store) fn enter(tx: &WriteTx, demand: DemandId, step_type: TypeId) -> Result<i64> {
    if let Some(id) = find(tx, demand, step_type)? {
        return Ok(id);
    }
    let queue = tx.memory().queue(step_type);
    let id = tx.insert(
        "INSERT INTO line(demand_id, type_id, queue) VALUES (?1, ?2, ?3) RETURNING id",
        params![demand.0, step_type.0, queue],
    )?;
    tx.memory().lines = true;
    Ok(id)
}

/// At most `limit` open lines of a queue, beginning after the line that was served last, so that each gets its turn.
pub(in crate::store) fn open_of(tx: &WriteTx, queue: i64, limit: usize) -> Result<Vec<i64>> {
    if !tx.memory().lines {
        return Ok(Vec::new());
    }
    let last = tx.memory().last_line;
    let mut found: Vec<i64> = tx.rows(OPEN_AFTER, [queue, last, limit as i64], |row| row.get(0))?;
    if found.len() < limit {
        let rest = (limit - found.len()) as i64;
        found.extend(tx.rows(OPEN_UP_TO, [queue, last, rest], |row| row.get::<i64>(0))?);
    }
    Ok(found)
}

/// The lines that a claim looks at.
pub(in crate::store) const OPEN_AFTER: &str =
    "SELECT id FROM line WHERE queue = ?1 AND open = 1 AND id > ?2 ORDER BY id LIMIT ?3";
pub(in crate::store) const OPEN_UP_TO: &str =
    "SELECT id FROM line WHERE queue = ?1 AND open = 1 AND id <= ?2 ORDER BY id LIMIT ?3";

/// Closes a line because this resource is missing. It keeps its place among the lines that wait for its resources.
/// While a rate is missing, the line waits only for the rate, so that others need not wait for units that it could not
/// use yet.
pub(in crate::store) fn close(tx: &WriteTx, line: &LineRow, lacks: ResourceId, is_rate: bool) -> Result<()> {
    let since = line.since.unwrap_or(tx.now().0);
    tx.execute(
        "UPDATE line SET open = 0, lacks = ?2, since = ?3, offered = NULL WHERE id = ?1",
        params![line.id, lacks.0, since],
    )?;
    if line.since.is_some() {
        leave_waits(tx, line, since)?;
    }
    tx.execute(
        formatcp!(
            "INSERT INTO line_wait(resource_id, since, line_id)
             SELECT p.resource_id, ?2, ?3 FROM demand_part p JOIN resource r ON r.id = p.resource_id
              WHERE p.demand_id = ?1 AND CASE WHEN ?4 THEN p.resource_id = ?5 ELSE r.kind = {RESOURCE_COUNTED} END"
        ),
        params![line.demand.0, since, line.id, is_rate, lacks.0],
    )?;
    Ok(())
}

/// Opens a closed line, which keeps its place.
pub(in crate::store) fn offer(tx: &WriteTx, id: i64) -> Result<()> {
    tx.execute("UPDATE line SET open = 1, lacks = NULL, offered = ?2 WHERE id = ?1 AND open = 0", [id, tx.now().0])?;
    tx.memory().woke = true;
    Ok(())
}

/// A step of the line started, or its offer expired. The line no longer waits and is open.
pub(in crate::store) fn begin_anew(tx: &WriteTx, line: &LineRow) -> Result<()> {
    let Some(since) = line.since else { return Ok(()) };
    tx.execute("UPDATE line SET open = 1, lacks = NULL, since = NULL, offered = NULL WHERE id = ?1", [line.id])?;
    leave_waits(tx, line, since)
}

fn leave_waits(tx: &WriteTx, line: &LineRow, since: i64) -> Result<()> {
    tx.execute(
        "DELETE FROM line_wait WHERE since = ?2 AND line_id = ?3
            AND resource_id IN (SELECT resource_id FROM demand_part WHERE demand_id = ?1)",
        params![line.demand.0, since, line.id],
    )?;
    Ok(())
}

/// Removes a line without steps. Returns true if it was removed.
pub(in crate::store) fn remove_if_empty(tx: &WriteTx, line: &LineRow) -> Result<bool> {
    let queue = queue_of(line.id);
    if tx.row(ANY_STEP, [queue], |_| Ok(()))?.is_some() {
        return Ok(false);
    }
    if let Some(since) = line.since {
        leave_waits(tx, line, since)?;
    }
    // Its number may be reused for another line.
    let turns = tx.rows("SELECT priority, group_id FROM turn WHERE queue = ?1", [queue], |row| {
        Ok((queue, row.get::<i64>(0)?, GroupId(row.get(1)?)))
    })?;
    tx.execute("DELETE FROM turn WHERE queue = ?1", [queue])?;
    tx.execute("DELETE FROM line WHERE id = ?1", [line.id])?;
    let mut memory = tx.memory();
    memory.turns.alone.remove(&queue);
    for turn in &turns {
        memory.turns.present.remove(turn);
    }
    Ok(true)
}

pub(in crate::store) const ANY_STEP: &str = "SELECT 1 FROM ready WHERE queue = ?1 LIMIT 1";

/// The lines that wait for a resource, oldest first.
pub(in crate::store) fn waiting_for(tx: &ReadTx, resource: ResourceId, limit: usize) -> Result<Vec<LineRow>> {
    tx.rows(WAITING, params![resource.0, limit as i64], read)
}

pub(in crate::store) const WAITING: &str =
    "SELECT l.id, l.demand_id, l.type_id, l.queue, l.open, l.since, l.offered, l.lacks
   FROM line_wait w JOIN line l ON l.id = w.line_id WHERE w.resource_id = ?1 ORDER BY w.since, w.line_id LIMIT ?2";

/// The line that has waited longest for a resource.
pub(in crate::store) fn first_for(tx: &ReadTx, resource: ResourceId) -> Result<Option<Waits>> {
    tx.row(FIRST, [resource.0], |row| Ok(Waits { line: row.get(0)?, since: row.get(1)? }))
}

pub(in crate::store) const FIRST: &str =
    "SELECT line_id, since FROM line_wait WHERE resource_id = ?1 ORDER BY since, line_id LIMIT 1";

/// A type got its own queue: its lines are now claimed from that queue.
pub(in crate::store) fn change_queue(tx: &WriteTx, step_type: TypeId, queue: i64) -> Result<()> {
    tx.execute("UPDATE line SET queue = ?2 WHERE type_id = ?1", [step_type.0, queue])?;
    Ok(())
}
