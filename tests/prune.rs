//! Retention: what is removed, what is kept, and the effects of a crash in between.

mod support {
    pub mod binary;
    pub mod house;
    pub mod plant;
}

use support::binary::Windlass;
use support::house;
use support::plant;

use house::{Book, chain, completion, record, with_hook};
use plant::{open, submit_numbers, wait, worker};
use std::{
    sync::Arc,
    time::{Duration, Instant},
};
use windlass::{
    engine::{Engine, Options, Prune},
    model::{ArtifactHash, ArtifactRef, GroupId, Millis, RunId, Status, StepId, Timestamp},
    os::SystemClock,
    store::{
        Settlement, Store, check, definition, document, group, kept_output,
        output::NewOutput,
        prune::{self, Outputs, Removed},
        read, retry, step_cache,
    },
};

fn prune_all(book: &Book, id: GroupId, outputs: Outputs) -> bool {
    let begun = book.store.write(move |tx| prune::begin(tx, id)).unwrap();
    while slice(book, id, outputs, 50) {}
    begun
}

fn slice(book: &Book, id: GroupId, outputs: Outputs, limit: usize) -> bool {
    book.store.write(move |tx| prune::slice(tx, id, outputs, limit, &mut Removed::default())).unwrap()
}

fn file(byte: u8) -> ArtifactRef {
    ArtifactRef { hash: ArtifactHash([byte; 32]), size: 1, stored: 1 }
}

fn with_file(byte: u8, cache_key: Option<[u8; 32]>) -> Settlement {
    let output =
        NewOutput { value: Some("1".into()), files: vec![("data.csv".into(), file(byte))], ..NewOutput::default() };
    Settlement::Complete { output: Some(output), cache_key, record: None }
}

#[test]
fn a_key_outlives_its_pruned_group() {
    let book = Book::new();
    let id = book.submit_keyed("nightly", [1; 32]).unwrap();
    assert!(book.ended(id), "a group without runs ends in its submit");
    assert!(prune_all(&book, id, Outputs::Keep));
    assert_eq!(book.count("run_group"), 0);
    let shape = chain(&["a"]);
    let definition = book.store.write(move |tx| definition::intern(tx, &house::new_definition(&shape))).unwrap();
    let new = |content| group::NewGroup {
        definition,
        name: "again".into(),
        params: "{}".into(),
        directory: "/".into(),
        file: String::new(),
        concurrency: None,
        priority: 0,
        weight: 1,
        force: false,
        scoped: false,
        key: Some(("nightly".into(), content)),
        builder: house::identity(),
        of_batch: None,
        alerts: None,
        child: None,
        collect: None,
    };
    let same = new([1; 32]);
    let found = book.store.write(move |tx| group::create(tx, &same)).unwrap();
    assert_eq!(found, group::Created::Gone(id, Status::Completed));
    let other = new([2; 32]);
    let refused = book.store.write(move |tx| group::create(tx, &other)).unwrap_err().to_string();
    assert!(refused.contains("is in use by g1 with other content"), "{refused}");
    book.check();
}

#[test]
fn a_crash_between_two_slices_of_a_prune_leaves_nothing_that_looks_whole() {
    let mut book = Book::new();
    let id = book.submit(&chain(&["a", "b"]), &["1", "2", "3"]);
    let other = book.submit(&chain(&["a", "b"]), &["x"]);
    while let Some(step) = book.claims("*", 1).pop() {
        book.fail(&step, "boom");
    }
    assert!(book.store.write(move |tx| prune::begin(tx, id)).unwrap());
    for _ in 0..100 {
        let more = slice(&book, id, Outputs::Keep, 1);
        book.restart();
        book.check();
        if !more {
            break;
        }
        assert_eq!(book.store.read(prune::unfinished).unwrap(), [id]);
        assert!(book.store.read(|tx| read::show_group(tx, id)).is_err());
        assert!(book.store.write(move |tx| retry::group(tx, id)).is_err(), "nobody re-opens half a group");
        let all = read::GroupFilter { limit: 9, ..Default::default() };
        let listed = book.store.read(|tx| read::groups(tx, &all)).unwrap();
        assert_eq!(listed.iter().map(|it| it.id).collect::<Vec<_>>(), [other]);
    }
    assert!(book.store.read(prune::unfinished).unwrap().is_empty());
    for (table, left) in [("run_group", 1), ("group_detail", 1), ("run", 1), ("item", 1), ("step", 2), ("attempt", 1)] {
        assert_eq!(book.count(table), left, "{table}");
    }
    assert!(book.ended(other));
}

