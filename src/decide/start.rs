//! How long to wait before a worker process is started again after failed starts.

use crate::model::Millis;

/// After this many failed starts in a row, steps that wait for a worker fail with the message of the last start.
pub const MOST_FAILED: u32 = 5;

/// Whether so many starts in a row have failed that waiting steps fail.
pub fn is_in_trouble(failures: u32) -> bool {
    failures >= MOST_FAILED
}

/// The wait after this many failed starts in a row: `first`, doubled each time, at most `most`. Once in trouble, always
/// `most`.
pub fn wait_after(failures: u32, first: Millis, most: Millis) -> Millis {
    match failures {
        0 => Millis(0),
        failures if is_in_trouble(failures) => most,
        failures => Millis(first.0.saturating_mul(1 << (failures - 1)).min(most.0)),
    }
}

/// When a step asks again for a process that has been starting for this long: after half that time, within limits.
pub fn look_again(so_far: Millis) -> Millis {
    Millis((so_far.0 / 2).clamp(200, 1_000))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn starts_wait_twice_as_long_each_time_and_as_long_as_can_be_in_trouble() {
        let waits: Vec<u64> = (0..7).map(|failures| wait_after(failures, Millis(100), Millis(30_000)).0).collect();
        assert_eq!(waits, [0, 100, 200, 400, 800, 30_000, 30_000]);
        assert_eq!(wait_after(4, Millis(10_000), Millis(30_000)), Millis(30_000), "never more than the most");
        assert_eq!(wait_after(u32::MAX, Millis(100), Millis(30_000)), Millis(30_000));
        assert_eq!([0, 1_000, 60_000].map(|it| look_again(Millis(it)).0), [200, 500, 1_000]);
        assert_eq!([4, 5].map(is_in_trouble), [false, true]);
    }
}
