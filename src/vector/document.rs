//! Lists and removes documents.

use super::{Epoch, Filter, Result, VectorDb, hidden::Hidden};
use crate::model::{ArtifactHash, Timestamp};
use rusqlite::{Connection, OptionalExtension, Row, Transaction, types::Value};
use serde::Serialize;
use std::collections::HashMap;

/// A document to store. (`source`, `uri`) identifies it; `sha256` identifies its content.
#[derive(Debug, Clone, PartialEq)]
pub struct DocumentRow<'a> {
    pub source: &'a str,
    pub uri: &'a str,
    pub title: Option<&'a str>,
    pub sha256: ArtifactHash,
    pub media_type: &'a str,
    /// Metadata from a sidecar file or the caller: a JSON object.
    pub metadata: &'a serde_json::Value,
    pub now: Timestamp,
}

/// The writer of a document: a run of an engine. Runs are numbered in the order of submission.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Origin<'a> {
    pub engine: &'a str,
    pub run: i64,
}

/// A document to remove.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Removal<'a> {
    pub source: &'a str,
    pub uri: &'a str,
    /// Keeps the document if a later run of this engine has stored it. `None` removes it in any case.
    pub until: Option<Origin<'a>>,
}

/// A stored document.
#[derive(Debug, Clone, PartialEq, Serialize, utoipa::ToSchema)]
pub struct Document {
    pub source: String,
    pub uri: String,
    pub title: Option<String>,
    #[schema(value_type = String)]
    pub sha256: ArtifactHash,
    pub media_type: String,
    pub metadata: serde_json::Value,
    pub created: Timestamp,
    pub updated: Timestamp,
    pub chunks: u64,
}

/// Which documents to list, sorted by (source, uri).
#[derive(Debug, Clone, Default)]
pub struct DocumentQuery<'a> {
    pub filter: Option<&'a Filter>,
    pub limit: u64,
    pub offset: u64,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct DocumentPage {
    pub documents: Vec<Document>,
    /// The number of documents that pass the filter, on all pages.
    pub total: u64,
}

/// The size of one transaction: small enough that a reader's checkpoint and other writers never wait long.
const REMOVED_AT_ONCE: usize = 64;

const COLUMNS: &str =
    "d.source, d.uri, d.title, d.sha256, d.media_type, d.metadata, d.created, d.updated, d.chunks FROM document d";

impl VectorDb {
    /// Lists documents. Refuses a filter on `page`, because a document has many pages.
    pub fn documents(&self, query: &DocumentQuery<'_>) -> Result<DocumentPage> {
        let mut values = Vec::new();
        let passing = match query.filter {
            None => "1".to_string(),
            Some(filter) => filter.condition_on_documents(&mut values)?,
        };
        let shown = self.hidden.documents("d.id");
        let passing = if shown.is_empty() { passing } else { format!("({passing}) AND {shown}") };
        self.read("list the documents of", |tx| {
            let counted = format!("SELECT count(*) FROM document d WHERE {passing}");
            let total: i64 = tx.query_row(&counted, rusqlite::params_from_iter(values.clone()), |row| row.get(0))?;
            let (limit, offset) = (values.len() + 1, values.len() + 2);
            let sql =
                format!("SELECT {COLUMNS} WHERE {passing} ORDER BY d.source, d.uri LIMIT ?{limit} OFFSET ?{offset}");
            values.extend([query.limit, query.offset].map(|it| Value::Integer(i64::try_from(it).unwrap_or(i64::MAX))));
            let mut statement = tx.prepare_cached(&sql)?;
            let rows = statement.query_map(rusqlite::params_from_iter(values), document)?;
            Ok(DocumentPage { documents: rows.collect::<rusqlite::Result<_>>()?, total: total as u64 })
        })
    }

    pub fn document(&self, source: &str, uri: &str) -> Result<Option<Document>> {
        let sql = format!("SELECT {COLUMNS} WHERE d.source = ?1 AND d.uri = ?2");
        self.read("look up a document of", |tx| tx.prepare_cached(&sql)?.query_row([source, uri], document).optional())
    }

    /// The URI and content hash of every document of a source, for a sync to compare with what it finds.
    pub fn hashes(&self, source: &str) -> Result<HashMap<String, ArtifactHash>> {
        self.read("list the documents of", |tx| {
            let mut statement = tx.prepare_cached("SELECT uri, sha256 FROM document WHERE source = ?1")?;
            let rows = statement.query_map([source], |row| Ok((row.get(0)?, ArtifactHash(row.get(1)?))))?;
            rows.collect()
        })
    }

    /// The newest run of this engine that stored a document in this database. Reads one row per document.
    pub fn newest_run(&self, engine: &str) -> Result<Option<i64>> {
        if self.schema() < 2 {
            return Ok(None);
        }
        let sql = "SELECT max(run) FROM version WHERE engine = ?1";
        self.read("read the versions of", |tx| tx.query_row(sql, [engine], |row| row.get(0)))
    }

