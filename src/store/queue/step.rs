//! Table `step`: one step of a run. The files `ready`, `delayed`, `blocked` and `pause` say where an open step waits.

use crate::model::code::{STEP_COMPLETED, STEP_OPEN};
use crate::model::{DefinitionId, DemandId, GroupId, KeyId, RunId, StepId, StepState, Timestamp, TypeId};
use crate::store::{
    error::Result,
    params::params,
    row::Row,
    tx::{ReadTx, WriteTx},
};
use const_format::formatcp;

/// The frequently used columns of a step.
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
    pub demand: Option<DemandId>,
}

/// A new step.
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
    pub demand: Option<DemandId>,
}

pub(in crate::store) fn insert(tx: &WriteTx, id: StepId, new: &NewStep) -> Result<()> {
    tx.execute(
        formatcp!(
            "INSERT INTO step(id, run_id, group_id, no, type_id, state, priority, due, unmet, key_id, scope, demand_id)
             VALUES (?1, ?2, ?3, ?4, ?5, {STEP_OPEN}, ?6, ?7, ?8, ?9, ?10, ?11)"
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
            new.scope,
            new.demand.map(|it| it.0)
        ],
    )?;
    Ok(())
}

/// The group and the run of a step.
pub fn owners(tx: &ReadTx, id: StepId) -> Result<Option<(GroupId, RunId)>> {
    tx.row("SELECT group_id, run_id FROM step WHERE id = ?1", [id.0], |row| {
        Ok((GroupId(row.get(0)?), RunId(row.get(1)?)))
    })
}

pub(in crate::store) fn get(tx: &ReadTx, id: StepId) -> Result<Option<StepRow>> {
    tx.row(
        "SELECT id, run_id, group_id, no, type_id, state, priority, due, key_id, scope, attempts, demand_id
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
        demand: row.get::<Option<i64>>(11)?.map(DemandId),
    })
}

pub(in crate::store) fn set_state(tx: &WriteTx, id: StepId, state: StepState) -> Result<()> {
    tx.execute(
        formatcp!("UPDATE step SET state = ?2 WHERE id = ?1 AND state < {STEP_COMPLETED}"),
        params![id.0, state.code()],
    )?;
    Ok(())
}

/// The definition of a run, and its first step.
pub(in crate::store) fn definition_of_run(tx: &ReadTx, run: RunId) -> Result<Option<(DefinitionId, StepId)>> {
    tx.row("SELECT definition_id, first_step FROM run WHERE id = ?1", [run.0], |row| {
        Ok((DefinitionId(row.get(0)?), StepId(row.get(1)?)))
    })
}
