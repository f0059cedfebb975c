//! Where an engine keeps everything, and its settings.

use super::Result;
use crate::settings::{self, Settings};
use std::path::PathBuf;

/// A directory that an engine keeps everything in, and the settings that hold for it.
///
/// The settings are those of the command, described in `docs/configuration.md`: the defaults, then the file `windlass.toml` in
/// the directory, then the environment (`WINDLASS_HEARTBEAT=5s`), then what [`set`](Home::set) says.
#[derive(Debug, Clone)]
pub struct Home {
    directory: PathBuf,
    overrides: Vec<(String, String)>,
    environment: bool,
}

impl Home {
    /// The home in this directory. It is made, for its owner alone, when an engine first opens it.
    pub fn at(directory: impl Into<PathBuf>) -> Home {
        Home { directory: directory.into(), overrides: Vec::new(), environment: true }
    }

    /// Sets one setting by its name in `docs/configuration.md`, such as `("heartbeat", "5s")`; it outranks the file and the
    /// environment. What is wrong with it is said by [`Engine::open`](super::Engine::open).
    pub fn set(mut self, name: impl Into<String>, value: impl Into<String>) -> Home {
        self.overrides.push((name.into(), value.into()));
        self
    }

    /// Reads no settings from the environment.
    pub fn without_environment(mut self) -> Home {
        self.environment = false;
        self
    }

    pub(super) fn load(&self) -> Result<Settings> {
        let environment = std::env::vars().filter(|_| self.environment);
        Ok(settings::load(&self.directory, environment, &self.overrides)?)
    }
}
