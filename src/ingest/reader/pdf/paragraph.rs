//! Turns lines into paragraphs, list items, code and headings in Markdown.

use super::{
    aligned::{is_bullet, is_mark},
    layout::{Block, Line, Sheet, is_unspaced},
};
use crate::ingest::reader::{
    table::{push_row, push_rule},
    writer::fence_for,
};
use std::collections::HashSet;

/// The words of a document, used to judge hyphens at line ends.
#[derive(Default)]
pub struct Words {
    whole: HashSet<String>,
}

/// The most words that are kept. A document with more has enough of them.
const WORDS_MAX: usize = 400_000;

impl Words {
    /// Learns the words of a page, except those that begin or end a line with a hyphen.
    pub fn learn(&mut self, sheet: &Sheet) {
        for line in sheet.lines() {
            let mut words = line.text.split_whitespace().peekable();
            while let Some(word) = words.next() {
                let bare = bare(word);
                let last = words.peek().is_none() && word.ends_with(['-', '\u{ad}', '‐']);
                if !last && bare.len() >= 3 && self.whole.len() < WORDS_MAX && !self.whole.contains(bare) {
                    self.whole.insert(bare.to_string());
                }
            }
        }
    }

    /// Whether the two parts are one word without a hyphen.
    fn are_one(&self, head: &str, tail: &str) -> bool {
        let (head, tail) = (bare(head), bare(tail));
        let hyphened = self.whole.contains(&format!("{head}-{tail}"));
        let joined = self.whole.contains(&format!("{head}{tail}"));
        joined || !hyphened && !head.contains('-')
    }
}

fn bare(word: &str) -> &str {
    word.trim_matches(|it: char| !it.is_alphanumeric())
}

/// Writes the blocks of the pages in order.
pub struct Writer<'w> {
    pub markdown: String,
    words: &'w Words,
}

