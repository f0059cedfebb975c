//! The output files of a step, and how the next step gets them.
//!
//! A command may have put anything into its output directory, or replaced the directory. It is therefore opened through
//! its own descriptor, no link is followed, and only regular files are opened.

use super::error::{Error, Result};
use crate::{
    artifact::{self, ArtifactStore, PutGuard},
    decide::links::{self, Links},
    model::{ArtifactRef, Bytes, KillIntent, Millis, Outcome, artifact::kind},
    os::{
        CancelToken,
        folder::{Entry, Folder},
        ownership,
    },
    store::output::Output,
};
use std::{
    collections::HashMap,
    fs::{self, Metadata},
    io::{self, Read},
    os::unix::fs::{MetadataExt, PermissionsExt, symlink},
    path::{Component, Path, PathBuf},
    time::Instant,
};

/// The most files and links that one step may produce.
const MOST_FILES: usize = 10_000;
/// The deepest nesting of directories.
const MOST_DEPTH: usize = 100;

/// What a step produced. The guards protect the files from a sweep until their rows are committed.
#[derive(Debug, Default)]
pub struct Collected {
    pub files: Vec<(String, ArtifactRef)>,
    /// Names of the executable files.
    pub executable: Vec<String>,
    /// Symbolic links by name, each with its target.
    pub links: Vec<(String, String)>,
    pub guards: Vec<PutGuard>,
}

/// The deadline by which an attempt must have stored its files.
#[derive(Clone, Copy)]
pub struct Until<'a> {
    cancel: &'a CancelToken,
    deadline: Option<(Instant, Millis)>,
}

impl<'a> Until<'a> {
    /// For an attempt that has already used this much of its `timeout`.
    pub fn of(cancel: &'a CancelToken, timeout: Option<Millis>, used: Millis) -> Until<'a> {
        let left = |it: Millis| (Instant::now() + it.duration().saturating_sub(used.duration()), it);
        Until { cancel, deadline: timeout.map(left) }
    }

    /// How the attempt ends now; None if it may continue.
    fn over(&self) -> Option<Outcome> {
        match (self.cancel.intent(), self.deadline) {
            (Some(KillIntent::Cancel), _) => Some(Outcome::Cancelled),
            (Some(KillIntent::Deadline(after)), _) => Some(Outcome::TimedOut { after }),
            (Some(_), _) => Some(Outcome::Interrupted { reason: "the engine was stopped".to_string() }),
            (None, Some((until, after))) if Instant::now() >= until => Some(Outcome::TimedOut { after }),
            _ => None,
        }
    }

    fn go_on(&self) -> io::Result<()> {
        match self.over() {
            Some(outcome) => Err(io::Error::other(outcome.to_string())),
            None => Ok(()),
        }
    }

    /// The outcome of an attempt whose files could not be stored.
    pub fn outcome(&self, error: &Error) -> Outcome {
        self.over().unwrap_or_else(|| error.outcome(true))
    }
}

/// Stores the regular files in the directory `name` below `root` as artifacts, by relative name, and records its links.
/// A missing directory has no files.
pub(super) fn collect(root: &Path, name: &str, artifacts: &ArtifactStore, until: Until) -> Result<Collected> {
    let path = root.join(name);
    let wrong = |source| Error::Io { action: "read", path: path.clone(), source };
    let root = match Folder::open(root) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Collected::default()),
        opened => opened.map_err(wrong)?,
    };
    match root.entry(name.as_ref()).map_err(wrong)? {
        None => return Ok(Collected::default()),
        Some(Entry::Folder) => (),
        Some(_) => {
            return refuse("the output directory was replaced by something else".to_string(), None);
        }
    }
    let folder = root.descend(Path::new(name)).map_err(wrong)?;
    let found = list(&folder, &path, artifacts.options().step_most, until)?;
    let mut collected = Collected { links: found.links.clone().into_iter().collect(), ..Collected::default() };
    let mut names = Names::default();
    // Measured before any of them takes space.
    let free = if found.files.is_empty() { Bytes(0) } else { artifacts.free()? };
    let size_of_all = found.files.iter().map(|it| it.1).fold(0, u64::saturating_add);
    for (name, size) in &found.files {
        let relative = Path::new(name);
        let parent = folder.descend(relative.parent().unwrap_or(Path::new(""))).map_err(wrong)?;
        let file = parent.file(relative.file_name().unwrap_or_default()).map_err(|source| Error::Io {
            action: "read",
            path: path.join(relative),
            source,
        })?;
        let Some(file) = file else {
            return refuse(format!("output `{name}` was replaced during reading"), None);
        };
        let seen = file.metadata().map_err(wrong)?;
        if !is_of_the_step(&seen, ownership::user()) && seen.nlink() > names.of(&seen, &folder, &found.files) {
            return refuse(
                format!("output `{name}` is a hard link to another user's file outside the output directory"),
                Some("copy the file in the step"),
            );
        }
        if seen.permissions().mode() & 0o100 != 0 {
            collected.executable.push(name.clone());
        }
        // If a process is still writing, the size at this moment counts.
        let put = artifacts.put_while(file.take(*size), 0, kind::OUTPUT, &|| until.go_on());
        let put = put.map_err(|error| for_all(error, size_of_all, artifacts.options().reserve, free))?;
        collected.files.push((name.clone(), put.artifact));
        collected.guards.push(put.guard);
    }
    Ok(collected)
}

