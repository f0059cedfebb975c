//! Making a home of a backup.
//!
//! Everything is unpacked into a directory of its own inside the home, checked, made an engine of its own, and only then
//! moved into place, the database last. A mark stands in the home from the first change to the last, and nobody works in a
//! home with that mark; the next restore begins anew. Nothing that was there before is deleted: it is moved aside.

use super::{
    archive::{Archive, DATABASE, SETTINGS},
    error::{Error, Result},
    verify::{self, Checked},
};
use crate::{
    decide::admission::{Admission, admit_write},
    model::{ArtifactHash, Bytes, WorkerId},
    os::{Clock, FileLock, LockState, disk_space, file_system, process_stat},
    store::{self, Store, backup, check, worker},
};
use serde::Serialize;
use std::{
    fs::{self, DirBuilder, File, OpenOptions},
    io::Write,
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
    sync::Arc,
};

/// Stands in a home while a restore into it is not done.
pub const UNFINISHED: &str = "restore.unfinished";
const STAGE: &str = ".restore";
const ASIDE: &str = "before-restore-";
const STEPS: usize = 100;

/// What to restore, and where to.
#[derive(Debug, Clone)]
pub struct Restore {
    pub file: PathBuf,
    pub home: PathBuf,
    /// Move what is in the home aside.
    pub force: bool,
    /// Bytes of the disk that stay free.
    pub reserve: Bytes,
}

/// A home that was restored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Restored {
    pub home: PathBuf,
    /// Of the new engine; `backup.engine_id` is the old one's.
    pub engine_id: String,
    /// Steps that ran when the backup was taken, and are claimable again.
    pub given_back: u64,
    /// Where the files went that were in the home.
    pub moved_aside: Option<PathBuf>,
    /// The setting `artifact_dir` was taken out: two homes must not share a directory.
    pub artifact_dir_unset: bool,
    pub backup: Checked,
}

impl Restore {
    pub fn run(&self, clock: &Arc<dyn Clock>, go_on: &dyn Fn() -> bool) -> Result<Restored> {
        let mut archive = Archive::open(&self.file)?;
        check_names(&archive)?;
        refuse_used(&self.home)?;
        let here = what_is_there(&self.home)?;
        let again = self.home.join(UNFINISHED).exists();
        if !here.is_empty() && !self.force && !again {
            return Err(Error::NotEmpty { home: self.home.clone() });
        }
        self.check_space(&archive)?;
        make_dir(&self.home)?;
        let home = fs::canonicalize(&self.home).map_err(Error::io("find", &self.home))?;
        let mark = home.join(UNFINISHED);
        write_durably(&mark, b"a restore into this directory was interrupted: restore again\n")?;
        let moved_aside = move_aside(&home, &here, clock.wall().0)?;
        let stage = home.join(STAGE);
        if stage.exists() {
            fs::remove_dir_all(&stage).map_err(Error::io("remove", &stage))?;
        }
        make_dir(&stage)?;
        let artifact_dir_unset = match unpack(&mut archive, &stage, go_on) {
            Ok(unset) => unset,
            Err(error) => {
                give_up(&home, moved_aside.is_none());
                return Err(error);
            }
        };
        let (engine_id, given_back) = renew(&stage, &archive.manifest.home, &home, clock)?;
        file_system::sync_file_system(&stage).map_err(Error::io("sync", &stage))?;
        move_in(&stage, &home)?;
        fs::remove_file(&mark).map_err(Error::io("remove", &mark))?;
        sync_dir(&home)?;
        let files = archive.manifest.files.iter();
        let vectors =
            files.filter_map(|it| it.name.strip_prefix("vectors/")?.strip_suffix(".db.zst").map(String::from));
        let backup = verify::of(&archive, vectors.collect());
        Ok(Restored { home, engine_id, given_back, moved_aside, artifact_dir_unset, backup })
    }

    fn check_space(&self, archive: &Archive) -> Result<()> {
        let manifest = &archive.manifest;
        let files = manifest.files.iter().fold(0u64, |sum, it| sum.saturating_add(it.plain));
        let needed = Bytes(files.saturating_add(manifest.artifact_bytes));
        let free = disk_space::free(&self.home).map_err(Error::io("read the free space of", &self.home))?;
        match admit_write(free, needed, self.reserve) {
            Admission::Admit => Ok(()),
            Admission::DiskLow { free, needed } => {
                Err(Error::DiskFull { dir: self.home.clone(), needed: needed.0, free: free.0 })
            }
        }
    }
}

