//! Finds the home directory.

use super::error::{Error, Result};
use crate::os::ownership;
use std::{
    ffi::OsString,
    path::{Path, PathBuf},
};

/// The directory name of a project's home, searched for in the current directory and its parents.
pub const PROJECT: &str = ".windlass";

/// Exists in a home while a restore into it is unfinished.
pub const UNFINISHED_RESTORE: &str = "restore.unfinished";

/// The inputs of the search for the home directory, in order of precedence.
#[derive(Debug, Clone, Copy)]
pub struct HomeInputs<'a> {
    /// `--home`
    pub flag: Option<&'a Path>,
    /// `WINDLASS_HOME`; empty counts as not set.
    pub variable: Option<&'a Path>,
    /// The current directory. The search for `.windlass/` starts here and goes upward.
    pub here: &'a Path,
    /// See `platform_data_dir`.
    pub platform: Option<&'a Path>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HomeOrigin {
    Flag,
    Variable,
    Project,
    Platform,
}

/// The home directory, absolute if `here` is, and why it was chosen. It may not exist yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Home {
    pub path: PathBuf,
    pub origin: HomeOrigin,
}

/// The directory of a home that was checked, so that it can be compared after its files were opened by path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JudgedHome {
    pub path: PathBuf,
    /// Device and inode.
    pub id: (u64, u64),
}

impl JudgedHome {
    /// Fails if another directory has replaced the home since it was checked.
    pub fn confirm(&self) -> Result<()> {
        match ownership::id_of(&self.path) {
            Ok(Some(id)) if id == self.id => Ok(()),
            Ok(_) => Err(Error::Replaced { home: self.path.clone() }),
            Err(source) => Err(Error::Io { action: "inspect", path: self.path.clone(), source }),
        }
    }
}

pub fn find_home(inputs: HomeInputs<'_>) -> Result<Home> {
    // Drops a trailing slash, which would follow a link that must be detected.
    let named = |path: &Path, origin| Home { path: inputs.here.join(path).components().collect(), origin };
    if let Some(path) = inputs.flag {
        return Ok(named(path, HomeOrigin::Flag));
    }
    if let Some(path) = inputs.variable.filter(|it| !it.as_os_str().is_empty()) {
        return Ok(named(path, HomeOrigin::Variable));
    }
    let project = inputs.here.ancestors().map(|it| it.join(PROJECT)).find(|it| it.is_dir());
    if let Some(path) = project {
        return Ok(Home { path, origin: HomeOrigin::Project });
    }
    let platform = inputs.platform.ok_or(Error::NoHome)?;
    Ok(Home { path: platform.to_path_buf(), origin: HomeOrigin::Platform })
}

/// The data directory of this program on this platform: by the XDG Base Directory Specification, or by Apple's
/// guidelines on macOS.
pub fn platform_data_dir(variable: impl Fn(&str) -> Option<OsString>) -> Option<PathBuf> {
    let set = |name| variable(name).map(PathBuf::from).filter(|it| it.is_absolute());
    let data = if cfg!(target_os = "macos") {
        set("HOME").map(|home| home.join("Library/Application Support"))
    } else {
        set("XDG_DATA_HOME").or_else(|| set("HOME").map(|home| home.join(".local/share")))
    };
    data.map(|it| it.join("windlass"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_most_explicit_home_wins() {
        let directory = tempfile::tempdir().unwrap();
        let inner = directory.path().join("a/b");
        std::fs::create_dir_all(&inner).unwrap();
        let platform = Path::new("/data/windlass");
        let mut inputs =
            HomeInputs { flag: None, variable: Some(Path::new("")), here: &inner, platform: Some(platform) };
        assert_eq!(find_home(inputs).unwrap(), Home { path: platform.into(), origin: HomeOrigin::Platform });

        let project = directory.path().join(".windlass");
        std::fs::create_dir(&project).unwrap();
        assert_eq!(find_home(inputs).unwrap(), Home { path: project, origin: HomeOrigin::Project });

        inputs.variable = Some(Path::new("relative"));
        assert_eq!(find_home(inputs).unwrap(), Home { path: inner.join("relative"), origin: HomeOrigin::Variable });

        inputs.flag = Some(Path::new("/named"));
        assert_eq!(find_home(inputs).unwrap(), Home { path: "/named".into(), origin: HomeOrigin::Flag });
    }

    #[test]
    fn without_any_place_the_error_says_what_to_do() {
        let directory = tempfile::tempdir().unwrap();
        let inputs = HomeInputs { flag: None, variable: None, here: directory.path(), platform: None };
        let error = find_home(inputs).unwrap_err();
        assert!(error.hint().unwrap().contains("--home"));
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn the_platform_directory_follows_xdg() {
        let with = |pairs: &'static [(&str, &str)]| {
            platform_data_dir(move |name| pairs.iter().find(|it| it.0 == name).map(|it| it.1.into()))
        };
        assert_eq!(with(&[("HOME", "/h")]), Some("/h/.local/share/windlass".into()));
        assert_eq!(with(&[("HOME", "/h"), ("XDG_DATA_HOME", "/x")]), Some("/x/windlass".into()));
        assert_eq!(with(&[("HOME", "/h"), ("XDG_DATA_HOME", "relative")]), Some("/h/.local/share/windlass".into()));
        assert_eq!(with(&[]), None);
    }
}
