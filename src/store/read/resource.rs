//! Counted resources and rates: how many units there are, who holds them, and how many steps wait.

use crate::{
    model::{CapacitySource, ResourceId, ResourceKind, StepId, Timestamp},
    store::{demand, error::Result, line, params::params, row::Row, tx::ReadTx},
};
use serde::Serialize;

/// Holders that a list shows of one resource.
const HOLDERS: i64 = 20;
/// Waiting steps are counted up to this number.
const COUNTED: i64 = 100_000;

/// A step that runs and holds units.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct HeldBy {
    pub step: StepId,
    pub units: i64,
}

/// A counted resource, or a rate.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct ResourceRow {
    pub name: String,
    pub kind: ResourceKind,
    /// Units that there are; of a rate, the starts that it remembers.
    pub capacity: i64,
    /// Who says the capacity.
    pub source: CapacitySource,
    /// Units that running steps hold; 0 for a rate.
    pub held: i64,
    /// Steps that wait because of it, up to 100,000.
    pub waiting: i64,
    /// The step that has waited longest for it. Null: none waits.
    pub first: Option<StepId>,
    /// The first holders, at most 20.
    pub holders: Vec<HeldBy>,
    /// When a rate lets the next waiting step start.
    pub next: Option<Timestamp>,
}

/// What a waiting step lacks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct Lacks {
    pub resource: ResourceRow,
    /// Units that the step needs; of a rate, the most starts in a window.
    pub units: Option<i64>,
    /// The window of a rate in milliseconds.
    pub per: Option<i64>,
    /// The step that has waited longest for it, which nothing passes after `fair_after`. Null: this step, or it is a rate.
    pub behind: Option<StepId>,
}

/// Resources in use, by name, behind `after` (kind and name).
pub fn resources(tx: &ReadTx, after: Option<(ResourceKind, &str)>, limit: usize) -> Result<Vec<ResourceRow>> {
    let (kind, name) = after.map_or((0, ""), |(kind, name)| (kind.code(), name));
    let ids = tx.rows(
        "SELECT id FROM resource WHERE (kind, name) > (?1, ?2) ORDER BY kind, name LIMIT ?3",
        params![kind, name, limit as i64],
        |row| row.get(0).map(ResourceId),
    )?;
    let found = ids.into_iter().map(|id| resource(tx, id));
    Ok(found.collect::<Result<Vec<_>>>()?.into_iter().flatten().collect())
}

/// Resources that steps hold or wait for: those with the most waiting steps first, then by kind and name. It looks at
/// the first 1,000 of those in use.
pub fn busy_resources(tx: &ReadTx, limit: usize) -> Result<Vec<ResourceRow>> {
    let ids = tx.rows(BUSY, [LOOKED_AT], |row| row.get(0).map(ResourceId))?;
    let mut found = Vec::new();
    for id in ids {
        found.extend(resource(tx, id)?);
    }
    found.retain(|it| it.waiting > 0 || it.held > 0);
    found.sort_by(|one, other| {
        other
            .waiting
            .cmp(&one.waiting)
            .then_with(|| (one.kind.code(), &one.name).cmp(&(other.kind.code(), &other.name)))
    });
    found.truncate(limit);
    Ok(found)
}

/// The same, followed by those that nothing holds or waits for.
pub fn busiest_resources(tx: &ReadTx, limit: usize) -> Result<Vec<ResourceRow>> {
    let mut found = busy_resources(tx, limit)?;
    for idle in resources(tx, None, limit)? {
        if found.len() < limit && !found.iter().any(|it| (it.kind, &it.name) == (idle.kind, &idle.name)) {
            found.push(idle);
        }
    }
    Ok(found)
}

/// From the two small tables that are empty while no step takes a resource.
const BUSY: &str = "SELECT resource_id FROM (SELECT resource_id FROM holding UNION SELECT resource_id FROM line_wait)
    ORDER BY resource_id LIMIT ?1";
