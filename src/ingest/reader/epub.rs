//! Books: reads the pages of the spine as HTML, in reading order.

use super::{
    archive::{Archive, resolve},
    docx::element_text,
    html,
    tokens::{Token, Tokens},
};
use crate::{
    ingest::{
        parse_error::{ParseError, check_size},
        parse_options::ParseOptions,
    },
    model::ParsedDocument,
};
use percent_encoding::percent_decode_str;
use std::collections::HashMap;

pub(super) fn read(bytes: &[u8], options: &ParseOptions) -> Result<ParsedDocument, ParseError> {
    let mut archive = Archive::open(bytes, "EPUB", options)?;
    let container = archive.needed("META-INF/container.xml")?;
    let package = Tokens::xml(&container).find_map(|it| match it {
        Token::Open(tag) if tag.name == "rootfile" => Some(tag.attribute("full-path")?.into_owned()),
        _ => None,
    });
    let package = package.ok_or_else(|| archive.malformed("its container has no package"))?;
    let xml = archive.needed(&package)?;
    let folder = package.rsplit_once('/').map_or("", |it| it.0);
    let locked = archive.text("META-INF/encryption.xml")?.unwrap_or_default();
    let mut document = ParsedDocument { title: element_text(&xml, "dc:title"), ..ParsedDocument::default() };
    for href in spine(&xml) {
        let href = href.split('#').next().unwrap_or_default();
        let path = resolve(folder, &percent_decode_str(href).decode_utf8_lossy());
        if locked.contains(&path) {
            return Err(ParseError::Encrypted);
        }
        let Some(page) = archive.text(&path)? else {
            document.warnings.push(format!("`{path}` is missing"));
            continue;
        };
        let page = html::read(&page, options.max_text)?;
        if !document.markdown.is_empty() && !page.markdown.is_empty() {
            document.markdown.push_str("\n\n");
        }
        let begins = document.markdown.len();
        document.links.extend(page.links.iter().map(|it| begins + it.start..begins + it.end));
        document.markdown.push_str(&page.markdown);
        check_size("the text of the book", document.markdown.len() as u64, options.max_text as u64)?;
    }
    Ok(document)
}

/// The files of the book in reading order.
fn spine(package: &str) -> Vec<String> {
    let mut files = HashMap::new();
    let mut order = Vec::new();
    for token in Tokens::xml(package) {
        let Token::Open(tag) = token else { continue };
        let value = |name| tag.attribute(name).unwrap_or_default().into_owned();
        match tag.name.as_str().trim_start_matches("opf:") {
            // The table of contents repeats text from the pages.
            "item" if !value("properties").split(' ').any(|it| it == "nav") => {
                drop(files.insert(value("id"), value("href")))
            }
            "itemref" => order.push(value("idref")),
            _ => (),
        }
    }
    // Read each file only once: otherwise a small package could name a large page a million times.
    order.iter().filter_map(|it| files.remove(it)).collect()
}
