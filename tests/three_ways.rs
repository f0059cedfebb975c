//! The same work by commands, by worker processes and by a built-in step, with equal results.

mod support {
    pub mod binary;
    pub mod needs;
}

use std::process::{Command, Stdio};
use support::binary::WINDLASS;
use support::needs::needs;

#[test]
fn the_same_work_has_equal_results_as_a_command_in_a_worker_and_built_in() {
    if !needs("python3") {
        return;
    }
    let mut script = Command::new("python3");
    script.args(["scripts/three-ways", "30", WINDLASS]).current_dir(env!("CARGO_MANIFEST_DIR"));
    let output = script.stdin(Stdio::null()).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    assert!(said.contains("equal results in all three ways: 29 completed, 1 failed"), "{said}");
}
