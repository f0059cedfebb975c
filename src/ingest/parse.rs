//! One way in for every document: bytes and a name become one Markdown text.

use super::{
    media_type::{self, MediaType},
    outline, reader,
};
use crate::{
    model::{HEADING_MAX, ParsedDocument, shortened},
    os::regular_file,
};
use serde::{Deserialize, Serialize};
use std::{fmt, fs, io, path::Path, path::PathBuf, sync::Arc, thread};

/// How documents are read. The serialized part is what a parameter set may say under `parse`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ParseOptions {
    /// Larger files are refused before they are read, in bytes.
    pub max_bytes: u64,
    /// The most text that a document may unfold to, in bytes of Markdown.
    pub max_text: usize,
    /// Reads what is left of a document that was cut off, with a warning, instead of failing it.
    pub salvage: bool,
    /// Opens encrypted documents. Never printed or stored.
    #[serde(skip)]
    pub password: Option<String>,
    /// Reads images of pages, where there is something that can.
    #[serde(skip)]
    pub ocr: Option<Ocr>,
}

impl Default for ParseOptions {
    fn default() -> ParseOptions {
        ParseOptions { max_bytes: 256 << 20, max_text: 64 << 20, salvage: false, password: None, ocr: None }
    }
}

type Recognize = dyn Fn(&Path) -> io::Result<String> + Send + Sync;

/// Something that reads the text of an image file (PNG or JPEG), such as a run of `tesseract`.
#[derive(Clone)]
pub struct Ocr(Arc<Recognize>);

impl Ocr {
    pub fn new(recognize: impl Fn(&Path) -> io::Result<String> + Send + Sync + 'static) -> Ocr {
        Ocr(Arc::new(recognize))
    }

    /// The text of the image, as plain text.
    pub fn read(&self, image: &Path) -> io::Result<String> {
        (self.0)(image)
    }
}

impl fmt::Debug for Ocr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Ocr")
    }
}

