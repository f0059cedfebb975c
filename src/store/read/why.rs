//! The facts from which `why` explains why a step does not run, or failed.
//!
//! SQLite only: JSON functions.

use super::ahead::{self, Ahead};
use super::below::{self, Children};
use super::resource::{self, Lacks};
use super::step::{StepNeed, StepRow, find, needs};
use crate::model::code::{PHASE_BUILDING, STEP_COMPLETED, STEP_DELAYED, STEP_RECOMPUTE};
use crate::{
    model::{GroupId, KeyId, RunId, Status, StepId, Timestamp, TypeId, WorkerId},
    store::{
        attempt::{self, Skip},
        child_group,
        error::{Error, Result},
        params::params,
        ready,
        resource_lock::{self, LockRow},
        tx::ReadTx,
        waiting::{self, Waiting},
    },
};
use const_format::formatcp;
use serde::Serialize;

/// The resource key of a step.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct KeyFacts {
    pub name: String,
    pub holder: Option<LockRow>,
    /// The holder has ended, but a process still holds the file of the key and blocks others.
    pub file_only: bool,
    /// The first step in the queue for the key, if it is another step.
    pub head: Option<StepId>,
}

/// A pool of a live worker that takes the step's type.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct Taker {
    pub worker: WorkerId,
    /// The type's name, or `*`.
    pub pool: String,
    pub size: i64,
    /// How many steps of all types the worker is running.
    pub running: i64,
}

/// Another group that has the turn.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct Behind {
    pub group: GroupId,
    /// The name of the concurrency group.
    pub concurrency: String,
}

#[derive(Debug, Clone, PartialEq, Serialize, utoipa::ToSchema)]
pub struct Why {
    pub step: StepRow,
    pub run: RunId,
    pub group: GroupId,
    /// Needs that have not ended. If the step itself has ended, needs that are neither COMPLETED nor SKIPPED.
    pub unmet: Vec<StepNeed>,
    /// Set while the step waits for this time.
    pub due: Option<Timestamp>,
    /// Whether it is claimable and only needs a worker.
    pub ready: bool,
    /// The steps that will be claimed before it. Null: it is not claimable.
    pub ahead: Option<Ahead>,
    pub group_paused: bool,
    /// What the paused group waits for.
    pub group_waits_for: Option<String>,
    /// Whether its group is being cancelled and the step has no `on_cancel: run`.
    pub group_cancelling: bool,
    /// Whether its group is not acknowledged yet, or its first steps are not ready yet.
    pub group_opening: bool,
    /// The group that must end before its own can start, and the name of their concurrency group.
    pub group_behind: Option<Behind>,
    pub type_paused: bool,
    pub key: Option<KeyFacts>,
    /// Set while it is WAITING.
    pub waits: Option<Waiting>,
    /// The resource that it waits for.
    pub lacks: Option<Lacks>,
    /// The group that it started, while it waits for it or after it failed.
    pub children: Option<Children>,
    /// Its run has not started, since so many others of its group are open side by side.
    pub full: Option<i64>,
    pub takers: Vec<Taker>,
    /// The condition that skipped it, and the values of that condition.
    pub skipped: Option<Skip>,
    /// Whether a cancel was requested while it was running.
    #[serde(rename = "cancel_asked")]
    pub cancel_requested: bool,
    /// The step to retry instead of the run: the highest one whose runs it belongs to.
    #[serde(skip)]
    pub above: Option<StepId>,
}

impl KeyFacts {
    fn named(name: String) -> KeyFacts {
        KeyFacts { name, holder: None, file_only: false, head: None }
    }

    /// Reads who holds the key.
    fn read(&mut self, tx: &ReadTx, key: KeyId) -> Result<()> {
        self.holder = resource_lock::holder_of(tx, &self.name)?;
        self.file_only = resource_lock::is_left_behind(tx, key)?;
        Ok(())
    }
}

