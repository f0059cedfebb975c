//! Watched directories: each version of a file starts its workflow once, whatever happens to processes, directories and
//! hints.

mod support {
    pub mod binary;
    pub mod plant;
}

use proptest::prelude::*;
use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};
use support::{binary::Windlass, plant};
use windlass::{
    definition::{KnownKinds, parse_file},
    engine::{Engine, ScheduledWorkflow, Watches},
    model::{FiringState, GroupId, Millis, Monotonic, Status, Timestamp},
    os::MovableClock,
    store::{
        check,
        read::{self, GroupFilter, RunFilter},
        schedule::{self, FiringRow},
        watch::{self, WatchedFile},
    },
    view,
};

const SETTLED: Millis = Millis(2_000);
const NEW_YEAR: i64 = 1_767_225_600_000;

/// A home, a watched directory, and a clock controlled by the test.
struct House {
    dir: tempfile::TempDir,
    clock: Arc<MovableClock>,
    engine: Engine,
}

impl House {
    fn new() -> House {
        let dir = tempfile::tempdir().unwrap();
        let clock = Arc::new(MovableClock::new(Timestamp(NEW_YEAR), Monotonic(1_000_000)));
        fs::create_dir(dir.path().join("home")).unwrap();
        let engine = plant::open_with(&dir.path().join("home"), clock.clone(), |it| it);
        House { dir, clock, engine }
    }

    /// Watches `in`, with these additional fields.
    fn watching(more: &str) -> House {
        let house = House::new();
        fs::create_dir(house.inbox()).unwrap();
        house.add(more);
        house
    }

    fn inbox(&self) -> PathBuf {
        self.dir.path().join("in")
    }

    fn add(&self, more: &str) {
        let new =
            self.workflow(&format!("id: w\non: {{ files: in{more} }}\nsteps: [{{ name: a, uses: windlass/noop }}]\n"));
        self.engine.add_schedule(&new).unwrap();
    }

    fn workflow(&self, text: &str) -> ScheduledWorkflow {
        let file = parse_file(text, "w.yaml", &KnownKinds::new(self.engine.kinds().names())).unwrap();
        ScheduledWorkflow {
            name: file.definition.id.clone(),
            trigger: file.trigger().unwrap(),
            definition: file.definition,
            items_from: file.items_from,
            params: serde_json::json!({}),
            directory: self.dir.path().to_str().unwrap().into(),
            file: "w.yaml".into(),
            priority: 0,
            weight: 1,
        }
    }

    fn write(&self, path: &str, text: &str) {
        let path = self.inbox().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    fn row(&self) -> schedule::ScheduleRow {
        self.engine.store().read(|tx| schedule::get(tx, "w")).unwrap()
    }

    fn firings(&self) -> Vec<FiringRow> {
        let id = self.row().id;
        self.engine.store().read(|tx| schedule::firings(tx, id, 1_000)).unwrap()
    }

    /// How many runs each file has, by its path below the directory.
    fn runs(&self) -> BTreeMap<String, usize> {
        let mut found = BTreeMap::new();
        for group in self.groups() {
            for item in self.items(group) {
                *found.entry(item).or_default() += 1;
            }
        }
        found
    }

    fn groups(&self) -> Vec<GroupId> {
        groups(&self.engine)
    }

    fn items(&self, group: GroupId) -> Vec<String> {
        let root = format!("{}/", self.inbox().display());
        items(&self.engine, group).iter().map(|it| it.strip_prefix(&root).unwrap_or(it).to_string()).collect()
    }

    /// Lets time pass in small steps, with a look after each.
    fn pass(&self, watches: &mut Watches, time: Millis) {
        for _ in 0..4 {
            self.clock.advance(Millis(time.0 / 4));
            watches.look().unwrap();
        }
    }

    /// Lets time pass until nothing can be waiting any more.
    fn settle(&self, watches: &mut Watches) {
        watches.look().unwrap();
        // Longer than the pause between two readings of the directory.
        self.clock.advance(Millis::seconds(1));
        watches.look().unwrap();
        for _ in 0..4 {
            self.pass(watches, Millis(SETTLED.0 + 400));
        }
    }

    fn settled(&self) -> BTreeMap<String, usize> {
        self.settle(&mut Watches::new(&self.engine));
        self.runs()
    }

    #[track_caller]
    fn is_sound(&self) {
        assert_eq!(self.engine.store().read(check::check).unwrap(), Vec::<String>::new());
    }
}

fn groups(engine: &Engine) -> Vec<GroupId> {
    let filter = GroupFilter { status: None, limit: 100_000, before: None, below: Default::default() };
    engine.store().read(|tx| read::groups(tx, &filter)).unwrap().iter().map(|it| it.id).collect()
}

fn items(engine: &Engine, group: GroupId) -> Vec<String> {
    let filter = RunFilter { status: None, after: None, limit: 1_000_000 };
    engine.store().read(|tx| read::runs(tx, group, &filter)).unwrap().into_iter().map(|it| it.item).collect()
}

fn counts(expected: &[(&str, usize)]) -> BTreeMap<String, usize> {
    expected.iter().map(|(path, count)| (path.to_string(), *count)).collect()
}

fn eventually<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < deadline, "{what}");
        std::thread::yield_now();
    }
}

