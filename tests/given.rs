//! `windlass ingest` of what is no file: an address, and stdin.

use serde_json::Value;
use std::{
    io::{Read, Write},
    net::TcpListener,
    path::Path,
    process::{Command, Output, Stdio},
    thread,
};

const ROPES: &str = "# Ropes\n\nHemp rots when it is stored wet.\n";

/// Answers every request with what `answer` makes of its path.
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
    let mut command = Command::new(env!("CARGO_BIN_EXE_windlass"));
    command.env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default()).env("WINDLASS_HOME", home);
    command.args(arguments).stdout(Stdio::piped()).stderr(Stdio::piped());
    command.stdin(if stdin.is_some() { Stdio::piped() } else { Stdio::null() });
    let mut child = command.spawn().unwrap();
    if let (Some(mut pipe), Some(text)) = (child.stdin.take(), stdin) {
        pipe.write_all(text.as_bytes()).unwrap();
    }
    child.wait_with_output().unwrap()
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