/// Only names that we write: an archive of unknown origin must not place anything elsewhere.
fn check_names(archive: &Archive) -> Result<()> {
    let plain = |name: &str| {
        !name.is_empty() && !name.starts_with('.') && !name.contains(['/', '\\', '\0']) && name.len() < 200
    };
    let is_ours = |name: &str| {
        let vector = name.strip_prefix("vectors/").and_then(|it| it.strip_suffix(".db.zst"));
        let params = name.strip_prefix("params/");
        [DATABASE, SETTINGS].contains(&name) || vector.or(params).is_some_and(plain)
    };
    if let Some(odd) = archive.manifest.files.iter().find(|it| !is_ours(&it.name)) {
        return Err(archive.damaged(format!("`{}` is no file of a home", odd.name)));
    }
    let names = archive.artifacts();
    if names.len() as u64 != archive.manifest.artifacts {
        return Err(archive.damaged("artifacts are missing"));
    }
    match names.iter().find(|it| artifact_path(it).is_none()) {
        Some(odd) => Err(archive.damaged(format!("`{odd}` is no artifact"))),
        None => Ok(()),
    }
}

/// `artifacts/ab/abcd...[.zst]`, made anew from the hash.
fn artifact_path(name: &str) -> Option<PathBuf> {
    let file = name.strip_prefix("artifacts/")?.rsplit('/').next()?;
    let ending = if file.ends_with(".zst") { ".zst" } else { "" };
    let hash: ArtifactHash = file.trim_end_matches(".zst").parse().ok()?;
    let hash = hash.to_string();
    Some(Path::new("artifacts").join(&hash[..2]).join(format!("{hash}{ending}")))
}

/// A daemon or a worker that lives in the home.
fn refuse_used(home: &Path) -> Result<()> {
    let held = |path: &Path| matches!(FileLock::probe(path), Ok(LockState::Held));
    let used = |by: String| Err(Error::InUse { home: home.to_path_buf(), by });
    let daemon = home.join("engine.db.lock");
    if held(&daemon) {
        return used(match process_stat::who_holds_lock(&daemon) {
            Some(pid) => format!("windlass runs there as process {pid}"),
            None => "windlass runs there".to_string(),
        });
    }
    for entry in fs::read_dir(home.join("workers")).into_iter().flatten().flatten() {
        if held(&entry.path()) {
            let name = entry.file_name().to_string_lossy().trim_end_matches(".life").to_string();
            return used(format!("worker {name} runs there"));
        }
    }
    Ok(())
}

/// What is in a home, but marks and what an earlier restore moved aside.
fn what_is_there(home: &Path) -> Result<Vec<PathBuf>> {
    let entries = match fs::read_dir(home) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(source) => return Err(Error::Io { action: "list", path: home.to_path_buf(), source }),
    };
    let mut found = Vec::new();
    for entry in entries {
        let entry = entry.map_err(Error::io("list", home))?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if ![UNFINISHED, STAGE, ".gitignore"].contains(&name.as_str()) && !name.starts_with(ASIDE) {
            found.push(entry.path());
        }
    }
    Ok(found)
}

fn move_aside(home: &Path, here: &[PathBuf], now: i64) -> Result<Option<PathBuf>> {
    if here.is_empty() {
        return Ok(None);
    }
    let aside = home.join(format!("{ASIDE}{now}"));
    make_dir(&aside)?;
    for path in here {
        let name = path.file_name().unwrap_or_default();
        fs::rename(path, aside.join(name)).map_err(Error::io("move", path))?;
    }
    sync_dir(home)?;
    Ok(Some(aside))
}

/// After an unpacking that failed: an empty home is what it was; where files were moved aside the mark stays.
fn give_up(home: &Path, was_empty: bool) {
    let _ = fs::remove_dir_all(home.join(STAGE));
    if was_empty {
        let _ = fs::remove_file(home.join(UNFINISHED));
    }
}

