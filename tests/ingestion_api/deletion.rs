//! Deletions, and what is deleted along with a document or group.

use crate::{
    KNOTS, ROPES, batch,
    client::{Client, quoted, text},
    ended, ingest, keys, refused, start,
    support::binary::Windlass,
    web::Web,
    worked,
};
use serde_json::{Value, json};
use sha2::Digest;
use std::{fs, path::Path, process::Stdio};
use windlass::vector::{OpenOptions, VectorDb};

const BY_URI: &str = "/api/v1/document/by-uri";
const STATISTICS: [&str; 7] = [
    "deleted_document_uris",
    "deleted_uri_history",
    "deleted_documents",
    "deleted_workflow_runs",
    "deleted_run_steps",
    "deleted_lifecycle_history",
    "total_deleted",
];

fn uris(client: &Client) -> Vec<Value> {
    let found = client.get("/api/v1/lancedb/documents?db=default").json();
    found["documents"].as_array().unwrap().iter().map(|it| it["uri"].clone()).collect()
}

/// The number of artifact files on disk.
fn files(home: &Path) -> usize {
    let shards = fs::read_dir(home.join("artifacts")).unwrap().flatten().filter(|it| it.path().is_dir());
    shards.map(|it| fs::read_dir(it.path()).unwrap().count()).sum()
}

