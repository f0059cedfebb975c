//! Every verb of the store under failure: at each statement, at COMMIT, at each write and fsync. Afterwards the
//! database is unchanged, the caller knows, and the verb works when it is retried.

#[path = "../support"]
mod support {
    pub mod binary;
    pub mod house;
    pub mod plant;
}

use support::house;
use support::plant;
mod inject;
mod verbs;

use house::Book;
use inject::Injector;
use rusqlite::ffi;
use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};
use verbs::{VERBS, Verb};
use windlass::{
    engine::{Worker, WorkerOptions},
    model::{Millis, ProcessIdentity, Scope},
    os::process_stat::own_identity,
    store::{self, Durability, Error, Store, definition, group, resource_key},
};

/// Every row of every table as text, except `counter`: a failed verb may have used up numbers.
struct Dump(rusqlite::Connection);

impl Dump {
    fn of(book: &Book) -> Dump {
        Dump(rusqlite::Connection::open(book.store.path()).unwrap())
    }

    fn read(&self) -> BTreeMap<String, Vec<String>> {
        let sql = "SELECT name FROM sqlite_schema WHERE type = 'table' AND name <> 'counter'";
        let mut tables = self.0.prepare_cached(sql).unwrap();
        let tables: Vec<String> = tables.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect();
        tables
            .into_iter()
            .map(|table| {
                let mut statement = self.0.prepare_cached(&format!("SELECT * FROM \"{table}\"")).unwrap();
                let columns = statement.column_count();
                let rows = statement.query_map([], |row| {
                    let values = (0..columns).map(|at| row.get::<_, rusqlite::types::Value>(at));
                    Ok(format!("{:?}", values.collect::<Result<Vec<_>, _>>()?))
                });
                let rows = rows.unwrap().map(Result::unwrap).collect();
                (table, rows)
            })
            .collect()
    }
}

/// Rows that only one of the two has.
fn difference(one: &BTreeMap<String, Vec<String>>, other: &BTreeMap<String, Vec<String>>) -> Vec<String> {
    let mut found = Vec::new();
    for (table, rows) in one {
        found.extend(rows.iter().filter(|it| !other[table].contains(it)).map(|it| format!("{table} has {it}")));
        found.extend(other[table].iter().filter(|it| !rows.contains(it)).map(|it| format!("{table} lacks {it}")));
    }
    found
}

/// Fails one verb at every place that `arm` can reach, until it succeeds. Returns the number of failures.
fn fail_everywhere(
    verb: &Verb,
    durability: Durability,
    injector: &Injector,
    stride: i64,
    arm: impl Fn(i64),
    expected: impl Fn(&Error) -> bool,
) -> usize {
    injector.await_writer();
    let book = Book::with(durability);
    let dump = Dump::of(&book);
    let act = (verb.prepare)(&book);
    let before = dump.read();
    let mut failures = 0;
    for n in 0.. {
        arm(n * stride);
        let answer = act(&book.store);
        let fired = injector.fired();
        match answer {
            Err(error) => {
                assert!(fired, "{} fails without a fault: {error}", verb.name);
                assert!(expected(&error), "{} at {n}: {error:?}", verb.name);
                let left = difference(&dump.read(), &before);
                assert!(left.is_empty(), "{} at {n} failed with {error} and left behind: {left:#?}", verb.name);
                failures += 1;
            }
            // If the fault occurred and was handled, the verb is still done exactly once.
            Ok(()) => break,
        }
    }
    assert_ne!(dump.read(), before, "{} did nothing", verb.name);
    book.check();
    (verb.after)(&book);
    failures
}

#[test]
fn a_verb_that_is_interrupted_at_any_statement_has_done_nothing() {
    let injector = inject::begin();
    let stride = std::env::var("TEST_STRIDE").ok().and_then(|it| it.parse().ok()).unwrap_or(7);
    for verb in VERBS {
        let expected = |error: &Error| matches!(error, Error::Sqlite { .. } | Error::Aborted);
        let arm = |n| injector.interrupt_at(n);
        let failures = fail_everywhere(verb, Durability::Normal, &injector, stride, arm, expected);
        assert!(failures > 2, "{} was interrupted {failures} times", verb.name);
    }
}

#[test]
fn a_verb_whose_commit_is_refused_has_done_nothing() {
    let injector = inject::begin();
    for verb in VERBS {
        let arm = |n| {
            if n == 0 {
                injector.refuse_commit()
            }
        };
        let failures = fail_everywhere(verb, Durability::Normal, &injector, 1, arm, |_| true);
        assert_eq!(failures, 1, "{}", verb.name);
    }
}

#[test]
fn a_verb_that_meets_a_full_disk_says_so_and_has_done_nothing() {
    let injector = inject::begin();
    for verb in VERBS {
        let expected = |error: &Error| matches!(error, Error::DiskFull { .. }) && error.hint().is_some();
        let arm = |n| injector.fail_write(n, ffi::SQLITE_FULL);
        let failures = fail_everywhere(verb, Durability::Normal, &injector, 1, arm, expected);
        assert!(failures > 0, "{}", verb.name);
    }
}

#[test]
fn a_verb_whose_write_fails_says_so_and_has_done_nothing() {
    let injector = inject::begin();
    for verb in VERBS {
        let expected = |error: &Error| matches!(error, Error::Io { .. });
        let arm = |n| injector.fail_write(n, ffi::SQLITE_IOERR_WRITE);
        fail_everywhere(verb, Durability::Normal, &injector, 1, arm, expected);
    }
}

