//! What a worker that takes every step does beside its steps: work that a commit may have made due, and work that could not
//! be done at once. One thread; it sleeps until something is committed.

use super::{Engine, worker::Shared};
use crate::model::Millis;
use std::sync::Arc;

/// Between two looks during commits.
const PAUSE: Millis = Millis(200);

/// Work that no step asks for.
pub trait Chore: Send + Sync {
    /// Does what is due and possible now. Returns when to look again; None: after the next commit.
    fn look(&self, engine: &Engine) -> Option<Millis>;
}

pub(super) fn run(shared: &Arc<Shared>) {
    loop {
        let heard = shared.chore_notify.heard();
        let ends = shared.retention_notify.heard();
        if shared.is_draining() {
            return;
        }
        let again = shared.engine.kinds.chores().filter_map(|it| it.look(&shared.engine)).min();
        if again.is_none() {
            shared.chore_notify.wait(heard);
        }
        shared.retention_notify.wait_for(ends, again.unwrap_or(PAUSE).duration());
    }
}
