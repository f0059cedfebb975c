//! When a worker process is replaced.

use crate::model::{Bytes, Health, Millis, WorkerLimits};
use serde::{Serialize, Serializer};
use std::fmt;

/// A memory or descriptor reading counts only after this many units, or after a minimum age: start-up is not a leak.
const SETTLED_UNITS: u64 = 5;
const SETTLED_AGE: Millis = Millis::seconds(30);
/// If this many fresh workers in a row reach the limit after their first unit, the limit is below what every worker
/// needs.
const BASELINE_WITNESSES: u32 = 3;

/// Why a worker is replaced. Its text is for people and is also used in JSON: `memory 1.2 GiB >= 1 GiB`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RecycleReason {
    Memory { reading: Bytes, limit: Bytes },
    OpenFiles { reading: u64, limit: u64 },
    Age { reading: Millis, limit: Millis },
}

impl RecycleReason {
    /// A word for counters, and for callers who may not see the details.
    pub fn signal(&self) -> &'static str {
        match self {
            RecycleReason::Memory { .. } => "memory",
            RecycleReason::OpenFiles { .. } => "open_files",
            RecycleReason::Age { .. } => "age",
        }
    }
}

impl RecycleReason {
    /// Whether the reading exceeds its limit by half or more, so that the worker must stop even while another is being
    /// replaced. Age is never urgent.
    pub fn is_urgent(&self) -> bool {
        match self {
            RecycleReason::Memory { reading, limit } => reading.0 / 3 >= limit.0 / 2,
            RecycleReason::OpenFiles { reading, limit } => reading / 3 >= limit / 2,
            RecycleReason::Age { .. } => false,
        }
    }
}

impl fmt::Display for RecycleReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RecycleReason::Memory { reading, limit } => write!(f, "memory {reading} >= {limit}"),
            RecycleReason::OpenFiles { reading, limit } => write!(f, "open files {reading} >= {limit}"),
            RecycleReason::Age { reading, limit } => write!(f, "age {reading} >= {limit}"),
        }
    }
}

impl Serialize for RecycleReason {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// The strongest reason to replace a worker, by a reading taken after its unit was finished.
///
/// Memory comes before open files, and open files before age. A limit applies only if a reading exists, and is reached
/// when the reading equals it.
pub fn recycle(health: &Health, age: Millis, limits: &WorkerLimits) -> Option<RecycleReason> {
    let memory = health.rss_bytes.map(Bytes).zip(limits.rss).filter(|(reading, limit)| reading >= limit);
    if let Some((reading, limit)) = memory {
        return Some(RecycleReason::Memory { reading, limit });
    }
    let files = health.open_fds.zip(limits.fds).filter(|(reading, limit)| reading >= limit);
    if let Some((reading, limit)) = files {
        return Some(RecycleReason::OpenFiles { reading, limit });
    }
    let limit = limits.age.filter(|limit| age >= *limit)?;
    Some(RecycleReason::Age { reading: age, limit })
}

/// The limits that apply to a worker of this `age` that has served `units`. A young worker is not judged by memory or
/// descriptors.
pub fn limits_that_count(limits: &WorkerLimits, units: u64, age: Millis) -> WorkerLimits {
    if units >= SETTLED_UNITS || age >= SETTLED_AGE {
        return *limits;
    }
    WorkerLimits { rss: None, fds: None, age: limits.age }
}

/// An age limit for one worker of a pool, up to 20 % above or below `limit`, so that the workers don't all end
/// together. `chance` is in 0..1.
pub fn jittered_age(limit: Millis, chance: f64) -> Millis {
    Millis((limit.0 as f64 * (0.8 + 0.4 * chance.clamp(0.0, 1.0))).round() as u64)
}

/// Counts fresh workers that read at or above a limit after their very first unit, for one signal of one pool.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Baseline {
    high_in_a_row: u32,
}

