//! Pause, cancel, retry and the reading verbs against a real SQLite file.

mod support {
    pub mod house;
}

use support::house;

use house::{Book, WORKER, chain, diamond, record, with_hook};
use windlass::{
    model::{Millis, Outcome, Scope, Status, StepId, Timestamp},
    store::{Held, Settlement, attempt, cancel, idle, pause, read, reap, resource_lock, retry, worker},
};

/// The record of an attempt that was given back.
fn released() -> attempt::Record {
    let outcome = Outcome::Interrupted { reason: "`k` is locked by process 1 (cp)".into() };
    attempt::Record { outcome: attempt::outcome_of(&outcome), ..record("") }
}

#[test]
fn a_cancelled_group_ends_once_when_its_last_running_step_settles() {
    for complete in [true, false] {
        let book = Book::new();
        let group = book.submit(&chain(&["a", "b", "c"]), &["x", "y", "z"]);
        let running = book.claim("*");
        book.cancel(group);
        book.cancel(group);
        book.check();
        assert!(!book.ended(group), "a step still runs");
        assert!(book.claims("*", 5).is_empty());
        assert_eq!(book.store.read(|tx| idle::leases(tx, WORKER)).unwrap().cancelled, [running.lease]);
        let settlement =
            if complete { house::completion() } else { Settlement::Cancelled { record: record("stopped") } };
        assert_eq!(book.settle(&running, settlement), Held::Yes);
        assert!(book.ended(group));
        assert_eq!(book.group_end(group).cancelled, 3);
        assert_eq!(book.events("GROUP_END"), 1);
        assert_eq!(book.count("cancel_request"), 0);
        book.check();
    }
}

#[test]
fn a_running_step_that_was_asked_to_stop_does_not_come_back() {
    for settlement in [
        Settlement::Retry { due: Timestamp(0), crashed: false, record: record("no") },
        Settlement::Release { due: Timestamp(0), record: None },
    ] {
        let book = Book::new();
        let group = book.submit(&diamond(), &["x"]);
        let step = book.claim("*");
        let id = step.run;
        let done = book.store.write(move |tx| cancel::run(tx, id)).unwrap();
        assert_eq!((done.out, done.cancel_requested), (3, 1));
        book.settle(&step, settlement);
        assert_eq!(book.status(&step), Status::Cancelled);
        assert!(book.ended(group));
        book.check();
    }
}

#[test]
fn a_worker_that_dies_under_a_cancelled_step_ends_it() {
    let book = Book::new();
    let group = book.submit(&chain(&["a", "b"]), &["x"]);
    let step = book.claim("*");
    book.cancel(group);
    assert_eq!(book.reap(WORKER), 1);
    assert_eq!(book.status(&step), Status::Cancelled);
    assert!(book.ended(group));
    book.check();
}

#[test]
fn a_cancelled_head_gives_its_place_to_the_next_in_line() {
    let book = Book::new();
    let first = book.submit_with(&chain(&["a"]), &["x"], 0, &[Some("k")]);
    book.submit_with(&chain(&["a"]), &["y"], 0, &[Some("k")]);
    book.cancel(first);
    book.check();
    assert_eq!(book.item(&book.claim("*")), "y");
}

#[test]
fn a_step_that_waits_takes_with_it_what_needs_it() {
    let book = Book::new();
    let group = book.submit(&chain(&["a", "b", "c"]), &["x"]);
    let step = book.claim("*");
    let second = StepId(step.lease.step.0 + 1);
    assert_eq!(book.store.write(move |tx| cancel::step(tx, second)).unwrap().out, 2);
    assert_eq!(book.store.write(move |tx| cancel::step(tx, second)).unwrap().out, 0, "it is idempotent");
    assert!(!book.ended(group));
    book.complete(&step);
    assert!(book.ended(group));
    assert_eq!(book.group_end(group).cancelled, 1);
    book.check();
}

