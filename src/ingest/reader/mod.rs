//! One reader per format: bytes to Markdown, in linear time and bounded memory.

mod archive;
mod code;
mod csv;
mod docx;
mod email;
mod epub;
mod grid;
pub mod html;
#[cfg(feature = "pdf")]
mod hyphens;
mod image;
mod json;
mod markdown;
mod odf;
mod pdf;
mod plain;
mod pptx;
mod table;
mod tokens;
mod writer;
mod xlsx;

use super::{charset, media_type::MediaType, parse_error::ParseError, parse_options::ParseOptions};
use crate::model::ParsedDocument;

/// Reads the document as what it is. Headings and tables are found afterwards, in the Markdown.
pub(super) fn read(
    media_type: MediaType,
    bytes: &[u8],
    name: &str,
    options: &ParseOptions,
) -> Result<ParsedDocument, ParseError> {
    let text = || charset::decode(bytes, None);
    match media_type {
        MediaType::Pdf => pdf::read(bytes, options),
        MediaType::Html => plain::within(charset::decode_html(bytes), options, |it| html::read(it, options.max_text)),
        MediaType::Markdown => plain::within(text(), options, |it| Ok(markdown::read(it))),
        MediaType::Plain => plain::within(text(), options, |it| Ok(plain::read(it))),
        MediaType::Code => plain::within(text(), options, |it| Ok(code::read(it, name))),
        MediaType::Csv => plain::within(text(), options, |it| csv::read(it, None, options)),
        MediaType::Tsv => plain::within(text(), options, |it| csv::read(it, Some('\t'), options)),
        MediaType::Json => plain::within(text(), options, |it| json::read(it, options)),
        MediaType::JsonLines => plain::within(text(), options, |it| json::read_lines(it, options)),
        MediaType::Email => email::read(bytes, options),
        MediaType::Docx => docx::read(bytes, options),
        MediaType::Pptx => pptx::read(bytes, options),
        MediaType::Xlsx => xlsx::read(bytes, options),
        MediaType::Xls => xlsx::read_old(bytes, options),
        MediaType::Odt | MediaType::Odp => odf::read(bytes, options),
        MediaType::Ods => odf::read_sheets(bytes, options),
        MediaType::Epub => epub::read(bytes, options),
        MediaType::Png => image::read(bytes, ".png", options),
        MediaType::Jpeg => image::read(bytes, ".jpg", options),
        MediaType::Tiff => image::read(bytes, ".tif", options),
        MediaType::EncryptedOffice => Err(ParseError::Encrypted),
        MediaType::Other(name) => Err(ParseError::Unsupported { media_type: name.to_string() }),
    }
}
