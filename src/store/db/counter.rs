//! Table `counter`: numbers that only grow, so that no token and no id is ever issued twice.

use crate::store::{
    error::{Error, Result},
    read_tx::ReadTx,
};

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

    /// Leaves a gap of numbers that are never issued.
    pub(in crate::store) fn leap(&mut self, by: i64) {
        self.value += by;
    }

    /// The number issued last.
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

    /// (row, value) of each counter that is not written yet.
    pub(in crate::store) fn moved(&mut self) -> [Option<(i64, i64)>; 5] {
        self.all().map(|(id, it)| (it.value != it.written).then_some((id, it.value)))
    }

    /// Marks all counters as written.
    pub(in crate::store) fn written(&mut self) {
        for (_, counter) in self.all() {
            counter.written = counter.value;
        }
    }
}

/// The counters as last written.
pub(in crate::store) fn load(tx: &ReadTx) -> Result<Counters> {
    let mut counters = Counters::default();
    for (id, counter) in counters.all() {
        let found = tx.row("SELECT value FROM counter WHERE id = ?1", [id], |row| row.get(0))?;
        let value = found.ok_or_else(|| Error::not_found(format!("counter {id}")))?;
        *counter = Counter { value, written: value };
    }
    Ok(counters)
}

/// A write that changes nothing.
pub(in crate::store) const TOUCH: &str = "UPDATE counter SET value = value WHERE id = 1";