#[test]
fn a_retried_group_ends_once_more_and_keeps_what_is_done() {
    let book = Book::new();
    let group = book.submit(&with_hook(diamond(), "group_end"), &["x", "y"]);
    while let Some(step) = book.claims("*", 1).pop() {
        match book.type_name(&step).as_str() {
            "b" => book.fail(&step, "boom"),
            _ => book.complete(&step),
        };
    }
    assert_eq!((book.group_end(group).failed, book.events("GROUP_END")), (2, 1));
    assert!(book.retry(group).unwrap());
    assert!(!book.ended(group));
    book.check();
    let refused = book.retry(group).unwrap_err().to_string();
    assert!(refused.contains("has not ended"), "{refused}");
    let again = book.claims("*", 9);
    assert_eq!(again.len(), 2, "only what failed is claimable; what is done stays done");
    for step in &again {
        assert_eq!((book.type_name(step).as_str(), step.attempt), ("b", 1));
        book.complete(step);
    }
    for step in book.claims("*", 9) {
        assert_eq!(book.type_name(&step), "d");
        book.complete(&step);
    }
    assert!(book.ended(group));
    assert_eq!((book.group_end(group).failed, book.events("GROUP_END")), (0, 2));
    assert_eq!(book.count("hook"), 2, "its hook is due once per epoch");
    assert!(!book.retry(group).unwrap(), "nothing is left to retry");
    book.check();
}

#[test]
fn a_retry_in_slices_re_opens_nothing_twice_and_a_cancel_ends_it() {
    let book = Book::new();
    let group = book.submit(&chain(&["a", "b"]), &["1", "2", "3", "4", "5"]);
    while let Some(step) = book.claims("*", 1).pop() {
        book.fail(&step, "boom");
    }
    book.store.write(move |tx| retry::group(tx, group)).unwrap();
    assert!(book.store.write(move |tx| retry::group_slice(tx, group, 1, None)).unwrap());
    book.check();
    // The first run fails again before the second slice. It is not reopened a second time.
    book.fail(&book.claim("*"), "again");
    assert!(!book.ended(group), "the group is held open while it is re-opened");
    assert_eq!(book.store.read(retry::unfinished).unwrap(), [group]);
    assert!(book.store.write(move |tx| retry::group_slice(tx, group, 1, None)).unwrap());
    assert_eq!(book.claims("*", 9).len(), 1);
    book.cancel(group);
    book.check();
    assert!(!book.store.write(move |tx| retry::group_slice(tx, group, 1, None)).unwrap());
    book.reap(WORKER);
    let end = book.group_end(group);
    assert!(end.ended.is_some());
    assert_eq!((end.failed, end.cancelled), (4, 1));
    book.check();
}

#[test]
fn a_run_is_retried_in_a_live_group() {
    let book = Book::new();
    let group = book.submit(&with_hook(chain(&["a", "b"]), "item_failed"), &["x", "y"]);
    let step = book.claim("*");
    let id = step.run;
    assert!(book.store.write(move |tx| retry::run(tx, id)).unwrap_err().to_string().contains("has not ended"));
    book.fail(&step, "boom");
    assert_eq!(book.store.write(move |tx| retry::run(tx, id)).unwrap(), 2);
    book.check();
    book.fail(&book.claim("*"), "x failed again, or y failed");
    book.fail(&book.claim("*"), "both have failed");
    assert_eq!(book.group_end(group).failed, 2);
    assert_eq!(book.count("hook"), 3, "each failure is told");
    book.check();
}

#[test]
fn a_paused_group_does_not_keep_others_from_its_key() {
    let book = Book::new();
    let paused = book.submit_with(&chain(&["a"]), &["p1", "p2", "p3"], 5, &[Some("k")]);
    book.submit_with(&chain(&["a"]), &["other"], 0, &[Some("k")]);
    book.pause(paused);
    let step = book.claim("*");
    assert_eq!(book.item(&step), "other");
    book.check();
    book.resume(paused);
    assert!(book.claims("*", 5).is_empty(), "the key is held");
    book.complete(&step);
    assert_eq!(book.item(&book.claim("*")), "p1");
    book.check();
}

#[test]
fn a_crash_between_the_slices_of_a_resume_is_found_and_mended() {
    let book = Book::new();
    let group = book.submit(&chain(&["a"]), &["1", "2", "3"]);
    book.pause(group);
    assert!(book.claims("*", 9).is_empty());
    book.store.write(move |tx| pause::resume_group(tx, group)).unwrap();
    assert!(book.store.write(move |tx| pause::resume_slice(tx, group, 2)).unwrap());
    assert_eq!(book.store.read(pause::unfinished).unwrap(), [group]);
    while book.store.write(move |tx| pause::resume_slice(tx, group, 2)).unwrap() {}
    assert!(book.store.read(pause::unfinished).unwrap().is_empty());
    assert_eq!(book.claims("*", 9).len(), 3);
    book.check();
}

