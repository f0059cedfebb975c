//! windlass's own API over HTTP: the real binary, the same documents as `--json`, events that nobody misses.

mod web;

use serde_json::{Value, json};
use std::{
    collections::BTreeSet,
    fs,
    io::{BufRead, BufReader, Write},
    net::TcpStream,
};
use web::{PATIENCE, Web, until};

const ECHO: &str =
    "id: echo\nsteps: [{ name: say, run: 'echo {{ item }}; test {{ item }} != bad' }, { name: end, run: 'true' }]";

fn submit(web: &Web, body: &Value) -> i64 {
    let answer = web.post_json("/api/v1/groups", body);
    assert_eq!(answer.status, 201, "{}", answer.text());
    answer.json()["group"].as_i64().unwrap()
}

fn ended(web: &Web, group: i64) -> Value {
    until("the group ends", || {
        let found = web.get(&format!("/api/v1/groups/{group}")).json();
        (!found["ended"].is_null()).then_some(found)
    })
}

/// What a command prints with `--json`.
fn printed(web: &Web, arguments: &[&str]) -> Value {
    let output = web.windlass(&[arguments, &["--json"]].concat()).output().unwrap();
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{arguments:?}: {error}: {output:?}"))
}

/// A stream of events as it is sent.
struct Stream(BufReader<TcpStream>);

#[derive(Debug, PartialEq)]
struct Message {
    id: Option<String>,
    event: Option<String>,
    data: Value,
}

impl Stream {
    fn open(web: &Web, query: &str, last: Option<&str>) -> Stream {
        let mut socket = TcpStream::connect(web.address).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        let last = last.map(|it| format!("Last-Event-ID: {it}\r\n")).unwrap_or_default();
        let (host, bearer) = (web.address, web.bearer());
        let head =
            format!("GET /api/v1/events{query} HTTP/1.1\r\nHost: {host}\r\nAuthorization: {bearer}\r\n{last}\r\n");
        socket.write_all(head.as_bytes()).unwrap();
        let mut stream = Stream(BufReader::new(socket));
        assert!(stream.line().starts_with("HTTP/1.1 200"));
        while !stream.line().is_empty() {}
        stream
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        assert!(self.0.read_line(&mut line).unwrap() > 0, "the stream ended");
        line.trim_end().to_string()
    }

    /// The next message; comments and the sizes of chunks are passed over.
    fn next(&mut self) -> Message {
        let (mut id, mut event) = (None, None);
        loop {
            let line = self.line();
            if let Some(found) = line.strip_prefix("id: ") {
                id = Some(found.to_string());
            } else if let Some(found) = line.strip_prefix("event: ") {
                event = Some(found.to_string());
            } else if let Some(found) = line.strip_prefix("data: ") {
                return Message { id, event, data: serde_json::from_str(found).unwrap() };
            }
        }
    }

    /// Reads on to an event of this kind; the cursors and kinds of all that came.
    fn to(&mut self, kind: &str) -> Vec<(String, String)> {
        let mut seen = Vec::new();
        loop {
            let message = self.next();
            if message.event.is_some() {
                continue;
            }
            let found = message.data["kind"].as_str().unwrap().to_string();
            seen.push((message.id.unwrap(), found.clone()));
            if found == kind {
                return seen;
            }
        }
    }
}

#[test]
fn a_key_makes_one_group_and_other_content_is_a_conflict() {
    let web = Web::start();
    let body = json!({"definition": ECHO, "items": ["a"], "key": "monday"});
    let group = submit(&web, &body);
    let again = web.post_json("/api/v1/groups", &body);
    assert_eq!((again.status, again.json()["group"].as_i64(), &again.json()["new"]), (200, Some(group), &json!(false)));
    let other = web.post_json("/api/v1/groups", &json!({"definition": ECHO, "items": ["b"], "key": "monday"}));
    assert_eq!(other.status, 409, "{}", other.text());
    let count = web.get("/api/v1/groups").json()["groups"].as_array().unwrap().len();
    assert_eq!(count, 1);
}

