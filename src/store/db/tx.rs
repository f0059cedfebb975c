//! The two kinds of transaction used by verbs.

pub use crate::store::read_tx::ReadTx;

use crate::model::{GroupId, Millis, Monotonic, Timestamp, Token};
use crate::store::{
    error::{Error, Result},
    memory::{Memory, Sums},
    params::Params,
    row::Row,
};
use rusqlite::Connection;
use std::{
    cell::{RefCell, RefMut},
    ops::Deref,
};

/// A BEGIN IMMEDIATE transaction of the writer thread, in which verbs are composed.
pub struct WriteTx<'a> {
    read: ReadTx<'a>,
    memory: &'a RefCell<Memory>,
    times: Times,
}

/// The clocks at the start of a transaction, and how long a resource line waits before no other may pass it.
#[derive(Debug, Clone, Copy)]
pub(in crate::store) struct Times {
    pub wall: Timestamp,
    pub monotonic: Monotonic,
    pub fair_after: Millis,
}

impl<'a> Deref for WriteTx<'a> {
    type Target = ReadTx<'a>;

    fn deref(&self) -> &ReadTx<'a> {
        &self.read
    }
}

impl<'a> WriteTx<'a> {
    pub(in crate::store) fn new(conn: &'a Connection, memory: &'a RefCell<Memory>, times: Times) -> WriteTx<'a> {
        WriteTx { read: ReadTx::new(conn), memory, times }
    }

    /// The wall clock at the start of the transaction.
    pub fn now(&self) -> Timestamp {
        self.times.wall
    }

    pub(in crate::store) fn monotonic(&self) -> Monotonic {
        self.times.monotonic
    }

    pub(in crate::store) fn fair_after(&self) -> Millis {
        self.times.fair_after
    }

    /// Runs a statement and returns the number of changed rows.
    #[inline]
    pub(in crate::store) fn execute(&self, sql: &str, params: impl Params) -> Result<usize> {
        self.run(sql, params)
    }

    /// Runs an INSERT that ends in `RETURNING id`, and returns the new row's id.
    pub(in crate::store) fn insert(&self, sql: &str, params: impl Params) -> Result<i64> {
        let id = self.returned(sql, params, |row| row.get(0))?;
        id.ok_or_else(|| Error::Sqlite { reason: format!("no id was returned by `{sql}`") })
    }

    /// Runs a statement that changes at most one row and ends in RETURNING. Returns that row.
    #[inline]
    pub(in crate::store) fn change<T>(
        &self,
        sql: &str,
        params: impl Params,
        read: impl FnOnce(&Row<'_>) -> Result<T>,
    ) -> Result<Option<T>> {
        self.returned(sql, params, read)
    }

    pub(in crate::store) fn memory(&self) -> RefMut<'_, Memory> {
        self.memory.borrow_mut()
    }

    pub(in crate::store) fn next_token(&self) -> Token {
        Token(self.memory().counters.token.next())
    }

    /// Adds to the end counts of a group. They are written once, before COMMIT.
    pub(in crate::store) fn sum(&self, group: GroupId, add: impl FnOnce(&mut Sums)) {
        add(self.memory().sums.entry(group).or_default());
    }

    /// Writes the changed counters, once, just before COMMIT.
    pub(in crate::store::db) fn save_counters(&self) -> Result<()> {
        let moved = self.memory().counters.moved();
        for (id, value) in moved.into_iter().flatten() {
            self.execute("UPDATE counter SET value = ?2 WHERE id = ?1 AND value < ?2", [id, value])?;
        }
        self.memory().counters.written();
        Ok(())
    }
}
