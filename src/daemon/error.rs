//! Errors of the daemon, for people.

use crate::{assembly, engine, http::token, model::Kind, os::error_kind::kind_of, store};
use std::{io, net::SocketAddr, path::PathBuf};

pub type Result<T, E = Error> = std::result::Result<T, E>;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Assembly(#[from] assembly::Error),
    #[error(transparent)]
    Engine(#[from] engine::Error),
    #[error(transparent)]
    Store(#[from] store::Error),
    #[error(transparent)]
    Token(#[from] token::Error),
    #[error("failed to {action} {}", path.display())]
    Io { action: &'static str, path: PathBuf, source: io::Error },
    #[error("failed to {action}")]
    System { action: &'static str, source: io::Error },
    #[error("failed to listen on {address}")]
    Listen { address: SocketAddr, source: io::Error },
    #[error("{address} is reachable from other machines, and the token is too short for that")]
    WeakToken { address: SocketAddr },
    #[error("file locks do not work in {}", home.display())]
    NoLocks { home: PathBuf },
    /// Not an error for people: the exit code informs a service manager.
    #[error("windlass is already running ({holder})")]
    AlreadyRunning { holder: String, pid: Option<u32>, http: Option<String> },
    #[error("windlass holds its lock but does not answer ({holder})")]
    Hung { holder: String },
    #[error("windlass was just stopped, so it is not started")]
    JustStopped,
    #[error("the worker stopped: {reason}")]
    GaveUp { reason: String },
    #[error("the lock file of this daemon was deleted; another daemon may start")]
    LockLost,
    #[error("windlass did not start: {reason}")]
    DidNotStart { reason: String, hint: Option<String>, exit: i32 },
    #[error("the lock of this home is held by pid {pid}, which does not appear to be windlass")]
    Stranger { pid: u32 },
    #[error("windlass ({holder}) did not end and can't be signalled from here")]
    OutOfReach { holder: String },
    #[error("interrupted while waiting for the daemon of this home")]
    Interrupted { signal: i32 },
    #[error("windlass ({holder}) did not end, even after SIGKILL")]
    DidNotStop { holder: String },
}

impl Error {
    /// The kind of the error.
    pub fn kind(&self) -> Kind {
        match self {
            Error::Assembly(error) => error.kind(),
            Error::Engine(error) => error.kind(),
            Error::Store(error) => error.kind(),
            Error::Token(error) => error.kind(),
            Error::Io { source, .. } | Error::System { source, .. } => kind_of(source),
            Error::Listen { .. } | Error::AlreadyRunning { .. } | Error::Stranger { .. } => Kind::Conflict,
            Error::Interrupted { .. } => Kind::Cancelled,
            Error::WeakToken { .. }
            | Error::NoLocks { .. }
            | Error::Hung { .. }
            | Error::JustStopped
            | Error::GaveUp { .. }
            | Error::LockLost
            | Error::DidNotStart { .. }
            | Error::OutOfReach { .. }
            | Error::DidNotStop { .. } => Kind::Failed,
        }
    }

    /// What the user should do next, if known.
    pub fn hint(&self) -> Option<String> {
        match self {
            Error::Assembly(error) => error.hint(),
            Error::Engine(error) => error.hint(),
            Error::Store(error) => error.hint().map(str::to_string),
            Error::Listen { .. } => {
                Some("choose another port with `--listen 127.0.0.1:0`, or set `listen` in windlass.toml".into())
            }
            Error::WeakToken { .. } => Some("give `api_token` 16 characters or more, or listen on 127.0.0.1".into()),
            Error::NoLocks { .. } => Some("use a home directory on a local disk: `--home DIR`".into()),
            Error::Hung { .. } => Some("`windlass stop` ends it, by force if necessary".into()),
            Error::JustStopped => Some("start it with `windlass serve --background`".into()),
            Error::LockLost => Some("only windlass should touch `engine.db.lock`; start it again".into()),
            Error::GaveUp { .. } => Some("see `windlass doctor`".into()),
            Error::DidNotStart { hint, .. } => hint.clone(),
            Error::Stranger { pid } => Some(format!("identify it with `ps -fp {pid}`, and end it yourself")),
            Error::OutOfReach { .. } => Some("run `windlass stop` where it runs, such as in its container".into()),
            Error::DidNotStop { .. } => Some("it may be waiting for a disk that does not respond".into()),
            _ => None,
        }
    }
}
