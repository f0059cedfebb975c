//! Names of things outside the home: allowed only with the token, and never by a path that depends on its reader.

use crate::{
    KNOTS, batch,
    client::{Client, Field, text},
    ended, ingest, refused, start,
    web::{Answer, Web},
};
use serde_json::json;
use std::{
    fs,
    io::{Read, Write},
    net::TcpListener,
    path::Path,
};

const SETS: &str = "/api/v1/workflow/param-sets";

fn save(client: &Client, id: &str, config: &str) -> Answer {
    let yaml = format!("id: {id}\nconfig: {{ {config} }}\n");
    client.multipart("POST", SETS, &[text("yaml_content", &yaml)])
}

fn begin(client: &Client, batch: i64, more: &[(&str, &str)]) -> Answer {
    let mut fields = vec![text("batch_id", &batch.to_string())];
    fields.extend(more.iter().map(|(name, value)| text(name, value)));
    client.multipart("POST", "/api/v1/batch/start-workflows", &fields)
}

fn nothing_is_in(directory: &Path) -> bool {
    fs::read_dir(directory).unwrap().next().is_none()
}

#[test]
fn without_the_token_no_set_reaches_beyond_the_home() {
    let web = Web::with("api_open = true\n");
    let (open, known) = (Client::without_token(&web), Client::of(&web));
    let elsewhere = tempfile::tempdir().unwrap();
    let absolute = format!("store: {{path: {}/made/planted.db}}", elsewhere.path().display());
    let up = format!("store: {{path: {}/vectors/../../x.db}}", web.home().display());
    let outside = [
        absolute.as_str(),
        up.as_str(),
        "store: {path: ../../x}",
        "store: {path: x.db}",
        "store: {path: /etc/passwd}",
        "embed: {url: 'http://127.0.0.1:9', model: m}",
        "embed: {url: 'http://127.0.0.1:9', model: m, key: PATH}",
        "embed: {key: PATH}",
        "parse: {backend: docling, url: 'http://127.0.0.1:9'}",
    ];
    for config in outside {
        let answer = save(&open, "beyond", config);
        refused(&answer, 403);
        assert!(answer.json()["hint"].as_str().unwrap().contains("params/"), "{config}");
    }
    assert!(nothing_is_in(elsewhere.path()) && !web.home().join("params/beyond.yaml").exists());
    // What stays in the home is open to all, and so is a set made with the token.
    assert_eq!(save(&open, "inside", "chunk: {size: 200}, store: {path: inside}").status, 201);
    let own = format!("store: {{path: {}/vectors/own.db}}", web.home().display());
    assert_eq!(save(&open, "own", &own).status, 201);
    assert_eq!(save(&known, "elsewhere", &absolute).status, 201);
    let id = batch(&open, "shed");
    ingest(&open, "shed", "docs/knots.md", id, KNOTS);
    for (set, file) in
        [("inside", web.home().join("vectors/inside.db")), ("elsewhere", elsewhere.path().join("made/planted.db"))]
    {
        let group = start(&open, id, &[text("param_id", set)]);
        assert_eq!(ended(&open, group)["status"], "COMPLETED");
        assert!(file.exists(), "{set}");
    }
}

#[test]
fn without_the_token_limits_are_only_lowered() {
    let web = Web::with("api_open = true\nparameters = \"own\"\n");
    let (open, known) = (Client::without_token(&web), Client::of(&web));
    for (name, above) in [("memory", "1TiB"), ("timeout", "100d"), ("max_text", "1TiB"), ("max_bytes", "1TiB")] {
        let answer = save(&open, "greedy", &format!("parse: {{{name}: {above}}}"));
        refused(&answer, 403);
        assert!(answer.text().contains(&format!("`parse.{name}`")), "{name}: {}", answer.text());
    }
    assert!(!web.home().join("params/greedy.yaml").exists());
    let modest = "parse: {memory: 512MiB, timeout: 30s, max_text: 1MiB, max_bytes: 1MiB}";
    assert_eq!(save(&open, "modest", modest).status, 201);
    // The home's own set defines what is allowed.
    assert_eq!(save(&known, "own", "parse: {memory: 4GiB, timeout: 20s}").status, 201);
    assert_eq!(save(&open, "as-own", "parse: {memory: 4GiB, timeout: 10s}").status, 201);
    refused(&save(&open, "longer", "parse: {timeout: 21s}"), 403);
}

#[test]
fn without_the_token_no_address_of_this_machine_is_fetched() {
    let web = Web::with("api_open = true\n");
    let (open, known) = (Client::without_token(&web), Client::of(&web));
    let id = batch(&open, "shed");
    let secret = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = secret.local_addr().unwrap().port();
    let give = |client: &Client, address: &str| {
        let fields = [
            text("source", "shed"),
            text("source_uri", address),
            text("batch_id", &id.to_string()),
            text("input_uri", address),
        ];
        client.multipart("POST", "/api/v1/document/ingest-document", &fields)
    };
    for host in
        ["127.0.0.1", "localhost", "2130706433", "0x7f000001", "127.1", "0.0.0.0", "[::1]", "[::ffff:127.0.0.1]"]
    {
        let answer = give(&open, &format!("http://{host}:{port}/a.md"));
        refused(&answer, 403);
        assert!(answer.text().contains("private network"), "{host}: {}", answer.text());
    }
    for address in
        ["http://169.254.169.254/latest/meta-data", "http://10.0.0.1/", "http://192.168.1.1/", "http://[fd00::1]/"]
    {
        refused(&give(&open, address), 403);
    }
    secret.set_nonblocking(true).unwrap();
    assert!(secret.accept().is_err(), "it was connected to");
    secret.set_nonblocking(false).unwrap();
    let served = std::thread::spawn(move || {
        let (mut stream, _) = secret.accept().unwrap();
        let _ = stream.read(&mut [0; 4096]);
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\nConnection: close\r\n\r\n# A\n").unwrap();
    });
    let answer = give(&known, &format!("http://127.0.0.1:{port}/a.md"));
    assert_eq!(answer.status, 201, "{}", answer.text());
    served.join().unwrap();
}

