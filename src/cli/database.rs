//! Finds vector databases by name, and lists them.

use super::{
    context::Context,
    failure::{Failure, Result},
};
use crate::{
    vector::VectorDb,
    view::{self, Named},
};

/// The requested database, or the default from the settings. A name with a slash or ending in `.db` is a path.
pub fn named(cx: &Context, requested: Option<&str>) -> Result<Named> {
    let settings = cx.settings()?;
    let name = requested.unwrap_or(&settings.database);
    if name.is_empty() || name.starts_with('.') && !name.contains('/') {
        return Err(Failure::usage(format!("`{name}` can't be the name of a vector database")));
    }
    let path = match is_path(name) {
        true => cx.here()?.join(name.trim_start_matches("./")),
        false => settings.home.join("vectors").join(format!("{name}.db")),
    };
    Ok(Named { name: name.to_string(), path, home: settings.home.clone() })
}

/// Opens it for reading. If it does not exist, the error lists the existing ones.
pub fn open(cx: &Context, requested: Option<&str>) -> Result<(Named, VectorDb)> {
    let database = named(cx, requested)?;
    let opened = view::open_database(&database)?;
    Ok((database, opened))
}

pub fn unknown(cx: &Context, database: &Named) -> Result<Failure> {
    let there = all(cx)?.into_iter().map(|it| it.name).collect();
    let is_empty = database.path.exists();
    Ok(view::Error::NoDatabase { name: database.name.clone(), there, is_empty }.into())
}

/// Every vector database in the home directory, by name.
pub fn all(cx: &Context) -> Result<Vec<Named>> {
    Ok(view::databases_of(&cx.settings()?.home)?)
}

fn is_path(name: &str) -> bool {
    name.contains('/') || name.ends_with(".db")
}