fn doctor(web: &Web) {
    let output = web.windlass(&["doctor"]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
}

#[test]
fn the_last_uri_of_a_content_takes_everything_with_it() {
    let (web, id, group) = worked();
    let client = Client::of(&web);
    assert_eq!(uris(&client), ["docs/knots.md", "docs/ropes.md"]);
    let before = files(web.home());
    let runs = client.get(&format!("/api/v1/workflow/?batch_id={id}&include_doc_info=true")).json();
    let is_ropes = |it: &&Value| it["document_info"]["uri"] == "docs/ropes.md";
    let run = &runs.as_array().unwrap().iter().find(is_ropes).unwrap()["workflow_run"]["id"];
    let history = client.get(&format!("/api/v1/workflow/runs/{run}/lifecycle")).json().as_array().unwrap().len();
    // As multipart with DELETE, and in one transaction.
    let form = [text("uri", "docs/ropes.md"), text("source", "shed")];
    let deleted = client.multipart("DELETE", BY_URI, &form);
    assert_eq!(deleted.status, 200, "{}", deleted.text());
    let deleted = deleted.json();
    assert_eq!(keys(&deleted), ["message", "uri", "source", "statistics"]);
    assert_eq!(keys(&deleted["statistics"]), STATISTICS);
    let count = |name: &str| deleted["statistics"][name].as_i64().unwrap();
    assert_eq!((count("deleted_document_uris"), count("deleted_uri_history"), count("deleted_documents")), (1, 1, 1));
    assert_eq!((count("deleted_workflow_runs"), count("deleted_run_steps")), (1, 5));
    assert_eq!((count("deleted_lifecycle_history"), history), (history as i64, 12));
    let parts: i64 = STATISTICS[..6].iter().map(|it| count(it)).sum();
    assert_eq!(count("total_deleted"), parts);

    assert_eq!(uris(&client), ["docs/knots.md"]);
    // The upload, which is its own Markdown, the structure, the chunks and the embeddings.
    assert_eq!(files(web.home()), before - 4);
    assert_eq!(client.get("/api/v1/document/?source=shed").json().as_array().unwrap().len(), 1);
    assert_eq!(client.get(&format!("/api/v1/workflow/?batch_id={id}")).json().as_array().unwrap().len(), 1);
    let counts = client.get(&format!("/api/v1/workflow/run_groups/{group}/stats")).json();
    assert_eq!(counts["COMPLETED"], 1);
    refused(&client.multipart("DELETE", BY_URI, &form), 404);
    doctor(&web);

    // It can be uploaded again.
    ingest(&client, "shed", "docs/ropes.md", id, ROPES);
    let group = start(&client, id, &[]);
    assert_eq!(ended(&client, group)["status"], "COMPLETED");
    assert_eq!(uris(&client), ["docs/knots.md", "docs/ropes.md"]);
}

#[test]
fn a_content_that_another_uri_has_stays() {
    let (web, id, _) = worked();
    let client = Client::of(&web);
    ingest(&client, "shed", "docs/copy of ropes.md", id, ROPES);
    let group = start(&client, id, &[]);
    ended(&client, group);
    assert_eq!(uris(&client).len(), 3);
    let before = files(web.home());
    // As a query, which aiohttp sends with `params`.
    let query = format!("{BY_URI}?uri={}&source=shed", quoted("docs/copy of ropes.md", true));
    let deleted = client.send("DELETE", &query, None).json();
    assert_eq!(deleted["statistics"]["total_deleted"], 2);
    assert_eq!(deleted["statistics"]["deleted_documents"], 0);
    assert_eq!(uris(&client), ["docs/knots.md", "docs/ropes.md"]);
    assert_eq!(files(web.home()), before);
    // As urlencoded with DELETE.
    let form = [text("uri", "docs/ropes.md"), text("source", "shed")];
    let deleted = client.urlencoded("DELETE", BY_URI, &form).json();
    assert_eq!(deleted["statistics"]["deleted_workflow_runs"], 2);
    assert_eq!(uris(&client), ["docs/knots.md"]);
    assert_eq!(files(web.home()), before - 4);
    doctor(&web);
    refused(&client.send("DELETE", BY_URI, None), 400);
    refused(&client.send("DELETE", &format!("{BY_URI}?uri=docs/knots.md&source=other"), None), 404);
}

#[test]
fn a_document_that_is_worked_on_is_cancelled_and_deleted() {
    let web = Web::start();
    let client = Client::of(&web);
    fs::create_dir(web.home().join("workflows")).unwrap();
    let text_of = "id: slow\nsteps: [{ name: sleep, run: [sleep, \"600\"] }, { name: after, run: [\"true\"] }]\n";
    fs::write(web.home().join("workflows/slow.yaml"), text_of).unwrap();
    let id = crate::batch(&client, "shed");
    ingest(&client, "shed", "a.md", id, ROPES);
    ingest(&client, "shed", "b.md", id, KNOTS);
    let group = start(&client, id, &[text("workflow_definition_id", "slow")]);
    crate::web::until("both run", || {
        let running = client.get("/api/v1/workflow/by-status?status=RUNNING&page=1").json();
        (running["total"] == 2).then_some(())
    });
    let deleted = client.send("DELETE", &format!("{BY_URI}?uri=a.md&source=shed"), None);
    assert_eq!((deleted.status, &deleted.json()["statistics"]["deleted_run_steps"]), (200, &json!(2)));

    let deleted = client.send("DELETE", &format!("/api/v1/workflow/run_groups/{group}"), None);
    assert_eq!(deleted.status, 200, "{}", deleted.text());
    let statistics = &deleted.json()["statistics"];
    let names =
        ["deleted_runsteps", "deleted_lifecyclehistory", "deleted_workflowruns", "deleted_rungroups", "total_deleted"];
    assert_eq!(keys(statistics), names);
    assert_eq!((&statistics["deleted_runsteps"], &statistics["deleted_workflowruns"]), (&json!(2), &json!(1)));
    refused(&client.send("DELETE", &format!("/api/v1/workflow/run_groups/{group}"), None), 404);
    refused(&client.get(&format!("/api/v1/workflow/run_groups/{group}")), 404);
    doctor(&web);
}

#[test]
fn contents_that_nobody_has_any_more_are_cleaned_up() {
    let (web, id, _) = worked();
    let client = Client::of(&web);
    let orphans = || client.send("POST", "/api/v1/document/cleanup-orphans", None).json();
    assert_eq!(keys(&orphans()), ["message", "statistics"]);
    assert_eq!(orphans()["statistics"], json!({"deleted_documents": 0, "deleted_history": 0}));
    let before = files(web.home());
    ingest(&client, "shed", "docs/ropes.md", id, "# Ropes\n\nNylon stretches.\n");
    assert_eq!(orphans()["statistics"], json!({"deleted_documents": 1, "deleted_history": 1}));
    assert_eq!(files(web.home()), before + 1 - 4);
    assert_eq!(orphans()["statistics"]["deleted_documents"], 0);
    doctor(&web);
}

#[test]
fn a_held_lock_delays_the_removal_from_a_vector_database_and_loses_nothing() {
    let (web, _, _) = worked();
    let client = Client::of(&web);
    let info = client.get("/api/v1/lancedb/info?db=default").json();
    let key = format!("vec:{}", info["path"].as_str().unwrap());
    let (held, gate) = (web.home().join("held"), web.home().join("gate"));
    let script = format!("touch '{}'; until [ -e '{}' ]; do sleep 0.05; done", held.display(), gate.display());
    let mut command = web.windlass(&["locks", "hold", &key, "--", "sh", "-c", &script]);
    let mut holder = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    crate::web::until("the key is held", || held.exists().then_some(()));
    let deleted = client.send("DELETE", &format!("{BY_URI}?uri=docs/ropes.md&source=shed"), None);
    assert_eq!((deleted.status, &deleted.json()["statistics"]["deleted_documents"]), (200, &json!(1)));
    // It is no longer found, although it still exists.
    assert_eq!(uris(&client), ["docs/knots.md"]);
    let found = client.get("/api/v1/search?q=hemp&mode=text&db=default").json();
    assert_eq!(found["hits"], json!([]), "{found}");
    let database = web.home().join("vectors/default.db");
    let stored = || VectorDb::open(&database, &OpenOptions::default()).unwrap().hashes("shed").unwrap().len();
    assert_eq!(stored(), 2);
    fs::write(gate, "").unwrap();
    assert!(crate::web::wait(&mut holder).success());
    crate::web::until("the daemon takes it out", || (stored() == 1).then_some(()));
    assert_eq!(uris(&client), ["docs/knots.md"]);
}

/// Uploads, deletions and kills of the daemon, in an order determined by a number.
#[test]
fn after_kills_in_the_middle_what_is_found_is_what_was_acknowledged_last() {
    let home = tempfile::tempdir().unwrap();
    fs::write(home.path().join("windlass.toml"), "").unwrap();
    let mut web = Web::on(home.path(), &[]);
    let mut batch = None;
    let mut model: std::collections::BTreeMap<String, Option<String>> = Default::default();
    let mut state = 0x5EED_u64;
    let mut below = move |bound: u64| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % bound
    };
    for round in 0..6 {
        let client = Client::of(&web);
        let id = *batch.get_or_insert_with(|| crate::batch(&client, "shed"));
        for _ in 0..12 {
            let uri = format!("doc-{}.md", below(5));
            match below(4) {
                0 => {
                    let deleted = client.send("DELETE", &format!("{BY_URI}?uri={uri}&source=shed"), None);
                    assert!([200, 404].contains(&deleted.status), "{}", deleted.text());
                    model.insert(uri, None);
                }
                _ => {
                    let content = format!("# Version\n\nround{round} word{}\n", below(4));
                    ingest(&client, "shed", &uri, id, &content);
                    start(&client, id, &[text("only_unparsed", "true")]);
                    model.insert(uri, Some(content));
                }
            }
        }
        std::thread::sleep(std::time::Duration::from_millis(below(400)));
        web.child.kill().unwrap();
        web.child.wait().unwrap();
        web = Web::on(home.path(), &[]);
    }
    let client = Client::of(&web);
    crate::web::until("everything ends", || {
        let open = ["PENDING", "RUNNING", "ERROR"].iter().all(|status| {
            let found = client.get(&format!("/api/v1/workflow/by-status?status={status}&page=1")).json();
            found["total"] == 0
        });
        open.then_some(())
    });
    let hash = |text: &String| windlass::model::ArtifactHash(sha2::Sha256::digest(text).into());
    let wanted: std::collections::HashMap<_, _> =
        model.iter().filter_map(|(uri, text)| Some((uri.clone(), hash(text.as_ref()?)))).collect();
    let database = home.path().join("vectors/default.db");
    crate::web::until("what is found is what was acknowledged", || {
        let stored = VectorDb::open(&database, &OpenOptions::default()).unwrap().hashes("shed").unwrap();
        (stored == wanted).then_some(())
    });
    doctor(&web);
}

