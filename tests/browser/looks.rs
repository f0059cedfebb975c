//! The look of the page: pictures of every view in both themes and on a phone, contrast, and a hundred thousand runs.

use super::{
    driver::Browser,
    let_in, submit, wait_for_group,
    web::{Web, until},
};
use serde_json::{Value, json};
use std::fs;

const MIXED: &str = "
id: nightly
name: Nightly import
steps:
  - name: download
    run: 'echo downloading {{ item }}; echo 200 OK'
  - name: check-signature
    needs: [download]
    run: 'echo good'
  - name: unpack
    needs: [download]
    retries: 1
    backoff: { initial: 10ms }
    run: 'echo unpacking {{ item }} >&2; case {{ item }} in *broken*) echo unexpected end of file >&2; exit 3;; esac'
  - name: import
    needs: [check-signature, unpack]
    run: 'echo {{ item }} imported'
";

/// A workflow in a workflow, whose steps start runs of their own.
const BOOK: &str = "
id: book
name: Read a book page by page
steps:
  - name: chapter
    for_each: '[\"beginning\", \"end\"]'
    workflow: { id: chapter, steps: [{ name: page-of-a-chapter, for_each: '[1, 2]', run: 'sleep 0.2' }] }
  - { name: join, run: 'wc -l < {{ inputs.chapter.children }}' }
";

const ASK: &str = "
id: site
name: Publish the site
steps:
  - { name: build, run: 'sleep 0.1' }
  - { name: ask, approve: { ask: 'Publish {{ item }} with all of its pictures and its 1,204 pages to the public server?', within: 7d } }
  - { name: publish, run: 'true' }
";

/// Two of four hold what there is, and one start in an hour is allowed.
const SHARE: &str = "
id: share
name: Calls of a server
capacity: { 'server:*': 2 }
steps:
  - { name: call, resources: { 'server:a-host-with-a-long-name.example.org': 1 }, run: 'sleep 600' }
  - { name: count, needs: [], rate: { 'calls of a-host-with-a-long-name.example.org': 1/1h }, run: 'true' }
";

const SCHEDULED: &str =
    "id: nightly-report\nschedule: { cron: '0 2 * * 1-5', zone: Europe/Berlin }\nsteps: [{ name: a, run: 'true' }]\n";
const WATCHED: &str = "id: inbox\non: { files: in, match: ['*.pdf', '*.tif'] }\nsteps: [{ name: a, run: 'true' }]\n";

/// What waits, is shared, or starts by itself.
fn with_flow(web: &Web) {
    let book = submit(web, BOOK, &["moby dick"], json!({}));
    assert_eq!(wait_for_group(web, book)["failed"], 0);
    submit(web, ASK, &["the winter catalogue", "the summer catalogue"], json!({}));
    submit(web, SHARE, &["1", "2", "3", "4"], json!({}));
    for text in [SCHEDULED, WATCHED] {
        let new = json!({ "definition": text, "directory": web.home() });
        assert_eq!(web.post_json("/api/v1/schedules", &new).status, 201);
    }
    let dir = web.home().join("workflows");
    fs::create_dir_all(&dir).unwrap();
    fs::write(
        dir.join("greet.yaml"),
        "id: greet\nsteps: [{ name: a, run: 'echo {{ params.greeting }} {{ item }}' }]\n",
    )
    .unwrap();
    until("the approvals are asked for", || {
        let waiting = web.get("/api/v1/waiting?for=approval").json();
        (waiting["waiting"].as_array().unwrap().len() == 2).then_some(())
    });
}

