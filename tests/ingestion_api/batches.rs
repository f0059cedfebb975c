//! `/batch`.

use crate::{
    BATCH, GROUP, KNOTS, ROPES, RUN, STEP, batch,
    client::{Client, text},
    ended, has_shape, ingest, keys, refused, start,
    web::{self, Web},
    worked,
};
use serde_json::{Value, json};

#[test]
fn a_batch_is_made_and_listed_and_has_its_shape() {
    let web = Web::start();
    let client = Client::of(&web);
    assert_eq!(client.get("/api/v1/batch/").json(), json!([]));
    let first = batch(&client, "first");
    let form = [text("source", "gitea:admin:repo"), text("name", "ü & more")];
    let second = client.urlencoded("POST", "/api/v1/batch/", &form).json()["batch_id"].as_i64().unwrap();
    assert!(second > first);
    let all = client.get("/api/v1/batch/").json();
    has_shape(&all[1], BATCH);
    assert_eq!(
        (&all[1]["id"], &all[1]["source"], &all[1]["name"]),
        (&json!(second), &json!("gitea:admin:repo"), &json!("ü & more"))
    );
    assert_eq!((&all[1]["completed_date"], &all[1]["duration"]), (&Value::Null, &Value::Null));
    assert_eq!(all[1]["batch_params"], json!({}));
    let long = "n".repeat(1_025);
    for form in [[text("source", "s"), text("name", &long)], [text("source", &long), text("name", "n")]] {
        let answer = client.urlencoded("POST", "/api/v1/batch/", &form);
        assert!(answer.status == 400 && answer.text().contains("1024 bytes"), "{}", answer.text());
    }
    let date = all[1]["start_date"].as_str().unwrap();
    assert!(date.len() >= 19 && date.as_bytes()[10] == b'T' && !date.contains(['Z', '+']), "{date}");

    refused(&client.multipart("POST", "/api/v1/batch/", &[text("source", "x")]), 400);
    refused(&client.multipart("POST", "/api/v1/batch/", &[]), 400);
}

#[test]
fn an_upload_is_worked_on_and_found() {
    let web = Web::start();
    let client = Client::of(&web);
    let id = batch(&client, "shed");
    let ropes = ingest(&client, "shed", "docs/ropes.md", id, ROPES);
    ingest(&client, "shed", "docs/knots.md", id, KNOTS);
    // Equal content is processed once, and found under both names.
    let copy = ingest(&client, "shed", "docs/copy.md", id, ROPES);
    assert_eq!(copy["document_hash"], ropes["document_hash"]);

    let path = format!("/api/v1/batch/status?batch_id={id}");
    let before = client.get(&path).json();
    assert_eq!(keys(&before), ["batch", "document_count", "workflow_count", "workflows", "parsed", "remaining"]);
    assert_eq!((&before["document_count"], &before["remaining"]), (&json!(2), &json!(2)));
    assert_eq!((&before["workflow_count"], &before["workflows"]), (&json!({}), &json!([])));

    let form = [text("batch_id", &id.to_string()), text("priority", "3"), text("param_id", "default")];
    let started = client.multipart("POST", "/api/v1/batch/start-workflows", &form);
    assert_eq!(started.status, 201);
    let started = started.json();
    assert_eq!(keys(&started), ["message", "workflows", "run_group"]);
    assert_eq!(started["workflows"], 2);
    has_shape(&started["run_group"], GROUP);
    assert_eq!(started["run_group"]["workflow_definition_id"], "ingest");
    assert_eq!(started["run_group"]["param_definition_id"], "default");
    assert_eq!(started["run_group"]["batch_id"], id);

    let done = web::until("the batch is done", || {
        let status = client.get(&path).json();
        (status["remaining"] == 0 && status["workflow_count"] == json!({"COMPLETED": 2})).then_some(status)
    });
    assert_eq!(done["parsed"], 2);
    has_shape(&done["workflows"][0], RUN);
    assert_eq!(done["workflows"][0]["priority"], 3);
    has_shape(&done["batch"], BATCH);
    ended(&client, started["run_group"]["id"].as_i64().unwrap());
    let batch = &client.get(&path).json()["batch"];
    assert!(batch["duration"].as_f64().is_some() && batch["completed_date"].is_string(), "{batch}");

    for (query, uris) in
        [("hemp stored wet", vec!["docs/copy.md", "docs/ropes.md"]), ("bowline loop", vec!["docs/knots.md"])]
    {
        let output = web.windlass(&["search", query, "--mode", "text", "--json"]).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let found: Value = serde_json::from_slice(&output.stdout).unwrap();
        let mut found: Vec<&str> =
            found["hits"].as_array().unwrap().iter().filter_map(|it| it["uri"].as_str()).collect();
        found.sort_unstable();
        assert_eq!(found, uris, "{query}");
    }
}

