//! The writer's cache between transactions, and the sums of one transaction.
//!
//! Valid only while `PRAGMA data_version` shows that no other process wrote; cleared after every rollback.

use crate::decide::fairness::Turn;
use crate::model::code::{STEP_COMPLETED, STEP_DELAYED};
use crate::model::{
    Capacity, DefinitionId, DemandId, Event, GroupId, HOOK_TYPE, Millis, ResourceId, ResourceKind, Shape, StepId,
    Timestamp, TypeId,
};
use crate::store::{
    counter::{self, Counters},
    error::{Error, Result},
    read_tx::ReadTx,
    row::Row,
};
use const_format::formatcp;
use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::Arc,
};

/// The shape of a definition with interned types.
#[derive(Debug)]
pub(in crate::store) struct KnownShape {
    pub shape: Shape,
    pub types: Vec<TypeId>,
    pub chain: bool,
    /// Whether every step follows success only, has failures that count, and ends when cancelled.
    pub plain: bool,
    /// successors[no]: the direct dependents of step `no`.
    pub successors: Vec<Vec<usize>>,
}

#[derive(Debug, Clone, Copy)]
pub(in crate::store) struct KnownType {
    /// The queue in which it waits; 0: the shared queue.
    pub queue: i64,
    pub paused: bool,
}

/// The resources of a demand.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::store) struct KnownDemand {
    /// Rates first.
    pub parts: Vec<KnownPart>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::store) struct KnownPart {
    pub resource: ResourceId,
    pub kind: ResourceKind,
    /// For a rate: the most starts in a window. None: use what was learned for the step's type.
    pub units: Option<i64>,
    /// The window of a rate.
    pub per: Millis,
}

/// The cached state of the table `turn`.
#[derive(Debug, Default)]
pub(in crate::store) struct Turns {
    /// Queue, priority and group of the existing rows.
    pub present: HashSet<(i64, i64, GroupId)>,
    /// Queues in which only one group waits. Nothing is written for its turns.
    pub alone: HashMap<i64, Turn>,
    /// The priority of each group's steps, which never changes.
    pub priorities: HashMap<GroupId, i64>,
}

/// Counts of ended runs in one group in this transaction.
#[derive(Debug, Clone, Copy, Default)]
pub(in crate::store) struct Sums {
    pub ended: i64,
    pub failed: i64,
    pub cancelled: i64,
    /// For a limited group: ended runs that allow others to open.
    pub freed: i64,
}

#[derive(Debug, Default)]
pub(in crate::store) struct Memory {
    pub counters: Counters,
    /// The earliest time at which a delayed step or a wait is due, or a resource must be examined.
    pub next_due: Option<Timestamp>,
    pub paused_groups: HashSet<GroupId>,
    pub cancelling_groups: HashSet<GroupId>,
    pub cancel_requests: HashSet<StepId>,
    /// Completed steps that run again; see `recompute`.
    pub recomputing: HashSet<StepId>,
    pub types: HashMap<TypeId, KnownType>,
    pub turns: Turns,
    pub shapes: HashMap<DefinitionId, Arc<KnownShape>>,
    /// Whether any definition has hooks. Most databases have none, which saves a query.
    pub any_hooks: bool,
    /// The type of hooks, if known, and the definition of their runs, once one was due.
    pub hook_type: Option<TypeId>,
    pub hook_definition: Option<DefinitionId>,
    /// Whether any group is in the table `concurrency`.
    pub concurrency: bool,
    /// Whether any step waits in a resource line. Usually none does, which saves queries.
    pub lines: bool,
    /// The line from which a step was last taken.
    pub last_line: i64,
    /// Running steps that hold units of a resource.
    pub holders: HashSet<StepId>,
    pub demands: HashMap<DemandId, Arc<KnownDemand>>,
    pub demand_ids: HashMap<(String, BTreeMap<String, Capacity>), DemandId>,
    /// Whether any step has started a group.
    pub families: bool,
    /// Open groups with a limit on the number of open runs.
    pub limited: HashSet<GroupId>,
    /// Whether any group has steps that run after its runs.
    pub collects: bool,
    /// Open groups for which these steps have not been opened.
    pub collecting: HashSet<GroupId>,
    /// Groups whose turn has come and whose runs are not all opened yet.
    pub opening: Vec<GroupId>,
    // Of the running transaction only.
    /// Groups of steps that were asked to stop. They are cancelled before the transaction ends.
    pub cancel_below: Vec<GroupId>,
    pub sums: HashMap<GroupId, Sums>,
    pub events: Vec<Event>,
    /// Something became claimable or is due earlier, so consumers should look.
    pub woke: bool,
    pub lost_leases: u64,
    pub lost_races: u64,
    /// Set while the transaction ends a group.
    pub group_end: Option<crate::failpoint::probe::Inside>,
}

