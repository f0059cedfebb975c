//! Document versions that overlap: held runs, several in one queue, deletions in between.

use super::*;
use std::collections::HashMap;
use windlass::{
    engine::Prune,
    ingest::{
        batch::{self, Start, Which},
        removal,
        upload::{self, UploadedDocument},
    },
    model::{ResourceKey, Timestamp},
    store::{check, document_batch, document_removal},
    view,
};

const BEFORE_STORE: [&str; 4] = ["validate", "parse", "chunk", "embed"];

impl Desk {
    /// Submits what is there, and works on it up to the store step.
    fn held(&self) -> GroupId {
        let group = sync::submit(&self.engine, &self.plan()).unwrap().unwrap().group;
        self.work_with(group, &BEFORE_STORE, "embed");
        group
    }

    fn report(&self, group: GroupId) -> SyncReport {
        sync::finish(&self.engine, &self.options.database, &[group]).unwrap()
    }

    fn holder(&self) -> Holder {
        Holder { kind: HolderKind::Cli, id: i64::from(std::process::id()) }
    }

    fn delete(&self, name: &str, wait: LockWait) -> (usize, bool) {
        let uris = [self.uri(name)];
        sync::remove(&self.engine, &self.options.database, "default", &uris, self.holder(), wait).unwrap()
    }

    /// The names of the documents found by a word search.
    fn found(&self, words: &str) -> Vec<String> {
        let home = self.engine.home().to_path_buf();
        let named = view::Named { name: "notes".into(), path: self.options.database.clone(), home };
        let query = Query { mode: search::Mode::Text, ..Query::new(words) };
        let hits = view::find(&named, &query).unwrap().hits;
        hits.iter().map(|it| it.uri.rsplit('/').next().unwrap().to_string()).collect()
    }

    fn assert_sound(&self) {
        let found = self.engine.store().read(check::check).unwrap();
        assert!(found.is_empty(), "{found:#?}");
        if let Ok(db) = VectorDb::open(&self.options.database, &OpenOptions::default()) {
            assert!(db.check().unwrap().is_sound());
        }
    }
}

#[test]
fn a_document_that_was_removed_comes_back_with_the_next_sync_each_time() {
    let desk = Desk::new();
    desk.write("a.md", "hemp rots");
    desk.sync();
    for _ in 0..2 {
        desk.delete("a.md", LockWait::No);
        assert!(desk.stored().is_empty());
        desk.sync();
        assert_eq!((desk.stored(), desk.found("hemp")), (vec![desk.uri("a.md")], vec!["a.md".to_string()]));
    }
    // Neither the earlier runs nor the record of the deletion are kept for ever.
    desk.delete("a.md", LockWait::No);
    let later = Timestamp(desk.engine.store().now().0 + 1_000);
    assert!(desk.engine.prune(&Prune::before(later), &|| true).unwrap().groups > 0);
    desk.sync();
    assert_eq!(desk.found("hemp"), ["a.md"]);
    desk.assert_sound();
}

#[test]
fn a_version_that_was_held_does_not_replace_a_newer_one() {
    let desk = Desk::new();
    desk.write("a.md", "hemp rots");
    let first = desk.held();
    desk.write("a.md", "nylon stretches");
    let (plan, report) = desk.sync_beside();
    assert_eq!((plan.changed.len(), report.stored), (1, 1));
    desk.work(first);
    let report = desk.report(first);
    assert_eq!((report.stored, report.superseded), (0, 1), "{report:?}");
    let newer = report.documents[0].reason.clone();
    assert_eq!((report.documents[0].status, newer.as_str()), (DocumentStatus::Superseded, "superseded by r2"));
    assert_eq!((desk.found("nylon"), desk.found("hemp").len()), (vec!["a.md".to_string()], 0));
    assert!(desk.plan().is_empty());
    // Its end is visible.
    let runs = view::runs(desk.engine.store(), first, &read::RunFilter { limit: 9, ..Default::default() }).unwrap();
    assert_eq!((runs.runs[0].status, runs.runs[0].remark.as_deref()), (Status::Completed, Some("superseded by r2")));
    desk.assert_sound();
}

impl Desk {
    /// A sync that does not continue earlier work.
    fn sync_beside(&self) -> (SyncPlan, SyncReport) {
        let plan = self.plan();
        let group = sync::submit(&self.engine, &plan).unwrap().unwrap().group;
        self.work(group);
        (plan, self.report(group))
    }
}

