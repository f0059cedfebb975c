//! Turns new files into a group: the files are recorded, the group is submitted, and its start is recorded.
//!
//! The files of a burst are recorded before its group is submitted, under a key of the burst. After a crash in between,
//! the next watching process finds the burst open and submits the recorded files; if the key already has its group,
//! that group is found. All other files are not known yet, so a look at the directory finds them. Each version of a
//! file therefore has exactly one run.

use crate::{
    definition::recurrence,
    engine::{
        Engine, Submission,
        error::{Result, with_causes},
    },
    model::{FiringState, Kind, Timestamp},
    observe::Counter,
    store::{
        group,
        schedule::FiringRow,
        watch::{self, SLICE, WatchRow, WatchedFile},
    },
};
use std::path::{Path, PathBuf};

/// The result of starting a burst.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Started {
    Yes,
    /// The workflow can't be started. Its files stay unknown, so they start it after it has been repaired.
    Refused(String),
    /// The watch is paused or deleted.
    Stopped,
}

/// Starts a workflow for these files, which are sorted by path.
///
/// # Errors
///
/// The database can't be used, or a resource is short. `finish` completes the burst later.
pub fn start(engine: &Engine, watch: &WatchRow, files: &[WatchedFile]) -> Result<Started> {
    let schedule = watch.schedule.id;
    let now = engine.store.now();
    let burst = engine.store.read(|tx| watch::next_burst(tx, schedule, now))?;
    for slice in files.chunks(SLICE) {
        let (row, slice) = (watch.clone(), slice.to_vec());
        if !engine.store.write(move |tx| watch::gather(tx, &row, burst, &slice))? {
            return Ok(Started::Stopped);
        }
    }
    submit(engine, watch, burst, files)
}

/// Completes a burst that a crash interrupted, if there is one.
pub fn finish(engine: &Engine, watch: &WatchRow) -> Result<Option<Started>> {
    let Some(burst) = engine.store.read(|tx| watch::open_burst(tx, watch.schedule.id))? else { return Ok(None) };
    let mut files: Vec<WatchedFile> = Vec::new();
    loop {
        let after = files.last().map(|it| it.path.clone()).unwrap_or_default();
        let more = engine.store.read(|tx| watch::of_burst(tx, watch.id, burst, &after, SLICE))?;
        let last = more.len() < SLICE;
        files.extend(more);
        if last {
            break;
        }
    }
    submit(engine, watch, burst, &files).map(Some)
}

fn submit(engine: &Engine, watch: &WatchRow, burst: Timestamp, files: &[WatchedFile]) -> Result<Started> {
    let firing = match group_of(engine, watch, burst, files) {
        Ok(firing) => firing,
        Err(error) if error.passes() || error.kind() == Kind::Conflict => return Err(error),
        Err(error) => {
            for slice in files.chunks(SLICE) {
                let (id, paths) = (watch.id, slice.iter().map(|it| it.path.clone()).collect::<Vec<_>>());
                engine.store.write(move |tx| watch::forget(tx, id, &paths))?;
            }
            let detail = with_causes(&error);
            engine.note_firing(
                &watch.schedule,
                FiringRow { state: FiringState::Failed, detail: detail.clone(), ..row(watch, burst) },
            )?;
            return Ok(Started::Refused(detail));
        }
    };
    if engine.note_firing(&watch.schedule, firing)?.group.is_some() {
        engine.metrics.add(Counter::WatchFiles, "", files.len() as u64);
    }
    Ok(Started::Yes)
}

fn row(watch: &WatchRow, burst: Timestamp) -> FiringRow {
    let schedule = watch.schedule.id;
    FiringRow { schedule, instant: burst, state: FiringState::Started, group: None, at: burst, detail: String::new() }
}

fn group_of(engine: &Engine, watch: &WatchRow, burst: Timestamp, files: &[WatchedFile]) -> Result<FiringRow> {
    let it = &watch.schedule;
    if files.is_empty() {
        return Ok(FiringRow { detail: "another directory is watched since".into(), ..row(watch, burst) });
    }
    let key = format!("watch:{}@{}#{}", it.name, recurrence::rfc3339(burst), watch.id);
    let known = engine.catalog.definition(&engine.store, it.definition)?;
    let root = Path::new(&watch.directory);
    let submission = Submission {
        params: serde_json::from_str(&it.params).unwrap_or_default(),
        directory: it.directory.clone().into(),
        name: Some(it.name.clone()),
        priority: it.priority,
        weight: it.weight,
        key: Some(key.clone()),
        file: Some(PathBuf::from(&it.file)).filter(|it| it.is_absolute()),
        ..Submission::new(
            known.definition.clone(),
            files.iter().map(|it| root.join(&it.path).to_string_lossy().into_owned()).collect(),
        )
    };
    match engine.submit(submission) {
        Ok(submitted) => {
            Ok(FiringRow { group: Some(submitted.group), detail: counted(files.len()), ..row(watch, burst) })
        }
        // It was submitted before a crash, and the workflow was replaced since.
        Err(error) if error.kind() == Kind::Conflict => match engine.store.read(|tx| group::submitted_as(tx, &key))? {
            Some(group) => Ok(FiringRow { group: Some(group), detail: counted(files.len()), ..row(watch, burst) }),
            None => Err(error),
        },
        Err(error) => Err(error),
    }
}

fn counted(files: usize) -> String {
    if files == 1 { "1 file".to_string() } else { format!("{files} files") }
}
