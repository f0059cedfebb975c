//! The far side of the parse step: this same program, started again to read one document and then end.
//!
//! It is told on stdin what to read and leaves files in the directory in which it runs. What crashes, hangs or explodes it
//! takes nothing else along.

use super::{
    item, ocr,
    parse::{ParseError, ParseOptions, parse},
};
use crate::model::ArtifactHash;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::{
    any::Any,
    env,
    fs::{self, File},
    io::{self, BufWriter, Read, Write},
    path::{Path, PathBuf},
    thread,
};

/// The first argument that makes this program a parser.
pub(super) const WORD: &str = "__parse";
/// The text of the document.
pub(super) const MARKDOWN: &str = "document.md";
/// Everything else of it: a `ParsedDocument` whose `markdown` is empty.
pub(super) const STRUCTURE: &str = "document.json";
/// What the parent reads first.
pub(super) const ANSWER: &str = "answer.json";

/// Deep nesting costs stack; what costs more than this is no document.
const STACK: usize = 64 << 20;
const WARNINGS_MAX: usize = 100;

/// What to read.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Request {
    /// `file://` URI of the content.
    pub file: String,
    /// The name that helps to tell the type.
    pub name: String,
    pub sha256: ArtifactHash,
    pub options: ParseOptions,
}

/// What became of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Answer {
    Parsed(Summary),
    /// The bytes are not those that were asked for.
    Changed,
    Failed {
        code: String,
        message: String,
        hint: Option<String>,
        retryable: bool,
    },
}

/// What successors and people want to know without reading the document.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Summary {
    pub media_type: String,
    pub title: Option<String>,
    /// 0 for formats without pages.
    pub pages: usize,
    pub headings: usize,
    pub tables: usize,
    /// Of Markdown.
    pub bytes: usize,
    pub warnings: Vec<String>,
}

/// Reads a document when this process was started to do so, and returns the exit code to end with. Called at the start of
/// `main`, after the shim.
pub fn run_if_asked() -> Option<i32> {
    if env::args_os().nth(1)? != WORD {
        return None;
    }
    Some(match serve() {
        Ok(()) => 0,
        Err(error) => {
            eprintln!("{error}");
            74
        }
    })
}

fn serve() -> io::Result<()> {
    let mut text = Vec::new();
    io::stdin().read_to_end(&mut text)?;
    let mut request: Request = serde_json::from_slice(&text)?;
    request.options.ocr = ocr::installed();
    // Rust names the thread whose stack overflowed, so its name is part of the message.
    let reader = thread::Builder::new().name("parse".into()).stack_size(STACK);
    let answer = match reader.spawn(move || read(&request, Path::new(".")))?.join() {
        Ok(answer) => answer?,
        Err(panic) => panicked(&*panic),
    };
    write_json(&PathBuf::from(ANSWER), &answer)
}

fn panicked(panic: &(dyn Any + Send)) -> Answer {
    let said = panic.downcast_ref::<String>().map(String::as_str).or_else(|| panic.downcast_ref::<&str>().copied());
    let said: String = said.unwrap_or("without a message").chars().take(200).collect();
    Answer::Failed {
        code: "parser_panicked".to_string(),
        message: format!("the parser gave up on this document: {said}"),
        hint: None,
        retryable: false,
    }
}

/// Reads the document and leaves its parts in `dir`.
pub(super) fn read(request: &Request, dir: &Path) -> io::Result<Answer> {
    let document = match parsed(request) {
        Ok(Some(document)) => document,
        Ok(None) => return Ok(Answer::Changed),
        Err(error) => {
            return Ok(Answer::Failed {
                code: error.code().to_string(),
                message: with_cause(&error),
                hint: error.hint().map(str::to_string),
                retryable: error.is_retryable(),
            });
        }
    };
    let mut document = document;
    let more = document.warnings.len().saturating_sub(WARNINGS_MAX);
    if more > 0 {
        document.warnings.truncate(WARNINGS_MAX);
        document.warnings.push(format!("and {more} more warnings"));
    }
    let markdown = std::mem::take(&mut document.markdown);
    fs::write(dir.join(MARKDOWN), &markdown)?;
    write_json(&dir.join(STRUCTURE), &document)?;
    Ok(Answer::Parsed(Summary {
        media_type: document.media_type,
        title: document.title,
        pages: document.pages.len(),
        headings: document.headings.len(),
        tables: document.tables.len(),
        bytes: markdown.len(),
        warnings: document.warnings,
    }))
}

/// None: the file has other content by now.
fn parsed(request: &Request) -> Result<Option<crate::model::ParsedDocument>, ParseError> {
    let missing = || io::Error::new(io::ErrorKind::NotFound, "not a local file");
    let io = |path: &Path| {
        let path = path.to_path_buf();
        move |source| ParseError::Io { action: "read", path, source }
    };
    let path = item::path_of(&request.file).ok_or_else(|| io(Path::new(&request.file))(missing()))?;
    let mut bytes = Vec::new();
    let limit = request.options.max_bytes.saturating_add(1);
    File::open(&path).and_then(|it| it.take(limit).read_to_end(&mut bytes)).map_err(io(&path))?;
    // A file longer than the limit is cut here and refused by `parse`.
    let too_long = bytes.len() as u64 == limit;
    if !too_long && Sha256::digest(&bytes)[..] != request.sha256.0 {
        return Ok(None);
    }
    parse(&bytes, &request.name, &request.options).map(Some)
}

fn with_cause(error: &ParseError) -> String {
    match std::error::Error::source(error) {
        Some(cause) => format!("{error}: {cause}"),
        None => error.to_string(),
    }
}

fn write_json(path: &Path, value: &impl Serialize) -> io::Result<()> {
    let mut file = BufWriter::new(File::create(path)?);
    serde_json::to_writer(&mut file, value)?;
    file.flush()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ingest::source, model::ParsedDocument};

    fn request(path: &Path, content: &[u8]) -> Request {
        Request {
            file: source::uri(path),
            name: path.to_string_lossy().into_owned(),
            sha256: ArtifactHash(Sha256::digest(content).into()),
            options: ParseOptions::default(),
        }
    }

    #[test]
    fn a_document_becomes_a_text_and_its_structure() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("notes.md");
        let content = "# Ropes\n\nHemp rots.\n\n| a | b |\n|---|---|\n| 1 | 2 |\n";
        fs::write(&path, content).unwrap();
        let Answer::Parsed(summary) = read(&request(&path, content.as_bytes()), dir.path()).unwrap() else {
            panic!("not parsed")
        };
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
        assert_eq!(read(&request(&path, b"old"), dir.path()).unwrap(), Answer::Changed);
        let mut large = request(&path, b"new");
        large.options.max_bytes = 2;
        let code = |answer| match answer {
            Answer::Failed { code, retryable, .. } => (code, retryable),
            other => panic!("{other:?}"),
        };
        assert_eq!(code(read(&large, dir.path()).unwrap()), ("too_large".to_string(), false));
        let gone = request(&dir.path().join("gone.md"), b"");
        assert_eq!(code(read(&gone, dir.path()).unwrap()), ("io".to_string(), true));
        assert!(!dir.path().join(STRUCTURE).exists());
    }
}
