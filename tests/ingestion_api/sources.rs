//! `/source-status` and `/sync-state`.

use crate::{
    KNOTS, ROPES, batch,
    client::{Client, Field, text},
    ingest, keys, refused,
    web::Web,
    worked,
};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

const STATUS: &str = "/api/v1/source-status";

fn hash(content: &str) -> String {
    hex::encode(Sha256::digest(content))
}

fn status_fields(hashes: &Value, more: &[Field]) -> Vec<Field> {
    [&[text("source", "shed"), text("hashes", &hashes.to_string())], more].concat()
}

#[test]
fn a_source_learns_what_is_new_and_what_has_changed() {
    let web = Web::start();
    let client = Client::of(&web);
    let id = batch(&client, "shed");
    ingest(&client, "shed", "same.md", id, ROPES);
    ingest(&client, "shed", "changed.md", id, ROPES);
    ingest(&client, "shed", "gone.md", id, KNOTS);
    ingest(&client, "other", "theirs.md", id, KNOTS);
    let hashes =
        json!({"same.md": hash(ROPES), "changed.md": format!("sha256-{}", hash(KNOTS)), "new.md": hash(KNOTS)});
    let expected = json!({
        "same.md": {"hash": hash(ROPES), "status": "match"},
        "changed.md": {"source_hash": hash(KNOTS), "stored_hash": hash(ROPES), "status": "mismatch"},
        "new.md": {"hash": hash(KNOTS), "status": "new"},
        "gone.md": {"hash": hash(KNOTS), "status": "deleted"},
    });
    for answer in [
        client.multipart("POST", STATUS, &status_fields(&hashes, &[])),
        client.urlencoded("POST", STATUS, &status_fields(&hashes, &[])),
    ] {
        assert_eq!((answer.status, answer.json()), (200, expected.clone()));
    }
    for wrong in ["[]", "{", "{\"a\": 1}", "{\"a\": {}}", ""] {
        refused(&client.multipart("POST", STATUS, &[text("source", "shed"), text("hashes", wrong)]), 400);
    }
    refused(&client.multipart("POST", STATUS, &[text("hashes", "{}")]), 400);
}

#[test]
fn an_etag_stands_for_a_hash_that_is_not_known() {
    let web = Web::start();
    let client = Client::of(&web);
    let id = batch(&client, "shed");
    ingest(&client, "shed", "a.md", id, ROPES);
    let status = |said: Value| {
        let answer = client.multipart("POST", STATUS, &status_fields(&json!({"a.md": said}), &[]));
        answer.json()["a.md"]["status"].as_str().unwrap().to_string()
    };
    assert_eq!(status(json!({"sha256": null, "etag": "v1"})), "mismatch");
    assert_eq!(status(json!({"sha256": hash(ROPES), "etag": "v1"})), "match");
    // The etag of this content is known from now on.
    assert_eq!(status(json!({"sha256": null, "etag": "v1"})), "match");
    assert_eq!(status(json!({"etag": "v2"})), "mismatch");
    assert_eq!(status(json!({"sha256": hash(KNOTS), "etag": "v1"})), "mismatch");
    // Other content has another etag.
    ingest(&client, "shed", "a.md", id, KNOTS);
    assert_eq!(status(json!({"etag": "v1"})), "mismatch");
}

#[test]
fn stale_documents_are_deleted_when_that_is_asked_for() {
    let (web, _, _) = worked();
    let client = Client::of(&web);
    let stale = [text("delete_stale", "true")];
    // A source that could not be read deletes nothing.
    let empty = client.multipart("POST", STATUS, &status_fields(&json!({}), &stale)).json();
    assert_eq!((keys(&empty), &empty["deleted_count"]), (vec!["status", "deleted_count"], &json!(0)));
    let hashes = json!({"docs/ropes.md": hash(ROPES)});
    let answer = client.multipart("POST", STATUS, &status_fields(&hashes, &stale)).json();
    assert_eq!(answer["deleted_count"], 1);
    assert_eq!(answer["status"]["docs/knots.md"]["status"], "deleted");
    assert_eq!(answer["status"]["docs/ropes.md"]["status"], "match");
    let left = client.get("/api/v1/lancedb/documents?db=default").json();
    assert_eq!((&left["document_count"], &left["documents"][0]["uri"]), (&json!(1), &json!("docs/ropes.md")));
    assert_eq!(client.get("/api/v1/document/?source=shed").json().as_array().unwrap().len(), 1);
}

#[test]
fn a_sync_state_is_kept_merged_and_forgotten() {
    let web = Web::start();
    let client = Client::of(&web);
    for source in ["gitea:admin:myrepo", "github/owner/repo", "a%20b"] {
        let path = format!("/api/v1/sync-state/{source}");
        refused(&client.get(&path), 404);
        let put = client.multipart("PUT", &path, &[text("commit_sha", "abc123"), text("metadata", "{\"a\": 1}")]);
        assert_eq!(put.status, 200, "{}", put.text());
        let state = put.json();
        assert_eq!(keys(&state), ["source_id", "last_commit_sha", "last_sync_date", "branch", "metadata"]);
        assert_eq!((&state["source_id"], &state["branch"]), (&json!(source.replace("%20", " ")), &json!("main")));
        let form = [text("commit_sha", "def"), text("branch", "dev"), text("metadata", "{\"b\": \"x\"}")];
        client.urlencoded("PUT", &path, &form);
        let state = client.get(&path).json();
        assert_eq!((&state["last_commit_sha"], &state["branch"]), (&json!("def"), &json!("dev")));
        assert_eq!(state["metadata"], json!({"a": 1, "b": "x"}));
        refused(&client.multipart("PUT", &path, &[text("branch", "dev")]), 400);
        refused(&client.multipart("PUT", &path, &[text("commit_sha", "x"), text("metadata", "[]")]), 400);
        let gone = client.send("DELETE", &path, None);
        assert_eq!((gone.status, keys(&gone.json())), (200, vec!["message"]));
        refused(&client.send("DELETE", &path, None), 404);
    }
}
