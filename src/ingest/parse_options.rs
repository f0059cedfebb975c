//! How documents are read.

use serde::{Deserialize, Serialize};
use std::{fmt, io, path::Path, sync::Arc};

/// How documents are read. The serialized fields are those that a parameter set can have under `parse`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ParseOptions {
    /// Larger files are refused before they are read, in bytes.
    pub max_bytes: u64,
    /// The maximum size of the extracted text, in bytes of Markdown.
    pub max_text: usize,
    /// Reads what is left of a truncated document, with a warning, instead of failing.
    pub salvage: bool,
    /// Opens encrypted documents. Never printed or stored.
    #[serde(skip)]
    pub password: Option<String>,
    /// Reads images of pages, if a program for that is available.
    #[serde(skip)]
    pub ocr: Option<Ocr>,
}

impl Default for ParseOptions {
    fn default() -> ParseOptions {
        ParseOptions { max_bytes: 256 << 20, max_text: 64 << 20, salvage: false, password: None, ocr: None }
    }
}

type Recognize = dyn Fn(&Path) -> io::Result<String> + Send + Sync;

/// Reads the text of an image file (PNG or JPEG), for example by running `tesseract`.
#[derive(Clone)]
pub struct Ocr(Arc<Recognize>);

impl Ocr {
    pub fn new(recognize: impl Fn(&Path) -> io::Result<String> + Send + Sync + 'static) -> Ocr {
        Ocr(Arc::new(recognize))
    }

    /// Returns the text of the image as plain text.
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
