//! Completes what a dead process left unfinished: groups that were sealed but not opened, that no process will finish
//! building, or whose retry, cancel, resume or signal stopped between two transactions; temporary files and work
//! directories.

use super::{Engine, error::Result, liveness_lock, tag_is_alive, work_dir};
use crate::{
    model::{GroupId, Millis, ProcessIdentity, WorkerId},
    os::{LockState, process_stat},
    store::{self, group},
};
use std::collections::BTreeSet;

/// How often a worker looks for unfinished work of others. A verb that is still running gets this long, too.
pub(super) const INTERVAL: Millis = Millis::seconds(5);
/// How many runs or steps one transaction processes.
const SLICE: usize = 100;

/// Work that can stop between two transactions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Half {
    Opened,
    Built,
    Retried,
    Cancelled,
    Resumed,
    Signalled,
    /// A child group whose pause state must follow that of its parent.
    Inherited,
}

/// The unfinished work that a worker has seen.
#[derive(Debug, Default)]
pub(super) struct Recovery {
    seen: BTreeSet<(Half, GroupId)>,
    /// Completed, but still listed: a cancel ends only when its last step does.
    finished: BTreeSet<(Half, GroupId)>,
}

impl Recovery {
    /// Called when a worker starts. Completes all unfinished work, even if another process is doing so; repeating it is
    /// safe.
    pub(super) fn begin(&mut self, engine: &Engine) -> Result<()> {
        for half in list(engine)? {
            finish(engine, half)?;
            self.finished.insert(half);
        }
        sweep_files(engine)
    }

    /// Completes work that was unfinished at the last look and still is: its process died, or gave up on a full disk.
    pub(super) fn look(&mut self, engine: &Engine) -> Result<()> {
        let found = list(engine)?;
        self.finished.retain(|it| found.contains(it));
        for half in &found {
            if self.seen.contains(half) && !self.finished.contains(half) {
                finish(engine, *half)?;
                self.finished.insert(*half);
            }
        }
        self.seen = found;
        Ok(())
    }
}

fn list(engine: &Engine) -> Result<BTreeSet<(Half, GroupId)>> {
    let (unopened, unsealed, retried, cancelled, resumed, signalled, inherited) = engine.store.read(|tx| {
        Ok((
            group::unopened(tx)?,
            group::unsealed(tx)?,
            store::retry::unfinished(tx)?,
            store::cancel::unfinished(tx)?,
            store::pause::unfinished(tx)?,
            store::answer::unfinished(tx)?,
            store::child_group::half_paused(tx)?,
        ))
    })?;
    let abandoned = |it: &(GroupId, Option<ProcessIdentity>)| {
        it.1.as_ref().is_none_or(|builder| !process_stat::is_alive(builder)) || engine.is_abandoned(it.0)
    };
    let unsealed = unsealed.into_iter().filter(abandoned).map(|it| it.0).collect();
    let kinds = [
        (Half::Opened, unopened),
        (Half::Built, unsealed),
        (Half::Retried, retried),
        (Half::Cancelled, cancelled),
        (Half::Resumed, resumed),
        (Half::Signalled, signalled),
        (Half::Inherited, inherited),
    ];
    Ok(kinds.into_iter().flat_map(|(half, groups)| groups.into_iter().map(move |it| (half, it))).collect())
}

fn finish(engine: &Engine, (half, group): (Half, GroupId)) -> Result<()> {
    match half {
        Half::Opened => engine.open_group(group)?,
        Half::Built => engine.sweep_unsealed(group)?,
        Half::Retried => engine.finish_retry(group)?,
        Half::Cancelled => engine.cancel_slices(group)?,
        Half::Resumed => while engine.store.write(move |tx| store::pause::resume_slice(tx, group, SLICE))? {},
        Half::Signalled => {
            while engine.store.write(move |tx| store::answer::release(tx, group, None, SLICE))? == SLICE {}
        }
        Half::Inherited => engine.inherit_pause(group)?,
    }
    Ok(())
}

fn sweep_files(engine: &Engine) -> Result<()> {
    let alive = |name: &str| {
        let Ok(id) = name.parse::<WorkerId>() else { return true };
        !matches!(liveness_lock::look(&engine.options.home, id), Ok((LockState::Free, _)))
    };
    engine.artifacts.sweep_temporaries(tag_is_alive)?;
    work_dir::sweep(&engine.options.home, alive);
    let registered: Vec<WorkerId> = engine.store.read(store::worker::list)?.iter().map(|it| it.id).collect();
    liveness_lock::sweep(&engine.options.home, &registered, engine.store.now());
    Ok(())
}
