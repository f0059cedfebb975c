//! The same work by commands, by worker processes and by a built-in step, with equal results.

use std::process::{Command, Stdio};

#[test]
fn the_same_work_has_equal_results_as_a_command_in_a_worker_and_built_in() {
    let python = Command::new("python3").arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
    if !python.is_ok_and(|it| it.success()) {
        return eprintln!("skipped: there is no python3 in the PATH");
    }
    let mut script = Command::new("python3");
    script.args(["scripts/three-ways", "30", env!("CARGO_BIN_EXE_windlass")]).current_dir(env!("CARGO_MANIFEST_DIR"));
    let output = script.stdin(Stdio::null()).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    assert!(said.contains("equal results in all three ways: 29 completed, 1 failed"), "{said}");
}
