//! The items of a submission: from the command line, a file or stdin.

use super::failure::{Failure, Result};
use crate::{
    model::{Bytes, number::keep_digits},
    os::regular_file,
};
use std::{
    fs::File,
    io::{self, Read},
    path::{Path, PathBuf},
};

/// The sources of items; both can be given.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct Items {
    /// The items, one run each; write one that begins with a dash as `--items=-x`
    #[arg(long, num_args = 1.., value_name = "ITEM", allow_negative_numbers = true)]
    items: Vec<String>,
    /// A file with one item per line, or `-` for stdin; a line that begins with `{` is a JSON object
    #[arg(long, value_name = "FILE")]
    items_from: Option<PathBuf>,
}

impl Items {
    /// The source of the list, for messages.
    pub fn list(&self) -> String {
        match &self.items_from {
            Some(path) if path == Path::new("-") => "the list on stdin".to_string(),
            Some(path) => path.display().to_string(),
            None => "`--items`".to_string(),
        }
    }

    /// All items in order. None if no source was given.
    pub fn read(&self) -> Result<Option<Vec<String>>> {
        let mut items = self.items.clone();
        match &self.items_from {
            None if items.is_empty() => return Ok(None),
            None => (),
            Some(path) => items.extend(lines(&text(path)?, path)?),
        }
        Ok(Some(items))
    }
}

/// Limits: bytes of a list, bytes of one item, and number of items. An endless input must not use up all memory.
const LIST_MOST: usize = 256 << 20;
const ITEM_MOST: usize = 1 << 20;
const ITEMS_MOST: usize = 10_000_000;

/// The text of a list, without a byte order mark.
fn text(path: &Path) -> Result<String> {
    let failed = |error| Failure::io("read items from", path, error);
    let bytes = match path == Path::new("-") {
        true => bounded(io::stdin().lock(), path, (LIST_MOST, ITEM_MOST, ITEMS_MOST)),
        false => bounded(open(path).map_err(failed)?, path, (LIST_MOST, ITEM_MOST, ITEMS_MOST)),
    };
    decoded(&bytes?, path)
}

/// Opens a list. A named fifo or device is refused instead of waited for. A pipe that the shell opened and passes by
/// its descriptor (`<(...)`) is accepted.
fn open(path: &Path) -> io::Result<File> {
    let opened_before = ["/dev/fd", "/proc/self/fd", "/dev/stdin"].iter().any(|it| path.starts_with(it));
    if opened_before { File::open(path) } else { regular_file::open(path) }
}

/// Reads to the end. Fails if the whole, one line or the number of lines exceeds its limit.
fn bounded(mut from: impl Read, path: &Path, (list, item, items): (usize, usize, usize)) -> Result<Vec<u8>> {
    let (mut bytes, mut piece) = (Vec::new(), vec![0; 1 << 16]);
    let (mut line, mut lines) = (0, 0);
    let refuse = |what: String| {
        Err(Failure::usage(format!("{}: {what}", path.display()))
            .hint("give the names of files as items, or several lists"))
    };
    loop {
        let read = match from.read(&mut piece) {
            Ok(0) => return Ok(bytes),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            read => &piece[..read.map_err(|error| Failure::io("read items from", path, error))?],
        };
        for part in read.split_inclusive(|it| *it == b'\n') {
            line += part.len();
            if line > item {
                return refuse(format!("line {} is longer than {}", lines + 1, Bytes(item as u64)));
            }
            if part.ends_with(b"\n") {
                (line, lines) = (0, lines + 1);
            }
        }
        bytes.extend_from_slice(read);
        if bytes.len() > list {
            return refuse(format!("the list is larger than {}", Bytes(list as u64)));
        }
        if lines > items {
            return refuse(format!("the list has more than {items} lines"));
        }
    }
}

