//! A consumer: claims a step, runs it, settles it and claims the next in one request.

use super::{
    attempt,
    error::Error,
    state::{ROOM_WAIT, WorkerState},
};
use crate::{
    failpoint::probe::{self, Window},
    observe::{Counter, Histogram},
    os::{CancelToken, boot_id},
    store::{self, Claim, Claimed, Held, Settle, Settlement},
};
use std::{
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant},
};

/// How often the pool of hooks checks for hooks while the last steps of a worker end.
const LAST_LOOK: Duration = Duration::from_millis(20);

pub(super) fn run(state: &Arc<WorkerState>, pool: usize) {
    let template = template(state, pool);
    let own = &state.pools[pool];
    let notify = &own.notify;
    let mut next: Option<Claimed> = None;
    while !state.is_over(own) || next.is_some() {
        let heard = notify.heard();
        let claimed = match next.take() {
            Some(claimed) => Some(claimed),
            None if !state.has_room() || !state.hooks_wait(own) => None,
            None => match claim(state, &template) {
                Ok(claimed) => claimed,
                Err(error) => {
                    failed(state, error);
                    None
                }
            },
        };
        let Some(claimed) = claimed else {
            if !state.is_draining() {
                notify.wait(heard);
            } else if !state.is_over(own) {
                notify.wait_for(heard, LAST_LOOK);
            }
            continue;
        };
        // More steps may be claimable.
        notify.pass_on();
        next = work(state, pool, claimed, &template);
    }
    notify.pass_on();
}

fn template(state: &WorkerState, pool: usize) -> Claim {
    let identity = serde_json::to_string(&*state.engine.identity).unwrap_or_default();
    Claim {
        worker: state.id(),
        take: state.pools[pool].take.clone(),
        scope: state.scope,
        limit: 1,
        identity: identity.into(),
        boot_id: boot_id().into(),
        lock_deadline: Default::default(),
    }
}

/// A current claim: with the worker's current number, and locks that are valid for their time to live.
fn fresh(state: &WorkerState, template: &Claim) -> Claim {
    let now = state.engine.store.clock().monotonic();
    Claim { worker: state.id(), lock_deadline: now + state.engine.options.lock_ttl, ..template.clone() }
}

fn claim(state: &WorkerState, template: &Claim) -> store::Result<Option<Claimed>> {
    if state.attempts().is_empty() {
        // After a pause the last heartbeat is old. The step must not look like that of a silent worker.
        state.beat();
    }
    let metrics = &state.engine.metrics;
    metrics.count(Counter::ClaimAttempts);
    let begun = Instant::now();
    let _inside = probe::inside(Window::Claim);
    let _claiming = state.heartbeat.claiming();
    let claimed = state.engine.store.claim(fresh(state, template))?.into_iter().next();
    metrics.time(Histogram::ClaimDuration, "", begun.elapsed());
    metrics.count(if claimed.is_some() { Counter::ClaimSuccess } else { Counter::ClaimIdle });
    Ok(claimed)
}

/// Runs one step and settles it. Returns the step that was claimed with the settlement.
fn work(state: &WorkerState, pool: usize, claimed: Claimed, template: &Claim) -> Option<Claimed> {
    let begun = Instant::now();
    let cancel = CancelToken::new();
    state.begin(claimed.lease, cancel.clone());
    state.busy.fetch_add(1, Ordering::AcqRel);
    state.pools[pool].busy.fetch_add(1, Ordering::Relaxed);
    let attempted = attempt::run(state, &claimed, &cancel);
    // The work is done. Release the file lock before the row, so that the next holder of the row need not wait for the
    // file.
    drop(attempted.key);
    let (settlement, step_type) = (attempted.settlement, attempted.step_type);
    let waited = claimed.started.since(claimed.due);
    let metrics = &state.engine.metrics;
    metrics.time(Histogram::QueueWait, &step_type, waited.duration());
    metrics.time(Histogram::StepDuration, &step_type, begun.elapsed());
    let next = settle(state, pool, &claimed, settlement, &step_type, template);
    // The rows of its artifacts are committed, so a sweep may examine the files again.
    drop(attempted.guards);
    state.attempts().remove(&claimed.lease);
    state.pools[pool].busy.fetch_sub(1, Ordering::Release);
    state.busy.fetch_sub(1, Ordering::AcqRel);
    next
}

