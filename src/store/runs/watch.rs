//! Tables `watch` and `watched_file`: directories whose files start workflows, and the files that were already handled.

use crate::decide::watch::FileVersion;
use crate::model::code::FIRING_COLLECTING;
use crate::model::{DefinitionId, Timestamp};
use crate::store::{
    error::Result,
    event,
    params::params,
    row::Row,
    schedule::{self, ScheduleRow},
    tx::{ReadTx, WriteTx},
};
use const_format::formatcp;

/// The most files that one transaction writes.
pub const SLICE: usize = 900;

/// A row of `watch`, and its schedule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WatchRow {
    pub id: i64,
    /// Absolute.
    pub directory: String,
    pub complete: bool,
    pub revision: i64,
    pub schedule: ScheduleRow,
}

/// A file, by its path relative to the directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WatchedFile {
    pub path: String,
    pub version: FileVersion,
}

/// Starts a watch for a schedule, or records that the schedule changed. The known files are kept unless the directory
/// is different. `existing`: whether files that already exist count as new. If the `same` files match as before, this
/// is not decided again.
pub fn put(tx: &WriteTx, schedule: i64, directory: &str, existing: bool, same: bool) -> Result<()> {
    let kept = tx.execute(
        "UPDATE watch SET revision = revision + 1, complete = min(complete, ?3) WHERE schedule_id = ?1 AND directory = ?2",
        params![schedule, directory, existing || same],
    )?;
    if kept == 0 {
        tx.execute("DELETE FROM watch WHERE schedule_id = ?1", [schedule])?;
        tx.execute(
            "INSERT INTO watch(schedule_id, directory, complete) VALUES (?1, ?2, ?3)",
            params![schedule, directory, existing],
        )?;
    }
    Ok(())
}

/// Ends the watch of a schedule that now fires by time. Its known files are deleted in slices; see `orphan`.
pub fn end(tx: &WriteTx, schedule: i64) -> Result<()> {
    tx.execute("DELETE FROM watch WHERE schedule_id = ?1", [schedule])?;
    Ok(())
}

/// Marks a change that the watching process must notice.
pub fn touch(tx: &WriteTx, name: &str) -> Result<()> {
    tx.execute(
        "UPDATE watch SET revision = revision + 1 WHERE schedule_id = (SELECT id FROM schedule WHERE name = ?1)",
        [name],
    )?;
    Ok(())
}

/// All watches.
pub fn all(tx: &ReadTx) -> Result<Vec<WatchRow>> {
    let read = |row: &Row| Ok((row.get::<i64>(0)?, row.get::<i64>(1)?, row.get(2)?, row.get(3)?, row.get(4)?));
    let rows = tx.rows("SELECT id, schedule_id, directory, complete, revision FROM watch ORDER BY id", [], read)?;
    let mut found = Vec::with_capacity(rows.len());
    for (id, schedule, directory, complete, revision) in rows {
        if let Some(schedule) = schedule::by_id(tx, schedule)? {
            found.push(WatchRow { id, directory, complete, revision, schedule });
        }
    }
    Ok(found)
}

/// Changes whenever a watch is added, changed or removed.
pub fn stamp(tx: &ReadTx) -> Result<[i64; 3]> {
    let sql = "SELECT coalesce(max(id), 0), count(*), coalesce(sum(revision), 0) FROM watch";
    let stamp = tx.row(sql, [], |row| Ok([row.get(0)?, row.get(1)?, row.get(2)?]))?;
    Ok(stamp.unwrap_or_default())
}

/// The watch of a schedule: its id, its directory, and whether the initially existing files are recorded.
pub fn of_schedule(tx: &ReadTx, schedule: i64) -> Result<Option<(i64, String, bool)>> {
    tx.row("SELECT id, directory, complete FROM watch WHERE schedule_id = ?1", [schedule], |row| {
        Ok((row.get(0)?, row.get(1)?, row.get(2)?))
    })
}

/// The number of known files.
pub fn count(tx: &ReadTx, watch: i64) -> Result<i64> {
    let count = tx.row("SELECT count(*) FROM watched_file WHERE watch_id = ?1", [watch], |row| row.get(0))?;
    Ok(count.unwrap_or(0))
}

pub(in crate::store) const KNOWN_AFTER: &str =
    "SELECT path, size, mtime, inode FROM watched_file WHERE watch_id = ?1 AND path > ?2 ORDER BY path LIMIT ?3";

/// Known files after a path, sorted by path.
pub fn known_after(tx: &ReadTx, watch: i64, after: &str, limit: usize) -> Result<Vec<WatchedFile>> {
    tx.rows(KNOWN_AFTER, params![watch, after, limit as i64], read_file)
}

fn read_file(row: &Row) -> Result<WatchedFile> {
    let version = FileVersion { size: row.get(1)?, mtime: row.get(2)?, inode: row.get(3)? };
    Ok(WatchedFile { path: row.get(0)?, version })
}

pub(in crate::store) const KNOWN: &str =
    "SELECT path, size, mtime, inode FROM watched_file WHERE watch_id = ?1 AND path = ?2";

/// The handled version of a file.
pub fn known(tx: &ReadTx, watch: i64, path: &str) -> Result<Option<FileVersion>> {
    tx.row(KNOWN, params![watch, path], |row| Ok(read_file(row)?.version))
}

/// Records files that existed before the watch, unless they are already known; at most `SLICE`.
pub fn add_existing(tx: &WriteTx, watch: i64, files: &[WatchedFile]) -> Result<()> {
    for it in files {
        tx.execute(
            "INSERT INTO watched_file(watch_id, path, size, mtime, inode, burst)
             SELECT id, ?2, ?3, ?4, ?5, 0 FROM watch WHERE id = ?1 ON CONFLICT(watch_id, path) DO NOTHING",
            params![watch, it.path, it.version.size, it.version.mtime, it.version.inode],
        )?;
    }
    Ok(())
}