#[test]
fn what_cannot_be_understood_is_refused_with_its_reason() {
    let web = Web::start();
    for (body, reason) in [
        (json!({}), "definition"),
        (json!({"definition": "steps: ["}), "definition"),
        (json!({"definition": {"id": "x", "steps": [{"name": "a", "uses": "no/such"}]}}), "no/such"),
        (json!({"definition": ECHO}), "asks for items"),
        (json!({"definition": ECHO, "items": ["{broken"]}), "item 0"),
        (json!({"definition": ECHO, "items": ["a"], "directory": "relative"}), "relative"),
        (json!({"definition": ECHO, "items": ["a"], "key": ""}), "key"),
        (json!({"definition": ECHO, "items": ["a"], "itmes": []}), "itmes"),
    ] {
        let answer = web.post_json("/api/v1/groups", &body);
        assert!([400, 422].contains(&answer.status), "{body}: {}", answer.text());
        let said = answer.json();
        assert!(said["error"].as_str().unwrap().contains(reason), "{body}: {said}");
        assert_eq!(said["status_code"], answer.status);
    }
    fs::create_dir_all(web.home().join("vectors")).unwrap();
    fs::write(web.home().join("vectors/junk.db"), "no database").unwrap();
    for (path, status) in [
        ("/api/v1/groups/99", 404),
        ("/api/v1/groups/x", 400),
        ("/api/v1/groups?limit=0", 400),
        ("/api/v1/groups?limit=1001", 400),
        ("/api/v1/groups?status=odd", 400),
        ("/api/v1/runs", 404),
        ("/api/v1/runs/r9", 404),
        ("/api/v1/steps/s9/logs", 404),
        ("/api/v1/steps/s9/why", 404),
        ("/api/v1/search?q=x", 404),
        ("/api/v1/search?q=x&db=../engine", 404),
        ("/api/v1/search?q=x&db=junk", 404),
        ("/api/v1/search?q=", 400),
        ("/api/v1/events?after=odd", 400),
        ("/api/v1/events?digest=1", 400),
        ("/api/v1/nowhere", 404),
    ] {
        let answer = web.get(path);
        assert_eq!(answer.status, status, "{path}: {}", answer.text());
        assert!(answer.json()["error"].is_string(), "{path}");
    }
    assert_eq!(web.post_json("/api/v1/locks/release", &json!({"key": "none", "reason": "x"})).status, 404);
    assert_eq!(web.post_json("/api/v1/locks/release", &json!({"key": "none", "reason": " "})).status, 400);
    assert_eq!(web.post_json("/api/v1/queues/none/pause", &json!({})).status, 404);
}

#[test]
fn the_documents_are_those_of_the_command_line() {
    let web = Web::start();
    let group = submit(&web, &json!({"definition": ECHO, "items": ["good", "bad", "{\"url\": 1}"], "name": "three"}));
    ended(&web, group);
    let runs = web.get(&format!("/api/v1/runs?group={group}")).json();
    let run = runs["runs"][1]["id"].as_i64().unwrap();
    let step = web.get(&format!("/api/v1/runs/{run}")).json()["steps"][0]["id"].as_i64().unwrap();
    let (g, r, s) = (format!("g{group}"), format!("r{run}"), format!("s{step}"));
    for (path, arguments) in [
        ("/api/v1/groups".to_string(), vec!["list", "groups"]),
        (format!("/api/v1/groups/{g}"), vec!["show", &g]),
        (format!("/api/v1/groups/{g}/why"), vec!["why", &g]),
        (format!("/api/v1/runs?group={g}&status=FAILED"), vec!["list", "runs", "--group", &g, "--status", "failed"]),
        (format!("/api/v1/runs/{r}"), vec!["show", &r]),
        (format!("/api/v1/runs/{r}/why"), vec!["why", &r]),
        (format!("/api/v1/steps?group={g}&type=end"), vec!["list", "steps", "--group", &g, "--type", "end"]),
        (format!("/api/v1/steps/{s}"), vec!["show", &s]),
        (format!("/api/v1/steps/{s}/why"), vec!["why", &s]),
        ("/api/v1/locks".to_string(), vec!["locks"]),
        ("/api/v1/workers".to_string(), vec!["list", "workers"]),
        ("/api/v1/databases".to_string(), vec!["db", "list"]),
    ] {
        assert_eq!(web.get(&path).json(), printed(&web, &arguments), "{path}");
    }
    let status = web.get("/api/v1/status").json();
    let fields = |it: &Value| it.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
    assert_eq!(fields(&status), fields(&printed(&web, &["status"])));
    assert_eq!(web.get("/api/v1/queues").json(), status["queues"]);
    let logs = web.get(&format!("/api/v1/steps/{s}/logs")).json();
    assert_eq!(logs["logs"][0], printed(&web, &["logs", &s]));
    assert_eq!(logs["logs"][0]["text"], "bad\n");
}

