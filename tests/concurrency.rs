//! Concurrency groups: groups with the same name do not overlap, and none of them is forgotten.

mod support {
    pub mod binary;
    pub mod house;
    pub mod place;
}

use proptest::prelude::*;
use std::{collections::BTreeMap, time::Duration};
use support::{
    binary::eventually,
    house::{self, Book},
    place::Place,
};
use windlass::{
    model::{Concurrency, GroupId, StepId},
    store::{cancel, concurrency::Turn, group, read},
};

fn submit(book: &Book, name: &str, policy: Concurrency, runs: usize) -> GroupId {
    let items = vec!["x"; runs];
    let turn = Turn { name: name.into(), policy };
    book.submit_group(&house::chain(&["a", "b"]), &items, &[], |new| new.concurrency = Some(turn)).unwrap()
}

/// The groups with a claimable or running step.
fn at_work(book: &Book) -> Vec<GroupId> {
    let all =
        book.store.read(|tx| read::groups(tx, &read::GroupFilter { limit: 1_000, ..Default::default() })).unwrap();
    let open = |it: &read::GroupRow| it.ended.is_none() && it.waits_for.is_none() && it.concurrency.is_some();
    all.into_iter().filter(open).map(|it| it.id).collect()
}

/// Works until nothing is claimable. Returns how many steps ran.
fn drain(book: &Book) -> usize {
    let mut count = 0;
    loop {
        let claimed = book.claims("*", 100);
        if claimed.is_empty() {
            return count;
        }
        let groups: std::collections::BTreeSet<_> = claimed.iter().map(|it| it.group).collect();
        assert_eq!(groups.len(), 1, "two groups of one name overlap");
        count += claimed.len();
        claimed.iter().for_each(|it| _ = book.complete(it));
    }
}

#[test]
fn groups_of_one_name_run_one_after_the_other_in_the_order_of_their_submission() {
    let book = Book::new();
    let groups: Vec<GroupId> = (0..3).map(|_| submit(&book, "mail", Concurrency::Queue, 2)).collect();
    let other = submit(&book, "else", Concurrency::Queue, 1);
    assert_eq!(at_work(&book), [other, groups[0]], "newest first: another name does not wait");
    for (at, group) in groups.iter().enumerate() {
        assert!(!book.ended(*group));
        while !book.ended(*group) {
            for claimed in book.claims("*", 1) {
                assert!(
                    claimed.group == *group || claimed.group == other,
                    "{} began before {group} ended",
                    claimed.group
                );
                book.complete(&claimed);
                book.check();
            }
        }
        assert!(groups[..at].iter().all(|it| book.ended(*it)));
    }
}

#[test]
fn a_large_group_that_waited_starts_although_the_engine_dies_right_after_the_end_before_it() {
    let mut book = Book::new();
    let first = submit(&book, "mail", Concurrency::Queue, 1);
    let second = submit(&book, "mail", Concurrency::Queue, 400);
    assert_eq!(drain_one(&book, first), 2);
    book.restart();
    assert!(book.ended(first));
    book.check();
    assert_eq!(book.store.read(group::unopened).unwrap(), [second], "a worker that starts finds it");
    assert_eq!(drain(&book), 800, "and each transaction opens more of it");
    assert!(book.ended(second));
}

fn drain_one(book: &Book, group: GroupId) -> usize {
    let mut count = 0;
    while !book.ended(group) {
        book.complete(&book.claim("*"));
        count += 1;
    }
    count
}

#[test]
fn a_group_that_waits_is_cancelled_without_a_turn() {
    let book = Book::new();
    let groups: Vec<GroupId> = (0..3).map(|_| submit(&book, "mail", Concurrency::Queue, 2)).collect();
    book.cancel(groups[1]);
    book.check();
    assert!(book.ended(groups[1]) && !book.ended(groups[0]));
    assert_eq!(at_work(&book), [groups[0]]);
    book.cancel(groups[0]);
    assert_eq!(at_work(&book), [groups[2]]);
    assert_eq!(drain(&book), 4);
}

#[test]
fn a_submission_is_skipped_while_another_runs_and_its_key_says_so_again() {
    let book = Book::new();
    let first = submit(&book, "mail", Concurrency::Skip, 1);
    let keyed = |book: &Book| {
        let turn = Turn { name: "mail".into(), policy: Concurrency::Skip };
        let change = |new: &mut group::NewGroup| {
            (new.concurrency, new.key) = (Some(turn), Some(("k".into(), [7; 32])));
        };
        book.submit_group(&house::chain(&["a", "b"]), &["x"], &[], change).unwrap()
    };
    assert_eq!(keyed(&book), first);
    assert_eq!(drain(&book), 2);
    assert_eq!(keyed(&book), first, "the same submission gets the same answer");
    assert_ne!(submit(&book, "mail", Concurrency::Skip, 1), first);
    book.check();
}

