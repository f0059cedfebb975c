//! Tables that fit into the width of the terminal.

use super::{
    paint::{Paint, status_paint},
    wording::{cut, plain, width},
};
use crate::model::Status;

const GAP: usize = 2;
const NARROWEST: usize = 8;
/// The same where nothing else can give way.
const CUT: usize = 3;

/// A cell: its text and its meaning.
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

/// Rows with a header. On a narrow terminal the free-text columns shrink first, then optional columns are dropped, then
/// the widest columns are cut.
#[derive(Debug, Clone)]
pub struct Table {
    head: Vec<Column>,
    rows: Vec<Vec<Cell>>,
}

#[derive(Debug, Clone, Copy)]
struct Column {
    name: &'static str,
    kind: Kind,
    /// Dropped if the terminal is too narrow.
    optional: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Left,
    Right,
    Flexible,
}

impl Table {
    /// `head` has the column names. A leading `>` aligns a column to the right, and a leading `~` lets it be cut. A `?`
    /// before these makes the column optional.
    pub fn new(head: &[&'static str]) -> Table {
        let column = |name: &&'static str| {
            let (optional, name) = name.strip_prefix('?').map_or((false, *name), |rest| (true, rest));
            match name.as_bytes().first() {
                Some(b'>') => Column { name: &name[1..], kind: Kind::Right, optional },
                Some(b'~') => Column { name: &name[1..], kind: Kind::Flexible, optional },
                _ => Column { name, kind: Kind::Left, optional },
            }
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

    /// A column of width 0 is left out.
    fn line(&self, row: &[Cell], widths: &[usize], paint: &impl Fn(Paint, &str) -> String) -> String {
        let mut line = String::new();
        let last = widths.iter().rposition(|it| *it > 0);
        let shown = row.iter().zip(&self.head).enumerate().filter(|(at, _)| widths[*at] > 0);
        for (at, (cell, column)) in shown {
            let text = cut(&cell.text, widths[at]);
            let space = " ".repeat(widths[at].saturating_sub(width(&text)));
            let shown = cell.paint.map_or_else(|| text.clone(), |it| paint(it, &text));
            match column.kind {
                Kind::Right => line.push_str(&format!("{space}{shown}")),
                _ if Some(at) == last => line.push_str(&shown),
                _ => line.push_str(&format!("{shown}{space}")),
            }
            if Some(at) != last {
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
        // Drop empty columns before a name is cut.
        if taken(&widths) > most {
            for at in (0..widths.len()).filter(|at| self.head[*at].kind != Kind::Flexible && wide(*at) == Some(0)) {
                widths[at] = 0;
            }
        }
        let natural = widths.clone();
        self.shrink(&mut widths, most, NARROWEST);
        // Drop optional columns from the right until the rest fits.
        while taken(&widths) > most
            && let Some(at) = (0..widths.len()).rev().find(|at| self.head[*at].optional && widths[*at] > 0)
        {
            widths = (0..widths.len()).map(|it| if it == at || widths[it] == 0 { 0 } else { natural[it] }).collect();
            self.shrink(&mut widths, most, NARROWEST);
        }
        self.shrink(&mut widths, most, CUT);
        while taken(&widths) > most
            && let Some(widest) = (0..widths.len()).max_by_key(|at| widths[*at]).filter(|at| widths[*at] > 1)
        {
            widths[widest] -= 1;
        }
        widths
    }

    /// Shrinks the widest free-text column, one terminal column at a time, down to `least`.
    fn shrink(&self, widths: &mut [usize], most: usize, least: usize) {
        while taken(widths) > most {
            let flexible = (0..widths.len()).filter(|at| self.head[*at].kind == Kind::Flexible);
            match flexible.max_by_key(|at| widths[*at]).filter(|at| widths[*at] > least) {
                Some(widest) => widths[widest] -= 1,
                None => break,
            }
        }
    }
}

fn taken(widths: &[usize]) -> usize {
    let shown = widths.iter().filter(|it| **it > 0).count();
    widths.iter().sum::<usize>() + GAP * shown.saturating_sub(1)
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

    #[test]
    fn an_empty_column_goes_before_a_name_is_cut() {
        let mut table = Table::new(&["ID", ">FAILED", "~NAME"]);
        table.row(["g1".into(), "".into(), "a name of some length".into()]);
        let lines = |most| table.lines(Some(most), |_, text| text.to_string());
        assert_eq!(lines(33)[0], "ID  FAILED  NAME");
        assert_eq!(lines(30), ["ID  NAME", "g1  a name of some length"]);
        table.row(["g2".into(), "1".into(), "another".into()]);
        assert_eq!(table.lines(Some(30), |_, text| text.to_string())[0], "ID  FAILED  NAME");
    }

    #[test]
    fn optional_columns_go_and_the_rest_is_cut_until_it_fits() {
        let mut table = Table::new(&["ID", "STATUS", "?CREATED", "?>TOOK", "~NAME"]);
        table.row([
            "g1".into(),
            "COMPLETED".into(),
            "just now".into(),
            "1 m 20 s".into(),
            "a name that goes on".into(),
        ]);
        for (most, head) in [
            (60, "ID  STATUS     CREATED       TOOK  NAME"),
            (40, "ID  STATUS     CREATED   NAME"),
            (28, "ID  STATUS     NAME"),
            (12, "ID  ST…  NA…"),
        ] {
            let lines = table.lines(Some(most), |_, text| text.to_string());
            assert_eq!(lines[0], head, "{most}");
            assert!(lines.iter().all(|it| width(it) <= most), "{most}: {lines:?}");
        }
    }
}
