//! Tables without ruling lines: rows whose words are aligned in columns (the "stream" method of Tabula).

use super::{
    page::Rule,
    ruled::Table,
    word::{Row, Word},
};

/// The narrowest gap between two columns, in font sizes.
const GAP: f32 = 0.9;
/// Rows farther apart than this, in font sizes, belong to different tables.
const APART: f32 = 3.2;
/// Cells with more words on average are running text.
const WORDS_MAX: usize = 9;
const COLUMNS_MAX: usize = 32;

/// Part of a group of rows.
#[derive(Debug, PartialEq)]
pub enum Part {
    Row(Row),
    Table(Table),
}

/// Finds the tables among the rows of one group. `rules` are the ruling lines of the page: tables in books have one
/// above and one below.
pub fn parts(rows: Vec<Row>, rules: &[Rule]) -> Vec<Part> {
    let mut out = Vec::new();
    let mut rows = std::collections::VecDeque::from(rows);
    while let Some(first) = rows.front() {
        let found = match cells_of(first).len() {
            2.. => grown(rows.make_contiguous(), rules),
            _ => None,
        };
        match found {
            Some((count, table)) => {
                rows.drain(..count);
                out.push(Part::Table(table));
            }
            None => out.extend(rows.pop_front().map(Part::Row)),
        }
    }
    out
}

/// Splits a row into cells at its wide gaps.
fn cells_of(row: &Row) -> Vec<&[Word]> {
    row.words.chunk_by(|a, b| b.left - a.right < GAP * row.size.min(14.0)).collect()
}

type Span = (f32, f32);

fn spans_of(row: &Row) -> Vec<Span> {
    cells_of(row).iter().map(|it| (it[0].left, it[it.len() - 1].right)).collect()
}

/// The table that begins with the first of these rows, and its number of rows.
fn grown(rows: &[Row], rules: &[Rule]) -> Option<(usize, Table)> {
    let mut columns = spans_of(&rows[0]);
    let (mut count, mut full) = (1, 1);
    for (before, row) in rows.iter().zip(&rows[1..]) {
        let apart = row.base - before.base;
        let spans = spans_of(row);
        let blank = GAP * row.size.min(14.0);
        let next = united(&columns, &spans, blank);
        let fewer = next.len() < columns.len() && !(full == 1 && spans.len() >= 2 && next.len() >= 2);
        let is_table = row.words.iter().any(|it| it.table.is_some());
        // A row with one cell continues the cell above it, unless it starts a line of text.
        let lone = spans.len() == 1 && (spans[0].0 <= columns[0].1 || rows.get(count + 1).is_none());
        let lone = lone && !rows.get(count + 1).is_some_and(|it| continues(it, row, &next, blank));
        // A running head is farther from the page than a first row from the second.
        let limit = if count == 1 { 2.1 } else { APART };
        if apart > limit * row.size.max(before.size) || fewer || is_table || next.len() > COLUMNS_MAX || lone {
            break;
        }
        full += usize::from(spans.len() >= 2);
        (columns, count) = (next, count + 1);
    }
    while count > 0 && spans_of(&rows[count - 1]).len() < 2 && spans_of(&rows[count - 1])[0].0 <= columns[0].1 {
        count -= 1;
    }
    let rows = &rows[..count];
    (is_table(rows, &columns, full, rules)).then(|| (count, filled(rows, &columns)))
}

/// Whether this row, which follows a row with a single cell, is still aligned with the table's columns.
fn continues(row: &Row, before: &Row, columns: &[Span], blank: f32) -> bool {
    let spans = spans_of(row);
    spans.len() >= 2 && row.base - before.base < 2.0 * row.size && united(columns, &spans, blank).len() >= columns.len()
}

/// Merges the columns with the word spans of another row. Spans that touch, or nearly touch, become one.
fn united(columns: &[Span], spans: &[Span], blank: f32) -> Vec<Span> {
    let mut all: Vec<Span> = columns.iter().chain(spans).copied().collect();
    all.sort_by(|a, b| a.0.total_cmp(&b.0));
    let mut out: Vec<Span> = Vec::with_capacity(all.len());
    for span in all {
        match out.last_mut() {
            Some(last) if span.0 - last.1 < 0.5 * blank => last.1 = last.1.max(span.1),
            _ => out.push(span),
        }
    }
    out
}