#[test]
fn files_that_come_together_are_one_group_with_one_run_each() {
    let house = House::watching("");
    house.write("before", "was there");
    let mut watches = Watches::new(&house.engine);
    watches.look().unwrap();
    house.write("a", "1");
    house.write("b", "2");
    house.write(".hidden", "");
    watches.look().unwrap();
    assert_eq!(house.groups(), [], "nothing has settled");
    house.settle(&mut watches);
    assert_eq!(house.groups().len(), 1);
    assert_eq!(house.runs(), counts(&[("a", 1), ("b", 1), ("before", 1)]));
    let firing = &house.firings()[0];
    assert_eq!((firing.state, firing.detail.as_str()), (FiringState::Started, "3 files"));
    house.settle(&mut watches);
    house.settle(&mut Watches::new(&house.engine));
    assert_eq!(house.groups().len(), 1, "nothing is done twice");
    house.write("c", "3");
    house.settle(&mut watches);
    assert_eq!(house.items(house.groups()[0]), ["c"]);
    house.is_sound();
}

#[test]
fn a_file_that_is_being_written_waits_and_delays_others_only_a_little() {
    let house = House::watching("");
    let mut watches = Watches::new(&house.engine);
    watches.look().unwrap();
    house.write("done", "x");
    let mut text = String::new();
    for _ in 0..40 {
        text.push('x');
        house.write("growing", &text);
        house.pass(&mut watches, Millis(400));
    }
    assert_eq!(house.runs(), counts(&[("done", 1)]), "sixteen seconds, and it was never unchanged for two");
    house.settle(&mut watches);
    assert_eq!(house.runs(), counts(&[("done", 1), ("growing", 1)]));
}

#[test]
fn a_file_runs_again_in_each_new_version_and_only_then() {
    let house = House::watching("");
    let mut watches = Watches::new(&house.engine);
    house.write("a", "one");
    house.settle(&mut watches);
    let path = house.inbox().join("a");
    let time = |seconds| std::time::UNIX_EPOCH + Duration::from_secs(seconds);
    let touched = |seconds| fs::File::options().write(true).open(&path).unwrap().set_modified(time(seconds)).unwrap();
    house.write("a", "other");
    house.settle(&mut watches);
    assert_eq!(house.runs(), counts(&[("a", 2)]), "it changed");
    house.write("a", "one");
    house.settle(&mut watches);
    assert_eq!(house.runs(), counts(&[("a", 3)]), "the old content at another time is a change");
    touched(1_000_000);
    house.settle(&mut watches);
    assert_eq!(house.runs(), counts(&[("a", 4)]), "so is another time");
    house.write("b", "one");
    fs::File::options().write(true).open(house.inbox().join("b")).unwrap().set_modified(time(1_000_000)).unwrap();
    house.settle(&mut watches);
    fs::rename(house.inbox().join("b"), &path).unwrap();
    house.settle(&mut watches);
    assert_eq!(house.runs(), counts(&[("a", 5), ("b", 1)]), "another file with the same size and time took its place");
    fs::remove_file(&path).unwrap();
    house.settle(&mut watches);
    assert_eq!(view::show_schedule(&house.engine, "w").unwrap().watch.unwrap().known, 0, "it is forgotten");
    assert_eq!(house.runs(), counts(&[("a", 5), ("b", 1)]), "and started nothing");
    house.write("a", "one");
    touched(1_000_000);
    house.settle(&mut watches);
    assert_eq!(house.runs(), counts(&[("a", 6), ("b", 1)]), "it came anew");
}

