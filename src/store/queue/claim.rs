//! The claim: the best claimable steps become RUNNING under fresh tokens, in the writer's transaction.
//!
//! Its cost does not depend on how many steps wait, are done, delayed, paused, or stand behind a held key: it reads the
//! head of an ordered table. What a claim meets and cannot take (a paused group's step, a row in an old queue, a head
//! whose key is held) it moves out of the way, at most `MOVES` rows per claim.

use crate::model::{EventKind, Lease, Timestamp, TypeId};
use crate::store::{
    blocked,
    error::Result,
    event::{self, About},
    lease, pause,
    ready::{self, ReadyRow},
    request::{Claim, Claimed, Take},
    resource_lock, step_type,
    tx::WriteTx,
    worker,
};

pub use crate::store::ready::Place;

const MOVES: usize = 256;

/// Claims up to `claim.limit` steps, best first. All or nothing: an error leaves the transaction to be rolled back.
pub(in crate::store) fn claim(tx: &WriteTx, claim: &Claim) -> Result<Vec<Claimed>> {
    // A worker that was declared dead must register again: steps claimed under its old number would never be reaped.
    if !worker::is_registered(tx, claim.worker)? {
        return Ok(Vec::new());
    }
    let queues = queues(tx, &claim.take);
    let mut claimed = Vec::new();
    let mut moves = 0;
    while claimed.len() < claim.limit && moves < MOVES {
        let wanted = claim.limit - claimed.len();
        let candidates = candidates(tx, claim, &queues, wanted)?;
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

fn queues(tx: &WriteTx, take: &Take) -> Vec<i64> {
    let memory = tx.memory();
    match take {
        Take::Type(id) if memory.types.get(id).is_some_and(|it| it.paused) => Vec::new(),
        Take::Type(id) => vec![id.0],
        Take::Others(not) => {
            let own = memory.types.iter().filter(|(id, it)| it.queue != 0 && !it.paused && !not.contains(id));
            std::iter::once(0).chain(own.map(|(_, it)| it.queue)).collect()
        }
    }
}

/// The best rows of the queues, merged in claim order.
fn candidates(tx: &WriteTx, claim: &Claim, queues: &[i64], limit: usize) -> Result<Vec<ReadyRow>> {
    let mut found = Vec::new();
    for queue in queues {
        found.extend(ready::best(tx, claim.scope, *queue, limit)?);
    }
    if queues.len() > 1 {
        found.sort_by_key(ReadyRow::rank);
        found.truncate(limit);
    }
    Ok(found)
}

/// What became of a candidate.
enum Taken {
    Step(Claimed),
    /// Its key is held: it is blocked.
    Passed,
    /// It went where it belongs, and another may have come up.
    Moved,
}

/// Takes one candidate, or moves it out of the way.
fn take(tx: &WriteTx, claim: &Claim, row: &ReadyRow) -> Result<Taken> {
    let (queue, paused, cancelling) = {
        let memory = tx.memory();
        (
            memory.queue(row.step_type),
            memory.paused_groups.contains(&row.group),
            memory.cancelling_groups.contains(&row.group),
        )
    };
    if queue != row.queue {
        ready::change_queue(tx, row, queue)?;
        return Ok(Taken::Moved);
    }
    if paused || cancelling {
        pause::pause_step(tx, row)?;
        return Ok(Taken::Moved);
    }
    let token = tx.next_token();
    if let Some(key) = row.key
        && !resource_lock::take_for_step(tx, key, row.step, token, claim)?
    {
        blocked::block(tx, row)?;
        tx.memory().lost_races += 1;
        return Ok(Taken::Passed);
    }
    ready::delete(tx, row)?;
    lease::insert(tx, row, token, claim.worker)?;
    let about = About { token: Some(token), ..About::step(row.group, row.run, row.step) };
    event::note(tx, EventKind::StepStart, about)?;
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

/// Moves rows of a type that just got a queue of its own out of the shared one.
///
/// Looks at up to `limit` rows of that behind `after` in claim order; returns where to continue, None at the end.
pub fn move_queue(tx: &WriteTx, step_type: TypeId, after: Option<Place>, limit: usize) -> Result<Option<Place>> {
    let queue = tx.memory().queue(step_type);
    let rows = ready::shared_behind(tx, after, limit)?;
    for row in rows.iter().filter(|it| it.step_type == step_type) {
        ready::change_queue(tx, row, queue)?;
    }
    let last = rows.last().filter(|_| rows.len() == limit);
    if last.is_none() {
        step_type::moved(tx, step_type)?;
    }
    Ok(last.map(Place::of))
}
