//! `/document`: uploads and lists.

use crate::{
    DOCUMENT, KNOTS, ROPES, batch,
    client::{Client, Field, text},
    ended, has_shape, ingest, keys, refused, start, upload,
    web::Web,
};
use serde_json::json;
use sha2::{Digest, Sha256};
use std::{
    fs,
    io::{Read, Write},
    net::TcpListener,
    thread,
};

const INGEST: &str = "/api/v1/document/ingest-document";

#[test]
fn an_upload_is_answered_with_what_it_became() {
    let web = Web::start();
    let client = Client::of(&web);
    let id = batch(&client, "shed");
    let answer = ingest(&client, "shed", "/docs/ropes.md", id, ROPES);
    assert_eq!(keys(&answer), ["batch_id", "document_uri", "document_hash", "source", "uri_id"]);
    let hash = format!("sha256-{}", hex::encode(Sha256::digest(ROPES)));
    assert_eq!((&answer["batch_id"], &answer["document_uri"]), (&json!(id), &json!("/docs/ropes.md")));
    assert_eq!((&answer["document_hash"], &answer["source"]), (&json!(hash), &json!("shed")));

    // The same content is the same document; other content is its next version.
    assert_eq!(ingest(&client, "shed", "/docs/ropes.md", id, ROPES)["uri_id"], answer["uri_id"]);
    let listed = client.get("/api/v1/document/?source=shed").json();
    has_shape(&listed[0], DOCUMENT);
    assert_eq!((&listed[0]["version"], &listed[0]["doc_hash"]), (&json!(1), &json!(hash)));
    ingest(&client, "shed", "/docs/ropes.md", id, KNOTS);
    let listed = client.get(&format!("/api/v1/document/?batch_id={id}")).json();
    assert_eq!((listed.as_array().unwrap().len(), &listed[0]["version"]), (1, &json!(2)));
    assert_eq!((&listed[0]["id"], &listed[0]["uri"]), (&answer["uri_id"], &json!("/docs/ropes.md")));
}

#[test]
fn a_document_of_another_batch_stays_there() {
    let web = Web::start();
    let client = Client::of(&web);
    let (first, second) = (batch(&client, "shed"), batch(&client, "shed"));
    let known = ingest(&client, "shed", "a.md", first, ROPES);
    for content in [ROPES, KNOTS] {
        let answer = client.multipart("POST", INGEST, &upload("shed", "a.md", second, content));
        assert_eq!(answer.status, 203, "{}", answer.text());
        let answer = answer.json();
        assert_eq!((&answer["batch_id"], &answer["uri_id"]), (&json!(first), &known["uri_id"]));
    }
    assert_eq!(client.get(&format!("/api/v1/document/?batch_id={second}")).json(), json!([]));
    // Another source may use the same name for its own document.
    assert_eq!(ingest(&client, "other", "a.md", second, ROPES)["batch_id"], second);
}

#[test]
fn what_is_no_document_is_refused() {
    let web = Web::start();
    let client = Client::of(&web);
    let id = batch(&client, "shed").to_string();
    let base = [text("source", "shed"), text("source_uri", "a.md"), text("batch_id", &id)];
    let file = Field::file("file", "a.md", "text/markdown", ROPES.as_bytes());
    let post = |fields: &[Field]| client.multipart("POST", INGEST, fields);
    refused(&post(&base), 400);
    refused(&post(&[&base[..2], std::slice::from_ref(&file)].concat()), 400);
    refused(&post(&[&base[1..], std::slice::from_ref(&file)].concat()), 400);
    for (name, value) in
        [("doc_meta", "[1]"), ("doc_meta", "{"), ("priority", "high"), ("batch_id", "x"), ("source", "a\0b")]
    {
        refused(&post(&[&base[..], &[text(name, value), file.clone()]].concat()), 400);
    }
    refused(&post(&[&base[..2], &[text("batch_id", "99"), file.clone()]].concat()), 404);
    for input in ["ftp://host/a.md", "a.md", "http://127.0.0.1:1/none.md", "file:///no/such/file.md"] {
        refused(&post(&[&base[..], &[text("input_uri", input)]].concat()), 400);
    }
    refused(&client.get("/api/v1/document/"), 400);
    refused(&client.send("POST", INGEST, Some(("application/json", b"{}"))), 415);
    refused(&client.send("POST", INGEST, Some(("multipart/form-data", b""))), 400);
    let broken = "multipart/form-data; boundary=x";
    refused(&client.send("POST", INGEST, Some((broken, b"--x\r\nContent-Disposition: form-data"))), 400);
    assert_eq!(client.get("/api/v1/document/?source=shed").json(), json!([]));
}

#[test]
fn a_file_of_any_size_is_taken_as_a_stream_and_one_beyond_the_bound_is_refused() {
    let web = Web::with("http.body = \"3MiB\"\n");
    let client = Client::of(&web);
    let id = batch(&client, "shed");
    // Noise, so that compression does not hide its size.
    let mut state = 7u64;
    let large: String = (0..2 << 20)
        .map(|_| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            char::from(b'a' + (state >> 59) as u8 % 26)
        })
        .collect();
    let answer = ingest(&client, "shed", "large.txt", id, &large);
    assert_eq!(answer["document_hash"], format!("sha256-{}", hex::encode(Sha256::digest(&large))));
    let beyond = client.multipart("POST", INGEST, &upload("shed", "beyond.txt", id, &large.repeat(2)));
    refused(&beyond, 413);
    let left = fs::read_dir(web.home().join("artifacts")).unwrap().flatten();
    let left: Vec<_> = left.filter(|it| it.file_name().to_string_lossy().starts_with(".tmp")).collect();
    assert!(left.is_empty(), "{left:?}");
}

