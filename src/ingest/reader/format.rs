//! The document formats, one row each: how a format is detected, its reader, and its other properties.

use super::{
    code, csv, docx, email, epub, html, image, json, markdown, odf, pdf, plain, pptx,
    words::{self, Words},
    xlsx,
};
use crate::{
    ingest::{charset, parse_error::ParseError, parse_options::ParseOptions},
    model::ParsedDocument,
};
use Reader::{Bytes, Page, Text};
use Sign::{Name, Office, Start, Within, Zip};
use std::{fmt, path::Path};

/// The formats. Signs are checked from the first row to the last.
pub static FORMATS: &[Format] = &[
    Format { docling: true, ..format("application/pdf", "PDF", "pdf", Within(b"%PDF-"), Bytes(pdf::read)) },
    Format {
        docling: true,
        ..image("image/png", "png", &[b"\x89PNG"], |it, options| image::read(it, ".png", options))
    },
    Format {
        docling: true,
        ..image("image/jpeg", "jpg jpeg", &[b"\xff\xd8\xff"], |it, options| image::read(it, ".jpg", options))
    },
    Format {
        docling: true,
        ..image("image/tiff", "tiff tif", &[b"II*\0", b"MM\0*"], |it, options| image::read(it, ".tif", options))
    },
    format(
        "application/epub+zip",
        "book",
        "epub",
        Zip(&[b"mimetypeapplication/epub+zip", b"META-INF/container.xml"]),
        Bytes(epub::read),
    ),
    format(
        "application/vnd.oasis.opendocument.text",
        "text document",
        "odt",
        Zip(&[b"mimetypeapplication/vnd.oasis.opendocument.text"]),
        Bytes(odf::read),
    ),
    format(
        "application/vnd.oasis.opendocument.spreadsheet",
        "spreadsheet",
        "ods",
        Zip(&[b"mimetypeapplication/vnd.oasis.opendocument.spreadsheet"]),
        Bytes(odf::read_sheets),
    ),
    format(
        "application/vnd.oasis.opendocument.presentation",
        "presentation",
        "odp",
        Zip(&[b"mimetypeapplication/vnd.oasis.opendocument.presentation"]),
        Bytes(odf::read),
    ),
    Format {
        docling: true,
        ..format(
            "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
            "text document",
            "docx docm",
            Zip(&[b"word/document.xml"]),
            Bytes(docx::read),
        )
    },
    Format {
        docling: true,
        ..format(
            "application/vnd.openxmlformats-officedocument.presentationml.presentation",
            "presentation",
            "pptx pptm",
            Zip(&[b"ppt/presentation.xml"]),
            Bytes(pptx::read),
        )
    },
    Format {
        docling: true,
        ..format(
            "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
            "spreadsheet",
            "xlsx xlsm",
            Zip(&[b"xl/workbook."]),
            Bytes(xlsx::read),
        )
    },
    Format {
        upload: false,
        ..format("application/vnd.ms-excel", "spreadsheet", "xls", Office("Workbook"), Bytes(xlsx::read_old))
    },
    Format {
        docling: true,
        also: &["application/xhtml+xml"],
        ..format(
            words::HTML,
            "web page",
            "html htm xhtml xht",
            Sign::Words(words::is_page),
            Page(|it, _, options| html::read(it, options.max_text)),
        )
    },
    // Source code and configuration; the name determines the language.
    Format {
        names: SOURCE_NAMES,
        upload: false,
        ..format(
            words::SOURCE,
            "source file",
            SOURCE,
            Sign::Words(words::is_xml),
            Text(|it, name, _| Ok(code::read(it, name))),
        )
    },
    format("message/rfc822", "message", "eml", Sign::Words(words::is_message), Bytes(email::read)),
    Format {
        also: &["application/x-ndjson"],
        ..format(
            "application/jsonl",
            "JSON",
            "jsonl ndjson",
            Sign::Words(words::is_json_lines),
            Text(|it, _, options| json::read_lines(it, options)),
        )
    },
    format(
        "application/json",
        "JSON",
        "json geojson webmanifest ipynb",
        Sign::Words(words::is_json),
        Text(|it, _, options| json::read(it, options)),
    ),
    format("text/csv", "table", "csv", Name, Text(|it, _, options| csv::read(it, None, options))),
    format(
        "text/tab-separated-values",
        "table",
        "tsv tab",
        Name,
        Text(|it, _, options| csv::read(it, Some('\t'), options)),
    ),
    Format {
        also: &["text/x-markdown"],
        ..format(words::MARKDOWN, "text", "md markdown mdown mkd", Name, Text(|it, _, _| Ok(markdown::read(it))))
    },
    // All other text.
    Format {
        structure: false,
        ..format(
            words::PLAIN,
            "text",
            "txt text log rst adoc asciidoc org",
            Sign::Words(words::is_unnamed),
            Text(|it, _, _| Ok(plain::read(it))),
        )
    },
];

