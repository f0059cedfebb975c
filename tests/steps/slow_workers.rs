//! Worker processes that take long to get ready.

use super::Place;
use std::fs;

const WORKER: &str = "
import os, time
while not os.path.exists('go'):
    time.sleep(0.02)
from windlass_worker import *
@step('load')
def load(ctx):
    return os.getpid()
run()
";

/// Four steps wait for two processes, which are ready only when the file `go` exists.
fn place(names: &[&str]) -> Option<Place> {
    let place = Place::with_python(WORKER)?;
    let steps: String =
        names.iter().map(|it| format!("- {{ name: load-{it}, handler: load, worker: {it}, needs: [] }}\n")).collect();
    let workers: String = names
        .iter()
        .map(|it| format!("  {it}: {{ command: [python3, worker.py], size: 2, start_timeout: 5m }}\n"))
        .collect();
    fs::write(place.path("slow.yaml"), format!("id: slow\nsteps:\n{steps}workers:\n{workers}")).unwrap();
    Some(place)
}

#[test]
fn steps_of_other_types_go_on_while_worker_processes_get_ready() {
    for names in [&["one"][..], &["one", "two", "three"]] {
        let Some(place) = place(names) else { return };
        place.ok(&["submit", "slow.yaml", "--items", "a", "b", "c", "d"]);
        place.ok(&["submit", "--each", "true {{ item }}", "--items", "a", "b", "c", "d", "e"]);
        let mut worker = place.start(&["worker", "--pool", "*=2", "--until-idle"]);
        let others = place.windlass(&["wait", "g2", "--timeout", "60s"]);
        let early = place.json(&["show", "g1"])["runs_by_status"]["COMPLETED"].as_i64();
        fs::write(place.path("go"), "").unwrap();
        let slow = place.windlass(&["wait", "g1", "--timeout", "60s"]);
        assert!(worker.wait().unwrap().success());
        assert!(others.status.success() && early.is_none(), "{names:?}: {others:?} {early:?}");
        assert!(slow.status.success(), "{names:?}: {slow:?}");
        let steps = place.json(&["list", "steps", "--group", "g1"]);
        let steps = steps["steps"].as_array().unwrap();
        assert!(steps.iter().all(|it| it["attempts"] == 1), "a step that waits uses up no attempt: {steps:?}");
        // A waiting step leaves no record of each check.
        assert_eq!(place.json(&["show", "s1"])["attempts_all"].as_array().unwrap().len(), 1);
    }
}
