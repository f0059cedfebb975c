//! What happens to a step after an attempt, and how long it waits before the next one.

use crate::model::{Millis, Outcome, Timestamp};
use serde::{Deserialize, Serialize};

/// Exponential back-off. The wait before retry `n` (from 1) is `initial * factor^(n-1)`, spread by `jitter`, and at
/// most `max`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Backoff {
    pub initial: Millis,
    /// At least 1.
    pub factor: f64,
    pub max: Millis,
    /// The share, 0 to 1, by which chance lengthens or shortens the wait.
    pub jitter: f64,
}

impl Default for Backoff {
    fn default() -> Backoff {
        Backoff { initial: Millis::seconds(1), factor: 2.0, max: Millis::minutes(5), jitter: 0.2 }
    }
}

/// How often a step may fail, and how often it may crash.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RetryPolicy {
    /// Attempts after the first.
    pub retries: u32,
    pub backoff: Backoff,
    /// The number of crashes after which the step is quarantined. 0 counts as 1.
    pub max_crashes: u32,
}

/// A step's history before the attempt that is judged now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    /// Attempts that were not given back, including this one.
    pub attempts: u32,
    /// Failed attempts, without crashes and without this one.
    pub failures: u32,
    /// Crashed attempts, without this one.
    pub crashes: u32,
    /// How many attempts in a row were deferred before they began, and how many times the work of an attempt was lost.
    pub put_off: u32,
    pub in_vain: u32,
}

/// How often a step is tried when its output does not fit the disk. It fails after about three quarters of an hour.
pub const MOST_IN_VAIN: u32 = 10;
/// The waits between these tries. Each try may waste a lot of work.
const AFTER_VAIN: Backoff = Backoff { initial: Millis::seconds(1), factor: 4.0, max: Millis::minutes(10), jitter: 0.2 };
/// The waits of a step that could not begin. A new try costs little.
const BEFORE_BEGIN: Backoff =
    Backoff { initial: Millis::seconds(1), factor: 2.0, max: Millis::minutes(1), jitter: 0.2 };

/// What the store does with the step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    Complete,
    /// To ERROR, due at this time. Counts as a crash if the outcome was a crash, otherwise as a failure.
    RetryAt(Timestamp),
    /// To FAILED; its dependents are cancelled with the reason.
    Fail {
        reason: String,
    },
    /// To PENDING; the attempt is given back.
    Release {
        reason: String,
    },
    /// To PENDING, due at this time; the attempt is given back.
    PutOff {
        due: Timestamp,
        reason: String,
    },
    Cancel,
    /// To FAILED, because its child process crashed too often.
    Quarantine {
        crashes: u32,
        reason: String,
    },
}

/// Decides what happens to a step after an attempt. `chance` in 0..1 spreads the wait.
///
/// Crashes are counted apart from failures and use up no retry. An interrupted attempt is not the step's fault and
/// counts as neither.
pub fn after_attempt(outcome: &Outcome, counts: Counts, policy: &RetryPolicy, now: Timestamp, chance: f64) -> Verdict {
    match outcome {
        Outcome::Succeeded => Verdict::Complete,
        Outcome::Cancelled => Verdict::Cancel,
        Outcome::Interrupted { reason } => Verdict::Release { reason: reason.clone() },
        Outcome::NoRoom { reason, in_vain } => after_shortage(reason, *in_vain, counts, now, chance),
        Outcome::Crashed { .. } => after_crash(outcome, counts, policy, now, chance),
        Outcome::Failed { retryable: false, message, .. } => Verdict::Fail { reason: message.clone() },
        Outcome::Failed { .. } | Outcome::TimedOut { .. } | Outcome::ResourceLimit { .. } => {
            if counts.failures < policy.retries {
                return Verdict::RetryAt(now + wait(counts.failures.saturating_add(1), &policy.backoff, chance));
            }
            Verdict::Fail { reason: last_failure(outcome, counts) }
        }
    }
}

fn after_crash(outcome: &Outcome, counts: Counts, policy: &RetryPolicy, now: Timestamp, chance: f64) -> Verdict {
    let crashes = counts.crashes.saturating_add(1);
    if crashes < policy.max_crashes {
        return Verdict::RetryAt(now + wait(crashes, &policy.backoff, chance));
    }
    let times = if crashes == 1 { "once".to_string() } else { format!("{crashes} times") };
    let last = outcome.to_string();
    let last = last.strip_prefix("crashed: ").unwrap_or(&last);
    Verdict::Quarantine { crashes, reason: format!("quarantined: crashed {times} (last: {last})") }
}

/// A shortage is not the step's fault. Only lost work is limited, because its output may never fit.
fn after_shortage(reason: &str, in_vain: bool, counts: Counts, now: Timestamp, chance: f64) -> Verdict {
    if !in_vain {
        return Verdict::PutOff { due: next_look(counts.put_off, now, chance), reason: reason.to_string() };
    }
    let vain = counts.in_vain.saturating_add(1);
    if vain >= MOST_IN_VAIN {
        return Verdict::Fail { reason: format!("no room for its output after {vain} tries: {reason}") };
    }
    let reason = format!("{reason} (try {vain} of {MOST_IN_VAIN})");
    Verdict::PutOff { due: now + wait(vain, &AFTER_VAIN, chance), reason }
}

