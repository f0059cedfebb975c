//! Reading order: which rows are split into columns, and which are read across.
//!
//! A gutter is a blank strip with rows on both sides. Text in columns fills its lines, or each column has its own
//! baselines. Tables and pairs of labels and values share baselines and are short, so they are read row by row. Each
//! column is split again, as in the recursive x-y cut (Nagy 1992), but starting from the longest gutter instead of the
//! widest blank. A heading across the page thus ends one pair of columns and begins the next.

use super::word::{Row, Word};

/// The narrowest gutter, in font sizes.
const GUTTER: f32 = 0.9;
/// The fewest rows on each side of a gutter.
const ROWS_MIN: usize = 3;
/// A page with more rows is not text in columns.
const ROWS_MAX: usize = 600;
/// The deepest nesting of columns.
const DEPTH_MAX: usize = 8;

/// Splits the rows of a page into groups in reading order. Each group is read from top to bottom.
pub fn groups(rows: Vec<Row>) -> Vec<Vec<Row>> {
    let mut out = Vec::new();
    cut(rows, 0, &mut out);
    out
}

fn cut(rows: Vec<Row>, depth: usize, out: &mut Vec<Vec<Row>>) {
    let found = if depth < DEPTH_MAX && rows.len() <= ROWS_MAX { gutter(&rows) } else { None };
    let Some(Gutter { first, last, at }) = found else {
        if !rows.is_empty() {
            out.push(rows);
        }
        return;
    };
    let (mut above, mut left, mut right, mut below) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for (index, row) in rows.into_iter().enumerate() {
        match index {
            _ if index < first => above.push(row),
            _ if index > last => below.push(row),
            _ => {
                let (one, other): (Vec<Word>, Vec<Word>) = row.words.into_iter().partition(|it| it.left < at);
                for (words, side) in [(one, &mut left), (other, &mut right)] {
                    if !words.is_empty() {
                        side.push(row_of(words));
                    }
                }
            }
        }
    }
    for part in [above, left, right, below] {
        cut(part, depth + 1, out);
    }
}

/// The row formed by these words.
pub fn row_of(words: Vec<Word>) -> Row {
    let size = words.iter().map(|it| it.size).fold(0.0, f32::max);
    let base = words.iter().filter(|it| it.size == size).map(|it| it.base).fold(f32::MIN, f32::max);
    Row { words, base, size }
}

/// A strip between two columns: the rows beside it, and an x position inside it.
struct Gutter {
    first: usize,
    last: usize,
    at: f32,
}

/// The gutter with the most rows on both sides, if the text beside it is set in columns.
fn gutter(rows: &[Row]) -> Option<Gutter> {
    let mut best: Option<(usize, Gutter)> = None;
    let mut tried: Vec<(f32, f32, usize)> = Vec::new();
    for (start, row) in rows.iter().enumerate() {
        for gap in gaps(row).chain(sides(row, rows.get(start + 1))) {
            // A strip already followed from an earlier row does not reach more rows from here.
            if tried.iter().any(|(left, right, last)| *last >= start && *left < gap.1 && gap.0 < *right) {
                continue;
            }
            let Some((gutter, score, strip)) = grown(rows, start, gap) else { continue };
            tried.push((strip.0, strip.1, gutter.last));
            if best.as_ref().is_none_or(|it| it.0 < score) {
                best = Some((score, gutter));
            }
        }
    }
    best.map(|it| it.1)
}

/// The gaps between the words of a row that are wide enough.
fn gaps(row: &Row) -> impl Iterator<Item = (f32, f32)> {
    row.words.windows(2).map(|it| (it[0].right, it[1].left)).filter(|it| it.1 - it.0 >= GUTTER * row.size)
}

