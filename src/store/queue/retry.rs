//! Retrying a group, a run or a step. Steps that FAILED or were CANCELLED become PENDING again with all of their
//! attempts, and so do steps that were skipped or ran as a consequence. Other COMPLETED steps stay completed.
//!
//! A group is reopened in slices. Phase 2 holds it open, and `group_detail.opened` is a cursor that is written with
//! each slice, so after a crash between slices nothing is reopened twice.

use crate::decide::flow::{self, Change, End, Facts as StepFacts, Then};
use crate::decide::rerun;
use crate::model::code::{PHASE_LIVE, PHASE_PRUNING, PHASE_REOPENING, STEP_COMPLETED, STEP_OPEN};
use crate::model::{DefinitionId, EventKind, GroupId, GroupPhase, KeepReason, OutputId, RunId, StepId, StepState};
use crate::store::{
    attempt,
    child_group::{self, NewChild},
    collect, concurrency, document,
    error::{Error, Result},
    event::{self, About},
    follow::Graph,
    group,
    kept_output::{self, Origin},
    memory::KnownShape,
    params::params,
    redefine::{redefine, set_keys},
    retry_facts::{Facts, OPENED, begin_epoch, count_reopened, facts},
    run, step,
    tx::{ReadTx, WriteTx},
};
use const_format::formatcp;
use std::collections::BTreeMap;

/// The most runs that one slice scans.
const SCAN: usize = 5_000;

/// How runs are reopened.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Again {
    /// Their new definition, with the same step names, types and needs. None: each keeps its own.
    pub definition: Option<DefinitionId>,
    /// The number of the step from which they rerun, however they ended. None: what failed or was cancelled reruns.
    pub from: Option<usize>,
    /// The definition of the steps that run after the runs of the group.
    pub collect: Option<DefinitionId>,
}

pub use crate::store::redefine::Takes;

/// Runs with their items.
pub type Items = Vec<(RunId, String)>;

/// The resources of the steps of a run under its new definition.
pub type Keys = BTreeMap<RunId, Takes>;

/// `group_again` for failed and cancelled steps.
#[cfg(any(test, feature = "internals"))]
pub fn group(tx: &WriteTx, id: GroupId) -> Result<bool> {
    group_again(tx, id, Again::default())
}

/// Reopens an ended group: its epoch is incremented, and it can end once more. `group_slice` then reopens its runs.
/// Refused for a group that a step started, because that step must be retried.
///
/// False: none of its runs has to run again. A group that is already being reopened stays unchanged.
pub fn group_again(tx: &WriteTx, id: GroupId, again: Again) -> Result<bool> {
    child_group::refuse_alone(tx, id)?;
    open_again(tx, id, again)
}

/// Reopens the child group of a retried step, in the transaction that records this.
pub fn child_again(tx: &WriteTx, id: GroupId, again: Again, child: &NewChild) -> Result<bool> {
    child_group::reopened(tx, child)?;
    open_again(tx, id, again)
}

fn open_again(tx: &WriteTx, id: GroupId, again: Again) -> Result<bool> {
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
        return match again == Again::default() {
            true => Ok(true),
            false => Err(Error::conflict(format!("{id} is being retried: try again in a moment"))),
        };
    }
    if !ended {
        let reason = format!("{id} has not ended yet: wait for it, cancel it, or retry one of its runs that has ended");
        return Err(Error::conflict(reason));
    }
    if lost == 0 && again.from.is_none() {
        return Ok(false);
    }
    tx.execute(
        formatcp!(
            "UPDATE run_group SET phase = {PHASE_REOPENING}, unfinished = 1, ended = NULL,
                  epoch = epoch + 1 WHERE id = ?1 AND phase = {PHASE_LIVE}"
        ),
        [id.0],
    )?;
    tx.execute(
        "UPDATE group_detail SET opened = 0, retry_as = ?2, retry_from = ?3, definition_id = coalesce(?2, definition_id),
                submitted_as = CASE WHEN ?2 IS NOT NULL AND submitted_as = 0 THEN definition_id ELSE submitted_as END
          WHERE group_id = ?1",
        params![id.0, again.definition.map(|it| it.0), again.from.map(|it| it as i64)],
    )?;
    collect::hold(tx, id, again.collect)?;
    concurrency::enter_again(tx, id)?;
    event::note(tx, EventKind::Retry, About::group(id))?;
    Ok(true)
}

