//! The page while steps run: its controls stay the same elements, its messages stay readable, and a log keeps its
//! position.

use super::{driver::Browser, let_in, submit, wait_for_group, web::Web};
use serde_json::json;
use std::fs;

/// Steps that wait, each for a file of its own.
const GATED: &str =
    "id: gated\nsteps: [{ name: wait, run: 'while ! test -e {{ params.gate }}-{{ item }}; do sleep 0.05; done' }]";

/// Prints two hundred lines, then two more, each after a file exists.
const TALKATIVE: &str = "id: talk\nsteps: [{ name: talk, run: 'seq -f \"line %g\" 200; for n in 1 2; do while ! test -e {{ params.gate }}-$n; do sleep 0.05; done; echo more $n; done; exit 3' }]";

fn gated(web: &Web, definition: &str, items: &[&str]) -> (i64, impl Fn(&str) + use<>) {
    let gate = web.home().join("gate");
    let group = submit(web, definition, items, json!({"gate": gate.to_str().unwrap()}));
    (group, move |name: &str| fs::write(format!("{}-{name}", gate.display()), "").unwrap())
}

/// How often the page has requested a path.
fn requests(path: &str) -> String {
    format!("performance.getEntriesByType('resource').filter(it => it.name.includes('{path}')).length")
}

/// Waits until the page has read something once more, from start to end.
fn wait_for_reads(browser: &mut Browser, path: &str) {
    let before = browser.eval(&requests(path)).as_i64().unwrap();
    browser.until("it is read anew", &format!("{} > {before} + 1", requests(path)));
}

#[test]
fn a_slow_click_and_a_focused_button_outlive_what_happens_meanwhile() {
    let web = Web::start();
    let Some(mut browser) = let_in(&web) else { return };
    let (group, open) = gated(&web, GATED, &["1", "2", "3", "4"]);
    browser.open(&web.url(&format!("/#/g{group}")));
    browser.shows("0 of 4 runs ended, 2 steps running");
    browser.eval("void (window.held = [...document.querySelectorAll('.actions > *, .filters a, h1, .pager a')])");
    // The mouse is pressed, a run ends, the mouse is released.
    browser.mouse("mousePressed", "[data-key-of=p]");
    open("1");
    browser.shows("1 of 4 runs ended");
    browser.mouse("mouseReleased", "[data-key-of=p]");
    browser.shows(&format!("Pause g{group}?"));
    browser.press("Escape");
    browser.until("the question is gone", "!document.querySelector('dialog')");
    browser.eval("document.querySelector('[data-key-of=c]').focus()");
    open("2");
    browser.shows("2 of 4 runs ended");
    browser.press("Enter");
    browser.shows(&format!("Cancel g{group}?"));
    browser.shows("2 runs of 4 will not finish");
    browser.press("Escape");
    assert_eq!(browser.eval("held.length > 10 && held.every(it => it.isConnected)"), true);
    ["3", "4"].iter().for_each(|it| open(it));
    wait_for_group(&web, group);
    assert_eq!(browser.complaints, [] as [&str; 0]);
}

#[test]
fn what_was_refused_is_told_until_it_is_read() {
    let web = Web::start();
    let Some(mut browser) = let_in(&web) else { return };
    let mut holder = web.windlass(&["locks", "hold", "printer", "--", "sleep", "600"]).spawn().unwrap();
    browser.press("4");
    browser.click("td button.danger");
    browser.until("a reason is asked for", "document.querySelector('dialog[open] input')");
    browser.type_text("it burns");
    browser.press("Enter");
    browser.until("the question is gone", "!document.querySelector('dialog')");
    wait_for_reads(&mut browser, "/api/v1/locks");
    browser.shows("still holds the file lock");
    browser.picture("refused-desktop-light");
    assert_eq!(browser.eval("document.querySelectorAll('[role=alert]:not([hidden])').length"), 1);
    browser.click("[role=alert]:not([hidden]) button");
    browser.until("the message is gone", "!document.querySelector('[role=alert]:not([hidden])')");
    holder.kill().unwrap();
    holder.wait().unwrap();
}