impl<'w> Writer<'w> {
    pub fn new(words: &'w Words) -> Writer<'w> {
        Writer { markdown: String::new(), words }
    }

    /// Writes one page. Returns where its text begins; None if it has none.
    pub fn page(&mut self, sheet: &Sheet) -> Option<usize> {
        let before = self.markdown.len();
        let mut start = None;
        let mut blocks = &sheet.blocks[..];
        while let Some(first) = blocks.first() {
            self.part();
            start = start.or(Some(self.markdown.len()));
            let count = match first {
                Block::Table { table, .. } => {
                    let width = table.cells.iter().map(Vec::len).max().unwrap_or(0);
                    for (index, row) in table.cells.iter().enumerate() {
                        push_row(&mut self.markdown, row.iter(), width);
                        if index == 0 {
                            push_rule(&mut self.markdown, width);
                        }
                    }
                    1
                }
                Block::Line(line) => self.lines(line, blocks),
            };
            blocks = &blocks[count..];
        }
        let kept = self.markdown.trim_end().len();
        self.markdown.truncate(kept.max(before));
        start.filter(|it| *it < self.markdown.len())
    }

    /// Writes a text unchanged. Returns where it begins; None if it is empty.
    pub fn text(&mut self, text: &str) -> Option<usize> {
        if text.trim().is_empty() {
            return None;
        }
        self.part();
        let start = self.markdown.len();
        self.markdown.push_str(text.trim());
        Some(start)
    }

    /// Begins a new paragraph.
    fn part(&mut self) {
        let kept = self.markdown.trim_end().len();
        self.markdown.truncate(kept);
        if kept > 0 {
            self.markdown.push_str("\n\n");
        }
    }

    /// Writes the block that begins with this line. Returns the number of lines that it used.
    fn lines(&mut self, first: &Line, blocks: &[Block]) -> usize {
        if let Some(level) = first.heading {
            self.markdown.push_str(&"#".repeat(usize::from(level)));
            self.markdown.push(' ');
            self.markdown.push_str(first.text.trim());
            return 1;
        }
        let lines = || blocks.iter().map_while(|it| if let Block::Line(line) = it { Some(line) } else { None });
        if first.mono {
            let code: Vec<&Line> =
                lines().take_while(|it| it.mono && it.heading.is_none() && it.column == first.column).collect();
            if code.len() > 1 {
                self.code(&code);
                return code.len();
            }
        }
        let pitch = pitch(first, lines());
        let mut text = String::new();
        let mut count = 0;
        let mut before: Option<&Line> = None;
        for line in lines() {
            let joins = before.map_or(Join::Space, |it| join(it, line, pitch));
            match joins {
                Join::New => break,
                Join::Space => self.append(&mut text, &line.text),
                Join::Line => {
                    text.push('\n');
                    text.push_str(&escaped(&itemized(&line.text)));
                }
            }
            if before.is_none() {
                text = escaped(&itemized(&line.text));
            }
            (before, count) = (Some(line), count + 1);
        }
        self.markdown.push_str(&text.replace('\u{ad}', ""));
        count
    }

    fn code(&mut self, lines: &[&Line]) {
        let left = lines.iter().map(|it| it.left).fold(f32::MAX, f32::min);
        let mut code = String::new();
        let mut base: Option<f32> = None;
        for line in lines {
            let letters = line.text.chars().count().max(1) as f32;
            let width = ((line.right - line.left) / letters).max(0.1);
            let indent = ((line.left - left) / width).round().clamp(0.0, 80.0) as usize;
            if base.is_some_and(|it| line.base - it > 1.9 * line.size) {
                code.push('\n');
            }
            code.push_str(&" ".repeat(indent));
            code.push_str(&line.text);
            code.push('\n');
            base = Some(line.base);
        }
        let fence = fence_for(&code);
        for part in [&fence, "\n", &code, &fence] {
            self.markdown.push_str(part);
        }
    }

    /// Continues the paragraph with its next line.
    fn append(&self, text: &mut String, next: &str) {
        if text.is_empty() {
            return;
        }
        let hyphen = text.ends_with(['-', '\u{ad}', '‐']);
        let letter = text.chars().rev().nth(1).is_some_and(char::is_alphabetic);
        if hyphen && letter && next.starts_with(char::is_lowercase) {
            let head = text.rsplit(char::is_whitespace).next().unwrap_or_default();
            let tail = next.split(char::is_whitespace).next().unwrap_or_default();
            let soft = text.ends_with('\u{ad}');
            if soft || self.words.are_one(head, tail) {
                text.pop();
            }
        } else if text.ends_with('\u{ad}') {
            text.pop();
        } else if !(text.ends_with(is_unspaced) && next.starts_with(is_unspaced)) {
            text.push(' ');
        }
        text.push_str(next);
    }
}

enum Join {
    /// A new paragraph.
    New,
    /// The same paragraph.
    Space,
    /// A new line in the same list, or among lines that were broken on purpose.
    Line,
}

/// The usual line distance in the paragraph that begins with `first`: the smallest distance among the next lines.
fn pitch<'l>(first: &Line, lines: impl Iterator<Item = &'l Line>) -> f32 {
    let near: Vec<&Line> = lines.take(8).take_while(|it| it.column == first.column).collect();
    let pitches = near.windows(2).map(|it| it[1].base - it[0].base).filter(|it| *it > 0.5 * first.size);
    pitches.fold(2.2 * first.size, f32::min)
}

fn join(above: &Line, line: &Line, pitch: f32) -> Join {
    let apart = line.base - above.base;
    let other = line.column != above.column || line.heading.is_some() || line.upright != above.upright;
    let resized = (line.size - above.size).abs() > 0.15 * above.size;
    if other || resized || line.mono && above.mono || apart <= 0.0 || apart > (1.35 * pitch).max(1.3 * line.size) {
        return Join::New;
    }
    let wide = apart > 1.15 * pitch && apart > 1.25 * line.size;
    let labels = has_label(&line.text) && has_label(&above.text);
    if begins_entry(&line.text) || line.leaders || above.leaders || labels {
        return if wide { Join::New } else { Join::Line };
    }
    // The first word of this line would have fitted into the line above, so the line was broken on purpose.
    let room = above.column_right - above.right;
    let parted = above.text.ends_with(['-', '\u{ad}', '‐']);
    let fitted = room > line.first + 1.2 * line.size && !line.text.starts_with(is_unspaced) && !parted;
    let indented = line.left > above.left + 0.9 * line.size
        && !begins_entry(&above.text)
        && above.left < above.column_left + 0.5 * line.size;
    match () {
        () if wide && (fitted || indented) => Join::New,
        () if indented && !fitted && ends_sentence(&above.text) => Join::New,
        () if fitted && (ends_sentence(&above.text) || room > 0.3 * (above.column_right - above.column_left)) => {
            Join::Line
        }
        () if wide => Join::New,
        () => Join::Space,
    }
}

