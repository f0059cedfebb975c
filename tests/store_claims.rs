//! The store's verbs against a real SQLite file.

mod support {
    pub mod house;
}

use support::house;

mod order;

use house::{Book, chain, diamond};
use std::sync::Arc;
use windlass::{
    model::{GroupId, Millis, Scope, Status, Timestamp},
    store::{Held, Settlement, Take, worker},
};

#[test]
fn a_chain_runs_its_steps_one_after_the_other_and_ends_its_group() {
    let book = Book::new();
    let group = book.submit(&chain(&["a", "b", "c"]), &["x"]);
    for name in ["a", "b", "c"] {
        let step = book.claim("*");
        assert_eq!(book.type_name(&step), name);
        assert!(book.claims("*", 5).is_empty(), "only one step of a chain is claimable");
        assert_eq!(book.complete(&step), Held::Yes);
    }
    assert!(book.ended(group));
    assert_eq!(book.events("GROUP_END"), 1);
    book.check();
}

#[test]
fn a_step_with_two_needs_waits_for_both() {
    let book = Book::new();
    let group = book.submit(&diamond(), &["x"]);
    let top = book.claim("*");
    book.complete(&top);
    let both = book.claims("*", 5);
    assert_eq!(both.len(), 2);
    book.complete(&both[0]);
    assert!(book.claims("*", 5).is_empty());
    book.complete(&both[1]);
    let last = book.claim("*");
    assert_eq!(book.type_name(&last), "d");
    book.complete(&last);
    assert!(book.ended(group));
    book.check();
}

#[test]
fn a_lost_lease_changes_nothing() {
    let book = Book::new();
    book.submit(&chain(&["a"]), &["x"]);
    let stale = book.claim("*");
    assert_eq!(book.reap(stale_worker()), 1);
    let fresh = book.claim("*");
    assert_eq!(fresh.lease.step, stale.lease.step);
    assert_ne!(fresh.lease.token, stale.lease.token);
    assert_eq!(book.complete(&stale), Held::Lost);
    assert_eq!(book.status(&fresh), Status::Running);
    assert_eq!(book.complete(&fresh), Held::Yes);
    assert_eq!(book.complete(&fresh), Held::Lost, "a completion is recorded at most once");
    book.check();
}

#[test]
fn a_worker_that_was_taken_for_dead_claims_nothing_under_its_old_number() {
    let book = Book::new();
    book.submit(&chain(&["a"]), &["x"]);
    let others = || Take::Others(Arc::new([]));
    book.store.write(|tx| worker::leave(tx, house::WORKER)).unwrap();
    assert!(book.store.claim(house::request(house::WORKER, others(), Scope::Everything, 1)).unwrap().is_empty());
    book.enrol(house::WORKER);
    assert_eq!(book.store.claim(house::request(house::WORKER, others(), Scope::Everything, 1)).unwrap().len(), 1);
}

fn stale_worker() -> windlass::model::WorkerId {
    house::WORKER
}

#[test]
fn claims_follow_priority_then_turn_then_age() {
    let book = Book::new();
    book.submit_with(&chain(&["a"]), &["low"], 0, &[]);
    book.submit_with(&chain(&["a"]), &["high", "high2"], 5, &[]);
    book.submit_with(&chain(&["a"]), &["other"], 5, &[]);
    let items: Vec<String> = book.claims("*", 5).iter().map(|it| book.item(it)).collect();
    assert_eq!(items, ["high", "other", "high2", "low"]);
}

#[test]
fn a_failed_step_comes_back_when_it_is_due_and_then_fails_its_run() {
    let book = Book::new();
    let group = book.submit(&chain(&["a", "b"]), &["x"]);
    let first = book.claim("*");
    let due = Timestamp(book.now().0 + 1000);
    let record = house::record("boom");
    book.settle(&first, Settlement::Retry { due, crashed: false, record: record.clone() });
    assert_eq!(book.status(&first), Status::Error);
    assert!(book.claims("*", 1).is_empty(), "it is not due yet");
    book.clock.advance(Millis(1001));
    let second = book.claim("*");
    assert_eq!(second.attempt, 2);
    book.settle(&second, Settlement::Fail { crashed: false, record });
    assert_eq!(book.status(&second), Status::Failed);
    assert!(book.ended(group));
    assert_eq!(book.group_end(group).failed, 1);
    assert_eq!(book.events("GROUP_END"), 1, "a group whose last run fails ends too");
    book.check();
}

