//! Retry of a group, a run or a step: what FAILED or was CANCELLED is PENDING again, with its attempts given back. What is
//! COMPLETED stays so.
//!
//! A group is re-opened in slices: phase 2 holds it open, and `group_detail.opened` is the cursor, written with each
//! slice, so that a crash between two of them re-opens nothing twice.

use crate::model::code::{
    PHASE_LIVE, PHASE_PRUNING, PHASE_REOPENING, STEP_CANCELLED, STEP_COMPLETED, STEP_FAILED, STEP_OPEN,
};
use crate::model::{EventKind, GroupId, GroupPhase, RunId, StepId, StepState};
use crate::store::{
    document,
    error::{Error, Result},
    event::{self, About},
    group,
    memory::KnownShape,
    params::params,
    place, step,
    tx::{ReadTx, WriteTx},
};
use const_format::formatcp;

/// Runs that one slice walks over at most.
const SCAN: usize = 5_000;

/// Re-opens a group that has ended; its epoch grows, and it can end once more. `group_slice` re-opens its runs.
///
/// False: no run of it failed or was cancelled. A group that is already being re-opened stays unchanged.
pub fn group(tx: &WriteTx, id: GroupId) -> Result<bool> {
    let found = tx.row(
        formatcp!(
            "SELECT phase, ended IS NOT NULL, failed + cancelled FROM run_group WHERE id = ?1
                  AND phase < {PHASE_PRUNING}"
        ),
        [id.0],
        |row| Ok((row.get::<i64>(0)?, row.get::<bool>(1)?, row.get::<i64>(2)?)),
    )?;
    let (phase, ended, lost) = found.ok_or_else(|| Error::not_found(id))?;
    if phase == PHASE_REOPENING {
        return Ok(true);
    }
    if !ended {
        let reason = format!("{id} has not ended yet: wait for it, cancel it, or retry one of its runs that has ended");
        return Err(Error::conflict(reason));
    }
    if lost == 0 {
        return Ok(false);
    }
    tx.execute(
        formatcp!(
            "UPDATE run_group SET phase = {PHASE_REOPENING}, unfinished = 1, ended = NULL,
                  epoch = epoch + 1 WHERE id = ?1 AND phase = {PHASE_LIVE}"
        ),
        [id.0],
    )?;
    tx.execute("UPDATE group_detail SET opened = 0 WHERE group_id = ?1", [id.0])?;
    event::note(tx, EventKind::Retry, About::group(id))?;
    Ok(true)
}

/// Re-opens runs of a group that is being re-opened, until some `limit` rows are written. True while more are left.
pub fn group_slice(tx: &WriteTx, id: GroupId, limit: usize) -> Result<bool> {
    let opened = tx.row(
        formatcp!(
            "SELECT d.opened FROM run_group g JOIN group_detail d ON d.group_id = g.id WHERE g.id = ?1
                  AND g.phase = {PHASE_REOPENING}"
        ),
        [id.0],
        |row| row.get::<i64>(0),
    )?;
    let Some(opened) = opened else { return Ok(false) };
    let runs = tx.rows(
        "SELECT id, ended IS NOT NULL AND failed + cancelled > 0 FROM run WHERE group_id = ?1 AND id > ?2
          ORDER BY id LIMIT ?3",
        params![id.0, opened, SCAN as i64],
        |row| Ok((RunId(row.get(0)?), row.get::<bool>(1)?)),
    )?;
    let mut written = 0;
    let mut more = runs.len() == SCAN;
    let mut reached = runs.last().map(|it| it.0);
    for (run, lost) in &runs {
        if *lost {
            written += reopen(tx, *run, id, true)? + 3;
        }
        if written >= limit {
            more = true;
            reached = Some(*run);
            break;
        }
    }
    match reached.filter(|_| more) {
        Some(run) => {
            tx.execute("UPDATE group_detail SET opened = ?2 WHERE group_id = ?1", params![id.0, run.0])?;
            Ok(true)
        }
        None => stop(tx, id).map(|()| false),
    }
}

/// Ends the re-opening of a group, if it is under way.
pub(in crate::store) fn stop(tx: &WriteTx, id: GroupId) -> Result<()> {
    if group::leave_phase(tx, id, GroupPhase::Reopening)? {
        tx.execute("UPDATE group_detail SET opened = open_until WHERE group_id = ?1", [id.0])?;
    }
    Ok(())
}

/// Groups that are being re-opened.
pub fn unfinished(tx: &ReadTx) -> Result<Vec<GroupId>> {
    tx.rows(
        formatcp!("SELECT id FROM run_group WHERE phase > {PHASE_LIVE} AND phase = {PHASE_REOPENING} ORDER BY id"),
        [],
        |row| row.get(0).map(GroupId),
    )
}

