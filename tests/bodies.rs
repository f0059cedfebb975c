//! `windlass ingest` of documents that are not files: URLs and stdin.

mod support {
    pub mod binary;
}

use serde_json::Value;
use std::{
    io::{Read, Write},
    net::TcpListener,
    path::Path,
    process::Output,
    thread,
};
use support::binary::Windlass;

const ROPES: &str = "# Ropes\n\nHemp rots when it is stored wet.\n";

/// Answers every request with the result of `answer` for its path.
fn serve(answer: impl Fn(&str) -> String + Send + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut request = [0; 4096];
            let count = stream.read(&mut request).unwrap_or(0);
            let text = String::from_utf8_lossy(&request[..count]).into_owned();
            let path = text.split(' ').nth(1).unwrap_or_default();
            let _ = stream.write_all(answer(path).as_bytes());
        }
    });
    format!("http://{address}")
}

fn found(text: &str) -> String {
    let head = "HTTP/1.1 200 OK\r\nContent-Type: text/markdown\r\nConnection: close\r\n";
    format!("{head}Content-Length: {}\r\n\r\n{text}", text.len())
}

fn windlass(home: &Path, arguments: &[&str], stdin: Option<&str>) -> Output {
    let mut command = Windlass::on(home);
    stdin.map(|text| command.input(text));
    command.args(arguments).output().unwrap()
}

fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

fn uris(home: &Path) -> Vec<String> {
    let output = windlass(home, &["db", "documents", "--json"], None);
    let found: Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
    let documents = found["documents"].as_array().cloned().unwrap_or_default();
    documents.iter().filter_map(|it| it["uri"].as_str().map(str::to_string)).collect()
}

#[test]
fn an_address_is_fetched_and_what_can_not_be_reached_is_told() {
    let home = tempfile::tempdir().unwrap();
    let server = serve(|path| match path {
        "/docs/ropes.md" => found(ROPES),
        "/moved" => "HTTP/1.1 302 Found\r\nLocation: /docs/ropes.md\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
            .to_string(),
        "/round" => {
            "HTTP/1.1 302 Found\r\nLocation: /round\r\nConnection: close\r\nContent-Length: 0\r\n\r\n".to_string()
        }
        "/vast" => "HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n".to_string(),
        _ => "HTTP/1.1 404 Not Found\r\nConnection: close\r\nContent-Length: 0\r\n\r\n".to_string(),
    });
    let url = |path: &str| format!("{server}{path}");
    let dry = windlass(home.path(), &["ingest", "--dry-run", &url("/docs/ropes.md")], None);
    assert!(dry.status.success() && said(&dry).contains("ropes.md"), "{}", said(&dry));
    assert!(uris(home.path()).is_empty());

    let output = windlass(home.path(), &["ingest", &url("/docs/ropes.md"), &url("/moved")], None);
    assert!(output.status.success(), "{}", said(&output));
    assert_eq!(uris(home.path()), [url("/docs/ropes.md"), url("/moved")]);
    let again = windlass(home.path(), &["ingest", &url("/docs/ropes.md")], None);
    assert!(said(&again).contains("1 unchanged"), "{}", said(&again));

    for (path, reason) in [("/none", "404"), ("/round", "redirect"), ("/vast", "larger than")] {
        let output = windlass(home.path(), &["ingest", &url(path), &url("/docs/ropes.md")], None);
        assert_eq!(output.status.code(), Some(3), "{path}: {}", said(&output));
        assert!(said(&output).contains(reason), "{path}: {}", said(&output));
    }
}

#[test]
fn a_document_on_stdin_is_ingested_and_found() {
    let home = tempfile::tempdir().unwrap();
    let output = windlass(home.path(), &["ingest", "-"], Some(ROPES));
    assert!(output.status.success(), "{}", said(&output));
    let again = windlass(home.path(), &["ingest", "-"], Some(ROPES));
    assert!(said(&again).contains("1 unchanged"), "{}", said(&again));
    let uris = uris(home.path());
    assert!(uris.len() == 1 && uris[0].starts_with("stdin:sha256-"), "{uris:?}");
    let search = windlass(home.path(), &["search", "hemp stored wet", "--json"], None);
    assert!(said(&search).contains("Hemp rots"), "{}", said(&search));
}

