//! User input: parameters, items, and the directory in which commands start. Through the real binary.

use crate::support::binary::Windlass;
use serde_json::{Value, json};
use std::{fs, os::unix::ffi::OsStrExt, path::Path, process::Output};
use tempfile::TempDir;

struct Place {
    dir: TempDir,
}

impl Place {
    fn new() -> Place {
        Place { dir: tempfile::tempdir().unwrap() }
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.dir.path().join(name)
    }

    fn write(&self, name: &str, text: impl AsRef<[u8]>) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    fn command(&self, arguments: &[&str]) -> Windlass {
        let mut command = Windlass::on(self.path("home"));
        command.args(arguments).current_dir(self.dir.path());
        command
    }

    fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    fn ok(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        assert!(output.status.success(), "{arguments:?}: {}", said(&output));
        said(&output)
    }

    /// The value of the only step in the only run of this group.
    fn value(&self, step: i64) -> Value {
        let output = self.run(&["show", &format!("s{step}"), "--json"]);
        let shown: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{}", said(&output)));
        shown["output"].clone()
    }
}

fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

const TYPED: [&str; 8] = ["6063e25", "1.10", "123456789012345678901", "true", "null", "01", " a b ", "[1, 2]"];

#[test]
fn a_parameter_reaches_the_command_as_it_was_typed() {
    let place = Place::new();
    place.write("flow.yaml", "id: p\nsteps: [{ name: a, run: 'printf \"%s|\" {{ params.v }} >> seen' }]\n");
    for typed in TYPED {
        place.ok(&["run", "flow.yaml", "--param", &format!("v={typed}")]);
    }
    let seen = fs::read_to_string(place.path("seen")).unwrap();
    assert_eq!(seen.split_terminator('|').collect::<Vec<_>>(), TYPED);
    place.ok(&["run", "flow.yaml", "--param", "v:={\"a\": [3, 123456789012345678901]}"]);
    let seen = fs::read_to_string(place.path("seen")).unwrap();
    assert!(seen.ends_with("|{\"a\":[3,\"123456789012345678901\"]}|"), "{seen}");
}

#[test]
fn long_numbers_of_items_files_and_outputs_keep_their_digits() {
    let place = Place::new();
    let flow = "id: n
steps:
  - { name: make, run: 'printf %s {{ item.id }}' }
  - name: use
    run: 'printf \"%s|\" {{ inputs.make.value }} {{ item.id }} {{ item.small }} {{ env.V }} >> seen'
    env: { V: 1.10 }
";
    place.write("flow.yaml", flow);
    place.write("items", "{\"id\": 123456789012345678901, \"small\": 7}\n{\"id\": \"6063e25\", \"small\": -2.5}\n");
    place.ok(&["run", "flow.yaml", "--items-from", "items", "--pool", "*=1"]);
    let seen = fs::read_to_string(place.path("seen")).unwrap();
    let mut seen: Vec<_> = seen.split_terminator('|').collect::<Vec<_>>().chunks(4).map(<[&str]>::to_vec).collect();
    seen.sort();
    let id = "123456789012345678901";
    assert_eq!(seen, [vec![id, id, "7", "1.10"], vec!["6063e25", "6063e25", "-2.5", "1.10"]]);
}

#[test]
fn a_number_that_a_command_prints_is_passed_on_as_it_was_printed() {
    let place = Place::new();
    for (step, (printed, value)) in
        [("1.10", json!("1.10")), ("6063e25", json!("6063e25")), ("3", json!(3)), ("[1.5, 2]", json!([1.5, 2]))]
            .into_iter()
            .enumerate()
    {
        place.ok(&["run", "--each", &format!("echo '{printed}'")]);
        assert_eq!(place.value(step as i64 + 1), value, "{printed}");
    }
}

#[test]
fn a_list_of_items_has_no_mark_and_says_which_line_is_not_utf_8() {
    let place = Place::new();
    place.write("list", b"\xef\xbb\xbffirst\nsecond\n");
    place.ok(&["run", "--each", "test -n {{ item }} && touch {{ item }}", "--items-from", "list"]);
    assert!(place.path("first").exists() && place.path("second").exists());
    place.write("odd", b"a\ncaf\xe9\nb\n");
    let refused = place.run(&["run", "--each", "touch {{ item }}", "--items-from", "odd"]);
    assert_eq!(refused.status.code(), Some(2), "{}", said(&refused));
    assert!(said(&refused).contains("odd:2: "), "{}", said(&refused));
    assert!(!place.path("a").exists());
}

