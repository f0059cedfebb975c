//! What the system knows about a file, besides its content.

use rustix::fs::{FileType, Stat};
use std::{fs::Metadata, os::unix::fs::MetadataExt};

/// The facts that `ownership::judge` decides ownership by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Facts {
    pub file_type: FileType,
    pub owner: u32,
    pub group: u32,
    pub mode: u32,
    /// The number of hard links.
    pub names: u64,
    /// Device and inode.
    pub id: (u64, u64),
}

impl Facts {
    // The types of these fields differ between systems.
    #[allow(clippy::unnecessary_cast, clippy::useless_conversion)]
    pub(super) fn of_stat(it: &Stat) -> Facts {
        Facts {
            file_type: FileType::from_raw_mode(it.st_mode as _),
            owner: it.st_uid,
            group: it.st_gid,
            mode: u32::from(it.st_mode),
            names: it.st_nlink as u64,
            id: (it.st_dev as u64, it.st_ino as u64),
        }
    }

    pub(super) fn of(it: &Metadata) -> Facts {
        Facts {
            file_type: FileType::from_raw_mode(it.mode() as _),
            owner: it.uid(),
            group: it.gid(),
            mode: it.mode(),
            names: it.nlink(),
            id: (it.dev(), it.ino()),
        }
    }

    pub fn is_dir(&self) -> bool {
        self.file_type == FileType::Directory
    }
}
