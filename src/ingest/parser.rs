//! The worker's side of the parse step: a worker process of this same program that reads one document after another.
//!
//! A request says what to read and names the directory for the results. If a document crashes, hangs or exhausts the
//! process, nothing else is affected: the next document gets another process.

use super::{
    docling::Docling,
    file_uri,
    item::{self, MARKDOWN, STRUCTURE},
    ocr,
    parse::parse,
    parse_error::ParseError,
    parse_options::ParseOptions,
};
use crate::{
    engine::with_causes,
    model::{ArtifactHash, ParsedDocument},
    os::{Shortage, stderr, threads},
    process::{
        protocol::{Failed, Work},
        serve::{self, panicked, serve},
    },
};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest, Sha256};
use std::{
    fs::{self, File},
    io::{self, BufWriter, Read, Write},
    path::Path,
    thread,
};

/// The name that a parser process serves under, and the name of its handler.
pub(super) const NAME: &str = "parse";

/// The kind of failure for a shortage of disk space or another resource, which is not the document's fault.
pub(super) const NO_ROOM: &str = "no_room";

/// Deep nesting costs stack. Anything that needs more than this is not a real document.
const STACK: usize = 64 << 20;
const WARNINGS_MAX: usize = 100;

/// The document to read.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Request {
    /// The `file://` URI of the content.
    pub file: String,
    /// See `ItemDocument::within`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub within: Option<String>,
    /// A name that helps to detect the type.
    pub name: String,
    pub sha256: ArtifactHash,
    pub options: ParseOptions,
    /// The external reader.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub docling: Option<Docling>,
}

/// Facts about the document for later steps and for people.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Summary {
    pub media_type: String,
    pub title: Option<String>,
    /// 0 for formats without pages.
    pub pages: usize,
    pub headings: usize,
    pub tables: usize,
    /// The size of the Markdown.
    pub bytes: usize,
    pub warnings: Vec<String>,
}

/// Reads documents if this process was started to do so, and returns the exit code to end with. Call it at the start of
/// `main`, after the shim.
pub fn run_if_asked() -> Option<i32> {
    if serve::requested()? != NAME {
        return None;
    }
    Some(match serve(work) {
        Ok(()) => 0,
        Err(error) => {
            stderr::say(error.to_string());
            74
        }
    })
}

fn work(work: &Work) -> Result<Option<Value>, Failed> {
    let unreadable = |error: serde_json::Error| failed("request", error.to_string());
    let mut request: Request = serde_json::from_value(work.item.clone()).map_err(unreadable)?;
    request.options.ocr = ocr::installed();
    let dir = Path::new(&work.out);
    // Rust prints the name of a thread whose stack overflowed, so the name ends up in the message.
    let read = || read(&request, dir);
    let summary = thread::scope(|scope| match threads::start_within(scope, "parse", Some(STACK), read) {
        Ok(reading) => reading.join().unwrap_or_else(|panic| {
            let said = panicked(&*panic).message;
            Err(failed("parser_panicked", format!("the parser failed on this document: {said}")))
        }),
        Err(error) => Err(of_io("no thread available to read it", &error)),
    })?;
    serde_json::to_value(&summary).map(Some).map_err(unreadable)
}

/// Reads the document and writes its parts to `dir`.
fn read(request: &Request, dir: &Path) -> Result<Summary, Failed> {
    let mut document = match parsed(request) {
        Ok(Some(document)) => document,
        Ok(None) => {
            let message = "the document changed while it was being ingested";
            return Err(failed("changed", message.to_string()));
        }
        Err(error) => {
            if Shortage::behind(&error).is_some() {
                return Err(Failed { retryable: true, ..failed(NO_ROOM, with_causes(&error)) });
            }
            let hint = error.hint().map(|it| format!("; {it}")).unwrap_or_default();
            let message = format!("{}{hint}", with_causes(&error));
            return Err(Failed { retryable: error.is_retryable(), ..failed(error.code(), message) });
        }
    };
    let more = document.warnings.len().saturating_sub(WARNINGS_MAX);
    if more > 0 {
        document.warnings.truncate(WARNINGS_MAX);
        document.warnings.push(format!("and {more} more warnings"));
    }
    let markdown = std::mem::take(&mut document.markdown);
    fs::write(dir.join(MARKDOWN), &markdown)
        .and_then(|()| write_json(&dir.join(STRUCTURE), &document))
        .map_err(|error| of_io("failed to write the text of the document", &error))?;
    Ok(Summary {
        media_type: document.media_type,
        title: document.title,
        pages: document.pages.len(),
        headings: document.headings.len(),
        tables: document.tables.len(),
        bytes: markdown.len(),
        warnings: document.warnings,
    })
}

