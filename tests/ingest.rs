//! Documents from files into a vector database and back, on a real engine.

#[path = "support"]
mod support {
    pub mod binary;
}

use support::binary::use_for_children;
#[path = "ingest/limits.rs"]
mod limits;
#[path = "ingest/links.rs"]
mod links;
#[path = "ingest/versions.rs"]
mod versions;

use std::{
    collections::BTreeMap,
    fs::{self, File},
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};
use windlass::{
    artifact::{ArtifactOptions, ArtifactStore},
    embed,
    engine::{self, Ending, Engine, LockWait, Options, Registry, Worker, WorkerOptions},
    ingest::{
        self, Error, database_path, file_uri,
        sync::{self, DocumentStatus, Driver, Event, SyncOptions, SyncPlan, SyncReport, Synced, Why},
    },
    model::{Bytes, GroupId, Holder, HolderKind, Millis, RunId, Scope, Status, StepId},
    observe::NoMetrics,
    os::SystemClock,
    search::{self, Hit, Query},
    store::{self, Store, attempt, document, read},
    vector::{self, OpenOptions, VectorDb},
};

/// A home, a folder of documents, and the sync options between them.
struct Desk {
    dir: tempfile::TempDir,
    engine: Engine,
    options: SyncOptions,
}

impl Desk {
    fn new() -> Desk {
        use_for_children();
        let dir = tempfile::tempdir().unwrap();
        let home = dir.path().join("home");
        fs::create_dir_all(&home).unwrap();
        fs::create_dir(dir.path().join("docs")).unwrap();
        let store = Store::open(&store::Options::new(home.join("engine.db")), Arc::new(SystemClock)).unwrap();
        let artifacts = ArtifactStore::open(&home.join("artifacts"), ArtifactOptions::default(), "test").unwrap();
        let mut kinds = Registry::default();
        engine::kind::register(&mut kinds);
        ingest::register(&mut kinds);
        let options = Options { ballast: Bytes(0), ..Options::new(&home) };
        let engine = Engine::new(store, artifacts, kinds, options, Arc::new(NoMetrics));
        let database = database_path(&home, "notes").unwrap();
        let options = SyncOptions::new(vec![dir.path().join("docs")], database);
        Desk { dir, engine, options }
    }

    /// The file is dated long ago, so that its time is trusted.
    fn write(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.dir.path().join("docs").join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, content).unwrap();
        let file = File::options().write(true).open(&path).unwrap();
        file.set_modified(SystemTime::now() - Duration::from_secs(3600)).unwrap();
        path
    }

    fn uri(&self, name: &str) -> String {
        file_uri::of(&self.dir.path().join("docs").join(name))
    }

    fn set(&mut self, change: &str) {
        self.options.params = self.options.params.overlay([change]).unwrap();
    }

    fn plan(&self) -> SyncPlan {
        sync::plan(&self.engine, &self.options).unwrap()
    }

    fn work(&self, group: GroupId) -> Status {
        let pools = BTreeMap::from([("*".to_string(), 2), ("store".to_string(), 1)]);
        let worker = Worker::start(&self.engine, WorkerOptions { pools, scope: Scope::Group(group) }).unwrap();
        let deadline = Instant::now() + Duration::from_secs(120);
        let ending = self.engine.wait_for_group(group, Some(deadline), || false).unwrap();
        worker.stop(Millis::seconds(5));
        let Ending::Ended(end) = ending else { panic!("{group} did not end: {ending:?}") };
        end.status
    }

    /// Works with pools for these types only, until every run of the group has passed the step `last`.
    fn work_with(&self, group: GroupId, types: &[&str], last: &str) {
        let pools = types.iter().map(|it| (it.to_string(), 1)).collect();
        let worker = Worker::start(&self.engine, WorkerOptions { pools, scope: Scope::Group(group) }).unwrap();
        let deadline = Instant::now() + Duration::from_secs(120);
        let runs = || self.engine.store().read(|tx| document::items_of_group(tx, group, RunId(0), 1000)).unwrap();
        let done = |run: RunId| {
            let steps = self.engine.store().read(|tx| read::show_run(tx, run)).unwrap().steps;
            steps.iter().any(|it| it.name == last && it.status == Status::Completed)
        };
        while !runs().iter().all(|it| done(it.0)) {
            assert!(Instant::now() < deadline, "{group} does not come behind {last}");
            std::thread::sleep(Duration::from_millis(10));
        }
        worker.stop(Millis::seconds(5));
    }

    /// The plan of a sync, and the results of all groups that it processed.
    fn sync(&self) -> (SyncPlan, SyncReport) {
        let mut here = Here { desk: self, worked: Vec::new() };
        let Synced::Ended(ended) = sync::run(&self.engine, &self.options, &mut here).unwrap() else {
            panic!("the work is left to others");
        };
        let report = sync::finish(&self.engine, &self.options.database, &here.worked).unwrap();
        (ended.plan, report)
    }

    /// How each of the five steps of a run ended.
    fn outcomes(&self, run: RunId) -> Vec<&'static str> {
        let first = (run.0 - 1) * 5 + 1;
        let last = |step| self.engine.store().read(|tx| attempt::of_step(tx, StepId(step))).unwrap().pop();
        (first..first + 5).map(|step| last(step).map_or("never", |it| it.outcome.unwrap_or("running"))).collect()
    }

    fn database(&self) -> VectorDb {
        VectorDb::open(&self.options.database, &OpenOptions::default()).unwrap()
    }

    fn stored(&self) -> Vec<String> {
        let mut uris: Vec<String> = self.database().hashes("default").unwrap().into_keys().collect();
        uris.sort();
        uris
    }

    fn search(&self, text: &str) -> Vec<Hit> {
        let embedder = embed::by_name("static").unwrap();
        search::search(&self.database(), &*embedder, &Query::new(text)).unwrap()
    }
}

