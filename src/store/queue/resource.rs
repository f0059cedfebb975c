//! Tables `resource` and `holding`: the units of shared resources, and which steps hold them.
//!
//! A claim takes everything that a step needs, or nothing. A waiting step holds nothing, so there is no deadlock. Units
//! are released in the transaction that ends the step's lease. `decide::resource` decides whose turn it is.

use crate::decide::resource::{self as rule, OFFER};
use crate::failpoint::{Failpoint, is_active};
use crate::model::{Rate, ResourceId, ResourceKind, StepId, Timestamp, TypeId, units_text};
use crate::store::{
    demand,
    error::Result,
    learned,
    line::{self, LineRow},
    memory::KnownPart,
    params::params,
    rate,
    tx::{ReadTx, WriteTx},
};
use std::collections::HashMap;

/// The most lines that are considered when a resource is examined.
const LINES: usize = 256;
/// The most due resources that one transaction examines.
const DUE: usize = 64;

/// What a step would take.
#[derive(Debug, Default)]
pub(in crate::store) struct Grant {
    units: Vec<(ResourceId, i64)>,
    rates: Vec<ResourceId>,
    /// Why the step can never start, as a sentence. It is then claimed without the units, and fails.
    pub impossible: Option<String>,
}

/// Whether a step may take what it needs.
#[derive(Debug)]
pub(in crate::store) enum Requested {
    Granted(Grant),
    /// The missing resource. For a rate: when to ask again.
    Lacks(ResourceId, Option<Timestamp>),
}

/// Whether the resources for the steps of a line are available. `step` is the one that would take them, if known.
/// Changes nothing.
pub(in crate::store) fn ask(tx: &WriteTx, line: &LineRow, step: Option<StepId>) -> Result<Requested> {
    let demand = demand::known(tx, line.demand)?;
    let mut grant = Grant::default();
    for part in &demand.parts {
        match part.kind {
            ResourceKind::Counted => {
                let Some(units) = units_of(tx, part, line.step_type, step)?.filter(|it| *it > 0) else { continue };
                let (name, capacity, held) = state(tx, part.resource)?;
                if units > capacity {
                    let (units, capacity) = (units_text(&name, units), units_text(&name, capacity));
                    grant.impossible = Some(format!("it needs {units} of `{name}`, whose capacity is {capacity}"));
                    return Ok(Requested::Granted(Grant { units: Vec::new(), rates: Vec::new(), ..grant }));
                }
                let free = held + units <= capacity || is_active(Failpoint::CapacityExceeded);
                if !free || is_behind(tx, line, part.resource)? {
                    return Ok(Requested::Lacks(part.resource, None));
                }
                grant.units.push((part.resource, units));
            }
            ResourceKind::Rate => {
                let wait = rate::wait(tx, part.resource, rate_of(part))?;
                if wait.0 > 0 {
                    return Ok(Requested::Lacks(part.resource, Some(tx.now() + wait)));
                }
                grant.rates.push(part.resource);
            }
        }
    }
    Ok(Requested::Granted(grant))
}

fn rate_of(part: &KnownPart) -> Rate {
    Rate { starts: part.units.unwrap_or(1), per: part.per }
}

/// The units that a part of a demand means. None: nothing was learned about this type yet.
fn units_of(tx: &WriteTx, part: &KnownPart, step_type: TypeId, step: Option<StepId>) -> Result<Option<i64>> {
    if part.units.is_some() {
        return Ok(part.units);
    }
    let Some(learned) = learned::reserve(tx, step_type, step)? else { return Ok(None) };
    // A learned reservation is a guess. On a machine with less memory, steps run one at a time.
    let (_, capacity, _) = state(tx, part.resource)?;
    Ok(Some(learned.min(capacity)))
}

