//! `/lancedb`: vector databases.

use crate::{
    client::{Client, quoted, text},
    keys, refused,
    web::Web,
    worked,
};
use serde_json::json;
use std::process::Stdio;

#[test]
fn vector_databases_are_listed_described_and_read() {
    let empty = Web::start();
    let none = Client::of(&empty).get("/api/v1/lancedb/list").json();
    assert_eq!((&none["database_count"], &none["databases"]), (&json!(0), &json!([])));

    let (web, _, _) = worked();
    let client = Client::of(&web);
    let list = client.get("/api/v1/lancedb/list").json();
    assert_eq!(keys(&list), ["status", "lancedb_dir", "database_count", "databases"]);
    let database = &list["databases"][0];
    assert_eq!(keys(database), ["name", "path", "size_bytes", "size_human"]);
    assert_eq!((&list["status"], &database["name"]), (&json!("ok"), &json!("default")));
    assert!(database["size_bytes"].as_u64() > Some(0) && database["size_human"].as_str().unwrap().ends_with("KB"));

    let info = client.get("/api/v1/lancedb/info?db=default").json();
    let shape = ["status", "path", "versions", "embeddings", "documents", "chunks", "vector_index", "tables"];
    assert_eq!(keys(&info), shape);
    assert_eq!(keys(&info["embeddings"]), ["provider", "model", "vector_dim"]);
    assert_eq!(info["embeddings"]["provider"], "static");
    assert_eq!((&info["documents"]["count"], &info["chunks"]["count"]), (&json!(2), &json!(2)));
    assert_eq!(keys(&info["vector_index"]), ["exists", "indexed_rows", "unindexed_rows"]);
    for name in ["none", "../engine", "/etc/passwd", ".", "", "default/../default"] {
        let path = format!("/api/v1/lancedb/info?db={}", quoted(name, true));
        refused(&client.get(&path), if name.is_empty() { 400 } else { 404 });
    }
}

#[test]
fn documents_are_filtered_by_an_expression_that_never_becomes_sql() {
    let (web, _, _) = worked();
    let client = Client::of(&web);
    let documents = |query: &str| client.get(&format!("/api/v1/lancedb/documents?db=default{query}"));
    let all = documents("").json();
    assert_eq!(keys(&all), ["status", "path", "document_count", "documents"]);
    assert_eq!(
        keys(&all["documents"][0]),
        ["id", "uri", "title", "created_at", "updated_at", "chunk_count", "metadata"]
    );
    assert_eq!((&all["document_count"], &all["documents"][0]["title"]), (&json!(2), &json!("Knots")));
    assert_eq!(documents("&limit=1&offset=1").json()["documents"][0]["title"], "Ropes");
    assert_eq!(documents("&limit=0").json()["document_count"], 0);
    let filtered = |filter: &str| documents(&format!("&filter={}", quoted(filter, true)));
    assert_eq!(filtered("uri = 'docs/ropes.md' AND source = 'shed'").json()["document_count"], 1);
    assert_eq!(filtered("title LIKE '%ot%' OR title = 'Ropes'").json()["document_count"], 2);
    for wrong in ["1=1; DROP TABLE document", "uri = 'a' --", "(SELECT 1)", "uri IN ('a')", "uri ="] {
        refused(&filtered(wrong), 400);
    }
    assert_eq!(documents("").json()["document_count"], 2);
    refused(&documents("&limit=many"), 400);
    refused(&client.get("/api/v1/lancedb/documents?db=none"), 404);
}

#[test]
fn a_vacuum_never_waits() {
    let (web, _, _) = worked();
    let client = Client::of(&web);
    let path = "/api/v1/lancedb/vacuum";
    let done = client.get(&format!("{path}?db=default"));
    assert_eq!((done.status, &done.json()["status"]), (200, &json!("ok")));
    assert_eq!(client.multipart("POST", path, &[text("db", "default")]).status, 200);
    assert_eq!(client.send("POST", &format!("{path}?db=default.db"), None).status, 200);
    refused(&client.get(&format!("{path}?db=none")), 404);
    refused(&client.get(path), 400);

    let info = client.get("/api/v1/lancedb/info?db=default").json();
    let key = format!("vec:{}", info["path"].as_str().unwrap());
    let gate = web.home().join("gate");
    let script = format!("until [ -e '{}' ]; do sleep 0.05; done", gate.display());
    let mut command = web.windlass(&["locks", "hold", &key, "--", "sh", "-c", &script]);
    let mut holder = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    crate::web::until("the key is held", || {
        let answer = client.get(&format!("{path}?db=default"));
        (answer.status == 409).then(|| refused(&answer, 409))
    });
    let begun = std::time::Instant::now();
    refused(&client.send("POST", &format!("{path}?db=default"), None), 409);
    assert!(begun.elapsed() < std::time::Duration::from_secs(5), "it waited");
    std::fs::write(gate, "").unwrap();
    assert!(crate::web::wait(&mut holder).success());
    assert_eq!(client.get(&format!("{path}?db=default")).status, 200);
}

#[test]
fn a_vacuum_by_get_needs_what_one_by_post_needs() {
    let web = Web::with("read_open = true\n");
    let client = Client::without_token(&web);
    assert_eq!(client.get("/api/v1/lancedb/list").status, 200);
    for method in ["GET", "POST"] {
        refused(&client.send(method, "/api/v1/lancedb/vacuum?db=default", None), 401);
    }
}
