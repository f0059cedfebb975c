//! Rows of `resource` and `demand`, written at submit, and the capacities in force.

use crate::decide::resource as rule;
use crate::model::code::{RESOURCE_COUNTED, RESOURCE_RATE};
use crate::model::{Capacity, CapacitySource, DemandId, EventKind, Millis, Rate, ResourceId, units_text};
use crate::store::{
    demand::REMEMBERED,
    error::{Error, Result},
    event::{self, About},
    learned,
    params::params,
    resource,
    tx::{ReadTx, WriteTx},
};
use const_format::formatcp;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// What a step takes, by names. It starts only if it can take everything.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewDemand {
    /// Units by resource name. None: use what was learned for the step's type.
    pub units: BTreeMap<String, Option<i64>>,
    pub rates: BTreeMap<String, Rate>,
    /// Capacities that apply from now on, by resource name. Other resources keep theirs.
    #[serde(skip)]
    pub capacities: BTreeMap<String, Capacity>,
}

impl NewDemand {
    pub fn is_empty(&self) -> bool {
        self.units.is_empty() && self.rates.is_empty()
    }
}

/// The demand of step `no`. None if it takes nothing.
pub(in crate::store) fn of_step(tx: &WriteTx, demands: &[Option<NewDemand>], no: usize) -> Result<Option<DemandId>> {
    demands.get(no).and_then(Option::as_ref).map(|it| intern(tx, it)).transpose()
}

/// The row of a demand. Creates it and its resources if they do not exist.
fn intern(tx: &WriteTx, new: &NewDemand) -> Result<DemandId> {
    let body = serde_json::to_string(new).map_err(|error| Error::Sqlite { reason: error.to_string() })?;
    let key = (body, new.capacities.clone());
    if let Some(id) = tx.memory().demand_ids.get(&key) {
        return Ok(*id);
    }
    let body = key.0.as_str();
    let mut parts = Vec::new();
    for (name, units) in &new.units {
        parts.push((declare(tx, name, new.capacities.get(name).copied())?, *units, None));
    }
    for (name, rate) in &new.rates {
        parts.push((declare_rate(tx, name, rate.starts)?, Some(rate.starts), Some(rate.per.0 as i64)));
    }
    let found = tx.row("SELECT id FROM demand WHERE body = ?1", [body], |row| row.get(0).map(DemandId))?;
    let id = match found {
        Some(id) => id,
        None => {
            let id = DemandId(tx.insert("INSERT INTO demand(body) VALUES (?1) RETURNING id", [body])?);
            for (resource, units, per) in parts {
                tx.execute(
                    "INSERT INTO demand_part(demand_id, resource_id, units, per) VALUES (?1, ?2, ?3, ?4)",
                    params![id.0, resource.0, units, per],
                )?;
            }
            id
        }
    };
    let mut memory = tx.memory();
    if memory.demand_ids.len() >= REMEMBERED {
        memory.demand_ids.clear();
    }
    memory.demand_ids.insert(key, id);
    Ok(id)
}

/// The row of a counted resource, created if it does not exist. `capacity` applies from now on.
fn declare(tx: &WriteTx, name: &str, capacity: Option<Capacity>) -> Result<ResourceId> {
    let found = tx.row(
        formatcp!("SELECT id, capacity, source FROM resource WHERE kind = {RESOURCE_COUNTED} AND name = ?1"),
        [name],
        |row| Ok((ResourceId(row.get(0)?), row.get::<i64>(1)?, row.get::<i64>(2)?)),
    )?;
    let Some((id, units, source)) = found else {
        let capacity = capacity.unwrap_or(Capacity { units: 1, source: CapacitySource::Default });
        let sql = formatcp!(
            "INSERT INTO resource(kind, name, capacity, source) VALUES ({RESOURCE_COUNTED}, ?1, ?2, ?3) RETURNING id"
        );
        return tx.insert(sql, params![name, capacity.units, capacity.source.code()]).map(ResourceId);
    };
    match capacity {
        Some(new) if (new.units, new.source.code()) != (units, source) => set_capacity(tx, id, new)?,
        _ => {}
    }
    Ok(id)
}

/// Changes a capacity. Units held beyond a lower capacity stay held until they are released.
fn set_capacity(tx: &WriteTx, id: ResourceId, capacity: Capacity) -> Result<()> {
    let (name, before, held) = resource::state(tx, id)?;
    tx.execute(
        "UPDATE resource SET capacity = ?2, source = ?3, excess = ?4 WHERE id = ?1",
        params![id.0, capacity.units, capacity.source.code(), rule::excess(held, capacity.units)],
    )?;
    tx.memory().demand_ids.clear();
    if before != capacity.units {
        let (now, before) = (units_text(&name, capacity.units), units_text(&name, before));
        let detail = format!("{name}: {now} instead of {before}, by {}", capacity.source.words());
        event::note_with(tx, EventKind::ResourceChanged, About::default(), detail)?;
    }
    resource::freed(tx, id)
}

