//! Whether a worker is well, silent or dead.
//!
//! A missed heartbeat proves nothing by itself: on a busy machine a thread can be without a processor for longer than
//! any threshold. Silence therefore counts only for the time in which the heartbeat thread could have run.

use crate::model::{Millis, Monotonic, ThreadLook, ThreadState};

/// What a probe of a worker's liveness lock found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LivenessLock {
    /// The kernel has released the lock, so the process is gone.
    Free,
    Held,
}

/// What the reaper observes of one worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sighting {
    pub liveness_lock: LivenessLock,
    /// Its last heartbeat, on the monotonic clock of this boot. `None` if unknown (from another boot, or unreadable);
    /// then only the liveness lock decides.
    pub heartbeat: Option<Monotonic>,
    /// What its heartbeat thread was doing just before the heartbeat was read. `None` if the system does not report it;
    /// then the heartbeat alone decides.
    pub heart: Option<ThreadLook>,
    pub has_leases: bool,
    /// Set for the worker that the reaper belongs to, which it never judges.
    pub is_own: bool,
}

/// The state of the reaper itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OwnTick {
    pub now: Monotonic,
    /// How much later than planned this tick came.
    pub late: Millis,
    /// A tick later than this means that the machine was suspended or overloaded, so silence proves nothing.
    pub tolerated: Millis,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    Well,
    /// Its liveness lock is free: take its steps, locks and row immediately.
    Dead,
    /// It holds its liveness lock, but its heartbeat has stopped: take its steps. Its late writes fail by token, and
    /// its resource locks stay until their file locks are free.
    Silent,
    /// Silent, but it blocks nothing: leave it alone.
    Dormant,
    /// It looks silent, but the reaper was late itself: send our own heartbeat and look again at the next tick.
    LookAgain,
}

/// Since when a worker could have shown that it is alive and did not. Each observation extends the one before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stillness {
    pub since: Monotonic,
    /// How often its heartbeat thread had been scheduled at the last look.
    turns: Option<u64>,
}

/// How long a worker has been still, from this observation and the one before. `None` if it can't be known.
///
/// A thread that runs, or waits for a processor or a disk, has an excuse. So does a thread that got a processor since
/// the last look: it had been without one. A thread that still waits as it did at the last look could have sent a
/// heartbeat in the meantime. A stopped thread can't send one and has no excuse.
pub fn stillness(before: Option<Stillness>, seen: &Sighting, now: Monotonic) -> Option<Stillness> {
    let beaten = seen.heartbeat?;
    let turns = seen.heart.map(|it| it.turns);
    let still = before.map_or(beaten, |it| it.since.max(beaten));
    let since = match seen.heart.map(|it| it.state) {
        Some(ThreadState::Runs | ThreadState::Stuck) => now,
        None | Some(ThreadState::Stopped) => still,
        Some(ThreadState::Waits) if before.is_some_and(|it| it.turns == turns) => still,
        Some(ThreadState::Waits) => now,
    };
    Some(Stillness { since, turns })
}

