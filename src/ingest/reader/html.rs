//! HTML in one pass over its tags. No tree is built, so time and memory are linear in the size of the page, whatever
//! its nesting.
//!
//! Keeps headings, paragraphs, lists, tables and code; drops scripts, styles, navigation and the like. If a page has a
//! `main` element, only that is kept. Links and emphasis are reduced to their words, since searches find and cite text;
//! the positions of links are kept, to tell a list of links from text.

use super::{
    table::Table,
    tokens::{Tag, Token, Tokens, decode},
    writer::{List, Writer, without_link_marks},
};
use crate::{
    ingest::parse_error::{ParseError, check_size},
    model::ParsedDocument,
};

/// Elements that are navigation or decoration by name.
const CHROME: &str = "nav footer button select datalist svg canvas audio video object template noscript dialog";
/// Roles that mean navigation or decoration.
const CHROME_ROLES: &str = "navigation search banner contentinfo dialog";
/// Classes that widely used generators give to boilerplate: Sphinx, SQLite's documentation, MediaWiki, MkDocs.
const CHROME_CLASSES: &str = "headerlink nosearch fancy_toc sphinxsidebar related mobile-nav noprint navbar sidebar breadcrumb \
    breadcrumbs skip-link mw-editsection hash-link permalink anchorjs-link md-sidebar";
const VOID: &str = "area base br col embed hr img input link meta source track wbr";
/// Elements with an optional end tag. Dropping one "until its end" would not work.
const UNCLOSED: &str = "p li dt dd tr td th tbody thead option body html";
/// Elements that begin and end on a line of their own.
const LINES: &str = "address aside body br caption center dd details div dt fieldset figcaption form header html legend main summary \
    td th tr";

fn is_one_of(name: &str, names: &str) -> bool {
    names.split_ascii_whitespace().any(|it| it == name)
}

/// Reads a page. `limit` is the maximum size of the Markdown, in bytes.
pub fn read(html: &str, limit: usize) -> Result<ParsedDocument, ParseError> {
    let mut page = Page::read(html, true, limit)?;
    // A dropped element that never ended has swallowed the content. Keeping some boilerplate is better than losing
    // everything.
    if page.swallowed || page.markdown.trim().is_empty() {
        let whole = Page::read(html, false, limit)?;
        page = Page { title: page.title.or(whole.title), ..whole };
    }
    let (markdown, links) = without_link_marks(&page.markdown);
    Ok(ParsedDocument { title: page.title, markdown, links, ..ParsedDocument::default() })
}

struct Page {
    title: Option<String>,
    markdown: String,
    swallowed: bool,
}

/// An open element by name, and how many elements of the same name are open inside it.
struct Region {
    name: String,
    depth: usize,
}

impl Region {
    /// Updates the region for one tag. Returns true if the tag ended it.
    fn ends(&mut self, token: &Token) -> bool {
        match token {
            Token::Open(tag) if tag.name == self.name && !tag.is_self_closing() => self.depth += 1,
            Token::Close(name) if *name == self.name => self.depth -= 1,
            _ => (),
        }
        self.depth == 0
    }
}

struct Reading {
    writer: Writer,
    tables: Vec<Table>,
    title: Option<String>,
    drops_chrome: bool,
    dropping: Option<Region>,
    main: Option<Region>,
    /// The output before `main` began.
    before_main: Option<String>,
    /// The content of `main`, once it has ended.
    main_text: Option<String>,
}

impl Page {
    fn read(html: &str, drops_chrome: bool, limit: usize) -> Result<Page, ParseError> {
        let mut reading = Reading {
            writer: Writer::default(),
            tables: Vec::new(),
            title: None,
            drops_chrome,
            dropping: None,
            main: None,
            before_main: None,
            main_text: None,
        };
        for token in Tokens::html(html) {
            reading.take(&token);
            check_size("the text of the page", reading.writer.text.len() as u64, limit as u64)?;
        }
        let swallowed = reading.dropping.is_some();
        while let Some(table) = reading.tables.pop() {
            reading.close_table(table);
        }
        let rest = reading.writer.finish();
        let candidates = match (reading.main_text, reading.before_main) {
            (Some(main), Some(before)) => [main, format!("{before}\n\n{rest}")],
            (_, Some(before)) => [rest, before],
            _ => [rest, String::new()],
        };
        let found = candidates.iter().map(|it| it.trim()).find(|it| !it.is_empty());
        let markdown = found.unwrap_or_default().to_string();
        Ok(Page { title: reading.title, markdown, swallowed })
    }
}

impl Reading {
    fn take(&mut self, token: &Token) {
        if let Some(region) = &mut self.dropping {
            if region.ends(token) {
                self.dropping = None;
            }
            return;
        }
        if self.main.as_mut().is_some_and(|it| it.ends(token)) {
            self.end_main();
        }
        match token {
            Token::Text(text) => self.writer.words(&decode(text)),
            Token::Literal(text) => self.writer.words(text),
            Token::Open(tag) => self.open(tag),
            Token::Close(name) => self.close(name),
        }
    }

    fn open(&mut self, tag: &Tag) {
        if let Some(raw) = tag.raw {
            self.raw(&tag.name, raw);
            return;
        }
        let closes = !is_one_of(&tag.name, VOID) && !tag.is_self_closing();
        if self.drops_chrome && closes && !is_one_of(&tag.name, UNCLOSED) && is_chrome(tag) {
            self.dropping = Some(Region { name: tag.name.clone(), depth: 1 });
            return;
        }
        let is_main = tag.name == "main" || tag.attribute("role").is_some_and(|it| it == "main");
        if is_main && closes && self.before_main.is_none() && self.tables.is_empty() {
            self.main = Some(Region { name: tag.name.clone(), depth: 1 });
            self.before_main = Some(std::mem::take(&mut self.writer).finish());
        }
        match heading_level(&tag.name) {
            Some(level) if !self.writer.in_pre() => {
                self.mark_complex();
                self.writer.open_heading(level);
            }
            _ => self.open_block(tag),
        }
    }

