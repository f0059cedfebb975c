//! The items of a schedule: from files, lists and patterns.

use super::error::{Error, Result};
use crate::os::regular_file;
use std::{io::Read, path::Path};

/// The largest list of items, in bytes.
const LIST_MOST: u64 = 256 << 20;

/// The items in a file.
pub(super) fn listed(path: &Path) -> Result<Vec<String>> {
    let failed = |source| Error::Io { action: "read items from", path: path.to_path_buf(), source };
    let mut file = regular_file::open(path).map_err(failed)?;
    check_size(file.metadata().map_err(failed)?.len())?;
    let mut text = String::new();
    file.read_to_string(&mut text).map_err(failed)?;
    Ok(lines(&text))
}

pub(super) fn check_size(bytes: u64) -> Result<()> {
    match bytes <= LIST_MOST {
        true => Ok(()),
        false => Err(Error::refused(format!("the list of its items has {bytes} bytes, more than 256 MiB"), None)),
    }
}

/// One item per line.
pub(super) fn lines(text: &str) -> Vec<String> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    text.lines().filter(|it| !it.trim().is_empty()).map(str::to_string).collect()
}

/// The matching files, sorted by name.
pub(super) fn matching(directory: &Path, pattern: &str) -> Result<Vec<String>> {
    // The directory is literal, whatever characters are in its name.
    let directory = glob::Pattern::escape(&directory.to_string_lossy());
    let whole = Path::new(&directory).join(pattern);
    let refused = |what: String| Error::refused(what, None);
    let paths = glob::glob(&whole.to_string_lossy()).map_err(|error| refused(format!("`{pattern}`: {error}")))?;
    let mut found = Vec::new();
    for path in paths {
        let path = path.map_err(|error| refused(error.to_string()))?;
        let name = path.to_str().ok_or_else(|| refused(format!("the name of {} is not UTF-8", path.display())))?;
        found.push(name.to_string());
    }
    Ok(found)
}
