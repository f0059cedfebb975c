//! The home of an engine, and its settings.

use super::Result;
use crate::settings::{self, Settings};
use std::path::PathBuf;

/// The directory with all of an engine's data, and the settings that apply to it.
///
/// The settings are the same as those of the command, described in `docs/configuration.md`: the defaults, then the file
/// `windlass.toml` in the directory, then the environment (`WINDLASS_HEARTBEAT=5s`), then calls of [`set`](Home::set).
#[derive(Debug, Clone)]
pub struct Home {
    directory: PathBuf,
    overrides: Vec<(String, String)>,
    environment: bool,
}

impl Home {
    /// The home in this directory. It is created, accessible only to its owner, when an engine first opens it.
    pub fn at(directory: impl Into<PathBuf>) -> Home {
        Home { directory: directory.into(), overrides: Vec::new(), environment: true }
    }

    /// Sets one setting by its name in `docs/configuration.md`, such as `("heartbeat", "5s")`. It overrides the file
    /// and the environment. [`Engine::open`](super::Engine::open) reports an invalid name or value.
    pub fn set(mut self, name: impl Into<String>, value: impl Into<String>) -> Home {
        self.overrides.push((name.into(), value.into()));
        self
    }

    /// Ignores settings in the environment.
    pub fn without_environment(mut self) -> Home {
        self.environment = false;
        self
    }

    pub(super) fn load(&self) -> Result<Settings> {
        let environment = std::env::vars().filter(|_| self.environment);
        Ok(settings::load(&self.directory, environment, &self.overrides)?)
    }
}
