//! Our end of a shim: starts it, sends it orders, receives its events.

use super::{
    environment,
    program::program,
    wire::{HOLD, KILL, LET_GO, RECORD, RELEASE, ShimConfig, ShimEvent, TERMINATE, WORD},
};
use crate::{
    decide::outcome::StartError,
    os::{
        Shortage, fd_passing,
        leader::{Leader, Left},
        threads,
    },
};
use std::{
    collections::VecDeque,
    ffi::OsString,
    io::{self, Read},
    os::{
        fd::{AsFd, BorrowedFd, OwnedFd},
        unix::{net::UnixStream, process::CommandExt},
    },
    path::Path,
    process::{Command, Stdio},
    time::Duration,
};

/// If a shim ends without any report on its child, a resource limit was too low for the shim, or something killed it.
/// Nothing was started.
pub(super) const NOT_BEGUN: &str = "the process that should start it ended first";
/// How long a shim may take to end by itself after the order to end its tree, or after it closed its socket.
const LAST_BREATH: Duration = Duration::from_millis(200);
/// How long a shim may take to kill its tree after its owner is gone.
const DYING: Duration = Duration::from_secs(30);

/// The command for a shim to start.
pub struct Launch<'a> {
    pub argv: &'a [OsString],
    pub dir: &'a Path,
    /// The complete environment of the command. The shim has none.
    pub env: &'a [(OsString, OsString)],
    pub stdin: BorrowedFd<'a>,
    pub stdout: Stdio,
    pub stderr: Stdio,
    /// `start` fills in the numbers of given and kept descriptors.
    pub config: ShimConfig,
    pub passed: &'a [OwnedFd],
    pub kept: &'a [OwnedFd],
}

/// A running shim. Dropping it kills its whole tree.
#[derive(Debug)]
pub struct ShimHandle {
    leader: Option<Leader>,
    control: UnixStream,
    /// Bytes of events that are not parsed yet.
    unparsed: Vec<u8>,
    event: VecDeque<ShimEvent>,
    gone: bool,
    ended: bool,
    left: Left,
}

impl ShimHandle {
    /// Starts a shim. Its first event says whether the command itself started.
    pub fn start(launch: Launch) -> Result<ShimHandle, StartError> {
        let name = launch.argv.first().ok_or(StartError::NotStartable("the command is empty".to_string()))?;
        if !launch.dir.is_dir() {
            let why = format!("the directory {} does not exist", launch.dir.display());
            return Err(StartError::NotStartable(why));
        }
        let program = program().map_err(StartError::NotStartable)?;
        let no_room = |error: io::Error| start_error(name, &error);
        let env = environment::file(launch.env).map_err(|error| start_error(name, &error))?;
        let (control, theirs) = UnixStream::pair().map_err(no_room)?;
        let config = ShimConfig { passed: launch.passed.len(), kept: launch.kept.len(), ..launch.config };
        let mut command = Command::new(program);
        command.arg0("windlass").arg(WORD).args(config.to_args()).args(launch.argv);
        command.env_clear().current_dir(launch.dir);
        command.stdin(OwnedFd::from(theirs)).stdout(launch.stdout).stderr(launch.stderr);
        let leader = Leader::start(&mut command).map_err(no_room)?;
        drop(command); // it holds the child's ends of the pipes
        let handle = ShimHandle {
            leader: Some(leader),
            control,
            unparsed: Vec::new(),
            event: VecDeque::new(),
            gone: false,
            ended: false,
            left: Left::default(),
        };
        let mut fds: Vec<BorrowedFd> = launch.passed.iter().chain(launch.kept).map(AsFd::as_fd).collect();
        fds.extend([launch.stdin, env.as_fd()]);
        fd_passing::send(&handle.control, &fds).map_err(no_room)?;
        Ok(handle)
    }

