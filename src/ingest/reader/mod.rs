//! One reader per format. Each turns bytes into Markdown in linear time and bounded memory.

mod archive;
mod code;
mod csv;
mod docx;
mod email;
mod epub;
mod format;
mod grid;
pub mod html;
mod image;
mod json;
mod markdown;
mod odf;
mod pdf;
mod plain;
mod pptx;
mod table;
mod tokens;
mod words;
mod writer;
mod xlsx;

pub use format::{FORMATS, Format, Sign};
pub use words::Words;

use super::{charset, parse_error::ParseError, parse_options::ParseOptions};
use crate::model::ParsedDocument;

/// Reads Markdown from any source.
pub(super) fn read_markdown(bytes: &[u8], options: &ParseOptions) -> Result<ParsedDocument, ParseError> {
    plain::within(charset::decode(bytes, None), options, |text| Ok(markdown::read(text)))
}