/// Re-opens one run that FAILED or was CANCELLED, and its group when that has ended. Returns how many steps are PENDING
/// again; 0: it is COMPLETED. Refused while the run is live, or its group is being cancelled, built or re-opened.
pub fn run(tx: &WriteTx, id: RunId) -> Result<usize> {
    let facts = facts(tx, id)?;
    let group = facts.group;
    if !facts.ended {
        return Err(Error::conflict(format!("{id} has not ended yet: wait for it or cancel it first")));
    }
    facts.refuse_unless_still()?;
    if facts.lost == 0 {
        return Ok(0);
    }
    begin_epoch(tx, &facts)?;
    event::note(tx, EventKind::Retry, About::run(group, id))?;
    reopen(tx, facts.run, group, facts.group_ended || facts.opened)
}

/// Steps of a run that are not COMPLETED become PENDING, and those that wait for nothing claimable.
///
/// `opened`: false when the run's group has not started it yet, and will.
fn reopen(tx: &WriteTx, run: RunId, group: GroupId, opened: bool) -> Result<usize> {
    let (definition, first) = step::definition_of_run(tx, run)?.ok_or_else(|| Error::not_found(run))?;
    let shape = tx.memory().shape(tx, definition)?;
    let completed = completed(tx, &shape, first)?;
    count_reopened(tx, run, group)?;
    let open: Vec<usize> = (0..completed.len()).filter(|&no| !completed[no]).collect();
    let unfinished = if shape.chain { completed.len() } else { open.len() };
    tx.execute(
        "UPDATE run SET unfinished = ?2, failed = 0, cancelled = 0, ended = NULL WHERE id = ?1",
        params![run.0, unfinished as i64],
    )?;
    for &no in &open {
        let unmet = shape.shape.steps[no].needs.iter().filter(|&&need| !completed[need]).count();
        reset(tx, StepId(first.0 + no as i64), unmet)?;
        if unmet == 0 && opened {
            place::enter(tx, StepId(first.0 + no as i64), shape.types[no])?;
        }
    }
    document::reopen(tx, run)?;
    Ok(open.len())
}

/// FAILED or CANCELLED -> PENDING, as if it had never run.
fn reset(tx: &WriteTx, id: StepId, unmet: usize) -> Result<()> {
    tx.execute(
        formatcp!(
            "UPDATE step SET state = {STEP_OPEN}, due = ?2, unmet = ?3, attempts = 0, failures = 0,
                  crashes = 0, suspect = 0, recomputed = 0,
                token = NULL, worker = NULL, started = NULL, ended = NULL, outcome = NULL, output_id = NULL
          WHERE id = ?1 AND state IN ({STEP_FAILED}, {STEP_CANCELLED})"
        ),
        params![id.0, tx.now().0, unmet as i64],
    )?;
    tx.memory().recomputing.remove(&id);
    Ok(())
}

/// Re-opens one step that FAILED or was CANCELLED, and what was cancelled because it needs that step; its run and its group
/// when they have ended. Returns how many steps are PENDING again; 0: it is COMPLETED.
///
/// Refused while it is open, while a step that it needs has not completed, and where `run` is.
pub fn step(tx: &WriteTx, id: StepId) -> Result<usize> {
    let row = step::get(tx, id)?.ok_or_else(|| Error::not_found(id))?;
    if row.state == StepState::Completed {
        return Ok(0);
    }
    if !row.state.is_terminal() {
        return Err(Error::conflict(format!("{id} has not ended yet: wait for it or cancel it first")));
    }
    let facts = facts(tx, row.run)?;
    facts.refuse_unless_still()?;
    let (definition, first) = step::definition_of_run(tx, row.run)?.ok_or_else(|| Error::not_found(row.run))?;
    let shape = tx.memory().shape(tx, definition)?;
    let mut states = states(tx, &shape, first)?;
    let lost = |it: StepState| matches!(it, StepState::Failed | StepState::Cancelled);
    if let Some(need) = shape.shape.steps[row.no].needs.iter().find(|&&need| lost(states[need])) {
        let need = StepId(first.0 + *need as i64);
        let reason = format!("{id} needs {need}, which did not complete: retry {need}, or all of {}", row.run);
        return Err(Error::conflict(reason));
    }
    // What needs it comes back with it, unless it needs something else that is lost.
    let mut again = vec![row.no];
    states[row.no] = StepState::Open;
    for no in shape.shape.dependents(row.no) {
        if lost(states[no]) && shape.shape.steps[no].needs.iter().all(|&need| !lost(states[need])) {
            states[no] = StepState::Open;
            again.push(no);
        }
    }
    event::note(tx, EventKind::Retry, About::step(facts.group, row.run, id))?;
    reopen_run(tx, row.run, &facts, &shape, &states, again.len())?;
    for &no in &again {
        let met = |need: usize| {
            let runs_again = tx.memory().recomputing.contains(&StepId(first.0 + need as i64));
            states[need] == StepState::Completed || runs_again
        };
        let unmet = shape.shape.steps[no].needs.iter().filter(|&&need| !met(need)).count();
        let step = StepId(first.0 + no as i64);
        reset(tx, step, unmet)?;
        if unmet == 0 && (facts.group_ended || facts.opened) {
            place::enter(tx, step, shape.types[no])?;
        }
    }
    document::reopen(tx, row.run)?;
    Ok(again.len())
}

