//! What is running, what is waiting, the workers, and each problem with the command that fixes it.

use super::{
    disk::{DiskView, disks, low_disk},
    error::Result,
    list::ListedGroup,
    lock::strangers,
    stranger,
    wording::{count, quoted},
    worker::{WorkerView, workers},
    writer::writer_held,
};
use crate::{
    engine::Engine,
    model::{Bytes, GroupId, Status, StepId, Timestamp},
    os::wal_readers,
    settings::platform_data_dir,
    store::{
        Store,
        lost_commits::{self, LostCommits},
        read::{self, GroupFilter, GroupRow, Queues, ResourceRow},
        schedule, synced_folder,
    },
};
use serde::Serialize;
use std::path::{Path, PathBuf};

/// A problem that a person should fix.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct Problem {
    pub text: String,
    pub command: Option<String>,
}

/// The daemon of a home.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct DaemonView {
    pub pid: Option<u32>,
    /// The address of the page and the API; null until it is bound.
    pub http: Option<String>,
    /// Null if unknown.
    pub since: Option<Timestamp>,
    pub version: Option<String>,
    /// `starting`, `ready` or `stopping`.
    pub phase: &'static str,
}

#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct StatusView {
    #[schema(value_type = String)]
    pub home: PathBuf,
    /// How to call windlass for this home in a shell: `windlass`, or `windlass --home '/my home'` if this is not the
    /// user's default home.
    pub call: String,
    /// Null if no daemon is running.
    pub daemon: Option<DaemonView>,
    #[schema(value_type = u64)]
    pub disk_free: Bytes,
    /// Whether there is enough free space for steps to start.
    pub disk_ok: bool,
    /// The disk of the home, and the disk of the artifacts if it is another. `disk_free` is the smaller value of the
    /// two.
    pub disks: Vec<DiskView>,
    pub queues: Queues,
    /// Resources and rates that steps hold or wait for, those with the longest lines first; at most 10.
    pub resources: Vec<ResourceRow>,
    /// Open groups.
    pub groups: Vec<ListedGroup>,
    /// Ended groups, newest first.
    pub recent: Vec<ListedGroup>,
    pub workers: Vec<WorkerView>,
    pub problems: Vec<Problem>,
}

/// How many groups are shown.
const GROUPS: usize = 10;
const RECENT: usize = 5;
/// How many resources are shown.
const RESOURCES: usize = 10;
/// How many of the steps that are due next are checked for a shortage.
const PUT_OFF: usize = 200;
/// A longer log gets a warning: it is emptied at a thousand pages unless a reader prevents that.
const LONG_LOG: u64 = 8 << 20;

/// `daemon` is the daemon of this home, as far as the caller knows.
pub fn status(engine: &Engine, daemon: Option<DaemonView>) -> Result<StatusView> {
    let disk = engine.disk();
    let store = engine.store();
    let newest = store.read(|tx| read::groups(tx, &GroupFilter { limit: GROUPS, ..GroupFilter::default() }))?;
    let mut groups = Vec::new();
    for status in [Status::Running, Status::Waiting, Status::Pending] {
        let filter = GroupFilter { status: Some(status), limit: GROUPS, ..GroupFilter::default() };
        groups.extend(store.read(|tx| read::groups(tx, &filter))?);
    }
    groups.truncate(GROUPS);
    let workers = workers(store)?.workers;
    let listed = |it: GroupRow| ListedGroup::new(it, &workers);
    let mut status = StatusView {
        home: engine.home().to_path_buf(),
        call: call(engine.home(), platform_data_dir(|name| std::env::var_os(name))),
        daemon,
        disk_free: disk.free,
        disk_ok: disk.enough,
        disks: disks(engine),
        queues: store.read(read::queues)?,
        resources: store.read(|tx| read::busy_resources(tx, RESOURCES))?,
        groups: groups.into_iter().map(listed).collect(),
        recent: newest.into_iter().filter(|it| it.ended.is_some()).take(RECENT).map(listed).collect(),
        workers,
        problems: Vec::new(),
    };
    status.problems = problems(engine, &status);
    if let Some((text, first)) = waits_for_room(store, None)? {
        status.problems.push(Problem { text, command: Some(format!("windlass why {first}")) });
    }
    // One indexed row per group, for these few groups only.
    for id in status.groups.iter().chain(&status.recent).map(|it| it.row.id) {
        if let Some(hook) = store.read(|tx| read::failed_hooks(tx, id, 1))?.pop() {
            let text = format!("hook {} ({}) of {id} failed: {}", hook.name, hook.event, hook.detail);
            status.problems.push(Problem { text, command: Some(format!("windlass show {id}")) });
        }
    }
    Ok(status)
}

/// A sentence about steps that wait for resources, in a group or in all, and the first of them. `None` if there are
/// none.
pub fn waits_for_room(store: &Store, group: Option<GroupId>) -> Result<Option<(String, StepId)>> {
    let mut found = store.read(|tx| read::put_off(tx, PUT_OFF))?;
    found.retain(|it| group.is_none_or(|group| it.group == group));
    let Some(first) = found.first() else { return Ok(None) };
    let who = match found.len() {
        1 => format!("{} waits for resources", first.step),
        steps => format!("{steps} steps wait for resources, {} first", first.step),
    };
    Ok(Some((format!("{who}: {}", first.reason), first.step)))
}

