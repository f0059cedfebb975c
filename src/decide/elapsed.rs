//! How long something was running.

use crate::model::{Millis, Timestamp};

/// The total time that these spans cover, in milliseconds. Spans are (start, end) in any order; overlaps count once.
pub fn covered(mut spans: Vec<(Timestamp, Timestamp)>) -> Millis {
    spans.sort_unstable_by_key(|it| it.0.0);
    let (mut total, mut until) = (0i64, i64::MIN);
    for (start, end) in spans {
        let from = start.0.max(until);
        total += (end.0 - from).max(0);
        until = until.max(end.0);
    }
    Millis(total.unsigned_abs())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_that_several_spans_cover_counts_once_and_gaps_do_not_count() {
        let time =
            |spans: &[(i64, i64)]| covered(spans.iter().map(|it| (Timestamp(it.0), Timestamp(it.1))).collect()).0;
        for (spans, covered) in [
            (&[][..], 0),
            (&[(10, 30)], 20),
            (&[(10, 30), (20, 40)], 30),
            (&[(100, 110), (0, 10)], 20),
            (&[(0, 100), (10, 20), (30, 40)], 100),
            // The clock was set back.
            (&[(50, 40)], 0),
            (&[(50, 40), (45, 60)], 15),
        ] {
            assert_eq!(time(spans), covered, "{spans:?}");
        }
    }
}
