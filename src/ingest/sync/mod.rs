//! Sync: compares the source with what was ingested, submits the difference, and reports the result.
//!
//! The order of a command: [`unfinished`] groups of the database are worked off first (and [`finish`]ed), then [`plan`],
//! [`submit`], work until the group has ended, [`finish`], and [`prune`] if that was asked for. Each part can be interrupted
//! anywhere: running the same command again continues from what is on disk.
//!
//! The vector database says which content is stored. The table `document` remembers size and time of each file, so that an
//! unchanged one costs a stat, and what could not be read, so that it is not tried again.

mod give;
pub(super) mod plan;
mod report;
mod submit;
pub(super) mod verdict;

pub use give::{Place, give};
pub use plan::{Failed, PlannedRun, SyncPlan, Unread, plan};
pub use report::{DocumentOutcome, DocumentStatus, SyncReport, finish, settle};
pub use submit::{prune, remove, submit, try_server, unfinished};
pub use verdict::Why;

use super::source::{SourceFile, SourceOptions};
use crate::definition::ParameterSet;
use std::path::PathBuf;

/// What to sync, with what.
#[derive(Debug, Clone)]
pub struct SyncOptions {
    /// Files and directories.
    pub paths: Vec<PathBuf>,
    /// Documents that are no files of this machine, from `give`; and those that could not be got.
    pub given: Vec<SourceFile>,
    pub ungiven: Vec<Unread>,
    /// What is taken from directories.
    pub source_options: SourceOptions,
    /// From `database_path`.
    pub database: PathBuf,
    /// The name of the collection that the documents belong to.
    pub source: String,
    /// Of the document on stdin.
    pub title: Option<String>,
    pub params: ParameterSet,
    /// Removes documents whose file is gone.
    pub prune: bool,
    /// Ingests everything again, what failed for good included, and takes no result from the cache.
    pub force: bool,
    /// Looks also at which steps would run. Nothing is written by `plan` either way.
    pub dry_run: bool,
}

impl SyncOptions {
    pub fn new(paths: Vec<PathBuf>, database: PathBuf) -> SyncOptions {
        SyncOptions {
            paths,
            given: Vec::new(),
            ungiven: Vec::new(),
            source_options: SourceOptions::default(),
            database,
            source: super::item::DEFAULT_SOURCE.to_string(),
            title: None,
            params: ParameterSet::builtin(),
            prune: false,
            force: false,
            dry_run: false,
        }
    }
}