/// The gap between this row and the next if they are side by side, each on its own baseline.
fn sides(row: &Row, next: Option<&Row>) -> Option<(f32, f32)> {
    let next = next.filter(|it| it.base - row.base < 0.9 * row.size.min(it.size))?;
    let (gap, other) = ((row.right(), next.left()), (next.right(), row.left()));
    [gap, other].into_iter().find(|it| it.1 - it.0 >= GUTTER * row.size)
}

/// Follows a blank strip downwards until a word is inside it.
fn grown(rows: &[Row], start: usize, gap: (f32, f32)) -> Option<(Gutter, usize, (f32, f32))> {
    let (mut strip, mut last) = (gap, start);
    for (index, row) in rows.iter().enumerate().skip(start + 1) {
        let Some(next) = free(row, strip) else { break };
        (strip, last) = (next, index);
    }
    let at = (strip.0 + strip.1) / 2.0;
    let is_left = |row: &Row| row.words.first().is_some_and(|it| it.left < at);
    let is_right = |row: &Row| row.words.last().is_some_and(|it| it.left >= at);
    // Rows on only one side belong to the columns while the other side continues beside them.
    let both = |row: &Row| is_left(row) && is_right(row);
    let own = |index: usize| {
        let near = |other: usize| {
            rows.get(other).is_some_and(|it| {
                is_left(it) != is_left(&rows[index]) && (it.base - rows[index].base).abs() < rows[index].size
            })
        };
        near(index + 1) || (index > start && near(index - 1))
    };
    let beside = |index: &usize| both(&rows[*index]) || own(*index);
    let first = (start..=last).find(beside)?;
    let mut end = (start..=last).rev().find(beside)?;
    // The longer column continues with its own spacing.
    while end < last && rows[end + 1].base - rows[end].base < 1.6 * rows[end + 1].size.max(rows[end].size) {
        end += 1;
    }
    let band = &rows[first..=end];
    let score = band.iter().filter(|it| is_left(it)).count().min(band.iter().filter(|it| is_right(it)).count());
    (score >= ROWS_MIN && is_text(band, at)).then_some((Gutter { first, last: end, at }, score, strip))
}

/// The part of the strip that the words of this row leave free.
fn free(row: &Row, strip: (f32, f32)) -> Option<(f32, f32)> {
    let mut left = f32::MIN;
    let mut best: Option<(f32, f32)> = None;
    let rights = row.words.iter().map(|it| (it.left, it.right)).chain([(f32::MAX, f32::MAX)]);
    for (word_left, word_right) in rights {
        let (from, to) = (strip.0.max(left), strip.1.min(word_left));
        if to - from > best.map_or(0.8 * GUTTER * row.size.min(12.0), |it| it.1 - it.0) {
            best = Some((from, to));
        }
        left = left.max(word_right);
    }
    best
}

/// Whether the rows beside the strip are text in columns, and not a table or labels with values.
fn is_text(band: &[Row], at: f32) -> bool {
    let (mut sides, mut aligned) = ([Side::default(), Side::default()], 0);
    for row in band {
        let split = row.words.iter().position(|it| it.left >= at).unwrap_or(row.words.len());
        let parts = [&row.words[..split], &row.words[split..]];
        for (side, words) in sides.iter_mut().zip(parts) {
            side.add(words);
        }
        aligned += usize::from(parts.iter().all(|it| !it.is_empty()));
    }
    if sides.iter().any(|it| it.rows < ROWS_MIN) {
        return false;
    }
    let fewest = sides.iter().map(|it| it.rows).min().unwrap_or(0);
    if aligned * 2 < fewest {
        return true;
    }
    let labels = sides[0].labels * 2 >= sides[0].rows;
    let entries = sides.iter().all(|it| it.rows >= 8 && it.numbers * 10 >= it.rows * 6);
    let filled = sides.iter().all(|it| it.words >= 3 * it.rows && it.is_filled());
    !labels && (filled || entries)
}

/// The content on one side of a gutter.
#[derive(Default)]
struct Side {
    rows: usize,
    words: usize,
    /// Rows that end with a colon, or have one after their first words.
    labels: usize,
    /// Rows that end with a number, as in an index.
    numbers: usize,
    spans: Vec<(f32, f32)>,
}

