//! Table `synced_folder`: folders that the daemon keeps in vector databases, and why that fails.

use crate::store::{
    error::Result,
    params::params,
    tx::{ReadTx, WriteTx},
};

/// A folder, its vector database, and why its last sync failed; empty: it did not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SyncedFolder {
    pub path: String,
    pub database: String,
    pub problem: String,
}

/// All of them by their paths.
pub fn all(tx: &ReadTx) -> Result<Vec<SyncedFolder>> {
    tx.rows("SELECT path, database, problem FROM synced_folder ORDER BY path, database", [], |row| {
        Ok(SyncedFolder { path: row.get(0)?, database: row.get(1)?, problem: row.get(2)? })
    })
}

/// Makes the folders those of the settings; what is known of their problems is kept.
pub fn set(tx: &WriteTx, folders: &[(String, String)]) -> Result<()> {
    for it in all(tx)? {
        if !folders.iter().any(|(path, database)| (path, database) == (&it.path, &it.database)) {
            tx.execute("DELETE FROM synced_folder WHERE path = ?1 AND database = ?2", params![it.path, it.database])?;
        }
    }
    for (path, database) in folders {
        tx.execute(
            "INSERT INTO synced_folder(path, database, changed) VALUES (?1, ?2, ?3) ON CONFLICT(path, database) DO NOTHING",
            params![path, database, tx.now().0],
        )?;
    }
    Ok(())
}

/// Notes why the last sync failed; empty: it did not.
pub fn set_problem(tx: &WriteTx, path: &str, database: &str, problem: &str) -> Result<()> {
    tx.execute(
        "UPDATE synced_folder SET problem = ?3, changed = ?4 WHERE path = ?1 AND database = ?2 AND problem <> ?3",
        params![path, database, problem, tx.now().0],
    )?;
    Ok(())
}

/// Those whose last sync failed.
pub fn with_problems(tx: &ReadTx) -> Result<Vec<SyncedFolder>> {
    Ok(all(tx)?.into_iter().filter(|it| !it.problem.is_empty()).collect())
}
