//! The form that starts a workflow, and the timeline of a run.

use super::{let_in, submit, wait_for_group};
use crate::web::{Web, until};
use serde_json::json;

const GREET: &str = "id: greet\nsteps: [{ name: say, run: 'echo {{ params.greeting }}, {{ item }}' }]\n";

fn write(web: &Web, name: &str, text: &str) {
    let dir = web.home().join("workflows");
    std::fs::create_dir_all(&dir).unwrap();
    std::fs::write(dir.join(name), text).unwrap();
}

#[test]
fn a_form_starts_a_workflow_with_items_and_parameters() {
    let web = Web::start();
    let Some(mut browser) = let_in(&web) else { return };
    browser.press("s");
    browser.shows("No workflow can be started here");
    write(&web, "greet.yaml", GREET);
    write(&web, "once.yaml", "id: once\nsteps: [{ name: a, run: 'true' }]\n");
    write(&web, "wrong.yaml", "id: wrong\nsteps: 7\n");
    browser.press("r");
    browser.shows("wrong.yaml:2");
    browser.until("both are offered", "document.querySelectorAll('#workflow option').length === 2");
    browser.until("the parameter is asked for", "document.querySelector('#param-greeting')");

    // The page refuses what the command line refuses, with the same words, and keeps the input.
    browser.eval("document.querySelector('#items').focus()");
    browser.type_text("world");
    browser.shows("1 run");
    browser.click(".start .primary");
    browser.shows("params.greeting");
    assert_eq!(browser.eval("document.querySelector('#items').value"), "world");
    assert_eq!(web.get("/api/v1/groups").json()["groups"], json!([]), "nothing was started");

    browser.eval("document.querySelector('#param-greeting').focus()");
    browser.type_text("hello");
    browser.click(".start .primary");
    browser.shows("1 of 1 run ended");
    let group = web.get("/api/v1/groups").json()["groups"][0]["id"].as_i64().unwrap();
    let step = web.get(&format!("/api/v1/runs?group={group}")).json()["runs"][0]["id"].as_i64().unwrap();
    let run = web.get(&format!("/api/v1/runs/{step}")).json();
    let logs = web.get(&format!("/api/v1/steps/{}/logs", run["steps"][0]["id"])).json();
    assert_eq!(logs["logs"][0]["text"], "hello, world\n");
    assert_eq!(browser.complaints.len(), 1, "{:?}: only the refused request", browser.complaints);
}

#[test]
fn the_timeline_of_a_run_has_a_bar_for_each_step_that_ran() {
    let web = Web::start();
    let Some(mut browser) = let_in(&web) else { return };
    let text = "id: line\nsteps:\n  - { name: first, run: 'sleep 0.4' }\n  - { name: second, run: 'exit 1' }\n  - { name: third, run: 'true' }\n";
    let group = submit(&web, text, &["one"], json!({}));
    wait_for_group(&web, group);
    let run = web.get(&format!("/api/v1/runs?group={group}")).json()["runs"][0]["id"].as_i64().unwrap();
    browser.open(&web.url(&format!("/#/r{run}")));
    browser.until("two steps ran", "document.querySelectorAll('.timeline li').length === 2");
    let wider = "(() => { const [a, b] = [...document.querySelectorAll('.timeline i')].map((it) => it.getBoundingClientRect()); return a.width > b.width && b.left >= a.right - 3; })()";
    browser.until("the first took longer, and the second came after it", wider);
    assert_eq!(browser.eval("document.querySelectorAll('.timeline i.failed').length"), 1);
    browser.click(".timeline li:nth-child(2) a");
    browser.shows("attempt 1");
    until("the page is quiet", || browser.complaints.is_empty().then_some(()));
}
