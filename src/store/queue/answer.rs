//! Ends waits from outside: approvals, rejections and signals.

use crate::decide::wait::{self, Before, Verdict};
use crate::model::{Answer, EventKind, GroupId, RunId, StepId};
use crate::store::{
    attempt,
    error::{Error, Result},
    event::{self, About},
    group, run, step,
    tx::{ReadTx, WriteTx},
    wait_end,
    waiting::{self, Signal},
};
use serde::Serialize;
use serde_json::json;

/// An answer that was recorded, now or earlier.
#[derive(Debug, Clone, PartialEq, Serialize, utoipa::ToSchema)]
pub struct Answered {
    pub step: StepId,
    pub run: RunId,
    pub group: GroupId,
    /// False: the same answer was already recorded.
    pub changed: bool,
    #[serde(flatten)]
    pub answer: Answer,
}

/// Answers a step that waits for an approval: the step completes or fails. Repeating the same answer changes nothing.
///
/// Refused if the step does not wait for an approval, or already has a different answer.
pub fn approval(tx: &WriteTx, id: StepId, answer: &Answer) -> Result<Answered> {
    let row = step::get(tx, id)?.ok_or_else(|| Error::not_found(id))?;
    let question = waiting::get(tx, id)?;
    let before = Before {
        waits_for: question.as_ref().map(|it| it.kind),
        answer: if row.state.is_terminal() { attempt::answer_of(tx, id)? } else { None },
        ended: row.state.is_terminal().then(|| row.state.words()),
    };
    let answered = |changed| Answered { step: id, run: row.run, group: row.group, changed, answer: answer.clone() };
    match wait::answer(&before, answer) {
        Verdict::Take => {
            let answer = Answer { at: Some(tx.now()), ..answer.clone() };
            let about = About::step(row.group, row.run, id);
            event::note_with(tx, EventKind::StepAnswered, about, answer.words())?;
            let mut record = json!({"answer": answer});
            if let Some(question) = question {
                record["asked"] = json!(question.detail.ask);
            }
            wait_end::end(tx, id, &wait::answered(&answer), Some(&record))?;
            Ok(Answered { answer, ..answered(true) })
        }
        Verdict::Same(first) => Ok(Answered { answer: first, ..answered(false) }),
        Verdict::Refuse(why) => Err(Error::conflict(format!("{id} {why}"))),
    }
}

/// A signal that was sent.
#[derive(Debug, Clone, PartialEq, Serialize, utoipa::ToSchema)]
pub struct Sent {
    #[serde(flatten)]
    pub signal: Signal,
    /// False: the same signal with the same value was already sent.
    pub changed: bool,
    /// It replaced a signal with another value. Steps that received that value keep it.
    pub replaced: bool,
    /// The number of waiting steps that it released.
    pub released: i64,
}

/// Stores a signal to a group or to one of its runs. `release` then ends the waits for it.
pub fn signal(tx: &WriteTx, signal: &Signal) -> Result<Sent> {
    let group = signal.group;
    if group::end(tx, group)?.ended.is_some() {
        return Err(Error::conflict(format!("{group} has ended: nothing waits for a signal")));
    }
    if let Some(id) = signal.run {
        let found = run::group_of(tx, id)?.ok_or_else(|| Error::not_found(id))?;
        if found != group {
            return Err(Error::conflict(format!("{id} is a run of {found}, not of {group}")));
        }
    }
    let signal = Signal { at: tx.now(), ..signal.clone() };
    let before = waiting::signal_to(tx, group, signal.run, &signal.name)?;
    if let Some(before) = before.as_ref().filter(|it| it.value == signal.value) {
        return Ok(Sent { signal: before.clone(), changed: false, replaced: false, released: 0 });
    }
    waiting::keep(tx, &signal)?;
    let about = About { group: Some(group), run: signal.run, ..About::default() };
    event::note_with(tx, EventKind::Signal, about, format!("{} by {}", signal.name, signal.by))?;
    Ok(Sent { signal, changed: true, replaced: before.is_some(), released: 0 })
}

/// Ends up to `limit` waits in a group for signals that were sent, and returns the number. Fewer than `limit` means
/// that no more are left. `name` limits this to one signal.
pub fn release(tx: &WriteTx, group: GroupId, name: Option<&str>, limit: usize) -> Result<usize> {
    let steps = waiting::with_signal(tx, group, name, limit)?;
    for (step, run, name) in &steps {
        let Some(signal) = waiting::signal(tx, group, *run, name)? else { continue };
        let end = wait::End::Complete(signal.value.clone());
        wait_end::end(tx, *step, &end, Some(&json!({"signal": signal})))?;
    }
    Ok(steps.len())
}

/// Groups in which steps still wait for a signal that was sent, because of a crash between slices.
pub fn unfinished(tx: &ReadTx) -> Result<Vec<GroupId>> {
    tx.rows(
        "SELECT DISTINCT n.group_id FROM signal n JOIN waiting w ON w.group_id = n.group_id AND w.signal = n.name
            AND w.signal <> '' AND n.run_id IN (0, w.run_id)",
        [],
        |row| row.get(0).map(GroupId),
    )
}