/// The error for a full disk, for all files of the step: the space that they need, and the space that was free before
/// the first one.
fn for_all(error: artifact::Error, size: u64, reserve: Bytes, free: Bytes) -> artifact::Error {
    match error {
        artifact::Error::DiskFull { dir, .. } if free.0 < size.saturating_add(reserve.0) => {
            artifact::Error::DiskFull { dir, needed: size.saturating_add(reserve.0), free: free.0 }
        }
        other => other,
    }
}

/// Whether a file may be hard-linked elsewhere: it belongs to this user and, for root, is world-readable. Otherwise a user with
/// write access to an output directory could link to a file they can't read and have root read it for them.
fn is_of_the_step(file: &Metadata, user: u32) -> bool {
    file.nlink() < 2 || (file.uid() == user && (user != 0 || file.mode() & 0o004 != 0))
}

/// How many names each file has in the output directory, by device and inode. Counted on first use.
#[derive(Default)]
struct Names(Option<HashMap<(u64, u64), u64>>);

impl Names {
    fn of(&mut self, file: &Metadata, folder: &Folder, files: &[(String, u64)]) -> u64 {
        let known = self.0.get_or_insert_with(|| {
            let mut known = HashMap::new();
            let ids = files.iter().filter_map(|(name, _)| {
                let relative = Path::new(name);
                folder.descend(relative.parent()?).ok()?.id(relative.file_name()?).ok().flatten()
            });
            ids.for_each(|it| *known.entry(it).or_default() += 1);
            known
        });
        known.get(&(file.dev(), file.ino())).copied().unwrap_or(0)
    }
}

#[derive(Default)]
struct Found {
    files: Vec<(String, u64)>,
    links: Links,
}

/// The sorted names of files with their sizes, and of links. Refuses anything that can't be stored.
fn list(root: &Folder, path: &Path, most: Option<Bytes>, until: Until) -> Result<Found> {
    let mut found = Found::default();
    let mut folders = vec![PathBuf::new()];
    let mut size = 0u64;
    while let Some(relative) = folders.pop() {
        let wrong = |source| Error::Io { action: "list", path: path.join(&relative), source };
        if relative.components().count() > MOST_DEPTH {
            return refuse(format!("output `{}` is nested too deeply", relative.display()), None);
        }
        let folder = root.descend(&relative).map_err(wrong)?;
        for name in folder.names().map_err(wrong)? {
            until.go_on().map_err(wrong)?;
            let name = name.map_err(wrong)?;
            let place = relative.join(&name);
            let text = |it: &Path| match it.to_str() {
                Some(text) => Ok(text.to_string()),
                None => {
                    let what = format!("output `{}` has a name that is not UTF-8", it.display());
                    refuse(what, Some("rename it in the step"))
                }
            };
            match folder.entry(&name).map_err(wrong)? {
                Some(Entry::Folder) => folders.push(place),
                Some(Entry::File(bytes)) => {
                    size = size.saturating_add(bytes);
                    found.files.push((text(&place)?, bytes));
                }
                Some(Entry::Link) => {
                    let target = PathBuf::from(folder.link(&name).map_err(wrong)?);
                    let (place, target) = (text(&place)?, text(&target)?);
                    let target = as_relative(&place, target, path);
                    found.links.insert(place, target);
                }
                Some(Entry::Other(kind)) => {
                    return refuse(format!("output `{}` is {kind}, which can't be stored", place.display()), None);
                }
                None => (),
            }
            check_amount(&found, folders.len(), size, most)?;
        }
    }
    found.files.sort();
    check_links(&found.links)?;
    Ok(found)
}

/// The target of a link. An absolute path into the output directory becomes relative, whether it is the path that the
/// command received or the one that `pwd -P` prints.
fn as_relative(link: &str, target: String, path: &Path) -> String {
    if !target.starts_with('/') {
        return target;
    }
    let known = |dir: &Path| links::relative(link, Path::new(&target), dir);
    let inside = known(path).or_else(|| known(&fs::canonicalize(path).ok()?));
    inside.and_then(|it| it.into_os_string().into_string().ok()).unwrap_or(target)
}

fn check_amount(found: &Found, folders: usize, size: u64, most: Option<Bytes>) -> Result<()> {
    if found.files.len() + found.links.len() > MOST_FILES || folders > MOST_FILES {
        let what = format!("the step left more than {MOST_FILES} files in its output directory");
        return refuse(what, Some("pack them into an archive"));
    }
    match most.filter(|it| size > it.0) {
        None => Ok(()),
        Some(most) => {
            let size = Bytes(size);
            let what = format!(
                "the files of the step have {size} or more, including holes; the limit is {most} (`output_limit`)"
            );
            refuse(what, Some("raise the setting `output_limit`"))
        }
    }
}

