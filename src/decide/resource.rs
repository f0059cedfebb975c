//! Counted resources and rates: which capacity applies, which step waits, and when a rate allows the next start.
//!
//! Steps of one type that take the same resources wait in one line. A step takes everything that it needs in the
//! transaction that claims it, and holds nothing while it waits. No step holds one resource while it waits for another,
//! so there is no deadlock. A line that has waited for `fair_after` is overdue, and no later line takes anything that
//! it needs. Lines become overdue in the order in which they began to wait. The first overdue line therefore waits only
//! for running steps, and these end.

use crate::model::{Capacity, CapacitySource, Millis, Monotonic, Rate, Timestamp};

/// How long an overdue line has the first right to freed units. After that, other lines may take them, because perhaps
/// no worker runs the steps of the overdue line.
pub const OFFER: Millis = Millis::seconds(5);

/// The capacity of a resource, from its current declarations and from the capacity in force before. Settings outrank a
/// workflow; a workflow outranks earlier workflows and the machine. Without a declaration, the capacity in force stays;
/// a new resource has one unit.
pub fn capacity(
    settings: Option<i64>,
    workflow: Option<i64>,
    machine: Option<i64>,
    before: Option<Capacity>,
) -> Capacity {
    let of = |units, source| Capacity { units, source };
    match (settings, workflow, before, machine) {
        (Some(units), ..) => of(units, CapacitySource::Settings),
        (None, Some(units), ..) => of(units, CapacitySource::Workflow),
        (None, None, Some(before), _) if before.source == CapacitySource::Workflow => before,
        (None, None, _, Some(units)) => of(units, CapacitySource::Machine),
        (None, None, ..) => of(1, CapacitySource::Default),
    }
}

/// How many held units exceed the capacity. They were held when the capacity was lowered, and count until they are
/// released.
pub fn excess(held: i64, capacity: i64) -> i64 {
    (held - capacity).max(0)
}

/// A waiting line: its number and when it began to wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Waits {
    pub since: i64,
    pub line: i64,
}

/// Whether a line has waited so long that no other line may pass it. A start in the future dates from before the clock
/// was set back.
pub fn is_overdue(waits: Waits, now: Timestamp, fair_after: Millis) -> bool {
    waits.since > now.0 || now.0 - waits.since >= fair_after.0 as i64
}

/// Whether a line must leave a resource to the line that has waited longest for it. `own` is when it began to wait
/// itself, if it waits.
pub fn is_behind(line: i64, own: Option<i64>, first: Option<Waits>, now: Timestamp, fair_after: Millis) -> bool {
    let Some(first) = first.filter(|it| it.line != line && is_overdue(*it, now, fair_after)) else { return false };
    match own.map(|since| Waits { since, line }) {
        Some(own) if is_overdue(own, now, fair_after) => first < own,
        _ => true,
    }
}

/// When a step started, on all clocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Start {
    pub at: Timestamp,
    pub monotonic: Monotonic,
    /// Whether it started in this boot.
    pub this_boot: bool,
}

/// The minimum time since a step started. Within a boot, the monotonic clock decides, because it can't be set. A start
/// in an earlier boot is at least as old as this boot, and as old as the wall clock says.
pub fn age(start: &Start, now: Timestamp, monotonic: Monotonic) -> Millis {
    let age = match start.this_boot {
        true => monotonic.0 - start.monotonic.0,
        false => monotonic.0.max(now.0 - start.at.0),
    };
    Millis(age.max(0) as u64)
}

/// How long to wait until a rate allows the next start; zero means now. `before` is the N-th last start, for a rate of
/// N starts per window, if there were that many. No window of length `per`, wherever it begins, then has more than N
/// starts.
pub fn wait(rate: Rate, before: Option<&Start>, now: Timestamp, monotonic: Monotonic) -> Millis {
    let Some(before) = before else { return Millis(0) };
    Millis(rate.per.0.saturating_sub(age(before, now, monotonic).0))
}

