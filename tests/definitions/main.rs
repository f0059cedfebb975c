//! Workflow files: templates in commands, checked against real shells; and user input through the real binary.

#[path = "../support"]
mod support {
    pub mod binary;
    pub mod needs;
}

use support::needs::skip;
mod typed;

use proptest::prelude::*;
use serde_json::json;
use std::{borrow::Cow, process::Command, sync::OnceLock};
use windlass::definition::{Action, Definition, KnownKinds, PARAMETERS, ParameterSet, Values, parse};

/// What the shell prints for this command with this item.
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

#[test]
fn each_parameter_that_a_workflow_reads_is_known_and_asked_for_at_the_submit() {
    let with = |steps: &str| {
        let text = format!("id: a\nsteps:\n{steps}\n");
        windlass::definition::parse(&text, "a.yaml", &Default::default()).unwrap()
    };
    for steps in [
        "- { name: s, run: 'echo {{ params.p }}' }",
        "- { name: s, run: a, when: 'params.p == 1' }",
        "- { name: s, wait_until: params.p }",
        "- { name: s, wait_until: '{{ params.p }}' }",
        "- { name: s, for_each: params.p, workflow: { id: b, steps: [{ name: t, run: a }] } }",
        "- { name: s, workflow: { id: b, steps: [{ name: t, run: 'echo {{ params.p }}' }] } }",
        "- { name: s, workflow: { id: b, steps: [{ name: t, wait_until: params.p }] }, with: { q: 1 } }",
        "- { name: s, run: a }\ncollect: [{ name: t, run: 'echo {{ params.p }}' }]",
    ] {
        let definition = with(steps);
        assert_eq!(definition.parameters().unwrap(), ["p"], "{steps}");
        let refused = definition.check_parameters(&json!({ "q": 1 })).unwrap_err().to_string();
        assert!(refused.contains("params.p"), "{steps}: {refused}");
        definition.check_parameters(&json!({ "p": [1] })).unwrap();
    }
    let with_parameter =
        "- { name: s, workflow: { id: b, steps: [{ name: t, wait_until: params.p }] }, with: { p: 1 } }";
    assert_eq!(with(with_parameter).parameters().unwrap(), Vec::<String>::new());
    with(with_parameter).check_parameters(&json!({})).unwrap();
}

/// Prints PWNED if it is executed, not if it is only printed. It contains no quotes, so our quotes can't disarm it by
/// accident.
const SHOUT: &str = "printf PW%s NED >&2";

/// The installed shells that can be a system's `sh`; `scripts/check` installs them.
fn shells() -> &'static [Vec<&'static str>] {
    static HERE: OnceLock<Vec<Vec<&str>>> = OnceLock::new();
    HERE.get_or_init(|| {
        let all = [&["dash"][..], &["bash"], &["bash", "--posix"], &["busybox", "sh"], &["zsh", "--emulate", "sh"]];
        let (here, missing): (Vec<_>, Vec<_>) = all.into_iter().partition(|shell| {
            let started = Command::new(shell[0]).args(&shell[1..]).args(["-c", "exit 7"]).status();
            started.is_ok_and(|it| it.code() == Some(7))
        });
        for shell in missing {
            skip(&format!("commands under `{}`, which is not installed", shell[0]));
        }
        assert!(!here.is_empty());
        here.into_iter().map(<[&str]>::to_vec).collect()
    })
}

/// Items that try to be executed in accepted commands: as code, as a subscript, as an option.
fn attacks() -> Vec<String> {
    let mut all: Vec<String> = ["", "'", "\"", "\n", "\\'", "}", ")", "E\n"]
        .map(|quote| format!("{quote}$({SHOUT})`{SHOUT}`;{SHOUT}\n#{quote}"))
        .into();
    for plain in ["a[$(@)]", "a[$(@)]=1", "a[$(@)0]", "-va[$(@)]", "x=a[$(@)]", "$(@)", "`@`", "eval", "@"] {
        all.push(plain.replace('@', SHOUT));
    }
    all
}

/// Whether the item was executed by the command in this shell.
fn is_executed(shell: &[&str], script: &str, item: &str) -> Option<String> {
    let place = tempfile::tempdir().unwrap();
    let mut command = Command::new(shell[0]);
    command.args(&shell[1..]).args(["-c", script]).current_dir(place.path()).stdin(std::process::Stdio::null());
    let output = command.env("WINDLASS_ITEM", item).output().unwrap();
    let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    said.contains("PWNED").then_some(said)
}

