//! The page's indicator of its connection: live, stopping, not responding, signed out; one at a time.

use super::{
    driver::Browser,
    let_in, submit,
    support::binary::Running,
    web::{PATIENCE, Web, until},
};
use crate::support::binary::Windlass;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;
use std::{process::Stdio, time::Instant};

/// Records every state that the page shows from now on.
fn watch(browser: &mut Browser) {
    browser.eval(
        "void (window.seen = [], window.look = () => {
            const now = `${document.getElementById('live').className}: ${banner.hidden ? '' : banner.innerText.trim()}`;
            if (seen.at(-1) !== now) seen.push(now);
        }, look(), new MutationObserver(look).observe(document.body, { subtree: true, childList: true, attributes: true, characterData: true }))",
    );
}

/// Records pending timers and every stream from now on.
const ARMED: &str = "void (() => {
  window.armed = new Set();
  window.streams = [];
  const [set, clear, ask] = [setTimeout, clearTimeout, fetch];
  window.setTimeout = (work, ms) => {
    const id = set(() => { armed.delete(id); work(); }, ms);
    armed.add(id);
    return id;
  };
  window.clearTimeout = (id) => { armed.delete(id); clear(id); };
  window.fetch = (path, options) => {
    if (path.startsWith('/api/v1/events')) streams.push(options.signal);
    return ask(path, options);
  };
})()";

/// The number of requests that the page has made.
const REQUESTS: &str = "performance.getEntriesByType('resource').length";

fn wait_for_requests(browser: &mut Browser, more: i64) {
    let before = browser.eval(REQUESTS).as_i64().unwrap();
    browser.until("it asks again", &format!("{REQUESTS} >= {}", before + more));
}

fn signal(web: &Web, signal: Signal) {
    kill_process(Pid::from_child(&web.child), signal).unwrap();
}

/// Starts the daemon on the same address, once it is free.
pub fn serve_again(home: &std::path::Path, address: &str) -> Running {
    until("the address is free again", || {
        let mut command = Windlass::on(home);
        let mut child = command.args(["serve", "--listen", address]).stdout(Stdio::null()).spawn().unwrap();
        let deadline = Instant::now() + PATIENCE;
        loop {
            if std::net::TcpStream::connect(address).is_ok() {
                return Some(child);
            }
            if child.try_wait().unwrap().is_some() || Instant::now() > deadline {
                return None;
            }
        }
    })
}

#[test]
fn while_it_drains_the_page_says_so_calmly() {
    let web = Web::start();
    let Some(mut browser) = let_in(&web) else { return };
    submit(&web, "id: slow\nsteps: [{ name: wait, run: 'trap \"\" TERM; sleep 600' }]", &["x"], json!({}));
    browser.shows("slow");
    browser.until("it runs", "document.querySelector('td .status.running')");
    watch(&mut browser);
    signal(&web, Signal::TERM);
    browser.shows("windlass is stopping; 1 step may finish");
    wait_for_requests(&mut browser, 6);
    browser.picture("stopping-desktop-light");
    let seen = browser.eval("seen");
    assert_eq!(
        seen,
        json!(["live live: ", "live stopping: windlass is stopping; 1 step may finish."]),
        "no other state in between"
    );
}

#[test]
fn a_daemon_that_hangs_is_noticed_and_one_that_wakes_is_live_again() {
    let web = Web::start();
    let Some(mut browser) = let_in(&web) else { return };
    browser.shows("No group yet");
    signal(&web, Signal::STOP);
    browser.shows("not responding");
    browser.shows("Can't reach windlass");
    watch(&mut browser);
    wait_for_requests(&mut browser, 2);
    assert_eq!(browser.eval("seen.filter(it => !it.startsWith('live silent: '))"), json!([]));
    browser.picture("hangs-desktop-light");
    signal(&web, Signal::CONT);
    browser.until("it is live", "document.getElementById('live').className === 'live live' && banner.hidden");
    submit(&web, "id: after\nname: After the sleep\nsteps: [{ name: one, run: 'true' }]", &["x"], json!({}));
    browser.shows("After the sleep");
}