/// Answers one request with this.
fn serve_once(answer: String) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut request = [0; 4096];
        let _ = stream.read(&mut request);
        let _ = stream.write_all(answer.as_bytes());
    });
    format!("http://{address}/docs/ropes.md?v=1")
}

#[test]
fn a_document_is_fetched_from_where_it_is() {
    let web = Web::start();
    let client = Client::of(&web);
    let id = batch(&client, "shed");
    let take = |uri: &str, input: &str| {
        let fields = [
            text("source", "shed"),
            text("source_uri", uri),
            text("batch_id", &id.to_string()),
            text("input_uri", input),
        ];
        client.multipart("POST", INGEST, &fields)
    };
    let hash = format!("sha256-{}", hex::encode(Sha256::digest(ROPES)));
    let head = "HTTP/1.1 200 OK\r\nContent-Type: text/markdown\r\nETag: \"v1\"\r\nConnection: close\r\n";
    let answer = take("web", &serve_once(format!("{head}Content-Length: {}\r\n\r\n{ROPES}", ROPES.len())));
    assert_eq!((answer.status, &answer.json()["document_hash"]), (201, &json!(hash)));
    refused(&take("gone", &serve_once("HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n".into())), 400);
    refused(&take("vast", &serve_once(format!("{head}Content-Length: 999999999999\r\n\r\n"))), 400);
    refused(&take("tls", "https://127.0.0.1/a.md"), 400);

    let path = web.home().join("on disk.md");
    fs::write(&path, ROPES).unwrap();
    let uri = format!("file://{}", path.display()).replace(' ', "%20");
    assert_eq!(take("disk", &uri).json()["document_hash"], hash);
}

#[test]
fn with_api_open_no_token_is_needed_but_files_of_the_machine_stay_closed() {
    let web = Web::with("api_open = true\n");
    let client = Client::without_token(&web);
    let id = batch(&client, "shed");
    ingest(&client, "shed", "a.md", id, ROPES);
    let fields = [
        text("source", "shed"),
        text("source_uri", "b.md"),
        text("batch_id", &id.to_string()),
        text("input_uri", "file:///etc/hostname"),
    ];
    refused(&client.multipart("POST", INGEST, &fields), 403);
    let closed = Web::start();
    let client = Client::without_token(&closed);
    refused(&client.multipart("POST", "/api/v1/batch/", &[text("source", "x"), text("name", "y")]), 401);
}

#[test]
fn what_is_not_said_again_stays_as_it_was_said() {
    let web = Web::start();
    let client = Client::of(&web);
    let (first, second) = (batch(&client, "shed"), batch(&client, "shed"));
    let send = |batch: i64, more: &[Field]| {
        let page = b"<html><title>Knots</title><h1>Knots</h1><p>A bowline does not slip.</p></html>";
        let file = Field::file("file", "blob", "binary/octet-stream", page);
        let base = [text("source", "shed"), text("source_uri", "id-17"), text("batch_id", &batch.to_string()), file];
        client.multipart("POST", INGEST, &[&base[..], more].concat()).status
    };
    let said = [text("doc_meta", "{\"author\": \"Ann\"}"), text("mime_type", "text/html")];
    assert_eq!(send(first, &said), 201);
    assert_eq!((send(first, &[]), send(second, &[text("doc_meta", "{}")])), (201, 203));
    let group = start(&client, first, &[]);
    assert_eq!(ended(&client, group)["status"], "COMPLETED");
    let documents = client.get("/api/v1/lancedb/documents?db=default").json();
    let document = &documents["documents"][0];
    assert_eq!((&document["title"], &document["metadata"]["author"]), (&json!("Knots"), &json!("Ann")));
}

#[test]
fn an_upload_beyond_the_disk_is_a_507() {
    let web = Web::with("disk_reserve = \"10000GiB\"\n");
    let client = Client::of(&web);
    let id = batch(&client, "shed");
    refused(&client.multipart("POST", INGEST, &upload("shed", "a.md", id, ROPES)), 507);
}

#[test]
fn metadata_and_odd_names_reach_the_vector_database() {
    let web = Web::start();
    let client = Client::of(&web);
    let id = batch(&client, "shed");
    let fields = [
        text("source", "shed"),
        text("source_uri", "id-17"),
        text("batch_id", &id.to_string()),
        text("doc_meta", "{\"author\": \"Ann\", \"etag\": \"v7\"}"),
        Field::file("file", "ü \"ropes\".md", "application/octet-stream", ROPES.as_bytes()),
    ];
    assert_eq!(client.multipart("POST", INGEST, &fields).status, 201);
    let group = start(&client, id, &[]);
    assert_eq!(ended(&client, group)["status"], "COMPLETED");
    let documents = client.get("/api/v1/lancedb/documents?db=default").json();
    let document = &documents["documents"][0];
    assert_eq!((&document["uri"], &document["title"]), (&json!("id-17"), &json!("Ropes")));
    assert_eq!(document["metadata"]["author"], "Ann");
}