/// When a step that could not begin because of a shortage tries again, after `before` such tries.
pub fn next_look(before: u32, now: Timestamp, chance: f64) -> Timestamp {
    now + wait(before.saturating_add(1), &BEFORE_BEGIN, chance)
}

/// The delay before the next try after a shortage: 0.1 s, doubling with each try, at most 3 s.
pub fn pause_after(tries: u32) -> Millis {
    Millis((100u64 << tries.min(5)).min(3_000))
}

/// When a step that was given back before it began tries again. The longer it has been due, the longer the delay.
pub fn after_release(due: Timestamp, now: Timestamp) -> Timestamp {
    let waited = now.since(due).0;
    now + pause_after(64 - (waited / 100).leading_zeros())
}

/// How long an interrupted step waits before it tries again. `requested` is the wait that the step itself requested.
/// `None`: another worker takes it immediately, because its own worker stops. Without a wait, a step that could not
/// start because of a shortage would try a thousand times a second.
pub fn after_interruption(requested: Option<Millis>, stops: bool) -> Option<Millis> {
    const SOON: Millis = Millis::seconds(1);
    requested.or((!stops).then_some(SOON))
}

fn last_failure(outcome: &Outcome, counts: Counts) -> String {
    match counts.failures {
        0 => outcome.to_string(),
        before => format!("{outcome} (failed {} times)", before.saturating_add(1)),
    }
}

