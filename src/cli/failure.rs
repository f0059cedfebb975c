//! Every way in which a command can fail: what it says, what it advises, and the exit code. The codes are promises.

use super::suggestion;
use crate::{
    artifact, assembly, backup, daemon, definition, embed, engine, http::token, ingest,
    model::printable::printable_json, os, os::regular_file::NotRegular, os::stderr, prove, search, settings, store,
    vector, view,
};
use std::{fmt, io};

/// What the process ends with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// 0
    Done,
    /// 1: something went wrong that has no code of its own.
    Error,
    /// 2: the command line, or a file that it names, can't be understood.
    Usage,
    /// 3: the work ended FAILED.
    WorkFailed,
    /// 4
    NotFound,
    /// 5: locked by another process, or in conflict with existing data.
    Conflict,
    /// 6
    Cancelled,
    /// 7: the time to wait ran out.
    TimedOut,
    /// 74: the disk is full or does not work (EX_IOERR of sysexits.h).
    Disk,
    /// 75: a daemon is already running, for a supervisor (EX_TEMPFAIL of sysexits.h).
    AlreadyRunning,
    /// 130: SIGINT.
    Interrupted,
    /// 143: SIGTERM, or the terminal was closed (SIGHUP).
    Terminated,
    /// The code of a command that ran for us.
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

/// The end of a command that did not do what it was asked to.
#[derive(Debug)]
pub struct Failure {
    pub exit: Exit,
    /// None if everything was printed already, or the reader has gone.
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

    /// Ends with a code after the command has said itself what there was to say.
    pub fn quiet(exit: Exit) -> Failure {
        Failure { exit, message: None, hint: None }
    }

    pub fn hint(mut self, hint: impl Into<String>) -> Failure {
        self.hint = Some(hint.into());
        self
    }

    /// The exit code of a command that ran for us, as it is.
    pub fn of_command(code: i32) -> Failure {
        Failure::quiet(Exit::Command(code))
    }

    /// A file that could not be read or written.
    pub fn io(action: &str, path: &std::path::Path, source: io::Error) -> Failure {
        if let Some(special) = NotRegular::behind(&source) {
            return Failure::new(io_exit(&source), special.to_string());
        }
        let exit = match source.kind() {
            io::ErrorKind::NotFound => Exit::NotFound,
            _ => io_exit(&source),
        };
        let hint = of_ownership(&source).and_then(os::ownership::Error::hint);
        Failure { hint, ..Failure::new(exit, format!("failed to {action} {}: {source}", path.display())) }
    }

