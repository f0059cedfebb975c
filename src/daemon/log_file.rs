//! `serve.log`: the messages of a daemon in the background. Its size is limited, and one older file is kept.

use super::files::LOG;
use crate::os::ownership;
use rustix::stdio;
use std::{
    fs::{self, File, OpenOptions},
    io,
    os::unix::fs::{MetadataExt, OpenOptionsExt},
    path::Path,
};

/// From this size on, the file is rotated.
const LONG: u64 = 8 << 20;

pub fn open(home: &Path) -> io::Result<File> {
    ownership::open_to_write(&home.join(LOG), OpenOptions::new().append(true).create(true).mode(0o600))
}

/// Starts a new file if this one is long or was deleted, since a deleted file would grow unnoticed. The messages of
/// this process then go to the new file.
pub fn keep_short(home: &Path) {
    let path = home.join(LOG);
    // Checks the file that messages actually go to, whatever is at the path now.
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
        // If this fails, messages continue to go to the old file.
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
