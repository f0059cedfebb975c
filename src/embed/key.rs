//! API keys, by their names: from the environment, else from the secrets directory.

use crate::settings::{self, Secret};
use std::{
    env,
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
};

static SECRETS: Mutex<Option<PathBuf>> = Mutex::new(None);

/// Looks for keys in this directory too, from here on. Keys are read when they are needed and kept nowhere.
pub fn use_secrets(directory: &Path) {
    *SECRETS.lock().unwrap_or_else(PoisonError::into_inner) = Some(directory.to_path_buf());
}

/// The key of this name. None: there is none, or it can't be read.
pub(super) fn find(name: &str) -> Option<Secret> {
    let said = env::var(name).ok().filter(|it| !it.trim().is_empty());
    if let Some(text) = said {
        return Some(Secret::new(text.trim()));
    }
    let directory = SECRETS.lock().unwrap_or_else(PoisonError::into_inner).clone()?;
    settings::secret_in(&directory, name).ok().flatten().filter(|it| !it.reveal().is_empty())
}
