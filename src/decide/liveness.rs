//! Whether a worker is dead, silent or well.

use crate::model::Millis;

/// What a probe of a worker's life line found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LifeLine {
    /// The kernel has taken the lock back: the process is gone.
    Free,
    Held,
}

/// What the reaper sees of one worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sighting {
    pub life_line: LifeLine,
    /// Time since its last heartbeat, on the monotonic clock of this boot. None where it can't be told (another boot, an
    /// unreadable heartbeat): then only the life line decides.
    pub heartbeat_age: Option<Millis>,
    pub has_leases: bool,
    /// The reaper never judges the worker that it belongs to.
    pub is_own: bool,
}

/// How the reaper itself is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OwnTick {
    /// By how much this tick came later than planned.
    pub late: Millis,
    /// A tick later than this says that the machine was suspended or overloaded: silence proves nothing then.
    pub tolerated: Millis,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    Well,
    /// Its life line is free: take its steps, locks and row at once.
    Dead,
    /// It holds its life line but its heart stands still: take its steps. Its late writes lose by token, and its
    /// resource locks wait for their file locks.
    Silent,
    /// Silent, but nothing of it is in the way: leave it alone.
    Dormant,
    /// It looks silent, but so were we: beat the own heart and look again next round.
    LookAgain,
}

/// Judges one worker. `silent_after` is the age of a heartbeat from which on a worker counts as silent.
///
/// A free life line is the kernel's word and needs no clock, so a late tick delays only the judgement of silence.
pub fn judge(seen: &Sighting, own: &OwnTick, silent_after: Millis) -> Verdict {
    if seen.is_own {
        return Verdict::Well;
    }
    match (seen.life_line, seen.heartbeat_age) {
        (LifeLine::Free, _) => Verdict::Dead,
        (LifeLine::Held, Some(age)) if age >= silent_after => match (own.late > own.tolerated, seen.has_leases) {
            (true, _) => Verdict::LookAgain,
            (false, true) => Verdict::Silent,
            (false, false) => Verdict::Dormant,
        },
        (LifeLine::Held, _) => Verdict::Well,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use LifeLine::{Free, Held};

    const SILENT_AFTER: Millis = Millis::seconds(30);

    #[test]
    fn workers_are_judged_by_life_line_then_heartbeat() {
        let (fresh, old) = (Some(Millis(29_999)), Some(SILENT_AFTER));
        let (on_time, late) = (Millis(1000), Millis(1001));
        let table = [
            (Held, fresh, true, on_time, Verdict::Well),
            (Held, old, true, on_time, Verdict::Silent),
            (Held, old, false, on_time, Verdict::Dormant),
            (Held, None, true, on_time, Verdict::Well), // no heartbeat to tell by
            (Held, old, true, late, Verdict::LookAgain),
            (Held, old, false, late, Verdict::LookAgain),
            (Held, fresh, true, late, Verdict::Well),
            (Free, fresh, true, on_time, Verdict::Dead),
            (Free, old, false, on_time, Verdict::Dead),
            (Free, None, false, on_time, Verdict::Dead),
            (Free, fresh, true, late, Verdict::Dead), // a free life line needs no clock
        ];
        for (life_line, heartbeat_age, has_leases, late, expected) in table {
            let seen = Sighting { life_line, heartbeat_age, has_leases, is_own: false };
            let own = OwnTick { late, tolerated: Millis::seconds(1) };
            assert_eq!(judge(&seen, &own, SILENT_AFTER), expected, "{seen:?} {own:?}");
            assert_eq!(judge(&Sighting { is_own: true, ..seen }, &own, SILENT_AFTER), Verdict::Well);
        }
    }
}