#[test]
fn a_group_that_a_restore_held_takes_nothing_out_of_a_foreign_database() {
    let place = tempfile::tempdir().unwrap();
    let (old, new) = (place.path().join("old"), place.path().join("new"));
    fs::create_dir(&old).unwrap();
    fs::write(old.join("windlass.toml"), "[pools]\nnone = 1\n").unwrap();
    let web = Web::on(&old, &[]);
    let client = Client::of(&web);
    let id = batch(&client, "shed");
    ingest(&client, "shed", "docs/ropes.md", id, ROPES);
    let group = start(&client, id, &[]);
    drop(web);
    let theirs = place.path().canonicalize().unwrap().join("theirs.db");
    let set = "UPDATE group_detail SET params = json_set(params, '$.store.path', ?1)";
    let engine = rusqlite::Connection::open(old.join("engine.db")).unwrap();
    assert_eq!(engine.execute(set, [theirs.to_str().unwrap()]).unwrap(), 1);
    drop(engine);
    let backup = place.path().join("b.zip");
    let run = |home: &Path, arguments: &[&str]| Windlass::on(home).args(arguments).ends(0).err;
    run(&old, &["backup", backup.to_str().unwrap()]);
    let said = run(&new, &["restore", backup.to_str().unwrap()]);
    assert!(said.contains("would write there and is paused"), "{said}");

    let web = Web::on(&new, &[]);
    let client = Client::of(&web);
    run(&new, &["cancel", &format!("g{group}")]);
    assert_eq!(ended(&client, group)["status"], "CANCELLED");
    let form = [text("uri", "docs/ropes.md"), text("source", "shed")];
    let deleted = client.multipart("DELETE", BY_URI, &form);
    assert_eq!(deleted.status, 200, "{}", deleted.text());
    let engine = rusqlite::Connection::open(new.join("engine.db")).unwrap();
    let noted = "SELECT count(*) FROM document_removal WHERE database = ?1";
    assert_eq!(engine.query_row(noted, [theirs.to_str().unwrap()], |row| row.get::<_, i64>(0)).unwrap(), 0);
    doctor(&web);
}
