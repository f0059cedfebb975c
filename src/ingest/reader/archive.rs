//! ZIP files that are documents. Every entry is inflated with limits on its size, on the total size and on its
//! compression ratio.

use crate::ingest::{charset, parse_error::ParseError, parse_options::ParseOptions};
use std::io::{Cursor, Read};
use zip::{ZipArchive, result::ZipError};

/// The maximum number of entries; documents have some hundreds.
const ENTRIES_MAX: usize = 65_536;
/// The maximum ratio of an entry's size to its compressed size. Spreadsheets of equal rows come close to 100.
const RATIO_MAX: u64 = 250;
/// Up to this size in bytes, an entry may have any ratio.
const SMALL: u64 = 4 << 20;

pub(super) struct Archive<'a> {
    zip: ZipArchive<Cursor<&'a [u8]>>,
    format: &'static str,
    entry_max: u64,
    /// The number of bytes that may still be inflated.
    left: u64,
}

impl<'a> Archive<'a> {
    pub fn open(bytes: &'a [u8], format: &'static str, options: &ParseOptions) -> Result<Archive<'a>, ParseError> {
        let zip = ZipArchive::new(Cursor::new(bytes)).map_err(|it| error(format, &it.to_string()))?;
        if zip.len() > ENTRIES_MAX {
            return Err(too_large("entries of the archive", zip.len() as u64, ENTRIES_MAX as u64));
        }
        // Markup is several times as large as its text.
        let entry_max = (options.max_text as u64).saturating_mul(4);
        Ok(Archive { zip, format, entry_max, left: entry_max.saturating_mul(2) })
    }

    pub fn names(&self) -> Vec<String> {
        self.zip.file_names().filter_map(|it| Some(it.ok()?.into_owned())).collect()
    }

    /// The bytes of an entry; `None` if it does not exist.
    pub fn bytes(&mut self, name: &str) -> Result<Option<Vec<u8>>, ParseError> {
        let entry = match self.zip.by_name(name) {
            Ok(entry) => entry,
            Err(ZipError::FileNotFound) => return Ok(None),
            Err(ZipError::UnsupportedArchive(reason)) if reason.contains("assword") => {
                return Err(ParseError::Encrypted);
            }
            Err(cause) => return Err(error(self.format, &cause.to_string())),
        };
        let by_ratio = entry.compressed_size().saturating_mul(RATIO_MAX).max(SMALL);
        let limit = by_ratio.min(self.entry_max).min(self.left);
        let mut bytes = Vec::new();
        let read = entry.take(limit + 1).read_to_end(&mut bytes);
        if bytes.len() as u64 > limit {
            return Err(too_large(&format!("`{name}`, unpacked,"), bytes.len() as u64, limit));
        }
        read.map_err(|it| error(self.format, &format!("`{name}`: {it}")))?;
        self.left -= bytes.len() as u64;
        Ok(Some(bytes))
    }

    pub fn text(&mut self, name: &str) -> Result<Option<String>, ParseError> {
        Ok(self.bytes(name)?.map(|it| charset::decode_html(&it).text.into_owned()))
    }

    /// An entry that every document of the format has.
    pub fn needed(&mut self, name: &str) -> Result<String, ParseError> {
        self.text(name)?.ok_or_else(|| error(self.format, &format!("`{name}` is missing")))
    }

    pub fn malformed(&self, reason: &str) -> ParseError {
        error(self.format, reason)
    }
}

fn error(format: &'static str, reason: &str) -> ParseError {
    ParseError::Malformed { format, reason: reason.to_string() }
}

fn too_large(what: &str, size: u64, limit: u64) -> ParseError {
    ParseError::TooLarge { what: what.to_string(), size, limit }
}

/// Resolves `target`, such as `../media/a.xml`, against the folder `base` of an entry.
pub(super) fn resolve(base: &str, target: &str) -> String {
    let mut parts: Vec<&str> = match target.starts_with('/') {
        true => Vec::new(),
        false => base.split('/').filter(|it| !it.is_empty()).collect(),
    };
    for part in target.split('/') {
        match part {
            "" | "." => (),
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    parts.join("/")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;
    use zip::{ZipWriter, write::SimpleFileOptions};

    #[test]
    fn bombs_are_refused_before_they_unfold() {
        let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
        zip.start_file("a.xml", SimpleFileOptions::default()).unwrap();
        zip.write_all(&vec![b' '; 64 << 20]).unwrap();
        let bytes = zip.finish().unwrap().into_inner();
        let mut archive = Archive::open(&bytes, "ZIP", &ParseOptions::default()).unwrap();
        assert_eq!(archive.bytes("a.xml").unwrap_err().code(), "too_large");
        assert!(archive.bytes("b.xml").unwrap().is_none());
        assert_eq!(
            Archive::open(&bytes[..bytes.len() / 2], "ZIP", &ParseOptions::default()).err().unwrap().code(),
            "malformed"
        );
    }

    #[test]
    fn targets_are_resolved_against_their_folder() {
        for (base, target, path) in [
            ("ppt", "slides/a.xml", "ppt/slides/a.xml"),
            ("a/b", "../c.xml", "a/c.xml"),
            ("a", "/b/./c", "b/c"),
            ("", "../x", "x"),
        ] {
            assert_eq!(resolve(base, target), path);
        }
    }
}
