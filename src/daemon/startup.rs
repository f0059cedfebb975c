//! A start that reports its progress: to the files, to its starter, and to a supervisor.

use super::{
    error::{Error, Result},
    files::{self, Info, Phase},
};
use crate::os::{Supervisor, Unpoisoned};
use serde::{Deserialize, Serialize};
use std::{
    path::{Path, PathBuf},
    sync::{Arc, Condvar, Mutex, MutexGuard},
    thread::JoinHandle,
    time::{Duration, Instant},
};

/// What a starting daemon says to its starter. As JSON lines it is what goes through the pipe of a background start.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "said", rename_all = "lowercase")]
pub enum Said {
    Progress { what: String },
    Ready { pid: u32, http: String, link: String },
    Already { holder: String, pid: Option<u32>, http: Option<String> },
    Failed { message: String, hint: Option<String>, exit: i32 },
}

pub type Starter = Arc<dyn Fn(Said) + Send + Sync>;

/// Between two reports of a slow start.
const TELL: Duration = Duration::from_millis(500);

/// Keeps `serve.pid`, and reports while one thing takes long. Dropping it ends its thread.
pub struct Startup {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

struct Shared {
    state: Mutex<State>,
    changed: Condvar,
    home: PathBuf,
    starter: Starter,
    supervisor: Arc<Supervisor>,
}

struct State {
    info: Info,
    busy: Option<(String, Instant)>,
    over: bool,
}

impl Startup {
    /// Writes `serve.pid` with the phase `starting`.
    pub fn begin(home: &Path, info: Info, starter: Starter, supervisor: Arc<Supervisor>) -> Result<Startup> {
        let state = Mutex::new(State { info, busy: None, over: false });
        let shared = Arc::new(Shared { state, changed: Condvar::new(), home: home.to_path_buf(), starter, supervisor });
        shared.write(&shared.lock())?;
        let api = shared.clone();
        let thread = std::thread::Builder::new().name("windlass-start".into()).spawn(move || api.tell_while_slow());
        let thread = thread.map_err(|source| Error::System { action: "start a thread", source })?;
        Ok(Startup { shared, thread: Some(thread) })
    }

    /// The next phase, for people.
    pub fn busy_with(&self, what: impl Into<String>) {
        self.shared.lock().busy = Some((what.into(), Instant::now()));
    }

    /// Ends the reports and writes the address and the phase `ready`; returns the info as written.
    pub fn ready(mut self, address: &str) -> Result<Info> {
        self.end();
        let mut state = self.shared.lock();
        state.info =
            Info { phase: Phase::Ready, progress: None, http: Some(address.to_string()), ..state.info.clone() };
        let path = self.shared.home.clone();
        files::write_port(&path, address).map_err(|source| Error::Io { action: "write the files of", path, source })?;
        self.shared.write(&state)?;
        Ok(state.info.clone())
    }

    fn end(&mut self) {
        self.shared.lock().over = true;
        self.shared.changed.notify_all();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Shared {
    fn tell_while_slow(&self) {
        let mut state = self.lock();
        while !state.over {
            state = self.changed.wait_timeout(state, TELL).unpoisoned().0;
            let Some((what, since)) = state.busy.clone().filter(|it| !state.over && it.1.elapsed() >= TELL) else {
                continue;
            };
            let what = format!("{what} ({} s)", since.elapsed().as_secs());
            state.info.progress = Some(what.clone());
            let _ = self.write(&state);
            drop(state);
            self.supervisor.busy_with(&what, Duration::from_secs(10));
            (self.starter)(Said::Progress { what });
            state = self.lock();
        }
    }

    fn write(&self, state: &State) -> Result<()> {
        let path = self.home.clone();
        state.info.write(&self.home).map_err(|source| Error::Io { action: "write the files of", path, source })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unpoisoned()
    }
}

impl Drop for Startup {
    fn drop(&mut self) {
        self.end();
    }
}
