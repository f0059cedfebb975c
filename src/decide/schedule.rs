//! Which instants of a schedule fire now, and which were missed.

use crate::model::{Millis, Timestamp};
use serde::{Deserialize, Serialize};

/// What happens to instants that passed while no process was watching.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum CatchUp {
    /// Nothing: only instants that are on time fire.
    None,
    /// The latest one fires.
    #[default]
    Latest,
    /// All of them fire, the oldest first, at most `MOST`.
    All,
}

/// How late an instant can be and still be on time.
pub const ON_TIME: Millis = Millis(60_000);

/// The most instants that catching up fires.
pub const MOST: usize = 1_000;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rule {
    pub catch_up: CatchUp,
    /// Older instants do not fire. `None`: no limit.
    pub within: Option<Millis>,
}

/// What a schedule does at a given moment.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Firings {
    /// In ascending order.
    pub fire: Vec<Timestamp>,
    /// How many instants do not fire. Counting stops at `MOST` + 1.
    pub missed: usize,
}

/// `due` has the instants since the last firing whose time has come, newest first.
pub fn firings(due: impl IntoIterator<Item = Timestamp>, now: Timestamp, rule: Rule) -> Firings {
    let age = |it: Timestamp| now.0.saturating_sub(it.0);
    let young = |it: Timestamp| rule.within.is_none_or(|within| age(it) <= within.0 as i64);
    let mut found = Firings::default();
    for instant in due.into_iter().take(MOST + 1) {
        let room = match rule.catch_up {
            CatchUp::None => age(instant) <= ON_TIME.0 as i64,
            CatchUp::Latest => found.fire.is_empty(),
            CatchUp::All => found.fire.len() < MOST,
        };
        match room && young(instant) {
            true => found.fire.push(instant),
            false => found.missed += 1,
        }
    }
    found.fire.reverse();
    found
}

/// How much later than its instant a firing happens: at most `jitter`. The delay is always the same for one schedule
/// and instant. It spreads the starts of schedules that share a time.
pub fn delay(name: &str, instant: Timestamp, jitter: Millis) -> Millis {
    // FNV-1a, which is the same in every version and on every machine.
    let bytes = name.bytes().chain(instant.0.to_le_bytes());
    let hash =
        bytes.fold(0xcbf2_9ce4_8422_2325u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
    // The low bits depend too little on the last bytes, so fold in the high bits.
    Millis((hash ^ (hash >> 32)) % (jitter.0 + 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(catch_up: CatchUp, within: Option<u64>) -> Rule {
        Rule { catch_up, within: within.map(Millis) }
    }

    fn times(from: i64, to: i64) -> Vec<Timestamp> {
        (from..=to).rev().map(|it| Timestamp(it * 3_600_000)).collect()
    }

    #[test]
    fn catching_up_does_what_it_says() {
        let now = Timestamp(10 * 3_600_000 + 5_000);
        let hours = |it: Firings| (it.fire.iter().map(|it| it.0 / 3_600_000).collect::<Vec<_>>(), it.missed);
        let table = [
            (rule(CatchUp::None, None), (vec![10], 2)),
            (rule(CatchUp::Latest, None), (vec![10], 2)),
            (rule(CatchUp::All, None), (vec![8, 9, 10], 0)),
            (rule(CatchUp::All, Some(3_700_000)), (vec![9, 10], 1)),
            (rule(CatchUp::Latest, Some(1_000)), (vec![], 3)),
        ];
        for (rule, wanted) in table {
            assert_eq!(hours(firings(times(8, 10), now, rule)), wanted, "{rule:?}");
        }
        let late = Timestamp(now.0 + 120_000);
        assert_eq!(hours(firings(times(8, 10), late, rule(CatchUp::None, None))), (vec![], 3));
        assert_eq!(hours(firings(vec![], now, rule(CatchUp::All, None))), (vec![], 0));
        let many = firings(times(1, 5_000), Timestamp(5_000 * 3_600_000), rule(CatchUp::All, None));
        assert_eq!((many.fire.len(), many.fire[0].0 / 3_600_000, many.missed), (1_000, 4_001, 1));
    }

    #[test]
    fn a_delay_is_within_the_jitter_and_always_the_same() {
        let delays: Vec<u64> =
            (0..200).map(|it| delay("nightly", Timestamp(it * 86_400_000), Millis(300_000)).0).collect();
        assert!(delays.iter().all(|it| *it <= 300_000));
        assert!(delays.iter().any(|it| *it < 60_000) && delays.iter().any(|it| *it > 240_000));
        assert_eq!(delay("a", Timestamp(5), Millis(0)), Millis(0));
        assert_eq!(delay("nightly", Timestamp(0), Millis(300_000)).0, delays[0]);
    }
}
