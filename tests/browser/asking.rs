//! What people see and press of approvals, groups below steps, resources and schedules.

use super::{let_in, submit, wait_for_group};
use crate::web::{Web, until};
use serde_json::{Value, json};

const ASK: &str = "
id: ask
steps:
  - { name: ask, approve: 'Publish {{ item }}?' }
  - { name: publish, run: 'echo published' }
";

/// The steps that wait, when there are as many.
fn waiting(web: &Web, many: usize) -> Vec<Value> {
    until("the steps wait", || {
        let found = web.get("/api/v1/waiting").json()["waiting"].as_array().unwrap().clone();
        (found.len() == many).then_some(found)
    })
}

#[test]
fn approve_and_reject_are_buttons_that_ask_for_a_name_and_the_step_goes_on() {
    let web = Web::start();
    let Some(mut browser) = let_in(&web) else { return };
    let group = submit(&web, ASK, &["page", "draft"], json!({}));
    let approvals = waiting(&web, 2);
    let (first, second) = (approvals[0]["step"].as_i64().unwrap(), approvals[1]["step"].as_i64().unwrap());

    // From the group to the list of what waits.
    browser.open(&web.url(&format!("/#/g{group}")));
    browser.shows("2 steps wait for an approval");
    browser.click(".head .flag a");
    browser.shows("Publish page?");
    browser.shows("Publish draft?");
    browser.click("td button.danger:not([hidden])");
    browser.shows(&format!("Reject s{first}?"));
    browser.click("dialog .danger");
    assert_eq!(browser.eval("document.querySelector('dialog').open"), true, "a name and a reason are asked for");
    browser.eval("document.querySelector('#who').focus()");
    browser.type_text("anna");
    browser.eval("document.querySelector('#reason').focus()");
    browser.type_text("not yet");
    browser.press("Enter");
    browser.shows(&format!("s{first} is rejected"));
    browser.until("one is left", "document.querySelectorAll('tbody tr').length === 1");

    // The other on the page of its step; the name is known by now.
    browser.open(&web.url(&format!("/#/s{second}")));
    browser.shows("it waits for an approval: Publish draft?");
    browser.click(".actions .primary:not([hidden])");
    browser.shows(&format!("Approve s{second}?"));
    assert_eq!(browser.eval("document.querySelector('#who').value"), "anna");
    browser.click("dialog .primary");
    browser.shows(&format!("s{second} is approved"));
    assert_eq!(wait_for_group(&web, group)["failed"], 1);
    let shown = |step: i64| web.get(&format!("/api/v1/steps/{step}")).json();
    assert_eq!(shown(second)["output"]["by"], "anna");
    assert!(shown(first)["error"].as_str().unwrap().contains("rejected by anna: not yet"), "{}", shown(first));
    browser.until("nothing can be answered", "!document.querySelector('.actions .primary:not([hidden])')");
    browser.press("9");
    browser.shows("No step waits");
    assert_eq!(browser.complaints, [] as [&str; 0]);
}

#[test]
fn the_runs_that_a_step_started_are_a_tree_that_leads_down_and_up() {
    let web = Web::start();
    let Some(mut browser) = let_in(&web) else { return };
    let text = "
id: outer
steps:
  - name: page
    for_each: '[\"a\", \"b\"]'
    workflow:
      id: inner
      steps: [{ name: part, for_each: '[1, 2, 3]', run: 'echo {{ item }}' }]
  - { name: join, run: 'wc -l < {{ inputs.page.children }}' }
";
    let group = submit(&web, text, &["book"], json!({}));
    assert_eq!(wait_for_group(&web, group)["failed"], 0);
    browser.open(&web.url(&format!("/#/g{group}")));
    browser.until("the tree is drawn", "document.querySelectorAll('.tree li').length === 3");
    assert_eq!(browser.eval("document.querySelectorAll('.tree .level-2').length"), 2);
    let below = browser.eval("document.querySelector('.tree .level-1 a[href^=\"#/g\"]').textContent");
    browser.click(".tree .level-1 a[href^='#/g']");
    browser.until("the group below is shown", &format!("document.querySelector('h1 .id').textContent === {below}"));
    browser.shows("2 of 2 runs ended");
    browser.until("its own tree is drawn", "document.querySelectorAll('.tree li').length === 2");
    browser.click(".facts a[href^='#/s']");
    browser.shows("children");
    browser.until("its attempt is shown", "document.querySelector('.attempt')");
    browser.press("u");
    browser.until("its run is shown", "document.querySelectorAll('svg .node').length === 2");
    browser.press("u");
    browser.until("the outer group is back", &format!("document.querySelector('h1 .id').textContent === 'g{group}'"));
    assert_eq!(browser.complaints, [] as [&str; 0]);
}