impl Memory {
    pub(in crate::store) fn load(tx: &ReadTx) -> Result<Memory> {
        let mut memory = Memory { counters: counter::load(tx)?, ..Memory::default() };
        memory.next_due = earliest_due(tx)?;
        let flags =
            tx.rows("SELECT id, paused, cancelling FROM run_group WHERE paused + cancelling > 0", [], |row| {
                Ok((GroupId(row.get(0)?), row.get(1)?, row.get(2)?))
            })?;
        for (group, paused, cancelling) in flags {
            if paused {
                memory.paused_groups.insert(group);
            }
            if cancelling {
                memory.cancelling_groups.insert(group);
            }
        }
        let step = |row: &Row| row.get(0).map(StepId);
        memory.cancel_requests.extend(tx.rows("SELECT step_id FROM cancel_request", [], step)?);
        let recomputing = formatcp!("SELECT id FROM step WHERE recomputed > 0 AND state < {STEP_COMPLETED}");
        memory.recomputing.extend(tx.rows(recomputing, [], step)?);
        let types = tx.rows("SELECT id, queue, paused, name = ?1 FROM step_type", [HOOK_TYPE], |row| {
            Ok((TypeId(row.get(0)?), KnownType { queue: row.get(1)?, paused: row.get(2)? }, row.get::<bool>(3)?))
        })?;
        memory.hook_type = types.iter().find(|it| it.2).map(|it| it.0);
        memory.types.extend(types.into_iter().map(|(id, known, _)| (id, known)));
        let hooks = "SELECT 1 FROM definition WHERE json_array_length(shape, '$.hooks') > 0 LIMIT 1";
        memory.any_hooks = tx.row(hooks, [], |_| Ok(()))?.is_some();
        memory.concurrency = tx.row("SELECT 1 FROM concurrency LIMIT 1", [], |_| Ok(()))?.is_some();
        memory.lines = tx.row("SELECT 1 FROM line LIMIT 1", [], |_| Ok(()))?.is_some();
        memory.holders.extend(tx.rows("SELECT step_id FROM holding", [], step)?);
        if memory.concurrency {
            memory.opening = half_opened(tx)?;
        }
        memory.collects = tx.row("SELECT 1 FROM collect LIMIT 1", [], |_| Ok(()))?.is_some();
        if memory.collects {
            let collecting = "SELECT k.group_id FROM collect k JOIN run_group g ON g.id = k.group_id
                               JOIN group_detail d ON d.group_id = k.group_id WHERE g.ended IS NULL AND d.open_until < k.run_id";
            memory.collecting.extend(tx.rows(collecting, [], |row| row.get(0).map(GroupId))?);
        }
        memory.families = tx.row("SELECT 1 FROM child_group LIMIT 1", [], |_| Ok(()))?.is_some();
        if memory.families {
            let limited = "SELECT c.group_id FROM child_group c JOIN run_group g ON g.id = c.group_id
                            WHERE c.at_most IS NOT NULL AND g.ended IS NULL";
            memory.limited.extend(tx.rows(limited, [], |row| row.get(0).map(GroupId))?);
        }
        Ok(memory)
    }

    /// The shape of a definition, cached.
    pub(in crate::store) fn shape(&mut self, tx: &ReadTx, id: DefinitionId) -> Result<Arc<KnownShape>> {
        if let Some(known) = self.shapes.get(&id) {
            return Ok(known.clone());
        }
        let text = tx
            .row("SELECT shape FROM definition WHERE id = ?1", [id.0], |row| row.get::<String>(0))?
            .ok_or_else(|| Error::not_found(format!("definition {}", id.0)))?;
        let shape: Shape = serde_json::from_str(&text)
            .map_err(|error| Error::Sqlite { reason: format!("shape of definition {}: {error}", id.0) })?;
        let mut types = Vec::with_capacity(shape.steps.len());
        for step in &shape.steps {
            let sql = "SELECT id FROM step_type WHERE name = ?1";
            let found = tx.row(sql, [&step.step_type], |row| row.get(0).map(TypeId))?;
            types.push(found.ok_or_else(|| Error::not_found(format!("type `{}`", step.step_type)))?);
        }
        let successors = (0..shape.steps.len()).map(|no| shape.successors(no).collect()).collect();
        let known = Arc::new(KnownShape { chain: shape.is_chain(), plain: shape.is_plain(), shape, types, successors });
        self.shapes.insert(id, known.clone());
        Ok(known)
    }

    pub(in crate::store) fn queue(&self, step_type: TypeId) -> i64 {
        self.types.get(&step_type).map_or(0, |it| it.queue)
    }

    pub(in crate::store) fn due_at(&mut self, due: Timestamp) {
        self.next_due = Some(self.next_due.map_or(due, |it| it.min(due)));
        self.woke = true;
    }
}

/// The earliest time at which a delayed step or a wait is due, or a resource must be examined.
pub(in crate::store) fn earliest_due(tx: &ReadTx) -> Result<Option<Timestamp>> {
    Ok(tx.row(EARLIEST, [], |row| row.get::<Option<i64>>(0))?.flatten().map(Timestamp))
}

/// A single statement, because it runs after every change by another process.
const EARLIEST: &str = formatcp!(
    "SELECT min(due) FROM (SELECT * FROM (SELECT due FROM step WHERE state = {STEP_DELAYED} ORDER BY due LIMIT 1)
       UNION ALL SELECT * FROM (SELECT due FROM waiting WHERE due IS NOT NULL ORDER BY due LIMIT 1)
       UNION ALL SELECT * FROM (SELECT due FROM resource WHERE due IS NOT NULL ORDER BY due LIMIT 1))"
);

/// Groups that have the turn and whose runs are not all opened yet.
fn half_opened(tx: &ReadTx) -> Result<Vec<GroupId>> {
    tx.rows(
        "SELECT c.group_id FROM concurrency c JOIN group_detail d ON d.group_id = c.group_id
          WHERE d.opened < d.open_until AND NOT EXISTS (SELECT 1 FROM concurrency b WHERE b.name = c.name AND b.no < c.no)",
        [],
        |row| row.get(0).map(GroupId),
    )
}