#[test]
fn a_paused_type_is_not_claimed_while_others_are() {
    let book = Book::new();
    book.submit(&chain(&["a"]), &["x"]);
    book.submit(&chain(&["b"]), &["y"]);
    assert!(book.store.write(|tx| pause::step_type(tx, "a", true)).unwrap());
    assert!(!book.store.write(|tx| pause::step_type(tx, "a", true)).unwrap());
    assert_eq!(book.claims("*", 5).iter().map(|it| book.item(it)).collect::<Vec<_>>(), ["y"]);
    let queues = book.store.read(read::queues).unwrap();
    let paused: Vec<_> =
        queues.types.iter().filter(|it| it.paused).map(|it| (it.step_type.as_str(), it.ready, it.on_hold)).collect();
    assert_eq!(paused, [("a", 0, 1)]);
    book.store.write(|tx| pause::step_type(tx, "a", false)).unwrap();
    assert_eq!(book.claims("*", 5).iter().map(|it| book.item(it)).collect::<Vec<_>>(), ["x"]);
    book.check();
}

#[test]
fn a_wall_clock_that_is_set_back_delays_nothing_that_was_due() {
    let book = Book::new();
    book.submit_with(&chain(&["a", "b"]), &["x", "y"], 0, &[Some("k"), None]);
    book.clock.set_wall(Timestamp(book.now().0 - 86_400_000));
    let first = book.claim("*");
    book.settle(&first, Settlement::Release { due: first.due, record: None });
    let first = book.claim("*");
    assert_eq!(book.reap(WORKER), 1);
    assert_eq!(book.complete(&first), Held::Lost);
    for _ in 0..4 {
        book.complete(&book.claim("*"));
        book.check();
    }
}

#[test]
fn a_step_whose_file_is_locked_waits_in_line_with_its_whole_line_until_a_sweep() {
    let book = Book::new();
    book.submit_with(&chain(&["a"]), &["x", "y"], 0, &[Some("k")]);
    let first = book.claim("*");
    book.settle(&first, Settlement::Blocked { record: released() });
    assert!(book.claims("*", 5).is_empty(), "the file is locked for every step of the key");
    book.check();
    let rows = book.store.read(resource_lock::left_behind).unwrap();
    assert_eq!(rows.iter().map(|it| (it.token, it.deadline.0)).collect::<Vec<_>>(), [(first.lease.token, 0)]);
    let row = rows[0].clone();
    assert!(book.store.write(move |tx| resource_lock::sweep(tx, &row)).unwrap());
    let again = book.claim("*");
    assert_eq!((again.lease.step, again.attempt), (first.lease.step, 1), "it is first in line, with its attempt");
    assert!(book.store.read(resource_lock::left_behind).unwrap().is_empty());
    book.complete(&again);
    book.complete(&book.claim("*"));
    book.check();
}

#[test]
fn a_step_that_is_cancelled_while_it_finds_its_file_locked_frees_its_key() {
    let book = Book::new();
    let group = book.submit_with(&chain(&["a"]), &["x"], 0, &[Some("k")]);
    let first = book.claim("*");
    book.cancel(group);
    book.settle(&first, Settlement::Blocked { record: released() });
    assert_eq!(book.status(&first), Status::Cancelled);
    assert_eq!(book.count("resource_lock"), 0);
    book.check();
}

#[test]
fn a_silent_worker_keeps_its_key_until_its_lock_is_swept() {
    let book = Book::new();
    book.submit_with(&chain(&["a"]), &["x"], 0, &[Some("k")]);
    book.claim("*");
    book.reap_for(WORKER, reap::Death::Silent);
    book.check();
    assert!(book.claims("*", 5).is_empty(), "the silent worker may still be writing");
    let rows = book.store.read(windlass::store::resource_lock::list).unwrap();
    let row = rows[0].clone();
    assert!(book.store.write(move |tx| windlass::store::resource_lock::sweep(tx, &row)).unwrap());
    assert_eq!(book.claims("*", 5).len(), 1);
    book.check();
}

