//! Free pages of the file, given back to the disk. SQLite only: `PRAGMA incremental_vacuum` and the counts of pages.

use crate::store::{
    error::Result,
    tx::{ReadTx, WriteTx},
};

/// (pages of the database, pages that nothing is in, bytes of a page).
pub fn pages(tx: &ReadTx) -> Result<(i64, i64, i64)> {
    let number = |sql: &str| -> Result<i64> { Ok(tx.row(sql, [], |row| row.get(0))?.unwrap_or(0)) };
    Ok((number("PRAGMA page_count")?, number("PRAGMA freelist_count")?, number("PRAGMA page_size")?))
}

/// Gives up to `pages` free pages back to the disk. True while more than `spare` are left.
pub fn slice(tx: &WriteTx, pages: usize, spare: i64) -> Result<bool> {
    // One row for each page: the statement does nothing beyond what is stepped.
    tx.rows(&format!("PRAGMA incremental_vacuum({pages})"), [], |_| Ok(()))?;
    Ok(self::pages(tx)?.1 > spare)
}