/// Works in this process.
struct Here<'a> {
    desk: &'a Desk,
    worked: Vec<GroupId>,
}

impl Driver for Here<'_> {
    type Error = Error;

    fn holder(&self) -> Holder {
        Holder { kind: HolderKind::Cli, id: i64::from(std::process::id()) }
    }

    fn work(&mut self, group: GroupId) -> ingest::Result<Status> {
        self.worked.push(group);
        Ok(self.desk.work(group))
    }

    fn hear(&mut self, _: Event<'_>) -> ingest::Result<()> {
        Ok(())
    }
}

fn corpus(name: &str) -> Vec<u8> {
    fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/documents").join(name)).unwrap()
}

fn outcome<'a>(report: &'a SyncReport, uri: &str) -> (DocumentStatus, &'a str) {
    let found = report.documents.iter().find(|it| it.uri == uri).unwrap_or_else(|| panic!("{uri} is not reported"));
    (found.status, &found.reason)
}

#[test]
fn each_document_of_the_corpus_is_stored_or_says_why_not() {
    use DocumentStatus::{Empty, Failed, Stored};
    let mut table = vec![
        ("wal.html", Stored, ""),
        ("isolation.html", Stored, ""),
        ("lockingv3.html", Stored, ""),
        ("notes.md", Stored, ""),
        ("windlass_koi8r.txt", Stored, ""),
        ("windlass_utf16.txt", Stored, ""),
        ("empty.txt", Empty, "empty"),
    ];
    #[cfg(feature = "pdf")]
    table.extend([
        ("amt_handbook_sample.pdf", Stored, ""),
        ("basic_ocr.pdf", Stored, ""),
        ("picture_classification.pdf", Stored, ""),
        ("empty.pdf", Empty, "no text"),
        ("encrypted.pdf", Failed, "password"),
        ("truncated.pdf", Failed, "truncated"),
    ]);
    let desk = Desk::new();
    for (name, ..) in &table {
        desk.write(name, corpus(name));
    }
    let (plan, report) = desk.sync();
    assert_eq!((plan.new.len(), plan.changed.len()), (table.len(), 0));
    for (name, status, reason) in &table {
        let (found, why) = outcome(&report, &desk.uri(name));
        assert_eq!(found, *status, "{name}: {why}");
        assert!(why.contains(reason), "{name}: {why}");
    }
    assert!(desk.database().check().unwrap().is_sound());
    assert_eq!(desk.stored().len(), table.iter().filter(|it| it.1 != Failed).count());
    let russian = desk.search("собачка");
    assert!(russian.iter().any(|it| it.uri == desk.uri("windlass_koi8r.txt")), "{russian:?}");
    #[cfg(feature = "pdf")]
    {
        let hit = &desk.search("which nut holds despite severe vibration")[0];
        assert_eq!((&hit.uri, hit.page), (&desk.uri("amt_handbook_sample.pdf"), Some(1)));
    }
}

