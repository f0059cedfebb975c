//! A consumer: claims a step, runs it, settles it and claims the next in one request.

use super::{attempt, error::Error, worker::Shared};
use crate::{
    failpoint::probe::{self, Window},
    model::{Lease, Millis},
    observe::{Counter, Histogram},
    os::{CancelToken, boot_id},
    store::{self, Claim, Claimed, Held, Settle, Settlement},
};
use std::{
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant},
};

/// Between two tries to claim or to settle while the disk is full or something else is short.
pub(super) const ROOM_WAIT: Duration = Duration::from_millis(500);

pub(super) fn run(shared: &Arc<Shared>, pool: usize) {
    let template = template(shared, pool);
    let notify = &shared.pools[pool].notify;
    let mut next: Option<Claimed> = None;
    while !shared.is_draining() || next.is_some() {
        let heard = notify.heard();
        let claimed = match next.take() {
            Some(claimed) => Some(claimed),
            None if !shared.has_room() => None,
            None => match claim(shared, &template) {
                Ok(claimed) => claimed,
                Err(error) => {
                    failed(shared, error);
                    None
                }
            },
        };
        let Some(claimed) = claimed else {
            if !shared.is_draining() {
                notify.wait(heard);
            }
            continue;
        };
        // There may be more where this came from.
        notify.pass_on();
        next = work(shared, pool, claimed, &template);
    }
    notify.pass_on();
}

fn template(shared: &Shared, pool: usize) -> Claim {
    let identity = serde_json::to_string(&*shared.engine.identity).unwrap_or_default();
    Claim {
        worker: shared.id(),
        take: shared.pools[pool].take.clone(),
        scope: shared.scope,
        limit: 1,
        identity: identity.into(),
        boot_id: boot_id().into(),
        lock_deadline: Default::default(),
    }
}

/// A claim made now: under the worker's current number, its locks valid for the time to live.
fn fresh(shared: &Shared, template: &Claim) -> Claim {
    let now = shared.engine.store.clock().monotonic();
    Claim { worker: shared.id(), lock_deadline: now + shared.engine.options.lock_ttl, ..template.clone() }
}

fn claim(shared: &Shared, template: &Claim) -> store::Result<Option<Claimed>> {
    if shared.attempts().is_empty() {
        // After a pause the last heartbeat is old; the step must not look like a silent worker's.
        shared.beat();
    }
    let metrics = &shared.engine.metrics;
    metrics.count(Counter::ClaimAttempts);
    let begun = Instant::now();
    let _inside = probe::inside(Window::Claim);
    let _claiming = shared.heartbeat.claiming();
    let claimed = shared.engine.store.claim(fresh(shared, template))?.into_iter().next();
    metrics.time(Histogram::ClaimDuration, "", begun.elapsed());
    metrics.count(if claimed.is_some() { Counter::ClaimSuccess } else { Counter::ClaimIdle });
    Ok(claimed)
}

/// Runs one step to its settlement; returns the step that was claimed with it.
fn work(shared: &Shared, pool: usize, claimed: Claimed, template: &Claim) -> Option<Claimed> {
    let begun = Instant::now();
    let cancel = CancelToken::new();
    shared.begin(claimed.lease, cancel.clone());
    shared.busy.fetch_add(1, Ordering::AcqRel);
    shared.pools[pool].busy.fetch_add(1, Ordering::Relaxed);
    let attempted = attempt::run(shared, &claimed, &cancel);
    // The work is done: release the file lock before the row, so that the next holder of the row need not wait for the file.
    drop(attempted.key);
    let (settlement, step_type) = (attempted.settlement, attempted.step_type);
    let waited = claimed.started.since(claimed.due);
    let metrics = &shared.engine.metrics;
    metrics.time(Histogram::QueueWait, &step_type, waited.duration());
    metrics.time(Histogram::StepDuration, &step_type, begun.elapsed());
    let next = settle(shared, &claimed, settlement, &step_type, template);
    // The rows of its artifacts are committed, so a sweep may look at the files again.
    drop(attempted.guards);
    shared.attempts().remove(&claimed.lease);
    shared.pools[pool].busy.fetch_sub(1, Ordering::Relaxed);
    shared.busy.fetch_sub(1, Ordering::AcqRel);
    next
}

