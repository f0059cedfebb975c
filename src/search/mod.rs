//! Queries and ranking over a vector database.
//!
//! Owns: the splitting of a query into words, the fusion of the two rankings, and the passage that a hit shows. May
//! import: everything on the floors below. Never: writes.

mod error;
mod fuse;
mod markup;
mod navigation;
mod passage;
mod terms;

pub use error::Error;
pub use passage::{Passage, Snippet};

use crate::{
    embed::Embedder,
    vector::{ChunkId, Filter, FoundChunk, Scored, TextQuery, VectorDb, marks},
};
use serde::{Deserialize, Serialize};
use std::{collections::HashSet, ops::Range};

/// The result type of this room.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// How to find chunks.
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
            _ => Err(format!("`{text}` is not a search mode; use one of hybrid, text, vector")),
        }
    }
}

#[derive(Debug, Clone, PartialEq)]
pub struct Query {
    /// The user's text, searched literally: it has no operators.
    pub text: String,
    /// The maximum number of hits.
    pub k: usize,
    pub mode: Mode,
    pub filter: Option<Filter>,
    /// The weight of vectors against words in mode `hybrid`, from 0 to 1. `None`: the embedder's default.
    pub weight: Option<f64>,
    /// The minimum cosine, from 0 to 1, of a hit that contains no word of the query; 0 means no minimum. `None`: the
    /// embedder's default.
    pub min_score: Option<f64>,
    /// Whether a hit shows its whole chunk instead of the part that matches best.
    pub whole: bool,
}

impl Query {
    /// The ten best hits by words and by meaning.
    pub fn new(text: impl Into<String>) -> Query {
        Query {
            text: text.into(),
            k: 10,
            mode: Mode::Hybrid,
            filter: None,
            weight: None,
            min_score: None,
            whole: false,
        }
    }
}

/// A chunk that was found. Its JSON fields are promises.
#[derive(Debug, Clone, PartialEq, Serialize, utoipa::ToSchema)]
pub struct Hit {
    /// Higher is better; comparable only within one search. Depending on the mode, it is fused (0 to 1), BM25, or the
    /// cosine.
    pub score: f64,
    pub source: String,
    pub uri: String,
    pub title: Option<String>,
    pub media_type: String,
    /// The headings above the chunk, outermost first.
    pub headings: Vec<String>,
    /// Counted from 1.
    pub page: Option<u32>,
    /// The number of the chunk in its document, from 0.
    pub chunk: u32,
    /// The position of the chunk in the parsed Markdown, in bytes.
    #[schema(value_type = std::collections::BTreeMap<String, usize>)]
    pub range: Range<usize>,
    /// Whether it is a table of contents, an index or a menu. Such hits rank last, whatever their score.
    pub navigation: bool,
    #[serde(flatten)]
    pub snippet: Snippet,
    #[serde(flatten)]
    pub passage: Passage,
}

/// The maximum number of hits of one query.
pub const HITS_MAX: usize = 1000;

/// The minimum score of a hit without a word of the query, if any.
pub fn floor(embedder: &dyn Embedder, query: &Query) -> Option<f64> {
    match query.mode {
        Mode::Text => None,
        Mode::Vector | Mode::Hybrid => {
            query.min_score.or_else(|| embedder.floor(&terms::telling(&query.text))).filter(|it| *it > 0.0)
        }
    }
}