#[test]
fn the_steps_of_a_batch_have_their_shape() {
    let (web, id, _) = worked();
    let steps = Client::of(&web).get(&format!("/api/v1/batch/{id}/steps")).json();
    let steps = steps.as_array().unwrap();
    assert_eq!(steps.len(), 10);
    let names: Vec<&str> = steps[..5].iter().map(|it| it["workflow_step_name"].as_str().unwrap()).collect();
    assert_eq!(names, ["validate", "parse", "chunk", "embed", "store"]);
    for (no, step) in steps[..5].iter().enumerate() {
        has_shape(step, STEP);
        assert_eq!(step["workflow_step_number"], no as i64 + 1);
        assert_eq!((&step["status"], &step["retry"]), (&json!("COMPLETED"), &json!(0)));
        assert_eq!(step["is_last_step"], no == 4);
        assert!(step["duration"].as_f64().is_some() && step["worker_id"].is_string(), "{step}");
    }
    // The workflow declares `retries: 2` after the first attempt.
    assert_eq!((&steps[0]["retries"], &steps[3]["retries"]), (&json!(3), &json!(6)));
    assert_eq!(Client::of(&web).get("/api/v1/batch/99/steps").json(), json!([]));
}

#[test]
fn what_can_not_be_started_is_refused() {
    let web = Web::start();
    let client = Client::of(&web);
    let id = batch(&client, "shed").to_string();
    let path = "/api/v1/batch/start-workflows";
    refused(&client.multipart("POST", path, &[text("batch_id", "99")]), 404);
    refused(&client.multipart("POST", path, &[text("batch_id", "first")]), 400);
    refused(&client.multipart("POST", path, &[]), 400);
    let with = |name: &str, value: &str| client.multipart("POST", path, &[text("batch_id", &id), text(name, value)]);
    refused(&with("workflow_definition_id", "unheard-of"), 404);
    refused(&with("param_id", "unheard-of"), 404);
    refused(&with("priority", "high"), 400);
    refused(&client.get("/api/v1/batch/status?batch_id=99"), 404);
    refused(&client.get("/api/v1/batch/status"), 400);
    // An empty batch is a group that has ended.
    let group = start(&client, id.parse().unwrap(), &[]);
    assert_eq!(ended(&client, group)["status"], "COMPLETED");
}

#[test]
fn of_many_that_start_what_is_new_at_once_one_does() {
    let web = Web::start();
    let client = Client::of(&web);
    let id = batch(&client, "shed");
    for number in 0..5 {
        ingest(&client, "shed", &format!("{number}.md"), id, &format!("# Rope {number}\n"));
    }
    let only = [text("batch_id", &id.to_string()), text("only_unparsed", "true")];
    let started: Vec<i64> = std::thread::scope(|scope| {
        let start = || client.multipart("POST", "/api/v1/batch/start-workflows", &only);
        let all: Vec<_> = (0..4).map(|_| scope.spawn(start)).collect();
        let workflows = |it: &web::Answer| it.json()["workflows"].as_i64().unwrap_or_else(|| panic!("{}", it.text()));
        all.into_iter().map(|it| workflows(&it.join().unwrap())).collect()
    });
    assert_eq!(started.iter().sum::<i64>(), 5, "{started:?}");
}

