//! Commits that the database has lost. A loss is detected when the database is opened and is reported; the lost numbers
//! are never issued again.
//!
//! A damaged log contains whole commits that SQLite can't reach. A database that was replaced by an old copy, or whose
//! newest commits never reached the disk, has lower counters than numbers that are found elsewhere (see
//! [`crate::store::elsewhere`]).
//!
//! The report, and a copy of a damaged log, stay in `damaged/` beside the database until a user removes them, because
//! SQLite empties the log at the first checkpoint.

use crate::store::{
    backup::LEAP,
    elsewhere::{IssuedNumbers, Numbered},
    error::{Error, Result},
    read_tx::ReadTx,
    sequence,
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
/// The prefix of a report's directory: with or without a copy of the log.
const OF_LOG: &str = "log-";
const OF_COUNTERS: &str = "counters-";

/// Counters by row of the table `counter`, with the words for what they count.
const COUNTED: [(i64, &str); 4] = [(1, "lease token"), (2, "group"), (3, "run"), (4, "step")];

/// A loss of committed data.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LostCommits {
    pub found: Timestamp,
    /// Complete transactions after the damaged frame of a log. 0: only the numbers show the loss.
    pub commits: u64,
    /// The counters of the database, and the values that they had reached in the lost commits.
    pub counters: Vec<LostRange>,
    /// The generation of the damaged log in hexadecimal, so that each damage is reported once.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub log: String,
}

/// Numbers that were issued and are no longer known: `after` < n <= `last`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LostRange {
    pub of: String,
    pub after: i64,
    pub last: i64,
    /// Where the last number was found, if not in the log.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seen_in: Option<String>,
}