/// Settles and claims the next step. Retries as long as the disk is full, unless the worker stops.
fn settle(
    shared: &Shared,
    claimed: &Claimed,
    settlement: Settlement,
    step_type: &str,
    template: &Claim,
) -> Option<Claimed> {
    let metrics = &shared.engine.metrics;
    let kind = counter(&settlement);
    let _inside = probe::inside(Window::Settle);
    loop {
        let more = !shared.is_draining() && shared.has_room();
        let settle = Settle {
            lease: claimed.lease,
            settlement: settlement.clone(),
            then: more.then(|| fresh(shared, template)),
        };
        match shared.engine.store.settle(settle) {
            Ok(settled) => {
                if settled.held == Held::Yes {
                    metrics.add(kind, step_type, 1);
                    count_in_a_row(shared, kind);
                }
                if more {
                    metrics.count(Counter::ClaimAttempts);
                    let found = !settled.next.is_empty();
                    metrics.count(if found { Counter::ClaimSuccess } else { Counter::ClaimIdle });
                }
                return settled.next.into_iter().next();
            }
            Err(store::Error::DiskFull { .. }) => {
                shared.disk_low.store(true, Ordering::Relaxed);
                shared.engine.give_up_ballast();
                if shared.interrupted.load(Ordering::Acquire) {
                    // The time to stop is over: its lease is reaped when a process can write again.
                    return None;
                }
                std::thread::sleep(ROOM_WAIT);
            }
            Err(store::Error::Busy { .. } | store::Error::Aborted) => {}
            Err(error) if error.passes() && !shared.interrupted.load(Ordering::Acquire) => {
                std::thread::sleep(ROOM_WAIT);
            }
            Err(error) => {
                failed(shared, error);
                return None;
            }
        }
    }
}

fn count_in_a_row(shared: &Shared, kind: Counter) {
    match kind {
        Counter::StepError | Counter::StepFailed => drop(shared.failures_in_a_row.fetch_add(1, Ordering::Relaxed)),
        Counter::StepCompleted | Counter::StepCached => shared.failures_in_a_row.store(0, Ordering::Relaxed),
        _ => {}
    }
}

fn counter(settlement: &Settlement) -> Counter {
    match settlement {
        Settlement::Complete { .. } => Counter::StepCompleted,
        Settlement::Cached { .. } => Counter::StepCached,
        Settlement::Retry { .. } => Counter::StepError,
        Settlement::Fail { .. } => Counter::StepFailed,
        Settlement::Release { .. } | Settlement::Blocked { .. } | Settlement::Recompute { .. } => Counter::StepReleased,
        Settlement::Cancelled { .. } => Counter::StepCancelled,
    }
}

/// A database that can't be used ends the worker; one that is only busy or full, or a system that is short of something,
/// does not.
fn failed(shared: &Shared, error: store::Error) {
    shared.engine.metrics.count(Counter::ClaimError);
    match error {
        store::Error::DiskFull { .. } => {
            shared.disk_low.store(true, Ordering::Relaxed);
            shared.engine.give_up_ballast();
        }
        store::Error::Busy { .. } | store::Error::Aborted => shared.ring(),
        error if error.passes() => {
            std::thread::sleep(ROOM_WAIT);
            shared.ring();
        }
        error => shared.fail(&Error::Store(error)),
    }
}

/// The delay before the next try after a shortage: 0.1 s, doubling with each try, at most 3 s.
pub(super) fn pause_after(tries: u32) -> Millis {
    Millis((100u64 << tries.min(5)).min(3_000))
}

/// Cancels the running attempts of these leases; leases without one here are skipped.
pub(super) fn cancel_all(shared: &Shared, leases: &[Lease], intent: crate::model::KillIntent) {
    let attempts = shared.attempts();
    for lease in leases {
        if let Some(token) = attempts.get(lease) {
            token.cancel(intent);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_from_a_tenth_of_a_second_to_three_seconds() {
        let pauses: Vec<u64> = (0..7).map(|tries| pause_after(tries).0).collect();
        assert_eq!(pauses, [100, 200, 400, 800, 1600, 3000, 3000]);
        assert_eq!(pause_after(u32::MAX), Millis(3000));
    }
}
