//! Excel workbooks, read with calamine: a heading and a table per sheet. Cells are streamed and never laid out in a
//! full grid, because two cells far apart would take all memory.

use super::{archive::Archive, docx::title, grid::Grid, odf::sheet_heading};
use crate::{
    ingest::{
        parse_error::{ParseError, check_size},
        parse_options::ParseOptions,
    },
    model::ParsedDocument,
};
use calamine::{Data, DataRef, ExcelDateTime, Reader, Xls, Xlsx};
use std::io::Cursor;

const FORMAT: &str = "Excel";
/// The maximum number of columns read.
const COLUMNS_MAX: u32 = 256;
/// calamine lays out the old format in memory, so larger files are refused, in bytes.
const XLS_MAX: u64 = 32 << 20;

pub(super) fn read(bytes: &[u8], options: &ParseOptions) -> Result<ParsedDocument, ParseError> {
    // calamine inflates without limits, so every part is first inflated with ours.
    let mut archive = Archive::open(bytes, FORMAT, options)?;
    for name in archive.names().iter().filter(|it| it.starts_with("xl/") && it.ends_with(".xml")) {
        archive.bytes(name)?;
    }
    let mut document = ParsedDocument { title: title(&mut archive)?, ..ParsedDocument::default() };
    let mut workbook: Xlsx<_> = Xlsx::new(Cursor::new(bytes)).map_err(malformed)?;
    for sheet in workbook.sheet_names() {
        let mut cells = match workbook.worksheet_cells_reader(&sheet) {
            Ok(cells) => cells,
            Err(error) => {
                document.warnings.push(format!("sheet `{sheet}` could not be read: {error}"));
                continue;
            }
        };
        let before = document.markdown.len();
        sheet_heading(&mut document.markdown, &sheet);
        let (heading, mut grid) = (document.markdown.len(), Grid::default());
        let (mut row, mut open): (Vec<String>, u32) = (Vec::new(), 0);
        while let Some(cell) = cells.next_cell().map_err(malformed)? {
            let (at, column) = cell.get_position();
            if at != open {
                grid.push(&mut document.markdown, &row, options.max_text)?;
                row.clear();
                open = at;
            }
            place(&mut row, column, shown(cell.get_value()));
        }
        grid.push(&mut document.markdown, &row, options.max_text)?;
        if document.markdown.len() == heading {
            document.markdown.truncate(before);
        }
    }
    Ok(document)
}

/// The format of Excel 97.
pub(super) fn read_old(bytes: &[u8], options: &ParseOptions) -> Result<ParsedDocument, ParseError> {
    check_size("the workbook", bytes.len() as u64, XLS_MAX)?;
    let mut workbook: Xls<_> = Xls::new(Cursor::new(bytes)).map_err(malformed)?;
    let mut document = ParsedDocument::default();
    for (sheet, range) in workbook.worksheets() {
        sheet_heading(&mut document.markdown, &sheet);
        let mut grid = Grid::default();
        for cells in range.rows() {
            let row: Vec<String> = cells.iter().take(COLUMNS_MAX as usize).map(shown_old).collect();
            grid.push(&mut document.markdown, &row, options.max_text)?;
        }
    }
    Ok(document)
}

fn malformed(error: impl std::fmt::Display) -> ParseError {
    let reason = error.to_string();
    match reason.to_ascii_lowercase().contains("password") {
        true => ParseError::Encrypted,
        false => ParseError::Malformed { format: FORMAT, reason },
    }
}

fn place(row: &mut Vec<String>, column: u32, text: String) {
    if column < COLUMNS_MAX && !text.is_empty() {
        let column = column as usize;
        row.resize(row.len().max(column + 1), String::new());
        row[column] = text;
    }
}

fn shown(value: &DataRef) -> String {
    match value {
        DataRef::Int(number) => number.to_string(),
        DataRef::Float(number) => number.to_string(),
        DataRef::String(text) | DataRef::DateTimeIso(text) | DataRef::DurationIso(text) => text.clone(),
        DataRef::SharedString(text) => text.to_string(),
        DataRef::Bool(value) => value.to_string(),
        DataRef::DateTime(time) => date(time),
        DataRef::Error(error) => error.to_string(),
        DataRef::Empty => String::new(),
    }
}

fn shown_old(value: &Data) -> String {
    match value {
        Data::DateTime(time) => date(time),
        value => value.to_string(),
    }
}

fn date(time: &ExcelDateTime) -> String {
    if time.is_duration() {
        let seconds = (time.as_f64() * 86_400.0).round() as i64;
        return format!("{}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60);
    }
    let (year, month, day, hour, minute, second, _) = time.to_ymd_hms_milli();
    match (hour, minute, second) {
        (0, 0, 0) => format!("{year:04}-{month:02}-{day:02}"),
        _ => format!("{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02}"),
    }
}