#[test]
fn after_a_failed_fsync_nothing_is_acknowledged_until_a_restart() {
    let injector = inject::begin();
    for verb in VERBS {
        let mut book = Book::with(Durability::Full);
        let act = (verb.prepare)(&book);
        let dump = Dump::of(&book);
        let before = dump.read();
        injector.fail_sync(0);
        let answer = act(&book.store);
        assert!(injector.fired(), "{} was acknowledged without an fsync", verb.name);
        assert!(matches!(answer, Err(Error::Poisoned)), "{}: {answer:?}", verb.name);
        let refused = book.store.write(|tx| resource_key::intern(tx, "more"));
        assert!(matches!(refused, Err(Error::Poisoned)), "{}: {refused:?}", verb.name);
        drop(dump);
        book.restart();
        // Unacknowledged work may be there completely or not at all.
        let dump = Dump::of(&book);
        let there = dump.read() != before;
        if !there {
            act(&book.store).unwrap();
        }
        book.check();
        (verb.after)(&book);
    }
}

#[test]
fn a_failed_fsync_of_a_checkpoint_stops_the_writer_too() {
    let injector = inject::begin();
    let mut book = Book::new();
    // The header of a new log is synced.
    book.store.write(|tx| resource_key::intern(tx, "first")).unwrap();
    injector.fail_sync(0);
    let long = "x".repeat(4000);
    for number in 0..2000 {
        let name = format!("{long}{number}");
        if let Err(error) = book.store.write(move |tx| resource_key::intern(tx, &name)) {
            assert!(number >= 100, "what is synced later is acknowledged: {error}");
            assert!(matches!(error, Error::Poisoned), "{error:?}");
            break;
        }
    }
    assert!(injector.fired(), "no checkpoint came");
    let refused = book.store.write(|tx| resource_key::intern(tx, "more"));
    assert!(matches!(refused, Err(Error::Poisoned)), "{refused:?}");
    book.restart();
    book.store.write(|tx| resource_key::intern(tx, "more")).unwrap();
    book.check();
}

#[test]
fn callers_that_share_a_transaction_each_know_what_became_of_theirs() {
    let injector = inject::begin();
    injector.await_writer();
    let book = Book::new();
    let faults = [ffi::SQLITE_FULL, ffi::SQLITE_IOERR_WRITE];
    let mut known = Vec::new();
    for round in 0..60 {
        if round % 3 == 0 {
            injector.interrupt_at(20 + round * 7);
        } else {
            injector.fail_write(round % 5, faults[round as usize % 2]);
        }
        let answers: Vec<(String, bool)> = std::thread::scope(|scope| {
            let callers: Vec<_> = (0..8)
                .map(|no| {
                    let store: Store = book.store.clone();
                    scope.spawn(move || {
                        let name = format!("key {round} of {no}");
                        let wanted = name.clone();
                        (name, store.write(move |tx| resource_key::intern(tx, &wanted)).is_ok())
                    })
                })
                .collect();
            callers.into_iter().map(|it| it.join().unwrap()).collect()
        });
        injector.fired();
        known.extend(answers);
    }
    for (name, acknowledged) in &known {
        let there = book.store.read(|tx| resource_key::find(tx, name)).unwrap().is_some();
        assert_eq!(there, *acknowledged, "{name}");
    }
    assert!(known.iter().any(|it| !it.1), "no fault was met");
    assert!(known.iter().any(|it| it.1));
}

#[test]
fn a_worker_that_finds_the_disk_full_at_its_first_look_stays_and_looks_again() {
    let injector = inject::begin();
    let mut begun = 0;
    for n in 0.. {
        let dir = tempfile::tempdir().unwrap();
        let engine = plant::open(dir.path());
        // A process died during a submission, and the first worker removes its remains.
        let builder = ProcessIdentity { boot_id: "before".into(), ..own_identity() };
        let half = move |tx: &store::WriteTx| {
            let definition = definition::intern(tx, &house::new_definition(&house::chain(&["a"])))?;
            let (name, params, directory) = ("half".into(), "{}".into(), "/".into());
            let new = group::NewGroup {
                definition,
                name,
                params,
                directory,
                file: String::new(),
                concurrency: None,
                priority: 0,
                weight: 1,
                force: false,
                scoped: false,
                key: None,
                builder: builder.clone(),
                of_batch: None,
                alerts: None,
                child: None,
                collect: None,
            };
            group::create(tx, &new).map(drop)
        };
        engine.store().write(half).unwrap();
        injector.fail_write(n, ffi::SQLITE_FULL);
        let pools = BTreeMap::from([("*".to_string(), 1)]);
        let worker = match Worker::start(&engine, WorkerOptions { pools, scope: Scope::Everything }) {
            Ok(worker) => worker,
            Err(error) => {
                assert!(error.to_string().contains("no space left"), "{error}");
                continue;
            }
        };
        begun += 1;
        let deadline = Instant::now() + plant::PATIENCE;
        while !engine.store().read(group::unsealed).unwrap().is_empty() {
            assert_eq!(worker.fatal(), None, "at write {n}");
            assert!(Instant::now() < deadline, "at write {n}: it never looks again");
            std::thread::sleep(Duration::from_millis(5));
        }
        assert_eq!(worker.fatal(), None, "at write {n}");
        worker.stop(Millis::seconds(5));
        engine.store().close();
        if !injector.fired() {
            break;
        }
    }
    assert!(begun > 1, "the first look met no full disk");
}