/// A home with something in every view.
fn furnished() -> Web {
    // Slots for documents in addition to the steps that sleep.
    let web = Web::with("pools = { \"*\" = 8 }\n");
    let docs = web.home().join("docs");
    fs::create_dir(&docs).unwrap();
    let notes = [
        (
            "write-ahead.md",
            "# Write-ahead logging\n\n## Checkpoints\n\nA checkpoint moves pages from the log back into the database file. It runs when the log has grown to a thousand pages.\n",
        ),
        (
            "locking.md",
            "# File locking\n\nA reader holds a shared lock while it reads; a writer needs the reserved lock first.\n",
        ),
    ];
    notes.iter().for_each(|(name, text)| fs::write(docs.join(name), text).unwrap());
    let ingest = web.windlass(&["ingest", "--detach", docs.to_str().unwrap()]).output().unwrap();
    assert!(ingest.status.success(), "{}", String::from_utf8_lossy(&ingest.stderr));
    wait_for_group(&web, 1);
    let items: Vec<String> =
        (0..24).map(|at| format!("archive-{at:03}{}.tar.zst", if at % 9 == 4 { "-broken" } else { "" })).collect();
    let items: Vec<&str> = items.iter().map(String::as_str).collect();
    let nightly = submit(&web, MIXED, &items, json!({}));
    wait_for_group(&web, nightly);
    let small = submit(
        &web,
        "id: hello\nname: Say hello\nsteps: [{ name: hello, run: 'echo hello {{ item }}' }]",
        &["world"],
        json!({}),
    );
    wait_for_group(&web, small);
    let slow = "id: reindex\nname: Rebuild the search index\nsteps: [{ name: index, run: 'sleep 600', resource_key: 'index:main' }, { name: publish, run: 'true' }]";
    submit(&web, slow, &["shard 1", "shard 2", "shard 3"], json!({}));
    let paused = submit(
        &web,
        "id: mail\nname: Send the newsletter\nsteps: [{ name: send, run: 'sleep 600' }]",
        &["a", "b"],
        json!({}),
    );
    web.post_json(&format!("/api/v1/groups/{paused}/pause"), &json!({}));
    with_flow(&web);
    web
}

/// Gives the worker a document to parse, so that it has processes to show; they end after a while without work.
fn show_processes(web: &Web, screen: &str) {
    fs::write(web.home().join("docs").join(format!("{screen}.md")), format!("# Seen on {screen}\n")).unwrap();
    let docs = web.home().join("docs");
    let ingest = web.windlass(&["ingest", "--detach", docs.to_str().unwrap()]).output().unwrap();
    assert!(ingest.status.success(), "{}", String::from_utf8_lossy(&ingest.stderr));
    until("the worker tells of its processes", || {
        let workers = web.get("/api/v1/workers").json();
        workers["workers"][0]["processes"].as_array().is_some_and(|it| !it.is_empty()).then_some(())
    });
}

/// The address of the paused group.
fn newsletter(web: &Web) -> String {
    let groups = web.get("/api/v1/groups").json();
    let found = groups["groups"].as_array().unwrap().iter().find(|it| it["paused"] == true).unwrap();
    format!("/#/g{}", found["id"])
}

/// Every view: its name, its address, and a text that shows that it is loaded.
fn views(web: &Web) -> Vec<(&'static str, String, &'static str)> {
    let groups = web.get("/api/v1/groups").json();
    let named = |name: &str| {
        let all = groups["groups"].as_array().unwrap();
        all.iter().find(|it| it["name"] == name).unwrap_or_else(|| panic!("{groups}"))["id"].as_i64().unwrap()
    };
    let nightly = named("Nightly import");
    let failed = web.get(&format!("/api/v1/runs?group={nightly}&status=FAILED")).json()["runs"][0]["id"].clone();
    let steps = web.get(&format!("/api/v1/runs/{failed}")).json();
    let approval = web.get("/api/v1/waiting?for=approval").json()["waiting"][0]["step"].clone();
    let step = steps["steps"].as_array().unwrap().iter().find(|it| it["status"] == "FAILED").unwrap()["id"].clone();
    vec![
        ("groups", "/#/groups".into(), "Send the newsletter"),
        ("group", format!("/#/g{nightly}"), "Why it failed"),
        ("group-running", format!("/#/g{}", named("Rebuild the search index")), "1 step running"),
        ("run", format!("/#/r{failed}"), "check-signature"),
        ("step", format!("/#/s{step}"), "unexpected end of file"),
        ("queues", "/#/queues".into(), "blocked"),
        ("workers", "/#/workers".into(), "windlass/parse"),
        ("locks", "/#/locks".into(), "index:main"),
        ("search", "/#/search?q=checkpoint+of+the+log".into(), "moves pages"),
        ("health", "/#/health".into(), "free disk space"),
        ("docs", "/docs".into(), "Submits a workflow"),
        ("waiting", "/#/waiting".into(), "1,204 pages"),
        ("approval", format!("/#/s{approval}"), "it waits for an approval"),
        ("tree", format!("/#/g{}", named("Read a book page by page")), "Runs that its steps started"),
        ("schedules", "/#/schedules".into(), "*.tif"),
        ("resources", "/#/resources".into(), "next start"),
        ("start", "/#/start".into(), "Items, one per line"),
    ]
}

