//! Reads from vector databases which runs of an engine are the newest.

use crate::{
    store::elsewhere::{FoundNumber, Numbered},
    vector::{OpenOptions, VectorDb},
};
use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

/// The time limit per database: this runs before the first command of a process.
const WITHIN: Duration = Duration::from_secs(2);

/// The newest runs in the home's vector databases and in the given ones. A database that can't be read is skipped.
pub fn newest_runs(home: &Path, engine: &str, databases: &[PathBuf]) -> Vec<FoundNumber> {
    let here = fs::read_dir(home.join("vectors")).into_iter().flatten().flatten().map(|it| it.path());
    let here = here.filter(|it| it.extension().is_some_and(|it| it == "db"));
    // The same file may be known by a different path to the home.
    let all = here.chain(databases.iter().cloned()).filter_map(|it| fs::canonicalize(it).ok());
    all.collect::<BTreeSet<PathBuf>>().iter().filter_map(|it| newest_run(it, engine)).collect()
}

fn newest_run(path: &Path, engine: &str) -> Option<FoundNumber> {
    if !fs::metadata(path).ok()?.is_file() {
        return None;
    }
    let opened = VectorDb::open(path, &OpenOptions::default());
    match opened.and_then(|it| it.read_within(WITHIN).newest_run(engine)) {
        Ok(run) => {
            let place = format!("vector database {}", path.display());
            run.map(|number| FoundNumber { of: Numbered::Run, number, place })
        }
        Err(error) => {
            tracing::debug!(%error, "failed to read the runs in a vector database");
            None
        }
    }
}
