//! What a consumer reads before it runs a step.

use crate::model::code::STEP_COMPLETED;
use crate::model::{DefinitionId, RunId, StepId, StepState};
use crate::store::{
    error::{Error, Result},
    output::{self, Output},
    step,
    tx::ReadTx,
};
use const_format::formatcp;

/// A step with the contents of its rows.
#[derive(Debug, Clone)]
pub struct Input {
    pub definition: DefinitionId,
    /// Its number in the definition.
    pub no: usize,
    pub first_step: StepId,
    pub item: String,
    #[cfg_attr(not(any(test, feature = "internals")), allow(dead_code))]
    pub attempts: i64,
    pub failures: i64,
    pub crashes: i64,
    /// An engine died while running it, so this time it runs in a child process of its own.
    pub suspect: bool,
    /// It had completed, and runs again because one of its files was damaged.
    pub runs_again: bool,
    /// Its run was restarted at this step, so cached results are ignored.
    pub begins: bool,
    /// An earlier step of the run runs again because one of its files was damaged.
    pub recomputing: bool,
}

pub fn read(tx: &ReadTx, id: StepId) -> Result<Input> {
    let run = tx.row("SELECT run_id FROM step WHERE id = ?1", [id.0], |row| row.get(0).map(RunId))?;
    let run = run.ok_or_else(|| Error::not_found(id))?;
    let (definition, first_step) = step::definition_of_run(tx, run)?.ok_or_else(|| Error::not_found(run))?;
    let item = tx.row("SELECT item FROM item WHERE run_id = ?1", [run.0], |row| row.get(0))?;
    tx.row(
        formatcp!(
            "SELECT no, attempts, failures, crashes, suspect,
                EXISTS (SELECT 1 FROM step r WHERE r.id >= ?2 AND r.id < ?1 AND r.recomputed > 0
                AND r.state < {STEP_COMPLETED}),
                recomputed > 0, EXISTS (SELECT 1 FROM rerun b WHERE b.run_id = step.run_id AND b.no = step.no)
           FROM step WHERE id = ?1"
        ),
        [id.0, first_step.0],
        |row| {
            Ok(Input {
                definition,
                no: row.get::<i64>(0)? as usize,
                first_step,
                item: item.unwrap_or_default(),
                attempts: row.get(1)?,
                failures: row.get(2)?,
                crashes: row.get(3)?,
                suspect: row.get::<i64>(4)? > 0,
                recomputing: row.get(5)?,
                runs_again: row.get(6)?,
                begins: row.get(7)?,
            })
        },
    )?
    .ok_or_else(|| Error::not_found(id))
}

/// The states of the steps of a run, and whether its group is being cancelled.
pub fn states(tx: &ReadTx, first_step: StepId, count: usize) -> Result<(Vec<StepState>, bool)> {
    let states = tx.rows(
        "SELECT state FROM step WHERE id >= ?1 AND id < ?2 ORDER BY id",
        [first_step.0, first_step.0 + count as i64],
        |row| Ok(StepState::from_code(row.get(0)?).unwrap_or(StepState::Open)),
    )?;
    let cancelling = tx.row(
        "SELECT g.cancelling FROM step s JOIN run_group g ON g.id = s.group_id WHERE s.id = ?1",
        [first_step.0],
        |row| row.get(0),
    )?;
    Ok((states, cancelling.unwrap_or(false)))
}

/// The outputs of steps of the same run, in the order of `numbers`.
pub fn outputs(tx: &ReadTx, first_step: StepId, numbers: &[usize]) -> Result<Vec<Option<Output>>> {
    numbers.iter().map(|no| output::of_step(tx, StepId(first_step.0 + *no as i64))).collect()
}
