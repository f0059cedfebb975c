//! The built-in embedders, by name.

use super::{Embedder, Error, HashEmbedder, Result, StaticEmbedder, hash, static_table};
use std::sync::Arc;

/// Finds a built-in embedder by its short name (`static`, `hash`) or by the id recorded in a database.
pub fn by_name(name: &str) -> Result<Arc<dyn Embedder>> {
    match name {
        "static" | static_table::ID => Ok(Arc::new(StaticEmbedder)),
        "hash" | hash::ID => Ok(Arc::new(HashEmbedder)),
        _ => Err(Error::Unknown { name: name.to_string() }),
    }
}
