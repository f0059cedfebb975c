//! Tables. Cells are first written as ordinary text; when the table ends and turns out to be a real one, it is
//! rewritten as a pipe table.

use super::writer::Writer;
use std::ops::Range;

/// Wider tables stay text: as a pipe table they would be unreadable and could grow enormously.
const COLUMNS_MAX: usize = 64;
/// A longer cell is page layout, not data, in bytes.
const CELL_MAX: usize = 1200;

#[derive(Default)]
pub(super) struct Table {
    rows: Vec<Vec<Range<usize>>>,
    /// The start of the open cell.
    open: Option<usize>,
    /// Whether the table contains something that a pipe table can't hold: code, a heading, a list, another table.
    pub complex: bool,
}

impl Table {
    pub fn open_row(&mut self, writer: &mut Writer) {
        self.close_cell(writer);
        self.rows.push(Vec::new());
    }

    pub fn open_cell(&mut self, writer: &mut Writer, span: usize) {
        self.close_cell(writer);
        if self.rows.is_empty() {
            self.rows.push(Vec::new());
        }
        if let Some(row) = self.rows.last_mut() {
            // Spanned columns stay empty, so that the following cells keep their columns.
            let here = writer.text.len();
            let room = COLUMNS_MAX.saturating_sub(row.len());
            row.extend(std::iter::repeat_n(here..here, span.saturating_sub(1).min(room)));
        }
        writer.break_line(1);
        self.open = Some(writer.text.len());
    }

    pub fn close_cell(&mut self, writer: &mut Writer) {
        let Some(start) = self.open.take() else { return };
        writer.close_code();
        writer.break_line(1);
        let range = start..writer.text.len();
        let Some(row) = self.rows.last_mut() else { return };
        // The text of a spanning cell goes into the first of its columns.
        let spanned = row.iter().rev().take_while(|it| it.is_empty() && it.start == start).count();
        let at = row.len() - spanned;
        row.insert(at, range);
    }

    /// Ends the table. If it is a real one, rewrites its text as a pipe table and returns true.
    pub fn close(mut self, writer: &mut Writer) -> bool {
        self.close_cell(writer);
        self.rows.retain(|row| row.iter().any(|it| !text_of(writer, it).trim().is_empty()));
        let width = self.rows.iter().map(Vec::len).max().unwrap_or(0);
        let fits = self.rows.iter().flatten().all(|it| it.len() <= CELL_MAX);
        let start = self.rows.iter().flatten().map(|it| it.start).next();
        let Some(start) = start.filter(|_| (2..=COLUMNS_MAX).contains(&width) && fits && !self.complex) else {
            return false;
        };
        let mut pipes = String::new();
        for (index, row) in self.rows.iter().enumerate() {
            let cells = row.iter().map(|it| text_of(writer, it));
            push_row(&mut pipes, cells, width);
            if index == 0 {
                push_rule(&mut pipes, width);
            }
        }
        writer.text.truncate(start);
        let kept = writer.text.trim_end().len();
        writer.text.truncate(kept);
        if kept > 0 {
            writer.text.push_str("\n\n");
        }
        writer.text.push_str(pipes.trim_end());
        true
    }
}

/// Empty if a block inside the cell has rewritten the text.
fn text_of<'a>(writer: &'a Writer, cell: &Range<usize>) -> &'a str {
    writer.text.get(cell.clone()).unwrap_or_default()
}

/// Writes one row of a pipe table, padded to `width` cells. Line breaks become spaces.
pub(super) fn push_row<T: AsRef<str>>(out: &mut String, cells: impl Iterator<Item = T>, width: usize) {
    out.push('|');
    let mut count = 0;
    for cell in cells {
        out.push(' ');
        for word in cell.as_ref().split_whitespace() {
            out.push_str(&word.replace('|', "\\|"));
            out.push(' ');
        }
        out.push('|');
        count += 1;
    }
    out.push_str(&" |".repeat(width.saturating_sub(count)));
    out.push('\n');
}

pub(super) fn push_rule(out: &mut String, width: usize) {
    out.push('|');
    out.push_str(&"---|".repeat(width));
    out.push('\n');
}
