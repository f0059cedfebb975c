//! Steps that wait for a time, a person, a signal or a group, and hold no worker.

mod support {
    pub mod house;
}

use support::house;

use house::{Book, WORKER, chain, diamond};
use windlass::{
    decide::wait::End,
    model::{GroupId, Millis, Otherwise, Outcome, Scope, Status, StepId, Timestamp},
    store::{
        Claimed, Held, Settlement, answer, idle, prune, read, reap, wait_end,
        waiting::{self, NewWait, WaitDetail, WaitsFor},
    },
};

fn wait(on: WaitsFor, due: Option<Timestamp>, otherwise: Otherwise) -> Settlement {
    Settlement::Wait { wait: NewWait { on, due, otherwise, detail: WaitDetail::default() } }
}

fn for_a_person() -> Settlement {
    wait(WaitsFor::Approval, None, Otherwise::Fail)
}

fn until(due: Timestamp) -> Settlement {
    wait(WaitsFor::Time, Some(due), Otherwise::Complete)
}

/// A claimed step that now waits.
fn begin_to_wait(book: &Book, settlement: Settlement) -> Claimed {
    let step = book.claim("*");
    assert_eq!(book.settle(&step, settlement), Held::Yes);
    assert_eq!(book.status(&step), Status::Waiting);
    book.check();
    step
}

fn end(book: &Book, step: &Claimed, how: End) -> bool {
    let id = step.lease.step;
    book.store.write(move |tx| wait_end::end(tx, id, &how, None)).unwrap()
}

fn complete(book: &Book, step: &Claimed) -> bool {
    end(book, step, End::Complete(None))
}

/// A transaction with only the work that every transaction does first.
fn stir(book: &Book) {
    book.store.write(|_| Ok(())).unwrap();
}

#[test]
fn a_waiting_step_holds_no_lease_and_its_end_starts_the_next() {
    let book = Book::new();
    let group = book.submit(&chain(&["a", "b"]), &["x"]);
    let step = begin_to_wait(&book, for_a_person());
    assert_eq!(book.count("lease"), 0);
    assert!(book.claims("*", 5).is_empty(), "nobody can claim it, and nothing behind it has started");
    assert!(!book.ended(group));
    assert!(complete(&book, &step));
    assert_eq!(book.status(&step), Status::Completed);
    assert!(!complete(&book, &step), "a wait ends once");
    book.check();
    let next = book.claim("*");
    assert_eq!(book.type_name(&next), "b");
    book.complete(&next);
    assert!(book.ended(group));
    assert_eq!(book.events("GROUP_END"), 1);
    book.check();
}

#[test]
fn the_attempt_of_a_wait_is_spent_when_it_ends_and_not_before() {
    let book = Book::new();
    book.submit(&chain(&["a"]), &["x"]);
    let step = begin_to_wait(&book, for_a_person());
    let shown = |id: StepId| book.store.read(|tx| read::show_step(tx, id)).unwrap();
    assert_eq!(shown(step.lease.step).step.attempts, 0);
    end(&book, &step, End::Fail(Outcome::permanent("rejected", "too early")));
    let after = shown(step.lease.step);
    assert_eq!((after.step.attempts, after.step.status), (1, Status::Failed));
    assert_eq!(after.step.error.as_deref(), Some("too early"));
    assert_eq!(after.attempts_all.len(), 1);
    assert_eq!(after.attempts_all[0].token, step.lease.token);
    book.check();
}

#[test]
fn the_value_of_a_wait_is_the_output_of_its_step() {
    let book = Book::new();
    book.submit(&chain(&["a", "b"]), &["x"]);
    let step = begin_to_wait(&book, for_a_person());
    end(&book, &step, End::Complete(Some(serde_json::json!({"ok": true}))));
    let id = step.lease.step;
    let output = book.store.read(|tx| read::show_step(tx, id)).unwrap().output;
    assert_eq!(output, Some(serde_json::json!({"ok": true})));
    book.check();
}

#[test]
fn a_time_ends_a_wait_at_its_due_time_and_survives_a_restart() {
    let mut book = Book::new();
    let group = book.submit(&chain(&["a", "b"]), &["x"]);
    let due = book.now() + Millis(5_000);
    let step = begin_to_wait(&book, until(due));
    assert_eq!(book.store.read(idle::next_due).unwrap(), Some(due));
    book.clock.advance(Millis(4_999));
    stir(&book);
    assert_eq!(book.status(&step), Status::Waiting);
    book.restart();
    book.clock.advance(Millis(1));
    stir(&book);
    assert_eq!(book.status(&step), Status::Completed);
    let next = book.claim("*");
    book.complete(&next);
    assert!(book.ended(group));
    book.check();
}