/// Every link must lead to a place inside the output directory.
fn check_links(links: &Links) -> Result<()> {
    for (name, target) in links {
        if let Err(astray) = links::resolve(links, name) {
            let what = format!("output `{name}` is a symbolic link to `{target}`, which {astray}");
            return refuse(what, Some("link to something in the output directory, or copy the file"));
        }
    }
    Ok(())
}

fn refuse<T>(what: String, hint: Option<&'static str>) -> Result<T> {
    Err(Error::refused(what, hint))
}

/// Writes the files and links of the step `name` into an empty directory, for commands that need paths.
pub(super) fn restore(name: &str, output: &Output, dir: &Path, artifacts: &ArtifactStore, until: Until) -> Result<()> {
    let links: Links = output.links.iter().cloned().collect();
    // Names were checked when they were stored, but a restored database is not trusted.
    let names = output.files.iter().map(|it| &it.0).chain(links.keys());
    if let Some(astray) = names.into_iter().find(|it| !is_plain(it, &links)) {
        return refuse(format!("output `{astray}` of step `{name}` has a name outside its directory"), None);
    }
    check_links(&links)?;
    for (file, artifact) in &output.files {
        let path = dir.join(file);
        make_parent(&path)?;
        artifacts.copy_while(artifact, &path, &|| until.go_on())?;
        // The directory is private. The file has the usual mode of a new file, so that `cp` keeps that mode.
        let mode = if output.executable.contains(file) { 0o755 } else { 0o644 };
        let mode = fs::Permissions::from_mode(mode);
        fs::set_permissions(&path, mode).map_err(|source| Error::Io { action: "set the mode of", path, source })?;
    }
    for (link, target) in &links {
        let path = dir.join(link);
        make_parent(&path)?;
        symlink(target, &path).map_err(|source| Error::Io { action: "make the link", path, source })?;
    }
    Ok(())
}

fn make_parent(path: &Path) -> Result<()> {
    let Some(parent) = path.parent() else { return Ok(()) };
    fs::create_dir_all(parent).map_err(|source| Error::Io { action: "create", path: parent.to_path_buf(), source })
}

/// Whether a name leads straight down, without `..` and not through a link.
fn is_plain(name: &str, links: &Links) -> bool {
    let path = Path::new(name);
    let straight = path.components().all(|it| matches!(it, Component::Normal(_))) && !name.is_empty();
    let through_a_link = |it: &Path| it.to_str().is_some_and(|it| links.contains_key(it));
    straight && !path.ancestors().skip(1).any(through_a_link)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::artifact::ArtifactOptions;

    #[test]
    fn a_full_disk_is_described_by_what_all_files_of_the_step_need() {
        let home = tempfile::tempdir().unwrap();
        let reserve = Bytes(1 << 60);
        let options = ArtifactOptions { reserve, ..ArtifactOptions::default() };
        let store = ArtifactStore::open(&home.path().join("artifacts"), options, "w1").unwrap();
        fs::create_dir_all(home.path().join("out/deep")).unwrap();
        fs::write(home.path().join("out/a"), [1; 60]).unwrap();
        fs::write(home.path().join("out/deep/b"), [2; 4]).unwrap();
        let free = store.free().unwrap();
        let cancel = CancelToken::new();
        let refused = collect(home.path(), "out", &store, Until::of(&cancel, None, Millis(0))).unwrap_err();
        let Error::Artifact(artifact::Error::DiskFull { needed, free: reported, .. }) = refused else {
            panic!("{refused}")
        };
        assert_eq!(needed, reserve.0 + 64);
        assert!(reported.abs_diff(free.0) < 1 << 30, "{reported} {free}");
    }

    #[test]
    fn a_stored_output_is_not_trusted_to_stay_in_its_directory() {
        let home = tempfile::tempdir().unwrap();
        let store = ArtifactStore::open(&home.path().join("artifacts"), ArtifactOptions::default(), "w1").unwrap();
        let file = store.put_bytes(b"text", "output").unwrap().artifact;
        let cancel = CancelToken::new();
        let restored = |files: &[&str], links: &[(&str, &str)]| {
            let dir = tempfile::tempdir_in(home.path()).unwrap();
            let output = Output {
                files: files.iter().map(|it| (it.to_string(), file)).collect(),
                links: links.iter().map(|(name, target)| (name.to_string(), target.to_string())).collect(),
                ..Output::default()
            };
            restore("make", &output, dir.path(), &store, Until::of(&cancel, None, Millis(0)))
        };
        restored(&["a/b"], &[("c/d", "../a/b")]).unwrap();
        for (files, links) in [
            (&["../x"][..], &[][..]),
            (&["/x"], &[]),
            (&[""], &[]),
            (&["d/x"], &[("d", "e")]),
            (&[], &[("d", "e"), ("d/x", "y")]),
            (&[], &[("x", "/etc/passwd")]),
            (&[], &[("x", "../..")]),
            (&[], &[("../x", "y")]),
        ] {
            assert!(matches!(restored(files, links), Err(Error::Refused { .. })), "{files:?} {links:?}");
        }
        assert_eq!(fs::read_dir(home.path()).unwrap().count(), 1, "something was left outside");
    }
}
