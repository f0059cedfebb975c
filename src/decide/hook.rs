//! What becomes of a hook after an attempt.

use super::retry::{Backoff, wait};
use crate::model::{Millis, Outcome, Timestamp};

/// Until a hook is tried again for which there was no room.
const NO_ROOM: Millis = Millis::seconds(10);

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    Done,
    /// Given back unspent.
    Release,
    /// Given back unspent, until this time.
    PutOff {
        due: Timestamp,
        reason: String,
    },
    RetryAt {
        due: Timestamp,
        reason: String,
    },
    Fail {
        reason: String,
    },
}

/// Decides what becomes of a hook after its `attempt`-th attempt, counted from 1; it may be tried `retries` times more.
pub fn after_attempt(outcome: &Outcome, attempt: u32, retries: u32, backoff: &Backoff, now: Timestamp) -> Verdict {
    match outcome {
        Outcome::Succeeded => Verdict::Done,
        Outcome::Interrupted { .. } => Verdict::Release,
        Outcome::NoRoom { reason, .. } => after_shortage(reason, now),
        Outcome::Failed { retryable: false, .. } => Verdict::Fail { reason: outcome.to_string() },
        outcome if attempt <= retries => {
            Verdict::RetryAt { due: now + wait(attempt.max(1), backoff, 0.5), reason: outcome.to_string() }
        }
        outcome => Verdict::Fail { reason: outcome.to_string() },
    }
}

/// The same for a hook that could not begin for want of something.
pub fn after_shortage(reason: &str, now: Timestamp) -> Verdict {
    Verdict::PutOff { due: now + NO_ROOM, reason: reason.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp(1_000_000);

    #[test]
    fn each_outcome_of_a_hook_has_its_verdict() {
        let backoff = Backoff { initial: Millis(100), factor: 2.0, max: Millis(1_000), jitter: 0.0 };
        let fail = |reason: &str| Verdict::Fail { reason: reason.into() };
        let again = |wait: u64, reason: &str| Verdict::RetryAt { due: NOW + Millis(wait), reason: reason.into() };
        let full = Outcome::NoRoom { reason: "full".into(), in_vain: true };
        let exit = || Outcome::retryable("exit", "exit 1");
        let table = [
            (Outcome::Succeeded, 9, 0, Verdict::Done),
            (Outcome::Interrupted { reason: "shutdown".into() }, 9, 0, Verdict::Release),
            (full, 9, 0, Verdict::PutOff { due: NOW + Millis(10_000), reason: "full".into() }),
            (Outcome::permanent("exit", "bad input"), 1, 3, fail("bad input")),
            (exit(), 1, 2, again(100, "exit 1")),
            (exit(), 2, 2, again(200, "exit 1")),
            (exit(), 3, 2, fail("exit 1")),
            (exit(), 1, 0, fail("exit 1")),
            (Outcome::Cancelled, 1, 1, again(100, &Outcome::Cancelled.to_string())),
        ];
        for (outcome, attempt, retries, verdict) in table {
            assert_eq!(after_attempt(&outcome, attempt, retries, &backoff, NOW), verdict, "{outcome:?} {attempt}");
        }
    }
}
