//! The options of a sync.

use crate::{
    definition::ParameterSet,
    ingest::{
        item::DEFAULT_SOURCE,
        source::{SourceFile, SourceOptions},
    },
};
use serde::Serialize;
use std::path::PathBuf;

/// The options of a sync.
#[derive(Debug, Clone)]
pub struct SyncOptions {
    /// Files and directories.
    pub paths: Vec<PathBuf>,
    /// Documents that are not files on this machine, from `receive_all`, including those that could not be received.
    pub received: Vec<SourceFile>,
    pub unreadable: Vec<Unreadable>,
    /// Which files of directories are included.
    pub source_options: SourceOptions,
    /// From `database_path`.
    pub database: PathBuf,
    /// The name of the collection that the documents belong to.
    pub source: String,
    /// The title of the document on stdin.
    pub title: Option<String>,
    pub params: ParameterSet,
    /// Remove documents whose file is gone.
    pub prune: bool,
    /// Ingest everything again, including documents that failed permanently, and ignore the cache.
    pub force: bool,
    /// Also find out which steps would run. `plan` never writes anything.
    pub dry_run: bool,
}

impl SyncOptions {
    pub fn new(paths: Vec<PathBuf>, database: PathBuf) -> SyncOptions {
        SyncOptions {
            paths,
            received: Vec::new(),
            unreadable: Vec::new(),
            source_options: SourceOptions::default(),
            database,
            source: DEFAULT_SOURCE.to_string(),
            title: None,
            params: ParameterSet::builtin(),
            prune: false,
            force: false,
            dry_run: false,
        }
    }
}

/// A document that could not be read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Unreadable {
    pub uri: String,
    pub reason: String,
}
