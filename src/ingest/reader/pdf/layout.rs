//! Turns a page into lines and tables in reading order.

use super::{
    aligned::{self, Part},
    bidi, column,
    page::{Page, Rule},
    ruled::{self, Table},
    word::{self, Row, Word},
};

/// A line of text.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Line {
    /// In reading order, with single spaces between words. Code keeps its spacing.
    pub text: String,
    pub left: f32,
    pub right: f32,
    pub base: f32,
    pub size: f32,
    pub bold: bool,
    pub mono: bool,
    /// The width of the first word, to tell whether it would have fitted into the line above.
    pub first: f32,
    /// Its column: the number on the page, and the edges.
    pub column: usize,
    pub column_left: f32,
    pub column_right: f32,
    /// Whether the text is upright on the page and does not run along an edge.
    pub upright: bool,
    pub leaders: bool,
    /// Set later, for lines that turn out to be headings.
    pub heading: Option<u8>,
}

#[derive(Debug, Clone, PartialEq)]
pub enum Block {
    Line(Line),
    Table { table: Table, base: f32 },
}

/// The content of a page, and its size in points.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Sheet {
    pub blocks: Vec<Block>,
    pub width: f32,
    pub height: f32,
}

impl Sheet {
    pub fn lines(&self) -> impl Iterator<Item = &Line> {
        self.blocks.iter().filter_map(|it| match it {
            Block::Line(line) => Some(line),
            Block::Table { .. } => None,
        })
    }
}

/// Lays out a page: text in the main direction first, then text that is rotated differently.
pub fn sheet(page: &Page) -> Sheet {
    let main = page.main_turn();
    let (mut width, mut height) = (page.width, page.height);
    if main % 2 == 1 {
        (width, height) = (height, width);
    }
    let mut sheet = Sheet { blocks: Vec::new(), width, height };
    let mut columns = 0;
    for turn in [main].into_iter().chain((0..4).filter(|it| *it != main)) {
        let glyphs = &page.glyphs[usize::from(turn)];
        if glyphs.is_empty() {
            continue;
        }
        let rules = page.turned_rules(turn);
        let (rows, tables) = without_tables(word::rows(glyphs), &rules);
        let mut tables: Vec<Option<(Table, f32)>> = tables.into_iter().map(Some).collect();
        for group in column::groups(rows) {
            columns += 1;
            let edges = edges(&group);
            for part in aligned::parts(group, &rules) {
                match part {
                    Part::Table(table) => {
                        let base = sheet.lines().last().map_or(0.0, |it| it.base);
                        sheet.blocks.push(Block::Table { table: read(table), base });
                    }
                    Part::Row(row) => {
                        let line =
                            |words: &[Word]| Block::Line(Line { upright: turn == main, ..line(words, columns, edges) });
                        for words in row.words.chunk_by(|a, b| a.table.is_none() && b.table.is_none()) {
                            match words[0].table.and_then(|it| tables.get_mut(it)).and_then(Option::take) {
                                Some((table, base)) => sheet.blocks.push(Block::Table { table: read(table), base }),
                                None => sheet.blocks.push(line(words)),
                            }
                        }
                    }
                }
            }
        }
    }
    sheet
}

/// The table with the text of each cell in reading order.
fn read(mut table: Table) -> Table {
    for cell in table.cells.iter_mut().flatten() {
        *cell = bidi::in_reading_order(cell);
    }
    table
}

/// Removes the ruled tables from the rows. A placeholder word marks the position of each.
fn without_tables(mut rows: Vec<Row>, rules: &[Rule]) -> (Vec<Row>, Vec<(Table, f32)>) {
    let mut tables: Vec<(Table, f32)> = Vec::new();
    for grid in ruled::grids(rules) {
        let inside: Vec<Row> = rows
            .iter()
            .filter(|it| it.base >= grid.top() && it.base - it.size <= grid.bottom())
            .map(|row| Row {
                words: row.words.iter().filter(|it| it.table.is_none() && grid.contains(it)).cloned().collect(),
                ..*row
            })
            .filter(|it| !it.words.is_empty())
            .collect();
        let Some(table) = grid.table(&inside) else { continue };
        rows.iter_mut().for_each(|row| row.words.retain(|it| it.table.is_some() || !grid.contains(it)));
        rows.retain(|it| !it.words.is_empty());
        let base = (grid.top() + grid.bottom()) / 2.0;
        let word = Word::of_table(tables.len(), grid.xs[0], grid.xs[grid.xs.len() - 1], base);
        let at = rows.partition_point(|it| it.base < base);
        rows.insert(at, column::row_of(vec![word]));
        tables.push((table, base));
    }
    (rows, tables)
}

