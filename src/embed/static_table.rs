//! The built-in embedder: a table of token vectors, distilled from a sentence transformer.

use super::{Embedder, Error, Result, embedder::normalise, wordpiece};
use std::{collections::HashMap, sync::OnceLock};

pub(super) const ID: &str = "static:v1";

/// Made by `scripts/make_static_table.py`, which documents the method. `assets/LICENSE-static-table` names the sources.
const PACKED: &[u8] = include_bytes!("../../assets/static-table.bin.zst");
/// A limit for the decoder, well above the table's 8 MB.
const PLAIN_MAX: usize = 32 << 20;
const DIMENSION: usize = 256;
/// Separates right answers from chance, measured over the 1,400 passages of Cranfield (`benches/cranfield.rs`). Where
/// the nearest passage is a right answer, its cosine is .417 to .828 (127 queries); for questions on other topics it is
/// .112 to .267 (16 queries). Random letters reach .383 and more, since a word in pieces is near to anything with the
/// same pieces. [`Table::knows`] refuses those; the few random words that happen to be known stay below .314.
const FLOOR: f64 = 0.3;

/// Averages the vectors of a text's tokens, with more weight for rarer tokens (SIF). 256 dimensions, mainly for
/// English.
///
/// The table is unpacked on first use and shared; it takes about 10 MB of memory.
#[derive(Debug, Clone, Copy, Default)]
pub struct StaticEmbedder;

struct Table {
    vocabulary: HashMap<Box<str>, u32>,
    weights: Vec<f32>,
    /// One row of `DIMENSION` cells per token. The unit does not matter, as sums are normalised.
    cells: Vec<i8>,
}

impl Embedder for StaticEmbedder {
    fn id(&self) -> &str {
        ID
    }

    fn dimension(&self) -> Option<usize> {
        Some(DIMENSION)
    }

    fn floor(&self, words: &str) -> Option<f64> {
        let table = table().ok()?;
        Some(if wordpiece::words(words).any(|it| table.knows(&it)) { FLOOR } else { 1.0 })
    }

    fn embed(&self, texts: &[&str]) -> Result<Vec<Vec<f32>>> {
        let table = table()?;
        Ok(texts.iter().map(|text| table.embed(text)).collect())
    }
}

fn table() -> Result<&'static Table> {
    static TABLE: OnceLock<std::result::Result<Table, String>> = OnceLock::new();
    let table = TABLE.get_or_init(|| {
        let plain = zstd::bulk::decompress(PACKED, PLAIN_MAX).map_err(|it| it.to_string())?;
        read(&plain).ok_or_else(|| "its parts are inconsistent".to_string())
    });
    table.as_ref().map_err(|detail| Error::Table { detail: detail.clone() })
}

/// Returns `None` if the bytes are not a table. The script that writes the table describes the layout.
fn read(plain: &[u8]) -> Option<Table> {
    let (magic, rest) = plain.split_at_checked(4)?;
    let (header, rest) = rest.split_at_checked(16)?;
    let number = |at: usize| u32::from_le_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]]) as usize;
    let tokens = number(4);
    if magic != b"WLST" || number(0) != 1 || number(8) != DIMENSION {
        return None;
    }
    let (weights, rest) = rest.split_at_checked(tokens.checked_mul(4)?)?;
    let (cells, names) = rest.split_at_checked(tokens.checked_mul(DIMENSION)?)?;
    let names = std::str::from_utf8(names).ok()?;
    let vocabulary: HashMap<Box<str>, u32> = names.lines().zip(0..).map(|(name, at)| (name.into(), at)).collect();
    (vocabulary.len() == tokens).then(|| Table {
        vocabulary,
        weights: weights.chunks_exact(4).map(|it| f32::from_le_bytes([it[0], it[1], it[2], it[3]])).collect(),
        cells: cells.iter().map(|it| *it as i8).collect(),
    })
}

impl Table {
    /// Whether the word has a vector of its own. The vector of a word in pieces is meaningless, since short runs of
    /// letters occur as pieces everywhere.
    fn knows(&self, word: &str) -> bool {
        (word.chars().count() > 2 || !word.is_ascii()) && self.vocabulary.contains_key(word)
    }

    fn embed(&self, text: &str) -> Vec<f32> {
        let mut sum = vec![0.0; DIMENSION];
        for word in wordpiece::words(text) {
            for piece in wordpiece::pieces(&word, &self.vocabulary).unwrap_or_default() {
                let at = piece as usize;
                let weight = self.weights[at];
                let row = &self.cells[at * DIMENSION..][..DIMENSION];
                sum.iter_mut().zip(row).for_each(|(sum, cell)| *sum += weight * f32::from(*cell));
            }
        }
        normalise(&mut sum);
        sum
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nearness(a: &str, b: &str) -> f32 {
        let vectors = StaticEmbedder.embed(&[a, b]).unwrap();
        vectors[0].iter().zip(&vectors[1]).map(|(a, b)| a * b).sum()
    }

    #[test]
    fn texts_of_one_meaning_are_nearer_than_texts_of_another() {
        let question = "how do I fix a car engine";
        let near = nearness(question, "repairing the motor of an automobile");
        let far = nearness(question, "a recipe for chocolate cake with cream");
        assert!(near > far + 0.2, "{near} {far}");
    }

    #[test]
    fn accents_and_case_make_no_difference() {
        assert!((nearness("Café Zürich", "cafe zurich") - 1.0).abs() < 1e-5);
    }

    #[test]
    fn a_table_cut_short_is_refused() {
        let plain = zstd::bulk::decompress(PACKED, PLAIN_MAX).unwrap();
        assert!(read(&plain).is_some());
        for length in [0, 3, 19, 20, 5000, plain.len() - 1000] {
            assert!(read(&plain[..length]).is_none(), "{length}");
        }
        let mut other = plain;
        other[4] = 2;
        assert!(read(&other).is_none());
    }
}