    /// Becomes readable when there are events.
    pub fn control(&self) -> BorrowedFd<'_> {
        self.control.as_fd()
    }

    /// Reads the available events; waits if there are none.
    pub fn hear(&mut self) {
        let mut bytes = [0; 16 * RECORD];
        match self.control.read(&mut bytes) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => (),
            Ok(0) | Err(_) => self.lose(LAST_BREATH),
            Ok(count) => {
                self.unparsed.extend_from_slice(&bytes[..count]);
                while let Some((record, rest)) = self.unparsed.split_first_chunk::<RECORD>() {
                    let event = ShimEvent::from_bytes(record);
                    self.ended |= matches!(event, Some(ShimEvent::Ended { .. }));
                    self.event.extend(event);
                    self.unparsed = rest.to_vec();
                }
            }
        }
    }

    /// The oldest unprocessed event.
    pub fn next_event(&mut self) -> Option<ShimEvent> {
        self.event.pop_front()
    }

    /// Whether the shim has ended. After `ShimEvent::Ended`, nothing of its tree is left.
    pub fn is_gone(&self) -> bool {
        self.gone
    }

    /// The pid of the shim; 0 once it is gone.
    pub fn pid(&self) -> u32 {
        self.leader.as_ref().map_or(0, Leader::pid)
    }

    /// Whether the shim is stopped, in which case it watches nothing.
    pub fn is_stopped(&self) -> bool {
        self.leader.as_ref().is_some_and(Leader::is_stopped)
    }

    /// Processes of the tree that survived the kill of the shim. They have been ended.
    pub fn left(&self) -> Left {
        self.left
    }

    /// Ends a shim that does not respond, with its whole tree.
    pub fn overthrow(&mut self) {
        self.lose(Duration::ZERO);
    }

    /// Handles a shim that has closed its socket. If it did not end its tree first, that happens here, so that nothing
    /// of the tree is left when this returns.
    fn lose(&mut self, patience: Duration) {
        self.gone = true;
        if !self.ended
            && let Some(leader) = self.leader.take()
        {
            self.left = leader.bury(patience);
        }
    }

    /// Detaches the processes that the command left behind. The shim keeps reading from `outputs`.
    pub fn release(&mut self, outputs: &[BorrowedFd<'_>]) {
        // A shim that has just ended has nothing left to release.
        let _ = fd_passing::send_with(&self.control, RELEASE, outputs);
        if let Some(leader) = self.leader.take() {
            leader.release();
        }
    }

    /// Asks the child's process group and every other descendant to end.
    pub fn terminate(&self) {
        // A shim that has just ended need not receive anything.
        let _ = fd_passing::write_quietly(&self.control, &[TERMINATE]);
    }

    /// Kills the whole tree.
    pub fn kill(&self) {
        let _ = fd_passing::write_quietly(&self.control, &[KILL]);
    }

    /// Makes the shim hold a lock until `let_go`, or until the last process of its tree is dead.
    pub fn hold(&self, lock: BorrowedFd<'_>) -> io::Result<()> {
        fd_passing::send_with(&self.control, HOLD, &[lock])
    }

    pub fn let_go(&self) {
        let _ = fd_passing::write_quietly(&self.control, &[LET_GO]);
    }
}

impl Drop for ShimHandle {
    fn drop(&mut self) {
        let Some(leader) = self.leader.take() else { return };
        // This closes the socket, and a shim that has not ended yet then kills its tree. Someone must wait for it, or
        // it would remain as a zombie.
        let _ = self.control.shutdown(std::net::Shutdown::Both);
        if self.gone {
            leader.bury(DYING);
        } else {
            threads::aside("shim-wait", move || _ = leader.bury(DYING));
        }
    }
}

/// Classifies an error at the start: the command's own fault, or a shortage.
pub(super) fn start_error(command: &OsString, error: &io::Error) -> StartError {
    let name = command.to_string_lossy();
    if Shortage::of_start(error).is_some() || error.raw_os_error() == Some(libc::ETXTBSY) {
        return StartError::NoRoom(format!("no resources to start `{name}`: {error}"));
    }
    match error.raw_os_error() {
        Some(libc::ENOENT) => StartError::NotStartable(format!("`{name}` was not found")),
        Some(libc::EACCES) => StartError::NotStartable(format!("`{name}` is not executable")),
        Some(libc::ENOTDIR) => StartError::NotStartable(format!("`{name}` was not found: {error}")),
        _ => StartError::NotStartable(format!("`{name}` can't be started: {error}")),
    }
}
