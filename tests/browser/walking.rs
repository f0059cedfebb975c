//! Navigation: where the focus goes, what is left behind, and links into the page.

use super::{let_in, submit, web::Web};
use serde_json::json;

const SLOW: &str = "id: slow\nname: Slow work\nsteps: [{ name: wait, run: 'sleep 600' }]";

#[test]
fn the_skip_link_leads_to_the_content_and_leaves_the_address_alone() {
    let web = Web::start();
    let Some(mut browser) = let_in(&web) else { return };
    browser.press("6");
    browser.shows("free disk space");
    browser.eval("document.querySelector('.skip').focus()");
    browser.press("Enter");
    browser.until("the content has the focus", "document.activeElement.id === 'main'");
    assert_eq!(browser.eval("location.hash"), "#/health");
    browser.eval("void (window.before = true, location.reload())");
    browser.until("it is loaded anew", "!window.before && document.readyState === 'complete'");
    browser.shows("free disk space");
}

#[test]
fn a_question_does_not_follow_to_another_place() {
    let web = Web::start();
    let Some(mut browser) = let_in(&web) else { return };
    let group = submit(&web, SLOW, &["x"], json!({}));
    browser.shows("Slow work");
    browser.click("a.rowlink");
    browser.shows("1 step running");
    browser.press("c");
    browser.shows(&format!("Cancel g{group}?"));
    browser.eval("history.back()");
    browser.until("the list is back", "location.hash !== '#/g1' && document.querySelector('td .bar')");
    browser.until("the question is gone", "!document.querySelector('dialog')");
    assert!(web.get(&format!("/api/v1/groups/{group}")).json()["ended"].is_null(), "nothing was confirmed");
}

#[test]
fn a_new_place_begins_at_its_top_with_the_focus_on_its_heading() {
    let web = Web::start();
    let Some(mut browser) = let_in(&web) else { return };
    let items: Vec<String> = (0..120).map(|at| format!("item {at}")).collect();
    submit(&web, SLOW, &items.iter().map(String::as_str).collect::<Vec<_>>(), json!({}));
    browser.shows("Slow work");
    browser.press("j");
    browser.press("Enter");
    let heading = "document.activeElement.matches('h1') && document.activeElement.innerText.includes('Slow work')";
    browser.until("the heading has the focus", heading);
    browser.shows("item 49");
    browser.eval("scrollTo(0, 9999)");
    browser.until("it is at the bottom", "scrollY > 300");
    browser.eval("document.querySelector('[data-key-of=n]').focus()");
    browser.press("Enter");
    browser.shows("item 99");
    browser.until("the heading has the focus again", &format!("scrollY === 0 && {heading}"));
    // A filter is used repeatedly, so it keeps the focus.
    browser.eval("document.querySelector('.filters a:nth-child(4)').focus()");
    browser.press("Enter");
    browser.until("the filter is set", "document.querySelector('.filters [aria-current]').innerText === 'pending'");
    assert_eq!(browser.eval("document.activeElement.innerText"), "pending");
    // The whole row is a link to its run.
    browser.click("tbody tr td:nth-child(2)");
    browser.until("the run is shown", "location.hash.startsWith('#/r')");
}

#[test]
fn back_leads_to_where_a_list_was_left() {
    let web = Web::start();
    let Some(mut browser) = let_in(&web) else { return };
    let items: Vec<String> = (0..120).map(|at| format!("item {at}")).collect();
    submit(&web, SLOW, &items.iter().map(String::as_str).collect::<Vec<_>>(), json!({}));
    browser.open(&web.url("/#/g1"));
    browser.shows("item 49");
    browser.eval("scrollTo(0, 700)");
    browser.eval("document.querySelector('a[href=\"#/r30\"]').focus({ preventScroll: true })");
    assert!(browser.eval("scrollY").as_i64() > Some(300));
    // Relative to the window: the content above the list may have grown in the meantime.
    let top = "Math.round(document.querySelector('a[href=\"#/r30\"]').getBoundingClientRect().top)";
    let left_at = browser.eval(top);
    browser.press("Enter");
    browser.until(
        "the run is shown",
        "location.hash === '#/r30' && document.querySelector('h1').innerText.includes('item 29')",
    );
    browser.until("from its top", "scrollY === 0");
    let there = format!("document.activeElement.matches('a[href=\"#/r30\"]') && Math.abs({top} - {left_at}) <= 1");
    browser.eval("history.back()");
    browser.until("it is as it was left", &there);
    browser.eval("history.forward()");
    browser.until("the run is shown again", "document.querySelector('h1').innerText.includes('item 29')");
    browser.eval("history.back()");
    browser.until("it is as it was left again", &there);
    browser.eval("void (window.before = true, location.reload())");
    browser.until("it is loaded anew", "!window.before && document.readyState === 'complete'");
    browser.until("where it was", &there);
    assert_eq!(browser.complaints, [] as [&str; 0]);
}