/// Reopens runs of a group that is being reopened, until about `limit` rows are written. True while more are left.
///
/// `keys` has the resources for runs found by `to_open`. A run without an entry waits for the next slice.
pub fn group_slice(tx: &WriteTx, id: GroupId, limit: usize, keys: Option<&Keys>) -> Result<bool> {
    let Some((opened, how, places)) = reopening(tx, id)? else { return Ok(false) };
    let runs = tx.rows(NEXT, params![id.0, opened.0, SCAN as i64, how.from.is_some()], |row| {
        Ok((RunId(row.get(0)?), row.get::<bool>(1)?))
    })?;
    let collect = collect::run_if_any(tx, id)?;
    let mut written = 0;
    let mut more = runs.len() == SCAN;
    let mut reached = opened;
    for (run, is_again) in &runs {
        if Some(*run) == collect {
            written += reopen_collector(tx, id, 1)?;
        } else if *is_again {
            let own = keys.and_then(|it| it.get(run));
            if keys.is_some() && own.is_none() {
                more = true;
                break;
            }
            written += reopen(tx, *run, id, places, how, own)? + 3;
        }
        reached = *run;
        if written >= limit {
            more = true;
            break;
        }
    }
    match more {
        true => {
            tx.execute("UPDATE group_detail SET opened = ?2 WHERE group_id = ?1", params![id.0, reached.0])?;
            Ok(true)
        }
        false => stop(tx, id).map(|()| false),
    }
}

/// The runs after a run, each with whether it runs again.
const NEXT: &str = "SELECT id, ended IS NOT NULL AND (?4 OR failed + cancelled > 0) FROM run
                     WHERE group_id = ?1 AND id > ?2 ORDER BY id LIMIT ?3";

/// The progress of reopening a group, the options, and whether its steps are placed immediately. None: it is not being
/// reopened.
///
/// If groups must not overlap, or the number of open runs is limited, the steps are placed like those of a new group
/// when their turn comes.
fn reopening(tx: &ReadTx, id: GroupId) -> Result<Option<(RunId, Again, bool)>> {
    tx.row(
        formatcp!(
            "SELECT d.opened, d.retry_as, d.retry_from, d.concurrency = '' AND NOT EXISTS (SELECT 1 FROM child_group c
                WHERE c.group_id = g.id AND c.at_most IS NOT NULL) FROM run_group g
               JOIN group_detail d ON d.group_id = g.id WHERE g.id = ?1 AND g.phase = {PHASE_REOPENING}"
        ),
        [id.0],
        |row| {
            let again = Again {
                definition: row.get::<Option<i64>>(1)?.map(DefinitionId),
                from: row.get::<Option<i64>>(2)?.map(|it| it as usize),
                collect: None,
            };
            Ok((RunId(row.get(0)?), again, row.get(3)?))
        },
    )
}

/// The next runs of a group that is being reopened under another definition, with their items, and that definition.
/// None: its runs keep their own.
pub fn to_open(tx: &ReadTx, id: GroupId, limit: usize) -> Result<Option<(DefinitionId, Items)>> {
    let Some((opened, Again { definition: Some(definition), from, .. }, _)) = reopening(tx, id)? else {
        return Ok(None);
    };
    Ok(Some((definition, items(tx, id, opened, from.is_some(), limit)?)))
}

/// Runs of a group after a run that a retry reopens, with their items. `all`: however they ended.
pub fn items(tx: &ReadTx, id: GroupId, after: RunId, all: bool, limit: usize) -> Result<Items> {
    tx.rows(
        "SELECT r.id, i.item FROM run r JOIN item i ON i.run_id = r.id
          WHERE r.group_id = ?1 AND r.id > ?2 AND r.ended IS NOT NULL AND (?4 OR r.failed + r.cancelled > 0)
            AND NOT EXISTS (SELECT 1 FROM collect k WHERE k.group_id = r.group_id AND k.run_id = r.id)
          ORDER BY r.id LIMIT ?3",
        params![id.0, after.0, limit as i64, all],
        |row| Ok((RunId(row.get(0)?), row.get(1)?)),
    )
}