/// Records that all files that existed before the watch are known.
pub fn complete(tx: &WriteTx, watch: i64) -> Result<()> {
    tx.execute("UPDATE watch SET complete = 1, revision = revision + 1 WHERE id = ?1 AND complete = 0", [watch])?;
    Ok(())
}

/// A time for a new burst, later than all earlier bursts of its schedule.
pub fn next_burst(tx: &ReadTx, schedule: i64, now: Timestamp) -> Result<Timestamp> {
    let last =
        tx.row("SELECT max(instant) FROM firing WHERE schedule_id = ?1", [schedule], |row| row.get::<Option<i64>>(0))?;
    Ok(Timestamp(now.0.max(last.flatten().map_or(0, |it| it + 1))))
}

/// Assigns these files to a burst that is about to be submitted; at most `SLICE`. False: the watch is paused, gone or
/// changed, and nothing was written.
pub fn gather(tx: &WriteTx, watch: &WatchRow, burst: Timestamp, files: &[WatchedFile]) -> Result<bool> {
    let open = tx.execute(
        formatcp!(
            "INSERT INTO firing(schedule_id, instant, state, at)
             SELECT s.id, ?3, {FIRING_COLLECTING}, ?4 FROM schedule s JOIN watch w ON w.schedule_id = s.id
              WHERE w.id = ?1 AND s.id = ?2 AND s.paused = 0
             ON CONFLICT(schedule_id, instant) DO UPDATE SET at = excluded.at WHERE state = {FIRING_COLLECTING}"
        ),
        params![watch.id, watch.schedule.id, burst.0, tx.now().0],
    )?;
    if open == 0 {
        return Ok(false);
    }
    for it in files {
        tx.execute(
            "INSERT INTO watched_file(watch_id, path, size, mtime, inode, burst) VALUES (?1, ?2, ?3, ?4, ?5, ?6)
             ON CONFLICT(watch_id, path) DO UPDATE SET size = excluded.size, mtime = excluded.mtime, inode = excluded.inode,
                 burst = excluded.burst",
            params![watch.id, it.path, it.version.size, it.version.mtime, it.version.inode, burst.0],
        )?;
    }
    Ok(true)
}

/// A burst that was gathered, at least in part, and not yet recorded as started.
pub fn open_burst(tx: &ReadTx, schedule: i64) -> Result<Option<Timestamp>> {
    tx.row(
        formatcp!(
            "SELECT instant FROM firing WHERE schedule_id = ?1 AND state = {FIRING_COLLECTING} AND group_id IS NULL LIMIT 1"
        ),
        [schedule],
        |row| row.get(0).map(Timestamp),
    )
}

/// The files of a burst after a path, sorted by path. Reads all known files after that path.
pub fn of_burst(tx: &ReadTx, watch: i64, burst: Timestamp, after: &str, limit: usize) -> Result<Vec<WatchedFile>> {
    tx.rows(
        "SELECT path, size, mtime, inode FROM watched_file WHERE watch_id = ?1 AND path > ?2 AND burst = ?3
          ORDER BY path LIMIT ?4",
        params![watch, after, burst.0, limit as i64],
        read_file,
    )
}

/// Deletes files that are gone, or whose burst did not start; at most `SLICE`.
pub fn forget(tx: &WriteTx, watch: i64, paths: &[String]) -> Result<()> {
    for path in paths {
        tx.execute("DELETE FROM watched_file WHERE watch_id = ?1 AND path = ?2", params![watch, path])?;
    }
    Ok(())
}

/// Records what prevents a watch from seeing files or starting its workflow; empty if nothing does. False: it was
/// already recorded. `alerts`: the definition of the hooks that run in addition to those of the workflow.
pub fn set_problem(tx: &WriteTx, watch: &WatchRow, problem: &str, alerts: Option<DefinitionId>) -> Result<bool> {
    let changed = tx.execute(
        "UPDATE schedule SET problem = ?2 WHERE id = ?1 AND problem <> ?2",
        params![watch.schedule.id, problem],
    )?;
    if changed == 1 && !problem.is_empty() {
        let detail = format!("{}: {problem}", watch.schedule.name);
        let definitions = [watch.schedule.definition].into_iter().chain(alerts);
        event::schedule_missed(tx, watch.schedule.id, definitions, None, detail)?;
    }
    Ok(changed == 1)
}

/// A deleted watch that still has known files.
pub fn orphan(tx: &ReadTx) -> Result<Option<i64>> {
    let mut last = 0;
    loop {
        let next =
            tx.row("SELECT watch_id FROM watched_file WHERE watch_id > ?1 ORDER BY watch_id LIMIT 1", [last], |row| {
                row.get::<i64>(0)
            })?;
        let Some(id) = next else { return Ok(None) };
        if tx.row("SELECT id FROM watch WHERE id = ?1", [id], |row| row.get::<i64>(0))?.is_none() {
            return Ok(Some(id));
        }
        last = id;
    }
}

/// Deletes known files of a deleted watch. False: none are left.
pub fn sweep(tx: &WriteTx, watch: i64) -> Result<bool> {
    let removed = tx.execute(
        "DELETE FROM watched_file WHERE watch_id = ?1 AND NOT EXISTS (SELECT 1 FROM watch WHERE id = ?1)
            AND path IN (SELECT path FROM watched_file WHERE watch_id = ?1 ORDER BY path LIMIT ?2)",
        [watch, SLICE as i64],
    )?;
    Ok(removed > 0)
}
