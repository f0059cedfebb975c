//! Waiting and running steps, from the small tables and the partial indexes; never scans `step`.
//!
//! SQLite only: `INDEXED BY`.

use crate::model::code::{
    STEP_BLOCKED, STEP_DELAYED, STEP_PAUSED, WAIT_APPROVAL, WAIT_CHILDREN, WAIT_SIGNAL, WAIT_TIME,
};
use crate::{
    model::{GroupId, HOOK_TYPE, Outcome, StepId, Timestamp, WaitKind},
    store::{error::Result, tx::ReadTx},
};
use const_format::formatcp;
use serde::Serialize;
use std::collections::BTreeMap;

/// The queue of one step type.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct TypeQueue {
    pub step_type: String,
    pub paused: bool,
    /// Whether it has its own pool.
    #[serde(rename = "own_lane")]
    pub own_pool: bool,
    /// Claimable now.
    pub ready: i64,
    /// Steps that would be claimable if the type or group were not paused. Those that a claim has already moved aside
    /// are counted only in `Queues`.
    pub on_hold: i64,
    pub running: i64,
    /// Blocked behind the first step of a resource key, or waiting for units of a resource or for a rate.
    pub in_line: i64,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct Queues {
    /// Sorted by name. Omits types without waiting or running steps, unless they are paused.
    pub types: Vec<TypeQueue>,
    /// The number of steps that wait for their due time, and the earliest of these times.
    pub delayed: i64,
    pub next_due: Option<Timestamp>,
    /// How many of them are also paused, by group or type.
    pub delayed_on_hold: i64,
    /// Steps of paused groups that a claim has moved aside.
    #[serde(rename = "parked")]
    pub paused: i64,
    /// Steps that would be claimable if nothing were paused, including those moved aside.
    pub on_hold: i64,
    pub groups_open: i64,
    pub groups_paused: i64,
    /// Steps that wait without a worker.
    pub waiting: Waits,
    pub hooks_waiting: i64,
    pub hooks_running: i64,
}

/// Steps that wait without a worker, by what they wait for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct Waits {
    pub time: i64,
    pub approval: i64,
    pub signal: i64,
    /// Runs of a group of their own.
    pub children: i64,
}

impl Waits {
    /// All of them.
    pub fn all(&self) -> i64 {
        self.time + self.approval + self.signal + self.children
    }

    pub(super) fn add(&mut self, kind: Option<WaitKind>, steps: i64) {
        match kind {
            Some(WaitKind::Time) | None => self.time += steps,
            Some(WaitKind::Approval) => self.approval += steps,
            Some(WaitKind::Signal) => self.signal += steps,
            Some(WaitKind::Children) => self.children += steps,
        }
    }
}

pub fn queues(tx: &ReadTx) -> Result<Queues> {
    let mut types: BTreeMap<i64, TypeQueue> = BTreeMap::new();
    for (id, queue) in tx.rows("SELECT id, name, paused, queue > 0 FROM step_type", [], |row| {
        let queue =
            TypeQueue { step_type: row.get(1)?, paused: row.get(2)?, own_pool: row.get(3)?, ..TypeQueue::default() };
        Ok((row.get::<i64>(0)?, queue))
    })? {
        types.insert(id, queue);
    }
    let mut count = |sql: &str, place: fn(&mut TypeQueue) -> &mut i64| -> Result<()> {
        for (id, count) in tx.rows(sql, [], |row| Ok((row.get::<i64>(0)?, row.get::<i64>(1)?)))? {
            if let Some(queue) = types.get_mut(&id) {
                *place(queue) = count;
            }
        }
        Ok(())
    };
    count("SELECT type_id, count(*) FROM lease GROUP BY type_id", |it| &mut it.running)?;
    count(BLOCKED, |it| &mut it.in_line)?;
    for (id, count) in tx.rows(WITHOUT_UNITS, [], |row| Ok((row.get::<i64>(0)?, row.get::<i64>(1)?)))? {
        if let Some(queue) = types.get_mut(&id) {
            queue.in_line += count;
        }
    }
    for (id, all, held) in tx.rows(READY, [], |row| Ok((row.get::<i64>(0)?, row.get(1)?, row.get(2)?)))? {
        if let Some(queue) = types.get_mut(&id) {
            queue.on_hold = if queue.paused { all } else { held };
            queue.ready = all - queue.on_hold;
        }
    }
    let one = |sql: &str| -> Result<i64> { Ok(tx.row(sql, [], |row| row.get(0))?.unwrap_or(0)) };
    let next_due = tx.row(NEXT_DELAYED, [], |row| row.get(0).map(Timestamp))?;
    let waiting =
        |kind: &str| -> Result<i64> { Ok(tx.row(&format!("{WAITING} {kind}"), [], |row| row.get(0))?.unwrap_or(0)) };
    let mut types: Vec<TypeQueue> = types.into_values().collect();
    let hooks = types.iter().find(|it| it.step_type == HOOK_TYPE).cloned().unwrap_or_default();
    let due_hooks = "SELECT EXISTS (SELECT 1 FROM run_group WHERE id < 0 AND ended IS NULL)";
    let delayed_hooks = if one(due_hooks)? > 0 { one(DELAYED_HOOKS)? } else { 0 };
    // They are counted apart.
    types.retain(|it| it.step_type != HOOK_TYPE || it.paused);
    types.retain(|it| it.paused || it.ready + it.on_hold + it.running + it.in_line > 0);
    types.sort_by(|one, other| one.step_type.cmp(&other.step_type));
    let paused = one(ALL_PAUSED)?;
    let any_paused = "SELECT EXISTS (SELECT 1 FROM step_type WHERE paused = 1)
                      OR EXISTS (SELECT 1 FROM run_group WHERE paused + cancelling > 0 AND paused = 1)";
    // Read only if something is paused.
    let delayed_on_hold = if one(any_paused)? > 0 { one(DELAYED_ON_HOLD)? } else { 0 };
    Ok(Queues {
        on_hold: paused + types.iter().map(|it| it.on_hold).sum::<i64>(),
        types,
        delayed: one(DELAYED)? - delayed_hooks,
        next_due,
        delayed_on_hold,
        paused,
        groups_open: one("SELECT count(*) FROM run_group WHERE ended IS NULL AND id > 0")?,
        groups_paused: one("SELECT count(*) FROM run_group WHERE paused + cancelling > 0 AND paused = 1")?,
        waiting: Waits {
            time: waiting(formatcp!("{WAIT_TIME}"))?,
            approval: waiting(formatcp!("{WAIT_APPROVAL}"))?,
            signal: waiting(formatcp!("{WAIT_SIGNAL}"))?,
            children: waiting(formatcp!("{WAIT_CHILDREN}"))?,
        },
        hooks_waiting: hooks.ready + hooks.on_hold + hooks.in_line + delayed_hooks,
        hooks_running: hooks.running,
    })
}

