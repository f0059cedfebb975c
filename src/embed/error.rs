//! What can go wrong while embedding.

#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    #[error("no embedder is called `{name}`")]
    Unknown { name: String },
    #[error("the built-in table of the static embedder is damaged: {detail}")]
    Table { detail: String },
}

impl Error {
    /// Tells the user what to do next, where we know.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Error::Unknown { .. } => {
                Some("use `static` (built in, the default) or `hash` (no table, for small devices)")
            }
            Error::Table { .. } => Some("this binary is broken: install windlass again"),
        }
    }
}
