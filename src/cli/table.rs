//! Tables that fit the width of the terminal.

use super::{
    output::Paint,
    wording::{cut, plain, width},
};
use crate::model::Status;

const GAP: usize = 2;
const NARROWEST: usize = 8;

/// A cell: its text, and what it is.
#[derive(Debug, Clone)]
pub struct Cell {
    text: String,
    paint: Option<Paint>,
}

impl Cell {
    pub fn painted(text: impl AsRef<str>, paint: Paint) -> Cell {
        Cell { text: plain(text.as_ref()), paint: Some(paint) }
    }

    pub fn status(status: Status) -> Cell {
        Cell::painted(status.name(), status_paint(status))
    }
}

impl<T: AsRef<str>> From<T> for Cell {
    fn from(text: T) -> Cell {
        Cell { text: plain(text.as_ref()), paint: None }
    }
}

/// The colour of a status, the same everywhere.
pub fn status_paint(status: Status) -> Paint {
    match status {
        Status::Pending => Paint::Dim,
        Status::Running => Paint::Busy,
        Status::Completed => Paint::Good,
        Status::Error => Paint::Warn,
        Status::Failed => Paint::Bad,
        Status::Cancelled => Paint::Warn,
    }
}

/// Rows under a head. The columns that hold free text give way when the terminal is narrow.
#[derive(Debug, Clone)]
pub struct Table {
    head: Vec<Column>,
    rows: Vec<Vec<Cell>>,
}

#[derive(Debug, Clone, Copy)]
struct Column {
    name: &'static str,
    kind: Kind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Left,
    Right,
    Flexible,
}

impl Table {
    /// Names of the columns: a leading `>` sets a column to the right, a leading `~` lets it be cut.
    pub fn new(head: &[&'static str]) -> Table {
        let column = |name: &&'static str| match name.as_bytes().first() {
            Some(b'>') => Column { name: &name[1..], kind: Kind::Right },
            Some(b'~') => Column { name: &name[1..], kind: Kind::Flexible },
            _ => Column { name, kind: Kind::Left },
        };
        Table { head: head.iter().map(column).collect(), rows: Vec::new() }
    }

    pub fn row(&mut self, cells: impl IntoIterator<Item = Cell>) {
        self.rows.push(cells.into_iter().collect());
    }

    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// The table as lines of at most `most` columns.
    pub fn lines(&self, most: Option<usize>, paint: impl Fn(Paint, &str) -> String) -> Vec<String> {
        let widths = self.widths(most);
        let head: Vec<Cell> = self.head.iter().map(|it| Cell::painted(it.name, Paint::Bold)).collect();
        let rows = std::iter::once(&head).chain(&self.rows);
        rows.map(|row| self.line(row, &widths, &paint)).collect()
    }

    fn line(&self, row: &[Cell], widths: &[usize], paint: &impl Fn(Paint, &str) -> String) -> String {
        let mut line = String::new();
        for (at, (cell, column)) in row.iter().zip(&self.head).enumerate() {
            let text = cut(&cell.text, widths[at]);
            let space = " ".repeat(widths[at].saturating_sub(width(&text)));
            let shown = cell.paint.map_or_else(|| text.clone(), |it| paint(it, &text));
            let last = at + 1 == self.head.len();
            match column.kind {
                Kind::Right => line.push_str(&format!("{space}{shown}")),
                _ if last => line.push_str(&shown),
                _ => line.push_str(&format!("{shown}{space}")),
            }
            if !last {
                line.push_str(&" ".repeat(GAP));
            }
        }
        line.trim_end().to_string()
    }

    fn widths(&self, most: Option<usize>) -> Vec<usize> {
        let wide = |at: usize| self.rows.iter().filter_map(|row| row.get(at)).map(|it| width(&it.text)).max();
        let mut widths: Vec<usize> =
            (0..self.head.len()).map(|at| wide(at).unwrap_or(0).max(width(self.head[at].name))).collect();
        let Some(most) = most else { return widths };
        let mut over = (widths.iter().sum::<usize>() + GAP * widths.len().saturating_sub(1)).saturating_sub(most);
        while over > 0 {
            // The widest column of free text gives way, one column at a time.
            let flexible = (0..widths.len()).filter(|at| self.head[*at].kind == Kind::Flexible);
            match flexible.max_by_key(|at| widths[*at]).filter(|at| widths[*at] > NARROWEST) {
                Some(widest) => widths[widest] -= 1,
                None => break,
            }
            over -= 1;
        }
        widths
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> Table {
        let mut table = Table::new(&["ID", ">RUNS", "~NAME"]);
        table.row(["g1".into(), "2".into(), "a short name".into()]);
        table.row(["g12".into(), "1,000".into(), "a name that goes on and on and on".into()]);
        table
    }

    #[test]
    fn columns_line_up_and_a_pipe_cuts_nothing() {
        let lines = table().lines(None, |_, text| text.to_string());
        assert_eq!(lines[0], "ID    RUNS  NAME");
        assert_eq!(lines[1], "g1       2  a short name");
        assert_eq!(lines[2], "g12  1,000  a name that goes on and on and on");
    }

    #[test]
    fn free_text_gives_way_on_a_narrow_terminal() {
        let lines = table().lines(Some(26), |_, text| text.to_string());
        assert_eq!(lines[2], "g12  1,000  a name that g…");
        assert!(lines.iter().all(|it| width(it) <= 26));
    }
}
