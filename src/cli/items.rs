//! The items of a submission: from the command line, a file or stdin.

use super::failure::{Failure, Result};
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
    /// A file with one item a line, or `-` for stdin; a line that begins with `{` is a JSON object
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

fn text(path: &Path) -> Result<String> {
    if path != Path::new("-") {
        return fs::read_to_string(path).map_err(|error| Failure::io("read", path, error));
    }
    let mut text = String::new();
    io::stdin().read_to_string(&mut text).map_err(|error| Failure::io("read items from", Path::new("stdin"), error))?;
    Ok(text)
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
            && let Err(error) = serde_json::from_str::<serde_json::Map<String, serde_json::Value>>(line)
        {
            let said =
                format!("{}:{}: this line begins a JSON object but is none: {error}", path.display(), number + 1);
            return Err(Failure::usage(said).hint("write one whole JSON object a line"));
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
}
