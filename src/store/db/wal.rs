//! Reads the log of the database as bytes, to find what is left after the frame at which SQLite stops.
//!
//! SQLite recovers a log up to the first frame with a wrong checksum, and does not report what follows. A whole commit
//! after that frame means that acknowledged work is about to be lost. SQLite takes no lock on the log itself, so this
//! file can be read safely; the database and its shared memory can't.
//!
//! The format is described in <https://www.sqlite.org/fileformat2.html#the_write_ahead_log>.

use crate::os::regular_file;
use std::{
    io::{self, BufReader, Read, Seek, SeekFrom},
    path::{Path, PathBuf},
};

const HEADER: u64 = 32;
const FRAME_HEADER: usize = 24;

/// The low bit of the magic number gives the byte order in which checksums were computed.
const MAGIC: u32 = 0x377f_0682;

/// Commits of the newest generation that SQLite can't reach.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(in crate::store) struct Unreachable {
    /// Whole transactions after the damaged frame.
    pub commits: u64,
    /// The newest content of the page that the caller asked for, if one of the commits wrote it.
    pub page: Option<Vec<u8>>,
    /// The salts of the log, which change when it restarts.
    pub generation: [u8; 8],
}

/// The log of a database.
pub(in crate::store) fn path_of(database: &Path) -> PathBuf {
    let mut name = database.as_os_str().to_os_string();
    name.push("-wal");
    name.into()
}

/// SQLite's view of a log.
#[derive(Debug, Clone, Copy)]
pub(in crate::store) struct Shape {
    /// Of the database, in bytes.
    pub page_size: usize,
    /// The number of frames that SQLite accepts.
    pub readable: u64,
}

impl Shape {
    fn frame(&self) -> u64 {
        (FRAME_HEADER + self.page_size) as u64
    }

    /// The end of the frames that SQLite accepts, in bytes.
    pub(in crate::store) fn end(&self) -> u64 {
        HEADER + self.readable * self.frame()
    }
}

/// Reads the log after the frames that SQLite accepts, and looks for `page`.
///
/// Counts commit frames of the same generation (the same salts) whose checksum continues that of the previous frame, if
/// a damaged frame comes before them. The remains of an interrupted transaction have no commit frame, and those of an
/// older generation have other salts.
///
/// A single commit that begins at the first frame that does not fit is not a loss. A process that is killed between
/// writing its commit and publishing it leaves a whole one. A shorter commit of another process, written over its first
/// frames, leaves its end. Neither was acknowledged.
pub(in crate::store) fn unreachable(log: &Path, shape: &Shape, page: u32) -> io::Result<Unreachable> {
    let mut found = Unreachable::default();
    let file = match regular_file::open(log) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(found),
        file => file?,
    };
    let mut log = BufReader::with_capacity(1 << 16, file);
    let Some(header) = Header::read(&mut log, shape)? else { return Ok(found) };
    let mut before = header.checksum;
    if shape.readable > 0 {
        log.seek(SeekFrom::Start(shape.end() - shape.frame()))?;
        let mut frame = [0; FRAME_HEADER];
        if !fill(&mut log, &mut frame)? {
            return Ok(found);
        }
        before = checksum_at(&frame, 16);
    }
    log.seek(SeekFrom::Start(shape.end()))?;
    let mut frame = vec![0; FRAME_HEADER + shape.page_size];
    let mut pending = None;
    let mut damaged = !header.whole;
    let mut first = header.whole;
    let mut may_be_a_rest = false;
    while fill(&mut log, &mut frame)? {
        let stored = checksum_at(&frame, 16);
        let ours = frame[8..16] == header.salts;
        let whole = ours && header.checksum(&header.checksum(&before, &frame[..8]), &frame[FRAME_HEADER..]) == stored;
        before = stored;
        may_be_a_rest |= first && !whole;
        first = false;
        if !whole {
            damaged = true;
            continue;
        }
        if number(&frame, 0) == page {
            pending = Some(frame[FRAME_HEADER..].to_vec());
        }
        // The size of the database after the commit; zero in every frame that does not end a transaction.
        if number(&frame, 4) != 0 {
            // A complete commit that SQLite ignores is not a loss. Its process was killed before publishing it, so it
            // was never acknowledged, or the log is about to be overwritten from its start.
            if !damaged {
                return Ok(Unreachable::default());
            }
            found.commits += 1;
            found.page = pending.take().or(found.page);
        }
    }
    match found.commits == 0 || found.commits == 1 && may_be_a_rest {
        true => Ok(Unreachable::default()),
        false => Ok(Unreachable { generation: header.salts, ..found }),
    }
}

