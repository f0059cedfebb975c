//! Lists of runs in the ingestion API: pages and totals agree with the rows, and stay fast in a large database.

mod support {
    pub mod house;
}

use support::house;

use house::{Book, chain, completion, record};
use std::time::{Duration, Instant};
use windlass::{
    model::{GroupId, RunId, Status, Timestamp},
    store::{
        Settlement, Store,
        records::{self, NEWEST, Wanted},
    },
};

fn ids_of_pages(store: &Store, wanted: Wanted, rows: i64) -> Vec<RunId> {
    let total = store.read(|tx| records::total(tx, &wanted)).unwrap();
    let page = |offset| store.read(|tx| records::page(tx, &wanted, offset, rows)).unwrap();
    let ids = (0..total).step_by(rows as usize).flat_map(page).map(|it| it.id).collect();
    assert!(page(total).is_empty());
    ids
}

fn ids_one_after_the_other(store: &Store, wanted: Wanted, limit: usize) -> Vec<RunId> {
    let (mut ids, mut place) = (Vec::new(), Some(NEWEST));
    while let Some(from) = place {
        let (runs, next) = store.read(|tx| records::older(tx, &wanted, from, limit)).unwrap();
        ids.extend(runs.into_iter().map(|it| it.id));
        place = next;
    }
    ids
}

/// Groups with runs of every status.
fn mixed() -> Book {
    let book = Book::new();
    for round in 0..3 {
        book.submit(&chain(&["a"]), &["1", "2", "3", "4", "5", "6", "7"]);
        let failed = Settlement::Fail { crashed: false, record: record("broken") };
        let again = Settlement::Retry { due: Timestamp(i64::MAX / 2), crashed: false, record: record("later") };
        for settlement in [completion(), completion(), failed, again] {
            let step = book.claim("*");
            book.settle(&step, settlement);
        }
        let waiting = book.claim("*");
        if round == 0 {
            book.settle(&waiting, Settlement::Cancelled { record: record("cancelled") });
        }
    }
    book
}

#[test]
fn pages_and_totals_agree_with_the_runs_for_every_status() {
    let book = mixed();
    let all = ids_of_pages(&book.store, Wanted::default(), 4);
    assert_eq!(all.len(), 21);
    assert!(all.is_sorted_by(|one, other| one > other));
    let status = |id: &RunId| book.store.read(|tx| records::run(tx, *id)).unwrap().unwrap().status;
    for wanted in Status::ALL {
        let expected: Vec<RunId> = all.iter().copied().filter(|it| status(it) == wanted).collect();
        let filter = Wanted { batch: None, status: Some(wanted) };
        for rows in [1, 2, 5, 50] {
            assert_eq!(ids_of_pages(&book.store, filter, rows), expected, "{wanted} {rows}");
            assert_eq!(ids_one_after_the_other(&book.store, filter, rows as usize), expected, "{wanted} {rows}");
        }
        let of_steps = matches!(wanted, Status::Skipped | Status::Waiting);
        assert_eq!(expected.is_empty(), of_steps, "only steps are skipped or wait here: {wanted}");
    }
    assert_eq!(ids_one_after_the_other(&book.store, Wanted::default(), 3), all);
    let tallies = |group| book.store.read(|tx| records::tally_of_group(tx, GroupId(group))).unwrap().unwrap();
    assert_eq!((tallies(1).cancelled, tallies(2).error, tallies(3).pending), (1, 1, 5), "groups take turns");
    assert_eq!(book.store.read(|tx| records::tally_of_group(tx, GroupId(9))).unwrap(), None);
}

/// `TEST_LEDGER_RUNS=200000 cargo test --test records` measures a million steps.
#[test]
fn a_page_is_fast_wherever_it_lies() {
    let runs: usize = std::env::var("TEST_LEDGER_RUNS").ok().and_then(|it| it.parse().ok()).unwrap_or(4_000);
    let book = Book::new();
    let shape = chain(&["validate", "parse", "chunk", "embed", "store"]);
    let groups = 4;
    let items: Vec<String> = (0..runs / groups).map(|it| it.to_string()).collect();
    let items: Vec<&str> = items.iter().map(String::as_str).collect();
    for _ in 0..groups {
        book.submit(&shape, &items);
    }
    // The oldest runs have ended.
    let done = (runs / 2).min(20_000);
    for _ in 0..done {
        let step = book.claim("*");
        let failed = Settlement::Fail { crashed: false, record: record("broken") };
        book.settle(&step, failed);
    }
    let mut times: Vec<Duration> = Vec::new();
    let total = book.store.read(|tx| records::total(tx, &Wanted::default())).unwrap();
    assert_eq!(total, runs as i64);
    for status in [None, Some(Status::Pending), Some(Status::Failed), Some(Status::Completed), Some(Status::Running)] {
        let wanted = Wanted { batch: None, status };
        for part in 0..20 {
            let begun = Instant::now();
            book.store
                .read(|tx| {
                    let total = records::total(tx, &wanted)?;
                    records::page(tx, &wanted, total * part / 20, 50)
                })
                .unwrap();
            times.push(begun.elapsed());
        }
    }
    times.sort();
    let (half, most) = (times[times.len() / 2], times[times.len() - 2]);
    println!("{} steps: a page of 50 takes {half:?} (p50), {most:?} (p99)", runs * 5);
    assert!(most < Duration::from_millis(400), "{most:?}");
}
