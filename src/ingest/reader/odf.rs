//! OpenDocument: texts, presentations (a page per slide) and spreadsheets (a heading and a table per sheet).

use super::{
    archive::Archive,
    docx::element_text,
    grid::Grid,
    table::Table,
    tokens::{Tag, Token, Tokens, decode},
    writer::{List, Writer},
};
use crate::{
    ingest::{
        parse_error::{ParseError, check_size},
        parse_options::ParseOptions,
    },
    model::{PageStart, ParsedDocument},
};

/// The maximum number of columns read per sheet.
const COLUMNS_MAX: usize = 256;

pub(super) fn read(bytes: &[u8], options: &ParseOptions) -> Result<ParsedDocument, ParseError> {
    let (mut archive, content) = open(bytes, options)?;
    let mut reading = Reading::default();
    for token in Tokens::xml(&content) {
        reading.take(&token);
        check_size("the text of the document", reading.writer.text.len() as u64, options.max_text as u64)?;
    }
    while let Some(table) = reading.tables.pop() {
        table.close(&mut reading.writer);
    }
    let mut document =
        ParsedDocument { markdown: reading.writer.finish(), pages: reading.pages, ..ParsedDocument::default() };
    document.pages.retain(|it| it.offset < document.markdown.len());
    document.title = title(&mut archive)?;
    Ok(document)
}

fn open<'a>(bytes: &'a [u8], options: &ParseOptions) -> Result<(Archive<'a>, String), ParseError> {
    let mut archive = Archive::open(bytes, "OpenDocument", options)?;
    let manifest = archive.text("META-INF/manifest.xml")?.unwrap_or_default();
    if manifest.contains(":encryption-data") {
        return Err(ParseError::Encrypted);
    }
    let content = archive.needed("content.xml")?;
    Ok((archive, content))
}

fn title(archive: &mut Archive) -> Result<Option<String>, ParseError> {
    Ok(archive.text("meta.xml")?.and_then(|it| element_text(&it, "dc:title")))
}

#[derive(Default)]
struct Reading {
    writer: Writer,
    tables: Vec<Table>,
    pages: Vec<PageStart>,
    /// The element that is being skipped, and how often its name is open.
    skipped: Option<(String, usize)>,
    /// The number of open paragraphs and headings; text outside of them is ignored.
    paragraphs: usize,
    notes: usize,
    in_title: bool,
}

impl Reading {
    fn take(&mut self, token: &Token) {
        if let Some((name, depth)) = &mut self.skipped {
            match token {
                Token::Open(tag) if tag.name == *name && !tag.is_self_closing() => *depth += 1,
                Token::Close(closed) if closed == name => *depth -= 1,
                _ => (),
            }
            if *depth == 0 {
                self.skipped = None;
            }
            return;
        }
        match token {
            Token::Open(tag) => {
                self.open(tag);
                if tag.is_self_closing() && self.skipped.is_none() {
                    self.close(&tag.name);
                }
            }
            Token::Close(name) => self.close(name),
            Token::Text(text) if self.paragraphs > 0 => self.writer.words(&decode(text)),
            Token::Literal(text) if self.paragraphs > 0 => self.writer.words(text),
            _ => (),
        }
    }

    fn open(&mut self, tag: &Tag) {
        let writer = &mut self.writer;
        match tag.name.as_str() {
            "office:annotation"
            | "text:tracked-changes"
            | "text:note-citation"
            | "text:table-of-content"
            | "svg:desc"
            | "svg:title"
                if !tag.is_self_closing() =>
            {
                self.skipped = Some((tag.name.clone(), 1));
            }
            "text:h" => {
                self.paragraphs += 1;
                if let Some(table) = self.tables.last_mut() {
                    table.complex = true;
                }
                let level = tag.attribute("text:outline-level").and_then(|it| it.parse::<u8>().ok()).unwrap_or(1);
                writer.open_heading(level.clamp(1, 6));
            }
            "text:p" => {
                self.paragraphs += 1;
                match (self.notes > 0, self.in_title) {
                    (true, _) if writer.text.ends_with('(') => (),
                    (true, _) | (_, true) => writer.words(" "),
                    _ => writer.break_line(2),
                }
            }
            "text:note-body" => {
                self.notes += 1;
                writer.words(" (");
            }
            "text:s" | "text:tab" => writer.words(" "),
            "text:line-break" => writer.break_line(1),
            "text:list" => {
                writer.break_line(2);
                writer.lists.push(List { next: None });
            }
            "text:list-item" if !writer.lists.is_empty() => writer.open_item(),
            "draw:page" => {
                let offset = writer.part();
                self.pages.push(PageStart { page: self.pages.len() as u32 + 1, offset });
            }
            "draw:frame" if tag.attribute("presentation:class").is_some_and(|it| it == "title") => {
                self.in_title = true;
                writer.open_heading(1);
            }
            "table:table" => {
                writer.break_line(2);
                self.tables.push(Table::default());
            }
            "table:table-row" => self.in_table(|table, writer| table.open_row(writer)),
            "table:table-cell" => {
                let span = tag.attribute("table:number-columns-spanned").and_then(|it| it.parse().ok()).unwrap_or(1);
                self.in_table(|table, writer| table.open_cell(writer, span));
            }
            _ => (),
        }
    }