/// The integers in the second column of a table with two integer columns, by row id, if the table consists of this
/// single leaf page. None if the page is something else.
pub(in crate::store) fn small_table(page: &[u8]) -> Option<Vec<(i64, i64)>> {
    const TABLE_LEAF: u8 = 13;
    if *page.first()? != TABLE_LEAF {
        return None;
    }
    let cells = usize::from(u16::from_be_bytes([*page.get(3)?, *page.get(4)?]));
    let mut rows = Vec::with_capacity(cells);
    for cell in 0..cells {
        let pointer = page.get(8 + 2 * cell..10 + 2 * cell)?;
        let mut at = usize::from(u16::from_be_bytes([pointer[0], pointer[1]]));
        let _length = varint(page, &mut at)?;
        let id = varint(page, &mut at)?;
        let body = at;
        let head = varint(page, &mut at)?;
        // The row id replaces the first column, which is kept as NULL.
        let _id = varint(page, &mut at)?;
        let kind = varint(page, &mut at)?;
        rows.push((id, integer(page, body.checked_add(usize::try_from(head).ok()?)?, kind)?));
    }
    Some(rows)
}

struct Header {
    big_endian: bool,
    salts: [u8; 8],
    checksum: (u32, u32),
    /// Whether its own checksum is correct.
    whole: bool,
}

impl Header {
    /// None if there is no frame. A damaged header takes the generation of the first frame.
    fn read(log: &mut impl Read, shape: &Shape) -> io::Result<Option<Header>> {
        let (mut bytes, mut frame) = ([0; HEADER as usize], [0; FRAME_HEADER]);
        if !fill(log, &mut bytes)? || !fill(log, &mut frame)? {
            return Ok(None);
        }
        let magic = number(&bytes, 0);
        let mut header = Header {
            big_endian: if magic & !1 == MAGIC { magic & 1 == 1 } else { cfg!(target_endian = "big") },
            salts: [0; 8],
            checksum: checksum_at(&bytes, 24),
            whole: false,
        };
        header.whole = header.checksum(&(0, 0), &bytes[..24]) == header.checksum;
        header.salts.copy_from_slice(if header.whole || shape.readable > 0 { &bytes[16..24] } else { &frame[8..16] });
        Ok(Some(header))
    }

    fn checksum(&self, from: &(u32, u32), bytes: &[u8]) -> (u32, u32) {
        let (mut first, mut second) = *from;
        let word = |it: &[u8]| {
            let it = [it[0], it[1], it[2], it[3]];
            if self.big_endian { u32::from_be_bytes(it) } else { u32::from_le_bytes(it) }
        };
        for pair in bytes.chunks_exact(8) {
            first = first.wrapping_add(word(&pair[..4])).wrapping_add(second);
            second = second.wrapping_add(word(&pair[4..])).wrapping_add(first);
        }
        (first, second)
    }
}

/// Fills the buffer. False if the file ends earlier.
fn fill(from: &mut impl Read, buffer: &mut [u8]) -> io::Result<bool> {
    match from.read_exact(buffer) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
        Err(error) => Err(error),
    }
}

