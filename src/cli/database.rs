//! Vector databases by name: which file one is, and which there are.

use super::{
    context::Context,
    failure::{Exit, Failure, Result},
};
use crate::{
    model::nearest,
    vector::{OpenOptions, VectorDb},
};
use std::{
    fs,
    path::{Path, PathBuf},
};

/// A vector database of this home.
#[derive(Debug, Clone)]
pub struct Named {
    pub name: String,
    pub path: PathBuf,
}

/// The database that was asked for, or the one of the settings. A name with a slash or ending in `.db` is a path.
pub fn named(cx: &Context, asked: Option<&str>) -> Result<Named> {
    let settings = cx.settings()?;
    let name = asked.unwrap_or(&settings.database);
    if name.is_empty() || name.starts_with('.') && !name.contains('/') {
        return Err(Failure::usage(format!("`{name}` can't be the name of a vector database")));
    }
    let path = match is_path(name) {
        true => cx.here()?.join(name),
        false => settings.home.join("vectors").join(format!("{name}.db")),
    };
    Ok(Named { name: name.to_string(), path })
}

/// Opens it for reading; says which ones there are when there is none of that name.
pub fn open(cx: &Context, asked: Option<&str>) -> Result<(Named, VectorDb)> {
    let database = named(cx, asked)?;
    match VectorDb::open(&database.path, &OpenOptions::default()) {
        Ok(opened) => Ok((database, opened)),
        Err(crate::vector::Error::NotFound { .. }) => Err(unknown(cx, &database)?),
        Err(error) => Err(error.into()),
    }
}

pub fn unknown(cx: &Context, database: &Named) -> Result<Failure> {
    let there: Vec<String> = all(cx)?.into_iter().map(|it| it.name).collect();
    let failure = Failure::new(Exit::NotFound, format!("no vector database `{}`", database.name));
    let meant = nearest(&database.name, there.iter().map(String::as_str));
    Ok(match (meant, there.is_empty()) {
        (Some(meant), _) => failure.hint(format!("did you mean `--db {meant}`?")),
        (None, true) => failure.hint("make one with `windlass ingest PATH`"),
        (None, false) => failure.hint(format!("there is {}", there.join(", "))),
    })
}

/// Every vector database in the home directory, by name.
pub fn all(cx: &Context) -> Result<Vec<Named>> {
    let dir = cx.settings()?.home.join("vectors");
    let entries = match fs::read_dir(&dir) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(Failure::io("list", &dir, error)),
    };
    let mut found: Vec<Named> = entries.flatten().filter_map(|it| of_file(&it.path())).collect();
    found.sort_by(|one, other| one.name.cmp(&other.name));
    Ok(found)
}

fn of_file(path: &Path) -> Option<Named> {
    let name = path.file_name()?.to_str()?.strip_suffix(".db")?;
    Some(Named { name: name.to_string(), path: path.to_path_buf() })
}

fn is_path(name: &str) -> bool {
    name.contains('/') || name.ends_with(".db")
}