#[test]
fn of_two_versions_in_one_queue_the_later_one_stays_whichever_is_worked_on_last() {
    for later_first in [false, true] {
        let desk = Desk::new();
        desk.write("a.md", "hemp rots");
        let first = sync::submit(&desk.engine, &desk.plan()).unwrap().unwrap().group;
        desk.write("a.md", "nylon stretches");
        let second = sync::submit(&desk.engine, &desk.plan()).unwrap().unwrap().group;
        desk.write("b.md", "beside it");
        let order = if later_first { [second, first] } else { [first, second] };
        for group in order {
            desk.work(group);
        }
        assert_eq!((desk.found("nylon"), desk.found("hemp").len()), (vec!["a.md".to_string()], 0), "{later_first}");
        let (plan, _) = desk.sync();
        assert_eq!((plan.unchanged, plan.new.len()), (1, 1));
        desk.assert_sound();
    }
}

#[test]
fn what_was_deleted_while_its_version_waited_does_not_come_back() {
    let desk = Desk::new();
    desk.write("a.md", "hemp rots");
    desk.write("b.md", "hemp rots");
    let first = desk.held();
    // There is no vector database yet.
    assert_eq!(desk.delete("a.md", LockWait::No), (1, true));
    desk.work(first);
    let report = desk.report(first);
    assert_eq!((report.stored, report.superseded), (1, 1), "equal content, and only one was deleted: {report:?}");
    assert_eq!(desk.found("hemp"), ["b.md"]);

    // A retry of an old run does not bring it back; the file that still exists is new again.
    let plan = desk.plan();
    assert_eq!((plan.new, plan.unchanged), (vec![desk.uri("a.md")], 1));
    desk.sync();
    assert_eq!(desk.found("hemp").len(), 2);
    desk.assert_sound();
}

#[test]
fn a_deletion_under_a_held_lock_hides_at_once_and_is_taken_up_when_the_lock_is_free() {
    let desk = Desk::new();
    desk.write("a.md", "hemp rots");
    desk.write("b.md", "nylon stretches");
    desk.sync();
    let key = ResourceKey(format!("vec:{}", desk.options.database.display()));
    let guard = desk.engine.hold_key(&key, desk.holder(), LockWait::No).unwrap();
    assert_eq!(desk.delete("a.md", LockWait::No), (1, false));
    assert_eq!(desk.found("hemp"), [""; 0]);
    assert_eq!(desk.stored().len(), 2, "it is still in the file");
    let pools = BTreeMap::from([("*".to_string(), 1)]);
    let worker = Worker::start(&desk.engine, WorkerOptions { pools, scope: Scope::Everything }).unwrap();
    drop(guard);
    let deadline = Instant::now() + Duration::from_secs(60);
    while desk.stored().len() > 1 {
        assert!(Instant::now() < deadline, "nobody takes it out");
        std::thread::sleep(Duration::from_millis(20));
    }
    worker.stop(Millis::seconds(5));
    assert_eq!(desk.found("nylon"), ["b.md"]);
    desk.assert_sound();
}

#[test]
fn a_deletion_is_forgotten_when_no_run_is_left_that_is_older() {
    let desk = Desk::new();
    desk.write("a.md", "hemp rots");
    desk.sync();
    desk.delete("a.md", LockWait::No);
    let forget = || desk.engine.store().write(|tx| document_removal::forget(tx, 9)).unwrap();
    assert_eq!(forget(), 0, "its run could be tried again");
    let all = engine::Prune::before(windlass::model::Timestamp(i64::MAX));
    desk.engine.prune(&all, &|| true).unwrap();
    let database = desk.options.database.to_string_lossy().into_owned();
    let run = RunId(1);
    let uri = desk.uri("a.md");
    let still = desk.engine.store().read(|tx| document::superseded(tx, &database, "default", &uri, run)).unwrap();
    assert_eq!(still, None);
    desk.assert_sound();
}

/// A seeded generator (xorshift64*).
struct Chance(u64);

impl Chance {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33) as usize % bound
    }
}

/// Random uploads, deletions and work on groups.
struct Story {
    desk: Desk,
    chance: Chance,
    batch: i64,
    groups: Vec<GroupId>,
    /// The last acknowledged content of each document.
    model: HashMap<String, Option<String>>,
}

