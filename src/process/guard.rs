//! A process between a foreground command and the process that holds a lock for it.
//!
//! The command may close the descriptor of the lock, so the lock alone does not prove that the command is still
//! running. The guard is the command's parent and leaves it the terminal. It reads a socket that only the holder has
//! the other end of. When the holder is gone, even after kill -9, the guard kills the command and all of its
//! descendants. When the guard is gone, the system kills the command. The guard adopts processes that the command
//! leaves running, and ends after the last of them.

use super::{deaths::listen_for_deaths, program::program};
use crate::{
    model::ExitStatus,
    os::{
        process_stat,
        readiness::wait_readable,
        spawn::{self, Reaped},
        stderr,
    },
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
    time::{Duration, Instant},
};

pub(super) const WORD: &str = "__guard";

/// The byte that the holder writes to end the command.
const TERMINATE: u8 = b't';
/// The byte that the holder writes after a Ctrl-C. It ends processes that the command left running.
const INTERRUPT: u8 = b'i';

/// The interval between rounds of killing descendants, since they may fork in the meantime.
const ROUND: Duration = Duration::from_millis(20);
/// Processes that outlive the command by less than this are not mentioned.
const QUIET: Duration = Duration::from_secs(1);
/// How long processes that the command left running may take to end.
const GRACE: Duration = Duration::from_secs(5);
/// The maximum number of processes that a message names.
const NAMED: usize = 3;
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
        // If the guard is gone, there is nothing left to end.
        let _ = self.control.write_all(&[TERMINATE]);
    }

    /// Forwards a Ctrl-C. The command itself gets it from the terminal.
    pub(super) fn interrupt(&mut self) {
        let _ = self.control.write_all(&[INTERRUPT]);
    }

    /// Why the command could not be started; `None` if it was. Call this after the guard has ended.
    pub(super) fn start_error(&mut self) -> Option<io::Error> {
        let mut errno = [0; 4];
        self.control.set_nonblocking(true).ok()?;
        self.control.read_exact(&mut errno).ok()?;
        Some(io::Error::from_raw_os_error(i32::from_le_bytes(errno)))
    }
}

/// The guard process: runs the command, waits for all of its descendants, and returns its exit code, or 128 + the
/// signal that killed it.
pub(super) fn serve(mut words: impl Iterator<Item = OsString>) -> i32 {
    let control = words.next().and_then(|it| it.to_str()?.parse::<i32>().ok());
    let (Some(control), argv) = (control, words.collect::<Vec<_>>()) else { return 2 };
    run(control, &argv).unwrap_or(1)
}

fn run(control: i32, argv: &[OsString]) -> io::Result<i32> {
    let before = spawn::ignore_more_stops();
    spawn::close_on_exec(control)?;
    // SAFETY: our parent passed this descriptor to us; nothing else uses it.
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
    let name = program.to_string_lossy();
    let (mut orphaned, mut terminated, mut rest) = (false, false, None::<Rest>);
    loop {
        loop {
            match spawn::reap()? {
                Reaped::Child { pid: dead, exit } if dead == pid && rest.is_none() => {
                    rest = Some(Rest::after(exit, terminated));
                }
                Reaped::Child { .. } => {}
                Reaped::Nobody => break,
                Reaped::Childless => return Ok(rest.map_or(1, |it| it.code)),
            }
        }
        let patience = match &mut rest {
            _ if orphaned => {
                spawn::kill_descendants(None);
                ROUND
            }
            Some(rest) => rest.look(&name),
            None => LONG,
        };
        let listening = (!orphaned).then(|| control.as_fd());
        let ready = wait_readable(&[listening, Some(deaths.as_fd())], patience)?;
        if ready[1] {
            while matches!(deaths.read(&mut [0; 64]), Ok(count) if count > 0) {}
        }
        if ready[0] {
            let mut words = [0; 16];
            match (control.read(&mut words), &mut rest) {
                (Ok(0) | Err(_), _) => orphaned = true,
                (Ok(_), Some(rest)) => rest.end(),
                (Ok(count), None) if words[..count].contains(&TERMINATE) => {
                    terminated = true;
                    spawn::terminate(pid);
                }
                // The terminal has sent it to the command as well.
                (Ok(_), None) => {}
            }
        }
    }
}

/// The processes that an ended command left running. The lock is held for them as well.
struct Rest {
    /// The command's exit code.
    code: i32,
    since: Instant,
    named: bool,
    /// When they were asked to end.
    end_requested: Option<Instant>,
}

impl Rest {
    /// If a termination signal ended the command, the remaining processes are ended too.
    fn after(exit: ExitStatus, terminated: bool) -> Rest {
        let code = code_of(exit);
        let mut rest = Rest { code, since: Instant::now(), named: false, end_requested: None };
        if terminated || code == 128 + libc::SIGINT {
            rest.end();
        }
        rest
    }

    /// Prints once what is being waited for, and kills processes that did not end in time. Returns when to check again.
    fn look(&mut self, command: &str) -> Duration {
        match self.end_requested {
            Some(end_requested) if end_requested.elapsed() < GRACE => {
                return GRACE.saturating_sub(end_requested.elapsed()).max(ROUND);
            }
            Some(_) => {
                spawn::kill_descendants(None);
                return ROUND;
            }
            None if self.named => return LONG,
            None if self.since.elapsed() < QUIET => return QUIET.saturating_sub(self.since.elapsed()).max(ROUND),
            None => self.named = true,
        }
        let left = process_stat::descendants(std::process::id());
        let names: Vec<String> = left.iter().take(NAMED).map(|it| process_stat::in_words(*it)).collect();
        let more = match left.len().saturating_sub(NAMED) {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        let what = format!("`{command}` has ended; the key is held until {}{more} ends too", names.join(", "));
        stderr::say(format!("{what} (Ctrl-C ends it)"));
        LONG
    }

    /// Asks the processes to end; the second call kills them.
    fn end(&mut self) {
        match self.end_requested {
            None => {
                self.end_requested = Some(Instant::now());
                spawn::terminate_descendants(None);
            }
            Some(_) => spawn::kill_descendants(None),
        }
    }
}

fn code_of(exit: ExitStatus) -> i32 {
    match exit {
        ExitStatus::Code(code) => code,
        ExitStatus::Signal(signal) => 128 + signal,
    }
}
