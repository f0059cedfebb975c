//! Table `counter`: numbers that only grow, so that no token and no name is ever given out twice.

use crate::store::{error::Result, tx::WriteTx};
use rusqlite::{Connection, params};

/// One counter, advanced in memory and written once per transaction.
#[derive(Debug, Clone, Copy, Default)]
pub(in crate::store) struct Counter {
    value: i64,
    written: i64,
}

impl Counter {
    pub(in crate::store) fn next(&mut self) -> i64 {
        self.value += 1;
        self.value
    }

    /// Leaves a gap, which nothing will ever be given out of.
    pub(in crate::store) fn leap(&mut self, by: i64) {
        self.value += by;
    }

    /// The number given out last.
    pub(in crate::store) fn current(&self) -> i64 {
        self.value
    }
}

/// All counters. Rows: 1 token, 2 group, 3 run, 4 step, 5 output.
#[derive(Debug, Clone, Copy, Default)]
pub(in crate::store) struct Counters {
    pub token: Counter,
    pub group: Counter,
    pub run: Counter,
    pub step: Counter,
    pub output: Counter,
}

impl Counters {
    fn all(&mut self) -> [(i64, &mut Counter); 5] {
        [(1, &mut self.token), (2, &mut self.group), (3, &mut self.run), (4, &mut self.step), (5, &mut self.output)]
    }
}

pub(in crate::store) fn load(conn: &Connection) -> Result<Counters> {
    let mut counters = Counters::default();
    let mut statement = conn.prepare_cached("SELECT value FROM counter WHERE id = ?1")?;
    for (id, counter) in counters.all() {
        let value = statement.query_row([id], |row| row.get(0))?;
        *counter = Counter { value, written: value };
    }
    Ok(counters)
}

/// A write that changes nothing.
pub(in crate::store) fn touch(tx: &WriteTx) -> Result<()> {
    tx.execute("UPDATE counter SET value = value WHERE id = 1", [])?;
    Ok(())
}

/// Writes the counters that moved. Runs once, just before COMMIT.
pub(in crate::store) fn save(tx: &WriteTx) -> Result<()> {
    let mut counters = tx.memory().counters;
    for (id, counter) in counters.all() {
        if counter.value != counter.written {
            tx.execute("UPDATE counter SET value = ?2 WHERE id = ?1 AND value < ?2", params![id, counter.value])?;
            counter.written = counter.value;
        }
    }
    tx.memory().counters = counters;
    Ok(())
}
