//! How a step ends that waits for runs of its own.

use super::wait::End;
use crate::model::{GroupId, Outcome, Tolerate};
use serde_json::{Value, json};

/// How the runs of a group ended.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    pub count: u64,
    pub failed: u64,
    pub cancelled: u64,
    /// Runs whose steps were all skipped.
    pub skipped: u64,
    /// The steps in `collect`, which follow all runs, failed or were cancelled.
    pub not_collected: bool,
}

impl Counts {
    /// Runs that completed and ran at least one step.
    pub fn completed(&self) -> u64 {
        self.count.saturating_sub(self.failed + self.cancelled + self.skipped)
    }

    /// The value of the step.
    pub fn value(&self) -> Value {
        json!({
            "count": self.count, "completed": self.completed(), "failed": self.failed, "skipped": self.skipped,
            "cancelled": self.cancelled,
        })
    }
}

/// How the step ends when its group ends. A cancelled run counts as a failed one.
pub fn verdict(group: GroupId, counts: &Counts, tolerate: Tolerate) -> End {
    if counts.not_collected {
        return End::Fail(Outcome::permanent(
            "children",
            format!("the steps in `collect` did not complete in {group}"),
        ));
    }
    let (lost, most) = (counts.failed + counts.cancelled, tolerate.of(counts.count));
    if lost <= most {
        return End::Complete(Some(counts.value()));
    }
    let how = match (counts.failed, counts.cancelled) {
        (failed, 0) => format!("{failed} of {} failed", runs(counts.count)),
        (0, cancelled) => format!("{cancelled} of {} were cancelled", runs(counts.count)),
        (failed, cancelled) => format!("{failed} of {} failed and {cancelled} were cancelled", runs(counts.count)),
    };
    let tolerated = if most > 0 { format!(", and `tolerate` allows {most}") } else { String::new() };
    End::Fail(Outcome::permanent("children", format!("{how} in {group}{tolerated}")))
}

fn runs(count: u64) -> String {
    if count == 1 { "1 run".to_string() } else { format!("{count} runs") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_completes_while_no_more_of_its_runs_are_lost_than_it_tolerates() {
        let percent = Tolerate::Percent;
        let count = Tolerate::Count;
        let table = [
            ((0, 0, 0), count(0), None),
            ((3, 0, 0), count(0), None),
            ((3, 1, 0), count(0), Some("1 of 3 runs failed in g7")),
            ((1, 1, 0), count(0), Some("1 of 1 run failed in g7")),
            ((3, 0, 2), count(0), Some("2 of 3 runs were cancelled in g7")),
            ((9, 2, 1), count(2), Some("2 of 9 runs failed and 1 were cancelled in g7, and `tolerate` allows 2")),
            ((9, 2, 1), count(3), None),
            ((100, 5, 0), percent(5), None),
            ((100, 6, 0), percent(5), Some("6 of 100 runs failed in g7, and `tolerate` allows 5")),
            ((19, 1, 0), percent(5), Some("1 of 19 runs failed in g7")),
            ((2, 2, 0), percent(100), None),
        ];
        for ((all, failed, cancelled), tolerate, said) in table {
            let counts = Counts { count: all, failed, cancelled, ..Counts::default() };
            match (verdict(GroupId(7), &counts, tolerate), said) {
                (End::Complete(Some(value)), None) => assert_eq!(value, counts.value()),
                (End::Fail(outcome), Some(said)) => assert_eq!(outcome.to_string(), said),
                (end, said) => panic!("{counts:?} {tolerate}: {end:?}, not {said:?}"),
            }
        }
        let lost = Counts { count: 3, not_collected: true, ..Counts::default() };
        assert!(
            matches!(verdict(GroupId(7), &lost, percent(100)), End::Fail(_)),
            "no share of the runs makes up for it"
        );
    }

    #[test]
    fn the_parts_of_the_value_make_up_its_count() {
        let counts = Counts { count: 10, failed: 1, cancelled: 2, skipped: 3, not_collected: false };
        let value = counts.value();
        let part = |name: &str| value[name].as_u64().unwrap();
        assert_eq!(part("completed"), 4);
        assert_eq!(part("completed") + part("failed") + part("skipped") + part("cancelled"), part("count"));
    }
}