#[test]
fn a_link_that_was_opened_already_leads_a_browser_that_is_let_in_to_the_page() {
    let web = Web::start();
    let Some(mut browser) = let_in(&web) else { return };
    browser.open("about:blank#");
    let link = web.link();
    assert_eq!(web.open_session(&link).status, 201);
    browser.open(&web.url(&link));
    browser.shows("No group yet");
    assert_eq!(browser.eval("location.pathname"), "/");
    assert_eq!(web.open_session(&link).status, 401, "nobody else is let in");
}

#[test]
fn a_hit_is_opened_to_its_whole_text_and_only_the_database_that_was_asked_for_is_searched() {
    let web = Web::start();
    let Some(mut browser) = let_in(&web) else { return };
    let docs = web.home().join("docs");
    std::fs::create_dir(&docs).unwrap();
    let filler = "The drum turns slowly and the pawl falls into the ratchet. ".repeat(8);
    let text = format!("# Hand winch\n\nA rope is wound on the drum. {filler} The brake is released last.\n");
    std::fs::write(docs.join("winch.md"), text).unwrap();
    let ingest = web.windlass(&["ingest", "--detach", docs.to_str().unwrap()]).output().unwrap();
    assert!(ingest.status.success(), "{}", String::from_utf8_lossy(&ingest.stderr));
    super::wait_for_group(&web, 1);
    browser.open(&web.url("/#/search?q=rope"));
    browser.shows("wound on the drum");
    assert_eq!(browser.eval("document.body.innerText.includes('released last')"), false);
    browser.press("j");
    browser.press("Enter");
    browser.shows("The brake is released last.");
    assert_eq!(browser.eval("document.activeElement.getAttribute('aria-expanded')"), "true");
    browser.eval("document.querySelector('.path button').click()");
    browser.until(
        "the path is copied or selected",
        "document.querySelector('.path button').innerText === 'Copied' || String(getSelection()).endsWith('winch.md')",
    );
    browser.press("Enter");
    browser.until("it is closed", "!document.body.innerText.includes('released last')");
    browser.open(&web.url("/#/search?q=rope&db=nope"));
    browser.shows("No vector database nope");
    assert_eq!(browser.eval("document.querySelectorAll('.hits li').length"), 0);
    browser.click(".empty a");
    browser.shows("wound on the drum");
    assert_eq!(browser.complaints, [] as [&str; 0]);
}

#[test]
fn a_document_is_called_by_its_name_and_what_is_not_seen_is_marked() {
    let web = Web::start();
    let Some(mut browser) = let_in(&web) else { return };
    let items = json!([{"name": "hand-winch.md", "source": "/srv/docs"}, {"uri": "file:///a/b.txt"}, "plain \u{202e}txt", "4", "5", "6", "7"]);
    let definition = "id: named\nsteps: [{ name: no, run: 'exit 3' }]";
    let body = json!({"definition": definition, "items": items, "params": {"depth": 3, "deep": {"a": 1}}});
    let answer = web.post_json("/api/v1/groups", &body);
    assert_eq!(answer.status, 201, "{}", answer.text());
    super::wait_for_group(&web, 1);
    browser.open(&web.url("/#/g1"));
    browser.until("the runs are named", "['hand-winch.md', 'file:///a/b.txt', 'plain \u{27e8}U+202E\u{27e9}txt'].every(name => [...document.querySelectorAll('tbody td')].some(it => it.innerText === name))");
    browser.shows("and 6 more");
    browser.until("each parameter stands alone", "[...document.querySelectorAll('.parameters dt, .parameters dd')].map(it => it.innerText).join(' ') === 'deep {\"a\":1} depth 3' || [...document.querySelectorAll('.parameters dt, .parameters dd')].map(it => it.innerText).join(' ') === 'depth 3 deep {\"a\":1}'");
    browser.click("tbody tr a");
    browser.until("the run is named", "document.querySelector('h1').innerText === 'r1 hand-winch.md'");
    browser.shows("Ended");
    assert_eq!(browser.complaints, [] as [&str; 0]);
}

#[test]
fn a_place_that_is_not_there_is_told_and_left() {
    let web = Web::start();
    let Some(mut browser) = let_in(&web) else { return };
    browser.open(&web.url("/#/g99999999999999999999999"));
    browser.shows("Nothing here.");
    browser.open(&web.url("/#/g777"));
    browser.until("the view says so", "document.querySelector('main .empty').innerText.includes('777')");
    browser.open(&web.url("/#/groups?status=BOGUS"));
    browser.until("the banner says so", "!banner.hidden && banner.innerText.includes('BOGUS')");
    browser.click(".filters a");
    browser.shows("No group yet");
    browser.until("the banner is gone", "banner.hidden");
}
