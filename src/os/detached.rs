//! Starts another process of this program that outlives the one that starts it.

use super::spawn::leave_session;
use std::{
    ffi::OsStr,
    fs::File,
    io,
    os::unix::process::CommandExt,
    path::Path,
    process::{Child, ChildStdout, Command, Stdio},
};

/// A detached process. It has its own session, its working directory is `/`, and its messages go to `log`. Its standard
/// output can be read from here until the process closes it.
#[derive(Debug)]
pub struct Detached {
    child: Child,
}

impl Detached {
    pub fn start<S: AsRef<OsStr>>(args: &[S], log: File) -> io::Result<Detached> {
        // On Linux the link leads to the running program even after an upgrade has replaced the file.
        let program = match cfg!(target_os = "linux") {
            true => Path::new("/proc/self/exe").to_path_buf(),
            false => std::env::current_exe()?,
        };
        let mut command = Command::new(program);
        command.arg0("windlass").args(args).current_dir("/");
        // The starter's supervisor does not supervise the new process.
        for name in ["NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"] {
            command.env_remove(name);
        }
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(log);
        // SAFETY: makes one system call and allocates nothing.
        unsafe {
            command.pre_exec(|| {
                leave_session();
                Ok(())
            })
        };
        Ok(Detached { child: command.spawn()? })
    }

    /// The child's standard output. Returns `None` after the first call.
    pub fn output(&mut self) -> Option<ChildStdout> {
        self.child.stdout.take()
    }

    /// Waits for the process to end. Returns the exit code, or `None` if a signal ended it.
    pub fn wait(&mut self) -> io::Result<Option<i32>> {
        Ok(self.child.wait()?.code())
    }
}

/// Writes to standard output, unbuffered.
pub fn say(mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        let count = rustix::io::retry_on_intr(|| rustix::io::write(rustix::stdio::stdout(), bytes))?;
        bytes = &bytes[count..];
    }
    Ok(())
}

/// Closes standard output by pointing it at stderr.
pub fn close_output() -> io::Result<()> {
    Ok(rustix::stdio::dup2_stdout(rustix::stdio::stderr())?)
}
