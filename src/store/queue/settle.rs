//! How a step leaves its lease: complete, retry, fail, release, cancel. Every path checks the token.

use crate::decide::wait::{self, End};
use crate::model::code::{
    OUTCOME_CANCELLED, OUTCOME_SKIPPED, STEP_BLOCKED, STEP_CANCELLED, STEP_COMPLETED, STEP_DELAYED, STEP_OPEN,
    STEP_PAUSED, STEP_SKIPPED,
};
use crate::model::{AttemptOutcome, EventKind, GroupId, Lease, Outcome, OutputId, StepId, StepState, Timestamp};
use crate::store::{
    Held, attempt,
    child_group::{self, Ending},
    error::Result,
    event::{self, About},
    follow, hold,
    lease::{self, Live},
    memory::KnownShape,
    output::{self, NewOutput},
    params::params,
    place,
    recompute::{self, Requested},
    request::Settlement,
    resource, resource_lock, run, step, step_cache,
    tx::WriteTx,
    waiting::{self, NewWait, WaitsFor},
};
use const_format::formatcp;
use std::sync::Arc;

/// Settles a step if `lease` still holds it.
///
/// `Held::Lost` means that the reaper gave the step away. Nothing was changed, and the caller drops its result.
pub(in crate::store) fn settle(tx: &WriteTx, lease: Lease, settlement: &Settlement) -> Result<Held> {
    let Some(live) = lease::take(tx, lease)? else {
        tx.memory().lost_leases += 1;
        return Ok(Held::Lost);
    };
    resource::give_back(tx, lease.step)?;
    let cancel_requested = tx.memory().cancel_requests.remove(&lease.step);
    if cancel_requested {
        tx.execute("DELETE FROM cancel_request WHERE step_id = ?1", [lease.step.0])?;
    }
    apply(tx, &live, settlement, cancel_requested)?;
    match live.key {
        Some(key) if matches!(settlement, Settlement::Blocked { .. }) && !cancel_requested => {
            resource_lock::leave_behind(tx, key, lease.token)?;
        }
        Some(key) => resource_lock::release_for_step(tx, key, lease.token)?,
        None => {}
    }
    Ok(Held::Yes)
}

/// `cancel_requested`: a cancel was requested while the step ran.
fn apply(tx: &WriteTx, live: &Live, settlement: &Settlement, cancel_requested: bool) -> Result<()> {
    match settlement {
        // A cancel was requested while it ran, so it is not retried.
        Settlement::Retry { record, .. } | Settlement::Blocked { record } if cancel_requested => {
            attempt::record(tx, live, Some(record))?;
            cancelled(tx, live)?;
        }
        Settlement::Release { record, .. } if cancel_requested => {
            attempt::record(tx, live, Some(record.as_ref().unwrap_or(&attempt::Record::cancelled())))?;
            cancelled(tx, live)?;
        }
        Settlement::Wait { wait: NewWait { on: WaitsFor::Children(group), .. } } if cancel_requested => {
            child_group::cancel(tx, *group)?;
            apply(tx, live, settlement, false)?;
        }
        Settlement::Recompute { .. } | Settlement::Wait { .. } if cancel_requested => {
            attempt::record(tx, live, Some(&attempt::Record::cancelled()))?;
            cancelled(tx, live)?;
        }
        Settlement::Recompute { damaged, otherwise } => match recompute::ask(tx, live, damaged)? {
            Requested::Waits => {}
            Requested::Released => give_back(tx, live, live.due, false)?,
            Requested::Hopeless(record) => {
                attempt::record(tx, live, Some(&record))?;
                fail(tx, live, false, record.outcome)?;
            }
            Requested::Unknown => apply(tx, live, otherwise, cancel_requested)?,
        },
        Settlement::Complete { output, cache_key, record } => {
            let output = output.as_ref().map(|it| output::insert(tx, it)).transpose()?;
            if let (Some(key), Some(output)) = (cache_key, output) {
                step_cache::remember(tx, key, output)?;
            }
            attempt::record(tx, live, record.as_ref())?;
            complete(tx, live, AttemptOutcome::Succeeded, output)?;
        }
        Settlement::Cached { output, record } => {
            attempt::record(tx, live, record.as_ref())?;
            match output::share(tx, *output)? {
                true => complete(tx, live, AttemptOutcome::Cached, Some(*output))?,
                false if cancel_requested => cancelled(tx, live)?,
                // The cached output was pruned since it was found, so the step has to run.
                false => give_back(tx, live, live.due, false)?,
            }
        }
        Settlement::Skip { record } => {
            attempt::record(tx, live, Some(record))?;
            skip(tx, live)?;
        }
        Settlement::Retry { due, crashed, record } => {
            attempt::record(tx, live, Some(record))?;
            retry(tx, live, *due, *crashed)?;
        }
        Settlement::Fail { crashed, record } => {
            attempt::put_off(tx, live, Some(record))?;
            fail(tx, live, *crashed, record.outcome)?;
        }
        Settlement::Release { due, record } => release(tx, live, record.as_ref(), *due)?,
        Settlement::Blocked { record } => release(tx, live, Some(record), live.due)?,
        Settlement::Cancelled { record } => {
            attempt::record(tx, live, Some(record))?;
            cancelled(tx, live)?;
        }
        Settlement::Wait { wait } => begin_wait(tx, live, wait)?,
    }
    Ok(())
}

