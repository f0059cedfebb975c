//! Reads the content of a file: its hash, and whether it changed during the read.

use crate::model::ArtifactHash;
use sha2::{Digest, Sha256};
use std::{
    fs::{File, Metadata},
    io::{self, Read},
};

/// The result of reading a file from beginning to end.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Looked {
    pub sha256: ArtifactHash,
    /// In bytes.
    pub size: u64,
    /// The modification time at the read, in nanoseconds since the Unix epoch.
    pub modified: i64,
    /// A small file as a whole, or the beginning and the end of a large one: enough to detect its type.
    pub sample: Vec<u8>,
}

const BLOCK: usize = 256 << 10;
/// The size of each part of a sample, in bytes.
const SAMPLE: usize = 2 << 20;
/// How often to read a file that changes during the read.
const TRIES: usize = 3;

/// Reads the file. Returns `None` if it kept changing or `give_up` returned true.
pub(super) fn look(mut file: File, give_up: impl Fn() -> bool) -> io::Result<Option<Looked>> {
    for _ in 0..TRIES {
        let before = file.metadata()?;
        let Some((sha256, size, sample)) = read(&mut file, before.len(), &give_up)? else { return Ok(None) };
        let after = file.metadata()?;
        if modified(&before) == modified(&after) && size == after.len() {
            return Ok(Some(Looked { sha256, size, modified: modified(&after), sample }));
        }
        io::Seek::rewind(&mut file)?;
    }
    Ok(None)
}

/// Reads a stream of `expected` bytes that does not change. Returns `None` if `give_up` returned true.
pub(super) fn look_at(reader: &mut impl Read, expected: u64, give_up: impl Fn() -> bool) -> io::Result<Option<Looked>> {
    let read = read(reader, expected, &give_up)?;
    Ok(read.map(|(sha256, size, sample)| Looked { sha256, size, modified: 0, sample }))
}

/// Nanoseconds since the Unix epoch; 0 if the file system stores no times.
pub(super) fn modified(metadata: &Metadata) -> i64 {
    use std::time::UNIX_EPOCH;
    metadata.modified().map_or(0, |it| match it.duration_since(UNIX_EPOCH) {
        Ok(after) => i64::try_from(after.as_nanos()).unwrap_or(i64::MAX),
        Err(before) => i64::try_from(before.duration().as_nanos()).map_or(i64::MIN, |it| -it),
    })
}

/// Reads to the end, or slightly beyond `expected` bytes, since a file may grow faster than it is read.
fn read(
    file: &mut impl Read,
    expected: u64,
    give_up: &impl Fn() -> bool,
) -> io::Result<Option<(ArtifactHash, u64, Vec<u8>)>> {
    let mut hasher = Sha256::new();
    let (mut head, mut tail) = (Vec::new(), Vec::new());
    let mut size = 0;
    let mut block = vec![0; BLOCK];
    while size <= expected {
        if give_up() {
            return Ok(None);
        }
        let count = match file.read(&mut block) {
            Ok(0) => break,
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        let bytes = &block[..count];
        hasher.update(bytes);
        size += count as u64;
        let room = SAMPLE.saturating_sub(head.len()).min(count);
        head.extend_from_slice(&bytes[..room]);
        tail.extend_from_slice(&bytes[room..]);
        if tail.len() > 2 * SAMPLE {
            tail.drain(..tail.len() - SAMPLE);
        }
    }
    let surplus = tail.len().saturating_sub(SAMPLE);
    head.extend_from_slice(&tail[surplus..]);
    Ok(Some((ArtifactHash(hasher.finalize().into()), size, head)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{cell::Cell, fs};

    #[test]
    fn a_file_is_hashed_and_sampled_at_both_ends() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a");
        for size in [0, 3, SAMPLE, 2 * SAMPLE, 7 * SAMPLE + 5] {
            let bytes: Vec<u8> = (0..size).map(|it| (it % 251) as u8).collect();
            fs::write(&path, &bytes).unwrap();
            let looked = look(File::open(&path).unwrap(), || false).unwrap().unwrap();
            assert_eq!(looked.sha256.0[..], Sha256::digest(&bytes)[..]);
            assert_eq!(looked.size, size as u64);
            assert_eq!(looked.modified, modified(&fs::metadata(&path).unwrap()));
            match size <= 2 * SAMPLE {
                true => assert!(looked.sample == bytes, "{size}"),
                false => {
                    assert_eq!(looked.sample.len(), 2 * SAMPLE);
                    assert!(looked.sample.starts_with(&bytes[..SAMPLE]), "{size}");
                    assert!(looked.sample.ends_with(&bytes[size - SAMPLE..]), "{size}");
                }
            }
        }
    }

    #[test]
    fn a_file_that_changes_is_read_again_and_one_that_keeps_changing_is_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a");
        let changes = |most: usize| {
            fs::write(&path, "old").unwrap();
            let done = Cell::new(0);
            look(File::open(&path).unwrap(), || {
                // Called before each block and once at the end of the file.
                if done.get() < most {
                    done.set(done.get() + 1);
                    fs::write(&path, "x".repeat(10 + done.get())).unwrap();
                }
                false
            })
            .unwrap()
        };
        assert_eq!(changes(1).map(|it| it.size), Some(11));
        assert!(changes(1000).is_none());
    }
}
