//! Lists files, given as single files and whole directories, in a fixed order.

use super::{
    file_uri::{self, ANYWHERE, os_string},
    media_type,
};
use crate::{
    model::{ArtifactHash, Kind, Timestamp},
    os::{error_kind::kind_of, regular_file},
};
use ignore::{WalkBuilder, overrides::OverrideBuilder};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::{
    collections::HashSet,
    fs,
    io::{self, Read},
    path::{Path, PathBuf},
    time::UNIX_EPOCH,
};

/// Which files of a directory to include. A file that is named explicitly is always included.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
pub struct SourceOptions {
    /// Globs as in `.gitignore`: `*.pdf` includes, `!drafts/` excludes. If empty, everything is included.
    pub globs: Vec<String>,
    /// Includes files and directories with names that begin with a dot.
    pub hidden: bool,
    /// Includes files that `.gitignore` and `.ignore` exclude.
    pub ignored: bool,
    /// Includes files that no reader accepts, judging by their names: pictures, sound, archives, programs. A glob
    /// includes them too.
    pub unreadable: bool,
    /// Follows symbolic links to directories and to files outside of the directory. Loops are detected and skipped.
    /// Without this, only links to files inside the directory are followed.
    pub follow: bool,
}

/// A file to ingest.
#[derive(Debug, Clone, PartialEq)]
pub struct SourceFile {
    pub path: PathBuf,
    /// `file://` and the absolute path. Each byte is percent-encoded separately, so names that are not UTF-8 keep
    /// distinct URIs.
    pub uri: String,
    /// In bytes.
    pub size: u64,
    /// `None` if the file system stores no times.
    pub modified: Option<Timestamp>,
    /// The same in nanoseconds since the Unix epoch, to detect changes; 0 if the file system stores no times.
    pub mtime: i64,
    /// See `ItemDocument::within`.
    pub within: Option<String>,
    /// The content of `NAME.meta.json` in the same directory: a JSON object.
    pub metadata: Option<Value>,
    /// The hash under which the engine stores the content. The path is then only a name.
    pub kept: Option<ArtifactHash>,
}

/// The files that a walk found, and those that it skipped.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Listing {
    /// Sorted by URI, each file once.
    pub files: Vec<SourceFile>,
    /// How many files were skipped because no reader accepts their names.
    pub unreadable: usize,
    /// How many links were skipped because they lead out of their directory.
    pub outside: usize,
    /// `PATH: reason` for each link loop, and for each file that vanished during the walk.
    pub warnings: Vec<String>,
}

#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SourceError {
    #[error("{} does not exist", path.display())]
    Missing { path: PathBuf },
    #[error("failed to read {}", path.display())]
    Unreadable { path: PathBuf, source: io::Error },
    #[error("{} is neither a file nor a directory", path.display())]
    Special { path: PathBuf },
    #[error("`{glob}` is not a glob")]
    Glob { glob: String, source: ignore::Error },
    #[error("{} is not a JSON object", path.display())]
    Metadata { path: PathBuf, source: Option<serde_json::Error> },
}

impl SourceError {
    /// The kind of the error.
    pub fn kind(&self) -> Kind {
        match self {
            SourceError::Missing { .. } => Kind::NotFound,
            SourceError::Unreadable { source, .. } => kind_of(source),
            SourceError::Special { .. } | SourceError::Glob { .. } | SourceError::Metadata { .. } => Kind::Invalid,
        }
    }

    pub fn hint(&self) -> Option<&'static str> {
        match self {
            SourceError::Glob { .. } => Some("quote globs for the shell: --glob '*.pdf'"),
            SourceError::Metadata { .. } => {
                Some("a sidecar looks like {\"author\": \"A. Smith\"}; correct or remove it")
            }
            SourceError::Unreadable { .. } => Some("nothing was read from here; give read permission and run it again"),
            _ => None,
        }
    }
}

/// The suffix of a sidecar's name: `report.pdf.meta.json` describes `report.pdf`.
const SIDECAR: &str = ".meta.json";
/// A larger sidecar is certainly a mistake, in bytes.
const SIDECAR_MAX: u64 = 1 << 20;

