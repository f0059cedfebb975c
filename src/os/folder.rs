//! A directory, accessed through its own descriptor. It follows no links and opens only regular files and directories.

use super::file_facts::Facts;
use rustix::{
    fs::{AtFlags, Dir, FileType, Mode, OFlags, openat, readlinkat, statat},
    io::Errno,
};
use std::{
    ffi::{OsStr, OsString},
    fs::File,
    io,
    os::{
        fd::OwnedFd,
        unix::ffi::{OsStrExt, OsStringExt},
    },
    path::{Component, Path},
};

const ENTER: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);
/// NONBLOCK: if a fifo or a device has replaced a file, opening it must not wait.
const READ: OFlags = OFlags::RDONLY.union(OFlags::NOFOLLOW).union(OFlags::NONBLOCK).union(OFlags::CLOEXEC);

/// An open directory.
#[derive(Debug)]
pub struct Folder(OwnedFd);

/// The type of an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Entry {
    Folder,
    /// The apparent size in bytes, holes included.
    File(u64),
    Link,
    /// A description for people, such as `a fifo`.
    Other(&'static str),
}

impl Folder {
    /// The directory's owner, type and mode.
    pub(super) fn facts(&self) -> io::Result<Facts> {
        Ok(Facts::of_stat(&rustix::fs::fstat(&self.0)?))
    }

    /// The same facts for the entry with this name, if it exists. Does not follow links.
    pub(super) fn facts_of(&self, name: &OsStr) -> io::Result<Option<Facts>> {
        match statat(&self.0, name, AtFlags::SYMLINK_NOFOLLOW) {
            Err(Errno::NOENT) => Ok(None),
            found => Ok(Some(Facts::of_stat(&found?))),
        }
    }

    /// Opens a directory. Fails if the last component of the path is a link.
    pub fn open(path: &Path) -> io::Result<Folder> {
        Ok(Folder(rustix::fs::open(path, ENTER, Mode::empty())?))
    }

    /// Opens the directory at a relative path of plain names. Fails if any of them is a link.
    pub fn descend(&self, path: &Path) -> io::Result<Folder> {
        let mut here = Folder(self.0.try_clone()?);
        for component in path.components() {
            let Component::Normal(name) = component else { return Err(io::ErrorKind::InvalidInput.into()) };
            here = Folder(openat(&here.0, name, ENTER, Mode::empty())?);
        }
        Ok(here)
    }

    /// The names in the directory, unordered.
    pub fn names(&self) -> io::Result<impl Iterator<Item = io::Result<OsString>>> {
        let all = Dir::read_from(&self.0)?.map(|it| Ok(OsString::from_vec(it?.file_name().to_bytes().to_vec())));
        Ok(all.filter(|it| !matches!(it, Ok(name) if matches!(name.as_bytes(), b"." | b".."))))
    }

    /// The entry with this name, if any.
    pub fn entry(&self, name: &OsStr) -> io::Result<Option<Entry>> {
        let found = match statat(&self.0, name, AtFlags::SYMLINK_NOFOLLOW) {
            Err(Errno::NOENT) => return Ok(None),
            found => found?,
        };
        Ok(Some(match FileType::from_raw_mode(found.st_mode as _) {
            FileType::Directory => Entry::Folder,
            FileType::RegularFile => Entry::File(u64::try_from(found.st_size).unwrap_or(0)),
            FileType::Symlink => Entry::Link,
            FileType::Fifo => Entry::Other("a fifo"),
            FileType::Socket => Entry::Other("a socket"),
            FileType::CharacterDevice | FileType::BlockDevice => Entry::Other("a device"),
            FileType::Unknown => Entry::Other("neither a file nor a directory"),
        }))
    }

    /// The device and inode of the entry with this name, or `None` if it does not exist.
    pub fn id(&self, name: &OsStr) -> io::Result<Option<(u64, u64)>> {
        match statat(&self.0, name, AtFlags::SYMLINK_NOFOLLOW) {
            Err(Errno::NOENT) => Ok(None),
            found => Ok(Some(found.map(|it| (it.st_dev as _, it.st_ino as _))?)),
        }
    }

    /// Opens a regular file for reading. Returns `None` if something else has replaced it.
    pub fn file(&self, name: &OsStr) -> io::Result<Option<File>> {
        let file = match openat(&self.0, name, READ, Mode::empty()) {
            Err(Errno::LOOP | Errno::NOENT | Errno::NXIO | Errno::NODEV) => return Ok(None),
            file => File::from(file?),
        };
        Ok(file.metadata()?.is_file().then_some(file))
    }

    /// The target of a symbolic link, as written in the link.
    pub fn link(&self, name: &OsStr) -> io::Result<OsString> {
        Ok(OsString::from_vec(readlinkat(&self.0, name, Vec::new())?.into_bytes()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{fs, io::Read, os::unix::fs::symlink};

    #[cfg(target_os = "linux")]
    #[test]
    fn every_name_is_seen_for_what_it_is_and_no_link_is_followed() {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name);
        fs::create_dir_all(path("out/deep")).unwrap();
        fs::write(path("secret"), "secret").unwrap();
        fs::write(path("out/deep/file"), "text").unwrap();
        File::create(path("out/sparse")).unwrap().set_len(1 << 40).unwrap();
        symlink("../secret", path("out/link")).unwrap();
        symlink("out", path("way")).unwrap();
        rustix::fs::mknodat(rustix::fs::CWD, path("out/fifo"), FileType::Fifo, Mode::RUSR, 0).unwrap();
        let _socket = std::os::unix::net::UnixListener::bind(path("out/socket")).unwrap();

        assert!(Folder::open(&path("way")).is_err(), "a link is no directory");
        let folder = Folder::open(&path("out")).unwrap();
        let mut names: Vec<_> = folder.names().unwrap().map(Result::unwrap).collect();
        names.sort();
        assert_eq!(names, ["deep", "fifo", "link", "socket", "sparse"]);
        let entry = |name: &str| folder.entry(name.as_ref()).unwrap();
        assert_eq!((entry("deep"), entry("sparse")), (Some(Entry::Folder), Some(Entry::File(1 << 40))));
        assert_eq!((entry("link"), entry("none")), (Some(Entry::Link), None));
        assert_eq!((entry("fifo"), entry("socket")), (Some(Entry::Other("a fifo")), Some(Entry::Other("a socket"))));
        for name in ["link", "fifo", "socket", "deep", "none"] {
            assert!(folder.file(name.as_ref()).unwrap().is_none(), "{name} was opened");
        }
        assert_eq!(folder.link("link".as_ref()).unwrap(), "../secret");

        let deep = folder.descend(Path::new("deep")).unwrap();
        let mut text = String::new();
        deep.file("file".as_ref()).unwrap().unwrap().read_to_string(&mut text).unwrap();
        assert_eq!(text, "text");
        for astray in ["..", "/", "link", "deep/../..", "none"] {
            assert!(folder.descend(Path::new(astray)).is_err(), "{astray} was entered");
        }
    }
}
