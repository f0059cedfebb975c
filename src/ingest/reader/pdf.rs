//! PDF, read page by page with pdf_oxide. Without the feature `pdf`, every PDF fails with an error that says so.

#[cfg(not(feature = "pdf"))]
pub(super) fn read(
    _: &[u8],
    _: &crate::ingest::ParseOptions,
) -> Result<crate::model::ParsedDocument, crate::ingest::ParseError> {
    Err(crate::ingest::ParseError::NoPdfSupport)
}

#[cfg(feature = "pdf")]
pub(super) use pages::read;

#[cfg(feature = "pdf")]
mod pages {
    use crate::{
        ingest::{
            parse_error::{ParseError, check_size},
            parse_options::{Ocr, ParseOptions},
            reader::hyphens,
        },
        model::{PageStart, ParsedDocument},
    };
    use pdf_oxide::{Error as PdfError, converters::ConversionOptions, document::PdfDocument};

    /// No book has more pages, but a broken page count may claim billions.
    const PAGES_MAX: usize = 50_000;
    /// Gives up after this many consecutive unreadable pages.
    const BAD_PAGES_MAX: usize = 100;
    /// The largest image for text recognition, in pixels: a page of A3 at 600 dpi.
    const PIXELS_MAX: u64 = 80_000_000;
    /// The maximum nesting of arrays and dictionaries. No writer nests so deep, and the library's stack would overflow.
    const DEPTH_MAX: usize = 1000;
    /// What pdf_oxide writes in place of an image's text.
    const NO_TEXT: &str = "> [OCR REQUIRED";

    /// What a page contains.
    enum Page {
        Text(String),
        Empty,
        Image,
        Bad(PdfError),
    }

    pub fn read(bytes: &[u8], options: &ParseOptions) -> Result<ParsedDocument, ParseError> {
        let cut_off = cut_off(bytes);
        if let (Some(reason), false) = (&cut_off, options.salvage) {
            return Err(ParseError::Truncated { reason: reason.clone() });
        }
        if depth(bytes) > DEPTH_MAX {
            return Err(ParseError::TooDeep { what: format!("objects inside objects, more than {DEPTH_MAX} times") });
        }
        let pdf = open(bytes, options)?;
        let count = pdf.page_count().map_err(error)?;
        let mut document = ParsedDocument::default();
        document.warnings.extend(cut_off.map(|it| format!("the file is truncated ({it}): pages may be missing")));
        let (mut images, mut bad_in_row, mut good) = (0, 0, 0);
        let mut last_error = None;
        for index in 0..count.min(PAGES_MAX) {
            let number = index as u32 + 1;
            let text = match page(&pdf, index, options.ocr.as_ref(), &mut document.warnings) {
                Page::Bad(error) => {
                    document.warnings.push(format!("page {number} could not be read: {error}"));
                    last_error = Some(error);
                    bad_in_row += 1;
                    if bad_in_row == BAD_PAGES_MAX {
                        break;
                    }
                    continue;
                }
                Page::Empty => {
                    document.warnings.push(format!("page {number} has no text"));
                    String::new()
                }
                Page::Image => {
                    images += 1;
                    document.warnings.push(format!("page {number} is an image without a text layer: needs OCR"));
                    String::new()
                }
                Page::Text(text) => text,
            };
            (bad_in_row, good) = (0, good + 1);
            append(&mut document, number, text.trim());
            check_size("the text of the PDF", document.markdown.len() as u64, options.max_text as u64)?;
        }
        match (document.markdown.is_empty(), images, last_error) {
            (true, 1.., _) => Err(ParseError::NeedsOcr { pages: images }),
            (true, 0, Some(cause)) if good == 0 => Err(error(cause)),
            _ => Ok(document),
        }
    }

    fn append(document: &mut ParsedDocument, page: u32, text: &str) {
        if text.is_empty() {
            return;
        }
        if !document.markdown.is_empty() {
            document.markdown.push_str("\n\n");
        }
        document.pages.push(PageStart { page, offset: document.markdown.len() });
        document.markdown.push_str(text);
    }

    fn open(bytes: &[u8], options: &ParseOptions) -> Result<PdfDocument, ParseError> {
        let pdf = PdfDocument::from_bytes(bytes.to_vec()).map_err(error)?;
        if pdf.is_authenticated() {
            return Ok(pdf);
        }
        match &options.password {
            None => Err(ParseError::Encrypted),
            Some(password) if pdf.authenticate(password.as_bytes()).unwrap_or(false) => Ok(pdf),
            Some(_) => Err(ParseError::WrongPassword),
        }
    }