#[test]
fn a_session_that_ended_is_told_of_once_and_nothing_is_tried_any_more() {
    let home = tempfile::tempdir().unwrap();
    let mut web = Web::on(home.path(), &[]);
    let Some(mut browser) = let_in(&web) else { return };
    browser.shows("No group yet");
    let address = web.address.to_string();
    web.terminate();
    browser.shows("not responding");
    browser.eval(ARMED);
    let served = serve_again(home.path(), &address);
    browser.shows("Your session has ended");
    browser.until("one word", "document.getElementById('live').innerText === 'signed out'");
    browser.until("nothing waits to be tried", "armed.size === 0");
    assert_eq!(browser.eval("streams.every(it => it.aborted)"), true);
    assert_eq!(browser.eval("banner.innerText.includes('reach windlass')"), false);
    // Signing in from another window also signs in this one.
    let link = web.send("POST", "/api/v1/session", &[("authorization", &web.bearer())], b"").json();
    let here = browser.turn_to("");
    browser.turn_to(&here);
    let other = browser.another_window(&web.url(link["path"].as_str().unwrap()));
    browser.turn_to(&other);
    browser.shows("No group yet");
    browser.turn_to(&here);
    browser.until("it is live", "document.getElementById('live').className === 'live live' && banner.hidden");
    drop(served);
}

#[test]
fn many_windows_at_once_are_all_live_and_all_see_what_happens() {
    let web = Web::start();
    let Some(mut browser) = let_in(&web) else { return };
    let url = web.url("/#/groups");
    let windows: Vec<String> = (0..7).map(|_| browser.another_window(&url)).collect();
    let live = "document.getElementById('live').className === 'live live' && banner.hidden";
    for window in &windows {
        browser.turn_to(window);
        browser.until("it is live", live);
        assert_eq!(browser.eval("document.visibilityState"), "visible");
    }
    submit(&web, "id: after\nname: Seen by all\nsteps: [{ name: one, run: 'true' }]", &["x"], json!({}));
    for window in &windows {
        browser.turn_to(window);
        browser.shows("Seen by all");
        browser.until("it is live", live);
    }
}

#[test]
fn the_token_signs_in_and_a_new_tab_has_the_session_of_its_neighbours_until_one_signs_out() {
    let web = Web::start();
    let Some(mut browser) = Browser::start() else { return };
    browser.open(&web.url("/#/health"));
    browser.shows("windlass ui");
    browser.until("the form is there", "document.activeElement.id === 'token'");
    browser.picture("sign-in-desktop-light");
    browser.screen(390, 844, true);
    assert_eq!(browser.eval("document.documentElement.scrollWidth <= innerWidth"), true);
    browser.picture("sign-in-phone-dark");
    browser.screen(1280, 860, false);
    browser.type_text("wrong");
    browser.press("Enter");
    browser.shows("Wrong token.");
    browser.eval("document.getElementById('token').value = ''");
    browser.type_text(&web.token);
    browser.press("Enter");
    browser.shows("live");
    browser.shows("Health");
    assert_eq!(browser.eval("document.cookie + Object.keys(localStorage).length"), "0");
    let here = browser.turn_to("");
    browser.turn_to(&here);
    let tab = browser.another_window(&web.url("/#/workers"));
    browser.turn_to(&tab);
    browser.shows("live");
    browser.shows("alive");
    browser.click("#out");
    browser.shows("You are signed out.");
    assert_eq!(browser.eval("sessionStorage.getItem('windlass-session')"), serde_json::Value::Null);
    browser.turn_to(&here);
    browser.shows("Your session has ended.");
    browser.eval("location.reload()");
    browser.until("nothing is kept", "document.activeElement.id === 'token'");
}

#[test]
fn a_group_is_exported_by_a_browser_that_is_signed_in() {
    let web = Web::start();
    let Some(mut browser) = let_in(&web) else { return };
    let group = submit(&web, "id: one\nsteps: [{ name: one, run: 'true' }]", &["x"], json!({}));
    super::wait_for_group(&web, group);
    browser.eval("void (URL.createObjectURL = (it) => { it.text().then((text) => (window.exported = JSON.parse(text))); return '#'; }, HTMLAnchorElement.prototype.click = function () { window.saved = this.download; })");
    browser.eval(&format!("location.hash = '#/g{group}'"));
    browser.until(
        "it can be exported",
        "[...document.querySelectorAll('.actions button')].some(it => it.innerText === 'Export')",
    );
    browser.eval("[...document.querySelectorAll('.actions button')].find(it => it.innerText === 'Export').click()");
    browser.until("it is saved", "window.exported && window.saved");
    assert_eq!(browser.eval("[saved, exported.runs.length]"), json!([format!("g{group}.json"), 1]));
}
