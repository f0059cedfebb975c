//! Feature hashing: vectors without weights, for the smallest devices.

use super::{Embedder, Result, embedder::normalise, wordpiece};
use std::collections::HashMap;

pub(super) const ID: &str = "hash:v1";

const DIMENSION: usize = 1024;
/// A passage that shares only letter groups with the query is hardly ever an answer, so this floor is one that random
/// letters seldom reach, however many passages there are. Over the 1,400 passages of Cranfield
/// (`benches/cranfield.rs`), 99 % of 500 runs of one to four random words stay below .298, .272, .237 and .238, and
/// none reaches .4. Over 19,000 passages of web pages, 99 % of two to four words stay below .395 to .438. Questions on
/// other topics reach .304; right answers begin at .244. Passages that share a word with the query are kept in any
/// case.
const FLOOR: f64 = 0.4;
/// The combined weight of a word's letter groups, relative to 1 for the word itself.
const GROUPS_WEIGHT: f32 = 0.5;
const GROUP_LETTERS: usize = 4;

/// Counts words and groups of four letters in 1024 signed cells.
///
/// The hash of a feature selects its cell, and another bit its sign, so that collisions cancel out on average
/// (Weinberger et al., "Feature Hashing for Large Scale Multitask Learning", 2009). A word weighs 1 + ln(count). Longer
/// words weigh more, as they are rarer.
#[derive(Debug, Clone, Copy, Default)]
pub struct HashEmbedder;

impl Embedder for HashEmbedder {
    fn id(&self) -> &str {
        ID
    }

    fn dimension(&self) -> Option<usize> {
        Some(DIMENSION)
    }

    fn floor(&self, _: &str) -> Option<f64> {
        Some(FLOOR)
    }

    fn embed(&self, texts: &[&str]) -> Result<Vec<Vec<f32>>> {
        Ok(texts.iter().map(|text| embed(text)).collect())
    }
}

fn embed(text: &str) -> Vec<f32> {
    let mut counts = HashMap::<String, u32>::new();
    for word in wordpiece::words(text) {
        *counts.entry(word).or_default() += 1;
    }
    // Sums of f32 depend on the order, and a map has none. Sorting makes the same text give the same bits.
    let mut counts: Vec<(String, u32)> = counts.into_iter().collect();
    counts.sort_unstable();
    let mut vector = vec![0.0; DIMENSION];
    for (word, count) in counts {
        let letters: Vec<char> = word.chars().collect();
        if letters.len() == 1 && letters[0].is_ascii() {
            continue;
        }
        let weight = (1.0 + (count as f32).ln()) * (1.0 + letters.len() as f32).ln();
        add(&mut vector, fnv1a(word.bytes()), weight);
        let groups = letters.len().saturating_sub(GROUP_LETTERS - 1);
        for group in letters.windows(GROUP_LETTERS) {
            let mut bytes = [0; 4];
            let hash = group.iter().fold(fnv1a_over(FNV_START, *b"#"), |hash, letter| {
                fnv1a_over(hash, letter.encode_utf8(&mut bytes).bytes())
            });
            add(&mut vector, mixed(hash), weight * GROUPS_WEIGHT / (groups as f32).sqrt());
        }
    }
    normalise(&mut vector);
    vector
}

fn add(vector: &mut [f32], hash: u64, weight: f32) {
    let sign = if hash >> 63 == 0 { 1.0 } else { -1.0 };
    vector[hash as usize % DIMENSION] += sign * weight;
}

const FNV_START: u64 = 0xcbf2_9ce4_8422_2325;

fn fnv1a(bytes: impl IntoIterator<Item = u8>) -> u64 {
    mixed(fnv1a_over(FNV_START, bytes))
}

/// FNV-1a in 64 bits.
fn fnv1a_over(hash: u64, bytes: impl IntoIterator<Item = u8>) -> u64 {
    bytes.into_iter().fold(hash, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

/// The finaliser of MurmurHash3, because FNV mixes its high bits poorly for short texts.
fn mixed(mut hash: u64) -> u64 {
    hash = (hash ^ (hash >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
    hash = (hash ^ (hash >> 33)).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    hash ^ (hash >> 33)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nearness(a: &str, b: &str) -> f32 {
        embed(a).iter().zip(embed(b)).map(|(a, b)| a * b).sum()
    }

    #[test]
    fn shared_words_and_word_forms_make_texts_near() {
        let text = "the propeller slipstream changes the lift of the wing";
        assert!((nearness(text, text) - 1.0).abs() < 1e-5);
        assert!(nearness(text, "lift of a wing in a slipstream") > 0.3);
        assert!(nearness("propellers slipstreams", "propeller slipstream") > 0.1);
        assert!(nearness(text, "bread needs flour and water").abs() < 0.15);
    }

    #[test]
    fn the_hash_never_changes() {
        assert_eq!(fnv1a(*b""), 0xefd0_1f60_ba99_2926);
        assert_eq!(fnv1a(*b"#wing"), mixed(fnv1a_over(fnv1a_over(FNV_START, *b"#"), *b"wing")));
    }
}