#[test]
fn files_that_changed_while_nobody_watched_are_found() {
    let house = House::watching("");
    for name in ["a", "b", "c"] {
        house.write(name, "one");
    }
    assert_eq!(house.settled(), counts(&[("a", 1), ("b", 1), ("c", 1)]));
    house.write("a", "changed");
    fs::remove_file(house.inbox().join("b")).unwrap();
    house.write("d", "new");
    assert_eq!(house.settled(), counts(&[("a", 2), ("b", 1), ("c", 1), ("d", 1)]));
    assert_eq!(view::show_schedule(&house.engine, "w").unwrap().watch.unwrap().known, 3);
}

#[test]
fn without_existing_only_what_comes_later_counts() {
    let house = House::new();
    fs::create_dir(house.inbox()).unwrap();
    house.write("old", "x");
    house.add(", existing: false");
    let mut watches = Watches::new(&house.engine);
    house.write("new", "x");
    house.settle(&mut watches);
    assert_eq!(house.runs(), counts(&[("new", 1)]));
    house.write("later", "x");
    // While another process holds the watch, and without losing new files.
    house.add(", existing: false, settled: 1s");
    house.settle(&mut watches);
    assert_eq!(house.runs(), counts(&[("later", 1), ("new", 1)]));
    house.write("old", "changed");
    house.settle(&mut watches);
    assert_eq!(house.runs(), counts(&[("later", 1), ("new", 1), ("old", 1)]));
    drop(watches);
    fs::create_dir_all(house.inbox().join("below")).unwrap();
    house.write("below/x", "x");
    house.add(", existing: false, match: '**/x'");
    assert_eq!(house.settled().get("below/x"), None, "other files are meant: those that are there count as existing");
    house.write("below/x", "changed");
    assert_eq!(house.settled().get("below/x"), Some(&1));
    house.is_sound();
}

#[test]
fn a_directory_may_come_later_vanish_and_return() {
    let house = House::new();
    house.add("");
    let mut watches = Watches::new(&house.engine);
    house.settle(&mut watches);
    assert!(house.row().problem.contains("is not a directory"), "{:?}", house.row());
    let problems = view::status(&house.engine, None).unwrap().problems;
    assert!(
        problems.iter().any(|it| it.text.contains("`w`") && it.text.contains("is not a directory")),
        "{problems:?}"
    );
    house.write("a", "x");
    house.settle(&mut watches);
    assert_eq!((house.runs(), house.row().problem.as_str()), (counts(&[("a", 1)]), ""));
    let away = house.dir.path().join("away");
    fs::rename(house.inbox(), &away).unwrap();
    house.settle(&mut watches);
    assert!(house.row().problem.contains("is not a directory"));
    // An empty directory in its place, as if a disk were not mounted.
    fs::create_dir(house.inbox()).unwrap();
    house.settle(&mut watches);
    house.settle(&mut Watches::new(&house.engine));
    assert_eq!(view::show_schedule(&house.engine, "w").unwrap().watch.unwrap().known, 1, "nothing is forgotten");
    fs::remove_dir(house.inbox()).unwrap();
    fs::write(away.join("b"), "x").unwrap();
    fs::rename(&away, house.inbox()).unwrap();
    house.settle(&mut watches);
    assert_eq!(
        (house.runs(), house.row().problem.as_str()),
        (counts(&[("a", 1), ("b", 1)]), ""),
        "nothing is done twice"
    );
    house.write("c", "x");
    house.settle(&mut watches);
    assert_eq!(house.runs().get("c"), Some(&1), "it is watched again");
    house.is_sound();
}

#[test]
fn directories_below_are_watched_where_a_pattern_says_so() {
    let house = House::watching(", match: '**/*.pdf'");
    let mut watches = Watches::new(&house.engine);
    house.write("in/deep/a.pdf", "x");
    house.write("in/a.txt", "x");
    house.write(".trash/a.pdf", "x");
    std::os::unix::fs::symlink(house.inbox().join("in/deep/a.pdf"), house.inbox().join("link.pdf")).unwrap();
    std::os::unix::fs::symlink(house.inbox(), house.inbox().join("loop")).unwrap();
    house.settle(&mut watches);
    assert_eq!(house.runs(), counts(&[("in/deep/a.pdf", 1)]));
    house.write("new/directory/b.pdf", "x");
    house.settle(&mut watches);
    house.write("new/directory/c.pdf", "x");
    house.settle(&mut watches);
    assert_eq!(house.runs().len(), 3, "{:?}", house.runs());
    fs::rename(house.inbox().join("new"), house.inbox().join("other")).unwrap();
    house.settle(&mut watches);
    house.write("other/directory/d.pdf", "x");
    house.settle(&mut watches);
    assert_eq!(house.runs().keys().filter(|it| it.starts_with("other/directory/")).count(), 3, "{:?}", house.runs());
}