    /// Hides documents from every search and list of this connection. They are deleted, but not removed yet. Returns
    /// how many of them are in this database.
    pub fn hide(&mut self, gone: &[Removal<'_>]) -> Result<usize> {
        let versioned = self.schema() > 1;
        let hidden = self.read("look up documents of", |tx| {
            let mut hidden = Vec::new();
            for it in gone {
                hidden.extend(removable(tx, it, versioned)?);
            }
            Ok(hidden)
        })?;
        self.hidden = Hidden(hidden);
        Ok(self.hidden.0.len())
    }

    /// Removes a document with its chunks, words and vectors. Returns false if there was none.
    #[cfg(any(test, feature = "internals"))]
    pub fn remove_document(&mut self, epoch: Epoch, source: &str, uri: &str) -> Result<bool> {
        Ok(self.remove_documents(epoch, &[Removal { source, uri, until: None }])? == 1)
    }

    /// Removes documents in several transactions, and returns how many there were.
    ///
    /// If it fails in the middle, the documents removed so far stay removed; calling it again continues.
    pub fn remove_documents(&mut self, epoch: Epoch, documents: &[Removal<'_>]) -> Result<usize> {
        let mut removed = 0;
        for slice in documents.chunks(REMOVED_AT_ONCE) {
            removed += self.write(epoch, "remove documents from", |tx| {
                let mut gone = 0;
                for it in slice {
                    if let Some(id) = removable(tx, it, true)? {
                        remove_chunks(tx, id)?;
                        remove_row(tx, id)?;
                        gone += 1;
                    }
                }
                Ok(gone)
            })?;
        }
        Ok(removed)
    }
}

/// The id of a document to remove. `None` if it is not in the database or a later run has stored it.
fn removable(tx: &Connection, it: &Removal<'_>, versioned: bool) -> rusqlite::Result<Option<i64>> {
    let Some(until) = it.until.filter(|_| versioned) else {
        let sql = "SELECT id FROM document WHERE source = ?1 AND uri = ?2";
        return tx.prepare_cached(sql)?.query_row([it.source, it.uri], |row| row.get(0)).optional();
    };
    tx.prepare_cached(
        "SELECT d.id FROM document d LEFT JOIN version v ON v.document = d.id
          WHERE d.source = ?1 AND d.uri = ?2 AND (v.engine IS NOT ?3 OR v.run <= ?4)",
    )?
    .query_row((it.source, it.uri, until.engine, until.run), |row| row.get(0))
    .optional()
}

/// The run of the same engine that stored the document, if that run is newer.
pub(super) fn newer(tx: &Connection, source: &str, uri: &str, by: &Origin<'_>) -> rusqlite::Result<Option<i64>> {
    tx.prepare_cached(
        "SELECT v.run FROM document d JOIN version v ON v.document = d.id
          WHERE d.source = ?1 AND d.uri = ?2 AND v.engine = ?3 AND v.run > ?4",
    )?
    .query_row((source, uri, by.engine, by.run), |row| row.get(0))
    .optional()
}

pub(super) fn note_origin(tx: &Connection, document: i64, by: Option<&Origin<'_>>) -> rusqlite::Result<()> {
    match by {
        Some(by) => tx
            .prepare_cached(
                "INSERT INTO version (document, engine, run) VALUES (?1, ?2, ?3)
                 ON CONFLICT (document) DO UPDATE SET engine = excluded.engine, run = excluded.run",
            )?
            .execute((document, by.engine, by.run)),
        None => tx.prepare_cached("DELETE FROM version WHERE document = ?1")?.execute([document]),
    }
    .map(drop)
}

/// Removes the row of a document. Remove its chunks first.
pub(super) fn remove_row(tx: &Connection, document: i64) -> rusqlite::Result<()> {
    tx.prepare_cached("DELETE FROM version WHERE document = ?1")?.execute([document])?;
    tx.prepare_cached("DELETE FROM document WHERE id = ?1")?.execute([document])?;
    Ok(())
}

/// Removes all chunks of a document from the four tables.
pub(super) fn remove_chunks(tx: &Transaction<'_>, document: i64) -> rusqlite::Result<()> {
    for sql in [
        "DELETE FROM linked WHERE chunk IN (SELECT id FROM chunk WHERE document = ?1)",
        "DELETE FROM chunk_text WHERE rowid IN (SELECT id FROM chunk WHERE document = ?1)",
        "DELETE FROM vector WHERE chunk IN (SELECT id FROM chunk WHERE document = ?1)",
        "DELETE FROM chunk WHERE document = ?1",
    ] {
        tx.prepare_cached(sql)?.execute([document])?;
    }
    Ok(())
}

fn document(row: &Row<'_>) -> rusqlite::Result<Document> {
    let metadata: String = row.get(5)?;
    Ok(Document {
        source: row.get(0)?,
        uri: row.get(1)?,
        title: row.get(2)?,
        sha256: ArtifactHash(row.get(3)?),
        media_type: row.get(4)?,
        metadata: serde_json::from_str(&metadata)
            .map_err(|error| rusqlite::Error::FromSqlConversionFailure(5, rusqlite::types::Type::Text, error.into()))?,
        created: Timestamp(row.get(6)?),
        updated: Timestamp(row.get(7)?),
        chunks: row.get::<_, i64>(8)? as u64,
    })
}