#[test]
fn resources_show_who_holds_them_and_who_waits() {
    // Slots for all of them: only the resource and the rate keep steps waiting.
    let web = Web::with("pools = { \"*\" = 8 }\n");
    let Some(mut browser) = let_in(&web) else { return };
    browser.press("8");
    browser.shows("No step takes resources");
    let gate = web.home().join("gate");
    let text = "
id: share
capacity: { 'api:*': 2 }
steps:
  - { name: call, resources: { 'api:x': 1 }, run: 'until test -e {{ params.gate }}; do sleep 0.05; done' }
  - { name: count, needs: [], rate: { calls: 1/1h }, run: 'true' }
";
    let group = submit(&web, text, &["1", "2", "3", "4"], json!({"gate": gate.to_str().unwrap()}));
    browser.shows("2 of 2");
    browser.shows("held by");
    browser.until("two wait for it", "document.querySelector('tbody tr td.num').textContent.startsWith('2')");
    browser.shows("set by a workflow");
    browser.shows("next start in");
    let first = browser.eval("document.querySelector('tbody td.num a').getAttribute('href')");
    browser.click("tbody td.num a");
    browser.shows("it needs 1 of `api:x`: 2 of 2 are in use by");
    assert_eq!(browser.eval("location.hash"), first);
    std::fs::write(&gate, "").unwrap();
    browser.press("8");
    browser.shows("0 of 2");
    web.post_json(&format!("/api/v1/groups/{group}/cancel"), &json!({}));
    wait_for_group(&web, group);
    assert_eq!(browser.complaints, [] as [&str; 0]);
}

#[test]
fn a_schedule_is_started_and_paused_by_its_buttons() {
    let web = Web::start();
    let Some(mut browser) = let_in(&web) else { return };
    let text = "id: nightly\nschedule: { cron: '0 2 * * *', zone: UTC }\nsteps: [{ name: a, run: 'echo done' }]\n";
    let added = web.post_json("/api/v1/schedules", &json!({ "definition": text }));
    assert_eq!(added.status, 201, "{}", added.text());
    browser.press("7");
    browser.shows("0 2 * * * (UTC)");
    browser.click("td.end button");
    browser.shows("Run now: nightly?");
    browser.press("Escape");
    browser.until("the question is gone", "!document.querySelector('dialog')");
    assert_eq!(web.get("/api/v1/groups").json()["groups"], json!([]), "nothing was confirmed");
    browser.click("td.end button");
    browser.click("dialog .primary");
    browser.shows("nightly started");
    browser.until("its group has ended", "document.querySelector('tbody .status.completed')");
    browser.click("td.end button + button");
    browser.click("dialog .primary");
    browser.shows("nightly is paused");
    assert_eq!(web.get("/api/v1/schedules").json()["schedules"][0]["paused"], true);
    browser.until("it can be resumed", "document.querySelector('td.end button + button').textContent === 'Resume'");
    browser.click("tbody a[href^='#/g']");
    browser.shows("1 of 1 run ended");
    assert_eq!(browser.complaints, [] as [&str; 0]);
}
