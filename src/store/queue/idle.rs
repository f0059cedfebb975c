//! Whether work is left, and when the next step is due.

use crate::model::code::{STEP_BLOCKED, STEP_DELAYED, WAIT_TIME};
use crate::model::{Lease, Scope, StepId, Timestamp, Token, WorkerId};
use crate::store::{error::Result, memory, params::params, tx::ReadTx};
use const_format::formatcp;

/// Whether nothing is ready, running, delayed or blocked in this scope. Hooks are steps.
///
/// A step that waits for a time counts as delayed, because it continues on its own. Steps do not count that wait for a
/// person, a signal, their children, a paused group or type, or a need that itself waits for one of these.
pub fn is_idle(tx: &ReadTx, scope: Scope) -> Result<bool> {
    let busy = match scope {
        Scope::Everything => tx.row(
            formatcp!(
                "SELECT EXISTS (SELECT 1 FROM ready WHERE queue = 0) OR EXISTS (SELECT 1 FROM lease)
                 OR EXISTS (SELECT 1 FROM step_type t WHERE t.queue > 0 AND NOT t.paused
                               AND EXISTS (SELECT 1 FROM ready WHERE ready.queue = t.queue))
                 OR EXISTS (SELECT 1 FROM line l JOIN step_type t ON t.id = l.type_id
                             WHERE NOT t.paused AND EXISTS (SELECT 1 FROM ready WHERE ready.queue = -l.id))
                 OR EXISTS (SELECT 1 FROM step WHERE state = {STEP_DELAYED})
                 OR EXISTS (SELECT 1 FROM step WHERE state = {STEP_BLOCKED}
                               AND type_id NOT IN (SELECT id FROM step_type WHERE paused))
                 OR EXISTS (SELECT 1 FROM waiting WHERE kind = {WAIT_TIME})
                 OR EXISTS (SELECT 1 FROM group_detail d WHERE d.opened < d.open_until
                               AND NOT EXISTS (SELECT 1 FROM child_group c WHERE c.group_id = d.group_id AND c.active >= c.at_most))"
            ),
            [],
            |row| row.get::<bool>(0),
        )?,
        Scope::Group(group) => tx.row(
            "SELECT 1 FROM run_group WHERE id IN (?1, ?2) AND ended IS NULL
             UNION ALL
             SELECT 1 FROM run_group h JOIN child_group c ON c.group_id = -h.id JOIN step s ON s.id = c.step_id
              WHERE h.id < 0 AND h.ended IS NULL AND s.scope = ?1 LIMIT 1",
            params![group.0, group.hooks().0],
            |_| Ok(true),
        )?,
    };
    Ok(!busy.unwrap_or(false))
}

/// When the next delayed or waiting step is due, or the next resource must be examined.
pub fn next_due(tx: &ReadTx) -> Result<Option<Timestamp>> {
    memory::earliest_due(tx)
}

/// Leases of a worker that were reaped, and leases with a cancel request.
#[derive(Debug, Default)]
pub struct LeaseStates {
    pub cancelled: Vec<Lease>,
    pub live: Vec<Lease>,
}

/// The state of the leases of a worker.
pub fn leases(tx: &ReadTx, worker: WorkerId) -> Result<LeaseStates> {
    let rows = tx.rows(
        "SELECT l.step_id, l.token, c.step_id IS NOT NULL OR g.cancelling FROM lease l
           LEFT JOIN cancel_request c ON c.step_id = l.step_id AND c.token = l.token
           JOIN run_group g ON g.id = l.group_id
          WHERE l.worker = ?1",
        [worker.0],
        |row| Ok((Lease { step: StepId(row.get(0)?), token: Token(row.get(1)?) }, row.get::<bool>(2)?)),
    )?;
    let mut states = LeaseStates::default();
    for (lease, cancelled) in rows {
        states.live.push(lease);
        if cancelled {
            states.cancelled.push(lease);
        }
    }
    Ok(states)
}