#[test]
fn an_adopted_group_is_claimed_in_its_scope_wherever_its_steps_wait() {
    let book = Book::new();
    let group = book.submit_with(&chain(&["a", "b"]), &["1", "2", "3"], 0, &[Some("k"), None]);
    // The first step stays in queue 0, although its type has its own queue now.
    let id = book.claim("*");
    book.settle(&id, Settlement::Release { due: id.due, record: None });
    let step_type = id.step_type;
    book.store.write(move |tx| windlass::store::step_type::open_queue(tx, step_type)).unwrap();
    let mut after = Some(windlass::model::RunId(0));
    while let Some(from) = after {
        after = book.store.write(move |tx| windlass::store::group::adopt_slice(tx, group, group, from, 2)).unwrap();
    }
    book.check();
    for _ in 0..6 {
        let step = book.claims_in(Scope::Group(group), "*", 1).pop().expect("a step of the group is claimable");
        book.complete(&step);
    }
    assert!(book.ended(group));
    book.check();
}

#[test]
fn the_views_tell_what_happened() {
    let book = Book::new();
    let group = book.submit_with(&chain(&["a", "b"]), &["x", "y", "z"], 0, &[None, Some("k")]);
    let mut tally = book.store.read(|tx| read::Tally::begin(tx, group)).unwrap();
    let two = book.claims("*", 2);
    let failed = &two[1];
    book.complete(&two[0]);
    book.fail(failed, "no such page");
    let stage = book.store.read(|tx| read::progress(tx, group)).unwrap();
    assert_eq!((stage.runs, stage.ended, stage.failed, stage.running), (3, 1, 1, 0));
    book.store.read(|tx| tally.advance(tx)).unwrap();
    assert_eq!((tally.steps[0].name.as_str(), tally.steps[0].completed, tally.steps[0].failed), ("a", 1, 1));
    let shown = book.store.read(|tx| read::show_group(tx, group)).unwrap();
    assert_eq!((shown.group.status, shown.group.ended_runs), (Status::Running, 1));
    assert_eq!(shown.runs_by_status.get(&Status::Failed), Some(&1));
    let count = |name: &str, status| shown.steps.iter().find(|it| it.step_type == name && it.status == status);
    assert_eq!(count("b", Status::Cancelled).map(|it| it.count), Some(1));
    let failures = book.store.read(|tx| read::failures(tx, group, None, 10)).unwrap();
    assert_eq!((failures[0].item.as_str(), failures[0].reason.as_str()), ("y", "no such page"));
    let run = book.store.read(|tx| read::show_run(tx, failed.run)).unwrap();
    assert_eq!(run.run.status, Status::Failed);
    assert_eq!(run.steps[0].error.as_deref(), Some("no such page"));
    let filter = read::RunFilter { status: Some(Status::Pending), after: None, limit: 10 };
    assert_eq!(book.store.read(|tx| read::runs(tx, group, &filter)).unwrap().len(), 2);
    let filter = read::GroupFilter { status: Some(Status::Running), limit: 10, ..Default::default() };
    assert_eq!(book.store.read(|tx| read::groups(tx, &filter)).unwrap().len(), 1);
    let keyed = book.claim("*");
    let details = book.store.read(|tx| read::show_step(tx, keyed.lease.step)).unwrap();
    assert_eq!((details.key.as_deref(), details.lock.map(|it| it.token)), (Some("k"), Some(keyed.lease.token)));
    assert_eq!(details.needs[0].status, Status::Completed);
    assert_eq!((details.attempts_all.len(), details.step.status), (1, Status::Running));
}

