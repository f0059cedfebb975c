//! Word documents (OOXML): paragraphs, headings by their style, lists, tables, footnotes.

use super::{
    archive::Archive,
    table::Table,
    tokens::{Tag, Token, Tokens, decode},
    writer::{List, Writer},
};
use crate::{
    ingest::{
        parse_error::{ParseError, check_size},
        parse_options::ParseOptions,
    },
    model::ParsedDocument,
};
use std::collections::HashMap;

pub(super) fn read(bytes: &[u8], options: &ParseOptions) -> Result<ParsedDocument, ParseError> {
    let mut archive = Archive::open(bytes, "Word", options)?;
    let body = archive.needed("word/document.xml")?;
    let styles = archive.text("word/styles.xml")?.map(|it| roles(&it)).unwrap_or_default();
    let mut reading = Reading { styles, ..Reading::default() };
    reading.read(&body, options.max_text)?;
    for notes in ["word/footnotes.xml", "word/endnotes.xml"] {
        if let Some(notes) = archive.text(notes)? {
            reading.writer.break_line(2);
            reading.read(&notes, options.max_text)?;
        }
    }
    let title = title(&mut archive)?;
    Ok(ParsedDocument { title, markdown: reading.writer.finish(), ..ParsedDocument::default() })
}

/// The title in the document's properties.
pub(super) fn title(archive: &mut Archive) -> Result<Option<String>, ParseError> {
    Ok(archive.text("docProps/core.xml")?.and_then(|it| element_text(&it, "dc:title")))
}

/// The text of the first element with this name, on one line; `None` if it is missing or blank.
pub(super) fn element_text(xml: &str, name: &str) -> Option<String> {
    let mut tokens = Tokens::xml(xml).skip_while(|it| !matches!(it, Token::Open(tag) if tag.name == name));
    tokens.next()?;
    let mut text = String::new();
    for token in tokens {
        match token {
            Token::Text(part) => text.push_str(&decode(part)),
            Token::Literal(part) => text.push_str(part),
            _ => break,
        }
    }
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    (!line.is_empty()).then_some(line)
}

/// The role of a paragraph, according to its style.
#[derive(Clone, Copy)]
enum Role {
    Heading(u8),
    Item,
}

/// Which styles are headings and which are lists: by their English name, which is the same in every language, by their
/// outline level, or because they have numbers.
fn roles(styles: &str) -> HashMap<String, Role> {
    let mut roles = HashMap::new();
    let mut style = String::new();
    for token in Tokens::xml(styles) {
        let Token::Open(tag) = token else { continue };
        let value = || tag.attribute("w:val").unwrap_or_default();
        match tag.name.as_str() {
            "w:style" => style = tag.attribute("w:styleid").unwrap_or_default().into_owned(),
            "w:name" => {
                let name = value().to_lowercase();
                let role = match name.strip_prefix("heading ") {
                    Some(level) => level.parse().ok().map(|it: u8| Role::Heading(it.clamp(1, 6))),
                    None if name == "title" => Some(Role::Heading(1)),
                    None => name.starts_with("list ").then_some(Role::Item),
                };
                roles.extend(role.map(|it| (style.clone(), it)));
            }
            "w:outlinelvl" => {
                if let Some(level) = value().parse::<u8>().ok().filter(|it| *it < 9) {
                    roles.entry(style.clone()).or_insert(Role::Heading((level + 1).min(6)));
                }
            }
            "w:numpr" => drop(roles.entry(style.clone()).or_insert(Role::Item)),
            _ => (),
        }
    }
    roles
}

#[derive(Default)]
struct Reading {
    writer: Writer,
    tables: Vec<Table>,
    styles: HashMap<String, Role>,
    /// Whether text in the open element belongs to the document.
    in_text: bool,
    is_item: bool,
    /// The number of open elements that repeat content from elsewhere.
    fallbacks: usize,
}

impl Reading {
    fn read(&mut self, xml: &str, limit: usize) -> Result<(), ParseError> {
        for token in Tokens::xml(xml) {
            match token {
                Token::Open(tag) if tag.name == "mc:fallback" && !tag.is_self_closing() => self.fallbacks += 1,
                Token::Close(name) if name == "mc:fallback" => self.fallbacks = self.fallbacks.saturating_sub(1),
                _ if self.fallbacks > 0 => (),
                Token::Open(tag) => {
                    self.open(&tag);
                    if tag.is_self_closing() {
                        self.close(&tag.name);
                    }
                }
                Token::Close(name) => self.close(&name),
                Token::Text(text) if self.in_text => self.writer.words(&decode(text)),
                Token::Literal(text) if self.in_text => self.writer.words(text),
                Token::Text(_) | Token::Literal(_) => (),
            }
            check_size("the text of the document", self.writer.text.len() as u64, limit as u64)?;
        }
        while let Some(table) = self.tables.pop() {
            table.close(&mut self.writer);
        }
        Ok(())
    }

    fn open(&mut self, tag: &Tag) {
        let value = || tag.attribute("w:val").unwrap_or_default();
        match tag.name.as_str() {
            "w:p" => {
                self.end_paragraph();
                self.writer.break_line(1);
            }
            "w:pstyle" => match self.styles.get(value().as_ref()).copied() {
                Some(Role::Heading(level)) => self.heading(level),
                Some(Role::Item) => self.is_item = true,
                None => (),
            },
            "w:outlinelvl" => {
                if let Some(level) = value().parse::<u8>().ok().filter(|it| *it < 9) {
                    self.heading((level + 1).min(6));
                }
            }
            "w:numpr" if self.writer.heading.is_none() => self.is_item = true,
            "w:r" if self.is_item && self.writer.lists.is_empty() => {
                self.writer.lists.push(List { next: None });
                self.writer.open_item();
            }
            "w:r" if !self.is_item && self.writer.at_line_end() => self.writer.break_line(2),
            "w:t" => self.in_text = true,
            "w:tab" | "w:nobreakhyphen" => self.writer.words(if tag.name == "w:tab" { " " } else { "-" }),
            "w:br" | "w:cr" => self.writer.break_line(1),
            "w:tbl" => {
                self.end_paragraph();
                self.writer.break_line(2);
                self.tables.push(Table::default());
            }
            "w:tr" => self.in_table(|table, writer| table.open_row(writer)),
            "w:tc" => self.in_table(|table, writer| table.open_cell(writer, 1)),
            _ => (),
        }
    }

    fn close(&mut self, name: &str) {
        match name {
            "w:t" => self.in_text = false,
            "w:p" => {
                let owed = if self.is_item { 1 } else { 2 };
                self.end_paragraph();
                self.writer.break_line(owed);
            }
            "w:tc" => self.in_table(|table, writer| table.close_cell(writer)),
            "w:tbl" => {
                self.end_paragraph();
                if let Some(table) = self.tables.pop() {
                    table.close(&mut self.writer);
                }
                self.writer.break_line(2);
                if let Some(outer) = self.tables.last_mut() {
                    outer.complex = true;
                }
            }
            _ => (),
        }
    }

    fn heading(&mut self, level: u8) {
        if let Some(table) = self.tables.last_mut() {
            table.complex = true;
        }
        self.is_item = false;
        self.writer.open_heading(level);
    }

    fn end_paragraph(&mut self) {
        self.writer.close_heading();
        self.writer.close_item();
        self.writer.lists.clear();
        (self.is_item, self.in_text) = (false, false);
    }

    fn in_table(&mut self, act: impl FnOnce(&mut Table, &mut Writer)) {
        self.end_paragraph();
        if let Some(table) = self.tables.last_mut() {
            act(table, &mut self.writer);
        }
    }
}