/// The row of a rate. It remembers at least this many starts.
fn declare_rate(tx: &WriteTx, name: &str, starts: i64) -> Result<ResourceId> {
    tx.insert(
        formatcp!(
            "INSERT INTO resource(kind, name, capacity) VALUES ({RESOURCE_RATE}, ?1, ?2)
             ON CONFLICT(kind, name) DO UPDATE SET capacity = max(capacity, excluded.capacity) RETURNING id"
        ),
        params![name, starts],
    )
    .map(ResourceId)
}

/// The capacity in force for a resource. None if there is no such resource.
pub fn capacity_of(tx: &ReadTx, name: &str) -> Result<Option<Capacity>> {
    tx.row(
        formatcp!("SELECT capacity, source FROM resource WHERE kind = {RESOURCE_COUNTED} AND name = ?1"),
        [name],
        |row| {
            let source = CapacitySource::from_code(row.get(1)?).unwrap_or(CapacitySource::Default);
            Ok(Capacity { units: row.get(0)?, source })
        },
    )
}

/// The counted resources after an id, with names and capacities in force.
pub fn capacities(tx: &ReadTx, after: ResourceId, limit: usize) -> Result<Vec<(ResourceId, String, Capacity)>> {
    tx.rows(
        formatcp!(
            "SELECT id, name, capacity, source FROM resource WHERE kind = {RESOURCE_COUNTED} AND id > ?1 ORDER BY id LIMIT ?2"
        ),
        params![after.0, limit as i64],
        |row| {
            let source = CapacitySource::from_code(row.get(3)?).unwrap_or(CapacitySource::Default);
            Ok((ResourceId(row.get(0)?), row.get(1)?, Capacity { units: row.get(2)?, source }))
        },
    )
}

/// Re-examines all resources with a due time in the next transaction, because the clock was set back.
pub fn look_at_all(tx: &WriteTx) -> Result<()> {
    let changed = tx.execute("UPDATE resource SET due = ?1 WHERE due IS NOT NULL AND due > ?1", [tx.now().0])?;
    if changed > 0 {
        let now = tx.now();
        tx.memory().due_at(now);
    }
    Ok(())
}

/// Applies the capacities from the current settings.
pub fn configure(tx: &WriteTx, changed: &[(ResourceId, Capacity)]) -> Result<()> {
    changed.iter().try_for_each(|(id, capacity)| set_capacity(tx, *id, *capacity))
}

/// Removes up to `limit` resources that no demand names, with nothing held and no start remembered within a window.
fn sweep_resources(tx: &WriteTx, limit: usize) -> Result<usize> {
    let unused = tx.rows(
        formatcp!(
            "SELECT id FROM resource r WHERE (kind = {RESOURCE_RATE} OR held = 0)
                AND NOT EXISTS (SELECT 1 FROM demand_part p WHERE p.resource_id = r.id)
                AND NOT EXISTS (SELECT 1 FROM holding h WHERE h.resource_id = r.id)
                AND NOT EXISTS (SELECT 1 FROM rate_start s WHERE s.resource_id = r.id AND s.at > ?1) LIMIT ?2"
        ),
        params![tx.now().0 - LONGEST_WINDOW.0 as i64, limit as i64],
        |row| row.get::<i64>(0),
    )?;
    for id in &unused {
        tx.execute("DELETE FROM resource WHERE id = ?1", [*id])?;
    }
    Ok(unused.len())
}

/// The longest window of any rate.
const LONGEST_WINDOW: Millis = Millis(366 * 86_400_000);

/// Removes up to `limit` demands after `after` that no step has, and then resources that no demand names. Returns where
/// to continue; None at the end.
pub fn sweep(tx: &WriteTx, after: DemandId, limit: usize) -> Result<Option<DemandId>> {
    let ids =
        tx.rows("SELECT id FROM demand WHERE id > ?1 ORDER BY id LIMIT ?2", params![after.0, limit as i64], |row| {
            row.get(0).map(DemandId)
        })?;
    let mut removed = 0;
    for id in &ids {
        removed += tx.execute(
            "DELETE FROM demand WHERE id = ?1 AND NOT EXISTS (SELECT 1 FROM step WHERE demand_id = ?1 AND demand_id IS NOT NULL)
                AND NOT EXISTS (SELECT 1 FROM line l WHERE l.demand_id = ?1)",
            [id.0],
        )?;
    }
    if removed > 0 {
        let mut memory = tx.memory();
        memory.demands.clear();
        memory.demand_ids.clear();
    }
    if ids.len() == limit {
        return Ok(ids.last().copied());
    }
    learned::sweep(tx)?;
    sweep_resources(tx, limit)?;
    Ok(None)
}
