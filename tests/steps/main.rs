//! Steps from the workflow file to what is shown, through the real binary.

#[path = "../support"]
mod support {
    pub mod binary;
    pub mod needs;
}

use serde_json::Value;
use std::{fs, path::PathBuf, process::Output};
use support::{
    binary::{Running, Windlass},
    needs::needs,
};
use tempfile::TempDir;

mod slow_workers;
mod strangers;
mod values;

struct Place(TempDir);

impl Place {
    fn new() -> Place {
        Place(tempfile::tempdir().unwrap())
    }

    /// A place with a Python worker. None if there is no Python.
    fn with_python(worker: &str) -> Option<Place> {
        if !needs("python3") {
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

    fn command(&self, arguments: &[&str]) -> Windlass {
        let mut command = Windlass::on(self.path("home"));
        command.args(arguments).current_dir(self.0.path());
        command
    }

    fn windlass(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    /// Runs a command that must succeed, and returns its stdout.
    fn ok(&self, arguments: &[&str]) -> String {
        let output = self.windlass(arguments);
        assert!(output.status.success(), "{arguments:?}: {output:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    fn start(&self, arguments: &[&str]) -> Running {
        self.command(arguments).silent().spawn().unwrap()
    }

    fn json(&self, arguments: &[&str]) -> Value {
        let output = self.windlass(&[arguments, &["--json"]].concat());
        serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{arguments:?}: {error}: {output:?}"))
    }

    /// Runs a workflow with these steps and workers, and returns the details of each step.
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
