//! Returns free pages of the file to the disk. SQLite only: `PRAGMA incremental_vacuum` and the page counts.

use crate::store::{
    error::Result,
    tx::{ReadTx, WriteTx},
};

/// (all pages, free pages, bytes per page).
pub fn pages(tx: &ReadTx) -> Result<(i64, i64, i64)> {
    let number = |sql: &str| -> Result<i64> { Ok(tx.row(sql, [], |row| row.get(0))?.unwrap_or(0)) };
    Ok((number("PRAGMA page_count")?, number("PRAGMA freelist_count")?, number("PRAGMA page_size")?))
}

/// Returns up to `pages` free pages to the disk. True while more than `spare` are left.
pub fn slice(tx: &WriteTx, pages: usize, spare: i64) -> Result<bool> {
    // The statement returns one row per page, and only does as much work as it is stepped.
    tx.rows(&format!("PRAGMA incremental_vacuum({pages})"), [], |_| Ok(()))?;
    Ok(self::pages(tx)?.1 > spare)
}