/// Extensions of source code and configuration.
const SOURCE: &str = "rs py pyi c h cc cpp hpp cxx java kt kts go js mjs cjs ts tsx jsx rb php pl pm sh bash zsh fish ps1 sql lua \
    swift scala clj hs ml mli ex exs erl r jl cs fs vb zig nim d dart m mm css scss less vue svelte toml yaml yml ini cfg conf \
    properties xml xsd xsl svg proto graphql tf cmake gradle make mk asm s el lisp scm tex bib diff patch tcl awk nix";
const SOURCE_NAMES: &str = "Makefile Dockerfile CMakeLists.txt Rakefile Gemfile Justfile";

/// A document format.
pub struct Format {
    pub media_type: &'static str,
    /// Other media types that clients use for it.
    pub also: &'static [&'static str],
    /// A word for people: `PDF`, `web page`.
    pub label: &'static str,
    /// File name extensions in lower case, separated by blanks, the usual one first.
    endings: &'static str,
    /// Whole file names, separated by blanks.
    names: &'static str,
    pub sign: Sign,
    reader: Reader,
    /// Whether docling reads this format better than we do. Our other formats are never sent to it.
    pub docling: bool,
    /// Whether an upload of this media type gets the usual extension if its name has none.
    pub upload: bool,
    /// Whether a walk through a directory includes such files.
    pub walked: bool,
    /// Whether `#` and `|` in the reader's output mean headings and tables. In plain text they are ordinary characters.
    pub structure: bool,
}

/// How to recognise the format by its content.
pub enum Sign {
    /// The content begins with one of these.
    Start(&'static [&'static [u8]]),
    /// The first KiB contains these bytes.
    Within(&'static [u8]),
    /// The content is a ZIP file with one of these entries.
    Zip(&'static [&'static [u8]]),
    /// The content is an old Office file with a stream of this name.
    Office(&'static str),
    /// The content is text that begins in a certain way.
    Words(fn(&Words) -> bool),
    /// Not by content; only the name shows it.
    Name,
}

type ReadText = fn(text: &str, name: &str, options: &ParseOptions) -> Result<ParsedDocument, ParseError>;
type ReadBytes = fn(bytes: &[u8], options: &ParseOptions) -> Result<ParsedDocument, ParseError>;

/// How to prepare the bytes for the reader.
enum Reader {
    /// Decode the text.
    Text(ReadText),
    /// Decode the text in the charset that it declares itself.
    Page(ReadText),
    Bytes(ReadBytes),
}

/// The values that most formats have.
const fn format(
    media_type: &'static str,
    label: &'static str,
    endings: &'static str,
    sign: Sign,
    reader: Reader,
) -> Format {
    Format {
        media_type,
        also: &[],
        label,
        endings,
        names: "",
        sign,
        reader,
        docling: false,
        upload: true,
        walked: true,
        structure: true,
    }
}

/// An image format. Walks skip images, so that directories full of pictures are not read one by one.
const fn image(
    media_type: &'static str,
    endings: &'static str,
    starts: &'static [&'static [u8]],
    read: ReadBytes,
) -> Format {
    Format { upload: false, walked: false, ..format(media_type, "image", endings, Start(starts), Bytes(read)) }
}

impl Format {
    /// Reads the document. Headings and tables are found afterwards, in the Markdown.
    pub fn read(&self, bytes: &[u8], name: &str, options: &ParseOptions) -> Result<ParsedDocument, ParseError> {
        match self.reader {
            Text(read) => plain::within(charset::decode(bytes, None), options, |it| read(it, name, options)),
            Page(read) => plain::within(charset::decode_html(bytes), options, |it| read(it, name, options)),
            Bytes(read) => read(bytes, options),
        }
    }

