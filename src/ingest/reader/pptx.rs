//! Presentations (OOXML): one page per slide, with its title as a heading and its notes at the end.

use super::{
    archive::{Archive, resolve},
    docx::title,
    table::Table,
    tokens::{Tag, Token, Tokens, decode},
    writer::Writer,
};
use crate::{
    ingest::{
        parse_error::{ParseError, check_size},
        parse_options::ParseOptions,
    },
    model::{PageStart, ParsedDocument},
};

pub(super) fn read(bytes: &[u8], options: &ParseOptions) -> Result<ParsedDocument, ParseError> {
    let mut archive = Archive::open(bytes, "PowerPoint", options)?;
    let mut document = ParsedDocument { title: title(&mut archive)?, ..ParsedDocument::default() };
    let mut slides = Slides::default();
    for (index, path) in order(&mut archive)?.into_iter().enumerate() {
        let Some(xml) = archive.text(&path)? else {
            document.warnings.push(format!("slide {} is missing", index + 1));
            continue;
        };
        let offset = slides.writer.part();
        document.pages.push(PageStart { page: index as u32 + 1, offset });
        slides.read(&xml, options.max_text)?;
        for relation in relations(&mut archive, &path)?.iter().filter(|it| it.kind.ends_with("/notesSlide")) {
            if let Some(notes) = archive.text(&relation.target)? {
                slides.writer.break_line(2);
                slides.read(&notes, options.max_text)?;
            }
        }
    }
    document.markdown = slides.writer.finish();
    let end = document.markdown.len();
    document.pages.retain(|it| it.offset < end);
    Ok(document)
}

struct Relation {
    id: String,
    kind: String,
    target: String,
}

/// The slides in presentation order.
fn order(archive: &mut Archive) -> Result<Vec<String>, ParseError> {
    let relations = relations(archive, "ppt/presentation.xml")?;
    let presentation = archive.needed("ppt/presentation.xml")?;
    let mut slides = Vec::new();
    for token in Tokens::xml(&presentation) {
        let Token::Open(tag) = token else { continue };
        if tag.name == "p:sldid" {
            let id = tag.attribute("r:id").unwrap_or_default();
            slides.extend(relations.iter().find(|it| it.id == id).map(|it| it.target.clone()));
        }
    }
    Ok(slides)
}

/// The relations of the file at `path`, with targets as paths in the archive.
fn relations(archive: &mut Archive, path: &str) -> Result<Vec<Relation>, ParseError> {
    let (folder, name) = path.rsplit_once('/').unwrap_or(("", path));
    let xml = archive.text(&format!("{folder}/_rels/{name}.rels"))?.unwrap_or_default();
    let relation = |tag: &Tag| Relation {
        id: tag.attribute("id").unwrap_or_default().into_owned(),
        kind: tag.attribute("type").unwrap_or_default().into_owned(),
        target: resolve(folder, &tag.attribute("target").unwrap_or_default()),
    };
    Ok(Tokens::xml(&xml)
        .filter_map(|it| match it {
            Token::Open(tag) if tag.name == "relationship" => Some(relation(&tag)),
            _ => None,
        })
        .collect())
}

#[derive(Default)]
struct Slides {
    writer: Writer,
    tables: Vec<Table>,
    in_text: bool,
    /// Whether the shape holds a slide number, a date or a footer.
    is_furniture: bool,
}

impl Slides {
    fn read(&mut self, xml: &str, limit: usize) -> Result<(), ParseError> {
        (self.in_text, self.is_furniture) = (false, false);
        for token in Tokens::xml(xml) {
            match token {
                Token::Open(tag) if !tag.is_self_closing() || matches!(tag.name.as_str(), "p:ph" | "a:br" | "a:tc") => {
                    self.open(&tag)
                }
                Token::Close(name) => self.close(&name),
                Token::Text(text) if self.in_text && !self.is_furniture => self.writer.words(&decode(text)),
                _ => (),
            }
            check_size("the text of the slides", self.writer.text.len() as u64, limit as u64)?;
        }
        while let Some(table) = self.tables.pop() {
            table.close(&mut self.writer);
        }
        Ok(())
    }

    fn open(&mut self, tag: &Tag) {
        match tag.name.as_str() {
            "p:sp" | "p:graphicframe" => {
                self.is_furniture = false;
                self.writer.break_line(2);
            }
            "p:ph" => match tag.attribute("type").unwrap_or_default().as_ref() {
                "title" | "ctrTitle" => self.writer.open_heading(1),
                "sldNum" | "dt" | "ftr" | "hdr" | "sldImg" => self.is_furniture = true,
                _ => (),
            },
            "a:p" | "a:br" => self.writer.break_line(1),
            "a:t" => self.in_text = true,
            "a:tbl" => self.tables.push(Table::default()),
            "a:tr" => self.in_table(|table, writer| table.open_row(writer)),
            "a:tc" if tag.attribute("hmerge").is_none() => {
                let span = tag.attribute("gridspan").and_then(|it| it.parse().ok()).unwrap_or(1);
                self.in_table(|table, writer| table.open_cell(writer, span));
            }
            _ => (),
        }
    }

    fn close(&mut self, name: &str) {
        match name {
            "a:t" => self.in_text = false,
            "p:sp" => {
                self.writer.close_heading();
                self.writer.break_line(2);
                self.is_furniture = false;
            }
            "a:tc" => self.in_table(|table, writer| table.close_cell(writer)),
            "a:tbl" => {
                if let Some(table) = self.tables.pop() {
                    table.close(&mut self.writer);
                }
                self.writer.break_line(2);
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