impl PartialEq for Ocr {
    fn eq(&self, other: &Ocr) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

/// Why a document could not be read. Most are permanent, as the same bytes fail the same way: see `is_retryable`.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ParseError {
    #[error("the document is encrypted: a password is needed")]
    Encrypted,
    #[error("the password does not open this document")]
    WrongPassword,
    #[error("no text layer: {pages} of {pages} pages are images, which needs OCR")]
    NeedsOcr { pages: usize },
    #[error("the document's table of contents (xref) is broken and could not be repaired: {reason}")]
    BrokenXref { reason: String },
    #[error("the file is truncated: {reason}")]
    Truncated { reason: String },
    #[error("nested too deeply: {what}")]
    TooDeep { what: String },
    #[error("too large: {what} is {size} bytes, the limit is {limit}")]
    TooLarge { what: String, size: u64, limit: u64 },
    #[error("no reader for {media_type}")]
    Unsupported { media_type: String },
    #[error("this build of windlass has no PDF support")]
    NoPdfSupport,
    #[error("not a well-formed {format} document: {reason}")]
    Malformed { format: &'static str, reason: String },
    #[error("the docling-serve at {url} {problem}")]
    Docling { url: String, problem: String, retryable: bool },
    #[error("docling could not read the document: {reason}")]
    DoclingRefused { reason: String },
    #[error("no thread available to read it")]
    NoThread(#[source] io::Error),
    #[error("failed to {action} {}", path.display())]
    Io { action: &'static str, path: PathBuf, source: io::Error },
}

impl ParseError {
    /// A stable code for programs: `encrypted`, `needs_ocr`, `broken_xref`, ...
    pub fn code(&self) -> &'static str {
        match self {
            ParseError::Encrypted | ParseError::WrongPassword => "encrypted",
            ParseError::NeedsOcr { .. } => "needs_ocr",
            ParseError::BrokenXref { .. } => "broken_xref",
            ParseError::Truncated { .. } => "truncated",
            ParseError::TooDeep { .. } => "too_deep",
            ParseError::TooLarge { .. } => "too_large",
            ParseError::Unsupported { .. } => "unsupported",
            ParseError::NoPdfSupport => "no_pdf_support",
            ParseError::Malformed { .. } => "malformed",
            ParseError::Docling { .. } => "docling",
            ParseError::DoclingRefused { .. } => "docling_refused",
            ParseError::Io { .. } => "io",
            ParseError::NoThread(_) => "no_room",
        }
    }

    /// Whether another attempt could end otherwise: only when the file could not be read from disk, or a server was away.
    pub fn is_retryable(&self) -> bool {
        matches!(self, ParseError::Io { .. } | ParseError::NoThread(_) | ParseError::Docling { retryable: true, .. })
    }

    /// What to do next, if known.
    pub fn hint(&self) -> Option<&'static str> {
        Some(match self {
            ParseError::Encrypted | ParseError::WrongPassword => {
                "save a copy without a password, for example with `qpdf --decrypt`, and ingest that"
            }
            ParseError::NeedsOcr { .. } => "install `tesseract`, or run `ocrmypdf` on the file and ingest the result",
            ParseError::BrokenXref { .. } => "try `qpdf IN.pdf OUT.pdf` or `mutool clean`, and ingest the result",
            ParseError::Truncated { .. } => {
                "fetch the file again, or set `parse.salvage: true` to index what can still be read"
            }
            ParseError::TooLarge { .. } => "raise `parse.max_bytes` or `parse.max_text`, or split the document",
            ParseError::Unsupported { .. } => "exclude it with a glob, or convert it to PDF, HTML or text first",
            ParseError::NoPdfSupport => "build windlass with its default features (`pdf` is one of them)",
            ParseError::Docling { retryable: false, .. } => "see `parse.url`, or use `parse.backend=builtin`",
            ParseError::DoclingRefused { .. } => "read it with `parse.backend=builtin`, or exclude it with a glob",
            ParseError::Docling { .. } => return None,
            ParseError::TooDeep { .. }
            | ParseError::Malformed { .. }
            | ParseError::NoThread(_)
            | ParseError::Io { .. } => return None,
        })
    }
}

/// Reads the document in `path`, whose size is checked first.
pub fn parse_file(path: &Path, options: &ParseOptions) -> Result<ParsedDocument, ParseError> {
    let io = |action| move |source| ParseError::Io { action, path: path.to_path_buf(), source };
    let size = fs::metadata(path).map_err(io("read the size of"))?.len();
    check_size("the file", size, options.max_bytes)?;
    let bytes = regular_file::read(path).map_err(io("read"))?;
    parse(&bytes, &path.to_string_lossy(), options)
}

/// Reads a document. Its type follows from its content first and from `name` second.
///
/// A document without content is no error: it comes back with empty Markdown and a warning that says so.
pub fn parse(bytes: &[u8], name: &str, options: &ParseOptions) -> Result<ParsedDocument, ParseError> {
    check_size("the document", bytes.len() as u64, options.max_bytes)?;
    let media_type = media_type::detect(bytes, name);
    let document = in_thread(media_type, || reader::read(media_type, bytes, name, options))?;
    Ok(finished(document, media_type, bytes))
}

/// The fields that every reader sets in the same way.
pub(super) fn finished(mut document: ParsedDocument, media_type: MediaType, bytes: &[u8]) -> ParsedDocument {
    document.media_type = media_type.name().to_string();
    if media_type.has_structure() {
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

/// Deep nesting costs stack: this much is reserved, in bytes, and only what is used is ever resident.
const STACK: usize = 64 << 20;

/// Runs a reader with a known stack. A panic in a format's library is a malformed document, not the end of the process.
fn in_thread(
    media_type: MediaType,
    read: impl FnOnce() -> Result<ParsedDocument, ParseError> + Send,
) -> Result<ParsedDocument, ParseError> {
    let malformed = |reason: &str| ParseError::Malformed { format: media_type.label(), reason: reason.to_string() };
    thread::scope(|scope| {
        let reading = thread::Builder::new().name("parse".into()).stack_size(STACK).spawn_scoped(scope, read);
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

pub(super) fn check_size(what: &str, size: u64, limit: u64) -> Result<(), ParseError> {
    match size > limit {
        true => Err(ParseError::TooLarge { what: what.to_string(), size, limit }),
        false => Ok(()),
    }
}
