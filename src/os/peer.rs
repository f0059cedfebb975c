//! Other processes of this program, started in order to be watched and signalled.

use super::spawn::{ProcessLimits, prepare_child};
use crate::model::ExitStatus;
use rustix::process::{Pid, Signal, kill_process};
use std::{
    ffi::OsStr,
    fs::OpenOptions,
    io,
    os::unix::process::{CommandExt, ExitStatusExt},
    path::Path,
    process::{Child, Command, Stdio},
};

/// A signal for a peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Blow {
    Kill,
    Stop,
    Continue,
    Terminate,
}

impl Blow {
    pub(super) fn signal(self) -> Signal {
        match self {
            Blow::Kill => Signal::KILL,
            Blow::Stop => Signal::STOP,
            Blow::Continue => Signal::CONT,
            Blow::Terminate => Signal::TERM,
        }
    }
}

/// A started process. It dies with its parent, and when this value is dropped.
#[derive(Debug)]
pub struct Peer {
    child: Child,
}

impl Peer {
    /// Starts `program` (`None`: this program) with these arguments and appends its output to `log`. It leads its own
    /// process group, so a Ctrl-C at the terminal does not reach it.
    pub fn start<S: AsRef<OsStr>>(program: Option<&Path>, args: &[S], log: &Path) -> io::Result<Peer> {
        let log = OpenOptions::new().append(true).create(true).open(log)?;
        let mut command = match program {
            Some(program) => Command::new(program),
            // On Linux the link leads to the running program even after an upgrade has replaced the file.
            None if cfg!(target_os = "linux") => Command::new("/proc/self/exe"),
            None => Command::new(std::env::current_exe()?),
        };
        command.arg0("windlass").args(args).stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log).process_group(0);
        // SAFETY: sets signal dispositions and the death signal; allocates nothing.
        unsafe { command.pre_exec(|| prepare_child(&ProcessLimits::default())) };
        Ok(Peer { child: command.spawn()? })
    }

    /// Sends a signal. If the peer has ended, nobody gets the signal: its pid can't be reused, because it has not been
    /// waited for.
    pub fn strike(&self, blow: Blow) -> io::Result<()> {
        strike(self.child.id(), blow)
    }

    /// How it ended; `None` while it is running.
    pub fn ended(&mut self) -> io::Result<Option<ExitStatus>> {
        let Some(status) = self.child.try_wait()? else { return Ok(None) };
        let signal = status.signal().map(ExitStatus::Signal);
        Ok(signal.or(status.code().map(ExitStatus::Code)))
    }
}

/// Kills this process, as a crash would.
pub fn die() {
    let _ = strike(std::process::id(), Blow::Kill);
}

fn strike(pid: u32, blow: Blow) -> io::Result<()> {
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw).ok_or(io::ErrorKind::InvalidInput)?;
    Ok(kill_process(pid, blow.signal())?)
}

impl Drop for Peer {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}
