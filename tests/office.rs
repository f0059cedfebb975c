//! Office documents and books, built here part by part, and the effects of damage.

use std::io::{Cursor, Write};
use windlass::{
    ingest::{ChunkOptions, ParseOptions, chunk, parse},
    model::ParsedDocument,
};
use zip::{ZipWriter, write::SimpleFileOptions};

fn zipped(parts: &[(&str, &str)]) -> Vec<u8> {
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    for (name, content) in parts {
        let method =
            if *name == "mimetype" { zip::CompressionMethod::Stored } else { zip::CompressionMethod::Deflated };
        zip.start_file(*name, SimpleFileOptions::default().compression_method(method)).unwrap();
        zip.write_all(content.as_bytes()).unwrap();
    }
    zip.finish().unwrap().into_inner()
}

fn read(bytes: &[u8], name: &str) -> ParsedDocument {
    parse(bytes, name, &ParseOptions::default()).unwrap_or_else(|error| panic!("{name}: {error}"))
}

fn docx() -> Vec<u8> {
    let p = |inside: &str| format!("<w:p>{inside}</w:p>");
    let r = |text: &str| format!("<w:r><w:t xml:space=\"preserve\">{text}</w:t></w:r>");
    let style = |name: &str| format!("<w:pPr><w:pStyle w:val=\"{name}\"/></w:pPr>");
    let item = "<w:pPr><w:numPr><w:ilvl w:val=\"0\"/><w:numId w:val=\"1\"/></w:numPr></w:pPr>";
    let cell = |text: &str| format!("<w:tc><w:tcPr/>{}</w:tc>", p(&r(text)));
    let body = [
        p(&(style("berschrift1") + &r("The ") + &r("winch"))),
        p(&(r("Rope &amp; drum")
            + "<w:del><w:r><w:delText>gone</w:delText></w:r></w:del><w:r><w:instrText>PAGE</w:instrText></w:r>")),
        p(&r("Second paragraph.")),
        p(&(item.to_string() + &r("one"))),
        p(&(style("ListBullet") + &r("two"))),
        format!(
            "<w:tbl><w:tr>{}{}</w:tr><w:tr>{}{}</w:tr></w:tbl>",
            cell("rope"),
            cell("load"),
            cell("hemp"),
            cell("9 kN")
        ),
        "<mc:AlternateContent><mc:Choice>".to_string()
            + &p(&r("box"))
            + "</mc:Choice><mc:Fallback>"
            + &p(&r("box"))
            + "</mc:Fallback></mc:AlternateContent>",
    ];
    let styles = "<w:styles><w:style w:type=\"paragraph\" w:styleId=\"berschrift1\"><w:name w:val=\"heading 1\"/></w:style>\
        <w:style w:type=\"paragraph\" w:styleId=\"ListBullet\"><w:name w:val=\"List Bullet\"/></w:style></w:styles>";
    zipped(&[
        ("[Content_Types].xml", "<Types/>"),
        (
            "word/document.xml",
            &format!("<?xml version=\"1.0\"?><w:document><w:body>{}</w:body></w:document>", body.concat()),
        ),
        ("word/styles.xml", styles),
        ("docProps/core.xml", "<cp:coreProperties><dc:title>On winches</dc:title></cp:coreProperties>"),
    ])
}

fn pptx() -> Vec<u8> {
    let slide = |title: &str, text: &str| {
        format!(
            "<p:sld><p:sp><p:nvSpPr><p:nvPr><p:ph type=\"title\"/></p:nvPr></p:nvSpPr><p:txBody><a:p><a:r><a:t>{title}</a:t></a:r></a:p></p:txBody></p:sp>\
             <p:sp><p:txBody><a:p><a:r><a:t>{text}</a:t></a:r></a:p></p:txBody></p:sp>\
             <p:sp><p:nvSpPr><p:nvPr><p:ph type=\"sldNum\"/></p:nvPr></p:nvSpPr><a:p><a:fld><a:t>77</a:t></a:fld></a:p></p:sp></p:sld>"
        )
    };
    let notes = "<p:notes><p:sp><p:nvSpPr><p:nvPr><p:ph type=\"body\"/></p:nvPr></p:nvSpPr><a:p><a:r><a:t>speak slowly</a:t></a:r></a:p></p:sp></p:notes>";
    zipped(&[
        (
            "ppt/presentation.xml",
            "<p:presentation><p:sldIdLst><p:sldId id=\"256\" r:id=\"rId2\"/><p:sldId id=\"257\" r:id=\"rId1\"/></p:sldIdLst></p:presentation>",
        ),
        (
            "ppt/_rels/presentation.xml.rels",
            "<Relationships><Relationship Id=\"rId1\" Type=\"x/slide\" Target=\"slides/slide1.xml\"/><Relationship Id=\"rId2\" Type=\"x/slide\" Target=\"slides/slide2.xml\"/></Relationships>",
        ),
        ("ppt/slides/slide1.xml", &slide("Care", "Grease the axle")),
        ("ppt/slides/slide2.xml", &slide("Pawl", "It drops in")),
        (
            "ppt/slides/_rels/slide1.xml.rels",
            "<Relationships><Relationship Id=\"r\" Type=\"http://x/notesSlide\" Target=\"../notesSlides/n1.xml\"/></Relationships>",
        ),
        ("ppt/notesSlides/n1.xml", notes),
    ])
}