#[test]
fn an_export_holds_every_run_with_its_steps_and_attempts() {
    let web = Web::start();
    let items: Vec<String> = (0..250).map(|at| if at == 123 { "bad".into() } else { format!("i{at}") }).collect();
    let definition = "id: many\nsteps: [{ name: say, run: 'test {{ item }} != bad' }]";
    let group = submit(&web, &json!({"definition": definition, "items": items, "key": "k"}));
    let whole = ended(&web, group);
    let export = web.get(&format!("/api/v1/groups/{group}/export")).json();
    assert_eq!(export["group"], whole);
    assert_eq!(export["definition"]["id"], "many");
    let runs = export["runs"].as_array().unwrap();
    let found: Vec<&str> = runs.iter().map(|it| it["item"].as_str().unwrap()).collect();
    assert_eq!(found, items);
    assert_eq!(runs[123]["steps"][0]["attempts_all"][0]["outcome"], "failed");
    assert!(runs.iter().all(|it| it["steps"][0]["attempts_all"].as_array().unwrap().len() == 1));
    let empty = submit(&web, &json!({"definition": definition, "items": []}));
    assert_eq!(web.get(&format!("/api/v1/groups/{empty}/export")).json()["runs"], json!([]));
}

#[test]
fn pages_meet_without_a_gap_or_an_overlap() {
    let web = Web::start();
    let items: Vec<String> = (0..45).map(|at| at.to_string()).collect();
    let definition = "id: paged\nsteps: [{ name: a, run: 'true' }]";
    let group = submit(&web, &json!({"definition": definition, "items": items}));
    ended(&web, group);
    let (mut seen, mut after) = (Vec::new(), String::new());
    loop {
        let page = web.get(&format!("/api/v1/runs?group={group}&limit=20{after}")).json();
        seen.extend(page["runs"].as_array().unwrap().iter().map(|it| it["item"].as_str().unwrap().to_string()));
        let Some(next) = page["next"].as_i64() else { break };
        after = format!("&after={next}");
    }
    assert_eq!(seen, items);
    for _ in 0..4 {
        submit(&web, &json!({"definition": definition, "items": []}));
    }
    let first = web.get("/api/v1/groups?limit=3").json();
    let second = web.get(&format!("/api/v1/groups?limit=3&before={}", first["next"])).json();
    let ids: BTreeSet<i64> = [&first, &second]
        .iter()
        .flat_map(|it| it["groups"].as_array().unwrap().iter().map(|it| it["id"].as_i64().unwrap()))
        .collect();
    assert_eq!((ids.len(), &second["next"]), (5, &Value::Null));
}

