//! Opens regular files for reading. Refuses fifos, which would block until a writer comes, devices and directories.

use rustix::{
    fs::{AtFlags, FileType, Mode, OFlags, openat, statat},
    io::Errno,
};
use std::{
    error::Error,
    fs::{self, File, OpenOptions},
    io::{self, Read},
    os::unix::fs::OpenOptionsExt,
    path::{Component, Path, PathBuf},
};

/// The path is a fifo, a socket, a device or a directory.
#[derive(Debug, thiserror::Error)]
#[error("{} is not a regular file", path.display())]
pub struct NotRegular {
    path: PathBuf,
}

impl NotRegular {
    /// Finds this error in the chain of an error and its causes.
    pub fn behind<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a NotRegular> {
        let mut next = Some(error);
        while let Some(error) = next {
            if let Some(found) = error.downcast_ref::<io::Error>().and_then(|it| it.get_ref()?.downcast_ref()) {
                return Some(found);
            }
            next = error.source();
        }
        None
    }
}

fn not_regular(path: &Path) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, NotRegular { path: path.to_path_buf() })
}

/// Opens a file for reading. Follows links.
pub fn open(path: &Path) -> io::Result<File> {
    let opened = OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(path);
    let file = opened.map_err(|error| match error.raw_os_error() {
        // A socket; a device without a driver.
        Some(libc::ENXIO | libc::ENODEV | libc::EOPNOTSUPP) => not_regular(path),
        _ => error,
    })?;
    match file.metadata()?.is_file() {
        true => Ok(file),
        false => Err(not_regular(path)),
    }
}

#[cfg(any(test, feature = "internals"))]
pub fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    open(path)?.read_to_end(&mut bytes)?;
    Ok(bytes)
}

pub fn read_to_string(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    open(path)?.read_to_string(&mut text)?;
    Ok(text)
}

/// The path to a file contains a link, but links are not allowed.
#[derive(Debug, thiserror::Error)]
#[error("{} is a link now", path.display())]
pub struct LinkOnTheWay {
    path: PathBuf,
}

impl LinkOnTheWay {
    pub fn behind(error: &io::Error) -> Option<&LinkOnTheWay> {
        error.get_ref()?.downcast_ref()
    }

    pub fn error(path: &Path) -> io::Error {
        io::Error::new(io::ErrorKind::PermissionDenied, LinkOnTheWay { path: path.to_path_buf() })
    }
}

/// A directory that is only passed through need not be readable.
#[cfg(target_os = "linux")]
const THROUGH: OFlags = OFlags::PATH.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);
#[cfg(not(target_os = "linux"))]
const THROUGH: OFlags = OFlags::DIRECTORY.union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);
const READ: OFlags = OFlags::RDONLY.union(OFlags::NOFOLLOW).union(OFlags::NONBLOCK).union(OFlags::CLOEXEC);

/// Opens a file for reading by its absolute path, one component at a time, so that no component is a link.
pub fn open_without_links(path: &Path) -> io::Result<File> {
    let mut here = rustix::fs::open("/", THROUGH, Mode::empty())?;
    let mut way = PathBuf::new();
    let mut parts = path.components().peekable();
    while let Some(part) = parts.next() {
        way.push(part);
        let name = match part {
            Component::RootDir => continue,
            Component::Normal(name) => name,
            _ => return Err(io::ErrorKind::InvalidInput.into()),
        };
        let flags = if parts.peek().is_some() { THROUGH } else { READ };
        let is_link = || {
            let found = statat(&here, name, AtFlags::SYMLINK_NOFOLLOW);
            found.is_ok_and(|it| FileType::from_raw_mode(it.st_mode as _) == FileType::Symlink)
        };
        here = match openat(&here, name, flags, Mode::empty()) {
            Ok(next) => next,
            Err(Errno::NXIO | Errno::NODEV | Errno::OPNOTSUPP) => return Err(not_regular(path)),
            Err(_) if is_link() => return Err(LinkOnTheWay::error(&way)),
            Err(error) => return Err(error.into()),
        };
    }
    let file = File::from(here);
    match file.metadata()?.is_file() {
        true => Ok(file),
        false => Err(not_regular(path)),
    }
}

/// Checks a path that another library is about to open. Refuses it unless it is a regular file or does not exist.
pub fn check(path: &Path) -> io::Result<()> {
    match fs::metadata(path) {
        Ok(found) if !found.is_file() => Err(not_regular(path)),
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::{fs::symlink, net::UnixListener};

    #[test]
    fn a_path_with_a_link_in_any_part_of_it_is_not_followed() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().canonicalize().unwrap();
        fs::create_dir_all(root.join("a/b")).unwrap();
        fs::write(root.join("a/b/file"), "text").unwrap();
        symlink("a", root.join("way")).unwrap();
        symlink("file", root.join("a/b/link")).unwrap();
        let mut text = String::new();
        open_without_links(&root.join("a/b/file")).unwrap().read_to_string(&mut text).unwrap();
        assert_eq!(text, "text");
        for (name, said) in [
            ("way/b/file", "/way is a link now"),
            ("a/b/link", "/a/b/link is a link now"),
            ("a/b", "/a/b is not a regular file"),
        ] {
            let refused = open_without_links(&root.join(name)).unwrap_err();
            assert!(refused.to_string().ends_with(said), "{name}: {refused}");
        }
        let missing = |path: PathBuf| open_without_links(&path).unwrap_err().kind();
        assert_eq!(missing(root.join("a/none/file")), io::ErrorKind::NotFound);
        assert_eq!(missing(root.join("a/b/file/x")), io::ErrorKind::NotADirectory);
        assert_eq!(missing(root.join("a/../a/b/file")), io::ErrorKind::InvalidInput);
    }

    #[test]
    fn only_regular_files_are_opened_and_nothing_is_waited_for() {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name);
        fs::write(path("file"), "text").unwrap();
        symlink("file", path("link")).unwrap();
        rustix::fs::mkfifoat(rustix::fs::CWD, path("fifo"), rustix::fs::Mode::RWXU).unwrap();
        symlink("fifo", path("to-fifo")).unwrap();
        let _socket = UnixListener::bind(path("socket")).unwrap();
        assert_eq!(
            (read_to_string(&path("file")).unwrap(), read(&path("link")).unwrap()),
            ("text".into(), b"text".into())
        );
        for name in ["fifo", "to-fifo", "socket", "", "/dev/null"] {
            for refused in [open(&path(name)).map(drop), check(&path(name))] {
                let refused = refused.unwrap_err();
                assert!(refused.to_string().ends_with("is not a regular file"), "{name}: {refused}");
                assert!(NotRegular::behind(&refused).is_some());
            }
        }
        check(&path("file")).unwrap();
        check(&path("none")).unwrap();
        assert_eq!(open(&path("none")).unwrap_err().kind(), io::ErrorKind::NotFound);
    }
}
