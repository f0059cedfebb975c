//! `/workflow` and `/stats`.

use crate::support::needs::needs;
use crate::{
    GROUP, HISTORY, KNOTS, ROPES, RUN, STEP, batch,
    client::{Client, text},
    ended, has_shape, ingest, keys, refused, start,
    web::Web,
    worked,
};
use serde_json::{Value, json};
use std::fs;

#[test]
fn runs_are_listed_whole_and_in_pages_newest_first() {
    let (web, id, group) = worked();
    let client = Client::of(&web);
    ingest(&client, "shed", "docs/third.md", id, "# Third\n\nA third document about pulleys.\n");
    let second = start(&client, id, &[]);
    ended(&client, second);
    let all = client.get("/api/v1/workflow/").json();
    let ids =
        |list: &Value| -> Vec<i64> { list.as_array().unwrap().iter().filter_map(|it| it["id"].as_i64()).collect() };
    assert_eq!(ids(&all).len(), 5);
    assert!(ids(&all).is_sorted_by(|one, other| one > other));
    has_shape(&all[0], RUN);
    assert_eq!((&all[0]["run_group_id"], &all[4]["run_group_id"]), (&json!(second), &json!(group)));
    assert!(all[0]["doc_id"].as_str().unwrap().starts_with("sha256-"));
    assert_eq!(all[0]["run_params"], json!({"param_id": "default", "workflow_id": "ingest", "source": "shed"}));
    assert_eq!(client.get(&format!("/api/v1/workflow/?batch_id={id}")).json(), all);
    assert_eq!(client.get("/api/v1/workflow/?batch_id=99").json(), json!([]));
    assert_eq!(client.get(&format!("/api/v1/workflow/runs?batch_id={id}")).json(), all);

    let mut paged = Vec::new();
    for page in 1..=3 {
        let found = client.get(&format!("/api/v1/workflow/?page={page}&rows_per_page=2&batch_id={id}")).json();
        assert_eq!(keys(&found), ["items", "total", "page", "rows_per_page", "total_pages"]);
        assert_eq!((&found["total"], &found["total_pages"], &found["page"]), (&json!(5), &json!(3), &json!(page)));
        paged.extend(ids(&found["items"]));
    }
    assert_eq!(paged, ids(&all));
    let beyond = client.get("/api/v1/workflow/?page=9").json();
    assert_eq!((&beyond["items"], &beyond["rows_per_page"], &beyond["total"]), (&json!([]), &json!(10), &json!(5)));
    for wrong in ["page=0", "page=-1", "page=one", "rows_per_page=0", "rows_per_page=100000"] {
        refused(&client.get(&format!("/api/v1/workflow/?{wrong}")), 400);
    }

    let detailed =
        client.get("/api/v1/workflow/?page=1&rows_per_page=1&include_steps=true&include_doc_info=true").json();
    let item = &detailed["items"][0];
    assert_eq!(keys(item), ["workflow_run", "steps", "document_info"]);
    has_shape(&item["steps"][4], STEP);
    assert_eq!(keys(&item["document_info"]), ["uri", "source", "file_size", "mime_type"]);
    assert_eq!(item["document_info"]["source"], "shed");
    let plain = client.get("/api/v1/workflow/?include_doc_info=true").json();
    assert_eq!((plain.as_array().unwrap().len(), &plain[0]["steps"]), (5, &Value::Null));
}