#[test]
fn a_document_on_stdin_has_the_title_that_it_is_given() {
    let home = tempfile::tempdir().unwrap();
    let output = windlass(home.path(), &["ingest", "-", "--title", "Ropes of 1843"], Some("Hemp rots when wet.\n"));
    assert!(output.status.success(), "{}", said(&output));
    let found = windlass(home.path(), &["db", "documents", "--json"], None);
    let found: Value = serde_json::from_slice(&found.stdout).unwrap();
    assert_eq!(found["documents"][0]["title"], "Ropes of 1843");
    let misplaced = windlass(home.path(), &["ingest", "docs", "--title", "x"], None);
    assert_eq!(misplaced.status.code(), Some(2), "{}", said(&misplaced));
}

#[test]
fn documents_and_databases_are_deleted_by_name() {
    let place = tempfile::tempdir().unwrap();
    let (home, docs) = (place.path().join("home"), place.path().join("docs"));
    std::fs::create_dir_all(&docs).unwrap();
    for (name, text) in [("a.md", "Hemp rots."), ("b.md", "Nylon stretches."), ("c.md", "Chains rust.")] {
        std::fs::write(docs.join(name), text).unwrap();
    }
    let docs = docs.to_str().unwrap().to_string();
    let run = |arguments: &[&str], stdin: Option<&str>| windlass(&home, arguments, stdin);
    assert!(run(&["ingest", &docs, "-"], Some(ROPES)).status.success());
    let all = uris(&home);
    assert_eq!(all.len(), 4, "{all:?}");
    let stdin = all.iter().find(|it| it.starts_with("stdin:")).unwrap();
    let by_path = format!("{docs}/a.md");
    let removed = run(&["db", "remove", &by_path, stdin, &all[1]], None);
    assert!(removed.status.success() && said(&removed).contains("3 documents removed"), "{}", said(&removed));
    assert_eq!(uris(&home), [all[2].clone()]);
    let unknown = run(&["db", "remove", "https://host/none.md"], None);
    assert_eq!(unknown.status.code(), Some(4), "{}", said(&unknown));

    let deleted = run(&["db", "delete", "default"], None);
    assert!(deleted.status.success(), "{}", said(&deleted));
    assert!(!home.join("vectors/default.db").exists() && !home.join("vectors/default.db-wal").exists());
    assert_eq!(run(&["db", "delete", "default"], None).status.code(), Some(4));
    let events = said(&run(&["events"], None));
    let deletions: Vec<&str> = events.lines().filter(|it| it.contains("DATABASE_DELETED")).collect();
    assert!(deletions.len() == 1 && deletions[0].contains("vectors/default.db: 1 document"), "{events}");
    assert!(deletions[0].contains("(uid "), "it does not say by whom: {events}");
    let again = run(&["ingest", &docs], None);
    assert!(again.status.success(), "{}", said(&again));
    assert_eq!(uris(&home).len(), 3);
    assert!(run(&["doctor"], None).status.success());
}

#[test]
fn documents_that_failed_before_are_counted_and_strict_says_so_in_the_exit_code() {
    let place = tempfile::tempdir().unwrap();
    let (home, docs) = (place.path().join("home"), place.path().join("docs"));
    std::fs::create_dir_all(&docs).unwrap();
    std::fs::write(docs.join("good.md"), "fine").unwrap();
    std::fs::write(docs.join("broken.docx"), b"PK\x03\x04 word/document.xml, and then nothing").unwrap();
    std::os::unix::fs::symlink("/etc/hostname", docs.join("n.txt")).unwrap();
    let docs = docs.to_str().unwrap().to_string();
    let first = windlass(&home, &["ingest", &docs], None);
    assert_eq!(first.status.code(), Some(3), "{}", said(&first));
    assert!(said(&first).contains("retry g1`") && said(&first).contains("--follow-links"), "{}", said(&first));
    let second = windlass(&home, &["ingest", &docs], None);
    let text = said(&second);
    assert_eq!(second.status.code(), Some(0), "{text}");
    assert!(text.contains("1 skipped: failed earlier and unchanged (") && text.contains("retry g1`"), "{text}");
    assert!(!text.contains("--force"), "{text}");
    assert_eq!(windlass(&home, &["ingest", &docs, "--strict"], None).status.code(), Some(3));
    assert_eq!(uris(&home).len(), 1, "the link leads out");
    assert!(windlass(&home, &["ingest", &docs, "--follow-links"], None).status.success());
    assert_eq!(uris(&home).len(), 2);
    // The suggested command retries only the failed document.
    let retried = windlass(&home, &["retry", "g1"], None);
    assert!(retried.status.success(), "{}", said(&retried));
    let third = windlass(&home, &["ingest", &docs], None);
    assert!(said(&third).contains("continuing g1"), "{}", said(&third));
}
