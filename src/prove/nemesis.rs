//! The schedule of faults, derived from the seed alone.

use super::{chance::Chance, home::SILENT_AFTER, role::Role, trace::Mine};
use crate::{failpoint::Window, model::Bytes};
use std::time::Duration;

const DAY: i64 = 86_400_000;

/// One action of the nemesis. `of` selects a running process, modulo their number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Act {
    Kill {
        role: Role,
        of: u64,
    },
    /// Kills every worker at the same moment, so that none is left to reap.
    KillAllWorkers,
    Stop {
        role: Role,
        of: u64,
        time: Duration,
    },
    /// Shifts the wall clock by this many milliseconds for a while, then leaves it ahead by `after`.
    Shift {
        by: i64,
        after: i64,
    },
    /// Leaves only this much space on the disk for a while.
    Fill {
        time: Duration,
        left: Bytes,
    },
}

#[derive(Debug)]
pub struct Nemesis {
    chance: Chance,
    /// How far the wall clock is ahead. It only increases, so that everything due stays due.
    ahead: i64,
    /// Whether the disk may be filled.
    fills: bool,
}

impl Nemesis {
    pub fn new(seed: u64, fills: bool) -> Nemesis {
        Nemesis { chance: Chance::new(seed, if fills { 4 } else { 3 }), ahead: 0, fills }
    }

    /// The next action, and how long to wait before it.
    pub fn next(&mut self) -> (Duration, Act) {
        let chance = &mut self.chance;
        // Occasionally a calm period, in which a worker gets older than a second.
        let gap = if chance.percent(6) { chance.between(800, 2_500) } else { chance.between(30, 330) };
        let gap = Duration::from_millis(gap);
        if self.fills && chance.percent(25) {
            // Some fills last longer than it takes until a worker counts as silent.
            let longest = if chance.percent(15) { 6_000 } else { 1_500 };
            let left = *chance.pick(&[0, 0, 4 << 10, 64 << 10, 700 << 10, 1_500 << 10]);
            let time = Duration::from_millis(chance.between(200, longest));
            return (gap, Act::Fill { time, left: Bytes(left) });
        }
        let role = if chance.percent(75) { Role::Worker } else { Role::Client };
        let of = chance.next();
        let act = match chance.between(0, 99) {
            0..60 => Act::Kill { role, of },
            60..64 => Act::KillAllWorkers,
            64..86 => Act::Stop { role, of, time: Duration::from_millis(chance.between(5, 700)) },
            // Slightly longer than it takes to count as silent, so that the worker wakes up while others repeat its
            // steps.
            86..95 => {
                let time = SILENT_AFTER.duration() + Duration::from_millis(chance.between(100, 1_200));
                Act::Stop { role: Role::Worker, of, time }
            }
            _ => {
                let back = chance.percent(50);
                self.ahead += if chance.percent(50) { DAY } else { chance.between(1, 5_000) as i64 };
                let by = if back { -DAY } else { self.ahead };
                Act::Shift { by, after: self.ahead }
            }
        };
        (gap, act)
    }

    /// The mine of a new process, if it gets one. Narrow or rare windows are mined most often.
    pub fn mine(&mut self, role: Role) -> Option<Mine> {
        let chance = &mut self.chance;
        if !chance.percent(if role == Role::Worker { 60 } else { 30 }) {
            return None;
        }
        let (window, most, longest) = match (role, chance.between(0, 99)) {
            (Role::Client, 0..70) => (Window::Submit, 8, 6_000),
            (Role::Client, _) => (Window::Commit, 12, 3_000),
            (_, 0..8) => (Window::Claim, 10, 3_000),
            (_, 8..16) => (Window::Effect, 25, 5_000),
            (_, 16..34) => (Window::Settle, 25, 5_000),
            (_, 34..48) => (Window::Commit, 40, 3_000),
            (_, 48..63) => (Window::GroupEnd, 4, 2_000),
            (_, 63..87) => (Window::Rename, 6, 8_000),
            _ => (Window::Hook, 4, 5_000),
        };
        let after = if chance.percent(30) { 0 } else { chance.between(1, longest) };
        Some(Mine { window, nth: chance.between(1, most) as u32, after: Duration::from_micros(after) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_repeats_its_acts_and_does_all_there_is() {
        let acts = |seed| {
            let mut nemesis = Nemesis::new(seed, seed == 6);
            (0..400).map(|_| nemesis.next()).collect::<Vec<_>>()
        };
        assert_eq!(acts(5), acts(5));
        let all = acts(5);
        let some = |is: fn(&Act) -> bool| all.iter().any(|it| is(&it.1));
        assert!(some(|it| matches!(it, Act::Kill { role: Role::Client, .. })));
        assert!(some(|it| matches!(it, Act::KillAllWorkers)));
        assert!(some(|it| matches!(it, Act::Stop { time, .. } if *time > SILENT_AFTER.duration())));
        assert!(some(|it| matches!(it, Act::Shift { by, .. } if *by < 0)));
        assert!(!some(|it| matches!(it, Act::Fill { .. })), "a disk that may not be filled");
        let filled = acts(6);
        assert!(
            filled
                .iter()
                .any(|it| matches!(it.1, Act::Fill { time, left: Bytes(0) } if time > SILENT_AFTER.duration()))
        );
    }

    #[test]
    fn every_window_is_mined() {
        let mut nemesis = Nemesis::new(1, false);
        let mines: Vec<Mine> =
            (0..400).filter_map(|at| nemesis.mine(if at % 4 == 0 { Role::Client } else { Role::Worker })).collect();
        for window in Window::ALL {
            assert!(mines.iter().any(|it| it.window == window), "{window:?}");
        }
    }
}
