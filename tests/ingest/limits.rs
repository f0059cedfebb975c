//! How much of the engine's resources one document may take.

use super::*;
use windlass::model::HEADING_MAX;

const LONG: usize = 600 << 10;

/// Documents with a title or heading of more than half a megabyte.
fn hostile() -> [(&'static str, String); 4] {
    let long = "winch ".repeat(LONG / 6);
    let folded = long.replace("winch winch ", "winch\r\n winch ");
    [
        ("subject.eml", format!("From: a@b\r\nSubject: {folded}\r\n\r\n{}", "A line.\r\n".repeat(2000))),
        ("title.html", format!("<title>{long}</title><h1>{long}</h1>{}", "<p>A line.</p><h2>x</h2>".repeat(500))),
        ("matter.md", format!("---\ntitle: {long}\n---\n# {long}\n\n{}", "## x\n\nA line.\n\n".repeat(500))),
        (
            "deep.md",
            (1..7).map(|it| format!("{} {long}\n\n", "#".repeat(it))).collect::<String>()
                + &"###### x\n\ny\n\n".repeat(500),
        ),
    ]
}

#[test]
fn long_titles_and_headings_are_cut_where_they_are_read_and_marked_as_cut() {
    let desk = Desk::new();
    for (name, text) in hostile() {
        desk.write(name, text);
    }
    let (_, report) = desk.sync();
    assert_eq!((report.stored, report.failed), (4, 0), "{report:?}");
    let page = desk.database().documents(&vector::DocumentQuery { limit: 9, ..Default::default() }).unwrap();
    for document in &page.documents {
        let title = document.title.as_deref().unwrap();
        assert!(title.len() <= HEADING_MAX && title.ends_with('…'), "{} has {} bytes", document.uri, title.len());
    }
    for hit in desk.search("a line of the winch") {
        assert!(hit.headings.iter().map(String::len).sum::<usize>() <= HEADING_MAX, "{}", hit.uri);
    }
    // The texts themselves, their words and vectors, but not a copy of each heading in each chunk.
    let size = fs::metadata(&desk.options.database).unwrap().len();
    assert!(size < 60 << 20, "{size} bytes");
}

#[test]
fn a_document_of_countless_passages_or_beyond_its_memory_fails_alone() {
    let mut desk = Desk::new();
    desk.write("many.md", "# a\n\nb\n\n".repeat(230_000));
    desk.write("good.md", "fine");
    desk.set("parse.memory=2GiB");
    let (_, report) = desk.sync();
    let (status, reason) = outcome(&report, &desk.uri("many.md"));
    assert!(status == DocumentStatus::Failed && reason.contains("200000 passages"), "{reason}");
    assert_eq!(outcome(&report, &desk.uri("good.md")).0, DocumentStatus::Stored);

    let desk = Desk::new();
    desk.write("outline.md", "# a\n".repeat(900_000));
    let mut desk = desk;
    desk.set("parse.memory=100MiB");
    let (_, report) = desk.sync();
    let (status, reason) = outcome(&report, &desk.uri("outline.md"));
    assert!(status == DocumentStatus::Failed && reason.contains("of memory"), "{reason}");
}
