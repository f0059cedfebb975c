//! Numbers of AUTOINCREMENT columns, which are issued once. SQLite only: its table `sqlite_sequence`.

use crate::store::{error::Result, params::params, read_tx::ReadTx};

/// The last number that a table has issued; 0 if none.
pub(in crate::store) fn last(tx: &ReadTx, table: &str) -> Result<i64> {
    Ok(tx.row("SELECT seq FROM sqlite_sequence WHERE name = ?1", [table], |row| row.get(0))?.unwrap_or(0))
}

/// Makes sure that no number up to this one is issued from now on.
pub(in crate::store::db) fn skip_to(tx: &ReadTx, table: &str, number: i64) -> Result<()> {
    // The row exists once the table has had a row.
    let raised = tx.run("UPDATE sqlite_sequence SET seq = max(seq, ?2) WHERE name = ?1", params![table, number])?;
    if raised == 0 {
        tx.run("INSERT INTO sqlite_sequence(name, seq) VALUES (?1, ?2)", params![table, number])?;
    }
    Ok(())
}
