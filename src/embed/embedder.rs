//! The interface of all embedders.

use super::{Result, Server};

/// Turns texts into vectors. The dot product of two vectors measures how close the texts are in meaning.
pub trait Embedder: Send + Sync {
    /// A name with a version, such as `static:v1`. Databases record it, because vectors of different embedders can't be
    /// compared.
    fn id(&self) -> &str;

    /// The length of a vector. `None` if only the server knows it.
    fn dimension(&self) -> Option<usize>;

    /// Where the model is served. `None` if it is built in.
    fn server(&self) -> Option<&Server> {
        None
    }

    /// The minimum cosine at which a passage that contains none of these query words counts as an answer and not as
    /// chance. 1 if no passage does, because the embedder knows none of the words. `None` if unknown.
    fn floor(&self, _words: &str) -> Option<f64> {
        None
    }

    /// Returns one vector per text, L2-normalised. It is all zeros if the embedder knows no word of the text.
    fn embed(&self, texts: &[&str]) -> Result<Vec<Vec<f32>>>;
}

/// Scales a vector to length 1. A zero vector is unchanged.
pub(super) fn normalise(vector: &mut [f32]) {
    let length = vector.iter().map(|it| it * it).sum::<f32>().sqrt();
    if length > 0.0 {
        vector.iter_mut().for_each(|it| *it /= length);
    }
}
