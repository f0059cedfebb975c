//! The two kinds of transaction that verbs take.

use crate::model::{Event, EventKind, GroupId, RunId, StepId, Timestamp, Token};
use crate::store::{
    error::Result,
    memory::{Memory, Sums},
};
use rusqlite::{CachedStatement, Connection, OptionalExtension, Params, Row};
use std::{
    cell::{RefCell, RefMut},
    ops::Deref,
};

/// A consistent view of the database. Never kept open across a wait.
pub struct ReadTx<'a> {
    conn: &'a Connection,
}

impl<'a> ReadTx<'a> {
    pub(in crate::store) fn new(conn: &'a Connection) -> ReadTx<'a> {
        ReadTx { conn }
    }

    pub(in crate::store) fn conn(&self) -> &'a Connection {
        self.conn
    }

    pub(in crate::store) fn statement(&self, sql: &str) -> Result<CachedStatement<'a>> {
        Ok(self.conn.prepare_cached(sql)?)
    }

    /// The first row, if there is one.
    pub(in crate::store) fn row<T>(
        &self,
        sql: &str,
        params: impl Params,
        read: impl FnOnce(&Row) -> rusqlite::Result<T>,
    ) -> Result<Option<T>> {
        Ok(self.statement(sql)?.query_row(params, read).optional()?)
    }

    pub(in crate::store) fn rows<T>(
        &self,
        sql: &str,
        params: impl Params,
        read: impl FnMut(&Row) -> rusqlite::Result<T>,
    ) -> Result<Vec<T>> {
        let mut statement = self.statement(sql)?;
        let found = statement.query_map(params, read)?.collect::<rusqlite::Result<Vec<T>>>()?;
        Ok(found)
    }
}

/// A BEGIN IMMEDIATE transaction of the writer thread. Verbs compose over it.
pub struct WriteTx<'a> {
    read: ReadTx<'a>,
    memory: &'a RefCell<Memory>,
    now: Timestamp,
}

impl<'a> Deref for WriteTx<'a> {
    type Target = ReadTx<'a>;

    fn deref(&self) -> &ReadTx<'a> {
        &self.read
    }
}

impl<'a> WriteTx<'a> {
    pub(in crate::store) fn new(conn: &'a Connection, memory: &'a RefCell<Memory>, now: Timestamp) -> WriteTx<'a> {
        WriteTx { read: ReadTx::new(conn), memory, now }
    }

    /// The wall clock at the start of the transaction.
    pub fn now(&self) -> Timestamp {
        self.now
    }

    /// Runs a statement; the number of rows that it changed.
    pub(in crate::store) fn execute(&self, sql: &str, params: impl Params) -> Result<usize> {
        Ok(self.statement(sql)?.execute(params)?)
    }

    pub(in crate::store) fn memory(&self) -> RefMut<'_, Memory> {
        self.memory.borrow_mut()
    }

    pub(in crate::store) fn next_token(&self) -> Token {
        Token(self.memory().counters.token.next())
    }

    /// Adds to the end counts of a group; written once, before COMMIT.
    pub(in crate::store) fn sum(&self, group: GroupId, add: impl FnOnce(&mut Sums)) {
        add(self.memory().sums.entry(group).or_default());
    }

    pub(in crate::store) fn event(
        &self,
        kind: EventKind,
        group: Option<GroupId>,
        run: Option<RunId>,
        step: Option<StepId>,
    ) {
        self.event_with(kind, group, run, step, String::new());
    }

    pub(in crate::store) fn event_with(
        &self,
        kind: EventKind,
        group: Option<GroupId>,
        run: Option<RunId>,
        step: Option<StepId>,
        detail: String,
    ) {
        self.memory().events.push(Event { at: self.now, kind, group, run, step, detail });
    }
}