impl Side {
    fn add(&mut self, words: &[Word]) {
        let (Some(first), Some(last)) = (words.first(), words.last()) else { return };
        self.rows += 1;
        // Scripts without spaces have about two letters per word.
        let long = |word: &Word| word.text.chars().filter(|it| *it >= '\u{2e80}').count() / 2;
        self.words += words.iter().map(|it| 1 + long(it)).sum::<usize>();
        self.labels += usize::from(words.iter().take(4).any(|it| it.text.ends_with(':')));
        self.numbers += usize::from(last.text.ends_with(|it: char| it.is_ascii_digit()));
        self.spans.push((first.left, last.right));
    }

    /// Whether most rows span most of the column's width.
    fn is_filled(&self) -> bool {
        let left = self.spans.iter().map(|it| it.0).fold(f32::MAX, f32::min);
        let right = self.spans.iter().map(|it| it.1).fold(f32::MIN, f32::max);
        let full = self.spans.iter().filter(|it| it.1 - it.0 > 0.7 * (right - left)).count();
        full * 2 >= self.rows
    }
}

#[cfg(test)]
mod tests {
    use super::{super::word, *};

    /// Rows of words as positioned on a page with letters 5 points wide.
    fn page(lines: &[&str]) -> Vec<Vec<String>> {
        let mut glyphs = Vec::new();
        for (index, line) in lines.iter().enumerate() {
            let mut spaced = true;
            for (column, letter) in line.chars().enumerate() {
                if letter == ' ' {
                    spaced = true;
                    continue;
                }
                let (left, base) = (column as f32 * 5.0, 100.0 + 12.0 * index as f32);
                let style = crate::ingest::reader::pdf::page::Style::default();
                glyphs.push(crate::ingest::reader::pdf::page::Glyph {
                    letter,
                    left,
                    right: left + 5.0,
                    base,
                    size: 10.0,
                    style,
                    spaced,
                    placed: false,
                    part: false,
                    ended: false,
                });
                spaced = false;
            }
        }
        let text = |row: &Row| row.words.iter().map(|it| it.text.as_str()).collect::<Vec<_>>().join(" ");
        groups(word::rows(&glyphs)).iter().map(|it| it.iter().map(text).collect()).collect()
    }

    #[test]
    fn columns_are_read_one_after_the_other() {
        let found = page(&[
            "A title that goes over both of the columns",
            "the first of all     the right column is",
            "rows goes on here    read after the left",
            "to its last line.    one, to its own end.",
            "A line that goes over both columns again..",
        ]);
        assert_eq!(found.len(), 4, "{found:?}");
        assert_eq!(found[1], ["the first of all", "rows goes on here", "to its last line."]);
        assert_eq!(found[2][0], "the right column is");
    }

    #[test]
    fn tables_and_labels_are_read_row_by_row() {
        let table =
            page(&["Part     Crane   Limit", "pin      K1      5 t", "rope     K2      8 t", "pawl     K3      3 t"]);
        assert_eq!(table.len(), 1, "{table:?}");
        let labels = page(&[
            "Invoice number: 4711      Ship to: Quay 5",
            "Invoice date: 3 May       City: Hamburg of",
            "Customer: Nordkai GmbH    Phone: 040 123 4",
        ]);
        assert_eq!(labels.len(), 1, "{labels:?}");
    }

    #[test]
    fn an_index_is_read_by_columns() {
        let lines = (0..12).map(|it| format!("entry{it}, {it}           other{it}, {it}")).collect::<Vec<_>>();
        let found = page(&lines.iter().map(String::as_str).collect::<Vec<_>>());
        assert_eq!(found.len(), 2, "{found:?}");
    }

    #[test]
    fn nothing_comes_of_nothing() {
        assert!(groups(Vec::new()).is_empty());
    }
}
