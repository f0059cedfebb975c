//! `[[watch]]`: folders that the daemon keeps in vector databases.

use super::kind::{Raw, Setting};
use crate::model::nearest;
use std::path::{Path, PathBuf};
use toml::de::{DeTable, DeValue};

/// Folders that are kept in vector databases.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Folders(pub Vec<WatchedFolder>);

/// A folder that is kept in a vector database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WatchedFolder {
    /// As it was written; `~/notes` is below the home directory of the user.
    pub path: String,
    /// The vector database: a name, or a path to its file.
    pub db: String,
    /// Removes documents whose files are gone.
    pub prune: bool,
    /// The collection that its documents belong to.
    pub source: Option<String>,
    /// The id of a parameter set.
    pub params: Option<String>,
    /// Which files are taken, as in `.gitignore`.
    pub glob: Vec<String>,
    pub hidden: bool,
}

const KEYS: [&str; 7] = ["path", "db", "prune", "source", "params", "glob", "hidden"];
const EXAMPLE: &str = "write `path = \"~/notes\"` and `db = \"notes\"` below `[[watch]]`";

impl WatchedFolder {
    fn new(path: String, db: String) -> Result<WatchedFolder, String> {
        let (source, params, glob) = (None, None, Vec::new());
        let it = WatchedFolder { path, db, prune: false, source, params, glob, hidden: false };
        match it.path.starts_with('/') || it.path == "~" || it.path.starts_with("~/") {
            true if it.db.is_empty() => Err(format!("`{}` has no `db`: {EXAMPLE}", it.path)),
            true => Ok(it),
            false => Err(format!("`{}` must be an absolute path, or begin with `~/`", it.path)),
        }
    }

    fn of_table(table: &DeTable<'_>) -> Result<WatchedFolder, String> {
        let text = |name: &str| table.get(name).map(|it| Raw::Toml(it.get_ref()).text()).transpose();
        let bool = |name: &str| table.get(name).map_or(Ok(false), |it| bool::read(&Raw::Toml(it.get_ref())));
        for key in table.keys() {
            let key: &str = key.get_ref();
            if !KEYS.contains(&key) {
                let meant = nearest(key, KEYS).map(|it| format!("; did you mean `{it}`?")).unwrap_or_default();
                return Err(format!("unknown key `{key}`{meant}"));
            }
        }
        let (Some(path), Some(db)) = (text("path")?, text("db")?) else {
            return Err(format!("a folder needs `path` and `db`: {EXAMPLE}"));
        };
        Ok(WatchedFolder {
            prune: bool("prune")?,
            hidden: bool("hidden")?,
            source: text("source")?,
            params: text("params")?,
            glob: table.get("glob").map_or(Ok(Vec::new()), |it| Raw::Toml(it.get_ref()).words())?,
            ..WatchedFolder::new(path, db)?
        })
    }

    /// The folder itself. None: the home directory of the user is not known.
    pub fn directory(&self) -> Option<PathBuf> {
        match self.path.strip_prefix('~') {
            Some(rest) => Some(std::env::home_dir()?.join(rest.trim_start_matches('/'))),
            None => Some(Path::new(&self.path).to_path_buf()),
        }
    }
}

impl Setting for Folders {
    const KIND: &'static str = "a list of tables";

    fn read(raw: &Raw<'_>) -> Result<Folders, String> {
        let folders: Result<Vec<WatchedFolder>, String> = match raw {
            Raw::Toml(DeValue::Array(list)) => {
                let table = |it: &DeValue<'_>| it.as_table().map_or(Err(EXAMPLE.to_string()), WatchedFolder::of_table);
                list.iter().map(|it| table(it.get_ref())).collect()
            }
            Raw::Toml(_) => Err(EXAMPLE.to_string()),
            Raw::Text(_) => {
                let folder = |it: &String| match it.rsplit_once('=') {
                    Some((path, db)) => WatchedFolder::new(path.trim().to_string(), db.trim().to_string()),
                    None => Err(format!("`{it}` must have the form `~/notes=notes`")),
                };
                raw.words()?.iter().map(folder).collect()
            }
        };
        let folders = folders?;
        for (at, it) in folders.iter().enumerate() {
            if folders[..at].iter().any(|other| (&other.path, &other.db) == (&it.path, &it.db)) {
                return Err(format!("`{}` is there twice for `{}`", it.path, it.db));
            }
        }
        Ok(Folders(folders))
    }

    fn show(&self) -> String {
        let folder = |it: &WatchedFolder| {
            let prune = if it.prune { " (prune)" } else { "" };
            format!("{} = {}{prune}", it.path, it.db)
        };
        let folders: Vec<String> = self.0.iter().map(folder).collect();
        if folders.is_empty() { "none".to_string() } else { folders.join(", ") }
    }
}
