//! A client that sends what aiohttp 3 sends for `FormData`, byte for byte, on its own socket.

use crate::web::{Answer, PATIENCE, Web};
use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpStream},
};

/// One field of a form.
#[derive(Debug, Clone)]
pub struct Field {
    name: String,
    value: Vec<u8>,
    /// The file name and the media type of a file.
    file: Option<(String, String)>,
}

pub fn text(name: &str, value: &str) -> Field {
    Field { name: name.to_string(), value: value.as_bytes().to_vec(), file: None }
}

impl Field {
    pub fn file(name: &str, file_name: &str, media_type: &str, value: &[u8]) -> Field {
        let file = Some((file_name.to_string(), media_type.to_string()));
        Field { name: name.to_string(), value: value.to_vec(), file }
    }
}

pub struct Client {
    address: SocketAddr,
    token: Option<String>,
}

const BOUNDARY: &str = "4151e52742d94541b6079f8e3dac2074";

impl Client {
    /// With the token, as an API key.
    pub fn of(web: &Web) -> Client {
        Client { address: web.address, token: Some(web.token.clone()) }
    }

    pub fn without_token(web: &Web) -> Client {
        Client { address: web.address, token: None }
    }

    #[track_caller]
    pub fn get(&self, path: &str) -> Answer {
        self.send("GET", path, None)
    }

    /// `FormData` with `default_to_multipart`, or with a file among its fields.
    #[track_caller]
    pub fn multipart(&self, method: &str, path: &str, fields: &[Field]) -> Answer {
        let kind = format!("multipart/form-data; boundary={BOUNDARY}");
        self.send(method, path, Some((&kind, &multipart_body(fields))))
    }

    /// `FormData` with texts only.
    #[track_caller]
    pub fn urlencoded(&self, method: &str, path: &str, fields: &[Field]) -> Answer {
        self.send(method, path, Some(("application/x-www-form-urlencoded", &urlencoded_body(fields))))
    }

    #[track_caller]
    pub fn send(&self, method: &str, path: &str, body: Option<(&str, &[u8])>) -> Answer {
        let mut head = format!("{method} {path} HTTP/1.1\r\nHost: {}\r\nUser-Agent: soliplex-agent\r\n", self.address);
        if let Some(token) = &self.token {
            head.push_str(&format!("Authorization: Bearer {token}\r\n"));
        }
        head.push_str("Accept: */*\r\nAccept-Encoding: gzip, deflate\r\n");
        if let Some((kind, body)) = body {
            head.push_str(&format!("Content-Length: {}\r\nContent-Type: {kind}\r\n", body.len()));
        }
        head.push_str("\r\n");
        let mut stream = TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.write_all(head.as_bytes()).unwrap();
        // A server that refuses early may close before it has read everything.
        let _ = stream.write_all(body.map_or(&[][..], |it| it.1));
        read(BufReader::new(stream)).unwrap_or_else(|error| panic!("{method} {path}: {error}"))
    }
}

fn multipart_body(fields: &[Field]) -> Vec<u8> {
    let mut body = Vec::new();
    for Field { name, value, file } in fields {
        body.extend(format!("--{BOUNDARY}\r\n").bytes());
        let (kind, more) = match file {
            Some((file, kind)) => (kind.as_str(), format!("; filename=\"{}\"", quoted(file, false))),
            None => ("text/plain; charset=utf-8", String::new()),
        };
        body.extend(format!("Content-Type: {kind}\r\n").bytes());
        body.extend(format!("Content-Disposition: form-data; name=\"{name}\"{more}\r\n\r\n").bytes());
        body.extend_from_slice(value);
        body.extend_from_slice(b"\r\n");
    }
    body.extend(format!("--{BOUNDARY}--\r\n").bytes());
    body
}