fn release(tx: &WriteTx, live: &Live, record: Option<&attempt::Record>, due: Timestamp) -> Result<()> {
    attempt::put_off(tx, live, record)?;
    event::note(tx, EventKind::StepReleased, About::attempt(live))?;
    give_back(tx, live, due, false)
}

/// A step begins to wait, or continues immediately if what it waits for has already come.
fn begin_wait(tx: &WriteTx, live: &Live, new: &NewWait) -> Result<()> {
    if let WaitsFor::Children(group) = &new.on {
        return wait_for_group(tx, live, new, *group);
    }
    if let WaitsFor::Signal(name) = &new.on
        && let Some(signal) = waiting::signal(tx, live.group, live.run, name)?
    {
        return end_wait(tx, live, &End::Complete(signal.value.clone()), Some(&serde_json::json!({"signal": signal})));
    }
    if new.due.is_some_and(|due| due <= tx.now()) {
        let (kind, signal) = (new.on.kind(), new.on.signal());
        return end_wait(tx, live, &wait::time_is_up(kind, new.otherwise, new.detail.within, signal), None);
    }
    waiting::park(tx, live, new)
}

/// A step begins to wait for a group that it started, which may already have ended.
fn wait_for_group(tx: &WriteTx, live: &Live, new: &NewWait, group: GroupId) -> Result<()> {
    let cancelling = tx.memory().cancelling_groups.contains(&live.group);
    if cancelling && hold::holds_back(tx, live.group, live.run, live.lease.step)? {
        child_group::cancel(tx, group)?;
    }
    match child_group::ending(tx, group)? {
        Ending::NotYet => waiting::park(tx, live, new),
        Ending::Again => give_back(tx, live, live.due, false),
        Ending::Cancelled => {
            attempt::record(tx, live, Some(&attempt::Record::cancelled()))?;
            cancelled(tx, live)
        }
        Ending::Ends(end, answer) => end_wait(tx, live, &end, Some(&answer)),
    }
}

/// Ends a waiting step. `answer` is the part of the answer that its attempt records, as a JSON object.
pub(in crate::store) fn end_wait(
    tx: &WriteTx,
    live: &Live,
    end: &End,
    answer: Option<&serde_json::Value>,
) -> Result<()> {
    match end {
        End::Complete(value) => {
            let output = value.as_ref().map(|it| NewOutput { value: Some(it.to_string()), ..NewOutput::default() });
            let output = output.map(|it| output::insert(tx, &it)).transpose()?;
            let record = answer.map(|it| attempt::Record::answered(&Outcome::Succeeded, Some(it)));
            attempt::record(tx, live, record.as_ref())?;
            complete(tx, live, AttemptOutcome::Succeeded, output)
        }
        End::Fail(outcome) => {
            let record = attempt::Record::answered(outcome, answer);
            attempt::record(tx, live, Some(&record))?;
            fail(tx, live, false, record.outcome)
        }
    }
}

fn shape_of(tx: &WriteTx, live: &Live) -> Result<(Arc<KnownShape>, StepId)> {
    let found = step::definition_of_run(tx, live.run)?;
    let Some((definition, first)) = found else {
        return Err(crate::store::Error::not_found(live.run));
    };
    let shape = tx.memory().shape(tx, definition)?;
    Ok((shape, first))
}

