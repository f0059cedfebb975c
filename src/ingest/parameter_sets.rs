//! The parameter sets of a home: the built-in one, and `params/ID.yaml`.

use super::{
    error::{Error, Result},
    parameters::kept_database_path,
};
use crate::{
    definition::{BUILTIN_PARAMETERS, ParameterSet, STAGES},
    os::{ownership, private, regular_file},
    vector::{self, OpenOptions, VectorDb},
};
use std::{
    fs, io,
    path::{Path, PathBuf},
};

/// The directory of a home's parameter sets, which are files named `ID.yaml`.
pub const DIRECTORY: &str = "params";

/// The first line of the built-in set when it is printed.
const BUILTIN_TEXT_HEAD: &str = "# Built in. Your own sets have these values unless they set others.\n";

/// A parameter set and where it comes from.
#[derive(Debug, Clone, PartialEq)]
pub struct Stored {
    pub set: ParameterSet,
    /// `None` if it is built in.
    pub path: Option<PathBuf>,
}

impl Stored {
    /// The YAML text of the file.
    pub fn text(&self) -> Result<String> {
        match &self.path {
            Some(path) => ownership::read_to_string(path).map_err(|source| io_error("read", path, source)),
            None => Ok(written_out(&self.set)),
        }
    }
}

/// A set in the format of its file. Parameters that are not set are omitted.
fn written_out(set: &ParameterSet) -> String {
    let mut text = format!("{BUILTIN_TEXT_HEAD}id: {}\nname: {}\nconfig:\n", set.id, set.name);
    for stage in STAGES {
        text.push_str(&format!("  {stage}:\n"));
        let values = set.config[stage].as_object().into_iter().flatten();
        for (key, value) in values.filter(|it| !it.1.is_null()) {
            text.push_str(&format!("    {key}: {value}\n"));
        }
    }
    text
}

/// The result of saving or removing a set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    Done(PathBuf),
    /// A set with this id exists; `builtin` says whether it is the built-in one.
    Exists {
        builtin: bool,
    },
    Missing,
    Builtin,
}

/// All parameter sets of the home and the built-in one, by id. Fails if a file can't be read.
pub fn all(home: &Path) -> Result<Vec<Stored>> {
    let mut sets = vec![Stored { set: ParameterSet::builtin(), path: None }];
    let dir = home.join(DIRECTORY);
    let entries = match fs::read_dir(&dir) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(sets),
        Err(source) => return Err(io_error("list", &dir, source)),
    };
    for path in entries.flatten().map(|it| it.path()) {
        if path.extension().is_some_and(|it| it == "yaml" || it == "yml") {
            sets.push(Stored { set: read_own(&path)?, path: Some(path) });
        }
    }
    sets.sort_by(|one, other| one.set.id.cmp(&other.set.id));
    Ok(sets)
}

/// A parameter set of the home by its id.
pub fn find(home: &Path, id: &str) -> Result<Option<Stored>> {
    if id == BUILTIN_PARAMETERS {
        return Ok(Some(Stored { set: ParameterSet::builtin(), path: None }));
    }
    Ok(all(home)?.into_iter().find(|it| it.set.id == id))
}

/// Reads a parameter set of a home. The file must be the user's own.
fn read_own(path: &Path) -> Result<ParameterSet> {
    let text = ownership::read_to_string(path).map_err(|source| io_error("read", path, source))?;
    Ok(ParameterSet::parse(&text, &path.to_string_lossy())?)
}

/// Reads a parameter set from a file that the user names.
pub fn read(path: &Path) -> Result<ParameterSet> {
    let text = regular_file::read_to_string(path).map_err(|source| io_error("read", path, source))?;
    Ok(ParameterSet::parse(&text, &path.to_string_lossy())?)
}

/// Saves a new set under its id. Refuses a set that could not work, and never overwrites one.
pub fn save(home: &Path, text: &str) -> Result<(ParameterSet, Change)> {
    let set = ParameterSet::parse(text, "yaml_content")?;
    super::parameters::check(&set)?;
    check_place(home, &set)?;
    if let Some(found) = find(home, &set.id)? {
        return Ok((set, Change::Exists { builtin: found.path.is_none() }));
    }
    let dir = home.join(DIRECTORY);
    private::create_dir_all(&dir).map_err(|source| io_error("create", &dir, source))?;
    // Ids are names: letters, digits, `-` and `_`.
    let path = dir.join(format!("{}.yaml", set.id));
    let written = tempfile::NamedTempFile::new_in(&dir).and_then(|file| {
        fs::write(file.path(), text)?;
        file.as_file().sync_all()?;
        file.persist_noclobber(&path).map_err(|error| error.error)
    });
    match written {
        Ok(_) => Ok((set, Change::Done(path))),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok((set, Change::Exists { builtin: false })),
        Err(source) => Err(io_error("write", &path, source)),
    }
}

/// Refuses a set that names an unusable place for its documents.
fn check_place(home: &Path, set: &ParameterSet) -> Result<()> {
    let path = kept_database_path(home, set.config["store"]["path"].as_str().unwrap_or_default())?;
    match VectorDb::open(&path, &OpenOptions::default()) {
        Err(error @ vector::Error::NotAVectorDatabase { .. }) => Err(error.into()),
        // Other obstacles may be gone by the time the set is used.
        _ => Ok(()),
    }
}

/// Removes a set of the home. The built-in one can't be removed.
pub fn remove(home: &Path, id: &str) -> Result<Change> {
    let Some(found) = find(home, id)? else { return Ok(Change::Missing) };
    let Some(path) = found.path else { return Ok(Change::Builtin) };
    match fs::remove_file(&path) {
        Ok(()) => Ok(Change::Done(path)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Change::Missing),
        Err(source) => Err(io_error("remove", &path, source)),
    }
}

fn io_error(action: &'static str, path: &Path, source: io::Error) -> Error {
    Error::Io { action, path: path.to_path_buf(), source }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_is_saved_once_found_again_and_removed() {
        let home = tempfile::tempdir().unwrap();
        let text = "id: small\nconfig:\n  chunk: {size: 200}\n";
        let (set, change) = save(home.path(), text).unwrap();
        assert_eq!(change, Change::Done(home.path().join("params/small.yaml")));
        assert_eq!(find(home.path(), "small").unwrap().unwrap().set, set);
        assert_eq!(find(home.path(), "small").unwrap().unwrap().text().unwrap(), text);
        assert_eq!(save(home.path(), text).unwrap().1, Change::Exists { builtin: false });
        assert_eq!(save(home.path(), "id: default\n").unwrap().1, Change::Exists { builtin: true });
        let ids: Vec<String> = all(home.path()).unwrap().into_iter().map(|it| it.set.id).collect();
        assert_eq!(ids, ["default", "small"]);
        assert_eq!(remove(home.path(), "default").unwrap(), Change::Builtin);
        assert!(matches!(remove(home.path(), "small").unwrap(), Change::Done(_)));
        assert_eq!(remove(home.path(), "small").unwrap(), Change::Missing);
        for wrong in [
            "",
            "id: ../x\n",
            "id: x\nconfig:\n  chunk: {overlap: 400}\n",
            "id: x\nconfig: {a: {}}\n",
            "id: x\nconfig: {store: {path: ../x.db}}\n",
        ] {
            assert!(save(home.path(), wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn the_built_in_set_reads_back_as_itself() {
        let stored = find(Path::new("/nowhere"), "default").unwrap().unwrap();
        let text = stored.text().unwrap();
        assert_eq!(ParameterSet::parse(&text, "default").unwrap(), stored.set);
    }
}