/// Settles a step and claims the next one. Retries while the disk is full, unless the worker stops.
fn settle(
    state: &WorkerState,
    pool: usize,
    claimed: &Claimed,
    settlement: Settlement,
    step_type: &str,
    template: &Claim,
) -> Option<Claimed> {
    let metrics = &state.engine.metrics;
    let kind = counter(&settlement);
    let _inside = probe::inside(Window::Settle);
    loop {
        let more = !state.is_over(&state.pools[pool]) && state.has_room();
        let settle =
            Settle { lease: claimed.lease, settlement: settlement.clone(), then: more.then(|| fresh(state, template)) };
        match state.engine.store.settle(settle) {
            Ok(settled) => {
                if settled.held == Held::Yes {
                    metrics.add(kind, step_type, 1);
                    count_in_a_row(state, kind);
                }
                if more {
                    metrics.count(Counter::ClaimAttempts);
                    let found = !settled.next.is_empty();
                    metrics.count(if found { Counter::ClaimSuccess } else { Counter::ClaimIdle });
                }
                return settled.next.into_iter().next();
            }
            Err(store::Error::DiskFull { .. }) => {
                state.disk_low.store(true, Ordering::Relaxed);
                state.engine.give_up_ballast();
                if state.interrupted.load(Ordering::Acquire) {
                    // The stop timeout is over. The lease is reaped when a process can write again.
                    return None;
                }
                std::thread::sleep(ROOM_WAIT);
            }
            Err(store::Error::Busy { .. } | store::Error::Aborted) => {}
            Err(error) if error.passes() && !state.interrupted.load(Ordering::Acquire) => {
                std::thread::sleep(ROOM_WAIT);
            }
            Err(error) => {
                failed(state, error);
                return None;
            }
        }
    }
}

fn count_in_a_row(state: &WorkerState, kind: Counter) {
    match kind {
        Counter::StepError | Counter::StepFailed => drop(state.failures_in_a_row.fetch_add(1, Ordering::Relaxed)),
        Counter::StepCompleted | Counter::StepCached | Counter::StepSkipped => {
            state.failures_in_a_row.store(0, Ordering::Relaxed)
        }
        _ => {}
    }
}

fn counter(settlement: &Settlement) -> Counter {
    match settlement {
        Settlement::Complete { .. } => Counter::StepCompleted,
        Settlement::Cached { .. } => Counter::StepCached,
        Settlement::Skip { .. } => Counter::StepSkipped,
        Settlement::Retry { .. } => Counter::StepError,
        Settlement::Fail { .. } => Counter::StepFailed,
        Settlement::Release { .. } | Settlement::Blocked { .. } | Settlement::Recompute { .. } => Counter::StepReleased,
        Settlement::Cancelled { .. } => Counter::StepCancelled,
        Settlement::Wait { .. } => Counter::StepWaiting,
    }
}

/// A database that can't be used ends the worker. A busy or full database, or a temporary shortage, does not.
fn failed(state: &WorkerState, error: store::Error) {
    state.engine.metrics.count(Counter::ClaimError);
    match error {
        store::Error::DiskFull { .. } => {
            state.disk_low.store(true, Ordering::Relaxed);
            state.engine.give_up_ballast();
        }
        store::Error::Busy { .. } | store::Error::Aborted => state.ring(),
        error if error.passes() => {
            std::thread::sleep(ROOM_WAIT);
            state.ring();
        }
        error => state.fail(&Error::Store(error)),
    }
}
