//! How many steps will be claimed before a waiting step, and how fast steps start.

use crate::{
    decide::fairness::{self, Turn},
    model::{EventKind, GroupId, StepId},
    store::{
        error::Result,
        event::{self, Cursor},
        params::params,
        read_tx::ReadTx,
        row::Row,
    },
};
use serde::Serialize;

/// The maximum number of steps counted.
const MOST: i64 = 100_000;
/// The maximum number of groups considered.
const GROUPS: i64 = 1_000;
/// The rate is computed from at most this many transactions, in at most this many milliseconds.
const BATCHES: i64 = 1_000;
const WINDOW: i64 = 60_000;

/// The steps that will be claimed before a given step.
#[derive(Debug, Clone, PartialEq, Serialize, utoipa::ToSchema)]
pub struct Ahead {
    /// How many steps will be claimed before it, unless more work is submitted.
    pub steps: i64,
    /// Whether there are more, because counting stopped at a limit.
    pub more: bool,
    /// The groups with the most of these steps, at most three. Can include the step's own group.
    pub groups: Vec<GroupAhead>,
    /// Steps that started per minute, over the last minute. Null if at most one did.
    pub per_minute: Option<f64>,
}

/// Steps of one group that will be claimed before the given step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct GroupAhead {
    pub group: GroupId,
    pub steps: i64,
}

/// Returns `None` if the step is not claimable.
pub(super) fn of(tx: &ReadTx, step: StepId) -> Result<Option<Ahead>> {
    let place = tx.row(
        "SELECT q.queue, q.priority, q.group_id FROM step s JOIN step_type t ON t.id = s.type_id
           JOIN ready q ON q.queue IN (0, t.queue, -coalesce((SELECT l.id FROM line l
                WHERE l.demand_id = s.demand_id AND l.type_id = s.type_id), 0)) AND q.priority = s.priority AND q.group_id = s.group_id AND q.step_id = s.id
          WHERE s.id = ?1",
        [step.0],
        |row| Ok((row.get::<i64>(0)?, row.get::<i64>(1)?, row.get::<i64>(2)?)),
    )?;
    let Some((queue, priority, group)) = place else { return Ok(None) };
    let own = count(tx, (queue, priority, group), step.0, MOST)?;
    let turns = tx.rows(
        "SELECT priority, tag, group_id, weight FROM turn WHERE queue = ?1 AND priority >= ?2
          ORDER BY priority DESC, tag LIMIT ?3",
        params![queue, priority, GROUPS],
        turn,
    )?;
    let mut groups = vec![GroupAhead { group: GroupId(group).owner(), steps: own }];
    if let Some(ours) = tx.row(
        "SELECT priority, tag, group_id, weight FROM turn WHERE queue = ?1 AND priority = ?2 AND group_id = ?3",
        [queue, priority, group],
        turn,
    )? {
        let mut left = MOST - own;
        for other in turns.iter().filter(|it| it.group != group) {
            if left == 0 {
                break;
            }
            let before = match other.priority > priority {
                true => left,
                false => fairness::claims_before(&ours, own, other).min(left),
            };
            if before > 0 {
                let steps = count(tx, (queue, other.priority, other.group), i64::MAX, before)?;
                left -= steps;
                groups.push(GroupAhead { group: GroupId(other.group).owner(), steps });
            }
        }
    }
    let steps = groups.iter().map(|it| it.steps).sum();
    groups.retain(|it| it.steps > 0);
    groups.sort_by_key(|it| -it.steps);
    groups.truncate(3);
    let more = steps >= MOST || turns.len() as i64 >= GROUPS;
    Ok(Some(Ahead { steps, more, groups, per_minute: rate(tx)? }))
}

fn turn(row: &Row) -> Result<Turn> {
    Ok(Turn { priority: row.get(0)?, tag: row.get(1)?, group: row.get(2)?, weight: row.get(3)? })
}

/// Counts the claimable steps of a group before a step, up to `most`.
fn count(tx: &ReadTx, (queue, priority, group): (i64, i64, i64), before: i64, most: i64) -> Result<i64> {
    let found = tx.row(
        "SELECT count(*) FROM (SELECT 1 FROM ready
          WHERE queue = ?1 AND priority = ?2 AND group_id = ?3 AND step_id < ?4 LIMIT ?5)",
        params![queue, priority, group, before, most],
        |row| row.get(0),
    )?;
    Ok(found.unwrap_or(0))
}

/// Steps that started per minute, from the newest events.
fn rate(tx: &ReadTx) -> Result<Option<f64>> {
    let newest = event::newest(tx)?;
    let from = Cursor { seq: newest.seq - BATCHES, index: 0 };
    let events = event::after(tx, from, BATCHES as usize + 1)?;
    let Some(end) = events.last().map(|it| it.1.at) else { return Ok(None) };
    let recent = events.iter().filter(|it| it.1.at.0 > end.0 - WINDOW);
    let starts = recent.clone().filter(|it| it.1.kind == EventKind::StepStart).count();
    let begin = recent.clone().map(|it| it.1.at.0).min().unwrap_or(end.0);
    // A burst shorter than a second does not determine a rate.
    let milliseconds = (end.0 - begin).max(1_000);
    Ok((starts > 1).then(|| starts as f64 * 60_000.0 / milliseconds as f64))
}
