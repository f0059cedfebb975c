//! Formats times, counts and texts for people.

pub use crate::view::wording::{count, duration, number_of, quoted};

use crate::model::{
    Bytes,
    printable::{printable, printable_lines},
};
use unicode_width::UnicodeWidthChar;

/// A size with its unit.
pub fn size(bytes: u64) -> String {
    Bytes(bytes).to_string()
}

/// Foreign text on one line, with control characters shown visibly.
pub fn plain(text: &str) -> String {
    printable(&text.replace(['\n', '\r', '\t'], " ")).into_owned()
}

/// A document as people know it: the path of a file, otherwise its URL.
pub fn place(uri: &str) -> String {
    match crate::ingest::file_uri::path_of(uri) {
        Some(path) => plain(&path.to_string_lossy()),
        None => plain(uri),
    }
}

/// Like `plain`, for several lines.
pub fn plain_lines(text: &str) -> String {
    printable_lines(&text.replace("\r\n", "\n")).into_owned()
}

/// The width of a text on a terminal, in columns.
pub fn width(text: &str) -> usize {
    text.chars().map(|it| it.width().unwrap_or(0)).sum()
}

/// A text cut to at most `most` columns; `…` marks the cut.
pub fn cut(text: &str, most: usize) -> String {
    if width(text) <= most {
        return text.to_string();
    }
    let mut kept = String::new();
    let mut taken = 1;
    for letter in text.chars() {
        taken += letter.width().unwrap_or(0);
        if taken > most {
            break;
        }
        kept.push(letter);
    }
    if most > 0 {
        kept.push('…');
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_of_others_cannot_steer_the_terminal() {
        assert_eq!(plain("a\x1b[31mb\nc\u{202e}d"), "a\\u{1b}[31mb c\\u{202e}d");
        assert_eq!(plain_lines("a\nb\x07"), "a\nb\\u{7}");
    }

    #[test]
    fn cuts_count_columns_not_characters() {
        assert_eq!(cut("abc", 3), "abc");
        assert_eq!(cut("abcd", 3), "ab…");
        assert_eq!(cut("漢字漢字", 5), "漢字…");
        assert_eq!(cut("abc", 0), "");
    }
}
