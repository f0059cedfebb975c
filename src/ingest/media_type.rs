//! What a document is: by its content first, because extensions lie, and by its name where the content leaves it open.

use encoding_rs::Encoding;
use std::{io::Read, path::Path};

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum MediaType {
    Pdf,
    Html,
    Markdown,
    Plain,
    Csv,
    Tsv,
    Json,
    JsonLines,
    /// Source code and configuration; the name says the language.
    Code,
    Email,
    Docx,
    Pptx,
    Xlsx,
    Xls,
    Odt,
    Ods,
    Odp,
    Epub,
    Png,
    Jpeg,
    Tiff,
    /// An Office document whose content is encrypted.
    EncryptedOffice,
    /// Known, but nothing here reads it: its media type.
    Other(&'static str),
}

impl MediaType {
    pub fn name(self) -> &'static str {
        match self {
            MediaType::Pdf => "application/pdf",
            MediaType::Html => "text/html",
            MediaType::Markdown => "text/markdown",
            MediaType::Plain => "text/plain",
            MediaType::Csv => "text/csv",
            MediaType::Tsv => "text/tab-separated-values",
            MediaType::Json => "application/json",
            MediaType::JsonLines => "application/jsonl",
            MediaType::Code => "text/x-source",
            MediaType::Email => "message/rfc822",
            MediaType::Docx => "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
            MediaType::Pptx => "application/vnd.openxmlformats-officedocument.presentationml.presentation",
            MediaType::Xlsx => "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
            MediaType::Xls => "application/vnd.ms-excel",
            MediaType::Odt => "application/vnd.oasis.opendocument.text",
            MediaType::Ods => "application/vnd.oasis.opendocument.spreadsheet",
            MediaType::Odp => "application/vnd.oasis.opendocument.presentation",
            MediaType::Epub => "application/epub+zip",
            MediaType::Png => "image/png",
            MediaType::Jpeg => "image/jpeg",
            MediaType::Tiff => "image/tiff",
            MediaType::EncryptedOffice => "application/x-ole-storage",
            MediaType::Other(name) => name,
        }
    }

    /// A word for people: `PDF`, `web page`.
    pub fn label(self) -> &'static str {
        match self {
            MediaType::Pdf => "PDF",
            MediaType::Html => "web page",
            MediaType::Markdown | MediaType::Plain => "text",
            MediaType::Csv | MediaType::Tsv => "table",
            MediaType::Json | MediaType::JsonLines => "JSON",
            MediaType::Code => "source file",
            MediaType::Email => "message",
            MediaType::Docx | MediaType::Odt => "text document",
            MediaType::Pptx | MediaType::Odp => "presentation",
            MediaType::Xlsx | MediaType::Xls | MediaType::Ods => "spreadsheet",
            MediaType::Epub => "book",
            MediaType::Png | MediaType::Jpeg | MediaType::Tiff => "image",
            MediaType::EncryptedOffice | MediaType::Other(_) => "file",
        }
    }

    /// Whether `#` and `|` mean headings and tables in what its reader writes. In plain text they mean themselves.
    pub fn has_structure(self) -> bool {
        self != MediaType::Plain
    }
}

/// How much of a file is read to detect its type, in bytes.
const HEAD: usize = 8192;

/// Tells the type of a document.
pub fn detect(bytes: &[u8], name: &str) -> MediaType {
    let head = &bytes[..bytes.len().min(HEAD)];
    if let Some(found) = by_signature(bytes, head, name) {
        return found;
    }
    let extension = extension(name);
    let named = by_name(&extension, name);
    let text = leading_text(head);
    if let Some(found) = by_first_words(&text, bytes, named) {
        return found;
    }
    named.unwrap_or(MediaType::Plain)
}