fn number(bytes: &[u8], at: usize) -> u32 {
    u32::from_be_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

fn checksum_at(bytes: &[u8], at: usize) -> (u32, u32) {
    (number(bytes, at), number(bytes, at + 4))
}

fn varint(page: &[u8], at: &mut usize) -> Option<i64> {
    let mut value: u64 = 0;
    for nth in 0..9 {
        let byte = *page.get(*at)?;
        *at += 1;
        if nth == 8 {
            return Some((value << 8 | u64::from(byte)) as i64);
        }
        value = value << 7 | u64::from(byte & 0x7f);
        if byte & 0x80 == 0 {
            break;
        }
    }
    Some(value as i64)
}

/// An integer of a record by its serial type.
fn integer(page: &[u8], at: usize, kind: i64) -> Option<i64> {
    let width = match kind {
        8 => return Some(0),
        9 => return Some(1),
        1..=4 => kind as usize,
        5 => 6,
        6 => 8,
        _ => return None,
    };
    let bytes = page.get(at..at.checked_add(width)?)?;
    let sign = if bytes[0] & 0x80 == 0 { 0 } else { -1 };
    Some(bytes.iter().fold(sign, |value: i64, byte| value << 8 | i64::from(*byte)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use rusqlite::{Connection, OpenFlags};

    /// A log with ten commits and its database, with a counter of 100 times their number; and the root page of the
    /// counter table.
    fn ten_commits(dir: &Path) -> (PathBuf, u32) {
        let path = dir.join("live.db");
        let db = Connection::open(&path).unwrap();
        db.execute_batch(
            "PRAGMA journal_mode=WAL; PRAGMA wal_autocheckpoint=0;
             CREATE TABLE counter(id INTEGER PRIMARY KEY, value INTEGER NOT NULL) STRICT;
             CREATE TABLE other(text TEXT);
             INSERT INTO counter VALUES (1, 0), (2, -7); PRAGMA wal_checkpoint(TRUNCATE);",
        )
        .unwrap();
        for nth in 1..=10 {
            db.execute_batch(&format!(
                "BEGIN; INSERT INTO other VALUES ('{nth}'); UPDATE counter SET value = {nth} * 100000 WHERE id = 1; COMMIT"
            ))
            .unwrap();
        }
        let root =
            db.query_row("SELECT rootpage FROM sqlite_schema WHERE name='counter'", [], |row| row.get(0)).unwrap();
        // As after a crash: the files as they are while the connection is open.
        let copy = dir.join("copy.db");
        for (from, to) in [(path.clone(), copy.clone()), (path_of(&path), path_of(&copy))] {
            std::fs::copy(from, to).unwrap();
        }
        (copy, root)
    }

    fn shape(readable: u64) -> Shape {
        Shape { page_size: 4096, readable }
    }

    fn readable(database: &Path) -> u64 {
        let db = Connection::open_with_flags(database, OpenFlags::SQLITE_OPEN_READ_WRITE).unwrap();
        db.query_row("PRAGMA wal_checkpoint(NOOP)", [], |row| row.get::<_, i64>(1)).unwrap() as u64
    }

    #[test]
    fn a_sound_log_has_nothing_behind_its_end() {
        let dir = tempfile::tempdir().unwrap();
        let (database, root) = ten_commits(dir.path());
        let log = path_of(&database);
        let bytes = std::fs::read(&log).unwrap();
        let frames = readable(&database);
        assert!(frames >= 20, "{frames}");
        std::fs::write(&log, &bytes).unwrap();
        assert_eq!(unreachable(&log, &shape(frames), root).unwrap(), Unreachable::default());
        assert_eq!(unreachable(&dir.path().join("none"), &shape(0), root).unwrap(), Unreachable::default());
        std::fs::write(&log, b"short").unwrap();
        assert_eq!(unreachable(&log, &shape(0), root).unwrap(), Unreachable::default());
    }

    #[test]
    fn commits_behind_a_damaged_frame_are_counted_with_the_newest_counters() {
        let dir = tempfile::tempdir().unwrap();
        let (database, root) = ten_commits(dir.path());
        let log = path_of(&database);
        let sound = std::fs::read(&log).unwrap();
        let size = 24 + 4096;
        let frames = (sound.len() - 32) / size;
        for (frame, byte) in [(4, 24 + 100), (4, 9), (4, 17), (0, 24), (frames - 5, 30)] {
            let mut bytes = sound.clone();
            bytes[32 + frame * size + byte] ^= 0x10;
            std::fs::write(&log, &bytes).unwrap();
            let seen = readable(&database);
            std::fs::write(&log, &bytes).unwrap();
            assert!(seen <= frame as u64, "SQLite read {seen} frames up to the damage in {frame}");
            let found = unreachable(&log, &shape(seen), root).unwrap();
            assert!(found.commits >= 1, "frame {frame}: {}", found.commits);
            let counters = small_table(&found.page.unwrap()).unwrap();
            assert_eq!(counters, [(1, 1_000_000), (2, -7)], "frame {frame}");
        }
    }

    #[test]
    fn whole_frames_that_sqlite_does_not_know_yet_are_no_damage() {
        let dir = tempfile::tempdir().unwrap();
        let (database, root) = ten_commits(dir.path());
        let log = path_of(&database);
        let frames = (std::fs::read(&log).unwrap().len() as u64 - 32) / (24 + 4096);
        // A commit whose process was killed before publishing it, and a log that is about to be overwritten.
        for known in [frames - 3, frames / 2, 0] {
            assert_eq!(unreachable(&log, &shape(known), root).unwrap(), Unreachable::default(), "{known} known");
        }
    }

    #[test]
    fn the_rest_of_a_commit_that_was_never_made_known_is_no_damage() {
        let dir = tempfile::tempdir().unwrap();
        let (database, root) = ten_commits(dir.path());
        // Two transactions that both follow the tenth. The process of the longer one died, and the shorter one was
        // written over it.
        let followed_by = |name: &str, rows: usize| {
            let copy = dir.path().join(name);
            std::fs::copy(&database, &copy).unwrap();
            std::fs::copy(path_of(&database), path_of(&copy)).unwrap();
            let db = Connection::open(&copy).unwrap();
            let text = "x".repeat(3_000);
            let rows = vec![format!("INSERT INTO other VALUES ('{text}');"); rows].concat();
            db.execute_batch(&format!("PRAGMA wal_autocheckpoint=0; BEGIN; {rows} COMMIT")).unwrap();
            std::fs::read(path_of(&copy)).unwrap()
        };
        let (long, short) = (followed_by("long.db", 20), followed_by("short.db", 2));
        assert!(long.len() > short.len() + 5 * (24 + 4096) && long[..32] == short[..32]);
        let mut bytes = long;
        bytes[..short.len()].copy_from_slice(&short);
        let log = path_of(&database);
        std::fs::write(&log, &bytes).unwrap();
        let known = readable(&database);
        assert_eq!(known, (short.len() as u64 - 32) / (24 + 4096));
        std::fs::write(&log, &bytes).unwrap();
        assert_eq!(unreachable(&log, &shape(known), root).unwrap(), Unreachable::default());
    }

    #[test]
    fn a_damaged_header_hides_no_commit() {
        let dir = tempfile::tempdir().unwrap();
        let (database, root) = ten_commits(dir.path());
        let log = path_of(&database);
        let sound = std::fs::read(&log).unwrap();
        for byte in [0, 5, 10, 17, 30] {
            let mut bytes = sound.clone();
            bytes[byte] ^= 0x20;
            std::fs::write(&log, &bytes).unwrap();
            assert_eq!(readable(&database), 0, "byte {byte}");
            std::fs::write(&log, &bytes).unwrap();
            let found = unreachable(&log, &shape(0), root).unwrap();
            assert!(found.commits >= 9, "byte {byte}: {}", found.commits);
        }
    }

    #[test]
    fn a_log_that_is_cut_short_has_nothing_behind_its_end() {
        let dir = tempfile::tempdir().unwrap();
        let (database, root) = ten_commits(dir.path());
        let log = path_of(&database);
        let sound = std::fs::read(&log).unwrap();
        for part in 1..8 {
            let bytes = &sound[..sound.len() * part / 8 + part * 13];
            std::fs::write(&log, bytes).unwrap();
            let seen = readable(&database);
            std::fs::write(&log, bytes).unwrap();
            assert_eq!(unreachable(&log, &shape(seen), root).unwrap().commits, 0, "part {part}");
        }
    }

    #[test]
    fn bytes_that_are_no_table_are_refused() {
        assert_eq!(small_table(&[]), None);
        assert_eq!(small_table(&[5; 4096]), None);
        assert_eq!(small_table(&[13; 4096]), None);
        let mut empty = vec![0; 4096];
        empty[0] = 13;
        assert_eq!(small_table(&empty), Some(Vec::new()));
    }
}
