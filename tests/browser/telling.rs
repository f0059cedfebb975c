//! What the page says is true: existing paths, commands for this home, the reason on a phone, hooks, running work.

use super::{
    let_in, submit, wait_for_group,
    web::{Web, until},
};
use serde_json::json;
use std::{fs, path::Path};

#[test]
fn a_hit_is_shown_and_copied_as_its_file_is_called() {
    let web = Web::start();
    let Some(mut browser) = let_in(&web) else { return };
    let docs = web.home().join("docs");
    fs::create_dir(&docs).unwrap();
    fs::write(docs.join("Résumé of 100%.md"), "A rope is wound on the drum.\n").unwrap();
    let ingest = web.windlass(&["ingest", "--detach", docs.to_str().unwrap()]).output().unwrap();
    assert!(ingest.status.success(), "{}", String::from_utf8_lossy(&ingest.stderr));
    wait_for_group(&web, 1);
    browser.open(&web.url("/#/search?q=rope"));
    browser.shows("wound on the drum");
    let shown = browser.eval("document.querySelector('.where .text').innerText");
    assert!(Path::new(shown.as_str().unwrap()).is_file(), "{shown}");
    browser.eval("void (navigator.clipboard.writeText = async (it) => { window.copied = it; })");
    browser.click(".hits .rowlink");
    browser.click(".path button");
    browser.shows("Copied");
    assert_eq!(browser.eval("copied"), shown);
    browser.until("it can be copied again", "document.querySelector('.path button').innerText === 'Copy'");
    let printed = web.windlass(&["search", "rope"]).output().unwrap();
    let printed = String::from_utf8(printed.stdout).unwrap();
    assert!(printed.contains(shown.as_str().unwrap()), "{printed}");
    assert_eq!(browser.complaints, [] as [&str; 0]);
}

#[test]
fn commands_on_the_page_are_for_the_home_of_this_daemon() {
    let directory = tempfile::tempdir().unwrap();
    let home = directory.path().join("my home");
    fs::create_dir(&home).unwrap();
    let web = Web::on(&home, &[]);
    let Some(mut browser) = let_in(&web) else { return };
    browser.eval("void (navigator.clipboard.writeText = async (it) => { window.copied = it; })");
    let call = format!("windlass --home '{}'", home.display());
    // Short to read, complete to copy.
    browser.shows("windlass ingest DIRECTORY");
    assert_eq!(browser.eval("document.body.innerText.includes('--home')"), false);
    browser.click(".empty button.copy");
    browser.until("it is copied", "document.querySelector('.empty button.copy').innerText === 'Copied'");
    assert_eq!(browser.eval("copied"), format!("{call} ingest DIRECTORY"));
    assert_eq!(web.get("/api/v1/status").json()["call"], call);
    let group = submit(&web, "id: no\nsteps: [{ name: no, run: 'exit 3' }]", &["x"], json!({}));
    wait_for_group(&web, group);
    browser.shows(&format!("windlass why g{group}"));
    browser.click(".problems a[href='#/g1']");
    browser.shows("windlass retry r1");
    browser.open(&web.url("/#/s1"));
    browser.shows("windlass retry r1");
    browser.until("every command can be copied", "[...document.querySelectorAll('main code')].filter(it => it.innerText.startsWith('windlass ')).every(it => it.parentElement.querySelector('.copy'))");
    browser.eval("[...document.querySelectorAll('.typed')].find(it => it.innerText.includes('retry r1')).querySelector('.copy').click()");
    browser.until("it is copied", &format!("copied === {}", serde_json::Value::from(format!("{call} retry r1"))));
    assert_eq!(browser.complaints, [] as [&str; 0]);
    // It is left out if the user reaches this home without it.
    let mut status = web.windlass(&["status", "--json"]);
    let link = directory.path().join("windlass");
    std::os::unix::fs::symlink(&home, &link).unwrap();
    let status = status.env("XDG_DATA_HOME", directory.path()).output().unwrap();
    let status: serde_json::Value = serde_json::from_slice(&status.stdout).unwrap();
    assert_eq!(status["call"], "windlass");
}

#[test]
fn a_failed_run_says_why_on_a_phone() {
    let web = Web::start();
    let Some(mut browser) = let_in(&web) else { return };
    browser.screen(390, 844, false);
    let group = submit(&web, "id: no\nsteps: [{ name: no, run: 'exit 3' }]", &["x"], json!({}));
    wait_for_group(&web, group);
    browser.open(&web.url("/#/r1"));
    browser.until("the reason is seen", "document.querySelector('main table').innerText.includes('exit code 3')");
    browser.picture("why-phone-light");
    browser.screen(390, 844, true);
    browser.picture("why-phone-dark");
}

