//! One watched directory: examines it, and decides when new files start their workflow.

use super::{
    burst::{self, Started},
    listing::{self, Listing, MOST_FILES},
    lock::try_lock,
};
use crate::{
    decide::watch::{self as rule, FileVersion, Gathering, Look, MOST, Sighting, look},
    definition::watch::{FileWatch, Matcher},
    engine::{Engine, error::Result},
    model::{Millis, Monotonic},
    os::{FileEvents, FileLock, file_lock::refuse_network_file_system},
    store::{
        self,
        watch::{self, SLICE, WatchRow, WatchedFile},
    },
};
use std::{
    collections::{BTreeSet, HashMap},
    fs, io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

/// How often a directory is read without a hint of a change: if the kernel reports changes, and if it does not.
const EVERY: Millis = Millis::minutes(1);
const EVERY_WITHOUT_EVENTS: Millis = Millis::seconds(10);
/// How often to look for a missing directory.
const MISSING: Millis = Millis::seconds(2);
/// How often to try the lock of a watch that another process holds.
const LOCKED: Millis = Millis::seconds(2);
/// The shortest pause between two readings of a directory, absolute and as a multiple of the duration of the last one.
const PAUSE: Millis = Millis(200);
const REST: u64 = 10;
/// The most paths that are examined one by one. If there are more, the whole directory is read.
const MOST_HINTS: usize = 10_000;

/// A file whose current version is not known.
#[derive(Debug, Clone, Copy)]
struct Pending {
    sighting: Sighting,
    settled: bool,
}

pub(super) struct Folder {
    pub(super) row: WatchRow,
    spec: FileWatch,
    matcher: Matcher,
    /// Held while this process watches.
    lock: Option<FileLock>,
    lock_tried: Option<Monotonic>,
    pending: HashMap<String, Pending>,
    last_arrival: Monotonic,
    first_settled: Monotonic,
    /// Paths for which a change was reported.
    hints: BTreeSet<String>,
    /// Anything may have changed, so the directory must be read.
    is_stale: bool,
    read: Option<(Monotonic, Millis)>,
    /// Device and inode of the root when it was last read.
    root: Option<(u64, u64)>,
    is_missing: bool,
    /// Whether the kernel reports every change.
    has_events: bool,
    /// A burst may have been interrupted.
    may_be_open: bool,
    refused: Option<String>,
    problem: String,
    said: Option<String>,
}

impl Folder {
    pub(super) fn new(row: WatchRow, spec: FileWatch, matcher: Matcher, lock: Option<FileLock>) -> Folder {
        Folder {
            row,
            spec,
            matcher,
            lock,
            lock_tried: None,
            pending: HashMap::new(),
            last_arrival: Monotonic(0),
            first_settled: Monotonic(0),
            hints: BTreeSet::new(),
            is_stale: true,
            read: None,
            root: None,
            is_missing: false,
            has_events: false,
            may_be_open: true,
            refused: None,
            problem: String::new(),
            said: None,
        }
    }

    pub(super) fn into_lock(self) -> Option<FileLock> {
        self.lock
    }

    /// The number by which hints refer to it.
    pub(super) fn owner(&self) -> u64 {
        self.row.id as u64
    }

    /// A change of this path was reported.
    pub(super) fn hint(&mut self, path: &Path, is_directory: bool) {
        match path.to_str() {
            _ if is_directory => self.is_stale |= self.matcher.deep || path.as_os_str().is_empty(),
            Some(path) if self.matcher.matches(path) => {
                if self.hints.len() < MOST_HINTS {
                    self.hints.insert(path.to_string());
                } else {
                    self.is_stale = true;
                }
            }
            None if self.matcher.matches(&path.to_string_lossy()) => self.is_stale = true,
            _ => {}
        }
    }

    /// Anything may have changed.
    pub(super) fn lost_track(&mut self) {
        self.is_stale = true;
    }

    /// Examines what may have changed, and starts the workflow if it is time. Returns when to look again; None: after a
    /// hint, or when the watch changes.
    pub(super) fn look(&mut self, engine: &Engine, events: Option<&mut FileEvents>) -> Result<Option<Millis>> {
        if self.row.schedule.paused || self.refused.is_some() {
            return Ok(None);
        }
        let now = engine.store.clock().monotonic();
        if let Some(wait) = self.take_lock(engine, now)? {
            return Ok(Some(wait));
        }
        let looked = self.look_at_all(engine, events, now);
        if looked.is_err() {
            // Recorded files are in the database, and the others are found in the directory.
            (self.may_be_open, self.is_stale) = (true, true);
            self.pending.clear();
        }
        looked?;
        let now = engine.store.clock().monotonic();
        Ok(if self.refused.is_some() { None } else { Some(self.next(now)) })
    }

    fn look_at_all(&mut self, engine: &Engine, events: Option<&mut FileEvents>, now: Monotonic) -> Result<()> {
        if self.may_be_open {
            let finished = burst::finish(engine, &self.row)?;
            self.started(finished.unwrap_or(Started::Yes));
            self.may_be_open = false;
        }
        if !self.row.complete {
            self.take_existing(engine)?;
        }
        self.look_again(now);
        self.see(engine, events, now)?;
        let now = engine.store.clock().monotonic();
        if self.refused.is_none() && rule::starts(self.gathering(), now, self.spec.settled) {
            self.start(engine, now)?;
        }
        self.tell(engine)
    }

    /// Takes the lock of the watch; otherwise returns the time until the next try.
    fn take_lock(&mut self, engine: &Engine, now: Monotonic) -> Result<Option<Millis>> {
        if self.lock.is_some() {
            return Ok(None);
        }
        if let Some(tried) = self.lock_tried.filter(|it| now.since(*it) < LOCKED) {
            return Ok(Some(Millis(LOCKED.0 - now.since(tried).0)));
        }
        self.lock_tried = Some(now);
        self.lock = try_lock(engine, self.row.id)?;
        Ok(self.lock.is_none().then_some(LOCKED))
    }

    fn take_existing(&mut self, engine: &Engine) -> Result<()> {
        take_existing(engine, self.row.id, &self.row.directory, &self.matcher)?;
        self.row.complete = true;
        Ok(())
    }

    fn gathering(&self) -> Gathering {
        let settled = self.pending.values().filter(|it| it.settled).count();
        Gathering {
            settled,
            unsettled: self.pending.len() - settled,
            last_arrival: self.last_arrival,
            first_settled: self.first_settled,
        }
    }

    /// Looks again at files that have been unchanged for long enough, if nothing has happened since.
    fn look_again(&mut self, now: Monotonic) {
        let root = Path::new(&self.row.directory);
        let is_due = |it: &Pending| !it.settled && now.since(it.sighting.since) >= self.spec.settled;
        let due: Vec<String> = self.pending.iter().filter(|it| is_due(it.1)).map(|it| it.0.clone()).collect();
        let had_settled = self.pending.values().any(|it| it.settled);
        let mut settles = false;
        for path in due {
            let seen = listing::look_at(root, &path).ok().flatten();
            match self.pending.get_mut(&path) {
                Some(it) if seen == Some(it.sighting.version) => (it.settled, settles) = (true, true),
                // Its current state is compared with the known one.
                _ => drop(self.hints.insert(path)),
            }
        }
        if settles && !had_settled {
            self.first_settled = now;
        }
    }

    fn see(&mut self, engine: &Engine, events: Option<&mut FileEvents>, now: Monotonic) -> Result<()> {
        if self.reading_is_due(now) {
            return self.read_directory(engine, events, now);
        }
        let hints: Vec<String> = std::mem::take(&mut self.hints).into_iter().collect();
        for slice in hints.chunks(SLICE) {
            self.look_at(engine, slice, now)?;
        }
        Ok(())
    }

    fn reading_is_due(&self, now: Monotonic) -> bool {
        let Some((read, took)) = self.read else { return true };
        let rest = Millis(PAUSE.0.max(took.0.saturating_mul(REST)));
        let wait = if self.is_stale && !self.is_missing { rest } else { self.interval() };
        now.since(read) >= wait
    }

    fn interval(&self) -> Millis {
        let default = if self.has_events { EVERY } else { EVERY_WITHOUT_EVENTS };
        let every = self.spec.every.unwrap_or(default);
        if self.is_missing { every.min(MISSING) } else { every }
    }

    /// Examines single files.
    fn look_at(&mut self, engine: &Engine, paths: &[String], now: Monotonic) -> Result<()> {
        let root = PathBuf::from(&self.row.directory);
        let id = self.row.id;
        let known = engine
            .store
            .read(|tx| paths.iter().map(|it| watch::known(tx, id, it)).collect::<store::Result<Vec<_>>>())?;
        let mut gone = Vec::new();
        for (path, known) in paths.iter().zip(known) {
            match listing::look_at(&root, path) {
                Ok(Some(seen)) => self.sight(path, known, seen, now),
                Ok(None) => {
                    self.pending.remove(path);
                    if known.is_some() {
                        gone.push(path.clone());
                    }
                }
                Err(_) => self.is_stale = true,
            }
        }
        // A directory that is gone, or hidden by a mount, says nothing about its files.
        if identity(&root).is_none_or(|it| Some(it) != self.root) {
            self.is_stale = true;
            return Ok(());
        }
        forget(engine, id, &gone)
    }

    /// Reads the whole directory and compares it with the known files.
    fn read_directory(&mut self, engine: &Engine, events: Option<&mut FileEvents>, now: Monotonic) -> Result<()> {
        (self.is_stale, self.has_events) = (false, events.is_some());
        self.hints.clear();
        let root = PathBuf::from(&self.row.directory);
        let listed = self.list(&root, engine, events);
        let took = engine.store.clock().monotonic().since(now);
        self.read = Some((now, took));
        let listing = match listed {
            Ok(listing) => listing,
            Err(error) => {
                self.is_missing = true;
                self.pending.clear();
                let is_absent = matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory);
                let reason =
                    if is_absent { "is not a directory".to_string() } else { format!("can't be read: {error}") };
                self.problem = format!("{} {reason}", root.display());
                return Ok(());
            }
        };
        self.is_missing = false;
        self.problem = problem_of(&listing);
        self.compare(engine, &listing, now)
    }

    fn list(&mut self, root: &Path, engine: &Engine, mut events: Option<&mut FileEvents>) -> io::Result<Listing> {
        let owner = self.owner();
        let mut all_watched = refuse_network_file_system(root).is_ok();
        let listing = listing::list(root, &self.matcher, engine.home(), |path, relative| {
            // Watched before it is read, so that no change is missed.
            all_watched &= events.as_mut().is_some_and(|it| it.watch(owner, path, relative).is_ok());
        });
        self.has_events = all_watched;
        if let (Err(_), Some(events)) = (&listing, events) {
            events.forget(owner);
        }
        listing
    }

    /// Both lists are sorted by path.
    fn compare(&mut self, engine: &Engine, listing: &Listing, now: Monotonic) -> Result<()> {
        let id = self.row.id;
        self.pending.retain(|path, _| listing.has(path));
        let mut files = listing.files.iter().peekable();
        let mut gone = Vec::new();
        let mut after = String::new();
        loop {
            let page = engine.store.read(|tx| watch::known_after(tx, id, &after, SLICE))?;
            for known in &page {
                while let Some(new) = files.next_if(|it| it.path < known.path) {
                    self.sight(&new.path, None, new.version, now);
                }
                match files.next_if(|it| it.path == known.path) {
                    Some(seen) => self.sight(&seen.path, Some(known.version), seen.version, now),
                    None if !listing.hides(&known.path) => gone.push(known.path.clone()),
                    None => {}
                }
            }
            match page.last() {
                Some(last) if page.len() == SLICE => after.clone_from(&last.path),
                _ => break,
            }
        }
        files.for_each(|new| self.sight(&new.path, None, new.version, now));
        // An empty directory may be a mount point without its file system. It counts as ours from its first file on.
        if listing.files.is_empty() && !gone.is_empty() && self.root != Some(listing.root) {
            return Ok(());
        }
        self.root = Some(listing.root);
        forget(engine, id, &gone)
    }

    fn sight(&mut self, path: &str, known: Option<FileVersion>, seen: FileVersion, now: Monotonic) {
        let before = self.pending.get(path);
        match look(known, before.map(|it| it.sighting), seen, now, self.spec.settled) {
            Look::Known => drop(self.pending.remove(path)),
            Look::Settled(_) => {
                // `look_again` handles it in the next round, with all others that are due.
            }
            Look::Waits(sighting) => {
                let is_same = before.is_some_and(|it| it.sighting == sighting);
                if before.is_none() {
                    if self.pending.len() >= MOST {
                        // It will be found once these have started.
                        self.is_stale = true;
                        return;
                    }
                    self.last_arrival = now;
                }
                if !is_same {
                    self.pending.insert(path.to_string(), Pending { sighting, settled: false });
                }
            }
        }
    }

    fn start(&mut self, engine: &Engine, now: Monotonic) -> Result<()> {
        let settled = self.pending.extract_if(|_, it| it.settled);
        let mut files: Vec<WatchedFile> =
            settled.map(|(path, it)| WatchedFile { path, version: it.sighting.version }).collect();
        files.sort_unstable_by(|a, b| a.path.cmp(&b.path));
        self.may_be_open = true;
        let started = burst::start(engine, &self.row, &files)?;
        self.may_be_open = false;
        self.first_settled = now;
        // The start has cleared the recorded problem.
        self.said = None;
        self.started(started);
        Ok(())
    }

    fn started(&mut self, started: Started) {
        if let Started::Refused(reason) = started {
            self.problem.clone_from(&reason);
            self.refused = Some(reason);
        }
    }

    /// Records the current problem, if it has changed.
    fn tell(&mut self, engine: &Engine) -> Result<()> {
        let said = self.said.as_ref().unwrap_or(&self.row.schedule.problem);
        if *said != self.problem || self.said.is_none() && !self.problem.is_empty() {
            let (row, problem, alerts) = (self.row.clone(), self.problem.clone(), engine.alerts()?);
            engine.store.write(move |tx| watch::set_problem(tx, &row, &problem, alerts))?;
        }
        self.said = Some(self.problem.clone());
        Ok(())
    }

    /// When to look again.
    fn next(&self, now: Monotonic) -> Millis {
        let (read, took) = self.read.unwrap_or((now, Millis(0)));
        let wait = match self.is_stale && !self.is_missing {
            true => Millis(PAUSE.0.max(took.0.saturating_mul(REST))),
            false => self.interval(),
        };
        let settled = self.spec.settled;
        let mut next = read + wait;
        let gathering = self.gathering();
        if gathering.settled > 0 {
            next = next.min(self.last_arrival + settled + settled + Millis(1));
            next = next.min(self.first_settled + Millis(settled.0.saturating_mul(rule::PATIENCE)));
        }
        for it in self.pending.values().filter(|it| !it.settled) {
            next = next.min(it.sighting.since + settled);
        }
        if !self.hints.is_empty() {
            next = now;
        }
        Millis(next.since(now).0.max(1))
    }
}

