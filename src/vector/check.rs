//! Checks a database for damage.

use super::{Result, VectorDb};
use serde::Serialize;

/// The findings of a check; all empty and zero if the database is sound.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct CheckReport {
    /// The output of SQLite's integrity check, which also covers the word index. At most 100 lines.
    pub damage: Vec<String>,
    pub chunks_without_document: u64,
    pub chunks_without_vector: u64,
    pub chunks_without_words: u64,
    pub vectors_without_chunk: u64,
    pub words_without_chunk: u64,
    pub links_without_chunk: u64,
    pub vectors_of_wrong_dimension: u64,
    pub documents_with_wrong_count: u64,
}

impl CheckReport {
    pub fn is_sound(&self) -> bool {
        *self == CheckReport::default()
    }
}

impl VectorDb {
    /// Reads the whole file, in one snapshot.
    pub fn check(&self) -> Result<CheckReport> {
        self.read_at_leisure("check", |tx| {
            let mut statement = tx.prepare("PRAGMA integrity_check(100)")?;
            let lines =
                statement.query_map([], |row| row.get::<_, String>(0))?.collect::<rusqlite::Result<Vec<_>>>()?;
            let count = |sql: &str| tx.query_row(sql, [], |row| row.get::<_, i64>(0)).map(|it| it as u64);
            Ok(CheckReport {
                damage: lines.into_iter().filter(|it| it != "ok").collect(),
                chunks_without_document: count(
                    "SELECT count(*) FROM chunk WHERE document NOT IN (SELECT id FROM document)",
                )?,
                chunks_without_vector: count("SELECT count(*) FROM chunk WHERE id NOT IN (SELECT chunk FROM vector)")?,
                chunks_without_words: count(
                    "SELECT count(*) FROM chunk WHERE id NOT IN (SELECT id FROM chunk_text_docsize)",
                )?,
                vectors_without_chunk: count("SELECT count(*) FROM vector WHERE chunk NOT IN (SELECT id FROM chunk)")?,
                words_without_chunk: count(
                    "SELECT count(*) FROM chunk_text_docsize WHERE id NOT IN (SELECT id FROM chunk)",
                )?,
                links_without_chunk: match self.schema() < 3 {
                    true => 0,
                    false => count("SELECT count(*) FROM linked WHERE chunk NOT IN (SELECT id FROM chunk)")?,
                },
                vectors_of_wrong_dimension: count(
                    "SELECT count(*) FROM vector, meta WHERE length(value) <> 4 * dimension",
                )?,
                documents_with_wrong_count: count(
                    "SELECT count(*) FROM document d
                     WHERE chunks <> (SELECT count(*) FROM chunk WHERE document = d.id)",
                )?,
            })
        })
    }
}