    fn close(&mut self, name: &str) {
        let writer = &mut self.writer;
        match name {
            "text:h" => {
                self.paragraphs = self.paragraphs.saturating_sub(1);
                writer.close_heading();
            }
            "text:p" => {
                self.paragraphs = self.paragraphs.saturating_sub(1);
                if self.notes == 0 && !self.in_title {
                    writer.break_line(2);
                }
            }
            "text:note-body" => {
                self.notes = self.notes.saturating_sub(1);
                writer.words(")");
            }
            "text:list" => {
                writer.close_item();
                writer.lists.pop();
                writer.break_line(2);
            }
            "text:list-item" => writer.close_item(),
            "draw:frame" if self.in_title => {
                self.in_title = false;
                writer.close_heading();
            }
            "table:table-cell" => self.in_table(|table, writer| table.close_cell(writer)),
            "table:table" => {
                if let Some(table) = self.tables.pop() {
                    table.close(writer);
                }
                writer.break_line(2);
                if let Some(outer) = self.tables.last_mut() {
                    outer.complex = true;
                }
            }
            _ => (),
        }
    }

    fn in_table(&mut self, act: impl FnOnce(&mut Table, &mut Writer)) {
        if let Some(table) = self.tables.last_mut() {
            act(table, &mut self.writer);
        }
    }
}

/// Reads a spreadsheet. Repeated cells and rows are written once, because sheets are padded with millions of them.
pub(super) fn read_sheets(bytes: &[u8], options: &ParseOptions) -> Result<ParsedDocument, ParseError> {
    let (mut archive, content) = open(bytes, options)?;
    let mut document = ParsedDocument { title: title(&mut archive)?, ..ParsedDocument::default() };
    let (mut grid, mut row, mut cell, mut repeated) = (Grid::default(), Vec::new(), String::new(), 1);
    let mut in_text = false;
    for token in Tokens::xml(&content) {
        match token {
            Token::Open(tag) if tag.name == "table:table" => {
                grid = Grid::default();
                sheet_heading(&mut document.markdown, &tag.attribute("table:name").unwrap_or_default());
            }
            Token::Open(tag) if tag.name == "table:table-cell" || tag.name == "table:covered-table-cell" => {
                cell.clear();
                repeated = tag.attribute("table:number-columns-repeated").and_then(|it| it.parse().ok()).unwrap_or(1);
                if tag.is_self_closing() {
                    end_cell(&mut row, &cell, repeated);
                }
            }
            Token::Close(name) if name == "table:table-cell" || name == "table:covered-table-cell" => {
                end_cell(&mut row, &cell, repeated);
            }
            Token::Close(name) if name == "table:table-row" => {
                grid.push(&mut document.markdown, &row, options.max_text)?;
                row.clear();
            }
            Token::Open(tag) if tag.name == "text:p" && !tag.is_self_closing() => {
                in_text = true;
                cell.push(' ');
            }
            Token::Close(name) if name == "text:p" => in_text = false,
            Token::Text(text) if in_text => cell.push_str(&decode(text)),
            _ => (),
        }
    }
    Ok(document)
}

fn end_cell(row: &mut Vec<String>, cell: &str, repeated: usize) {
    let room = COLUMNS_MAX.saturating_sub(row.len());
    row.extend(std::iter::repeat_n(cell.to_string(), repeated.min(room)));
}

/// Writes the name of a sheet as a heading.
pub(super) fn sheet_heading(markdown: &mut String, name: &str) {
    if !markdown.is_empty() {
        markdown.push('\n');
    }
    let name = name.split_whitespace().collect::<Vec<_>>().join(" ");
    markdown.push_str(&format!("## {}\n\n", if name.is_empty() { "Sheet" } else { &name }));
}