impl LostCommits {
    /// In words: `1,654 commits; groups 1008 to 2661`, or `runs are counted up to 1, and run 3 is in vector database x.db`.
    pub fn words(&self) -> String {
        if self.commits == 0 {
            return self.counters.iter().map(LostRange::seen).collect::<Vec<_>>().join("; ");
        }
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
    fn seen(&self) -> String {
        let place = self.seen_in.as_deref().unwrap_or("the log");
        format!("{}s are counted up to {}, but {} {} is in {place}", self.of, self.after, self.of, self.last)
    }

    fn words(&self) -> String {
        match self.last - self.after {
            1 => format!("{} {}", self.of, self.last),
            _ => format!("{}s {} to {}", self.of, self.after + 1, self.last),
        }
    }
}

/// Whether the log seems to contain commits after its end. Checked without a turn, so a commit in progress can look
/// like one; only the holder of the turn can tell.
pub(in crate::store) fn are_suspected(conn: &Connection, database: &Path) -> Result<bool> {
    Ok(find(conn, database)?.is_some())
}

/// Searches for commits after the end of the log. If there are any, keeps a copy of the log with a report, and raises
/// the counters above every number issued in the lost commits. Called under the turnstile, before anything is written.
///
/// Fails if the copy can't be kept, because opening the database would destroy the only evidence.
pub(in crate::store) fn look(conn: &mut Connection, database: &Path, now: Timestamp) -> Result<()> {
    let Some(behind) = find(conn, database)? else { return Ok(()) };
    let log = hex::encode(behind.generation);
    let counters = behind.page.as_deref().and_then(wal::small_table).unwrap_or_default();
    if reports(database).iter().any(|it| it.1.as_ref().is_some_and(|known| known.log == log)) {
        // Reported by a process that may have died before the counters were raised.
        return raise(conn, &counters);
    }
    let lost = LostCommits { found: now, commits: behind.commits, counters: missing(conn, &counters)?, log };
    let kept = keep(database, Some(&wal::path_of(database)), &lost).map_err(|source| Error::File {
        action: "keep a copy of the damaged log of",
        path: database.to_path_buf(),
        source,
    })?;
    raise(conn, &counters)?;
    tracing::error!(
        lost = lost.words(),
        kept = %kept.display(),
        "the log of the database was damaged; acknowledged commits are lost"
    );
    Ok(())
}

/// Whether a number was found elsewhere that the database has not issued yet.
pub(in crate::store) fn are_seen(conn: &Connection, issued: &IssuedNumbers) -> Result<bool> {
    Ok(!issued.behind(conn)?.is_empty())
}

/// Compares the counters with numbers found elsewhere. If a counter is lower, writes a report and raises it before any
/// number is issued. Called under the turnstile.
pub(in crate::store) fn look_elsewhere(
    conn: &mut Connection,
    database: &Path,
    issued: &IssuedNumbers,
    now: Timestamp,
) -> Result<()> {
    let behind = issued.behind(conn)?;
    if behind.is_empty() {
        return Ok(());
    }
    let counters: Vec<LostRange> = behind
        .iter()
        .map(|it| LostRange {
            of: it.of.name().to_string(),
            after: it.after,
            last: it.seen,
            seen_in: Some(it.place.clone()),
        })
        .collect();
    let lost = LostCommits { found: now, commits: 0, counters, log: String::new() };
    let kept = keep(database, None, &lost).map_err(|source| Error::File {
        action: "leave a report about",
        path: database.to_path_buf(),
        source,
    })?;
    let seen = |of: Numbered| behind.iter().find(|it| it.of == of);
    // Each missing run and step may have been the only one of its group and run.
    let gap = [Numbered::Run, Numbered::Step].into_iter().filter_map(seen).map(|it| it.seen - it.after).max();
    let tx = conn.transaction_with_behavior(TransactionBehavior::Immediate)?;
    for (id, of) in [(2, None), (3, Some(Numbered::Run)), (4, Some(Numbered::Step))] {
        let last = of.and_then(seen).map_or(0, |it| it.seen);
        let sql = "UPDATE counter SET value = max(value + ?2, ?3) WHERE id = ?1";
        tx.execute(sql, params![id, gap.unwrap_or(0), last])?;
    }
    // It is unknown how many tokens were lost with the missing commits.
    let last = seen(Numbered::Token).map_or(0, |it| it.seen);
    tx.execute("UPDATE counter SET value = max(value, ?1) + ?2 WHERE id = 1", [last, LEAP])?;
    if let Some(worker) = seen(Numbered::Worker) {
        sequence::skip_to(&ReadTx::new(&tx), "worker", worker.seen)?;
    }
    tx.commit()?;
    tracing::error!(
        lost = lost.words(),
        report = %kept.display(),
        "the engine database has lost its newest commits, or is an old copy; new numbers start above those seen"
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
    // If a program that does not use the turnstile has just committed, the frames behind the old end are not lost.
    let lost = behind.commits >= least(&log) && self::readable(conn)? == readable;
    Ok(lost.then_some(behind))
}

/// The number of frames in the log that SQLite accepts.
fn readable(conn: &Connection) -> Result<u64> {
    let frames = conn.query_row("PRAGMA wal_checkpoint(NOOP)", [], |row| row.get::<_, i64>(1))?;
    Ok(frames.max(0) as u64)
}

/// How many commits after the end indicate a loss. After a power cut, part of the last transaction may be on disk,
/// although it was never acknowledged. A log last written before this boot must therefore have two.
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
            ranges.push(LostRange { of: of.to_string(), after, last: *last, seen_in: None });
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

/// Writes the report, and the log if there is one, into a directory that gets its final name only when it is on disk.
fn keep(database: &Path, log: Option<&Path>, lost: &LostCommits) -> io::Result<PathBuf> {
    let parent = database.parent().unwrap_or(Path::new(".")).join(DIRECTORY);
    let kind = if log.is_some() { OF_LOG } else { OF_COUNTERS };
    let name = format!("{kind}{}-{}", lost.found.0, std::process::id());
    let (making, made) = (parent.join(format!(".{name}")), parent.join(name));
    private::create_dir_all(&making)?;
    if let Some(log) = log {
        let copy = making.join("engine.db-wal");
        private::create_file(&copy)?;
        fs::copy(log, &copy)?;
        fs::File::open(copy)?.sync_all()?;
    }
    let report = making.join(REPORT);
    private::create_file(&report)?;
    fs::write(&report, serde_json::to_vec_pretty(lost)?)?;
    for path in [&report, &making] {
        fs::File::open(path)?.sync_all()?;
    }
    fs::rename(&making, &made)?;
    fs::File::open(&parent)?.sync_all()?;
    Ok(made)
}

/// All losses so far, with the directories of their reports. A report that can't be read is included without its
/// numbers.
pub fn reports(database: &Path) -> Vec<(PathBuf, Option<LostCommits>)> {
    let parent = database.parent().unwrap_or(Path::new(".")).join(DIRECTORY);
    let Ok(entries) = fs::read_dir(parent) else { return Vec::new() };
    let mut found: Vec<_> = entries
        .flatten()
        .filter(|it| [OF_LOG, OF_COUNTERS].iter().any(|own| it.file_name().to_string_lossy().starts_with(own)))
        .map(|it| {
            let report = fs::read(it.path().join(REPORT)).ok().and_then(|it| serde_json::from_slice(&it).ok());
            (it.path(), report)
        })
        .collect();
    found.sort_by(|one, other| one.0.cmp(&other.0));
    found
}
