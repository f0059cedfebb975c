//! Two rankings become one.

use crate::vector::{ChunkId, Scored};
use std::collections::HashMap;

/// The constant of reciprocal rank fusion.
const RANK_OFFSET: f64 = 60.0;
/// Both rankings are read to this depth at least.
const DEPTH_MIN: usize = 100;

/// How deep both rankings are read for `k` hits.
pub(super) fn depth(k: usize) -> usize {
    k.saturating_mul(4).max(DEPTH_MIN)
}

/// What the vectors of an embedder count, between 0 (words only) and 1 (vectors only).
pub(super) fn weight(embedder: &str) -> f64 {
    match embedder.split(':').next() {
        Some("static") => 0.3,
        Some("hash") => 0.15,
        _ => 0.5,
    }
}

/// Weighted reciprocal rank fusion (Cormack, Clarke and Buettcher, 2009), scaled so that first in both is 1.
pub(super) fn fused(by_words: &[Scored], by_meaning: &[Scored], weight: f64, k: usize) -> Vec<Scored> {
    let mut scores = HashMap::<ChunkId, f64>::new();
    for (list, share) in [(by_words, 1.0 - weight), (by_meaning, weight)] {
        for (rank, found) in list.iter().enumerate() {
            *scores.entry(found.chunk).or_default() += share * (RANK_OFFSET + 1.0) / (RANK_OFFSET + 1.0 + rank as f64);
        }
    }
    let mut fused: Vec<Scored> = scores.into_iter().map(|(chunk, score)| Scored { chunk, score }).collect();
    fused.sort_by(|a, b| b.score.total_cmp(&a.score).then(a.chunk.cmp(&b.chunk)));
    fused.truncate(k);
    fused
}
