//! Query and ranking over a vector database.
//!
//! Owns: what a query's words are, how the two rankings become one, and the passage that a hit shows.
//! May import: everything on the floors below. Never: writes.

mod error;
mod fuse;
mod passage;
mod terms;

pub use error::Error;
pub use passage::Passage;

use crate::{
    embed::Embedder,
    vector::{ChunkId, Filter, FoundChunk, Scored, VectorDb, marks},
};
use serde::{Deserialize, Serialize};
use std::ops::Range;

/// What this room returns.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// How chunks are found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// By words and by meaning, fused.
    #[default]
    Hybrid,
    /// By words: BM25.
    Text,
    /// By meaning: nearest vectors.
    Vector,
}

impl std::str::FromStr for Mode {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Mode, String> {
        match text {
            "hybrid" => Ok(Mode::Hybrid),
            "text" => Ok(Mode::Text),
            "vector" => Ok(Mode::Vector),
            _ => Err(format!("`{text}` is not a mode of search; use one of hybrid, text, vector")),
        }
    }
}

#[derive(Debug, Clone, PartialEq)]
pub struct Query {
    /// As the user wrote it; no character in it has a special meaning.
    pub text: String,
    /// How many hits are wanted at most.
    pub k: usize,
    pub mode: Mode,
    pub filter: Option<Filter>,
    /// For mode `hybrid`: what vectors count against words, from 0 to 1. None is what suits the embedder.
    pub weight: Option<f64>,
    /// Whether a hit shows its whole chunk, not only the part that matches best.
    pub whole: bool,
}

impl Query {
    /// The ten best by words and by meaning.
    pub fn new(text: impl Into<String>) -> Query {
        Query { text: text.into(), k: 10, mode: Mode::Hybrid, filter: None, weight: None, whole: false }
    }
}

/// One chunk that was found. Its fields in JSON are promises.
#[derive(Debug, Clone, PartialEq, Serialize, utoipa::ToSchema)]
pub struct Hit {
    /// The higher the better; comparable within one search only. Fused (0 to 1), BM25, or the cosine, after the mode.
    pub score: f64,
    pub source: String,
    pub uri: String,
    pub title: Option<String>,
    pub media_type: String,
    /// The headings above the chunk, outermost first.
    pub headings: Vec<String>,
    /// Counted from 1.
    pub page: Option<u32>,
    /// Which chunk of its document, counted from 0.
    pub chunk: u32,
    /// Where the chunk stands in the parsed Markdown, in bytes.
    #[schema(value_type = std::collections::BTreeMap<String, usize>)]
    pub range: Range<usize>,
    #[serde(flatten)]
    pub passage: Passage,
}

/// More than this can't be asked for at once.
pub const HITS_MAX: usize = 1000;

/// Finds the chunks that answer `query` best, best first.
///
/// A query of words that occur nowhere finds nothing in mode `text`; mode `vector` and `hybrid` always find the nearest.
/// Fails with [`Error::Embedder`] when `embedder` is not the one that the database was made with.
pub fn search(db: &VectorDb, embedder: &dyn Embedder, query: &Query) -> Result<Vec<Hit>> {
    let k = query.k.min(HITS_MAX);
    let words = terms::text_query(&query.text);
    let depth = fuse::depth(k);
    let filter = query.filter.as_ref();
    // What was ranked is still there to be fetched, whoever replaces it meanwhile.
    let _moment = db.snapshot()?;
    let ranked = match query.mode {
        Mode::Text => db.text(&words, k, filter)?,
        Mode::Vector => by_meaning(db, embedder, query, k)?,
        Mode::Hybrid => {
            let by_words = db.text(&words, depth, filter)?;
            let by_meaning = by_meaning(db, embedder, query, depth)?;
            let weight = query.weight.unwrap_or_else(|| fuse::weight(embedder.id()));
            fuse::fused(&by_words, &by_meaning, weight, k)
        }
    };
    let ids: Vec<ChunkId> = ranked.iter().map(|it| it.chunk).collect();
    let found = db.fetch(&ids)?;
    let texts: Vec<&str> = found.iter().map(|it| it.chunk.text.as_str()).collect();
    let marked = marks(&words, &texts)?;
    Ok(found.iter().zip(&marked).map(|(found, marks)| hit(found, marks, &ranked, query.whole)).collect())
}

fn by_meaning(db: &VectorDb, embedder: &dyn Embedder, query: &Query, k: usize) -> Result<Vec<Scored>> {
    if embedder.id() != db.embedder() {
        return Err(Error::Embedder { recorded: db.embedder().to_string(), asked: embedder.id().to_string() });
    }
    let vector = embedder.embed(&[&query.text])?.remove(0);
    if vector.iter().all(|it| *it == 0.0) {
        // Nothing in it that the embedder knows: every chunk would be as near as any other.
        return Ok(Vec::new());
    }
    Ok(db.knn(&vector, k, query.filter.as_ref())?)
}

fn hit(found: &FoundChunk, marks: &[Range<usize>], ranked: &[Scored], whole: bool) -> Hit {
    let text = &found.chunk.text;
    Hit {
        score: ranked.iter().find(|it| it.chunk == found.id).map_or(0.0, |it| it.score),
        source: found.source.clone(),
        uri: found.uri.clone(),
        title: found.title.clone(),
        media_type: found.media_type.clone(),
        headings: found.chunk.headings.clone(),
        page: found.chunk.page,
        chunk: found.no,
        range: found.chunk.range.clone(),
        passage: if whole { passage::whole(text, marks) } else { passage::best(text, marks) },
    }
}
