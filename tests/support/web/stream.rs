//! A client of `/api/v1/events`.

use super::{PATIENCE, Web};
use serde_json::Value;
use std::{
    io::{self, BufRead, BufReader, Read, Write},
    net::TcpStream,
};

/// A stream of events.
pub struct Stream(BufReader<Chunks>);

/// A chunked body. A chunk may end in the middle of a line.
struct Chunks {
    socket: BufReader<TcpStream>,
    /// The number of bytes left in the current chunk.
    left: usize,
}

impl Read for Chunks {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.left == 0 {
            let mut line = String::new();
            if self.socket.read_line(&mut line)? == 0 {
                return Ok(0);
            }
            if let Ok(size) = usize::from_str_radix(line.trim_end(), 16) {
                if size == 0 {
                    return Ok(0);
                }
                self.left = size;
            }
        }
        let most = buffer.len().min(self.left);
        let count = self.socket.read(&mut buffer[..most])?;
        self.left -= count;
        Ok(count)
    }
}

#[derive(Debug, PartialEq)]
pub struct Message {
    pub id: Option<String>,
    pub event: Option<String>,
    pub data: Value,
}

impl Stream {
    pub fn open(web: &Web, query: &str, last: Option<&str>) -> Stream {
        Stream::over(TcpStream::connect(web.address).unwrap(), web, query, last)
    }

    /// A client with a tiny receive buffer, which blocks the server unless the stream is read.
    pub fn narrow(web: &Web, query: &str) -> Stream {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let socket = tokio::net::TcpSocket::new_v4().unwrap();
        socket.set_recv_buffer_size(4_096).unwrap();
        let socket = runtime.block_on(socket.connect(web.address)).unwrap().into_std().unwrap();
        socket.set_nonblocking(false).unwrap();
        Stream::over(socket, web, query, None)
    }

    fn over(mut socket: TcpStream, web: &Web, query: &str, last: Option<&str>) -> Stream {
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        let last = last.map(|it| format!("Last-Event-ID: {it}\r\n")).unwrap_or_default();
        let (host, bearer) = (web.address, web.bearer());
        let head =
            format!("GET /api/v1/events{query} HTTP/1.1\r\nHost: {host}\r\nAuthorization: {bearer}\r\n{last}\r\n");
        socket.write_all(head.as_bytes()).unwrap();
        let mut socket = BufReader::new(socket);
        let mut line = || {
            let mut line = String::new();
            socket.read_line(&mut line).unwrap();
            line.trim_end().to_string()
        };
        assert!(line().starts_with("HTTP/1.1 200"));
        while !line().is_empty() {}
        Stream(BufReader::new(Chunks { socket, left: 0 }))
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        assert!(self.0.read_line(&mut line).unwrap() > 0, "the stream ended");
        line.trim_end().to_string()
    }

    /// The next message; skips comments.
    pub fn next(&mut self) -> Message {
        let (mut id, mut event) = (None, None);
        loop {
            let line = self.line();
            if let Some(found) = line.strip_prefix("id: ") {
                id = Some(found.to_string());
            } else if let Some(found) = line.strip_prefix("event: ") {
                event = Some(found.to_string());
            } else if let Some(found) = line.strip_prefix("data: ") {
                return Message { id, event, data: serde_json::from_str(found).unwrap() };
            }
        }
    }

    /// Reads up to an event of this kind. Returns the cursors and kinds of all events on the way.
    pub fn to(&mut self, kind: &str) -> Vec<(String, String)> {
        let mut seen = Vec::new();
        loop {
            let message = self.next();
            if message.event.is_some() {
                continue;
            }
            let found = message.data["kind"].as_str().unwrap().to_string();
            seen.push((message.id.unwrap(), found.clone()));
            if found == kind {
                return seen;
            }
        }
    }
}
