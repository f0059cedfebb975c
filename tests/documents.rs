//! Each kind of document, from its bytes to its chunks.

#[path = "support"]
mod support {
    pub mod binary;
}

use std::path::{Path, PathBuf};
use support::binary::use_for_children;
use windlass::{
    ingest::{
        ChunkOptions, Ocr, ParseError, ParseOptions, chunk, ocr, parse, parse_file,
        source::{self, SourceOptions},
    },
    model::{Chunk, ParsedDocument},
};

fn path(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/documents").join(name)
}

fn read(name: &str) -> Result<ParsedDocument, ParseError> {
    parse_file(&path(name), &ParseOptions::default())
}

fn chunks(document: &ParsedDocument) -> Vec<Chunk> {
    let chunks = chunk(document, &ChunkOptions::default());
    for chunk in &chunks {
        assert_eq!(chunk.text, document.markdown[chunk.range.clone()]);
        assert!(chunk.tokens <= ChunkOptions::default().max);
    }
    chunks
}

#[cfg(feature = "pdf")]
mod pdf {
    use super::*;

    #[test]
    fn a_pdf_is_cited_with_its_page() {
        let document = read("amt_handbook_sample.pdf").unwrap();
        assert_eq!(document.media_type, "application/pdf");
        let found = chunks(&document).into_iter().find(|it| it.text.contains("despite severe vibration")).unwrap();
        assert_eq!(found.page, Some(1));

        let two = read("picture_classification.pdf").unwrap();
        assert_eq!(two.pages.iter().map(|it| it.page).collect::<Vec<_>>(), [1, 2]);
        assert_eq!(two.title.as_deref(), Some("Figures Example"));
        assert!(two.markdown.contains("nonumy eirmod tempor"), "a word parted at a line's end stays parted");
        assert!(chunks(&two).iter().any(|it| it.page == Some(2) || it.text.contains("Figure 2")));

        assert!(
            read("basic_ocr.pdf").unwrap().markdown.contains("sample document to test the PDF Image+Text OCR Engine")
        );
    }

    /// The words of a document's Markdown, without markup.
    fn words(document: &ParsedDocument) -> Vec<&str> {
        let lines = document.markdown.lines().filter(|it| !it.starts_with("|---"));
        lines.flat_map(str::split_whitespace).filter(|it| !["|", "#", "##", "-"].contains(it)).collect()
    }

    /// One page for each way in which programs write text: `w-` words by gaps, `t-` kerning, `c-` cells, `m-` marked
    /// content, `x-` labels and values, `v` other constructions.
    #[test]
    fn the_words_come_out_however_a_generator_places_its_letters() {
        let expected: serde_json::Value =
            serde_json::from_str(&std::fs::read_to_string(path("pdf/words.json")).unwrap()).unwrap();
        let mut wrong = Vec::new();
        for (name, expected) in expected.as_object().unwrap() {
            let expected: Vec<&str> = expected.as_str().unwrap().split_whitespace().collect();
            match read(&format!("pdf/{name}")) {
                Ok(document) if words(&document) == expected => (),
                found => wrong.push((name, found.map(|it| it.markdown))),
            }
        }
        assert!(expected.as_object().unwrap().len() >= 104);
        assert!(wrong.is_empty(), "{wrong:#?}");
    }

    #[test]
    fn tables_are_tables_and_pairs_are_lines() {
        for name in ["pdf/v29-ruled-table.pdf", "pdf/v30-plain-table.pdf"] {
            let table =
                "| Part | Crane | Limit |\n|---|---|---|\n| pin | K1 | 5 t |\n| rope | K2 | 8 t |\n| pawl | K3 | 3 t |";
            let document = read(name).unwrap();
            assert!(document.markdown.contains(table), "{name}: {}", document.markdown);
            assert_eq!(document.tables.len(), 1);
        }
        for name in ["pdf/v13-keyvalue.pdf", "pdf/x-kv-widths.pdf"] {
            let document = read(name).unwrap();
            assert!(
                document.tables.is_empty() && document.markdown.contains("Invoice date: 3 May 2024\n"),
                "{}",
                document.markdown
            );
        }
    }

