//! Requests that are answered before they are completely sent: what the client reads, and whether its connection can be
//! used again.

mod support {
    pub mod binary;
    pub mod web;
}

use support::web;

use serde_json::Value;
use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{Shutdown, TcpStream},
};
use web::{PATIENCE, Web};

struct Connection(BufReader<TcpStream>);

struct Received {
    status: u16,
    closes: bool,
    body: Vec<u8>,
}

impl Received {
    #[track_caller]
    fn is_an_error(&self, status: u16) {
        let body: Value = serde_json::from_slice(&self.body).unwrap_or_default();
        assert_eq!((self.status, &body["status_code"]), (status, &status.into()), "{body}");
        assert!(body["error"].as_str().is_some_and(|it| !it.is_empty()), "{body}");
    }
}

impl Connection {
    fn to(web: &Web) -> Connection {
        let stream = TcpStream::connect(web.address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        stream.set_nodelay(true).unwrap();
        Connection(BufReader::new(stream))
    }

    fn send(&mut self, bytes: &[u8]) -> bool {
        self.0.get_mut().write_all(bytes).is_ok()
    }

    /// The next answer. None: the connection has ended.
    fn read(&mut self) -> Option<Received> {
        let mut line = String::new();
        self.0.read_line(&mut line).ok().filter(|it| *it > 0)?;
        let status = line.split(' ').nth(1)?.parse().ok()?;
        let (mut length, mut closes) = (0, false);
        loop {
            let mut line = String::new();
            self.0.read_line(&mut line).ok()?;
            let line = line.trim_end().to_ascii_lowercase();
            let Some((name, value)) = line.split_once(": ") else { break };
            match name {
                "content-length" => length = value.parse().ok()?,
                "connection" => closes = value == "close",
                _ => {}
            }
        }
        let mut body = vec![0; length];
        self.0.read_exact(&mut body).ok()?;
        Some(Received { status, closes, body })
    }
}

/// A head without its end, so that fields can be added.
fn head(web: &Web, method: &str, path: &str, token: &str, kind: &str) -> String {
    let host = web.address;
    format!("{method} {path} HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {token}\r\nContent-Type: {kind}\r\n")
}

const FORM: &str = "application/x-www-form-urlencoded";
const BATCH: &str = "/api/v1/batch/";

/// Method, path, whether the token is right, media type, body, status.
const REFUSED: [(&str, &str, bool, &str, &str, u16); 5] = [
    ("POST", BATCH, false, FORM, "source=s&name=n", 401),
    ("POST", "/api/v1/nothing", true, FORM, "source=s&name=n", 404),
    ("PATCH", BATCH, true, FORM, "source=s&name=n", 405),
    ("POST", "/api/v1/batch/?source=%00", true, FORM, "source=s&name=n", 400),
    ("POST", BATCH, true, "text/plain", "source=s&name=n", 415),
];

#[test]
fn after_an_early_answer_to_a_small_form_the_connection_goes_on() {
    let web = Web::start();
    for (method, path, known, kind, body, status) in REFUSED {
        let token = if known { web.token.as_str() } else { "wrong" };
        // Head and body are written separately, as clients do. Which one the server sees first is random.
        for round in 0..40 {
            let mut connection = Connection::to(&web);
            let head = head(&web, method, path, token, kind);
            connection.send(format!("{head}Content-Length: {}\r\n\r\n", body.len()).as_bytes());
            connection.send(body.as_bytes());
            let response = connection.read().unwrap();
            response.is_an_error(status);
            assert!(!response.closes, "{method} {path}, round {round}");
            let next = "source=s&name=next";
            let head = self::head(&web, "POST", BATCH, &web.token, FORM);
            connection.send(format!("{head}Content-Length: {}\r\n\r\n{next}", next.len()).as_bytes());
            assert_eq!(connection.read().map(|it| it.status), Some(201), "{method} {path}, round {round}");
        }
    }
}

#[test]
fn an_early_answer_to_much_says_that_the_connection_ends() {
    let web = Web::start();
    let much = vec![b'x'; 1 << 20];
    for (method, path, known, kind, _, status) in REFUSED {
        let token = if known { web.token.as_str() } else { "wrong" };
        let mut connection = Connection::to(&web);
        let head = head(&web, method, path, token, kind);
        connection.send(format!("{head}Content-Length: {}\r\n\r\n", much.len()).as_bytes());
        assert!(connection.send(&much), "{method} {path}: the rest is taken, so that the answer is read");
        let response = connection.read().unwrap();
        response.is_an_error(status);
        assert!(response.closes && connection.read().is_none(), "{method} {path}");
    }
}

#[test]
fn nobody_waits_for_a_body_that_does_not_come() {
    let web = Web::start();
    for more in ["", "Expect: 100-continue\r\n"] {
        let mut connection = Connection::to(&web);
        let head = head(&web, "POST", BATCH, "wrong", FORM);
        connection.send(format!("{head}{more}Content-Length: 20\r\n\r\n").as_bytes());
        let response = connection.read().unwrap();
        response.is_an_error(401);
        assert!(response.closes && connection.read().is_none(), "{more}");
    }
}

#[test]
fn a_body_that_breaks_off_is_a_bad_request_whatever_its_kind() {
    let web = Web::start();
    let form = "multipart/form-data; boundary=XX";
    let part =
        "--XX\r\nContent-Disposition: form-data; name=\"source\"\r\n\r\nM\r\n--XX\r\nContent-Disposition: form-data";
    let file = "--XX\r\nContent-Disposition: form-data; name=\"file\"; filename=\"f\"\r\n\r\nhalf of it";
    let chunk = |text: &str| format!("{:x}\r\n{text}\r\n", text.len());
    for (method, path, kind, body) in [
        ("POST", BATCH, form, part.to_string()),
        ("PUT", "/api/v1/sync-state/x", form, part.to_string()),
        ("DELETE", "/api/v1/document/by-uri", form, part.to_string()),
        ("POST", "/api/v1/document/ingest-document", form, file.to_string()),
        ("POST", BATCH, FORM, "source=s&na".to_string()),
        ("POST", "/api/v1/groups", "application/json", "{\"definition\":".to_string()),
    ] {
        for (length, body) in [
            (format!("Content-Length: {}", body.len() + 50), body.clone()),
            ("Transfer-Encoding: chunked".to_string(), chunk(&body)),
            ("Transfer-Encoding: chunked".to_string(), format!("ZZ\r\n{body}")),
        ] {
            let mut connection = Connection::to(&web);
            let head = head(&web, method, path, &web.token, kind);
            connection.send(format!("{head}{length}\r\n\r\n{body}").as_bytes());
            connection.0.get_ref().shutdown(Shutdown::Write).unwrap();
            let response = connection.read().unwrap_or_else(|| panic!("{method} {path} {length}: no answer"));
            response.is_an_error(400);
        }
    }
}

#[test]
fn a_head_that_is_too_large_is_told_so() {
    let web = Web::start();
    let long = "x".repeat(50 << 10);
    for (path, more, status) in [
        (format!("/api/v1/search?q={long}"), String::new(), 414),
        ("/health".to_string(), format!("X-Note: {long}\r\n"), 431),
        (format!("/api/v1/search?q={}", "%78".repeat(10_000)), String::new(), 404),
    ] {
        let mut connection = Connection::to(&web);
        connection.send(format!("{}{more}\r\n", head(&web, "GET", &path, &web.token, FORM)).as_bytes());
        connection.read().unwrap().is_an_error(status);
    }
}
