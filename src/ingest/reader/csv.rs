//! Comma-separated values as in RFC 4180, with any of these separators: comma, semicolon, tab, bar.

use super::grid::Grid;
use crate::{
    ingest::{parse_error::ParseError, parse_options::ParseOptions},
    model::ParsedDocument,
};
use csv::{ReaderBuilder, StringRecord};
use std::borrow::Cow;

pub(super) fn read(text: &str, separator: Option<char>, options: &ParseOptions) -> Result<ParsedDocument, ParseError> {
    let (said, text) = first_line(text);
    let separator = separator.or(said).unwrap_or_else(|| guess(text));
    let text = closed_up(text, separator);
    let mut rows =
        ReaderBuilder::new().has_headers(false).flexible(true).delimiter(separator as u8).from_reader(text.as_bytes());
    let mut grid = Grid::default();
    let mut document = ParsedDocument::default();
    let mut row = StringRecord::new();
    let malformed = |error: csv::Error| ParseError::Malformed { format: "CSV", reason: error.to_string() };
    while rows.read_record(&mut row).map_err(malformed)? {
        let cells: Vec<&str> = row.iter().collect();
        grid.push(&mut document.markdown, &cells, options.max_text)?;
    }
    if grid.cut {
        document.warnings.push("rows are cut after 256 columns".to_string());
    }
    Ok(document)
}

/// Spreadsheets may declare the separator in the first line (`sep=;`); the rows then begin after it.
fn first_line(text: &str) -> (Option<char>, &str) {
    let said = text.trim_start_matches('\u{feff}').strip_prefix("sep=").and_then(|it| it.split_once('\n'));
    match said.map(|(separator, rows)| (separator.trim_end_matches('\r').as_bytes(), rows)) {
        Some((&[separator], rows)) if separator.is_ascii() => (Some(char::from(separator)), rows),
        _ => (None, text),
    }
}

/// The text without blanks between a separator and a quote: after a blank, the library treats a quote as an ordinary
/// character.
fn closed_up(text: &str, separator: char) -> Cow<'_, str> {
    if !text.contains(" \"") {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while !rest.is_empty() {
        let field = rest.trim_start_matches(' ');
        if field.starts_with('"') {
            let (quoted, after) = field.split_at(end_of_quoted(field));
            out.push_str(quoted);
            rest = after;
        }
        let end = rest.find([separator, '\n']).map_or(rest.len(), |at| at + 1);
        out.push_str(&rest[..end]);
        rest = &rest[end..];
    }
    Cow::Owned(out)
}

/// The position after the quote that ends a field. Two quotes inside a field stand for one.
fn end_of_quoted(field: &str) -> usize {
    let mut at = 1;
    while let Some(quote) = field[at..].find('"') {
        at += quote + 1;
        match field[at..].starts_with('"') {
            true => at += 1,
            false => return at,
        }
    }
    field.len()
}

/// The separator that splits the first lines into the most fields, with the same number in each line.
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
        assert_eq!(markdown("a, b\n1,  \"2, 3\"\n"), "| a | b |\n|---|---|\n| 1 | 2, 3 |\n");
        assert_eq!(markdown("a,b\n5\" wide,\"3\"\" long\"\n"), "| a | b |\n|---|---|\n| 5\" wide | 3\" long |\n");
        assert_eq!(
            markdown("a\tb\n\"never closed\t2\n"),
            "| a | b |\n|---|---|\n| never closed 2 |\n".replace("2 |\n", "2 | |\n")
        );
    }

    #[test]
    fn a_first_line_may_name_the_separator() {
        let rows = "| part | price |\n|---|---|\n| rope; long | 1,50 |\n";
        assert_eq!(markdown("\u{feff}sep=;\npart;price\n\"rope; long\";1,50\n"), rows);
        assert_eq!(markdown("sep=,,\n1,2,3\n"), "| sep= | |\n|---|---|\n| 1 | 2 | 3 |\n");
    }
}