    /// A page on which all text has codes without a meaning.
    #[test]
    fn a_page_with_text_and_without_words_fails_with_its_reason() {
        let page = |font: &str, text: &str, at: u32| {
            let content = format!("BT /F1 12 Tf 72 {at} Td {text} Tj ET");
            format!(
                "%PDF-1.4\n1 0 obj<</Type/Catalog/Pages 2 0 R>>endobj\n2 0 obj<</Type/Pages/Kids[3 0 R]/Count 1>>endobj\n\
                 3 0 obj<</Type/Page/Parent 2 0 R/MediaBox[0 0 612 792]/Contents 4 0 R/Resources<</Font<</F1 5 0 R>>>>>>endobj\n\
                 4 0 obj<</Length {}>>stream\n{content}\nendstream endobj\n5 0 obj<<{font}>>endobj\ntrailer<</Root 1 0 R>>\n%%EOF",
                content.len()
            )
        };
        let helvetica = "/Type/Font/Subtype/Type1/BaseFont/Helvetica";
        let silent = "/Type/Font/Subtype/Type0/BaseFont/Odd/Encoding/Identity-H/DescendantFonts[<</Type/Font/Subtype/CIDFontType2\
                      /BaseFont/Odd/CIDSystemInfo<</Registry(Adobe)/Ordering(Identity)/Supplement 0>>>>]";
        for (font, text, at, reason) in [
            (silent, "<00410042>", 700, "does not say which character"),
            (helvetica, "(beyond)", 2000, "outside of the page"),
            ("/Type/Font", "(no kind of font)", 700, "missing or damaged"),
        ] {
            let error = parse(page(font, text, at).as_bytes(), "a.pdf", &ParseOptions::default()).unwrap_err();
            assert_eq!(error.code(), "malformed");
            assert!(error.to_string().contains(reason), "{error}");
        }
        let blank = parse(page(helvetica, "(  )", 700).as_bytes(), "a.pdf", &ParseOptions::default()).unwrap();
        assert_eq!(blank.warnings, ["page 1 has no text"]);
    }

    #[test]
    fn damaged_cross_references_are_repaired() {
        assert!(read("invalid.pdf").unwrap().markdown.contains("Hello World"));
    }

    #[test]
    fn a_page_without_text_is_warned_of() {
        let document = read("empty.pdf").unwrap();
        assert_eq!((document.markdown.as_str(), document.warnings), ("", vec!["page 1 has no text".to_string()]));
    }

    #[test]
    fn an_image_of_a_page_needs_ocr() {
        let error = read("scanned_page.pdf").unwrap_err();
        assert_eq!(error.code(), "needs_ocr");
        assert_eq!(error.to_string(), "no text layer: 1 of 1 pages are images, which needs OCR");
        assert!(error.hint().unwrap().contains("tesseract"));
    }

    #[test]
    fn an_image_of_a_page_is_read_by_whatever_reads_images() {
        let ocr = Ocr::new(|image| {
            let bytes = std::fs::read(image)?;
            assert!(bytes.starts_with(b"\x89PNG"), "no PNG");
            Ok("read from the image".to_string())
        });
        let options = ParseOptions { ocr: Some(ocr), ..ParseOptions::default() };
        let document = parse_file(&path("scanned_page.pdf"), &options).unwrap();
        assert_eq!((document.markdown.as_str(), document.pages.len()), ("read from the image", 1));

        let failing = Ocr::new(|_| Err(std::io::Error::other("no such language")));
        let options = ParseOptions { ocr: Some(failing), ..ParseOptions::default() };
        assert_eq!(parse_file(&path("scanned_page.pdf"), &options).unwrap_err().code(), "needs_ocr");
    }

    #[cfg(unix)]
    #[test]
    fn tesseract_is_used_where_it_is_found() {
        use std::os::unix::fs::PermissionsExt;
        use_for_children();
        let folder = tempfile::tempdir().unwrap();
        assert!(ocr::found_in(folder.path().as_os_str()).is_none());
        let program = folder.path().join("tesseract");
        let script = |text: &str| {
            std::fs::write(&program, format!("#!/bin/sh\n{text}\n")).unwrap();
            std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
        };
        script("head -c 4 \"$1\" | tail -c 3; echo \" to $2\"");
        let options = ParseOptions { ocr: ocr::found_in(folder.path().as_os_str()), ..ParseOptions::default() };
        assert_eq!(parse_file(&path("scanned_page.pdf"), &options).unwrap().markdown, "PNG to stdout");
        script("echo no languages >&2; exit 1");
        let image = parse(b"\x89PNG\r\n\x1a\n", "a.png", &options).unwrap_err();
        assert!(image.to_string().contains("tesseract failed: no languages"), "{image}");
    }

