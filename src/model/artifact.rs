//! Artifacts: content-addressed files.

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::{fmt, str::FromStr};

/// The types of artifacts, which the compression levels refer to: uploaded documents, the Markdown parsed from them,
/// the JSON of its structure and chunks, vectors, and the files that commands and workers leave.
pub mod kind {
    pub const DOCUMENT: &str = "document";
    pub const MARKDOWN: &str = "markdown";
    pub const JSON: &str = "json";
    pub const EMBEDDINGS: &str = "embeddings";
    pub const OUTPUT: &str = "output";
    pub const ALL: [&str; 5] = [DOCUMENT, MARKDOWN, JSON, EMBEDDINGS, OUTPUT];
}

/// SHA-256 of the plain (uncompressed) bytes. Prints as 64 hex digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ArtifactHash(pub [u8; 32]);

impl fmt::Display for ArtifactHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for ArtifactHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ArtifactHash({self})")
    }
}

impl FromStr for ArtifactHash {
    type Err = String;

    fn from_str(text: &str) -> Result<ArtifactHash, String> {
        let mut bytes = [0; 32];
        hex::decode_to_slice(text, &mut bytes).map_err(|_| format!("`{text}` is not a SHA-256 in 64 hex digits"))?;
        Ok(ArtifactHash(bytes))
    }
}

impl Serialize for ArtifactHash {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for ArtifactHash {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<ArtifactHash, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

/// A stored artifact: its hash, its plain size and its size on disk, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct ArtifactRef {
    pub hash: ArtifactHash,
    pub size: u64,
    pub stored: u64,
}
