//! Reports the progress of a start: to the files, to the process that started it, and to a service manager.

use super::{
    error::{Error, Result},
    files::{self, Info, Phase},
};
use crate::os::{Supervisor, Unpoisoned, threads::Threads};
use serde::{Deserialize, Serialize};
use std::{
    path::{Path, PathBuf},
    sync::{Arc, Condvar, Mutex, MutexGuard},
    time::{Duration, Instant},
};

/// What a starting daemon reports. In a background start, these go through the pipe as JSON lines.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "said", rename_all = "lowercase")]
pub enum StartupEvent {
    Progress { what: String },
    Ready { pid: u32, http: String, link: String },
    Already { holder: String, pid: Option<u32>, http: Option<String> },
    Failed { message: String, hint: Option<String>, exit: i32 },
}

pub type Starter = Arc<dyn Fn(StartupEvent) + Send + Sync>;

/// How often a slow start reports.
const TELL: Duration = Duration::from_millis(500);

/// Maintains `serve.pid`, and reports while one phase takes long. Dropping it ends its thread.
pub struct Startup {
    reports: Arc<Reports>,
    threads: Threads,
}

/// The reports while a start takes long.
struct Reports {
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
        let reports =
            Arc::new(Reports { state, changed: Condvar::new(), home: home.to_path_buf(), starter, supervisor });
        reports.write(&reports.lock())?;
        let theirs = reports.clone();
        let threads = Threads::default();
        let started = threads.start("windlass-start", move || theirs.tell_while_slow());
        started.map_err(|source| Error::System { action: "start a thread", source })?;
        Ok(Startup { reports, threads })
    }

    /// Announces the next phase, for people.
    pub fn busy_with(&self, what: impl Into<String>) {
        self.reports.lock().busy = Some((what.into(), Instant::now()));
    }

    /// Ends the reports and writes the address and the phase `ready`. Returns the info as written.
    pub fn ready(self, address: &str) -> Result<Info> {
        self.end();
        let mut state = self.reports.lock();
        state.info =
            Info { phase: Phase::Ready, progress: None, http: Some(address.to_string()), ..state.info.clone() };
        let path = self.reports.home.clone();
        files::write_port(&path, address).map_err(|source| Error::Io { action: "write the files of", path, source })?;
        self.reports.write(&state)?;
        Ok(state.info.clone())
    }

    fn end(&self) {
        self.reports.lock().over = true;
        self.reports.changed.notify_all();
        self.threads.join();
    }
}

impl Reports {
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
            (self.starter)(StartupEvent::Progress { what });
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
