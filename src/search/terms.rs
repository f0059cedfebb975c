//! Extracts the words of a query.

use crate::vector::{Term, TextQuery, is_unspaced};

/// Words that are in so many texts that they mean nothing, but are the most expensive to look up.
const STOP_WORDS: &[&str] = &[
    "a", "about", "above", "after", "again", "against", "all", "also", "am", "an", "and", "any", "are", "as", "at",
    "be", "because", "been", "before", "being", "below", "between", "both", "but", "by", "can", "could", "did", "do",
    "does", "doing", "down", "during", "each", "etc", "few", "for", "from", "further", "had", "has", "have", "having",
    "he", "her", "here", "hers", "him", "his", "how", "i", "if", "in", "into", "is", "it", "its", "itself", "just",
    "ll", "may", "me", "might", "more", "most", "must", "my", "no", "nor", "not", "now", "of", "off", "on", "once",
    "only", "or", "other", "our", "ours", "out", "over", "own", "re", "s", "same", "shall", "she", "should", "so",
    "some", "such", "t", "than", "that", "the", "their", "theirs", "them", "then", "there", "these", "they", "this",
    "those", "through", "to", "too", "under", "until", "up", "upon", "us", "ve", "very", "was", "we", "were", "what",
    "when", "where", "which", "while", "who", "whom", "why", "will", "with", "would", "you", "your", "yours",
];

/// Longer queries are cut: a pasted page states its subject early.
const BYTES_MAX: usize = 16_384;
/// How many letters are removed from the end of a Cyrillic or Greek word, if enough remain to distinguish it from
/// others.
const ENDING_LETTERS: usize = 2;
const STEM_LETTERS_MIN: usize = 4;

/// What to search for, without stop words and duplicates. If there are only stop words, they are searched as a phrase.
pub(super) fn text_query(text: &str) -> TextQuery {
    if has_only_stop_words(text) {
        let words = words(text);
        return TextQuery { terms: if words.len() > 1 { vec![Term::Phrase(words)] } else { Vec::new() } };
    }
    let mut terms = Vec::new();
    for word in telling_words(text) {
        for term in terms_of(&word) {
            if !terms.contains(&term) {
                terms.push(term);
            }
        }
    }
    TextQuery { terms }
}

/// The words that carry the meaning of the query, as one text.
pub(super) fn telling(text: &str) -> String {
    telling_words(text).join(" ")
}

fn telling_words(text: &str) -> Vec<String> {
    words(text).into_iter().filter(|it| !STOP_WORDS.contains(&it.as_str())).collect()
}

/// Whether the query has words, all of them stop words. Any text is equally near to those.
pub(super) fn has_only_stop_words(text: &str) -> bool {
    let words = words(text);
    !words.is_empty() && words.iter().all(|it| STOP_WORDS.contains(&it.as_str()))
}

/// Sequences of letters and digits, in lower case, split as FTS5 does. Each sequence in an unspaced script is separate.
fn words(text: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word = String::new();
    let mut unspaced = false;
    for letter in text[..floor(text, BYTES_MAX)].chars().chain([' ']) {
        let inside = letter.is_alphanumeric() || matches!(letter, '\u{300}'..='\u{36f}');
        if !word.is_empty() && (!inside || is_unspaced(letter) != unspaced) {
            words.push(std::mem::take(&mut word));
        }
        if inside {
            unspaced = is_unspaced(letter);
            word.extend(letter.to_lowercase());
        }
    }
    words
}

fn floor(text: &str, length: usize) -> usize {
    (0..=length.min(text.len())).rev().find(|it| text.is_char_boundary(*it)).unwrap_or(0)
}

/// The terms for a word. An unspaced sequence is searched by pairs of letters, since we can't split it into words. A
/// word of a language that FTS5 can't stem is searched by its prefix, any other word as it is.
fn terms_of(word: &str) -> Vec<Term> {
    let letters: Vec<char> = word.chars().collect();
    if letters.iter().all(|it| is_unspaced(*it)) && letters.len() > 1 {
        return letters.windows(2).map(|pair| Term::Phrase(pair.iter().map(char::to_string).collect())).collect();
    }
    let inflected = letters.iter().all(|it| matches!(it, '\u{370}'..='\u{52f}'));
    if inflected && letters.len() > STEM_LETTERS_MIN {
        let stem = (letters.len() - ENDING_LETTERS).max(STEM_LETTERS_MIN);
        return vec![Term::Prefix(letters[..stem].iter().collect())];
    }
    vec![Term::Word(word.to_string())]
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn word(it: &str) -> Term {
        Term::Word(it.to_string())
    }

    #[test]
    fn stop_words_count_only_as_a_phrase_where_there_is_nothing_else() {
        assert_eq!(text_query("What is the Lift of a wing?").terms, [word("lift"), word("wing")]);
        assert_eq!(text_query("To be").terms, [Term::Phrase(vec!["to".into(), "be".into()])]);
        assert!(text_query("the").terms.is_empty() && has_only_stop_words("to be OR not to be"));
        assert!(!has_only_stop_words("to be a wing") && !has_only_stop_words("") && !has_only_stop_words("🦀"));
        assert_eq!(text_query("wing \"wing\" AND wing*").terms, [word("wing")]);
    }

    #[test]
    fn languages_without_a_stemmer_are_looked_for_by_their_starts_and_pairs() {
        assert_eq!(text_query("собачка").terms, [Term::Prefix("собач".into())]);
        assert_eq!(text_query("кот").terms, [word("кот")]);
        let pair = |a: &str, b: &str| Term::Phrase(vec![a.into(), b.into()]);
        assert_eq!(text_query("東京都 v2").terms, [pair("東", "京"), pair("京", "都"), word("v2")]);
        assert_eq!(text_query("水").terms, [word("水")]);
    }

    #[test]
    fn nothing_to_look_for_is_an_empty_query() {
        for text in ["", "   ", "🦀 🚀", "\"()*:^-+{}", "\0"] {
            assert!(text_query(text).terms.is_empty(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn any_text_becomes_plain_terms(text in any::<String>()) {
            for term in text_query(&text).terms {
                let words = match term {
                    Term::Word(word) | Term::Prefix(word) => vec![word],
                    Term::Phrase(words) => words,
                };
                prop_assert!(words.iter().all(|it| !it.is_empty() && !it.contains(['"', '*', '\0'])));
            }
        }
    }
}
