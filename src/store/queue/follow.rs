//! The consequences of a step's end in a workflow with steps that are not plain. `decide::flow` decides; this file
//! writes.
//!
//! Each end reads the states of the whole run. A plain workflow does not use this: its steps are released by count.

use crate::decide::flow::{self, Change, Facts, Then};
use crate::model::code::{OUTCOME_SKIPPED, STEP_COMPLETED, STEP_SKIPPED};
use crate::model::{EventKind, GroupId, RunId, StepId, StepState};
use crate::store::{
    cancel_step,
    error::Result,
    event::{self, About},
    lease::Live,
    memory::KnownShape,
    params::params,
    place, recompute, run, step,
    tx::{ReadTx, WriteTx},
};
use const_format::formatcp;

/// A run with its graph.
#[derive(Clone, Copy)]
pub(in crate::store) struct Graph<'a> {
    pub group: GroupId,
    pub run: RunId,
    pub first: StepId,
    pub shape: &'a KnownShape,
    /// False while the group has not yet placed the first steps of the run. Nothing of the run starts until
    /// `start_first` does it.
    pub opened: bool,
}

/// Changes to steps other than the one that ended.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(in crate::store) struct Followed {
    pub skipped: i64,
    pub cancelled: i64,
    /// Running steps that were asked to stop.
    pub cancel_requested: i64,
}

