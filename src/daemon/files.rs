//! The files that describe the daemon. Only the holder of the lock writes them, always atomically: under a temporary
//! name, followed by a rename. They are only information; the lock alone decides.

use crate::{
    model::{ProcessIdentity, Timestamp},
    os::{ownership, process_stat},
};
use serde::{Deserialize, Serialize};
use std::{
    fs, io,
    path::{Path, PathBuf},
};

/// Locked while the daemon is alive. Never unlinked, always empty.
pub const LOCK: &str = "engine.db.lock";
const INFO: &str = "serve.pid";
const PORT: &str = "serve.port";
/// The log of a daemon in the background.
pub const LOG: &str = "serve.log";

/// What the daemon is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Phase {
    Starting,
    Ready,
    Stopping,
}

/// The content of `serve.pid`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Info {
    pub phase: Phase,
    #[serde(flatten)]
    pub identity: ProcessIdentity,
    pub version: String,
    /// Differs between daemons, whatever their pids are.
    pub nonce: String,
    /// What a slow start is doing at the moment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub progress: Option<String>,
    /// The address of the page and the API, once it is bound.
    pub http: Option<String>,
    /// The path of a local socket. This version has none.
    pub socket: Option<PathBuf>,
    pub since: Timestamp,
}

impl Info {
    /// Describes this process, at its start.
    pub fn of_this_process(now: Timestamp) -> Info {
        let mut nonce = [0u8; 8];
        // Even without randomness, pid and start time distinguish one daemon from the next.
        let _ = getrandom::fill(&mut nonce);
        Info {
            phase: Phase::Starting,
            identity: process_stat::own_identity(),
            version: env!("CARGO_PKG_VERSION").to_string(),
            nonce: hex::encode(nonce),
            progress: None,
            http: None,
            socket: None,
            since: now,
        }
    }

    /// Returns `None` if the file is missing, incomplete or invalid.
    pub fn read(home: &Path) -> Option<Info> {
        serde_json::from_slice(&ownership::read(&home.join(INFO)).ok()?).ok()
    }

    pub fn write(&self, home: &Path) -> io::Result<()> {
        replace(&home.join(INFO), &serde_json::to_string(self).map_err(io::Error::other)?)
    }
}

/// The address that the daemon is bound to.
pub fn read_port(home: &Path) -> Option<String> {
    let text = ownership::read_to_string(&home.join(PORT)).ok()?;
    text.trim().parse::<std::net::SocketAddr>().ok().map(|it| it.to_string())
}

pub fn write_port(home: &Path, address: &str) -> io::Result<()> {
    replace(&home.join(PORT), address)
}

/// Removes the files of an earlier daemon, including incomplete ones.
pub fn remove(home: &Path) {
    for name in [PORT, INFO] {
        let _ = fs::remove_file(home.join(name));
        let _ = fs::remove_file(temporary(&home.join(name)));
    }
}

/// Writes a file atomically, accessible only to its owner. There is only one writer, so one temporary name is enough.
fn replace(path: &Path, text: &str) -> io::Result<()> {
    let temporary = temporary(path);
    write_private(&temporary, text)?;
    fs::rename(&temporary, path)
}

pub(super) fn write_private(path: &Path, text: &str) -> io::Result<()> {
    io::Write::write_all(&mut ownership::open_empty(path)?, format!("{text}\n").as_bytes())
}

fn temporary(path: &Path) -> PathBuf {
    path.with_extension(format!("{}.new", path.extension().unwrap_or_default().to_string_lossy()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_is_read_back_and_garbage_is_nothing() {
        let home = tempfile::tempdir().unwrap();
        assert_eq!((Info::read(home.path()), read_port(home.path())), (None, None));
        let info = Info { http: Some("127.0.0.1:1".into()), ..Info::of_this_process(Timestamp(5)) };
        info.write(home.path()).unwrap();
        write_port(home.path(), "127.0.0.1:1").unwrap();
        assert_eq!(Info::read(home.path()), Some(info));
        assert_eq!(read_port(home.path()).as_deref(), Some("127.0.0.1:1"));
        for garbage in ["", "{", "{\"phase\":\"ready\"}", "nonsense"] {
            fs::write(home.path().join(INFO), garbage).unwrap();
            fs::write(home.path().join(PORT), garbage).unwrap();
            assert_eq!((Info::read(home.path()), read_port(home.path())), (None, None), "{garbage}");
        }
        remove(home.path());
        assert_eq!(fs::read_dir(home.path()).unwrap().count(), 0);
    }
}
