//! All the ways in which a command can fail, with message, hint and exit code. The exit codes are promises.

use super::suggestion;
use crate::{
    artifact, assembly, backup, daemon, definition, embed, engine,
    http::token,
    ingest,
    model::{Kind, printable::printable_json},
    os,
    os::error_kind::{kind_of, kind_of_named},
    os::regular_file::NotRegular,
    os::stderr,
    prove, search, settings, store, vector, view,
};
use std::{fmt, io};

/// The exit code of the process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// 0
    Done,
    /// 1: an error that has no code of its own.
    Error,
    /// 2: the command line, or a file that it names, is invalid.
    Usage,
    /// 3: the work ended as FAILED.
    WorkFailed,
    /// 4
    NotFound,
    /// 5: locked by another process, or in conflict with existing data.
    Conflict,
    /// 6
    Cancelled,
    /// 7: timed out while waiting.
    TimedOut,
    /// 74: the disk is full or failing (EX_IOERR of sysexits.h).
    Disk,
    /// 75: a daemon is already running; for supervisors (EX_TEMPFAIL of sysexits.h).
    AlreadyRunning,
    /// 130: SIGINT.
    Interrupted,
    /// 143: SIGTERM, or the terminal was closed (SIGHUP).
    Terminated,
    /// The exit code of a command that we ran.
    Command(i32),
}

impl Exit {
    pub fn code(self) -> i32 {
        match self {
            Exit::Done => 0,
            Exit::Error => 1,
            Exit::Usage => 2,
            Exit::WorkFailed => 3,
            Exit::NotFound => 4,
            Exit::Conflict => 5,
            Exit::Cancelled => 6,
            Exit::TimedOut => 7,
            Exit::Disk => 74,
            Exit::AlreadyRunning => 75,
            Exit::Interrupted => 130,
            Exit::Terminated => 143,
            Exit::Command(code) => code,
        }
    }
}

/// Why a command did not succeed.
#[derive(Debug)]
pub struct Failure {
    pub exit: Exit,
    /// None if everything was already printed, or if the reader has gone away.
    pub message: Option<String>,
    pub hint: Option<String>,
}

pub type Result<T, E = Failure> = std::result::Result<T, E>;

impl Failure {
    pub fn new(exit: Exit, message: impl Into<String>) -> Failure {
        Failure { exit, message: Some(message.into()), hint: None }
    }

    pub fn usage(message: impl Into<String>) -> Failure {
        Failure::new(Exit::Usage, message)
    }

    pub fn not_found(message: impl Into<String>) -> Failure {
        Failure::new(Exit::NotFound, message)
    }

    /// Ends with an exit code after the command has already printed its message.
    pub fn quiet(exit: Exit) -> Failure {
        Failure { exit, message: None, hint: None }
    }

    pub fn hint(mut self, hint: impl Into<String>) -> Failure {
        self.hint = Some(hint.into());
        self
    }

    /// Passes on the exit code of a command that we ran.
    pub fn of_command(code: i32) -> Failure {
        Failure::quiet(Exit::Command(code))
    }

    /// A file could not be read or written.
    pub fn io(action: &str, path: &std::path::Path, source: io::Error) -> Failure {
        let exit = exit_of(kind_of_named(&source));
        if let Some(special) = NotRegular::behind(&source) {
            return Failure::new(exit, special.to_string());
        }
        let hint = of_ownership(&source).and_then(os::ownership::Error::hint);
        Failure { hint, ..Failure::new(exit, format!("failed to {action} {}: {source}", path.display())) }
    }

    /// Reports the failure on stderr, in words or as one line of JSON.
    pub fn report(&self, json: bool, color: bool) {
        let Some(message) = self.message.as_deref().map(suggestion::sentence) else { return };
        let hint = self.hint.as_deref().map(suggestion::sentence);
        if json {
            let what = serde_json::json!({"error": message, "hint": hint, "exit": self.exit.code()});
            stderr::say(&*printable_json(&what.to_string()));
            return;
        }
        let (bold, cyan, plain) = if color { ("\x1b[1;31m", "\x1b[36m", "\x1b[0m") } else { ("", "", "") };
        stderr::say_under(&format!("{bold}error:{plain} "), message);
        if let Some(hint) = hint {
            stderr::say_under(&format!("  {cyan}hint:{plain} "), hint);
        }
    }
}

