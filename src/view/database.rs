//! Vector databases by name: which exist, and what each contains.

use super::error::{Error, Result};
use crate::{
    ingest::removal,
    store,
    vector::{self, Document, DocumentQuery, Filter, Info, OpenOptions, VectorDb},
};
use serde::Serialize;
use std::{
    fs,
    path::{Path, PathBuf},
};

/// A vector database.
#[derive(Debug, Clone)]
pub struct Named {
    pub name: String,
    pub path: PathBuf,
    /// The home with the other databases, for a hint.
    pub home: PathBuf,
}

#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct DatabaseInfo {
    pub name: String,
    #[serde(flatten)]
    pub info: Info,
}

#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct Databases {
    pub databases: Vec<DatabaseInfo>,
}

/// A page of documents, sorted by source and URI.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct Documents {
    pub database: String,
    /// The number of documents that pass the filter, on all pages.
    pub total: u64,
    pub offset: u64,
    pub documents: Vec<Document>,
}

/// All vector databases in the home directory, by name.
pub fn databases_of(home: &Path) -> Result<Vec<Named>> {
    let dir = home.join("vectors");
    let entries = match fs::read_dir(&dir) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(source) => return Err(Error::List { path: dir, source }),
    };
    let of_file = |path: PathBuf| {
        let name = path.file_name()?.to_str()?.strip_suffix(".db")?.to_string();
        Some(Named { name, path, home: home.to_path_buf() })
    };
    let mut found: Vec<Named> = entries.flatten().filter_map(|it| of_file(it.path())).collect();
    found.sort_by(|one, other| one.name.cmp(&other.name));
    Ok(found)
}

/// Describes each database. One that can't be read is passed to `unreadable` and omitted.
pub fn databases(home: &Path, mut unreadable: impl FnMut(&Named, &vector::Error)) -> Result<Databases> {
    let mut databases = Vec::new();
    for named in databases_of(home)? {
        match VectorDb::open(&named.path, &OpenOptions::default()).and_then(|it| it.info()) {
            Ok(info) => databases.push(DatabaseInfo { name: named.name, info }),
            Err(error) => unreadable(&named, &error),
        }
    }
    Ok(Databases { databases })
}

/// Opens a database for reading, without documents that its home has deleted but not yet removed from it. If there is
/// none with that name, the error lists the existing ones.
pub fn open_database(named: &Named) -> Result<VectorDb> {
    let mut opened = open(named)?;
    let engine = named.home.join("engine.db");
    if engine.is_file() {
        match store::glance(&engine, |tx| removal::deleted(tx, &named.path)) {
            Ok(deleted) => deleted.hide_in(&mut opened)?,
            Err(error) => tracing::debug!(%error, "deletions are not known"),
        }
    }
    Ok(opened)
}

fn open(named: &Named) -> Result<VectorDb> {
    match VectorDb::open(&named.path, &OpenOptions::default()) {
        Err(vector::Error::NotFound { .. }) => {
            let there = databases_of(&named.home)?.into_iter().map(|it| it.name).collect();
            Err(Error::NoDatabase { name: named.name.clone(), there, is_empty: named.path.exists() })
        }
        opened => Ok(opened?),
    }
}

/// A page of the documents that pass `filter`.
pub fn documents(named: &Named, filter: Option<&Filter>, limit: u64, offset: u64) -> Result<Documents> {
    let page = open_database(named)?.documents(&DocumentQuery { filter, limit, offset })?;
    Ok(Documents { database: named.name.clone(), total: page.total, offset, documents: page.documents })
}