/// Lists the files under `roots`. Anything that can't be read completely is an error: an incomplete list would look
/// like deleted documents.
pub fn list(roots: &[PathBuf], options: &SourceOptions) -> Result<Listing, SourceError> {
    let mut listing = Listing::default();
    for root in roots {
        // A document has one URI, however its directory was named.
        let root = &resolved(root);
        let metadata = fs::metadata(root).map_err(|source| match source.kind() {
            io::ErrorKind::NotFound => SourceError::Missing { path: root.clone() },
            _ => SourceError::Unreadable { path: root.clone(), source },
        })?;
        match metadata {
            it if it.is_file() => {
                // A link on the command line stands for its target.
                let within = (options.follow || root.is_symlink()).then(|| ANYWHERE.to_string());
                listing.files.push(describe(root, &it, options, within)?);
            }
            it if it.is_dir() => walk(root, options, &mut listing)?,
            _ => return Err(SourceError::Special { path: root.clone() }),
        }
    }
    listing.files.sort_by(|a, b| a.uri.cmp(&b.uri));
    listing.files.dedup_by(|a, b| a.uri == b.uri);
    Ok(listing)
}

/// The path without links and `..`. For a file, only the directory is resolved: the file keeps the name that the user
/// gave.
pub(super) fn resolved(root: &Path) -> PathBuf {
    let canonical = |path: &Path| fs::canonicalize(if path.as_os_str().is_empty() { Path::new(".") } else { path });
    let found = match (fs::metadata(root), root.parent(), root.file_name()) {
        (Ok(metadata), Some(parent), Some(name)) if !metadata.is_dir() => canonical(parent).map(|it| it.join(name)),
        _ => canonical(root),
    };
    found.unwrap_or_else(|_| root.to_path_buf())
}

/// Whether a walk includes the file: by its name, or by the beginning of its content if the name says nothing.
fn is_wanted(path: &Path) -> bool {
    if !media_type::may_be_read(path) {
        return false;
    }
    media_type::is_known_name(path) || media_type::begins_readable(path)
}

fn walk(root: &Path, options: &SourceOptions, listing: &mut Listing) -> Result<(), SourceError> {
    let mut found = Vec::new();
    let takes_all = options.unreadable || options.globs.iter().any(|it| !it.starts_with('!'));
    for entry in walker(root, options)?.build() {
        let entry = match entry {
            Ok(entry) => entry,
            Err(error) => {
                listing.warnings.push(tolerable(root, error)?);
                continue;
            }
        };
        let kind = entry.file_type();
        let link = kind.is_some_and(|it| it.is_symlink());
        if link && !options.follow && entry.path().exists() && leads_out(entry.path(), root) {
            listing.outside += 1;
            continue;
        }
        let linked = link && entry.path().is_file();
        if !linked && !kind.is_some_and(|it| it.is_file()) {
            continue;
        }
        if !takes_all && !is_wanted(entry.path()) {
            listing.unreadable += 1;
            continue;
        }
        match fs::metadata(entry.path()) {
            Ok(metadata) => found.push((entry.into_path(), metadata, link)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                listing.warnings.push(format!("{}: disappeared while the directory was read", entry.path().display()));
            }
            Err(source) => return Err(SourceError::Unreadable { path: entry.into_path(), source }),
        }
    }
    let paths: HashSet<PathBuf> = found.iter().map(|it| it.0.clone()).collect();
    for (path, metadata, link) in &found {
        let within = match options.follow {
            true => Some(ANYWHERE.to_string()),
            false => link.then(|| file_uri::of(root)),
        };
        // A sidecar without its document is an ordinary document.
        if described(path).is_none_or(|it| !paths.contains(&it)) {
            listing.files.push(describe(path, metadata, options, within)?);
        }
    }
    Ok(())
}

/// The directories below `root`, itself included, that a walk reads.
///
/// # Errors
///
/// A glob can't be read. Directories that can't be read are left out: a walk refuses them.
pub fn directories(root: &Path, options: &SourceOptions) -> Result<Vec<PathBuf>, SourceError> {
    let entries = walker(root, options)?.build().filter_map(|it| it.ok());
    Ok(entries.filter(|it| it.file_type().is_some_and(|it| it.is_dir())).map(|it| it.into_path()).collect())
}

/// Whether a link leads out of `directory`.
fn leads_out(link: &Path, directory: &Path) -> bool {
    let inside = |found: PathBuf| fs::canonicalize(directory).is_ok_and(|it| found.starts_with(it));
    !fs::canonicalize(link).is_ok_and(inside)
}

