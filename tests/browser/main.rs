//! The page in a real browser: its content, its keys and buttons, and its look.

#[path = "../support"]
mod support {
    pub mod binary;
    pub mod needs;
    pub mod web;
}

use support::web;
mod asking;
mod connection;
mod driver;
mod looks;
mod starting;
mod telling;
mod walking;
mod working;

use driver::Browser;
use serde_json::{Value, json};
use web::{Web, until};

/// A workflow of four steps: `a`, then `b` and `c` side by side, then `d`.
const DIAMOND: &str = "
id: diamond
steps:
  - name: fetch
    run: 'echo fetched {{ item }} && sleep {{ params.pause }}'
  - name: left
    needs: [fetch]
    run: 'echo left'
  - name: right
    needs: [fetch]
    run: 'test {{ item }} != bad'
  - name: join
    needs: [left, right]
    run: 'echo joined'
";

pub fn submit(web: &Web, definition: &str, items: &[&str], params: Value) -> i64 {
    let answer = web.post_json("/api/v1/groups", &json!({"definition": definition, "items": items, "params": params}));
    assert_eq!(answer.status, 201, "{}", answer.text());
    answer.json()["group"].as_i64().unwrap()
}

pub fn wait_for_group(web: &Web, group: i64) -> Value {
    until("the group ends", || {
        let found = web.get(&format!("/api/v1/groups/{group}")).json();
        (!found["ended"].is_null()).then_some(found)
    })
}

/// A browser that signed in with the one-time link.
pub fn let_in(web: &Web) -> Option<Browser> {
    let mut browser = Browser::start()?;
    browser.open(&web.url(&web.link()));
    browser.shows("live");
    Some(browser)
}

#[test]
fn the_page_shows_groups_and_their_progress_as_it_happens_and_complains_of_nothing() {
    let web = Web::start();
    let Some(mut browser) = let_in(&web) else { return };
    browser.shows("No group yet");
    let gate = web.home().join("gate");
    let text = "id: gated\nsteps: [{ name: wait, run: 'echo waiting for the gate; while ! test -e {{ params.gate }}; do sleep 0.05; done' }]";
    let group = submit(&web, text, &["one", "two"], json!({"gate": gate.to_str().unwrap()}));
    browser.shows(&format!("g{group}"));
    browser.shows("running");
    browser.click("a.rowlink");
    browser.shows("0 of 2 runs ended, 2 steps running");
    browser.until("the runs are listed", "document.querySelectorAll('a.rowlink').length === 2");
    browser.press("j");
    browser.press("Enter");
    browser.until("the run is shown", "document.querySelectorAll('a.rowlink').length === 1");
    browser.click("a.rowlink");
    browser.shows("waiting for the gate");
    browser.press("u");
    browser.until("the run is shown again", "document.querySelectorAll('a.rowlink').length === 1");
    browser.press("u");
    browser.shows("0 of 2 runs ended, 2 steps running");
    std::fs::write(&gate, "").unwrap();
    browser.shows("2 of 2 runs ended");
    browser.until("the runs are green", "document.querySelectorAll('td .status.completed').length === 2");
    assert_eq!(browser.complaints, [] as [&str; 0]);
}

#[test]
fn a_run_is_a_graph_and_a_step_has_its_attempts_and_what_it_printed() {
    let web = Web::start();
    let Some(mut browser) = let_in(&web) else { return };
    let group = submit(&web, DIAMOND, &["good", "bad"], json!({"pause": 0}));
    wait_for_group(&web, group);
    let runs = web.get(&format!("/api/v1/runs?group={group}")).json();
    let run = runs["runs"][1]["id"].as_i64().unwrap();
    browser.open(&web.url(&format!("/#/r{run}")));
    browser.until("the graph is drawn", "document.querySelectorAll('svg .node').length === 4");
    assert_eq!(browser.eval("document.querySelectorAll('svg .edge').length"), 4);
    assert_eq!(browser.eval("document.querySelectorAll('svg .node.failed').length"), 1);
    let broad = "document.querySelector('.graph svg').getBoundingClientRect().width > 400";
    browser.until("it goes from left to right", broad);
    browser.screen(420, 860, false);
    browser.until("it is drawn anew where it is narrow", &format!("!({broad})"));
    browser.screen(1280, 860, false);
    browser.until("it goes from left to right again", broad);
    browser.click("svg .node");
    browser.shows("fetched bad");
    browser.shows("attempt 1");
    browser.press("u");
    browser.until("the run is shown again", "document.querySelectorAll('svg .node').length === 4");
    browser.click("svg .node.failed");
    browser.shows("it failed after 1 attempt");
    browser.shows(&format!("retry r{run}"));
    assert_eq!(browser.complaints, [] as [&str; 0]);
}