#[test]
fn a_retried_group_waits_behind_those_that_came_since() {
    let book = Book::new();
    let first = submit(&book, "mail", Concurrency::Queue, 2);
    book.claims("*", 2).iter().for_each(|it| _ = book.fail(it, "no"));
    let second = submit(&book, "mail", Concurrency::Queue, 1);
    assert!(book.retry(first).unwrap());
    book.check();
    assert_eq!(at_work(&book), [second]);
    assert_eq!(drain_one(&book, second), 2);
    assert_eq!(at_work(&book), [first]);
    book.check();
    assert_eq!(drain(&book), 4);
    let run = book.store.read(|tx| read::show_step(tx, StepId(1))).unwrap().run;
    let third = submit(&book, "mail", Concurrency::Queue, 1);
    assert_eq!(drain_one(&book, third), 2);
    let fourth = submit(&book, "mail", Concurrency::Queue, 1);
    let again = windlass::store::retry::Again { from: Some(1), definition: None, collect: None };
    assert_eq!(book.store.write(move |tx| windlass::store::retry::run_again(tx, run, again, None)).unwrap(), 1);
    book.check();
    assert_eq!((at_work(&book), book.ended(first)), (vec![fourth], false), "one run alone re-opens its group");
    assert_eq!(drain(&book), 3);
    assert!(book.ended(first));
}

#[derive(Debug, Clone)]
enum Act {
    Submit { name: usize, policy: Concurrency, runs: usize },
    Claim,
    Complete,
    Fail,
    Cancel(usize),
    Retry(usize),
    From(usize),
    Crash,
}

fn acts() -> impl Strategy<Value = Vec<Act>> {
    let policy = prop_oneof![
        4 => Just(Concurrency::Queue), 1 => Just(Concurrency::Skip), 1 => Just(Concurrency::Replace)
    ];
    let act = prop_oneof![
        4 => (0..2usize, policy, prop_oneof![4 => 0..3usize, 1 => Just(120usize)])
            .prop_map(|(name, policy, runs)| Act::Submit { name, policy, runs }),
        4 => Just(Act::Claim),
        6 => Just(Act::Complete),
        2 => Just(Act::Fail),
        1 => (0..8usize).prop_map(Act::Cancel),
        2 => (0..8usize).prop_map(Act::Retry),
        1 => (0..8usize).prop_map(Act::From),
        1 => Just(Act::Crash),
    ];
    prop::collection::vec(act, 1..60)
}

/// What the engine does for `replace`: the transaction of the submission flags the earlier groups.
fn replace(book: &Book, name: &str, runs: usize) -> GroupId {
    let id = submit(book, name, Concurrency::Replace, runs);
    for other in book.store.read(|tx| windlass::store::concurrency::before(tx, id)).unwrap() {
        book.store.write(move |tx| cancel::group(tx, other)).unwrap();
        book.cancel(other);
    }
    id
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, ..ProptestConfig::default() })]

    #[test]
    fn groups_of_one_name_never_overlap_and_none_is_forgotten(acts in acts()) {
        let mut book = Book::in_memory();
        let mut groups: Vec<(GroupId, usize)> = Vec::new();
        let mut held = Vec::new();
        for act in acts {
            match act {
                Act::Submit { name, policy, runs } => {
                    let text = format!("n{name}");
                    let id = match policy {
                        Concurrency::Replace => replace(&book, &text, runs),
                        policy => submit(&book, &text, policy, runs),
                    };
                    groups.push((id, name));
                }
                Act::Claim => held.extend(book.claims("*", 2)),
                Act::Complete => held.pop().into_iter().for_each(|it| _ = book.complete(&it)),
                Act::Fail => held.pop().into_iter().for_each(|it| _ = book.fail(&it, "no")),
                Act::Cancel(at) => groups.get(at).into_iter().for_each(|it| book.cancel(it.0)),
                Act::Retry(at) => groups.get(at).into_iter().for_each(|it| drop(book.retry(it.0))),
                Act::From(at) => {
                    let again = windlass::store::retry::Again { from: Some(1), definition: None, collect: None };
                    if let Some((id, _)) = groups.get(at).copied()
                        && book.store.write(move |tx| windlass::store::retry::group_again(tx, id, again)).is_ok()
                    {
                        let slice = move |tx: &windlass::store::WriteTx<'_>| {
                            windlass::store::retry::group_slice(tx, id, 100, None)
                        };
                        while book.store.write(slice).unwrap() {}
                    }
                }
                Act::Crash => book.restart(),
            }
            book.check();
            let mut running: BTreeMap<usize, Vec<GroupId>> = BTreeMap::new();
            for claimed in &held {
                let name = groups.iter().find(|it| it.0 == claimed.group).unwrap().1;
                let groups = running.entry(name).or_default();
                if !groups.contains(&claimed.group) {
                    groups.push(claimed.group);
                }
            }
            prop_assert!(running.values().all(|it| it.len() == 1), "{running:?} overlap");
        }
        for claimed in held.drain(..) {
            book.complete(&claimed);
        }
        book.restart();
        for _ in 0..10_000 {
            let claimed = book.claims("*", 50);
            let Some(_) = claimed.first() else { break };
            claimed.iter().for_each(|it| _ = book.complete(it));
        }
        for (id, _) in &groups {
            prop_assert!(book.ended(*id), "{id} was forgotten");
        }
        book.check();
    }
}

