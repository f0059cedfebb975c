//! Retention: removes old groups in slices. After an interruption, the next prune continues.

use super::{
    Engine,
    error::{Error, Result},
};
use crate::{
    artifact,
    model::{DemandId, GroupId, Timestamp},
    store::{
        self, WriteTx, artifact as artifact_row, capacity, document_removal, hook, kept_output,
        prune::{self, Outputs, Prunable, Removed},
        step_cache, vacuum,
    },
};
use serde::Serialize;

/// The most rows that one transaction deletes. The store ends a slice earlier if it takes too long.
const SLICE: usize = 500;
/// How many rows one read examines.
const PAGE: usize = 1_000;
const GROUPS: usize = 100;
/// How many pages one transaction moves, and how many free pages are kept for later writes.
const VACUUM: usize = 200;
const SPARE: i64 = 256;

/// What to prune.
#[derive(Debug, Clone)]
pub struct Prune {
    /// Prune groups, cached results and events up to this time.
    pub before: Timestamp,
    /// Only these groups, whenever they ended. Empty: every group that ended before `before`.
    pub groups: Vec<GroupId>,
    /// Whether to also remove the files of commands and the intermediate results of current documents.
    pub outputs: Outputs,
}

/// The result of a prune.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Pruned {
    pub groups: u64,
    #[serde(flatten)]
    pub removed: Removed,
    /// The number of removed event rows, one per transaction.
    pub events: u64,
    /// Cached results that are no longer used.
    pub cached: u64,
    /// Outputs that were kept after their steps were removed.
    pub outputs: u64,
    /// Artifacts deleted from the disk, and their bytes there.
    pub files: u64,
    pub file_bytes: u64,
    /// The size of the database file before the prune.
    pub bytes_before: i64,
    pub bytes_after: i64,
    /// Whether it was stopped early.
    pub stopped: bool,
    /// Whether another process had locked the artifacts. The next prune then removes their files.
    pub files_locked: bool,
}

impl Prune {
    pub fn before(before: Timestamp) -> Prune {
        Prune { before, groups: Vec::new(), outputs: Outputs::Keep }
    }
}

impl Engine {
    /// Whether anything is due for pruning. Reads one index and writes nothing.
    pub fn is_prune_due(&self, before: Timestamp) -> Result<bool> {
        Ok(self
            .store
            .read(|tx| Ok(!prune::unfinished(tx)?.is_empty() || !prune::ended_before(tx, before, 1)?.is_empty()))?)
    }

    /// The groups that a prune would remove, at most `limit`.
    pub fn prunable(&self, what: &Prune, limit: usize) -> Result<Vec<Prunable>> {
        if what.groups.is_empty() {
            return Ok(self.store.read(|tx| prune::ended_before(tx, what.before, limit))?);
        }
        Ok(self.store.read(|tx| what.groups.iter().map(|id| prune::one(tx, *id)).collect())?)
    }

    /// Prunes until nothing is left or `go_on` returns false. If a named group can't be pruned, fails before removing
    /// anything.
    pub fn prune(&self, what: &Prune, go_on: &dyn Fn() -> bool) -> Result<Pruned> {
        let (pages, _, size) = self.store.read(vacuum::pages)?;
        let mut pruned = Pruned { bytes_before: pages * size, ..Pruned::default() };
        let done = self.prune_rows(what, go_on, &mut pruned)?
            && self.forget_deletions(go_on)?
            && self.forget_demands(go_on)?
            && self.sweep_files(go_on, &mut pruned)?
            && {
                while self.slice(|tx| vacuum::slice(tx, VACUUM, SPARE))? && go_on() {}
                go_on()
            };
        pruned.stopped = !done;
        let (pages, _, size) = self.store.read(vacuum::pages)?;
        pruned.bytes_after = pages * size;
        self.restore_ballast();
        Ok(pruned)
    }

