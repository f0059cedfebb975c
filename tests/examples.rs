//! Runs the examples as `examples/README.md` says.

mod support {
    pub mod binary;
    pub mod needs;
}

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};
use support::binary::{Windlass, example};
use support::needs::needs;

/// A home, and a directory for the files that the examples create.
struct Bench {
    dir: tempfile::TempDir,
}

impl Bench {
    fn new() -> Bench {
        Bench { dir: tempfile::tempdir().unwrap() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Runs `windlass` with these words in the root of the repository. It must end with this exit code. Returns its
    /// stdout.
    fn ends(&self, code: i32, words: &[&str]) -> String {
        let mut command = Windlass::on(self.path("home"));
        command.args(words).current_dir(env!("CARGO_MANIFEST_DIR")).ends(code).out
    }

    fn json(&self, words: &[&str]) -> serde_json::Value {
        serde_json::from_str(&self.ends(0, words)).unwrap()
    }

    /// When each step of the first group began its newest attempt.
    fn started(&self) -> Vec<Option<i64>> {
        let steps = self.json(&["list", "steps", "--group", "g1", "--json"]);
        steps["steps"].as_array().unwrap().iter().map(|it| it["started"].as_i64()).collect()
    }

    /// Files with different contents, and the list of their paths, one a line.
    fn files(&self, count: usize) -> (Vec<PathBuf>, PathBuf) {
        fs::create_dir(self.path("files")).unwrap();
        let files: Vec<PathBuf> = (0..count).map(|it| self.path("files").join(format!("it's file {it}.txt"))).collect();
        for (number, file) in files.iter().enumerate() {
            fs::write(file, format!("content {number}\n")).unwrap();
        }
        let lines: Vec<String> = files.iter().map(|it| it.display().to_string()).collect();
        let list = self.path("list");
        fs::write(&list, lines.join("\n")).unwrap();
        (files, list)
    }

    /// The contents of the packed files, in order.
    fn unpacked(&self, dir: &Path) -> Vec<String> {
        let names: Vec<PathBuf> = fs::read_dir(dir).unwrap().map(|it| it.unwrap().path()).collect();
        let read = |path: &PathBuf| Command::new("gzip").arg("-dc").arg(path).output().unwrap().stdout;
        let mut texts: Vec<String> = names.iter().map(|it| String::from_utf8(read(it)).unwrap()).collect();
        texts.sort();
        texts
    }
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

#[test]
fn each_page_of_a_document_is_a_run_and_the_last_step_joins_them() {
    let bench = Bench::new();
    fs::write(bench.path("a.md"), "one two\nthree\n\n\"four\" five\n\n\\six\n").unwrap();
    bench.ends(0, &["run", "examples/pages.yaml", "--items", text(&bench.path("a.md"))]);
    let page = bench.json(&["show", "s2", "--json"]);
    assert_eq!(
        page["output"],
        serde_json::json!({"count": 3, "completed": 3, "failed": 0, "skipped": 0, "cancelled": 0})
    );
    assert_eq!(bench.json(&["show", "s3", "--json"])["output"], 6);
}

#[test]
fn the_documents_are_ingested_and_found() {
    let bench = Bench::new();
    let question = "why does the load not fall when I let go of the crank";
    bench.ends(0, &["ingest", "examples/documents"]);
    let found = bench.json(&["search", question, "--json"]);
    let first = &found["hits"][0];
    assert!(first["uri"].as_str().unwrap().ends_with("/hand-winch.md"), "{first}");
}

#[test]
fn the_ingest_workflow_does_what_the_command_does() {
    let bench = Bench::new();
    let documents = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/documents");
    let [notes, rope] = ["hand-winch.md", "rope-and-load.txt"].map(|it| documents.join(it));
    let run = ["run", "examples/ingest.yaml", "--params", "default", "--items", text(&notes), text(&rope)];
    bench.ends(0, &run);
    let found = bench.json(&["search", "strength of a rope with a bowline", "--json"]);
    let first = &found["hits"][0];
    assert!(first["uri"].as_str().unwrap().ends_with("/rope-and-load.txt"), "{first}");
}

#[test]
fn a_thousand_files_are_packed_and_none_is_missing() {
    let bench = Bench::new();
    let (files, list) = bench.files(1_000);
    let to = bench.path("packed");
    let param = format!("to={}", text(&to));
    bench.ends(0, &["run", "examples/batch.yaml", "--items-from", text(&list), "--param", &param]);
    let group = bench.json(&["show", "g1", "--json"]);
    assert_eq!(group["status"], "COMPLETED", "{group}");
    let mut wanted: Vec<String> = files.iter().map(|it| fs::read_to_string(it).unwrap()).collect();
    wanted.sort();
    assert_eq!(bench.unpacked(&to), wanted);
}

#[test]
fn a_branch_joins_and_its_clean_up_always_runs() {
    let bench = Bench::new();
    let documents = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/documents");
    let (short, to) = (bench.path("short.txt"), bench.path("digest"));
    fs::write(&short, "no heading here\n").unwrap();
    let param = format!("to={}", text(&to));
    let long = documents.join("hand-winch.md");
    bench.ends(0, &["run", "examples/branch.yaml", "--items", text(&long), text(&short), "--param", &param]);
    let statuses = |run: &str| -> Vec<String> {
        let shown = bench.json(&["show", run, "--json"]);
        shown["steps"].as_array().unwrap().iter().map(|it| it["status"].as_str().unwrap().to_string()).collect()
    };
    let [done, skipped, failed] = ["COMPLETED", "SKIPPED", "FAILED"];
    assert_eq!(statuses("r1"), [done, done, skipped, done, done, done, done]);
    assert_eq!(statuses("r2"), [done, done, done, skipped, failed, done, done]);
    assert_eq!(bench.json(&["show", "r2", "--json"])["allowed_failures"], 1);
    assert_eq!(fs::read_to_string(to.join("r2.txt")).unwrap(), "\nno heading here\n");
    assert!(fs::read_to_string(to.join("r1.txt")).unwrap().starts_with("# "));
    let left: Vec<_> = fs::read_dir(&to).unwrap().map(|it| it.unwrap().file_name()).collect();
    assert_eq!(left.len(), 2, "the clean-up removed the rest: {left:?}");
}

#[test]
fn limits_are_kept_and_everything_is_converted() {
    let bench = Bench::new();
    let (one, two, to) = (bench.path("one.txt"), bench.path("two.txt"), bench.path("limits"));
    fs::write(&one, "one\n").unwrap();
    fs::write(&two, "two\n").unwrap();
    let param = format!("to={}", text(&to));
    let words = ["run", "examples/limits.yaml", "--param", "host=example.org", "--param", &param, "--items"];
    bench.ends(0, &[&words[..], &[text(&one), text(&two)]].concat());
    assert_eq!(fs::read_to_string(to.join("r1.txt")).unwrap(), "ONE\n");
    let list = bench.json(&["list", "resources", "--json"]);
    let server = list["resources"].as_array().unwrap().iter().find(|it| it["name"] == "server:example.org").unwrap();
    assert_eq!((server["capacity"].as_i64(), server["held"].as_i64()), (Some(3), Some(0)));
}

#[test]
fn one_missing_file_fails_alone_and_is_named() {
    let bench = Bench::new();
    let (files, list) = bench.files(4);
    fs::remove_file(&files[2]).unwrap();
    let param = format!("to={}", text(&bench.path("packed")));
    let said = bench.ends(3, &["run", "examples/batch.yaml", "--items-from", text(&list), "--param", &param]);
    assert!(said.contains("3 of 4 runs"), "{said}");
    let failure = said.lines().find(|it| it.contains("compress")).unwrap();
    assert!(failure.contains("it's file 2.txt") && failure.contains("No such file"), "{said}");
    assert_eq!(bench.unpacked(&bench.path("packed")), ["content 0\n", "content 1\n", "content 3\n"]);

    // The problem is fixed, and only the failed step runs again.
    let before = bench.started();
    fs::write(&files[2], "content 2\n").unwrap();
    bench.ends(0, &["retry", "g1"]);
    bench.ends(0, &["run", "--resume", "g1"]);
    assert_eq!(bench.unpacked(&bench.path("packed")).len(), 4);
    let again = bench.started().iter().zip(&before).filter(|(now, then)| now != then).count();
    assert_eq!(again, 3, "the three steps of the one file");
}

#[test]
fn a_program_can_embed_the_engine() {
    let bench = Bench::new();
    let output = example("embed").arg(bench.path("home")).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(
        said.lines().collect::<Vec<_>>(),
        [
            r#"r1 "heave away": "heave away has 2 words""#,
            r#"r2 "walk the capstan round": "walk the capstan round has 4 words""#,
            r#"r3 "pawl": "pawl has 1 words""#,
        ]
    );
    // The command line sees the work of the program.
    let group = bench.json(&["show", "g1", "--json"]);
    assert_eq!(group["status"], "COMPLETED", "{group}");
}

#[test]
fn words_are_counted_in_python_by_processes_that_are_started_once() {
    if !needs("python3") {
        return;
    }
    let bench = Bench::new();
    let item = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/documents/hand-winch.md");
    bench.ends(0, &["run", "examples/python-worker.yaml", "--items", text(&item)]);
    let library = bench.ends(0, &["worker", "sdk", "python"]);
    assert_eq!(library, fs::read_to_string("examples/windlass_worker.py").unwrap());
}

#[test]
fn the_approval_example_asks_and_publishes_what_is_approved() {
    let bench = Bench::new();
    let documents = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/documents");
    let (winch, rope) = (documents.join("hand-winch.md"), documents.join("rope-and-load.txt"));
    let to = bench.path("published");
    let param = format!("to={}", to.display());
    let items = ["--items", text(&winch), text(&rope), "--param", &param];
    bench.ends(0, &[&["submit", "examples/approval.yaml"][..], &items].concat());
    bench.ends(0, &["worker", "--until-idle"]);
    let waiting = bench.json(&["list", "waiting", "--json"]);
    let questions: Vec<&str> =
        waiting["waiting"].as_array().unwrap().iter().map(|it| it["ask"].as_str().unwrap()).collect();
    assert_eq!(questions.len(), 2, "{waiting}");
    assert!(questions[0].starts_with("Publish ") && questions[0].ends_with(" words?"), "{questions:?}");
    let step = |at: usize| format!("s{}", waiting["waiting"][at]["step"]);
    bench.ends(0, &["approve", &step(0)]);
    bench.ends(0, &["reject", &step(1), "--reason", "not yet"]);
    bench.ends(0, &["worker", "--until-idle"]);
    assert!(to.join("hand-winch.md").is_file());
    assert!(!to.join("rope-and-load.txt").exists());
    assert_eq!(bench.json(&["show", "g1", "--json"])["status"], "FAILED");
}

#[test]
fn the_inbox_example_starts_for_each_text() {
    let bench = Bench::new();
    let added = bench.json(&["schedule", "add", "examples/inbox.yaml", "--json"]);
    assert_eq!((&added["watch"]["match"][0], &added["watch"]["watched"]), (&"*.md".into(), &false.into()), "{added}");
    bench.ends(0, &["schedule", "run", "inbox"]);
    bench.ends(0, &["worker", "--until-idle"]);
    let shown = bench.json(&["schedule", "show", "inbox", "--json"]);
    assert_eq!(shown["firings"][0]["status"], "COMPLETED", "{shown}");
    assert!(bench.ends(0, &["schedule", "list"]).contains("not watched"));
}

#[test]
fn the_nightly_example_starts_by_itself_and_by_hand() {
    let bench = Bench::new();
    let added = bench.json(&["schedule", "add", "examples/nightly.yaml", "--json"]);
    assert_eq!(added["upcoming"].as_array().unwrap().len(), 5, "{added}");
    let fired = bench.json(&["schedule", "run", "nightly", "--json"]);
    assert_eq!(
        (&fired["firings"][0]["state"], &fired["firings"][0]["group"]),
        (&"started".into(), &1.into()),
        "{fired}"
    );
    bench.ends(0, &["worker", "--until-idle"]);
    let shown = bench.json(&["schedule", "show", "nightly", "--json"]);
    assert_eq!(shown["firings"][0]["status"], "COMPLETED", "{shown}");
    let listed = bench.ends(0, &["schedule", "list"]);
    assert!(
        listed.contains("nightly") && listed.contains("0 2 * * * (Europe/Berlin)") && listed.contains("g1"),
        "{listed}"
    );
    assert!(bench.ends(0, &["schedule", "show", "nightly"]).contains("COMPLETED"));
    bench.ends(0, &["schedule", "pause", "nightly"]);
    assert!(bench.ends(0, &["schedule"]).contains("paused"));
    bench.ends(4, &["schedule", "show", "weekly"]);
    bench.ends(2, &["schedule", "add", "examples/batch.yaml"]);
    bench.ends(0, &["schedule", "backfill", "nightly", "--from", "2026-01-01", "--to", "2026-01-03T12:00:00Z"]);
    assert_eq!(bench.json(&["list", "groups", "--json"])["groups"].as_array().unwrap().len(), 4);
    bench.ends(0, &["schedule", "remove", "nightly"]);
    assert_eq!(bench.json(&["schedule", "--json"])["schedules"].as_array().unwrap().len(), 0);
}
