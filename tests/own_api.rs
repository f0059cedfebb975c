//! windlass's own API over HTTP: the real binary, the same documents as `--json`, and events without gaps.

mod support {
    pub mod binary;
    pub mod needs;
    pub mod web;
}

use support::needs::needs;
use support::web;

use serde_json::{Value, json};
use std::{
    collections::BTreeSet,
    fs,
    io::{BufRead, Read, Write},
    net::TcpStream,
};
use web::{PATIENCE, Web, stream::Stream, until};

const ECHO: &str =
    "id: echo\nsteps: [{ name: say, run: 'echo {{ item }}; test {{ item }} != bad' }, { name: end, run: 'true' }]";

const QUICK: &str = "id: quick\nsteps: [{ name: a, uses: windlass/noop }]";

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
fn long_numbers_in_a_body_keep_their_digits() {
    let web = Web::start();
    let definition = "id: n\nsteps: [{ name: a, run: 'printf %s {{ item.id }}-{{ params.v }}' }]";
    // As text, because a value would have lost the digits before it was sent.
    let body = format!(
        r#"{{"definition": {}, "items": [{{"id": 123456789012345678901}}], "params": {{"v": 6063e25}}}}"#,
        json!(definition)
    );
    let headers = [("authorization", web.bearer()), ("content-type", "application/json".into())];
    let headers = headers.each_ref().map(|it| (it.0, it.1.as_str()));
    let answer = web.send("POST", "/api/v1/groups", &headers, body.as_bytes());
    assert_eq!(answer.status, 201, "{}", answer.text());
    ended(&web, answer.json()["group"].as_i64().unwrap());
    assert_eq!(printed(&web, &["show", "s1"])["output"], "123456789012345678901-6063e25");
}

#[test]
fn steps_that_wait_are_listed_and_answered() {
    let web = Web::start();
    let flow = "id: asks\nsteps:\n  - { name: ask, approve: 'Publish {{ item }}?' }\n  - { name: go, signal: go }\n";
    let group = submit(&web, &json!({"definition": flow, "items": ["a", "b"]}));
    let waiting = |count: usize, kind: &str| {
        until("the steps wait", || {
            let found = web.get(&format!("/api/v1/waiting?for={kind}&group={group}")).json();
            (found["waiting"].as_array().unwrap().len() == count).then_some(found)
        })
    };
    let approvals = waiting(2, "approval");
    assert_eq!(
        (&approvals["waiting"][0]["ask"], &approvals["waiting"][0]["name"]),
        (&json!("Publish a?"), &json!("ask"))
    );
    assert_eq!(web.get(&format!("/api/v1/groups/{group}")).json()["status"], "WAITING");
    let approve = |by: &str| web.post_json("/api/v1/steps/1/approve", &json!({"by": by}));
    assert_eq!((approve("anna").status, approve("anna").json()["changed"].clone()), (200, json!(false)));
    let other = approve("bob");
    assert_eq!(other.status, 409);
    assert!(other.text().contains("s1 was already approved by anna"), "{}", other.text());
    assert_eq!(web.post_json("/api/v1/steps/3/reject", &json!({"by": "bob"})).status, 422, "a reason is missing");
    let rejected = web.post_json("/api/v1/steps/3/reject", &json!({"by": "bob", "reason": "no"}));
    assert_eq!((rejected.status, &rejected.json()["approved"]), (200, &json!(false)));
    waiting(1, "signal");
    let signal = json!({"name": "go", "by": "anna", "value": 3});
    let unknown = web.post_json(&format!("/api/v1/groups/{group}/signal"), &json!({"name": "gone", "by": "anna"}));
    assert_eq!(unknown.status, 400, "{}", unknown.text());
    let sent = web.post_json("/api/v1/runs/1/signal", &signal);
    assert_eq!((sent.status, &sent.json()["released"]), (200, &json!(1)), "{}", sent.text());
    let end = ended(&web, group);
    assert_eq!((&end["status"], &end["failed"]), (&json!("FAILED"), &json!(1)));
    assert_eq!(printed(&web, &["show", "s2"])["output"], 3);
    assert_eq!(web.get("/api/v1/waiting?for=rain").status, 400);
    assert_eq!(web.post_json("/api/v1/steps/99/approve", &json!({"by": "anna"})).status, 404);
}

