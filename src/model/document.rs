//! Documents between the stages of ingestion.

use serde::{Deserialize, Serialize};
use std::ops::Range;

/// The maximum length of a title, of a heading, and of all headings above a passage together, in bytes.
pub const HEADING_MAX: usize = 1024;

/// The text, cut to `most` bytes with a trailing `…` if it is longer.
pub fn shortened(text: &str, most: usize) -> String {
    const MARK: &str = "…";
    if text.len() <= most {
        return text.to_string();
    }
    let room = most.saturating_sub(MARK.len());
    let end = (0..=room).rev().find(|it| text.is_char_boundary(*it)).unwrap_or(0);
    format!("{}{MARK}", text[..end].trim_end())
}

/// The result of parsing a document: one Markdown text, and the positions of its parts.
///
/// All offsets are byte offsets into `markdown`, on character boundaries, in ascending order.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ParsedDocument {
    /// The media type detected from the content, such as `text/html`.
    pub media_type: String,
    pub title: Option<String>,
    pub markdown: String,
    pub headings: Vec<Heading>,
    /// Empty for formats without pages.
    pub pages: Vec<PageStart>,
    /// Byte ranges of Markdown tables.
    pub tables: Vec<Range<usize>>,
    /// Byte ranges of the words of links, if the reader has dropped their targets. Headings and code have none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub links: Vec<Range<usize>>,
    /// Problems that the reader should know about, in plain words: `page 3 has no text`.
    pub warnings: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Heading {
    /// 1 to 6.
    pub level: u8,
    pub text: String,
    pub offset: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct PageStart {
    /// Counted from 1.
    pub page: u32,
    pub offset: usize,
}

/// A passage that is embedded, and found, as a whole.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Chunk {
    pub text: String,
    /// The headings above it, outermost first.
    pub headings: Vec<String>,
    /// The page on which it begins, counted from 1.
    pub page: Option<u32>,
    /// Its position in the parsed Markdown, in bytes.
    pub range: Range<usize>,
    /// The number of tokens, as counted by the chunker.
    pub tokens: u32,
    /// How many of 100 letters are words of links with dropped targets; headings do not count. 0 for a few links.
    #[serde(default, skip_serializing_if = "is_none")]
    pub linked: u8,
}

fn is_none(share: &u8) -> bool {
    *share == 0
}