#[test]
fn a_clock_that_is_set_back_makes_a_wait_longer_and_ends_it_once() {
    let book = Book::new();
    book.submit(&chain(&["a", "b"]), &["x"]);
    let due = book.now() + Millis(5_000);
    let step = begin_to_wait(&book, until(due));
    book.clock.set_wall(Timestamp(due.0 - 60_000));
    stir(&book);
    assert_eq!(book.status(&step), Status::Waiting);
    book.clock.set_wall(due);
    stir(&book);
    assert_eq!(book.status(&step), Status::Completed);
    book.clock.set_wall(Timestamp(due.0 - 60_000));
    stir(&book);
    assert_eq!(book.claims("*", 5).len(), 1, "the step behind it is claimable, whatever the clock says now");
    assert_eq!(book.events("STEP_END"), 1);
    book.check();
}

#[test]
fn a_time_that_is_over_already_ends_the_wait_at_once() {
    let book = Book::new();
    let group = book.submit(&chain(&["a"]), &["x"]);
    let step = book.claim("*");
    let now = book.now();
    book.settle(&step, until(now));
    assert_eq!(book.status(&step), Status::Completed);
    assert!(book.ended(group));
    assert_eq!(book.count("waiting"), 0);
    book.check();
}

#[test]
fn a_cancel_ends_a_wait_and_what_comes_later_is_told_so() {
    type Cancel = fn(&Book, GroupId, &Claimed);
    let ways: [Cancel; 3] = [
        |book, group, _| book.cancel(group),
        |book, _, step| {
            let id = step.run;
            book.store.write(move |tx| windlass::store::cancel::run(tx, id)).unwrap();
        },
        |book, _, step| {
            let id = step.lease.step;
            book.store.write(move |tx| windlass::store::cancel::step(tx, id)).unwrap();
        },
    ];
    for shape in [chain(&["a", "b"]), diamond()] {
        for cancel in ways {
            let book = Book::new();
            let group = book.submit(&shape, &["x"]);
            let step = begin_to_wait(&book, for_a_person());
            cancel(&book, group, &step);
            assert_eq!(book.status(&step), Status::Cancelled);
            assert!(book.ended(group));
            assert_eq!(book.count("waiting"), 0);
            assert!(!complete(&book, &step), "an answer after the cancel changes nothing");
            assert_eq!(book.status(&step), Status::Cancelled);
            book.check();
        }
    }
}

#[test]
fn a_step_that_was_asked_to_stop_does_not_begin_to_wait() {
    let book = Book::new();
    let group = book.submit(&chain(&["a", "b"]), &["x"]);
    let step = book.claim("*");
    book.cancel(group);
    book.settle(&step, for_a_person());
    assert_eq!(book.status(&step), Status::Cancelled);
    assert!(book.ended(group));
    book.check();
}

#[test]
fn a_pause_while_the_time_passes_holds_back_the_next_step_and_resume_continues() {
    let book = Book::new();
    let group = book.submit(&chain(&["a", "b"]), &["x"]);
    let due = book.now() + Millis(5_000);
    let step = begin_to_wait(&book, until(due));
    book.pause(group);
    book.clock.set_wall(due);
    stir(&book);
    assert_eq!(book.status(&step), Status::Completed);
    assert!(book.claims("*", 5).is_empty(), "the group is paused");
    book.check();
    book.resume(group);
    let next = book.claim("*");
    book.complete(&next);
    assert!(book.ended(group));
    book.check();
}

#[test]
fn a_pause_and_a_resume_leave_a_waiting_step_as_it_is() {
    let book = Book::new();
    let group = book.submit(&chain(&["a", "b"]), &["x"]);
    let step = begin_to_wait(&book, for_a_person());
    book.pause(group);
    book.resume(group);
    assert_eq!(book.status(&step), Status::Waiting);
    assert!(complete(&book, &step));
    book.check();
}

#[test]
fn a_failed_wait_is_retried_as_a_new_one() {
    let book = Book::new();
    let group = book.submit(&chain(&["a", "b"]), &["x"]);
    let step = begin_to_wait(&book, for_a_person());
    end(&book, &step, End::Fail(Outcome::permanent("rejected", "no")));
    assert_eq!(book.group_end(group).failed, 1);
    assert!(book.retry(group).unwrap());
    let again = begin_to_wait(&book, for_a_person());
    assert_eq!(again.lease.step, step.lease.step);
    assert_ne!(again.lease.token, step.lease.token);
    complete(&book, &again);
    book.complete(&book.claim("*"));
    assert_eq!(book.group_end(group).failed, 0);
    assert!(book.ended(group));
    book.check();
}

