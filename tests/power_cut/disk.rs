//! A disk and its cache, replayed from a recording: what a power cut at any moment may leave.
//!
//! Stricter than any file system: an fsync of a file saves only its content and size; only an fsync of a directory
//! saves the names in it; anything unsaved may or may not be there, each write and each name separately, whole or
//! sector by sector. A rename counts as a new name and, separately, the end of the old one.

use super::trace::{Call, What, is_kept};
use std::{
    collections::{BTreeMap, HashMap},
    fs, io,
    path::{Path, PathBuf},
};

const SECTOR: usize = 512;

/// What happens to unsaved changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExitInfo {
    Dropped,
    Kept,
    /// Each change is kept or lost at random.
    Some,
    /// The same, and kept writes may be incomplete by sector.
    Torn,
}

impl ExitInfo {
    pub const ALL: [ExitInfo; 4] = [ExitInfo::Dropped, ExitInfo::Kept, ExitInfo::Some, ExitInfo::Torn];
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Node {
    Directory,
    File(usize),
}

#[derive(Debug, Clone)]
enum Change {
    Write { at: u64, data: Vec<u8> },
    Resize { size: u64, only_grow: bool },
}

#[derive(Debug, Clone)]
struct Naming {
    until: usize,
    path: PathBuf,
    node: Option<Node>,
}

#[derive(Debug, Clone, Default)]
struct Inode {
    saved: Vec<u8>,
    /// With the line at which each call completed.
    pending: Vec<(usize, Change)>,
    /// The offset of the next write without an explicit offset.
    end: u64,
}

/// The state at one line of the recording.
#[derive(Debug, Clone, Default)]
pub struct Disk {
    inodes: Vec<Inode>,
    /// The state that processes see.
    now: BTreeMap<PathBuf, Node>,
    saved: BTreeMap<PathBuf, Node>,
    pending: Vec<Naming>,
    /// Fsyncs in progress; they count once they have completed.
    syncs: Vec<(usize, usize, PathBuf)>,
}

impl Disk {
    /// A disk with these directories on it.
    pub fn with(directories: &[&str]) -> Disk {
        let all: BTreeMap<_, _> = directories.iter().map(|it| (PathBuf::from(it), Node::Directory)).collect();
        Disk { now: all.clone(), saved: all, ..Disk::default() }
    }

    /// Advances by one call. Calls come in the order in which they began.
    pub fn apply(&mut self, call: &Call) {
        self.reach(call.from);
        match &call.what {
            What::Sync(path) => self.syncs.push((call.from, call.until, path.clone())),
            What::Create(path) if is_kept(path) && !self.now.contains_key(path) => {
                self.inodes.push(Inode::default());
                self.name(call, path, Some(Node::File(self.inodes.len() - 1)));
            }
            What::Mkdir(path) if is_kept(path) => self.name(call, path, Some(Node::Directory)),
            What::Rename(from, to) if is_kept(to) => {
                let node = self.now.get(from).copied();
                self.name(call, to, node);
                self.name(call, from, None);
            }
            What::Unlink(path) if is_kept(path) => self.name(call, path, None),
            What::Write { path, at, data } => {
                let Some(Node::File(inode)) = self.now.get(path).copied() else { return };
                let inode = &mut self.inodes[inode];
                let at = at.unwrap_or(inode.end);
                inode.end = inode.end.max(at + data.len() as u64);
                inode.pending.push((call.until, Change::Write { at, data: data.clone() }));
            }
            What::Resize { path, size, only_grow } => {
                let Some(Node::File(inode)) = self.now.get(path).copied() else { return };
                let change = Change::Resize { size: *size, only_grow: *only_grow };
                self.inodes[inode].pending.push((call.until, change));
            }
            _ => {}
        }
    }

    fn name(&mut self, call: &Call, path: &Path, node: Option<Node>) {
        match node {
            Some(node) => self.now.insert(path.to_path_buf(), node),
            None => self.now.remove(path),
        };
        self.pending.push(Naming { until: call.until, path: path.to_path_buf(), node });
    }

