//! Free space on a disk.

use super::interrupted::retried;
use crate::model::Bytes;
use std::{
    fs::File,
    io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

/// The path itself, or its nearest existing parent.
pub(super) fn nearest_existing(dir: &Path) -> PathBuf {
    let found = dir.ancestors().find(|it| !it.as_os_str().is_empty() && it.exists());
    found.unwrap_or(Path::new(".")).to_path_buf()
}

/// How many bytes this user can still write in `dir`, or in its nearest existing parent.
pub fn free(dir: &Path) -> io::Result<Bytes> {
    let place = nearest_existing(dir);
    let room = statvfs(&place)?;
    Ok(Bytes(room.f_bavail.saturating_mul(room.f_frsize)))
}

/// The size of the file system of `dir`, or of its nearest existing parent.
pub fn size(dir: &Path) -> io::Result<Bytes> {
    let place = statvfs(&nearest_existing(dir))?;
    Ok(Bytes(place.f_blocks.saturating_mul(place.f_frsize)))
}

/// Whether two directories, or their nearest existing parents, are on different file systems.
pub fn is_other(one: &Path, other: &Path) -> bool {
    let device = |dir: &Path| nearest_existing(dir).metadata().ok().map(|it| it.dev());
    device(one) != device(other)
}

fn statvfs(place: &Path) -> io::Result<rustix::fs::StatVfs> {
    retried(|| rustix::fs::statvfs(place).map_err(io::Error::from))
}

/// Reserves real disk space for a file. On a file system that can't reserve space, this only sets the length of the
/// file.
pub fn allocate(file: &File, bytes: Bytes) -> io::Result<()> {
    let promise = || rustix::fs::fallocate(file, rustix::fs::FallocateFlags::empty(), 0, bytes.0);
    match retried(|| promise().map_err(io::Error::from)) {
        Err(error) if error.kind() == io::ErrorKind::Unsupported => retried(|| file.set_len(bytes.0)),
        allocated => allocated,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_that_does_not_exist_yet_has_the_room_of_its_parent() {
        let dir = tempfile::tempdir().unwrap();
        let later = dir.path().join("a/b");
        assert!(free(&later).unwrap() > Bytes(0));
        assert!(!is_other(dir.path(), &later));
    }
}
