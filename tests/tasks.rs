//! The files at the top of `docs/workflows.md`, one for each common task, run as the page says.

mod support {
    pub mod binary;
}

use serde_json::Value;
use std::{
    fs,
    io::{Read, Write},
    net::TcpListener,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};
use support::binary::Windlass;

const PAGE: &str = include_str!("../docs/workflows.md");
const PATIENCE: Duration = Duration::from_secs(60);

/// A home, and a directory with a workflow of the page and five texts.
struct Desk {
    dir: tempfile::TempDir,
    id: String,
}

impl Desk {
    /// With the workflow that has this id on the page.
    fn with(id: &str) -> Desk {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("inbox")).unwrap();
        let workflow = tasks().into_iter().find(|it| it.starts_with(&format!("id: {id}\n"))).expect("no such task");
        fs::write(dir.path().join(format!("{id}.yaml")), workflow).unwrap();
        for (name, lines) in [("one.md", 3), ("two.md", 25), ("three.md", 120)] {
            let text: String = (0..lines).map(|line| format!("line {line} of words\n")).collect();
            fs::write(dir.path().join(name), text).unwrap();
        }
        Desk { dir, id: id.to_string() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn windlass(&self) -> Windlass {
        let mut command = Windlass::on(self.path("home"));
        command.current_dir(self.dir.path());
        command
    }

    /// Runs `windlass` with these words. It must end with this exit code. Returns its stdout.
    fn ends(&self, code: i32, words: &[&str]) -> String {
        self.windlass().args(words).ends(code).out
    }

    fn json(&self, words: &[&str]) -> Value {
        serde_json::from_str(&self.ends(0, words)).unwrap()
    }

    fn run(&self, code: i32, more: &[&str]) -> String {
        let file = format!("{}.yaml", self.id);
        self.ends(code, &[&["run", &file, "--items", "one.md", "two.md", "three.md"], more].concat())
    }

    /// The names and contents of the files in the directory `to`, sorted by name.
    fn made(&self) -> Vec<(String, String)> {
        let Ok(entries) = fs::read_dir(self.path("to")) else { return Vec::new() };
        let mut found: Vec<(String, String)> = entries
            .map(|it| it.unwrap().path())
            .map(|it| (name(&it), String::from_utf8_lossy(&fs::read(&it).unwrap()).into_owned()))
            .collect();
        found.sort();
        found
    }
}

fn name(path: &Path) -> String {
    path.file_name().unwrap().to_string_lossy().into_owned()
}

/// The workflows before the reference section.
fn tasks() -> Vec<String> {
    let (tasks, _) = PAGE.split_once("\n## A larger example\n").expect("the tasks end where `A larger example` begins");
    tasks.split("```yaml\n").skip(1).map(|it| it.split("```").next().unwrap().to_string()).collect()
}

fn until<T>(what: &str, mut found: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = found() {
            return found;
        }
        assert!(Instant::now() < deadline, "not in time: {what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn every_task_of_the_page_has_a_test_here() {
    let ids: Vec<String> = tasks().iter().map(|it| it.lines().next().unwrap().replace("id: ", "")).collect();
    let here = include_str!("tasks.rs");
    for id in ids.iter().filter(|it| *it != "thumbnails") {
        assert!(here.contains(&format!("Desk::with(\"{id}\")")), "{id}");
    }
    assert!(ids.len() >= 8, "{ids:?}");
}

#[test]
fn a_pipeline() {
    let desk = Desk::with("wordcount");
    desk.run(0, &["--param", "to=to"]);
    let made = desk.made();
    assert_eq!(made.len(), 3, "{made:?}");
    assert!(made.iter().any(|it| it.1.contains("120 words")), "{made:?}");
}

#[test]
fn a_pipeline_with_a_branch() {
    let desk = Desk::with("publish-text");
    desk.run(0, &["--param", "to=to"]);
    let lines: Vec<usize> = desk.made().iter().map(|it| it.1.lines().count()).collect();
    assert_eq!(lines, [3, 3, 25, 100], "the log of the clean-up, then one file for each item: {:?}", desk.made());
}

#[test]
fn one_step_for_each_page() {
    let desk = Desk::with("pages");
    desk.run(0, &["--param", "to=to"]);
    let pages: Vec<usize> = desk.made().iter().map(|it| it.1.lines().count()).collect();
    assert_eq!(pages, [1, 3, 12]);
    let first: Value = serde_json::from_str(desk.made()[0].1.lines().next().unwrap()).unwrap();
    assert_eq!((&first["item"], &first["status"]), (&"page-aa".into(), &"completed".into()), "{first}");
}

#[test]
fn every_night() {
    let desk = Desk::with("backup");
    desk.ends(0, &["schedule", "add", "backup.yaml", "--param", "to=to"]);
    let shown = desk.json(&["schedule", "show", "backup", "--json"]);
    assert_eq!(shown["upcoming"].as_array().unwrap().len(), 5, "{shown}");
    desk.ends(0, &["schedule", "run", "backup"]);
    desk.ends(0, &["worker", "--until-idle"]);
    assert_eq!(desk.made().len(), 3);
}

#[test]
fn when_a_file_arrives() {
    let desk = Desk::with("inbox");
    desk.ends(0, &["schedule", "add", "inbox.yaml", "--param", "to=to"]);
    let mut worker = desk.windlass();
    let worker = worker.args(["worker"]).silent().spawn().unwrap();
    fs::write(desk.path("inbox/letter.txt"), "five words are in here\n").unwrap();
    until("the file is counted", || (desk.made().first()?.1 == "5\n").then_some(()));
    drop(worker);
}

#[test]
fn ask_before_publishing() {
    let desk = Desk::with("publish");
    desk.ends(0, &["submit", "publish.yaml", "--items", "one.md", "two.md", "--param", "to=to"]);
    let mut worker = desk.windlass();
    let worker = worker.args(["worker"]).silent().spawn().unwrap();
    let questions = until("both ask", || {
        let waiting = desk.json(&["list", "waiting", "--json"]);
        waiting["waiting"].as_array().filter(|it| it.len() == 2).cloned()
    });
    let step = |at: usize| format!("s{}", questions[at]["step"]);
    desk.ends(0, &["approve", &step(0)]);
    desk.ends(0, &["reject", &step(1), "--reason", "not yet"]);
    desk.ends(3, &["wait", "g1"]);
    assert_eq!(desk.made().len(), 1, "{:?}", desk.made());
    drop(worker);
}

#[test]
fn send_a_message_to_slack() {
    let desk = Desk::with("reports");
    let server = TcpListener::bind("127.0.0.1:0").unwrap();
    let secrets = desk.path("home/secrets");
    desk.ends(0, &["status"]);
    fs::create_dir_all(&secrets).unwrap();
    let secret = secrets.join("SLACK_URL");
    fs::write(&secret, format!("http://{}/services/T1", server.local_addr().unwrap())).unwrap();
    private(&secret);
    let listens = std::thread::spawn(move || {
        let (mut client, _) = server.accept().unwrap();
        client.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut request = Vec::new();
        let mut chunk = [0; 4096];
        while !String::from_utf8_lossy(&request).contains("}") {
            let got = client.read(&mut chunk).unwrap();
            assert!(got > 0, "the request ended early");
            request.extend_from_slice(&chunk[..got]);
        }
        client.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok").unwrap();
        String::from_utf8_lossy(&request).into_owned()
    });
    desk.ends(3, &["run", "reports.yaml", "--items", "sound", "broken"]);
    let request = listens.join().unwrap();
    assert!(request.starts_with("POST /services/T1 HTTP/1.1"), "{request}");
    assert!(request.contains("reports: 1 of 2 failed, exit code 1"), "{request}");
}

fn private(file: &Path) {
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(file, fs::Permissions::from_mode(0o600)).unwrap();
    fs::set_permissions(file.parent().unwrap(), fs::Permissions::from_mode(0o700)).unwrap();
}

#[test]
fn not_too_much_at_once() {
    let desk = Desk::with("fetch");
    desk.run(0, &["--param", "to=to", "--param", "host=example.org"]);
    assert_eq!(desk.made().len(), 3);
}