    #[test]
    fn an_encrypted_pdf_needs_its_password() {
        let error = read("encrypted.pdf").unwrap_err();
        assert_eq!(
            (error.code(), error.to_string().as_str()),
            ("encrypted", "the document is encrypted: a password is needed")
        );
        let options = ParseOptions { password: Some("wrong".into()), ..ParseOptions::default() };
        assert!(matches!(parse_file(&path("encrypted.pdf"), &options), Err(ParseError::WrongPassword)));
    }

    #[test]
    fn a_pdf_that_was_cut_off_fails_with_that_reason_unless_told_to_salvage() {
        let error = read("truncated.pdf").unwrap_err();
        assert_eq!(error.code(), "truncated");
        assert!(error.to_string().starts_with("the file is truncated: "), "{error}");
        let options = ParseOptions { salvage: true, ..ParseOptions::default() };
        let document = parse_file(&path("truncated.pdf"), &options).unwrap();
        assert!(document.markdown.contains("self-locking"));
        assert!(document.warnings[0].contains("truncated"), "{:?}", document.warnings);
    }

    #[test]
    fn hostile_pdfs_are_refused_or_read_but_never_crash() {
        let nested = |depth: usize, open: &str, close: &str| {
            let (open, close) = (open.repeat(depth), close.repeat(depth));
            format!(
                "%PDF-1.4\n1 0 obj<</Type/Catalog/Pages 2 0 R/X {open}{close}>>endobj\n2 0 obj<</Type/Pages/Kids[]/Count 0>>endobj\ntrailer<</Root 1 0 R>>\n%%EOF"
            )
        };
        for (open, close) in [("[", "]"), ("<</A ", ">>")] {
            let error = parse(nested(200_000, open, close).as_bytes(), "a.pdf", &ParseOptions::default()).unwrap_err();
            assert_eq!(error.code(), "too_deep");
        }
        for text in [nested(900, "[", "]"), nested(900, "<</A ", ">>"), "%PDF-1.7\n%%EOF".into(), "%PDF-".into()] {
            if let Err(error) = parse(text.as_bytes(), "a.pdf", &ParseOptions::default()) {
                assert!(!error.to_string().is_empty());
            }
        }
        let sample = std::fs::read(path("invalid.pdf")).unwrap();
        for seed in 0..60 {
            let _ = parse(&mutated(&sample, seed), "a.pdf", &ParseOptions::default());
        }
    }
}

#[cfg(not(feature = "pdf"))]
#[test]
fn a_build_without_pdf_support_says_so() {
    let error = read("invalid.pdf").unwrap_err();
    assert_eq!(error.to_string(), "this build of windlass has no PDF support");
    assert!(error.hint().unwrap().contains("default features"));
}

#[test]
fn the_database_manual_is_read_with_its_headings_and_without_its_menus() {
    let document = read("wal.html").unwrap();
    assert_eq!(document.title.as_deref(), Some("Write-Ahead Logging"));
    assert!(
        document.headings.iter().any(|it| it.level == 2 && it.text == "2.1. Checkpointing"),
        "{:?}",
        document.headings
    );
    for chrome in ["Purchase", "Small. Fast. Reliable", "function ", "Search Changelog"] {
        assert!(!document.markdown.contains(chrome), "{chrome}");
    }
    let found =
        chunks(&document).into_iter().find(|it| it.text.contains("moving") || it.text.contains("checkpoint")).unwrap();
    assert!(!found.headings.is_empty());

    for name in ["isolation.html", "lockingv3.html"] {
        let document = read(name).unwrap();
        assert!(document.headings.len() >= 3 && document.markdown.len() > 5000, "{name}");
    }
}

