//! Writes rows of data as pipe tables. A long one becomes several tables, each with the same first row, so that every
//! passage cut from it has the column names.

use super::table::{push_row, push_rule};
use crate::ingest::{
    parse_error::{ParseError, check_size},
    tokens,
};

/// The maximum number of tokens in one table, so that the table and its surroundings fit into a chunk of the default
/// size.
const TABLE_TOKENS: usize = 320;
/// A first row with more tokens than this is not repeated.
const HEADER_TOKENS: usize = 80;
/// Rows are cut after this many cells.
const WIDTH_MAX: usize = 256;

#[derive(Default)]
pub(super) struct Grid {
    header: Option<String>,
    header_tokens: usize,
    width: usize,
    /// The number of tokens in the open table.
    tokens: usize,
    /// Whether any row was too wide and was cut.
    pub cut: bool,
}

impl Grid {
    /// Writes a row; the first one is the header. Rows without text are skipped.
    pub fn push<T: AsRef<str>>(&mut self, out: &mut String, cells: &[T], limit: usize) -> Result<(), ParseError> {
        let filled = cells.iter().rposition(|it| !it.as_ref().trim().is_empty()).map_or(0, |it| it + 1);
        if filled == 0 {
            return Ok(());
        }
        self.cut |= filled > WIDTH_MAX;
        let mut row = String::new();
        if self.header.is_none() {
            self.width = filled.clamp(2, WIDTH_MAX);
            push_row(&mut row, cells.iter().take(filled.min(WIDTH_MAX)), self.width);
            push_rule(&mut row, self.width);
            self.header_tokens = tokens::count(&row);
            self.open(out, &row);
            self.header = Some(row);
        } else {
            push_row(&mut row, cells.iter().take(filled.min(WIDTH_MAX)), self.width);
            let more = tokens::count(&row);
            if self.tokens + more > TABLE_TOKENS
                && self.header_tokens <= HEADER_TOKENS
                && self.tokens > self.header_tokens
            {
                let header = self.header.clone().unwrap_or_default();
                self.open(out, &header);
            }
            self.tokens += more;
            out.push_str(&row);
        }
        check_size("the table", out.len() as u64, limit as u64)
    }

    fn open(&mut self, out: &mut String, header: &str) {
        if !out.is_empty() && !out.ends_with("\n\n") {
            out.push_str(if out.ends_with('\n') { "\n" } else { "\n\n" });
        }
        out.push_str(header);
        self.tokens = self.header_tokens;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_tables_repeat_their_first_row() {
        let (mut grid, mut out) = (Grid::default(), String::new());
        for row in 0..100 {
            let cells =
                if row == 0 { ["name".into(), "load".into()] } else { [format!("rope {row}"), format!("{row} kN")] };
            grid.push(&mut out, &cells, 1 << 20).unwrap();
        }
        assert_eq!(out.matches("| rope 99 | 99 kN |").count(), 1);
        assert!(out.matches("| name | load |\n|---|---|\n").count() > 2);
        let tables = crate::ingest::outline::scan(&out).tables;
        assert!(tables.iter().all(|it| tokens::count(&out[it.clone()]) <= TABLE_TOKENS), "{tables:?}");
    }
}
