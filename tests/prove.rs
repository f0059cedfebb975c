//! A short run of the torture program: real processes, real kills, no violation. `TEST_KILLS=300` runs longer.

mod support {
    pub mod binary;
}

use serde_json::Value;
use support::binary::Windlass;

/// The report of a drill. The process must end with this code.
fn prove(args: &[&str], code: i32) -> Value {
    let dir = tempfile::tempdir().unwrap();
    let mut command = Windlass::on(dir.path().join("home"));
    let done = command.args(["--json", "prove"]).args(args).arg("--dir").arg(dir.path().join("drill")).ends(code);
    serde_json::from_str(&done.out).unwrap_or_else(|error| panic!("{error}: {done:?}"))
}

#[test]
fn two_dozen_kills_break_no_promise() {
    let kills = std::env::var("TEST_KILLS").ok().and_then(|it| it.parse().ok()).unwrap_or(24u64);
    let report = prove(&["--kills", &kills.to_string(), "--seed", "20"], 0);
    assert_eq!(report["verdict"]["violations"], serde_json::json!([]));
    assert!(report["kills"].as_u64().unwrap() >= kills);
    // A drill without any activity would prove nothing.
    for what in ["groups", "steps", "attempts", "cut_off", "reaped", "artifacts"] {
        assert!(report[what].as_u64().unwrap() > 0, "{what}: {report}");
    }
    // Either a small disk was filled, or the report says why not.
    let why = &report["not_filled"];
    assert_eq!(report["fills"].as_u64().unwrap() > 0, why.is_null(), "{report}");
    let mounts = std::process::Command::new("unshare").args(["-m", "mount", "-t", "tmpfs", "none", "/mnt"]).output();
    if mounts.is_ok_and(|it| it.status.success()) {
        assert!(why.is_null(), "a small disk can be mounted here: {why}");
    }
    let hit = |window: &str| report["windows"][window].as_u64().unwrap();
    assert!(hit("effect") + hit("settle") + hit("commit") > 0, "{report}");
}

#[test]
fn a_directory_with_something_in_it_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("mine"), "precious").unwrap();
    let done = Windlass::bare().args(["prove", "--kills", "1", "--dir"]).arg(dir.path()).ends(2);
    assert!(done.err.contains("is not empty"));
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1, "nothing was written");
}
