//! What a command prints: data to stdout, messages to stderr; for people, or `--json` for programs.

use super::{failure::Result, suggestion, table::Table};
use crate::{
    model::printable::{printable, printable_json},
    os::stderr,
};
use rustix::termios;
use serde::Serialize;
use std::{
    hash::{BuildHasher, RandomState},
    io::{self, IsTerminal, Write},
    sync::OnceLock,
};

/// The width if the terminal does not report one, in columns.
const USUAL_WIDTH: usize = 100;
const USUAL_HEIGHT: usize = 24;

/// How to print, decided once from the flags, the environment and what stdout is.
#[derive(Debug, Clone, Copy)]
pub struct Output {
    pub json: bool,
    pub quiet: bool,
    pub verbose: bool,
    /// Times by the calendar, in UTC.
    pub utc: bool,
    /// Whether stdout gets colour.
    pub color: bool,
    /// Whether stderr gets colour, and moving progress bars.
    pub lively: bool,
    /// Columns that a line may take; None for a pipe, where nothing is cut.
    pub width: Option<usize>,
}

/// What a piece of text is, to be coloured on a terminal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Paint {
    Bold,
    Dim,
    Good,
    Bad,
    Busy,
    Warn,
}

impl Output {
    pub fn new(json: bool, quiet: bool, verbose: bool, utc: bool) -> Output {
        let plain = is_set("NO_COLOR") || is_set("CI") || std::env::var("TERM").is_ok_and(|it| it == "dumb");
        let stdout = io::stdout().is_terminal();
        Output {
            json,
            quiet,
            verbose,
            utc,
            color: stdout && !plain && !json,
            lively: io::stderr().is_terminal() && !plain && !json,
            width: stdout.then(terminal_width),
        }
    }

    /// One line of data. What texts of others have in them that would steer a terminal is shown instead.
    pub fn line(&self, text: impl AsRef<str>) -> Result<()> {
        // An empty line before it is ours.
        let text = text.as_ref();
        let rest = text.trim_start_matches('\n');
        let pieces = rest.split(mark()).map(printable).collect::<Vec<_>>();
        self.written(&format!("{}{}", &text[..text.len() - rest.len()], pieces.join("\x1b[")))
    }

    fn written(&self, line: &str) -> Result<()> {
        let mut out = io::stdout().lock();
        out.write_all(line.as_bytes())?;
        out.write_all(b"\n")?;
        Ok(())
    }

    /// One line of our own words for people, whose suggested commands can be typed as they stand.
    pub fn advice(&self, text: impl AsRef<str>) -> Result<()> {
        self.line(suggestion::sentence(text.as_ref()))
    }

    /// Data as it is, without an added line end.
    pub fn bytes(&self, bytes: &[u8]) -> Result<()> {
        let mut out = io::stdout().lock();
        out.write_all(bytes)?;
        out.flush()?;
        Ok(())
    }

    /// One JSON document: over several lines for a person who looks at it, on one line for a program.
    pub fn document(&self, value: &impl Serialize) -> Result<()> {
        let text = match self.width {
            Some(_) => serde_json::to_string_pretty(value),
            None => serde_json::to_string(value),
        };
        self.written(&printable_json(&text.map_err(io::Error::other)?))
    }

    /// One JSON document on a line of its own: an event in a stream.
    pub fn event(&self, value: &impl Serialize) -> Result<()> {
        self.written(&printable_json(&serde_json::to_string(value).map_err(io::Error::other)?))?;
        Ok(io::stdout().lock().flush()?)
    }

    /// One line of data that must be seen at once.
    pub fn flushed(&self, text: impl AsRef<str>) -> Result<()> {
        self.line(text)?;
        io::stdout().lock().flush()?;
        Ok(())
    }

    pub fn table(&self, table: &Table) -> Result<()> {
        for line in table.lines(self.width, |paint, text| self.paint(paint, text)) {
            self.line(line)?;
        }
        Ok(())
    }

    /// A message for people, on stderr; `--quiet` drops it, `--json` too.
    pub fn note(&self, text: impl AsRef<str>) {
        if !self.quiet && !self.json {
            stderr::say(suggestion::sentence(text.as_ref()));
        }
    }

    /// A message that even `--quiet` lets through.
    pub fn warn(&self, text: impl AsRef<str>) {
        let (yellow, plain) = if self.lively { ("\x1b[33m", "\x1b[0m") } else { ("", "") };
        stderr::say_under(&format!("{yellow}warning:{plain} "), suggestion::sentence(text.as_ref()));
    }

    pub fn paint(&self, paint: Paint, text: &str) -> String {
        let code = match paint {
            _ if !self.color => return text.to_string(),
            Paint::Bold => "1",
            Paint::Dim => "2",
            Paint::Good => "32",
            Paint::Bad => "31",
            Paint::Busy => "36",
            Paint::Warn => "33",
        };
        let mark = mark();
        format!("{mark}{code}m{text}{mark}0m")
    }
}

/// What stands for `ESC [` in our own texts until they are written. It is new in every process, so that no text of others
/// can have it.
fn mark() -> &'static str {
    static MARK: OnceLock<String> = OnceLock::new();
    MARK.get_or_init(|| format!("\u{1}{:016x}\u{2}", RandomState::new().hash_one(std::process::id())))
}

/// Whether a person sits at stdin, so that a question could be answered.
pub fn can_ask() -> bool {
    io::stdin().is_terminal() && io::stderr().is_terminal()
}

/// Asks a yes-or-no question on stderr; anything but yes is no.
pub fn ask(question: &str) -> bool {
    stderr::ask(&format!("{question} [y/N] "));
    let mut answer = String::new();
    io::stdin().read_line(&mut answer).is_ok() && matches!(answer.trim(), "y" | "Y" | "yes")
}

fn is_set(name: &str) -> bool {
    std::env::var_os(name).is_some_and(|it| !it.is_empty() && it != "false" && it != "0")
}

fn terminal_width() -> usize {
    let told = termios::tcgetwinsize(io::stdout()).ok().map(|it| usize::from(it.ws_col)).filter(|it| *it > 0);
    told.or_else(columns_variable).unwrap_or(USUAL_WIDTH).max(20)
}

/// Rows and columns of the terminal at stderr, as they are now.
pub fn stderr_size() -> (usize, usize) {
    let told = termios::tcgetwinsize(io::stderr()).ok().filter(|it| it.ws_col > 0);
    let rows = told.map_or(USUAL_HEIGHT, |it| usize::from(it.ws_row).max(3));
    let columns = told.map(|it| usize::from(it.ws_col)).or_else(columns_variable);
    (rows, columns.unwrap_or(USUAL_WIDTH))
}

fn columns_variable() -> Option<usize> {
    std::env::var("COLUMNS").ok().and_then(|it| it.parse().ok())
}
