//! Splits text into words, and words into the pieces of BERT's uncased vocabulary.

use std::collections::HashMap;
use unicode_normalization::{UnicodeNormalization, char::is_combining_mark};

/// Longer words are skipped: they are probably data.
const LETTERS_MAX: usize = 100;

/// The words of a text, in lower case and without accents. Each letter of a script without spaces is a word.
pub(super) fn words(text: &str) -> impl Iterator<Item = String> + '_ {
    let mut letters = text.nfd().filter(|it| !is_combining_mark(*it)).flat_map(char::to_lowercase).peekable();
    std::iter::from_fn(move || {
        let first = letters.by_ref().find(|it| it.is_alphanumeric())?;
        let mut word = String::from(first);
        while !is_ideograph(first)
            && let Some(next) = letters.next_if(|it| it.is_alphanumeric() && !is_ideograph(*it))
        {
            word.push(next);
        }
        Some(word)
    })
}

/// The Unicode blocks whose characters BERT's tokenizer separates.
fn is_ideograph(letter: char) -> bool {
    matches!(u32::from(letter), 0x3400..=0x4DBF | 0x4E00..=0x9FFF | 0xF900..=0xFAFF | 0x20000..=0x2FA1F)
}

/// The numbers of the pieces of `word`: the longest known prefix, then the longest known continuation (written
/// `##ing`), and so on. `None` if that fails at some point, as in BERT.
///
/// Algorithm: Wu et al., "Google's Neural Machine Translation System", 2016, section 4.1 (longest match first).
pub(super) fn pieces(word: &str, vocabulary: &HashMap<Box<str>, u32>) -> Option<Vec<u32>> {
    if let Some(number) = vocabulary.get(word) {
        return Some(vec![*number]);
    }
    if word.chars().count() > LETTERS_MAX {
        return None;
    }
    let mut pieces = Vec::new();
    let mut rest = word;
    let mut piece = String::new();
    while !rest.is_empty() {
        let mut end = rest.len();
        let number = loop {
            piece.clear();
            if !pieces.is_empty() {
                piece.push_str("##");
            }
            piece.push_str(&rest[..end]);
            if let Some(number) = vocabulary.get(piece.as_str()) {
                break *number;
            }
            end = rest[..end].char_indices().next_back()?.0;
            if end == 0 {
                return None;
            }
        };
        pieces.push(number);
        rest = &rest[end..];
    }
    Some(pieces)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_lose_case_and_accents() {
        let found: Vec<String> = words("Crème-brûlée, ÀÉÎ 3.5 東京タワー собачка").collect();
        assert_eq!(found, ["creme", "brulee", "aei", "3", "5", "東", "京", "タワー", "собачка"]);
    }

    #[test]
    fn the_longest_piece_is_taken_first() {
        let known = ["un", "##aff", "##able", "##a", "unaff"];
        let vocabulary = known.iter().enumerate().map(|(at, it)| ((*it).into(), at as u32)).collect();
        assert_eq!(pieces("unaffable", &vocabulary), Some(vec![4, 2]));
        assert_eq!(pieces("una", &vocabulary), Some(vec![0, 3]));
        assert_eq!(pieces("unx", &vocabulary), None);
        assert_eq!(pieces(&"a".repeat(101), &vocabulary), None);
    }
}
