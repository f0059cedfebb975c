//! Stores one document, as a whole.

use super::{DocumentRow, Epoch, Origin, Result, TextHash, VectorDb, connection, document, text::spread};
use crate::model::Chunk;
use rusqlite::Transaction;

/// With a smaller share of links a chunk is text, of which nothing is kept.
const LINKED_MIN: u8 = 50;

/// A chunk to store.
#[derive(Debug, Clone, Copy)]
pub struct ChunkRow<'a> {
    pub chunk: &'a Chunk,
    /// The hash of the embedded text, so that the same text need not be embedded again.
    pub text_hash: TextHash,
    /// L2-normalised. Its length is the database's dimension.
    pub vector: &'a [f32],
}

/// The result of storing a document.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stored {
    Yes,
    /// This newer run of the same engine had already stored it.
    Superseded(i64),
}

impl VectorDb {
    /// Replaces a document and all of its chunks in one transaction: a reader sees the old or the new document, never a
    /// mixture.
    ///
    /// A document without chunks is stored too, so that a sync knows it. Returns [`Error::Dimension`] before writing
    /// anything, and [`Error::Fenced`] if another writer took over.
    #[cfg(any(test, feature = "internals"))]
    pub fn replace_document(&mut self, epoch: Epoch, row: &DocumentRow<'_>, chunks: &[ChunkRow<'_>]) -> Result<()> {
        self.replace(epoch, row, chunks, None).map(drop)
    }

    /// Like `replace_document`, on behalf of a run: the document of a newer run of the same engine is kept. The
    /// comparison is part of the transaction.
    pub fn replace_document_from(
        &mut self,
        epoch: Epoch,
        origin: &Origin<'_>,
        row: &DocumentRow<'_>,
        chunks: &[ChunkRow<'_>],
    ) -> Result<Stored> {
        self.replace(epoch, row, chunks, Some(origin))
    }

    fn replace(
        &mut self,
        epoch: Epoch,
        row: &DocumentRow<'_>,
        chunks: &[ChunkRow<'_>],
        origin: Option<&Origin<'_>>,
    ) -> Result<Stored> {
        for chunk in chunks {
            self.accept(chunk.vector)?;
        }
        self.write(epoch, "store a document in", |tx| {
            if let Some(origin) = origin
                && let Some(newer) = document::newer(tx, row.source, row.uri, origin)?
            {
                return Ok(Stored::Superseded(newer));
            }
            let id = upsert(tx, row, chunks.len())?;
            document::note_origin(tx, id, origin)?;
            document::remove_chunks(tx, id)?;
            for (no, chunk) in chunks.iter().enumerate() {
                insert(tx, id, no, row.title, chunk)?;
            }
            Ok(Stored::Yes)
        })
    }
}

fn upsert(tx: &Transaction<'_>, row: &DocumentRow<'_>, chunks: usize) -> rusqlite::Result<i64> {
    let mut statement = tx.prepare_cached(
        "INSERT INTO document (source, uri, title, sha256, media_type, created, updated, metadata, chunks)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?6, ?7, ?8)
         ON CONFLICT (source, uri) DO UPDATE SET title = excluded.title, sha256 = excluded.sha256,
             media_type = excluded.media_type, updated = excluded.updated, metadata = excluded.metadata,
             chunks = excluded.chunks
         RETURNING id",
    )?;
    let metadata = row.metadata.to_string();
    let values =
        (row.source, row.uri, row.title, &row.sha256.0[..], row.media_type, row.now.0, metadata, chunks as i64);
    statement.query_row(values, |it| it.get(0))
}

fn insert(
    tx: &Transaction<'_>,
    document: i64,
    no: usize,
    title: Option<&str>,
    row: &ChunkRow<'_>,
) -> rusqlite::Result<()> {
    let chunk = row.chunk;
    let headings = serde_json::Value::from(chunk.headings.clone()).to_string();
    tx.prepare_cached(
        "INSERT INTO chunk (document, no, text, headings, page, range_start, range_end, tokens, text_hash)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
    )?
    .execute((
        document,
        no as i64,
        &chunk.text,
        headings,
        chunk.page,
        chunk.range.start as i64,
        chunk.range.end as i64,
        chunk.tokens,
        &row.text_hash.0[..],
    ))?;
    let id = tx.last_insert_rowid();
    tx.prepare_cached("INSERT INTO vector (chunk, value) VALUES (?1, ?2)")?
        .execute((id, connection::to_blob(row.vector)))?;
    if chunk.linked >= LINKED_MIN {
        tx.prepare_cached("INSERT INTO linked (chunk, share) VALUES (?1, ?2)")?.execute((id, chunk.linked))?;
    }
    let headings = chunk.headings.join("\n");
    tx.prepare_cached("INSERT INTO chunk_text (rowid, title, headings, text) VALUES (?1, ?2, ?3, ?4)")?.execute((
        id,
        title.map(spread),
        spread(&headings),
        spread(&chunk.text),
    ))?;
    Ok(())
}
