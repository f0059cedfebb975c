//! Tables `memory_peak`, `memory_learned` and `memory_retry`: the memory that attempts used, and the reservations
//! learned from it. Written only if the setting `learn` is on. `decide::resource` has the rule.

use crate::decide::resource as rule;
use crate::model::code::{RESOURCE_COUNTED, STEP_COMPLETED};
use crate::model::{StepId, TypeId};
use crate::store::{
    error::Result,
    params::params,
    tx::{ReadTx, WriteTx},
};
use const_format::formatcp;
use serde::Serialize;

/// How many attempts of a type are considered.
const KEPT: i64 = 200;

/// Records the peaks of attempts that ended, in bytes.
pub fn note(tx: &WriteTx, peaks: &[(TypeId, i64)]) -> Result<()> {
    for (step_type, bytes) in peaks {
        let no = tx.change(
            "INSERT INTO memory_learned(type_id, measured, reserve) VALUES (?1, 1, 0)
             ON CONFLICT(type_id) DO UPDATE SET measured = measured + 1 RETURNING measured",
            [step_type.0],
            |row| row.get::<i64>(0),
        )?;
        let no = no.unwrap_or(1);
        tx.execute("INSERT INTO memory_peak(type_id, no, bytes) VALUES (?1, ?2, ?3)", [step_type.0, no, *bytes])?;
        tx.execute("DELETE FROM memory_peak WHERE type_id = ?1 AND no <= ?2", [step_type.0, no - KEPT])?;
    }
    let mut types: Vec<TypeId> = peaks.iter().map(|it| it.0).collect();
    types.sort_unstable();
    types.dedup();
    for step_type in types {
        let known = tx.rows("SELECT bytes FROM memory_peak WHERE type_id = ?1", [step_type.0], |row| row.get(0))?;
        let reserve = rule::learned(&known).unwrap_or(0);
        tx.execute("UPDATE memory_learned SET reserve = ?2 WHERE type_id = ?1", [step_type.0, reserve])?;
    }
    Ok(())
}

/// The bytes that a step of a type reserves. A step that was killed for memory reserves more, once. None if nothing is
/// known.
pub(in crate::store) fn reserve(tx: &ReadTx, step_type: TypeId, step: Option<StepId>) -> Result<Option<i64>> {
    if let Some(step) = step {
        let more = "SELECT bytes FROM memory_retry WHERE step_id = ?1 AND used = 0";
        if let Some(bytes) = tx.row(more, [step.0], |row| row.get(0))? {
            return Ok(Some(bytes));
        }
    }
    tx.row("SELECT reserve FROM memory_learned WHERE type_id = ?1 AND reserve > 0", [step_type.0], |row| row.get(0))
}

/// Records that a step starts with its reservation.
pub(in crate::store) fn started(tx: &WriteTx, step: StepId) -> Result<()> {
    tx.execute("UPDATE memory_retry SET used = 1 WHERE step_id = ?1 AND used = 0", [step.0])?;
    Ok(())
}

/// A running step was killed for memory. Next time, once, it reserves twice what it holds. `peak` is what it used, for
/// a step that holds nothing.
pub fn double(tx: &WriteTx, step: StepId, peak: i64) -> Result<()> {
    let held = tx.row(
        formatcp!(
            "SELECT h.units FROM holding h JOIN resource r ON r.id = h.resource_id
              WHERE h.step_id = ?1 AND r.kind = {RESOURCE_COUNTED} AND r.name = 'memory'"
        ),
        [step.0],
        |row| row.get::<i64>(0),
    )?;
    tx.execute(
        "INSERT INTO memory_retry(step_id, bytes, used) VALUES (?1, ?2, 0) ON CONFLICT(step_id) DO NOTHING",
        params![step.0, held.unwrap_or(peak).saturating_mul(2)],
    )?;
    Ok(())
}

/// Deletes the rows of steps that have ended.
pub(in crate::store) fn sweep(tx: &WriteTx) -> Result<()> {
    tx.execute(
        formatcp!("DELETE FROM memory_retry WHERE step_id NOT IN (SELECT id FROM step WHERE state < {STEP_COMPLETED})"),
        [],
    )?;
    Ok(())
}

/// A step type.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct TypeRow {
    pub step_type: String,
    pub paused: bool,
    /// Whether it has its own pool.
    #[serde(rename = "own_lane")]
    pub own_pool: bool,
    /// How many attempts had their memory measured.
    pub measured: i64,
    /// The bytes of memory that a step reserves if it declares none. Null: nothing was learned.
    pub reserves: Option<i64>,
}

/// All types, by name.
pub fn types(tx: &ReadTx) -> Result<Vec<TypeRow>> {
    tx.rows(
        "SELECT t.name, t.paused, t.queue > 0, coalesce(m.measured, 0), m.reserve FROM step_type t
           LEFT JOIN memory_learned m ON m.type_id = t.id ORDER BY t.name",
        [],
        |row| {
            Ok(TypeRow {
                step_type: row.get(0)?,
                paused: row.get(1)?,
                own_pool: row.get(2)?,
                measured: row.get(3)?,
                reserves: row.get::<Option<i64>>(4)?.filter(|it| *it > 0),
            })
        },
    )
}
