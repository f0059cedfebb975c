//! The items of a submission: from the command line, a file or stdin.

use super::failure::{Failure, Result};
use crate::model::number::keep_digits;
use std::{
    fs,
    io::{self, Read},
    path::{Path, PathBuf},
};

/// Where items come from; both may be given.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct Items {
    /// The items, one run each
    #[arg(long, num_args = 1.., value_name = "ITEM")]
    items: Vec<String>,
    /// A file with one item per line, or `-` for stdin; a line that begins with `{` is a JSON object
    #[arg(long, value_name = "FILE")]
    items_from: Option<PathBuf>,
}

impl Items {
    /// All items in order; None when none were asked for.
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

/// The text of a list, without the mark that some editors put before it.
fn text(path: &Path) -> Result<String> {
    let mut bytes = Vec::new();
    let read = match path == Path::new("-") {
        true => io::stdin().read_to_end(&mut bytes).map(drop),
        false => fs::read(path).map(|it| bytes = it),
    };
    read.map_err(|error| Failure::io("read items from", path, error))?;
    decoded(&bytes, path)
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

/// One path a line, from a file or stdin (`-`).
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
