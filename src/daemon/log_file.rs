//! `serve.log`: the messages of a daemon in the background. It is kept short, with one older file.

use super::files::LOG;
use crate::os::ownership;
use rustix::stdio;
use std::{
    fs::{self, File, OpenOptions},
    io,
    os::unix::fs::{MetadataExt, OpenOptionsExt},
    path::Path,
};

/// From this size on the file becomes the predecessor.
const LONG: u64 = 8 << 20;

pub fn open(home: &Path) -> io::Result<File> {
    ownership::open_to_write(&home.join(LOG), OpenOptions::new().append(true).create(true).mode(0o600))
}

/// Begins a new file when this one is long, or was taken away: a file without a name would grow unseen. From then on this
/// process's messages go there.
pub fn keep_short(home: &Path) {
    let path = home.join(LOG);
    // Where the messages go is what counts, whatever is at the path by now.
    let Ok(ours) = stdio::stderr().try_clone_to_owned().and_then(|it| File::from(it).metadata()) else { return };
    if !ours.is_file() {
        return;
    }
    let has_name = fs::metadata(&path).is_ok_and(|it| (it.dev(), it.ino()) == (ours.dev(), ours.ino()));
    let begun = match has_name {
        true if ours.len() < LONG => return,
        true => fs::rename(&path, home.join(format!("{LOG}.1"))).and_then(|()| open(home)),
        false => open(home),
    };
    if let Ok(file) = begun {
        // If that fails, messages continue in the old file.
        let _ = stdio::dup2_stderr(&file);
        let _ = stdio::dup2_stdout(&file);
    }
}

/// The end of the log, for a start that failed without a message.
pub fn tail(home: &Path) -> String {
    let text = ownership::read(&home.join(LOG)).unwrap_or_default();
    let text = String::from_utf8_lossy(&text[text.len().saturating_sub(2_000)..]).into_owned();
    let lines: Vec<&str> = text.lines().rev().take(5).collect();
    lines.into_iter().rev().collect::<Vec<_>>().join("\n")
}
