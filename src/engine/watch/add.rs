//! Adds a watch: its directory, and the files that already exist there.

use super::{folder::take_existing, listing, lock::try_lock};
use crate::{
    definition::{Definition, watch::FileWatch},
    engine::{
        Engine,
        error::{Error, Result},
    },
    model::{Concurrency, Millis},
    store::watch,
};
use std::{
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

/// How long adding a watch waits for the watching process to record the existing files.
const PATIENCE: Millis = Millis::minutes(5);
const LOOK: Duration = Duration::from_millis(20);

/// The directory of a watch, for a workflow whose paths are relative to `base`.
///
/// # Errors
///
/// It is not UTF-8, or is below a home directory that is unknown.
pub fn directory_of(watch: &FileWatch, base: &Path) -> Result<String> {
    let below_home = watch.files.strip_prefix("~/").or((watch.files == "~").then_some(""));
    let path = match below_home {
        Some(rest) => match std::env::home_dir() {
            Some(home) => home.join(rest),
            None => {
                return Err(Error::refused(
                    format!("`files: {}`: the home directory is not known", watch.files),
                    Some("write the whole path"),
                ));
            }
        },
        None => base.join(&watch.files),
    };
    let clean: PathBuf = path.components().collect();
    match clean.to_str() {
        Some(text) => Ok(text.to_string()),
        None => Err(Error::refused(format!("the name of {} is not UTF-8", clean.display()), None)),
    }
}

/// Refuses a workflow that could lose files.
pub fn check(definition: &Definition) -> Result<()> {
    match &definition.concurrency {
        Some(it) if it.policy == Concurrency::Skip => Err(Error::refused(
            "a workflow with `on` can't skip groups: their files would have no run",
            Some("write `policy: queue` in its `concurrency`"),
        )),
        _ => Ok(()),
    }
}

/// All matching files, known or not.
pub fn all_files(engine: &Engine, spec: &FileWatch, directory: &str) -> Result<Vec<String>> {
    let matcher = spec.matcher().map_err(|what| Error::refused(what, None))?;
    let root = Path::new(directory);
    let listing = listing::list(root, &matcher, engine.home(), |_, _| ());
    let listing = listing.map_err(|source| Error::Io { action: "read", path: root.to_path_buf(), source })?;
    Ok(listing.files.iter().map(|it| root.join(&it.path).to_string_lossy().into_owned()).collect())
}

/// Removes the known files of deleted watches.
pub fn sweep(engine: &Engine) -> Result<()> {
    while let Some(gone) = engine.store.read(watch::orphan)? {
        while engine.store.write(move |tx| watch::sweep(tx, gone))? {}
    }
    Ok(())
}

/// Records the existing files as known, or waits until the watching process has done so.
pub fn know_existing(engine: &Engine, schedule: i64, spec: &FileWatch) -> Result<()> {
    let matcher = spec.matcher().map_err(|what| Error::refused(what, None))?;
    let deadline = Instant::now() + PATIENCE.duration();
    while let Some((id, directory, false)) = engine.store.read(|tx| watch::of_schedule(tx, schedule))? {
        if let Some(_lock) = try_lock(engine, id)? {
            take_existing(engine, id, &directory, &matcher)?;
        } else if Instant::now() >= deadline {
            let what = format!("the process that watches {directory} does not take the new version");
            return Err(Error::refused(what, Some("see `windlass status`; restart it")));
        } else {
            std::thread::sleep(LOOK);
        }
    }
    Ok(())
}