#[test]
fn runs_and_steps_are_found_by_status() {
    let web = Web::start();
    let client = Client::of(&web);
    let id = batch(&client, "shed");
    ingest(&client, "shed", "good.md", id, ROPES);
    ingest(&client, "shed", "bad.pdf", id, "%PDF-1.7 and nothing that follows from it");
    let group = start(&client, id, &[]);
    let ended = ended(&client, group);
    assert_eq!((&ended["status"], &ended["status_message"]), (&json!("FAILED"), &json!("1 of 2 runs failed")));

    let by = |status: &str| client.get(&format!("/api/v1/workflow/by-status?status={status}&batch_id={id}")).json();
    assert_eq!(by("COMPLETED").as_array().unwrap().len(), 1);
    let failed = by("FAILED");
    assert_eq!(failed.as_array().unwrap().len(), 1);
    assert!(failed[0]["status_message"].as_str().is_some_and(|it| !it.is_empty()), "{failed}");
    assert!(failed[0]["duration"].as_f64().is_some());
    for status in ["PENDING", "RUNNING", "ERROR", "CANCELLED", "pending"] {
        assert_eq!(by(status), json!([]), "{status}");
    }
    let page = client.get("/api/v1/workflow/by-status?status=FAILED&page=1&include_doc_info=1").json();
    assert_eq!((&page["total"], &page["total_pages"]), (&json!(1), &json!(1)));
    assert_eq!(page["items"][0]["document_info"]["uri"], "bad.pdf");
    refused(&client.get("/api/v1/workflow/by-status?status=WONDERFUL"), 400);
    refused(&client.get("/api/v1/workflow/by-status"), 400);

    let steps = |status: &str| client.get(&format!("/api/v1/workflow/steps?status={status}")).json();
    let failed = steps("FAILED");
    assert_eq!((failed.as_array().unwrap().len(), &failed[0]["workflow_step_name"]), (1, &json!("parse")));
    has_shape(&failed[0], STEP);
    assert!(failed[0]["status_message"].is_string() && failed[0]["retry"].as_i64() > Some(0));
    assert_eq!(steps("COMPLETED").as_array().unwrap().len(), 6);
    assert_eq!(steps("CANCELLED").as_array().unwrap().len(), 3);
    refused(&client.get("/api/v1/workflow/steps?status=x"), 400);

    let counts = client.get(&format!("/api/v1/workflow/run_groups/{group}/stats")).json();
    assert_eq!(
        counts,
        json!({"PENDING": 0, "RUNNING": 0, "COMPLETED": 1, "ERROR": 0, "FAILED": 1, "CANCELLED": 0, "SKIPPED": 0})
    );
    refused(&client.get("/api/v1/workflow/run_groups/99/stats"), 404);

    // Retry accepts it as a query parameter, as clients send it.
    let again = client.send("POST", &format!("/api/v1/workflow/retry?run_group_id={group}"), None);
    assert_eq!((again.status, &again.json()["runs"]), (201, &json!(1)));
    assert_eq!(crate::ended(&client, group)["status"], "FAILED");
    refused(&client.multipart("POST", "/api/v1/workflow/retry", &[text("run_group_id", "99")]), 404);
}

#[test]
fn a_step_that_waits_for_its_needs_reads_pending() {
    let web = Web::with("[pools]\nparse = 1\n\"*\" = 1\n");
    let client = Client::of(&web);
    fs::create_dir(web.home().join("workflows")).unwrap();
    let gate = web.home().join("gate");
    let text_of = format!(
        "id: gated\nsteps:\n  - name: wait\n    run: [sh, -c, 'until [ -e \"$0\" ]; do sleep 0.05; done', \"{}\"]\n  \
         - name: Then\n    run: [\"true\"]\n",
        gate.display()
    );
    fs::write(web.home().join("workflows/gated.yaml"), text_of).unwrap();
    let id = batch(&client, "shed");
    ingest(&client, "shed", "a.md", id, ROPES);
    let group = start(&client, id, &[text("workflow_definition_id", "gated")]);
    let running = crate::web::until("the first step runs", || {
        let steps = client.get("/api/v1/workflow/steps?status=RUNNING").json();
        steps.as_array().is_some_and(|it| it.len() == 1).then_some(steps)
    });
    assert_eq!((&running[0]["completed_date"], &running[0]["duration"]), (&Value::Null, &Value::Null));
    let waiting = client.get("/api/v1/workflow/steps?status=PENDING").json();
    assert_eq!((&waiting[0]["status"], &waiting[0]["step_type"]), (&json!("PENDING"), &json!("then")));
    assert_eq!((&waiting[0]["start_date"], &waiting[0]["worker_id"]), (&Value::Null, &Value::Null));
    let runs = client.get("/api/v1/workflow/by-status?status=RUNNING&page=1").json();
    assert_eq!(runs["total"], 1);
    assert_eq!(client.get(&format!("/api/v1/workflow/run_groups/{group}")).json()["status"], "RUNNING");
    fs::write(gate, "").unwrap();
    assert_eq!(ended(&client, group)["status"], "COMPLETED");
}

