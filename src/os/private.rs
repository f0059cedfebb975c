//! Directories and files that only their owner can access, whatever the umask.

use std::{
    ffi::OsString,
    fs::{self, DirBuilder, OpenOptions, Permissions},
    io,
    os::unix::{
        ffi::{OsStrExt, OsStringExt},
        fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt},
    },
    path::{Path, PathBuf},
};

/// Creates a directory and its missing parents with mode 0700. Existing ones stay as they are.
pub fn create_dir_all(dir: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(dir)
}

/// Creates an empty file with mode 0600, unless the file exists. An existing file is not opened: closing it would drop
/// the POSIX locks that this process has on it.
pub fn create_file(path: &Path) -> io::Result<()> {
    match OpenOptions::new().write(true).create_new(true).mode(0o600).open(path) {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(error),
    }
}

/// Removes a directory and its contents, even where permissions forbid it. A file system that is mounted inside belongs
/// to somebody else: then nothing is removed, and the error names the mount point.
pub fn remove_tree(dir: &Path) -> io::Result<()> {
    match fs::symlink_metadata(dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
        Ok(_) => {}
    }
    if let Some(mount) = mount_inside(dir)? {
        let what = format!("{} is a mount point", mount.display());
        return Err(io::Error::new(io::ErrorKind::ResourceBusy, what));
    }
    if fs::remove_dir_all(dir).is_ok() {
        return Ok(());
    }
    open_up(dir)?;
    fs::remove_dir_all(dir)
}

/// A mount point at or below a directory. Also `None` if the system has no list of mounts.
fn mount_inside(dir: &Path) -> io::Result<Option<PathBuf>> {
    let Ok(mounts) = fs::read("/proc/self/mountinfo") else { return Ok(None) };
    let parent = fs::canonicalize(dir.parent().unwrap_or(dir))?;
    let real = dir.file_name().map_or(parent.clone(), |name| parent.join(name));
    // proc(5): the fifth field is the mount point, with blanks and backslashes in octal.
    let points = mounts.split(|it| *it == b'\n').filter_map(|line| line.split(|it| *it == b' ').nth(4));
    Ok(points.map(unescaped).find(|it| it.starts_with(&real)))
}

fn unescaped(field: &[u8]) -> PathBuf {
    let mut bytes = Vec::with_capacity(field.len());
    let mut rest = field;
    while let Some((first, after)) = rest.split_first() {
        let octal = after.get(..3).filter(|it| *first == b'\\' && it.iter().all(|it| matches!(it, b'0'..=b'7')));
        match octal {
            Some(digits) => {
                bytes.push(digits.iter().fold(0u8, |value, it| value.wrapping_mul(8).wrapping_add(it - b'0')));
                rest = &after[3..];
            }
            None => {
                bytes.push(*first);
                rest = after;
            }
        }
    }
    PathBuf::from(OsString::from_vec(bytes))
}

/// Gives the owner all permissions on a directory and its subdirectories. Does not follow links.
pub fn open_up(dir: &Path) -> io::Result<()> {
    if !fs::symlink_metadata(dir)?.is_dir() {
        return Ok(());
    }
    fs::set_permissions(dir, Permissions::from_mode(0o700))?;
    for entry in fs::read_dir(dir)? {
        open_up(&entry?.path())?;
    }
    Ok(())
}

/// The SQLite URI of a file. If SQLite creates the file, it copies the mode of the file `like`.
///
/// `modeof` is described in <https://www.sqlite.org/c3ref/open.html>.
pub fn sqlite_uri(path: &Path, like: &Path) -> String {
    // An absolute path comes after an empty authority, so that one that begins with `//` is still a path.
    let scheme = if path.is_absolute() { "file://" } else { "file:" };
    format!("{scheme}{}?modeof={}", quoted(path), quoted(like))
}

fn quoted(path: &Path) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/-._~".contains(&byte);
    path.as_os_str()
        .as_bytes()
        .iter()
        .map(|byte| if plain(*byte) { (*byte as char).to_string() } else { format!("%{byte:02x}") })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::{MetadataExt, symlink};

    #[test]
    fn what_is_made_is_private_and_what_is_there_is_kept() {
        let dir = tempfile::tempdir().unwrap();
        let mode = |name: &str| fs::metadata(dir.path().join(name)).unwrap().mode() & 0o777;
        create_dir_all(&dir.path().join("a/b")).unwrap();
        assert_eq!((mode("a"), mode("a/b")), (0o700, 0o700));
        create_file(&dir.path().join("a/f")).unwrap();
        assert_eq!(mode("a/f"), 0o600);
        fs::write(dir.path().join("a/f"), "kept").unwrap();
        create_file(&dir.path().join("a/f")).unwrap();
        assert_eq!(fs::read_to_string(dir.path().join("a/f")).unwrap(), "kept");
    }

    #[test]
    fn a_tree_without_rights_is_opened_up_and_no_link_out_of_it_is_followed() {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name);
        fs::create_dir_all(path("top/deep")).unwrap();
        fs::create_dir(path("other")).unwrap();
        symlink(path("other"), path("top/link")).unwrap();
        for name in ["other", "top/deep", "top"] {
            fs::set_permissions(path(name), Permissions::from_mode(0o500)).unwrap();
        }
        fs::set_permissions(path("top"), Permissions::from_mode(0o000)).unwrap();
        open_up(&path("top")).unwrap();
        let mode = |name: &str| fs::metadata(path(name)).unwrap().mode() & 0o777;
        assert_eq!((mode("top"), mode("top/deep"), mode("other")), (0o700, 0o700, 0o500));
    }

    #[test]
    fn a_deep_tree_is_removed_and_one_that_is_gone_is_no_error() {
        let dir = tempfile::tempdir().unwrap();
        let top = dir.path().join("top");
        fs::create_dir(&top).unwrap();
        // Longer than a path may be.
        let mut here = fs::File::open(&top).unwrap();
        for _ in 0..400 {
            let name = "abcdefghijklmnopq";
            rustix::fs::mkdirat(&here, name, rustix::fs::Mode::RWXU).unwrap();
            let flags = rustix::fs::OFlags::RDONLY | rustix::fs::OFlags::DIRECTORY;
            here = rustix::fs::openat(&here, name, flags, rustix::fs::Mode::empty()).unwrap().into();
        }
        remove_tree(&top).unwrap();
        assert!(!top.exists());
        remove_tree(&top).unwrap();
    }

    #[test]
    fn a_mount_point_is_read_as_the_system_writes_it() {
        for (field, path) in
            [("/tmp/a", "/tmp/a"), ("/a\\040b\\134c", "/a b\\c"), ("/x\\", "/x\\"), ("/\\303\\244", "/ä")]
        {
            assert_eq!(unescaped(field.as_bytes()), Path::new(path), "{field}");
        }
        assert!(mount_inside(Path::new("/")).unwrap().is_some());
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(mount_inside(dir.path()).unwrap(), None);
    }

    #[test]
    fn any_path_survives_the_uri() {
        assert_eq!(
            sqlite_uri(Path::new("/a b/ü?.db"), Path::new("/x%#")),
            "file:///a%20b/%c3%bc%3f.db?modeof=/x%25%23"
        );
    }
}
