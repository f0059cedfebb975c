//! Other programs that lock files that steps need.

use super::Place;
use std::{
    fs,
    time::{Duration, Instant},
};

#[test]
fn a_program_that_locks_a_vector_database_is_named_with_the_file() {
    let place = Place::new();
    fs::create_dir(place.path("docs")).unwrap();
    fs::write(place.path("docs/a.txt"), "The pawl falls into the ratchet.").unwrap();
    place.ok(&["ingest", "docs"]);
    let file = place.path("home/vectors/default.db");
    // A connection that keeps the file open also keeps its log.
    let other = rusqlite::Connection::open(&file).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let (file, us) = (file.canonicalize().unwrap(), format!("process {}", std::process::id()));
    let names = |text: &str| text.contains(&format!("{} is locked by {us}", file.display()));
    let status = place.ok(&["status"]);
    assert!(names(&status) && status.contains("no document can be stored there"), "{status}");

    fs::write(place.path("docs/b.txt"), "The brake holds the drum.").unwrap();
    place.ok(&["ingest", "docs", "--detach"]);
    let mut worker = place.start(&["worker", "--until-idle"]);
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        let why = place.ok(&["why", "g2"]);
        if names(&why) {
            break;
        }
        assert!(Instant::now() < deadline && worker.try_wait().unwrap().is_none(), "{why}");
    }
    other.execute_batch("ROLLBACK").unwrap();
    drop(other);
    assert!(worker.wait().unwrap().success());
    assert!(place.ok(&["list", "groups"]).matches("COMPLETED").count() == 2);
    assert!(!place.ok(&["status"]).contains("is locked by"));
}
