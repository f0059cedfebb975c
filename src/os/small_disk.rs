//! A small in-memory disk that only this process and its children see. Filling it does not harm a real disk.

use crate::model::Bytes;
use std::{
    io,
    path::{Path, PathBuf},
};

/// A mounted disk. It and its contents disappear when the last process that sees it ends.
#[derive(Debug)]
pub struct SmallDisk {
    dir: PathBuf,
}

impl SmallDisk {
    /// Mounts a disk of `size` at `dir`, if the system allows it. This requires root or user namespaces; only a
    /// single-threaded process can create those.
    pub fn mount(dir: &Path, size: Bytes) -> io::Result<SmallDisk> {
        system::mount(dir, size)?;
        Ok(SmallDisk { dir: dir.to_path_buf() })
    }

    /// Resizes the disk to its current contents plus `free` bytes.
    pub fn leave(&self, free: Bytes) -> io::Result<()> {
        const ATTEMPTS: u64 = 1_000;
        for attempt in 0..ATTEMPTS {
            let disk = rustix::fs::statvfs(&self.dir)?;
            let used = disk.f_blocks.saturating_sub(disk.f_bfree) * disk.f_frsize;
            // A process that writes without pause would win every race for the last page.
            let slack = attempt * disk.f_frsize / 10;
            match system::resize(&self.dir, Bytes(used + free.0 + slack)) {
                // Another process has written in between, so the contents exceed the new size.
                Err(error) if error.kind() == io::ErrorKind::InvalidInput => {}
                done => return done,
            }
        }
        Err(io::ErrorKind::ResourceBusy.into())
    }
}

#[cfg(target_os = "linux")]
mod system {
    use crate::model::Bytes;
    use std::{
        ffi::{CStr, CString},
        fs, io,
        os::unix::ffi::OsStrExt,
        path::Path,
        ptr,
    };

    pub fn mount(dir: &Path, size: Bytes) -> io::Result<()> {
        separate()?;
        // Mounts from now on stay private to this process tree.
        call(None, Path::new("/"), None, libc::MS_REC | libc::MS_PRIVATE, None)?;
        let options = format!("size={},mode=700", size.0);
        call(Some(c"windlass"), dir, Some(c"tmpfs"), libc::MS_NOSUID | libc::MS_NODEV, Some(&options))
    }

    pub fn resize(dir: &Path, size: Bytes) -> io::Result<()> {
        let flags = libc::MS_REMOUNT | libc::MS_NOSUID | libc::MS_NODEV;
        call(Some(c"windlass"), dir, Some(c"tmpfs"), flags, Some(&format!("size={}", size.0)))
    }

    /// Gives this process its own mount namespace: as root, or as a user who is root only inside a user namespace.
    fn separate() -> io::Result<()> {
        if unshare(libc::CLONE_NEWNS).is_ok() {
            return Ok(());
        }
        // SAFETY: these only return numbers.
        let (user, group) = unsafe { (libc::geteuid(), libc::getegid()) };
        unshare(libc::CLONE_NEWUSER | libc::CLONE_NEWNS)?;
        // Without the first write, the third is forbidden.
        fs::write("/proc/self/setgroups", "deny")?;
        fs::write("/proc/self/uid_map", format!("{user} {user} 1"))?;
        fs::write("/proc/self/gid_map", format!("{group} {group} 1"))
    }

    fn unshare(flags: libc::c_int) -> io::Result<()> {
        // SAFETY: changes only the namespaces of this process; no memory is involved.
        match unsafe { libc::unshare(flags) } {
            0 => Ok(()),
            _ => Err(io::Error::last_os_error()),
        }
    }

    fn call(
        source: Option<&CStr>,
        target: &Path,
        kind: Option<&CStr>,
        flags: libc::c_ulong,
        options: Option<&str>,
    ) -> io::Result<()> {
        let target = CString::new(target.as_os_str().as_bytes())?;
        let options = options.map(CString::new).transpose()?;
        let pointer = |it: Option<&CStr>| it.map_or(ptr::null(), CStr::as_ptr);
        // SAFETY: all strings are NUL-terminated and outlive the call; null is allowed for the optional ones.
        let done = unsafe {
            libc::mount(pointer(source), target.as_ptr(), pointer(kind), flags, pointer(options.as_deref()).cast())
        };
        match done {
            0 => Ok(()),
            _ => Err(io::Error::last_os_error()),
        }
    }
}

#[cfg(not(target_os = "linux"))]
mod system {
    use crate::model::Bytes;
    use std::{io, path::Path};

    pub fn mount(_: &Path, _: Bytes) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    pub fn resize(_: &Path, _: Bytes) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }
}
