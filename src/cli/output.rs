//! What a command prints: data to stdout, messages to stderr; for people, or as `--json` for programs.

use super::{failure::Result, paint::Paint, suggestion, table::Table};
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

/// The width in columns if the terminal does not report one.
const USUAL_WIDTH: usize = 100;
const USUAL_HEIGHT: usize = 24;

/// How to print. Decided once, from the flags, the environment and the kind of stdout.
#[derive(Debug, Clone, Copy)]
pub struct Output {
    pub json: bool,
    pub quiet: bool,
    pub verbose: bool,
    /// Print absolute times in UTC.
    pub utc: bool,
    /// Whether stdout is coloured.
    pub color: bool,
    /// Whether stderr is coloured and has moving progress bars.
    pub lively: bool,
    /// The width of a line in columns. None for a pipe, where nothing is cut.
    pub width: Option<usize>,
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

    /// Prints one line of data. Control characters in foreign text are shown, not sent to the terminal.
    pub fn line(&self, text: impl AsRef<str>) -> Result<()> {
        // A leading empty line is our own.
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

    /// Prints one line of our own advice. Suggested commands in it can be typed as they are.
    pub fn advice(&self, text: impl AsRef<str>) -> Result<()> {
        self.line(suggestion::sentence(text.as_ref()))
    }

    /// Prints data unchanged, without adding a newline.
    pub fn bytes(&self, bytes: &[u8]) -> Result<()> {
        let mut out = io::stdout().lock();
        out.write_all(bytes)?;
        out.flush()?;
        Ok(())
    }

    /// Prints one JSON document: on several lines for a person, on one line for a program.
    pub fn document(&self, value: &impl Serialize) -> Result<()> {
        let text = match self.width {
            Some(_) => serde_json::to_string_pretty(value),
            None => serde_json::to_string(value),
        };
        self.written(&printable_json(&text.map_err(io::Error::other)?))
    }

    /// Prints one JSON document on one line: an event of a stream.
    pub fn event(&self, value: &impl Serialize) -> Result<()> {
        self.written(&printable_json(&serde_json::to_string(value).map_err(io::Error::other)?))?;
        Ok(io::stdout().lock().flush()?)
    }

    /// Prints one line of data and flushes it.
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

    /// Prints a message for people on stderr. `--quiet` and `--json` suppress it.
    pub fn note(&self, text: impl AsRef<str>) {
        if !self.quiet && !self.json {
            stderr::say(suggestion::sentence(text.as_ref()));
        }
    }

    /// Prints a message on stderr that `--quiet` does not suppress.
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

/// Replaces `ESC [` in our own texts until they are written. It is random in each process, so that foreign text can't
/// contain it.
fn mark() -> &'static str {
    static MARK: OnceLock<String> = OnceLock::new();
    MARK.get_or_init(|| format!("\u{1}{:016x}\u{2}", RandomState::new().hash_one(std::process::id())))
}

/// Whether a person sits at stdin and can answer a question.
pub fn can_ask() -> bool {
    io::stdin().is_terminal() && io::stderr().is_terminal()
}

/// Asks a yes-or-no question on stderr. Anything but yes means no.
pub fn ask(question: &str) -> bool {
    stderr::ask(&format!("{question} [y/N] "));
    let mut answer = String::new();
    io::stdin().read_line(&mut answer).is_ok() && matches!(answer.trim(), "y" | "Y" | "yes")
}

fn is_set(name: &str) -> bool {
    std::env::var_os(name).is_some_and(|it| !it.is_empty() && it != "false" && it != "0")
}

fn terminal_width() -> usize {
    let reported = termios::tcgetwinsize(io::stdout()).ok().map(|it| usize::from(it.ws_col)).filter(|it| *it > 0);
    reported.or_else(columns_variable).unwrap_or(USUAL_WIDTH).max(20)
}

/// The current rows and columns of the terminal at stderr.
pub fn stderr_size() -> (usize, usize) {
    let reported = termios::tcgetwinsize(io::stderr()).ok().filter(|it| it.ws_col > 0);
    let rows = reported.map_or(USUAL_HEIGHT, |it| usize::from(it.ws_row).max(3));
    let columns = reported.map(|it| usize::from(it.ws_col)).or_else(columns_variable);
    (rows, columns.unwrap_or(USUAL_WIDTH))
}

fn columns_variable() -> Option<usize> {
    std::env::var("COLUMNS").ok().and_then(|it| it.parse().ok())
}