#[test]
fn why_names_what_a_step_waits_for() {
    let book = Book::new();
    let pools = |tx: &windlass::store::WriteTx| {
        let id = worker::reserve(tx)?;
        let (version, pools) = ("1".to_string(), r#"{"b": 4, "*": 2}"#.to_string());
        let new = worker::NewWorker { identity: house::identity(), version, pools, scope: Scope::Everything };
        worker::register(tx, id, &new)?;
        Ok(id)
    };
    let registered = book.store.write(pools).unwrap();
    book.submit_with(&chain(&["a", "b"]), &["x", "y"], 0, &[Some("k"), None]);
    let step = book.claim("*");
    let why = |id: i64| book.store.read(|tx| read::why(tx, StepId(id))).unwrap();
    let waits = why(step.lease.step.0 + 1);
    assert_eq!(waits.unmet[0].step, step.lease.step);
    assert_eq!(waits.takers.iter().map(|it| (it.worker, it.pool.as_str())).collect::<Vec<_>>(), [(registered, "b")]);
    let second = why(step.lease.step.0 + 2);
    assert_eq!(second.takers[0].pool, "*");
    assert_eq!(second.key.and_then(|it| it.holder).map(|it| it.holder.id), Some(step.lease.step.0));
    let due = book.now() + Millis(5000);
    book.settle(&step, Settlement::Retry { due, crashed: false, record: record("try later") });
    let later = why(step.lease.step.0);
    assert_eq!((later.due, later.step.error.as_deref()), (Some(due), Some("try later")));
    let group = step.group;
    book.pause(group);
    assert!(why(step.lease.step.0 + 2).group_paused);
}

#[test]
fn a_hook_is_claimed_once_and_settled_by_its_token() {
    let book = Book::new();
    book.submit(&with_hook(chain(&["a"]), "item_start"), &["x", "y"]);
    book.open_pool("hooks");
    let hooks = book.claims("hooks", 9);
    assert_eq!(hooks.len(), 2);
    assert!(book.claims("hooks", 9).is_empty());
    book.check();
    assert_eq!(book.reap(WORKER), 2);
    assert_eq!(book.complete(&hooks[0]), Held::Lost);
    let again = book.claims("hooks", 9);
    assert_eq!((again.len(), book.complete(&again[0]), book.fail(&again[1], "boom")), (2, Held::Yes, Held::Yes));
    assert_eq!((book.events("HOOK_END"), book.events("HOOK_FAILED"), book.events("STEP_END")), (1, 1, 0));
    book.check();
}

#[test]
fn a_hook_is_in_the_scope_of_the_group_that_it_tells_of() {
    let book = Book::new();
    let shape = with_hook(chain(&["a"]), "item_start");
    let (own, other) = (book.submit_scoped(&shape, &["x"], &[]), book.submit(&shape, &["y"]));
    book.open_pool("hooks");
    let of = |scope| book.claims_in(scope, "hooks", 9).iter().map(|it| it.group).collect::<Vec<_>>();
    assert_eq!(of(Scope::Group(own)), [own.hooks()]);
    assert_eq!(of(Scope::Group(other)), [], "it has no worker of its own");
    book.store
        .write(move |tx| {
            let (hooks, from) = (other.hooks(), windlass::model::RunId(0));
            windlass::store::group::adopt_slice(tx, hooks, hooks, from, 9)
        })
        .unwrap();
    assert_eq!(of(Scope::Group(other)), [other.hooks()]);
    book.check();
}

#[test]
fn a_pool_finds_the_steps_of_a_type_whose_lane_came_from_a_pause() {
    let book = Book::new();
    book.submit(&chain(&["a"]), &["x", "y"]);
    for paused in [true, false] {
        book.store.write(move |tx| pause::step_type(tx, "a", paused)).unwrap();
    }
    assert!(book.claims("a", 5).is_empty(), "its rows are still in the shared queue");
    book.open_pool("a");
    assert_eq!(book.claims("a", 5).len(), 2);
    book.check();
}

#[test]
fn a_single_step_is_retried_with_what_was_cancelled_because_of_it() {
    let book = Book::new();
    let group = book.submit(&with_hook(chain(&["a", "b", "c"]), "group_end"), &["x"]);
    book.complete(&book.claim("*"));
    let failed = book.claim("*");
    let (id, last) = (failed.lease.step, StepId(failed.lease.step.0 + 1));
    let retry = |id| book.store.write(move |tx| retry::step(tx, id));
    assert!(retry(id).unwrap_err().to_string().contains("has not ended"));
    book.fail(&failed, "boom");
    assert!(book.ended(group));
    let refused = retry(last).unwrap_err().to_string();
    assert!(refused.contains(&format!("needs {id}")), "{refused}");
    assert_eq!(retry(StepId(id.0 - 1)).unwrap(), 0, "what is COMPLETED stays so");
    assert_eq!(retry(id).unwrap(), 2);
    book.check();
    assert!(!book.ended(group) && book.status_of(last) == Status::Pending);
    for _ in 0..2 {
        book.complete(&book.claim("*"));
    }
    assert!(book.ended(group));
    assert_eq!((book.group_end(group).failed, book.events("GROUP_END"), book.count("hook")), (0, 2, 2));
    book.check();
}

#[test]
fn a_step_of_a_live_run_is_retried_beside_what_still_runs() {
    let book = Book::new();
    let group = book.submit(&diamond(), &["x"]);
    book.complete(&book.claim("*"));
    let (b, c) = (book.claim("*"), book.claim("*"));
    book.fail(&b, "boom");
    book.check();
    let (id, last) = (b.lease.step, StepId(b.lease.step.0.max(c.lease.step.0) + 1));
    assert_eq!(book.status_of(last), Status::Cancelled);
    assert_eq!(book.store.write(move |tx| retry::step(tx, id)).unwrap(), 2);
    book.check();
    book.complete(&c);
    book.check();
    book.complete(&book.claim("*"));
    book.complete(&book.claim("*"));
    assert_eq!((book.ended(group), book.group_end(group).failed, book.events("GROUP_END")), (true, 0, 1));
    book.check();
}

#[test]
fn a_retry_that_races_with_a_reap_or_a_cancel_leaves_one_state() {
    let book = Book::new();
    let group = book.submit(&chain(&["a", "b"]), &["x"]);
    let stale = book.claim("*");
    let id = stale.lease.step;
    let step = move |store: &windlass::store::Store| store.write(move |tx| retry::step(tx, id));
    // While it runs, and after it was reaped, it is open, so there is nothing to retry.
    assert!(step(&book.store).is_err());
    book.reap(WORKER);
    assert!(step(&book.store).is_err());
    // Cancelled and retried; the late result of the earlier attempt is ignored.
    book.cancel(group);
    assert!(book.ended(group));
    assert_eq!(step(&book.store).unwrap(), 2);
    assert_eq!(book.complete(&stale), Held::Lost);
    let fresh = book.claim("*");
    book.cancel(group);
    assert!(step(&book.store).unwrap_err().to_string().contains("not ended"), "it still runs");
    book.settle(&fresh, Settlement::Cancelled { record: record("stopped") });
    assert_eq!((book.status(&fresh), book.ended(group)), (Status::Cancelled, true));
    book.check();
}

#[test]
fn the_time_in_which_nobody_worked_is_not_counted_as_work() {
    let book = Book::new();
    let group = book.submit(&chain(&["a", "b"]), &["x"]);
    for _ in 0..2 {
        book.clock.advance(Millis::minutes(60));
        let step = book.claim("*");
        book.clock.advance(Millis::seconds(2));
        assert_eq!(book.complete(&step), Held::Yes);
    }
    assert_eq!(book.store.read(|tx| read::worked(tx, group)).unwrap(), Millis::seconds(4));
}

#[test]
fn a_step_that_is_put_off_again_and_again_leaves_one_row_that_counts() {
    let book = Book::new();
    book.submit(&chain(&["a"]), &["x"]);
    let put_off = |tries: u32| {
        let step = book.claim("*");
        assert_eq!(step.attempt, 1, "it is given back each time");
        let before = book.store.read(|tx| attempt::tries(tx, step.lease.step, 1)).unwrap();
        assert_eq!(before, (tries.saturating_sub(1), 0));
        let log = attempt::Log { stream: 1, total: 3, body: vec![1, 2, 3] };
        let detail = serde_json::json!({"outcome": {}, "tries": tries, "in_vain": 0}).to_string();
        let record = attempt::Record { outcome: windlass::model::AttemptOutcome::Interrupted, detail, logs: vec![log] };
        book.settle(&step, Settlement::Release { due: book.now(), record: Some(record) });
        step
    };
    let steps: Vec<_> = (1..=4).map(put_off).collect();
    let step = &steps[3];
    assert_eq!((book.count("attempt"), book.count("attempt_log")), (1, 1));
    // An attempt that was stopped with its worker leaves its own row, and the count starts again with the next one.
    let again = book.claim("*");
    let detail = serde_json::json!({"outcome": {}, "certificate": {}}).to_string();
    let record = attempt::Record { outcome: windlass::model::AttemptOutcome::Interrupted, detail, logs: vec![] };
    book.settle(&again, Settlement::Release { due: book.now(), record: Some(record) });
    assert_eq!(book.store.read(|tx| attempt::tries(tx, step.lease.step, 1)).unwrap(), (0, 0));
    assert_eq!(book.count("attempt"), 2);
    // The last try, which fails, also replaces the row.
    let again = put_off(1);
    assert_eq!((again.lease.step, book.count("attempt")), (step.lease.step, 2));
    let last = book.claim("*");
    let failed = serde_json::json!({"outcome": {}, "tries": 2, "in_vain": 2}).to_string();
    let record = attempt::Record { outcome: windlass::model::AttemptOutcome::Failed, detail: failed, logs: vec![] };
    book.settle(&last, Settlement::Fail { crashed: false, record });
    assert_eq!((book.count("attempt"), book.status(&last)), (2, Status::Failed));
    book.check();
}