fn by_signature(bytes: &[u8], head: &[u8], name: &str) -> Option<MediaType> {
    const OTHER: &[(&[u8], &str)] = &[
        (b"\x1f\x8b", "application/gzip"),
        (b"\x28\xb5\x2f\xfd", "application/zstd"),
        (b"BZh", "application/x-bzip2"),
        (b"\xfd7zXZ", "application/x-xz"),
        (b"7z\xbc\xaf", "application/x-7z-compressed"),
        (b"Rar!", "application/vnd.rar"),
        (b"\x7fELF", "application/x-executable"),
        (b"GIF8", "image/gif"),
        (b"SQLite format 3\0", "application/vnd.sqlite3"),
        (b"{\\rtf", "application/rtf"),
        (b"%!PS", "application/postscript"),
        (b"OggS", "application/ogg"),
        (b"ID3", "audio/mpeg"),
    ];
    let starts = |sign: &[u8]| head.starts_with(sign);
    if find(&head[..head.len().min(1024)], b"%PDF-").is_some() {
        return Some(MediaType::Pdf);
    }
    if starts(b"PK\x03\x04") || starts(b"PK\x05\x06") {
        return Some(zipped(bytes, name));
    }
    if starts(b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1") {
        return Some(ole(bytes, name));
    }
    let image = match head {
        [0x89, b'P', b'N', b'G', ..] => Some(MediaType::Png),
        [0xff, 0xd8, 0xff, ..] => Some(MediaType::Jpeg),
        [b'I', b'I', b'*', 0, ..] | [b'M', b'M', 0, b'*', ..] => Some(MediaType::Tiff),
        _ => None,
    };
    image
        .or_else(|| OTHER.iter().find(|it| starts(it.0)).map(|it| MediaType::Other(it.1)))
        .or_else(|| is_binary(head).then_some(MediaType::Other("application/octet-stream")))
}

/// The names of a ZIP file's entries stand in it uncompressed.
fn zipped(bytes: &[u8], name: &str) -> MediaType {
    const DIRECTORY: usize = 1 << 20;
    let head = &bytes[..bytes.len().min(4096)];
    let tail = &bytes[bytes.len().saturating_sub(DIRECTORY)..];
    let has = |entry: &[u8]| find(head, entry).is_some() || find(tail, entry).is_some();
    let by_entry: &[(&[u8], MediaType)] = &[
        (b"mimetypeapplication/epub+zip", MediaType::Epub),
        (b"mimetypeapplication/vnd.oasis.opendocument.text", MediaType::Odt),
        (b"mimetypeapplication/vnd.oasis.opendocument.spreadsheet", MediaType::Ods),
        (b"mimetypeapplication/vnd.oasis.opendocument.presentation", MediaType::Odp),
        (b"word/document.xml", MediaType::Docx),
        (b"ppt/presentation.xml", MediaType::Pptx),
        (b"xl/workbook.", MediaType::Xlsx),
        (b"META-INF/container.xml", MediaType::Epub),
    ];
    by_entry.iter().find(|it| has(it.0)).map(|it| it.1).unwrap_or_else(|| match by_name(&extension(name), name) {
        Some(
            named @ (MediaType::Docx
            | MediaType::Pptx
            | MediaType::Xlsx
            | MediaType::Odt
            | MediaType::Ods
            | MediaType::Odp
            | MediaType::Epub),
        ) => named,
        _ => MediaType::Other("application/zip"),
    })
}

fn ole(bytes: &[u8], name: &str) -> MediaType {
    let wide = |text: &str| text.encode_utf16().flat_map(u16::to_le_bytes).collect::<Vec<u8>>();
    if find(bytes, &wide("EncryptedPackage")).is_some() {
        return MediaType::EncryptedOffice;
    }
    match extension(name).as_str() {
        "xls" => MediaType::Xls,
        _ if find(bytes, &wide("Workbook")).is_some() => MediaType::Xls,
        "ppt" => MediaType::Other("application/vnd.ms-powerpoint"),
        "doc" => MediaType::Other("application/msword"),
        "msg" => MediaType::Other("application/vnd.ms-outlook"),
        _ => MediaType::Other("application/x-ole-storage"),
    }
}

fn find(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    let first = *wanted.first()?;
    let mut at = 0;
    while let Some(step) = bytes[at..].iter().position(|it| *it == first) {
        at += step;
        if bytes[at..].starts_with(wanted) {
            return Some(at);
        }
        at += 1;
    }
    None
}

/// Zero bytes or many control characters, and not UTF-16.
fn is_binary(head: &[u8]) -> bool {
    if Encoding::for_bom(head).is_some() {
        return false;
    }
    let zeros = head.iter().filter(|it| **it == 0).count();
    let odd_zeros = head.iter().skip(1).step_by(2).filter(|it| **it == 0).count();
    let one_sided = zeros * 10 >= head.len() * 3 && (odd_zeros * 10 >= zeros * 9 || odd_zeros * 10 <= zeros);
    if zeros > 0 {
        return !one_sided;
    }
    let control = head.iter().filter(|it| **it < 0x20 && !matches!(it, b'\n' | b'\r' | b'\t' | 0x0c | 0x1b)).count();
    control * 10 > head.len()
}

