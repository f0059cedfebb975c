//! Looks up stored chunks.

use super::{Error, Result, VectorDb, connection};
use crate::model::Chunk;
use rusqlite::{OptionalExtension, Row};
use serde::Serialize;
use sha2::{Digest, Sha256};

/// A row id in `chunk`; never reused in one database.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct ChunkId(pub i64);

/// A chunk with its score; a higher score is better.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Scored {
    pub chunk: ChunkId,
    pub score: f64,
}

/// The first 128 bits of the SHA-256 of a text, in the form in which it was embedded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct TextHash(pub [u8; 16]);

impl TextHash {
    pub fn of(text: &str) -> TextHash {
        let digest = Sha256::digest(text.as_bytes());
        let mut half = [0; 16];
        half.copy_from_slice(&digest[..16]);
        TextHash(half)
    }
}

/// A chunk and its document.
#[derive(Debug, Clone, PartialEq)]
pub struct FoundChunk {
    pub id: ChunkId,
    /// Its number within the document, from 0.
    pub no: u32,
    pub chunk: Chunk,
    pub source: String,
    pub uri: String,
    pub title: Option<String>,
    pub media_type: String,
}

impl VectorDb {
    /// Fetches chunks in the requested order. Omits chunks that have been replaced in the meantime.
    pub fn fetch(&self, chunks: &[ChunkId]) -> Result<Vec<FoundChunk>> {
        const OLD: &str = "SELECT c.id, c.no, c.text, c.headings, c.page, c.range_start, c.range_end, c.tokens,
                        d.source, d.uri, d.title, d.media_type, 0
                 FROM chunk c JOIN document d ON d.id = c.document WHERE c.id = ?1";
        const NEW: &str = "SELECT c.id, c.no, c.text, c.headings, c.page, c.range_start, c.range_end, c.tokens,
                        d.source, d.uri, d.title, d.media_type, ifnull(l.share, 0)
                 FROM chunk c JOIN document d ON d.id = c.document LEFT JOIN linked l ON l.chunk = c.id
                 WHERE c.id = ?1";
        self.read("read chunks of", |tx| {
            let mut statement = tx.prepare_cached(if self.schema() < 3 { OLD } else { NEW })?;
            let mut found = Vec::with_capacity(chunks.len());
            for chunk in chunks {
                found.extend(statement.query_row([chunk.0], found_chunk).optional()?);
            }
            Ok(found)
        })
    }

    /// The embedding cache: for each hash, the vector of a stored chunk with the same embedded text, if any.
    pub fn vectors_for(&self, hashes: &[TextHash]) -> Result<Vec<Option<Vec<f32>>>> {
        self.read("look up embeddings in", |tx| {
            let mut statement = tx.prepare_cached(
                "SELECT v.value FROM chunk c JOIN vector v ON v.chunk = c.id WHERE c.text_hash = ?1 LIMIT 1",
            )?;
            let mut vectors = Vec::with_capacity(hashes.len());
            for hash in hashes {
                let vector = statement.query_row([&hash.0[..]], |row| {
                    let mut numbers = Vec::new();
                    connection::read_into(&mut numbers, row.get_ref(0)?.as_blob()?);
                    Ok(numbers)
                });
                vectors.push(vector.optional()?);
            }
            Ok(vectors)
        })
    }

    /// Refuses a vector that does not fit this database.
    pub(super) fn accept(&self, vector: &[f32]) -> Result<()> {
        if vector.len() != self.dimension() {
            return Err(Error::Dimension { expected: self.dimension(), got: vector.len() });
        }
        match vector.iter().all(|it| it.is_finite()) {
            true => Ok(()),
            false => Err(Error::NotFinite),
        }
    }
}

fn found_chunk(row: &Row<'_>) -> rusqlite::Result<FoundChunk> {
    let headings: String = row.get(3)?;
    let range = row.get::<_, i64>(5)? as usize..row.get::<_, i64>(6)? as usize;
    Ok(FoundChunk {
        id: ChunkId(row.get(0)?),
        no: row.get(1)?,
        chunk: Chunk {
            text: row.get(2)?,
            headings: serde_json::from_str(&headings).map_err(|error| {
                rusqlite::Error::FromSqlConversionFailure(3, rusqlite::types::Type::Text, error.into())
            })?,
            page: row.get(4)?,
            range,
            tokens: row.get(7)?,
            linked: row.get(12)?,
        },
        source: row.get(8)?,
        uri: row.get(9)?,
        title: row.get(10)?,
        media_type: row.get(11)?,
    })
}