#[test]
fn a_hook_that_failed_is_told_of_by_its_group_and_by_the_status() {
    let web = Web::start();
    let Some(mut browser) = let_in(&web) else { return };
    let text = "id: hooked\nsteps: [{ name: a, run: 'true' }]\nhooks:\n  group_end: [{ name: tell, run: 'exit 7', retries: 1, backoff: { initial: 5ms } }]\n  step_end: [{ name: note, run: 'exit 8' }]";
    let group = submit(&web, text, &["x"], json!({}));
    let address = format!("/api/v1/groups/{group}");
    let hooks = until("both hooks failed", || {
        let found = web.get(&address).json()["failed_hooks"].clone();
        (found.as_array().unwrap().len() == 2).then_some(found)
    });
    assert_eq!((&hooks[0]["name"], &hooks[0]["event"]), (&json!("tell"), &json!("group_end")), "the newest first");
    assert_eq!((&hooks[0]["attempts"], &hooks[0]["run"], &hooks[1]["step"]), (&json!(2), &json!(null), &json!(1)));
    browser.shows(&format!("hook tell (group_end) of g{group} failed: exit code 7"));
    browser.open(&web.url(&format!("/#/g{group}")));
    browser.shows("hook tell (group_end) failed");
    browser.shows("exit code 7");
    browser.shows("hook note (step_end) of s1 failed");
    browser.picture("hooks-desktop-light");
    browser.click(".why a[href='#/s1']");
    browser.until("the step is shown", "document.querySelector('h1').innerText.includes('s1')");
    let shown = web.windlass(&["show", "g1"]).output().unwrap();
    let shown = String::from_utf8(shown.stdout).unwrap();
    assert!(shown.contains("hook tell (group_end), ") && shown.contains("after 2 attempts: exit code 7"), "{shown}");
    assert!(shown.contains("hook note (step_end) of s1"), "{shown}");
    assert_eq!(browser.complaints, [] as [&str; 0]);
}

/// Fails once with a message; then prints more than the page receives of a running step, and waits.
const LOUD: &str = "id: loud\nsteps: [{ name: loud, retries: 1, backoff: { initial: 5ms }, run: 'test -e {{ params.gate }}-tried || { touch {{ params.gate }}-tried; echo the first words; exit 3; }; seq 20000; while ! test -e {{ params.gate }}; do sleep 0.05; done' }]";

#[test]
fn the_log_of_a_running_step_is_shown_whole_at_its_end_and_earlier_ones_are_read_once() {
    let web = Web::start();
    let Some(mut browser) = let_in(&web) else { return };
    let gate = web.home().join("gate");
    let group = submit(&web, LOUD, &["x"], json!({"gate": gate.to_str().unwrap()}));
    browser.open(&web.url("/#/s1"));
    browser.shows("before this appear when it ends");
    browser.shows("the first words");
    let logs = "performance.getEntriesByType('resource').filter(it => it.name.includes('/logs?from=')).length";
    browser.until("only what may have changed is read", &format!("{logs} > 1"));
    assert_eq!(browser.eval("document.body.innerText.includes('the first words')"), true);
    let tokens: Vec<i64> = {
        let step = web.get("/api/v1/steps/s1").json();
        step["attempts_all"].as_array().unwrap().iter().map(|it| it["token"].as_i64().unwrap()).collect()
    };
    let later = web.get(&format!("/api/v1/steps/s1/logs?from={}", tokens[0] + 1)).json();
    let found: Vec<i64> = later["logs"].as_array().unwrap().iter().map(|it| it["token"].as_i64().unwrap()).collect();
    assert_eq!(found, [tokens[1]]);
    fs::write(&gate, "").unwrap();
    wait_for_group(&web, group);
    browser.until("it is whole", "[...document.querySelectorAll('pre.log')].some(it => it.textContent.startsWith('1\\n2\\n') && it.textContent.endsWith('20000\\n'))");
    assert_eq!(browser.eval("document.body.innerText.includes('before this')"), false);
    browser.shows("the first words");
    assert_eq!(browser.complaints, [] as [&str; 0]);
}

