//! What every embedder can do.

use super::{Result, Server};

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

/// Scales to length 1; leaves zero alone.
pub(super) fn normalise(vector: &mut [f32]) {
    let length = vector.iter().map(|it| it * it).sum::<f32>().sqrt();
    if length > 0.0 {
        vector.iter_mut().for_each(|it| *it /= length);
    }
}
