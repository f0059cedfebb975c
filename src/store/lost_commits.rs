//! Commits that a damaged log has lost: found when the database is opened, reported, and never given out again.
//!
//! The report and a copy of the log lie in `damaged/` beside the database until somebody removes them, since SQLite empties
//! the log itself at the first checkpoint.

use super::{
    error::{Error, Result},
    wal::{self, Unreachable},
};
use crate::{model::Timestamp, os::private};
use rusqlite::{Connection, TransactionBehavior, params};
use serde::{Deserialize, Serialize};
use std::{
    fs, io,
    path::{Path, PathBuf},
};

const DIRECTORY: &str = "damaged";
const REPORT: &str = "report.json";

/// Counters by row of the table `counter`, as people name what they count.
const COUNTED: [(i64, &str); 4] = [(1, "lease token"), (2, "group"), (3, "run"), (4, "step")];

/// What a damaged log has lost.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LostCommits {
    pub found: Timestamp,
    /// Whole transactions behind the damaged frame.
    pub commits: u64,
    /// What the database counted up to, and what the lost commits had counted up to.
    pub counters: Vec<LostRange>,
}

/// Numbers that were given out and are no longer known: `after` < n <= `last`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LostRange {
    pub of: String,
    pub after: i64,
    pub last: i64,
}

impl LostCommits {
    /// In words: `1,654 commits; groups 1008 to 2661`.
    pub fn words(&self) -> String {
        let ranges = self.counters.iter().filter(|it| it.of != COUNTED[0].1);
        let ranges: Vec<String> = ranges.map(LostRange::words).collect();
        let commits = if self.commits == 1 { "1 commit".to_string() } else { format!("{} commits", self.commits) };
        match ranges.is_empty() {
            true => commits,
            false => format!("{commits}; {}", ranges.join(", ")),
        }
    }
}

impl LostRange {
    fn words(&self) -> String {
        match self.last - self.after {
            1 => format!("{} {}", self.of, self.last),
            _ => format!("{}s {} to {}", self.of, self.after + 1, self.last),
        }
    }
}

/// Whether the log seems to hold commits behind its end. Asked without a turn, so a commit that is just being written may
/// look like one: only who has the turn knows.
pub(super) fn are_suspected(conn: &Connection, database: &Path) -> Result<bool> {
    Ok(find(conn, database)?.is_some())
}

/// Looks for commits behind the end of the log. When there are some, keeps a copy of the log with a report, and raises the
/// counters over everything that the lost commits gave out. Called under the turnstile, before anything is written.
///
/// Fails when the copy can't be kept: opening the database would destroy the only trace.
pub(super) fn look(conn: &mut Connection, database: &Path, now: Timestamp) -> Result<()> {
    let Some(behind) = find(conn, database)? else { return Ok(()) };
    let counters = behind.page.as_deref().and_then(wal::small_table).unwrap_or_default();
    let lost = LostCommits { found: now, commits: behind.commits, counters: missing(conn, &counters)? };
    let kept = keep(database, &wal::path_of(database), &lost).map_err(|source| Error::File {
        action: "keep a copy of the damaged log of",
        path: database.to_path_buf(),
        source,
    })?;
    raise(conn, &counters)?;
    tracing::error!(
        lost = lost.words(),
        kept = %kept.display(),
        "the log of the database was damaged; commits that had been acknowledged are lost"
    );
    Ok(())
}

fn find(conn: &Connection, database: &Path) -> Result<Option<Unreachable>> {
    let log = wal::path_of(database);
    let length = fs::metadata(&log).map_or(0, |it| it.len());
    if length == 0 {
        return Ok(None);
    }
    let readable = readable(conn)?;
    let page_size: i64 = conn.pragma_query_value(None, "page_size", |row| row.get(0))?;
    let shape = wal::Shape { page_size: page_size as usize, readable };
    let root = "SELECT rootpage FROM sqlite_schema WHERE type = 'table' AND name = 'counter'";
    let Ok(root) = conn.query_row(root, [], |row| row.get::<_, u32>(0)) else { return Ok(None) };
    if length <= shape.end() {
        return Ok(None);
    }
    let wrong = |source| Error::File { action: "read the log of", path: database.to_path_buf(), source };
    let behind = wal::unreachable(&log, &shape, root).map_err(wrong)?;
    // Where a program that knows of no turnstile has just committed, what lies behind the old end is not lost.
    let lost = behind.commits >= least(&log) && self::readable(conn)? == readable;
    Ok(lost.then_some(behind))
}

