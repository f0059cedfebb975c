//! Templates in commands, checked against the real shell.

use proptest::prelude::*;
use serde_json::json;
use std::{borrow::Cow, process::Command};
use windlass::definition::{Action, Definition, KnownKinds, PARAMETERS, ParameterSet, Values, parse};

/// What the shell prints when the item stands in this command.
fn shell_prints(command: &str, item: &str) -> Vec<u8> {
    let definition = Definition::of_command("each", command).unwrap();
    let Action::Run(command) = &definition.steps[0].action else { panic!("not a command") };
    let values = Values { item: Some(Cow::Owned(json!(item))), ..Values::default() };
    let argv = command.argv(&values).unwrap();
    let output = Command::new(&argv[0]).args(&argv[1..]).env("PWNED", "yes").output().unwrap();
    assert!(output.status.success() && output.stderr.is_empty(), "{item:?}: {output:?}");
    output.stdout
}

const NASTY: &[&str] = &[
    "",
    " ",
    "plain",
    "two words",
    "it's",
    "''",
    "'; echo $PWNED; '",
    "\"$(echo $PWNED)\"",
    "$(echo pwned)",
    "`echo pwned`",
    "$PWNED ${PWNED}",
    "-n",
    "--help",
    "a\nb\n",
    "\\",
    "\\'",
    "*",
    "~",
    "# comment",
    "a;b&c|d>e<f",
    "%s%d",
    "!history",
    "ü 日本 \u{1F600}",
    "\t\r\u{7f}\u{1}",
];

#[test]
fn a_nasty_item_is_exactly_one_word() {
    for item in NASTY {
        assert_eq!(shell_prints("printf '%s|' begin {{ item }} end", item), format!("begin|{item}|end|").as_bytes());
        let inside = shell_prints("printf '%s|' \"$(printf '%s|' {{ item }})\" x{{ item }}y", item);
        assert_eq!(inside, format!("{item}||x{item}y|").as_bytes());
    }
}

#[test]
fn an_argument_list_needs_no_shell() {
    let text = "id: a\nsteps:\n- {name: s, run: [printf, '%s|', '{{ item }}', 'x{{ item }}']}\n";
    let definition = windlass::definition::parse(text, "a.yaml", &Default::default()).unwrap();
    let Action::Run(command) = &definition.steps[0].action else { panic!("not a command") };
    for item in NASTY {
        let values = Values { item: Some(Cow::Owned(json!(item))), ..Values::default() };
        let argv = command.argv(&values).unwrap();
        let output = Command::new(&argv[0]).args(&argv[1..]).output().unwrap();
        assert_eq!(output.stdout, format!("{item}|x{item}|").as_bytes());
    }
}

/// Says PWNED if it is executed, not if it is only printed. It has no quotes, so that ours can't disarm it by accident.
const SHOUT: &str = "printf PW%s NED >&2";

/// Pieces that a scanner and a shell could read differently.
const PIECES: &[&str] = &[
    "echo ",
    "'",
    "\"",
    "\\",
    " # ",
    "\n",
    "$(",
    ")",
    "(",
    "${x:-",
    "}",
    "`",
    "$((",
    "))",
    "case x in x) ",
    ";; esac",
    "<<E\n",
    "\nE\n",
    "$'",
    "$",
    " a ",
    "{{ item }}",
    "; ",
    "\\\n",
];

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_text_is_exactly_one_word(item in "[^\0]{0,40}") {
        prop_assert_eq!(shell_prints("printf %s {{ item }}", &item), item.as_bytes());
    }

    /// Whatever command is let pass, an item never runs in it: what it would print appears in no output.
    #[test]
    fn no_command_that_is_let_pass_executes_its_item(
        before in prop::collection::vec(0usize..PIECES.len(), 1..10),
        after in prop::collection::vec(0usize..PIECES.len(), 0..4),
    ) {
        let text = |picked: &[usize]| picked.iter().map(|it| PIECES[*it]).collect::<String>();
        let command = format!("{}{{{{ item }}}}{}", text(&before), text(&after));
        let Ok(definition) = Definition::of_command("each", &command) else { return Ok(()) };
        let Action::Run(run) = &definition.steps[0].action else { unreachable!() };
        for quote in ["", "'", "\"", "\n", "\\'", "}", ")", "E\n"] {
            let item = format!("{quote}$({SHOUT})`{SHOUT}`;{SHOUT}\n#{quote}");
            let values = Values { item: Some(Cow::Owned(json!(item))), ..Values::default() };
            let argv = run.argv(&values).unwrap();
            for shell in ["sh", "bash"].into_iter().filter(|it| std::path::Path::new("/bin").join(it).exists()) {
                let output = Command::new(shell).args(&argv[1..]).output().unwrap();
                let said = String::from_utf8_lossy(&output.stderr).into_owned();
                prop_assert!(!said.contains("PWNED"), "{}\n{}\n{}", shell, argv[2], said);
            }
        }
    }
}

/// The fenced YAML blocks of a page, with the rest of the line that opens each.
fn examples(page: &str) -> Vec<(String, String)> {
    let blocks = page.split("```yaml").skip(1);
    let split = |it: &str| {
        let (opening, rest) = it.split_once('\n').unwrap();
        (opening.trim().to_string(), rest.split("```").next().unwrap().to_string())
    };
    blocks.map(split).collect()
}

#[test]
fn every_example_of_the_reference_is_read_and_the_bad_one_refused() {
    let page = include_str!("../docs/workflows.md");
    let known = KnownKinds::new(["windlass/noop", "windlass/sleep", "windlass/fail", "windlass/store"]);
    let examples = examples(page);
    assert!(examples.len() >= 10);
    for (opening, text) in examples {
        let read = if text.contains("\nconfig:") {
            ParameterSet::parse(&text, "docs").map(|_| ())
        } else {
            parse(&text, "docs", &known).map(|_| ())
        };
        match opening.as_str() {
            "" => read.unwrap_or_else(|error| panic!("{error} {:?}\n{text}", error.hint())),
            "refused" => assert!(read.is_err(), "{text}"),
            other => panic!("unknown kind of example: {other}"),
        }
    }
}

/// `UPDATE_DOCS=1 cargo test` writes the table anew.
#[test]
fn the_parameters_are_all_documented() {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/workflows.md");
    let page = std::fs::read_to_string(&path).unwrap();
    let (before, _) = page.split_once("<!-- parameters").unwrap();
    let mut table = "<!-- parameters: made by the test `the_parameters_are_all_documented` -->\n\n".to_string();
    table += "| parameter | default | what it is |\n|---|---|---|\n";
    for it in PARAMETERS {
        table += &format!("| `{}.{}` | {} | {} |\n", it.stage, it.key, it.default.unwrap_or("not set"), it.doc);
    }
    let right = format!("{before}{table}");
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(&path, &right).unwrap();
    }
    assert!(std::fs::read_to_string(&path).unwrap() == right, "run `UPDATE_DOCS=1 cargo test --test definitions`");
}