fn xlsx() -> Vec<u8> {
    let sheet = "<worksheet><sheetData><row r=\"1\"><c r=\"A1\" t=\"s\"><v>0</v></c><c r=\"B1\" t=\"s\"><v>1</v></c></row>\
        <row r=\"2\"><c r=\"A2\" t=\"inlineStr\"><is><t>hemp</t></is></c><c r=\"B2\"><v>9.5</v></c><c r=\"C2\" s=\"1\"><v>45000</v></c></row>\
        <row r=\"1048576\"><c r=\"XFD1048576\"><v>1</v></c></row></sheetData></worksheet>";
    zipped(&[
        ("[Content_Types].xml", "<Types xmlns=\"http://schemas.openxmlformats.org/package/2006/content-types\"/>"),
        (
            "_rels/.rels",
            "<Relationships xmlns=\"http://schemas.openxmlformats.org/package/2006/relationships\"><Relationship Id=\"rId1\" Type=\"http://schemas.openxmlformats.org/officeDocument/2006/relationships/officeDocument\" Target=\"xl/workbook.xml\"/></Relationships>",
        ),
        (
            "xl/workbook.xml",
            "<workbook xmlns:r=\"http://schemas.openxmlformats.org/officeDocument/2006/relationships\"><sheets><sheet name=\"Ropes\" sheetId=\"1\" r:id=\"rId1\"/></sheets></workbook>",
        ),
        (
            "xl/_rels/workbook.xml.rels",
            "<Relationships xmlns=\"http://schemas.openxmlformats.org/package/2006/relationships\"><Relationship Id=\"rId1\" Type=\"http://schemas.openxmlformats.org/officeDocument/2006/relationships/worksheet\" Target=\"worksheets/sheet1.xml\"/></Relationships>",
        ),
        ("xl/sharedStrings.xml", "<sst><si><t>rope</t></si><si><t>load</t></si></sst>"),
        (
            "xl/styles.xml",
            "<styleSheet><cellXfs count=\"2\"><xf numFmtId=\"0\"/><xf numFmtId=\"14\"/></cellXfs></styleSheet>",
        ),
        ("xl/worksheets/sheet1.xml", sheet),
    ])
}

fn odf(kind: &str, body: &str) -> Vec<u8> {
    zipped(&[
        ("mimetype", &format!("application/vnd.oasis.opendocument.{kind}")),
        (
            "content.xml",
            &format!("<office:document-content><office:body>{body}</office:body></office:document-content>"),
        ),
        (
            "meta.xml",
            "<office:document-meta><office:meta><dc:title>On winches</dc:title></office:meta></office:document-meta>",
        ),
    ])
}

fn odt() -> Vec<u8> {
    odf(
        "text",
        "<text:tracked-changes><text:p>deleted</text:p></text:tracked-changes><text:h text:outline-level=\"2\">Rope<text:s/>and drum</text:h>\
         <text:p>Hemp<text:note><text:note-citation>1</text:note-citation><text:note-body><text:p>a plant</text:p></text:note-body></text:note> is old.</text:p>\
         <text:list><text:list-item><text:p>one</text:p></text:list-item><text:list-item><text:p>two</text:p></text:list-item></text:list>\
         <table:table><table:table-row><table:table-cell><text:p>rope</text:p></table:table-cell><table:table-cell><text:p>load</text:p></table:table-cell></table:table-row>\
         <table:table-row><table:table-cell><text:p>hemp</text:p></table:table-cell><table:table-cell><text:p>9</text:p></table:table-cell></table:table-row></table:table>",
    )
}