#[test]
fn only_unparsed_leaves_out_what_was_worked_on() {
    let (web, id, first) = worked();
    let client = Client::of(&web);
    let only = [text("batch_id", &id.to_string()), text("only_unparsed", "true")];
    let again = client.multipart("POST", "/api/v1/batch/start-workflows", &only).json();
    assert_eq!((&again["workflows"], &again["run_group"]["id"]), (&json!(0), &json!(first)));

    ingest(&client, "shed", "docs/ropes.md", id, "# Ropes\n\nManila is stronger than hemp.\n");
    let again = client.multipart("POST", "/api/v1/batch/start-workflows", &only).json();
    assert_eq!(again["workflows"], 1);
    ended(&client, again["run_group"]["id"].as_i64().unwrap());
    let status = client.get(&format!("/api/v1/batch/status?batch_id={id}")).json();
    assert_eq!((&status["document_count"], &status["remaining"]), (&json!(2), &json!(0)));
    assert_eq!(status["workflow_count"], json!({"COMPLETED": 3}));
}

/// The title of each document in the vector database, by URI.
fn titles(client: &Client) -> Value {
    let found = client.get("/api/v1/lancedb/documents?db=default").json();
    let documents = found["documents"].as_array().unwrap_or_else(|| panic!("{found}")).iter();
    documents.map(|it| (it["uri"].as_str().unwrap().to_string(), it["title"].clone())).collect()
}

/// Processes what is new. Returns the number of runs; afterwards the batch is done.
#[track_caller]
fn what_is_new(client: &Client, batch: i64) -> i64 {
    let only = [text("batch_id", &batch.to_string()), text("only_unparsed", "true")];
    let started = client.multipart("POST", "/api/v1/batch/start-workflows", &only).json();
    ended(client, started["run_group"]["id"].as_i64().unwrap_or_else(|| panic!("{started}")));
    let status = client.get(&format!("/api/v1/batch/status?batch_id={batch}")).json();
    assert!(status["batch"]["completed_date"].is_string(), "{}", status["batch"]);
    assert_eq!(status["remaining"], 0);
    started["workflows"].as_i64().unwrap()
}