#[test]
fn names_that_are_not_utf8_are_said_and_keep_no_other_file() {
    let house = House::watching("");
    let mut watches = Watches::new(&house.engine);
    let odd = house.inbox().join(std::ffi::OsStr::from_bytes(b"caf\xe9"));
    fs::write(&odd, "x").unwrap();
    house.write("a", "x");
    house.settle(&mut watches);
    assert_eq!(house.runs(), counts(&[("a", 1)]));
    assert!(house.row().problem.contains("not UTF-8: rename it"), "{:?}", house.row());
    fs::rename(&odd, house.inbox().join("café")).unwrap();
    house.settle(&mut watches);
    assert_eq!((house.runs(), house.row().problem.as_str()), (counts(&[("a", 1), ("café", 1)]), ""));
}

#[test]
fn more_changes_than_the_kernel_remembers_lose_no_file() {
    let house = House::watching("");
    let mut watches = Watches::new(&house.engine);
    watches.look().unwrap();
    let most =
        fs::read_to_string("/proc/sys/fs/inotify/max_queued_events").map_or(16_384, |it| it.trim().parse().unwrap());
    // Two events each: created and closed.
    let files = usize::min(most / 2 + 10, 20_000);
    for no in 0..files {
        house.write(&format!("{no}"), "");
    }
    house.write("last", "");
    house.settle(&mut watches);
    let runs = house.runs();
    assert_eq!((runs.len(), runs.values().max()), (files + 1, Some(&1)));
    house.write("after", "");
    house.settle(&mut watches);
    assert_eq!(house.runs().get("after"), Some(&1));
}

#[test]
fn an_idle_watch_writes_nothing() {
    let house = House::watching(", every: 1s");
    house.write("a", "x");
    fs::write(house.inbox().join(std::ffi::OsStr::from_bytes(b"\xff")), "x").unwrap();
    let mut watches = Watches::new(&house.engine);
    house.settle(&mut watches);
    let commits = house.engine.store().watch().unwrap();
    let before = commits.version().unwrap();
    for _ in 0..50 {
        house.pass(&mut watches, Millis::seconds(60));
    }
    assert_eq!(commits.version().unwrap(), before);
    assert_eq!(house.runs(), counts(&[("a", 1)]));
}

#[test]
fn only_one_process_watches_and_another_takes_over() {
    let house = House::watching("");
    let other = plant::open_with(&house.dir.path().join("home"), house.clock.clone(), |it| it);
    let (mut first, mut second) = (Watches::new(&house.engine), Watches::new(&other));
    first.look().unwrap();
    second.look().unwrap();
    house.write("a", "x");
    for _ in 0..10 {
        house.pass(&mut second, SETTLED);
    }
    assert_eq!(house.groups(), [], "the other one watches");
    assert!(view::show_schedule(&house.engine, "w").unwrap().watch.unwrap().watched);
    drop(first);
    house.settle(&mut second);
    assert_eq!(house.runs(), counts(&[("a", 1)]));
    drop(second);
    assert!(!view::show_schedule(&house.engine, "w").unwrap().watch.unwrap().watched);
}

#[test]
fn a_burst_that_a_crash_interrupted_is_submitted_once() {
    let house = House::watching("");
    for name in ["a", "b", "c"] {
        house.write(name, "x");
    }
    // The crash comes after two of three files were recorded.
    let row = house.engine.store().read(watch::all).unwrap().remove(0);
    let version = |name: &str| {
        use std::os::unix::fs::MetadataExt;
        let it = fs::metadata(house.inbox().join(name)).unwrap();
        let mtime = it.mtime() * 1_000_000_000 + it.mtime_nsec();
        windlass::decide::watch::FileVersion { size: it.len() as i64, mtime, inode: it.ino() as i64 }
    };
    let files: Vec<_> = ["a", "b"].map(|it| WatchedFile { path: it.into(), version: version(it) }).into();
    let burst = Timestamp(NEW_YEAR);
    assert!(house.engine.store().write(move |tx| watch::gather(tx, &row, burst, &files)).unwrap());
    assert_eq!(house.firings()[0].state, FiringState::Collecting);
    assert_eq!(house.settled(), counts(&[("a", 1), ("b", 1), ("c", 1)]));
    assert_eq!(house.groups().len(), 2, "the rest is a burst of its own");
    // The crash comes after the submission, and the workflow was replaced since.
    let database = rusqlite::Connection::open(house.dir.path().join("home/engine.db")).unwrap();
    database.execute("UPDATE firing SET state = 1, group_id = NULL WHERE instant = ?1", [NEW_YEAR]).unwrap();
    let text = "id: w\non: { files: in }\nsteps: [{ name: b, uses: windlass/noop }]\n";
    house.engine.add_schedule(&house.workflow(text)).unwrap();
    assert_eq!(house.settled(), counts(&[("a", 1), ("b", 1), ("c", 1)]));
    assert_eq!(
        house.firings().iter().map(|it| it.state).collect::<BTreeSet<_>>(),
        BTreeSet::from([FiringState::Started])
    );
    house.is_sound();
}