#[test]
fn markdown_keeps_headings_and_tables() {
    let document = read("notes.md").unwrap();
    assert_eq!(document.title.as_deref(), Some("Notes on a hand winch"));
    assert_eq!(
        document.headings.iter().map(|it| it.text.as_str()).collect::<Vec<_>>(),
        ["Notes on a hand winch", "Rope", "Care"]
    );
    assert!(document.markdown[document.tables[0].clone()].starts_with("| rope | breaking load |"));
    let rope = chunks(&document).into_iter().find(|it| it.text.contains("hemp")).unwrap();
    assert_eq!(rope.headings, ["Notes on a hand winch", "Rope"]);
}

#[test]
fn the_same_words_come_out_of_every_charset() {
    let koi8 = read("windlass_koi8r.txt").unwrap();
    let wide = read("windlass_utf16.txt").unwrap();
    assert_eq!(koi8.markdown.trim(), wide.markdown.trim());
    assert!(koi8.markdown.to_lowercase().contains("собачка"));
    assert!(koi8.warnings.is_empty() && wide.warnings.is_empty());
}

#[test]
fn an_empty_file_is_warned_of_and_no_failure() {
    let document = read("empty.txt").unwrap();
    assert_eq!(document.warnings, ["the file is empty: nothing to index"]);
    assert!(chunks(&document).is_empty());
    let blank = parse(b" \n\n", "a.txt", &ParseOptions::default()).unwrap();
    assert_eq!((blank.markdown.as_str(), blank.warnings.len()), ("", 1));
}

#[test]
fn what_is_too_large_or_unknown_is_refused_with_what_to_do() {
    let options = ParseOptions { max_bytes: 100, ..ParseOptions::default() };
    let error = parse_file(&path("wal.html"), &options).unwrap_err();
    assert_eq!((error.code(), error.hint().is_some()), ("too_large", true));
    let error = parse(b"\x7fELF\x02\x01\x01\0\0", "a.txt", &ParseOptions::default()).unwrap_err();
    assert_eq!(error.to_string(), "no reader for application/x-executable");
}

#[test]
fn a_folder_of_documents_is_listed_and_read() {
    let files = source::list(&[path("")], &SourceOptions::default()).unwrap().files;
    assert!(files.len() >= 14, "{}", files.len());
    let failed: Vec<_> = files.iter().filter_map(|it| parse_file(&it.path, &ParseOptions::default()).err()).collect();
    let cases = count_of_pdfs("pdf");
    let expected = if cfg!(feature = "pdf") { 3 } else { 8 + cases };
    assert_eq!(failed.len(), expected, "{failed:?}");
}

/// The PDF files in a folder of documents.
fn count_of_pdfs(folder: &str) -> usize {
    let files = std::fs::read_dir(path(folder)).unwrap();
    files.filter(|it| it.as_ref().unwrap().path().extension().is_some_and(|it| it == "pdf")).count()
}

#[test]
fn damaged_documents_never_panic_a_reader() {
    for name in ["wal.html", "notes.md", "windlass_koi8r.txt", "windlass_utf16.txt"] {
        let sample = std::fs::read(path(name)).unwrap();
        for seed in 0..50 {
            if let Ok(document) = parse(&mutated(&sample, seed), name, &ParseOptions::default()) {
                chunks(&document);
            }
        }
    }
}

/// The sample with a few dozen bytes changed, and parts removed and repeated. The seed determines the result.
fn mutated(sample: &[u8], seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15).wrapping_add(1);
    let mut next = |below: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((state >> 33) as usize) % below.max(1)
    };
    let mut bytes = sample.to_vec();
    for _ in 0..1 + next(30) {
        if bytes.is_empty() {
            break;
        }
        let at = next(bytes.len());
        match next(4) {
            0 => bytes[at] = next(256) as u8,
            1 => bytes[at] ^= 1 << next(8),
            2 => {
                let end = (at + next(64)).min(bytes.len());
                bytes.drain(at..end);
            }
            _ => {
                let part = bytes[at..(at + next(64)).min(bytes.len())].to_vec();
                let to = next(bytes.len());
                bytes.splice(to..to, part);
            }
        }
    }
    bytes
}