#[test]
fn without_the_token_only_workflows_that_are_offered_are_started() {
    let web = Web::with("api_open = true\n");
    let (open, known) = (Client::without_token(&web), Client::of(&web));
    let file = web.home().join("mine.yaml");
    let flow = "id: mine\nsteps: [{ name: only, run: [\"true\"] }]\n";
    fs::write(&file, flow).unwrap();
    assert!(web.windlass(&["submit", file.to_str().unwrap()]).output().unwrap().status.success());
    let id = batch(&open, "shed");
    let hash = ingest(&open, "shed", "docs/knots.md", id, KNOTS)["document_hash"].as_str().unwrap().to_string();
    let mine = [("workflow_definition_id", "mine")];
    refused(&begin(&open, id, &mine), 403);
    let one = [text("doc_id", &hash), text("workflow_definition_id", "mine")];
    refused(&open.multipart("POST", "/api/v1/workflow/", &one), 403);
    assert_eq!(begin(&known, id, &mine).status, 201);
    // The owner offers it.
    fs::create_dir(web.home().join("workflows")).unwrap();
    fs::write(web.home().join("workflows/mine.yaml"), flow).unwrap();
    assert_eq!(begin(&open, id, &mine).status, 201);
}

#[test]
fn a_place_where_no_database_can_be_is_a_bad_request() {
    let web = Web::start();
    let client = Client::of(&web);
    let id = batch(&client, "shed");
    ingest(&client, "shed", "docs/knots.md", id, KNOTS);
    for (number, path) in
        ["/etc/passwd", "/etc/passwd/x.db", "/etc", "/dev/null", "../../x", "x.db", "./x"].into_iter().enumerate()
    {
        refused(&save(&client, "wrong", &format!("store: {{path: {path}}}")), 400);
        // A set placed by hand is refused only when it is used.
        fs::create_dir_all(web.home().join("params")).unwrap();
        let text = format!("id: hand{number}\nconfig: {{store: {{path: {path}}}}}\n");
        fs::write(web.home().join(format!("params/hand{number}.yaml")), text).unwrap();
        let answer = begin(&client, id, &[("param_id", &format!("hand{number}"))]);
        refused(&answer, 400);
        assert!(answer.json()["error"].as_str().unwrap().contains(path), "{}", answer.text());
    }
    assert!(!Path::new("x.db").exists());
}

#[test]
fn a_nul_in_a_text_is_refused_however_it_is_written() {
    let web = Web::start();
    let client = Client::of(&web);
    for yaml in [
        "id: n\nname: \"a\\0b\"\n",
        "id: n\nmeta: {note: [\"a\\x00b\"]}\n",
        "id: n\nmeta: {\"a\\0\": 1}\n",
        "id: n\nconfig: {store: {path: \"a\\0b\"}}\n",
    ] {
        let answer = client.multipart("POST", SETS, &[text("yaml_content", yaml)]);
        refused(&answer, 400);
        assert!(answer.json()["error"].as_str().unwrap().contains("NUL"), "{}", answer.text());
    }
    let flow = "id: f\nsteps: [{ name: a, run: [\"echo\", \"{{ item }}\"] }]\n";
    for group in [
        json!({"definition": flow.replace("echo", "a\\0b"), "items": ["x"]}),
        json!({"definition": flow, "items": ["a\0b"]}),
        json!({"definition": flow, "items": ["x"], "name": "a\0b"}),
        json!({"definition": flow, "items": ["x"], "key": "a\0b"}),
    ] {
        let answer = web.post_json("/api/v1/groups", &group);
        refused(&answer, 400);
        assert!(answer.json()["error"].as_str().unwrap().contains("NUL"), "{}", answer.text());
    }
    let id = batch(&client, "shed");
    for (odd, name) in [
        (text("doc_meta", "{\"a\": [\"\\u0000\"]}"), "a.md"),
        (text("doc_meta", "{\"\\u0000\": 1}"), "a.md"),
        (text("doc_meta", "{}"), "a\0.md"),
    ] {
        let file = Field::file("file", name, "text/markdown", b"# A\n");
        let fields = [text("source", "s"), text("source_uri", "u"), text("batch_id", &id.to_string()), odd, file];
        refused(&client.multipart("POST", "/api/v1/document/ingest-document", &fields), 400);
    }
    let state = [text("commit_sha", "x"), text("metadata", "{\"a\": {\"b\": \"\\u0000\"}}")];
    refused(&client.multipart("PUT", "/api/v1/sync-state/shed", &state), 400);
}