/// The first text in lower case, byte order mark, blanks and comments skipped.
fn leading_text(head: &[u8]) -> String {
    let text = super::charset::decode(head, None).text.to_lowercase();
    let mut rest = text.trim_start_matches(['\u{feff}', ' ', '\n', '\t', '\r']);
    while let Some(comment) = rest.strip_prefix("<!--") {
        rest = comment.split_once("-->").map_or("", |it| it.1).trim_start();
    }
    rest.to_string()
}

fn by_first_words(text: &str, bytes: &[u8], named: Option<MediaType>) -> Option<MediaType> {
    const PAGE: &[&str] = &["<!doctype html", "<html", "<head", "<body", "<title"];
    let is_page = PAGE.iter().any(|it| text.starts_with(it));
    let is_xhtml = text.starts_with("<?xml") && (text.contains("<html") || text.contains("<!doctype html"));
    if is_page || is_xhtml {
        return Some(MediaType::Html);
    }
    if text.starts_with("<?xml") {
        return Some(MediaType::Code);
    }
    if !matches!(named, Some(MediaType::Code | MediaType::Html | MediaType::Markdown)) && is_message(text) {
        return Some(MediaType::Email);
    }
    let last = bytes.iter().rev().find(|it| !it.is_ascii_whitespace());
    let framed = matches!((text.as_bytes().first(), last), (Some(b'{'), Some(b'}')) | (Some(b'['), Some(b']')));
    if matches!(named, None | Some(MediaType::Plain)) && framed && text.contains("\":") {
        let lines = text.lines().take(3).filter(|it| it.starts_with('{') && it.ends_with('}')).count();
        return Some(if lines >= 2 { MediaType::JsonLines } else { MediaType::Json });
    }
    None
}

/// At least three header fields of a mail before the first empty line, one of which names a sender or a path.
fn is_message(text: &str) -> bool {
    const FIELDS: &str = "from: to: subject: date: message-id: mime-version: received: return-path: delivered-to: cc: \
        content-type: dkim-signature:";
    let header: Vec<&str> = text.lines().take_while(|it| !it.trim().is_empty()).collect();
    let found = header.iter().filter(|line| FIELDS.split_whitespace().any(|it| line.starts_with(it))).count();
    let first = header.first().is_some_and(|it| it.starts_with("from ") || is_field(it));
    found >= 3
        && first
        && header.iter().any(|it| ["from:", "received:", "return-path:"].iter().any(|f| it.starts_with(f)))
}

fn is_field(line: &str) -> bool {
    line.split_once(':').is_some_and(|it| !it.0.is_empty() && it.0.bytes().all(|b| b.is_ascii_graphic()))
}

fn extension(name: &str) -> String {
    Path::new(name).extension().unwrap_or_default().to_string_lossy().to_ascii_lowercase()
}

/// Whether a file of this name may be something that we read. A name says nothing for sure, so this only spares directories full of
/// pictures and archives from failing one by one.
pub fn may_be_read(path: &Path) -> bool {
    let extension = path.extension().unwrap_or_default().to_string_lossy().to_ascii_lowercase();
    !UNREADABLE.split_whitespace().any(|it| it == extension)
}

/// Whether the name implies a type that has a reader.
pub fn is_known_name(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    by_name(&extension(&name), &name).is_some()
}

/// Whether a file begins like something that has a reader. One that can't be opened does: its own step says why.
pub fn begins_readable(path: &Path) -> bool {
    let mut head = Vec::new();
    let read = crate::os::regular_file::open(path).and_then(|file| file.take(1 << 20).read_to_end(&mut head));
    read.is_err() || !matches!(detect(&head, &path.to_string_lossy()), MediaType::Other(_))
}

/// Extensions of pictures, sound, film, fonts, archives, programs and databases.
const UNREADABLE: &str = "gif ico bmp webp heic avif png jpg jpeg tif tiff psd mp3 wav ogg oga flac m4a aac opus mp4 m4v mov avi mkv webm \
    ttf otf woff woff2 eot gz tgz bz2 xz zst zip tar 7z rar jar war whl deb rpm iso dmg exe dll so dylib a o obj lib bin class pyc pyo \
    wasm db db3 sqlite sqlite3 mdb parquet pack idx npy npz pt onnx safetensors gguf lock map";

