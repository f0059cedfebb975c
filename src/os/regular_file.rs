//! Regular files, opened to be read: never a fifo, which would wait for its writer, a device or a directory.

use std::{
    error::Error,
    fs::{self, File, OpenOptions},
    io::{self, Read},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

/// What stands at the path is a fifo, a socket, a device or a directory.
#[derive(Debug, thiserror::Error)]
#[error("{} is not a regular file", path.display())]
pub struct NotRegular {
    path: PathBuf,
}

impl NotRegular {
    /// Finds it among an error and its causes.
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

/// Opens a file to read it. A link is followed.
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

/// Refuses what stands at a path that another library opens, unless it is a regular file or nothing.
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
