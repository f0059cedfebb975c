//! Restores a home from a backup.
//!
//! Everything is unpacked into a separate directory inside the home, checked and turned into a new engine, and only
//! then moved into place, the database last. From the first change to the last, the home contains a mark. No command
//! uses a home with that mark, and the next restore starts over. Existing files are moved aside, never deleted.

use super::{
    archive::{Archive, FileEntry, SETTINGS},
    error::{Error, Result},
    verify::{self, Checked, artifact_path, check_names},
};
use crate::{
    definition::ParameterSet,
    model::{Bytes, GroupId, WorkerId},
    os::{Clock, FileLock, LockState, file_system, ownership, process_stat},
    settings::{UNFINISHED_RESTORE, portable},
    store::{
        self, Store, backup, check, reap,
        restored::{self, DueHooks, Elsewhere},
    },
    vector,
};
use serde::Serialize;
use std::{
    fs::{self, DirBuilder, File, OpenOptions},
    io::Write,
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
    sync::Arc,
};

const STAGE: &str = ".restore";
const ASIDE: &str = "before-restore-";
/// The suffix of a parameter set that was set aside.
pub const SET_ASIDE: &str = ".restored";
const STEPS: usize = 100;

/// What to restore, and where.
#[derive(Debug, Clone)]
pub struct Restore {
    pub file: PathBuf,
    pub home: PathBuf,
    /// Moves the existing content of the home aside.
    pub force: bool,
    /// How much disk space to leave free.
    pub reserve: Bytes,
}

/// The result of a restore.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Restored {
    pub home: PathBuf,
    /// The id of the new engine; `backup.engine_id` is the old one.
    pub engine_id: String,
    /// How many steps were running when the backup was taken, and are claimable again.
    #[serde(rename = "given_back")]
    pub released: u64,
    /// Where the existing files of the home were moved.
    pub moved_aside: Option<PathBuf>,
    /// Settings that were removed: those that decide where the home writes, who can reach it, what starts automatically
    /// and how many resources it may use.
    pub settings_dropped: Vec<String>,
    /// Parameter sets that name a server, a key or a vector database outside of the home. Each is kept, unused, as
    /// `NAME.restored`.
    pub params_set_aside: Vec<String>,
    /// Vector databases outside of the home. The backup's knowledge about their documents was discarded.
    pub databases_elsewhere: Vec<String>,
    /// Groups that would write to one of these databases. Each is paused.
    pub paused: Vec<GroupId>,
    /// Hooks that were due for groups that had ended or that a user had paused. They do not run.
    pub hooks_ended: Vec<DueHooks>,
    /// Schedules and watched directories, which are paused: the old home may still start them.
    pub schedules_paused: Vec<String>,
    /// Groups that resume as soon as a worker starts in the home.
    pub will_run: Vec<backup::OpenGroup>,
    pub backup: Checked,
}

impl Restore {
    pub fn run(&self, clock: &Arc<dyn Clock>, go_on: &dyn Fn() -> bool) -> Result<Restored> {
        let mut archive = Archive::open(&self.file)?;
        check_names(&archive)?;
        refuse_used(&self.home)?;
        let here = what_is_there(&self.home)?;
        let again = self.home.join(UNFINISHED_RESTORE).exists();
        if !here.is_empty() && !self.force && !again {
            return Err(Error::NotEmpty { home: self.home.clone() });
        }
        self.check_space(&archive)?;
        let is_new = !self.home.exists();
        make_dir(&self.home)?;
        let home = fs::canonicalize(&self.home).map_err(Error::io("find", &self.home))?;
        let mark = home.join(UNFINISHED_RESTORE);
        let stage = home.join(STAGE);
        write_durably(&mark, b"a restore into this directory was interrupted: restore again\n")?;
        let (left_out, renewed) = match prepare(&mut archive, &stage, &home, clock, go_on) {
            Ok(prepared) => prepared,
            Err(error) => {
                give_up(&home, again, is_new);
                return Err(error);
            }
        };
        let moved_aside = move_aside(&home, &here, clock.wall().0)?;
        move_in(&stage, &home)?;
        fs::remove_file(&mark).map_err(Error::io("remove", &mark))?;
        sync_dir(&home)?;
        let files = archive.manifest.files.iter();
        let vectors =
            files.filter_map(|it| it.name.strip_prefix("vectors/")?.strip_suffix(".db.zst").map(String::from));
        let backup = verify::of(&archive, vectors.collect());
        let LeftOut { settings: settings_dropped, params: params_set_aside } = left_out;
        let Renewed { engine_id, released, elsewhere, hooks_ended, schedules_paused, will_run } = renewed;
        Ok(Restored {
            home,
            engine_id,
            released,
            moved_aside,
            settings_dropped,
            params_set_aside,
            databases_elsewhere: elsewhere.databases.into_iter().collect(),
            paused: elsewhere.paused.into_iter().collect(),
            hooks_ended,
            schedules_paused,
            will_run,
            backup,
        })
    }