/// The lowest contrast of any text with its background (WCAG 2.2, 1.4.3), and that text.
const CONTRAST: &str = r#"(() => {
  const canvas = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
  const rgb = (color) => {
    canvas.clearRect(0, 0, 1, 1);
    canvas.fillStyle = color;
    canvas.fillRect(0, 0, 1, 1);
    return [...canvas.getImageData(0, 0, 1, 1).data];
  };
  const light = (color) => {
    const [r, g, b] = color.slice(0, 3).map((it) => it / 255).map((it) => (it <= 0.04045 ? it / 12.92 : ((it + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const behind = (element) => {
    for (let at = element; at; at = at.parentElement) {
      const color = rgb(getComputedStyle(at).backgroundColor);
      if (color[3] === 255) return color;
    }
    return [255, 255, 255, 255];
  };
  let worst = { ratio: 99 };
  for (const it of document.querySelectorAll("body *")) {
    const own = [...it.childNodes].some((node) => node.nodeType === 3 && node.data.trim());
    if (!own || it.closest("noscript, .hidden, .skip") || !it.getClientRects().length) continue;
    const style = getComputedStyle(it);
    const node = it.closest(".node");
    const back = node ? rgb(getComputedStyle(node.querySelector("rect")).fill) : behind(it);
    const fore = rgb(it instanceof SVGElement ? style.fill : style.color);
    const [a, b] = [light(fore), light(back)].sort((x, y) => y - x);
    const ratio = (a + 0.05) / (b + 0.05);
    if (ratio < worst.ratio) worst = { ratio, text: it.textContent.trim().slice(0, 40), class: it.className.toString() };
  }
  return worst;
})()"#;

/// Elements wider than their container, which the reader must scroll sideways or can't see completely.
const CLIPPED: &str = r#"[...document.querySelectorAll("main *, header *, dialog *")]
  .filter((it) => it.getClientRects().length && !it.closest("svg, .hidden") && !it.matches("input, select"))
  .filter((it) => getComputedStyle(it).overflowX !== "visible" ? it.scrollWidth > it.clientWidth + 1 : it.getBoundingClientRect().right > innerWidth + 1)
  .map((it) => `${it.nodeName} ${it.className} ${it.textContent.trim().slice(0, 60)}`)"#;

fn check(browser: &mut Browser, name: &str) {
    let worst: Value = browser.eval(CONTRAST);
    assert!(worst["ratio"].as_f64().unwrap() >= 4.5, "{name}: {worst}");
    let wide = browser.eval("[document.documentElement.scrollWidth, innerWidth]");
    assert!(wide[0].as_i64() <= wide[1].as_i64(), "{name} scrolls sideways: {wide}");
    assert_eq!(browser.eval(CLIPPED), json!([]), "{name}: something is cut off");
    browser.picture(name);
}

#[test]
fn every_view_is_readable_in_both_themes_and_on_a_phone() {
    let web = furnished();
    let Some(mut browser) = let_in(&web) else { return };
    for (screen, width, height, dark) in [
        ("desktop-light", 1280, 860, false),
        ("desktop-dark", 1280, 860, true),
        ("phone-light", 390, 844, false),
        ("phone-dark", 390, 844, true),
    ] {
        browser.screen(width, height, dark);
        for (name, address, text) in views(&web) {
            // The processes end after a while without work.
            if name == "workers" || name == "health" {
                show_processes(&web, &format!("{name}-{screen}"));
            }
            browser.open("about:blank#");
            browser.open(&web.url(&address));
            browser.shows(text);
            check(&mut browser, &format!("{name}-{screen}"));
        }
        let book = web.get("/api/v1/groups").json();
        let book =
            book["groups"].as_array().unwrap().iter().find(|it| it["definition"] == "book").unwrap()["id"].clone();
        let run = web.get(&format!("/api/v1/runs?group={book}")).json()["runs"][0]["id"].clone();
        browser.open(&web.url(&format!("/#/r{run}")));
        browser.shows("timeline");
        browser.eval("document.querySelector('.timeline').scrollIntoView({ block: 'center' })");
        check(&mut browser, &format!("timeline-{screen}"));
        browser.open(&web.url("/#/waiting"));
        browser.shows("1,204 pages");
        browser.click("td button.danger");
        browser.shows("Your name");
        check(&mut browser, &format!("reject-{screen}"));
        browser.press("Escape");
        browser.open(&web.url("/#/search?q=checkpoint+of+the+log"));
        browser.shows("moves pages");
        browser.press("j");
        browser.press("Enter");
        browser.shows("of the document");
        check(&mut browser, &format!("hit-{screen}"));
        browser.open(&web.url("/#/groups"));
        browser.shows("Send the newsletter");
        browser.press("?");
        browser.shows("next, previous row");
        check(&mut browser, &format!("help-{screen}"));
        browser.press("Escape");
        browser.until("the help is gone", "!document.querySelector('dialog')");
        browser.open(&web.url(&newsletter(&web)));
        browser.until("the group can be cancelled", "document.querySelector('[data-key-of=c]:not([hidden])')");
        browser.press("c");
        browser.shows("will not finish");
        check(&mut browser, &format!("question-{screen}"));
        browser.press("Escape");
    }
    assert_eq!(browser.complaints, [] as [&str; 0]);
}

#[test]
fn a_group_of_a_hundred_thousand_runs_stays_small_on_the_page() {
    let web = Web::start();
    let Some(mut browser) = let_in(&web) else { return };
    let items: Vec<String> = (0..100_000).map(|at| format!("item {at}")).collect();
    let definition = "id: many\nsteps: [{ name: wait, run: 'sleep 600' }]";
    let answer = web.post_json("/api/v1/groups", &json!({"definition": definition, "items": items}));
    assert_eq!(answer.status, 201, "{}", answer.text());
    let group = answer.json()["group"].as_i64().unwrap();
    browser.open(&web.url(&format!("/#/g{group}")));
    browser.shows("0 of 100,000 runs ended");
    browser.shows("item 49");
    for page in 1..=3 {
        browser.press("n");
        browser.shows(&format!("item {}", 50 * page + 49));
    }
    assert!(browser.eval("document.querySelectorAll('tbody tr').length").as_i64() <= Some(50));
    assert!(browser.eval("document.querySelectorAll('*').length").as_i64() < Some(1_500));
    let took = browser.eval("(async () => { const begun = performance.now(); await (await fetch('/api/v1/runs?group=' + location.hash.match(/g(\\d+)/)[1] + '&after=90000&limit=50', { headers: { 'x-windlass-session': sessionStorage.getItem('windlass-session') } })).json(); return performance.now() - begun; })()");
    assert!(took.as_f64() < Some(2_000.0), "a page far behind took {took} ms");
    browser.picture("many-desktop-light");
    web.post_json(&format!("/api/v1/groups/{group}/cancel"), &json!({}));
    assert_eq!(browser.complaints, [] as [&str; 0]);
}