/// What a type of step reserves: the 95th percentile (nearest rank) of the peaks of its last attempts, plus a tenth.
/// `None` without any peaks.
pub fn learned(peaks: &[i64]) -> Option<i64> {
    let mut sorted = peaks.to_vec();
    sorted.sort_unstable();
    let rank = (sorted.len() * 95).div_ceil(100);
    let at = *sorted.get(rank.checked_sub(1)?)?;
    Some(at + at / 10)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const NOW: Timestamp = Timestamp(1_000_000);
    const FAIR: Millis = Millis(30_000);

    #[test]
    fn the_settings_outrank_a_workflow_and_what_nobody_says_stays() {
        let was = |units, source| Some(Capacity { units, source });
        use CapacitySource::{Default, Machine, Settings, Workflow};
        for (settings, workflow, machine, before, units, source) in [
            (Some(2), Some(4), Some(9), None, 2, Settings),
            (None, Some(4), Some(9), None, 4, Workflow),
            (None, Some(4), None, was(8, Workflow), 4, Workflow),
            (None, None, None, was(8, Workflow), 8, Workflow),
            (None, None, Some(9), was(8, Workflow), 8, Workflow),
            (None, None, Some(9), was(8, Machine), 9, Machine),
            (None, None, None, was(8, Settings), 1, Default),
            (None, None, Some(9), None, 9, Machine),
            (None, None, None, None, 1, Default),
        ] {
            let found = capacity(settings, workflow, machine, before);
            assert_eq!(
                (found.units, found.source),
                (units, source),
                "{settings:?} {workflow:?} {machine:?} {before:?}"
            );
        }
        assert_eq!((excess(5, 3), excess(3, 3), excess(0, 3)), (2, 0, 0));
    }

    #[test]
    fn nothing_passes_a_line_that_is_overdue() {
        let first = |since| Some(Waits { since, line: 1 });
        let (old, fresh) = (NOW.0 - 30_000, NOW.0 - 29_999);
        for (line, own, first, behind, why) in [
            (2, None, None, false, "nobody waits"),
            (2, None, first(fresh), false, "not overdue yet"),
            (2, None, first(old), true, "overdue"),
            (1, Some(old), first(old), false, "itself"),
            (2, Some(old), first(old), true, "the lower number was first"),
            (2, Some(old - 1), first(old), false, "it has waited longer"),
            (2, Some(fresh), first(old), true, "it is not overdue"),
            (2, None, first(NOW.0 + 5), true, "the clock was set back"),
        ] {
            assert_eq!(is_behind(line, own, first, NOW, FAIR), behind, "{why}");
        }
    }

    #[test]
    fn the_age_of_a_start_does_not_follow_the_wall_clock() {
        let start = |at: i64, monotonic: i64, this_boot| Start {
            at: Timestamp(at),
            monotonic: Monotonic(monotonic),
            this_boot,
        };
        for (start, age_is, why) in [
            (start(0, 4_000, true), 1_000, "the monotonic clock counts"),
            (start(NOW.0 + 9_000, 4_000, true), 1_000, "set back"),
            (start(NOW.0 - 7_000, 99_000, false), 7_000, "an earlier boot: the wall clock"),
            (start(NOW.0 + 9_000, 99_000, false), 5_000, "set back in between: as old as the boot"),
        ] {
            assert_eq!(age(&start, NOW, Monotonic(5_000)).0, age_is, "{why}");
        }
        let rate = Rate { starts: 2, per: Millis(3_000) };
        assert_eq!(wait(rate, None, NOW, Monotonic(5_000)).0, 0);
        assert_eq!(wait(rate, Some(&start(0, 4_000, true)), NOW, Monotonic(5_000)).0, 2_000);
        assert_eq!(wait(rate, Some(&start(0, 2_000, true)), NOW, Monotonic(5_000)).0, 0);
    }

    #[test]
    fn a_reservation_is_the_95th_percentile_and_a_tenth() {
        assert_eq!(learned(&[]), None);
        assert_eq!(learned(&[100]), Some(110));
        let most: Vec<i64> = (1..=200).collect();
        assert_eq!(learned(&most), Some(190 + 19));
        let mut one_large = vec![100; 199];
        one_large.push(100_000);
        assert_eq!(learned(&one_large), Some(110), "one outlier in 200 does not count");
    }

    proptest! {
        /// At no time does a window of the rate's length have more starts than the rate allows.
        #[test]
        fn no_window_has_more_starts_than_the_rate(starts in 1i64..5, per in 1u64..50, pauses in prop::collection::vec(0i64..20, 1..80)) {
            let rate = Rate { starts, per: Millis(per) };
            let (mut now, mut log): (i64, Vec<i64>) = (0, Vec::new());
            for pause in pauses {
                now += pause;
                let before = log.len().checked_sub(starts as usize).map(|at| Start {
                    at: Timestamp(-now), monotonic: Monotonic(log[at]), this_boot: true,
                });
                if wait(rate, before.as_ref(), Timestamp(0), Monotonic(now)).0 == 0 {
                    log.push(now);
                }
            }
            for (at, begin) in log.iter().enumerate() {
                let within = log[at..].iter().filter(|it| **it < begin + per as i64).count();
                prop_assert!(within as i64 <= starts);
            }
        }
    }
}