#[test]
fn a_released_step_gets_its_attempt_back() {
    let book = Book::new();
    book.submit(&chain(&["a"]), &["x"]);
    let first = book.claim("*");
    book.settle(&first, Settlement::Release { due: first.due, record: None });
    let again = book.claim("*");
    assert_eq!(again.attempt, 1);
    book.check();
}

#[test]
fn of_each_key_only_one_step_runs_and_the_next_follows_at_once() {
    let book = Book::new();
    let group = book.submit_with(&chain(&["a"]), &["x", "y", "z"], 0, &[Some("db:one")]);
    for _ in 0..3 {
        let one = book.claims("*", 5);
        assert_eq!(one.len(), 1, "rivals wait in line");
        assert!(book.claims("*", 5).is_empty());
        book.check();
        book.complete(&one[0]);
    }
    assert!(book.ended(group));
    book.check();
}

#[test]
fn a_better_newcomer_takes_the_place_of_an_unclaimed_head() {
    let book = Book::new();
    book.submit_with(&chain(&["a"]), &["first"], 0, &[Some("k")]);
    book.submit_with(&chain(&["a"]), &["urgent"], 9, &[Some("k")]);
    let head = book.claim("*");
    assert_eq!(book.item(&head), "urgent");
    book.check();
    book.complete(&head);
    assert_eq!(book.item(&book.claim("*")), "first");
}

#[test]
fn a_group_without_workers_does_not_bar_a_scoped_group_from_a_free_key() {
    let book = Book::new();
    book.submit_with(&chain(&["a"]), &["nobody works on it"], 0, &[Some("k")]);
    let mine = book.submit_scoped(&chain(&["a"]), &["mine"], &[Some("k")]);
    let claimed = book.claims_in(Scope::Group(mine), "*", 5);
    assert_eq!(claimed.len(), 1);
    assert_eq!(book.item(&claimed[0]), "mine");
    book.complete(&claimed[0]);
    assert!(book.ended(mine));
    book.check();
}

#[test]
fn a_scoped_claim_sees_only_its_group_and_everyone_else_sees_all() {
    let book = Book::new();
    book.submit(&chain(&["a"]), &["other"]);
    let mine = book.submit_scoped(&chain(&["a"]), &["mine"], &[]);
    assert_eq!(book.claims_in(Scope::Group(mine), "*", 5).len(), 1);
    assert_eq!(book.claims("*", 5).len(), 1);
    assert!(book.claims_in(Scope::Group(GroupId(99)), "*", 5).is_empty());
}

#[test]
fn a_pool_of_a_type_takes_only_that_type_and_the_star_pool_the_rest() {
    let book = Book::new();
    book.submit(&chain(&["parse"]), &["p1", "p2"]);
    book.submit(&chain(&["other"]), &["o"]);
    book.open_pool("parse");
    assert_eq!(book.claims_others(&["parse"], 5).len(), 1);
    assert_eq!(book.claims("parse", 5).len(), 2);
    book.check();
}

#[test]
fn a_paused_group_runs_nothing_until_it_is_resumed() {
    let book = Book::new();
    let group = book.submit(&chain(&["a"]), &["x", "y"]);
    book.pause(group);
    assert!(book.claims("*", 5).is_empty());
    book.check();
    book.resume(group);
    assert_eq!(book.claims("*", 5).len(), 2);
    book.check();
}

#[test]
fn a_group_without_runs_ends_in_its_submit() {
    let book = Book::new();
    let group = book.submit(&chain(&["a"]), &[]);
    assert!(book.ended(group));
    assert_eq!(book.events("GROUP_END"), 1);
}

#[test]
fn the_same_key_makes_one_group_and_other_content_is_refused() {
    let book = Book::new();
    let first = book.submit_keyed("nightly", [1; 32]);
    assert_eq!(book.submit_keyed("nightly", [1; 32]).unwrap(), first.unwrap());
    assert!(book.submit_keyed("nightly", [2; 32]).unwrap_err().to_string().contains("nightly"));
}

#[test]
fn an_error_in_a_closure_undoes_it_alone_and_a_panic_too() {
    let book = Book::new();
    let before = book.count("run_group");
    let failed = book.store.write(|tx| {
        windlass::store::resource_key::intern(tx, "left behind?")?;
        Err::<(), _>(windlass::store::Error::refused("no"))
    });
    assert!(failed.is_err());
    let panicked: Result<(), _> = book.store.write(|_| panic!("on purpose"));
    assert!(matches!(panicked, Err(windlass::store::Error::Panicked)));
    assert_eq!(book.count("resource_key"), 0);
    assert_eq!(book.count("run_group"), before);
    book.submit(&chain(&["a"]), &["still works"]);
    book.check();
}
