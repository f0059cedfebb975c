//! Recomputes a completed step because one of its files is damaged (COMPLETED -> PENDING). The step that found the
//! damage waits, with its attempt given back.
//!
//! The successors of such a step were released when it first completed. Its second completion therefore wakes only the
//! steps that wait for it (state 4); for all others its need counts as met. A step claimed in the meantime waits too.

use crate::model::code::{STEP_COMPLETED, STEP_OPEN, STEP_RECOMPUTE};
use crate::model::{ArtifactHash, AttemptOutcome, EventKind, KeepReason, Outcome, OutputId, StepId, StepState};
use crate::store::{
    attempt::{self, Record},
    cancel_step,
    error::Result,
    event::{self, About},
    kept_output::{self, Origin},
    lease::Live,
    memory::KnownShape,
    params::params,
    place, run, step, step_cache,
    tx::WriteTx,
};
use const_format::formatcp;

/// How often a step makes its files again before the disk is blamed.
const MOST: i64 = 3;

/// The result for a step that found damaged files.
pub(in crate::store) enum Requested {
    /// The step waits.
    Waits,
    /// The files were made again since it began, so it can retry immediately.
    Released,
    /// The files are damaged repeatedly.
    Hopeless(Record),
    /// No step of its run made the files.
    Unknown,
}

struct Producer {
    id: StepId,
    recomputed: i64,
    token: i64,
    output: OutputId,
}

/// Recomputes the steps that made the damaged files.
pub(in crate::store) fn ask(tx: &WriteTx, live: &Live, damaged: &[ArtifactHash]) -> Result<Requested> {
    let Some((definition, first)) = step::definition_of_run(tx, live.run)? else { return Ok(Requested::Unknown) };
    let shape = tx.memory().shape(tx, definition)?;
    let own = live.lease.step;
    let mut producers: Vec<Producer> = Vec::new();
    for hash in damaged {
        for found in producers_of(tx, hash, first, own)? {
            if producers.iter().all(|it| it.id != found.id) {
                producers.push(found);
            }
        }
    }
    if producers.is_empty() {
        let again = tx.memory().recomputing.iter().any(|it| *it >= first && *it < own);
        return if again { wait(tx, live).map(|()| Requested::Waits) } else { Ok(Requested::Unknown) };
    }
    // Claimed after the step that found the damage, so its file is new and not checked yet.
    producers.retain(|it| it.token < live.lease.token.0);
    if producers.is_empty() {
        return Ok(Requested::Released);
    }
    if let Some(worst) = producers.iter().find(|it| it.recomputed >= MOST) {
        return Ok(Requested::Hopeless(hopeless(worst)));
    }
    // Nothing in a group that is being cancelled runs again.
    if tx.memory().cancelling_groups.contains(&live.group) {
        return Ok(Requested::Unknown);
    }
    for producer in &producers {
        begin(tx, live, &shape, producer)?;
    }
    wait(tx, live).map(|()| Requested::Waits)
}

fn producers_of(tx: &WriteTx, hash: &ArtifactHash, first: StepId, own: StepId) -> Result<Vec<Producer>> {
    tx.rows(
        formatcp!(
            "SELECT s.id, s.recomputed, s.token, s.output_id FROM step s
           CROSS JOIN output_file f ON f.output_id = s.output_id CROSS JOIN artifact a ON a.id = f.artifact_id
          WHERE s.id >= ?1 AND s.id < ?2 AND s.state = {STEP_COMPLETED} AND a.hash = ?3"
        ),
        params![first.0, own.0, hash.0],
        |row| {
            let (id, output) = (StepId(row.get(0)?), OutputId(row.get(3)?));
            Ok(Producer { id, recomputed: row.get(1)?, token: row.get(2)?, output })
        },
    )
}

