//! Detects the type of a document: by its content first, because extensions can lie, and by its name if the content is
//! ambiguous.

use super::reader::{FORMATS, Format, Sign, Words};
use encoding_rs::Encoding;
use std::{io::Read, path::Path};

/// The type of a document.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MediaType {
    Known(&'static Format),
    /// An Office document with encrypted content.
    EncryptedOffice,
    /// The media type of a format without a reader.
    Other(&'static str),
}

impl MediaType {
    pub fn name(self) -> &'static str {
        match self {
            MediaType::Known(format) => format.media_type,
            MediaType::EncryptedOffice => OLE,
            MediaType::Other(name) => name,
        }
    }

    /// A word for people: `PDF`, `web page`.
    pub fn label(self) -> &'static str {
        match self {
            MediaType::Known(format) => format.label,
            MediaType::EncryptedOffice | MediaType::Other(_) => "file",
        }
    }
}

const OLE: &str = "application/x-ole-storage";
const BINARY: &str = "application/octet-stream";

/// How much of a file is read to detect its type, in bytes.
const HEAD: usize = 8192;

/// Detects the type of a document.
pub fn detect(bytes: &[u8], name: &str) -> MediaType {
    let head = &bytes[..bytes.len().min(HEAD)];
    if let Some(found) = by_signature(bytes, head, name) {
        return found;
    }
    let named = by_name(name);
    let text = leading_text(head);
    let last = bytes.iter().rev().find(|it| !it.is_ascii_whitespace()).copied();
    let words = Words { text: &text, last, named: named.map(|format| format.media_type) };
    let found = find(|format| matches!(format.sign, Sign::Words(are_found) if are_found(&words)));
    found.or(named).map_or(MediaType::Other(BINARY), MediaType::Known)
}

/// The format of a media type.
pub fn called(media_type: &str) -> Option<&'static Format> {
    find(|format| format.is_called(media_type))
}

fn find(is_it: impl Fn(&Format) -> bool) -> Option<&'static Format> {
    FORMATS.iter().find(|format| is_it(format))
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
    let found = find(|format| match format.sign {
        Sign::Start(signs) => signs.iter().any(|sign| starts(sign)),
        Sign::Within(sign) => place_of(&head[..head.len().min(1024)], sign).is_some(),
        Sign::Zip(_) | Sign::Office(_) | Sign::Words(_) | Sign::Name => false,
    });
    if let Some(format) = found {
        return Some(MediaType::Known(format));
    }
    if starts(b"PK\x03\x04") || starts(b"PK\x05\x06") {
        return Some(zipped(bytes, name));
    }
    if starts(b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1") {
        return Some(ole(bytes, name));
    }
    let other = OTHER.iter().find(|it| starts(it.0)).map(|it| it.1);
    other.or_else(|| is_binary(head).then_some(BINARY)).map(MediaType::Other)
}

/// The names of a ZIP file's entries are stored uncompressed, so they can be found in the bytes.
fn zipped(bytes: &[u8], name: &str) -> MediaType {
    const DIRECTORY: usize = 1 << 20;
    let head = &bytes[..bytes.len().min(4096)];
    let tail = &bytes[bytes.len().saturating_sub(DIRECTORY)..];
    let has = |entry: &[u8]| place_of(head, entry).is_some() || place_of(tail, entry).is_some();
    let by_entry = find(|format| matches!(format.sign, Sign::Zip(entries) if entries.iter().any(|entry| has(entry))));
    let by_name = || by_name(name).filter(|format| matches!(format.sign, Sign::Zip(_)));
    by_entry.or_else(by_name).map_or(MediaType::Other("application/zip"), MediaType::Known)
}

fn ole(bytes: &[u8], name: &str) -> MediaType {
    let has = |stream: &str| {
        let wide: Vec<u8> = stream.encode_utf16().flat_map(u16::to_le_bytes).collect();
        place_of(bytes, &wide).is_some()
    };
    if has("EncryptedPackage") {
        return MediaType::EncryptedOffice;
    }
    let found = find(|format| matches!(format.sign, Sign::Office(stream) if format.has_name(name) || has(stream)));
    found.map_or_else(|| MediaType::Other(old_office(name)), MediaType::Known)
}

/// The media type of an old Office file without a reader.
fn old_office(name: &str) -> &'static str {
    match extension(Path::new(name)).as_str() {
        "ppt" => "application/vnd.ms-powerpoint",
        "doc" => "application/msword",
        "msg" => "application/vnd.ms-outlook",
        _ => OLE,
    }
}

