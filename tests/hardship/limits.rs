//! Few descriptors, little memory.

use crate::{Place, WINDLASS};
use std::{
    fs,
    time::{Duration, Instant},
};

const WORKFLOW: &str = r#"
id: files
steps:
  - { name: make, run: "echo {{ item }} > {{ out }}/it" }
  - { name: use, run: "cat {{ inputs.make.dir }}/it" }
"#;

/// Runs 12 items under a shell limit; then, if that failed, without it.
fn under(limit: &str, at_most: Duration) -> bool {
    let place = Place::new();
    place.write("files.yaml", WORKFLOW);
    let items = "1 2 3 4 5 6 7 8 9 10 11 12";
    let script = format!("{limit}; exec '{WINDLASS}' run files.yaml --key k --items {items}");
    let begun = Instant::now();
    let mut command = place.under(&["sh", "-c", &script], &[]);
    let mut running = command.piped().spawn().unwrap();
    // Without enough for even one command it keeps trying, slowly, until it is stopped.
    while running.try_wait().unwrap().is_none() {
        if begun.elapsed() > at_most {
            running.signal("TERM");
            break;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    let limited = running.end(Duration::from_secs(60));
    let size = fs::metadata(place.database()).map_or(0, |it| it.len());
    assert!(size < 4 << 20, "{limit}: the database grew to {size} bytes");
    assert!(limited.code == 0 || !limited.err.is_empty(), "{limit}: {limited:?}");
    let mut again = vec!["run", "files.yaml", "--key", "k", "--items"];
    again.extend(items.split(' '));
    let whole = place.run(&again);
    println!("{limit}: {} {}, then {}", limited.code, limited.err.lines().last().unwrap_or_default(), whole.code);
    // What failed under the limit can be retried; nothing is lost or stuck.
    if whole.code == 3 {
        place.ok(&["retry", "g1"]);
        place.ok(&["worker", "--until-idle"]);
    }
    assert!(place.ok(&["list", "groups"]).contains("COMPLETED"), "{limit}: {whole:?}");
    place.assert_sound();
    limited.code == 0
}

#[test]
fn forty_eight_descriptors_are_enough_for_a_run() {
    assert!(under("ulimit -n 48", Duration::from_secs(50)));
}

#[test]
fn too_few_descriptors_are_an_error_that_can_be_repaired() {
    for count in [32, 24, 16, 8] {
        under(&format!("ulimit -n {count}"), Duration::from_secs(6));
    }
}

#[test]
fn little_address_space_is_an_error_that_can_be_repaired() {
    for kib in [1_000_000, 400_000, 150_000] {
        under(&format!("ulimit -v {kib}"), Duration::from_secs(6));
    }
}