const FLOW: &str = "id: mail\nconcurrency: { group: \"mail:{{ params.box }}\", policy: POLICY }\n\
                    steps: [{ name: one, run: \"echo {{ item }}\" }]\n";

fn with_policy(policy: &str) -> Place {
    let place = Place::new();
    place.write("flow.yaml", &FLOW.replace("POLICY", policy));
    place
}

fn submitted(place: &Place, mailbox: &str) -> serde_json::Value {
    let mailbox = format!("box={mailbox}");
    place.json(&["submit", "flow.yaml", "--items", "a", "--param", &mailbox])
}

#[test]
fn a_group_that_waits_for_another_says_so() {
    let place = with_policy("queue");
    assert_eq!(submitted(&place, "in")["group"], 1);
    let said = place.run(&["submit", "flow.yaml", "--items", "a", "--param", "box=in"]).err;
    assert!(said.contains("g2 waits for g1"), "{said}");
    assert_eq!(submitted(&place, "out")["group"], 3);
    let why = place.ok(&["why", "g2"]);
    assert!(why.contains("g2 waits for g1: both are in concurrency group `mail:in`"), "{why}");
    let shown = place.json(&["show", "g2"]);
    assert_eq!((&shown["concurrency"], &shown["waits_for"]), (&"mail:in".into(), &1.into()));
    assert!(place.ok(&["show", "g2"]).contains("PENDING (waiting for g1)"));
    assert!(place.json(&["show", "g3"])["waits_for"].is_null(), "the name is a template over params");
    place.ok(&["worker", "--until-idle"]);
    let shown = place.json(&["show", "g2"]);
    assert_eq!((&shown["status"], &shown["waits_for"]), (&"COMPLETED".into(), &serde_json::Value::Null));
    place.assert_sound();
}

#[test]
fn a_workflow_that_is_to_skip_answers_with_the_group_that_runs() {
    let place = with_policy("skip");
    assert_eq!(submitted(&place, "in")["new"], true);
    let again = submitted(&place, "in");
    assert_eq!((&again["group"], &again["new"], &again["skipped"]), (&1.into(), &false.into(), &true.into()));
    let done = place.run(&["run", "flow.yaml", "--items", "a", "--param", "box=in"]);
    assert_eq!(done.code, 0, "{}", done.err);
    assert!(done.err.contains("nothing submitted: g1 of the same concurrency group has not ended"), "{}", done.err);
    assert_eq!(place.json(&["list"])["groups"].as_array().unwrap().len(), 1);
    place.ok(&["worker", "--until-idle"]);
    assert_eq!(submitted(&place, "in")["group"], 2);
}

#[test]
fn a_workflow_that_replaces_cancels_the_one_before_and_starts_when_that_has_ended() {
    let place = with_policy("replace");
    place.write(
        "flow.yaml",
        "id: mail\nconcurrency: { group: mail, policy: replace }\n\
         steps: [{ name: one, run: \"trap 'sleep 0.3; echo old >> order; exit 1' TERM; touch begun; while :; do sleep 0.02; done\" }]\n",
    );
    let worker = place.start(&["worker"]);
    place.ok(&["submit", "flow.yaml"]);
    place.wait_for_file("begun");
    place.write(
        "new.yaml",
        "id: mail\nconcurrency: { group: mail, policy: replace }\nsteps: [{ name: one, run: \"echo new >> order\" }]\n",
    );
    place.ok(&["submit", "new.yaml"]);
    place.ok(&["wait", "g2"]);
    assert_eq!(place.json(&["show", "g1"])["status"], "CANCELLED");
    let order = std::fs::read_to_string(place.path().join("order")).unwrap();
    assert_eq!(order.lines().collect::<Vec<_>>(), ["old", "new"], "it started when the one before had ended");
    worker.signal("TERM");
    worker.end(Duration::from_secs(30));
    place.assert_sound();
}

#[test]
fn a_worker_that_is_killed_between_two_groups_forgets_none() {
    let place = with_policy("queue");
    place.write(
        "flow.yaml",
        "id: mail\nconcurrency: mail\nsteps: [{ name: one, run: \"echo {{ group }} >> order; sleep 0.05\" }]\n",
    );
    for _ in 0..6 {
        place.ok(&["submit", "flow.yaml"]);
    }
    for _ in 0..4 {
        let worker = place.start(&["worker"]);
        let ended = |place: &Place| {
            let groups = place.json(&["list"])["groups"].clone();
            groups.as_array().unwrap().iter().filter(|it| it["ended"].is_i64()).count()
        };
        let before = ended(&place);
        eventually("another group ends", || ended(&place) > before || ended(&place) == 6);
        worker.signal("KILL");
        worker.end(Duration::from_secs(30));
    }
    place.ok(&["worker", "--until-idle"]);
    let order = std::fs::read_to_string(place.path().join("order")).unwrap();
    let mut order: Vec<&str> = order.lines().collect();
    order.dedup();
    assert_eq!(order, ["g1", "g2", "g3", "g4", "g5", "g6"], "a step that was killed runs again in its group");
    place.assert_sound();
}
