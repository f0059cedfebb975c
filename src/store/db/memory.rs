//! What the writer remembers between transactions, and what one transaction sums up.
//!
//! Trusted only while `PRAGMA data_version` says that no other process wrote; forgotten after every rollback.

use crate::model::code::{STEP_COMPLETED, STEP_DELAYED};
use crate::model::{DefinitionId, Event, GroupId, Shape, StepId, Timestamp, TypeId};
use crate::store::{
    counter::{self, Counters},
    error::{Error, Result},
};
use const_format::formatcp;
use rusqlite::{Connection, OptionalExtension};
use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

/// A definition's shape with its types interned.
#[derive(Debug)]
pub(in crate::store) struct KnownShape {
    pub shape: Shape,
    pub types: Vec<TypeId>,
    pub chain: bool,
    /// successors[no]: who needs step `no` directly.
    pub successors: Vec<Vec<usize>>,
}

#[derive(Debug, Clone, Copy)]
pub(in crate::store) struct KnownType {
    pub lane: i64,
    pub paused: bool,
}

/// Runs of one group that ended in this transaction.
#[derive(Debug, Clone, Copy, Default)]
pub(in crate::store) struct Sums {
    pub ended: i64,
    pub failed: i64,
    pub cancelled: i64,
}

#[derive(Debug, Default)]
pub(in crate::store) struct Memory {
    pub counters: Counters,
    /// The earliest due time of a delayed step.
    pub next_due: Option<Timestamp>,
    pub paused_groups: HashSet<GroupId>,
    pub cancelling_groups: HashSet<GroupId>,
    pub cancel_requests: HashSet<StepId>,
    /// Steps that had completed and run again, see `redo`.
    pub redoing: HashSet<StepId>,
    pub types: HashMap<TypeId, KnownType>,
    pub shapes: HashMap<DefinitionId, Arc<KnownShape>>,
    /// Whether any definition has hooks: most databases have none, and then nobody asks.
    pub any_hooks: bool,
    // Of the running transaction only.
    pub sums: HashMap<GroupId, Sums>,
    pub events: Vec<Event>,
    /// Something became claimable, or due earlier: consumers should look.
    pub woke: bool,
    pub lost_leases: u64,
    pub lost_races: u64,
    /// There while the transaction ends a group.
    pub group_end: Option<crate::failpoint::probe::Inside>,
}

impl Memory {
    pub(in crate::store) fn load(conn: &Connection) -> Result<Memory> {
        let mut memory = Memory { counters: counter::load(conn)?, ..Memory::default() };
        memory.next_due = conn
            .prepare_cached(formatcp!("SELECT due FROM step WHERE state = {STEP_DELAYED} ORDER BY due LIMIT 1"))?
            .query_row([], |row| row.get(0).map(Timestamp))
            .optional()?;
        let mut flags =
            conn.prepare_cached("SELECT id, paused, cancelling FROM run_group WHERE paused + cancelling > 0")?;
        let mut rows = flags.query([])?;
        while let Some(row) = rows.next()? {
            let group = GroupId(row.get(0)?);
            if row.get::<_, bool>(1)? {
                memory.paused_groups.insert(group);
            }
            if row.get::<_, bool>(2)? {
                memory.cancelling_groups.insert(group);
            }
        }
        let mut requests = conn.prepare_cached("SELECT step_id FROM cancel_request")?;
        let found = requests.query_map([], |row| row.get(0).map(StepId))?;
        memory.cancel_requests = found.collect::<rusqlite::Result<_>>()?;
        let mut redoing =
            conn.prepare_cached(formatcp!("SELECT id FROM step WHERE redone > 0 AND state < {STEP_COMPLETED}"))?;
        let found = redoing.query_map([], |row| row.get(0).map(StepId))?;
        memory.redoing = found.collect::<rusqlite::Result<_>>()?;
        let mut types = conn.prepare_cached("SELECT id, lane, paused FROM step_type")?;
        let found = types
            .query_map([], |row| Ok((TypeId(row.get(0)?), KnownType { lane: row.get(1)?, paused: row.get(2)? })))?;
        memory.types = found.collect::<rusqlite::Result<_>>()?;
        memory.any_hooks = conn
            .prepare_cached("SELECT 1 FROM definition WHERE json_array_length(shape, '$.hooks') > 0 LIMIT 1")?
            .exists([])?;
        Ok(memory)
    }

    /// The shape of a definition, read once.
    pub(in crate::store) fn shape(&mut self, conn: &Connection, id: DefinitionId) -> Result<Arc<KnownShape>> {
        if let Some(known) = self.shapes.get(&id) {
            return Ok(known.clone());
        }
        let text: String = conn
            .prepare_cached("SELECT shape FROM definition WHERE id = ?1")?
            .query_row([id.0], |row| row.get(0))
            .optional()?
            .ok_or_else(|| Error::not_found(format!("definition {}", id.0)))?;
        let shape: Shape = serde_json::from_str(&text)
            .map_err(|error| Error::Sqlite { reason: format!("shape of definition {}: {error}", id.0) })?;
        let mut statement = conn.prepare_cached("SELECT id FROM step_type WHERE name = ?1")?;
        let mut types = Vec::with_capacity(shape.steps.len());
        for step in &shape.steps {
            types.push(statement.query_row([&step.step_type], |row| row.get(0).map(TypeId))?);
        }
        let successors = (0..shape.steps.len()).map(|no| shape.successors(no).collect()).collect();
        let known = Arc::new(KnownShape { chain: shape.is_chain(), shape, types, successors });
        self.shapes.insert(id, known.clone());
        Ok(known)
    }

    pub(in crate::store) fn lane(&self, step_type: TypeId) -> i64 {
        self.types.get(&step_type).map_or(0, |it| it.lane)
    }

    pub(in crate::store) fn due_at(&mut self, due: Timestamp) {
        self.next_due = Some(self.next_due.map_or(due, |it| it.min(due)));
        self.woke = true;
    }
}
