//! Refuses file systems on which locks or durability can't be trusted.

use super::{disk_space::nearest_existing, error_kind::kind_of};
use crate::model::Kind;
use std::{
    io,
    path::{Path, PathBuf},
};

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("{} is on {kind}, a file system with unreliable file locks and fsync", dir.display())]
    Network { dir: PathBuf, kind: &'static str },
    #[error("failed to inspect the file system of {}", dir.display())]
    Io { dir: PathBuf, source: io::Error },
}

impl Error {
    /// The kind of the error.
    pub fn kind(&self) -> Kind {
        match self {
            Error::Network { .. } => Kind::Invalid,
            Error::Io { source, .. } => kind_of(source),
        }
    }

    /// What the user should do next.
    pub fn hint(&self) -> Option<String> {
        match self {
            Error::Network { .. } => Some(format!("choose a local directory: `--home {}`", local_home().display())),
            Error::Io { .. } => None,
        }
    }
}

/// Refuses a directory on a network file system, FUSE, 9p or virtiofs, since their locks may hold on one side only. If
/// the directory does not exist yet, its nearest existing parent counts.
pub fn refuse_network_file_system(dir: &Path) -> Result<(), Error> {
    let existing = nearest_existing(dir);
    let io = |source| Error::Io { dir: dir.to_path_buf(), source };
    match foreign_kind(&existing).map_err(io)? {
        Some(kind) => Err(Error::Network { dir: dir.to_path_buf(), kind }),
        None => Ok(()),
    }
}

/// Makes everything that was written to the file system of `dir` durable.
pub fn sync_file_system(dir: &Path) -> io::Result<()> {
    #[cfg(target_os = "linux")]
    rustix::fs::syncfs(std::fs::File::open(dir)?)?;
    #[cfg(not(target_os = "linux"))]
    {
        let _ = dir;
        rustix::fs::sync();
    }
    Ok(())
}

/// A directory of this machine that is probably local.
fn local_home() -> PathBuf {
    let candidates = ["/var/lib/windlass", "/var/tmp/windlass", "/tmp/windlass"].map(PathBuf::from);
    let local = |it: &&PathBuf| matches!(foreign_kind(&nearest_existing(it)), Ok(None));
    candidates.iter().find(local).cloned().unwrap_or_else(|| PathBuf::from("/tmp/windlass"))
}

#[cfg(target_os = "linux")]
fn foreign_kind(dir: &Path) -> io::Result<Option<&'static str>> {
    Ok(kind_of_magic(rustix::fs::statfs(dir)?.f_type as u32))
}

/// Magic numbers of statfs(2), from linux/magic.h and the sources of the drivers.
#[cfg(target_os = "linux")]
fn kind_of_magic(magic: u32) -> Option<&'static str> {
    Some(match magic {
        0x6969 => "NFS",
        0x517B => "SMB",
        0xFF53_4D42 => "CIFS",
        0xFE53_4D42 => "SMB2",
        0x0102_1997 => "9p",
        0x6573_5546 => "FUSE or virtiofs",
        0x5346_414F | 0x6B41_4653 => "AFS",
        0x00C3_6400 => "Ceph",
        0x7375_7245 => "Coda",
        0x564C => "NCP",
        0x0BD0_0BD0 => "Lustre",
        0x4750_4653 => "GPFS",
        0x7461_636F => "OCFS2",
        0x0116_1970 => "GFS2",
        0x786F_4256 => "a VirtualBox shared folder",
        0xBACB_ACBC => "a VMware shared folder",
        _ => return None,
    })
}

#[cfg(target_vendor = "apple")]
fn foreign_kind(dir: &Path) -> io::Result<Option<&'static str>> {
    let name: Vec<u8> =
        rustix::fs::statfs(dir)?.f_fstypename.iter().map(|it| *it as u8).take_while(|it| *it != 0).collect();
    Ok(match name.as_slice() {
        b"nfs" => Some("NFS"),
        b"smbfs" | b"cifs" => Some("SMB"),
        b"afpfs" => Some("AFP"),
        b"webdav" => Some("WebDAV"),
        b"macfuse" | b"osxfuse" | b"fuse" => Some("FUSE"),
        _ => None,
    })
}

#[cfg(not(any(target_os = "linux", target_vendor = "apple")))]
fn foreign_kind(_dir: &Path) -> io::Result<Option<&'static str>> {
    Ok(None)
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn network_file_systems_are_known_by_their_magic() {
        for (magic, kind) in
            [(0x6969, "NFS"), (0xFF53_4D42, "CIFS"), (0x0102_1997, "9p"), (0x6573_5546, "FUSE or virtiofs")]
        {
            assert_eq!(kind_of_magic(magic), Some(kind));
        }
        for local in [0xEF53, 0x0102_1994, 0x9123_683E, 0x5846_5342, 0x794C_7630, 0x2FC1_2FC1] {
            assert_eq!(kind_of_magic(local), None); // ext4, tmpfs, btrfs, XFS, overlayfs, ZFS
        }
    }

    #[test]
    fn the_refusal_names_the_path_the_kind_and_the_flag() {
        let error = Error::Network { dir: PathBuf::from("/mnt/share"), kind: "NFS" };
        assert!(error.to_string().contains("/mnt/share") && error.to_string().contains("NFS"));
        assert!(error.hint().unwrap().contains("--home /"));
    }

    #[test]
    fn a_local_directory_that_does_not_exist_yet_is_accepted() {
        refuse_network_file_system(Path::new("/dev/shm/not/yet/there")).unwrap();
    }
}
