//! The entry point for every document: turns bytes and a name into Markdown.

use super::{
    media_type::{self, MediaType},
    outline,
    parse_error::{ParseError, check_size},
    parse_options::ParseOptions,
};
use crate::{
    model::{HEADING_MAX, ParsedDocument, shortened},
    os::{regular_file, threads},
};
use std::{fs, path::Path, thread};

/// Reads the document at `path`, after checking its size.
#[cfg(any(test, feature = "internals"))]
pub fn parse_file(path: &Path, options: &ParseOptions) -> Result<ParsedDocument, ParseError> {
    let io = |action| move |source| ParseError::Io { action, path: path.to_path_buf(), source };
    let size = fs::metadata(path).map_err(io("read the size of"))?.len();
    check_size("the file", size, options.max_bytes)?;
    let bytes = regular_file::read(path).map_err(io("read"))?;
    parse(&bytes, &path.to_string_lossy(), options)
}

/// Reads a document. Its type is detected by its content first and by `name` second.
///
/// A document without content is not an error: the result is empty Markdown with a warning.
pub fn parse(bytes: &[u8], name: &str, options: &ParseOptions) -> Result<ParsedDocument, ParseError> {
    check_size("the document", bytes.len() as u64, options.max_bytes)?;
    let media_type = media_type::detect(bytes, name);
    let document = in_thread(media_type, || read(media_type, bytes, name, options))?;
    Ok(finished(document, media_type, bytes))
}

fn read(media_type: MediaType, bytes: &[u8], name: &str, options: &ParseOptions) -> Result<ParsedDocument, ParseError> {
    match media_type {
        MediaType::Known(format) => format.read(bytes, name, options),
        MediaType::EncryptedOffice => Err(ParseError::Encrypted),
        MediaType::Other(name) => Err(ParseError::Unsupported { media_type: name.to_string() }),
    }
}

/// Fills in the fields that are the same for all readers.
pub(super) fn finished(mut document: ParsedDocument, media_type: MediaType, bytes: &[u8]) -> ParsedDocument {
    document.media_type = media_type.name().to_string();
    if !matches!(media_type, MediaType::Known(format) if !format.structure) {
        let found = outline::scan(&document.markdown);
        (document.headings, document.tables) = (found.headings, found.tables);
    }
    if document.title.is_none() {
        document.title = document.headings.first().map(|it| it.text.clone()).filter(|it| !it.is_empty());
    }
    document.title = document.title.map(|it| shortened(&it, HEADING_MAX));
    document.warnings.iter_mut().filter(|it| it.len() > HEADING_MAX).for_each(|it| *it = shortened(it, HEADING_MAX));
    if document.markdown.trim().is_empty() {
        document.markdown.clear();
        if document.warnings.is_empty() {
            document.warnings.push(empty_warning(bytes, media_type));
        }
    }
    document
}

/// Deep nesting costs stack. This many bytes are reserved, but only the used part becomes resident.
const STACK: usize = 64 << 20;

/// Runs a reader on a thread with a known stack size. A panic in a format's library means a malformed document and does
/// not end the process.
fn in_thread(
    media_type: MediaType,
    read: impl FnOnce() -> Result<ParsedDocument, ParseError> + Send,
) -> Result<ParsedDocument, ParseError> {
    let malformed = |reason: &str| ParseError::Malformed { format: media_type.label(), reason: reason.to_string() };
    thread::scope(|scope| {
        let reading = threads::start_within(scope, "parse", Some(STACK), read);
        match reading {
            Ok(reading) => reading.join().unwrap_or_else(|_| Err(malformed("its reader failed"))),
            Err(source) => Err(ParseError::NoThread(source)),
        }
    })
}

fn empty_warning(bytes: &[u8], media_type: MediaType) -> String {
    match bytes.is_empty() {
        true => "the file is empty: nothing to index".to_string(),
        false => format!("no text in this {}: nothing to index", media_type.label()),
    }
}