/// Unpacks and checks everything. Whether the setting `artifact_dir` was taken out.
fn unpack(archive: &mut Archive, stage: &Path, go_on: &dyn Fn() -> bool) -> Result<bool> {
    let mut unset = false;
    for entry in archive.manifest.files.clone() {
        let name = entry.name.strip_suffix(".zst").unwrap_or(&entry.name);
        let path = stage.join(name);
        if entry.name == SETTINGS {
            let mut text = Vec::new();
            archive.read_listed(&entry, &mut text)?;
            let (text, found) = without_artifact_dir(&String::from_utf8_lossy(&text));
            unset = found;
            create(&path)?.write_all(text.as_bytes()).map_err(Error::io("write", &path))?;
            continue;
        }
        archive.read_listed(&entry, &mut create(&path)?)?;
        if !go_on() {
            return Err(Error::Stopped);
        }
    }
    make_dir(&stage.join("artifacts"))?;
    for name in archive.artifacts() {
        let Some(path) = artifact_path(&name).map(|it| stage.join(it)) else { continue };
        archive.read_artifact(&name, &mut create(&path)?)?;
        if !go_on() {
            return Err(Error::Stopped);
        }
    }
    Ok(unset)
}

fn without_artifact_dir(text: &str) -> (String, bool) {
    let mut found = false;
    let lines = text.lines().map(|line| match line.trim_start().starts_with("artifact_dir") {
        true => {
            found = true;
            format!("# taken out by `windlass restore`, since it belongs to another home: {line}\n")
        }
        false => format!("{line}\n"),
    });
    let text = lines.collect();
    (text, found)
}

/// Gives the copy a life of its own; its engine id, and how many steps were given back.
fn renew(stage: &Path, old_home: &str, home: &Path, clock: &Arc<dyn Clock>) -> Result<(String, u64)> {
    let database = stage.join("engine.db");
    let store = Store::open(&store::Options::new(&database), clock.clone())?;
    let renewed = give_new_life(&store, old_home, &home.to_string_lossy());
    store.close();
    drop(store);
    let (id, given_back) = renewed?;
    let problems = backup::read_copy(&database, |tx| Ok([check::integrity(tx)?, check::check(tx)?].concat()))?;
    match problems.is_empty() {
        true => Ok((id, given_back)),
        false => Err(Error::DamagedDatabase { problems }),
    }
}

fn give_new_life(store: &Store, old_home: &str, home: &str) -> Result<(String, u64)> {
    let (old, new) = (old_home.to_string(), home.to_string());
    store.write(move |tx| backup::renew(tx, &old, &new))?;
    let mut given_back = 0;
    for id in store.read(backup::workers)? {
        given_back += give_back(store, id)?;
    }
    store.write(backup::clear_step_locks)?;
    Ok((store.read(backup::engine_id)?, given_back))
}

fn give_back(store: &Store, id: WorkerId) -> Result<u64> {
    let mut count = 0;
    loop {
        let reaped = store.write(move |tx| worker::reap(tx, id, worker::Death::Restored, STEPS))?.len();
        count += reaped as u64;
        if reaped < STEPS {
            return Ok(count);
        }
    }
}

/// Moves everything into place, the database last: without it the rest is nobody's.
fn move_in(stage: &Path, home: &Path) -> Result<()> {
    let entries = fs::read_dir(stage).map_err(Error::io("list", stage))?;
    let mut paths: Vec<PathBuf> = entries.flatten().map(|it| it.path()).collect();
    paths.sort_by_key(|it| it.file_name().is_some_and(|it| it == "engine.db"));
    for path in paths {
        let name = path.file_name().unwrap_or_default();
        fs::rename(&path, home.join(name)).map_err(Error::io("move", &path))?;
    }
    sync_dir(home)?;
    fs::remove_dir(stage).map_err(Error::io("remove", stage))
}

fn make_dir(path: &Path) -> Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(Error::io("create", path))
}

fn create(path: &Path) -> Result<File> {
    if let Some(parent) = path.parent() {
        make_dir(parent)?;
    }
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).map_err(Error::io("create", path))
}

fn write_durably(path: &Path, bytes: &[u8]) -> Result<()> {
    let file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path);
    file.and_then(|mut file| file.write_all(bytes).and_then(|()| file.sync_all())).map_err(Error::io("write", path))?;
    sync_dir(path.parent().unwrap_or(Path::new(".")))
}

fn sync_dir(dir: &Path) -> Result<()> {
    File::open(dir).and_then(|it| it.sync_all()).map_err(Error::io("sync", dir))
}
