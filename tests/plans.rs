//! The plans of the hot statements: on an empty database, on a large one, and with the planner's statistics.
//!
//! `TEST_ROWS=1000000` makes the large one larger.

mod support {
    pub mod house;
}

use support::house;

use house::{Book, chain, record};
use windlass::{
    model::Millis,
    store::{Held, Settlement, Store, plan},
};

#[track_caller]
fn assert_plans(store: &Store, moment: &str) {
    let mut wrong = Vec::new();
    for hot in plan::hot_statements() {
        let found = store.read(|tx| plan::explain(tx, hot.sql)).unwrap();
        if found != hot.plan {
            wrong.push(format!("{}: {found:?} instead of {:?}", hot.name, hot.plan));
        }
    }
    assert!(wrong.is_empty(), "{moment}: {wrong:#?}");
}

#[test]
fn hot_statements_have_the_same_plans_whatever_is_stored() {
    let book = Book::new();
    assert_plans(&book.store, "empty");
    let rows: usize = std::env::var("TEST_ROWS").ok().and_then(|it| it.parse().ok()).unwrap_or(100_000);
    fill(&book, rows);
    assert_eq!(book.count("step"), rows as i64);
    for (table, least) in [("ready", 1000), ("lease", 100), ("attempt", 100)] {
        assert!(book.count(table) >= least, "{table} has {} rows", book.count(table));
    }
    assert_plans(&book.store, "filled");
    book.store.write(plan::analyze).unwrap();
    assert_plans(&book.store, "with statistics");
    // Statements that the writer prepared before the statistics existed are prepared again.
    let step = loop {
        // Each claim moves some hundred steps of the paused group away.
        if let Some(step) = book.claims("*", 1).pop() {
            break step;
        }
    };
    assert_eq!(book.complete(&step), Held::Yes);
    book.check();
}

/// Half of the steps have keys and are in long lines; some are completed, delayed, running and paused.
fn fill(book: &Book, rows: usize) {
    let items: Vec<String> = (0..rows / 8).map(|it| format!("item {it}")).collect();
    let items: Vec<&str> = items.iter().map(String::as_str).collect();
    let paused = book.submit_with(&chain(&["c", "d"]), &items, 1, &[]);
    book.submit_with(&chain(&["a", "b", "a"]), &items, 0, &[Some("one"), Some("two"), None]);
    book.submit_scoped(&chain(&["a", "b", "e"]), &items, &[None, Some("two"), None]);
    book.open_pool("e");
    for step in book.claims("*", rows / 100) {
        let due = book.now() + Millis(60_000);
        book.settle(&step, Settlement::Retry { due, crashed: false, record: record("later") });
    }
    for step in book.claims("*", rows / 100) {
        book.complete(&step);
    }
    assert_eq!(book.claims("*", rows / 100).len(), rows / 100);
    book.pause(paused);
    assert!(book.claims("*", 1).is_empty(), "the first hundreds are paused");
}