/// Commands that execute an item in some shell, in ways that a scanner can miss.
const HIDDEN: &[&str] = &[
    "cat > x <<E\n; don't edit\nE\n[[ $WINDLASS_ITEM -gt 3 ]]",
    "cat <<'E'\nit's\nE\neval \"$WINDLASS_ITEM\"",
    "cat <<-\"E F\"\n\tit's\n\tE F\n: $((WINDLASS_ITEM))",
    "echo $'it\\'s'; : $((WINDLASS_ITEM))",
    "echo `#it's`; eval \"$WINDLASS_ITEM\"",
    "echo ${#x} ${x#'} '}; eval \"$WINDLASS_ITEM\"",
    "x=$(case a in a) echo it\\'s;; esac); eval \"$WINDLASS_ITEM\"",
    "echo `eval \"$WINDLASS_ITEM\"`",
    "echo \"`[[ $WINDLASS_ITEM -eq 1 ]]`\"",
    "x=`basename $WINDLASS_ITEM .csv`; (( x > 2020 ))",
    "n=$(cut -c1- <<< \"$WINDLASS_ITEM\"); [[ $n -gt 10 ]]",
    "eval \"$(cat <<E\n$WINDLASS_ITEM\nE\n)\"",
    "printf -v x '%s' {{ item }}; : $((x * 2))",
    "for ((i=0;i<3;i++)) do [[ $WINDLASS_ITEM -eq $i ]]; done",
    "for ((i=0;i<3;i++)) { eval \"$WINDLASS_ITEM\"; }",
    "o=v; [ -$o {{ item }} ]",
    "[ $WINDLASS_ITEM = a ]",
    "set -- -v {{ item }}; test \"$@\"",
    "try() { shift; \"$@\"; }; try 3 test -v {{ item }}",
    "a=(eval); \"${a[@]}\" {{ item }}",
    "a=(test -v); a+=(\"$WINDLASS_ITEM\"); \"${a[@]}\"",
    "c=\"printf -v $WINDLASS_ITEM x\"; $c",
    "$UNSET eval {{ item }}",
    "x=al; ev$x {{ item }}",
    "e='eval '; $e{{ item }}",
    "{eval,{{ item }}}",
    "{fd}>/dev/null eval {{ item }}",
    "a=(1); i={{ item }}; unset 'a[i]'",
    "for PS4 in {{ item }}; do set -x; :; done",
    "for RANDOM in {{ item }}; do :; done",
    "shopt -s expand_aliases\nBASH_ALIASES[ll]={{ item }}\nll",
    "() { eval \"$1\"; } {{ item }}",
    "function { eval \"$1\"; } {{ item }}",
    "mapfile -C 'eval \"$WINDLASS_ITEM\";:' -c 1 x </etc/passwd",
    ". //dev/stdin <<< \"$WINDLASS_ITEM\"",
    "cd /dev; . ./stdin <<< \"$WINDLASS_ITEM\"",
    "env PS4={{ item }} bash -xc :",
    "sh -c 'echo '{{ item }}",
    "bash -c \"echo $WINDLASS_ITEM\"",
    "echo {{ item }} | sh",
    "echo {{ item }} | xargs -I% sh -c 'echo %'",
];