#[test]
fn an_action_is_named_at_once_and_when_nobody_answers_it_is_not_known_whether_it_was_done() {
    let web = Web::start();
    let Some(mut browser) = let_in(&web) else { return };
    submit(&web, "id: slow\nsteps: [{ name: wait, run: 'sleep 600' }]", &["x"], json!({}));
    browser.open(&web.url("/#/g1"));
    browser.shows("1 step running");
    browser.eval(
        "void (window.real = fetch, window.fetch = (path, options) => options?.method !== 'POST' ? real(path, options) : \
         new Promise((done, lost) => { window.lose = () => lost(new TypeError('gone')); window.pass = () => done(real(path, options)); }))",
    );
    browser.press("c");
    browser.click("dialog .danger");
    browser.until("it is tried", "said.innerText.includes('Cancel g1 …')");
    browser.eval("lose()");
    browser.until("it is named", "said.innerText.startsWith('Cancel g1: no response. The result')");
    browser.picture("unknown-desktop-light");
    browser.press("c");
    browser.click("dialog .danger");
    browser.until("it is tried again", "said.innerText.includes('Cancel g1 …')");
    browser.eval("pass()");
    browser.shows("is being cancelled");
    wait_for_group(&web, 1);
}

#[test]
fn the_focus_is_not_lost_with_a_button_that_was_used_up() {
    let web = Web::start();
    let Some(mut browser) = let_in(&web) else { return };
    submit(&web, "id: slow\nsteps: [{ name: wait, run: 'sleep 600' }]", &["x"], json!({}));
    browser.open(&web.url("/#/g1"));
    browser.shows("1 step running");
    browser.eval("document.querySelector('[data-key-of=c]').focus()");
    browser.press("Enter");
    browser.click("dialog .danger");
    wait_for_group(&web, 1);
    browser.until("the button has gone", "document.querySelector('[data-key-of=c]').hidden");
    browser.until("the heading has the focus", "document.activeElement.matches('h1')");
}

#[test]
fn the_link_to_more_failures_leads_to_them() {
    let web = Web::start();
    let Some(mut browser) = let_in(&web) else { return };
    browser.screen(390, 844, false);
    let items: Vec<String> = (0..30).map(|at| at.to_string()).collect();
    let items: Vec<&str> = items.iter().map(String::as_str).collect();
    let steps: Vec<String> = (0..30)
        .map(|at| format!("{{ name: 'part-{at:02}', run: '{}' }}", if at == 20 { "exit 3" } else { "true" }))
        .collect();
    let group = submit(&web, &format!("id: wide\nsteps: [{}]", steps.join(", ")), &items, json!({}));
    wait_for_group(&web, group);
    browser.open(&web.url("/#/g1"));
    browser.shows("and 29 more");
    let first = "/^s\\d+ part-20 and 29 more:\\s+it failed/.test(document.querySelector('.why li').innerText)";
    browser.until("the step is named before the others are counted", first);
    let alike = "[...document.querySelectorAll('.why li')].map(it => it.querySelectorAll('a').length)";
    assert_eq!(browser.eval(alike), json!([2]), "what is equal is told once, with a link to the others");
    let reasons = "[...document.querySelectorAll('main table')].some(it => it.innerText.includes('exit code 3'))";
    browser.until("the list of runs has the reason", reasons);
    assert_eq!(browser.eval("document.querySelectorAll('.types > .type').length"), 12);
    assert_eq!(browser.eval("document.querySelector('.types .type').innerText.includes('part-20')"), true);
    browser.picture("wide-phone-light");
    browser.click(".why a[href*=FAILED]");
    let there = "document.activeElement.innerText === 'Runs' && document.activeElement.getBoundingClientRect().top < innerHeight / 2";
    browser.until("the runs are seen", there);
    assert_eq!(browser.eval("document.querySelector('.filters [aria-current]').innerText"), "failed");
    browser.click(".types summary");
    browser.until("the rest is shown", "document.querySelectorAll('details[open] .type').length === 18");
    browser.picture("wide-open-phone-light");
    assert_eq!(browser.complaints, [] as [&str; 0]);
}

#[test]
fn a_step_shows_what_it_ran_and_how_it_is_defined_but_no_secret() {
    let web = Web::start();
    let Some(mut browser) = let_in(&web) else { return };
    let text =
        "id: say\nsteps: [{ name: say, run: 'echo {{ item }} {{ env.KEY }}', env: { KEY: s3cr3t }, retries: 2 }]";
    let group = submit(&web, text, &["ann"], json!({}));
    wait_for_group(&web, group);
    browser.open(&web.url("/#/s1"));
    browser.shows("echo 'ann' ***");
    browser.shows("KEY=***");
    browser.click("details[data-key=definition] summary");
    browser.shows("\"retries\": 2");
    let definition = "document.querySelector('details[data-key=definition]').innerText.includes('s3cr3t')";
    assert_eq!(browser.eval(definition), false);
    assert_eq!(browser.complaints, [] as [&str; 0]);
}