/// Whether aligned rows are a table, and not a list, a table of contents, code, or pairs of labels and values.
fn is_table(rows: &[Row], columns: &[Span], full: usize, rules: &[Rule]) -> bool {
    let cells: Vec<Vec<&[Word]>> = rows.iter().map(cells_of).collect();
    let first = || cells.iter().filter_map(|it| it.first());
    let text = |cell: &[Word]| cell.iter().map(|it| it.text.as_str()).collect::<Vec<_>>().join(" ");
    let labels = first().filter(|it| text(it).ends_with(':')).count();
    let marks = first().filter(|it| is_mark(&text(it))).count();
    let mono = rows.iter().filter(|row| row.words.iter().all(|it| it.style.mono)).count();
    let words: usize = rows.iter().map(|it| it.words.len()).sum();
    let count: usize = cells.iter().map(Vec::len).sum();
    let leaders = cells.iter().filter(|it| it.iter().any(|cell| has_leaders(&text(cell)))).count();
    if marks * 2 > rows.len() || mono * 2 > rows.len() || leaders > 0 || words > WORDS_MAX * count {
        return false;
    }
    let numbered = cells.iter().filter(|it| it.len() >= 2 && it.last().is_some_and(|it| is_number(&text(it)))).count();
    let lined = is_between_rules(rows, columns, rules);
    match columns.len() {
        0 | 1 => false,
        2 if lined => full >= 2,
        // Two columns may be titles with page numbers, labels with values, or terms with definitions.
        2 => {
            full >= 4
                && labels * 3 < rows.len()
                && numbered * 2 < rows.len()
                && full * 10 >= rows.len() * 6
                && has_edges(&cells)
        }
        _ => full >= 2 && labels * 2 < rows.len() && (has_edges(&cells) || lined),
    }
}

/// Whether the cells of the second column are aligned at their start or end.
fn has_edges(cells: &[Vec<&[Word]>]) -> bool {
    let second = || cells.iter().filter_map(|it| it.get(1));
    let total = second().count();
    let most = |edge: &dyn Fn(&[Word]) -> f32| {
        let mut places: Vec<i32> = second().map(|it| (edge(it) / 3.0).round() as i32).collect();
        places.sort_unstable();
        places.chunk_by(|a, b| b - a <= 1).map(<[i32]>::len).max().unwrap_or(0)
    };
    let (left, right) = (most(&|it| it[0].left), most(&|it| it[it.len() - 1].right));
    let middle = most(&|it| (it[0].left + it[it.len() - 1].right) / 2.0);
    left.max(right).max(middle) * 10 >= total * 6
}

/// Whether there are ruling lines as wide as the columns close above and below the rows.
fn is_between_rules(rows: &[Row], columns: &[Span], rules: &[Rule]) -> bool {
    let (left, right) = (columns[0].0, columns[columns.len() - 1].1);
    let (top, bottom) = (rows[0].base - rows[0].size, rows[rows.len() - 1].base);
    let wide = || rules.iter().filter(|it| it.is_horizontal() && it.x0 <= left + 12.0 && it.x1 >= right - 12.0);
    let near = |y: f32| wide().any(|it| (it.y0 - y).abs() < 14.0);
    near(top) && near(bottom + 3.0)
}

fn is_number(text: &str) -> bool {
    text.chars().all(|it| it.is_ascii_digit()) || text.chars().all(|it| "ivxlcIVXLC".contains(it))
}

/// A bullet or number before a list item.
pub fn is_mark(text: &str) -> bool {
    let mut letters = text.chars();
    match (letters.next(), letters.next()) {
        (Some(letter), None) => is_bullet(letter) || letter == 'o' || letter == '-' || letter == '*',
        _ => {
            let bare = text.trim_start_matches(['(', '[']);
            let digits = bare.trim_end_matches(['.', ')', ']', ':']);
            digits.len() < bare.len()
                && digits.len() <= 8
                && digits
                    .chars()
                    .all(|it| it.is_ascii_digit() || it == '.' || it.is_ascii_alphabetic() && digits.len() <= 3)
        }
    }
}

/// Bullet characters of list items.
pub fn is_bullet(letter: char) -> bool {
    matches!(
        letter,
        '•' | '◦'
            | '▪'
            | '▫'
            | '■'
            | '□'
            | '●'
            | '○'
            | '‣'
            | '⁃'
            | '∙'
            | '·'
            | '–'
            | '—'
            | '➢'
            | '➤'
            | '✓'
            | '❖'
            | '►'
            | '▸'
            | '★'
            | '☐'
    )
}

