//! Regular work of a worker that takes every step: work that a commit may have made due, and work that was not possible
//! earlier. Runs on one thread, which sleeps until something is committed.

use super::state::WorkerState;
use crate::model::Millis;
use std::sync::Arc;

/// The shortest interval between two rounds.
const PAUSE: Millis = Millis(200);

pub(super) fn run(state: &Arc<WorkerState>) {
    loop {
        let heard = state.chore_notify.heard();
        let ends = state.retention_notify.heard();
        if state.is_draining() {
            return;
        }
        let again = state.engine.kinds.chores().filter_map(|it| it.look(&state.engine)).min();
        if again.is_none() {
            state.chore_notify.wait(heard);
        }
        state.retention_notify.wait_for(ends, again.unwrap_or(PAUSE).duration());
    }
}
