//! Selects the part of a chunk that a hit shows.

use serde::Serialize;
use std::ops::Range;

/// A piece of a chunk's Markdown and the positions of its matching words.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct Passage {
    /// About 300 bytes around the best matching words, cut between words; the whole chunk if requested.
    pub passage: String,
    /// Byte ranges in `passage`, as `[start, end]`, ascending.
    #[serde(serialize_with = "pairs")]
    #[schema(value_type = Vec<(usize, usize)>)]
    pub marks: Vec<Range<usize>>,
    /// Whether text was cut before and after.
    pub cut: (bool, bool),
}

/// A piece of a chunk as plain text, without Markdown, and the positions of its matching words.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct Snippet {
    /// About 300 bytes of plain text around the best matching words; the whole chunk if requested.
    pub snippet: String,
    /// Byte ranges of the matching words in `snippet` (UTF-8), as `[start, end]`, ascending.
    #[serde(serialize_with = "pairs")]
    #[schema(value_type = Vec<(usize, usize)>)]
    pub highlights: Vec<Range<usize>>,
    /// Whether text was cut before and after.
    pub snippet_cut: (bool, bool),
}

impl From<Passage> for Snippet {
    fn from(it: Passage) -> Snippet {
        Snippet { snippet: it.passage, highlights: it.marks, snippet_cut: it.cut }
    }
}

/// The best window, or the whole text.
pub(super) fn part(text: &str, marks: &[Range<usize>], is_whole: bool) -> Passage {
    if is_whole { whole(text, marks) } else { best(text, marks) }
}

const LENGTH: usize = 300;
/// How far a cut may move to fall between words.
const REACH: usize = 40;

/// The whole text.
fn whole(text: &str, marks: &[Range<usize>]) -> Passage {
    Passage { passage: text.to_string(), marks: marks.to_vec(), cut: (false, false) }
}

/// The window with the most different marked words, then the most marked words, then the first one.
fn best(text: &str, marks: &[Range<usize>]) -> Passage {
    let mut start = window(text, marks);
    let mut end = before(text, start.saturating_add(LENGTH).min(text.len()));
    // At the end of a text, the window moves back to keep its length.
    start = start.min(before(text, text.len().saturating_sub(LENGTH)));
    if start > 0 {
        start = next_word(text, start);
    }
    if end < text.len() {
        end = last_word(text, end).max(start);
    }
    let (start, end) = trimmed(text, start, end);
    let inside = marks.iter().filter(|it| it.start >= start && it.end <= end);
    Passage {
        passage: text[start..end].to_string(),
        marks: inside.map(|it| it.start - start..it.end - start).collect(),
        cut: (!text[..start].trim().is_empty(), !text[end..].trim().is_empty()),
    }
}

/// The start of the best window: slightly before a mark.
fn window(text: &str, marks: &[Range<usize>]) -> usize {
    let mut best = (0, 0, 0);
    for (first, mark) in marks.iter().enumerate() {
        let inside: Vec<&Range<usize>> =
            marks[first..].iter().take_while(|it| it.end <= mark.start + LENGTH - REACH).collect();
        let mut words: Vec<String> = inside.iter().map(|it| start_of_word(&text[(*it).clone()])).collect();
        words.sort_unstable();
        words.dedup();
        if (words.len(), inside.len()) > (best.0, best.1) {
            best = (words.len(), inside.len(), mark.start);
        }
    }
    before(text, best.2.saturating_sub(REACH))
}

/// Forms of the same word usually have the same first five letters.
fn start_of_word(word: &str) -> String {
    word.chars().take(5).flat_map(char::to_lowercase).collect()
}

/// The character boundary at or before `at`.
fn before(text: &str, at: usize) -> usize {
    (0..=at).rev().find(|it| text.is_char_boundary(*it)).unwrap_or(0)
}

/// The start of the next word within reach, else `at`.
fn next_word(text: &str, at: usize) -> usize {
    let reach = before(text, (at + REACH).min(text.len()));
    if text[..at].ends_with(char::is_whitespace) {
        return at;
    }
    let rest = &text[at..reach];
    rest.char_indices().find(|it| it.1.is_whitespace()).map_or(at, |(gap, letter)| at + gap + letter.len_utf8())
}

/// The end of the last whole word within reach, else `at`.
fn last_word(text: &str, at: usize) -> usize {
    let reach = before(text, at.saturating_sub(REACH));
    if text[at..].starts_with(char::is_whitespace) {
        return at;
    }
    text[reach..at].rfind(char::is_whitespace).map_or(at, |gap| reach + gap)
}

fn trimmed(text: &str, start: usize, end: usize) -> (usize, usize) {
    let piece = &text[start..end];
    let start = start + (piece.len() - piece.trim_start().len());
    (start, start + piece.trim().len())
}

fn pairs<S: serde::Serializer>(marks: &[Range<usize>], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(marks.iter().map(|it| [it.start, it.end]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_window_with_the_most_different_words_is_shown() {
        let text = format!("wing wing wing {} the lift of a wing {}", "filler ".repeat(80), "more ".repeat(80));
        let marks: Vec<Range<usize>> =
            ["wing", "lift"].iter().flat_map(|it| text.match_indices(*it)).map(|(at, it)| at..at + it.len()).collect();
        let mut marks = marks;
        marks.sort_by_key(|it| it.start);
        let shown = best(&text, &marks);
        assert!(shown.passage.contains("the lift of a wing"), "{}", shown.passage);
        let words: Vec<&str> = shown.marks.iter().map(|it| &shown.passage[it.clone()]).collect();
        assert_eq!(words, ["lift", "wing"]);
        assert_eq!(shown.cut, (true, true));
    }

    #[test]
    fn a_short_text_is_shown_whole() {
        let shown = best("  short text ", &[]);
        assert_eq!((shown.passage.as_str(), shown.cut), ("short text", (false, false)));
        assert_eq!(best("", &[]), Passage::default());
        let json = serde_json::to_string(&best("a b", &[Range { start: 2, end: 3 }])).unwrap();
        assert_eq!(json, r#"{"passage":"a b","marks":[[2,3]],"cut":[false,false]}"#);
    }

    proptest! {
        #[test]
        fn any_text_is_cut_between_characters(text in "[a-z é東🦀\n]{0,400}", at in 0usize..400) {
            let mut marks = Vec::new();
            if let Some((start, letter)) = text.char_indices().nth(at) {
                marks.push(start..start + letter.len_utf8());
            }
            let shown = best(&text, &marks);
            prop_assert!(text.contains(&shown.passage) && shown.passage.len() <= LENGTH + REACH);
            for mark in shown.marks {
                prop_assert!(shown.passage.get(mark).is_some());
            }
        }
    }
}
