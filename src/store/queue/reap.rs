//! Reaping: the steps of a dead worker return to the queue that they were claimed from.

use crate::model::{AttemptOutcome, EventKind, StepId, WorkerId};
use crate::store::{
    attempt,
    error::Result,
    event::{self, About},
    lease, resource, resource_lock, settle,
    tx::WriteTx,
    worker,
};

/// Why a worker is reaped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Death {
    /// Its liveness lock is free, so the process is gone. Its steps were running, so each is suspect.
    Died,
    /// Its liveness lock is held but its heartbeat stopped, or its machine was rebooted. No step is at fault.
    Silent,
    Rebooted,
    /// It belonged to the engine from whose backup this one was restored.
    Restored,
}

impl Death {
    fn words(self) -> &'static str {
        match self {
            Death::Died => "its worker died",
            Death::Silent => "its worker fell silent",
            Death::Rebooted => "the machine was restarted",
            Death::Restored => "a backup was restored",
        }
    }
}

/// Gives back up to `limit` steps of a worker, and finally removes the worker. Returns the number of steps; fewer than
/// `limit` means that the worker is removed.
///
/// One transaction clears leases, releases locks and records events. The resource locks of a silent worker stay until
/// its file locks are free (`resource_lock::sweep`).
pub fn reap(tx: &WriteTx, id: WorkerId, death: Death, limit: usize) -> Result<Vec<StepId>> {
    let lives = lease::of_worker(tx, id, limit)?;
    let mut reaped = Vec::with_capacity(lives.len());
    for live in &lives {
        if lease::take(tx, live.lease)?.is_none() {
            continue;
        }
        resource::give_back(tx, live.lease.step)?;
        let cancel_requested = tx.memory().cancel_requests.remove(&live.lease.step);
        if cancel_requested {
            tx.execute("DELETE FROM cancel_request WHERE step_id = ?1", [live.lease.step.0])?;
        }
        let reason = death.words();
        let detail = serde_json::json!({"outcome": {"outcome": "interrupted", "reason": reason}, "certificate": {}});
        let record =
            attempt::Record { outcome: AttemptOutcome::Interrupted, detail: detail.to_string(), logs: Vec::new() };
        attempt::record(tx, live, Some(&record))?;
        event::note_with(tx, EventKind::StepReaped, About::attempt(live), reason.into())?;
        match cancel_requested {
            true => settle::cancelled(tx, live)?,
            false => settle::give_back(tx, live, live.due, death == Death::Died)?,
        }
        if let Some(key) = live.key
            && death != Death::Silent
        {
            resource_lock::release_for_step(tx, key, live.lease.token)?;
        }
        reaped.push(live.lease.step);
    }
    if lives.len() < limit {
        worker::leave(tx, id)?;
    }
    Ok(reaped)
}