#[test]
fn cancel_asks_first_and_then_really_cancels() {
    let web = Web::start();
    let Some(mut browser) = let_in(&web) else { return };
    let group = submit(&web, DIAMOND, &["a", "b"], json!({"pause": 600}));
    browser.open(&web.url(&format!("/#/g{group}")));
    browser.shows("2 steps running");
    browser.click("[data-key-of=c]");
    browser.shows(&format!("Cancel g{group}?"));
    browser.press("Escape");
    browser.until("the question is gone", "!document.querySelector('dialog')");
    assert!(web.get(&format!("/api/v1/groups/{group}")).json()["ended"].is_null(), "nothing was confirmed");
    browser.press("c");
    browser.until("the harmless button has the focus", "document.activeElement.matches('dialog .back')");
    browser.click("dialog .danger");
    browser.shows("is being cancelled");
    assert_eq!(wait_for_group(&web, group)["status"], "CANCELLED");
    browser.shows("2 cancelled");
    browser.click("[data-key-of=t]");
    browser.click("dialog .primary");
    browser.shows("is open again");
    web.post_json(&format!("/api/v1/groups/{group}/cancel"), &json!({}));
    wait_for_group(&web, group);
    assert_eq!(browser.complaints, [] as [&str; 0]);
}

#[test]
fn a_key_is_taken_away_by_force_only_with_a_reason_and_the_history_tells_it() {
    let web = Web::start();
    let Some(mut browser) = let_in(&web) else { return };
    let mut holder = web.windlass(&["locks", "hold", "printer", "--", "sleep", "600"]).spawn().unwrap();
    browser.press("4");
    browser.shows("printer");
    browser.shows("command line");
    browser.click("td button.danger");
    browser.shows("Release this key by force?");
    browser.click("dialog .danger");
    assert_eq!(browser.eval("document.querySelector('dialog').open"), true, "a reason is asked for");
    browser.type_text("the printer is on fire");
    browser.press("Enter");
    // The process is alive and holds the file lock; the answer says so.
    browser.shows("still holds the file lock");
    let events = web.windlass(&["events", "--json"]).output().unwrap();
    assert!(
        String::from_utf8_lossy(&events.stdout)
            .contains("the printer is on fire (by page over HTTP; it was held by the command line (process ")
    );
    holder.kill().unwrap();
    holder.wait().unwrap();
}