fn ods() -> Vec<u8> {
    odf(
        "spreadsheet",
        "<table:table table:name=\"Ropes\"><table:table-row><table:table-cell><text:p>rope</text:p></table:table-cell><table:table-cell><text:p>load</text:p></table:table-cell></table:table-row>\
         <table:table-row table:number-rows-repeated=\"1000000\"><table:table-cell table:number-columns-repeated=\"16000\"/></table:table-row>\
         <table:table-row><table:table-cell><text:p>hemp</text:p></table:table-cell><table:table-cell table:number-columns-repeated=\"2\"><text:p>9</text:p></table:table-cell></table:table-row></table:table>",
    )
}

fn odp() -> Vec<u8> {
    let page = |title: &str, text: &str| {
        format!(
            "<draw:page><draw:frame presentation:class=\"title\"><draw:text-box><text:p>{title}</text:p></draw:text-box></draw:frame><draw:frame><text:p>{text}</text:p></draw:frame></draw:page>"
        )
    };
    odf("presentation", &(page("Pawl", "It drops in") + &page("Care", "Grease the axle")))
}

fn epub() -> Vec<u8> {
    zipped(&[
        ("mimetype", "application/epub+zip"),
        (
            "META-INF/container.xml",
            "<container><rootfiles><rootfile full-path=\"OEBPS/book.opf\"/></rootfiles></container>",
        ),
        (
            "OEBPS/book.opf",
            "<package><metadata><dc:title>The winch book</dc:title></metadata><manifest><item id=\"n\" href=\"nav.xhtml\" properties=\"nav\"/>\
             <item id=\"b\" href=\"text/two%20b.xhtml\"/><item id=\"a\" href=\"text/one.xhtml\"/></manifest>\
             <spine><itemref idref=\"n\"/><itemref idref=\"a\"/><itemref idref=\"b\"/><itemref idref=\"a\"/></spine></package>",
        ),
        ("OEBPS/nav.xhtml", "<html><body>contents</body></html>"),
        ("OEBPS/text/one.xhtml", "<html><body><h1>One</h1><p>first</p></body></html>"),
        ("OEBPS/text/two b.xhtml", "<html><body><h1>Two</h1><p>second</p></body></html>"),
    ])
}

#[test]
fn word_documents_keep_headings_lists_and_tables() {
    let document = read(&docx(), "a.docx");
    assert_eq!(document.title.as_deref(), Some("On winches"));
    let expected = "# The winch\n\nRope & drum\n\nSecond paragraph.\n\n- one\n- two\n\n| rope | load |\n|---|---|\n| hemp | 9 kN |\n\nbox";
    assert_eq!(document.markdown, expected);
    assert_eq!((document.headings.len(), document.tables.len()), (1, 1));
}

#[test]
fn slides_are_pages_in_the_order_of_the_show() {
    let document = read(&pptx(), "a.pptx");
    assert_eq!(document.markdown, "# Pawl\n\nIt drops in\n\n# Care\n\nGrease the axle\n\nspeak slowly");
    let chunks = chunk(&document, &ChunkOptions::default());
    assert_eq!(
        chunks.iter().map(|it| (it.page, it.headings[0].as_str())).collect::<Vec<_>>(),
        [(Some(1), "Pawl"), (Some(2), "Care")]
    );
    let open = read(&odp(), "a.odp");
    assert_eq!(open.markdown, "# Pawl\n\nIt drops in\n\n# Care\n\nGrease the axle");
    assert_eq!(open.pages.len(), 2);
}

#[test]
fn sheets_are_tables_and_cells_far_apart_claim_no_memory() {
    let document = read(&xlsx(), "a.xlsx");
    assert_eq!(document.markdown, "## Ropes\n\n| rope | load |\n|---|---|\n| hemp | 9.5 | 2023-03-15 |\n");
    let document = read(&ods(), "a.ods");
    assert_eq!(document.markdown, "## Ropes\n\n| rope | load |\n|---|---|\n| hemp | 9 | 9 |\n");
}

#[test]
fn open_documents_keep_headings_notes_lists_and_tables() {
    let document = read(&odt(), "a.odt");
    assert_eq!(document.title.as_deref(), Some("On winches"));
    let expected =
        "## Rope and drum\n\nHemp (a plant) is old.\n\n- one\n- two\n\n| rope | load |\n|---|---|\n| hemp | 9 |";
    assert_eq!(document.markdown, expected);
}

#[test]
fn books_are_read_in_the_order_of_their_spine() {
    let document = read(&epub(), "a.epub");
    assert_eq!(document.title.as_deref(), Some("The winch book"));
    assert_eq!(document.markdown, "# One\n\nfirst\n\n# Two\n\nsecond");
}