#[cfg(feature = "pdf")]
#[test]
fn a_broken_pdf_is_repaired_or_fails_with_its_reason_and_a_scan_says_that_it_needs_ocr() {
    let desk = Desk::new();
    for name in ["invalid.pdf", "scanned_page.pdf"] {
        desk.write(name, corpus(name));
    }
    let (_, report) = desk.sync();
    let (status, reason) = outcome(&report, &desk.uri("invalid.pdf"));
    match status {
        DocumentStatus::Stored => assert!(!desk.search("Hello World").is_empty()),
        _ => assert!(reason.contains("xref"), "{reason}"),
    }
    let (status, reason) = outcome(&report, &desk.uri("scanned_page.pdf"));
    match ingest::ocr::installed() {
        Some(_) => assert_ne!(status, DocumentStatus::Failed, "{reason}"),
        None => assert!(status == DocumentStatus::Failed && reason.contains("needs OCR"), "{reason}"),
    }
}

#[test]
fn a_second_sync_does_nothing_and_a_changed_file_is_ingested_alone() {
    let desk = Desk::new();
    desk.write("a.md", "# Ropes\n\nHemp rots in salt water.\n");
    desk.write("b/c.md", "# Chains\n\nChains rust.\n");
    let (_, report) = desk.sync();
    assert_eq!((report.stored, report.failed, report.chunks), (2, 0, 2));
    let epoch = desk.database().info().unwrap().epoch;

    let plan = desk.plan();
    assert!(plan.is_empty());
    assert_eq!((plan.unchanged, plan.refreshed_rows()), (2, 0));
    assert_eq!(sync::submit(&desk.engine, &plan).unwrap(), None);
    assert_eq!(desk.database().info().unwrap().epoch, epoch);

    desk.write("a.md", "# Ropes\n\nNylon stretches under load.\n");
    let (plan, report) = desk.sync();
    assert_eq!(plan.changed, [(desk.uri("a.md"), Why::Content)]);
    assert_eq!((plan.unchanged, report.stored), (1, 1));
    assert_eq!(desk.search("nylon stretches")[0].uri, desk.uri("a.md"));
    assert!(!desk.search("hemp").iter().any(|it| it.passage.passage.contains("Hemp")));
}

#[test]
fn an_unchanged_file_costs_a_stat_but_a_fresh_one_is_not_trusted() {
    let desk = Desk::new();
    let old = desk.write("old.md", "one two three");
    let fresh = desk.write("fresh.md", "four five six");
    File::options().write(true).open(&fresh).unwrap().set_modified(SystemTime::now()).unwrap();
    desk.sync();
    let swap = |path: &Path, content: &str| {
        let time = fs::metadata(path).unwrap().modified().unwrap();
        fs::write(path, content).unwrap();
        File::options().write(true).open(path).unwrap().set_modified(time).unwrap();
    };
    swap(&old, "one two thref");
    swap(&fresh, "four five siy");
    // Same size, same time: only the file that changed just before it was read is read again.
    assert_eq!(desk.plan().changed, [(desk.uri("fresh.md"), Why::Content)]);
}