fn identity(root: &Path) -> Option<(u64, u64)> {
    fs::metadata(root).ok().filter(|it| it.is_dir()).map(|it| (it.dev(), it.ino()))
}

fn forget(engine: &Engine, watch: i64, gone: &[String]) -> Result<()> {
    for slice in gone.chunks(SLICE) {
        let slice = slice.to_vec();
        engine.store.write(move |tx| watch::forget(tx, watch, &slice))?;
    }
    Ok(())
}

/// Records the existing files as known.
pub(super) fn take_existing(engine: &Engine, watch: i64, directory: &str, matcher: &Matcher) -> Result<()> {
    // A missing directory has no files. When it appears, its files count as new.
    let listing = listing::list(Path::new(directory), matcher, engine.home(), |_, _| ()).unwrap_or_default();
    for slice in listing.files.chunks(SLICE) {
        let slice = slice.to_vec();
        engine.store.write(move |tx| watch::add_existing(tx, watch, &slice))?;
    }
    Ok(engine.store.write(move |tx| watch::complete(tx, watch))?)
}

/// The problem of a directory, in words; empty if there is none.
fn problem_of(listing: &Listing) -> String {
    if listing.is_cut {
        return format!("it has more than {MOST_FILES} files, and no others are seen: watch fewer with `match`");
    }
    match &listing.unnamable {
        Some((1, name)) => format!("the name of {} is not UTF-8: rename it", name.display()),
        Some((count, name)) => {
            format!("the names of {count} files are not UTF-8, such as {}: rename them", name.display())
        }
        None if listing.unreadable.is_empty() => String::new(),
        None => format!("can't read {}", listing.reason),
    }
}
