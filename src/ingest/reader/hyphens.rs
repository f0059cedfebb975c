//! Joins words that were hyphenated at the end of a printed line: `eir-mod` becomes `eirmod`, but `load-carrying`
//! stays.

use std::collections::HashSet;

/// Joins a hyphenated word of `markdown` if `plain`, another reading of the same page, contains it whole and not with
/// its hyphen.
pub(super) fn join(markdown: &str, plain: impl FnOnce() -> String) -> String {
    if !markdown.split_whitespace().any(|it| parts(it).is_some()) {
        return markdown.to_string();
    }
    let plain = plain();
    let words: HashSet<&str> = plain.split(|it: char| !(it.is_alphanumeric() || it == '-')).collect();
    let mut out = String::with_capacity(markdown.len());
    for piece in markdown.split_inclusive(char::is_whitespace) {
        let word = piece.trim_end();
        match parts(word) {
            Some((bare, at))
                if !words.contains(bare) && words.contains([&bare[..at], &bare[at + 1..]].concat().as_str()) =>
            {
                out.push_str(&piece.replacen(bare, &[&bare[..at], &bare[at + 1..]].concat(), 1));
            }
            _ => out.push_str(piece),
        }
    }
    out
}

/// The word without surrounding punctuation, and the position of its only hyphen, which must be between two lower-case
/// letters.
fn parts(word: &str) -> Option<(&str, usize)> {
    let bare = word.trim_matches(|it: char| !it.is_alphanumeric());
    let at = bare.find('-')?;
    let lower = |it: Option<char>| it.is_some_and(char::is_lowercase);
    let fits = lower(bare[..at].chars().next_back()) && lower(bare[at + 1..].chars().next());
    (fits && !bare[at + 1..].contains('-')).then_some((bare, at))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_words_that_occur_whole_are_joined() {
        let joined = join("sed eir-mod, (volup-tua) load-carrying\nnut un-sure", || {
            "sed eirmod, (voluptua) load-carrying nut loadcarrying".into()
        });
        assert_eq!(joined, "sed eirmod, (voluptua) load-carrying\nnut un-sure");
    }
}