/// Finds the chunks that answer `query`, best first, followed by those that only lead to others.
///
/// A query finds nothing if its words occur nowhere and its meaning is near to nothing by [`floor`]. Stop words alone
/// find only the phrase that they form. Returns [`Error::Embedder`] if the database was made with another embedder.
pub fn search(db: &VectorDb, embedder: &dyn Embedder, query: &Query) -> Result<Vec<Hit>> {
    let k = query.k.min(HITS_MAX);
    if k == 0 {
        return Ok(Vec::new());
    }
    let words = terms::text_query(&query.text);
    let depth = fuse::depth(k);
    // The snapshot keeps the ranked chunks available, even if a writer replaces them in the meantime.
    let _moment = db.snapshot()?;
    let by_words = match query.mode {
        Mode::Vector => Vec::new(),
        Mode::Text | Mode::Hybrid => db.text(&words, depth, query.filter.as_ref())?,
    };
    let by_meaning = match query.mode {
        Mode::Text => Vec::new(),
        // Stop words are equally near to every text.
        Mode::Vector | Mode::Hybrid if terms::has_only_stop_words(&query.text) => Vec::new(),
        Mode::Vector | Mode::Hybrid => by_meaning(db, embedder, query, depth)?,
    };
    let chance = by_chance(db, &words, &by_words, &by_meaning, floor(embedder, query))?;
    let mut ranked = match query.mode {
        Mode::Text => by_words,
        Mode::Vector => by_meaning,
        Mode::Hybrid => {
            let weight = query.weight.unwrap_or_else(|| fuse::weight(embedder.id()));
            fuse::fused(&by_words, &by_meaning, weight, 2 * depth)
        }
    };
    ranked.retain(|it| !chance.contains(&it.chunk));
    let found = led_to_last(db, &ranked, k)?;
    let passages: Vec<&str> = found.iter().map(|it| it.0.chunk.text.as_str()).collect();
    let plain: Vec<String> = found.iter().map(|it| plain(&it.0)).collect();
    let in_passages = marks(&words, &passages)?;
    let in_plain = marks(&words, &plain.iter().map(String::as_str).collect::<Vec<_>>())?;
    let hits = found.iter().enumerate().map(|(at, (found, navigation))| Hit {
        score: ranked.iter().find(|it| it.chunk == found.id).map_or(0.0, |it| it.score),
        source: found.source.clone(),
        uri: found.uri.clone(),
        title: found.title.clone(),
        media_type: found.media_type.clone(),
        headings: found.chunk.headings.clone(),
        page: found.chunk.page,
        chunk: found.no,
        range: found.chunk.range.clone(),
        navigation: *navigation,
        snippet: passage::part(&plain[at], &in_plain[at], query.whole).into(),
        passage: passage::part(&found.chunk.text, &in_passages[at], query.whole),
    });
    Ok(hits.collect())
}

fn by_meaning(db: &VectorDb, embedder: &dyn Embedder, query: &Query, k: usize) -> Result<Vec<Scored>> {
    if embedder.id() != db.embedder() {
        return Err(Error::Embedder { recorded: db.embedder().to_string(), requested: embedder.id().to_string() });
    }
    let vector = embedder.embed(&[&query.text])?.remove(0);
    if vector.iter().all(|it| *it == 0.0) {
        // The embedder knows nothing in it, so every chunk would be equally near.
        return Ok(Vec::new());
    }
    Ok(db.knn(&vector, k, query.filter.as_ref())?)
}

/// The chunks below the floor that also contain no word of the query. A floor alone would hide right answers in
/// languages that the embedder does not know.
fn by_chance(
    db: &VectorDb,
    words: &TextQuery,
    by_words: &[Scored],
    by_meaning: &[Scored],
    floor: Option<f64>,
) -> Result<HashSet<ChunkId>> {
    let Some(floor) = floor else { return Ok(HashSet::new()) };
    let named: HashSet<ChunkId> = by_words.iter().map(|it| it.chunk).collect();
    let far = by_meaning.iter().filter(|it| it.score < floor && !named.contains(&it.chunk));
    let far: Vec<ChunkId> = far.map(|it| it.chunk).collect();
    let matching = db.matching(words, &far)?;
    Ok(far.into_iter().filter(|it| !matching.contains(it)).collect())
}

/// The first `k` chunks in the order of `ranked`, except that navigation comes last.
fn led_to_last(db: &VectorDb, ranked: &[Scored], k: usize) -> Result<Vec<(FoundChunk, bool)>> {
    let ids: Vec<ChunkId> = ranked.iter().map(|it| it.chunk).collect();
    let mut found: Vec<(FoundChunk, bool)> = Vec::with_capacity(ids.len());
    for found_chunk in db.fetch(&ids)? {
        let navigation = navigation::is_navigation(&found_chunk);
        found.push((found_chunk, navigation));
    }
    found.sort_by_key(|it| it.1);
    found.truncate(k);
    Ok(found)
}

fn plain(found: &FoundChunk) -> String {
    markup::plain(&found.chunk.text, markup::Signs::of(&found.media_type))
}