impl Graph<'_> {
    fn id(&self, no: usize) -> StepId {
        StepId(self.first.0 + no as i64)
    }

    fn cancelling(&self, tx: &WriteTx) -> bool {
        tx.memory().cancelling_groups.contains(&self.group)
    }

    /// The current facts of all steps of the run.
    pub fn facts(&self, tx: &WriteTx) -> Result<Vec<Facts>> {
        let found = tx.rows(
            "SELECT s.id, s.state, EXISTS (SELECT 1 FROM lease l WHERE l.step_id = s.id)
                OR EXISTS (SELECT 1 FROM waiting w WHERE w.step_id = s.id AND w.children IS NOT NULL)
               FROM step s WHERE s.id >= ?1 AND s.id < ?2 ORDER BY s.id",
            params![self.first.0, self.first.0 + self.shape.shape.steps.len() as i64],
            |row| Ok((StepId(row.get(0)?), row.get::<i64>(1)?, row.get::<bool>(2)?)),
        )?;
        let memory = tx.memory();
        let facts = |(id, state, running): (StepId, i64, bool)| Facts {
            state: StepState::from_code(state).unwrap_or(StepState::Open),
            running,
            runs_again: memory.recomputing.contains(&id),
        };
        Ok(found.into_iter().map(facts).collect())
    }

    /// Applies the consequences of a step's end, which its row already records, and updates the run.
    pub fn ended(&self, tx: &WriteTx, no: usize, failed: bool, cancelled: bool) -> Result<Followed> {
        let changes = flow::follow(&self.shape.shape, &self.facts(tx)?, &[no], self.cancelling(tx));
        let followed = self.apply(tx, &changes)?;
        recompute::over(tx, self.id(no), self.first, self.shape.shape.steps.len())?;
        let counted = failed && !self.shape.shape.steps[no].allow_failure;
        self.note_ends(tx, no, 1, run::Ended { steps: 0, failed: counted, cancelled }, followed)?;
        Ok(followed)
    }

    /// Cancels the steps that cancelling the whole run ends.
    pub fn cancel(&self, tx: &WriteTx) -> Result<Followed> {
        let begun = has_begun(tx, self.first, self.shape.shape.steps.len())?;
        let facts = self.facts(tx)?;
        let changes = flow::cancel(&self.shape.shape, &facts, begun, self.cancelling(tx));
        let followed = self.apply(tx, &changes)?;
        // The remaining steps may have been paused with their group, which no longer holds them back.
        for no in flow::kept(&self.shape.shape, &facts, &changes) {
            place::again(tx, self.id(no))?;
        }
        let none = run::Ended { steps: 0, failed: false, cancelled: false };
        self.note_ends(tx, 0, 0, none, followed)?;
        Ok(followed)
    }

    fn note_ends(&self, tx: &WriteTx, no: usize, own: i64, ended: run::Ended, followed: Followed) -> Result<()> {
        let steps = own + followed.skipped + followed.cancelled;
        if steps == 0 {
            return Ok(());
        }
        let ended = run::Ended { steps, cancelled: ended.cancelled || followed.cancelled > 0, ..ended };
        run::steps_ended(tx, self.run, self.group, self.shape, no, ended)
    }

    /// Writes the changes. The caller updates the counts of the run.
    pub fn apply(&self, tx: &WriteTx, changes: &[Change]) -> Result<Followed> {
        let mut followed = Followed::default();
        for &(no, then) in changes {
            let id = self.id(no);
            match then {
                Then::Start => {
                    self.set_unmet(tx, no, 0)?;
                    if self.opened {
                        place::enter(tx, id, self.shape.types[no])?;
                    }
                }
                Then::Wait { unmet } => self.set_unmet(tx, no, unmet)?,
                Then::Skip => {
                    followed.skipped += 1;
                    self.skip(tx, id)?;
                }
                Then::Cancel => {
                    let Some(row) = step::get(tx, id)? else { continue };
                    cancel_step::end_waiting(tx, &row)?;
                    recompute::over(tx, id, self.first, self.shape.shape.steps.len())?;
                    followed.cancelled += 1;
                }
                Then::Stop => followed.cancel_requested += i64::from(cancel_step::ask(tx, id)? == Some(true)),
            }
        }
        Ok(followed)
    }

    /// Makes the ready steps of a run claimable: its first steps, and steps whose needs were already cancelled.
    pub fn start_first(&self, tx: &WriteTx) -> Result<()> {
        for no in flow::waiting_for_nothing(&self.shape.shape, &self.facts(tx)?) {
            place::enter(tx, self.id(no), self.shape.types[no])?;
        }
        Ok(())
    }

    /// Only steps with two or more needs are counted.
    fn set_unmet(&self, tx: &WriteTx, no: usize, unmet: usize) -> Result<()> {
        if self.shape.shape.steps[no].needs.len() > 1 {
            tx.execute("UPDATE step SET unmet = ?2 WHERE id = ?1", params![self.id(no).0, unmet as i64])?;
        }
        Ok(())
    }

    /// Skips a waiting step, because the failure that it handles did not happen.
    fn skip(&self, tx: &WriteTx, id: StepId) -> Result<()> {
        tx.execute(
            formatcp!(
                "UPDATE step SET state = {STEP_SKIPPED}, unmet = 0, ended = ?2, outcome = {OUTCOME_SKIPPED}
                  WHERE id = ?1 AND state < {STEP_COMPLETED}"
            ),
            params![id.0, tx.now().0],
        )?;
        let about = About::step(self.group, self.run, id);
        event::note_with(tx, EventKind::StepSkipped, about, "nothing failed".into())
    }
}

/// The graph of a running step's run, and the number of the step.
pub(in crate::store) fn of_live<'a>(live: &Live, shape: &'a KnownShape, first: StepId) -> (Graph<'a>, usize) {
    let no = (live.lease.step.0 - first.0) as usize;
    (Graph { group: live.group, run: live.run, first, shape, opened: true }, no)
}

/// Whether a step of a run has ever been started.
pub(in crate::store) fn has_begun(tx: &ReadTx, first: StepId, count: usize) -> Result<bool> {
    let found = tx.row(
        "SELECT 1 FROM step s WHERE s.id >= ?1 AND s.id < ?2
            AND (s.attempts > 0 OR s.token IS NOT NULL OR EXISTS (SELECT 1 FROM lease l WHERE l.step_id = s.id)
                 OR EXISTS (SELECT 1 FROM waiting x WHERE x.step_id = s.id)
                 OR EXISTS (SELECT 1 FROM attempt a WHERE a.step_id = s.id)) LIMIT 1",
        params![first.0, first.0 + count as i64],
        |_| Ok(()),
    )?;
    Ok(found.is_some())
}
