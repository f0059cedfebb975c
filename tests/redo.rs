//! A damaged artifact: its producer runs again, the step that found the damage waits with its attempt given back, and
//! every group ends once.

mod support {
    pub mod binary;
    pub mod house;
    pub mod plant;
}

use support::house;
use support::plant;

use house::{Book, chain, completion, diamond, record};
use plant::{open, submit, wait, worker};
use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};
use windlass::{
    engine::{Engine, Worker, WorkerOptions},
    model::{ArtifactHash, ArtifactRef, Millis, Scope, Status, StepId},
    store::{Claimed, Held, Settlement, attempt, cancel, check, event, output::NewOutput, read, step_cache},
};

fn hash(byte: u8) -> ArtifactHash {
    ArtifactHash([byte; 32])
}

fn with_file(byte: u8) -> Settlement {
    let file = ArtifactRef { hash: hash(byte), size: 1, stored: 1 };
    let output = NewOutput { files: vec![("f".into(), file)], ..NewOutput::default() };
    Settlement::Complete { output: Some(output), cache_key: Some([byte; 32]), record: None }
}

fn recompute(byte: u8) -> Settlement {
    let otherwise = Box::new(Settlement::Fail { crashed: false, record: record("nobody made it") });
    Settlement::Recompute { damaged: vec![hash(byte)], otherwise }
}

fn settle(book: &Book, step: &Claimed, settlement: Settlement) {
    assert_eq!(book.settle(step, settlement), Held::Yes);
    book.check();
}

#[test]
fn the_producer_of_a_damaged_artifact_runs_again_and_its_finder_gets_its_attempt_back() {
    let book = Book::new();
    let group = book.submit(&chain(&["a", "b", "c"]), &["x"]);
    let a = book.claim("*");
    settle(&book, &a, with_file(1));
    settle(&book, &book.claim("*"), completion());
    let c = book.claim("*");
    settle(&book, &c, recompute(1));
    assert_eq!((book.status(&a), book.status(&c), book.ended(group)), (Status::Pending, Status::Pending, false));
    assert!(book.store.read(|tx| step_cache::find(tx, &[1; 32])).unwrap().is_none(), "it is not taken from the cache");
    let why = book.store.read(|tx| read::why(tx, c.lease.step)).unwrap();
    assert_eq!(why.unmet.iter().map(|it| it.step).collect::<Vec<_>>(), [a.lease.step], "`why` names what it waits for");
    let again = book.claims("*", 9);
    assert_eq!(again.iter().map(|it| it.lease.step).collect::<Vec<_>>(), [a.lease.step]);
    settle(&book, &again[0], with_file(1));
    let c = book.claim("*");
    assert_eq!((book.type_name(&c).as_str(), c.attempt), ("c", 1), "its attempt was given back");
    settle(&book, &c, completion());
    assert_eq!((book.ended(group), book.events("GROUP_END"), book.events("ITEM_END")), (true, 1, 1));
    let attempts = book.store.read(|tx| attempt::of_step(tx, a.lease.step)).unwrap();
    assert_eq!(attempts.len(), 2, "the first success is remembered: {attempts:?}");
}

#[test]
fn a_producer_that_keeps_making_damaged_files_ends_in_a_clear_failure() {
    let book = Book::new();
    let group = book.submit(&chain(&["a", "b"]), &["x"]);
    settle(&book, &book.claim("*"), with_file(1));
    for _ in 0..3 {
        settle(&book, &book.claim("*"), recompute(1));
        settle(&book, &book.claim("*"), with_file(1));
    }
    let b = book.claim("*");
    settle(&book, &b, recompute(1));
    let error = book.store.read(|tx| read::why(tx, b.lease.step)).unwrap().step.error.unwrap();
    assert!(error.contains("damaged 4 times") && error.contains("the disk is faulty"), "{error}");
    assert_eq!((book.status(&b), book.group_end(group).failed, book.events("GROUP_END")), (Status::Failed, 1, 1));
}