#[test]
fn the_state_of_a_group_is_right_when_nothing_else_happens() {
    let web = Web::start();
    let Some(mut browser) = let_in(&web) else { return };
    let (group, open) = gated(&web, GATED, &["1", "2"]);
    browser.open(&web.url(&format!("/#/g{group}")));
    browser.shows("2 steps running");
    browser.press("p");
    browser.until("the question is there", "document.activeElement.matches('dialog .primary')");
    browser.press("Enter");
    let button = |text: &str| format!("document.querySelector('[data-key-of=p]').textContent === '{text}'");
    browser.until("it can be resumed", &button("Resume"));
    // Another user does it, twice, faster than the counts are refreshed.
    for (verb, text) in [("resume", "Pause"), ("pause", "Resume"), ("resume", "Pause")] {
        web.post_json(&format!("/api/v1/groups/{group}/{verb}"), &json!({}));
        browser.until(verb, &button(text));
    }
    ["1", "2"].iter().for_each(|it| open(it));
    browser.shows("2 completed");
    assert_eq!(browser.complaints, [] as [&str; 0]);
}

#[test]
fn a_log_that_grows_is_read_in_peace_and_followed_at_its_end() {
    let web = Web::start();
    let Some(mut browser) = let_in(&web) else { return };
    let (group, open) = gated(&web, TALKATIVE, &["x"]);
    let run = web.get(&format!("/api/v1/runs?group={group}")).json()["runs"][0]["id"].clone();
    let step = web.get(&format!("/api/v1/runs/{run}")).json()["steps"][0]["id"].clone();
    browser.open(&web.url(&format!("/#/s{step}")));
    browser.shows("line 200");
    let end = "(it => it.scrollTop > 100 && it.scrollTop + it.clientHeight >= it.scrollHeight - 4)(document.querySelector('pre.log'))";
    browser.until("it opens at its end", end);
    browser.eval("void (window.pre = document.querySelector('pre.log'), pre.scrollTop = 60, pre.focus({ preventScroll: true }), getSelection().setBaseAndExtent(pre.firstChild, 0, pre.firstChild, 6))");
    open("1");
    browser.shows("more 1");
    assert_eq!(
        browser.eval("[pre.isConnected, pre.scrollTop, document.activeElement === pre, String(getSelection())]"),
        json!([true, 60, true, "line 1"])
    );
    browser.eval("void (pre.scrollTop = pre.scrollHeight)");
    open("2");
    browser.shows("more 2");
    browser.until("the end is followed", end);
    wait_for_group(&web, group);
    browser.open("about:blank#");
    browser.open(&web.url(&format!("/#/s{step}")));
    browser.shows("more 2");
    browser.until("the log of a step that failed opens at its end", end);
    assert_eq!(browser.complaints, [] as [&str; 0]);
}

#[test]
fn a_key_does_nothing_that_the_page_does_not_offer() {
    let web = Web::start();
    let flow = web.home().join("f.yaml");
    std::fs::write(&flow, "id: f\nsteps: [{ name: a, uses: windlass/noop }]\n").unwrap();
    assert!(web.windlass(&["submit", flow.to_str().unwrap()]).output().unwrap().status.success());
    let Some(mut browser) = let_in(&web) else { return };
    browser.eval("location.hash = '#/g1'");
    browser.until("it has ended", "document.querySelector('.head .status.completed')");
    for key in ["c", "p", "t", "n", "b"] {
        browser.press(key);
        assert_eq!(browser.eval("document.querySelector('dialog[open]') === null && location.hash"), "#/g1", "{key}");
    }
}

#[test]
fn a_log_stays_the_log_of_its_stream_when_another_one_comes_before_it() {
    let web = Web::start();
    let flow = web.home().join("f.yaml");
    let run =
        "seq 1 200 >&2; until test -e go; do sleep 0.02; done; echo hello; until test -e gone; do sleep 0.02; done";
    std::fs::write(&flow, format!("id: f\nsteps: [{{ name: a, run: '{run}' }}]\n")).unwrap();
    let mut submit = web.windlass(&["submit", flow.to_str().unwrap()]);
    assert!(submit.current_dir(web.home()).output().unwrap().status.success());
    let Some(mut browser) = let_in(&web) else { return };
    browser.eval("location.hash = '#/s1'");
    browser.until(
        "what it printed is there",
        "document.querySelector('pre[aria-label=stderr]')?.textContent.includes('200')",
    );
    browser.eval("window.kept = document.querySelector('pre[aria-label=stderr]'); kept.scrollTop = 40");
    std::fs::write(web.home().join("go"), "").unwrap();
    browser.until("the other stream is there", "document.querySelector('pre[aria-label=stdout]')");
    let same = "kept.isConnected && kept.getAttribute('aria-label') === 'stderr' && kept.scrollTop === 40";
    assert_eq!(browser.eval(same), true);
    std::fs::write(web.home().join("gone"), "").unwrap();
}
