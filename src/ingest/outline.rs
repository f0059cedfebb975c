//! Finds the structure of a Markdown text: its headings, tables and code blocks, in one pass over its lines.

use crate::model::{HEADING_MAX, Heading, shortened};
use std::ops::Range;

/// The kind of a block of lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Blank,
    Heading(u8),
    Table,
    /// A code block, including its fences.
    Code,
    Text,
}

/// Consecutive lines of one kind. Each heading is a block of its own; a blank line ends a block of text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Block {
    pub kind: Kind,
    /// In bytes, including line ends. Blocks are adjacent and cover the whole text.
    pub range: Range<usize>,
}

#[derive(Debug, Default, PartialEq, Eq)]
pub struct Outline {
    pub headings: Vec<Heading>,
    pub tables: Vec<Range<usize>>,
}

/// The headings and tables of `markdown`. The text of headings has no markup.
pub fn scan(markdown: &str) -> Outline {
    let mut outline = Outline::default();
    for block in blocks(markdown) {
        match block.kind {
            Kind::Heading(level) => {
                let line = markdown[block.range.clone()].trim().trim_start_matches('#');
                outline.headings.push(Heading { level, text: plain(line), offset: block.range.start });
            }
            Kind::Table => {
                let length = markdown[block.range.clone()].trim_end().len();
                outline.tables.push(block.range.start..block.range.start + length);
            }
            _ => (),
        }
    }
    outline
}

/// Divides the text into blocks. Understands the output of our readers and common hand-written Markdown: ATX headings,
/// pipe tables with a delimiter row below the first row, fenced code. A fence that is never closed extends to the end
/// of the text, as in CommonMark.
pub fn blocks(markdown: &str) -> Vec<Block> {
    let mut blocks: Vec<Block> = Vec::new();
    let mut fence: Option<&str> = None;
    let mut at = 0;
    let mut lines = markdown.split_inclusive('\n').peekable();
    while let Some(line) = lines.next() {
        let range = at..at + line.len();
        at = range.end;
        let last = blocks.last().map(|it| it.kind);
        let (kind, joins) = if let Some(open) = fence {
            if closes(line, open) {
                fence = None;
            }
            (Kind::Code, true)
        } else if let Some(open) = opens(line) {
            fence = Some(open);
            (Kind::Code, false)
        } else if line.trim().is_empty() {
            (Kind::Blank, true)
        } else if let Some(level) = heading(line) {
            (Kind::Heading(level), false)
        } else if is_row(line) && (last == Some(Kind::Table) || lines.peek().is_some_and(|it| is_rule(it))) {
            (Kind::Table, true)
        } else {
            (Kind::Text, true)
        };
        match blocks.last_mut() {
            Some(block) if joins && block.kind == kind => block.range.end = range.end,
            _ => blocks.push(Block { kind, range }),
        }
    }
    blocks
}

fn heading(line: &str) -> Option<u8> {
    let level = line.bytes().take_while(|it| *it == b'#').count();
    let rest = &line[level..];
    let parted = rest.starts_with([' ', '\t', '\n', '\r']);
    ((1..=6).contains(&level) && parted && !rest.trim().is_empty()).then_some(level as u8)
}

/// The fence that the line opens: three or more backticks or tildes, indented by at most three spaces.
fn opens(line: &str) -> Option<&str> {
    let indent = line.bytes().take_while(|it| *it == b' ').count();
    let rest = &line[indent..];
    let sign = rest.chars().next().filter(|it| matches!(it, '`' | '~'))?;
    let length = rest.bytes().take_while(|it| char::from(*it) == sign).count();
    let info = &rest[length..];
    (indent <= 3 && length >= 3 && !(sign == '`' && info.contains('`'))).then(|| &rest[..length])
}

fn closes(line: &str, fence: &str) -> bool {
    let bare = line.trim();
    bare.starts_with(fence) && bare.bytes().all(|it| fence.as_bytes()[0] == it)
}

fn is_row(line: &str) -> bool {
    line.trim_start().starts_with('|')
}

fn is_rule(line: &str) -> bool {
    let line = line.trim();
    line.starts_with('|') && line.contains('-') && line.bytes().all(|it| matches!(it, b'|' | b'-' | b':' | b' '))
}

/// The text of a heading without backticks, emphasis, link targets and closing `#`, shortened if it is too long.
fn plain(heading: &str) -> String {
    let heading = heading.trim().trim_end_matches('#');
    let mut text = String::new();
    let mut rest = heading;
    while let Some(letter) = rest.chars().next().filter(|_| text.len() <= 2 * HEADING_MAX) {
        rest = &rest[letter.len_utf8()..];
        match letter {
            '`' => (),
            '*' if !text.ends_with(char::is_alphanumeric) || !rest.starts_with(char::is_alphanumeric) => (),
            '\\' if rest.starts_with(|it: char| it.is_ascii_punctuation()) => (),
            '[' => (),
            ']' if rest.starts_with('(') => rest = rest.split_once(')').map_or("", |it| it.1),
            ']' => (),
            _ => text.push(letter),
        }
    }
    shortened(&text.split_whitespace().collect::<Vec<_>>().join(" "), HEADING_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headings_tables_and_code_are_told_apart() {
        let text = "# A `b` [c](d)\n\ntext\n# Two #\n```sh\n# no heading\n|a|\n```\n\n| x | y |\n|---|:-:|\n| 1 | 2 |\n\n| no | table\n";
        let outline = scan(text);
        let headings: Vec<_> = outline.headings.iter().map(|it| (it.level, it.text.as_str(), it.offset)).collect();
        assert_eq!(headings, [(1, "A b c", 0), (1, "Two", text.find("# Two").unwrap())]);
        assert_eq!(outline.tables.len(), 1);
        assert_eq!(&text[outline.tables[0].clone()], "| x | y |\n|---|:-:|\n| 1 | 2 |");
    }

    #[test]
    fn blocks_cover_the_text_end_to_end() {
        for text in ["", "\n\n", "a", "a\n\n\nb\n", "```\nnever closed\n# x", "|a|\n|-|\nb\r\n# c\r\n~~~\nx\n~~~"] {
            let mut at = 0;
            for block in blocks(text) {
                assert_eq!(block.range.start, at, "{text:?}");
                at = block.range.end;
            }
            assert_eq!(at, text.len(), "{text:?}");
        }
    }
}