fn edges(rows: &[Row]) -> (f32, f32) {
    (rows.iter().map(Row::left).fold(f32::MAX, f32::min), rows.iter().map(Row::right).fold(f32::MIN, f32::max))
}

fn line(words: &[Word], column: usize, (column_left, column_right): (f32, f32)) -> Line {
    let letters: usize = words.iter().map(|it| it.count).sum();
    let share = |has: &dyn Fn(&Word) -> bool| {
        words.iter().filter(|it| has(it)).map(|it| it.count).sum::<usize>() * 10 >= letters * 9
    };
    let (bold, mono) = (share(&|it| it.style.bold), share(&|it| it.style.mono));
    let text = bidi::in_reading_order(&if mono { spaced(words) } else { joined(words) });
    let leaders = aligned::has_leaders(&text);
    let size = words.iter().map(|it| it.size).fold(0.0, f32::max);
    Line {
        text: if leaders { without_leaders(&text) } else { text },
        left: words.iter().map(|it| it.left).fold(f32::MAX, f32::min),
        right: words.iter().map(|it| it.right).fold(f32::MIN, f32::max),
        base: words.iter().filter(|it| it.size == size).map(|it| it.base).fold(f32::MIN, f32::max),
        size,
        bold,
        mono,
        first: words.first().map_or(0.0, |it| it.right - it.left),
        column,
        column_left,
        column_right,
        leaders,
        ..Line::default()
    }
}

/// Letters of scripts without spaces between words.
pub fn is_unspaced(letter: char) -> bool {
    matches!(letter, '\u{2e80}'..='\u{a4cf}' | '\u{f900}'..='\u{faff}' | '\u{fe30}'..='\u{fe4f}' | '\u{ff00}'..='\u{ffef}' | '\u{20000}'..='\u{3ffff}')
}

fn joined(words: &[Word]) -> String {
    let mut text = String::new();
    let mut before: Option<&Word> = None;
    for word in words {
        let tight = before.is_some_and(|it| {
            let both = it.text.ends_with(is_unspaced) && word.text.starts_with(is_unspaced);
            both && !word.spaced && word.left - it.right < 0.6 * word.size
        });
        if before.is_some() && !tight {
            text.push(' ');
        }
        text.push_str(&word.text);
        before = Some(word);
    }
    text
}

/// For code: as many spaces as fit into each gap.
fn spaced(words: &[Word]) -> String {
    let mut text = String::new();
    let mut right: Option<f32> = None;
    for word in words {
        if let Some(right) = right {
            let blanks = ((word.left - right) / letter_width(word)).round().clamp(1.0, 100.0);
            text.push_str(&" ".repeat(blanks as usize));
        }
        text.push_str(&word.text);
        right = Some(word.right);
    }
    text
}

fn letter_width(word: &Word) -> f32 {
    ((word.right - word.left) / word.count.max(1) as f32).max(0.1)
}

/// The text without the dots that lead to a page number.
fn without_leaders(text: &str) -> String {
    let words = text.split_whitespace().map(|it| it.trim_end_matches(['.', '․', '·', '…'])).filter(|it| !it.is_empty());
    words
        .map(|it| it.trim_start_matches(['․', '·', '…']))
        .map(undotted)
        .filter(|it| !it.is_empty())
        .collect::<Vec<_>>()
        .join(" ")
}

/// Splits `Winches.....5` into two words.
fn undotted(word: &str) -> String {
    let parts = word.split("...").map(|it| it.trim_matches('.')).filter(|it| !it.is_empty());
    parts.collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn leaders_go() {
        for (text, expected) in [
            ("Winches . . . . . . 5", "Winches 5"),
            ("Winches.......5", "Winches 5"),
            ("1.2 Winches etc. ..... 12", "1.2 Winches etc 12"),
        ] {
            assert_eq!(without_leaders(text), expected);
        }
    }
}