    /// Counts the fsyncs that completed before a line.
    pub fn reach(&mut self, line: usize) {
        let (done, open) = std::mem::take(&mut self.syncs).into_iter().partition(|it| it.1 < line);
        self.syncs = open;
        let mut done: Vec<(usize, usize, PathBuf)> = done;
        done.sort_by_key(|it| it.1);
        for (from, _, path) in done {
            self.save(from, &path);
        }
    }

    /// An fsync that began at this line saves what had completed by then.
    fn save(&mut self, begun: usize, path: &Path) {
        if let Some(Node::File(inode)) = self.now.get(path).copied() {
            let inode = &mut self.inodes[inode];
            for (until, change) in std::mem::take(&mut inode.pending) {
                match until < begun {
                    true => change.apply(&mut inode.saved),
                    false => inode.pending.push((until, change)),
                }
            }
            return;
        }
        for naming in std::mem::take(&mut self.pending) {
            if naming.path.parent() != Some(path) || naming.until >= begun {
                self.pending.push(naming);
                continue;
            }
            match naming.node {
                Some(node) => self.saved.insert(naming.path, node),
                None => self.saved.remove(&naming.path),
            };
        }
    }

    /// The number of unsaved changes.
    pub fn pending(&self) -> usize {
        self.pending.len() + self.inodes.iter().map(|it| it.pending.len()).sum::<usize>()
    }

    /// Writes a possible state after a power cut into a directory. `chance` returns any number below its argument.
    pub fn image(&self, into: &Path, exit: ExitInfo, chance: &mut dyn FnMut(u64) -> u64) -> io::Result<()> {
        let mut names = self.saved.clone();
        for naming in &self.pending {
            if !takes(exit, chance) {
                continue;
            }
            match naming.node {
                Some(node) => names.insert(naming.path.clone(), node),
                None => names.remove(&naming.path),
            };
        }
        let mut contents: HashMap<usize, Vec<u8>> = HashMap::new();
        // A name comes after its directory; if the directory is lost, the name is lost with it.
        for (path, node) in &names {
            let target = into.join(path);
            match node {
                Node::Directory if target.parent().is_some_and(Path::is_dir) => fs::create_dir_all(&target)?,
                Node::File(inode) if target.parent().is_some_and(Path::is_dir) => {
                    let content = contents.entry(*inode).or_insert_with(|| self.inodes[*inode].after(exit, chance));
                    fs::write(&target, content)?;
                }
                _ => {}
            }
        }
        Ok(())
    }
}

fn takes(exit: ExitInfo, chance: &mut dyn FnMut(u64) -> u64) -> bool {
    match exit {
        ExitInfo::Dropped => false,
        ExitInfo::Kept => true,
        ExitInfo::Some | ExitInfo::Torn => chance(2) == 0,
    }
}

impl Inode {
    fn after(&self, exit: ExitInfo, chance: &mut dyn FnMut(u64) -> u64) -> Vec<u8> {
        let mut content = self.saved.clone();
        for (_, change) in &self.pending {
            if takes(exit, chance) {
                change.apply(&mut content);
            } else if let (ExitInfo::Torn, Change::Write { at, data }) = (exit, change) {
                torn(&mut content, *at, data, chance);
            }
        }
        content
    }
}

/// Only some sectors of a write arrive, or only the new size without content.
fn torn(content: &mut Vec<u8>, at: u64, data: &[u8], chance: &mut dyn FnMut(u64) -> u64) {
    let mut from = 0;
    while from < data.len() {
        let place = at as usize + from;
        let size = (SECTOR - place % SECTOR).min(data.len() - from);
        let piece = &data[from..from + size];
        match chance(3) {
            0 => write(content, place, piece),
            1 => resize(content, place + size, true),
            _ => {}
        }
        from += size;
    }
}

impl Change {
    fn apply(&self, content: &mut Vec<u8>) {
        match self {
            Change::Write { at, data } => write(content, *at as usize, data),
            Change::Resize { size, only_grow } => resize(content, *size as usize, *only_grow),
        }
    }
}

fn write(content: &mut Vec<u8>, at: usize, data: &[u8]) {
    resize(content, at + data.len(), true);
    content[at..at + data.len()].copy_from_slice(data);
}

fn resize(content: &mut Vec<u8>, size: usize, only_grow: bool) {
    if !only_grow || content.len() < size {
        content.resize(size, 0);
    }
}