    fn check_space(&self, archive: &Archive) -> Result<()> {
        let manifest = &archive.manifest;
        let files = manifest.files.iter().fold(0u64, |sum, it| sum.saturating_add(it.plain));
        verify::check_space(&self.home, files.saturating_add(manifest.artifact_bytes), self.reserve)
    }
}

/// Refuses a home with a running daemon or worker.
fn refuse_used(home: &Path) -> Result<()> {
    let held = |path: &Path| matches!(FileLock::probe(path), Ok(LockState::Held));
    let used = |by: String| Err(Error::InUse { home: home.to_path_buf(), by });
    let daemon = home.join("engine.db.lock");
    if held(&daemon) {
        return used(match process_stat::who_holds_lock(&daemon) {
            Some(pid) => format!("windlass is running there as process {pid}"),
            None => "windlass is running there".to_string(),
        });
    }
    for entry in fs::read_dir(home.join("workers")).into_iter().flatten().flatten() {
        if held(&entry.path()) {
            let name = entry.file_name();
            let worker = Path::new(&name).file_stem().unwrap_or(&name).to_string_lossy();
            return used(format!("worker {worker} is running there"));
        }
    }
    Ok(())
}

/// The contents of a home, except marks and what an earlier restore moved aside.
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
        if ![UNFINISHED_RESTORE, STAGE, ".gitignore"].contains(&name.as_str()) && !name.starts_with(ASIDE) {
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

/// Restores the previous state after a refusal. If an earlier restore left a mark, the mark stays, because that restore
/// may have moved some of the files.
fn give_up(home: &Path, again: bool, is_new: bool) {
    let _ = fs::remove_dir_all(home.join(STAGE));
    if !again {
        let _ = fs::remove_file(home.join(UNFINISHED_RESTORE));
    }
    if is_new {
        let _ = fs::remove_dir(home);
    }
}

/// Builds the new home in the stage. The existing contents of the home do not change.
fn prepare(
    archive: &mut Archive,
    stage: &Path,
    home: &Path,
    clock: &Arc<dyn Clock>,
    go_on: &dyn Fn() -> bool,
) -> Result<(LeftOut, Renewed)> {
    if stage.exists() {
        fs::remove_dir_all(stage).map_err(Error::io("remove", stage))?;
    }
    make_dir(stage)?;
    let left_out = unpack(archive, stage, go_on)?;
    let renewed = renew(stage, &archive.manifest.home, home, clock)?;
    file_system::sync_file_system(stage).map_err(Error::io("sync", stage))?;
    Ok((left_out, renewed))
}

/// Settings and sets that the owner of the new home has to decide on.
#[derive(Default)]
struct LeftOut {
    settings: Vec<String>,
    params: Vec<String>,
}

/// Unpacks and checks everything.
fn unpack(archive: &mut Archive, stage: &Path, go_on: &dyn Fn() -> bool) -> Result<LeftOut> {
    let mut left_out = LeftOut::default();
    for entry in archive.manifest.files.clone() {
        let path = stage.join(entry.name.strip_suffix(".zst").unwrap_or(&entry.name));
        if entry.name == SETTINGS {
            let text = text_of(archive, &entry)?;
            let ported = portable(&text).map_err(|it| archive.damaged(format!("`{SETTINGS}` is not TOML: {it}")))?;
            left_out.settings = ported.dropped;
            write_new(&path, ported.text.as_bytes())?;
        } else if let Some(name) = entry.name.strip_prefix("params/") {
            let text = text_of(archive, &entry)?;
            let aside = leads_out(name, &text);
            let kept_as = if aside { format!("{name}{SET_ASIDE}") } else { name.to_string() };
            left_out.params.extend(aside.then(|| name.to_string()));
            write_new(&path.with_file_name(kept_as), text.as_bytes())?;
        } else {
            archive.read_listed(&entry, &mut create(&path)?)?;
        }
        if entry.name.starts_with("vectors/") {
            vector::backup::check_copy(&path)?;
        }
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
    Ok(left_out)
}

fn text_of(archive: &mut Archive, entry: &FileEntry) -> Result<String> {
    String::from_utf8(archive.read_small(entry)?).map_err(|_| archive.damaged(format!("`{}` is not UTF-8", entry.name)))
}

/// Whether a parameter set names a server that would receive texts, a key, or a vector database outside of the home.
/// The owner of the new home has to approve these; a backup can't.
fn leads_out(name: &str, text: &str) -> bool {
    if !(name.ends_with(".yaml") || name.ends_with(".yml")) {
        return false;
    }
    let Ok(set) = ParameterSet::parse(text, name) else { return true };
    let names_one = |stage: &str, key: &str| !set.config[stage][key].is_null();
    let database = set.config["store"]["path"].as_str().unwrap_or_default();
    let is_path = database.contains('/') || database.ends_with(".db");
    is_path || names_one("embed", "url") || names_one("embed", "key") || names_one("parse", "url")
}

/// The copied engine after it got its own identity.
struct Renewed {
    engine_id: String,
    /// The number of steps.
    released: u64,
    elsewhere: Elsewhere,
    hooks_ended: Vec<DueHooks>,
    schedules_paused: Vec<String>,
    will_run: Vec<backup::OpenGroup>,
}

fn renew(stage: &Path, old_home: &str, home: &Path, clock: &Arc<dyn Clock>) -> Result<Renewed> {
    let database = stage.join("engine.db");
    let store = Store::open(&store::Options::new(&database), clock.clone())?;
    let renewed = give_new_life(&store, old_home, &home.to_string_lossy());
    store.close();
    drop(store);
    let renewed = renewed?;
    let problems = backup::read_copy(&database, |tx| Ok([check::integrity(tx)?, check::check(tx)?].concat()))?;
    match problems.is_empty() {
        true => Ok(renewed),
        false => Err(Error::DamagedDatabase { problems }),
    }
}

fn give_new_life(store: &Store, old_home: &str, home: &str) -> Result<Renewed> {
    let (old, new) = (old_home.to_string(), home.to_string());
    let elsewhere = store.write(move |tx| backup::renew(tx, &old, &new))?;
    let mut released = 0;
    for id in store.read(backup::workers)? {
        released += give_back(store, id)?;
    }
    store.write(backup::clear_step_locks)?;
    let hooks_ended = store.write(restored::end_hooks)?;
    let mut schedules_paused = Vec::new();
    loop {
        let paused = store.write(|tx| restored::pause_schedules(tx, STEPS))?;
        if paused.is_empty() {
            break;
        }
        schedules_paused.extend(paused);
    }
    let (engine_id, will_run) = store.read(|tx| Ok((backup::engine_id(tx)?, backup::open_groups(tx)?)))?;
    Ok(Renewed { engine_id, released, elsewhere, hooks_ended, schedules_paused, will_run })
}

fn give_back(store: &Store, id: WorkerId) -> Result<u64> {
    let mut count = 0;
    loop {
        let reaped = store.write(move |tx| reap::reap(tx, id, reap::Death::Restored, STEPS))?.len();
        count += reaped as u64;
        if reaped < STEPS {
            return Ok(count);
        }
    }
}

/// Moves everything into place, the database last: without the database, the other files are unused.
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

fn write_new(path: &Path, bytes: &[u8]) -> Result<()> {
    create(path)?.write_all(bytes).map_err(Error::io("write", path))
}

fn write_durably(path: &Path, bytes: &[u8]) -> Result<()> {
    let file = ownership::open_empty(path);
    file.and_then(|mut file| file.write_all(bytes).and_then(|()| file.sync_all())).map_err(Error::io("write", path))?;
    sync_dir(path.parent().unwrap_or(Path::new(".")))
}

fn sync_dir(dir: &Path) -> Result<()> {
    File::open(dir).and_then(|it| it.sync_all()).map_err(Error::io("sync", dir))
}