/// S2.
pub(in crate::store) const COMPLETE: &str = formatcp!(
    "UPDATE step SET state = {STEP_COMPLETED}, token = ?2, worker = ?3, started = ?4, ended = ?5,
              attempts = ?6, outcome = ?7,
            output_id = ?8 WHERE id = ?1 AND state = {STEP_OPEN}"
);

fn complete(tx: &WriteTx, live: &Live, outcome: AttemptOutcome, output: Option<OutputId>) -> Result<()> {
    // A result from the cache costs no attempt.
    let attempts = live.attempts + i64::from(outcome != AttemptOutcome::Cached);
    let changed = tx.execute(
        COMPLETE,
        params![
            live.lease.step.0,
            live.lease.token.0,
            live.worker.0,
            live.started.0,
            tx.now().0,
            attempts,
            outcome.code(),
            output.map(|it| it.0)
        ],
    )?;
    if changed != 1 {
        return Err(crate::store::Error::refused(format!("{} is leased but not open", live.lease.step)));
    }
    event::note(tx, EventKind::StepEnd, About::attempt(live))?;
    go_on(tx, live)
}

/// Ends a running step as SKIPPED. This uses up no attempt.
fn skip(tx: &WriteTx, live: &Live) -> Result<()> {
    tx.execute(
        formatcp!(
            "UPDATE step SET state = {STEP_SKIPPED}, token = ?2, worker = ?3, started = ?4, ended = ?5,
                  outcome = {OUTCOME_SKIPPED} WHERE id = ?1 AND state = {STEP_OPEN}"
        ),
        params![live.lease.step.0, live.lease.token.0, live.worker.0, live.started.0, tx.now().0],
    )?;
    event::note_with(tx, EventKind::StepSkipped, About::attempt(live), "its condition is false".into())?;
    go_on(tx, live)
}

/// A step ended well. Dependents that wait for nothing else become claimable.
fn go_on(tx: &WriteTx, live: &Live) -> Result<()> {
    let (shape, first) = shape_of(tx, live)?;
    if !shape.plain {
        let (graph, no) = follow::of_live(live, &shape, first);
        return graph.ended(tx, no, false, false).map(|_| ());
    }
    let no = (live.lease.step.0 - first.0) as usize;
    let recomputed = tx.memory().recomputing.contains(&live.lease.step);
    if tx.memory().cancelling_groups.contains(&live.group) {
        let dependents = cancel_dependents(tx, &shape, first, no)?;
        recompute::over(tx, live.lease.step, first, shape.shape.steps.len())?;
        if shape.chain {
            return run::end_chain(tx, live.run, live.group);
        }
        let ended = run::Ended { steps: 1 + dependents, failed: false, cancelled: dependents > 0 };
        return run::steps_ended(tx, live.run, live.group, &shape, no, ended);
    }
    if recomputed {
        // Its successors were released when it first completed.
        recompute::over(tx, live.lease.step, first, shape.shape.steps.len())?;
        let ended = run::Ended { steps: 1, failed: false, cancelled: false };
        return run::steps_ended(tx, live.run, live.group, &shape, no, ended);
    }
    let mut dead_end = false;
    for &next in &shape.successors[no] {
        dead_end |= !place::need_met(tx, &shape, first, next)?;
    }
    if dead_end && shape.chain {
        return run::end_chain(tx, live.run, live.group);
    }
    let ended = run::Ended { steps: 1, failed: false, cancelled: false };
    run::steps_ended(tx, live.run, live.group, &shape, no, ended)
}

/// Writes the end of a failed or cancelled step.
fn end(tx: &WriteTx, live: &Live, state: StepState, outcome: AttemptOutcome, crashed: bool) -> Result<()> {
    let failed = i64::from(state == StepState::Failed);
    // An attempt that died may have started a group.
    child_group::abandon(tx, live.lease.step)?;
    tx.execute(
        formatcp!(
            "UPDATE step SET state = ?2, token = ?3, worker = ?4, started = ?5, ended = ?6, attempts = attempts + 1,
                outcome = ?7, failures = failures + ?8, crashes = crashes + ?9 WHERE id = ?1 AND state = {STEP_OPEN}"
        ),
        params![
            live.lease.step.0,
            state.code(),
            live.lease.token.0,
            live.worker.0,
            live.started.0,
            tx.now().0,
            outcome.code(),
            failed * i64::from(!crashed),
            failed * i64::from(crashed)
        ],
    )?;
    Ok(())
}