fn decoded(bytes: &[u8], path: &Path) -> Result<String> {
    if bytes.starts_with(b"\xff\xfe") || bytes.starts_with(b"\xfe\xff") {
        let said = format!("{} is in UTF-16", path.display());
        return Err(Failure::usage(said).hint("save it in UTF-8"));
    }
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    std::str::from_utf8(bytes).map(str::to_string).map_err(|error| {
        let line = bytes[..error.valid_up_to()].iter().filter(|it| **it == b'\n').count() + 1;
        let text = bytes.split(|it| *it == b'\n').nth(line - 1).unwrap_or_default();
        let said = format!("{}:{line}: `{}` is not UTF-8", path.display(), String::from_utf8_lossy(text));
        Failure::usage(said).hint("items must be UTF-8: rename that file, or remove the line; nothing was submitted")
    })
}

/// Reads one path per line from a file, or from stdin for `-`.
pub fn path_lines(path: &Path) -> Result<Vec<String>> {
    Ok(text(path)?.lines().map(str::to_string).filter(|it| !it.is_empty()).collect())
}

fn lines(text: &str, path: &Path) -> Result<Vec<String>> {
    let mut items = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let line = line.strip_suffix('\r').unwrap_or(line);
        if line.trim().is_empty() {
            continue;
        }
        if line.contains('\0') {
            let said = format!(
                "{}:{}: this item contains NUL, which no argument and no variable can have",
                path.display(),
                number + 1
            );
            return Err(Failure::usage(said).hint(
                "write one item per line; in a list of `find -print0`, replace each NUL by a line end: `tr '\\0' '\\n'`; nothing was submitted",
            ));
        }
        if line.trim_start().starts_with('{')
            && let Err(error) =
                serde_json::from_slice::<serde_json::Map<String, serde_json::Value>>(&keep_digits(line.as_bytes()))
        {
            let said = format!(
                "{}:{}: this line begins like a JSON object but is not one: {error}",
                path.display(),
                number + 1
            );
            return Err(Failure::usage(said).hint("write one complete JSON object per line"));
        }
        items.push(line.to_string());
    }
    Ok(items)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_items_and_broken_json_is_refused_with_its_line() {
        let path = Path::new("items.jsonl");
        let read = lines("a b\r\n\n{\"url\": \"x\"}\n", path).unwrap();
        assert_eq!(read, ["a b", "{\"url\": \"x\"}"]);
        let refused = lines("ok\n{\"url\": \n", path).unwrap_err();
        assert!(refused.message.unwrap().starts_with("items.jsonl:2: "));
    }

    #[test]
    fn a_list_without_end_is_refused_in_whatever_it_is_too_much() {
        let path = Path::new("list");
        let said = |from: &[u8], most| match bounded(from, path, most) {
            Ok(read) => format!("{} bytes", read.len()),
            Err(refused) => refused.message.unwrap(),
        };
        assert_eq!(said(b"a\nbb\nccc", (10, 4, 3)), "8 bytes");
        assert_eq!(said(b"a\nbb\nccc", (7, 4, 3)), "list: the list is larger than 7 B");
        assert_eq!(said(b"a\nbb\ncccc", (10, 3, 3)), "list: line 3 is longer than 3 B");
        assert_eq!(said(b"\n\n\n\n", (10, 3, 3)), "list: the list has more than 3 lines");
        let endless = bounded(io::repeat(0), path, (LIST_MOST, ITEM_MOST, ITEMS_MOST)).unwrap_err();
        assert!(endless.message.unwrap().starts_with("list: line 1 is longer than"));
    }

    #[test]
    fn a_mark_at_the_beginning_is_no_part_of_the_first_item() {
        let path = Path::new("list");
        assert_eq!(lines(&decoded(b"\xef\xbb\xbfa.txt\r\nb.txt\n", path).unwrap(), path).unwrap(), ["a.txt", "b.txt"]);
        assert_eq!(decoded("\u{feff}{\"a\": 1}".as_bytes(), path).unwrap(), "{\"a\": 1}");
        assert!(decoded(b"\xff\xfea\0", path).unwrap_err().message.unwrap().contains("UTF-16"));
    }

    #[test]
    fn a_name_that_is_not_utf_8_is_refused_with_its_line() {
        let refused = decoded(b"a\nb\ncaf\xe9.txt\nd\n", Path::new("list")).unwrap_err();
        assert_eq!(refused.message.unwrap(), "list:3: `caf\u{fffd}.txt` is not UTF-8");
        assert!(refused.hint.unwrap().contains("nothing was submitted"));
    }
}
