//! The output of a running attempt so far, in files that followers can read.
//!
//! A short attempt writes nothing. A longer one writes at most 64 KiB of each stream five times a second. Its files are
//! never flushed, and are removed with the directory of the attempt. Each file begins with the position in the stream
//! (8 bytes, little-endian) of its first data byte. A file that has grown too long is replaced by one that begins
//! later.

use super::capture::Captured;
use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

const FIRST: Duration = Duration::from_millis(300);
const PAUSE: Duration = Duration::from_millis(200);
/// The maximum written of one stream at a time. A follower of faster output misses some of it until the attempt ends.
const MOST_AT_ONCE: usize = 64 << 10;
const LONGEST: u64 = 1 << 20;
const HEADER: usize = 8;

/// The two streams of one attempt.
#[derive(Debug)]
pub(super) struct Live {
    dir: PathBuf,
    next: Instant,
    streams: [Spool; 2],
}

#[derive(Debug, Default)]
struct Spool {
    file: Option<File>,
    /// How many bytes of the stream were written or skipped.
    written: u64,
    length: u64,
}

impl Live {
    /// `dir` may not exist: it is created when there is something to write.
    pub fn new(dir: &Path, began: Instant) -> Live {
        Live { dir: dir.to_path_buf(), next: began + FIRST, streams: Default::default() }
    }

    /// When there will be something to write; `None` if everything is written.
    pub fn due(&self, captured: [&Captured; 2]) -> Option<Instant> {
        let behind = self.streams.iter().zip(captured).any(|(spool, captured)| captured.total > spool.written);
        behind.then_some(self.next)
    }

    /// Writes the output since the last call. If the write fails, only followers miss the output.
    pub fn look(&mut self, captured: [&Captured; 2], now: Instant) {
        if now < self.next || self.due(captured).is_none() {
            return;
        }
        self.next = now + PAUSE;
        for (number, (spool, captured)) in self.streams.iter_mut().zip(captured).enumerate() {
            if captured.total > spool.written {
                let _ = spool.write(&self.dir, number + 1, captured);
                spool.written = captured.total;
            }
        }
    }
}

impl Spool {
    fn write(&mut self, dir: &Path, number: usize, captured: &Captured) -> io::Result<()> {
        let fresh = (captured.total - self.written).min(captured.newest.len() as u64) as usize;
        let fresh = fresh.min(MOST_AT_ONCE);
        let from = captured.total - fresh as u64;
        let bytes = &captured.newest[captured.newest.len() - fresh..];
        // A gap also needs a new file.
        if self.file.is_none() || self.length + fresh as u64 > LONGEST || from > self.written {
            fs::create_dir_all(dir)?;
            let next = dir.join(format!("live.{number}.next"));
            let mut file = own_file(OpenOptions::new().write(true).create(true).truncate(true)).open(&next)?;
            file.write_all(&[&from.to_le_bytes()[..], bytes].concat())?;
            fs::rename(&next, path(dir, number))?;
            (self.file, self.length) = (Some(file), fresh as u64);
            return Ok(());
        }
        let Some(file) = &mut self.file else { return Ok(()) };
        file.write_all(bytes)?;
        self.length += fresh as u64;
        Ok(())
    }
}

/// The step can write to the directory of its attempt, so this follows no links and does not wait on a fifo.
fn own_file(options: &mut OpenOptions) -> &mut OpenOptions {
    options.custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK)
}

fn path(dir: &Path, number: usize) -> PathBuf {
    dir.join(format!("live.{number}"))
}

