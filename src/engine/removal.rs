//! Deletes groups, and documents that were uploaded to the engine. Running work is cancelled first. If it does not end
//! in time, nothing is deleted.

use super::{
    Engine,
    error::{Error, Result},
};
use crate::{
    artifact,
    model::{ArtifactHash, GroupId, RunId},
    store::{
        self,
        document_removal::{self, Removed},
        document_uri, group,
        prune::{self, Outputs},
        records, run,
    },
};
use std::{
    fs,
    time::{Duration, Instant},
};

/// The interval between checks of work that was asked to stop.
const LOOK: Duration = Duration::from_millis(20);
/// The most rows that one transaction deletes.
const SLICE: usize = 500;

impl Engine {
    /// Deletes a group with everything that belongs to it. Returns the deleted rows and the number of its history
    /// records. Fails with a conflict if part of it is still running at the deadline.
    pub fn delete_group(&self, id: GroupId, deadline: Instant) -> Result<(prune::Removed, i64)> {
        if self.store.read(|tx| group::end(tx, id))?.ended.is_none() {
            self.cancel_group(id)?;
            self.wait_until(deadline, || Ok(self.store.read(|tx| group::end(tx, id))?.ended.is_some()))?;
        }
        let history = self.store.read(|tx| records::history_size(tx, id))?;
        self.wait_until(deadline, || {
            if self.store.write(move |tx| prune::begin(tx, id))? {
                return Ok(true);
            }
            // Why it can't be deleted yet. A due hook will have run soon.
            self.store.read(|tx| prune::one(tx, id)).map(|_| false).or_else(|error| match error {
                store::Error::Conflict { .. } if Instant::now() < deadline => Ok(false),
                error => Err(error.into()),
            })
        })?;
        let mut sum = prune::Removed::default();
        loop {
            let (more, removed) = self.store.write(move |tx| {
                let mut removed = prune::Removed::default();
                let more = prune::slice(tx, id, Outputs::Remove, SLICE, &mut removed)?;
                Ok((more, removed))
            })?;
            sum += removed;
            if !more {
                return Ok((sum, history));
            }
        }
    }

    /// Deletes a document, and also its content with all its runs if no other document has that content. None: there is
    /// no such document. The same transaction records its rows in vector databases as still to be removed.
    pub fn delete_document(&self, source: &str, uri: &str, deadline: Instant) -> Result<Option<Removed>> {
        let Some(known) = self.store.read(|tx| document_uri::find(tx, source, uri))? else { return Ok(None) };
        let home = fs::canonicalize(&self.options.home).unwrap_or_else(|_| self.options.home.clone());
        let home = home.to_string_lossy().into_owned();
        self.until_unused(deadline, &known.sha256, || {
            let last = self.store.read(|tx| document_uri::of_content(tx, &known.sha256))?.len() < 2;
            if last {
                self.stop_runs(&known.sha256)?;
            }
            let (source, uri, home) = (source.to_string(), uri.to_string(), home.clone());
            Ok(self.store.write(move |tx| document_removal::delete(tx, &home, &source, &uri))?)
        })
    }

    /// Deletes contents that belong to no document.
    pub fn delete_orphans(&self, deadline: Instant) -> Result<Removed> {
        let mut sum = Removed::default();
        let mut after = None;
        loop {
            let orphans = self.store.read(|tx| document_removal::orphans(tx, after, 100))?;
            let Some(last) = orphans.last() else { return Ok(sum) };
            after = Some(*last);
            for orphan in orphans {
                let removed = self.until_unused(deadline, &orphan, || {
                    self.stop_runs(&orphan)?;
                    Ok(self.store.write(move |tx| document_removal::delete_orphan(tx, &orphan))?)
                })?;
                if let Some(it) = removed {
                    sum.add(&it);
                }
            }
        }
    }

    /// Retries until no run of the content is open, then also removes its files.
    fn until_unused(
        &self,
        deadline: Instant,
        content: &ArtifactHash,
        attempt: impl Fn() -> Result<Option<(Removed, Vec<ArtifactHash>)>>,
    ) -> Result<Option<Removed>> {
        loop {
            match attempt() {
                Err(Error::Store(store::Error::Conflict { .. })) if Instant::now() < deadline => {
                    // A hook that was asked to stop needs a moment.
                    std::thread::sleep(LOOK);
                    self.wait_until(deadline, || {
                        Ok(self.store.read(|tx| document_removal::open_runs(tx, content))?.is_empty())
                    })?;
                }
                Err(error) => return Err(error),
                Ok(None) => return Ok(None),
                Ok(Some((removed, files))) => {
                    self.remove_files(&files);
                    return Ok(Some(removed));
                }
            }
        }
    }

    fn stop_runs(&self, content: &ArtifactHash) -> Result<()> {
        let open: Vec<RunId> = self.store.read(|tx| document_removal::open_runs(tx, content))?;
        open.into_iter().try_for_each(|run| self.cancel_run(run).map(drop))
    }

    /// Deletes files now. If that fails, the next sweep deletes them.
    fn remove_files(&self, files: &[ArtifactHash]) {
        let used =
            |hash: &ArtifactHash| self.store.read(|tx| store::artifact::find(tx, hash)).map_or(true, |it| it.is_some());
        if let Err(error) = self.artifacts.remove(files, used) {
            match error {
                artifact::Error::Busy { .. } => tracing::debug!(%error, "the next prune removes the remaining files"),
                error => tracing::warn!(%error, "the next prune removes the remaining files"),
            }
        }
    }

    fn wait_until(&self, deadline: Instant, done: impl Fn() -> Result<bool>) -> Result<()> {
        while !done()? {
            if Instant::now() >= deadline {
                let reason = "some of its work is still running and was asked to stop: try again in a moment";
                return Err(Error::Store(store::Error::conflict(reason)));
            }
            std::thread::sleep(LOOK);
        }
        Ok(())
    }

    /// Retries the failed and cancelled runs of a group: in the whole group or, while it is open, among its ended runs.
    /// Returns the number of retried runs.
    pub fn retry_lost(&self, id: GroupId) -> Result<i64> {
        let lost = self.store.read(|tx| records::tally_of_group(tx, id))?;
        let lost = lost.map_or(0, |it| it.failed + it.cancelled);
        if self.store.read(|tx| group::end(tx, id))?.ended.is_some() {
            return Ok(if self.retry_group(id)? { lost } else { 0 });
        }
        let (mut after, mut count) = (RunId(0), 0);
        loop {
            let runs = self.store.read(|tx| run::lost(tx, id, after, SLICE))?;
            let Some(last) = runs.last() else { return Ok(count) };
            after = *last;
            for run in runs {
                count += i64::from(self.retry_run(run)? > 0);
            }
        }
    }
}