/// Counts of the run and its group after `count` steps were opened; `states` is what its steps are now.
fn reopen_run(
    tx: &WriteTx,
    run: RunId,
    facts: &Facts,
    shape: &KnownShape,
    states: &[StepState],
    count: usize,
) -> Result<()> {
    let number = |wanted: StepState| states.iter().filter(|it| **it == wanted).count() as i64;
    let (failed, cancelled) = (number(StepState::Failed), number(StepState::Cancelled));
    if facts.ended {
        begin_epoch(tx, facts)?;
        count_reopened(tx, run, facts.group)?;
        let unfinished = if shape.chain { states.len() } else { count };
        let (failed, cancelled) = if shape.chain { (0, 0) } else { (failed, cancelled) };
        let counts = [run.0, unfinished as i64, failed, cancelled];
        tx.execute("UPDATE run SET unfinished = ?2, failed = ?3, cancelled = ?4, ended = NULL WHERE id = ?1", counts)?;
    } else if !shape.chain {
        tx.execute(
            "UPDATE run SET unfinished = unfinished + ?2, failed = ?3, cancelled = ?4 WHERE id = ?1",
            params![run.0, count as i64, failed, cancelled],
        )?;
    }
    Ok(())
}

/// What a run and its group are.
struct Facts {
    group: GroupId,
    run: RunId,
    ended: bool,
    lost: i64,
    phase: i64,
    cancelling: bool,
    group_ended: bool,
    opened: bool,
}

fn facts(tx: &WriteTx, run: RunId) -> Result<Facts> {
    tx.row(
        formatcp!("SELECT r.group_id, r.ended IS NOT NULL, r.failed + r.cancelled, g.phase, g.cancelling, g.ended IS NOT NULL,
                d.opened >= r.id
           FROM run r JOIN run_group g ON g.id = r.group_id JOIN group_detail d ON d.group_id = g.id
          WHERE r.id = ?1 AND g.phase < {PHASE_PRUNING}"),
        [run.0],
        |row| {
            Ok(Facts {
                group: GroupId(row.get(0)?),
                run,
                ended: row.get(1)?,
                lost: row.get(2)?,
                phase: row.get(3)?,
                cancelling: row.get(4)?,
                group_ended: row.get(5)?,
                opened: row.get(6)?,
            })
        },
    )?
    .ok_or_else(|| Error::not_found(run))
}

impl Facts {
    fn refuse_unless_still(&self) -> Result<()> {
        let group = self.group;
        if self.cancelling {
            return Err(Error::conflict(format!("{group} is being cancelled: wait until it has ended")));
        }
        if self.phase != PHASE_LIVE {
            return Err(Error::conflict(format!("{group} is being submitted or retried: try again in a moment")));
        }
        Ok(())
    }
}

/// The epoch distinguishes hooks and group ends: what ends again may be reported again.
fn begin_epoch(tx: &WriteTx, facts: &Facts) -> Result<()> {
    tx.execute("UPDATE run_group SET epoch = epoch + 1, ended = NULL WHERE id = ?1", [facts.group.0])?;
    if facts.group_ended {
        tx.execute("UPDATE group_detail SET opened = open_until WHERE group_id = ?1", [facts.group.0])?;
    }
    Ok(())
}

/// The group counts one open run more; to be called while the run still says how it had ended.
fn count_reopened(tx: &WriteTx, run: RunId, group: GroupId) -> Result<()> {
    tx.execute(
        "UPDATE run_group SET unfinished = unfinished + 1,
                failed = failed - (SELECT failed > 0 FROM run WHERE id = ?2),
                cancelled = cancelled - (SELECT failed = 0 AND cancelled > 0 FROM run WHERE id = ?2) WHERE id = ?1",
        params![group.0, run.0],
    )?;
    Ok(())
}

fn states(tx: &ReadTx, shape: &KnownShape, first: StepId) -> Result<Vec<StepState>> {
    let count = shape.shape.steps.len() as i64;
    tx.rows("SELECT state FROM step WHERE id >= ?1 AND id < ?2 ORDER BY id", params![first.0, first.0 + count], |row| {
        Ok(StepState::from_code(row.get(0)?).unwrap_or(StepState::Open))
    })
}

/// Which steps of a run are COMPLETED, by number.
fn completed(tx: &ReadTx, shape: &KnownShape, first: StepId) -> Result<Vec<bool>> {
    let count = shape.shape.steps.len() as i64;
    tx.rows(
        formatcp!("SELECT state = {STEP_COMPLETED} FROM step WHERE id >= ?1 AND id < ?2 ORDER BY id"),
        params![first.0, first.0 + count],
        |row| row.get(0),
    )
}
