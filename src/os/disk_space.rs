//! Room on the disk.

use super::{file_system::nearest_existing, interrupted::retried};
use crate::model::Bytes;
use std::{io, path::Path};

/// Bytes that this user may still write in `dir`, or in its nearest existing parent.
pub fn free(dir: &Path) -> io::Result<Bytes> {
    let place = nearest_existing(dir);
    retried(|| fs2::available_space(&place)).map(Bytes)
}

/// Size in bytes of the file system that holds `dir`, or its nearest existing parent.
pub fn total(dir: &Path) -> io::Result<Bytes> {
    let place = nearest_existing(dir);
    retried(|| fs2::total_space(&place)).map(Bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_that_does_not_exist_yet_has_the_room_of_its_parent() {
        let dir = tempfile::tempdir().unwrap();
        let total = total(&dir.path().join("a/b")).unwrap();
        assert!(free(&dir.path().join("a/b")).unwrap() <= total);
        assert_eq!(total, super::total(dir.path()).unwrap());
        assert!(total > Bytes::mib(1));
    }
}
