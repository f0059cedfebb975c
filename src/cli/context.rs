//! The shared context of every command: home, settings and engine, each created on first use.

use super::{
    failure::{Failure, Result},
    output::Output,
};
use crate::{
    assembly::{self, DATABASE},
    embed,
    engine::Engine,
    model::Timestamp,
    observe::{self, NoMetrics},
    os::clock::{Clock, SystemClock, local_offset},
    settings::{self, Home, HomeInputs, Origin, PROJECT, Settings, Trusted},
    store::{Commit, CommitListener, Store},
    view::{
        self,
        wording::{absolute, quoted, relative},
    },
};
use std::{
    cell::OnceCell,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

pub struct Context {
    pub output: Output,
    flag: Option<PathBuf>,
    home: OnceCell<Home>,
    settings: OnceCell<Settings>,
    engine: OnceCell<Engine>,
}

impl Context {
    pub fn new(home: Option<PathBuf>, output: Output) -> Context {
        Context { output, flag: home, home: OnceCell::new(), settings: OnceCell::new(), engine: OnceCell::new() }
    }

    /// The home directory and how it was found. It need not exist yet. A home that this user must not use is refused.
    pub fn home(&self) -> Result<Home> {
        if let Some(home) = self.home.get() {
            return Ok(home.clone());
        }
        let home = self.found_home()?;
        settings::vet(&home, platform().as_deref())?;
        Ok(self.home.get_or_init(|| home).clone())
    }

    /// Like `home`, without the check of its owner. Used to report whether the home is trusted.
    pub fn found_home(&self) -> Result<Home> {
        let here = self.here()?;
        let named = std::env::var_os("WINDLASS_HOME").map(PathBuf::from);
        Ok(settings::find_home(HomeInputs {
            flag: self.flag.as_deref(),
            variable: named.as_deref(),
            here: &here,
            platform: platform().as_deref(),
        })?)
    }

    /// The value of `--home`, as typed.
    pub fn flag(&self) -> Option<&Path> {
        self.flag.as_deref()
    }

    /// The project homes that this user trusts.
    pub fn trusted(&self) -> Result<Trusted> {
        Ok(Trusted::of(&platform().ok_or(settings::Error::NoMemory)?))
    }

    /// Records that this user created the home of a project, so that windlass does not ask for trust later.
    pub fn remember(&self, home: &Path) {
        if home.file_name().is_none_or(|it| it != PROJECT) {
            return;
        }
        // If this fails, windlass asks for trust once.
        if let Err(failure) = self.trusted().and_then(|it| Ok(it.add(home)?)) {
            self.output.warn(failure.message.unwrap_or_default());
        }
    }

    /// Creates the home on first use.
    pub fn first_use(&self, settings: &Settings) -> Result<()> {
        if settings.home.exists() {
            return Ok(());
        }
        assembly::prepare_home(settings)?;
        self.remember(&settings.home);
        Ok(())
    }

    /// `--home DIR `, as needed in a command to reach the same home. Empty if the home is found without it.
    pub fn home_flag(&self) -> String {
        match &self.flag {
            Some(dir) => format!("--home {} ", quoted(&dir.to_string_lossy())),
            None => String::new(),
        }
    }

    pub fn settings(&self) -> Result<&Settings> {
        if let Some(settings) = self.settings.get() {
            return Ok(settings);
        }
        let home = self.home()?;
        let settings = settings::load(&home.path, environment()?, &[])?;
        for (name, meant) in &settings.unknown_variables {
            let meant = meant.as_ref().map(|it| format!("; did you mean {it}?")).unwrap_or_default();
            self.output.warn(format!("unknown variable {name}{meant}"));
        }
        embed::use_keys(embed::Keys::of(&settings));
        Ok(self.settings.get_or_init(|| settings))
    }

    pub fn engine(&self) -> Result<&Engine> {
        if let Some(engine) = self.engine.get() {
            return Ok(engine);
        }
        let settings = self.settings()?;
        self.start_log(settings)?;
        self.first_use(settings)?;
        let engine = assembly::engine(settings, Arc::new(NoMetrics))?;
        let (path, output, said) = (engine.store().path().to_path_buf(), self.output, AtomicBool::new(false));
        engine.store().listen(Arc::new(LongWait { path, output, said }));
        Ok(self.engine.get_or_init(|| engine))
    }

    /// Commands talk to people, so they log only warnings unless more is requested.
    fn start_log(&self, settings: &Settings) -> Result<()> {
        let filter = match (self.output.verbose, settings.origin("log.level")) {
            (true, _) => "windlass=debug,warn",
            (false, Origin::Default) => "warn",
            (false, _) => &settings.log_level,
        };
        observe::start_log(filter, settings.log_format)
            .map_err(|message| Failure::usage(message).hint("see `windlass settings log.level`"))
    }

    /// A server logs its activity, at the level of the settings.
    pub fn start_server_log(&self, settings: &Settings) -> Result<()> {
        let filter = if self.output.verbose { "windlass=debug,warn" } else { &settings.log_level };
        observe::start_log(filter, settings.log_format)
            .map_err(|message| Failure::usage(message).hint("see `windlass settings log.level`"))
    }

    pub fn store(&self) -> Result<&Store> {
        Ok(self.engine()?.store())
    }

    pub fn now(&self) -> Timestamp {
        SystemClock.wall()
    }

    /// A moment as requested: relative to now, or absolute with `-v` or `--utc`.
    pub fn when(&self, at: Timestamp) -> String {
        match self.output {
            Output { utc: true, .. } => absolute(at, None),
            Output { verbose: true, .. } => absolute(at, Some(local_offset(at))),
            _ => relative(at, self.now()),
        }
    }

    /// An absolute time: in UTC with `--utc`, otherwise in local time.
    pub fn calendar(&self, at: Timestamp) -> String {
        absolute(at, if self.output.utc { None } else { Some(local_offset(at)) })
    }

    pub fn here(&self) -> Result<PathBuf> {
        std::env::current_dir().map_err(|source| Failure::io("find", Path::new("the current directory"), source))
    }

    /// Reading always works and shows the last commit. Reports if other processes can't write.
    pub fn say_who_writes(&self) {
        let database = self.settings.get().map(|it| it.home.join(DATABASE));
        if let Some(held) = database.and_then(|it| view::writer_held_at(&it)) {
            self.output.warn(held.text);
        }
    }

    /// Reports a disk that is too full, and that work waits for space.
    pub fn warn_of_disk(&self) {
        let low = self.engine.get().and_then(view::low_disk).unwrap_or_else(|| "the disk is nearly full".to_string());
        self.output.warn(format!("{low}: no step starts until there is space again"));
    }

    /// Stops the writer, so that its data is on disk and the write-ahead log is short.
    pub fn close(&self) {
        if let Some(engine) = self.engine.get() {
            engine.store().close();
        }
    }
}

/// Reports once which process a write is waiting for.
struct LongWait {
    path: PathBuf,
    output: Output,
    said: AtomicBool,
}

impl CommitListener for LongWait {
    fn committed(&self, _: &Commit<'_>) {}

    fn waiting(&self) {
        if let Some(held) = view::writer_held_at(&self.path).filter(|_| !self.said.swap(true, Ordering::Relaxed)) {
            self.output.note(format!("waiting: {}", held.what));
        }
    }
}

/// The user's own data directory.
fn platform() -> Option<PathBuf> {
    settings::platform_data_dir(|name| std::env::var_os(name))
}

/// The environment variables that can be settings. One of ours that is not UTF-8 is refused, not ignored.
fn environment() -> Result<Vec<(String, String)>> {
    let mut found = Vec::new();
    for (name, value) in std::env::vars_os() {
        let Ok(name) = name.into_string() else { continue };
        match value.into_string() {
            Ok(value) => found.push((name, value)),
            // The home is a path and is checked as one.
            Err(_) if name.starts_with("WINDLASS_") && name != "WINDLASS_HOME" => {
                return Err(Failure::usage(format!("variable {name} is not UTF-8")));
            }
            Err(_) => {}
        }
    }
    Ok(found)
}
