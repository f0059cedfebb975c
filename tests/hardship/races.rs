//! Conflicting changes to the same row at the same moment.

use crate::{
    Place, eventually,
    house::{Book, chain, completion, diamond},
};
use std::{
    sync::{Arc, Barrier},
    thread,
    time::{Duration, Instant},
};
use windlass::{
    model::{RunId, Status},
    store::{Held, Settle, cancel, reap, retry},
};

const ROUNDS: usize = 60;

/// Runs both at once, each on its own store, as two processes would.
fn at_once<A: Send, B: Send>(one: impl FnOnce() -> A + Send, other: impl FnOnce() -> B + Send) -> (A, B) {
    let start = Arc::new(Barrier::new(2));
    thread::scope(|scope| {
        let begin = start.clone();
        let first = scope.spawn(move || {
            begin.wait();
            one()
        });
        start.wait();
        let second = other();
        (first.join().unwrap(), second)
    })
}

#[test]
fn cancel_against_complete_gives_one_end() {
    let book = Book::in_memory();
    let other = book.open_again();
    let mut ends = std::collections::BTreeMap::new();
    for round in 0..ROUNDS {
        let group = book.submit(&chain(&["a", "b"]), &["x"]);
        let step = book.claim("*");
        let (held, _) = at_once(
            || book.store.settle(Settle { lease: step.lease, settlement: completion(), then: None }).unwrap().held,
            || other.write(move |tx| cancel::run(tx, step.run)).unwrap(),
        );
        assert_eq!(held, Held::Yes, "round {round}: nobody took the lease away");
        assert!(book.status(&step).is_terminal());
        assert!(book.ended(group), "round {round}");
        *ends.entry(format!("{} cancelled", book.group_end(group).cancelled)).or_insert(0) += 1;
        // A second completion changes nothing.
        assert_eq!(book.complete(&step), Held::Lost);
    }
    book.check();
    assert_eq!(book.events("GROUP_END"), ROUNDS, "{ends:?}");
    other.close();
}

#[test]
fn retry_against_reap_loses_nothing() {
    let mut book = Book::in_memory();
    let other = book.open_again();
    for round in 0..ROUNDS {
        let group = book.submit(&diamond(), &["x", "y"]);
        // One run fails; a step of the other is with a worker that dies.
        let steps = book.claims("*", 2);
        book.fail(&steps[0], "no");
        let failed: RunId = steps[0].run;
        let (retried, reaped) = at_once(
            || other.write(move |tx| retry::run(tx, failed)),
            || book.reap_for(crate::house::WORKER, reap::Death::Died),
        );
        assert_eq!(reaped, 1, "round {round}");
        assert!(retried.is_ok(), "round {round}: {retried:?}");
        assert_eq!(book.complete(&steps[1]), Held::Lost, "the dead can't settle");
        book.check();
        while !book.ended(group) {
            let next = book.claims("*", 4);
            assert!(!next.is_empty(), "round {round}: a step is stranded");
            next.iter().for_each(|it| assert_eq!(book.complete(it), Held::Yes));
        }
        assert_eq!(book.status(&steps[0]), Status::Completed);
    }
    book.check();
    other.close();
    book.restart();
    book.check();
}

#[test]
fn a_worker_that_stops_while_it_claims_leaves_no_step_behind() {
    let place = Place::new();
    place.write("quick.yaml", "id: quick\nsteps: [{ name: a, run: 'true' }, { name: b, uses: windlass/noop }]\n");
    place.ok(&["submit", "quick.yaml", "--items", "first"]);
    let mut rounds = 0;
    let begun = Instant::now();
    while rounds < 12 {
        let worker = place.start(&["worker"]);
        // At a different moment in each round: while it starts, claims, runs, settles.
        let items: Vec<String> = (0..rounds * 3 + 1).map(|it| it.to_string()).collect();
        let mut submit = vec!["submit", "quick.yaml", "--items"];
        submit.extend(items.iter().map(String::as_str));
        place.ok(&submit);
        worker.signal("TERM");
        let ended = worker.end(Duration::from_secs(40));
        assert!([0, 143, -15].contains(&ended.code), "{ended:?}");
        place.assert_sound();
        rounds += 1;
    }
    println!("{rounds} stops in {:?}", begun.elapsed());
    let open = place.ok(&["list", "workers", "--json"]);
    assert!(!open.contains("\"running\":1"), "{open}");
    place.ok(&["worker", "--until-idle"]);
    assert_eq!(place.ok(&["list", "groups", "--limit", "100"]).matches("COMPLETED").count(), rounds + 1);
    place.assert_sound();
}

#[test]
fn a_vector_database_is_vacuumed_while_documents_come_and_go() {
    let place = Place::new();
    std::fs::create_dir(place.path().join("documents")).unwrap();
    let fill = |round: usize| {
        for number in 0..12 {
            let text = format!("Note {number} of round {round}. {}", "A winch lifts the anchor. ".repeat(40 + round));
            place.write(&format!("documents/{number}.txt"), &text);
        }
    };
    fill(0);
    place.ok(&["ingest", "documents"]);
    for round in 1..5 {
        fill(round);
        let ingest = place.start(&["ingest", "documents"]);
        let vacuum = place.start(&["vacuum", "default"]);
        let (ingest, vacuum) = (ingest.end(Duration::from_secs(60)), vacuum.end(Duration::from_secs(60)));
        assert_eq!(ingest.code, 0, "{ingest:?}");
        assert!([0, 5].contains(&vacuum.code), "{vacuum:?}");
    }
    let found = place.ok(&["search", "round 4 anchor", "--json"]);
    assert!(found.contains("of round 4"), "{found}");
    assert_eq!(place.run(&["db", "check"]).code, 0);
    eventually("it is all there", || place.ok(&["db", "info", "--json"]).contains("\"documents\":12"));
}