pub fn why(tx: &ReadTx, id: StepId) -> Result<Why> {
    let step = find(tx, id)?;
    let found = tx.row(
        formatcp!("SELECT s.run_id, s.group_id, CASE s.state WHEN {STEP_DELAYED} THEN s.due END, s.scope, s.key_id, s.type_id, k.name, g.paused,
                g.cancelling AND NOT coalesce((SELECT json_extract(w.shape, '$.steps[' || s.no || '].on_cancel_run')
                    FROM definition w WHERE w.id = d.definition_id), 0), g.phase = {PHASE_BUILDING} OR d.opened < s.run_id, t.paused,
                EXISTS (SELECT 1 FROM ready q WHERE q.queue IN (0, t.queue, -coalesce((SELECT l.id FROM line l
                               WHERE l.demand_id = s.demand_id AND l.type_id = s.type_id), 0))
                           AND q.priority = s.priority AND q.group_id = s.group_id AND q.step_id = s.id),
                EXISTS (SELECT 1 FROM cancel_request c WHERE c.step_id = s.id),
                CASE WHEN g.paused = 1 AND d.paused_for <> '' THEN d.paused_for END
           FROM step s JOIN run_group g ON g.id = s.group_id JOIN group_detail d ON d.group_id = s.group_id
           JOIN step_type t ON t.id = s.type_id LEFT JOIN resource_key k ON k.id = s.key_id WHERE s.id = ?1"),
        [id.0],
        |row| {
            let place: (Option<i64>, i64, i64) = (row.get(4)?, row.get(5)?, row.get(3)?);
            let why = Why {
                run: RunId(row.get(0)?),
                group: GroupId(row.get(1)?),
                due: row.get::<Option<i64>>(2)?.map(Timestamp),
                unmet: vec![],
                ready: row.get(11)?,
                ahead: None,
                group_paused: row.get(7)?,
                group_waits_for: row.get(13)?,
                group_cancelling: row.get(8)?,
                group_opening: row.get(9)?,
                group_behind: None,
                type_paused: row.get(10)?,
                key: row.get::<Option<String>>(6)?.map(KeyFacts::named),
                waits: None,
                lacks: None,
                children: None,
                full: None,
                takers: vec![],
                skipped: None,
                cancel_requested: row.get(12)?,
                above: None,
                step,
            };
            Ok((why, place))
        },
    )?;
    let (mut why, (key, step_type, scope)) = found.ok_or_else(|| Error::not_found(id))?;
    (why.unmet, why.group_behind) = (unmet(tx, &why.step)?, behind(tx, why.group)?);
    if let (Some(facts), Some(key)) = (&mut why.key, key) {
        facts.read(tx, KeyId(key))?;
        let head = ready::head(tx, KeyId(key), TypeId(step_type), scope)?;
        facts.head = head.map(|it| it.step).filter(|head| *head != id);
    }
    add_recomputed(tx, &mut why)?;
    if why.ready {
        why.lacks = resource::lacks(tx, id)?;
        why.ahead = ahead::of(tx, id)?;
    }
    why.waits = waiting::get(tx, id)?;
    if matches!(why.step.status, Status::Waiting | Status::Failed) {
        why.children = below::children(tx, id)?;
    }
    why.full = if why.group_opening { below::full(tx, why.group)? } else { None };
    if why.step.status == Status::Skipped {
        why.skipped = attempt::skip_of(tx, id)?;
    }
    why.group = why.group.owner();
    why.takers = takers(tx, &why.step.step_type, why.group, scope)?;
    why.above = child_group::highest(tx, why.group)?;
    Ok(why)
}

/// The needs that hold a step up or that ended it. A step that follows a failure needs no success.
fn unmet(tx: &ReadTx, step: &StepRow) -> Result<Vec<StepNeed>> {
    let unmet = |need: &StepNeed| match step.status.is_terminal() {
        true => !matches!(need.status, Status::Completed | Status::Skipped),
        false => !need.status.is_terminal(),
    };
    Ok(needs(tx, step.id)?.into_iter().filter(unmet).collect())
}

/// Earlier steps that run again because a file was damaged count as unmet needs.
fn add_recomputed(tx: &ReadTx, why: &mut Why) -> Result<()> {
    let again = tx.rows(
        formatcp!(
            "SELECT w.id FROM step s JOIN run r ON r.id = s.run_id JOIN step w ON w.id >= r.first_step AND w.id < s.id
          WHERE s.id = ?1 AND s.state = {STEP_RECOMPUTE} AND w.recomputed > 0 AND w.state < {STEP_COMPLETED}"
        ),
        [why.step.id.0],
        |row| row.get(0).map(StepId),
    )?;
    for step in again.into_iter().filter(|it| why.unmet.iter().all(|need| need.step != *it)).collect::<Vec<_>>() {
        let row = find(tx, step)?;
        why.unmet.push(StepNeed { step: row.id, name: row.name, status: row.status });
    }
    Ok(())
}

fn behind(tx: &ReadTx, group: GroupId) -> Result<Option<Behind>> {
    tx.row(
        "SELECT b.group_id, b.name FROM concurrency c JOIN concurrency b ON b.name = c.name AND b.no < c.no
          WHERE c.group_id = ?1 ORDER BY b.no LIMIT 1",
        [group.0],
        |row| Ok(Behind { group: GroupId(row.get(0)?), concurrency: row.get(1)? }),
    )
}

/// The pools of live workers for a type: its own pool, or `*` if it has none.
fn takers(tx: &ReadTx, step_type: &str, group: GroupId, scope: i64) -> Result<Vec<Taker>> {
    tx.rows(
        "SELECT w.id, p.key, p.value, (SELECT count(*) FROM lease l WHERE l.worker = w.id)
           FROM worker w, json_each(w.pools) p
          WHERE w.scope IN (0, ?2, ?3)
            AND (p.key = ?1 OR (p.key = '*' AND NOT EXISTS (SELECT 1 FROM json_each(w.pools) o WHERE o.key = ?1)))
          ORDER BY w.id",
        params![step_type, group.0, scope],
        |row| Ok(Taker { worker: WorkerId(row.get(0)?), pool: row.get(1)?, size: row.get(2)?, running: row.get(3)? }),
    )
}
