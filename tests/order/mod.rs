//! The order in which steps are claimed: between groups, and within one.

use crate::house::{Book, chain, record};
use std::collections::{BTreeMap, VecDeque};
use windlass::{
    model::{GroupId, Millis, Shape, Status},
    store::{
        Claimed, Settlement,
        read::{self, RunFilter},
    },
};

fn items(count: usize) -> Vec<String> {
    (0..count).map(|it| it.to_string()).collect()
}

fn submit(book: &Book, shape: &Shape, count: usize, weight: i64) -> GroupId {
    let items = items(count);
    let items: Vec<&str> = items.iter().map(String::as_str).collect();
    book.submit_group(shape, &items, &[], |new| new.weight = weight).unwrap()
}

/// Claims steps one after the other, and completes each once `places` are running. Returns the groups in claim order.
fn drain(book: &Book, places: usize, claims: usize) -> Vec<GroupId> {
    let mut running: VecDeque<Claimed> = VecDeque::new();
    let mut order = Vec::new();
    while order.len() < claims {
        if running.len() == places {
            book.complete(&running.pop_front().unwrap());
        }
        match book.claims("*", 1).pop() {
            Some(step) => {
                order.push(step.group);
                running.push_back(step);
            }
            None => match running.pop_front() {
                Some(step) => _ = book.complete(&step),
                None => break,
            },
        }
    }
    for step in &running {
        book.complete(step);
    }
    order
}

fn counts(order: &[GroupId]) -> BTreeMap<GroupId, usize> {
    let mut counts = BTreeMap::new();
    order.iter().for_each(|it| *counts.entry(*it).or_default() += 1);
    counts
}

/// Jain's fairness index: 1 if all shares are equal, 1/n if one has everything.
fn jain(shares: &[f64]) -> f64 {
    let sum: f64 = shares.iter().sum();
    sum * sum / (shares.len() as f64 * shares.iter().map(|it| it * it).sum::<f64>())
}

#[test]
fn a_small_group_that_comes_late_starts_within_one_round() {
    let book = Book::new();
    let many: usize = std::env::var("TEST_ROWS").ok().and_then(|it| it.parse().ok()).unwrap_or(2_000);
    submit(&book, &chain(&["a"]), many, 1);
    submit(&book, &chain(&["a"]), many, 1);
    drain(&book, 2, 500);
    let late = submit(&book, &chain(&["a"]), 1, 1);
    let order = drain(&book, 2, 3);
    assert!(order.contains(&late), "{order:?}");
    book.check();
}

#[test]
fn groups_that_wait_all_the_time_get_equal_shares_of_any_thousand_claims() {
    let book = Book::new();
    let groups: Vec<GroupId> = (0..5).map(|_| submit(&book, &chain(&["a", "b", "c"]), 400, 1)).collect();
    let order = drain(&book, 4, 3_000);
    for window in order.windows(1_000).step_by(100) {
        let counts = counts(window);
        let shares: Vec<f64> = groups.iter().map(|it| counts.get(it).copied().unwrap_or(0) as f64).collect();
        assert!(jain(&shares) > 0.99, "{counts:?}");
    }
    book.check();
}

#[test]
fn a_group_of_weight_three_gets_three_times_the_share() {
    let book = Book::new();
    let light = submit(&book, &chain(&["a", "b"]), 600, 1);
    let heavy = submit(&book, &chain(&["a"]), 1_200, 3);
    let counts = counts(&drain(&book, 3, 1_000));
    let ratio = counts[&heavy] as f64 / counts[&light] as f64;
    assert!((2.85..3.15).contains(&ratio), "{counts:?}");
}

#[test]
fn a_group_that_comes_beside_one_that_was_alone_neither_waits_for_it_nor_goes_ahead() {
    let book = Book::new();
    let first = submit(&book, &chain(&["a"]), 1_000, 1);
    drain(&book, 2, 500);
    let second = submit(&book, &chain(&["a"]), 1_000, 1);
    let counts = counts(&drain(&book, 2, 100));
    assert_eq!((counts[&first], counts[&second]), (50, 50));
}