/// A step that was deferred because of a shortage.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PutOff {
    pub step: StepId,
    pub group: GroupId,
    pub reason: String,
}

/// The deferred steps among the `most` that are due next.
pub fn put_off(tx: &ReadTx, most: usize) -> Result<Vec<PutOff>> {
    let waiting = tx.rows(PUT_OFF, [most as i64], |row| {
        Ok((StepId(row.get(0)?), GroupId(row.get(2)?), row.get::<Option<String>>(1)?))
    })?;
    let found = waiting.into_iter().filter_map(|(step, group, detail)| {
        let detail: serde_json::Value = serde_json::from_str(&detail?).ok()?;
        match serde_json::from_value(detail.get("outcome")?.clone()).ok()? {
            Outcome::NoRoom { reason, .. } => Some(PutOff { step, group: group.owner(), reason }),
            _ => None,
        }
    });
    Ok(found.collect())
}

/// The step that has been running longest, and since when.
pub fn oldest_running(tx: &ReadTx) -> Result<Option<(StepId, Timestamp)>> {
    tx.row("SELECT step_id, min(started) FROM lease HAVING count(*) > 0", [], |row| {
        Ok((StepId(row.get(0)?), Timestamp(row.get(1)?)))
    })
}

/// By type: the number of claimable steps, and how many of them belong to paused groups.
const READY: &str = "SELECT type_id, count(*),
       sum(group_id IN (SELECT id FROM run_group WHERE paused + cancelling > 0 AND paused = 1)) FROM ready
  WHERE queue >= 0 OR -queue IN (SELECT id FROM line WHERE open = 1) GROUP BY type_id";
/// By type: the steps that wait for units of a resource, or for a rate.
const WITHOUT_UNITS: &str =
    "SELECT l.type_id, count(*) FROM line l JOIN ready q ON q.queue = -l.id WHERE l.open = 0 GROUP BY l.type_id";
pub(crate) const BLOCKED: &str = formatcp!(
    "SELECT type_id, count(*) FROM step INDEXED BY step_blocked WHERE state = {STEP_BLOCKED} GROUP BY type_id"
);
pub(crate) const DELAYED: &str =
    formatcp!("SELECT count(*) FROM step INDEXED BY step_delayed WHERE state = {STEP_DELAYED}");
const NEXT_DELAYED: &str = formatcp!("SELECT due FROM step WHERE state = {STEP_DELAYED} ORDER BY due LIMIT 1");
const WAITING: &str = "SELECT count(*) FROM waiting WHERE kind =";
const DELAYED_HOOKS: &str =
    formatcp!("SELECT count(*) FROM step INDEXED BY step_delayed WHERE state = {STEP_DELAYED} AND group_id < 0");
const DELAYED_ON_HOLD: &str = formatcp!(
    "SELECT count(*) FROM step INDEXED BY step_delayed WHERE state = {STEP_DELAYED}
        AND (group_id IN (SELECT id FROM run_group WHERE paused + cancelling > 0 AND paused = 1)
             OR type_id IN (SELECT id FROM step_type WHERE paused = 1))"
);
const PUT_OFF: &str = formatcp!(
    "SELECT s.id,
        (SELECT a.detail FROM attempt a WHERE a.step_id = s.id ORDER BY a.token DESC LIMIT 1), s.group_id
   FROM (SELECT id, group_id FROM step INDEXED BY step_delayed WHERE state = {STEP_DELAYED} ORDER BY due LIMIT ?1) s"
);
pub(crate) const ALL_PAUSED: &str =
    formatcp!("SELECT count(*) FROM step INDEXED BY step_paused WHERE state = {STEP_PAUSED}");
