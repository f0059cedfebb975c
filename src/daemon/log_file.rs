//! `serve.log`: what a daemon in the background says. It is kept short, with one predecessor.

use super::files::LOG;
use rustix::stdio;
use std::{
    fs::{self, File, OpenOptions},
    io,
    os::unix::fs::OpenOptionsExt,
    path::Path,
};

/// From this size on the file becomes the predecessor.
const LONG: u64 = 8 << 20;

pub fn open(home: &Path) -> io::Result<File> {
    OpenOptions::new().append(true).create(true).mode(0o600).open(home.join(LOG))
}

/// Begins a new file when this one is long; from then on this process's messages go there.
pub fn keep_short(home: &Path) {
    let path = home.join(LOG);
    if fs::metadata(&path).map_or(0, |it| it.len()) < LONG {
        return;
    }
    let begun = fs::rename(&path, home.join(format!("{LOG}.1"))).and_then(|()| open(home));
    if let Ok(file) = begun {
        // Where that fails the messages go on into the old file.
        let _ = stdio::dup2_stderr(&file);
        let _ = stdio::dup2_stdout(&file);
    }
}

/// The end of the log, for a start that failed without a word.
pub fn tail(home: &Path) -> String {
    let text = fs::read(home.join(LOG)).unwrap_or_default();
    let text = String::from_utf8_lossy(&text[text.len().saturating_sub(2_000)..]).into_owned();
    let lines: Vec<&str> = text.lines().rev().take(5).collect();
    lines.into_iter().rev().collect::<Vec<_>>().join("\n")
}
