//! Fuses two rankings into one.

use crate::vector::{ChunkId, Scored};
use std::collections::HashMap;

/// Both rankings are read at least this deep.
const DEPTH_MIN: usize = 100;

/// How deep to read both rankings for `k` hits.
pub(super) fn depth(k: usize) -> usize {
    k.saturating_mul(4).max(DEPTH_MIN)
}

/// The weight of an embedder's vectors, between 0 (words only) and 1 (vectors only).
///
/// Chosen by five-fold cross-validation on the Cranfield collection, which `benches/cranfield.rs` repeats. Words alone
/// reach an nDCG@10 of .529 there. "Held out" is the result of queries under the weight that was best for the other
/// folds:
///
/// | embedder | vectors alone | held out | weights that the folds chose |
/// |---|---|---|---|
/// | `static` | .415 | .540 | .15 to .20 |
/// | `hash` | .413 | .534 | .10 to .25 |
/// | all-MiniLM-L6-v2 itself, as an example of a served model | .500 | .562 | .40 to .55 |
pub(super) fn weight(embedder: &str) -> f64 {
    match embedder.split(':').next() {
        Some("static") => 0.15,
        Some("hash") => 0.2,
        _ => 0.45,
    }
}

/// A weighted sum of scores. Each list's scores are divided by its best, so a hit that is first in both lists has score
/// 1 (a convex combination: Bruch, Gai and Ingber, "An Analysis of Fusion Functions for Hybrid Retrieval", 2023). A hit
/// that is missing from a list has score 0 there.
///
/// On Cranfield this beats reciprocal rank fusion, which can't tell a clear first place from a narrow one.
pub(super) fn fused(by_words: &[Scored], by_meaning: &[Scored], weight: f64, k: usize) -> Vec<Scored> {
    let weight = weight.clamp(0.0, 1.0);
    let mut scores = HashMap::<ChunkId, f64>::new();
    for (list, share) in [(by_words, 1.0 - weight), (by_meaning, weight)] {
        // If the best score is 0, so are all others. These hits are still found, but rank after all hits with a
        // positive score.
        let best = list.first().map_or(0.0, |it| it.score).max(f64::MIN_POSITIVE);
        for found in list {
            *scores.entry(found.chunk).or_default() += share * found.score.max(0.0) / best;
        }
    }
    let mut fused: Vec<Scored> = scores.into_iter().map(|(chunk, score)| Scored { chunk, score }).collect();
    fused.sort_by(|a, b| b.score.total_cmp(&a.score).then(a.chunk.cmp(&b.chunk)));
    fused.truncate(k);
    fused
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(scores: &[(i64, f64)]) -> Vec<Scored> {
        scores.iter().map(|(chunk, score)| Scored { chunk: ChunkId(*chunk), score: *score }).collect()
    }

    #[test]
    fn both_rankings_count_by_their_weight() {
        let (by_words, by_meaning) = (list(&[(1, 8.0), (2, 4.0)]), list(&[(3, 0.9), (2, 0.9), (4, -0.1)]));
        let fused_at = |weight| fused(&by_words, &by_meaning, weight, 10);
        assert_eq!(fused_at(0.25), list(&[(1, 0.75), (2, 0.625), (3, 0.25), (4, 0.0)]));
        assert_eq!(fused_at(0.0)[..2], list(&[(1, 1.0), (2, 0.5)]));
        assert_eq!(fused_at(7.0)[0], list(&[(2, 1.0)])[0]);
        assert_eq!(fused(&by_words, &by_meaning, 0.5, 1).len(), 1);
    }

    #[test]
    fn one_ranking_alone_keeps_its_order() {
        let by_words = list(&[(5, 8.0), (4, 4.0)]);
        assert_eq!(fused(&by_words, &[], 0.5, 10), list(&[(5, 0.5), (4, 0.25)]));
        // In an index where a word is in most chunks, its scores are almost 0, but they still define an order.
        let faint = list(&[(5, 1e-6), (4, 5e-7)]);
        assert_eq!(fused(&faint, &[], 0.5, 10), list(&[(5, 0.5), (4, 0.25)]));
        assert!(fused(&[], &[], 0.5, 10).is_empty());
        assert_eq!(fused(&[], &list(&[(7, -0.2), (6, -0.3)]), 0.5, 10), list(&[(6, 0.0), (7, 0.0)]));
    }
}