fn place_of(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
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

/// Whether the bytes contain zeros or many control characters, and are not UTF-16.
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

/// The beginning of the text in lower case, without byte order mark, blanks and comments.
fn leading_text(head: &[u8]) -> String {
    let text = super::charset::decode(head, None).text.to_lowercase();
    let mut rest = text.trim_start_matches(['\u{feff}', ' ', '\n', '\t', '\r']);
    while let Some(comment) = rest.strip_prefix("<!--") {
        rest = comment.split_once("-->").map_or("", |it| it.1).trim_start();
    }
    rest.to_string()
}

fn extension(path: &Path) -> String {
    path.extension().unwrap_or_default().to_string_lossy().to_ascii_lowercase()
}

/// Whether a file with this name may have a format that we read. A name proves nothing, so this only prevents
/// directories full of pictures and archives from failing file by file.
pub fn may_be_read(path: &Path) -> bool {
    let extension = extension(path);
    !UNREADABLE.split_whitespace().any(|it| it == extension)
        && !FORMATS.iter().any(|format| !format.walked && format.endings().any(|it| it == extension))
}

/// Whether the name implies a format, whatever the content is.
pub fn is_known_name(path: &Path) -> bool {
    by_name(&path.file_name().unwrap_or_default().to_string_lossy()).is_some()
}

/// Whether names like this are commonly associated with a format.
pub fn is_usual_name(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    FORMATS.iter().any(|format| format.has_name(&name))
}

/// Whether the beginning of a file shows a format with a reader. Also true if it can't be opened: its own step then
/// reports why.
pub fn begins_readable(path: &Path) -> bool {
    let mut head = Vec::new();
    let read = crate::os::regular_file::open(path).and_then(|file| file.take(1 << 20).read_to_end(&mut head));
    read.is_err() || !matches!(detect(&head, &path.to_string_lossy()), MediaType::Other(_))
}

/// Extensions of sound, film, fonts, archives, programs, databases, and other pictures.
const UNREADABLE: &str = "gif ico bmp webp heic avif psd mp3 wav ogg oga flac m4a aac opus mp4 m4v mov avi mkv webm \
    ttf otf woff woff2 eot gz tgz bz2 xz zst zip tar 7z rar jar war whl deb rpm iso dmg exe dll so dylib a o obj lib bin class pyc pyo \
    wasm db db3 sqlite sqlite3 mdb parquet pack idx npy npz pt onnx safetensors gguf lock map";

fn by_name(name: &str) -> Option<&'static Format> {
    find(|format| format.is_known_by_name() && format.has_name(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_outranks_the_name() {
        let cases: &[(&[u8], &str, &str)] = &[
            (b"junk\n%PDF-1.7\n", "letter.docx", "application/pdf"),
            (b"\xef\xbb\xbf <!-- x -->\n<!DOCTYPE HTML><p>", "page.txt", "text/html"),
            (b"<?xml version='1.0'?>\n<html xmlns='x'>", "a.xml", "text/html"),
            (
                b"PK\x03\x04....word/document.xml",
                "a.zip",
                "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
            ),
            (b"PK\x03\x04....mimetypeapplication/epub+zipPK", "a", "application/epub+zip"),
            (b"PK\x03\x04....a.txt", "a.pdf", "application/zip"),
            (b"\x89PNG\r\n\x1a\n", "a.txt", "image/png"),
            (b"ab\0\0cd\x01\x02\0", "a.txt", "application/octet-stream"),
            (b"From: a\nTo: b\nSubject: c\n\nbody", "mail.txt", "message/rfc822"),
            (b"{\"a\": 1}\n", "data", "application/json"),
            (b"{\"a\": 1}\n{\"a\": 2}\n", "data.txt", "application/jsonl"),
        ];
        for (bytes, name, expected) in cases {
            assert_eq!(detect(bytes, name).name(), *expected, "{name}");
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
            ("notes.md", "text/markdown"),
            ("a.PY", "text/x-source"),
            ("src/Makefile", "text/x-source"),
            ("a.csv", "text/csv"),
            ("README", "text/plain"),
            ("a.pdf", "text/plain"),
            ("a.htm", "text/html"),
        ];
        for (name, expected) in cases {
            assert_eq!(detect(b"some, words\n", name).name(), expected, "{name}");
        }
        let wide: Vec<u8> = "plain words".encode_utf16().flat_map(u16::to_le_bytes).collect();
        assert_eq!(detect(&wide, "a.txt").name(), "text/plain");
    }
}