/// The wait before retry `attempt` (from 1): at most `backoff.max`, for any input.
///
/// The spread is subtracted from the cap first, so that waits at the cap are also spread.
pub fn wait(attempt: u32, backoff: &Backoff, chance: f64) -> Millis {
    let jitter = if backoff.jitter.is_finite() { backoff.jitter.clamp(0.0, 1.0) } else { 0.0 };
    let factor = if backoff.factor.is_finite() { backoff.factor.max(1.0) } else { 1.0 };
    let chance = if chance.is_finite() { chance.clamp(0.0, 1.0) } else { 0.5 };
    let exponent = attempt.saturating_sub(1).min(i32::MAX as u32) as i32;
    let grown = backoff.initial.0 as f64 * factor.powi(exponent);
    let base = grown.min(backoff.max.0 as f64 / (1.0 + jitter));
    let spread = base * (1.0 + jitter * (2.0 * chance - 1.0));
    Millis((spread.round() as u64).min(backoff.max.0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::ResourceLimit;
    use proptest::prelude::*;

    const NOW: Timestamp = Timestamp(1_000_000);

    fn policy(retries: u32) -> RetryPolicy {
        let backoff = Backoff { initial: Millis(100), factor: 2.0, max: Millis(1000), jitter: 0.0 };
        RetryPolicy { retries, backoff, max_crashes: 3 }
    }

    fn counts(failures: u32, crashes: u32) -> Counts {
        Counts { attempts: failures + crashes + 1, failures, crashes, ..Counts::default() }
    }

    fn crash() -> Outcome {
        Outcome::Crashed { signal: Some(11), message: "killed by SIGSEGV".into() }
    }

    #[test]
    fn each_outcome_has_its_verdict() {
        let fail = |reason: &str| Verdict::Fail { reason: reason.into() };
        let at = |wait: i64| Verdict::RetryAt(Timestamp(NOW.0 + wait));
        let timed_out = Outcome::TimedOut { after: Millis::seconds(5) };
        let limit = Outcome::ResourceLimit { limit: ResourceLimit::Memory, message: "too much memory".into() };
        let released = Verdict::Release { reason: "shutdown".into() };
        let table = [
            (Outcome::Succeeded, counts(9, 9), 0, Verdict::Complete),
            (Outcome::Cancelled, counts(0, 0), 3, Verdict::Cancel),
            (Outcome::Interrupted { reason: "shutdown".into() }, counts(9, 9), 0, released),
            (Outcome::permanent("exit", "bad input"), counts(0, 0), 3, fail("bad input")),
            (Outcome::retryable("exit", "exit 1"), counts(0, 0), 0, fail("exit 1")),
            (Outcome::retryable("exit", "exit 1"), counts(0, 0), 3, at(100)),
            (Outcome::retryable("exit", "exit 1"), counts(2, 0), 3, at(400)),
            (Outcome::retryable("exit", "exit 1"), counts(3, 0), 3, fail("exit 1 (failed 4 times)")),
            (Outcome::retryable("exit", "exit 1"), counts(0, 2), 1, at(100)),
            (timed_out.clone(), counts(1, 0), 2, at(200)),
            (timed_out, counts(0, 0), 0, fail("timed out after 5s")),
            (limit.clone(), counts(0, 0), 1, at(100)),
            (limit, counts(1, 0), 1, fail("too much memory (failed 2 times)")),
            (crash(), counts(5, 0), 0, at(100)),
            (crash(), counts(0, 1), 0, at(200)),
        ];
        for (outcome, counts, retries, verdict) in table {
            assert_eq!(after_attempt(&outcome, counts, &policy(retries), NOW, 0.5), verdict, "{outcome:?} {counts:?}");
        }
    }

    #[test]
    fn the_third_crash_quarantines() {
        let Verdict::Quarantine { crashes, reason } = after_attempt(&crash(), counts(0, 2), &policy(9), NOW, 0.5)
        else {
            panic!("not quarantined")
        };
        assert_eq!(crashes, 3);
        assert_eq!(reason, "quarantined: crashed 3 times (last: killed by SIGSEGV)");
    }

    #[test]
    fn a_step_without_room_waits_longer_each_time_and_only_work_in_vain_has_an_end() {
        let after = |in_vain, put_off, vain| {
            let outcome = Outcome::NoRoom { reason: "needs 9 bytes".into(), in_vain };
            let counts = Counts { put_off, in_vain: vain, ..Counts::default() };
            match after_attempt(&outcome, counts, &policy(0), NOW, 0.5) {
                Verdict::PutOff { due, reason } => (due.since(NOW).0, reason),
                Verdict::Fail { reason } => (0, reason),
                other => panic!("{other:?}"),
            }
        };
        let in_vain: Vec<u64> = (0..9).map(|it| after(true, it, it).0 / 1000).collect();
        assert_eq!(in_vain[..5], [1, 4, 16, 64, 256]);
        assert!(in_vain[5..].iter().all(|it| (500..=600).contains(it)), "{in_vain:?}");
        assert_eq!(after(true, 1, 1).1, "needs 9 bytes (try 2 of 10)");
        assert_eq!(after(true, 9, 9), (0, "no room for its output after 10 tries: needs 9 bytes".to_string()));
        assert_eq!(after(true, 1000, 3).1, "needs 9 bytes (try 4 of 10)", "only what ran counts");
        let waits = [0, 1, 5, 1000].map(|it| after(false, it, 0));
        assert_eq!(waits.clone().map(|it| it.0 / 1000), [1, 2, 32, 50]);
        assert!(waits.iter().all(|it| it.1 == "needs 9 bytes"));
    }

    #[test]
    fn pauses_grow_from_a_tenth_of_a_second_to_three_seconds() {
        let pauses: Vec<u64> = (0..7).map(|tries| pause_after(tries).0).collect();
        assert_eq!(pauses, [100, 200, 400, 800, 1600, 3000, 3000]);
        assert_eq!(pause_after(u32::MAX), Millis(3000));
    }

    #[test]
    fn a_step_that_was_given_back_waits_longer_the_longer_it_has_waited() {
        for (waited, pause) in
            [(0, 100), (99, 100), (100, 200), (200, 400), (1_600, 3_000), (86_400_000, 3_000), (-50, 100)]
        {
            let due = Timestamp(NOW.0 - waited);
            assert_eq!(after_release(due, NOW), NOW + Millis(pause), "waited {waited}");
        }
    }

    #[test]
    fn an_interrupted_step_goes_to_others_at_once_only_when_its_worker_stops() {
        let requested = Some(Millis(7));
        let table = [
            (None, true, None),
            (None, false, Some(Millis(1_000))),
            (requested, true, requested),
            (requested, false, requested),
        ];
        for (requested, stops, wait) in table {
            assert_eq!(after_interruption(requested, stops), wait, "{requested:?} {stops}");
        }
    }

    #[test]
    fn the_wait_doubles_up_to_its_cap() {
        let backoff = policy(0).backoff;
        let waits: Vec<u64> = (1..=6).map(|attempt| wait(attempt, &backoff, 0.5).0).collect();
        assert_eq!(waits, [100, 200, 400, 800, 1000, 1000]);
    }

    #[test]
    fn waits_at_the_cap_are_still_spread() {
        let backoff = Backoff { jitter: 0.2, ..policy(0).backoff };
        assert_eq!((wait(20, &backoff, 0.0).0, wait(20, &backoff, 1.0).0), (667, 1000));
    }

    proptest! {
        #[test]
        fn a_wait_keeps_within_its_spread_and_cap(
            attempt in 0u32.., initial in 0u64..1 << 40, factor in -1.0f64..10.0, max in 0u64..1 << 40,
            jitter in -1.0f64..2.0, chance in 0.0f64..1.0,
        ) {
            let backoff = Backoff { initial: Millis(initial), factor, max: Millis(max), jitter };
            let waited = wait(attempt, &backoff, chance).0;
            prop_assert!(waited <= max);
            let least = (initial.min(max) as f64 * (1.0 - jitter.clamp(0.0, 1.0)) / 2.0) as u64;
            prop_assert!(waited + 1 >= least, "{} < {}", waited, least);
        }

        #[test]
        fn a_later_retry_never_waits_less(attempt in 1u32..100, chance in 0.0f64..1.0) {
            let backoff = Backoff::default();
            prop_assert!(wait(attempt, &backoff, chance) <= wait(attempt + 1, &backoff, chance));
        }
    }
}