#[test]
fn cancel_retry_pause_and_resume_do_what_they_say() {
    let web = Web::start();
    let definition = "id: slow\nsteps: [{ name: wait, run: 'sleep 600' }]";
    let group = submit(&web, &json!({"definition": definition, "items": ["a", "b"]}));
    let post = |path: String| web.post_json(&path, &json!({}));
    let paused = post(format!("/api/v1/groups/{group}/pause")).json();
    assert_eq!(paused, json!({"group": group, "type": null, "paused": true, "changed": true}));
    assert_eq!(post(format!("/api/v1/groups/{group}/pause")).json()["changed"], false);
    assert_eq!(post(format!("/api/v1/groups/{group}/resume")).json()["changed"], true);
    assert_eq!(post("/api/v1/queues/wait/pause".into()).json()["type"], "wait");
    assert_eq!(web.get("/api/v1/queues").json()["types"][0]["paused"], true);
    assert_eq!(post("/api/v1/queues/wait/resume".into()).json()["changed"], true);
    assert_eq!(post(format!("/api/v1/groups/{group}/cancel")).json()["cancelled"], true);
    assert_eq!(ended(&web, group)["status"], "CANCELLED");
    let run = web.get(&format!("/api/v1/runs?group={group}")).json()["runs"][0]["id"].as_i64().unwrap();
    assert_eq!(post(format!("/api/v1/runs/{run}/retry")).json(), json!({"group": group, "reopened": true}));
    assert_eq!(post(format!("/api/v1/runs/{run}/cancel")).json()["run"], run);
    ended(&web, group);
    let step = web.get(&format!("/api/v1/runs/{run}")).json()["steps"][0]["id"].as_i64().unwrap();
    assert_eq!(post(format!("/api/v1/steps/{step}/retry")).json(), json!({"group": group, "reopened": true}));
    assert_eq!(post(format!("/api/v1/steps/{step}/cancel")).json()["step"], step);
    ended(&web, group);
    assert_eq!(post(format!("/api/v1/groups/{group}/retry")).json()["reopened"], true);
    post(format!("/api/v1/groups/{group}/cancel"));
}

#[test]
fn changes_need_the_token() {
    let web = Web::with("read_open = true\n");
    assert_eq!(web.send("GET", "/api/v1/groups", &[], &[]).status, 200);
    let json = ("content-type", "application/json");
    for path in ["/api/v1/groups", "/api/v1/groups/1/cancel", "/api/v1/locks/release", "/api/v1/queues/x/pause"] {
        assert_eq!(web.send("POST", path, &[json], b"{}").status, 401, "{path}");
    }
}

#[test]
fn a_stream_tells_what_happens_and_goes_on_behind_the_last_event() {
    let web = Web::start();
    let mut first = Stream::open(&web, "", None);
    assert_eq!(first.next().event.as_deref(), Some("hello"));
    let one = submit(&web, &json!({"definition": ECHO, "items": ["a"]}));
    let seen = first.to("GROUP_END");
    assert_eq!(seen[0].1, "GROUP_START");
    drop(first);
    // While nobody listens, more happens than the ring of the newest events holds at a time.
    let items: Vec<String> = (0..1_200).map(|at| at.to_string()).collect();
    let quick = "id: quick\nsteps: [{ name: a, uses: windlass/noop }]";
    let made = web.post_json("/api/v1/groups", &json!({"definition": quick, "items": items}));
    assert_eq!(made.status, 201, "{}", made.text());
    ended(&web, made.json()["group"].as_i64().unwrap());
    let all = web.windlass(&["events", "--json", "-n", "100000"]).output().unwrap();
    let all: Vec<Value> = all.stdout.lines().map(|it| serde_json::from_str(&it.unwrap()).unwrap()).collect();
    assert!(all.len() > 4_096, "{} events are not enough for this test", all.len());
    let last = &seen.last().unwrap().0;
    let mut resumed = Stream::open(&web, "", Some(last));
    resumed.next();
    let at = all.iter().position(|it| it["cursor"] == last.as_str()).unwrap();
    for expected in &all[at + 1..] {
        let message = resumed.next();
        assert_eq!((message.id.as_deref(), &message.data), (expected["cursor"].as_str(), expected));
    }
    let mut of_one = Stream::open(&web, &format!("?group={one}&after=0.0"), None);
    of_one.next();
    assert_eq!(of_one.to("GROUP_END").first().unwrap().1, "GROUP_START");
}