impl Story {
    fn upload(&mut self) {
        let uri = format!("doc-{}.md", self.chance.below(4));
        // Only a few contents, so that documents share them and change back.
        let content = format!("word{}", self.chance.below(5));
        let put = self
            .desk
            .engine
            .artifacts()
            .put_bytes(content.as_bytes(), windlass::model::artifact::kind::DOCUMENT)
            .unwrap();
        let document = UploadedDocument {
            source: "s".into(),
            uri: uri.clone(),
            batch: Some(self.batch),
            ..UploadedDocument::default()
        };
        upload::take(&self.desk.engine, put, document).unwrap();
        let start = Start {
            batch: self.batch,
            definition: ingest::definition().unwrap(),
            params: self.desk.options.params.clone(),
            database: "notes".into(),
            priority: self.chance.below(3) as i64,
            name: None,
            which: if self.chance.below(2) == 0 { Which::New } else { Which::All },
        };
        self.groups.push(batch::start(&self.desk.engine, &start).unwrap().group);
        self.model.insert(uri, Some(content));
    }

    fn delete(&mut self) {
        let uri = format!("doc-{}.md", self.chance.below(4));
        let deadline = Instant::now() + Duration::from_secs(20);
        // Without a worker, running steps can't be cancelled, so nothing runs here.
        if self.desk.engine.delete_document("s", &uri, deadline).unwrap().is_some() {
            self.model.insert(uri, None);
            if self.chance.below(2) == 0 {
                removal::finish(&self.desk.engine, self.desk.holder(), LockWait::No).unwrap();
            }
        }
    }

    /// A worker for some types, for a moment. It is stopped in the middle of its steps.
    fn work(&mut self) {
        let types: Vec<&str> = BEFORE_STORE.into_iter().chain(["store"]).filter(|_| self.chance.below(3) > 0).collect();
        let pools: BTreeMap<String, usize> = types.iter().map(|it| (it.to_string(), 1)).collect();
        if pools.is_empty() {
            return;
        }
        let worker = Worker::start(&self.desk.engine, WorkerOptions { pools, scope: Scope::Everything }).unwrap();
        std::thread::sleep(Duration::from_millis(self.chance.below(150) as u64));
        worker.stop(Millis(0));
    }

    fn other(&mut self) {
        let Some(&group) = self.groups.get(self.chance.below(self.groups.len().max(1))) else { return };
        // Refused for a group that has ended, or in which nothing failed.
        let _ = match self.chance.below(3) {
            0 => self.desk.engine.pause_group(group),
            1 => self.desk.engine.resume_group(group),
            _ => self.desk.engine.retry_group(group),
        };
    }

    fn end(&self) {
        for group in &self.groups {
            let _ = self.desk.engine.resume_group(*group);
        }
        let pools = BTreeMap::from([("*".to_string(), 2)]);
        let worker = Worker::start(&self.desk.engine, WorkerOptions { pools, scope: Scope::Everything }).unwrap();
        let deadline = Instant::now() + Duration::from_secs(120);
        while !worker.is_idle().unwrap() {
            assert!(Instant::now() < deadline && worker.fatal().is_none(), "{:?}", worker.fatal());
            std::thread::sleep(Duration::from_millis(10));
        }
        worker.stop(Millis::seconds(10));
        assert!(removal::finish(&self.desk.engine, self.desk.holder(), LockWait::AtMost(Millis::seconds(20))).unwrap());
    }
}

#[test]
fn after_any_interleaving_what_is_found_is_what_was_acknowledged_last() {
    for round in 0..8 {
        let seed = 0x5EED_0000 + round;
        let desk = Desk::new();
        let batch = desk.engine.store().write(|tx| document_batch::insert(tx, "s", "b")).unwrap();
        let chance = Chance(seed);
        let mut story = Story { desk, chance, batch, groups: Vec::new(), model: HashMap::new() };
        for _ in 0..25 {
            match story.chance.below(10) {
                0..=3 => story.upload(),
                4 | 5 => story.delete(),
                6..=8 => story.work(),
                _ => story.other(),
            }
        }
        story.end();
        let stored = match VectorDb::open(&story.desk.options.database, &OpenOptions::default()) {
            Ok(db) => db.hashes("s").unwrap(),
            Err(_) => HashMap::new(),
        };
        let hash = |text: &String| {
            use sha2::Digest;
            windlass::model::ArtifactHash(sha2::Sha256::digest(text).into())
        };
        let wanted: HashMap<String, _> =
            story.model.iter().filter_map(|(uri, text)| Some((uri.clone(), hash(text.as_ref()?)))).collect();
        assert_eq!(stored, wanted, "seed {seed:x}");
        story.desk.assert_sound();
    }
}
