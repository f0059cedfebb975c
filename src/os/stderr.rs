//! What is said on stderr. Nobody may listen there: the reader of a pipe is gone, a terminal was closed, the disk of a log
//! is full. That is no reason for a process to end, as the macros of the standard library would have it.

use std::io::{self, Write};

/// Says a line, in one write; where that can't be done it is lost.
pub fn say(line: impl AsRef<str>) {
    let line = format!("{}\n", line.as_ref());
    let _ = io::stderr().write_all(line.as_bytes());
}

/// Stderr for whoever must write: what can't be written is lost, and counts as written.
#[derive(Debug)]
pub struct Forgiving;

impl Write for Forgiving {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let _ = io::stderr().write_all(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
