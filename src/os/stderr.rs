//! What is said on stderr. Nobody may listen there: the reader of a pipe is gone, a terminal was closed, the disk of a log
//! is full. That is no reason for a process to end, as the macros of the standard library would have it.
//!
//! Whatever is said can have texts of others in it, so nothing in it steers a terminal or begins a second line.

use crate::model::printable::printable;
use std::io::{self, Write};

/// Says a line, in one write; where that can't be done it is lost.
pub fn say(line: impl AsRef<str>) {
    say_under("", line);
}

/// The same behind a label of our own, which may be coloured.
pub fn say_under(label: &str, line: impl AsRef<str>) {
    // An empty line before it is ours.
    let line = line.as_ref();
    let text = line.trim_start_matches('\n');
    let line = format!("{}{label}{}\n", &line[..line.len() - text.len()], printable(text));
    let _ = io::stderr().write_all(line.as_bytes());
}

/// Says something without an end of line, as before an answer is typed.
pub fn ask(question: &str) {
    let _ = io::stderr().write_all(printable(question).as_bytes());
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