#[test]
fn the_death_of_the_worker_that_parked_a_step_means_nothing_to_it() {
    let book = Book::new();
    book.submit(&chain(&["a", "b"]), &["x"]);
    let step = begin_to_wait(&book, for_a_person());
    assert_eq!(book.reap_for(WORKER, reap::Death::Died), 0);
    assert_eq!(book.status(&step), Status::Waiting);
    assert!(complete(&book, &step));
    book.check();
}

#[test]
fn a_reaped_worker_cannot_park_its_step() {
    let book = Book::new();
    book.submit(&chain(&["a"]), &["x"]);
    let step = book.claim("*");
    book.reap(WORKER);
    assert_eq!(book.settle(&step, for_a_person()), Held::Lost);
    assert_eq!(book.count("waiting"), 0);
    book.check();
}

#[test]
fn a_step_that_is_put_back_is_claimed_again_with_its_attempt() {
    let book = Book::new();
    book.submit(&chain(&["a"]), &["x"]);
    let step = book.claim("*");
    assert_eq!(book.settle(&step, wait(WaitsFor::Children(GroupId(9)), None, Otherwise::Fail)), Held::Yes);
    let found = book.store.read(|tx| waiting::of_children(tx, GroupId(9))).unwrap();
    assert_eq!(found.map(|it| it.step), Some(step.lease.step));
    let id = step.lease.step;
    assert!(book.store.write(move |tx| wait_end::put_back(tx, id)).unwrap());
    let again = book.claim("*");
    assert_eq!((again.lease.step, again.attempt), (step.lease.step, 1));
    book.check();
}

#[test]
fn a_key_is_free_while_its_step_waits() {
    let book = Book::new();
    book.submit_with(&chain(&["a"]), &["x", "y"], 0, &[Some("k")]);
    let first = begin_to_wait(&book, for_a_person());
    let second = book.claim("*");
    assert_ne!(first.lease.step, second.lease.step);
    book.complete(&second);
    complete(&book, &first);
    book.check();
}

#[test]
fn a_worker_that_ends_when_idle_stays_for_a_time_and_not_for_a_person() {
    let book = Book::new();
    book.submit(&chain(&["a"]), &["x"]);
    let step = begin_to_wait(&book, for_a_person());
    let idle = || book.store.read(|tx| idle::is_idle(tx, Scope::Everything)).unwrap();
    assert!(idle());
    complete(&book, &step);
    book.submit(&chain(&["a"]), &["y"]);
    begin_to_wait(&book, until(book.now() + Millis(5_000)));
    assert!(!idle());
}

#[test]
fn many_waits_whose_time_is_up_end_some_at_a_time() {
    let book = Book::new();
    let items: Vec<String> = (0..600).map(|it| it.to_string()).collect();
    let items: Vec<&str> = items.iter().map(String::as_str).collect();
    let group = book.submit(&chain(&["a"]), &items);
    let due = book.now() + Millis(5_000);
    for step in book.claims("*", 600) {
        book.settle(&step, until(due));
    }
    book.check();
    book.clock.set_wall(due);
    let mut rounds = 0;
    while !book.ended(group) {
        let before = book.count("waiting");
        stir(&book);
        assert!(before - book.count("waiting") <= 256);
        rounds += 1;
        assert!(rounds <= 4);
    }
    assert_eq!(book.count("waiting"), 0);
    book.check();
}

#[test]
fn statuses_of_runs_and_groups_say_that_they_wait() {
    let book = Book::new();
    let group = book.submit(&chain(&["a", "b"]), &["x", "y"]);
    let step = begin_to_wait(&book, for_a_person());
    let shown = || book.store.read(|tx| read::show_group(tx, group)).unwrap();
    assert_eq!(shown().group.waiting, 1);
    assert_eq!(shown().group.status, Status::Waiting);
    let run = step.run;
    assert_eq!(book.store.read(|tx| read::show_run(tx, run)).unwrap().run.status, Status::Waiting);
    let filter = read::RunFilter { status: Some(Status::Waiting), after: None, limit: 10 };
    let found = book.store.read(|tx| read::runs(tx, group, &filter)).unwrap();
    assert_eq!(found.iter().map(|it| it.id).collect::<Vec<_>>(), [run]);
    let found = book.store.read(|tx| read::runs_with_steps(tx, group, Status::Waiting, None, 10)).unwrap();
    assert_eq!(found.unwrap().len(), 1);
    let other = book.claim("*");
    assert_eq!(shown().group.status, Status::Running);
    book.complete(&other);
    assert_eq!(book.store.read(read::queues).unwrap().waiting.approval, 1);
    let groups = read::GroupFilter { status: Some(Status::Waiting), limit: 10, ..Default::default() };
    assert_eq!(book.store.read(|tx| read::groups(tx, &groups)).unwrap().len(), 1);
}