#[test]
fn what_has_not_ended_what_was_retried_and_what_has_hooks_to_run_stays() {
    let book = Book::new();
    let open = book.submit(&chain(&["a"]), &["x"]);
    let begin = |id| book.store.write(move |tx| prune::begin(tx, id)).unwrap();
    assert!(!begin(open));
    let why = book.store.read(|tx| prune::one(tx, open)).unwrap_err().to_string();
    assert!(why.contains("has not ended"), "{why}");
    book.fail(&book.claim("*"), "boom");
    assert!(book.retry(open).unwrap());
    assert!(!begin(open), "the retry was faster");
    book.complete(&book.claim("*"));
    assert!(begin(open));
    let hooked = book.submit(&with_hook(chain(&["a"]), "group_end"), &["x"]);
    book.complete(&book.claim("*"));
    assert!(book.ended(hooked) && !begin(hooked), "its hook is due");
    let later = Timestamp(book.now().0 + 1);
    assert!(book.store.read(|tx| prune::ended_before(tx, later, 9)).unwrap().is_empty());
    assert!(book.store.read(|tx| prune::one(tx, GroupId(99))).is_err());
}

#[test]
fn retention_keeps_what_commands_made_and_gives_it_up_when_asked() {
    let book = Book::new();
    let id = book.submit(&chain(&["a"]), &["item"]);
    let step = book.claim("*");
    book.settle(&step, with_file(7, None));
    prune_all(&book, id, Outputs::Keep);
    book.check();
    let kept = book.store.read(|tx| kept_output::of_step(tx, step.lease.step)).unwrap().unwrap();
    assert_eq!((kept.name.as_str(), kept.item.as_str(), kept.group), ("a", "item", id));
    assert_eq!(kept.output.files, [("data.csv".to_string(), file(7))]);
    let none = kept_output::Stale { all_before: None, all_of: None };
    assert!(book.store.read(|tx| kept_output::stale(tx, none, 0, 9)).unwrap().0.is_empty());
    let all = kept_output::Stale { all_of: Some(id), ..none };
    let (ids, _) = book.store.read(|tx| kept_output::stale(tx, all, 0, 9)).unwrap();
    assert_eq!(book.store.write(move |tx| kept_output::drop_slice(tx, &ids, 9)).unwrap(), 1);
    assert_eq!((book.count("output"), book.count("artifact"), book.count("kept_output")), (0, 0, 0));
    book.check();
}

/// A group with one built-in step. The store takes its definition to be `uses:`.
fn built_in(book: &Book) -> (GroupId, RunId) {
    let shape = chain(&["parse"]);
    let mut new = house::new_definition(&shape);
    new.hash = [9; 32];
    new.body = r#"{"id":"t","steps":[{"name":"parse","action":{"uses":"windlass/parse"}}]}"#.into();
    let definition = book.store.write(move |tx| definition::intern(tx, &new)).unwrap();
    let id = book.submit_group(&shape, &["doc"], &[], |new| new.definition = definition).unwrap();
    (id, book.store.read(|tx| read::runs(tx, id, &read::RunFilter { limit: 1, ..Default::default() })).unwrap()[0].id)
}

