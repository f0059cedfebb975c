//! Runs part of a drill on a disk that is filled: a small disk in memory, in a process that alone sees the disk. The
//! user's disk is never filled.

use super::{
    Error, Result, drill,
    fillable_disk::FillableDisk,
    home::Site,
    plan::{Drill, Progress},
    role::WORD,
    verdict::{Invariant, Report},
};
use crate::{model::ExitStatus, os::peer::Peer};
use serde::{Deserialize, Serialize};
use std::{ffi::OsString, fs, io, path::Path, time::Duration};

/// The role of that process.
pub const NAME: &str = "filling";
const OUTCOME: &str = "outcome.json";
/// Limits the memory that such a drill needs.
const MOST_KILLS: usize = 100;
const LOOK: Duration = Duration::from_millis(20);

/// The outcome of the process.
#[derive(Debug, Serialize, Deserialize)]
enum Outcome {
    Held(Box<Report>),
    /// No small disk is available, for this reason.
    Refused(String),
}

/// The part of a drill that runs on a filled disk.
fn share(drill: &Drill) -> Drill {
    Drill {
        dir: drill.dir.join("filled"),
        kills: drill.kills.div_ceil(4).min(MOST_KILLS),
        at_most: drill.at_most.map(|it| it / 4),
        ..drill.clone()
    }
}

/// Runs a drill. A violation is a result, not an error. The directory is kept in either case.
pub fn run(drill: &Drill, tell: &mut dyn FnMut(Progress)) -> Result<Report> {
    let site = Site::create(&drill.dir)?;
    tell(Progress::Filling);
    let share = share(drill);
    let (filled, own) = match on_small_disk(&share)? {
        Ok(report) => {
            let kills = drill.kills.saturating_sub(report.kills).max(1);
            (Ok(report), Drill { kills, at_most: drill.at_most.map(|it| it * 3 / 4), ..drill.clone() })
        }
        Err(why) => (Err(why), drill.clone()),
    };
    let mut report = drill::hold(&own, &site, None, tell)?;
    match filled {
        Ok(filled) => report.join(filled),
        Err(why) => report.not_filled = Some(why),
    }
    Ok(report)
}

/// Runs a drill on a small disk that is filled repeatedly, or returns the reason why there is none.
fn on_small_disk(drill: &Drill) -> Result<Result<Report, String>> {
    fs::create_dir_all(&drill.dir).map_err(Error::io("create", &drill.dir))?;
    let text = serde_json::to_string(drill).map_err(io::Error::other);
    let text = text.map_err(Error::io("describe the drill in", &drill.dir))?;
    let log = drill.dir.with_extension("log");
    let words: [OsString; 3] = [WORD.into(), NAME.into(), text.into()];
    let mut peer = Peer::start(drill.program.as_deref(), &words, &log).map_err(Error::io("start", "a drill"))?;
    let how = loop {
        if let Some(how) = peer.ended().map_err(Error::io("wait for", "a drill"))? {
            break how;
        }
        std::thread::sleep(LOOK);
    };
    if how != ExitStatus::Code(0) {
        return Err(Error::Filled { how, log });
    }
    let path = drill.dir.join(OUTCOME);
    let bytes = fs::read(&path).map_err(Error::io("read", &path))?;
    let outcome = serde_json::from_slice(&bytes).map_err(io::Error::from).map_err(Error::io("read", &path))?;
    Ok(match outcome {
        Outcome::Held(report) => Ok(*report),
        Outcome::Refused(why) => Err(why),
    })
}

/// The main function of the process with the small disk.
pub fn play(text: &str) -> Result<()> {
    let drill: Drill = serde_json::from_str(text).map_err(io::Error::from).map_err(Error::io("read", "the drill"))?;
    let site = Site::create(&drill.dir)?;
    let outcome = match FillableDisk::new(&site.home()) {
        Err(error) => Outcome::Refused(format!("no small disk can be mounted here: {error}")),
        Ok(disk) => {
            let mut report = drill::hold(&drill, &site, Some(disk), &mut |_| {})?;
            if !report.verdict.is_sound() {
                // The disk disappears with this process.
                let kept = site.root().join("kept-home");
                if let Err(error) = copy(&site.home(), &kept) {
                    let what = format!("failed to keep the home of the small disk in {}: {error}", kept.display());
                    report.verdict.add(Invariant::Sound, what);
                }
            }
            Outcome::Held(Box::new(report))
        }
    };
    let path = drill.dir.join(OUTCOME);
    let bytes = serde_json::to_vec(&outcome).map_err(io::Error::from).map_err(Error::io("write", &path))?;
    fs::write(&path, bytes).map_err(Error::io("write", &path))
}

/// Copies files and directories, and nothing else.
fn copy(from: &Path, to: &Path) -> io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let (kind, target) = (entry.file_type()?, to.join(entry.file_name()));
        if kind.is_dir() {
            copy(&entry.path(), &target)?;
        } else if kind.is_file() {
            fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}