/// Dots between a title and its page number.
pub fn has_leaders(text: &str) -> bool {
    let mut dots = 0;
    text.chars().any(|letter| {
        match letter {
            '.' | '․' | '·' | '…' => dots += 1,
            ' ' => (),
            _ => dots = 0,
        }
        dots >= 4
    })
}

fn filled(rows: &[Row], columns: &[Span]) -> Table {
    let mut cells: Vec<Vec<String>> = Vec::new();
    for (index, row) in rows.iter().enumerate() {
        let mut line = vec![String::new(); columns.len()];
        for word in &row.words {
            let middle = (word.left + word.right) / 2.0;
            let column = columns.partition_point(|it| it.0 <= middle).max(1) - 1;
            let cell = &mut line[column];
            if !cell.is_empty() {
                cell.push(' ');
            }
            cell.push_str(&word.text);
        }
        let used = line.iter().filter(|it| !it.is_empty()).count();
        // The second line of a cell is close below the first, with nothing next to its label.
        let close = index > 0 && row.base - rows[index - 1].base < 1.35 * row.size && line[0].is_empty();
        match cells.last_mut() {
            Some(above) if close && used < columns.len() && index > 1 => {
                for (cell, more) in above.iter_mut().zip(line).filter(|it| !it.1.is_empty()) {
                    if !cell.is_empty() {
                        cell.push(' ');
                    }
                    cell.push_str(&more);
                }
            }
            _ => cells.push(line),
        }
    }
    Table { cells }
}

#[cfg(test)]
mod tests {
    use super::{super::word::Row, *};

    fn rows(lines: &[&str]) -> Vec<Row> {
        let mut out = Vec::new();
        for (index, line) in lines.iter().enumerate() {
            let base = 100.0 + 12.0 * index as f32;
            let mut words: Vec<Word> = Vec::new();
            let mut blank = true;
            for (column, letter) in line.chars().enumerate() {
                let left = column as f32 * 5.0;
                match words.last_mut().filter(|_| !blank && letter != ' ') {
                    Some(word) => {
                        word.text.push(letter);
                        word.right = left + 5.0;
                    }
                    None if letter != ' ' => words.push(Word {
                        text: letter.to_string(),
                        size: 10.0,
                        table: None,
                        ..Word::of_table(0, left, left + 5.0, base)
                    }),
                    None => (),
                }
                blank = letter == ' ';
            }
            out.push(Row { words, base, size: 10.0 });
        }
        out
    }

    fn tables(lines: &[&str]) -> Vec<Vec<Vec<String>>> {
        let found = parts(rows(lines), &[]).into_iter();
        found.filter_map(|it| if let Part::Table(table) = it { Some(table.cells) } else { None }).collect()
    }

    #[test]
    fn columns_of_words_are_a_table() {
        let found = tables(&[
            "Text before it goes on",
            "Part     Crane   Limit",
            "pin      K1      5 t",
            "rope     K2      8 t",
            "And text after it.",
        ]);
        assert_eq!(found.len(), 1);
        assert_eq!(found[0][0], ["Part", "Crane", "Limit"]);
        assert_eq!(found[0][2], ["rope", "K2", "8 t"]);
    }

    #[test]
    fn labels_lists_and_contents_are_no_tables() {
        for lines in [
            &[
                "Invoice number:   4711-B",
                "Invoice date:     3 May 2024",
                "Customer:         Nordkai",
                "Due date:         31 May",
                "Amount:           1,250.00",
            ][..],
            &["•   the first entry", "•   the second entry", "•   the third entry", "•   the fourth entry"],
            &["1.   the first entry", "2.   the second entry", "3.   the third entry", "4.   the fourth entry"],
            &["Introduction      1", "Ropes and anchors 5", "Winches           9", "Index            12"],
            &["A single   line"],
        ] {
            assert!(tables(lines).is_empty(), "{lines:?}");
        }
    }

    #[test]
    fn marks_and_leaders_are_known() {
        for (text, mark) in
            [("•", true), ("1.", true), ("(a)", true), ("2.3.", true), ("pin", false), ("1", false), ("Limit:", false)]
        {
            assert_eq!(is_mark(text), mark, "{text}");
        }
        assert!(has_leaders("Winches . . . . . 5") && has_leaders("Winches......5") && !has_leaders("and so on... 5"));
    }
}
