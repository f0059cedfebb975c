//! Values passed between steps: large, empty or missing values, and directories without a file.

use super::{Place, reason};
use serde_json::{Value, json};
use std::fs;

const LARGE: &str = "head -c 100000 /dev/zero | tr '\\0' a";

#[test]
fn a_value_that_is_too_large_fails_its_own_step_with_the_size_and_the_way_out() {
    let place = Place::new();
    let steps = place.steps(&format!(
        "steps:\n- name: make\n  run: \"{}\"\n  retries: 3\n- name: use\n  run: \"echo {{{{ inputs.make.value }}}}\"\n",
        LARGE.replace('\\', "\\\\")
    ));
    assert_eq!((&steps[0]["status"], &steps[1]["status"]), (&json!("FAILED"), &json!("CANCELLED")), "{steps:?}");
    assert_eq!(steps[0]["attempts"], 1, "no retry can help");
    let said = reason(&steps[0]);
    for part in ["97.7 KiB", "limit is 64 KiB", "value: file", "{{ inputs.make.dir }}/value"] {
        assert!(said.contains(part), "{part}: {said}");
    }
}

#[test]
fn output_that_no_step_can_read_as_a_value_fails_nothing_and_is_said_not_to_be_kept() {
    let place = Place::new();
    let steps = place.steps(&format!("steps:\n- name: only\n  run: \"{}\"\n", LARGE.replace('\\', "\\\\")));
    assert_eq!(steps[0]["status"], "COMPLETED", "{steps:?}");
    let remarks = steps[0]["attempts_all"][0]["detail"]["certificate"]["remarks"].to_string();
    assert!(remarks.contains("97.7 KiB") && remarks.contains("not kept"), "{remarks}");
}

#[test]
fn a_value_in_a_file_reaches_the_next_step_by_its_path_whatever_its_size() {
    let place = Place::new();
    let steps = place.steps(
        "steps:\n- name: make\n  value: file\n  run: \"head -c 3000000 /dev/zero; echo warning >&2\"\n\
         - name: use\n  run: \"wc -c < {{ inputs.make.dir }}/value\"\n",
    );
    assert_eq!(steps[1]["status"], "COMPLETED", "{steps:?}");
    assert_eq!(steps[1]["output"], 3_000_000, "{}", steps[1]);
    assert_eq!(steps[0]["output"], Value::Null);
    let file = place.windlass(&["show", "s1", "--file", "value"]);
    assert_eq!(file.stdout.len(), 3_000_000);
    let logs = place.windlass(&["logs", "s1"]);
    assert!(String::from_utf8_lossy(&logs.stdout).contains("warning"), "{logs:?}");
}

#[test]
fn a_value_in_a_file_is_refused_as_a_text_at_submit() {
    let place = Place::new();
    let text = "id: flow\nsteps:\n- { name: make, value: file, run: ls }\n- name: use\n  run: \"echo {{ inputs.make.value }}\"\n";
    fs::write(place.path("flow.yaml"), text).unwrap();
    let ran = place.windlass(&["run", "flow.yaml", "--items", "x"]);
    let said = String::from_utf8_lossy(&ran.stderr).into_owned();
    assert!(ran.status.code() == Some(2) && said.contains("flow.yaml:5") && said.contains("inputs.make.dir"), "{said}");
}

#[test]
fn a_step_that_printed_nothing_gives_an_empty_text_and_an_empty_directory() {
    let place = Place::new();
    let steps = place.steps(
        "steps:\n- { name: none, run: \"true\" }\n- { name: newline, run: echo }\n- name: use\n  needs: [none, newline]\n  \
         run: \"printf '[%s][%s]%s' {{ inputs.none.value }} {{ inputs.newline.value }} $(ls {{ inputs.none.dir }} | wc -l); \
         echo \\\"$WINDLASS_INPUTS\\\" >&2\"\n",
    );
    assert_eq!(steps[2]["status"], "COMPLETED", "{}", reason(&steps[2]));
    assert_eq!(steps[2]["output"], "[][]0");
    let logs = place.windlass(&["logs", "s3"]);
    let inputs = String::from_utf8_lossy(&logs.stdout).into_owned();
    assert!(inputs.contains("\"none\":{\"dir\":") && inputs.contains("\"value\":null"), "{inputs}");
    assert_eq!(steps[2]["command"].as_str().unwrap().matches("''").count(), 2, "{}", steps[2]["command"]);
}

#[test]
fn a_part_of_a_value_that_is_not_there_says_that_the_step_printed_nothing() {
    let place = Place::new();
    let steps = place.steps(
        "steps:\n- { name: none, run: \"true\" }\n- { name: use, run: \"echo {{ inputs.none.value.rows }}\" }\n",
    );
    let said = reason(&steps[1]);
    assert!(said.contains("`inputs.none.value` is null, so it has no `rows`"), "{said}");
}

const WORKER: &str = "
import os
from windlass_worker import *
@step('make')
def make(ctx):
    return 'ä' * 50000
@step('list')
def list_(ctx):
    return list(range(30000))
@step('none')
def none(ctx):
    return None
@step('use')
def use(ctx):
    return [ctx.config['it'], ctx.inputs['none'].value, len(os.listdir(ctx.config['dir']))]
run()
";

const PY: &str = "workers:\n  py: { command: [python3, worker.py] }\n";

#[test]
fn a_worker_whose_value_is_too_large_fails_and_in_a_file_it_is_passed_on() {
    let Some(place) = Place::with_python(WORKER) else { return };
    let steps = place.steps(&format!("steps:\n- {{ name: list, worker: py }}\n{PY}"));
    assert_eq!(steps[0]["status"], "FAILED", "{}", steps[0]);
    assert!(reason(&steps[0]).contains("value: file"), "{}", reason(&steps[0]));

    let Some(place) = Place::with_python(WORKER) else { return };
    let steps = place.steps(&format!(
        "steps:\n- {{ name: make, worker: py, value: file }}\n- {{ name: list, worker: py, value: file, needs: [] }}\n- name: use\n  \
         needs: [make, list]\n  run: \"cat {{{{ inputs.make.dir }}}}/value | wc -c; tail -c 7 {{{{ inputs.list.dir }}}}/value\"\n{PY}"
    ));
    assert_eq!(steps[2]["output"], "100000\n,29999]", "{} {}", steps[2], reason(&steps[0]));
}

#[test]
fn a_worker_sees_a_step_that_left_nothing() {
    let Some(place) = Place::with_python(WORKER) else { return };
    let steps = place.steps(&format!(
        "steps:\n- {{ name: none, worker: py }}\n- name: use\n  worker: py\n  with: {{ it: \"{{{{ inputs.none.value }}}}\", dir: \
         \"{{{{ inputs.none.dir }}}}\" }}\n{PY}"
    ));
    assert_eq!(steps[1]["output"], json!([null, null, 0]), "{} {}", steps[1], reason(&steps[1]));
}