#[test]
fn what_changed_back_and_what_came_as_a_copy_is_new_to_only_unparsed() {
    let web = Web::start();
    let client = Client::of(&web);
    let id = batch(&client, "shed");
    let put = |uri: &str, content: &str| ingest(&client, "shed", uri, id, content);
    for (content, title) in [(ROPES, "Ropes"), (KNOTS, "Knots"), (ROPES, "Ropes")] {
        put("a.md", content);
        assert_eq!(what_is_new(&client, id), 1);
        assert_eq!(titles(&client), json!({"a.md": title}));
    }
    put("copy.md", ROPES);
    assert_eq!(what_is_new(&client, id), 1);
    assert_eq!(titles(&client), json!({"a.md": "Ropes", "copy.md": "Ropes"}));

    let mut form = crate::upload("shed", "a.md", id, ROPES);
    form[3] = text("doc_meta", r#"{"shelf": 3}"#);
    let answer = client.multipart("POST", "/api/v1/document/ingest-document", &form);
    assert_eq!(answer.status, 201, "{}", answer.text());
    assert_eq!(what_is_new(&client, id), 1);
    let found = client.get("/api/v1/lancedb/documents?db=default").json();
    assert_eq!(found["documents"][0]["metadata"]["shelf"], 3, "{found}");
    assert_eq!(what_is_new(&client, id), 0);
}

#[test]
fn a_batch_that_changed_and_changed_back_meanwhile_is_done() {
    let web = Web::start();
    let client = Client::of(&web);
    let id = batch(&client, "shed");
    ingest(&client, "shed", "a.md", id, ROPES);
    assert_eq!(what_is_new(&client, id), 1);
    ingest(&client, "shed", "a.md", id, KNOTS);
    ingest(&client, "shed", "a.md", id, ROPES);
    let status = client.get(&format!("/api/v1/batch/status?batch_id={id}")).json();
    assert_eq!(status["batch"]["completed_date"], Value::Null);
    assert_eq!(what_is_new(&client, id), 0);
}

#[test]
fn a_document_that_is_deleted_while_its_work_is_submitted_leaves_no_run() {
    let web = Web::start();
    let client = Client::of(&web);
    let id = batch(&client, "shed");
    for round in 0..30 {
        ingest(&client, "shed", "a.md", id, &format!("# Round {round}\n\nHaul away.\n"));
        let gone = [text("uri", "a.md"), text("source", "shed")];
        let started = std::thread::scope(|scope| {
            let deleted = scope.spawn(|| client.multipart("DELETE", "/api/v1/document/by-uri", &gone));
            let group = start(&client, id, &[]);
            let deleted = deleted.join().unwrap();
            assert!([200, 409].contains(&deleted.status), "{}", deleted.text());
            group
        });
        assert_eq!(ended(&client, started)["status"], "COMPLETED", "round {round}");
    }
    let status = client.get(&format!("/api/v1/batch/status?batch_id={id}")).json();
    assert!(status["workflow_count"].get("FAILED").is_none(), "{}", status["workflow_count"]);
}

#[test]
fn a_key_that_a_request_holds_is_a_web_requests_in_the_list_and_in_the_reason_of_a_step() {
    let web = Web::start();
    let client = Client::of(&web);
    let id = batch(&client, "shed");
    ingest(&client, "shed", "docs/ropes.md", id, ROPES);
    let said = |arguments: &[&str]| {
        let output = web.windlass(arguments).output().unwrap();
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    // Another program holds the file, so the request holds the row and waits.
    let key = format!("batch:{id}");
    let settings = windlass::settings::load(web.home(), [], &[]).unwrap();
    let engine = windlass::assembly::engine(&settings, std::sync::Arc::new(windlass::observe::NoMetrics)).unwrap();
    let path = engine.lock_file(&windlass::model::ResourceKey(key.clone()));
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    let stranger = windlass::os::FileLock::try_exclusive(&path).unwrap().unwrap();
    std::thread::scope(|scope| {
        let starting = scope.spawn(|| start(&client, id, &[]));
        let locks = web::until("the row is held", || {
            let locks: Value = serde_json::from_str(&said(&["locks", "--json"])).unwrap();
            (locks["locks"][0]["holder"]["kind"] == "WEB").then_some(locks)
        });
        assert_eq!(locks["locks"][0]["key"], key.as_str());
        assert!(said(&["locks"]).contains("web request"), "{}", said(&["locks"]));
        let text = format!("id: k\nsteps: [{{ name: a, uses: windlass/noop, resource_key: '{key}' }}]\n");
        std::fs::write(web.home().join("k.yaml"), text).unwrap();
        let submitted = said(&["submit", web.home().join("k.yaml").to_str().unwrap(), "--items", "x", "--json"]);
        let group = serde_json::from_str::<Value>(&submitted).unwrap()["group"].to_string();
        let why = web::until("the step waits for it", || {
            let why: Value = serde_json::from_str(&said(&["why", &format!("g{group}"), "--json"])).unwrap();
            let reasons = why["steps"][0]["reasons"].as_array().unwrap().clone();
            reasons.into_iter().find(|it| it["code"] == "locked")
        });
        assert!(why["text"].as_str().unwrap().contains("is held by a web request"), "{why}");
        drop(stranger);
        ended(&client, starting.join().unwrap());
        said(&["wait", &group]);
    });
}