#[test]
fn documents_with_equal_content_share_one_run_and_are_all_stored() {
    let desk = Desk::new();
    for name in ["a.md", "b.md", "c/d.md", "e.txt"] {
        desk.write(name, "# Capstan\n\nA capstan stands upright.\n");
    }
    fs::write(desk.dir.path().join("docs/b.md.meta.json"), r#"{"author": "Ann"}"#).unwrap();
    let (plan, report) = desk.sync();
    // The text file is now read as another type.
    assert_eq!((plan.new.len(), plan.runs.len()), (4, 2));
    assert_eq!(report.stored, 4);
    let authors: Vec<_> = ["a.md", "b.md"]
        .map(|it| desk.database().document("default", &desk.uri(it)).unwrap().unwrap().metadata["author"].clone())
        .into();
    assert_eq!(authors, [serde_json::Value::Null, "Ann".into()]);

    fs::write(desk.dir.path().join("docs/b.md.meta.json"), r#"{"author": "Bob"}"#).unwrap();
    let (plan, report) = desk.sync();
    assert_eq!(plan.changed, [(desk.uri("b.md"), Why::Parameters)]);
    assert_eq!(desk.outcomes(report.documents[0].run)[1..4], ["cached"; 3]);
    assert_eq!(desk.database().document("default", &desk.uri("b.md")).unwrap().unwrap().metadata["author"], "Bob");
}

#[test]
fn another_chunk_size_parses_nothing_again_and_embeds_only_what_is_new() {
    let mut desk = Desk::new();
    let long: String =
        (0..200).map(|it| format!("Sentence number {it} tells of rope {it} and its knot.\n\n")).collect();
    desk.write("long.md", format!("# Long\n\n{long}"));
    desk.write("short.md", "# Short\n\nOne passage only.\n");
    let (_, first) = desk.sync();
    desk.set("chunk.size=100");
    let mut dry = desk.options.clone();
    dry.dry_run = true;
    let plan = sync::plan(&desk.engine, &dry).unwrap();
    assert_eq!(plan.runs.len(), 2);
    assert!(plan.runs.iter().all(|it| it.steps == ["validate", "chunk", "embed", "store"]), "{:?}", plan.runs);

    let (plan, second) = desk.sync();
    assert!(plan.changed.iter().all(|it| it.1 == Why::Parameters) && plan.changed.len() == 2);
    assert!(second.chunks > first.chunks);
    for document in &second.documents {
        let outcomes = desk.outcomes(document.run);
        assert_eq!(outcomes[1], "cached", "{}: {outcomes:?}", document.uri);
        assert_ne!(outcomes[2], "cached", "{}: {outcomes:?}", document.uri);
    }
    // The only passage of the short document is already in the database.
    assert_eq!(second.embedded, second.chunks - 1);
    desk.set("embed.model=static");
    assert!(desk.plan().is_empty());
}

#[test]
fn a_removed_file_goes_with_prune_only_and_an_emptied_directory_loses_nothing() {
    let mut desk = Desk::new();
    let (a, b) = (desk.write("a.md", "alpha winch"), desk.write("b.md", "beta winch"));
    desk.sync();
    fs::remove_file(&a).unwrap();
    let (plan, _) = desk.sync();
    assert_eq!(plan.removed, [desk.uri("a.md")]);
    assert_eq!(desk.stored().len(), 2, "nothing is removed unasked");

    desk.options.prune = true;
    desk.sync();
    assert_eq!(desk.stored(), [desk.uri("b.md")]);
    assert!(desk.plan().removed.is_empty());

    fs::remove_file(&b).unwrap();
    let (plan, _) = desk.sync();
    assert!(plan.removed.is_empty());
    assert!(plan.warnings.iter().any(|it| it.contains("no documents are left")), "{:?}", plan.warnings);
    assert_eq!(desk.stored(), [desk.uri("b.md")]);
    desk.options.paths = vec![desk.dir.path().join("nowhere")];
    assert!(sync::plan(&desk.engine, &desk.options).is_err());
}

#[test]
fn what_is_left_out_by_a_glob_or_belongs_to_another_directory_is_not_removed() {
    let mut desk = Desk::new();
    desk.write("x/a.md", "alpha");
    desk.write("x/b.txt", "beta");
    desk.write("y/c.md", "gamma");
    desk.sync();
    desk.options.prune = true;
    desk.options.source_options.globs = vec!["*.md".to_string()];
    desk.options.paths = vec![desk.dir.path().join("docs/x")];
    let (plan, _) = desk.sync();
    assert_eq!((plan.unchanged, plan.removed.len()), (1, 0));
    assert_eq!(desk.stored().len(), 3);
}

#[test]
fn what_failed_for_good_is_not_tried_again_until_something_changes() {
    let mut desk = Desk::new();
    desk.write("broken.docx", b"PK\x03\x04 word/document.xml, and then nothing of an archive");
    desk.write("good.md", "fine");
    let (_, report) = desk.sync();
    assert_eq!((report.stored, report.failed), (1, 1));
    let reason = outcome(&report, &desk.uri("broken.docx")).1.to_string();
    assert!(!reason.is_empty());

    let plan = desk.plan();
    assert!(plan.is_empty());
    assert_eq!((plan.unusable.len(), plan.unusable[0].reason.as_str()), (1, reason.as_str()));
    desk.options.force = true;
    let forced = desk.plan();
    assert_eq!((forced.runs.len(), forced.changed[0].1), (2, Why::Forced));
    desk.options.force = false;
    desk.write("broken.docx", b"PK\x03\x04 word/document.xml, and then other nothing");
    assert_eq!(desk.plan().changed, [(desk.uri("broken.docx"), Why::Content)]);
}

#[test]
fn a_document_that_takes_too_long_or_too_much_fails_alone() {
    let mut desk = Desk::new();
    let rows: String = (0..400_000).map(|it| format!("| {it} | rope |\n")).collect();
    desk.write("large.md", format!("# Large\n\n| a | b |\n|---|---|\n{rows}"));
    desk.write("small.md", "# Small\n\nA few words.\n");
    desk.set("parse.memory=20MiB");
    let (_, report) = desk.sync();
    assert_eq!(outcome(&report, &desk.uri("small.md")).0, DocumentStatus::Stored);
    let (status, reason) = outcome(&report, &desk.uri("large.md"));
    assert!(status == DocumentStatus::Failed && reason.contains("memory"), "{reason}");

    desk.set("parse.memory=1GiB");
    desk.set("parse.timeout=1ms");
    let (_, report) = desk.sync();
    let (status, reason) = outcome(&report, &desk.uri("large.md"));
    assert!(status == DocumentStatus::Failed && reason.contains("longer than 1ms"), "{reason}");
}

#[test]
fn an_interrupted_sync_goes_on_where_it_stopped() {
    let desk = Desk::new();
    for name in ["a.md", "b.md", "c.md"] {
        desk.write(name, format!("document {name}"));
    }
    let plan = desk.plan();
    let submitted = sync::submit(&desk.engine, &plan).unwrap().unwrap();
    // The same plan again, as after a crash, finds the existing group.
    let again = sync::submit(&desk.engine, &plan).unwrap().unwrap();
    assert_eq!((again.group, again.new), (submitted.group, false));

    let plan = desk.plan();
    assert!(plan.is_empty() && plan.at_work.len() == 3);
    let (plan, report) = desk.sync();
    assert!(plan.is_empty() && plan.unchanged == 0, "what was just stored counts as stored: {plan:?}");
    assert_eq!((report.stored, report.documents.len()), (3, 3));
    assert!(sync::unfinished(&desk.engine, &desk.options.database).unwrap().is_empty());
}

#[test]
fn a_run_that_ended_unnoticed_counts_in_the_next_plan() {
    let desk = Desk::new();
    desk.write("a.md", "detached");
    let submitted = sync::submit(&desk.engine, &desk.plan()).unwrap().unwrap();
    desk.work(submitted.group);
    let plan = desk.plan();
    assert!(plan.is_empty() && plan.unchanged == 1, "{plan:?}");
}

#[test]
fn a_file_that_changes_between_plan_and_work_is_read_again() {
    let desk = Desk::new();
    desk.write("a.md", "before");
    desk.write("b.md", "steady");
    for name in ["c.md", "d.md", "e.md"] {
        desk.write(name, "three of a kind");
    }
    let plan = desk.plan();
    desk.write("a.md", "afterwards");
    // Two documents change alike and one differently, so no content is shared by all of the run.
    desk.write("c.md", "a pair");
    desk.write("d.md", "odd");
    desk.write("e.md", "a pair");
    let submitted = sync::submit(&desk.engine, &plan).unwrap().unwrap();
    desk.work(submitted.group);
    let report = sync::finish(&desk.engine, &desk.options.database, &[submitted.group]).unwrap();
    let status = |name: &str| outcome(&report, &desk.uri(name)).0;
    assert_eq!(["a.md", "b.md", "c.md", "e.md"].map(status), [DocumentStatus::Stored; 4], "{report:?}");
    assert_eq!(status("d.md"), DocumentStatus::Failed);
    assert_eq!(desk.search("afterwards")[0].uri, desk.uri("a.md"));
    assert_eq!(desk.database().hashes("default").unwrap().len(), 4);
    let (plan, report) = desk.sync();
    assert_eq!((plan.changed.len(), plan.unchanged, report.stored), (1, 4, 1), "{plan:?}");
    assert_eq!(desk.search("odd")[0].uri, desk.uri("d.md"));
    assert!(desk.plan().is_empty());
}

#[test]
fn a_file_that_changes_between_two_steps_or_never_holds_still_is_read_as_it_is() {
    let desk = Desk::new();
    desk.write("a.md", "before it was validated");
    let submitted = sync::submit(&desk.engine, &desk.plan()).unwrap().unwrap();
    desk.work_with(submitted.group, &["validate"], "validate");
    let path = desk.write("a.md", "after it: capstans\n");
    // The file keeps changing, one line at a time.
    let stop = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let (ended, grows) = (stop.clone(), path.clone());
    let growing = std::thread::spawn(move || {
        use std::io::Write;
        let mut file = File::options().append(true).open(grows).unwrap();
        while !ended.load(std::sync::atomic::Ordering::Relaxed) {
            writeln!(file, "one more line").unwrap();
            std::thread::sleep(Duration::from_millis(20));
        }
    });
    desk.work(submitted.group);
    stop.store(true, std::sync::atomic::Ordering::Relaxed);
    growing.join().unwrap();
    let report = sync::finish(&desk.engine, &desk.options.database, &[submitted.group]).unwrap();
    assert_eq!(outcome(&report, &desk.uri("a.md")).0, DocumentStatus::Stored, "{report:?}");
    let hits = desk.search("capstans");
    assert!(hits[0].passage.passage.contains("after it: capstans"), "{hits:?}");
}

#[test]
fn a_lost_database_is_filled_again_from_what_is_remembered() {
    let desk = Desk::new();
    desk.write("a.md", "kept in mind");
    desk.sync();
    for ending in ["", "-wal", "-shm"] {
        let _ = fs::remove_file(format!("{}{ending}", desk.options.database.display()));
    }
    let (plan, report) = desk.sync();
    assert_eq!((plan.changed[0].1, report.stored), (Why::Missing, 1));
    assert_eq!(desk.outcomes(report.documents[0].run)[1..4], ["cached"; 3]);
    assert_eq!(desk.stored(), [desk.uri("a.md")]);
}

#[test]
fn another_embedder_is_refused_before_any_work() {
    let mut desk = Desk::new();
    desk.write("a.md", "static words");
    desk.sync();
    desk.set("embed.model=hash");
    let error = sync::plan(&desk.engine, &desk.options).unwrap_err();
    assert!(matches!(error, Error::Vector(vector::Error::Embedder { .. })), "{error}");
    assert!(error.hint().is_some());
}

#[test]
fn plain_paths_go_through_the_same_workflow() {
    let desk = Desk::new();
    let path = desk.write("a.md", "# Alone\n\nGiven by its path.\n");
    let params = ingest::parameters::for_database(&desk.options.params, &desk.options.database).unwrap();
    let submission = engine::Submission {
        params: params.config,
        directory: path.parent().unwrap().into(),
        scoped: true,
        ..engine::Submission::new(ingest::definition().unwrap(), vec!["a.md".to_string()])
    };
    let group = desk.engine.submit(submission).unwrap().group;
    desk.work(group);
    assert_eq!(desk.stored(), [file_uri::of(&path.canonicalize().unwrap())]);
    assert_eq!(desk.search("given by its path")[0].title.as_deref(), Some("Alone"));
}