#[test]
fn a_group_with_one_step_at_a_time_does_not_get_ahead_of_others() {
    let book = Book::new();
    let busy: Vec<GroupId> = (0..4).map(|_| submit(&book, &chain(&["a"]), 200, 1)).collect();
    let steps = vec!["a"; 100];
    let lone = submit(&book, &chain(&steps), 1, 1);
    // Each of its steps completes before the next claim, so it always has one waiting step.
    let counts = counts(&drain(&book, 1, 200));
    assert!(counts[&lone].abs_diff(40) <= 1, "{counts:?}");
    assert!(busy.iter().all(|it| counts[it].abs_diff(40) <= 1), "{counts:?}");
}

#[test]
fn a_pipeline_finishes_items_before_it_begins_others() {
    let book = Book::new();
    let group = submit(&book, &chain(&["a", "b", "c"]), 1_000, 1);
    let places = 20;
    let mut open: BTreeMap<i64, usize> = BTreeMap::new();
    let mut running: VecDeque<Claimed> = VecDeque::new();
    while let Some(step) = book.claims("*", 1).pop() {
        open.entry(step.run.0).or_insert(3);
        assert!(open.len() <= places + places / 20, "{} runs are begun and not ended", open.len());
        running.push_back(step);
        if running.len() == places {
            let step = running.pop_front().unwrap();
            book.complete(&step);
            let left = open.get_mut(&step.run.0).unwrap();
            *left -= 1;
            if *left == 0 {
                open.remove(&step.run.0);
            }
        }
    }
    for step in &running {
        book.complete(step);
    }
    let rest = drain(&book, places, usize::MAX);
    assert!(book.ended(group), "{} steps were left at the end", rest.len());
    book.check();
}

#[test]
fn a_step_whose_back_off_is_over_takes_its_old_place() {
    let book = Book::new();
    submit(&book, &chain(&["a"]), 300, 1);
    let first = book.claim("*");
    let due = book.now() + Millis(1_000);
    book.settle(&first, Settlement::Retry { due, crashed: false, record: record("later") });
    let second = book.claim("*");
    assert_ne!(second.run, first.run);
    book.clock.advance(Millis(1_001));
    let again = book.claim("*");
    assert_eq!((again.lease.step, again.attempt), (first.lease.step, 2));
}

#[test]
fn a_pool_that_takes_several_queues_serves_each_in_turn() {
    let book = Book::new();
    let old = submit(&book, &chain(&["a"]), 300, 1);
    let young = submit(&book, &chain(&["b"]), 300, 1);
    book.open_pool("a");
    let counts = counts(&drain(&book, 1, 100));
    assert!(counts[&old].abs_diff(counts[&young]) <= 2, "{counts:?}");
}

#[test]
fn what_is_left_of_groups_that_have_ended_is_forgotten_by_the_next_claims() {
    let book = Book::new();
    for _ in 0..20 {
        submit(&book, &chain(&["a"]), 2, 1);
    }
    assert_eq!(drain(&book, 3, usize::MAX).len(), 40);
    assert!(book.claims("*", 1).is_empty());
    assert_eq!(book.count("turn"), 0);
    book.check();
}

#[test]
fn why_says_what_is_ahead_of_a_step_that_waits() {
    let book = Book::new();
    let first = submit(&book, &chain(&["a"]), 100, 1);
    let second = submit(&book, &chain(&["a"]), 10, 1);
    drain(&book, 1, 3);
    let filter = RunFilter { status: None, after: None, limit: 10 };
    let runs = book.store.read(|tx| read::runs(tx, second, &filter)).unwrap();
    let last = runs.iter().map(|it| it.id).max().unwrap();
    let step = book.store.read(|tx| read::show_run(tx, last)).unwrap().steps[0].id;
    let why = book.store.read(|tx| read::why(tx, step)).unwrap();
    let ahead = why.ahead.expect("it is claimable");
    let of = |group| ahead.groups.iter().find(|it| it.group == group).map(|it| it.steps);
    // Two steps of the first group and one of the second are done, so it is the second group's turn.
    assert_eq!((of(second), of(first), ahead.steps, ahead.more), (Some(8), Some(8), 16, false));
    let claimed = drain(&book, 1, 17);
    assert_eq!(claimed.iter().filter(|it| **it == first).count(), 8);
    assert_eq!(book.status_of(step), Status::Completed);
}