fn signal(book: &Book, group: GroupId, value: i64) -> answer::Sent {
    let (value, at) = (Some(serde_json::json!(value)), book.now());
    let signal = waiting::Signal { group, run: None, name: "go".into(), value, by: "anna".into(), at };
    book.store.write(move |tx| answer::signal(tx, &signal)).unwrap()
}

fn for_a_signal() -> Settlement {
    wait(WaitsFor::Signal("go".into()), None, Otherwise::Fail)
}

#[test]
fn a_signal_that_a_crash_interrupts_is_finished_from_what_is_kept() {
    let mut book = Book::new();
    let items: Vec<String> = (0..300).map(|it| it.to_string()).collect();
    let items: Vec<&str> = items.iter().map(String::as_str).collect();
    let group = book.submit(&chain(&["a"]), &items);
    for step in book.claims("*", 300) {
        book.settle(&step, for_a_signal());
    }
    assert!(signal(&book, group, 1).changed);
    assert_eq!(book.store.write(move |tx| answer::release(tx, group, Some("go"), 100)).unwrap(), 100);
    book.restart();
    assert_eq!(book.store.read(answer::unfinished).unwrap(), [group]);
    while book.store.write(move |tx| answer::release(tx, group, None, 100)).unwrap() == 100 {}
    assert!(book.ended(group));
    assert!(book.store.read(answer::unfinished).unwrap().is_empty());
    assert_eq!((book.count("waiting"), book.events("SIGNAL")), (0, 1));
    book.check();
}

#[test]
fn the_newest_value_of_a_signal_counts_for_steps_that_come_later() {
    let book = Book::new();
    let group = book.submit(&chain(&["a"]), &["x", "y"]);
    assert!(!signal(&book, group, 1).replaced);
    assert!(!signal(&book, group, 1).changed, "a repetition changes nothing");
    let output = |step: &Claimed| {
        let id = step.lease.step;
        book.store.read(|tx| read::show_step(tx, id)).unwrap().output
    };
    let first = book.claim("*");
    book.settle(&first, for_a_signal());
    assert!(signal(&book, group, 2).replaced);
    let second = book.claim("*");
    book.settle(&second, for_a_signal());
    assert_eq!((output(&first), output(&second)), (Some(1.into()), Some(2.into())));
    assert!(book.ended(group));
    book.check();
}

#[test]
fn thousands_of_waiting_steps_are_in_no_place_that_a_claim_reads() {
    let book = Book::new();
    let items: Vec<String> = (0..3_000).map(|it| it.to_string()).collect();
    let items: Vec<&str> = items.iter().map(String::as_str).collect();
    book.submit(&chain(&["a"]), &items);
    for step in book.claims("*", 3_000) {
        book.settle(&step, for_a_person());
    }
    assert_eq!((book.count("waiting"), book.count("ready"), book.count("lease")), (3_000, 0, 0));
    book.submit(&chain(&["a"]), &["new"]);
    assert_eq!(book.item(&book.claim("*")), "new");
    assert_eq!(book.store.read(idle::next_due).unwrap(), None, "nothing is to be looked at again");
}

#[test]
fn a_pruned_group_leaves_no_signal() {
    let book = Book::new();
    let group = book.submit(&chain(&["a"]), &["x"]);
    signal(&book, group, 1);
    book.complete(&book.claim("*"));
    assert!(book.ended(group));
    book.store.write(move |tx| prune::begin(tx, group)).unwrap();
    let mut removed = prune::Removed::default();
    while book
        .store
        .write(move |tx| {
            let more = prune::slice(tx, group, prune::Outputs::Remove, 100, &mut removed)?;
            Ok(more)
        })
        .unwrap()
    {}
    assert_eq!(book.count("signal"), 0);
    assert_eq!(book.count("run_group"), 0);
    book.check();
}
