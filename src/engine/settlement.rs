//! Turns a report into a settlement: `decide` judges, and this file translates the verdict for the store.

use super::{
    state::WorkerState,
    step_kind::{Printed, StepResult},
    task::Task,
};
use crate::{
    decide::retry::{Counts, Verdict, after_attempt, after_interruption},
    model::{AttemptStats, Outcome},
    store::{
        Claimed, Settlement,
        attempt::{self, Log, Record, outcome_of},
        output::NewOutput,
    },
};

pub(super) fn judge(
    state: &WorkerState,
    claimed: &Claimed,
    task: &Task,
    result: StepResult,
    cache_key: Option<[u8; 32]>,
) -> Settlement {
    let now = state.engine.store.now();
    let step = &task.known.definition.steps[task.row.no];
    let before = Tries::before(state, claimed, &result.report.outcome);
    let counts = Counts {
        attempts: claimed.attempt,
        failures: task.row.failures.max(0) as u32,
        crashes: task.row.crashes.max(0) as u32,
        put_off: before.all,
        in_vain: before.in_vain,
    };
    let StepResult { report, files, executable, links, logs, again, .. } = result;
    let report = report.bounded();
    let verdict = after_attempt(&report.outcome, counts, &step.retry_policy(), now, chance());
    let crashed = matches!(report.outcome, Outcome::Crashed { .. });
    let logs = logs.into_iter().filter_map(compress).collect::<Vec<_>>();
    match verdict {
        Verdict::Complete => {
            // A cached result must be found again, even if it is empty.
            let kept = report.value.is_some() || !files.is_empty() || !links.is_empty() || cache_key.is_some();
            let output =
                kept.then(|| NewOutput { value: report.value.map(|it| it.to_string()), files, executable, links });
            let plain = report.certificate == AttemptStats::default() && logs.is_empty();
            let record = (!plain).then(|| record(&report.outcome, &report.certificate, logs));
            Settlement::Complete { output, cache_key, record }
        }
        Verdict::RetryAt(due) => {
            Settlement::Retry { due, crashed, record: record(&report.outcome, &report.certificate, logs) }
        }
        Verdict::Fail { reason } | Verdict::Quarantine { reason, .. } => {
            // The row of a step that has been deferred so far is used for its end.
            let mut record = match report.outcome {
                Outcome::NoRoom { .. } => {
                    let outcome = Outcome::permanent("no_room", reason.as_str());
                    before.and_one(&report.outcome).record(&outcome, &report.certificate, logs)
                }
                outcome => record(&outcome, &report.certificate, logs),
            };
            record.detail = with_reason(&record.detail, &reason);
            Settlement::Fail { crashed, record }
        }
        Verdict::Release { reason } => {
            let again = after_interruption(again, state.is_draining());
            let due = now + again.unwrap_or_default();
            let record = match again {
                // No error, there is just no free slot yet.
                Some(_) if reason.is_empty() => None,
                Some(_) => Some(before.and_one(&report.outcome).record(&report.outcome, &report.certificate, logs)),
                None => Some(record(&report.outcome, &report.certificate, logs)),
            };
            Settlement::Release { due, record }
        }
        Verdict::PutOff { due, reason } => {
            let tries = before.and_one(&report.outcome);
            let in_vain = matches!(report.outcome, Outcome::NoRoom { in_vain: true, .. });
            let record = tries.record(&Outcome::NoRoom { reason, in_vain }, &report.certificate, logs);
            Settlement::Release { due, record: Some(record) }
        }
        Verdict::Cancel => Settlement::Cancelled { record: record(&report.outcome, &report.certificate, logs) },
    }
}

/// How many times in a row an attempt was released, and how many times its work was lost. A step that waits for a long
/// time leaves one row, which keeps these counts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Tries {
    pub all: u32,
    pub in_vain: u32,
}

impl Tries {
    /// The counts before an attempt with this outcome.
    pub(super) fn before(state: &WorkerState, claimed: &Claimed, outcome: &Outcome) -> Tries {
        if !matches!(outcome, Outcome::Interrupted { .. } | Outcome::NoRoom { .. }) {
            return Tries::default();
        }
        let (step, n) = (claimed.lease.step, claimed.attempt);
        let (all, in_vain) = state.engine.store.read(|tx| attempt::tries(tx, step, n)).unwrap_or_default();
        Tries { all, in_vain }
    }

    pub(super) fn and_one(self, outcome: &Outcome) -> Tries {
        let in_vain = u32::from(matches!(outcome, Outcome::NoRoom { in_vain: true, .. }));
        Tries { all: self.all.saturating_add(1), in_vain: self.in_vain.saturating_add(in_vain) }
    }

    pub(super) fn record(self, outcome: &Outcome, certificate: &AttemptStats, logs: Vec<Log>) -> Record {
        let plain = record(outcome, certificate, logs);
        let mut detail: serde_json::Value = serde_json::from_str(&plain.detail).unwrap_or_default();
        (detail["tries"], detail["in_vain"]) = (self.all.into(), self.in_vain.into());
        Record { detail: detail.to_string(), ..plain }
    }
}

/// `{"outcome": .., "certificate": ..}` and the streams.
pub(super) fn record(outcome: &Outcome, certificate: &AttemptStats, logs: Vec<Log>) -> Record {
    let detail = serde_json::json!({"outcome": outcome, "message": outcome.to_string(), "certificate": certificate});
    Record { outcome: outcome_of(outcome), detail: detail.to_string(), logs }
}

fn with_reason(detail: &str, reason: &str) -> String {
    let mut value: serde_json::Value = serde_json::from_str(detail).unwrap_or_default();
    value["reason"] = reason.into();
    value.to_string()
}

fn compress(printed: Printed) -> Option<Log> {
    if printed.total == 0 {
        return None;
    }
    let body = zstd::bulk::compress(&printed.newest, 3).ok()?;
    Some(Log { stream: printed.stream, total: printed.total, body })
}

/// A random number in 0..1, for spreading waits.
pub(super) fn chance() -> f64 {
    let mut bytes = [0; 8];
    match getrandom::fill(&mut bytes) {
        Ok(()) => (u64::from_le_bytes(bytes) >> 11) as f64 / (1u64 << 53) as f64,
        Err(_) => 0.5,
    }
}