    pub fn endings(&self) -> impl Iterator<Item = &'static str> {
        self.endings.split(' ')
    }

    /// The usual extension of this format.
    pub fn ending(&self) -> &'static str {
        self.endings().next().unwrap_or_default()
    }

    /// Whether a file with this name has this format, as far as its name shows.
    pub fn has_name(&self, name: &str) -> bool {
        let path = Path::new(name);
        let ending = path.extension().unwrap_or_default().to_string_lossy().to_ascii_lowercase();
        self.endings().any(|it| it == ending)
            || path.file_name().is_some_and(|file| self.names.split(' ').any(|it| file == it))
    }

    /// Whether the name decides on this format if the content is any text or any ZIP file.
    pub fn is_known_by_name(&self) -> bool {
        matches!(self.sign, Zip(_) | Sign::Words(_) | Name)
    }

    /// Whether this media type belongs to the format: `text/html; charset=utf-8`.
    pub fn is_called(&self, media_type: &str) -> bool {
        let essence = media_type.split(';').next().unwrap_or_default().trim();
        [&self.media_type].into_iter().chain(self.also).any(|it| it.eq_ignore_ascii_case(essence))
    }
}

impl PartialEq for Format {
    fn eq(&self, other: &Format) -> bool {
        self.media_type == other.media_type
    }
}

impl Eq for Format {}

impl fmt::Debug for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.media_type)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ingest::media_type::{MediaType, detect, may_be_read};
    use std::{collections::BTreeMap, fs};

    const HEAD: &str = "\
# Document formats

windlass detects the format of a file by its content, because extensions can lie, and by its name if the content is ambiguous.
It reads the formats below. A document in another format fails alone, with `no reader for` and its media type. A walk through
a directory skips images, archives, programs and other files with names that no reader accepts; to read such a file, name it
explicitly or match it with `--glob`. Images are read with `tesseract`, if it is installed, or with
[docling](workflows.md#reading-documents-with-docling). If docling is set up, windlass sends it the formats marked below.

";

    fn page() -> String {
        let mut page = HEAD.to_string();
        page.push_str("| format | media type | endings | sent to docling |\n|---|---|---|---|\n");
        for it in FORMATS {
            let endings: Vec<String> = it.endings().map(|ending| format!("`.{ending}`")).collect();
            let docling = if it.docling { "yes" } else { "" };
            page.push_str(&format!("| {} | `{}` | {} | {docling} |\n", it.label, it.media_type, endings.join(" ")));
        }
        page
    }

    /// `UPDATE_DOCS=1 cargo test formats` writes the page.
    #[test]
    fn the_page_of_formats_is_what_the_table_says() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/formats.md");
        if std::env::var_os("UPDATE_DOCS").is_some() {
            fs::write(&path, page()).unwrap();
        }
        let found = fs::read_to_string(&path).unwrap_or_default();
        assert!(found == page(), "docs/formats.md is out of date: run `UPDATE_DOCS=1 cargo test formats`");
    }

    /// Files of this directory that read no format themselves.
    const TOOLS: [&str; 7] = ["archive", "format", "grid", "mod", "table", "tokens", "writer"];

    #[test]
    fn each_reader_has_a_row_among_the_formats() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/ingest/reader");
        let table = fs::read_to_string(folder.join("format.rs")).unwrap();
        let table = &table[table.find("pub static FORMATS").unwrap()..table.find("\n];").unwrap()];
        let mut readers = 0;
        for entry in fs::read_dir(folder).unwrap() {
            let name = entry.unwrap().path().file_stem().unwrap().to_string_lossy().into_owned();
            if TOOLS.contains(&name.as_str()) || name == "words" {
                continue;
            }
            assert!(table.contains(&format!("{name}::read")), "no format is read by {name}");
            readers += 1;
        }
        assert!(readers > 10);
    }

    #[test]
    fn each_format_has_names_and_signs_of_its_own() {
        let mut known = BTreeMap::new();
        for it in FORMATS {
            for name in it.endings().chain(it.names.split(' ').filter(|it| !it.is_empty())) {
                assert_eq!(known.insert(name, it), None, "{name}");
                assert!(it.has_name(name) || it.has_name(&format!("a.{name}")), "{name}");
            }
            assert!([it.media_type].iter().chain(it.also).all(|name| known.insert(name, it).is_none()), "{it:?}");
            let name = format!("a.{}", it.ending());
            assert_eq!(may_be_read(Path::new(&name)), it.walked, "{name}");
            let content = match it.sign {
                Start(starts) => starts[0].to_vec(),
                Within(bytes) => [b"junk ", bytes].concat(),
                Zip(entries) => [b"PK\x03\x04....", entries[0]].concat(),
                Office(stream) => {
                    let wide = stream.encode_utf16().flat_map(u16::to_le_bytes);
                    b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1".iter().copied().chain(wide).collect()
                }
                Sign::Words(_) | Name => b"some words\n".to_vec(),
            };
            assert_eq!(detect(&content, &name), MediaType::Known(it), "{name}");
        }
    }
}
