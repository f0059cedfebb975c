//! A file that reserves disk space, to be released when the disk is full: `prune` and completing steps still need some.

use super::{
    error::{Error, Result, is_full},
    store::sync_dir,
};
use crate::{
    decide::admission::admit_write,
    model::Bytes,
    os::{disk_space, interrupted::retried, ownership},
};
use std::{
    fs, io,
    path::{Path, PathBuf},
};

/// A ballast smaller than this is released as a whole.
const SMALLEST: u64 = 1 << 20;

/// The ballast of one home directory.
#[derive(Debug, Clone)]
pub struct Ballast {
    path: PathBuf,
    size: Bytes,
    reserve: Bytes,
}

impl Ballast {
    /// Its name in the home directory.
    pub const NAME: &str = "ballast";

    /// The ballast at `path`, of `size` bytes (0: none). It is reserved only if `reserve` bytes stay free besides it.
    pub fn new(path: &Path, size: Bytes, reserve: Bytes) -> Ballast {
        Ballast { path: path.to_path_buf(), size, reserve }
    }

    pub fn is_held(&self) -> bool {
        fs::metadata(&self.path).is_ok_and(|it| it.len() >= self.size.0)
    }

    /// Reserves the ballast if necessary and if there is space. Returns whether it is reserved now.
    pub fn ensure(&self) -> Result<bool> {
        if self.size.0 == 0 || self.is_held() {
            return Ok(self.size.0 > 0);
        }
        let dir = self.path.parent().unwrap_or(Path::new("."));
        let free = disk_space::free(dir).map_err(Error::io("read the free space of", dir))?;
        if !admit_write(free, self.size, self.reserve).is_admitted() {
            return Ok(false);
        }
        match self.allocate() {
            Ok(()) => sync_dir(dir).map(|()| true),
            Err(error) if is_full(&error) => {
                let _ = fs::remove_file(&self.path);
                Ok(false)
            }
            Err(source) => Err(Error::Io { action: "allocate", path: self.path.clone(), source }),
        }
    }

    /// Releases half of the remaining space, or all of a small remainder, so that other processes on the same full disk
    /// also find some. Returns whether there was any.
    pub fn give_up(&self) -> Result<bool> {
        let wrong = |source| Error::Io { action: "give up", path: self.path.clone(), source };
        let left = match fs::metadata(&self.path) {
            Ok(file) => file.len(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
            Err(source) => return Err(wrong(source)),
        };
        let shrunk = match left / 2 {
            half if half >= SMALLEST => ownership::open_to_write(&self.path, &mut fs::OpenOptions::new())
                .and_then(|file| retried(|| file.set_len(half))),
            _ => fs::remove_file(&self.path),
        };
        shrunk.map(|()| true).map_err(wrong)
    }

    fn allocate(&self) -> io::Result<()> {
        let file = ownership::open_empty(&self.path)?;
        disk_space::allocate(&file, self.size)?;
        file.sync_all()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ballast_takes_real_space_and_gives_it_back() {
        let home = tempfile::tempdir().unwrap();
        let ballast = Ballast::new(&home.path().join("ballast"), Bytes::mib(2), Bytes(0));
        assert!(ballast.ensure().unwrap() && ballast.is_held() && ballast.ensure().unwrap());
        let blocks = std::os::unix::fs::MetadataExt::blocks(&fs::metadata(home.path().join("ballast")).unwrap());
        assert!(blocks * 512 >= 2 << 20, "allocated, not sparse: {blocks} blocks");
        let left = || fs::metadata(home.path().join("ballast")).map(|it| it.len()).ok();
        assert!(ballast.give_up().unwrap() && !ballast.is_held());
        assert_eq!(left(), Some(1 << 20), "half is left for whoever comes next");
        assert!(ballast.give_up().unwrap());
        assert_eq!((left(), ballast.give_up().unwrap()), (None, false));
        assert!(ballast.ensure().unwrap() && ballast.is_held());
    }

    #[test]
    fn without_room_or_size_none_is_taken() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("ballast");
        assert!(!Ballast::new(&path, Bytes::mib(1), Bytes(u64::MAX)).ensure().unwrap());
        assert!(!Ballast::new(&path, Bytes(0), Bytes(0)).ensure().unwrap());
        assert!(!path.exists());
    }
}
