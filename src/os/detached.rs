//! A process of this same program that outlives its starter.

use super::spawn::leave_session;
use std::{
    ffi::OsStr,
    fs::File,
    io,
    os::unix::process::CommandExt,
    path::Path,
    process::{Child, ChildStdout, Command, Stdio},
};

/// A started process: in a session of its own, its working directory `/`, its messages in `log`. What it prints on its
/// standard output can be read from here until it closes that.
#[derive(Debug)]
pub struct Detached {
    child: Child,
}

impl Detached {
    pub fn start<S: AsRef<OsStr>>(args: &[S], log: File) -> io::Result<Detached> {
        // On Linux the link leads to the running program also after an upgrade has replaced its file.
        let program = match cfg!(target_os = "linux") {
            true => Path::new("/proc/self/exe").to_path_buf(),
            false => std::env::current_exe()?,
        };
        let mut command = Command::new(program);
        command.arg0("windlass").args(args).current_dir("/");
        // A supervisor of the starter does not supervise it.
        for name in ["NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"] {
            command.env_remove(name);
        }
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(log);
        // SAFETY: one system call that allocates nothing.
        unsafe {
            command.pre_exec(|| {
                leave_session();
                Ok(())
            })
        };
        Ok(Detached { child: command.spawn()? })
    }

    /// Its standard output; once.
    pub fn output(&mut self) -> Option<ChildStdout> {
        self.child.stdout.take()
    }

    /// Waits for its end; the exit code, or `None` if a signal ended it.
    pub fn wait(&mut self) -> io::Result<Option<i32>> {
        Ok(self.child.wait()?.code())
    }
}

/// Writes to the standard output at once.
pub fn say(mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        let count = rustix::io::retry_on_intr(|| rustix::io::write(rustix::stdio::stdout(), bytes))?;
        bytes = &bytes[count..];
    }
    Ok(())
}

/// Lets go of the standard output: from here on it goes where the messages go.
pub fn close_output() -> io::Result<()> {
    Ok(rustix::stdio::dup2_stdout(rustix::stdio::stderr())?)
}
