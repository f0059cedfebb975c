//! Tables `document_uri`, `content` and `uri_history`: documents that were passed to the engine as bytes.

use crate::model::{ArtifactHash, ArtifactRef, Timestamp};
use crate::store::{
    artifact, document_batch,
    error::{Error, Result},
    params::params,
    row::Row,
    tx::{ReadTx, WriteTx},
};

/// A document: its place in its source, and its current content.
#[derive(Debug, Clone, PartialEq)]
pub struct DocumentUri {
    pub id: i64,
    pub source: String,
    pub uri: String,
    pub sha256: ArtifactHash,
    /// Increases with each change of the content, from 1.
    pub version: i64,
    pub batch: Option<i64>,
    /// The file name that helps to detect the type.
    pub name: String,
    /// The source's identifier of this version.
    pub etag: Option<String>,
    /// A JSON object.
    pub metadata: serde_json::Value,
    /// The size of the content, in bytes.
    pub size: u64,
    pub media_type: String,
    pub updated: Timestamp,
}

/// A new document. Its bytes are already an artifact, and the caller holds its guard.
#[derive(Debug, Clone)]
pub struct NewDocument {
    pub source: String,
    pub uri: String,
    pub file: ArtifactRef,
    pub media_type: String,
    /// Also implies the type.
    pub name: String,
    /// Whether the caller specified the type. If not, unchanged content keeps its current name.
    pub type_said: bool,
    /// If `None`, unchanged content keeps its current value. The same goes for the metadata.
    pub etag: Option<String>,
    pub metadata: Option<serde_json::Value>,
    /// `None`: it belongs to no batch.
    pub batch: Option<i64>,
}

/// Stores a document. A known document keeps its id and, if it has one, its batch. Different content increases its
/// version.
pub fn put(tx: &WriteTx, new: &NewDocument) -> Result<DocumentUri> {
    if let Some(batch) = new.batch
        && !document_batch::exists(tx, batch)?
    {
        return Err(Error::not_found(format!("batch {batch}")));
    }
    put_content(tx, new)?;
    let known = find(tx, &new.source, &new.uri)?;
    let (id, version, action) = match &known {
        None => (insert(tx, new)?, 1, Some("create")),
        Some(known) if known.sha256 == new.file.hash => (known.id, known.version, None),
        Some(known) => (known.id, known.version + 1, Some("update")),
    };
    if known.is_some() {
        tx.execute(
            "UPDATE document_uri SET sha256 = ?2, version = ?3, name = CASE WHEN sha256 = ?2 AND NOT ?9 THEN name ELSE ?4 END,
                    etag = coalesce(?5, CASE WHEN sha256 = ?2 THEN etag END),
                    metadata = coalesce(?6, CASE WHEN sha256 = ?2 THEN metadata ELSE '{}' END), updated = ?7,
                    batch_id = coalesce(batch_id, ?8) WHERE id = ?1",
            params![
                id,
                new.file.hash.0,
                version,
                new.name,
                new.etag,
                new.metadata.as_ref().map(ToString::to_string),
                tx.now().0,
                new.batch,
                new.type_said
            ],
        )?;
    }
    if let Some(action) = action {
        tx.execute(
            "INSERT INTO uri_history(uri_id, version, sha256, action, batch_id, at) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
            params![id, version, new.file.hash.0, action, new.batch, tx.now().0],
        )?;
        if let Some(batch) = known.map_or(new.batch, |it| it.batch) {
            document_batch::touch(tx, batch)?;
        }
    }
    find(tx, &new.source, &new.uri)?.ok_or_else(|| Error::not_found(&new.uri))
}

fn put_content(tx: &WriteTx, new: &NewDocument) -> Result<()> {
    let artifact = artifact::intern(tx, &new.file)?;
    tx.execute(
        "INSERT INTO content(sha256, artifact_id, size, media_type, created) VALUES (?1, ?2, ?3, ?4, ?5)
         ON CONFLICT(sha256) DO NOTHING",
        params![new.file.hash.0, artifact.0, new.file.size as i64, new.media_type, tx.now().0],
    )?;
    Ok(())
}

