//! A small disk in memory that only this process and its children see, to be filled without harm to any real disk.

use crate::model::Bytes;
use std::{
    io,
    path::{Path, PathBuf},
};

/// A mounted disk. It is gone, with all that it holds, when the last process that sees it has ended.
#[derive(Debug)]
pub struct SmallDisk {
    dir: PathBuf,
}

impl SmallDisk {
    /// Mounts a disk of `size` on `dir`, where the system allows that. Takes root, or namespaces for any user; the latter
    /// only a process with one thread can make.
    pub fn mount(dir: &Path, size: Bytes) -> io::Result<SmallDisk> {
        system::mount(dir, size)?;
        Ok(SmallDisk { dir: dir.to_path_buf() })
    }

    /// Makes the disk as large as what it holds and `free` bytes more.
    pub fn leave(&self, free: Bytes) -> io::Result<()> {
        const ATTEMPTS: u64 = 1_000;
        for attempt in 0..ATTEMPTS {
            let disk = rustix::fs::statvfs(&self.dir)?;
            let used = disk.f_blocks.saturating_sub(disk.f_bfree) * disk.f_frsize;
            // Somebody who writes without a pause would win every race for the last page.
            let slack = attempt * disk.f_frsize / 10;
            match system::resize(&self.dir, Bytes(used + free.0 + slack)) {
                // Somebody has written in between: it holds more than it is to be large.
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
        // What is mounted from now on stays among us.
        call(None, Path::new("/"), None, libc::MS_REC | libc::MS_PRIVATE, None)?;
        let options = format!("size={},mode=700", size.0);
        call(Some(c"windlass"), dir, Some(c"tmpfs"), libc::MS_NOSUID | libc::MS_NODEV, Some(&options))
    }

    pub fn resize(dir: &Path, size: Bytes) -> io::Result<()> {
        let flags = libc::MS_REMOUNT | libc::MS_NOSUID | libc::MS_NODEV;
        call(Some(c"windlass"), dir, Some(c"tmpfs"), flags, Some(&format!("size={}", size.0)))
    }

    /// Mounts of its own for this process, as root or under a name that counts as root for them alone.
    fn separate() -> io::Result<()> {
        if unshare(libc::CLONE_NEWNS).is_ok() {
            return Ok(());
        }
        // SAFETY: they only return numbers.
        let (user, group) = unsafe { (libc::geteuid(), libc::getegid()) };
        unshare(libc::CLONE_NEWUSER | libc::CLONE_NEWNS)?;
        // Without the first the third is forbidden.
        fs::write("/proc/self/setgroups", "deny")?;
        fs::write("/proc/self/uid_map", format!("{user} {user} 1"))?;
        fs::write("/proc/self/gid_map", format!("{group} {group} 1"))
    }

    fn unshare(flags: libc::c_int) -> io::Result<()> {
        // SAFETY: changes what this process sees; no memory is involved.
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
        // SAFETY: all strings end with a zero and outlive the call; null is allowed where there is none.
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
