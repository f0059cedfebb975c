//! The claim: the best claimable steps become RUNNING under fresh tokens, in the writer's transaction.
//!
//! Groups take turns; within a group, older runs come first. A claim reads only the heads of two ordered tables, so its
//! cost does not depend on how many steps wait, are done, delayed, paused, or blocked by a held key. Rows that it meets
//! and can't take (a step of a paused group, a row in an old queue, a head with a held key) are moved away, at most
//! `MOVES` rows per claim.

use crate::decide::fairness::{self, Order, Turn};
use crate::model::{EventKind, GroupId, Lease, Scope, StepId, Timestamp, TypeId};
use crate::store::{
    blocked,
    error::Result,
    event::{self, About},
    hold, lease, line, pause,
    ready::{self, ReadyRow},
    request::{Claim, Claimed, Take},
    resource::{self, Requested},
    resource_lock, step_type, turn,
    tx::WriteTx,
    worker,
};
use std::collections::{BTreeMap, HashMap, VecDeque};

pub use crate::store::ready::Place;

const MOVES: usize = 256;
/// The most lines of one queue that a claim examines.
const LINES: usize = 16;

/// Claims up to `claim.limit` steps, best first. All or nothing: after an error, the transaction must be rolled back.
pub(in crate::store) fn claim(tx: &WriteTx, claim: &Claim) -> Result<Vec<Claimed>> {
    // A worker that was declared dead must register again. Steps claimed under its old number would never be reaped.
    if !worker::is_registered(tx, claim.worker)? {
        return Ok(Vec::new());
    }
    let own = queues(tx, &claim.take);
    let mut claimed = Vec::new();
    let mut moves = 0;
    // Claims by queue, priority and group that are not yet added to the tags.
    let mut served = BTreeMap::new();
    while claimed.len() < claim.limit && moves < MOVES {
        let wanted = claim.limit - claimed.len();
        let candidates = candidates(tx, claim, &with_lines(tx, &own)?, wanted)?;
        if candidates.is_empty() {
            break;
        }
        for row in candidates {
            if claimed.len() == claim.limit || moves >= MOVES {
                break;
            }
            match take(tx, claim, &row)? {
                Taken::Step(it) => {
                    *served.entry((row.queue, row.priority, row.group)).or_insert(0) += 1;
                    claimed.push(it);
                }
                Taken::Passed => moves += 1,
                // The step that became available may be better than the remaining candidates.
                Taken::Moved => {
                    moves += 1;
                    break;
                }
            }
        }
        for ((queue, priority, group), claims) in std::mem::take(&mut served) {
            turn::charge(tx, queue, priority, group, claims)?;
        }
    }
    if moves >= MOVES {
        // More rows have to be moved; request another claim.
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

/// The queues, and their lines whose resources are available.
fn with_lines(tx: &WriteTx, own: &[i64]) -> Result<Vec<i64>> {
    let mut queues = own.to_vec();
    if tx.memory().lines {
        for queue in own {
            queues.extend(line::open_of(tx, *queue, LINES)?.into_iter().map(line::queue_of));
        }
    }
    Ok(queues)
}

/// The steps to try, in claim order. May be empty.
fn candidates(tx: &WriteTx, claim: &Claim, queues: &[i64], limit: usize) -> Result<Vec<ReadyRow>> {
    if let [queue] = queues {
        return of_queue(tx, claim.scope, *queue, limit);
    }
    let first = tx.memory().counters.token.current() as usize;
    let mut found = Vec::new();
    for (at, queue) in queues.iter().enumerate() {
        let rows = of_queue(tx, claim.scope, *queue, limit)?;
        if rows.is_empty()
            && let Some(id) = line::of_queue(*queue)
            && let Some(line) = line::get(tx, id)?
        {
            resource::remove_line_if_empty(tx, &line)?;
        }
        let mut position = 0;
        let mut priority = None;
        for row in rows {
            position = if priority == Some(row.priority) { position + 1 } else { 0 };
            priority = Some(row.priority);
            found.push((fairness::across_queues(row.priority, position, at, queues.len(), first), row));
        }
    }
    found.sort_by_key(|it| it.0);
    Ok(found.into_iter().map(|it| it.1).take(limit).collect())
}

/// The next steps of one queue.
fn of_queue(tx: &WriteTx, scope: Scope, queue: i64, limit: usize) -> Result<Vec<ReadyRow>> {
    if let Scope::Group(group) = scope {
        let is_hooks = tx.memory().hook_type.is_some_and(|it| it.0 == queue);
        let hooks = if is_hooks { of_scope(tx, group.hooks(), queue, limit)? } else { Vec::new() };
        return if hooks.is_empty() { of_scope(tx, group, queue, limit) } else { Ok(hooks) };
    }
    let mut window = limit;
    loop {
        let (turns, all) = turn::next(tx, queue, window)?;
        if turns.is_empty() {
            return Ok(Vec::new());
        }
        if let [turn] = turns[..] {
            let rows = ready::of_group(tx, (queue, turn.priority, GroupId(turn.group)), StepId(0), limit)?;
            if rows.is_empty() {
                turn::forget(tx, queue, &turn)?;
            }
            return Ok(rows);
        }
        let found = in_turn(tx, queue, &turns, limit)?;
        if found.len() == limit || all {
            return Ok(found);
        }
        // These groups have fewer steps than needed. The next groups come before steps of a lower priority in another
        // queue.
        window *= 2;
    }
}

/// The next steps of a group and of the groups that its steps started. These take turns, so that neither waits for the
/// other.
fn of_scope(tx: &WriteTx, group: GroupId, queue: i64, limit: usize) -> Result<Vec<ReadyRow>> {
    let Some(priority) = turn::priority_of(tx, group)? else { return Ok(Vec::new()) };
    let own = ready::of_scope(tx, (queue, priority, group), limit)?;
    if !tx.memory().families {
        return Ok(own);
    }
    let below = ready::below_scope(tx, queue, group, limit)?;
    let own_first = tx.memory().counters.token.current() % 2 == 0;
    let (mut first, mut second) = if own_first { (own, below) } else { (below, own) };
    let mut found = Vec::with_capacity(limit);
    first.reverse();
    second.reverse();
    while found.len() < limit {
        let Some(next) = first.pop().or_else(|| second.pop()) else { break };
        found.push(next);
        std::mem::swap(&mut first, &mut second);
    }
    Ok(found)
}

/// Up to `limit` steps of these groups, in turn order. A group without steps is removed when its turn comes.
fn in_turn(tx: &WriteTx, queue: i64, turns: &[Turn], limit: usize) -> Result<Vec<ReadyRow>> {
    let mut order = Order::new(turns);
    let mut waiting: HashMap<i64, VecDeque<ReadyRow>> = HashMap::new();
    let mut found = Vec::with_capacity(limit);
    // Each group's share if all are served equally. More is read if needed.
    let slice = (limit / turns.len() + 1).min(limit);
    while found.len() < limit {
        let Some(turn) = order.take() else { break };
        let place = (queue, turn.priority, GroupId(turn.group));
        let first = !waiting.contains_key(&turn.group);
        let rows = waiting.entry(turn.group).or_default();
        if rows.is_empty() {
            let after = found.iter().rfind(|it: &&ReadyRow| it.group.0 == turn.group).map_or(StepId(0), |it| it.step);
            rows.extend(ready::of_group(tx, place, after, slice)?);
        }
        match rows.pop_front() {
            Some(row) => {
                found.push(row);
                order.put_back(turn);
            }
            None if first => turn::forget(tx, queue, &turn)?,
            None => {}
        }
    }
    Ok(found)
}

/// The result for one candidate.
#[allow(clippy::large_enum_variant)]
enum Taken {
    Step(Claimed),
    /// Its key is held, so it is blocked.
    Passed,
    /// It was moved to the right place, and another step may have become available.
    Moved,
}

/// Takes one candidate, or moves it away.
fn take(tx: &WriteTx, claim: &Claim, row: &ReadyRow) -> Result<Taken> {
    let line = line::of_queue(row.queue).map(|id| line::get(tx, id)).transpose()?.flatten();
    let queue = tx.memory().queue(row.step_type);
    if line.is_none() && queue != row.queue {
        ready::change_queue(tx, row, queue)?;
        return Ok(Taken::Moved);
    }
    if hold::holds_back(tx, row.group, row.run, row.step)? {
        pause::pause_step(tx, row)?;
        return Ok(Taken::Moved);
    }
    let grant = match line.map(|it| resource::ask(tx, &it, Some(row.step))).transpose()? {
        None => None,
        Some(Requested::Granted(grant)) => Some(grant),
        Some(Requested::Lacks(lacks, until)) => {
            let Some(line) = line else { return Ok(Taken::Moved) };
            resource::close_line(tx, &line, lacks, until)?;
            return Ok(Taken::Moved);
        }
    };
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
    if let (Some(line), Some(grant)) = (&line, &grant) {
        resource::take(tx, line, row.step, grant)?;
    }
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
        impossible: grant.and_then(|it| it.impossible),
    }))
}

/// Moves rows of a type that has just got a queue of its own out of the shared queue.
///
/// Reads up to `limit` rows after `after` in claim order. Returns where to continue; None at the end.
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
