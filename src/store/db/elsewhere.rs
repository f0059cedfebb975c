//! Numbers that this engine gave out and that are found outside of its database: in vector databases and file names.
//!
//! A database that lost its newest commits, or an old copy that was put in its place, would give them out a second time.
//! Vector databases refuse what a run with a lower number stores, and everybody else would take the new for the old.

use crate::store::{
    error::{Error, Result},
    read_tx::ReadTx,
    sequence,
};
use rusqlite::Connection;
use std::{fmt, path::PathBuf, sync::Arc};

/// A number this far above its counter is damage, and nothing that was given out.
const FARTHEST: i64 = 1 << 44;

/// What a number is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Numbered {
    Token,
    Run,
    Step,
    Worker,
}

impl Numbered {
    const ALL: [Numbered; 4] = [Numbered::Run, Numbered::Step, Numbered::Token, Numbered::Worker];

    pub(in crate::store) fn name(self) -> &'static str {
        match self {
            Numbered::Token => "lease token",
            Numbered::Run => "run",
            Numbered::Step => "step",
            Numbered::Worker => "worker",
        }
    }

    /// The last one that the database has given out.
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

/// A number that was found, and its place, for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sighting {
    pub of: Numbered,
    pub number: i64,
    pub place: String,
}

type Look = dyn Fn(&str, &[PathBuf]) -> Vec<Sighting> + Send + Sync;

/// Knows where to look. It is given the engine's id and the paths of the vector databases that the engine knows.
#[derive(Clone)]
pub struct Lookout(Arc<Look>);

impl Lookout {
    pub fn new(look: impl Fn(&str, &[PathBuf]) -> Vec<Sighting> + Send + Sync + 'static) -> Lookout {
        Lookout(Arc::new(look))
    }

    /// The counters that are behind the numbers found.
    pub(in crate::store) fn behind(&self, conn: &Connection) -> Result<Vec<Behind>> {
        let tx = ReadTx::new(conn);
        let engine: Option<String> = tx.row("SELECT engine_id FROM engine WHERE id = 1", [], |row| row.get(0))?;
        let engine = engine.ok_or_else(|| Error::not_found("the engine's row"))?;
        // Leaps from one path to the next in the index: there are few of them, and many documents.
        let databases = tx.rows(
            "WITH RECURSIVE known(path) AS (
               SELECT min(database) FROM document UNION ALL
               SELECT (SELECT min(database) FROM document WHERE database > path) FROM known WHERE path IS NOT NULL
             ) SELECT path FROM known WHERE path IS NOT NULL",
            [],
            |row| row.get::<String>(0).map(PathBuf::from),
        )?;
        // In this order: a number that others issue meanwhile is counted before it is seen.
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

impl fmt::Debug for Lookout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Lookout")
    }
}

/// A counter that is behind a number that was found.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::store) struct Behind {
    pub of: Numbered,
    pub after: i64,
    pub seen: i64,
    pub place: String,
}
