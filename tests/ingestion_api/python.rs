//! The same with the real aiohttp, if `python3` has it (`TEST_PYTHON` names another interpreter).

use crate::support::needs::needs_working;
use crate::web::Web;
use std::process::Command;

const SCRIPT: &str = include_str!("client.py");

#[test]
fn a_client_in_python_ingests_asks_and_deletes() {
    let python = std::env::var("TEST_PYTHON").unwrap_or_else(|_| "python3".to_string());
    if !needs_working(&python, &["-c", "import aiohttp"]) {
        return;
    }
    let web = Web::start();
    let mut command = Command::new(&python);
    command.args(["-c", SCRIPT, &web.url("/api/v1"), &web.token]);
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.contains("all is well"), "{said}");
}