const LOOKED_AT: i64 = 1_000;

fn resource(tx: &ReadTx, id: ResourceId) -> Result<Option<ResourceRow>> {
    let found = tx.row("SELECT name, kind, capacity, source, held, due FROM resource WHERE id = ?1", [id.0], read)?;
    let Some(mut row) = found else { return Ok(None) };
    row.holders = tx.rows(
        "SELECT step_id, units FROM holding WHERE resource_id = ?1 ORDER BY step_id LIMIT ?2",
        [id.0, HOLDERS],
        |row| Ok(HeldBy { step: StepId(row.get(0)?), units: row.get(1)? }),
    )?;
    let waiting = tx.row(WAITING, [id.0, COUNTED], |row| row.get(0))?;
    row.waiting = waiting.unwrap_or(0);
    if let Some(first) = line::first_for(tx, id)?.filter(|_| row.waiting > 0) {
        row.first = first_of(tx, first.line)?;
    }
    Ok(Some(row))
}

/// The first step of a line.
fn first_of(tx: &ReadTx, line: i64) -> Result<Option<StepId>> {
    tx.row(
        "SELECT step_id FROM ready WHERE queue = ?1 ORDER BY priority DESC, group_id, step_id LIMIT 1",
        [line::queue_of(line)],
        |row| row.get(0).map(StepId),
    )
}

const WAITING: &str = "SELECT count(*) FROM (SELECT 1 FROM line_wait w JOIN line l ON l.id = w.line_id
    JOIN ready q ON q.queue = -l.id WHERE w.resource_id = ?1 AND l.lacks = ?1 LIMIT ?2)";

fn read(row: &Row) -> Result<ResourceRow> {
    let kind = ResourceKind::from_code(row.get(1)?).unwrap_or(ResourceKind::Counted);
    let is_rate = kind == ResourceKind::Rate;
    Ok(ResourceRow {
        name: row.get(0)?,
        kind,
        capacity: row.get(2)?,
        source: CapacitySource::from_code(row.get(3)?).unwrap_or(CapacitySource::Default),
        held: if is_rate { 0 } else { row.get(4)? },
        waiting: 0,
        first: None,
        holders: Vec::new(),
        next: row.get::<Option<i64>>(5)?.filter(|_| is_rate).map(Timestamp),
    })
}

/// What keeps a step in the closed line of its resources. None: it waits in none.
pub(super) fn lacks(tx: &ReadTx, step: StepId) -> Result<Option<Lacks>> {
    let found = tx.row(
        "SELECT l.id, l.lacks, s.demand_id, l.since FROM step s
           JOIN line l ON l.demand_id = s.demand_id AND l.type_id = s.type_id AND l.open = 0
           JOIN ready q ON q.queue = -l.id AND q.priority = s.priority AND q.group_id = s.group_id AND q.step_id = s.id
          WHERE s.id = ?1",
        [step.0],
        |row| Ok((row.get::<i64>(0)?, ResourceId(row.get(1)?), row.get::<i64>(2)?, row.get::<i64>(3)?)),
    )?;
    let Some((own, lacks, demand, since)) = found else { return Ok(None) };
    let Some(resource) = resource(tx, lacks)? else { return Ok(None) };
    let parts = demand::parts(tx, crate::model::DemandId(demand))?;
    let part = parts.into_iter().find(|it| it.resource == lacks);
    let is_rate = resource.kind == ResourceKind::Rate;
    let first = line::first_for(tx, lacks)?.filter(|it| it.line != own && it.since <= since && !is_rate);
    let behind = first.map(|it| first_of(tx, it.line));
    Ok(Some(Lacks {
        units: part.and_then(|it| it.units),
        per: part.filter(|_| is_rate).map(|it| it.per.0 as i64),
        behind: behind.transpose()?.flatten(),
        resource,
    }))
}
