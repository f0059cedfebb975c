//! When a new or changed file has settled, when files that arrived together start their workflow, and when documents
//! are synced again.

use crate::model::{Millis, Monotonic};

/// What identifies one version of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct FileVersion {
    /// In bytes.
    pub size: i64,
    /// Nanoseconds since the Unix epoch, as the file system reports it.
    pub mtime: i64,
    /// 0 if unknown, as after a restore to another disk.
    pub inode: i64,
}

impl FileVersion {
    /// Whether this is the version that was seen.
    pub fn is(&self, seen: &FileVersion) -> bool {
        let inode = self.inode == seen.inode || self.inode == 0 || seen.inode == 0;
        inode && (self.size, self.mtime) == (seen.size, seen.mtime)
    }
}

/// A file that may still be being written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sighting {
    pub version: FileVersion,
    /// When this version was first seen.
    pub since: Monotonic,
}

/// The result of looking at a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Look {
    /// It has been handled.
    Known,
    /// It must stay unchanged for longer.
    Waits(Sighting),
    Settled(FileVersion),
}

/// `known` is the version that has been handled, and `before` the last look at a version that has not.
pub fn look(
    known: Option<FileVersion>,
    before: Option<Sighting>,
    seen: FileVersion,
    now: Monotonic,
    settled: Millis,
) -> Look {
    if known.is_some_and(|it| it.is(&seen)) {
        return Look::Known;
    }
    match before {
        Some(before) if before.version == seen && now.since(before.since) >= settled => Look::Settled(seen),
        Some(before) if before.version == seen => Look::Waits(before),
        _ => Look::Waits(Sighting { version: seen, since: now }),
    }
}

/// The most files that one burst can have.
pub const MOST: usize = 100_000;

/// Settled files wait for others for at most this many settling times.
pub const PATIENCE: u64 = 5;

/// The files that have arrived since the last burst.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Gathering {
    pub settled: usize,
    /// Files that may still be being written.
    pub unsettled: usize,
    /// When a file last arrived, or changed for the first time since it was handled.
    pub last_arrival: Monotonic,
    /// When the first of the settled files settled.
    pub first_settled: Monotonic,
}

/// Whether the settled files start now, as one group. Otherwise they wait, because more files are about to settle.
pub fn starts(it: Gathering, now: Monotonic, settled: Millis) -> bool {
    it.settled > 0
        && (it.unsettled == 0
            || it.settled >= MOST
            || now.since(it.last_arrival).0 > settled.0.saturating_mul(2)
            || now.since(it.first_settled) >= Millis(settled.0.saturating_mul(PATIENCE)))
}

/// Changes noticed since a sync began.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stir {
    pub first: Monotonic,
    pub last: Monotonic,
}

/// A sync begins after this much quiet, and at the latest this long after the first change.
const QUIET: Millis = Millis::seconds(1);
const LONGEST: Millis = Millis::seconds(10);

/// When documents are synced next. `synced` is when the last sync ended; `every` is the interval without changes.
pub fn sync_is_due_at(synced: Monotonic, stir: Option<Stir>, every: Millis) -> Monotonic {
    let regular = synced + every;
    match stir {
        None => regular,
        Some(it) => regular.min((it.last + QUIET).min(it.first + LONGEST).max(synced + QUIET)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SETTLED: Millis = Millis(2_000);

    fn version(size: i64, mtime: i64, inode: i64) -> FileVersion {
        FileVersion { size, mtime, inode }
    }

    #[test]
    fn a_version_is_its_size_its_time_and_its_inode() {
        let known = version(5, 70, 9);
        for (seen, same) in [
            (known, true),
            (version(6, 70, 9), false),
            (version(5, 71, 9), false),
            (version(5, 70, 10), false),
            (version(5, 70, 0), true),
        ] {
            assert_eq!((known.is(&seen), seen.is(&known)), (same, same), "{seen:?}");
        }
    }

    #[test]
    fn a_file_has_settled_when_two_looks_so_far_apart_see_the_same() {
        let (old, new) = (version(1, 1, 1), version(2, 2, 1));
        let seen = |version, at| Some(Sighting { version, since: Monotonic(at) });
        let waits = |version, at| Look::Waits(Sighting { version, since: Monotonic(at) });
        let table = [
            ("it is known", Some(new), None, 0, Look::Known),
            ("it went back to what is known", Some(new), seen(old, 0), 9_000, Look::Known),
            ("it came", None, None, 100, waits(new, 100)),
            ("it changed", Some(old), None, 100, waits(new, 100)),
            ("too early", None, seen(new, 100), 2_099, waits(new, 100)),
            ("long enough", None, seen(new, 100), 2_100, Look::Settled(new)),
            ("it is still being written", None, seen(old, 100), 9_000, waits(new, 9_000)),
        ];
        for (what, known, before, now, wanted) in table {
            assert_eq!(look(known, before, new, Monotonic(now), SETTLED), wanted, "{what}");
        }
    }

    #[test]
    fn files_that_come_together_start_together_and_one_that_never_settles_delays_them_only_a_little() {
        let table = [
            ("nothing has settled", 0, 3, 0, 0, 99_000, false),
            ("all have settled", 3, 0, 1_000, 3_000, 3_000, true),
            ("others are about to", 1, 2, 2_000, 2_500, 3_000, false),
            ("nothing new comes", 1, 1, 2_000, 2_500, 6_001, true),
            ("files come for ever", 10, 2, 12_000, 2_500, 12_499, false),
            ("but not for longer than that", 10, 2, 12_000, 2_500, 12_500, true),
            ("it is full", MOST, 2, 2_500, 2_500, 2_500, true),
        ];
        for (what, settled, unsettled, arrival, first, now, wanted) in table {
            let it =
                Gathering { settled, unsettled, last_arrival: Monotonic(arrival), first_settled: Monotonic(first) };
            assert_eq!(starts(it, Monotonic(now), SETTLED), wanted, "{what}");
        }
    }

    #[test]
    fn documents_are_synced_when_it_is_quiet_again_and_at_latest_after_a_while() {
        let stir = |first, last| Some(Stir { first: Monotonic(first), last: Monotonic(last) });
        let table = [
            ("nothing changed", 1_000, None, 301_000),
            ("one change", 1_000, stir(50_000, 50_000), 51_000),
            ("changes for a while", 1_000, stir(50_000, 55_000), 56_000),
            ("changes all the time", 1_000, stir(50_000, 59_900), 60_000),
            ("a change during the sync", 60_000, stir(50_000, 50_000), 61_000),
            ("a change just before its time", 1_000, stir(300_900, 300_900), 301_000),
        ];
        for (what, synced, stir, due) in table {
            assert_eq!(sync_is_due_at(Monotonic(synced), stir, Millis::minutes(5)), Monotonic(due), "{what}");
        }
    }
}
