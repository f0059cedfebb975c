//! What is said on stderr. Nobody may listen there: the reader of a pipe is gone, a terminal was closed, the disk of a log
//! is full. That is no reason for a process to end, as the macros of the standard library would have it.
//!
//! Whatever is said can have texts of others in it, so nothing in it steers a terminal or begins a second line.
//!
//! On a terminal some lines may stay below all others and change in place, such as bars. They are taken away before anything
//! else is written and drawn again behind it, so that neither overwrites the other.

use super::unpoisoned::Unpoisoned;
use crate::model::printable::printable;
use std::{
    io::{self, Write},
    sync::Mutex,
};

/// The lines that stay below, as they were drawn last.
static BELOW: Mutex<Vec<String>> = Mutex::new(Vec::new());

/// Says a line, in one write; where that can't be done it is lost.
pub fn say(line: impl AsRef<str>) {
    say_under("", line);
}

/// The same behind a label of our own, which may be coloured.
pub fn say_under(label: &str, line: impl AsRef<str>) {
    // An empty line before it is ours.
    let line = line.as_ref();
    let text = line.trim_start_matches('\n');
    above(format!("{}{label}{}\n", &line[..line.len() - text.len()], printable(text)).as_bytes());
}

/// Says something without an end of line, as before an answer is typed.
pub fn ask(question: &str) {
    let _ = io::stderr().write_all(printable(question).as_bytes());
}

/// Draws these lines in the place of those that were drawn before. For a terminal, on which none of them is too wide.
pub fn draw(lines: Vec<String>) {
    let mut below = BELOW.lock().unpoisoned();
    let text = format!("{}{}", without(&below), drawn(&lines));
    *below = lines;
    let _ = io::stderr().write_all(text.as_bytes());
}

/// Leaves the lines standing as they are: from now on they are text like any other.
pub fn leave() {
    BELOW.lock().unpoisoned().clear();
}

fn above(text: &[u8]) {
    let below = BELOW.lock().unpoisoned();
    let whole = match below.is_empty() {
        true => text.to_vec(),
        false => [without(&below).as_bytes(), text, drawn(&below).as_bytes()].concat(),
    };
    let _ = io::stderr().write_all(&whole);
}

/// Goes up over the lines and clears all from there, with what the terminal itself has written below, such as `^C`.
fn without(lines: &[String]) -> String {
    match lines.len() {
        0 => String::new(),
        count => format!("\r\x1b[{count}A\x1b[J"),
    }
}

fn drawn(lines: &[String]) -> String {
    lines.iter().map(|it| format!("{}\n", printable(it))).collect()
}

/// Stderr in whole lines: what can't be written is lost, and counts as written.
#[derive(Debug)]
pub struct Forgiving;

impl Write for Forgiving {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        above(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