#[test]
fn a_run_is_shown_with_its_steps_and_its_history() {
    let (web, id, group) = worked();
    let client = Client::of(&web);
    let run = client.get(&format!("/api/v1/workflow/runs?batch_id={id}")).json()[0]["id"].as_i64().unwrap();
    let shown = client.get(&format!("/api/v1/workflow/runs/{run}")).json();
    has_shape(&shown, &format!("{RUN} steps"));
    assert_eq!(shown["steps"].as_array().unwrap().len(), 5);
    has_shape(&shown["steps"][0], STEP);
    refused(&client.get("/api/v1/workflow/runs/999"), 404);
    refused(&client.get("/api/v1/workflow/runs"), 400);

    let history = client.get(&format!("/api/v1/workflow/runs/{run}/lifecycle")).json();
    let history = history.as_array().unwrap();
    history.iter().for_each(|it| has_shape(it, HISTORY));
    let events: Vec<&str> = history.iter().map(|it| it["event"].as_str().unwrap()).collect();
    assert_eq!((events[0], events[events.len() - 1]), ("item_start", "item_end"));
    assert_eq!(events.iter().filter(|it| **it == "step_start").count(), 5);
    assert_eq!(events.iter().filter(|it| **it == "step_end").count(), 5);
    assert!(history.is_sorted_by_key(|it| it["start_date"].as_str().unwrap().to_string()));
    assert!(history.iter().all(|it| it["run_group_id"] == group && it["workflow_run_id"] == run));
    refused(&client.get("/api/v1/workflow/runs/999/lifecycle"), 404);
}

#[test]
fn one_document_can_be_worked_on_alone() {
    let web = Web::start();
    let client = Client::of(&web);
    let id = batch(&client, "shed");
    let hash = ingest(&client, "shed", "a.md", id, ROPES)["document_hash"].as_str().unwrap().to_string();
    ingest(&client, "shed", "b.md", id, KNOTS);
    for spelling in ["workflow_definiton_id", "workflow_definition_id"] {
        let form =
            [text("doc_id", &hash), text(spelling, "ingest"), text("param_id", "default"), text("priority", "1")];
        let started = client.multipart("POST", "/api/v1/workflow/", &form);
        assert_eq!(started.status, 201, "{}", started.text());
        let started = started.json();
        has_shape(&started[0], RUN);
        has_shape(&started[1][0], STEP);
        assert_eq!((&started[0]["doc_id"], &started[0]["batch_id"]), (&json!(hash), &json!(id)));
        let group = started[0]["run_group_id"].as_i64().unwrap();
        assert_eq!(ended(&client, group)["status"], "COMPLETED");
        refused(&client.multipart("POST", "/api/v1/workflow/", &[text("doc_id", &hash), text(spelling, "none")]), 404);
    }
    refused(&client.multipart("POST", "/api/v1/workflow/", &[text("doc_id", "sha256-00")]), 404);
    refused(&client.multipart("POST", "/api/v1/workflow/", &[]), 400);
}

