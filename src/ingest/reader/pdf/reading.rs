//! Reads a PDF page by page: its text, its bookmarks as headings, and its scanned pages by OCR.

use super::{
    bookmarks::{self, Bookmark},
    document::Contents,
    furniture, heading,
    layout::{self, Sheet},
    paragraph::{Words, Writer},
    picture, sound,
};
use crate::{
    ingest::{
        parse_error::{ParseError, check_size},
        parse_options::{Ocr, ParseOptions},
    },
    model::{PageStart, ParsedDocument},
};
use hayro_syntax::{DecryptionError, LoadPdfError, Pdf, object::Dict, page::Page as PdfPage};
use std::panic::{AssertUnwindSafe, catch_unwind};

/// No book has more pages; a damaged page count may claim billions.
const PAGES_MAX: usize = 50_000;
/// After this many unreadable pages in a row, the rest is given up.
const BAD_PAGES_MAX: usize = 100;
/// The largest image passed to OCR, in pixels: an A3 page at 600 dpi.
const PIXELS_MAX: u64 = 80_000_000;
/// The deepest nesting of arrays and dictionaries. No program writes such deep nesting, and the stack would overflow.
const DEPTH_MAX: usize = 1000;

/// The result of reading a page.
enum Page {
    Text(Sheet),
    /// Text found by OCR.
    Recognized(String),
    Empty,
    Image,
    /// Why it can't be read.
    Bad(String),
}

/// The pages of a document before they are combined.
#[derive(Default)]
struct Pages {
    sheets: Vec<Sheet>,
    /// Text that OCR found on pages without text, by page index.
    recognized: Vec<(usize, String)>,
    warnings: Vec<String>,
    images: usize,
    good: usize,
    last_error: Option<String>,
}

pub fn read(bytes: &[u8], options: &ParseOptions) -> Result<ParsedDocument, ParseError> {
    let cut_off = sound::cut_off(bytes);
    if let (Some(reason), false) = (&cut_off, options.salvage) {
        return Err(ParseError::Truncated { reason: reason.clone() });
    }
    if sound::depth(bytes) > DEPTH_MAX {
        return Err(ParseError::TooDeep { what: format!("objects inside objects, more than {DEPTH_MAX} times") });
    }
    let pdf = open(bytes, options)?;
    let catalog: Dict<'_> = pdf.xref().get(pdf.xref().root_id()).unwrap_or_default();
    let warnings =
        cut_off.map(|it| format!("the file is truncated ({it}): pages may be missing")).into_iter().collect();
    let mut pages = Pages { warnings, ..Pages::default() };
    pages.read(&pdf, &catalog, options)?;
    let bookmarks = caught(|| bookmarks::read(&pdf, &catalog)).unwrap_or_default();
    let document = pages.document(&bookmarks, options.max_text)?;
    match (document.markdown.is_empty(), pages.images, pages.last_error) {
        (true, 1.., _) => Err(ParseError::NeedsOcr { pages: pages.images }),
        (true, 0, Some(reason)) if pages.good == 0 => Err(ParseError::Malformed { format: "PDF", reason }),
        _ => Ok(document),
    }
}

fn open(bytes: &[u8], options: &ParseOptions) -> Result<Pdf, ParseError> {
    let password = options.password.as_deref();
    let opened = |password: &str| Pdf::new_with_password(bytes.to_vec(), password);
    let protected = LoadPdfError::Decryption(DecryptionError::PasswordProtected);
    // The empty password opens most encrypted files: those that everyone may read but not change.
    let found = match (opened(""), password) {
        (Err(error), Some(password)) if error == protected => opened(password),
        (found, _) => found,
    };
    found.map_err(|error| match error {
        LoadPdfError::Decryption(DecryptionError::PasswordProtected) if password.is_some() => ParseError::WrongPassword,
        LoadPdfError::Decryption(DecryptionError::PasswordProtected) => ParseError::Encrypted,
        LoadPdfError::Decryption(_) => {
            ParseError::Malformed { format: "PDF", reason: "its encryption is damaged or of an unknown kind".into() }
        }
        LoadPdfError::Invalid => ParseError::BrokenXref { reason: "no pages were found".into() },
    })
}

