//! One reader per format: bytes to Markdown, in linear time and bounded memory.

pub mod html;
#[cfg(feature = "pdf")]
mod hyphens;
mod markdown;
mod pdf;
mod plain;

use super::{
    media_type::MediaType,
    parse::{ParseError, ParseOptions},
};
use crate::model::ParsedDocument;

/// Reads the document as what it is. Headings and tables are found afterwards, in the Markdown.
pub(super) fn read(
    media_type: MediaType,
    bytes: &[u8],
    name: &str,
    options: &ParseOptions,
) -> Result<ParsedDocument, ParseError> {
    let _ = name;
    match media_type {
        MediaType::Pdf => pdf::read(bytes, options),
        MediaType::Html => {
            plain::within(super::charset::decode_html(bytes), options, |text| html::read(text, options.max_text))
        }
        MediaType::Markdown => {
            plain::within(super::charset::decode(bytes, None), options, |text| Ok(markdown::read(text)))
        }
        MediaType::Plain => plain::within(super::charset::decode(bytes, None), options, |text| Ok(plain::read(text))),
        MediaType::EncryptedOffice => Err(ParseError::Encrypted),
        other => Err(ParseError::Unsupported { media_type: other.name().to_string() }),
    }
}