    fn page(pdf: &PdfDocument, index: usize, ocr: Option<&Ocr>, warnings: &mut Vec<String>) -> Page {
        let wanted = ConversionOptions { detect_headings: true, extract_tables: true, ..ConversionOptions::default() };
        let markdown = match pdf.to_markdown(index, &wanted) {
            Ok(markdown) => markdown,
            Err(error) => return Page::Bad(error),
        };
        if !markdown.trim().is_empty() && !markdown.trim_start().starts_with(NO_TEXT) {
            return Page::Text(hyphens::join(&markdown, || pdf.extract_text(index).unwrap_or_default()));
        }
        let Ok(images) = pdf.page_image_handles(index) else { return Page::Empty };
        if images.is_empty() {
            return Page::Empty;
        }
        let Some(ocr) = ocr else { return Page::Image };
        let mut text = String::new();
        for image in images.into_iter().filter(|it| u64::from(it.width) * u64::from(it.height) <= PIXELS_MAX) {
            match recognize(image, ocr) {
                Ok(found) => text.push_str(&found),
                Err(reason) => warnings.push(format!("page {}: text recognition failed: {reason}", index + 1)),
            }
        }
        if text.trim().is_empty() { Page::Image } else { Page::Text(text) }
    }

    fn recognize(image: pdf_oxide::PdfImageHandle<'_>, ocr: &Ocr) -> Result<String, String> {
        let folder = tempfile::tempdir().map_err(|it| it.to_string())?;
        let path = folder.path().join("page.png");
        let image = image.decode().map_err(|it| it.to_string())?;
        image.save_as_png(&path).map_err(|it| it.to_string())?;
        ocr.read(&path).map_err(|it| it.to_string())
    }

    /// Why the file must be truncated: its header declares a larger size, or it has no end marker.
    fn cut_off(bytes: &[u8]) -> Option<String> {
        let has = |wanted: &[u8]| bytes.windows(wanted.len()).rev().any(|it| it == wanted);
        let head = String::from_utf8_lossy(&bytes[..bytes.len().min(1024)]);
        if let Some(at) = head.find("/Linearized") {
            let digits = head[at..].split_once("/L ").map(|it| it.1.trim_start());
            let length = digits.and_then(|it| it.split(|c: char| !c.is_ascii_digit()).next()?.parse::<usize>().ok());
            if let Some(length) = length.filter(|it| *it > bytes.len()) {
                return Some(format!("it has {} of {length} bytes", bytes.len()));
            }
        }
        (!has(b"%%EOF") && !has(b"startxref")).then(|| format!("its end is missing after {} bytes", bytes.len()))
    }

    /// The nesting depth of arrays and dictionaries, ignoring streams and strings.
    fn depth(bytes: &[u8]) -> usize {
        let (mut depth, mut deepest, mut string, mut at) = (0_usize, 0, 0_usize, 0);
        while let Some(byte) = bytes.get(at) {
            let rest = &bytes[at..];
            at += 1;
            match byte {
                b'\\' if string > 0 => at += 1,
                b'(' => string += 1,
                b')' => string = string.saturating_sub(1),
                // The end of an object closes everything: a damaged string must not hide the rest.
                b'e' if rest.starts_with(b"endobj") => (depth, string) = (0, 0),
                b's' if rest.starts_with(b"stream") => {
                    (depth, string) = (0, 0);
                    at += rest.windows(9).position(|it| it == b"endstream").unwrap_or(rest.len());
                }
                _ if string > 0 => (),
                b'[' | b'<' => depth += 1,
                b']' | b'>' => depth = depth.saturating_sub(1),
                _ => (),
            }
            deepest = deepest.max(depth);
        }
        deepest / 2
    }

    fn error(error: PdfError) -> ParseError {
        let reason = error.to_string();
        match error {
            PdfError::EncryptedPdf => ParseError::Encrypted,
            PdfError::InvalidXref => ParseError::BrokenXref { reason },
            PdfError::UnexpectedEof => ParseError::Truncated { reason },
            PdfError::RecursionLimitExceeded(_) => ParseError::TooDeep { what: "objects of the PDF".into() },
            PdfError::CircularReference(_) => {
                ParseError::TooDeep { what: "objects of the PDF refer to each other".into() }
            }
            PdfError::ObjectNotFound(..) => ParseError::BrokenXref { reason },
            _ if reason.to_ascii_lowercase().contains("xref") => ParseError::BrokenXref { reason },
            _ => ParseError::Malformed { format: "PDF", reason },
        }
    }
}
