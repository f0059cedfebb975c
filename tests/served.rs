//! Models and document readers on a server: the real binary against a server that answers real requests.

#[path = "support"]
mod support {
    pub mod binary;
}

use support::binary::Windlass;
#[path = "served/server.rs"]
mod server;

use serde_json::{Value, json};
use server::{Request, Server};
use std::{
    fs,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};
use tempfile::TempDir;

const KEY: &str = "sk-very-secret-0815";

struct Place(TempDir);

struct Ended {
    code: i32,
    /// Both streams.
    said: String,
    out: String,
}

impl Place {
    fn new() -> Place {
        let place = Place(tempfile::tempdir().unwrap());
        place.write("docs/ropes.md", "# Ropes\n\nHemp ropes rot when they are stored wet.\n");
        place.write("docs/winches.md", "# Winches\n\nA winch pulls the anchor up.\n");
        place
    }

    fn write(&self, name: &str, text: &str) {
        let path = self.0.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    fn command(&self, key: Option<&str>, arguments: &[&str]) -> Windlass {
        let mut command = Windlass::on(self.0.path().join("home"));
        command.args(arguments).current_dir(self.0.path());
        if let Some(key) = key {
            command.env("ROPE_KEY", key);
        }
        command
    }

    fn run_with(&self, key: Option<&str>, arguments: &[&str]) -> Ended {
        let output = self.command(key, arguments).output().unwrap();
        let out = String::from_utf8_lossy(&output.stdout).into_owned();
        let said = format!("{out}{}", String::from_utf8_lossy(&output.stderr));
        Ended { code: output.status.code().unwrap(), said, out }
    }

    fn run(&self, arguments: &[&str]) -> Ended {
        self.run_with(None, arguments)
    }

    /// Ingests `docs` with these changes to the parameters.
    fn ingest(&self, key: Option<&str>, changes: &[String]) -> Ended {
        let mut arguments = vec!["ingest", "docs", "--json"];
        changes.iter().for_each(|it| arguments.extend(["--set", it]));
        self.run_with(key, &arguments)
    }

    /// The steps up to embedding, with short waits between attempts.
    fn flow(&self, config: &str) -> Ended {
        self.write("set.yaml", &format!("id: served\nconfig: {config}\n"));
        let step = |name: &str| {
            format!(
                "  - {{ name: {name}, uses: windlass/{name}, retries: 2, backoff: {{ initial: 1ms, max: 5ms }} }}\n"
            )
        };
        let steps = ["validate", "parse", "chunk", "embed"].map(step).concat();
        self.write("flow.yaml", &format!("id: flow\nsteps:\n{steps}"));
        self.write("one.html", "<html><body><h1>Knots</h1><p>A bowline holds.</p></body></html>");
        self.run(&["run", "flow.yaml", "--items", "one.html", "--params", "set.yaml"])
    }
}

fn ok(ended: &Ended) -> Value {
    assert_eq!(ended.code, 0, "{}", ended.said);
    serde_json::from_str(ended.out.lines().last().unwrap()).or_else(|_| serde_json::from_str(&ended.out)).unwrap()
}

fn texts(request: &Request) -> Vec<String> {
    let body: Value = serde_json::from_slice(&request.body).unwrap();
    body["input"].as_array().unwrap().iter().map(|it| it.as_str().unwrap().to_string()).collect()
}

/// Counts how often each word occurs and hashes the words into `dimension` places. Not normalised, and in reverse
/// order.
fn embeddings(request: &Request, dimension: usize) -> (u16, String) {
    let row = |(index, text): (usize, &String)| {
        let mut vector = vec![0.0; dimension];
        for word in text.to_lowercase().split(|it: char| !it.is_alphanumeric()).filter(|it| !it.is_empty()) {
            let place = word.bytes().fold(7usize, |sum, byte| sum * 31 % 1009 + usize::from(byte)) % dimension;
            vector[place] += 3.0;
        }
        json!({"object": "embedding", "index": index, "embedding": vector})
    };
    let mut rows: Vec<Value> = texts(request).iter().enumerate().map(row).collect();
    rows.reverse();
    (200, json!({"object": "list", "data": rows, "model": "words"}).to_string())
}

fn words(request: &Request) -> (u16, String) {
    assert_eq!(request.path, "/v1/embeddings");
    match request.head.contains(&format!("authorization: Bearer {KEY}\n")) {
        true => embeddings(request, 64),
        false => (401, json!({"error": {"message": format!("not a key: {}", request.head)}}).to_string()),
    }
}

fn changes(server: &Server) -> Vec<String> {
    vec![format!("embed.url={}/v1", server.url), "embed.model=words".into(), "embed.key=ROPE_KEY".into()]
}

/// A port on which nothing listens.
fn nowhere() -> String {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    format!("http://{}", listener.local_addr().unwrap())
}

fn holds(directory: &Path, text: &str) -> bool {
    fs::read_dir(directory).unwrap().map(|it| it.unwrap().path()).any(|path| match path.is_dir() {
        true => holds(&path, text),
        false => fs::read(&path).is_ok_and(|it| it.windows(text.len()).any(|it| it == text.as_bytes())),
    })
}

#[test]
fn documents_are_embedded_and_found_through_a_server() {
    let place = Place::new();
    let server = Server::start(words);
    let many: String =
        (0..9).map(|at| format!("# Part {at}\n\nSail number {at} is mended with thread {at}.\n\n")).collect();
    place.write("docs/sails.md", &many);
    let small = ["embed.batch=2", "chunk.size=16", "chunk.overlap=0", "chunk.max=24"].map(String::from);
    let ingested = place.ingest(Some(KEY), &[&changes(&server)[..], &small].concat());
    ok(&ingested);
    let batches: Vec<usize> = server.seen.lock().unwrap().iter().map(|it| texts(it).len()).collect();
    assert!(batches.len() > 4 && batches.iter().all(|it| *it <= 2) && batches.contains(&2), "{batches:?}");

    let search = ["search", "--mode", "vector", "--json", "hemp ropes rot when they are stored wet"];
    let found = place.run_with(Some(KEY), &search);
    let hits = ok(&found);
    assert!(hits["hits"][0]["uri"].as_str().unwrap().ends_with("ropes.md"), "{hits}");
    let score = hits["hits"][0]["score"].as_f64().unwrap();
    assert!(score > 0.5 && score < 1.001, "a cosine of normalised vectors, not {score}");
    let info = ok(&place.run(&["db", "info", "--json"]));
    assert_eq!((&info["embedder"], &info["dimension"]), (&json!("openai:words"), &json!(64)));
    let recorded = json!({"url": format!("{}/v1", server.url), "model": "words"});
    assert_eq!(info["server"], recorded);

    let without = place.run(&search);
    assert!(
        without.code != 0 && without.said.contains("ROPE_KEY") && without.said.contains("secrets"),
        "{}",
        without.said
    );
    let wrong = place.run_with(Some("sk-wrong"), &search);
    assert!(wrong.code != 0 && wrong.said.contains("401") && wrong.said.contains("embed.key"), "{}", wrong.said);
    assert!(!wrong.said.contains("sk-wrong"), "{}", wrong.said);
    place.write("home/secrets/ROPE_KEY", KEY);
    ok(&place.run(&search));
    fs::remove_file(place.0.path().join("home/secrets/ROPE_KEY")).unwrap();
    assert!(!holds(&place.0.path().join("home"), KEY), "the key was stored");
    assert!(!ingested.said.contains(KEY) && !found.said.contains(KEY));
}

#[test]
fn a_search_without_its_server_says_so_and_words_need_none() {
    let place = Place::new();
    let server = Server::start(words);
    ok(&place.ingest(Some(KEY), &changes(&server)));
    drop(server);
    let away = place.run_with(Some(KEY), &["search", "anchor"]);
    assert!(
        away.code != 0 && away.said.contains("can't be reached") && away.said.contains("--mode text"),
        "{}",
        away.said
    );
    let by_words = ok(&place.run(&["search", "--mode", "text", "--json", "anchor"]));
    assert!(by_words["hits"][0]["uri"].as_str().unwrap().ends_with("winches.md"));

    // The same model at another address: its vectors are known, and the search uses the new address.
    let moved = Server::start(words);
    ok(&place.ingest(Some(KEY), &changes(&moved)));
    assert!(moved.seen.lock().unwrap().iter().all(|it| texts(it) == ["windlass"]), "known texts were embedded again");
    let before = moved.count();
    ok(&place.run_with(Some(KEY), &["search", "--json", "anchor"]));
    assert_eq!(moved.count(), before + 1);
}

#[test]
fn a_server_that_is_away_or_busy_is_tried_again_and_then_named() {
    let place = Place::new();
    let config = |url: &str| format!("{{ embed: {{ url: \"{url}\", model: words }} }}");
    let away = place.flow(&config(&nowhere()));
    assert_eq!(away.code, 3, "{}", away.said);
    assert!(away.said.contains("g1 is paused: the embedding server at"), "{}", away.said);
    let paused = place.run(&["status"]).said;
    assert!(paused.contains("g1 is paused: the embedding server at"), "{paused}");
    let why = place.run(&["why", "g1"]).said;
    assert_eq!(why.matches("the embedding server at").count(), 1, "{why}");
    let said = place.run(&["why", "s4"]).said;
    assert!(said.contains("can't be reached") && said.contains("start the server"), "{said}");

    let place = Place::new();
    let busy = Server::start(|_| (503, json!({"error": {"message": "loading the model"}}).to_string()));
    assert!(place.flow(&config(&busy.url)).code != 0);
    let said = place.run(&["show", "g1"]).said;
    assert!(said.contains("paused") && said.contains("503: loading the model"), "{said}");
    assert_eq!(busy.count(), 3, "two retries");

    let place = Place::new();
    let tries = AtomicUsize::new(0);
    let limited = Server::start(move |request| match tries.fetch_add(1, Ordering::SeqCst) {
        0 | 1 => (429, "slow down".to_string()),
        _ => embeddings(request, 8),
    });
    let mended = place.flow(&config(&limited.url));
    assert_eq!((mended.code, limited.count()), (0, 3), "{}", mended.said);

    let place = Place::new();
    let strict = Server::start(|_| (400, json!({"error": "unknown field"}).to_string()));
    assert!(place.flow(&config(&strict.url)).code != 0);
    assert_eq!(strict.count(), 1, "a refusal is not tried again: {}", place.run(&["why", "s4"]).said);
}

#[test]
fn vectors_of_another_length_are_refused() {
    let place = Place::new();
    let set = |server: &Server| vec![format!("embed.url={}", server.url), "embed.model=words".into()];
    let eight = Server::start(|request| embeddings(request, 8));
    ok(&place.ingest(None, &set(&eight)));
    place.write("docs/new.md", "A new document.\n");

    let five = Server::start(|request| embeddings(request, 5));
    let refused = place.ingest(None, &set(&five));
    assert!(
        refused.code != 0 && refused.said.contains("8 dimensions") && refused.said.contains("(5)"),
        "{}",
        refused.said
    );
    assert_eq!(five.count(), 1, "refused before any work");

    // The trial request is answered correctly, but later requests are not.
    let turns = Server::start(|request| match texts(request) == ["windlass"] {
        true => embeddings(request, 8),
        false => embeddings(request, 5),
    });
    let failed = place.ingest(None, &set(&turns));
    assert!(failed.code != 0 && failed.said.contains("vectors of 5 dimensions, expected 8"), "{}", failed.said);
    assert_eq!(ok(&place.run(&["db", "info", "--json"]))["documents"], 2);

    let result =
        place.ingest(None, &[&set(&five)[..], &["embed.dimensions=8".into(), "store.path=other".into()]].concat());
    assert!(result.code != 0 && result.said.contains("vectors of 5 dimensions, expected 8"), "{}", result.said);
}

#[test]
fn docling_reads_what_it_reads_better_and_its_text_is_found() {
    let place = Place::new();
    place.write("docs/page.html", "<html><body>Original words only</body></html>");
    let docling = Server::start(|request| {
        assert_eq!(request.path, "/v1/convert/file");
        let markdown = "# Halyards\n\n<!-- image -->\n\nThe halyard hoists the mainsail.\n";
        let document = json!({"filename": "document.html", "md_content": markdown});
        (200, json!({"document": document, "status": "success", "errors": [], "processing_time": 0.1}).to_string())
    });
    let set = ["parse.backend=docling".to_string(), format!("parse.url={}", docling.url)];
    ok(&place.ingest(None, &set));
    {
        let seen = docling.seen.lock().unwrap();
        assert_eq!(seen.len(), 1, "Markdown is read without a server");
        let body = String::from_utf8_lossy(&seen[0].body).into_owned();
        assert!(seen[0].head.contains("content-type: multipart/form-data; boundary="), "{}", seen[0].head);
        assert!(body.contains("name=\"to_formats\"\r\n\r\nmd\r\n"), "{body}");
        assert!(body.contains("name=\"files\"; filename=\"document.html\"\r\ncontent-type: text/html"), "{body}");
        assert!(body.contains("Original words only"), "{body}");
    }
    let hit = &ok(&place.run(&["search", "--mode", "text", "--json", "halyard hoists"]))["hits"][0];
    assert!(hit["uri"].as_str().unwrap().ends_with("page.html"), "{hit}");
    assert_eq!((&hit["media_type"], &hit["headings"]), (&json!("text/html"), &json!(["Halyards"])));
    assert_eq!(ok(&place.run(&["search", "--mode", "text", "--json", "original"]))["hits"], json!([]));
}

#[test]
fn a_docling_that_is_away_is_tried_again_and_one_that_refuses_is_not() {
    let config = |url: &str| format!("{{ parse: {{ backend: docling, url: \"{url}\" }} }}");
    let place = Place::new();
    assert!(place.flow(&config(&nowhere())).code != 0);
    let said = place.run(&["why", "s2"]).said;
    assert!(said.contains("docling-serve at http://127.0.0.1") && said.contains("can't be reached"), "{said}");
    assert!(said.contains("parse.backend=builtin") && said.contains("failed after 3 attempts"), "{said}");

    let table: [(u16, &str, usize, &str); 4] = [
        (503, "starting", 3, "answered 503: starting"),
        (404, "no such page", 1, "answered 404: no such page"),
        (422, "a bad file", 1, "could not read the document: a bad file"),
        (
            200,
            r#"{"document": {"md_content": ""}, "status": "failure", "errors": [{"error_message": "broken"}]}"#,
            1,
            "could not read the document: broken",
        ),
    ];
    for (status, answer, count, reason) in table {
        let place = Place::new();
        let docling = Server::start(move |_| (status, answer.to_string()));
        assert!(place.flow(&config(&docling.url)).code != 0, "{reason}");
        let said = place.run(&["why", "s2"]).said;
        assert!(said.contains(reason), "{said}");
        assert_eq!(docling.count(), count, "{reason}");
    }
}

#[test]
fn a_dead_server_is_told_once_before_any_work() {
    let place = Place::new();
    let set = [format!("embed.url={}", nowhere()), "embed.model=words".to_string()];
    let refused = place.ingest(None, &set);
    assert_eq!(refused.code, 1, "{}", refused.said);
    assert_eq!(refused.said.matches("can't be reached").count(), 1, "{}", refused.said);
    assert_eq!(ok(&place.run(&["list", "groups", "--json"]))["groups"], json!([]));
}

#[test]
fn a_server_that_dies_in_the_middle_pauses_the_group_and_it_goes_on_when_the_server_is_back() {
    let place = Place::new();
    for at in 0..23 {
        place.write(&format!("docs/more{at}.md"), &format!("# Number {at}\n\nRope number {at} is stored wet.\n"));
    }
    let (dead, requests) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let (is_dead, count) = (dead.clone(), requests.clone());
    let server = Server::start(move |request| match count.fetch_add(1, Ordering::SeqCst) {
        // The trial request, and then a few documents.
        0..5 => embeddings(request, 8),
        _ if is_dead.load(Ordering::SeqCst) => (502, "bad gateway".to_string()),
        _ => embeddings(request, 8),
    });
    dead.store(true, Ordering::SeqCst);
    let set = [format!("embed.url={}", server.url), "embed.model=words".to_string()];
    let paused = place.ingest(None, &set);
    assert_eq!(paused.code, 3, "{}", paused.said);
    let event: Value = serde_json::from_str(paused.out.lines().last().unwrap()).unwrap();
    assert_eq!((&event["event"], &event["group"]), (&json!("paused"), &json!(1)), "{}", paused.said);
    assert!(event["reason"].as_str().unwrap().contains("502"), "{event}");
    let tries = requests.load(Ordering::SeqCst);
    assert!(tries < 20, "{tries} requests to a server that was dead");
    let shown = ok(&place.run(&["show", "g1", "--json"]));
    assert_eq!((&shown["paused"], &shown["failed"]), (&json!(true), &json!(0)), "{shown}");
    assert!(shown["paused_for"].as_str().unwrap().contains("502"), "{shown}");

    // A worker that takes everything detects that the server is back.
    dead.store(false, Ordering::SeqCst);
    let mut command = place.command(None, &["worker"]);
    let mut worker = command.silent().spawn().unwrap();
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(120);
    while ok(&place.run(&["show", "g1", "--json"]))["status"] != "COMPLETED" {
        assert!(std::time::Instant::now() < deadline, "{}", place.run(&["why", "g1"]).said);
        std::thread::sleep(std::time::Duration::from_millis(100));
    }
    worker.kill().unwrap();
    worker.wait().unwrap();
    assert_eq!(ok(&place.run(&["db", "info", "--json"]))["documents"], 25);
}

/// A foreign vector database that names `server` and one of our keys.
fn foreign_database(server: &Server) -> (Place, String) {
    let place = Place::new();
    ok(&place.ingest(Some(KEY), &changes(server)));
    let path = place.0.path().join("home/vectors/default.db");
    let recorded = json!({"url": format!("{}/v1", server.url), "model": "words", "key": "ROPE_KEY"});
    let db = rusqlite::Connection::open(&path).unwrap();
    db.execute("UPDATE meta SET server = ?1", [recorded.to_string()]).unwrap();
    drop(db);
    let path = path.to_str().unwrap().to_string();
    (place, path)
}

#[test]
fn a_database_from_elsewhere_names_a_server_and_a_key_in_vain() {
    let attacker = Server::start(|request| embeddings(request, 64));
    let own = Server::start(words);
    attacker.seen.lock().unwrap().clear();
    let honest = Server::start(words);
    let (_theirs, path) = foreign_database(&honest);
    let db = rusqlite::Connection::open(&path).unwrap();
    let evil = json!({"url": format!("{}/v1", attacker.url), "model": "words", "key": "ROPE_KEY"});
    db.execute("UPDATE meta SET server = ?1", [evil.to_string()]).unwrap();
    drop(db);

    let place = Place::new();
    let search = ["search", "--db", &path, "--json", "hemp ropes"];
    let result = place.run_with(Some(KEY), &search);
    assert!(result.code != 0 && result.said.contains(&attacker.url), "{}", result.said);
    assert!(result.said.contains("embed.servers") && result.said.contains("--mode text"), "{}", result.said);
    assert_eq!(attacker.count(), 0, "nothing was sent");
    assert_eq!(place.run(&["search", "--db", &path, "--mode", "text", "hemp"]).code, 0);

    // A user who trusts the address must say so, and no key is sent until the key is named as well.
    place.write("home/windlass.toml", &format!("[embed.servers]\n\"{}\" = \"\"\n", attacker.url));
    ok(&place.run_with(Some(KEY), &search));
    assert_eq!(attacker.count(), 1);
    let holds_key = |request: &Request| request.head.contains("authorization") || request.head.contains(KEY);
    assert!(!attacker.seen.lock().unwrap().iter().any(holds_key));

    // The same model at the user's own address is asked with its key.
    place.write("home/windlass.toml", "");
    let set = format!("id: mine\nconfig: {{ embed: {{ url: \"{}\", model: words, key: ROPE_KEY }} }}\n", own.url);
    place.write("home/params/mine.yaml", &set);
    ok(&place.run_with(Some(KEY), &search));
    assert_eq!((own.count(), attacker.count()), (1, 1));
    fs::remove_file(place.0.path().join("home/params/mine.yaml")).unwrap();
    place.write("home/windlass.toml", &format!("embed.servers = {{ \"{}/v1/\" = \"ROPE_KEY\" }}\n", attacker.url));
    ok(&place.run_with(Some(KEY), &search));
    assert!(attacker.seen.lock().unwrap().last().is_some_and(holds_key), "paired by the settings");
}

#[test]
fn work_that_came_with_a_backup_sends_no_key() {
    let attacker = Server::start(words);
    let theirs = Place::new();
    theirs.write(
        "home/params/evil.yaml",
        &format!("id: evil\nconfig: {{ embed: {{ url: \"{}\", model: words, key: ROPE_KEY }} }}\n", attacker.url),
    );
    let steps =
        ["validate", "parse", "chunk", "embed"].map(|it| format!("  - {{ name: {it}, uses: windlass/{it} }}\n"));
    theirs.write("flow.yaml", &format!("id: flow\nsteps:\n{}", steps.concat()));
    theirs.write(
        "home/windlass.toml",
        &format!("embed.servers = {{ \"{}\" = \"ROPE_KEY\" }}\nparameters = \"evil\"\n", attacker.url),
    );
    let submitted = theirs.run(&["submit", "flow.yaml", "--items", "docs/ropes.md", "--params", "evil"]);
    assert_eq!(submitted.code, 0, "{}", submitted.said);
    assert_eq!(theirs.run(&["backup", "b.zip"]).code, 0);

    let place = Place::new();
    let file = theirs.0.path().join("b.zip");
    let restored = place.run(&["restore", file.to_str().unwrap()]);
    assert_eq!(restored.code, 0, "{}", restored.said);
    for said in ["embed.servers", "evil.yaml.restored", "1 group of the backup with 1 run will resume", "windlass"] {
        assert!(restored.said.contains(said), "{said}: {}", restored.said);
    }
    let worked = place.run_with(Some(KEY), &["worker", "--until-idle"]);
    let why = place.run(&["why", "s4"]).said;
    assert!(why.contains("ROPE_KEY") && why.contains("paired"), "{why} {}", worked.said);
    let ingested = place.run_with(Some(KEY), &["ingest", "docs"]);
    assert!(ingested.code != 0 && ingested.said.contains("no parameter set `evil`"), "{}", ingested.said);
    assert_eq!(attacker.count(), 0);
    // Submitting work with it pairs the two.
    let params = theirs.0.path().join("home/params/evil.yaml");
    let own = ["run", "flow.yaml", "--items", "docs/ropes.md", "--params", params.to_str().unwrap()];
    fs::copy(theirs.0.path().join("flow.yaml"), place.0.path().join("flow.yaml")).unwrap();
    let own = place.run_with(Some(KEY), &own);
    assert_eq!((own.code, attacker.count()), (0, 1), "{}", own.said);
}