/// Stops reopening a group, if it is in progress.
pub(in crate::store) fn stop(tx: &WriteTx, id: GroupId) -> Result<()> {
    if group::leave_phase(tx, id, GroupPhase::Reopening)? {
        tx.execute(OPENED, [id.0])?;
        tx.execute("UPDATE group_detail SET retry_as = NULL, retry_from = NULL WHERE group_id = ?1", [id.0])?;
        tx.memory().opening.push(id);
    }
    Ok(())
}

/// Groups that are being reopened.
pub fn unfinished(tx: &ReadTx) -> Result<Vec<GroupId>> {
    tx.rows(
        formatcp!("SELECT id FROM run_group WHERE phase > {PHASE_LIVE} AND phase = {PHASE_REOPENING} ORDER BY id"),
        [],
        |row| row.get(0).map(GroupId),
    )
}

/// `run_again` for failed and cancelled steps.
#[cfg(any(test, feature = "internals"))]
pub fn run(tx: &WriteTx, id: RunId) -> Result<usize> {
    run_again(tx, id, Again::default(), None)
}

/// Reopens one ended run, and its group if it has ended. Returns the number of steps that are PENDING again; 0 if
/// nothing failed or was cancelled. Refused while the run is open, or while its group is being cancelled, built or
/// reopened.
pub fn run_again(tx: &WriteTx, id: RunId, again: Again, keys: Option<&Takes>) -> Result<usize> {
    let facts = facts(tx, id)?;
    let group = facts.group;
    child_group::refuse_alone(tx, group)?;
    if !facts.ended {
        return Err(Error::conflict(format!("{id} has not ended yet: wait for it or cancel it first")));
    }
    facts.refuse_unless_still()?;
    if facts.lost == 0 && again.from.is_none() {
        return Ok(0);
    }
    refuse_collected(tx, &facts)?;
    begin_epoch(tx, &facts)?;
    event::note(tx, EventKind::Retry, About::run(group, id))?;
    let opened = reopen(tx, facts.run, group, facts.places(), again, keys)?;
    collect_again(tx, &facts)?;
    Ok(opened)
}

/// The steps that run after the runs of the group rerun completely if another run does; otherwise only the failed ones.
fn reopen_collector(tx: &WriteTx, group: GroupId, held: i64) -> Result<usize> {
    let Some(it) = collect::collector(tx, group, held)?.filter(|it| it.ended && (it.lost || it.others)) else {
        return Ok(0);
    };
    let (first, before, shape) = redefine(tx, it.run, Some(it.definition))?;
    let graph = Graph { group, run: it.run, first, shape: &shape, opened: false };
    let facts = graph.facts(tx)?;
    let states: Vec<StepState> = facts.iter().map(|it| it.state).collect();
    let again = match it.others {
        true => (0..states.len()).collect(),
        false => flow::reopened(&before.shape, &shape.shape, &states),
    };
    count_reopened(tx, it.run, group)?;
    set_counts(tx, it.run, &shape, &facts, &again)?;
    open(tx, &graph, &facts, &again)?;
    Ok(again.len() + 3)
}

/// Refuses to reopen a run while the steps that follow all runs are running.
fn refuse_collected(tx: &WriteTx, facts: &Facts) -> Result<()> {
    let Some(it) = collect::collector(tx, facts.group, 0)?.filter(|it| it.run != facts.run && !facts.group_ended)
    else {
        return Ok(());
    };
    match it.ended || run::is_opened(tx, it.run)? {
        true => {
            let reason =
                format!("{} collects the results of {} already: wait until the group has ended", it.run, facts.group);
            Err(Error::conflict(reason))
        }
        false => Ok(()),
    }
}

/// A run of an ended group was reopened, so the steps that follow all runs wait for it.
fn collect_again(tx: &WriteTx, facts: &Facts) -> Result<()> {
    if facts.group_ended && collect::run_if_any(tx, facts.group)?.is_some_and(|it| it != facts.run) {
        collect::hold(tx, facts.group, None)?;
        reopen_collector(tx, facts.group, 0)?;
    }
    Ok(())
}