/// Frames of the log that SQLite accepts.
fn readable(conn: &Connection) -> Result<u64> {
    let frames = conn.query_row("PRAGMA wal_checkpoint(NOOP)", [], |row| row.get::<_, i64>(1))?;
    Ok(frames.max(0) as u64)
}

/// How many commits behind the end mean a loss. After a power cut the last transaction may be on disk in part, and was never
/// acknowledged then; so a log that was last written before this boot must hold two.
fn least(log: &Path) -> u64 {
    let written = fs::metadata(log).and_then(|it| it.modified()).ok();
    let booted = crate::os::clock::boot_time();
    match (written, booted) {
        (Some(written), Some(booted)) if written > booted => 1,
        _ => 2,
    }
}

fn missing(conn: &Connection, lost: &[(i64, i64)]) -> Result<Vec<LostRange>> {
    let mut ranges = Vec::new();
    for (id, of) in COUNTED {
        let Some((_, last)) = lost.iter().find(|it| it.0 == id) else { continue };
        let after: i64 = conn.query_row("SELECT value FROM counter WHERE id = ?1", [id], |row| row.get(0))?;
        if *last > after {
            ranges.push(LostRange { of: of.to_string(), after, last: *last });
        }
    }
    Ok(ranges)
}

fn raise(conn: &mut Connection, lost: &[(i64, i64)]) -> Result<()> {
    let tx = conn.transaction_with_behavior(TransactionBehavior::Immediate)?;
    for (id, last) in lost {
        tx.execute("UPDATE counter SET value = ?2 WHERE id = ?1 AND value < ?2", params![id, last])?;
    }
    tx.commit()?;
    Ok(())
}

/// Keeps the log and the report in a directory of their own, on disk before it has its name.
fn keep(database: &Path, log: &Path, lost: &LostCommits) -> io::Result<PathBuf> {
    let parent = database.parent().unwrap_or(Path::new(".")).join(DIRECTORY);
    let name = format!("log-{}", lost.found.0);
    let (making, made) = (parent.join(format!(".{name}")), parent.join(name));
    private::create_dir_all(&making)?;
    let copy = making.join("engine.db-wal");
    private::create_file(&copy)?;
    fs::copy(log, &copy)?;
    let report = making.join(REPORT);
    private::create_file(&report)?;
    fs::write(&report, serde_json::to_vec_pretty(lost)?)?;
    for path in [&copy, &report, &making] {
        fs::File::open(path)?.sync_all()?;
    }
    fs::rename(&making, &made)?;
    fs::File::open(&parent)?.sync_all()?;
    Ok(made)
}

/// What damaged logs have lost so far, with the directories that keep them, oldest first. A report that can't be read still
/// counts, without its numbers.
pub fn reports(database: &Path) -> Vec<(PathBuf, Option<LostCommits>)> {
    let parent = database.parent().unwrap_or(Path::new(".")).join(DIRECTORY);
    let Ok(entries) = fs::read_dir(parent) else { return Vec::new() };
    let mut found: Vec<_> = entries
        .flatten()
        .filter(|it| it.file_name().to_string_lossy().starts_with("log-"))
        .map(|it| {
            let report = fs::read(it.path().join(REPORT)).ok().and_then(|it| serde_json::from_slice(&it).ok());
            (it.path(), report)
        })
        .collect();
    found.sort_by(|one, other| one.0.cmp(&other.0));
    found
}
