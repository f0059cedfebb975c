//! Reads images of text, if a program for text recognition is available.

use crate::{
    ingest::{parse_error::ParseError, parse_options::ParseOptions},
    model::ParsedDocument,
};
use std::io::Write;

pub(super) fn read(bytes: &[u8], suffix: &str, options: &ParseOptions) -> Result<ParsedDocument, ParseError> {
    let Some(ocr) = &options.ocr else { return Err(ParseError::NeedsOcr { pages: 1 }) };
    let io = |action| move |source| ParseError::Io { action, path: std::env::temp_dir(), source };
    let mut file = tempfile::Builder::new().suffix(suffix).tempfile().map_err(io("make a file in"))?;
    file.write_all(bytes).map_err(io("write to"))?;
    let markdown =
        ocr.read(file.path()).map_err(|error| ParseError::Malformed { format: "image", reason: error.to_string() })?;
    Ok(ParsedDocument { markdown, ..ParsedDocument::default() })
}