    /// Says what happened on stderr, in words or as one line of JSON.
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

/// An error with its causes on one line, without saying twice what a cause only repeats.
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

fn io_exit(error: &io::Error) -> Exit {
    if of_ownership(error).is_some() {
        return Exit::Conflict;
    }
    match error.raw_os_error() {
        Some(libc::ENOSPC | libc::EIO | libc::EDQUOT | libc::EROFS) => Exit::Disk,
        _ => Exit::Error,
    }
}

/// Why a file was not opened, where that is whose it is.
fn of_ownership(error: &io::Error) -> Option<&os::ownership::Error> {
    error.get_ref()?.downcast_ref()
}

fn failure(exit: Exit, error: &(dyn std::error::Error + 'static), hint: Option<impl fmt::Display>) -> Failure {
    let of_cause = || of_ownership(error.source()?.downcast_ref()?)?.hint();
    Failure { exit, message: Some(words(error)), hint: hint.map(|it| it.to_string()).or_else(of_cause) }
}

fn store_exit(error: &store::Error) -> Exit {
    match error {
        store::Error::DiskFull { .. } | store::Error::Io { .. } | store::Error::Poisoned => Exit::Disk,
        store::Error::NotFound { .. } => Exit::NotFound,
        store::Error::Busy { .. } | store::Error::Conflict { .. } => Exit::Conflict,
        store::Error::File { source, .. } => io_exit(source),
        _ => Exit::Error,
    }
}

impl From<store::Error> for Failure {
    fn from(error: store::Error) -> Failure {
        failure(store_exit(&error), &error, error.hint())
    }
}

impl From<engine::Error> for Failure {
    fn from(error: engine::Error) -> Failure {
        let exit = match &error {
            engine::Error::Store(error) => store_exit(error),
            engine::Error::Artifact(error) => artifact_exit(error),
            engine::Error::Definition(_) => Exit::Usage,
            engine::Error::Io { source, .. } => io_exit(source),
            engine::Error::Locked { .. } => Exit::Conflict,
            engine::Error::TooLow { .. } => Exit::Error,
            engine::Error::TimedOut { .. } => Exit::TimedOut,
            engine::Error::Refused { .. } => Exit::Conflict,
            engine::Error::Embed(_) => Exit::Error,
        };
        failure(exit, &error, error.hint())
    }
}

fn artifact_exit(error: &artifact::Error) -> Exit {
    match error {
        artifact::Error::DiskFull { .. } => Exit::Disk,
        artifact::Error::Io { source, .. } | artifact::Error::Source(source) => io_exit(source),
        artifact::Error::Busy { .. } => Exit::Conflict,
        _ => Exit::Error,
    }
}

impl From<assembly::Error> for Failure {
    fn from(error: assembly::Error) -> Failure {
        let exit = match &error {
            assembly::Error::Store(error) => store_exit(error),
            assembly::Error::Artifact(error) => artifact_exit(error),
            assembly::Error::Create { source, .. } => io_exit(source),
            assembly::Error::Home(_) | assembly::Error::Unfinished { .. } | assembly::Error::DatabaseLost { .. } => {
                Exit::Error
            }
            assembly::Error::Settings(error) => settings_exit(error),
        };
        failure(exit, &error, error.hint())
    }
}

impl From<daemon::Error> for Failure {
    fn from(error: daemon::Error) -> Failure {
        use daemon::Error::*;
        let exit = match &error {
            Store(error) | Assembly(assembly::Error::Store(error)) => store_exit(error),
            Assembly(assembly::Error::Settings(error)) => settings_exit(error),
            Io { source, .. } | System { source, .. } => io_exit(source),
            Listen { .. } | AlreadyRunning { .. } | Stranger { .. } => Exit::Conflict,
            DidNotStart { exit, .. } => Exit::Command(*exit),
            Interrupted { signal } if *signal == libc::SIGINT => Exit::Interrupted,
            Interrupted { .. } => Exit::Terminated,
            _ => Exit::Error,
        };
        failure(exit, &error, error.hint())
    }
}

impl From<token::Error> for Failure {
    fn from(error: token::Error) -> Failure {
        failure(Exit::Error, &error, None::<String>)
    }
}

impl From<artifact::Error> for Failure {
    fn from(error: artifact::Error) -> Failure {
        failure(artifact_exit(&error), &error, error.hint())
    }
}

impl From<ingest::Error> for Failure {
    fn from(error: ingest::Error) -> Failure {
        let hint = error.hint();
        let inner = match error {
            ingest::Error::Engine(error) => Failure::from(error),
            ingest::Error::Store(error) => Failure::from(error),
            ingest::Error::Vector(error) => Failure::from(error),
            ingest::Error::Definition(error) => Failure::from(error),
            ingest::Error::FileSystem(error) => Failure::from(error),
            ingest::Error::Io { action, path, source } => Failure::io(action, &path, source),
            error @ ingest::Error::Source(ingest::source::SourceError::Missing { .. }) => {
                failure(Exit::NotFound, &error, hint.clone())
            }
            ref error @ ingest::Error::Embed(ref it) if it.is_retryable() => failure(Exit::Error, error, hint.clone()),
            error @ (ingest::Error::Chunk(_) | ingest::Error::Embed(_)) => failure(Exit::Usage, &error, hint.clone()),
            error => failure(Exit::Error, &error, hint.clone()),
        };
        Failure { hint: hint.or(inner.hint), ..inner }
    }
}

impl From<vector::Error> for Failure {
    fn from(error: vector::Error) -> Failure {
        failure(vector_exit(&error), &error, error.hint())
    }
}

fn vector_exit(error: &vector::Error) -> Exit {
    match error {
        vector::Error::NotFound { .. } => Exit::NotFound,
        vector::Error::Ownership(_) => Exit::Conflict,
        vector::Error::Busy { .. } | vector::Error::Fenced { .. } | vector::Error::Embedder { .. } => Exit::Conflict,
        vector::Error::DiskFull { .. } => Exit::Disk,
        vector::Error::Io { source, .. } => io_exit(source),
        vector::Error::Filter(_) => Exit::Usage,
        _ => Exit::Error,
    }
}

impl From<view::Error> for Failure {
    fn from(error: view::Error) -> Failure {
        let hint = error.hint();
        let inner = match error {
            view::Error::Engine(error) => Failure::from(error),
            view::Error::Store(error) => Failure::from(error),
            view::Error::Vector(error) => Failure::from(error),
            view::Error::Search(error) => Failure::from(error),
            view::Error::Embed(error) => Failure::from(error),
            view::Error::Filter(error) => Failure::from(error),
            error => failure(view_exit(&error), &error, hint.clone()),
        };
        Failure { hint: hint.or(inner.hint), ..inner }
    }
}

fn view_exit(error: &view::Error) -> Exit {
    match error {
        view::Error::List { source, .. } | view::Error::DamagedLog { source, .. } => io_exit(source),
        view::Error::NoDatabase { .. } | view::Error::NoDefinition { .. } | view::Error::NoGroup => Exit::NotFound,
        view::Error::StillLocked { .. } | view::Error::UnknownServer { .. } => Exit::Conflict,
        view::Error::DatabaseName { .. } | view::Error::Cursor(_) => Exit::Usage,
        _ => Exit::Error,
    }
}

impl From<backup::Error> for Failure {
    fn from(error: backup::Error) -> Failure {
        let exit = match &error {
            backup::Error::Io { source, .. } if source.kind() == io::ErrorKind::NotFound => Exit::NotFound,
            backup::Error::Io { source, .. } => io_exit(source),
            backup::Error::DiskFull { .. } => Exit::Disk,
            backup::Error::NotEmpty { .. } | backup::Error::InUse { .. } | backup::Error::Ownership(_) => {
                Exit::Conflict
            }
            backup::Error::Store(error) => store_exit(error),
            backup::Error::Artifact(error) => artifact_exit(error),
            backup::Error::Vector(error) => vector_exit(error),
            _ => Exit::Error,
        };
        failure(exit, &error, error.hint())
    }
}

impl From<prove::Error> for Failure {
    fn from(error: prove::Error) -> Failure {
        let exit = match &error {
            prove::Error::Io { source, .. } => io_exit(source),
            prove::Error::NotEmpty(_) => Exit::Usage,
            _ => Exit::Error,
        };
        failure(exit, &error, error.hint())
    }
}

impl From<vector::FilterError> for Failure {
    fn from(error: vector::FilterError) -> Failure {
        failure(Exit::Usage, &error, error.hint())
    }
}

impl From<search::Error> for Failure {
    fn from(error: search::Error) -> Failure {
        let exit = match &error {
            search::Error::Vector(error) => vector_exit(error),
            search::Error::Embedder { .. } => Exit::Conflict,
            _ => Exit::Error,
        };
        failure(exit, &error, error.hint())
    }
}

impl From<embed::Error> for Failure {
    fn from(error: embed::Error) -> Failure {
        failure(Exit::Error, &error, error.hint())
    }
}

impl From<definition::Error> for Failure {
    fn from(error: definition::Error) -> Failure {
        failure(Exit::Usage, &error, error.hint())
    }
}

fn settings_exit(error: &settings::Error) -> Exit {
    match error {
        settings::Error::Ownership(os::ownership::Error::Io { source, .. }) => io_exit(source),
        settings::Error::Ownership(_) | settings::Error::Untrusted { .. } => Exit::Conflict,
        settings::Error::Io { source, .. } => io_exit(source),
        _ => Exit::Usage,
    }
}

impl From<settings::Error> for Failure {
    fn from(error: settings::Error) -> Failure {
        failure(settings_exit(&error), &error, error.hint())
    }
}

impl From<os::file_system::Error> for Failure {
    fn from(error: os::file_system::Error) -> Failure {
        failure(Exit::Error, &error, error.hint())
    }
}

/// Writing to stdout: a reader that went away ends the command quietly.
impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Failure {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Failure::quiet(Exit::Done),
            _ => Failure::new(io_exit(&error), format!("failed to write the output: {error}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
}
