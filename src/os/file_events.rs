//! What the kernel says of directories that change. These are hints: they may come late, twice, or not at all, so whoever
//! needs the truth reads the directory. Only Linux (inotify) gives any.

use std::{
    io,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    path::{Path, PathBuf},
};

/// A hint, for the owner that asked for it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Hint {
    /// Something happened to the entry with this path, relative to what the owner watches.
    Entry { owner: u64, path: PathBuf, is_directory: bool },
    /// A watched directory was moved, removed or unmounted, and is watched no longer.
    Lost { owner: u64 },
    /// More happened than the kernel remembers: anything may have changed.
    Overflow,
}

/// Directories that are watched for several owners. A directory is watched for itself, not for what is below it.
#[derive(Debug)]
pub struct FileEvents {
    fd: OwnedFd,
    #[cfg(target_os = "linux")]
    directories: std::collections::HashMap<i32, Vec<(u64, PathBuf)>>,
}

impl AsFd for FileEvents {
    /// Readable while there are hints.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

#[cfg(target_os = "linux")]
impl FileEvents {
    /// # Errors
    ///
    /// The user has as many watchers as the system allows, or no descriptor is left.
    pub fn new() -> io::Result<FileEvents> {
        use rustix::fs::inotify::{CreateFlags, init};
        let fd = init(CreateFlags::NONBLOCK | CreateFlags::CLOEXEC)?;
        Ok(FileEvents { fd, directories: Default::default() })
    }

    /// Watches a directory, from now on known to its owner by the path `relative`. Safe to repeat.
    ///
    /// # Errors
    ///
    /// There is no such directory, it can't be read, or the user watches as many as the system allows.
    pub fn watch(&mut self, owner: u64, directory: &Path, relative: &Path) -> io::Result<()> {
        use rustix::fs::inotify::{WatchFlags, add_watch};
        let changes = WatchFlags::CREATE
            | WatchFlags::CLOSE_WRITE
            | WatchFlags::ATTRIB
            | WatchFlags::MOVE
            | WatchFlags::DELETE
            | WatchFlags::DELETE_SELF
            | WatchFlags::MOVE_SELF;
        let number = add_watch(&self.fd, directory, changes | WatchFlags::ONLYDIR)?;
        let owners = self.directories.entry(number).or_default();
        match owners.iter_mut().find(|it| it.0 == owner) {
            Some(known) => known.1 = relative.to_path_buf(),
            None => owners.push((owner, relative.to_path_buf())),
        }
        Ok(())
    }

    /// Watches nothing more for this owner.
    pub fn forget(&mut self, owner: u64) {
        self.directories.values_mut().for_each(|owners| owners.retain(|it| it.0 != owner));
        let unused: Vec<i32> = self.directories.iter().filter(|it| it.1.is_empty()).map(|it| *it.0).collect();
        unused.into_iter().for_each(|number| drop(self.drop_directory(number)));
    }

    fn drop_directory(&mut self, number: i32) -> Vec<(u64, PathBuf)> {
        // One that is gone is not watched any more.
        let _ = rustix::fs::inotify::remove_watch(&self.fd, number);
        self.directories.remove(&number).unwrap_or_default()
    }

    /// How many directories are watched.
    #[cfg(any(test, feature = "internals"))]
    pub fn directories(&self) -> usize {
        self.directories.len()
    }

    /// The hints that have come, each once; empty if there are none. At most some ten thousand: call it again.
    pub fn read(&mut self) -> io::Result<Vec<Hint>> {
        let mut found = Vec::new();
        let mut buffer = [std::mem::MaybeUninit::uninit(); 32 << 10];
        for _ in 0..16 {
            let events = self.read_some(&mut buffer)?;
            if events.is_empty() {
                break;
            }
            events.into_iter().for_each(|it| self.take(it, &mut found));
        }
        found.sort_unstable();
        found.dedup();
        Ok(found)
    }

    fn read_some(&self, buffer: &mut [std::mem::MaybeUninit<u8>]) -> io::Result<Vec<Event>> {
        use std::{ffi::OsStr, os::unix::ffi::OsStrExt};
        let mut reader = rustix::fs::inotify::Reader::new(&self.fd, buffer);
        let mut found = Vec::new();
        loop {
            match reader.next() {
                Ok(event) => {
                    let name = event.file_name().map(|it| PathBuf::from(OsStr::from_bytes(it.to_bytes())));
                    found.push(Event { number: event.wd(), what: event.events(), name });
                }
                Err(rustix::io::Errno::AGAIN | rustix::io::Errno::INTR) => return Ok(found),
                Err(error) => return Err(error.into()),
            }
            if reader.is_buffer_empty() {
                return Ok(found);
            }
        }
    }

