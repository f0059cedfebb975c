//! Lists watched directories: the files and their versions.

use crate::{decide::watch::FileVersion, definition::watch::Matcher, store::watch::WatchedFile};
use std::{
    fs::{self, DirEntry, Metadata},
    io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

/// The most files of one watch; others are ignored.
pub const MOST_FILES: usize = 1_000_000;

/// The files below a directory.
#[derive(Debug, Default)]
pub struct Listing {
    /// The matching files, sorted by path.
    pub files: Vec<WatchedFile>,
    /// The number of files with names that are not UTF-8, and the first of them.
    pub unnamable: Option<(usize, PathBuf)>,
    /// Directories that could not be read, relative to the root, and the reason for the first.
    pub unreadable: Vec<PathBuf>,
    pub reason: String,
    /// There are more files than `MOST_FILES`.
    pub is_cut: bool,
    /// Device and inode of the root.
    pub root: (u64, u64),
}

impl Listing {
    /// Whether nothing is known about this path because its directory could not be read.
    pub fn hides(&self, path: &str) -> bool {
        self.is_cut || self.unreadable.iter().any(|it| Path::new(path).starts_with(it))
    }

    pub fn has(&self, path: &str) -> bool {
        self.files.binary_search_by(|it| it.path.as_str().cmp(path)).is_ok()
    }
}

/// Lists the matching files below `root`. `enter` is called with each directory before it is read, by its full and its
/// relative path. Directories in `avoid` are skipped, and links are not followed.
///
/// # Errors
///
/// The root is missing or can't be read. Other unreadable directories are part of the listing.
pub fn list(root: &Path, matcher: &Matcher, avoid: &Path, mut enter: impl FnMut(&Path, &Path)) -> io::Result<Listing> {
    let found = fs::metadata(root)?;
    let mut listing = Listing { root: (found.dev(), found.ino()), ..Listing::default() };
    let mut directories = vec![PathBuf::new()];
    while let Some(directory) = directories.pop() {
        let path = root.join(&directory);
        enter(&path, &directory);
        let read = fs::read_dir(&path).and_then(|entries| {
            for entry in entries {
                take(&entry?, &directory, matcher, &mut directories, &mut listing);
            }
            Ok(())
        });
        match read {
            Err(error) if directory.as_os_str().is_empty() => return Err(error),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => {
                listing.reason = format!("{}: {error}", path.display());
                listing.unreadable.push(directory);
            }
            Ok(()) => {}
        }
        directories.retain(|it| root.join(it) != avoid);
    }
    listing.files.sort_unstable_by(|a, b| a.path.cmp(&b.path));
    Ok(listing)
}

fn take(entry: &DirEntry, directory: &Path, matcher: &Matcher, directories: &mut Vec<PathBuf>, listing: &mut Listing) {
    // It vanished in the meantime.
    let Ok(kind) = entry.file_type() else { return };
    let name = entry.file_name();
    let path = directory.join(&name);
    if kind.is_dir() {
        if matcher.deep && (matcher.hidden || !name.as_encoded_bytes().starts_with(b".")) {
            directories.push(path);
        }
        return;
    }
    if !kind.is_file() || !matcher.matches(&path.to_string_lossy()) {
        return;
    }
    let Some(text) = path.to_str().map(str::to_string) else {
        listing.unnamable.get_or_insert((0, path)).0 += 1;
        return;
    };
    if listing.files.len() >= MOST_FILES {
        listing.is_cut = true;
        return;
    }
    if let Ok(metadata) = entry.metadata() {
        listing.files.push(WatchedFile { path: text, version: version(&metadata) });
    }
}

/// The version of a file. None if it does not exist or is not a regular file.
pub fn look_at(root: &Path, path: &str) -> io::Result<Option<FileVersion>> {
    match fs::symlink_metadata(root.join(path)) {
        Ok(metadata) => Ok(metadata.is_file().then(|| version(&metadata))),
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => Ok(None),
        Err(error) => Err(error),
    }
}

fn version(metadata: &Metadata) -> FileVersion {
    let mtime = metadata.mtime().saturating_mul(1_000_000_000).saturating_add(metadata.mtime_nsec());
    // The database has no unsigned integers, and an inode is only compared.
    FileVersion { size: metadata.len() as i64, mtime, inode: metadata.ino() as i64 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{definition::watch::FileWatch, model::Millis};
    use std::{ffi::OsStr, os::unix::ffi::OsStrExt};

    fn matcher(pattern: &str) -> Matcher {
        let patterns = vec![pattern.to_string()];
        FileWatch { files: "/".into(), patterns, settled: Millis(1), existing: true, every: None }.matcher().unwrap()
    }

    #[test]
    fn only_files_that_match_are_listed_and_names_that_are_not_utf8_are_counted() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path();
        for path in ["in/deep", ".hidden", "home"] {
            fs::create_dir_all(root.join(path)).unwrap();
        }
        for path in ["b", "a", ".c", "in/a", "in/deep/a", ".hidden/a", "home/a"] {
            fs::write(root.join(path), "xyz").unwrap();
        }
        fs::write(root.join(OsStr::from_bytes(b"\xff1")), "").unwrap();
        fs::write(root.join(OsStr::from_bytes(b"\xff2")), "").unwrap();
        std::os::unix::fs::symlink(root.join("a"), root.join("link")).unwrap();
        std::os::unix::fs::symlink(root, root.join("in/loop")).unwrap();
        let mut entered = Vec::new();
        let flat = list(root, &matcher("*"), &root.join("home"), |_, it| entered.push(it.to_path_buf())).unwrap();
        let paths = |it: &Listing| it.files.iter().map(|it| it.path.clone()).collect::<Vec<_>>();
        assert_eq!((paths(&flat), entered), (vec!["a".to_string(), "b".into()], vec![PathBuf::new()]));
        assert_eq!(flat.unnamable.as_ref().map(|it| it.0), Some(2));
        assert!(flat.has("a") && !flat.has("c") && !flat.hides("c"));
        let deep = list(root, &matcher("**/a"), &root.join("home"), |_, _| ()).unwrap();
        assert_eq!(paths(&deep), ["a", "in/a", "in/deep/a"]);
        assert_eq!(look_at(root, "a").unwrap(), Some(flat.files[0].version));
        assert_eq!((look_at(root, "link").unwrap(), look_at(root, "a/b").unwrap()), (None, None));
        assert!(list(&root.join("absent"), &matcher("*"), root, |_, _| ()).is_err());
    }
}
