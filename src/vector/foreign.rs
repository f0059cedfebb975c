//! Reads another user's database without creating files next to it.
//!
//! SQLite creates `-wal` and `-shm` for a database that it opens, even to read it, unless both exist.

use super::{Error, Result};
use crate::os::ownership;
use std::{
    fs,
    os::unix::{ffi::OsStrExt, fs::MetadataExt},
    path::Path,
};

/// Whether the file belongs to another user, or is in a directory where windlass creates no files.
pub(super) fn is_foreign(path: &Path) -> bool {
    let owner = fs::metadata(path).map(|it| it.uid());
    owner.is_ok_and(|it| it != ownership::user()) || path.parent().is_some_and(|it| ownership::check_place(it).is_err())
}

/// The URI to open it with: as immutable if there are no files next to it. Refuses a database if part of its content is
/// still in a log, because reading that log would create a file.
pub(super) fn as_it_is(path: &Path) -> Result<String> {
    let wrong = |source| Error::Io { action: "open", path: path.to_path_buf(), source };
    let real = fs::canonicalize(path).map_err(wrong)?;
    let beside = |ending: &str| {
        let mut name = real.clone().into_os_string();
        name.push(ending);
        fs::metadata(name)
    };
    let log = beside("-wal").map(|it| it.len());
    match (log, beside("-shm").is_ok()) {
        (Ok(_), true) => Ok(uri(&real, "")),
        (Ok(1..), false) => {
            let owner = fs::metadata(&real).map_err(wrong)?.uid();
            Err(ownership::Error::Foreign { path: real, owner }.into())
        }
        _ => Ok(uri(&real, "?immutable=1")),
    }
}

fn uri(path: &Path, query: &str) -> String {
    let mut uri = String::from("file:");
    for byte in path.as_os_str().as_bytes() {
        match byte {
            b'/' | b'-' | b'_' | b'.' => uri.push(char::from(*byte)),
            it if it.is_ascii_alphanumeric() => uri.push(char::from(*it)),
            it => uri.push_str(&format!("%{it:02x}")),
        }
    }
    uri + query
}
