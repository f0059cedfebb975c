//! The claim: the best claimable steps become RUNNING under fresh tokens, in the writer's transaction.
//!
//! Its cost does not depend on how many steps wait, are done, delayed, paused, or stand behind a held key: it reads the
//! head of an ordered table. What a claim meets and cannot take (a paused group's step, a row in an old lane, a head
//! whose key is held) it moves out of the way, at most `MOVES` rows per claim.
//!
//! SQLite only: `INDEXED BY`.

use crate::model::{EventKind, Lease, Scope, Timestamp, TypeId};
use crate::store::{
    error::Result,
    hook, lease,
    params::params,
    request::{Claim, Claimed, ReadyRow, Take},
    resource_lock, step, step_type,
    tx::WriteTx,
    worker,
};
use std::cmp::Reverse;

const MOVES: usize = 256;

/// Claims up to `claim.limit` steps, best first. All or nothing: an error leaves the transaction to be rolled back.
pub(in crate::store) fn claim(tx: &WriteTx, claim: &Claim) -> Result<Vec<Claimed>> {
    // Somebody who was taken for dead has to register anew: nobody would ever reap what it claims under its old number.
    if !worker::is_registered(tx, claim.worker)? {
        return Ok(Vec::new());
    }
    let lanes = lanes(tx, &claim.take);
    let mut claimed = Vec::new();
    let mut moves = 0;
    while claimed.len() < claim.limit && moves < MOVES {
        let wanted = claim.limit - claimed.len();
        let candidates = candidates(tx, claim, &lanes, wanted)?;
        if candidates.is_empty() {
            break;
        }
        for row in candidates {
            if claimed.len() == claim.limit || moves >= MOVES {
                break;
            }
            match take(tx, claim, &row)? {
                Taken::Step(it) => claimed.push(it),
                Taken::Passed => moves += 1,
                // What came up in its place may be better than the candidates that are left.
                Taken::Moved => {
                    moves += 1;
                    break;
                }
            }
        }
    }
    if moves >= MOVES {
        // There is more to move: ask to be asked again.
        tx.memory().woke = true;
    }
    Ok(claimed)
}

fn lanes(tx: &WriteTx, take: &Take) -> Vec<i64> {
    let memory = tx.memory();
    match take {
        Take::Type(id) if memory.types.get(id).is_some_and(|it| it.paused) => Vec::new(),
        Take::Type(id) => vec![id.0],
        Take::Others(not) => {
            let own = memory.types.iter().filter(|(id, it)| it.lane != 0 && !it.paused && !not.contains(id));
            std::iter::once(0).chain(own.map(|(_, it)| it.lane)).collect()
        }
    }
}

/// The best rows of the lanes, merged in claim order.
fn candidates(tx: &WriteTx, claim: &Claim, lanes: &[i64], limit: usize) -> Result<Vec<ReadyRow>> {
    let mut found = Vec::new();
    for lane in lanes {
        found.extend(candidates_of_lane(tx, claim.scope, *lane, limit)?);
    }
    if lanes.len() > 1 {
        found.sort_by_key(|it| (Reverse(it.priority), it.due, it.step));
        found.truncate(limit);
    }
    Ok(found)
}

fn candidates_of_lane(tx: &WriteTx, scope: Scope, lane: i64, limit: usize) -> Result<Vec<ReadyRow>> {
    let group = match scope {
        Scope::Everything => return tx.rows(EVERYTHING, params![lane, limit as i64], step::read_ready),
        Scope::Group(group) => group,
    };
    let keys = tx.rows(SCOPED, params![group.0, lane, limit as i64], |row| {
        Ok((row.get::<i64>(0)?, row.get::<i64>(1)?, row.get::<i64>(2)?))
    })?;
    let mut found = Vec::with_capacity(keys.len());
    for (priority, due, id) in keys {
        found.extend(tx.row(BY_KEY, params![lane, priority, due, id], step::read_ready)?);
    }
    Ok(found)
}

pub(in crate::store) const EVERYTHING: &str =
    "SELECT lane, priority, due, step_id, type_id, run_id, group_id, scope, key_id, attempts
       FROM ready WHERE lane = ?1 ORDER BY priority DESC, due, step_id LIMIT ?2";
/// Named, and only columns that the index covers: left to itself the planner reads the whole lane and filters.
pub(in crate::store) const SCOPED: &str = "SELECT priority, due, step_id FROM ready INDEXED BY ready_scoped
      WHERE scope = ?1 AND scope > 0 AND lane = ?2 ORDER BY priority DESC, due, step_id LIMIT ?3";