impl Pages {
    fn read<'a>(&mut self, pdf: &'a Pdf, catalog: &Dict<'a>, options: &ParseOptions) -> Result<(), ParseError> {
        let mut contents = Contents::new(catalog);
        let (mut bad_in_row, mut letters) = (0, 0);
        for (index, page) in pdf.pages().iter().take(PAGES_MAX).enumerate() {
            let number = index + 1;
            let (mut sheet, mut bad) = (Sheet::default(), 0);
            match self.page(&mut contents, page, number, options.ocr.as_ref()) {
                Page::Bad(reason) => {
                    self.warnings.push(format!("page {number} could not be read: {reason}"));
                    self.last_error = Some(reason);
                    bad = bad_in_row + 1;
                }
                Page::Empty => self.warnings.push(format!("page {number} has no text")),
                Page::Image => {
                    self.images += 1;
                    self.warnings.push(format!("page {number} is an image without a text layer: needs OCR"));
                }
                Page::Recognized(text) => self.recognized.push((index, text)),
                Page::Text(found) => sheet = found,
            }
            letters += sheet.lines().map(|it| it.text.len()).sum::<usize>();
            check_size("the text of the PDF", letters as u64, options.max_text as u64)?;
            self.sheets.push(sheet);
            bad_in_row = bad;
            self.good += usize::from(bad == 0);
            if bad_in_row == BAD_PAGES_MAX {
                break;
            }
        }
        Ok(())
    }

    fn page<'a>(&mut self, contents: &mut Contents<'a>, page: &PdfPage<'a>, number: usize, ocr: Option<&Ocr>) -> Page {
        let Some(shown) = caught(|| contents.page(page)) else { return Page::Bad("its content is malformed".into()) };
        if !shown.is_blank() {
            return match caught(|| layout::sheet(&shown)) {
                Some(sheet) => Page::Text(sheet),
                None => Page::Bad("its text cannot be laid out".into()),
            };
        }
        if let (Some(reason), 0) = (shown.lost.reason(), shown.images) {
            return Page::Bad(reason);
        }
        if shown.images == 0 {
            return Page::Empty;
        }
        let Some(ocr) = ocr else { return Page::Image };
        let mut text = String::new();
        let pictures = caught(|| picture::pictures(page)).unwrap_or_default();
        for picture in pictures.into_iter().filter(|it| u64::from(it.width) * u64::from(it.height) <= PIXELS_MAX) {
            let png = caught(|| picture.png()).unwrap_or_else(|| Err("the image is malformed".into()));
            match png.and_then(|it| recognize(&it, ocr)) {
                Ok(found) => text.push_str(&found),
                Err(reason) => self.warnings.push(format!("page {number}: text recognition failed: {reason}")),
            }
        }
        if text.trim().is_empty() { Page::Image } else { Page::Recognized(text) }
    }

    /// Combines the pages.
    fn document(&mut self, bookmarks: &[Bookmark], max_text: usize) -> Result<ParsedDocument, ParseError> {
        furniture::remove(&mut self.sheets);
        heading::mark(&mut self.sheets, bookmarks);
        let mut words = Words::default();
        self.sheets.iter().for_each(|it| words.learn(it));
        let mut writer = Writer::new(&words);
        let mut document = ParsedDocument { warnings: std::mem::take(&mut self.warnings), ..ParsedDocument::default() };
        let mut recognized = self.recognized.iter().peekable();
        for (index, sheet) in self.sheets.iter().enumerate() {
            let start = match recognized.next_if(|it| it.0 == index) {
                Some((_, text)) => writer.text(text),
                None => writer.page(sheet),
            };
            document.pages.extend(start.map(|offset| PageStart { page: index as u32 + 1, offset }));
            check_size("the text of the PDF", writer.markdown.len() as u64, max_text as u64)?;
        }
        document.markdown = writer.markdown;
        Ok(document)
    }
}

/// Runs the library on possibly hostile input. None if it panics, which means that this page is malformed, not the
/// whole document.
fn caught<T>(run: impl FnOnce() -> T) -> Option<T> {
    catch_unwind(AssertUnwindSafe(run)).ok()
}

fn recognize(png: &[u8], ocr: &Ocr) -> Result<String, String> {
    let folder = tempfile::tempdir().map_err(|it| it.to_string())?;
    let path = folder.path().join("page.png");
    std::fs::write(&path, png).map_err(|it| it.to_string())?;
    ocr.read(&path).map_err(|it| it.to_string())
}
