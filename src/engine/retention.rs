//! Automatic retention: a long-lived worker checks once an hour whether something is due.
//!
//! A check writes nothing. It is skipped in the first minutes of a process, and trusts the wall clock only while it
//! keeps pace with the monotonic clock: a clock that jumped a year ahead must not remove groups that ended yesterday.

use super::{error::Error, prune::Prune, state::WorkerState};
use crate::{
    model::{Millis, Monotonic, Timestamp},
    os::Clock,
    store,
};
use std::sync::Arc;

/// How far the two clocks may drift apart between two checks.
const DRIFT: i64 = 10 * 60_000;

/// Both clocks at one moment.
#[derive(Debug, Clone, Copy)]
struct Moment {
    wall: Timestamp,
    monotonic: Monotonic,
}

impl Moment {
    fn now(clock: &dyn Clock) -> Moment {
        Moment { wall: clock.wall(), monotonic: clock.monotonic() }
    }

    /// Whether the wall clock has not jumped ahead since. A suspended machine looks the same, so the next check
    /// decides.
    fn is_steady_since(&self, earlier: &Moment) -> bool {
        let wall = self.wall.0 - earlier.wall.0;
        let monotonic = self.monotonic.0 - earlier.monotonic.0;
        wall - monotonic <= DRIFT
    }
}

pub(super) fn run(state: &Arc<WorkerState>) {
    let options = &state.engine.options;
    let mut seen = Moment::now(&**state.engine.store.clock());
    let mut pause = options.prune_every.0.min(Millis::minutes(5).0);
    while !state.is_draining() {
        let heard = state.retention_notify.heard();
        if state.is_draining() || state.retention_notify.wait_for(heard, Millis(pause).duration()) {
            continue;
        }
        pause = options.prune_every.0;
        let now = Moment::now(&**state.engine.store.clock());
        if now.is_steady_since(&seen) {
            look(state, Timestamp(now.wall.0.saturating_sub_unsigned(options.keep.0)));
        }
        seen = now;
    }
}

fn look(state: &WorkerState, before: Timestamp) {
    let engine = &state.engine;
    let go_on = || !state.is_draining();
    let pruned = engine.is_prune_due(before).and_then(|due| match due {
        true => engine.prune(&Prune::before(before), &go_on).map(Some),
        false => Ok(None),
    });
    match pruned {
        Ok(None) => {}
        Ok(Some(pruned)) => {
            let (groups, steps, files) = (pruned.groups, pruned.removed.steps, pruned.files);
            tracing::info!(groups, steps, files, "pruned old groups");
        }
        // The next check tries again. Consumers detect a database that can't be used.
        Err(Error::Store(store::Error::Closed)) => {}
        Err(error) => tracing::warn!(%error, "failed to prune"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wall_clock_that_jumped_ahead_is_not_trusted() {
        let at = |wall, monotonic| Moment { wall: Timestamp(wall), monotonic: Monotonic(monotonic) };
        let hour = 3_600_000;
        assert!(at(hour, hour).is_steady_since(&at(0, 0)));
        assert!(at(-hour, hour).is_steady_since(&at(0, 0)), "set back");
        assert!(!at(365 * 24 * hour, hour).is_steady_since(&at(0, 0)));
    }
}