/// Reopens the steps of a run that FAILED or were CANCELLED, and the dependents that ended as a consequence; or all
/// steps from one on. Steps with all needs met become claimable.
///
/// `opened` is false if the group has not started the run yet, but will.
fn reopen(tx: &WriteTx, run: RunId, group: GroupId, opened: bool, how: Again, keys: Option<&Takes>) -> Result<usize> {
    let (first, before, shape) = redefine(tx, run, how.definition)?;
    let graph = Graph { group, run, first, shape: &shape, opened };
    let facts = graph.facts(tx)?;
    let states: Vec<StepState> = facts.iter().map(|it| it.state).collect();
    let again = match how.from {
        Some(no) => rerun::from(&before.shape, &shape.shape, &facts, no),
        None => flow::reopened(&before.shape, &shape.shape, &states),
    };
    count_reopened(tx, run, group)?;
    if opened {
        child_group::count_active(tx, group, 1)?;
    }
    set_counts(tx, run, &shape, &facts, &again)?;
    set_keys(tx, first, &again, keys)?;
    if let Some(no) = how.from {
        tx.execute(
            "INSERT INTO rerun(run_id, no) VALUES (?1, ?2) ON CONFLICT(run_id) DO UPDATE SET no = excluded.no",
            params![run.0, no as i64],
        )?;
    }
    if let Some(no) = how.from {
        child_group::put_aside(tx, StepId(first.0 + no as i64))?;
    }
    open(tx, &graph, &facts, &again)?;
    document::reopen(tx, run, how.from.is_some())?;
    Ok(again.len())
}

/// Opens the steps `again` of a run and applies the consequences. The run's counts are already updated.
fn open(tx: &WriteTx, graph: &Graph<'_>, before: &[StepFacts], again: &[usize]) -> Result<()> {
    let shape = &graph.shape.shape;
    let mut facts = before.to_vec();
    for &no in again {
        facts[no] = StepFacts { state: StepState::Open, running: false, runs_again: false };
    }
    let changes = flow::open(shape, &facts, again, false);
    for &no in again {
        let waits = changes.iter().find_map(|it| match it {
            (at, Then::Wait { unmet }) if *at == no => Some(*unmet),
            _ => None,
        });
        let id = StepId(graph.first.0 + no as i64);
        if before[no].state == StepState::Completed {
            give_up_success(tx, id)?;
            child_group::put_aside(tx, id)?;
        }
        child_group::reopen(tx, id)?;
        reset(tx, id, waits.unwrap_or(0))?;
    }
    let is_left = |it: &&Change| match it.1 {
        Then::Start => graph.opened,
        // Already written with its row above.
        Then::Wait { .. } => !again.contains(&it.0),
        Then::Skip | Then::Cancel | Then::Stop => true,
    };
    let changes: Vec<Change> = changes.iter().filter(is_left).copied().collect();
    let followed = graph.apply(tx, &changes)?;
    match followed.skipped + followed.cancelled {
        0 => Ok(()),
        steps => {
            let ended = run::Ended { steps, failed: false, cancelled: followed.cancelled > 0 };
            run::steps_ended(tx, graph.run, graph.group, graph.shape, 0, ended)
        }
    }
}

/// Resets an ended step to PENDING, as if it had never run.
fn reset(tx: &WriteTx, id: StepId, unmet: usize) -> Result<()> {
    tx.execute(
        formatcp!(
            "UPDATE step SET state = {STEP_OPEN}, due = ?2, unmet = ?3, attempts = 0, failures = 0,
                  crashes = 0, suspect = 0, recomputed = 0,
                token = NULL, worker = NULL, started = NULL, ended = NULL, outcome = NULL, output_id = NULL
          WHERE id = ?1 AND state >= {STEP_COMPLETED}"
        ),
        params![id.0, tx.now().0, unmet as i64],
    )?;
    tx.memory().recomputing.remove(&id);
    Ok(())
}

/// Moves the success of a step that handled a failure out of its columns, because the step runs again.
fn give_up_success(tx: &WriteTx, id: StepId) -> Result<()> {
    attempt::keep_success(tx, id, "it runs again because a step that it needs was retried")?;
    let output = tx.row("SELECT output_id FROM step WHERE id = ?1 AND output_id IS NOT NULL", [id.0], |row| {
        row.get(0).map(OutputId)
    })?;
    match output {
        Some(output) => kept_output::insert(tx, output, KeepReason::Nothing, &Origin::default()),
        None => Ok(()),
    }
}

/// `step_again` under the current definition.
#[cfg(any(test, feature = "internals"))]
pub fn step(tx: &WriteTx, id: StepId) -> Result<usize> {
    step_again(tx, id, None, None)
}

