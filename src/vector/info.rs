//! Reports the state of a vector database.

use super::{Error, Result, VectorDb};
use serde::Serialize;
use std::{fs, path::PathBuf};

#[derive(Debug, Clone, PartialEq, Serialize, utoipa::ToSchema)]
pub struct Info {
    #[schema(value_type = String)]
    pub path: PathBuf,
    pub schema_version: i64,
    pub embedder: String,
    pub dimension: usize,
    /// Where the model is served: `url`, `model`, and the name of its API key. Null if it is built in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub server: Option<serde_json::Value>,
    pub chunk_params: serde_json::Value,
    /// How often a new writer has taken over.
    pub epoch: i64,
    pub documents: u64,
    pub chunks: u64,
    /// The total of all chunks, as counted by the chunker.
    pub tokens: u64,
    /// The number of documents of each source, by name.
    pub sources: Vec<(String, u64)>,
    /// The size of the file and its write-ahead log.
    pub bytes: u64,
    /// The minimum space that a vacuum would free.
    pub free_bytes: u64,
}

impl VectorDb {
    pub fn info(&self) -> Result<Info> {
        let server = self.server()?;
        let shown = self.hidden.documents("id");
        let shown = if shown.is_empty() { shown } else { format!("WHERE {shown}") };
        let read = self.read("read the state of", |tx| {
            let count = |sql: &str| tx.query_row(sql, [], |row| row.get::<_, i64>(0)).map(|it| it as u64);
            let (chunk_params, epoch) = tx.query_row("SELECT chunk_params, epoch FROM meta", [], |row| {
                Ok((row.get::<_, String>(0)?, row.get(1)?))
            })?;
            let mut statement = tx.prepare("SELECT source, count(*) FROM document GROUP BY source ORDER BY source")?;
            let sources = statement.query_map([], |row| Ok((row.get(0)?, row.get::<_, i64>(1)? as u64)))?;
            Ok(Info {
                path: self.path().to_path_buf(),
                schema_version: self.schema(),
                embedder: self.embedder().to_string(),
                dimension: self.dimension(),
                server,
                chunk_params: serde_json::from_str(&chunk_params).unwrap_or_default(),
                epoch,
                documents: count(&format!("SELECT count(*) FROM document {shown}"))?,
                chunks: count("SELECT count(*) FROM chunk")?,
                tokens: count("SELECT coalesce(sum(tokens), 0) FROM chunk")?,
                sources: sources.collect::<rusqlite::Result<_>>()?,
                bytes: 0,
                free_bytes: count(
                    "SELECT freelist_count * page_size FROM pragma_freelist_count(), pragma_page_size()",
                )?,
            })
        })?;
        Ok(Info { bytes: self.bytes()?, ..read })
    }

    /// The size of the file and its write-ahead log, in bytes.
    pub(super) fn bytes(&self) -> Result<u64> {
        let mut log = self.path().as_os_str().to_owned();
        log.push("-wal");
        let file = fs::metadata(self.path()).map_err(|source| Error::Io {
            action: "measure",
            path: self.path().to_path_buf(),
            source,
        })?;
        Ok(file.len() + fs::metadata(log).map_or(0, |it| it.len()))
    }
}
