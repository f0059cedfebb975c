//! Comma-separated values after RFC 4180, whatever parts the fields: comma, semicolon, tab or bar.

use super::grid::Grid;
use crate::{
    ingest::parse::{ParseError, ParseOptions},
    model::ParsedDocument,
};

pub(super) fn read(text: &str, separator: Option<char>, options: &ParseOptions) -> Result<ParsedDocument, ParseError> {
    let separator = separator.unwrap_or_else(|| guess(text));
    let mut grid = Grid::default();
    let mut document = ParsedDocument::default();
    let mut rows = Rows { letters: text.char_indices().peekable(), text, separator };
    let mut row = Vec::new();
    while rows.next(&mut row) {
        grid.push(&mut document.markdown, &row, options.max_text)?;
    }
    if grid.cut {
        document.warnings.push("rows are cut after 256 columns".to_string());
    }
    Ok(document)
}

struct Rows<'a> {
    letters: std::iter::Peekable<std::str::CharIndices<'a>>,
    text: &'a str,
    separator: char,
}

impl Rows<'_> {
    /// Reads one row; false at the end of the text. A quote that never ends takes the rest of the text into its field.
    fn next(&mut self, row: &mut Vec<String>) -> bool {
        row.clear();
        if self.letters.peek().is_none() {
            return false;
        }
        let mut field = String::new();
        while let Some((at, letter)) = self.letters.next() {
            match letter {
                '"' if field.trim().is_empty() => self.quoted(&mut field),
                '\n' => break,
                _ if letter == self.separator => row.push(std::mem::take(&mut field)),
                _ => field.push_str(&self.text[at..at + letter.len_utf8()]),
            }
        }
        row.push(field);
        true
    }

    fn quoted(&mut self, field: &mut String) {
        field.clear();
        while let Some((_, letter)) = self.letters.next() {
            match letter {
                '"' if self.letters.next_if(|it| it.1 == '"').is_some() => field.push('"'),
                '"' => return,
                _ => field.push(letter),
            }
        }
    }
}

/// The separator that parts the first lines into the most fields, the same number in each.
fn guess(text: &str) -> char {
    let lines: Vec<&str> = text.lines().filter(|it| !it.trim().is_empty()).take(10).collect();
    let even = |separator: char| {
        let counts: Vec<usize> = lines.iter().map(|it| it.matches(separator).count()).collect();
        let first = counts.first().copied().unwrap_or(0);
        (counts.iter().all(|it| *it == first), first)
    };
    let best = [',', ';', '\t', '|'].into_iter().filter(|it| even(*it).1 > 0).max_by_key(|it| even(*it));
    best.unwrap_or(',')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn markdown(text: &str) -> String {
        read(text, None, &ParseOptions::default()).unwrap().markdown
    }

    #[test]
    fn quoted_fields_hold_separators_quotes_and_lines() {
        let text = "a,b\n\"x, \"\"y\"\"\",\"two\nlines\"\n1,2,3\n\n";
        assert_eq!(markdown(text), "| a | b |\n|---|---|\n| x, \"y\" | two lines |\n| 1 | 2 | 3 |\n");
        assert_eq!(markdown("a;b\n1,5;2\n"), "| a | b |\n|---|---|\n| 1,5 | 2 |\n");
        assert_eq!(
            markdown("a\tb\n\"never closed\t2\n"),
            "| a | b |\n|---|---|\n| never closed 2 |\n".replace("2 |\n", "2 | |\n")
        );
    }
}
