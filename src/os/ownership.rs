//! Checks who owns a file. windlass does not use a file or directory that another user owns or can write, or that has
//! been replaced by a link.
//!
//! Files owned by root are trusted by everyone; root trusts only its own files. A group counts as another user unless
//! it is the owner's private group, as on systems with umask 002.

use super::{file_facts::Facts, folder::Folder};
use rustix::{fs::FileType, process::geteuid};
use std::{
    ffi::OsStr,
    fs::{self, File, Metadata, OpenOptions},
    io::{self, Read},
    os::unix::fs::{MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("{} belongs to user {}", path.display(), named(*owner))]
    Foreign { path: PathBuf, owner: u32 },
    #[error("{} can be written by {by}", path.display())]
    Writable { path: PathBuf, by: &'static str },
    #[error("{} is a symbolic link", path.display())]
    Link { path: PathBuf },
    #[error("{} is not a regular file", path.display())]
    Special { path: PathBuf },
    #[error("{} has {} names", path.display(), names)]
    Linked { path: PathBuf, names: u64 },
    #[error("failed to inspect {}", path.display())]
    Io { path: PathBuf, source: io::Error },
}

pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// What the user should do next.
    pub fn hint(&self) -> Option<String> {
        match self {
            Error::Foreign { .. } if geteuid().is_root() => {
                Some("run it as that user, for example with `sudo -u`".to_string())
            }
            Error::Foreign { .. } => Some("use your own home: `--home DIR`".to_string()),
            Error::Writable { path, .. } => {
                Some(format!("inspect its content, then remove that right: `chmod go-w '{}'`", path.display()))
            }
            Error::Link { .. } => Some("name the target of the link, or put the file itself there".to_string()),
            Error::Special { .. } => Some("move it away".to_string()),
            Error::Linked { path, .. } => Some(format!(
                "a hard link elsewhere would receive each write too; stop windlass, then copy the file: \
                 `cp -p '{0}' '{0}.own' && mv '{0}.own' '{0}'`",
                path.display()
            )),
            Error::Io { .. } => None,
        }
    }
}

impl From<Error> for io::Error {
    fn from(error: Error) -> io::Error {
        match error {
            Error::Io { source, .. } => source,
            other => io::Error::new(io::ErrorKind::PermissionDenied, other),
        }
    }
}

/// Opens one of our directories without following a link, and checks the directory that was opened. Returns `None` if
/// it does not exist.
pub fn open_folder(path: &Path) -> Result<Option<(Folder, Facts)>> {
    let failed = |source| Error::Io { path: path.to_path_buf(), source };
    match Folder::open(path) {
        Ok(folder) => {
            let facts = folder.facts().map_err(failed)?;
            judge(path, &facts)?;
            Ok(Some((folder, facts)))
        }
        // The path may also be something other than a directory. Then it is checked by its path, and using it as a
        // directory is an error.
        Err(error) => match check(path)? {
            None => Ok(None),
            Some(found) if !found.is_dir() => Err(failed(io::ErrorKind::NotADirectory.into())),
            // Another process has created it in the meantime.
            Some(_) if error.kind() == io::ErrorKind::NotFound => open_folder(path),
            Some(_) => Err(failed(error)),
        },
    }
}

/// Fails unless this entry of an open directory is ours. `path` is only used in messages. Returns `None` if the entry
/// does not exist.
pub fn check_in(folder: &Folder, name: &OsStr, path: &Path) -> Result<Option<Facts>> {
    let found = folder.facts_of(name).map_err(|source| Error::Io { path: path.to_path_buf(), source })?;
    found.map(|found| judge(path, &found).map(|()| found)).transpose()
}

/// Fails unless an entry is a regular file with a single hard link.
pub fn judge_facts(path: &Path, found: &Facts) -> Result<()> {
    let path = || path.to_path_buf();
    match (found.file_type, found.names) {
        (FileType::RegularFile, names @ 2..) => Err(Error::Linked { path: path(), names }),
        (FileType::RegularFile, _) => Ok(()),
        _ => Err(Error::Special { path: path() }),
    }
}

