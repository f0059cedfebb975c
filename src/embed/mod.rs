//! Turns text into vectors: the built-in static table, feature hashing, and models behind a server.
//!
//! Owns: the [`Embedder`] trait, the built-in embedders, and the client of OpenAI-compatible servers. May import:
//! `model`, `os`, `settings`. Never: stores a text, a vector or a key.

mod builtin;
mod embedder;
mod error;
mod hash;
mod key;
mod served;
mod server;
mod static_table;
mod wordpiece;

pub use builtin::by_name;
pub use embedder::Embedder;
pub use error::{Error, Result};
pub use hash::HashEmbedder;
pub use key::{Keys, keys, pair, paired, use_keys};
pub use server::Server;
pub use static_table::StaticEmbedder;

use std::sync::Arc;

/// A model behind a server. With a `dimension`, vectors of any other length are refused.
pub fn served(server: Server, dimension: Option<usize>) -> Result<Arc<dyn Embedder>> {
    Ok(Arc::new(served::ServedEmbedder::new(server, dimension)?))
}

/// The name of the served model that made the vectors of a database, from the recorded id. `None` for a built-in
/// embedder.
pub fn served_model(id: &str) -> Option<&str> {
    id.strip_prefix(served::PREFIX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn embedders_are_found_by_name_and_by_recorded_id() {
        for (name, id) in [("static", "static:v1"), ("hash", "hash:v1"), ("static:v1", "static:v1")] {
            assert_eq!(by_name(name).unwrap().id(), id);
        }
        assert!(by_name("stat").err().unwrap().hint().unwrap().contains("static"));
    }

    proptest! {
        #[test]
        fn every_vector_is_as_long_as_promised_and_normalised(text in "\\PC{0,80}") {
            for name in ["static", "hash"] {
                let embedder = by_name(name).unwrap();
                let vector = embedder.embed(&[&text]).unwrap().remove(0);
                prop_assert_eq!(Some(vector.len()), embedder.dimension());
                let length: f32 = vector.iter().map(|it| it * it).sum();
                prop_assert!(length == 0.0 || (length - 1.0).abs() < 1e-4, "{} {}", name, length);
            }
        }
    }
}