#[test]
fn a_quoted_word_is_refused_wherever_a_shell_evaluates_it_again() {
    let shells = shells();
    let mut let_pass = Vec::new();
    for command in [
        "echo $(true)#'\n{{ item }}'",
        "echo $(date)#\"v\n{{ item }} \"",
        ": $((1+1))#\"\n{{ item }}; echo \"",
        "echo <(true)#'\n{{ item }}'",
        "a=(1)#'\n{{ item }}'",
        "echo x\r#'\n{{ item }}'",
        "echo x\u{c}#'\n{{ item }}'",
        "echo x\u{a0}#'\n{{ item }}'",
        "echo x\u{2028}#'\n{{ item }}'",
        "echo hi >& {{ item }}.log",
        "echo hi >& \"$WINDLASS_ITEM\"",
        "[[ {{ item }} -eq 1 ]]",
        "[[ $WINDLASS_ITEM -eq 1 ]]",
        "test -v {{ item }}",
        "printf -v {{ item }} x",
        "printf {{ item }} x",
        "printf %d {{ item }}",
        "echo x | read {{ item }}",
        "declare {{ item }}",
        "typeset -i x={{ item }}",
        "declare -i x; x={{ item }}",
        "let {{ item }}",
        "a[{{ item }}]=1",
        "x={{ item }}; : $((x))",
        "x={{ item }}; y=$x; : $((y + 1))",
        ": $((WINDLASS_ITEM))",
        "f() { : $(($1)); }; f {{ item }}",
        "for x in {{ item }}; do : $((x)); done",
        ": $(( $(echo {{ item }}) ))",
        ": ${x[{{ item }}]}",
        ": ${x[$WINDLASS_ITEM]}",
        "x=abc; : ${x:WINDLASS_ITEM}",
        ": ${!WINDLASS_ITEM}",
        "eval {{ item }}",
        "trap {{ item }} EXIT",
        "unset {{ item }}",
        "exit {{ item }}",
        "alias x={{ item }}\nx",
        "getopts ab {{ item }} -a",
        "mapfile -c 1 -C {{ item }} </etc/passwd",
        "PS4={{ item }}; set -x; :",
        "RANDOM={{ item }}",
        "{{ item }} {{ item }}",
        "n=$(printenv WINDLASS_ITEM); [[ $n -gt 3 ]]",
        "n=$(python3 -c 'import os; print(os.environ[\"WINDLASS_ITEM\"])'); : $((n))",
        "n=$(./program); : $((n))",
        "echo {{ item }}; : $((_))",
        ". <(echo {{ item }})",
        "source <(printenv WINDLASS_ITEM)",
        "e=eval; $e {{ item }}",
        "t=test; $t -v {{ item }}",
        "v=WINDLASS_ITEM; : $((v))",
        "exec {a[$WINDLASS_ITEM]}>/dev/null",
        "[[ $WINDLASS_ITEM =~ (.*) ]]; : $((BASH_REMATCH[1]))",
        "trap ': $((WINDLASS_ITEM))' EXIT",
        "read -r x <<< \"$WINDLASS_ITEM\"; : $((x))",
        "alias e=eval\ne {{ item }}",
        "f() { \"$@\"; }; f eval {{ item }}",
    ]
    .iter()
    .chain(HIDDEN)
    {
        if Definition::of_command("each", command).is_ok() {
            let_pass.push(*command);
        }
    }
    assert_eq!(let_pass, [""; 0]);
    // The test detects an execution.
    for shell in shells {
        assert!(is_executed(shell, "eval \"$WINDLASS_ITEM\"", SHOUT).is_some(), "{shell:?}");
    }
}

#[test]
fn ordinary_commands_pass_and_execute_no_item_in_any_shell() {
    let shells = shells();
    for command in [
        "n=$(wc -l < {{ item }}); echo $((n + 1)); test {{ item }} = b || printf '%s\\n' {{ item }}",
        "set -- {{ item }} b; for x; do echo \"$x\"; done > {{ item }} 2>&1; [ -f {{ item }} ]",
        "x={{ item }}; export Y={{ item }}; f() { local z; z={{ item }}; echo \"$x$z\"; }; f {{ item }}",
        "case {{ item }} in a*) cat {{ item }} ;; esac | sed 's/a/b/' {{ item }}; ./{{ item }}/run {{ item }}",
        "n=$(wc -l < {{ item }}); [ \"$n\" -gt 3 ]; n=$(echo {{ item }} | wc -l); echo $((n + 1))",
        "run() { echo \"$*\"; \"$@\"; }; run echo {{ item }}; cmd='ls -l'; $cmd {{ item }}",
        "trap 'echo \"$WINDLASS_ITEM\"' EXIT; s=$(date +%s); echo $((s + 1)) {{ item }}; eval \"$(echo x=1)\"",
        "cat > x <<E\n; don't edit $WINDLASS_ITEM $(echo \"$WINDLASS_ITEM\")\nE\ncat x {{ item }}",
        "cat <<< \"$WINDLASS_ITEM\"; echo `echo \"$WINDLASS_ITEM\"` \"$WINDLASS_ITEM\"",
        "x=`echo \"$WINDLASS_ITEM\"`; echo \"$x\" \"`cat x`\"; x=$(case \"$x\" in a) echo 1;; (*) echo 2;; esac); echo \"$x\"",
        "try() { shift; \"$@\"; }; try 3 echo {{ item }}; $UNSET echo {{ item }}; sh -c 'echo \"$1\"' sh {{ item }}",
        "x=${WINDLASS_ITEM//[^0-9]/}; echo $((x)) $((${#WINDLASS_ITEM}))",
        "(cd {{ item }} && ls) || . {{ item }}; {{ item }} --help; command -v {{ item }}; kill {{ item }}",
    ] {
        let definition = Definition::of_command("each", command).unwrap_or_else(|it| panic!("{it} {:?}", it.hint()));
        let Action::Run(run) = &definition.steps[0].action else { unreachable!() };
        for item in attacks() {
            let values = Values { item: Some(Cow::Owned(json!(item))), ..Values::default() };
            let script = run.argv(&values).unwrap().pop().unwrap();
            for shell in shells {
                assert_eq!(is_executed(shell, &script, &item), None, "{shell:?}\n{script}");
            }
        }
    }
}