/// Reads the output of the attempt in `dir` from a position on. `stream` is 1 for stdout, 2 for stderr. Returns the
/// position of the first byte, which is later if some bytes are gone. `None` if there is no more output yet.
pub fn read_from(dir: &Path, stream: usize, position: u64) -> Option<(u64, Vec<u8>)> {
    let mut text = Vec::new();
    let file = own_file(OpenOptions::new().read(true)).open(path(dir, stream)).ok()?;
    file.metadata().ok().filter(|it| it.is_file())?;
    file.take(2 * LONGEST).read_to_end(&mut text).ok()?;
    let (header, body) = text.split_first_chunk::<HEADER>()?;
    let first = u64::from_le_bytes(*header);
    let begin = position.max(first);
    let bytes = body.get((begin - first) as usize..)?;
    (!bytes.is_empty()).then(|| (begin, bytes.to_vec()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Bytes;

    #[test]
    fn a_follower_reads_every_byte_once_and_is_told_of_those_that_are_gone() {
        let home = tempfile::tempdir().unwrap();
        let dir = home.path().join("attempt");
        let began = Instant::now();
        let mut live = Live::new(&dir, began);
        let (mut out, none) = (Captured::default(), Captured::default());
        out.push(b"one\n", Bytes::mib(1));
        live.look([&out, &none], began);
        assert!(!dir.exists(), "a short attempt writes nothing");
        assert_eq!(live.due([&out, &none]), Some(began + FIRST));

        live.look([&out, &none], began + FIRST);
        assert_eq!(read_from(&dir, 1, 0), Some((0, b"one\n".to_vec())));
        assert_eq!((read_from(&dir, 1, 4), read_from(&dir, 2, 0), live.due([&out, &none])), (None, None, None));
        out.push(b"two\n", Bytes::mib(1));
        live.look([&out, &none], began + FIRST + PAUSE);
        assert_eq!(read_from(&dir, 1, 4), Some((4, b"two\n".to_vec())));
        assert_eq!(read_from(&dir, 1, 0), Some((0, b"one\ntwo\n".to_vec())));

        out.push(&vec![b'x'; 3 << 20], Bytes::mib(1));
        live.look([&out, &none], began + FIRST + 2 * PAUSE);
        let (from, bytes) = read_from(&dir, 1, 8).unwrap();
        assert_eq!((from + bytes.len() as u64, bytes.len()), (8 + (3 << 20), MOST_AT_ONCE));
    }

    #[test]
    fn what_was_put_in_the_place_of_a_stream_is_neither_followed_nor_waited_for() {
        let home = tempfile::tempdir().unwrap();
        fs::write(home.path().join("other"), [0; 100]).unwrap();
        std::os::unix::fs::symlink("other", path(home.path(), 1)).unwrap();
        std::os::unix::fs::symlink("other", home.path().join("live.2.next")).unwrap();
        assert_eq!(read_from(home.path(), 1, 0), None);
        fs::remove_file(path(home.path(), 1)).unwrap();
        let made = std::process::Command::new("mkfifo").arg(path(home.path(), 1)).status().unwrap();
        assert!(made.success());
        assert_eq!(read_from(home.path(), 1, 0), None);
        let began = Instant::now();
        let (mut err, none) = (Captured::default(), Captured::default());
        err.push(b"one\n", Bytes::mib(1));
        Live::new(home.path(), began).look([&none, &err], began + FIRST);
        assert_eq!(fs::read(home.path().join("other")).unwrap(), [0; 100]);
    }

    #[test]
    fn a_file_that_has_grown_too_long_begins_anew() {
        let home = tempfile::tempdir().unwrap();
        let began = Instant::now();
        let mut live = Live::new(home.path(), began);
        let (mut out, none) = (Captured::default(), Captured::default());
        let (mut seen, mut now) = (0, began + FIRST);
        for _ in 0..40 {
            out.push(&[b'y'; 50_000], Bytes::mib(1));
            live.look([&out, &none], now);
            let (from, bytes) = read_from(home.path(), 1, seen).unwrap();
            assert_eq!((from, bytes.len()), (seen, 50_000));
            seen += 50_000;
            now += PAUSE;
        }
        assert!(fs::metadata(path(home.path(), 1)).unwrap().len() <= LONGEST + HEADER as u64);
    }
}