#[test]
fn encrypted_documents_say_so() {
    let locked = zipped(&[
        ("mimetype", "application/vnd.oasis.opendocument.text"),
        ("content.xml", "noise"),
        ("META-INF/manifest.xml", "<manifest:file-entry><manifest:encryption-data/></manifest:file-entry>"),
    ]);
    assert_eq!(parse(&locked, "a.odt", &ParseOptions::default()).unwrap_err().code(), "encrypted");
    let mut ole = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1".to_vec();
    ole.extend("EncryptedPackage".encode_utf16().flat_map(u16::to_le_bytes));
    assert_eq!(parse(&ole, "a.docx", &ParseOptions::default()).unwrap_err().code(), "encrypted");
}

#[test]
fn bombs_and_deep_nesting_are_refused_or_read_in_bounds() {
    let options = ParseOptions { max_text: 1 << 20, ..ParseOptions::default() };
    let bomb = zipped(&[("word/document.xml", &"<x/>".repeat(2 << 20))]);
    assert!(bomb.len() < 64 << 10, "{} bytes", bomb.len());
    assert_eq!(parse(&bomb, "a.docx", &options).unwrap_err().code(), "too_large");
    let strings = format!("<sst>{}</sst>", "<si/>".repeat(2 << 20));
    let bomb = zipped(&[("xl/workbook.xml", "<workbook/>"), ("xl/sharedStrings.xml", &strings)]);
    assert_eq!(parse(&bomb, "a.xlsx", &options).unwrap_err().code(), "too_large");

    let deep = "<w:tbl><w:tr><w:tc>".repeat(100_000) + "<w:p><w:r><w:t>core</w:t></w:r></w:p>";
    assert_eq!(read(&zipped(&[("word/document.xml", &deep)]), "a.docx").markdown, "core");
    let deep = "<text:list><text:list-item>".repeat(100_000) + "<text:p>core</text:p>";
    assert_eq!(read(&odf("text", &deep), "a.odt").markdown.trim(), "- core");
}

#[test]
fn damaged_documents_never_panic_a_reader() {
    let csv = "name;load\n\"hemp; old\";9\nsteel;\"4\"\"0\"\n".repeat(20);
    let json = r#"{"ropes": [{"name": "hemp", "load": 9.5, "tags": ["old", null, true]}], "text": "a\u00e9\n"}"#;
    let mail = "From: a@b\nTo: c\nSubject: =?utf-8?q?W=C3=BC?=\nContent-Type: multipart/mixed; boundary=x\n\n--x\nContent-Transfer-Encoding: base64\n\nV2luY2g=\n--x\nContent-Type: text/html\n\n<p>a</p>\n--x--\n";
    let samples: Vec<(&str, Vec<u8>)> = vec![
        ("a.docx", docx()),
        ("a.pptx", pptx()),
        ("a.xlsx", xlsx()),
        ("a.odt", odt()),
        ("a.ods", ods()),
        ("a.odp", odp()),
        ("a.epub", epub()),
        ("a.csv", csv.into_bytes()),
        ("a.json", json.into()),
        ("a.eml", mail.into()),
        ("a.rs", b"fn main() { println!(\"```\"); }\n".to_vec()),
    ];
    for (name, sample) in samples {
        for seed in 0..200 {
            if let Ok(document) = parse(&mutated(&sample, seed), name, &ParseOptions::default()) {
                chunk(&document, &ChunkOptions::default());
            } else if let Err(error) = parse(&mutated(&sample, seed), name, &ParseOptions::default()) {
                assert!(!error.to_string().contains("its reader failed"), "{name}, seed {seed}: a reader panicked");
            }
        }
    }
}

/// The sample with some bytes changed, removed or repeated. The seed determines the result.
fn mutated(sample: &[u8], seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15).wrapping_add(1);
    let mut next = |below: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((state >> 33) as usize) % below.max(1)
    };
    let mut bytes = sample.to_vec();
    for _ in 0..1 + next(6) {
        let at = next(bytes.len());
        let end = (at + 1 + next(16)).min(bytes.len());
        match next(4) {
            0 => bytes[at] = next(256) as u8,
            1 => bytes[at] ^= 1 << next(8),
            2 if bytes.len() > 64 => drop(bytes.drain(at..end)),
            _ => {
                let part = bytes[at..end].to_vec();
                bytes.splice(at..at, part);
            }
        }
    }
    bytes
}
