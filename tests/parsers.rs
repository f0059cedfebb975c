//! Parsers of `windlass ingest`: worker processes of the program itself, and the effects of hostile documents on them.

mod support {
    pub mod binary;
    pub mod worker_house;
}

use support::binary::Windlass;
use support::worker_house;

use serde_json::Value;
use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::Stdio,
    time::{Duration, Instant},
};
use windlass::os::process_stat;
use worker_house::{is_gone, wait_until};

/// A home, a folder of documents, and a `tesseract` controlled by the test. It is the only program that a parser
/// starts.
struct Desk {
    dir: tempfile::TempDir,
}

impl Desk {
    fn new(tesseract: &str) -> Desk {
        let desk = Desk { dir: tempfile::tempdir().unwrap() };
        for folder in ["docs", "bin"] {
            fs::create_dir(desk.path(folder)).unwrap();
        }
        let program = desk.path("bin/tesseract");
        fs::write(&program, format!("#!/bin/sh\ncd '{}'\n{tesseract}\n", desk.dir.path().display())).unwrap();
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
        desk
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn notes(&self, count: usize) {
        for number in 0..count {
            fs::write(self.path("docs").join(format!("{number:03}.md")), format!("# Note {number}\n\nA rope.\n"))
                .unwrap();
        }
    }

    /// An image, for which the parser calls `tesseract`.
    fn image(&self, name: &str) -> String {
        let pixels = [&b"\x89PNG\r\n\x1a\n"[..], name.as_bytes()].concat();
        fs::write(self.path(name), pixels).unwrap();
        name.to_string()
    }

    /// Ingests the folder and these images, which are not found in folders.
    fn ingest(&self, parsers: &str, images: &[String]) -> Windlass {
        let images: Vec<&str> = images.iter().map(String::as_str).collect();
        self.command(&[&["ingest", "--pool", "*=2", "--pool", parsers, "docs"], &images[..]].concat())
    }

    fn command(&self, words: &[&str]) -> Windlass {
        let mut command = Windlass::on(self.path("home"));
        let path = format!("{}:{}", self.path("bin").display(), std::env::var("PATH").unwrap());
        command.args(words).env("PATH", path).current_dir(self.dir.path());
        command
    }

    fn json(&self, words: &[&str]) -> Value {
        let output = self.command(&[words, &["--json"]].concat()).output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout);
        let last = text.trim().lines().last().unwrap_or_default();
        serde_json::from_str(&text)
            .or_else(|_| serde_json::from_str(last))
            .unwrap_or_else(|error| panic!("{words:?}: {error}: {text} {}", String::from_utf8_lossy(&output.stderr)))
    }

    /// The attempts of the parse steps in the `count` runs whose items contain this text.
    fn parse_attempts(&self, count: usize, item: &str) -> Vec<Value> {
        let details = (0..count).map(|run| self.json(&["show", &format!("s{}", 5 * run + 2)]));
        let chosen = details.filter(|it| it["item"].to_string().contains(item));
        chosen.flat_map(|it| it["attempts_all"].as_array().unwrap().clone()).collect()
    }
}

/// The parser is the parent of the shim under which `tesseract` runs.
const PARSER: &str = "read -r _ _ _ parser _ < /proc/$PPID/stat";

#[test]
fn one_process_parses_one_document_after_the_other() {
    let desk = Desk::new(&format!("{PARSER}\necho parsers >> seen\necho $parser >> seen\necho a picture of a rope"));
    desk.notes(5);
    let images: Vec<String> = (0..6).map(|it| desk.image(&format!("{it}.png"))).collect();
    let ended = desk.ingest("parse=1", &images).output().unwrap();
    assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));
    let seen = fs::read_to_string(desk.path("seen")).unwrap();
    let mut parsers: Vec<&str> = seen.lines().filter(|it| *it != "parsers").collect();
    assert_eq!(parsers.len(), 6);
    parsers.dedup();
    assert_eq!(parsers.len(), 1, "{seen}");
    wait_until("no parser is left", || is_gone(parsers[0].parse().unwrap()));
}

#[test]
fn a_crash_of_the_parser_is_charged_to_its_document_alone() {
    let desk = Desk::new(&format!("{PARSER}\nkill -ABRT $parser\nsleep 1000"));
    desk.notes(30);
    let ended = desk.ingest("parse=2", &[desk.image("015.png")]).output().unwrap();
    let said = String::from_utf8_lossy(&ended.stderr).into_owned() + &String::from_utf8_lossy(&ended.stdout);
    assert_eq!(ended.status.code(), Some(3), "{said}");
    assert!(said.contains("30 documents stored"), "{said}");
    let attempts = desk.parse_attempts(31, "015.png");
    let last = attempts.last().unwrap();
    assert_eq!(last["detail"]["outcome"]["kind"], "parser_crashed", "{last}");
    assert_eq!(last["detail"]["certificate"]["exit"], serde_json::json!({"signal": 6}), "{last}");
    // A parser that had read other documents may have crashed because of them. The document then gets a parser of its
    // own.
    assert!(attempts.len() <= 2 && attempts[..attempts.len() - 1].iter().all(|it| it["outcome"] == "crashed"));
    let others = desk.parse_attempts(31, ".md");
    assert_eq!(others.len(), 30);
    assert!(others.iter().all(|it| it["outcome"] == "succeeded"), "{others:?}");
}

#[test]
fn nothing_is_left_of_a_busy_parser_when_ingest_is_killed() {
    let desk = Desk::new(&format!("{PARSER}\necho $parser > parser\nsetsid sh -c 'echo $$ > child; exec sleep 1000'"));
    let mut ingest = desk.ingest("parse=2", &[desk.image("a.png")]);
    let mut ingest = ingest.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let pid = |name: &str| {
        let mut pid = None;
        wait_until(&format!("a pid in {name}"), || {
            pid = fs::read_to_string(desk.path(name)).ok().and_then(|it| it.strip_suffix('\n')?.parse::<u32>().ok());
            pid.is_some()
        });
        pid.unwrap()
    };
    let (parser, child) = (pid("parser"), pid("child"));
    let tree = process_stat::descendants(ingest.id());
    assert!(tree.contains(&parser) && tree.contains(&child), "{tree:?}");
    ingest.kill().unwrap();
    ingest.wait().unwrap();
    let killed = Instant::now();
    wait_until("the whole tree is gone", || tree.iter().all(|it| is_gone(*it)));
    assert!(killed.elapsed() < Duration::from_secs(5), "{:?}", killed.elapsed());
    assert!(!Path::new(&format!("/proc/{parser}")).exists());
}