#[test]
fn a_message_about_one_place_does_not_stay_at_another() {
    let web = Web::start();
    let Some(mut browser) = let_in(&web) else { return };
    browser.open(&web.url("/#/groups?status=BOGUS"));
    browser.until("the banner says so", "!banner.hidden && banner.innerText.includes('BOGUS')");
    browser.eval("location.hash = '#/nowhere'");
    browser.shows("Nothing here.");
    browser.until("the banner is gone", "banner.hidden");
}

#[test]
fn small_things_are_as_they_are_meant() {
    let web = Web::start();
    let Some(mut browser) = let_in(&web) else { return };
    let item = format!("a\u{200b}b{}", "x".repeat(10_000));
    let text = "id: held\nsteps: [{ name: hold, resource_key: 'index:main', run: 'echo 1 > {{ out }}/one.txt; echo 2 > {{ out }}/two.txt; sleep 600' }]";
    submit(&web, text, &[&item], json!({}));
    browser.open(&web.url("/#/s1"));
    browser.shows("index:main");
    browser.shows("Runs for");
    assert_eq!(browser.eval("document.body.innerText.includes('Held by')"), false, "it holds its key itself");
    browser.shows("a\u{27e8}U+200B\u{27e9}b");
    assert!(browser.eval("document.querySelector('.facts').offsetHeight").as_i64() < Some(600));
    browser.picture("long-item-desktop-light");
    browser.screen(320, 700, false);
    for place in ["groups", "g1", "r1", "s1", "queues", "workers", "locks", "search", "health"] {
        browser.open(&web.url(&format!("/#/{place}")));
        browser.until("it is shown", "document.querySelector('h1, .search')");
        assert_eq!(browser.eval("document.documentElement.scrollWidth <= innerWidth"), true, "{place}");
    }
    browser.shows("s1 has been running longest, for ");
    browser.picture("health-narrow-light");
    browser.open(&web.url("/#/locks"));
    browser.shows("index:main");
    assert_eq!(browser.eval("[...document.querySelectorAll('th')].every(it => it.textContent.trim())"), true);
    browser.click("td button.danger");
    browser.until("a reason is asked for", "document.querySelector('dialog[open] input')");
    browser.type_text("   ");
    browser.press("Enter");
    assert_eq!(browser.eval("document.querySelector('dialog').open"), true, "spaces are no reason");
    browser.press("Escape");
    browser.screen(1280, 860, false);
    browser.open(&web.url("/#/g1"));
    browser.until("the run is listed", "document.querySelector('tbody tr')");
    for key in ["ctrlKey", "metaKey", "shiftKey"] {
        browser.eval(&format!("document.querySelector('tbody td:nth-child(2)').dispatchEvent(new MouseEvent('click', {{ bubbles: true, {key}: true }}))"));
        assert_eq!(browser.eval("location.hash"), "#/g1", "{key}");
    }
}

#[test]
fn times_are_told_by_the_clock_of_the_server() {
    let web = Web::start();
    let Some(mut browser) = let_in(&web) else { return };
    browser.shows("No group yet");
    browser.eval("void (window.real = Date.now, Date.now = () => real() - 3600000)");
    submit(&web, "id: slow\nsteps: [{ name: wait, run: 'sleep 600' }]", &["x"], json!({}));
    browser.shows("slow");
    let created = "document.querySelector('time').innerText";
    browser.until("it is not of the future", &format!("/^(just now|\\d s ago)$/.test({created})"));
}

#[test]
fn health_is_told_in_sentences_and_tables_and_its_keys_are_behind_the_details() {
    let web = Web::start();
    let Some(mut browser) = let_in(&web) else { return };
    submit(&web, "id: slow\nsteps: [{ name: wait, run: 'sleep 600' }]", &["x"], json!({}));
    browser.open(&web.url("/#/health"));
    browser.shows("windlass is healthy: it starts steps, its database can be written, and the disk has space.");
    browser.shows("1 step is running here in ");
    browser.shows("s1 has been running longest");
    browser.shows("Free disk space");
    browser.shows("any other");
    let raw = "/[a-z]_[a-z]/.test([...document.querySelectorAll('.head, .sentences, .parts')].map(it => it.innerText).join())";
    assert_eq!(browser.eval(raw), false, "names for programs");
    assert_eq!(browser.eval("document.body.innerText.includes('async_task_count')"), false);
    browser.picture("health-closed-desktop-light");
    browser.click("details summary");
    browser.shows("async_task_count");
    browser.eval("document.querySelector('summary').click()");
    assert_eq!(browser.complaints, [] as [&str; 0]);
}