/// Whether the line begins with a label, such as `Due date:`.
fn has_label(text: &str) -> bool {
    text.split_whitespace().take(4).any(|it| it.ends_with(':'))
}

fn ends_sentence(text: &str) -> bool {
    text.ends_with(['.', '!', '?', ':', '。', '！', '？', '"', '”', ')'])
}

fn begins_entry(text: &str) -> bool {
    text.split_once(' ')
        .is_some_and(|it| is_mark(it.0) && it.0.len() > 1 || it.0.chars().count() == 1 && it.0.starts_with(is_bullet))
}

/// A bullet in Markdown.
fn itemized(text: &str) -> String {
    match text.split_once(' ') {
        Some((mark, rest)) if mark.chars().count() == 1 && mark.starts_with(is_bullet) => format!("- {rest}"),
        _ => text.to_string(),
    }
}

/// Escapes text that would otherwise be read as markup.
fn escaped(text: &str) -> String {
    match ["#", "```", "~~~"].iter().any(|it| text.starts_with(it)) {
        true => format!("\\{text}"),
        false => text.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sheet(lines: &[(&str, f32, f32)]) -> Sheet {
        let line = |(text, left, base): &(&str, f32, f32)| {
            let right = left + 5.0 * text.chars().count() as f32;
            let first = 5.0 * text.split(' ').next().unwrap_or_default().len() as f32;
            let (column_left, column_right) = (0.0, 200.0);
            Block::Line(Line {
                text: text.to_string(),
                left: *left,
                right,
                base: *base,
                size: 10.0,
                first,
                column_left,
                column_right,
                upright: true,
                ..Line::default()
            })
        };
        Sheet { blocks: lines.iter().map(line).collect(), width: 600.0, height: 800.0 }
    }

    fn written(lines: &[(&str, f32, f32)]) -> String {
        let sheet = sheet(lines);
        let mut words = Words::default();
        words.learn(&sheet);
        let mut writer = Writer::new(&words);
        writer.page(&sheet);
        writer.markdown
    }

    #[test]
    fn lines_join_to_paragraphs_and_gaps_part_them() {
        let text = written(&[
            ("The winch holds the anchor firmly and so", 0.0, 10.0),
            ("it goes on in the second line of the text", 0.0, 22.0),
            ("and ends.", 0.0, 34.0),
            ("A second paragraph.", 0.0, 60.0),
        ]);
        assert_eq!(
            text,
            "The winch holds the anchor firmly and so it goes on in the second line of the text and ends.\n\nA second paragraph."
        );
    }

    #[test]
    fn hyphens_at_line_ends_go_unless_the_word_has_one() {
        let text = written(&[
            ("A load-carrying rope of eirmod and one load-", 0.0, 10.0),
            ("carrying beam, and so on it goes to the eir-", 0.0, 22.0),
            ("mod and to the unseen word of an uncer-", 0.0, 34.0),
            ("tain kind", 0.0, 46.0),
        ]);
        assert_eq!(
            text,
            "A load-carrying rope of eirmod and one load-carrying beam, and so on it goes to the eirmod and to the unseen word of an uncertain kind"
        );
    }

    #[test]
    fn lists_and_labels_keep_their_lines() {
        assert_eq!(written(&[("• one entry", 10.0, 10.0), ("• another", 10.0, 22.0)]), "- one entry\n- another");
        assert_eq!(
            written(&[("Invoice number: 4711-B", 0.0, 10.0), ("Invoice date: 3 May", 0.0, 22.0)]),
            "Invoice number: 4711-B\nInvoice date: 3 May"
        );
        assert_eq!(written(&[("# no heading", 0.0, 10.0)]), "\\# no heading");
        assert_eq!(written(&[]), "");
    }
}