#[test]
fn what_cannot_be_understood_is_refused_with_its_reason() {
    let web = Web::start();
    for (body, reason) in [
        (json!({}), "definition"),
        (json!({"definition": "steps: ["}), "definition"),
        (json!({"definition": {"id": "x", "steps": [{"name": "a", "uses": "no/such"}]}}), "no/such"),
        (json!({"definition": ECHO}), "needs items"),
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
        ("/api/v1/search?q=x&db=junk", 400),
        ("/api/v1/search?q=", 400),
        ("/api/v1/search?q=x&min_score=1.5", 400),
        ("/api/v1/search?q=x&min_score=none", 400),
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
fn a_body_may_be_as_large_as_the_setting_says_and_no_larger() {
    let web = Web::with("http.body = \"6MiB\"\n");
    let of = |size: usize| json!({"definition": ECHO, "items": ["x".repeat(size)], "key": size.to_string()});
    let made = web.post_json("/api/v1/groups", &of(5 << 20));
    assert_eq!(made.status, 201, "{}", made.text());
    let head = format!(
        "POST /api/v1/groups HTTP/1.1\r\nHost: {}\r\nAuthorization: {}\r\nContent-Type: application/json\r\n",
        web.address,
        web.bearer()
    );
    let chunk = format!("100000\r\n{}\r\n", " ".repeat(1 << 20));
    let chunked = format!("{head}Transfer-Encoding: chunked\r\n\r\n{}0\r\n\r\n", chunk.repeat(7));
    let announced = format!("{head}Content-Length: {}\r\n\r\n", 7 << 20);
    for request in [chunked, announced] {
        let mut socket = TcpStream::connect(web.address).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        // The request may be refused before it is completely sent.
        let _ = socket.write_all(request.as_bytes());
        let mut answer = vec![0; 4_096];
        let read = socket.read(&mut answer).unwrap();
        let answer = String::from_utf8_lossy(&answer[..read]).into_owned();
        assert!(answer.starts_with("HTTP/1.1 413") && answer.contains("`http.body`"), "{answer}");
    }
}

#[test]
fn names_and_keys_have_bounds_wherever_they_come_from() {
    let web = Web::start();
    let (most, more) = ("n".repeat(1_024), "n".repeat(1_025));
    submit(&web, &json!({"definition": ECHO, "items": [], "name": most, "key": most}));
    let titled = format!("id: echo\nname: {more}\nsteps: [{{ name: a, run: 'true' }}]");
    for (body, word) in [
        (json!({"definition": ECHO, "items": [], "name": more}), "name"),
        (json!({"definition": ECHO, "items": [], "key": more}), "key"),
        (json!({"definition": titled}), "name"),
    ] {
        let answer = web.post_json("/api/v1/groups", &body);
        assert_eq!(answer.status, 400, "{}", answer.text());
        assert!(answer.text().contains(word) && answer.text().contains("1024 bytes"), "{}", answer.text());
    }
    let file = web.home().join("echo.yaml");
    fs::write(&file, ECHO).unwrap();
    for option in ["--name", "--key"] {
        let mut command = web.windlass(&["submit", file.to_str().unwrap(), "--items", "a", option, &more]);
        let output = command.output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success() && said.contains("1024 bytes"), "{option}: {said}");
    }
    assert_eq!(web.get("/api/v1/groups").json()["groups"].as_array().unwrap().len(), 1);
}

#[test]
fn only_an_object_is_a_submission_and_null_is_as_good_as_nothing() {
    let web = Web::start();
    let json = ("content-type", "application/json");
    let bearer = web.bearer();
    let send = |kind: (&str, &str), body: &str| {
        let answer = web.send("POST", "/api/v1/groups", &[("authorization", &bearer), kind], body.as_bytes());
        (answer.status, answer.json()["error"].as_str().unwrap_or_default().to_string())
    };
    let list = json!([ECHO, ["a"], {}, null, 0, null, null, false]).to_string();
    for (body, status) in [(list.as_str(), 422), ("\"x\"", 422), (" null", 422), ("{", 400), ("", 400)] {
        let (found, said) = send(json, body);
        assert_eq!(found, status, "{body}: {said}");
        assert!(found == 400 || said == "the body must be a JSON object", "{body}: {said}");
    }
    assert_eq!(send(("content-type", "text/plain"), "{}").0, 415);
    let nulls = json!({"definition": ECHO, "items": ["a"], "params": null, "key": null, "priority": null,
        "name": null, "directory": null, "force": null});
    submit(&web, &nulls);
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
fn work_is_repaired_repeated_and_kept_from_overlapping() {
    let web = Web::start();
    let flow = |command: &str| {
        format!("id: one\nconcurrency: {{ group: one, policy: skip }}\nsteps: [{{ name: a, run: '{command}' }}]")
    };
    let group = submit(&web, &json!({"definition": flow("exit 3")}));
    assert_eq!(ended(&web, group)["status"], "FAILED");
    let at = format!("/api/v1/groups/{group}/retry");
    let other = flow("true").replace("name: a", "name: b");
    let refused = web.post_json(&at, &json!({"definition": other}));
    assert!(refused.status == 400 && refused.text().contains("the step `a` is missing"), "{}", refused.text());
    let done = web.post_json(&at, &json!({"definition": flow("true")}));
    assert_eq!(done.json(), json!({"group": group, "reopened": true}), "{}", done.text());
    assert_eq!(ended(&web, group)["status"], "COMPLETED");
    assert_eq!(web.post_json(&at, &json!({"from": "a"})).json()["reopened"], true);
    assert_eq!(ended(&web, group)["epoch"], 3);
    let without = web.send("POST", &at, &[("Authorization", &web.bearer()), ("Content-Type", "application/json")], b"");
    assert_eq!((without.status, &without.json()["reopened"]), (200, &json!(false)), "a body may be absent");
    let slow = submit(&web, &json!({"definition": flow("sleep 600")}));
    let skipped = web.post_json("/api/v1/groups", &json!({"definition": flow("true")}));
    let found = skipped.json();
    assert_eq!(
        (skipped.status, &found["group"], &found["new"], &found["skipped"]),
        (200, &slow.into(), &json!(false), &json!(true))
    );
    web.post_json(&format!("/api/v1/groups/{slow}/cancel"), &json!({}));
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
    // While no client listens, more events happen than the ring of the newest events holds.
    let items: Vec<String> = (0..1_200).map(|at| at.to_string()).collect();
    let made = web.post_json("/api/v1/groups", &json!({"definition": QUICK, "items": items}));
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

/// Runs this many runs, then prunes them and their history. Returns the cursors of that history.
fn run_and_prune(web: &Web, runs: usize) -> Vec<String> {
    let items: Vec<String> = (0..runs).map(|at| at.to_string()).collect();
    let group = submit(web, &json!({"definition": QUICK, "items": items}));
    ended(web, group);
    let printed = web.windlass(&["events", "--json", "--after", "0.0"]).output().unwrap();
    let printed = printed.stdout.lines().map(|it| serde_json::from_str::<Value>(&it.unwrap()).unwrap());
    let cursors = printed.map(|it| it["cursor"].as_str().unwrap().to_string()).collect();
    until("nothing of the history is left", || {
        assert!(web.windlass(&["prune", "--keep", "1ms"]).output().unwrap().status.success());
        let left = web.windlass(&["events", "--json", "--after", "0.0"]).output().unwrap();
        left.stdout.is_empty().then_some(())
    });
    cursors
}

#[test]
fn a_reader_that_stays_connected_is_told_what_was_pruned_before_it_read_on() {
    let web = Web::start();
    let mut stream = Stream::narrow(&web, "");
    assert_eq!(stream.next().event.as_deref(), Some("hello"));
    // More than the buffers of the connection and the ring of the newest events hold.
    let history = run_and_prune(&web, 9_000);
    let after = submit(&web, &json!({"definition": QUICK, "items": ["after"]}));
    let (mut at, mut gaps) = (0, 0);
    loop {
        let message = stream.next();
        if message.event.as_deref() == Some("gap") {
            gaps += 1;
            continue;
        }
        if message.data["group"] == after {
            break;
        }
        assert_eq!((message.id.as_ref(), gaps), (Some(&history[at]), 0), "after {at} events");
        at += 1;
    }
    assert!(at < history.len(), "all {at} events were told: this reader was not slow");
    assert_eq!(gaps, 1, "of {} events {at} were told", history.len());
}

#[test]
fn who_comes_back_to_a_history_that_is_gone_is_told_so_and_who_had_read_it_all_is_not() {
    let web = Web::start();
    let history = run_and_prune(&web, 2);
    let last = history.last().unwrap();
    let end: i64 = last.split('.').next().unwrap().parse().unwrap();
    let mut streams = Vec::new();
    for query in ["", "?digest=100"] {
        let ahead = format!("{}.0", end + 500);
        for (cursor, gap) in [(history[0].as_str(), true), (last.as_str(), false), (ahead.as_str(), true)] {
            let mut stream = Stream::open(&web, query, Some(cursor));
            let first = stream.next();
            assert_eq!(first.event.as_deref(), Some(if gap { "gap" } else { "hello" }), "{query} {cursor}: {first:?}");
            let went_on = if gap { stream.next().id.unwrap() } else { last.to_string() };
            let again = Stream::open(&web, query, Some(&went_on)).next();
            assert_eq!(again.event.as_deref(), Some("hello"), "{query} {cursor} then {went_on}");
            streams.push((stream, query, cursor.to_string()));
        }
    }
    let group = submit(&web, &json!({"definition": QUICK, "items": ["a"]}));
    for (mut stream, query, cursor) in streams {
        let message = stream.next();
        match query {
            "" => assert_eq!((&message.data["group"], &message.data["kind"]), (&json!(group), &json!("GROUP_START"))),
            _ => assert_eq!(message.event.as_deref(), Some("digest"), "{cursor}"),
        }
    }
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
fn the_history_in_memory_has_its_limit_its_followers_and_a_count_of_what_they_missed() {
    let web = Web::with("history_limit = 5\n");
    let history = || web.get("/health").json()["diagnostics"]["history"].clone();
    assert_eq!(history(), json!({"size": 0, "limit": 5, "subscribers": 0}));
    let group = submit(&web, &json!({"definition": ECHO, "items": ["a", "b", "c", "d"]}));
    ended(&web, group);
    // The ring is filled even while no client listens.
    until("it is full", || (history() == json!({"size": 5, "limit": 5, "subscribers": 0})).then_some(()));
    let missed =
        || web.get("/metrics").text().lines().any(|it| it.starts_with("windlass_events_missed_total{how=\"read\"}"));
    let mut streams: Vec<Stream> = (0..3).map(|_| Stream::open(&web, "", None)).collect();
    until("they are counted", || (history()["subscribers"] == 3).then_some(()));
    assert!(!missed());
    streams.push(Stream::open(&web, "?after=0.0", None));
    streams[3].to("GROUP_END");
    assert!(missed(), "what came from the database is counted");
    drop(streams);
    let more = submit(&web, &json!({"definition": ECHO, "items": ["e"]}));
    ended(&web, more);
    until("they are gone", || (history()["subscribers"] == 0).then_some(()));
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
            assert!(response["content"].is_object(), "{id} {status} has no shape");
        }
        assert!(id == "get_health" || operation["responses"]["405"].is_object(), "{id} has no 405");
        for it in operation["parameters"].as_array().into_iter().flatten().filter(|it| it["name"] == "status") {
            let known = it["schema"]["enum"].as_array();
            assert!(!id.contains("api_v1_") || known.is_some_and(|it| it.contains(&json!("RUNNING"))), "{id}: {it}");
        }
    }
    let schema =
        &served["paths"]["/api/v1/events"]["get"]["responses"]["200"]["content"]["text/event-stream"]["schema"];
    for name in ["EventView", "Digest"] {
        assert!(schema["oneOf"].to_string().contains(&format!("/{name}\"")), "a stream holds no {name}: {schema}");
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

#[test]
fn every_example_of_the_manual_is_a_request_that_is_understood() {
    if !needs("curl") {
        return;
    }
    let web = Web::start();
    let place = tempfile::tempdir().unwrap();
    fs::write(place.path().join("winch.md"), "# Winch\n").unwrap();
    fs::write(place.path().join("set.yaml"), "id: mine\nconfig: { chunk: { size: 256 } }\n").unwrap();
    let manual = include_str!("../docs/http.md");
    let addresses = manual.lines().filter(|it| it.starts_with("### ") && it.contains(" /")).count();
    let mut examples: Vec<&str> = manual.lines().filter(|it| it.starts_with("curl ")).collect();
    assert_eq!(examples.len(), addresses, "each address has one");
    // The request that stops the daemon comes last.
    examples.sort_by_key(|it| it.contains("/api/v1/stop"));
    for example in examples {
        let script = format!("{example} -s -m 2 -w '\\n%{{http_code}}'");
        let mut shell = std::process::Command::new("sh");
        shell.args(["-c", &script]).current_dir(place.path()).env_remove("http_proxy");
        let at = format!("http://{}", web.address);
        let output = shell.env("at", at).env("auth", format!("Authorization: {}", web.bearer())).output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        let (body, status) = said.rsplit_once('\n').unwrap();
        assert!(!["000", "400", "403", "405", "415", "422", "500"].contains(&status), "{example}: {said}");
        assert!(!body.contains("no such address"), "{example}: {said}");
        assert!(status != "401" || example.contains("/session/open"), "{example}: {said}");
    }
}
