//! Finds numbers that this engine has issued in places outside its database: in vector databases and file names.
//!
//! A database that lost its most recent commits, or an old copy put in its place, would issue the same numbers again. Vector
//! databases would then refuse writes of the new runs, and everything else would confuse new objects with old ones.

use crate::store::{
    error::{Error, Result},
    read_tx::ReadTx,
    sequence,
};
use rusqlite::Connection;
use std::{fmt, path::PathBuf, sync::Arc};

/// A number this far above its counter is damage. It was not issued.
const FARTHEST: i64 = 1 << 44;

/// The kind of object that a number identifies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Numbered {
    Token,
    Run,
    Step,
    Worker,
}

impl Numbered {
    pub const ALL: [Numbered; 4] = [Numbered::Run, Numbered::Step, Numbered::Token, Numbered::Worker];

    pub fn name(self) -> &'static str {
        match self {
            Numbered::Token => "lease token",
            Numbered::Run => "run",
            Numbered::Step => "step",
            Numbered::Worker => "worker",
        }
    }

    /// The last number that the database has issued.
    fn counted(self, tx: &ReadTx) -> Result<i64> {
        let counter: i64 = match self {
            Numbered::Token => 1,
            Numbered::Run => 3,
            Numbered::Step => 4,
            Numbered::Worker => return sequence::last(tx, "worker"),
        };
        Ok(tx.row("SELECT value FROM counter WHERE id = ?1", [counter], |row| row.get(0))?.unwrap_or(0))
    }
}

/// The last numbers that the database has issued, and the engine that they are numbers of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Issued {
    pub engine: String,
    pub numbers: Vec<(Numbered, i64)>,
}

/// Reads five rows.
pub fn issued(tx: &ReadTx) -> Result<Issued> {
    let numbers = Numbered::ALL.into_iter().map(|it| Ok((it, it.counted(tx)?))).collect::<Result<_>>()?;
    Ok(Issued { engine: engine(tx)?, numbers })
}

fn engine(tx: &ReadTx) -> Result<String> {
    let engine: Option<String> = tx.row("SELECT engine_id FROM engine WHERE id = 1", [], |row| row.get(0))?;
    engine.ok_or_else(|| Error::not_found("the engine's row"))
}

/// A number found outside the database, and the place where it was found, for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FoundNumber {
    pub of: Numbered,
    pub number: i64,
    pub place: String,
}

type Find = dyn Fn(&str, &[PathBuf]) -> Vec<FoundNumber> + Send + Sync;

/// Searches for issued numbers. Called with the engine's id and the paths of the vector databases that the engine knows about.
#[derive(Clone)]
pub struct IssuedNumbers(Arc<Find>);

impl IssuedNumbers {
    pub fn new(find: impl Fn(&str, &[PathBuf]) -> Vec<FoundNumber> + Send + Sync + 'static) -> IssuedNumbers {
        IssuedNumbers(Arc::new(find))
    }

    /// Returns the counters that are lower than the numbers found.
    pub(in crate::store) fn behind(&self, conn: &Connection) -> Result<Vec<Behind>> {
        let tx = ReadTx::new(conn);
        let engine = engine(&tx)?;
        // Jumps from one path to the next in the index, since there are few paths and many documents.
        let databases = tx.rows(
            "WITH RECURSIVE known(path) AS (
               SELECT min(database) FROM document UNION ALL
               SELECT (SELECT min(database) FROM document WHERE database > path) FROM known WHERE path IS NOT NULL
             ) SELECT path FROM known WHERE path IS NOT NULL",
            [],
            |row| row.get::<String>(0).map(PathBuf::from),
        )?;
        // Search first, then read the counters: a number issued in between raises its counter before the comparison.
        let found = (self.0)(&engine, &databases);
        let mut behind = Vec::new();
        for of in Numbered::ALL {
            let after = of.counted(&tx)?;
            let there = found.iter().filter(|it| it.of == of && it.number.saturating_sub(FARTHEST) <= after);
            if let Some(last) = there.max_by_key(|it| it.number).filter(|it| it.number > after) {
                behind.push(Behind { of, after, seen: last.number, place: last.place.clone() });
            }
        }
        Ok(behind)
    }
}

impl fmt::Debug for IssuedNumbers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("IssuedNumbers")
    }
}

/// A counter that is lower than a number found outside the database.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::store) struct Behind {
    pub of: Numbered,
    pub after: i64,
    pub seen: i64,
    pub place: String,
}
