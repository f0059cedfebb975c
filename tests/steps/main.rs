//! Steps as people meet them: through the real binary, from the workflow file to what is shown.

use serde_json::Value;
use std::{
    fs,
    path::PathBuf,
    process::{Child, Command, Output, Stdio},
};
use tempfile::TempDir;

mod slow_workers;
mod values;

struct Place(TempDir);

impl Place {
    fn new() -> Place {
        Place(tempfile::tempdir().unwrap())
    }

    /// A place with a Python worker; None where there is no Python.
    fn with_python(worker: &str) -> Option<Place> {
        if Command::new("python3").arg("-V").stdout(Stdio::null()).status().is_err() {
            return None;
        }
        let place = Place::new();
        fs::write(place.path("windlass_worker.py"), place.ok(&["worker", "sdk", "python"])).unwrap();
        fs::write(place.path("worker.py"), worker).unwrap();
        Some(place)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_windlass"));
        command.args(arguments).current_dir(self.0.path()).env("WINDLASS_HOME", self.path("home")).stdin(Stdio::null());
        command
    }

    fn windlass(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    /// Runs a command that must succeed; its stdout.
    fn ok(&self, arguments: &[&str]) -> String {
        let output = self.windlass(arguments);
        assert!(output.status.success(), "{arguments:?}: {output:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    fn start(&self, arguments: &[&str]) -> Child {
        self.command(arguments).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
    }

    fn json(&self, arguments: &[&str]) -> Value {
        let output = self.windlass(&[arguments, &["--json"]].concat());
        serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{arguments:?}: {error}: {output:?}"))
    }

    /// Runs a workflow with these steps and workers; the details of each step.
    fn steps(&self, rest: &str) -> Vec<Value> {
        fs::write(self.path("flow.yaml"), format!("id: flow\n{rest}")).unwrap();
        let ran = self.windlass(&["run", "flow.yaml", "--items", "x"]);
        let list = self.json(&["list", "steps"]);
        let steps = list["steps"].as_array().unwrap_or_else(|| panic!("{list} {ran:?}"));
        (1..=steps.len()).map(|no| self.json(&["show", &format!("s{no}")])).collect()
    }
}

fn reason(step: &Value) -> String {
    let attempts = step["attempts_all"].as_array().unwrap();
    attempts.last().map(|it| it["detail"]["message"].as_str().unwrap_or_default().to_string()).unwrap_or_default()
}
