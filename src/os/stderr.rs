//! Messages on stderr. Writing can fail: the reader of a pipe is gone, a terminal was closed, the disk of a log is
//! full. Such a failure must not end the process, as it would with the macros of the standard library.
//!
//! A message can contain text from other programs, so everything is escaped: it can't control the terminal or start a
//! second line.
//!
//! On a terminal, some lines (such as progress bars) may stay at the bottom and change in place. They are erased before
//! other output is written and redrawn after it, so that neither overwrites the other.

use super::unpoisoned::Unpoisoned;
use crate::model::printable::printable;
use std::{
    io::{self, Write},
    sync::Mutex,
};

/// The bottom lines, as last drawn.
static BELOW: Mutex<Vec<String>> = Mutex::new(Vec::new());

/// Prints a line in one write. If the write fails, the line is lost.
pub fn say(line: impl AsRef<str>) {
    say_under("", line);
}

/// Prints a line after a label of our own, which may be coloured.
pub fn say_under(label: &str, line: impl AsRef<str>) {
    // A leading line break is ours, so it is kept.
    let line = line.as_ref();
    let text = line.trim_start_matches('\n');
    above(format!("{}{label}{}\n", &line[..line.len() - text.len()], printable(text)).as_bytes());
}

/// Prints a prompt without a line end.
pub fn ask(question: &str) {
    let _ = io::stderr().write_all(printable(question).as_bytes());
}

/// Draws these lines in place of those drawn before. Requires a terminal and lines no wider than it.
pub fn draw(lines: Vec<String>) {
    let mut below = BELOW.lock().unpoisoned();
    let text = format!("{}{}", without(&below), drawn(&lines));
    *below = lines;
    let _ = io::stderr().write_all(text.as_bytes());
}

/// Leaves the lines as they are: from now on they are ordinary text.
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

/// Moves up over the lines and clears the screen from there on, including anything that the terminal itself wrote, such
/// as `^C`.
fn without(lines: &[String]) -> String {
    match lines.len() {
        0 => String::new(),
        count => format!("\r\x1b[{count}A\x1b[J"),
    }
}

fn drawn(lines: &[String]) -> String {
    lines.iter().map(|it| format!("{}\n", printable(it))).collect()
}

/// A writer to stderr that works in whole lines. If a write fails, the text is lost but counts as written.
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