fn walker(root: &Path, options: &SourceOptions) -> Result<WalkBuilder, SourceError> {
    let mut globs = OverrideBuilder::new(root);
    for glob in &options.globs {
        globs.add(glob).map_err(|source| SourceError::Glob { glob: glob.clone(), source })?;
    }
    let all = options.globs.join(" ");
    let globs = globs.build().map_err(|source| SourceError::Glob { glob: all, source })?;
    let mut walker = WalkBuilder::new(root);
    walker
        .overrides(globs)
        .standard_filters(!options.ignored)
        .hidden(!options.hidden)
        .require_git(false)
        .git_global(false)
        .follow_links(options.follow);
    Ok(walker)
}

/// Turns errors that a walk may skip into warnings: link loops, and entries that vanished or point nowhere.
fn tolerable(root: &Path, error: ignore::Error) -> Result<String, SourceError> {
    let path = path_of(&error).unwrap_or(root).to_path_buf();
    let is_dangling = path != root && error.io_error().is_some_and(|it| it.kind() == io::ErrorKind::NotFound);
    if is_loop(&error) || is_dangling {
        return Ok(format!("{}: {error}", path.display()));
    }
    let reason = error.to_string();
    let source = error.into_io_error().unwrap_or_else(|| io::Error::other(reason));
    Err(SourceError::Unreadable { path, source })
}

fn path_of(error: &ignore::Error) -> Option<&Path> {
    match error {
        ignore::Error::WithPath { path, .. } => Some(path),
        ignore::Error::WithDepth { err, .. } | ignore::Error::WithLineNumber { err, .. } => path_of(err),
        ignore::Error::Loop { child, .. } => Some(child),
        _ => None,
    }
}

fn is_loop(error: &ignore::Error) -> bool {
    match error {
        ignore::Error::Loop { .. } => true,
        ignore::Error::WithPath { err, .. } | ignore::Error::WithDepth { err, .. } => is_loop(err),
        _ => false,
    }
}

fn describe(
    path: &Path,
    metadata: &fs::Metadata,
    options: &SourceOptions,
    within: Option<String>,
) -> Result<SourceFile, SourceError> {
    let absolute = std::path::absolute(path).map_err(|source| SourceError::Unreadable { path: path.into(), source })?;
    let modified = metadata.modified().ok().map(|it| match it.duration_since(UNIX_EPOCH) {
        Ok(after) => Timestamp(after.as_millis() as i64),
        Err(before) => Timestamp(-(before.duration().as_millis() as i64)),
    });
    let described = sidecar(path, options)?;
    let (size, mtime) = (metadata.len(), super::content::modified(metadata));
    Ok(SourceFile {
        path: path.into(),
        uri: file_uri::of(&absolute),
        size,
        modified,
        mtime,
        within,
        metadata: described,
        kept: None,
    })
}

/// The document that `path` is the sidecar of, judging by its name.
fn described(path: &Path) -> Option<PathBuf> {
    let name = path.file_name()?.as_encoded_bytes();
    let stem = name.strip_suffix(SIDECAR.as_bytes()).filter(|it| !it.is_empty())?;
    let whole = path.as_os_str().as_encoded_bytes();
    let kept = &whole[..whole.len() - (name.len() - stem.len())];
    Some(PathBuf::from(os_string(kept)))
}

/// Ignores a sidecar that is a link out of its directory, unless links are followed.
fn sidecar(path: &Path, options: &SourceOptions) -> Result<Option<Value>, SourceError> {
    let mut name = path.as_os_str().to_os_string();
    name.push(SIDECAR);
    let path = PathBuf::from(name);
    if !options.follow && path.is_symlink() && leads_out(&path, path.parent().unwrap_or(&path)) {
        return Ok(None);
    }
    let file = match regular_file::open(&path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(SourceError::Unreadable { path, source }),
    };
    let mut bytes = Vec::new();
    if let Err(source) = file.take(SIDECAR_MAX + 1).read_to_end(&mut bytes) {
        return Err(SourceError::Unreadable { path, source });
    }
    if bytes.len() as u64 > SIDECAR_MAX {
        return Err(SourceError::Metadata { path, source: None });
    }
    match serde_json::from_slice(&bytes) {
        Ok(Value::Object(fields)) => Ok(Some(Value::Object(fields))),
        Ok(_) => Err(SourceError::Metadata { path, source: None }),
        Err(error) => Err(SourceError::Metadata { path, source: Some(error) }),
    }
}

#[cfg(test)]
mod tests;