    /// Removes unused demands, and the resources that no demand names.
    fn forget_demands(&self, go_on: &dyn Fn() -> bool) -> Result<bool> {
        let mut after = Some(DemandId(0));
        while let Some(from) = after {
            after = self.slice(move |tx| capacity::sweep(tx, from, SLICE))?;
            if !go_on() {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Removes the records of document deletions that no run needs any more.
    fn forget_deletions(&self, go_on: &dyn Fn() -> bool) -> Result<bool> {
        while self.slice(|tx| Ok(document_removal::forget(tx, SLICE)? == SLICE))? && go_on() {}
        Ok(go_on())
    }

    fn prune_rows(&self, what: &Prune, go_on: &dyn Fn() -> bool, pruned: &mut Pruned) -> Result<bool> {
        for group in self.store.read(prune::unfinished)? {
            if !self.prune_group(group, what.outputs, go_on, pruned)? {
                return Ok(false);
            }
        }
        if what.groups.is_empty() {
            loop {
                let due = self.prunable(what, GROUPS)?;
                let mut taken = 0;
                for group in &due {
                    let id = group.id;
                    taken += usize::from(self.slice(move |tx| prune::begin(tx, id))?);
                    if !self.prune_group(id, what.outputs, go_on, pruned)? {
                        return Ok(false);
                    }
                }
                if taken == 0 {
                    break;
                }
            }
            while go_on() && self.count_events(what.before, pruned)? > 0 {}
        } else {
            for group in self.prunable(what, GROUPS)? {
                let id = group.id;
                self.slice(move |tx| prune::begin(tx, id))?;
                if !self.prune_group(id, what.outputs, go_on, pruned)? {
                    return Ok(false);
                }
            }
        }
        Ok(self.prune_cache(what.before, go_on, pruned)? && self.prune_kept(what, go_on, pruned)?)
    }

    fn count_events(&self, before: Timestamp, pruned: &mut Pruned) -> Result<usize> {
        let gone = self.slice(move |tx| prune::events_slice(tx, before, SLICE))?;
        pruned.events += gone as u64;
        let hooks = self.slice(move |tx| hook::prune_slice(tx, before, SLICE / 10))?;
        pruned.removed.hooks += hooks as u64;
        Ok(gone + hooks)
    }

    fn prune_group(
        &self,
        id: GroupId,
        outputs: Outputs,
        go_on: &dyn Fn() -> bool,
        pruned: &mut Pruned,
    ) -> Result<bool> {
        let mut any = false;
        loop {
            if !go_on() {
                return Ok(false);
            }
            let (more, removed) = self.slice(move |tx| {
                let mut removed = Removed::default();
                let more = prune::slice(tx, id, outputs, SLICE, &mut removed)?;
                Ok((more, removed))
            })?;
            any |= more || removed != Removed::default();
            pruned.removed += removed;
            if !more {
                pruned.groups += u64::from(any);
                return Ok(true);
            }
        }
    }

    /// Removes old cached results that no remaining step uses.
    fn prune_cache(&self, before: Timestamp, go_on: &dyn Fn() -> bool, pruned: &mut Pruned) -> Result<bool> {
        let mut after: Vec<u8> = Vec::new();
        loop {
            if !go_on() {
                return Ok(false);
            }
            let (keys, last) = self.store.read(|tx| step_cache::stale(tx, before, &after, PAGE))?;
            for slice in keys.chunks(SLICE / 4) {
                let slice = slice.to_vec();
                pruned.cached += self.slice(move |tx| step_cache::drop_slice(tx, &slice, before))? as u64;
            }
            match last {
                Some(key) => after = key.to_vec(),
                None => return Ok(true),
            }
        }
    }

    fn prune_kept(&self, what: &Prune, go_on: &dyn Fn() -> bool, pruned: &mut Pruned) -> Result<bool> {
        let removes_all = what.outputs == Outputs::Remove;
        let groups: Vec<Option<GroupId>> = match what.groups.is_empty() || !removes_all {
            true => vec![None],
            false => what.groups.iter().copied().map(Some).collect(),
        };
        for all_of in groups {
            let all_before = (removes_all && what.groups.is_empty()).then_some(what.before);
            let which = kept_output::Stale { all_before, all_of };
            let mut after = 0;
            loop {
                let (mut ids, last) = self.store.read(|tx| kept_output::stale(tx, which, after, PAGE))?;
                while !ids.is_empty() {
                    if !go_on() {
                        return Ok(false);
                    }
                    let slice = ids.clone();
                    let done = self.slice(move |tx| kept_output::drop_slice(tx, &slice, SLICE))?;
                    pruned.outputs += done as u64;
                    ids.drain(..done);
                }
                match last {
                    Some(id) => after = id,
                    None => break,
                }
            }
        }
        Ok(true)
    }

    /// Deletes files that no row refers to.
    fn sweep_files(&self, go_on: &dyn Fn() -> bool, pruned: &mut Pruned) -> Result<bool> {
        // If the database can't be read, or it is time to stop, every file counts as used.
        let used = |hash: &crate::model::ArtifactHash| {
            !go_on() || self.store.read(|tx| artifact_row::find(tx, hash)).map_or(true, |it| it.is_some())
        };
        match self.artifacts.sweep(used) {
            Ok(swept) => (pruned.files, pruned.file_bytes) = (swept.files, swept.bytes),
            Err(artifact::Error::Busy { .. }) => pruned.files_locked = true,
            Err(error) => return Err(error.into()),
        }
        Ok(go_on())
    }

    /// Runs one slice in its own transaction. On a full disk the ballast provides space for it.
    fn slice<T: Send + 'static>(
        &self,
        work: impl Fn(&WriteTx) -> store::Result<T> + Clone + Send + 'static,
    ) -> Result<T> {
        loop {
            let work = work.clone();
            match self.store.write(move |tx| work(tx)) {
                Err(store::Error::DiskFull { .. }) if self.give_up_ballast() => {}
                done => return done.map_err(Error::Store),
            }
        }
    }
}