/// A failure that no retry can fix.
fn failed(kind: &str, message: String) -> Failed {
    Failed { kind: kind.to_string(), message, ..Failed::default() }
}

fn of_io(what: &str, error: &io::Error) -> Failed {
    let short = Shortage::of_start(error).is_some();
    Failed { retryable: true, ..failed(if short { NO_ROOM } else { "io" }, format!("{what}: {error}")) }
}

/// Returns `None` if the file has other content by now.
fn parsed(request: &Request) -> Result<Option<ParsedDocument>, ParseError> {
    let missing = || io::Error::new(io::ErrorKind::NotFound, "not a local file");
    let io = |path: &Path| {
        let path = path.to_path_buf();
        move |source| ParseError::Io { action: "read", path, source }
    };
    let path = file_uri::path_of(&request.file).ok_or_else(|| io(Path::new(&request.file))(missing()))?;
    let mut bytes = Vec::new();
    let limit = request.options.max_bytes.saturating_add(1);
    item::open(&request.file, request.within.as_deref())
        .and_then(|it| it.take(limit).read_to_end(&mut bytes))
        .map_err(io(&path))?;
    // A file longer than the limit is cut here and then refused by `parse`.
    let too_long = bytes.len() as u64 == limit;
    if !too_long && Sha256::digest(&bytes)[..] != request.sha256.0 {
        return Ok(None);
    }
    if let Some(docling) = &request.docling
        && let Some(document) = docling.parse(&bytes, &request.name, request.sha256, &request.options)?
    {
        return Ok(Some(document));
    }
    parse(&bytes, &request.name, &request.options).map(Some)
}

fn write_json(path: &Path, value: &impl Serialize) -> io::Result<()> {
    let mut file = BufWriter::new(File::create(path)?);
    serde_json::to_writer(&mut file, value)?;
    file.flush()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(path: &Path, content: &[u8]) -> Request {
        Request {
            file: file_uri::of(path),
            within: Some(file_uri::ANYWHERE.to_string()),
            name: path.to_string_lossy().into_owned(),
            sha256: ArtifactHash(Sha256::digest(content).into()),
            options: ParseOptions::default(),
            docling: None,
        }
    }

    #[test]
    fn a_document_becomes_a_text_and_its_structure() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("notes.md");
        let content = "# Ropes\n\nHemp rots.\n\n| a | b |\n|---|---|\n| 1 | 2 |\n";
        fs::write(&path, content).unwrap();
        let summary = read(&request(&path, content.as_bytes()), dir.path()).unwrap();
        assert_eq!((summary.title.as_deref(), summary.headings, summary.tables), (Some("Ropes"), 1, 1));
        let markdown = fs::read_to_string(dir.path().join(MARKDOWN)).unwrap();
        assert_eq!(markdown.len(), summary.bytes);
        let structure: ParsedDocument = serde_json::from_slice(&fs::read(dir.path().join(STRUCTURE)).unwrap()).unwrap();
        assert_eq!(structure.headings[0].text, "Ropes");
        assert!(structure.markdown.is_empty() && markdown.contains("Hemp rots."));
    }

    #[test]
    fn a_changed_a_missing_and_an_unreadable_document_each_have_their_answer() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.md");
        fs::write(&path, "new").unwrap();
        let code = |request: &Request| {
            let failed = read(request, dir.path()).unwrap_err();
            (failed.kind, failed.retryable)
        };
        assert_eq!(code(&request(&path, b"old")), ("changed".to_string(), false));
        let mut large = request(&path, b"new");
        large.options.max_bytes = 2;
        assert_eq!(code(&large), ("too_large".to_string(), false));
        let gone = request(&dir.path().join("gone.md"), b"");
        assert_eq!(code(&gone), ("io".to_string(), true));
        assert!(!dir.path().join(STRUCTURE).exists());
        for code in [libc::ENOSPC, libc::EAGAIN, libc::EMFILE, libc::ENOMEM] {
            assert_eq!(of_io("short", &io::Error::from_raw_os_error(code)).kind, NO_ROOM);
        }
    }
}
