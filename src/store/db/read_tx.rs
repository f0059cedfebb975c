//! The reading transaction, and how every statement is run.

use crate::store::{error::Result, params::Params, row::Row};
use rusqlite::{CachedStatement, Connection};

/// A consistent view of the database. Never kept open during a wait.
pub struct ReadTx<'a> {
    conn: &'a Connection,
}

impl<'a> ReadTx<'a> {
    pub(in crate::store) fn new(conn: &'a Connection) -> ReadTx<'a> {
        ReadTx { conn }
    }

    /// For SQLite-only features.
    #[cfg(any(test, feature = "internals"))]
    pub(in crate::store::db) fn conn(&self) -> &'a Connection {
        self.conn
    }

    /// Whether the transaction is gone because SQLite has rolled it back.
    pub(in crate::store::db) fn is_autocommit(&self) -> bool {
        self.conn.is_autocommit()
    }

    /// The first row, if there is one.
    #[inline]
    pub(in crate::store) fn row<T>(
        &self,
        sql: &str,
        params: impl Params,
        read: impl FnOnce(&Row<'_>) -> Result<T>,
    ) -> Result<Option<T>> {
        self.first(sql, params, read, false)
    }

    /// All rows.
    #[inline]
    pub(in crate::store) fn rows<T>(
        &self,
        sql: &str,
        params: impl Params,
        mut read: impl FnMut(&Row<'_>) -> Result<T>,
    ) -> Result<Vec<T>> {
        let mut statement = self.prepare(sql, params)?;
        let mut rows = statement.raw_query();
        let mut found = Vec::new();
        while let Some(row) = rows.next()? {
            found.push(read(&Row::new(row))?);
        }
        Ok(found)
    }

    /// The single row of a statement that writes and returns a value. The statement runs to its end.
    pub(in crate::store::db) fn returned<T>(
        &self,
        sql: &str,
        params: impl Params,
        read: impl FnOnce(&Row<'_>) -> Result<T>,
    ) -> Result<Option<T>> {
        self.first(sql, params, read, true)
    }

    #[inline]
    fn first<T>(
        &self,
        sql: &str,
        params: impl Params,
        read: impl FnOnce(&Row<'_>) -> Result<T>,
        to_the_end: bool,
    ) -> Result<Option<T>> {
        let mut statement = self.prepare(sql, params)?;
        let mut rows = statement.raw_query();
        let found = rows.next()?.map(|row| read(&Row::new(row))).transpose()?;
        while to_the_end && rows.next()?.is_some() {}
        Ok(found)
    }

    /// Runs a statement that returns no rows. Returns the number of changed rows.
    #[inline]
    pub(in crate::store::db) fn run(&self, sql: &str, params: impl Params) -> Result<usize> {
        Ok(self.prepare(sql, params)?.raw_execute()?)
    }

    /// A cached statement with its values bound.
    #[inline]
    fn prepare<P: Params>(&self, sql: &str, params: P) -> Result<CachedStatement<'a>> {
        let mut statement = self.conn.prepare_cached(sql)?;
        let wanted = statement.parameter_count();
        if wanted != P::COUNT {
            return Err(rusqlite::Error::InvalidParameterCount(P::COUNT, wanted).into());
        }
        params.each(|number, value| Ok(statement.raw_bind_parameter(number, value)?))?;
        Ok(statement)
    }
}