fn hopeless(worst: &Producer) -> Record {
    let message = format!(
        "files of {} were damaged {} times, after each repair: the disk is faulty",
        worst.id,
        worst.recomputed + 1
    );
    let outcome = Outcome::permanent("damaged", message);
    let words = outcome.to_string();
    let detail = serde_json::json!({"outcome": outcome, "message": words, "reason": words, "certificate": {}});
    Record { outcome: AttemptOutcome::Failed, detail: detail.to_string(), logs: Vec::new() }
}

/// COMPLETED -> PENDING.
fn begin(tx: &WriteTx, live: &Live, shape: &KnownShape, producer: &Producer) -> Result<()> {
    // Its success is stored in its own columns, which the next attempt needs.
    attempt::keep_success(tx, producer.id, "one of its files was found damaged later")?;
    let changed = tx.execute(
        formatcp!(
            "UPDATE step SET state = {STEP_OPEN}, recomputed = recomputed + 1, due = ?2, token = NULL,
                  worker = NULL, started = NULL,
                ended = NULL, outcome = NULL, output_id = NULL WHERE id = ?1 AND state = {STEP_COMPLETED}"
        ),
        params![producer.id.0, tx.now().0],
    )?;
    if changed == 0 {
        return Ok(());
    }
    kept_output::insert(tx, producer.output, KeepReason::Nothing, &Origin::default())?;
    step_cache::forget_output(tx, producer.output)?;
    if !shape.chain {
        run::one_more(tx, live.run)?;
    }
    tx.memory().recomputing.insert(producer.id);
    let what = "one of its files is damaged".to_string();
    event::note_with(tx, EventKind::Retry, About::step(live.group, live.run, producer.id), what)?;
    match step::get(tx, producer.id)? {
        Some(row) => place::place_due(tx, &row),
        None => Ok(()),
    }
}

fn wait(tx: &WriteTx, live: &Live) -> Result<()> {
    let reason = "it waits for an earlier step to repair a damaged file";
    let outcome = Outcome::Interrupted { reason: reason.to_string() };
    let detail = serde_json::json!({"outcome": outcome, "message": reason, "certificate": {}}).to_string();
    attempt::record(tx, live, Some(&Record { outcome: AttemptOutcome::Interrupted, detail, logs: Vec::new() }))?;
    tx.execute(
        formatcp!("UPDATE step SET state = {STEP_RECOMPUTE} WHERE id = ?1 AND state = {STEP_OPEN}"),
        [live.lease.step.0],
    )?;
    event::note(tx, EventKind::StepReleased, About::attempt(live))?;
    Ok(())
}

/// A recomputed step has ended, in whatever way, so the steps that wait for it continue. Does nothing for other steps.
pub(in crate::store) fn over(tx: &WriteTx, id: StepId, first: StepId, count: usize) -> Result<()> {
    if !tx.memory().recomputing.remove(&id) {
        return Ok(());
    }
    let waiting = tx.rows(
        formatcp!("SELECT id FROM step WHERE id >= ?1 AND id < ?2 AND +state = {STEP_RECOMPUTE}"),
        params![first.0, first.0 + count as i64],
        |row| row.get(0).map(StepId),
    )?;
    for id in waiting {
        step::set_state(tx, id, StepState::Open)?;
        if let Some(row) = step::get(tx, id)? {
            place::place_due(tx, &row)?;
        }
    }
    Ok(())
}

/// Cancels the dependents of a step that failed when it was recomputed. Some may already be claimable or running.
pub(in crate::store) fn cancel_dependents(tx: &WriteTx, shape: &KnownShape, first: StepId, no: usize) -> Result<i64> {
    let mut count = 0;
    for dependent in shape.shape.dependents(no) {
        let id = StepId(first.0 + dependent as i64);
        let Some(row) = step::get(tx, id)?.filter(|it| !it.state.is_terminal()) else { continue };
        if cancel_step::ask(tx, id)?.is_none() {
            cancel_step::end_waiting(tx, &row)?;
            tx.memory().recomputing.remove(&id);
            count += 1;
        }
    }
    Ok(count)
}
