//! What the page says about windlass itself: live, stopping, not answering, not let in; one thing at a time.

use super::{
    Ended,
    driver::Browser,
    let_in, submit,
    web::{self, PATIENCE, Web, until},
};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;
use std::{process::Stdio, time::Instant};

/// Writes down from now on every state that the page shows.
fn watch(browser: &mut Browser) {
    browser.eval(
        "void (window.seen = [], window.look = () => {
            const now = `${document.getElementById('live').className}: ${banner.hidden ? '' : banner.innerText.trim()}`;
            if (seen.at(-1) !== now) seen.push(now);
        }, look(), new MutationObserver(look).observe(document.body, { subtree: true, childList: true, attributes: true, characterData: true }))",
    );
}

/// Keeps from now on the timers that have yet to fire, and every stream.
const ARMED: &str = "void (() => {
  window.armed = new Set();
  window.sources = [];
  const [set, clear, Source] = [setTimeout, clearTimeout, EventSource];
  window.setTimeout = (work, ms) => {
    const id = set(() => { armed.delete(id); work(); }, ms);
    armed.add(id);
    return id;
  };
  window.clearTimeout = (id) => { armed.delete(id); clear(id); };
  window.EventSource = class extends Source {
    constructor(url) { super(url); sources.push(this); }
  };
})()";

/// How often the page has asked for something so far.
const ASKED: &str = "performance.getEntriesByType('resource').length";

fn wait_for_requests(browser: &mut Browser, more: i64) {
    let before = browser.eval(ASKED).as_i64().unwrap();
    browser.until("it asks again", &format!("{ASKED} >= {}", before + more));
}

fn signal(web: &Web, signal: Signal) {
    kill_process(Pid::from_child(&web.child), signal).unwrap();
}

/// Starts the daemon on the same address, once it is free.
pub fn serve_again(home: &std::path::Path, address: &str) -> Ended {
    until("the address is free again", || {
        let mut command = web::windlass(home);
        let mut child = Ended(command.args(["serve", "--listen", address]).stdout(Stdio::null()).spawn().unwrap());
        let deadline = Instant::now() + PATIENCE;
        loop {
            if std::net::TcpStream::connect(address).is_ok() {
                return Some(child);
            }
            if child.0.try_wait().unwrap().is_some() || Instant::now() > deadline {
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
    browser.shows("not answering");
    browser.shows("windlass does not answer");
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
    browser.shows("not answering");
    browser.eval(ARMED);
    // Another token: no session of before is known.
    std::fs::write(home.path().join("serve.token"), "an-entirely-different-token-of-some-length\n").unwrap();
    let served = serve_again(home.path(), &address);
    browser.shows("Your browser is not let in any more");
    browser.until("one word", "document.getElementById('live').innerText === 'not let in'");
    browser.until("nothing waits to be tried", "armed.size === 0");
    assert_eq!(browser.eval("sources.every(it => it.readyState === EventSource.CLOSED)"), true);
    assert_eq!(browser.eval("banner.innerText.includes('does not answer')"), false);
    // Let in by another window, it finds that out as soon as it reads something.
    let bearer = ("authorization", "Bearer an-entirely-different-token-of-some-length");
    let link = web.send("POST", "/api/v1/session", &[bearer], b"").json();
    let here = browser.turn_to("");
    browser.turn_to(&here);
    let other = browser.another_window(&web.url(link["path"].as_str().unwrap()));
    browser.turn_to(&other);
    browser.shows("No group yet");
    browser.turn_to(&here);
    browser.press("r");
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