/// Judges one worker. A worker that has been still for `silent_after` counts as silent.
///
/// A free liveness lock is the kernel's word and needs no clock, so a late tick delays only the judgement of silence.
pub fn judge(seen: &Sighting, still: Option<Stillness>, own: &OwnTick, silent_after: Millis) -> Verdict {
    if seen.is_own {
        return Verdict::Well;
    }
    match (seen.liveness_lock, still) {
        (LivenessLock::Free, _) => Verdict::Dead,
        (LivenessLock::Held, Some(still)) if own.now.since(still.since) >= silent_after => {
            match (own.late > own.tolerated, seen.has_leases) {
                (true, _) => Verdict::LookAgain,
                (false, true) => Verdict::Silent,
                (false, false) => Verdict::Dormant,
            }
        }
        (LivenessLock::Held, _) => Verdict::Well,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use LivenessLock::{Free, Held};
    use ThreadState::{Runs, Stopped, Stuck, Waits};
    use proptest::prelude::*;

    const SILENT_AFTER: Millis = Millis::seconds(30);
    const NOW: Monotonic = Monotonic(1_000_000);

    fn sighting(liveness_lock: LivenessLock, age: Option<u64>, has_leases: bool) -> Sighting {
        let heartbeat = age.map(|it| Monotonic(NOW.0 - it as i64));
        Sighting { liveness_lock, heartbeat, heart: None, has_leases, is_own: false }
    }

    #[test]
    fn workers_are_judged_by_life_line_then_heartbeat() {
        let (fresh, old) = (Some(29_999), Some(SILENT_AFTER.0));
        let (on_time, late) = (Millis(1000), Millis(1001));
        let table = [
            (Held, fresh, true, on_time, Verdict::Well),
            (Held, old, true, on_time, Verdict::Silent),
            (Held, old, false, on_time, Verdict::Dormant),
            (Held, None, true, on_time, Verdict::Well), // no heartbeat known
            (Held, old, true, late, Verdict::LookAgain),
            (Held, old, false, late, Verdict::LookAgain),
            (Held, fresh, true, late, Verdict::Well),
            (Free, fresh, true, on_time, Verdict::Dead),
            (Free, old, false, on_time, Verdict::Dead),
            (Free, None, false, on_time, Verdict::Dead),
            (Free, fresh, true, late, Verdict::Dead), // a free liveness lock needs no clock
        ];
        for (liveness_lock, age, has_leases, late, expected) in table {
            let seen = sighting(liveness_lock, age, has_leases);
            let own = OwnTick { now: NOW, late, tolerated: Millis::seconds(1) };
            let still = stillness(None, &seen, NOW);
            assert_eq!(judge(&seen, still, &own, SILENT_AFTER), expected, "{seen:?} {own:?}");
            assert_eq!(judge(&Sighting { is_own: true, ..seen }, still, &own, SILENT_AFTER), Verdict::Well);
        }
    }

    /// The verdict after several looks, half a second apart, at a worker that holds a lease. Each look has the state of
    /// its heartbeat thread, how often the thread was scheduled, and the time of its last heartbeat in milliseconds
    /// after the first look.
    fn after(looks: &[(ThreadState, u64, i64)], own_late: Millis) -> Verdict {
        let mut still = None;
        let mut verdict = Verdict::Well;
        for (no, (state, turns, beaten)) in looks.iter().enumerate() {
            let now = NOW + Millis(500 * no as u64);
            let seen = Sighting {
                heartbeat: Some(Monotonic(NOW.0 + beaten)),
                heart: Some(ThreadLook { state: *state, turns: *turns }),
                ..sighting(Held, None, true)
            };
            still = stillness(still, &seen, now);
            let own = OwnTick { now, late: own_late, tolerated: Millis::seconds(1) };
            verdict = judge(&seen, still, &own, SILENT_AFTER);
        }
        verdict
    }

    /// The same look, repeated for longer than a worker may be silent.
    fn for_long(look: (ThreadState, u64, i64)) -> Vec<(ThreadState, u64, i64)> {
        vec![look; 2 + SILENT_AFTER.0 as usize / 500]
    }

    #[test]
    fn only_who_could_have_beaten_is_silent() {
        const OLD: i64 = -60_000;
        let judge = |looks: &[(ThreadState, u64, i64)]| after(looks, Millis(0));
        assert_eq!(judge(&[(Stopped, 7, OLD)]), Verdict::Silent, "a stopped one");
        assert_eq!(judge(&for_long((Stopped, 7, 0))), Verdict::Silent);
        assert_eq!(after(&[(Stopped, 7, OLD)], Millis(1001)), Verdict::LookAgain, "but we were late ourselves");
        // Starved: it wants a processor at every look, or got one between two looks.
        assert_eq!(judge(&for_long((Runs, 7, OLD))), Verdict::Well, "it got no processor");
        assert_eq!(judge(&for_long((Stuck, 7, OLD))), Verdict::Well, "it waits for a disk");
        let woken: Vec<_> =
            for_long((Waits, 0, OLD)).iter().enumerate().map(|(no, it)| (it.0, no as u64, OLD)).collect();
        assert_eq!(judge(&woken), Verdict::Well, "it works, and its disk takes no heartbeat");
        // Hung: it waits, and has got no processor since the last look that saw it wait.
        assert_eq!(judge(&[(Waits, 7, OLD)]), Verdict::Well, "one look proves nothing");
        assert_eq!(judge(&for_long((Waits, 7, OLD))), Verdict::Silent, "it hangs");
        // It was starved for a long time before it was stopped. Only the stop counts.
        let starved = for_long((Runs, 7, OLD));
        assert_eq!(judge(&[starved.as_slice(), &[(Stopped, 7, OLD)]].concat()), Verdict::Well);
        assert_eq!(judge(&[starved, for_long((Stopped, 7, OLD))].concat()), Verdict::Silent);
    }

    proptest! {
        /// Whatever happened before, an excuse at one look lasts for as long as a worker may be silent.
        #[test]
        fn an_excuse_holds_until_silence_has_lasted_since(
            before in prop::collection::vec((0usize..4, 0u64..3), 0..80),
            excuse in 0usize..2,
            rest in prop::collection::vec((0usize..4, 0u64..3), 0..59),
        ) {
            let states = [Runs, Stuck, Waits, Stopped];
            let looks: Vec<_> = before.iter().copied().chain([(excuse, 0)]).chain(rest.iter().copied())
                .map(|(state, turns)| (states[state], turns, -600_000))
                .collect();
            prop_assert_ne!(after(&looks, Millis(0)), Verdict::Silent);
        }

        /// A worker that stops at some moment is found, whatever it did before.
        #[test]
        fn a_worker_that_stands_still_is_found(before in prop::collection::vec((0usize..4, 0u64..3), 0..80), stopped: bool) {
            let states = [Runs, Stuck, Waits, Stopped];
            let mut looks: Vec<_> = before.iter().map(|(state, turns)| (states[*state], *turns, -600_000)).collect();
            looks.extend(for_long((if stopped { Stopped } else { Waits }, 9, -600_000)));
            prop_assert_eq!(after(&looks, Millis(0)), Verdict::Silent);
        }
    }
}
