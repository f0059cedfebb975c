//! From a report to a settlement: `decide` judges, this room words it for the store.

use super::{
    attempt::Task,
    step_kind::{Printed, StepResult},
    worker::Shared,
};
use crate::{
    decide::retry::{Counts, Verdict, after_attempt},
    model::{Certificate, Millis, Outcome},
    store::{
        Claimed, Settlement,
        attempt::{self, Log, Record, outcome_code},
        output::NewOutput,
    },
};

/// Until a step is tried again for which there was no room.
const NO_ROOM: Millis = Millis::seconds(1);

pub(super) fn judge(
    shared: &Shared,
    claimed: &Claimed,
    task: &Task,
    result: StepResult,
    cache_key: Option<[u8; 32]>,
) -> Settlement {
    let now = shared.engine.store.now();
    let step = &task.known.definition.steps[task.row.no];
    let counts = Counts {
        attempts: claimed.attempt,
        failures: task.row.failures.max(0) as u32,
        crashes: task.row.crashes.max(0) as u32,
    };
    let StepResult { report, files, executable, logs, again, .. } = result;
    let verdict = after_attempt(&report.outcome, counts, &step.retry_policy(), now, chance());
    let crashed = matches!(report.outcome, Outcome::Crashed { .. });
    let logs = logs.into_iter().filter_map(compress).collect::<Vec<_>>();
    match verdict {
        Verdict::Complete => {
            // What is remembered must be found again, also where nothing was left.
            let kept = report.value.is_some() || !files.is_empty() || cache_key.is_some();
            let output = kept.then(|| NewOutput { value: report.value.map(|it| it.to_string()), files, executable });
            let plain = report.certificate == Certificate::default() && logs.is_empty();
            let record = (!plain).then(|| record(&report.outcome, &report.certificate, logs));
            Settlement::Complete { output, cache_key, record }
        }
        Verdict::RetryAt(due) => {
            Settlement::Retry { due, crashed, record: record(&report.outcome, &report.certificate, logs) }
        }
        Verdict::Fail { reason } | Verdict::Quarantine { reason, .. } => {
            let mut record = record(&report.outcome, &report.certificate, logs);
            record.detail = with_reason(&record.detail, &reason);
            Settlement::Fail { crashed, record }
        }
        Verdict::Release { reason } => {
            // A worker that stops gives its steps to the others at once. One that could not start its step for want of
            // something tries again in a moment: at once would be a thousand times a second.
            let again = again.or_else(|| (!shared.is_draining()).then_some(NO_ROOM));
            let due = now + again.unwrap_or_default();
            let told = again.is_some() && (reason.is_empty() || told_before(shared, claimed));
            let record = (!told).then(|| record(&report.outcome, &report.certificate, logs));
            Settlement::Release { due, record }
        }
        Verdict::Cancel => Settlement::Cancelled { record: record(&report.outcome, &report.certificate, logs) },
    }
}

/// Whether the attempt was given back before: a step that waits for long for what it needs says so once.
fn told_before(shared: &Shared, claimed: &Claimed) -> bool {
    let attempts = shared.engine.store.read(|tx| attempt::of_step(tx, claimed.lease.step)).unwrap_or_default();
    attempts.last().is_some_and(|it| i64::from(claimed.attempt) == it.n && it.outcome == Some("interrupted"))
}

/// `{"outcome": .., "certificate": ..}` and the streams.
pub(super) fn record(outcome: &Outcome, certificate: &Certificate, logs: Vec<Log>) -> Record {
    let detail = serde_json::json!({"outcome": outcome, "message": outcome.to_string(), "certificate": certificate});
    Record { outcome: outcome_code(outcome), detail: detail.to_string(), logs }
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

/// 0 to 1, for spreading waits.
fn chance() -> f64 {
    let mut bytes = [0; 8];
    match getrandom::fill(&mut bytes) {
        Ok(()) => (u64::from_le_bytes(bytes) >> 11) as f64 / (1u64 << 53) as f64,
        Err(_) => 0.5,
    }
}
