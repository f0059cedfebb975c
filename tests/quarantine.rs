//! A step that kills its engine: its next attempt runs alone in a child, and only deaths there count.

mod support {
    pub mod binary;
    pub mod house;
}

use support::binary::Windlass;
use support::house;

use house::{Book, WORKER, chain};
use std::{fs, path::Path, process::Output, sync::Arc};
use windlass::{
    model::Status,
    os::SystemClock,
    store::{Options, Store, attempt, check, event, input, read, reap::Death},
};

fn windlass(home: &Path, arguments: &[&str]) -> Output {
    let mut command = Windlass::on(home.join("home"));
    command.args(arguments).current_dir(home).env("WINDLASS_DURABILITY", "normal").output().unwrap()
}

fn store(home: &Path) -> Store {
    Store::open(&Options::new(home.join("home/engine.db")), Arc::new(SystemClock)).unwrap()
}

const BOMB: &str = "
id: bomb
steps:
  - name: blast
    uses: windlass/fail
    with: { mode: abort }
    backoff: { initial: 10ms, max: 20ms }
  - { name: after, uses: windlass/noop }
";

#[test]
fn a_step_that_crashes_three_times_is_quarantined_and_everything_else_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("bomb.yaml"), BOMB).unwrap();
    let fine = "id: fine\nsteps: [{ name: a, uses: windlass/noop }]";
    fs::write(dir.path().join("fine.yaml"), fine).unwrap();
    assert!(windlass(dir.path(), &["submit", "bomb.yaml"]).status.success());
    assert!(windlass(dir.path(), &["submit", "fine.yaml", "--items", "1", "2", "3"]).status.success());
    let died = windlass(dir.path(), &["worker", "--until-idle", "--pool", "*=1"]);
    assert_eq!(died.status.code(), None, "the step took the whole worker along");
    let survived = windlass(dir.path(), &["worker", "--until-idle", "--pool", "*=1"]);
    assert!(survived.status.success(), "{}", String::from_utf8_lossy(&survived.stderr));
    let store = store(dir.path());
    let (bomb, fine) = (windlass::model::GroupId(1), windlass::model::GroupId(2));
    let group = |id| store.read(|tx| read::show_group(tx, id)).unwrap().group;
    assert_eq!((group(bomb).status, group(fine).status), (Status::Failed, Status::Completed));
    let blast = store.read(|tx| read::show_step(tx, windlass::model::StepId(1))).unwrap();
    assert_eq!((blast.step.crashes, blast.suspect), (3, true), "the death of the engine is no crash of the step's");
    let outcomes: Vec<_> = blast.attempts_all.iter().map(|it| it.outcome.unwrap()).collect();
    assert_eq!(outcomes, ["interrupted", "crashed", "crashed", "crashed"]);
    let last = blast.attempts_all.last().unwrap().detail.clone().unwrap();
    assert!(last["reason"].as_str().unwrap().starts_with("quarantined: crashed 3 times"), "{last}");
    for command in [["why", "s1"], ["show", "s1"]] {
        let said = String::from_utf8(windlass(dir.path(), &command).stdout).unwrap();
        assert!(said.contains("quarantined: crashed 3 times (last: killed by SIGABRT)"), "{command:?}: {said}");
    }
    assert_eq!(last["certificate"]["exit"], serde_json::json!({"signal": libc::SIGABRT}), "{last}");
    let events = store.read(|tx| event::after(tx, event::Cursor::default(), 10_000)).unwrap();
    let ends = events.iter().filter(|(_, it)| it.kind == windlass::model::EventKind::GroupEnd).count();
    assert_eq!(ends, 2);
    assert_eq!(store.read(check::check).unwrap(), Vec::<String>::new());
}

#[test]
fn a_suspect_that_is_innocent_runs_in_its_child_as_it_would_here() {
    let dir = tempfile::tempdir().unwrap();
    let text = "
id: mixed
steps:
  - name: bomb
    uses: windlass/fail
    with: { mode: abort }
    backoff: { initial: 10ms, max: 20ms }
  - { name: innocent, needs: [], uses: windlass/sleep, with: { for: 300ms } }
  - { name: careless, needs: [], uses: windlass/fail, with: { message: 'no luck' } }
";
    fs::write(dir.path().join("w.yaml"), text).unwrap();
    assert!(windlass(dir.path(), &["submit", "w.yaml"]).status.success());
    let mut deaths = 0;
    while !windlass(dir.path(), &["worker", "--until-idle", "--pool", "*=3"]).status.success() {
        deaths += 1;
        assert!(deaths < 5);
    }
    assert!(deaths > 0);
    let store = store(dir.path());
    let step = |id| store.read(|tx| read::show_step(tx, windlass::model::StepId(id))).unwrap();
    assert_eq!((step(1).step.status, step(2).step.status), (Status::Failed, Status::Completed));
    assert!(step(2).step.crashes == 0 && step(3).step.crashes == 0);
    let attempts = store.read(|tx| attempt::of_step(tx, windlass::model::StepId(3))).unwrap();
    assert_eq!(attempts.last().unwrap().detail.as_ref().unwrap()["outcome"]["message"], "no luck");
}

#[test]
fn three_power_cuts_in_a_row_quarantine_nothing() {
    let book = Book::new();
    let group = book.submit(&chain(&["a"]), &["x"]);
    for _ in 0..3 {
        let step = book.claim("*");
        assert_eq!(book.reap_for(WORKER, Death::Rebooted), 1);
        let row = book.store.read(|tx| input::read(tx, step.lease.step)).unwrap();
        assert_eq!((row.suspect, row.crashes, row.attempts), (false, 0, 0));
    }
    let step = book.claim("*");
    book.reap_for(WORKER, Death::Died);
    assert!(book.store.read(|tx| input::read(tx, step.lease.step)).unwrap().suspect, "a death of the engine does");
    book.complete(&book.claim("*"));
    assert!(book.ended(group));
    book.check();
}