pub(in crate::store) fn state(tx: &ReadTx, id: ResourceId) -> Result<(String, i64, i64)> {
    let found = tx.row(STATE, [id.0], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
    found.ok_or_else(|| crate::store::Error::not_found(format!("resource {}", id.0)))
}

pub(in crate::store) const STATE: &str = "SELECT name, capacity, held FROM resource WHERE id = ?1";

/// Whether the resource is reserved for a line that has waited too long.
fn is_behind(tx: &WriteTx, line: &LineRow, resource: ResourceId) -> Result<bool> {
    let first = line::first_for(tx, resource)?;
    Ok(rule::is_behind(line.id, line.since, first, tx.now(), tx.fair_after()))
}

/// A step of the line starts and takes what `ask` granted in this transaction.
pub(in crate::store) fn take(tx: &WriteTx, line: &LineRow, step: StepId, grant: &Grant) -> Result<()> {
    for (resource, units) in &grant.units {
        tx.execute(TAKE, [resource.0, *units])?;
        tx.execute(
            "INSERT INTO holding(step_id, resource_id, units) VALUES (?1, ?2, ?3)",
            [step.0, resource.0, *units],
        )?;
    }
    if demand::known(tx, line.demand)?.parts.iter().any(|it| it.units.is_none()) {
        learned::started(tx, step)?;
    }
    for resource in &grant.rates {
        rate::note(tx, *resource)?;
    }
    {
        let mut memory = tx.memory();
        memory.last_line = line.id;
        if !grant.units.is_empty() {
            memory.holders.insert(step);
        }
    }
    if line.since.is_some() {
        line::begin_anew(tx, line)?;
        // Lines behind this one may continue.
        for part in &demand::known(tx, line.demand)?.parts {
            freed(tx, part.resource)?;
        }
    }
    Ok(())
}

pub(in crate::store) const TAKE: &str = "UPDATE resource SET held = held + ?2 WHERE id = ?1";

/// The lease of a step has ended, so its units are released. A plain step costs only a lookup in memory.
pub(in crate::store) fn give_back(tx: &WriteTx, step: StepId) -> Result<()> {
    if !tx.memory().holders.remove(&step) {
        return Ok(());
    }
    let held = tx.rows(HELD_BY, [step.0], |row| Ok((ResourceId(row.get(0)?), row.get::<i64>(1)?)))?;
    tx.execute("DELETE FROM holding WHERE step_id = ?1", [step.0])?;
    for (resource, units) in &held {
        tx.execute(GIVE_BACK, [resource.0, *units])?;
    }
    for (resource, _) in held {
        freed(tx, resource)?;
    }
    Ok(())
}

pub(in crate::store) const HELD_BY: &str = "SELECT resource_id, units FROM holding WHERE step_id = ?1";
pub(in crate::store) const GIVE_BACK: &str =
    "UPDATE resource SET held = held - ?2, excess = min(excess, max(held - ?2 - capacity, 0)) WHERE id = ?1";

/// Closes a line because this resource is missing. `until` is when a rate allows the next start.
pub(in crate::store) fn close_line(
    tx: &WriteTx,
    line: &LineRow,
    lacks: ResourceId,
    until: Option<Timestamp>,
) -> Result<()> {
    line::close(tx, line, lacks, until.is_some())?;
    match until {
        Some(at) => look_again_at(tx, lacks, at),
        None => Ok(()),
    }
}

/// Removes a line without steps, and offers its reserved resources to others.
pub(in crate::store) fn remove_line_if_empty(tx: &WriteTx, line: &LineRow) -> Result<()> {
    if line::remove_if_empty(tx, line)? && line.since.is_some() {
        for part in &demand::known(tx, line.demand)?.parts {
            freed(tx, part.resource)?;
        }
    }
    Ok(())
}

/// Units of a resource may be available: opens the lines that have waited longest and that fit, in each queue as many
/// as fit together. An overdue line that does not fit stops the others.
pub(in crate::store) fn freed(tx: &WriteTx, resource: ResourceId) -> Result<()> {
    if !tx.memory().lines {
        return Ok(());
    }
    let waiting = line::waiting_for(tx, resource, LINES)?;
    if waiting.is_empty() {
        return Ok(());
    }
    let (_, capacity, held) = state(tx, resource)?;
    let mut offered: HashMap<i64, i64> = HashMap::new();
    let mut due: Option<Timestamp> = None;
    let soonest = |due: &mut Option<Timestamp>, at: Timestamp| *due = Some(due.map_or(at, |it| it.min(at)));
    for line in waiting {
        let demand = demand::known(tx, line.demand)?;
        let Some(part) = demand.parts.iter().find(|it| it.resource == resource) else { continue };
        let units = match part.kind {
            ResourceKind::Counted => units_of(tx, part, line.step_type, None)?.unwrap_or(0),
            ResourceKind::Rate => 1,
        };
        let offered = offered.entry(line.queue).or_insert(0);
        if line.open {
            *offered += units;
            soonest(&mut due, Timestamp(line.offered.unwrap_or(tx.now().0)) + OFFER);
            continue;
        }
        let fits_too = match part.kind {
            _ if *offered == 0 => true,
            ResourceKind::Counted => held + *offered + units <= capacity,
            ResourceKind::Rate => {
                let left = rate_of(part).starts - *offered;
                left > 0 && rate::wait(tx, resource, Rate { starts: left, per: part.per })?.0 == 0
            }
        };
        if !fits_too {
            continue;
        }
        match ask(tx, &line, None)? {
            Requested::Granted(_) => {
                line::offer(tx, line.id)?;
                *offered += units;
                soonest(&mut due, tx.now() + OFFER);
            }
            Requested::Lacks(lacks, until) if line.lacks != Some(lacks) => close_line(tx, &line, lacks, until)?,
            Requested::Lacks(lacks, Some(at)) => look_again_at(tx, lacks, at)?,
            Requested::Lacks(lacks, None) if lacks == resource => {
                let waits = rule::Waits { since: line.since.unwrap_or(tx.now().0), line: line.id };
                if rule::is_overdue(waits, tx.now(), tx.fair_after()) {
                    break;
                }
            }
            Requested::Lacks(..) => {}
        }
    }
    match due {
        Some(due) => look_again_at(tx, resource, due),
        None => Ok(()),
    }
}

/// Schedules an examination of a resource at this time or earlier.
pub(in crate::store) fn look_again_at(tx: &WriteTx, resource: ResourceId, at: Timestamp) -> Result<()> {
    let changed =
        tx.execute("UPDATE resource SET due = ?2 WHERE id = ?1 AND (due IS NULL OR due > ?2)", [resource.0, at.0])?;
    if changed == 1 {
        tx.memory().due_at(at);
    }
    Ok(())
}

/// Examines due resources: a rate allows the next start, or an offer expired unused. Runs at the start of a transaction
/// if something is due.
pub(in crate::store) fn look_at_due(tx: &WriteTx) -> Result<()> {
    let due = tx.rows(DUE_NOW, params![tx.now().0, DUE as i64], |row| row.get(0).map(ResourceId))?;
    for resource in due {
        tx.execute("UPDATE resource SET due = NULL WHERE id = ?1", [resource.0])?;
        for line in line::waiting_for(tx, resource, LINES)? {
            let over = line.offered.is_some_and(|it| Timestamp(it) + OFFER <= tx.now() || it > tx.now().0);
            if line.open && over {
                line::begin_anew(tx, &line)?;
                for part in demand::known(tx, line.demand)?.parts.iter().filter(|it| it.resource != resource) {
                    freed(tx, part.resource)?;
                }
            }
        }
        freed(tx, resource)?;
    }
    Ok(())
}

pub(in crate::store) const DUE_NOW: &str =
    "SELECT id FROM resource WHERE due IS NOT NULL AND due <= ?1 ORDER BY due LIMIT ?2";