#[test]
fn commands_run_under_the_shell_of_the_system() {
    let definition = Definition::of_command("each", "echo {{ item }}").unwrap();
    let Action::Run(run) = &definition.steps[0].action else { unreachable!() };
    let values = Values { item: Some(Cow::Owned(json!("a"))), ..Values::default() };
    assert_eq!(run.argv(&values).unwrap(), ["/bin/sh", "-c", "echo 'a'"]);
}

/// Pieces that a scanner and a shell could read differently.
const PIECES: &[&str] = &[
    "<<'E'\n",
    "\"$WINDLASS_ITEM\"",
    "eval \"$WINDLASS_ITEM\" ",
    "it's",
    "`echo ",
    "a=(eval); ",
    "\"${a[@]}\" ",
    "$u ",
    // The item as the whole text would be executed on purpose.
    "sh -c 'x '",
    "for ((;;)) do ",
    "[ -$o ",
    "printf -v x %s ",
    "() { ",
    "echo ",
    "#",
    "\u{a0}",
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
    " x=",
    "=(",
    "a[",
    "]",
    ": $((x))",
    "$((WINDLASS_ITEM))",
    " $1 ",
    "[[ ",
    " -eq 1 ]]",
    " >& ",
    "eval ",
    "read ",
    "command ",
    "let x=",
    "declare -i ",
    "export ",
    "printf ",
    "'%d' ",
    "test -v ",
    "unset ",
    "for x in ",
    "; do ",
    " done ",
    "f() { ",
    "; }; f ",
    "${x:",
    " && ",
    " | ",
    "set -- ",
    "e=eval; ",
    "$e ",
    "alias e=eval\n",
    "e ",
    ": $((_)) ",
    ". ",
    "<(",
    "printenv WINDLASS_ITEM",
    "trap '",
    "' EXIT ",
    "[[ $WINDLASS_ITEM =~ (.*) ]]; ",
    ": $((BASH_REMATCH[1])) ",
    "exec {a[",
    "v=WINDLASS_ITEM; ",
    ": $((v)) ",
    "<<< ",
    "read -r x ",
    "x=$(",
    "\"$@\"",
];

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_text_is_exactly_one_word(item in "[^\0]{0,40}") {
        prop_assert_eq!(shell_prints("printf %s {{ item }}", &item), item.as_bytes());
    }

    /// An item is never executed in an accepted command: its output appears nowhere.
    #[test]
    fn no_command_that_is_let_pass_executes_its_item(
        before in prop::collection::vec(0usize..PIECES.len(), 1..10),
        after in prop::collection::vec(0usize..PIECES.len(), 0..6),
        attack in 0usize..64,
    ) {
        let text = |picked: &[usize]| picked.iter().map(|it| PIECES[*it]).collect::<String>();
        let command = format!("{}{{{{ item }}}}{}", text(&before), text(&after));
        let Ok(definition) = Definition::of_command("each", &command) else { return Ok(()) };
        let Action::Run(run) = &definition.steps[0].action else { unreachable!() };
        let attacks = attacks();
        let item = &attacks[attack % attacks.len()];
        let values = Values { item: Some(Cow::Owned(json!(item))), ..Values::default() };
        let script = run.argv(&values).unwrap().pop().unwrap();
        for shell in shells() {
            prop_assert_eq!(is_executed(shell, &script, item), None, "{:?}\n{}", shell, script);
        }
    }
}

/// The fenced YAML blocks of a page, with the rest of each opening line.
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
    let pages = [include_str!("../../docs/workflows.md"), include_str!("../../docs/coming-from.md")].concat();
    let page = pages.as_str();
    let known =
        KnownKinds::new(["windlass/noop", "windlass/sleep", "windlass/fail", "windlass/store", "windlass/webhook"]);
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

/// `UPDATE_DOCS=1 cargo test` writes the table.
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