    fn take(&mut self, event: Event, found: &mut Vec<Hint>) {
        use rustix::fs::inotify::ReadFlags;
        if event.what.contains(ReadFlags::QUEUE_OVERFLOW) {
            return found.push(Hint::Overflow);
        }
        let ends = ReadFlags::IGNORED | ReadFlags::DELETE_SELF | ReadFlags::MOVE_SELF | ReadFlags::UNMOUNT;
        if event.what.intersects(ends) {
            let owners = self.drop_directory(event.number);
            return found.extend(owners.into_iter().map(|(owner, _)| Hint::Lost { owner }));
        }
        let owners = self.directories.get(&event.number).into_iter().flatten();
        let is_directory = event.what.contains(ReadFlags::ISDIR);
        found.extend(owners.map(|(owner, directory)| {
            let path = event.name.as_ref().map_or_else(|| directory.clone(), |it| directory.join(it));
            Hint::Entry { owner: *owner, path, is_directory: is_directory || event.name.is_none() }
        }));
    }
}

#[cfg(target_os = "linux")]
struct Event {
    number: i32,
    what: rustix::fs::inotify::ReadFlags,
    name: Option<PathBuf>,
}

#[cfg(not(target_os = "linux"))]
impl FileEvents {
    pub fn new() -> io::Result<FileEvents> {
        Err(io::ErrorKind::Unsupported.into())
    }

    pub fn watch(&mut self, _owner: u64, _directory: &Path, _relative: &Path) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    pub fn forget(&mut self, _owner: u64) {}

    pub fn read(&mut self) -> io::Result<Vec<Hint>> {
        Ok(Vec::new())
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;
    use crate::os::readiness::wait_readable;
    use std::{fs, time::Duration};

    fn entry(owner: u64, path: &str, is_directory: bool) -> Hint {
        Hint::Entry { owner, path: path.into(), is_directory }
    }

    #[test]
    fn each_owner_hears_of_its_directories_by_its_own_paths() {
        let dir = tempfile::tempdir().unwrap();
        let inner = dir.path().join("in");
        fs::create_dir(&inner).unwrap();
        let mut events = FileEvents::new().unwrap();
        events.watch(1, dir.path(), Path::new("")).unwrap();
        events.watch(1, &inner, Path::new("in")).unwrap();
        events.watch(2, &inner, Path::new("")).unwrap();
        events.watch(2, &inner, Path::new("")).unwrap();
        assert!(events.watch(3, &dir.path().join("absent"), Path::new("")).is_err());
        assert_eq!((events.read().unwrap(), events.directories()), (vec![], 2));
        fs::write(inner.join("a"), "x").unwrap();
        fs::create_dir(dir.path().join("new")).unwrap();
        assert!(wait_readable(&[Some(events.as_fd())], Duration::from_secs(9)).unwrap()[0]);
        let heard = events.read().unwrap();
        assert_eq!(heard, [entry(1, "in/a", false), entry(1, "new", true), entry(2, "a", false)]);
        events.forget(1);
        fs::rename(inner.join("a"), inner.join("b")).unwrap();
        assert_eq!(events.read().unwrap(), [entry(2, "a", false), entry(2, "b", false)]);
        assert_eq!(events.directories(), 1);
        fs::remove_dir_all(&inner).unwrap();
        assert!(events.read().unwrap().contains(&Hint::Lost { owner: 2 }));
        assert_eq!((events.directories(), events.read().unwrap()), (0, vec![]));
    }

    #[test]
    fn more_than_the_kernel_remembers_is_said() {
        let most: usize = fs::read_to_string("/proc/sys/fs/inotify/max_queued_events").unwrap().trim().parse().unwrap();
        let dir = tempfile::tempdir().unwrap();
        let mut events = FileEvents::new().unwrap();
        events.watch(1, dir.path(), Path::new("")).unwrap();
        let file = dir.path().join("a");
        // Equal events in a row are one: each name differs from the one before.
        for no in 0..most + 2 {
            fs::rename(&file, dir.path().join("b")).ok();
            fs::write(dir.path().join(if no % 2 == 0 { "a" } else { "c" }), "").unwrap();
            if no > 40_000 {
                break;
            }
        }
        let mut heard = Vec::new();
        loop {
            let more = events.read().unwrap();
            if more.is_empty() {
                break;
            }
            heard.extend(more);
        }
        assert!(heard.contains(&Hint::Overflow) || most > 40_000);
        fs::write(dir.path().join("after"), "").unwrap();
        assert_eq!(events.read().unwrap(), [entry(1, "after", false)]);
    }
}