/// Returns the device and inode of the entry at this path, if it exists. Does not follow links.
pub fn id_of(path: &Path) -> io::Result<Option<(u64, u64)>> {
    match fs::symlink_metadata(path) {
        Ok(found) => Ok(Some((found.dev(), found.ino()))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// The effective user id of this process.
pub fn user() -> u32 {
    geteuid().as_raw()
}

/// Fails unless the entry at this path is ours. Returns its metadata, or `None` if it does not exist.
pub fn check(path: &Path) -> Result<Option<Metadata>> {
    look(path, fs::symlink_metadata(path))
}

/// Like `check`, but follows a link and checks its target.
pub fn check_through_link(path: &Path) -> Result<Option<Metadata>> {
    look(path, fs::metadata(path))
}

fn look(path: &Path, found: io::Result<Metadata>) -> Result<Option<Metadata>> {
    match found {
        Ok(found) => judge(path, &Facts::of(&found)).map(|()| Some(found)),
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => Ok(None),
        Err(source) => Err(Error::Io { path: path.to_path_buf(), source }),
    }
}

/// Refuses to create something as root in a directory that belongs to another user: that user could not use it, and
/// could replace it.
pub fn check_place(path: &Path) -> Result<()> {
    let dir = super::disk_space::nearest_existing(path);
    let found = fs::metadata(&dir).map_err(|source| Error::Io { path: dir.clone(), source })?;
    const STICKY: u32 = 0o1000;
    if geteuid().is_root() && found.uid() != 0 && found.mode() & STICKY == 0 {
        return Err(Error::Foreign { path: dir, owner: found.uid() });
    }
    Ok(())
}

/// Fails unless the entry at this path is ours, is a regular file and has a single hard link. For files that we write.
pub fn check_file(path: &Path) -> Result<()> {
    check(path)?.map_or(Ok(()), |found| judge_file(path, &found))
}

/// Fails unless the entry found at this path is a regular file with a single hard link.
pub fn judge_file(path: &Path, found: &Metadata) -> Result<()> {
    judge_facts(path, &Facts::of(found))
}

/// Opens one of our files for writing. Like `open`, but also refuses a file with more than one hard link.
pub fn open_to_write(path: &Path, options: &mut OpenOptions) -> io::Result<File> {
    let file = open(path, options.write(true))?;
    judge_file(path, &file.metadata()?)?;
    Ok(file)
}

/// Opens one of our files without following a link. It checks the opened file, not the path, so the file can't be
/// swapped in between. The options must not truncate; see `open_empty`.
pub fn open(path: &Path, options: &mut OpenOptions) -> io::Result<File> {
    // Without O_NONBLOCK, opening a pipe would wait for a process at its other end.
    let opened = options.custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK).open(path);
    let file = opened.map_err(|error| match error.raw_os_error() {
        Some(libc::ELOOP) => Error::Link { path: path.to_path_buf() }.into(),
        // A pipe without a reader, or a socket.
        Some(libc::ENXIO) => Error::Special { path: path.to_path_buf() }.into(),
        _ => error,
    })?;
    let found = file.metadata()?;
    judge(path, &Facts::of(&found))?;
    match found.is_file() {
        true => Ok(file),
        false => Err(Error::Special { path: path.to_path_buf() }.into()),
    }
}

/// Reads a text file through a link, since systems provide secrets that way. The target must be ours.
pub fn read_through_link(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    let mut file = OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(path)?;
    judge(path, &Facts::of(&file.metadata()?))?;
    file.read_to_string(&mut text)?;
    Ok(text)
}

/// Opens one of our files for writing and empties it after checking that it is ours. Creates it with mode 0600 if it is
/// missing.
pub fn open_empty(path: &Path) -> io::Result<File> {
    let file = open_to_write(path, OpenOptions::new().create(true).mode(0o600))?;
    file.set_len(0)?;
    Ok(file)
}

/// Reads one of our files.
pub fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    open(path, OpenOptions::new().read(true))?.read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Reads one of our text files.
pub fn read_to_string(path: &Path) -> io::Result<String> {
    String::from_utf8(read(path)?).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
}

fn judge(path: &Path, found: &Facts) -> Result<()> {
    let path = || path.to_path_buf();
    if found.file_type == FileType::Symlink {
        return Err(Error::Link { path: path() });
    }
    if ![geteuid().as_raw(), 0].contains(&found.owner) {
        return Err(Error::Foreign { path: path(), owner: found.owner });
    }
    if found.mode & 0o002 != 0 {
        return Err(Error::Writable { path: path(), by: "everybody" });
    }
    if found.mode & 0o020 != 0 && !is_private_group(found.group, found.owner, &Accounts::read()) {
        return Err(Error::Writable { path: path(), by: "its group" });
    }
    Ok(())
}

/// The user's number, and name if the system knows it.
fn named(user: u32) -> String {
    match Accounts::read().name(user) {
        Some(name) => format!("{user} ({name})"),
        None => user.to_string(),
    }
}

/// The name of a user, if `/etc/passwd` has it.
pub fn name_of(user: u32) -> Option<String> {
    Accounts::read().name(user).map(str::to_string)
}

/// The local user and group files. A group from another source is unknown here, so it does not count as private.
struct Accounts {
    users: String,
    groups: String,
}

impl Accounts {
    fn read() -> Accounts {
        let read = |path| fs::read_to_string(path).unwrap_or_default();
        Accounts { users: read("/etc/passwd"), groups: read("/etc/group") }
    }

    fn name(&self, user: u32) -> Option<&str> {
        self.users.lines().find_map(|line| {
            let fields: Vec<&str> = line.split(':').collect();
            (fields.get(2)?.parse() == Ok(user)).then_some(fields[0])
        })
    }
}

/// Whether this user is the only member of the group.
fn is_private_group(group: u32, owner: u32, accounts: &Accounts) -> bool {
    let Some(name) = accounts.name(owner) else { return false };
    let others = accounts.users.lines().any(|line| {
        let fields: Vec<&str> = line.split(':').collect();
        fields.len() > 3 && fields[3].parse() == Ok(group) && fields[2].parse() != Ok(owner)
    });
    let mut members = accounts.groups.lines().filter_map(|line| {
        let fields: Vec<&str> = line.split(':').collect();
        (fields.get(2)?.parse() == Ok(group)).then(|| fields.get(3).copied().unwrap_or_default().to_string())
    });
    let only = |members: String| members.split(',').all(|it| it.trim().is_empty() || it.trim() == name);
    !others && members.next().is_some_and(only)
}

#[cfg(test)]
#[path = "../../tests/support/needs.rs"]
mod needs;

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::{PermissionsExt, chown, symlink};

    fn said(path: &Path) -> String {
        check(path).err().map(|it| it.to_string()).unwrap_or_default()
    }

    #[test]
    fn a_folder_that_appears_while_it_is_opened_is_there_or_not() {
        let dir = tempfile::tempdir().unwrap();
        let home = dir.path().join("home");
        std::thread::scope(|scope| {
            let appears = scope.spawn(|| {
                for _ in 0..3_000 {
                    std::fs::create_dir(&home).unwrap();
                    std::fs::remove_dir(&home).unwrap();
                }
            });
            while !appears.is_finished() {
                let opened = open_folder(&home);
                assert!(opened.is_ok(), "{:?}", opened.err());
            }
        });
    }

    #[test]
    fn what_others_can_write_or_lead_elsewhere_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("f");
        assert!(check(&file).unwrap().is_none());
        fs::write(&file, "x").unwrap();
        assert!(check(&file).unwrap().is_some());
        let link = dir.path().join("l");
        symlink(&file, &link).unwrap();
        assert!(said(&link).ends_with("is a symbolic link"));
        assert!(open(&link, OpenOptions::new().read(true)).unwrap_err().to_string().contains("symbolic link"));
        assert!(open_empty(&link).is_err());
        assert_eq!(read_to_string(&file).unwrap(), "x");
        let other = dir.path().join("other");
        fs::hard_link(&file, &other).unwrap();
        assert!(check(&file).is_ok() && read(&file).is_ok());
        assert!(check_file(&file).unwrap_err().to_string().ends_with("has 2 names"));
        assert!(open_empty(&file).is_err() && fs::read_to_string(&other).unwrap() == "x", "nothing was emptied");
        fs::remove_file(&other).unwrap();
        check_file(&file).unwrap();
        check_file(&other).unwrap();
        assert!(check_file(dir.path()).is_err());
        for (mode, by) in [(0o666, "everybody"), (0o602, "everybody")] {
            fs::set_permissions(&file, fs::Permissions::from_mode(mode)).unwrap();
            assert!(said(&file).ends_with(by), "{}", said(&file));
            assert!(open_empty(&file).is_err() && fs::read_to_string(&file).unwrap() == "x", "nothing was emptied");
        }
        assert!(read(dir.path()).unwrap_err().to_string().contains("not a regular file"));
    }

    #[test]
    fn only_root_can_be_shown_a_file_of_another_user() {
        if !needs::needs_root() {
            return;
        }
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("f");
        fs::write(&file, "x").unwrap();
        chown(&file, Some(65_534), None).unwrap();
        assert!(said(&file).contains("belongs to user 65534"), "{}", said(&file));
        assert!(check(&file).unwrap_err().hint().unwrap().contains("sudo -u"));
        chown(dir.path(), Some(65_534), None).unwrap();
        assert!(check_place(&dir.path().join("new/home")).is_err());
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o1777)).unwrap();
        check_place(&dir.path().join("new/home")).unwrap();
    }

    #[test]
    fn a_group_is_private_when_its_owner_is_alone_in_it() {
        let accounts = |users: &str, groups: &str| Accounts { users: users.into(), groups: groups.into() };
        let ann = "ann:x:1000:1000:Ann:/home/ann:/bin/sh\n";
        let bob = "bob:x:1001:1000:Bob:/home/bob:/bin/sh\n";
        for (users, groups, private) in [
            (ann.to_string(), "ann:x:1000:\n", true),
            (ann.to_string(), "ann:x:1000:ann\n", true),
            (ann.to_string(), "ann:x:1000:ann,bob\n", false),
            (format!("{ann}{bob}"), "ann:x:1000:\n", false),
            (ann.to_string(), "staff:x:50:\n", false),
            (String::new(), "ann:x:1000:\n", false),
        ] {
            assert_eq!(is_private_group(1000, 1000, &accounts(&users, groups)), private, "{users} {groups}");
        }
    }
}