#[test]
fn a_pause_holds_files_back_and_a_removal_forgets_them() {
    let house = House::watching("");
    let mut watches = Watches::new(&house.engine);
    house.write("a", "x");
    house.settle(&mut watches);
    assert!(house.engine.pause_schedule("w").unwrap());
    house.write("b", "x");
    house.settle(&mut watches);
    assert_eq!(house.runs(), counts(&[("a", 1)]));
    assert!(house.engine.resume_schedule("w").unwrap());
    house.settle(&mut watches);
    assert_eq!(house.runs(), counts(&[("a", 1), ("b", 1)]));
    assert_eq!(house.engine.run_schedule("w").unwrap().state, FiringState::Started, "by hand, for all that is there");
    assert_eq!(house.runs(), counts(&[("a", 2), ("b", 2)]));
    let refused = house.engine.backfill_schedule("w", Timestamp(0), Timestamp(1)).unwrap_err().to_string();
    assert!(refused.contains("has no times"), "{refused}");
    house.engine.remove_schedule("w").unwrap();
    house.settle(&mut watches);
    assert_eq!(house.engine.store().read(watch::orphan).unwrap(), None);
    house.add("");
    house.settle(&mut watches);
    assert_eq!(house.runs(), counts(&[("a", 3), ("b", 3)]), "a new watch knows nothing");
    house.is_sound();
}

#[test]
fn another_directory_begins_anew_and_times_end_the_watch() {
    let house = House::watching("");
    house.write("a", "x");
    house.settled();
    fs::create_dir(house.dir.path().join("other")).unwrap();
    fs::write(house.dir.path().join("other/a"), "x").unwrap();
    let text = "id: w\non: { files: other }\nsteps: [{ name: a, uses: windlass/noop }]\n";
    house.engine.add_schedule(&house.workflow(text)).unwrap();
    assert_eq!(house.settled().len(), 2, "{:?}", house.runs());
    let text = "id: w\nschedule: { every: 1d }\nsteps: [{ name: a, uses: windlass/noop }]\n";
    house.engine.add_schedule(&house.workflow(text)).unwrap();
    fs::write(house.dir.path().join("other/b"), "x").unwrap();
    assert_eq!(house.settled().len(), 2);
    assert!(view::show_schedule(&house.engine, "w").unwrap().watch.is_none());
    assert_eq!(house.engine.store().read(watch::orphan).unwrap(), None);
    house.is_sound();
}

#[test]
fn a_workflow_that_cannot_start_loses_no_file() {
    let house = House::new();
    fs::create_dir(house.inbox()).unwrap();
    let keyed = |key: &str| {
        format!("id: w\non: {{ files: in }}\nsteps: [{{ name: a, uses: windlass/noop, resource_key: '{key}' }}]\n")
    };
    house.engine.add_schedule(&house.workflow(&keyed("vec:{{ item.no }}"))).unwrap();
    house.write("a", "x");
    let mut watches = Watches::new(&house.engine);
    house.settle(&mut watches);
    assert_eq!(house.groups(), []);
    let row = house.row();
    assert!(!row.problem.is_empty(), "{row:?}");
    assert_eq!(house.firings().iter().map(|it| it.state).collect::<Vec<_>>(), [FiringState::Failed], "once");
    house.engine.add_schedule(&house.workflow(&keyed("k"))).unwrap();
    house.settle(&mut watches);
    assert_eq!((house.runs(), house.row().problem.as_str()), (counts(&[("a", 1)]), ""));
    let skips = "id: s\non: { files: in }\nconcurrency: { group: g, policy: skip }\nsteps: [{ name: a, uses: windlass/noop }]\n";
    let refused = house.engine.add_schedule(&house.workflow(skips)).unwrap_err().to_string();
    assert!(refused.contains("can't skip groups"), "{refused}");
    house.is_sound();
}