impl Baseline {
    /// Records the first reading of a fresh worker. Returns true if the limit is below what every worker needs; the
    /// caller should then suspend it, with a warning. A missing reading has no effect.
    pub fn first_reading(&mut self, reading: Option<u64>, limit: Option<u64>) -> bool {
        match reading.zip(limit) {
            Some((reading, limit)) if reading >= limit => self.high_in_a_row += 1,
            Some(_) => self.high_in_a_row = 0,
            None => (),
        }
        self.high_in_a_row >= BASELINE_WITNESSES
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: WorkerLimits =
        WorkerLimits { rss: Some(Bytes(1000)), fds: Some(200), age: Some(Millis::minutes(10)) };

    fn health(rss_bytes: Option<u64>, open_fds: Option<u64>) -> Health {
        Health { rss_bytes, open_fds }
    }

    #[test]
    fn the_strongest_signal_at_its_limit_trips() {
        let (young, old) = (Millis(1), Millis::minutes(10));
        let table = [
            (health(Some(999), Some(199)), young, None),
            (health(Some(1000), Some(199)), young, Some("memory 1000 B >= 1000 B")), // exactly at the limit
            (health(Some(999), Some(200)), young, Some("open files 200 >= 200")),
            (health(Some(999), Some(199)), old, Some("age 10m >= 10m")),
            (health(Some(2000), Some(300)), old, Some("memory 2.0 KiB >= 1000 B")), // memory wins
            (health(Some(1), Some(300)), old, Some("open files 300 >= 200")),       // then open files
            (health(None, None), young, None),                                      // a missing reading never trips
            (health(None, Some(300)), young, Some("open files 300 >= 200")),
        ];
        for (health, age, expected) in table {
            let reason = recycle(&health, age, &LIMITS).map(|it| it.to_string());
            assert_eq!(reason.as_deref(), expected, "{health:?} {age}");
        }
    }

    #[test]
    fn a_limit_of_none_opts_out() {
        let huge = health(Some(u64::MAX), Some(u64::MAX));
        assert_eq!(recycle(&huge, Millis(u64::MAX), &WorkerLimits::unlimited()), None);
        let memory_only = WorkerLimits { rss: Some(Bytes(1)), ..WorkerLimits::unlimited() };
        assert_eq!(recycle(&huge, Millis(0), &memory_only).unwrap().signal(), "memory");
    }

    #[test]
    fn a_reason_prints_for_people() {
        let reason = RecycleReason::Memory { reading: Bytes(1288490189), limit: Bytes(1 << 30) };
        assert_eq!(reason.to_string(), "memory 1.2 GiB >= 1 GiB");
    }

    #[test]
    fn only_what_is_half_beyond_its_limit_is_urgent() {
        let memory = |reading| RecycleReason::Memory { reading: Bytes(reading), limit: Bytes(1000) };
        assert_eq!([1000, 1499, 1500, 9000].map(|it| memory(it).is_urgent()), [false, false, true, true]);
        assert!(RecycleReason::OpenFiles { reading: 300, limit: 200 }.is_urgent());
        assert!(!RecycleReason::OpenFiles { reading: 299, limit: 200 }.is_urgent());
        assert!(!RecycleReason::Age { reading: Millis(9), limit: Millis(1) }.is_urgent());
    }

    #[test]
    fn a_young_worker_is_judged_by_age_alone() {
        let table = [(0, Millis(0), false), (4, Millis(29_999), false), (5, Millis(0), true), (0, SETTLED_AGE, true)];
        for (units, age, all) in table {
            let counts = limits_that_count(&LIMITS, units, age);
            assert_eq!(counts == LIMITS, all, "{units} units, {age}");
            assert_eq!(counts.age, LIMITS.age);
        }
    }

    #[test]
    fn age_limits_spread_by_a_fifth_to_either_side() {
        for (chance, age) in [(0.0, 80), (0.5, 100), (1.0, 120), (7.0, 120)] {
            assert_eq!(jittered_age(Millis(100), chance), Millis(age));
        }
    }

    #[test]
    fn three_fresh_workers_in_a_row_at_the_limit_suspend_the_signal() {
        let mut baseline = Baseline::default();
        let readings = [(Some(10), false), (Some(11), false), (Some(9), false), (Some(10), false), (None, false)];
        for (reading, suspended) in readings.into_iter().chain([(Some(99), false), (Some(10), true)]) {
            assert_eq!(baseline.first_reading(reading, Some(10)), suspended, "{reading:?}");
        }
        assert!(!Baseline::default().first_reading(Some(99), None));
    }
}
