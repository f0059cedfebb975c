//! Text to vectors: the built-in static table, feature hashing, and models behind a server.
//!
//! Owns: the [`Embedder`] trait, the embedders that come with the program, and the client of OpenAI-compatible servers.
//! May import: `model`, `os`, `settings`. Never: stores a text, a vector or a key.

mod error;
mod hash;
mod key;
mod served;
mod static_table;
mod wordpiece;

pub use error::Error;
pub use hash::HashEmbedder;
pub use key::{Keys, keys, pair, paired, use_keys};
pub use served::Server;
pub use static_table::StaticEmbedder;

use std::sync::Arc;

/// What this room returns.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Turns texts into vectors whose dot product says how close two texts are in meaning.
pub trait Embedder: Send + Sync {
    /// A name with a version, such as `static:v1`. A database records it, as vectors of two embedders can't be compared.
    fn id(&self) -> &str;

    /// The length of a vector. None: only the server knows; its vectors will show it.
    fn dimension(&self) -> Option<usize>;

    /// Where the model is served. None: it is built in.
    fn server(&self) -> Option<&Server> {
        None
    }

    /// The least cosine at which a passage that has none of these words of a query is an answer rather than chance. 1: none
    /// is, as the embedder knows none of the words. None: not known.
    fn floor(&self, _words: &str) -> Option<f64> {
        None
    }

    /// One vector for each text, L2-normalised; all zeros for a text without a word that the embedder knows.
    fn embed(&self, texts: &[&str]) -> Result<Vec<Vec<f32>>>;
}

/// Finds a built-in embedder, either by its short name (`static`, `hash`) or by the id that a database recorded.
pub fn by_name(name: &str) -> Result<Arc<dyn Embedder>> {
    match name {
        "static" | static_table::ID => Ok(Arc::new(StaticEmbedder)),
        "hash" | hash::ID => Ok(Arc::new(HashEmbedder)),
        _ => Err(Error::Unknown { name: name.to_string() }),
    }
}

/// A model behind a server. Vectors of another length than `dimension` are refused, where that is known.
pub fn served(server: Server, dimension: Option<usize>) -> Result<Arc<dyn Embedder>> {
    Ok(Arc::new(served::ServedEmbedder::new(server, dimension)?))
}

/// The model of a server that made the vectors of a database, by the id that the database recorded. None: a built-in one.
pub fn served_model(id: &str) -> Option<&str> {
    id.strip_prefix(served::PREFIX)
}

/// Scales to length 1; leaves zero alone.
fn normalise(vector: &mut [f32]) {
    let length = vector.iter().map(|it| it * it).sum::<f32>().sqrt();
    if length > 0.0 {
        vector.iter_mut().for_each(|it| *it /= length);
    }
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
