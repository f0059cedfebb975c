//! Reads PDF by the positions of letters. Without the feature `pdf`, every PDF fails with an error that says so.
//!
//! `hayro-syntax` and `hayro-font` read the file and its fonts, and yield letters with positions. This module turns
//! letters into words (`word`), rows into columns and tables (`column`, `ruled`, `aligned`), and lines into headings
//! and paragraphs (`heading`, `paragraph`). These files do not depend on a library. For the reasons see
//! docs/decisions/160-pdf-by-geometry.md.

#[cfg(feature = "pdf")]
mod accent;
#[cfg(feature = "pdf")]
mod aligned;
#[cfg(feature = "pdf")]
mod bidi;
#[cfg(feature = "pdf")]
mod bookmarks;
#[cfg(feature = "pdf")]
mod column;
#[cfg(feature = "pdf")]
mod content;
#[cfg(feature = "pdf")]
mod document;
#[cfg(feature = "pdf")]
mod font;
#[cfg(feature = "pdf")]
mod furniture;
#[cfg(feature = "pdf")]
mod heading;
#[cfg(feature = "pdf")]
mod layout;
#[cfg(feature = "pdf")]
mod matrix;
#[cfg(feature = "pdf")]
mod page;
#[cfg(feature = "pdf")]
mod paragraph;
#[cfg(feature = "pdf")]
mod picture;
#[cfg(feature = "pdf")]
mod reading;
#[cfg(feature = "pdf")]
mod remarks;
#[cfg(feature = "pdf")]
mod ruled;
#[cfg(feature = "pdf")]
mod run;
#[cfg(feature = "pdf")]
mod sound;
#[cfg(feature = "pdf")]
mod strings;
#[cfg(feature = "pdf")]
mod text;
#[cfg(feature = "pdf")]
mod word;

#[cfg(feature = "pdf")]
pub(super) use reading::read;

#[cfg(not(feature = "pdf"))]
pub(super) fn read(
    _: &[u8],
    _: &crate::ingest::ParseOptions,
) -> Result<crate::model::ParsedDocument, crate::ingest::ParseError> {
    Err(crate::ingest::ParseError::NoPdfSupport)
}