/// An error with its causes on one line. A cause that only repeats the text before it is left out.
fn words(error: &(dyn std::error::Error + 'static)) -> String {
    if let Some(special) = NotRegular::behind(error) {
        return special.to_string();
    }
    let mut said = error.to_string();
    let mut cause = error.source();
    while let Some(next) = cause {
        let more = next.to_string();
        if !said.contains(&more) {
            said = format!("{said}: {more}");
        }
        cause = next.source();
    }
    said
}

/// The exit code of each kind of error.
const fn exit_of(kind: Kind) -> Exit {
    match kind {
        Kind::Invalid => Exit::Usage,
        Kind::NotFound => Exit::NotFound,
        Kind::Conflict | Kind::Locked | Kind::Denied => Exit::Conflict,
        Kind::Cancelled => Exit::Cancelled,
        Kind::TimedOut => Exit::TimedOut,
        Kind::DiskFull | Kind::Io => Exit::Disk,
        Kind::Unavailable | Kind::Failed | Kind::Bug => Exit::Error,
    }
}

/// The reason why a file was not opened, if it is about the file's owner.
fn of_ownership(error: &io::Error) -> Option<&os::ownership::Error> {
    error.get_ref()?.downcast_ref()
}

fn failure(kind: Kind, error: &(dyn std::error::Error + 'static), hint: Option<impl fmt::Display>) -> Failure {
    let of_cause = || of_ownership(error.source()?.downcast_ref()?)?.hint();
    let hint = hint.map(|hint| hint.to_string()).or_else(of_cause);
    Failure { exit: exit_of(kind), message: Some(words(error)), hint }
}

macro_rules! failures {
    ($($error:ty),+ $(,)?) => {$(
        impl From<$error> for Failure {
            fn from(error: $error) -> Failure {
                failure(error.kind(), &error, error.hint())
            }
        }
    )+};
}

failures!(
    artifact::Error,
    assembly::Error,
    backup::Error,
    definition::Error,
    embed::Error,
    engine::Error,
    ingest::Error,
    os::file_system::Error,
    prove::Error,
    search::Error,
    settings::Error,
    store::Error,
    token::Error,
    vector::Error,
    vector::FilterError,
    view::Error,
);

impl From<daemon::Error> for Failure {
    fn from(error: daemon::Error) -> Failure {
        let failure = failure(error.kind(), &error, error.hint());
        let exit = match &error {
            daemon::Error::DidNotStart { exit, .. } => Exit::Command(*exit),
            daemon::Error::Interrupted { signal } if *signal == libc::SIGINT => Exit::Interrupted,
            daemon::Error::Interrupted { .. } => Exit::Terminated,
            _ => failure.exit,
        };
        Failure { exit, ..failure }
    }
}

/// For writes to stdout: if the reader has gone away, the command ends quietly.
impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Failure {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Failure::quiet(Exit::Done),
            _ => Failure::new(exit_of(kind_of(&error)), format!("failed to write the output: {error}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http;

    #[test]
    fn a_reader_that_went_away_is_no_error() {
        let quiet = Failure::from(io::Error::from(io::ErrorKind::BrokenPipe));
        assert_eq!((quiet.exit, quiet.message), (Exit::Done, None));
        let full = Failure::from(io::Error::from_raw_os_error(libc::ENOSPC));
        assert_eq!(full.exit, Exit::Disk);
    }

    #[test]
    fn a_cause_is_said_once() {
        let path = std::path::PathBuf::from("/x/engine.db");
        let error = store::Error::File { action: "open", path, source: io::Error::other("odd thing") };
        assert_eq!(Failure::from(error).message.as_deref(), Some("failed to open /x/engine.db: odd thing"));
        let error = engine::Error::Store(store::Error::not_found("g9"));
        let failure = Failure::from(error);
        assert_eq!((failure.exit, failure.message.as_deref()), (Exit::NotFound, Some("g9 does not exist")));
    }

    #[test]
    fn every_kind_of_error_has_its_exit_code() {
        let codes = Kind::ALL.map(|kind| (kind, exit_of(kind).code()));
        assert_eq!(
            codes,
            [
                (Kind::NotFound, 4),
                (Kind::Conflict, 5),
                (Kind::Invalid, 2),
                (Kind::Locked, 5),
                (Kind::DiskFull, 74),
                (Kind::Io, 74),
                (Kind::Unavailable, 1),
                (Kind::Denied, 5),
                (Kind::Cancelled, 6),
                (Kind::TimedOut, 7),
                (Kind::Failed, 1),
                (Kind::Bug, 1),
            ]
        );
    }

    /// The CLI and HTTP agree on the meaning of each refusal.
    #[test]
    fn a_refusal_has_the_exit_code_and_the_status_of_one_kind() {
        fn both<E>(make: impl Fn() -> E) -> (i32, u16)
        where
            Failure: From<E>,
            http::Failure: From<E>,
        {
            (Failure::from(make()).exit.code(), http::Failure::from(make()).status.as_u16())
        }
        let refused = || engine::Error::refused("a name is too long", None);
        assert_eq!(both(refused), (2, 400));
        let taken = || store::Error::conflict("the key stands for something else");
        assert_eq!((both(taken), both(|| engine::Error::Store(taken()))), ((5, 409), (5, 409)));
        let locked = || engine::Error::Locked { key: "k".into(), holder: "s1".into() };
        assert_eq!(both(locked), (5, 409));
        let busy = || store::Error::Busy { path: "engine.db".into(), holder: Some(7), waited_ms: 9 };
        assert_eq!((both(busy), both(|| view::Error::Store(busy()))), ((5, 503), (5, 503)));
        let unknown = || embed::Error::Unknown { name: "x".into() };
        assert_eq!(both(|| view::Error::Embed(unknown())), (2, 400));
        assert_eq!(both(|| ingest::Error::Embed(unknown())), (2, 400));
        assert_eq!(both(|| search::Error::Embed(unknown())), (2, 400));
        assert_eq!(both(|| engine::Error::Embed(unknown())), (2, 400));
        let away = || embed::Error::Away { url: "u".into(), reason: "r".into() };
        assert_eq!(both(|| ingest::Error::Embed(away())), (1, 503));
        let full = || vector::Error::DiskFull { path: "x".into() };
        assert_eq!((both(full), both(|| view::Error::Vector(full()))), ((74, 507), (74, 507)));
        assert_eq!(both(|| artifact::Error::Busy { dir: "x".into() }), (5, 503));
    }
}