#[test]
fn commands_can_start_elsewhere_and_items_that_are_not_there_are_pointed_at() {
    let place = Place::new();
    place.write("flows/flow.yaml", "id: f\nsteps: [{ name: a, run: 'cp {{ item }} copy' }]\n");
    place.write("a.txt", "A");
    let lost = place.run(&["run", "flows/flow.yaml", "--items", "a.txt"]);
    assert_eq!(lost.status.code(), Some(3));
    assert!(
        said(&lost).contains("warning: `a.txt` exists here") && said(&lost).contains("--chdir ."),
        "{}",
        said(&lost)
    );
    let found = place.ok(&["run", "flows/flow.yaml", "--items", "a.txt", "--chdir", "."]);
    assert!(!found.contains("warning"), "{found}");
    assert_eq!(fs::read_to_string(place.path("copy")).unwrap(), "A");
    let wrong = place.run(&["submit", "flows/flow.yaml", "--items", "x", "--chdir", "a.txt"]);
    assert_eq!(wrong.status.code(), Some(2), "{}", said(&wrong));
    assert!(said(&place.run(&["run", "flows/flow.yaml", "--items", "x", "--param", "v"])).contains("`v` has no `=`"));
}

const HOSTILE: &str = "a\x1b]0;x\x07\x1b[2J\u{9b}31m\u{202e}\r\nerror: forged";

/// No byte of an answer controls the terminal; a second line is only our own.
fn harmless(output: &Output) {
    let text = said(output);
    let steers = |it: char| (it.is_control() && it != '\n') || ('\u{202a}'..='\u{202e}').contains(&it);
    assert!(!text.contains(steers), "{text:?}");
    assert!(!text.lines().any(|it| it.starts_with("error: forged")), "{text}");
}

#[test]
fn hostile_texts_never_steer_the_terminal() {
    let place = Place::new();
    let quoted = serde_json::to_string(HOSTILE).unwrap();
    place.write("key.yaml", format!("id: a\n{quoted}: 1\nsteps: []\n"));
    place.write("kind.yaml", format!("id: a\nsteps: [{{name: x, uses: {quoted}}}]\n"));
    place.write("params.yaml", format!("id: a\nconfig: {{ store: {{ {quoted}: x }} }}\n"));
    place.write(
        "title.yaml",
        format!("id: a\nname: {quoted}\nsteps: [{{ name: x, run: 'echo {{{{ item }}}} >&2; exit 3' }}]\n"),
    );
    let template = format!("{{{{ {HOSTILE} }}}}");
    let flag = format!("--{HOSTILE}");
    for arguments in [
        &["run", "key.yaml"][..],
        &["run", "kind.yaml"],
        &["run", "title.yaml", "--items", HOSTILE],
        &["run", "title.yaml", "--items", HOSTILE, "--dry-run"],
        &["run", "title.yaml", "--items", HOSTILE, "--dry-run", "--json"],
        &["list", "groups"],
        &["list", "runs", "--json"],
        &["show", "g1"],
        &["show", "s1", "--json"],
        &["why", "s1"],
        &["run", "title.yaml", "--items", "x", "--params", "params.yaml"],
        &["run", "title.yaml", "--items", "x", "--param", HOSTILE],
        &["run", HOSTILE],
        &["run", "--each", &template],
        &["db", "info", HOSTILE],
        &["restore", HOSTILE],
        &["ingest", HOSTILE],
        &["ingest", "key.yaml", "--set", HOSTILE],
        &["show", HOSTILE],
        &["list", &flag],
        &["run", HOSTILE, "--json"],
    ] {
        harmless(&place.run(arguments));
    }
    place.write("home/windlass.toml", "\"a\\u001b[2J\\n\\u202e\" = 1\n");
    harmless(&place.run(&["status"]));
    place.write("home/windlass.toml", "log.level = \"\\u001b[2J\"\n");
    harmless(&place.run(&["status"]));
}

#[test]
fn hostile_names_of_files_never_steer_the_terminal() {
    let place = Place::new();
    let name = std::ffi::OsStr::from_bytes(b"docs/\x1b[2J\xc2\x9b\xe2\x80\xae.bin");
    fs::create_dir(place.path("docs")).unwrap();
    fs::write(place.path("docs/ok.md"), "# Title\u{1b}[2J\n\nText about ropes \u{9b}31m.\n").unwrap();
    fs::write(place.dir.path().join(Path::new(name)), [0, 1, 2]).unwrap();
    for arguments in [
        &["ingest", "docs"][..],
        &["ingest", "docs"],
        &["db", "documents"],
        &["db", "documents", "--json"],
        &["db", "info"],
        &["search", "ropes"],
        &["search", "ropes", "--json"],
    ] {
        harmless(&place.run(arguments));
    }
}