#[test]
fn everything_is_reached_by_keys_alone() {
    let web = Web::start();
    let Some(mut browser) = let_in(&web) else { return };
    let first = submit(&web, DIAMOND, &["good"], json!({"pause": 0}));
    let second = submit(&web, DIAMOND, &["other"], json!({"pause": 600}));
    browser.until("both groups are shown", "document.querySelectorAll('a.rowlink').length === 2");
    browser.press("j");
    let focused = "document.activeElement.textContent";
    assert_eq!(browser.eval(focused), format!("g{second}"));
    let outline = browser.eval("getComputedStyle(document.activeElement).outlineStyle");
    assert_eq!(outline, "solid", "the focus is seen");
    browser.press("j");
    assert_eq!(browser.eval(focused), format!("g{first}"));
    browser.press("k");
    browser.press("Enter");
    browser.shows("1 step running");
    browser.press("p");
    browser.until("the question is there", "document.activeElement.matches('dialog .primary')");
    browser.press("Enter");
    browser.shows("is paused");
    browser.press("j");
    browser.press("Enter");
    browser.until("the graph is drawn", "document.querySelectorAll('svg .node').length === 4");
    browser.press("u");
    browser.shows("Resume");
    browser.press("u");
    browser.until("the list is back", "document.querySelectorAll('a.rowlink').length === 2");
    browser.press("?");
    browser.shows("next, previous row");
    browser.press("Escape");
    browser.until("the help is gone", "!document.querySelector('dialog')");
    browser.press("/");
    browser.shows("No vector database yet");
    browser.until("the field has the focus", "document.activeElement.type === 'search'");
    browser.press("Escape");
    for (key, title) in ["Groups", "Queues", "Workers", "Locks", "Search", "Health", "Schedules"].iter().enumerate() {
        browser.press(&(key + 1).to_string());
        browser.until(title, &format!("document.title.startsWith({})", Value::from(*title)));
        browser.eval("document.activeElement.blur()");
    }
    browser.press("1");
    browser.until("the list is back", "document.querySelectorAll('a.rowlink').length === 2");
    browser.open("about:blank#");
    browser.open(&web.url("/"));
    browser.shows("live");
    browser.press("Tab");
    assert_eq!(browser.eval(focused), "Skip to the content");
    assert_eq!(browser.complaints, [] as [&str; 0]);
}

#[test]
fn a_name_that_is_markup_is_shown_as_text() {
    let web = Web::start();
    let Some(mut browser) = let_in(&web) else { return };
    let hostile = "<img src=x onerror=\"window.harmed=1\"><script>window.harmed=1</script>";
    let definition = json!({"id": "hostile", "name": hostile, "steps": [{"name": "say", "run": "printf %s {{ item }} >&2; exit 7"}]});
    let body =
        json!({"definition": definition, "items": [hostile, "javascript:alert(1)", "a\u{202e}b"], "name": hostile});
    let answer = web.post_json("/api/v1/groups", &body);
    assert_eq!(answer.status, 201, "{}", answer.text());
    let group = answer.json()["group"].as_i64().unwrap();
    wait_for_group(&web, group);
    let run = web.get(&format!("/api/v1/runs?group={group}")).json()["runs"][0]["id"].as_i64().unwrap();
    let step = web.get(&format!("/api/v1/runs/{run}")).json()["steps"][0]["id"].as_i64().unwrap();
    for place in ["groups".to_string(), format!("g{group}"), format!("r{run}"), format!("s{step}")] {
        browser.open(&web.url(&format!("/#/{place}")));
        browser.shows("<img src=x onerror");
        assert_eq!(browser.eval("document.querySelectorAll('main img, main script').length"), 0, "{place}");
        assert_eq!(browser.eval("window.harmed === undefined"), true, "{place}");
        assert_eq!(browser.eval("document.documentElement.scrollWidth <= innerWidth"), true, "{place}");
    }
    assert_eq!(browser.complaints, [] as [&str; 0]);
}

#[test]
fn a_daemon_that_is_gone_is_told_of_and_one_that_is_back_is_found() {
    let home = tempfile::tempdir().unwrap();
    let mut web = Web::on(home.path(), &[]);
    let Some(mut browser) = let_in(&web) else { return };
    submit(&web, DIAMOND, &["good"], json!({"pause": 0}));
    browser.shows("diamond");
    let address = web.address.to_string();
    web.terminate();
    browser.shows("Can't reach windlass");
    browser.shows("not responding");
    let served = connection::serve_again(home.path(), &address);
    // The new daemon does not know the old sessions; the token opens a new one.
    browser.shows("Your session has ended.");
    browser.eval("document.getElementById('token').focus()");
    browser.type_text(&web.token);
    browser.press("Enter");
    browser.shows("live");
    browser.shows("diamond");
    browser.until("the message is gone", "document.getElementById('banner').hidden");
    drop(served);
}