#[test]
fn retention_keeps_the_artifacts_of_current_documents_and_their_place_in_the_cache() {
    let book = Book::new();
    let (id, run) = built_in(&book);
    book.settle(&book.claim("*"), with_file(3, Some([5; 32])));
    let row = |run| document::DocumentRow {
        uri: "file:///a".into(),
        sha256: ArtifactHash([1; 32]),
        size: 1,
        mtime: 1,
        params: [0; 32],
        run,
        state: windlass::model::DocumentState::Stored,
        reason: String::new(),
    };
    let current = row(Some(run));
    book.store.write(move |tx| document::upsert(tx, "/db", "s", &[current])).unwrap();
    prune_all(&book, id, Outputs::Keep);
    let late = Timestamp(book.now().0 + 1);
    let stale = || book.store.read(|tx| step_cache::stale(tx, late, &[], 9)).unwrap().0;
    assert!(stale().is_empty() && book.count("artifact") == 1, "a changed parameter takes it from the cache");
    book.check();
    // The document now belongs to another run, so nothing keeps the old files.
    let newer = row(Some(RunId(run.0 + 1)));
    book.store.write(move |tx| document::upsert(tx, "/db", "s", &[newer])).unwrap();
    let none = kept_output::Stale { all_before: None, all_of: None };
    let drop_kept = || {
        let (ids, _) = book.store.read(|tx| kept_output::stale(tx, none, 0, 9)).unwrap();
        book.store.write(move |tx| kept_output::drop_slice(tx, &ids, 9)).unwrap()
    };
    assert_eq!(drop_kept(), 1);
    let keys = stale();
    assert_eq!(keys, [[5; 32]]);
    book.store.write(move |tx| step_cache::drop_slice(tx, &keys, late)).unwrap();
    assert_eq!(drop_kept(), 1);
    assert_eq!((book.count("output"), book.count("artifact"), book.count("step_cache")), (0, 0, 0));
    book.check();
}

#[test]
fn a_result_that_is_pruned_between_its_finding_and_its_use_makes_the_step_run() {
    let book = Book::new();
    let (id, _) = built_in(&book);
    book.settle(&book.claim("*"), with_file(3, Some([5; 32])));
    let output = book.store.read(|tx| step_cache::find(tx, &[5; 32])).unwrap().unwrap();
    let later = book.submit(&chain(&["a"]), &["x"]);
    let step = book.claim("*");
    book.store.write(|tx| step_cache::forget(tx, &[5; 32])).unwrap();
    prune_all(&book, id, Outputs::Remove);
    let none = kept_output::Stale { all_before: None, all_of: None };
    let (ids, _) = book.store.read(|tx| kept_output::stale(tx, none, 0, 9)).unwrap();
    book.store.write(move |tx| kept_output::drop_slice(tx, &ids, 9)).unwrap();
    book.settle(&step, Settlement::Cached { output, record: None });
    assert_eq!(book.status(&step), Status::Pending);
    book.settle(&book.claim("*"), completion());
    assert!(book.ended(later));
    book.check();
}

#[test]
fn the_history_goes_with_its_time() {
    let book = Book::new();
    book.submit(&chain(&["a"]), &["x"]);
    book.fail(&book.claim("*"), "boom");
    let middle = book.now();
    book.clock.advance(Millis(1_000));
    book.submit(&chain(&["a"]), &["y"]);
    while book.store.write(move |tx| prune::events_slice(tx, middle, 1)).unwrap() > 0 {}
    assert_eq!((book.events("GROUP_START"), book.events("GROUP_END")), (1, 0));
    let _ = record("");
}

// ---------------------------------------------------------------- the engine, on real files

fn work(engine: &Engine, group: GroupId) {
    let worker = worker(engine, 2);
    wait(engine, &worker, group);
    worker.stop(Millis::seconds(10));
}

fn now(engine: &Engine) -> Timestamp {
    Timestamp(engine.store().now().0 + 1)
}

#[track_caller]
fn assert_sound(store: &Store) {
    assert_eq!(store.read(check::check).unwrap(), Vec::<String>::new());
    assert_eq!(store.read(check::integrity).unwrap(), Vec::<String>::new());
}

const NOOP: &str = "id: noop\nsteps: [{ name: a, uses: windlass/noop }, { name: b, uses: windlass/fail }]";