#[test]
fn a_hundred_thousand_files_are_found_noted_and_started() {
    const FILES: usize = 100_000;
    let house = House::watching(", match: '*/*'");
    for directory in 0..10 {
        fs::create_dir(house.inbox().join(directory.to_string())).unwrap();
        for no in 0..FILES / 10 {
            fs::File::create(house.inbox().join(format!("{directory}/{no}"))).unwrap();
        }
    }
    let mut watches = Watches::new(&house.engine);
    house.settle(&mut watches);
    let groups = house.groups();
    let runs: usize = groups.iter().map(|it| house.items(*it).len()).sum();
    assert_eq!((groups.len(), runs), (1, FILES));
    house.settle(&mut Watches::new(&house.engine));
    house.write("3/7", "changed");
    house.write("4/new", "new");
    house.settle(&mut watches);
    assert_eq!(house.items(house.groups()[0]), ["3/7", "4/new"]);
    fs::remove_dir_all(house.inbox().join("5")).unwrap();
    house.clock.advance(Millis::minutes(2));
    house.settle(&mut watches);
    assert_eq!(view::show_schedule(&house.engine, "w").unwrap().watch.unwrap().known, (FILES - FILES / 10 + 1) as i64);
}

/// What happens to the files and to the watching process.
#[derive(Debug, Clone)]
enum Deed {
    Writes(usize),
    Renames(usize, usize),
    Removes(usize),
    /// This many milliseconds pass.
    Looks(u64),
    /// The process is killed, and another one starts.
    Killed,
    /// It is killed after it has recorded a burst, before it submits its group.
    KilledInABurst,
    /// Everything has time to settle.
    Settles,
}

fn deeds() -> impl Strategy<Value = Vec<Deed>> {
    let deed = prop_oneof![
        6 => (0..5usize).prop_map(Deed::Writes),
        2 => (0..5usize, 0..5usize).prop_map(|(from, to)| Deed::Renames(from, to)),
        2 => (0..5usize).prop_map(Deed::Removes),
        6 => (100..3_000u64).prop_map(Deed::Looks),
        1 => Just(Deed::Killed),
        1 => Just(Deed::KilledInABurst),
        1 => Just(Deed::Settles),
    ];
    proptest::collection::vec(deed, 20..60)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(), ..ProptestConfig::default() })]
    #[test]
    fn each_version_that_settles_has_one_run(deeds in deeds()) {
        let house = House::watching("");
        let mut watches = Watches::new(&house.engine);
        let mut model = Model::default();
        let mut sizes = 0;
        for deed in deeds.iter().chain([&Deed::Settles]) {
            match deed {
                Deed::Writes(file) => {
                    // Two changes within one tick of the file system's clock differ in size.
                    sizes += 1;
                    house.write(&file.to_string(), &"x".repeat(sizes));
                    model.changes(*file, sizes);
                }
                Deed::Renames(from, to) => if from != to && fs::rename(house.inbox().join(from.to_string()), house.inbox().join(to.to_string())).is_ok() {
                    let version = model.files.remove(from).unwrap();
                    model.changes(*to, version);
                },
                Deed::Removes(file) => if fs::remove_file(house.inbox().join(file.to_string())).is_ok() {
                    model.files.remove(file);
                },
                Deed::Looks(time) => house.pass(&mut watches, Millis(*time)),
                Deed::Killed => watches = Watches::new(&house.engine),
                Deed::KilledInABurst => {
                    drop(watches);
                    noted_by_a_dead_process(&house);
                    model.settles(false);
                    watches = Watches::new(&house.engine);
                }
                Deed::Settles => {
                    house.settle(&mut watches);
                    model.settles(true);
                }
            }
            model.may();
        }
        let ran = house.runs();
        for file in 0..5 {
            let count = ran.get(&file.to_string()).copied().unwrap_or(0);
            let (must, may) = (model.must.get(&file).map_or(0, BTreeSet::len), model.may.get(&file).map_or(0, BTreeSet::len));
            prop_assert!((must..=may).contains(&count), "{file}: {count} runs, not {must} to {may}: {deeds:?}");
        }
        prop_assert_eq!(house.engine.store().read(check::check).unwrap(), Vec::<String>::new());
    }
}

