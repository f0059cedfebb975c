//! Maintenance of large groups does not make others wait. `TEST_ROWS=1000000` makes the groups larger.

mod support {
    pub mod house;
}

use support::house;

use house::{Book, chain, record};
use std::{
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};
use windlass::{
    model::Status,
    store::{
        Commit, CommitListener, Settlement, check,
        prune::{self, Outputs, Removed},
        vacuum,
    },
    view::{self, StepFilter},
};

fn rows() -> usize {
    std::env::var("TEST_ROWS").ok().and_then(|it| it.parse().ok()).unwrap_or(40_000)
}

/// How long each transaction held the writer.
#[derive(Default)]
struct Held(Mutex<Vec<Duration>>);

impl CommitListener for Held {
    fn committed(&self, commit: &Commit<'_>) {
        self.0.lock().unwrap().push(commit.took);
    }
}

impl Held {
    /// (the 99th percentile, the maximum)
    fn worst(&self) -> (Duration, Duration) {
        let mut all = self.0.lock().unwrap();
        all.sort();
        (all[all.len() * 99 / 100], all[all.len() - 1])
    }
}

/// A large group in which three steps failed and everything else was cancelled. Its last run is one of the failed runs.
fn large(book: &Book) -> windlass::model::GroupId {
    let items: Vec<String> = (0..rows()).map(|it| it.to_string()).collect();
    let items: Vec<&str> = items.iter().map(String::as_str).collect();
    let last = book.submit_with(&chain(&["b"]), &["first to fail"], 1, &[]);
    let group = book.submit(&chain(&["a"]), &items);
    assert_ne!(last, group);
    for step in book.claims("*", 4) {
        book.fail(&step, &"x".repeat(4_000));
    }
    book.cancel(group);
    assert!(book.ended(group));
    group
}

#[test]
fn a_few_failed_steps_are_found_at_once_among_many() {
    let book = Book::new();
    let group = large(&book);
    let filter = |status| StepFilter { status: Some(status), limit: 50, ..StepFilter::default() };
    for (status, count) in [(Status::Failed, 3), (Status::Error, 0), (Status::Running, 0), (Status::Cancelled, 50)] {
        let begun = Instant::now();
        let found = view::steps(&book.store, group, &filter(status)).unwrap();
        let took = begun.elapsed();
        println!("{} steps, {status}: {took:?}", rows());
        assert_eq!(found.steps.len(), count, "{status}");
        assert!(took < Duration::from_millis(500), "{status} took {took:?}");
    }
}

#[test]
fn a_prune_holds_the_writer_for_milliseconds_and_stalls_no_claim() {
    let book = Book::new();
    let group = large(&book);
    let later = book.submit(&chain(&["c"]), &["1", "2", "3", "4", "5", "6", "7", "8", "9"]);
    let held = Arc::new(Held::default());
    book.store.listen(held.clone());
    let begun = Instant::now();
    assert!(book.store.write(move |tx| prune::begin(tx, group)).unwrap());
    let store = book.store.clone();
    let pruner = std::thread::spawn(move || {
        let mut slices = 0;
        while store.write(move |tx| prune::slice(tx, group, Outputs::Keep, 500, &mut Removed::default())).unwrap() {
            slices += 1;
        }
        while store.write(|tx| vacuum::slice(tx, 200, 256)).unwrap() {
            slices += 1;
        }
        slices
    });
    let (mut claims, mut longest) = (0, Duration::ZERO);
    while !pruner.is_finished() {
        let begun = Instant::now();
        let step = book.claim("*");
        longest = longest.max(begun.elapsed());
        book.settle(&step, Settlement::Release { due: step.due, record: None });
        claims += 1;
    }
    let slices = pruner.join().unwrap();
    let (usual, worst) = held.worst();
    let took = begun.elapsed();
    println!(
        "{} steps in {slices} slices, {took:?}; writer held {usual:?} (99 %), {worst:?} at most; {claims} claims, {longest:?} at most",
        rows()
    );
    assert!(slices > rows() / 500 && claims > slices / 10);
    assert!(usual < Duration::from_millis(100), "{usual:?}");
    assert!(!book.ended(later));
    assert!(book.store.read(check::integrity).unwrap().is_empty());
    book.check();
    let _ = record("");
}
