//! Why a document could not be read.

use std::{io, path::PathBuf};

/// Why a document could not be read. Most errors are permanent, since the same bytes fail the same way: see
/// `is_retryable`.
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
    #[cfg_attr(feature = "pdf", allow(dead_code))]
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

    /// Whether another attempt could succeed: only if the file could not be read from disk, or a server was
    /// unreachable.
    pub fn is_retryable(&self) -> bool {
        matches!(self, ParseError::Io { .. } | ParseError::NoThread(_) | ParseError::Docling { retryable: true, .. })
    }

    /// What the user should do next, if known.
    pub fn hint(&self) -> Option<&'static str> {
        Some(match self {
            ParseError::Encrypted | ParseError::WrongPassword => {
                "save a copy without a password, for example with `qpdf --decrypt`, and ingest that"
            }
            ParseError::NeedsOcr { .. } => "install `tesseract`, or run `ocrmypdf` on the file and ingest the result",
            ParseError::BrokenXref { .. } => "try `qpdf IN.pdf OUT.pdf` or `mutool clean`, and ingest the result",
            ParseError::Truncated { .. } => {
                "fetch the file again, or add `--set parse.salvage=true` to index what can still be read"
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

/// Refuses a document that is larger than the limit, in bytes.
pub(super) fn check_size(what: &str, size: u64, limit: u64) -> Result<(), ParseError> {
    match size > limit {
        true => Err(ParseError::TooLarge { what: what.to_string(), size, limit }),
        false => Ok(()),
    }
}