#[test]
fn the_file_of_a_command_stays_on_disk_until_outputs_are_pruned_too() {
    let home = tempfile::tempdir().unwrap();
    let engine = open(home.path());
    let text = "id: make\nsteps: [{ name: make, run: 'head -c 3000 /dev/urandom > {{ out }}/x' }]";
    let group = submit_numbers(&engine, text, 1);
    work(&engine, group);
    let pruned = engine.prune(&Prune::before(now(&engine)), &|| true).unwrap();
    assert_eq!((pruned.groups, pruned.removed.kept, pruned.files), (1, 1, 0), "{pruned:?}");
    let kept = engine.store().read(|tx| kept_output::of_step(tx, StepId(1))).unwrap().unwrap();
    assert_eq!(engine.artifacts().get_bytes(&kept.output.files[0].1).unwrap().len(), 3000);
    let all = Prune { outputs: Outputs::Remove, ..Prune::before(now(&engine)) };
    let pruned = engine.prune(&all, &|| true).unwrap();
    assert_eq!((pruned.outputs, pruned.files), (1, 1), "{pruned:?}");
    assert!(!engine.artifacts().contains(&kept.output.files[0].1.hash));
    assert_sound(engine.store());
}

#[test]
fn a_prune_gives_the_space_back_and_never_takes_what_is_young() {
    let home = tempfile::tempdir().unwrap();
    let engine = open(home.path());
    let group = submit_numbers(&engine, NOOP, 4_000);
    work(&engine, group);
    let young = Timestamp(engine.store().now().0 - 3_600_000);
    assert!(!engine.is_prune_due(young).unwrap());
    assert_eq!(engine.prune(&Prune::before(young), &|| true).unwrap().groups, 0);
    let pruned = engine.prune(&Prune::before(now(&engine)), &|| true).unwrap();
    assert_eq!((pruned.groups, pruned.removed.runs, pruned.removed.steps), (1, 4_000, 8_000));
    assert!(pruned.bytes_after < pruned.bytes_before / 2, "{pruned:?}");
    assert!(!engine.is_prune_due(now(&engine)).unwrap());
    assert_sound(engine.store());
}

#[test]
fn a_worker_that_lives_long_prunes_by_itself_what_is_due() {
    let home = tempfile::tempdir().unwrap();
    let engine = plant::open_with(home.path(), Arc::new(SystemClock), |it| Options {
        keep: Millis(1),
        prune_every: Millis(20),
        ..it
    });
    let group = submit_numbers(&engine, NOOP, 3);
    let worker = worker(&engine, 2);
    let deadline = Instant::now() + Duration::from_secs(60);
    while engine.store().read(|tx| read::show_group(tx, group)).is_ok() {
        assert!(Instant::now() < deadline, "{group} is still there");
        std::thread::yield_now();
    }
    worker.stop(Millis::seconds(10));
    assert_sound(engine.store());
}

#[test]
fn a_prune_that_is_killed_at_any_moment_is_taken_up_again() {
    let home = tempfile::tempdir().unwrap();
    let engine = open(home.path());
    let group = submit_numbers(&engine, NOOP, 3_000);
    work(&engine, group);
    let steps = |store: &Store| store.read(check::row_counts).unwrap().iter().find(|it| it.0 == "step").unwrap().1;
    let mut left = steps(engine.store());
    let mut kills = 0;
    loop {
        let mut prune = Windlass::on(home.path());
        prune.args(["prune", "--keep", "0ms"]).env("WINDLASS_DURABILITY", "normal").silent();
        let mut child = prune.spawn().unwrap();
        let watch = engine.store().watch().unwrap();
        let before = watch.version().unwrap();
        // Killed after its third visible commit, wherever that is.
        let mut seen = Vec::from([before]);
        let ended = loop {
            let version = watch.version().unwrap();
            if !seen.contains(&version) {
                seen.push(version);
            }
            if let Some(status) = child.try_wait().unwrap() {
                break Some(status);
            }
            if seen.len() > 3 {
                child.kill().unwrap();
                child.wait().unwrap();
                break None;
            }
        };
        drop(watch);
        assert_sound(engine.store());
        match ended {
            Some(status) => {
                assert!(status.success());
                break;
            }
            None => {
                kills += 1;
                assert!(
                    engine.store().read(|tx| read::show_group(tx, group)).is_err() || steps(engine.store()) == 6_000
                );
            }
        }
        let now = steps(engine.store());
        assert!(now <= left);
        left = now;
        assert!(kills < 1_000);
    }
    assert!(kills > 2, "{kills} kills");
    assert_eq!(steps(engine.store()), 0);
}
