//! Other programs that block windlass's access to its vector databases.

use super::{database::databases_of, error::Result};
use crate::{
    engine::Engine,
    model::ResourceKey,
    os::{process_stat, wal_readers},
    store::resource_lock,
};
use std::{collections::BTreeSet, path::PathBuf, thread, time::Duration};

/// A program that is only writing one document is done after this time.
const LOOK: Duration = Duration::from_millis(200);

/// A program that has this vector database locked but does not hold its key, as every windlass process would:
/// `/home/ann/docs.db is locked by process 7 (python3)`.
pub(super) fn of_database(engine: &Engine, key: &ResourceKey) -> Option<String> {
    let path = PathBuf::from(key.0.strip_prefix("vec:")?);
    let stranger = || {
        let writer = wal_readers::writer(&path)?;
        (process_stat::who_holds_lock(&engine.lock_file(key)) != Some(writer)).then_some(writer)
    };
    let first = stranger()?;
    thread::sleep(LOOK);
    (stranger() == Some(first)).then(|| format!("{} is locked by {}", path.display(), process_stat::in_words(first)))
}

/// The same for every vector database of the home, and for those elsewhere whose keys are held.
pub(super) fn of_databases(engine: &Engine) -> Result<Vec<String>> {
    let mut keys: BTreeSet<String> =
        engine.store().read(resource_lock::list)?.into_iter().map(|row| row.key.0).collect();
    let home = std::fs::canonicalize(engine.home()).unwrap_or_else(|_| engine.home().to_path_buf());
    keys.extend(databases_of(&home)?.into_iter().map(|it| format!("vec:{}", it.path.display())));
    Ok(keys.into_iter().filter_map(|key| of_database(engine, &ResourceKey(key))).collect())
}