fn cases() -> u32 {
    std::env::var("PROPTEST_CASES").ok().and_then(|it| it.parse().ok()).unwrap_or(40)
}

/// Records all existing files in their current versions as a burst.
fn noted_by_a_dead_process(house: &House) {
    use std::os::unix::fs::MetadataExt;
    let row = house.engine.store().read(watch::all).unwrap().remove(0);
    let (id, schedule) = (row.id, row.schedule.id);
    let mut files = Vec::new();
    for entry in fs::read_dir(house.inbox()).unwrap().flatten() {
        let it = entry.metadata().unwrap();
        let mtime = it.mtime() * 1_000_000_000 + it.mtime_nsec();
        let version = windlass::decide::watch::FileVersion { size: it.len() as i64, mtime, inode: it.ino() as i64 };
        let path = entry.file_name().into_string().unwrap();
        let known = house.engine.store().read(|tx| watch::known(tx, id, &path)).unwrap();
        if known.is_none_or(|it| !it.is(&version)) {
            files.push(WatchedFile { path, version });
        }
    }
    if files.is_empty() {
        return;
    }
    let now = house.engine.store().now();
    if house.engine.store().read(|tx| watch::open_burst(tx, schedule)).unwrap().is_some() {
        return;
    }
    let burst = house.engine.store().read(|tx| watch::next_burst(tx, schedule, now)).unwrap();
    assert!(house.engine.store().write(move |tx| watch::gather(tx, &row, burst, &files)).unwrap());
}

/// Which versions must have a run by now, and which may.
#[derive(Default)]
struct Model {
    /// The version of each file.
    files: BTreeMap<usize, usize>,
    must: BTreeMap<usize, BTreeSet<usize>>,
    may: BTreeMap<usize, BTreeSet<(usize, usize)>>,
    /// Counts how often a version appeared under a name. A version that reappears after it was gone is new.
    arrivals: BTreeMap<usize, usize>,
}

impl Model {
    fn changes(&mut self, file: usize, version: usize) {
        self.files.insert(file, version);
        *self.arrivals.entry(file).or_default() += 1;
    }

    fn settles(&mut self, all: bool) {
        for (file, version) in self.files.iter().filter(|_| all) {
            self.must.entry(*file).or_default().insert(*version);
        }
    }

    fn may(&mut self) {
        for (file, version) in &self.files {
            self.may.entry(*file).or_default().insert((*version, self.arrivals[file]));
        }
    }
}

/// `TEST_KILLS=300` kills more often.
#[test]
fn kills_of_workers_lose_no_file_and_start_none_twice() {
    let dir = tempfile::tempdir().unwrap();
    let (home, inbox) = (dir.path().join("home"), dir.path().join("in"));
    fs::create_dir(&inbox).unwrap();
    let file = dir.path().join("w.yaml");
    fs::write(
        &file,
        "id: w\non: { files: in, settled: 100ms, match: '*.x' }\nsteps: [{ name: a, uses: windlass/noop }]\n",
    )
    .unwrap();
    let windlass = || Windlass::on(&home);
    windlass().args(["schedule", "add"]).arg(&file).ends(0);
    let kills = std::env::var("TEST_KILLS").ok().and_then(|it| it.parse().ok()).unwrap_or(12);
    let mut made = 0;
    let mut come = |count: usize| {
        for _ in 0..count {
            made += 1;
            fs::write(inbox.join("part"), "x").unwrap();
            fs::rename(inbox.join("part"), inbox.join(format!("{made}.x"))).unwrap();
        }
        made
    };
    let engine = plant::open(&home);
    let mut other = worker(&home);
    for kill in 0..kills {
        let before = groups(&engine).len();
        let mut killed = worker(&home);
        // More than fits into one transaction.
        come(if kill % 2 == 0 { 1_500 } else { 3 });
        eventually("a burst begins", || {
            let row = engine.store().read(|tx| schedule::get(tx, "w")).unwrap();
            let open = engine.store().read(|tx| watch::open_burst(tx, row.id)).unwrap();
            (open.is_some() || groups(&engine).len() > before).then_some(())
        });
        killed.kill().unwrap();
        other.kill().unwrap();
        other = worker(&home);
    }
    let made = come(1);
    let runs = || -> Vec<String> { groups(&engine).iter().flat_map(|it| items(&engine, *it)).collect() };
    eventually("all have come", || (runs().len() >= made).then_some(()));
    other.kill().unwrap();
    drop(other);
    windlass().args(["schedule", "pause", "w"]).ends(0);
    windlass().args(["worker", "--until-idle"]).ends(0);
    windlass().args(["doctor"]).ends(0);
    let runs = runs();
    let distinct: BTreeSet<&String> = runs.iter().collect();
    assert_eq!((runs.len(), distinct.len()), (made, made), "each file has one run");
}

