//! A file that takes up space so that it can be given up: on a full disk, `prune` and completions still need some.

use super::{
    error::{Error, Result, is_full},
    store::sync_dir,
};
use crate::{decide::admission::admit_write, model::Bytes, os::disk_space};
use fs2::FileExt;
use std::{
    fs::{self, OpenOptions},
    io,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

/// The ballast of one home directory.
#[derive(Debug, Clone)]
pub struct Ballast {
    path: PathBuf,
    size: Bytes,
    reserve: Bytes,
}

impl Ballast {
    /// The ballast `path`, of `size` bytes (0: none), taken only where `reserve` bytes stay free besides it.
    pub fn new(path: &Path, size: Bytes, reserve: Bytes) -> Ballast {
        Ballast { path: path.to_path_buf(), size, reserve }
    }

    pub fn is_held(&self) -> bool {
        fs::metadata(&self.path).is_ok_and(|it| it.len() >= self.size.0)
    }

    /// Takes the ballast if it is not held and there is room for it; whether it is held now.
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
            Err(error) if is_full(&error) => self.give_up().map(|_| false),
            Err(source) => Err(Error::Io { action: "allocate", path: self.path.clone(), source }),
        }
    }

    /// Gives the space back; whether there was any.
    pub fn give_up(&self) -> Result<bool> {
        match fs::remove_file(&self.path) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(source) => Err(Error::Io { action: "remove", path: self.path.clone(), source }),
        }
    }

    fn allocate(&self) -> io::Result<()> {
        let file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&self.path)?;
        file.allocate(self.size.0)?;
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
        assert!(ballast.give_up().unwrap() && !ballast.is_held() && !ballast.give_up().unwrap());
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