pub(in crate::store) const BY_KEY: &str =
    "SELECT lane, priority, due, step_id, type_id, run_id, group_id, scope, key_id, attempts
       FROM ready WHERE lane = ?1 AND priority = ?2 AND due = ?3 AND step_id = ?4";

/// What became of a candidate.
enum Taken {
    Step(Claimed),
    /// Its key is held: it went back in line.
    Passed,
    /// It went where it belongs, and another may have come up.
    Moved,
}

/// Takes one candidate, or moves it out of the way.
fn take(tx: &WriteTx, claim: &Claim, row: &ReadyRow) -> Result<Taken> {
    let (lane, paused, cancelling) = {
        let memory = tx.memory();
        (
            memory.lane(row.step_type),
            memory.paused_groups.contains(&row.group),
            memory.cancelling_groups.contains(&row.group),
        )
    };
    if lane != row.lane {
        step::delete_ready(tx, row)?;
        step::insert_ready(tx, &ReadyRow { lane, ..*row })?;
        tx.memory().woke = true;
        return Ok(Taken::Moved);
    }
    if paused || cancelling {
        step::park(tx, row)?;
        return Ok(Taken::Moved);
    }
    let token = tx.next_token();
    if let Some(key) = row.key
        && !resource_lock::take_for_step(tx, key, row.step, token, claim)?
    {
        step::back_in_line(tx, row)?;
        tx.memory().lost_races += 1;
        return Ok(Taken::Passed);
    }
    step::delete_ready(tx, row)?;
    lease::insert(tx, row, token, claim.worker)?;
    tx.event(EventKind::StepStart, Some(row.group), Some(row.run), Some(row.step));
    hook::due_for_start(tx, row, token)?;
    Ok(Taken::Step(Claimed {
        lease: Lease { step: row.step, token },
        run: row.run,
        group: row.group,
        step_type: row.step_type,
        key: row.key,
        attempt: row.attempts as u32 + 1,
        started: tx.now(),
        due: Timestamp(row.due),
    }))
}

/// Moves rows of a type that just got a lane of its own out of lane 0.
///
/// Looks at up to `limit` rows of the lane behind `after` in claim order; returns where to go on, None at the end.
pub fn move_lane(tx: &WriteTx, step_type: TypeId, after: Option<Place>, limit: usize) -> Result<Option<Place>> {
    let lane = tx.memory().lane(step_type);
    let from = after.unwrap_or(Place { priority: i64::MAX, due: i64::MAX, step: i64::MAX });
    // Three ranges of the primary key: one comparison of all three columns would walk what lies behind again.
    let mut rows = Vec::new();
    for (range, sql) in RANGES.iter().enumerate() {
        let left = (limit - rows.len()) as i64;
        rows.extend(match range {
            0 => tx.rows(sql, params![left, from.priority, from.due, from.step], step::read_ready)?,
            1 => tx.rows(sql, params![left, from.priority, from.due], step::read_ready)?,
            _ => tx.rows(sql, params![left, from.priority], step::read_ready)?,
        });
    }
    for row in rows.iter().filter(|it| it.step_type == step_type) {
        step::delete_ready(tx, row)?;
        step::insert_ready(tx, &ReadyRow { lane, ..*row })?;
        tx.memory().woke = true;
    }
    let last = rows.last().filter(|_| rows.len() == limit);
    if last.is_none() {
        step_type::moved(tx, step_type)?;
    }
    Ok(last.map(|it| Place { priority: it.priority, due: it.due, step: it.step.0 }))
}

pub(in crate::store) const RANGES: [&str; 3] = [
    "SELECT lane, priority, due, step_id, type_id, run_id, group_id, scope, key_id, attempts FROM ready
      WHERE lane = 0 AND priority = ?2 AND due = ?3 AND step_id > ?4 ORDER BY step_id LIMIT ?1",
    "SELECT lane, priority, due, step_id, type_id, run_id, group_id, scope, key_id, attempts FROM ready
      WHERE lane = 0 AND priority = ?2 AND due > ?3 ORDER BY due, step_id LIMIT ?1",
    "SELECT lane, priority, due, step_id, type_id, run_id, group_id, scope, key_id, attempts FROM ready
      WHERE lane = 0 AND priority < ?2 ORDER BY priority DESC, due, step_id LIMIT ?1",
];

/// A place in the claim order of a lane.
#[derive(Debug, Clone, Copy)]
pub struct Place {
    priority: i64,
    due: i64,
    step: i64,
}