/// Extensions of program text and configuration.
const CODE: &str = "rs py pyi c h cc cpp hpp cxx java kt kts go js mjs cjs ts tsx jsx rb php pl pm sh bash zsh fish ps1 sql lua \
    swift scala clj hs ml mli ex exs erl r jl cs fs vb zig nim d dart m mm css scss less vue svelte toml yaml yml ini cfg conf \
    properties xml xsd xsl svg proto graphql tf cmake gradle make mk asm s el lisp scm tex bib diff patch tcl awk nix";
const CODE_NAMES: &str = "Makefile Dockerfile CMakeLists.txt Rakefile Gemfile Justfile";

fn by_name(extension: &str, name: &str) -> Option<MediaType> {
    if Path::new(name).file_name().is_some_and(|it| CODE_NAMES.split(' ').any(|code| it == code)) {
        return Some(MediaType::Code);
    }
    Some(match extension {
        "html" | "htm" | "xhtml" | "xht" => MediaType::Html,
        "md" | "markdown" | "mdown" | "mkd" => MediaType::Markdown,
        "txt" | "text" | "log" | "rst" | "adoc" | "asciidoc" | "org" => MediaType::Plain,
        "csv" => MediaType::Csv,
        "tsv" | "tab" => MediaType::Tsv,
        "json" | "geojson" | "webmanifest" | "ipynb" => MediaType::Json,
        "jsonl" | "ndjson" => MediaType::JsonLines,
        "eml" => MediaType::Email,
        "docx" | "docm" => MediaType::Docx,
        "pptx" | "pptm" => MediaType::Pptx,
        "xlsx" | "xlsm" => MediaType::Xlsx,
        "odt" => MediaType::Odt,
        "ods" => MediaType::Ods,
        "odp" => MediaType::Odp,
        "epub" => MediaType::Epub,
        code if CODE.split_whitespace().any(|it| it == code) => MediaType::Code,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_outranks_the_name() {
        let cases: &[(&[u8], &str, MediaType)] = &[
            (b"junk\n%PDF-1.7\n", "letter.docx", MediaType::Pdf),
            (b"\xef\xbb\xbf <!-- x -->\n<!DOCTYPE HTML><p>", "page.txt", MediaType::Html),
            (b"<?xml version='1.0'?>\n<html xmlns='x'>", "a.xml", MediaType::Html),
            (b"PK\x03\x04....word/document.xml", "a.zip", MediaType::Docx),
            (b"PK\x03\x04....mimetypeapplication/epub+zipPK", "a", MediaType::Epub),
            (b"PK\x03\x04....a.txt", "a.pdf", MediaType::Other("application/zip")),
            (b"\x89PNG\r\n\x1a\n", "a.txt", MediaType::Png),
            (b"ab\0\0cd\x01\x02\0", "a.txt", MediaType::Other("application/octet-stream")),
            (b"From: a\nTo: b\nSubject: c\n\nbody", "mail.txt", MediaType::Email),
            (b"{\"a\": 1}\n", "data", MediaType::Json),
            (b"{\"a\": 1}\n{\"a\": 2}\n", "data.txt", MediaType::JsonLines),
        ];
        for (bytes, name, expected) in cases {
            assert_eq!(detect(bytes, name), *expected, "{name}");
        }
    }

    #[test]
    fn names_of_pictures_and_archives_are_spared_the_reading() {
        for (name, expected) in
            [("a.PDF", true), ("README", true), ("a.jpeg", false), ("a.tar.gz", false), ("a.unknown", true)]
        {
            assert_eq!(may_be_read(Path::new(name)), expected, "{name}");
        }
    }

    #[test]
    fn the_name_decides_where_the_content_is_any_text() {
        let cases = [
            ("notes.md", MediaType::Markdown),
            ("a.PY", MediaType::Code),
            ("src/Makefile", MediaType::Code),
            ("a.csv", MediaType::Csv),
            ("README", MediaType::Plain),
            ("a.pdf", MediaType::Plain),
            ("a.htm", MediaType::Html),
        ];
        for (name, expected) in cases {
            assert_eq!(detect(b"some, words\n", name), expected, "{name}");
        }
        let wide: Vec<u8> = "plain words".encode_utf16().flat_map(u16::to_le_bytes).collect();
        assert_eq!(detect(&wide, "a.txt"), MediaType::Plain);
    }
}