fn worker(home: &Path) -> support::binary::Running {
    Windlass::on(home).args(["worker", "--pool", "*=1"]).silent().spawn().unwrap()
}

#[test]
fn a_worker_watches_and_runs_what_comes() {
    let dir = tempfile::tempdir().unwrap();
    let (home, inbox) = (dir.path().join("home"), dir.path().join("in"));
    let file = dir.path().join("w.yaml");
    let text = "id: w\non: { files: in, match: ['*.pdf', '*.tif'], settled: 100ms }\nsteps: [{ name: a, run: 'basename {{ item }} >> ran' }]\n";
    fs::write(&file, text).unwrap();
    let windlass = || Windlass::on(&home);
    let mut running = worker(&home);
    let added = windlass().args(["schedule", "add"]).arg(&file).ends(0);
    assert!(added.err.contains("it watches") || added.out.contains("it watches"), "{added:?}");
    fs::create_dir(&inbox).unwrap();
    for name in ["a.pdf", "b.tif", "c.txt"] {
        fs::write(inbox.join(name), "x").unwrap();
    }
    let ran = || fs::read_to_string(dir.path().join("ran")).unwrap_or_default();
    eventually("both ran", || {
        (ran().lines().collect::<BTreeSet<_>>() == BTreeSet::from(["a.pdf", "b.tif"])).then_some(())
    });
    fs::write(inbox.join("a.pdf"), "again").unwrap();
    eventually("it ran again", || (ran().lines().filter(|it| *it == "a.pdf").count() == 2).then_some(()));
    let shown = windlass().args(["schedule", "show", "w"]).ends(0).out;
    assert!(
        shown.contains("*.pdf, *.tif in ") && shown.contains("2 files known") && shown.contains("a process watches"),
        "{shown}"
    );
    let listed = windlass().args(["schedule", "list"]).ends(0).out;
    assert!(listed.contains("on files"), "{listed}");
    let engine = plant::open(&home);
    let ended = engine.store().read(|tx| {
        read::groups(
            tx,
            &GroupFilter { status: Some(Status::Completed), limit: 9, before: None, below: Default::default() },
        )
    });
    assert!(!ended.unwrap().is_empty());
    running.kill().unwrap();
    let shown: serde_json::Value =
        serde_json::from_str(&windlass().args(["schedule", "show", "w", "--json"]).ok()).unwrap();
    assert_eq!(shown["watch"]["match"], serde_json::json!(["*.pdf", "*.tif"]));
}

#[test]
fn what_a_watch_cannot_say_is_refused_with_its_line() {
    let known = KnownKinds::new(["windlass/noop"]);
    let table = [
        ("on: /inbox", 2, "`on` must be a mapping"),
        ("on: { match: '*' }", 2, "has no `files`"),
        ("on: { files: '/in/*.pdf' }", 2, "is not a directory"),
        ("on: { files: /in, match: [] }", 2, "no file matches"),
        ("on: { files: /in, match: '/x' }", 2, "no file matches"),
        ("on: { files: /in, match: 'a**' }", 2, "not a pattern"),
        ("on: { files: /in, settled: 1ms }", 2, "not between 100ms and 7d"),
        ("on: { files: /in, every: 10ms }", 2, "not between 1s and 7d"),
        ("on: { files: /in, existing: maybe }", 2, "existing"),
        ("on: { files: /in, setled: 1s }", 2, "unknown key `setled`"),
        ("on: { files: /in }\nschedule: { every: 1h }", 3, "has no `schedule`"),
        ("on: { files: /in }\nitems_from: { list: [a] }", 3, "has no `items_from`"),
    ];
    for (text, line, what) in table {
        let text = format!("id: w\n{text}\nsteps: [{{ name: a, uses: windlass/noop }}]\n");
        let error = parse_file(&text, "w.yaml", &known).unwrap_err().to_string();
        assert!(error.contains(&format!("w.yaml:{line}: ")) && error.contains(what), "{text}: {error}");
    }
}
