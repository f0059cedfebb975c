//! The file operations of a recorded run: the output of `strace -f -y -xx`, one line for each system call.

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
};

/// One system call that succeeded. It took effect between the lines `from` and `until` of the recording.
#[derive(Debug, Clone)]
pub struct Call {
    pub from: usize,
    pub until: usize,
    pub what: What,
}

/// Paths are below the recorded directory.
#[derive(Debug, Clone)]
pub enum What {
    /// The file exists from now on.
    Create(PathBuf),
    Mkdir(PathBuf),
    /// `at` None: after the last write.
    Write {
        path: PathBuf,
        at: Option<u64>,
        data: Vec<u8>,
    },
    Resize {
        path: PathBuf,
        size: u64,
        /// A larger file keeps its size.
        only_grow: bool,
    },
    Rename(PathBuf, PathBuf),
    Unlink(PathBuf),
    /// Of a file or of a directory.
    Sync(PathBuf),
}

/// The calls that strace is told to record.
pub const CALLS: &str = "openat,creat,write,pwrite64,writev,pwritev,pwritev2,ftruncate,truncate,fallocate,fsync,\
    fdatasync,rename,renameat,renameat2,link,linkat,unlink,unlinkat,mkdir,mkdirat,rmdir,copy_file_range,sendfile";

/// Reads a recording; calls outside `root` are left out.
pub fn read(record: &[u8], root: &Path) -> Vec<Call> {
    let mut begun: HashMap<&[u8], (usize, &[u8])> = HashMap::new();
    let mut calls = Vec::new();
    for (number, line) in record.split(|it| *it == b'\n').enumerate() {
        let Some(space) = line.iter().position(|it| *it == b' ') else { continue };
        let (process, rest) = (&line[..space], line[space..].trim_ascii());
        if let Some(start) = rest.strip_suffix(b" <unfinished ...>") {
            begun.insert(process, (number, start));
            continue;
        }
        let (from, head, tail) = match rest.starts_with(b"<... ") {
            true => {
                let Some((from, start)) = begun.remove(process) else { continue };
                let end = rest.iter().position(|it| *it == b'>').map_or(rest.len(), |it| it + 1);
                (from, start, &rest[end..])
            }
            false => (number, rest, &b""[..]),
        };
        let whole = [head, tail].concat();
        if let Some(what) = call(&whole, root) {
            calls.push(Call { from, until: number, what });
        }
    }
    // Sorted by their start, because a call may be on disk as soon as it has begun.
    calls.sort_by_key(|it| it.from);
    calls
}

/// `name(arguments) = result`.
fn call(line: &[u8], root: &Path) -> Option<What> {
    let open = line.iter().position(|it| *it == b'(')?;
    let close = line.windows(3).rposition(|it| it == b" = ")?;
    let name = std::str::from_utf8(&line[..open]).ok()?;
    let result = line[close + 3..].trim_ascii();
    if result.starts_with(b"-1") || result.starts_with(b"?") {
        return None;
    }
    let arguments: Vec<&[u8]> = split(line[open + 1..close].trim_ascii_end().strip_suffix(b")")?);
    let here = |path: PathBuf| path.strip_prefix(root).ok().map(Path::to_path_buf);
    // The path of an argument, or of the descriptor in it: `7</a/b>`.
    let path_at = |at: usize| here(path_of(arguments.get(at)?)?);
    let number = |at: usize| std::str::from_utf8(arguments.get(at)?).ok()?.parse::<u64>().ok();
    let written = || std::str::from_utf8(result).ok()?.parse::<usize>().ok();
    match name {
        "openat" | "creat" => {
            let flags = arguments.get(2).copied().unwrap_or(b"O_CREAT|O_TRUNC");
            let has = |flag: &str| flags.windows(flag.len()).any(|it| it == flag.as_bytes());
            let path = here(descriptor(result)?)?;
            assert!(!has("O_TRUNC") || !is_kept(&path), "{} is cut by opening it", path.display());
            has("O_CREAT").then_some(What::Create(path))
        }
        "write" => Some(What::Write { path: path_at(0)?, at: None, data: text(arguments[1], written()?) }),
        "pwrite64" => Some(What::Write { path: path_at(0)?, at: number(3), data: text(arguments[1], written()?) }),
        "ftruncate" | "truncate" => Some(What::Resize { path: path_at(0)?, size: number(1)?, only_grow: false }),
        "fallocate" => Some(What::Resize { path: path_at(0)?, size: number(2)? + number(3)?, only_grow: true }),
        "fsync" | "fdatasync" => Some(What::Sync(path_at(0)?)),
        "rename" => Some(What::Rename(path_at(0)?, path_at(1)?)),
        "unlink" | "rmdir" => Some(What::Unlink(path_at(0)?)),
        "unlinkat" => Some(What::Unlink(path_at(1)?)),
        "mkdir" => Some(What::Mkdir(path_at(0)?)),
        other => {
            let touched = (0..arguments.len()).find_map(path_at).filter(|it| is_kept(it));
            assert!(touched.is_none(), "{other} of {touched:?} is not replayed");
            None
        }
    }
}

/// Whether an image contains this file. Left out: shared memory, the scratch directories of attempts, the ballast,
/// which has no content, and the drill's own records.
pub fn is_kept(path: &Path) -> bool {
    let left_out = path.starts_with("home/tmp") || path == Path::new("home/ballast");
    path.starts_with("home") && !left_out && !path.to_string_lossy().ends_with("-shm")
}

/// All strings are in hexadecimal, so a comma only separates arguments.
fn split(arguments: &[u8]) -> Vec<&[u8]> {
    let mut found = Vec::new();
    let mut rest = arguments;
    while let Some(at) = rest.windows(2).position(|it| it == b", ") {
        found.push(&rest[..at]);
        rest = &rest[at + 2..];
    }
    found.push(rest);
    found
}

fn descriptor(text: &[u8]) -> Option<PathBuf> {
    let open = text.iter().position(|it| *it == b'<')?;
    let close = text.iter().rposition(|it| *it == b'>')?;
    Some(PathBuf::from(String::from_utf8_lossy(&plain(&text[open + 1..close])).into_owned()))
}

fn path_of(argument: &[u8]) -> Option<PathBuf> {
    match argument.strip_prefix(b"\"").and_then(|it| it.strip_suffix(b"\"")) {
        Some(quoted) => Some(PathBuf::from(String::from_utf8_lossy(&plain(quoted)).into_owned())),
        None => descriptor(argument),
    }
}

fn text(argument: &[u8], size: usize) -> Vec<u8> {
    let quoted = argument.strip_prefix(b"\"").and_then(|it| it.strip_suffix(b"\"")).unwrap_or_default();
    let mut data = plain(quoted);
    assert!(data.len() >= size, "strace has cut a write of {size} bytes to {}", data.len());
    data.truncate(size);
    data
}

/// Resolves escapes: `\x41` is an A.
fn plain(text: &[u8]) -> Vec<u8> {
    let digit = |it: u8| (it as char).to_digit(16).unwrap_or(0) as u8;
    let mut found = Vec::with_capacity(text.len() / 4);
    let mut at = 0;
    while at < text.len() {
        if text[at] == b'\\' && text.get(at + 1) == Some(&b'x') && at + 3 < text.len() {
            found.push(digit(text[at + 2]) << 4 | digit(text[at + 3]));
            at += 4;
        } else {
            found.push(text[at]);
            at += 1;
        }
    }
    found
}
