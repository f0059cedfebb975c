//! Plain text, unchanged, in any charset.

use crate::{
    ingest::{
        charset::Text,
        parse_error::{ParseError, check_size},
        parse_options::ParseOptions,
    },
    model::{PageStart, ParsedDocument},
};

/// Calls a reader with the decoded text. Checks its size first, and adds a warning if bytes were replaced.
pub(super) fn within(
    text: Text<'_>,
    options: &ParseOptions,
    read: impl FnOnce(&str) -> Result<ParsedDocument, ParseError>,
) -> Result<ParsedDocument, ParseError> {
    // The markup of a page is larger than its text, and its reader checks the size of its own output.
    check_size("the decoded text", text.text.len() as u64, (options.max_text as u64).saturating_mul(4))?;
    let mut document = read(&text.text)?;
    check_size("the text", document.markdown.len() as u64, options.max_text as u64)?;
    if text.damaged {
        document.warnings.push(format!("some bytes are not valid in {} and were replaced", text.charset));
    }
    Ok(document)
}

/// Form feeds separate the pages of printed text, such as RFCs.
pub(super) fn read(text: &str) -> ParsedDocument {
    let mut pages = Vec::new();
    if text.contains('\u{c}') {
        let starts = std::iter::once(0).chain(text.match_indices('\u{c}').map(|it| it.0 + 1));
        pages = (1..).zip(starts).map(|(page, offset)| PageStart { page, offset }).collect();
        pages.retain(|it: &PageStart| it.offset < text.len());
    }
    ParsedDocument { markdown: text.replace('\u{c}', "\n"), pages, ..ParsedDocument::default() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn form_feeds_part_pages() {
        let document = read("one\n\u{c}two\n\u{c}");
        assert_eq!(document.markdown, "one\n\ntwo\n\n");
        assert_eq!(document.pages, [PageStart { page: 1, offset: 0 }, PageStart { page: 2, offset: 5 }]);
        assert!(read("no pages").pages.is_empty());
    }
}