#[test]
fn groups_are_listed_and_their_steps_measured() {
    let (web, id, group) = worked();
    let client = Client::of(&web);
    let empty = batch(&client, "other");
    let second = start(&client, empty, &[]);
    let all = client.get("/api/v1/workflow/run-groups").json();
    let ids: Vec<&Value> = all.as_array().unwrap().iter().map(|it| &it["id"]).collect();
    assert_eq!(ids, [&json!(second), &json!(group)]);
    has_shape(&all[1], GROUP);
    let of_batch = client.get(&format!("/api/v1/workflow/run-groups?batch_id={id}")).json();
    assert_eq!(of_batch, json!([all[1]]));
    assert_eq!(client.get(&format!("/api/v1/workflow/run_groups/{group}")).json(), all[1]);
    refused(&client.get("/api/v1/workflow/run_groups/99"), 404);

    let durations = client.get(&format!("/api/v1/stats/durations?run_group_id={group}")).json();
    let names: Vec<&Value> = durations.as_array().unwrap().iter().map(|it| &it["step_type"]).collect();
    assert_eq!(names, ["validate", "parse", "chunk", "embed", "store"]);
    let shape = "step_type count longest shortest average pages pages_per_min total_duration wall_clock_time";
    has_shape(&durations[0], shape);
    assert_eq!(durations[0]["count"], 2);
    let steps = client.get(&format!("/api/v1/stats/step-stats?run_group_id={group}")).json();
    has_shape(&steps[0], "name param_definition_id workflow_step_name status count pages");
    assert_eq!(
        (&steps[0]["name"], &steps[0]["status"], &steps[0]["count"]),
        (&json!("a batch"), &json!("COMPLETED"), &json!(2))
    );
    assert_eq!(client.get("/api/v1/stats/durations?run_group_id=99").json(), json!([]));
    refused(&client.get("/api/v1/stats/step-stats"), 400);
}

#[test]
fn the_result_of_a_run_is_an_answer_and_a_lost_one_is_502() {
    if !needs("python3") {
        return;
    }
    let web = Web::start();
    let client = Client::of(&web);
    let sdk = web.windlass(&["worker", "sdk", "python"]).output().unwrap();
    assert!(sdk.status.success());
    fs::write(web.home().join("windlass_worker.py"), sdk.stdout).unwrap();
    let script = "import os\nfrom windlass_worker import *\n@step\ndef work(ctx):\n    if ctx.item == 'lost':\n        os._exit(0)\n    return {'seen': ctx.item}\nrun()\n";
    fs::write(web.home().join("steps.py"), script).unwrap();
    let submit = |text: &str, item: &str| {
        let body = json!({"definition": text, "items": [item], "directory": web.home()});
        let made = web.post_json("/api/v1/groups", &body);
        assert_eq!(made.status, 201, "{}", made.text());
        let group = made.json()["group"].as_i64().unwrap();
        let run = web.get(&format!("/api/v1/runs?group={group}")).json()["runs"][0]["id"].as_i64().unwrap();
        (group, run)
    };
    let result = |run: i64| client.get(&format!("/api/v1/workflow/runs/{run}/result"));
    let done = |(group, run): (i64, i64)| {
        ended(&client, group);
        result(run)
    };
    let worker = "id: w\nworkers: { py: { command: [python3, steps.py] } }\nsteps: [{ name: work, worker: py }]";
    let good = done(submit(worker, "good"));
    assert_eq!((good.status, &good.json()["result"]), (200, &json!({"seen": "good"})), "{}", good.text());
    let lost = done(submit(worker, "lost"));
    assert_eq!((lost.status, &lost.json()["code"]), (502, &json!("result_lost")), "{}", lost.text());
    assert_eq!((&lost.json()["status_code"], keys(&lost.json())), (&json!(502), vec!["error", "status_code", "code"]));
    let silent = done(submit("id: s\nsteps: [{ name: a, run: 'true' }]", "x"));
    assert_eq!((silent.status, &silent.json()["result"]), (200, &json!("completed without output")));
    let failed = done(submit("id: f\nsteps: [{ name: a, run: 'exit 3' }]", "x"));
    assert_eq!((failed.status, &failed.json()["code"]), (500, &json!("exit")), "{}", failed.text());
    let slow = done(submit("id: t\nsteps: [{ name: a, timeout: 50ms, run: 'sleep 600' }]", "x"));
    assert_eq!((slow.status, &slow.json()["code"]), (504, &json!("timed_out")), "{}", slow.text());
    let (group, run) = submit("id: c\nsteps: [{ name: a, run: 'sleep 600' }]", "x");
    assert_eq!((result(run).status, &result(run).json()["code"]), (409, &json!("not_ended")));
    web.post_json(&format!("/api/v1/groups/{group}/cancel"), &json!({}));
    ended(&client, group);
    assert_eq!((result(run).status, &result(run).json()["code"]), (409, &json!("cancelled")));
    refused(&result(99_999), 404);
}