fn insert(tx: &WriteTx, new: &NewDocument) -> Result<i64> {
    tx.insert(
        "INSERT INTO document_uri(source, uri, sha256, batch_id, name, etag, metadata, updated)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, coalesce(?7, '{}'), ?8) RETURNING id",
        params![
            new.source,
            new.uri,
            new.file.hash.0,
            new.batch,
            new.name,
            new.etag,
            new.metadata.as_ref().map(ToString::to_string),
            tx.now().0
        ],
    )
}

const COLUMNS: &str = "u.id, u.source, u.uri, u.sha256, u.version, u.batch_id, u.name, u.etag, u.metadata, c.size,
    c.media_type, u.updated FROM document_uri u JOIN content c ON c.sha256 = u.sha256";

fn read(row: &Row) -> Result<DocumentUri> {
    Ok(DocumentUri {
        id: row.get(0)?,
        source: row.get(1)?,
        uri: row.get(2)?,
        sha256: ArtifactHash(row.get(3)?),
        version: row.get(4)?,
        batch: row.get(5)?,
        name: row.get(6)?,
        etag: row.get(7)?,
        metadata: serde_json::from_str(&row.get::<String>(8)?).unwrap_or_default(),
        size: row.get::<i64>(9)? as u64,
        media_type: row.get(10)?,
        updated: Timestamp(row.get(11)?),
    })
}

pub fn find(tx: &ReadTx, source: &str, uri: &str) -> Result<Option<DocumentUri>> {
    tx.row(&format!("SELECT {COLUMNS} WHERE u.source = ?1 AND u.uri = ?2"), [source, uri], read)
}

/// Documents of a source by URI, after the URI `after`.
pub fn of_source(tx: &ReadTx, source: &str, after: &str, limit: usize) -> Result<Vec<DocumentUri>> {
    let sql = format!("SELECT {COLUMNS} WHERE u.source = ?1 AND u.uri > ?2 ORDER BY u.uri LIMIT ?3");
    tx.rows(&sql, params![source, after, limit as i64], read)
}

/// Documents of a batch, by content, after (content, id).
pub fn of_batch(tx: &ReadTx, batch: i64, after: Option<(ArtifactHash, i64)>, limit: usize) -> Result<Vec<DocumentUri>> {
    let sql = format!(
        "SELECT {COLUMNS} WHERE u.batch_id = ?1 AND (u.sha256, u.id) > (?2, ?3) ORDER BY u.sha256, u.id LIMIT ?4"
    );
    let (hash, id) = after.map_or((Vec::new(), 0), |it| (it.0.0.to_vec(), it.1));
    tx.rows(&sql, params![batch, hash, id, limit as i64], read)
}

/// The documents that currently have this content, oldest first, at most 1,000.
pub fn of_content(tx: &ReadTx, sha256: &ArtifactHash) -> Result<Vec<DocumentUri>> {
    tx.rows(&format!("SELECT {COLUMNS} WHERE u.sha256 = ?1 ORDER BY u.id LIMIT 1000"), [sha256.0], read)
}

/// The size in bytes and media type of a content; `None` if the engine does not have it.
pub fn content(tx: &ReadTx, sha256: &ArtifactHash) -> Result<Option<(u64, String)>> {
    tx.row("SELECT size, media_type FROM content WHERE sha256 = ?1", [sha256.0], |row| {
        Ok((row.get::<i64>(0)? as u64, row.get(1)?))
    })
}

/// Records the sources' identifiers for the current versions: (uri, etag), at most 1,000 per call.
pub fn set_etags(tx: &WriteTx, source: &str, etags: &[(String, String)]) -> Result<()> {
    for (uri, etag) in etags {
        tx.execute("UPDATE document_uri SET etag = ?3 WHERE source = ?1 AND uri = ?2", params![source, uri, etag])?;
    }
    Ok(())
}