fn call(home: &Path, default: Option<PathBuf>) -> String {
    let real = |path: &Path| std::fs::canonicalize(path).unwrap_or_else(|_| path.to_path_buf());
    match default.is_some_and(|it| real(&it) == real(home)) {
        true => "windlass".to_string(),
        false => format!("windlass --home {}", quoted(&home.to_string_lossy())),
    }
}

/// A reader can keep the log from being emptied; the warning names it.
fn found_log(engine: &Engine, problem: &mut impl FnMut(String, Option<String>)) {
    let path = engine.store().path();
    let mut log = path.as_os_str().to_owned();
    log.push("-wal");
    // This only reads the file's size: nothing but SQLite opens the log.
    let length = std::fs::metadata(log).map_or(0, |it| it.len());
    let readers = if length > LONG_LOG { wal_readers::staying(path) } else { Vec::new() };
    let Some(first) = readers.first() else { return };
    let names: Vec<String> = readers.iter().map(|it| format!("process {it}")).collect();
    let text = format!(
        "the log of the database has {} MiB and grows: {} keeps reading and must end its transaction",
        length >> 20,
        names.join(", ")
    );
    problem(text, Some(format!("ps -p {first}")));
}

/// A sentence about lost commits of the database, with the place of its report.
pub fn lost_commits_words(dir: &Path, lost: Option<&LostCommits>) -> String {
    let kept = format!("a copy of the log is in {} (remove it when you have dealt with it)", dir.display());
    match lost {
        Some(lost) if lost.commits == 0 => format!(
            "the engine database has lost its newest commits, or is an old copy: {}; new numbers start above these; the report \
             is in {} (remove it when you have dealt with it)",
            lost.words(),
            dir.display()
        ),
        Some(lost) => format!("the log of the database was damaged, and {} were lost; {kept}", lost.words()),
        None => format!("the log of the database was damaged, and commits were lost; {kept}"),
    }
}

fn problems(engine: &Engine, status: &StatusView) -> Vec<Problem> {
    let mut found = Vec::new();
    let mut problem = |text: String, command: Option<String>| found.push(Problem { text, command });
    let alive = status.workers.iter().filter(|it| it.alive).count();
    let ready: i64 = status.queues.types.iter().map(|it| it.ready).sum();
    if let Some(low) = low_disk(engine) {
        let text = format!("{low}: no step starts; free some space, or lower the setting");
        problem(text, Some("windlass settings disk_reserve".to_string()));
    }
    if let Some(held) = writer_held(engine) {
        problem(held.text, Some(format!("ps -p {}", held.pid)));
    }
    // If the database can't be read, the rest of the output says so.
    for text in strangers(engine).unwrap_or_default() {
        problem(text, Some("windlass locks".to_string()));
    }
    for text in stranger::of_databases(engine).unwrap_or_default() {
        problem(format!("{text}: no document can be stored there"), Some("windlass locks".to_string()));
    }
    found_log(engine, &mut problem);
    for (dir, lost) in lost_commits::reports(engine.store().path()) {
        problem(lost_commits_words(&dir, lost.as_ref()), Some("windlass doctor".to_string()));
    }
    for (name, what) in engine.store().read(schedule::with_problems).unwrap_or_default() {
        problem(format!("schedule `{name}`: {what}"), Some(format!("windlass schedule show {name}")));
    }
    for it in engine.store().read(synced_folder::with_problems).unwrap_or_default() {
        let again = format!("windlass ingest {} --db {}", it.path, it.database);
        problem(format!("folder {}: {}", it.path, it.problem), Some(again));
    }
    if ready > 0 && alive == 0 {
        let text = format!("{} ready, but no worker is running", count(ready.max(0) as u64, "step"));
        problem(text, Some("windlass worker".to_string()));
    }
    for it in status.workers.iter().filter(|it| !it.alive) {
        let running = count(it.row.running.max(0) as u64, "step");
        let text = format!("worker {} is dead; the next worker takes over its {running}", it.row.id);
        problem(text, Some("windlass worker --until-idle".to_string()));
    }
    for it in status.groups.iter().map(|it| &it.row).filter(|it| it.paused) {
        let reason = it.paused_for.as_ref().map(|it| format!(": {it}")).unwrap_or_default();
        problem(format!("{} is paused{reason}", it.id), Some(format!("windlass resume {}", it.id)));
    }
    for it in status.queues.types.iter().filter(|it| it.paused) {
        problem(format!("the type `{}` is paused", it.step_type), Some(format!("windlass resume {}", it.step_type)));
    }
    for it in status.recent.iter().map(|it| &it.row).filter(|it| it.status == Status::Failed) {
        let text = format!("{} failed: {} of {}", it.id, it.failed, count(it.runs.max(0) as u64, "run"));
        problem(text, Some(format!("windlass why {}", it.id)));
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_names_the_home_unless_it_is_the_one_without_saying_so() {
        let home = tempfile::tempdir().unwrap();
        let home = home.path();
        assert_eq!(call(home, Some(home.join("."))), "windlass");
        assert_eq!(call(home, None), format!("windlass --home {}", home.display()));
        assert_eq!(call(Path::new("/my home"), Some(home.into())), "windlass --home '/my home'");
    }
}