#[test]
fn what_no_step_of_the_run_made_is_judged_as_any_failure() {
    let book = Book::new();
    let group = book.submit(&chain(&["a", "b"]), &["x"]);
    settle(&book, &book.claim("*"), with_file(1));
    settle(&book, &book.claim("*"), recompute(9));
    assert_eq!((book.ended(group), book.group_end(group).failed), (true, 1));
}

#[test]
fn many_that_find_the_same_damage_wait_for_one_repair() {
    let book = Book::new();
    let group = book.submit(&diamond(), &["x"]);
    settle(&book, &book.claim("*"), with_file(1));
    let (b, c) = (book.claim("*"), book.claim("*"));
    settle(&book, &b, recompute(1));
    let a = book.claim("*");
    settle(&book, &a, with_file(1));
    // It found the earlier damage. The file is new by now, so it just tries again.
    settle(&book, &c, recompute(1));
    let both = book.claims("*", 9);
    assert_eq!(both.len(), 2);
    settle(&book, &both[0], recompute(1));
    settle(&book, &both[1], Settlement::Recompute { damaged: vec![], otherwise: Box::new(completion()) });
    assert_eq!(book.claims("*", 9).len(), 1, "both wait");
    book.reap(house::WORKER);
    book.check();
    settle(&book, &book.claim("*"), with_file(2));
    for _ in 0..3 {
        settle(&book, &book.claim("*"), completion());
    }
    assert_eq!((book.ended(group), book.events("GROUP_END"), book.group_end(group).failed), (true, 1, 0));
}

#[test]
fn a_repair_that_fails_or_is_cancelled_ends_the_run_once_whatever_else_runs() {
    for cancelled in [false, true] {
        for waits in [false, true] {
            let book = Book::new();
            let group = book.submit(&diamond(), &["x"]);
            settle(&book, &book.claim("*"), with_file(1));
            let (b, c) = (book.claim("*"), book.claim("*"));
            if !waits {
                // The other branch is claimable, not running.
                settle(&book, &c, Settlement::Release { due: c.due, record: None });
            }
            settle(&book, &b, recompute(1));
            let a = book.claims("*", 9).into_iter().find(|it| book.type_name(it) == "a").unwrap();
            match cancelled {
                true => {
                    let id = a.lease.step;
                    book.store.write(move |tx| cancel::step(tx, id)).unwrap();
                    settle(&book, &a, Settlement::Cancelled { record: record("stopped") });
                }
                false => settle(&book, &a, Settlement::Fail { crashed: false, record: record("no") }),
            }
            book.reap(house::WORKER);
            book.settle(&c, completion());
            book.check();
            assert!(book.ended(group), "{cancelled} {waits}");
            assert_eq!(book.events("GROUP_END"), 1);
        }
    }
}

#[test]
fn a_group_that_is_cancelled_or_retried_during_a_repair_stays_sound() {
    let book = Book::new();
    let group = book.submit(&diamond(), &["x"]);
    settle(&book, &book.claim("*"), with_file(1));
    let (b, c) = (book.claim("*"), book.claim("*"));
    settle(&book, &b, recompute(1));
    book.cancel(group);
    book.check();
    settle(&book, &c, completion());
    assert!(book.ended(group));
    assert!(book.retry(group).unwrap());
    book.check();
    while let Some(step) = book.claims("*", 1).pop() {
        settle(&book, &step, completion());
    }
    assert_eq!((book.ended(group), book.group_end(group).cancelled), (true, 0));
}

// ---------------------------------------------------------------- on real files

/// A worker for one type of step, until the condition holds.
fn work_on(engine: &Engine, step_type: &str, mut done: impl FnMut() -> bool) {
    let pools = BTreeMap::from([(step_type.to_string(), 1)]);
    let worker = Worker::start(engine, WorkerOptions { pools, scope: Scope::Everything }).unwrap();
    let deadline = Instant::now() + Duration::from_secs(60);
    while !done() {
        assert!(Instant::now() < deadline && worker.fatal().is_none());
        std::thread::yield_now();
    }
    worker.stop(Millis::seconds(10));
}