/// Reopens one step that FAILED or was CANCELLED, and the steps that ended as a consequence; also its run and group, if
/// they have ended. Returns the number of steps that are PENDING again; 0 if it is COMPLETED or SKIPPED.
///
/// Refused while the step is open, while a step that it needs has not completed, after a dependent has begun, and in
/// the cases in which `run` is refused. Under another definition it is also refused while the run is open.
pub fn step_again(tx: &WriteTx, id: StepId, definition: Option<DefinitionId>, keys: Option<&Takes>) -> Result<usize> {
    let row = step::get(tx, id)?.ok_or_else(|| Error::not_found(id))?;
    if matches!(row.state, StepState::Completed | StepState::Skipped) {
        return Ok(0);
    }
    if !row.state.is_terminal() {
        return Err(Error::conflict(format!("{id} has not ended yet: wait for it or cancel it first")));
    }
    let facts = facts(tx, row.run)?;
    child_group::refuse_alone(tx, facts.group)?;
    facts.refuse_unless_still()?;
    if definition.is_some() && !facts.ended {
        return Err(Error::conflict(format!("{} has not ended yet: wait for it or cancel it first", row.run)));
    }
    let (first, _, shape) = redefine(tx, row.run, definition)?;
    let graph = Graph { group: facts.group, run: row.run, first, shape: &shape, opened: facts.places() };
    let steps = graph.facts(tx)?;
    let named = |no: usize| StepId(first.0 + no as i64);
    let again = flow::reopened_from(&shape.shape, &steps, row.no).map_err(|need| {
        let need = named(need);
        Error::conflict(format!("{id} needs {need}, which did not complete: retry {need}, or all of {}", row.run))
    })?;
    if let Some(begun) = flow::begun_behind(&shape.shape, &steps, &again) {
        let begun = named(begun);
        return Err(Error::conflict(format!("{begun} follows {id} and has begun: wait until it ends, or cancel it")));
    }
    refuse_collected(tx, &facts)?;
    event::note(tx, EventKind::Retry, About::step(facts.group, row.run, id))?;
    reopen_run(tx, &facts, &shape, &steps, &again)?;
    set_keys(tx, first, &again, keys)?;
    open(tx, &graph, &steps, &again)?;
    collect_again(tx, &facts)?;
    document::reopen(tx, row.run, false)?;
    Ok(again.len())
}

/// Counts the steps `again` as open in the run and its group.
fn reopen_run(tx: &WriteTx, facts: &Facts, shape: &KnownShape, steps: &[StepFacts], again: &[usize]) -> Result<()> {
    if facts.ended {
        begin_epoch(tx, facts)?;
        count_reopened(tx, facts.run, facts.group)?;
        if facts.places() {
            child_group::count_active(tx, facts.group, 1)?;
        }
        return set_counts(tx, facts.run, shape, steps, again);
    }
    if !shape.chain {
        let (failed, cancelled) = left(shape, steps, again);
        tx.execute(
            "UPDATE run SET unfinished = unfinished + ?2, failed = ?3, cancelled = ?4 WHERE id = ?1",
            params![facts.run.0, again.len() as i64, failed, cancelled],
        )?;
    }
    Ok(())
}

/// Sets the counts of an ended run after the steps `again` were reopened. Chains are not counted while open.
fn set_counts(tx: &WriteTx, run: RunId, shape: &KnownShape, steps: &[StepFacts], again: &[usize]) -> Result<()> {
    let unfinished = if shape.chain { steps.len() } else { again.len() };
    let (failed, cancelled) = if shape.chain { (0, 0) } else { left(shape, steps, again) };
    let counts = [run.0, unfinished as i64, failed, cancelled];
    tx.execute("UPDATE run SET unfinished = ?2, failed = ?3, cancelled = ?4, ended = NULL WHERE id = ?1", counts)?;
    Ok(())
}

/// How many of the other steps failed, except allowed failures, and how many were cancelled.
fn left(shape: &KnownShape, steps: &[StepFacts], again: &[usize]) -> (i64, i64) {
    let ends = flow::ends(&shape.shape, steps);
    let left = || (0..steps.len()).filter(|no| !again.contains(no)).filter_map(|no| ends[no]);
    let failed = left().filter(|end| *end == End::Failed { allowed: false }).count() as i64;
    (failed, left().filter(|end| matches!(end, End::Cancelled { .. })).count() as i64)
}