fn fail(tx: &WriteTx, live: &Live, crashed: bool, outcome: AttemptOutcome) -> Result<()> {
    end(tx, live, StepState::Failed, outcome, crashed)?;
    event::note(tx, EventKind::StepFailed, About::attempt(live))?;
    // A crash fails a step only if it was one too many.
    if crashed {
        event::implied(tx, EventKind::StepQuarantined, About::attempt(live))?;
    }
    end_with_dependents(tx, live, run::Ended { steps: 1, failed: true, cancelled: false })
}

/// Ends a running step as CANCELLED, with its dependents.
pub(in crate::store) fn cancelled(tx: &WriteTx, live: &Live) -> Result<()> {
    end(tx, live, StepState::Cancelled, AttemptOutcome::Cancelled, false)?;
    event::note_with(tx, EventKind::Cancel, About::attempt(live), "while running".into())?;
    end_with_dependents(tx, live, run::Ended { steps: 1, failed: false, cancelled: true })
}

/// Cancels or starts the dependents of a step that did not complete, and counts all of them in the run.
fn end_with_dependents(tx: &WriteTx, live: &Live, ended: run::Ended) -> Result<()> {
    let (shape, first) = shape_of(tx, live)?;
    if !shape.plain {
        let (graph, no) = follow::of_live(live, &shape, first);
        return graph.ended(tx, no, ended.failed, ended.cancelled).map(|_| ());
    }
    let no = (live.lease.step.0 - first.0) as usize;
    let dependents = cancel_dependents(tx, &shape, first, no)?;
    recompute::over(tx, live.lease.step, first, shape.shape.steps.len())?;
    let ended = run::Ended { steps: ended.steps + dependents, ..ended };
    run::steps_ended(tx, live.run, live.group, &shape, no, ended)
}

/// Cancels the steps of a plain workflow that can no longer run. They wait for a need, so no other table has rows for
/// them.
pub(in crate::store) fn cancel_dependents(tx: &WriteTx, shape: &KnownShape, first: StepId, no: usize) -> Result<i64> {
    if tx.memory().recomputing.contains(&StepId(first.0 + no as i64)) {
        return recompute::cancel_dependents(tx, shape, first, no);
    }
    let mut count = 0;
    for dependent in shape.shape.dependents(no) {
        count += tx.execute(
            formatcp!(
                "UPDATE step SET state = {STEP_CANCELLED}, ended = ?2, outcome = {OUTCOME_CANCELLED}
                      WHERE id = ?1 AND state IN ({STEP_OPEN}, {STEP_DELAYED}, {STEP_BLOCKED}, {STEP_PAUSED})"
            ),
            params![first.0 + dependent as i64, tx.now().0],
        )?;
    }
    Ok(count as i64)
}

fn retry(tx: &WriteTx, live: &Live, due: Timestamp, crashed: bool) -> Result<()> {
    tx.execute(
        formatcp!(
            "UPDATE step SET state = {STEP_OPEN}, attempts = attempts + 1, failures = failures + ?2,
                  crashes = crashes + ?3, due = ?4
          WHERE id = ?1 AND state = {STEP_OPEN}"
        ),
        params![live.lease.step.0, i64::from(!crashed), i64::from(crashed), due.0],
    )?;
    event::note(tx, EventKind::StepError, About::attempt(live))?;
    match step::get(tx, live.lease.step)? {
        Some(step) => place::place(tx, &step),
        None => Ok(()),
    }
}

/// Returns a step to the queue that it was claimed from, with its attempt given back. `suspect`: its engine died while
/// running it.
pub(in crate::store) fn give_back(tx: &WriteTx, live: &Live, due: Timestamp, suspect: bool) -> Result<()> {
    if suspect || due != live.due {
        tx.execute(
            formatcp!("UPDATE step SET due = ?2, suspect = suspect + ?3 WHERE id = ?1 AND state = {STEP_OPEN}"),
            params![live.lease.step.0, due.0, i64::from(suspect)],
        )?;
    }
    match step::get(tx, live.lease.step)? {
        // It was due when it was claimed, even if the wall clock was set back since.
        Some(step) if due == live.due => place::place_due(tx, &step),
        Some(step) => place::place(tx, &step),
        None => Ok(()),
    }
}