fn files(home: &Path) -> Vec<PathBuf> {
    let shards = fs::read_dir(home.join("artifacts")).unwrap().map(|it| it.unwrap().path()).filter(|it| it.is_dir());
    shards.flat_map(|it| fs::read_dir(it).unwrap().map(|it| it.unwrap().path())).collect()
}

/// Damages one byte in every existing artifact.
const FLIP: &str = "for f in artifacts/*/*; do printf X | dd of=$f bs=1 seek=40 conv=notrunc status=none; done";

fn events(engine: &Engine, kind: &str) -> usize {
    let all = engine.store().read(|tx| event::after(tx, event::Cursor::default(), 10_000)).unwrap();
    all.iter().filter(|(_, it)| serde_json::to_value(it.kind).unwrap() == kind).count()
}

#[test]
fn a_flipped_byte_is_never_handed_out_and_its_producer_mends_it() {
    let home = tempfile::tempdir().unwrap();
    let engine = open(home.path());
    let text = format!(
        "id: t
steps:
  - {{ name: make, run: 'echo made >> made; seq 1 2000 > {{{{ out }}}}/n', cache: true }}
  - {{ name: spoil, run: 'test -e spoilt || {{ touch spoilt; {FLIP}; }}' }}
  - {{ name: use, needs: [make, spoil], run: 'sha256sum < {{{{ inputs.make.dir }}}}/n' }}
hooks:
  group_end: [{{ name: tell, run: 'echo ended >> ended' }}]
"
    );
    let group = submit(&engine, &text, &["x"]);
    let worker = worker(&engine, 2);
    assert_eq!(wait(&engine, &worker, group), Status::Completed);
    while !worker.is_idle().unwrap() {
        std::thread::yield_now();
    }
    worker.stop(Millis::seconds(10));
    let lines = |name: &str| fs::read_to_string(home.path().join(name)).unwrap().lines().count();
    assert_eq!((lines("made"), lines("ended"), events(&engine, "GROUP_END")), (2, 1, 1));
    let attempts = engine.store().read(|tx| attempt::of_step(tx, StepId(3))).unwrap();
    let outcomes: Vec<_> = attempts.iter().map(|it| (it.n, it.outcome.unwrap())).collect();
    assert_eq!(outcomes, [(1, "interrupted"), (1, "succeeded")]);
    assert_eq!(files(home.path()).len(), 1, "the damaged file was replaced");
    assert_eq!(engine.store().read(check::check).unwrap(), Vec::<String>::new());
}

#[test]
fn a_disk_that_spoils_every_file_ends_in_a_failure_that_says_so() {
    let home = tempfile::tempdir().unwrap();
    let engine = open(home.path());
    let text = "id: t
steps:
  - { name: make, run: 'seq 1 2000 > {{ out }}/n' }
  - { name: use, run: 'cat {{ inputs.make.dir }}/n' }
";
    let group = submit(&engine, text, &["x"]);
    let status = |id| engine.store().read(|tx| read::status_of_step(tx, StepId(id))).unwrap();
    // One worker makes the file and ends, the file is damaged, another worker finds the damage.
    for round in 1..=4 {
        work_on(&engine, "make", || status(1) == Status::Completed);
        for file in files(home.path()) {
            fs::write(file, "spoilt").unwrap();
        }
        work_on(&engine, "use", || status(2).is_terminal() || status(1) == Status::Pending);
        assert_eq!(status(2).is_terminal(), round == 4, "{round}");
    }
    let status = engine.group_end(group).unwrap().unwrap().status;
    assert_eq!(status, Status::Failed);
    let error = engine.store().read(|tx| read::why(tx, StepId(2))).unwrap().step.error.unwrap();
    assert!(error.contains("the disk is faulty"), "{error}");
    assert_eq!(events(&engine, "GROUP_END"), 1);
    assert_eq!(engine.store().read(check::check).unwrap(), Vec::<String>::new());
}
