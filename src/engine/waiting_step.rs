//! The attempt of a step that waits for a person, a time or a signal.

use super::{condition, settlement, task::Task};
use crate::{
    definition::{Time, Wait, recurrence::moment},
    model::{
        Millis, Otherwise, Outcome, Timestamp,
        bounded::{MESSAGE, bounded},
    },
    store::{
        Claimed, Settlement,
        waiting::{NewWait, WaitDetail, WaitsFor},
    },
};
use serde_json::Value;

/// The settlement of an attempt of a waiting step. What it waits for is determined when it starts; a retry determines
/// it again.
pub(super) fn begin(claimed: &Claimed, task: &Task, wait: &Wait) -> Settlement {
    let text = task.input.with.as_str().unwrap_or_default();
    let found = match wait {
        Wait::Approve { limit, .. } => {
            let detail = WaitDetail { ask: bounded(text.trim().to_string(), MESSAGE), within: limit.within };
            Ok((WaitsFor::Approval, limit.within.map(|it| claimed.started + it), limit.otherwise, detail))
        }
        Wait::Signal { name, limit } => {
            let detail = WaitDetail { within: limit.within, ..WaitDetail::default() };
            let due = limit.within.map(|it| claimed.started + it);
            Ok((WaitsFor::Signal(name.clone()), due, limit.otherwise, detail))
        }
        Wait::For(_) => text.trim().parse::<Millis>().map(|it| until(claimed.started + it)),
        Wait::Until(time) => time_of(task, time, text).map(until),
    };
    match found {
        Ok((on, due, otherwise, detail)) => Settlement::Wait { wait: NewWait { on, due, otherwise, detail } },
        Err(problem) => {
            let outcome = Outcome::permanent("wait", format!("`{}`: {problem}", wait.key())).bounded();
            Settlement::Fail { crashed: false, record: settlement::record(&outcome, &Default::default(), Vec::new()) }
        }
    }
}

fn until(due: Timestamp) -> (WaitsFor, Option<Timestamp>, Otherwise, WaitDetail) {
    (WaitsFor::Time, Some(due), Otherwise::Complete, WaitDetail::default())
}

fn time_of(task: &Task, time: &Time, text: &str) -> Result<Timestamp, String> {
    let found = match time {
        Time::Text(_) => Value::from(text),
        Time::Formula(formula) => {
            let step = &task.known.definition.steps[task.row.no];
            formula.value(&condition::facts(task, step))?
        }
    };
    let at = found.as_str().and_then(|it| moment(it.trim()));
    at.ok_or_else(|| {
        let found = bounded(found.to_string(), 200);
        format!("{found} is not a time; write one such as `2026-12-24T08:00` or `2026-12-24T08:00:00+01:00`")
    })
}