#[test]
fn a_digest_names_what_changed_and_is_not_sent_for_every_event() {
    let web = Web::start();
    let mut stream = Stream::open(&web, "?digest=200", None);
    stream.next();
    let items: Vec<String> = (0..150).map(|at| at.to_string()).collect();
    let group = submit(&web, &json!({"definition": ECHO, "items": items}));
    ended(&web, group);
    let mut digests = 0;
    loop {
        let message = stream.next();
        assert_eq!(message.event.as_deref(), Some("digest"));
        assert_eq!(message.data["groups"], json!([group]));
        digests += 1;
        if message.data["kinds"].as_array().unwrap().contains(&json!("GROUP_END")) {
            break;
        }
    }
    assert!(digests < 100, "{digests} digests for some 900 events");
}

#[test]
fn events_of_other_processes_are_told_and_a_hundred_listeners_hear_them() {
    let web = Web::start();
    let mut streams: Vec<Stream> = (0..100).map(|_| Stream::open(&web, "", None)).collect();
    fs::write(web.home().join("echo.yaml"), ECHO).unwrap();
    let file = web.home().join("echo.yaml");
    let run = web.windlass(&["run", file.to_str().unwrap(), "--items", "a"]).output().unwrap();
    assert!(run.status.success(), "{run:?}");
    for stream in &mut streams {
        stream.next();
        stream.to("GROUP_END");
    }
    let threads = fs::read_dir(format!("/proc/{}/task", web.child.id())).unwrap();
    let names = threads.map(|it| fs::read_to_string(it.unwrap().path().join("comm")).unwrap_or_default());
    assert_eq!(names.filter(|it| it.starts_with("windlass-events")).count(), 1);
    drop(streams);
}

#[test]
fn a_stop_is_not_held_up_by_listeners() {
    let mut web = Web::start();
    let mut stream = Stream::open(&web, "", None);
    stream.next();
    let begun = std::time::Instant::now();
    assert!(web.terminate().success());
    assert!(begun.elapsed().as_secs() < 10, "{:?}", begun.elapsed());
}

#[test]
fn the_description_tells_of_every_address_and_the_manual_is_made_from_it() {
    let web = Web::start();
    let served = web.get("/openapi.json").json();
    assert!(served["openapi"].as_str().unwrap().starts_with("3.1"));
    for path in ["/health", "/api/v1/groups", "/api/v1/steps/{step}/why", "/api/v1/events", "/api/v1/locks/release"] {
        assert!(served["paths"][path].is_object(), "{path}");
    }
    let mut ids = std::collections::BTreeSet::new();
    let operations = served["paths"].as_object().unwrap().values().flat_map(|it| it.as_object().unwrap().values());
    for operation in operations {
        let id = operation["operationId"].as_str().unwrap();
        assert!(ids.insert(id), "{id} is the name of two operations");
        for (status, response) in operation["responses"].as_object().unwrap() {
            assert!(response["content"].is_object() || id == "get_api_v1_events", "{id} {status} has no shape");
        }
    }
    let text = served.to_string();
    assert!(!text.contains("{*"), "a path is written as only our router understands it");
    for (at, name) in text.match_indices("#/components/schemas/") {
        let schema = text[at + name.len()..].split('"').next().unwrap();
        assert!(served["components"]["schemas"][schema].is_object(), "{schema} is named and not described");
    }
    let description = windlass::http::description();
    assert_eq!(served, serde_json::to_value(&description).unwrap());
    let manual = windlass::http::manual(&description);
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/http.md");
    if std::env::var_os("TEST_WRITE_MANUAL").is_some() {
        fs::write(file, &manual).unwrap();
    }
    let written = fs::read_to_string(file).unwrap_or_default();
    assert!(written == manual, "docs/http.md is stale: run `TEST_WRITE_MANUAL=1 cargo test --test own_api manual`");
}
