//! Follows sources: decides when each is synced again, because something changed or because it is time.
//!
//! The sync itself finds out which documents are new, changed or gone; see `sync`. A hint that is late, lost or wrong
//! therefore only delays a sync, or causes one that finds nothing.

use super::{
    source::{self, SourceOptions},
    sync::SyncOptions,
};
use crate::{
    decide::watch::{Stir, sync_is_due_at},
    model::{Millis, Monotonic},
    os::{FileEvents, Hint, file_system::refuse_network_file_system},
};
use std::{
    os::fd::{AsFd, BorrowedFd},
    path::{Path, PathBuf},
};

/// How often a source is synced without a hint of a change: if the kernel reports changes, and if it does not.
const EVERY: Millis = Millis::minutes(5);
const EVERY_WITHOUT_EVENTS: Millis = Millis::seconds(15);
/// The delay after a failed sync.
const AFTER_FAILURE: Millis = Millis::seconds(10);

/// Sources that are kept in vector databases.
pub struct Follow {
    events: Option<FileEvents>,
    sources: Vec<Source>,
}

struct Source {
    paths: Vec<PathBuf>,
    options: SourceOptions,
    /// Changes noticed since the last sync began.
    stir: Option<Stir>,
    /// When the last sync ended. None: there was none, and one is due.
    synced: Option<Monotonic>,
    failed: bool,
    has_events: bool,
}

impl Follow {
    /// Every source is due immediately.
    pub fn new<'a>(sources: impl IntoIterator<Item = &'a SyncOptions>) -> Follow {
        let source = |it: &SyncOptions| Source {
            paths: it.paths.clone(),
            options: it.source_options.clone(),
            stir: None,
            synced: None,
            failed: false,
            has_events: false,
        };
        let events = FileEvents::new().inspect_err(|error| tracing::warn!(%error, "no hints of changes")).ok();
        Follow { events, sources: sources.into_iter().map(source).collect() }
    }

    /// Readable while there are hints for `hear`.
    pub fn events(&self) -> Option<BorrowedFd<'_>> {
        self.events.as_ref().map(AsFd::as_fd)
    }

    /// Reads the events of the kernel.
    pub fn hear(&mut self, now: Monotonic) {
        let Some(events) = &mut self.events else { return };
        for hint in events.read().unwrap_or_else(|_| vec![Hint::Overflow]) {
            match hint {
                Hint::Overflow => self.sources.iter_mut().for_each(|it| it.stirs(now)),
                Hint::Lost { owner } => self.sources.get_mut(owner as usize).into_iter().for_each(|it| it.stirs(now)),
                Hint::Entry { owner, path, .. } => {
                    let source = self.sources.get_mut(owner as usize).filter(|it| it.cares_for(&path));
                    source.into_iter().for_each(|it| it.stirs(now));
                }
            }
        }
    }

    /// When the source is synced next.
    pub fn due(&self, which: usize, now: Monotonic) -> Monotonic {
        let Some(it) = self.sources.get(which) else { return now };
        let Some(synced) = it.synced else { return now };
        let every = match (it.failed, it.has_events) {
            (true, _) => AFTER_FAILURE,
            (_, true) => EVERY,
            _ => EVERY_WITHOUT_EVENTS,
        };
        sync_is_due_at(synced, it.stir, every)
    }

    /// A sync begins. From now on, changes count for the next one.
    pub fn begins(&mut self, which: usize) {
        let Some(it) = self.sources.get_mut(which) else { return };
        it.stir = None;
        it.has_events = self.events.is_some();
        for path in &it.paths {
            let watched = self.events.as_mut().is_some_and(|events| watch(events, which as u64, path, &it.options));
            it.has_events &= watched && refuse_network_file_system(path).is_ok();
        }
    }

    /// The sync has ended.
    pub fn ended(&mut self, which: usize, now: Monotonic, well: bool) {
        if let Some(it) = self.sources.get_mut(which) {
            (it.synced, it.failed) = (Some(now), !well);
        }
    }

    /// The source must be synced now, because the group submitted for it has ended.
    pub fn again(&mut self, which: usize) {
        if let Some(it) = self.sources.get_mut(which) {
            it.synced = None;
        }
    }
}

impl Source {
    fn stirs(&mut self, now: Monotonic) {
        let first = self.stir.map_or(now, |it| it.first);
        self.stir = Some(Stir { first, last: now });
    }

    /// A name that begins with a dot is not a document, unless these were requested; but it may be an ignore file.
    fn cares_for(&self, path: &Path) -> bool {
        let name = path.file_name().map(|it| it.as_encoded_bytes()).unwrap_or_default();
        self.options.hidden || !name.starts_with(b".") || matches!(name, b".gitignore" | b".ignore")
    }
}

/// Watches a directory with all subdirectories that are read, or the directory of a file. False: the kernel does not
/// report every change.
fn watch(events: &mut FileEvents, owner: u64, path: &Path, options: &SourceOptions) -> bool {
    if !path.is_dir() {
        let parent = path.parent().filter(|it| !it.as_os_str().is_empty()).unwrap_or(Path::new("."));
        return events.watch(owner, parent, Path::new("")).is_ok();
    }
    let directories = source::directories(path, options).unwrap_or_default();
    !directories.is_empty() && directories.iter().all(|it| events.watch(owner, it, Path::new("")).is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn a_source_is_due_soon_after_a_change_and_after_a_while_without_one() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("mount/source");
        fs::create_dir_all(root.join("in/deep")).unwrap();
        fs::create_dir_all(root.join(".git")).unwrap();
        let options = SyncOptions::new(vec![root.clone()], "/db".into());
        let mut follow = Follow::new([&options]);
        let at = Monotonic;
        assert_eq!(follow.due(0, at(5)), at(5), "at first");
        follow.begins(0);
        follow.ended(0, at(1_000), true);
        follow.hear(at(2_000));
        assert_eq!(follow.due(0, at(2_000)), at(1_000) + EVERY, "nothing happened");
        fs::write(root.join(".git/x"), "x").unwrap();
        fs::write(root.join("in/.swap"), "x").unwrap();
        follow.hear(at(3_000));
        assert_eq!(follow.due(0, at(3_000)), at(1_000) + EVERY, "nothing that is read");
        fs::write(root.join("in/deep/a.md"), "x").unwrap();
        follow.hear(at(4_000));
        let due = follow.due(0, at(4_000));
        assert!(due > at(4_000) && due <= at(8_000), "{due:?}");
        follow.begins(0);
        follow.ended(0, at(9_000), false);
        assert_eq!(follow.due(0, at(9_000)), at(9_000) + AFTER_FAILURE);
        follow.again(0);
        assert_eq!(follow.due(0, at(9_001)), at(9_001));
        fs::remove_dir_all(dir.path().join("mount")).unwrap();
        follow.begins(0);
        follow.ended(0, at(10_000), true);
        assert_eq!(
            follow.due(0, at(10_000)),
            at(10_000) + EVERY_WITHOUT_EVENTS,
            "the kernel can't tell when it returns"
        );
    }
}