#[test]
fn an_output_is_shown_as_text() {
    let web = Web::start();
    let Some(mut browser) = let_in(&web) else { return };
    let run = r#"printf '"first line\nsecond \"line\""' > {{ out }}/text; printf 'first line\nsecond "line"\n'"#;
    let text = json!({"id": "said", "steps": [{"name": "say", "run": run}]});
    let answer = web.post_json("/api/v1/groups", &json!({"definition": text, "items": ["x"]}));
    assert_eq!(answer.status, 201, "{}", answer.text());
    wait_for_group(&web, 1);
    for place in ["s1", "r1"] {
        browser.open(&web.url(&format!("/#/{place}")));
        let shown =
            "[...document.querySelectorAll('.facts dt')].find(it => it.innerText === 'Output')?.nextSibling.innerText";
        browser.until("it has an output", &format!("{shown}?.includes('second')"));
        let shown = browser.eval(shown);
        assert!(shown.as_str().unwrap().contains("first line\nsecond \"line\""), "{place}: {shown}");
    }
    assert_eq!(browser.complaints, [] as [&str; 0]);
}

/// Points of edges inside a box.
const BEHIND: &str = r#"(() => {
  const boxes = [...document.querySelectorAll(".node rect:first-of-type")].map((it) => it.getBBox());
  const inside = (p) => boxes.some((b) => p.x > b.x + 1 && p.x < b.x + b.width - 1 && p.y > b.y + 1 && p.y < b.y + b.height - 1);
  let found = 0;
  for (const edge of document.querySelectorAll(".edge")) {
    for (let at = 0; at <= edge.getTotalLength(); at += 2) if (inside(edge.getPointAtLength(at))) found += 1;
  }
  const picture = document.querySelector(".graph svg");
  const view = picture.viewBox.baseVal;
  const out = [...document.querySelectorAll(".edge, .node rect")].filter((it) => { const b = it.getBBox(); return b.x < view.x - 1 || b.x + b.width > view.x + view.width + 1 || b.y < view.y - 1 || b.y + b.height > view.y + view.height + 1; });
  return [document.querySelectorAll(".edge").length > 0, found, out.length, picture.getBoundingClientRect().width <= innerWidth];
})()"#;

#[test]
fn no_edge_of_a_graph_passes_behind_a_box() {
    let web = Web::start();
    let Some(mut browser) = let_in(&web) else { return };
    // A need that skips layers, and a layer wider than the screen.
    let mut steps = vec!["{ name: first, run: 'true' }".to_string()];
    steps.push("{ name: second, needs: [first], run: 'true' }".into());
    steps.push("{ name: third, needs: [second], run: 'true' }".into());
    steps.push("{ name: leap, needs: [first, third], run: 'true' }".into());
    let shards: Vec<String> = (0..7).map(|at| format!("shard-{at}")).collect();
    steps.extend(shards.iter().map(|it| format!("{{ name: {it}, needs: [leap, first], run: 'true' }}")));
    steps.push(format!("{{ name: all, needs: [first, {}], run: 'true' }}", shards.join(", ")));
    let group = submit(&web, &format!("id: tangled\nsteps: [{}]", steps.join(", ")), &["x"], json!({}));
    wait_for_group(&web, group);
    for (width, name) in [(1280, "tangled-desktop-light"), (390, "tangled-phone-light"), (320, "tangled-narrow-light")]
    {
        browser.screen(width, 860, false);
        browser.open("about:blank#");
        browser.open(&web.url("/#/r1"));
        browser.until("the graph is drawn", "document.querySelectorAll('svg .node').length === 12");
        assert_eq!(browser.eval(BEHIND), json!([true, 0, 0, true]), "at {width}");
        browser.picture(name);
    }
    assert_eq!(browser.complaints, [] as [&str; 0]);
}

#[test]
fn a_number_that_javascript_would_round_is_shown_with_all_its_digits() {
    let web = Web::start();
    let Some(mut browser) = let_in(&web) else { return };
    let item = r#"{"id": 9007199254740993}"#;
    let flow = "id: long\nsteps: [{ name: say, run: 'printf \"[9007199254740995, \\\"9007199254740992\\\", 1.5]\"' }]";
    let group = submit(&web, flow, &[item], json!({"least": 9_007_199_254_740_997_i64}));
    wait_for_group(&web, group);
    browser.open(&web.url(&format!("/#/g{group}")));
    browser.shows("9007199254740997");
    browser.shows("9007199254740993");
    browser.open(&web.url("/#/r1"));
    browser.shows("9007199254740993");
    browser.shows("9007199254740995");
}
