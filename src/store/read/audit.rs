//! Everything that happened, as plain facts for an independent checker. Reads whole tables.

use crate::model::code::{PHASE_BUILDING, PHASE_LIVE};
use crate::model::{ArtifactHash, ArtifactRef, GroupId, RunId, StepId, StepState, Timestamp, Token, WorkerId};
use crate::store::{error::Result, tx::ReadTx};
use const_format::formatcp;

/// A group. `name` is the name of its submission.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupFact {
    pub id: GroupId,
    pub workflow: String,
    pub name: String,
    pub runs: i64,
    pub ended: bool,
    pub failed: i64,
    pub cancelled: i64,
    pub epoch: i64,
    pub key: Option<String>,
    /// The step that started it.
    pub parent: Option<StepId>,
}

/// The row of a step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StepFact {
    pub id: StepId,
    pub run: RunId,
    pub group: GroupId,
    pub no: usize,
    pub item: String,
    pub state: StepState,
    pub attempts: i64,
    pub token: Option<Token>,
    /// JSON.
    pub output: Option<String>,
    pub files: i64,
}

/// An attempt with a row, which means that it did not simply succeed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AttemptFact {
    pub step: StepId,
    pub token: Token,
    pub worker: WorkerId,
    pub outcome: i64,
    /// JSON.
    pub detail: String,
}

/// A hook.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HookFact {
    pub group: GroupId,
    pub event: String,
    pub step: Option<StepId>,
    pub epoch: i64,
    pub state: StepState,
}

/// An instant of a schedule that was dealt with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FiringFact {
    pub instant: Timestamp,
    pub group: Option<GroupId>,
}

pub fn groups(tx: &ReadTx) -> Result<Vec<GroupFact>> {
    tx.rows(
        formatcp!(
            "SELECT g.id, w.name, d.name, d.runs, g.ended IS NOT NULL, g.failed, g.cancelled, g.epoch,
                (SELECT k.key FROM submit_key k WHERE k.group_id = g.id), (SELECT c.step_id FROM child_group c WHERE c.group_id = g.id)
           FROM run_group g JOIN group_detail d ON d.group_id = g.id JOIN definition w ON w.id = d.definition_id
          WHERE g.phase <> {PHASE_BUILDING} AND g.id > 0 ORDER BY g.id"
        ),
        [],
        |row| {
            Ok(GroupFact {
                id: GroupId(row.get(0)?),
                workflow: row.get(1)?,
                name: row.get(2)?,
                runs: row.get(3)?,
                ended: row.get(4)?,
                failed: row.get(5)?,
                cancelled: row.get(6)?,
                epoch: row.get(7)?,
                key: row.get(8)?,
                parent: row.get::<Option<i64>>(9)?.map(StepId),
            })
        },
    )
}

/// Groups that were never sealed because their submission was interrupted.
pub fn unsealed(tx: &ReadTx) -> Result<Vec<GroupId>> {
    tx.rows(formatcp!("SELECT id FROM run_group WHERE phase > {PHASE_LIVE} AND phase = {PHASE_BUILDING}"), [], |row| {
        row.get(0).map(GroupId)
    })
}

/// Every step of the sealed groups, sorted by id.
pub fn steps(tx: &ReadTx) -> Result<Vec<StepFact>> {
    tx.rows(
        formatcp!(
            "SELECT s.id, s.run_id, s.group_id, s.no, i.item, s.state, s.attempts, s.token, o.value,
                (SELECT count(*) FROM output_file f WHERE f.output_id = s.output_id)
           FROM step s JOIN item i ON i.run_id = s.run_id JOIN run_group g ON g.id = s.group_id
           LEFT JOIN output o ON o.id = s.output_id WHERE g.phase <> {PHASE_BUILDING} AND g.id > 0 ORDER BY s.id"
        ),
        [],
        |row| {
            Ok(StepFact {
                id: StepId(row.get(0)?),
                run: RunId(row.get(1)?),
                group: GroupId(row.get(2)?),
                no: row.get::<i64>(3)? as usize,
                item: row.get(4)?,
                state: StepState::from_code(row.get(5)?).unwrap_or(StepState::Open),
                attempts: row.get(6)?,
                token: row.get::<Option<i64>>(7)?.map(Token),
                output: row.get(8)?,
                files: row.get(9)?,
            })
        },
    )
}

pub fn attempts(tx: &ReadTx) -> Result<Vec<AttemptFact>> {
    let sql = "SELECT step_id, token, worker, outcome, detail FROM attempt WHERE step_id NOT IN (SELECT id FROM hook)
                ORDER BY step_id, token";
    tx.rows(sql, [], |row| {
        Ok(AttemptFact {
            step: StepId(row.get(0)?),
            token: Token(row.get(1)?),
            worker: WorkerId(row.get(2)?),
            outcome: row.get(3)?,
            detail: row.get(4)?,
        })
    })
}

pub fn hooks(tx: &ReadTx) -> Result<Vec<HookFact>> {
    let sql =
        "SELECT h.group_id, h.event, h.step_id, h.epoch, s.state FROM hook h JOIN step s ON s.id = h.id ORDER BY h.id";
    tx.rows(sql, [], |row| {
        Ok(HookFact {
            group: GroupId(row.get(0)?),
            event: row.get(1)?,
            step: Some(row.get::<i64>(2)?).filter(|it| *it > 0).map(StepId),
            epoch: row.get(3)?,
            state: StepState::from_code(row.get(4)?).unwrap_or(StepState::Open),
        })
    })
}

/// The firings of all schedules.
pub fn firings(tx: &ReadTx) -> Result<Vec<FiringFact>> {
    tx.rows("SELECT instant, group_id FROM firing ORDER BY schedule_id, instant", [], |row| {
        Ok(FiringFact { instant: Timestamp(row.get(0)?), group: row.get::<Option<i64>>(1)?.map(GroupId) })
    })
}

/// Every artifact that a row refers to.
pub fn artifacts(tx: &ReadTx) -> Result<Vec<ArtifactRef>> {
    tx.rows("SELECT hash, size, stored FROM artifact ORDER BY id", [], |row| {
        let (size, stored) = (row.get::<i64>(1)? as u64, row.get::<i64>(2)? as u64);
        Ok(ArtifactRef { hash: ArtifactHash(row.get(0)?), size, stored })
    })
}

/// The last token that was given out.
#[cfg(any(test, feature = "internals"))]
pub fn newest_token(tx: &ReadTx) -> Result<Token> {
    let value = tx.row("SELECT value FROM counter WHERE id = 1", [], |row| row.get(0))?;
    Ok(Token(value.unwrap_or(0)))
}
