//! Stands between a command in the foreground and the process that holds a lock for it.
//!
//! The command may close the descriptor of the lock, so the lock alone does not say that it still works. The guard is
//! the command's parent, leaves it the terminal, and reads a socket whose other end only the holder has. When the holder is
//! gone, also by kill -9, the guard kills the command with all of its descendants; when the guard is gone, the system
//! kills the command.

use super::{deaths::listen_for_deaths, program::program};
use crate::os::{
    readiness::wait_readable,
    spawn::{self, Reaped},
};
use std::{
    ffi::OsString,
    fs::File,
    io::{self, Read, Write},
    os::{
        fd::{AsFd, AsRawFd, FromRawFd, OwnedFd},
        unix::{net::UnixStream, process::CommandExt},
    },
    process::{Child, Command},
    time::Duration,
};

pub(super) const WORD: &str = "__guard";

/// What the holder writes to end the command.
const TERMINATE: u8 = b't';

/// Ends the command's descendants in rounds, since they may fork meanwhile.
const ROUND: Duration = Duration::from_millis(20);
const LONG: Duration = Duration::from_secs(3600);

/// The holder's end. Dropping it ends the command.
pub(super) struct Guard {
    pub child: Child,
    control: UnixStream,
}

impl Guard {
    /// Starts a command under a guard. Both inherit `held`.
    pub(super) fn start(argv: &[OsString], held: &File) -> io::Result<Guard> {
        let program = program().map_err(io::Error::other)?;
        let (control, theirs) = UnixStream::pair()?;
        let inherited = [held.as_fd().try_clone_to_owned()?, OwnedFd::from(theirs)];
        for fd in &inherited {
            rustix::io::fcntl_setfd(fd.as_fd(), rustix::io::FdFlags::empty())?;
        }
        let mut command = Command::new(program);
        command.arg0("windlass").arg(WORD).arg(inherited[1].as_raw_fd().to_string()).args(argv);
        Ok(Guard { child: command.spawn()?, control })
    }

    /// Asks the command to end.
    pub(super) fn terminate(&mut self) {
        // A guard that is gone has nothing left to ask.
        let _ = self.control.write_all(&[TERMINATE]);
    }

    /// Why the command could not be started; None if it was. Call it once the guard has ended.
    pub(super) fn start_error(&mut self) -> Option<io::Error> {
        let mut errno = [0; 4];
        self.control.set_nonblocking(true).ok()?;
        self.control.read_exact(&mut errno).ok()?;
        Some(io::Error::from_raw_os_error(i32::from_le_bytes(errno)))
    }
}

/// The guard itself: runs the command, and returns its exit code, or 128 + the signal that killed it.
pub(super) fn serve(mut words: impl Iterator<Item = OsString>) -> i32 {
    let control = words.next().and_then(|it| it.to_str()?.parse::<i32>().ok());
    let (Some(control), argv) = (control, words.collect::<Vec<_>>()) else { return 2 };
    run(control, &argv).unwrap_or(1)
}

fn run(control: i32, argv: &[OsString]) -> io::Result<i32> {
    let before = spawn::ignore_more_stops();
    spawn::close_on_exec(control)?;
    // SAFETY: our parent gave us this descriptor; nothing else uses it.
    let mut control = unsafe { UnixStream::from_raw_fd(control) };
    spawn::adopt_orphans()?;
    let mut deaths = listen_for_deaths()?;
    let (program, arguments) = argv.split_first().ok_or(io::ErrorKind::InvalidInput)?;
    let mut command = Command::new(program);
    command.args(arguments);
    // SAFETY: `prepare_foreground_child` makes system calls only.
    unsafe { command.pre_exec(move || spawn::prepare_foreground_child(before)) };
    let pid = match command.spawn() {
        Ok(child) => child.id(),
        Err(error) => {
            control.write_all(&error.raw_os_error().unwrap_or(libc::EINVAL).to_le_bytes())?;
            return Ok(1);
        }
    };
    let mut orphaned = false;
    loop {
        loop {
            match spawn::reap()? {
                Reaped::Child { pid: dead, exit } if dead == pid && !orphaned => return Ok(code_of(exit)),
                Reaped::Child { .. } => {}
                Reaped::Nobody => break,
                Reaped::Childless => return Ok(1),
            }
        }
        if orphaned {
            spawn::kill_descendants(None);
        }
        let listening = (!orphaned).then(|| control.as_fd());
        let ready = wait_readable(&[listening, Some(deaths.as_fd())], if orphaned { ROUND } else { LONG })?;
        if ready[1] {
            while matches!(deaths.read(&mut [0; 64]), Ok(count) if count > 0) {}
        }
        if ready[0] {
            match control.read(&mut [0; 16]) {
                Ok(0) | Err(_) => orphaned = true,
                Ok(_) => spawn::terminate(pid),
            }
        }
    }
}

fn code_of(exit: crate::model::ExitStatus) -> i32 {
    match exit {
        crate::model::ExitStatus::Code(code) => code,
        crate::model::ExitStatus::Signal(signal) => 128 + signal,
    }
}