fn urlencoded_body(fields: &[Field]) -> Vec<u8> {
    let pair = |it: &Field| format!("{}={}", it.name, quoted(&String::from_utf8_lossy(&it.value), true));
    fields.iter().map(pair).collect::<Vec<_>>().join("&").into_bytes()
}

/// `urllib.parse.quote`, or `quote_plus`.
pub fn quoted(text: &str, plus: bool) -> String {
    let mut quoted = String::new();
    for byte in text.bytes() {
        match byte {
            b'_' | b'.' | b'-' | b'~' => quoted.push(char::from(byte)),
            _ if byte.is_ascii_alphanumeric() => quoted.push(char::from(byte)),
            b' ' if plus => quoted.push('+'),
            _ => quoted.push_str(&format!("%{byte:02X}")),
        }
    }
    quoted
}

fn read(mut stream: BufReader<TcpStream>) -> std::io::Result<Answer> {
    let mut line = String::new();
    stream.read_line(&mut line)?;
    let status = line.split(' ').nth(1).and_then(|it| it.parse().ok());
    let status = status.ok_or_else(|| std::io::Error::other(format!("no answer but `{line}`")))?;
    let mut headers = ureq::http::HeaderMap::new();
    loop {
        let mut line = String::new();
        stream.read_line(&mut line)?;
        let Some((name, value)) = line.trim_end().split_once(':') else { break };
        let name = ureq::http::HeaderName::from_bytes(name.as_bytes()).map_err(std::io::Error::other)?;
        headers.append(name, value.trim().parse().map_err(std::io::Error::other)?);
    }
    let length = headers.get("content-length").and_then(|it| it.to_str().ok()?.parse::<u64>().ok());
    let mut body = Vec::new();
    match length {
        Some(length) => drop(stream.take(length).read_to_end(&mut body)?),
        None => read_chunks(&mut stream, &mut body)?,
    }
    Ok(Answer { status, headers, body })
}

fn read_chunks(stream: &mut BufReader<TcpStream>, body: &mut Vec<u8>) -> std::io::Result<()> {
    loop {
        let mut line = String::new();
        stream.read_line(&mut line)?;
        let size = u64::from_str_radix(line.trim(), 16).map_err(std::io::Error::other)?;
        stream.take(size).read_to_end(body)?;
        let mut end = [0; 2];
        stream.read_exact(&mut end)?;
        if size == 0 {
            return Ok(());
        }
    }
}

/// Captured from aiohttp 3.14: a file, and three texts.
const CAPTURED: &str = "--4151e52742d94541b6079f8e3dac2074\r\nContent-Type: text/markdown\r\n\
    Content-Disposition: form-data; name=\"file\"; filename=\"a%20b.md\"\r\n\r\nhello bytes\r\n\
    --4151e52742d94541b6079f8e3dac2074\r\nContent-Type: text/plain; charset=utf-8\r\n\
    Content-Disposition: form-data; name=\"source\"\r\n\r\ns/1\r\n\
    --4151e52742d94541b6079f8e3dac2074\r\nContent-Type: text/plain; charset=utf-8\r\n\
    Content-Disposition: form-data; name=\"batch_id\"\r\n\r\n3\r\n\
    --4151e52742d94541b6079f8e3dac2074\r\nContent-Type: text/plain; charset=utf-8\r\n\
    Content-Disposition: form-data; name=\"doc_meta\"\r\n\r\n{}\r\n\
    --4151e52742d94541b6079f8e3dac2074--\r\n";

#[test]
fn this_client_sends_what_aiohttp_sends() {
    let fields = [
        Field::file("file", "a b.md", "text/markdown", b"hello bytes"),
        text("source", "s/1"),
        text("batch_id", "3"),
        text("doc_meta", "{}"),
    ];
    assert_eq!(String::from_utf8(multipart_body(&fields)).unwrap(), CAPTURED);
    let fields = [text("uri", "a&b"), text("source", "x y")];
    assert_eq!(urlencoded_body(&fields), b"uri=a%26b&source=x+y");
}
