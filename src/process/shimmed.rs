//! Our end of a shim: starts it, tells it what to do, hears its news.

use super::{
    program::program,
    wire::{HOLD, KILL, LET_GO, News, Order, RECORD, TERMINATE, WORD},
};
use crate::{
    decide::outcome::StartError,
    os::{Shortage, fd_passing, threads},
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
    process::{Child, Command, Stdio},
};

/// A shim that ends without a word of its child met too low a limit, or was ended itself: nothing was begun.
pub(super) const NOT_BEGUN: &str = "the process that was to start it ended before it could";

/// What a shim starts.
pub struct Launch<'a> {
    pub argv: &'a [OsString],
    pub dir: &'a Path,
    /// The complete environment.
    pub env: &'a [(OsString, OsString)],
    pub stdin: BorrowedFd<'a>,
    pub stdout: Stdio,
    pub stderr: Stdio,
    /// The numbers of given and kept descriptors are filled in by `start`.
    pub order: Order,
    pub given: &'a [OwnedFd],
    pub kept: &'a [OwnedFd],
}

/// A running shim. Dropping it kills its whole tree.
#[derive(Debug)]
pub struct Shimmed {
    process: Option<Child>,
    control: UnixStream,
    /// Bytes of news that have not been understood yet.
    unread: Vec<u8>,
    news: VecDeque<News>,
    gone: bool,
}

impl Shimmed {
    /// Starts a shim. Whether the command itself starts is told by its first news.
    pub fn start(launch: Launch) -> Result<Shimmed, StartError> {
        let name = launch.argv.first().ok_or(StartError::NotStartable("the command is empty".to_string()))?;
        if !launch.dir.is_dir() {
            let why = format!("the directory {} does not exist", launch.dir.display());
            return Err(StartError::NotStartable(why));
        }
        let program = program().map_err(StartError::NotStartable)?;
        let no_room = |error: io::Error| start_error(name, &error);
        let (control, theirs) = UnixStream::pair().map_err(no_room)?;
        let order = Order { given: launch.given.len(), kept: launch.kept.len(), ..launch.order };
        let mut command = Command::new(program);
        command.arg0("windlass").arg(WORD).args(order.to_args()).args(launch.argv);
        command.env_clear().envs(launch.env.iter().map(|it| (&it.0, &it.1))).current_dir(launch.dir);
        command.stdin(OwnedFd::from(theirs)).stdout(launch.stdout).stderr(launch.stderr);
        let process = command.spawn().map_err(no_room)?;
        drop(command); // it holds the child's ends of the pipes
        let shimmed =
            Shimmed { process: Some(process), control, unread: Vec::new(), news: VecDeque::new(), gone: false };
        let mut fds: Vec<BorrowedFd> = launch.given.iter().chain(launch.kept).map(AsFd::as_fd).collect();
        fds.push(launch.stdin);
        fd_passing::send(&shimmed.control, &fds).map_err(no_room)?;
        Ok(shimmed)
    }

    /// Becomes readable when there is news.
    pub fn control(&self) -> BorrowedFd<'_> {
        self.control.as_fd()
    }

    /// Reads what has come; waits when nothing has.
    pub fn hear(&mut self) {
        let mut bytes = [0; 16 * RECORD];
        match self.control.read(&mut bytes) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => (),
            Ok(0) | Err(_) => self.gone = true,
            Ok(count) => {
                self.unread.extend_from_slice(&bytes[..count]);
                while let Some((record, rest)) = self.unread.split_first_chunk::<RECORD>() {
                    self.news.extend(News::from_bytes(record));
                    self.unread = rest.to_vec();
                }
            }
        }
    }

    /// The oldest news that was heard.
    pub fn next_news(&mut self) -> Option<News> {
        self.news.pop_front()
    }

    /// The shim has ended; after `News::Ended` nothing of its tree is left.
    pub fn is_gone(&self) -> bool {
        self.gone
    }

    /// Asks the child's process group and every other descendant to end.
    pub fn terminate(&self) {
        // A shim that has just ended can't be told anything, and needs not be.
        let _ = fd_passing::write_quietly(&self.control, &[TERMINATE]);
    }

    /// Kills all of the tree.
    pub fn kill(&self) {
        let _ = fd_passing::write_quietly(&self.control, &[KILL]);
    }

    /// Has the shim hold a lock until `let_go`, or else until the last process of its tree is dead.
    pub fn hold(&self, lock: BorrowedFd<'_>) -> io::Result<()> {
        fd_passing::send_with(&self.control, HOLD, &[lock])
    }

    pub fn let_go(&self) {
        let _ = fd_passing::write_quietly(&self.control, &[LET_GO]);
    }
}

impl Drop for Shimmed {
    fn drop(&mut self) {
        let Some(mut process) = self.process.take() else { return };
        // The socket is closed after this; a shim that has not ended yet will then kill its tree. Somebody must wait for
        // it, or it would stay as a zombie.
        let _ = self.control.shutdown(std::net::Shutdown::Both);
        if self.gone {
            let _ = process.wait();
        } else {
            threads::aside("shim-wait", move || drop(process.wait()));
        }
    }
}

/// What an error at the start means: the command's own fault, or a lack of room.
pub(super) fn start_error(command: &OsString, error: &io::Error) -> StartError {
    let name = command.to_string_lossy();
    if Shortage::of_start(error).is_some() || error.raw_os_error() == Some(libc::ETXTBSY) {
        return StartError::NoRoom(format!("no room to start `{name}`: {error}"));
    }
    match error.raw_os_error() {
        Some(libc::ENOENT) => StartError::NotStartable(format!("`{name}` was not found")),
        Some(libc::EACCES) => StartError::NotStartable(format!("`{name}` is not executable")),
        Some(libc::ENOTDIR) => StartError::NotStartable(format!("`{name}` was not found: {error}")),
        _ => StartError::NotStartable(format!("`{name}` can't be started: {error}")),
    }
}