    fn end_main(&mut self) {
        self.main = None;
        while let Some(table) = self.tables.pop() {
            self.close_table(table);
        }
        self.main_text = Some(std::mem::take(&mut self.writer).finish());
    }

    fn open_block(&mut self, tag: &Tag) {
        let writer = &mut self.writer;
        match tag.name.as_str() {
            "p" | "blockquote" | "ul" | "ol" | "dl" | "menu" | "table" | "hr" => {
                writer.close_heading();
                writer.break_line(2);
            }
            "section" | "article" | "figure" | "dt" => writer.break_line(2),
            name if is_line(name) => writer.break_line(1),
            _ => (),
        }
        match tag.name.as_str() {
            "blockquote" => writer.quotes += 1,
            "ul" | "menu" => writer.lists.push(List { next: None }),
            "ol" => {
                let start = tag.attribute("start").and_then(|it| it.trim().parse().ok()).unwrap_or(1);
                writer.lists.push(List { next: Some(start) });
            }
            "li" => writer.open_item(),
            "pre" | "listing" => writer.open_pre(),
            "code" | "tt" | "samp" | "kbd" => writer.open_code(),
            // Without a target it is the target of others.
            "a" if tag.attribute("href").is_some() => writer.open_link(),
            "br" if writer.in_pre() => writer.words("\n"),
            "img" => writer.words(&tag.attribute("alt").unwrap_or_default()),
            "table" if !writer.in_pre() => self.tables.push(Table::default()),
            "tr" => self.in_table(|table, writer| table.open_row(writer)),
            "td" | "th" => {
                let span = tag.attribute("colspan").and_then(|it| it.trim().parse().ok()).unwrap_or(1);
                self.in_table(|table, writer| table.open_cell(writer, span));
            }
            _ => (),
        }
        if matches!(tag.name.as_str(), "pre" | "blockquote" | "li" | "dl") {
            self.mark_complex();
        }
    }

    fn close(&mut self, name: &str) {
        let writer = &mut self.writer;
        match name {
            "pre" | "listing" => writer.close_pre(),
            "code" | "tt" | "samp" | "kbd" => writer.close_code(),
            "a" => writer.close_link(),
            "blockquote" => {
                writer.break_line(2);
                writer.quotes = writer.quotes.saturating_sub(1);
            }
            "ul" | "ol" | "menu" => {
                writer.close_item();
                writer.lists.pop();
                writer.break_line(2);
            }
            "li" => {
                writer.close_item();
                writer.break_line(1);
            }
            "td" | "th" => self.in_table(|table, writer| table.close_cell(writer)),
            "table" if !writer.in_pre() => {
                if let Some(table) = self.tables.pop() {
                    self.close_table(table);
                }
            }
            "p" | "dl" | "section" | "article" | "figure" => writer.break_line(2),
            _ if heading_level(name).is_some() => writer.close_heading(),
            _ if is_line(name) => writer.break_line(1),
            _ => (),
        }
    }

    fn close_table(&mut self, table: Table) {
        self.writer.close_heading();
        table.close(&mut self.writer);
        self.writer.break_line(2);
        // The table around this one is page layout.
        self.mark_complex();
    }

    fn raw(&mut self, name: &str, raw: &str) {
        match name {
            "title" if self.title.is_none() => self.title = title(&decode(raw)),
            "xmp" => {
                self.writer.open_pre();
                self.writer.words(raw);
                self.writer.close_pre();
            }
            _ => (),
        }
    }

    fn in_table(&mut self, act: impl FnOnce(&mut Table, &mut Writer)) {
        if self.writer.in_pre() {
            return;
        }
        self.writer.close_heading();
        if let Some(table) = self.tables.last_mut() {
            act(table, &mut self.writer);
        }
    }

    fn mark_complex(&mut self) {
        if let Some(table) = self.tables.last_mut() {
            table.complex = true;
        }
    }
}

fn heading_level(name: &str) -> Option<u8> {
    match name.as_bytes() {
        [b'h', level @ b'1'..=b'6'] => Some(level - b'0'),
        _ => None,
    }
}

fn is_line(name: &str) -> bool {
    is_one_of(name, LINES)
}

fn is_chrome(tag: &Tag) -> bool {
    let is_link_sign =
        || tag.name == "a" && tag.attribute("class").is_some_and(|it| it.split_whitespace().any(|it| it == "anchor"));
    let hides = |style: &str| style.split(';').any(|it| it.replace(' ', "").eq_ignore_ascii_case("display:none"));
    is_one_of(&tag.name, CHROME)
        || tag.attribute("hidden").is_some()
        || tag.attribute("aria-hidden").is_some_and(|it| it == "true")
        || tag.attribute("role").is_some_and(|it| is_one_of(&it, CHROME_ROLES))
        || tag.attribute("class").is_some_and(|it| it.split_whitespace().any(|it| is_one_of(it, CHROME_CLASSES)))
        || tag.attribute("style").is_some_and(|it| hides(&it))
        || is_link_sign()
}

/// The title on one line, without the site name that Sphinx appends.
fn title(text: &str) -> Option<String> {
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let own = line.rsplit_once(" — ").filter(|it| it.1.ends_with(" documentation")).map_or(line.as_str(), |it| it.0);
    (!own.is_empty()).then(|| own.to_string())
}

#[cfg(test)]
mod tests;
