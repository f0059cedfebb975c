//! The quoting of values in shell commands, and the places where no quoting can be safe.
//!
//! A value becomes a word in single quotes. That is one word, and nothing in it is executed, exactly where a word may
//! begin or go on in plain shell text, and where the command does not evaluate its words a second time. `check` refuses
//! every other place: `scan` knows quotes, comments, here documents and expressions, `judge` the commands that evaluate.

mod judge;
mod scan;
mod script;

pub(super) use judge::SPECIAL_IN_ENV;
pub(super) use script::is_foreign;

use super::template::{Part, Template};
use scan::Scan;
use script::{Content, Script};
use std::collections::BTreeMap;

/// One shell word that stands for exactly this text, for every POSIX shell.
pub fn quote(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

/// What is wrong, and what would be right.
pub type Problem = (String, &'static str);

/// Variables of every command that hold what others chose.
const OURS: [&str; 3] = ["WINDLASS_ITEM", "WINDLASS_PARAMS", "WINDLASS_INPUTS"];

/// Refuses a command in which a value could be executed or split; says what would be right.
///
/// `variables` are those of the command's `env:` that are made of values.
pub fn check(command: &Template, variables: &[&str]) -> Result<(), Problem> {
    let mut scan = Scan::new();
    for part in command.parts() {
        match part {
            Part::Text(text) => scan.read(text),
            Part::Expression(expression) => scan
                .value(expression)
                .map_err(|(place, hint)| (format!("`{{{{ {expression} }}}}` stands {place}"), hint))?,
        }
    }
    let script = scan.end();
    let held = held(&script, variables);
    for it in &script.uses {
        if let Some(what) = named(&it.content, &held) {
            return Err((format!("{what} stands {}", it.place), it.hint));
        }
    }
    Ok(())
}

/// The variables that can hold a value, with the value's expression where it stands in the command.
fn held(script: &Script, variables: &[&str]) -> BTreeMap<String, Option<String>> {
    let roots = OURS.iter().chain(variables);
    let mut held: BTreeMap<String, Option<String>> = roots.map(|it| (it.to_string(), None)).collect();
    loop {
        let before = held.len();
        for flow in &script.flows {
            let content = &flow.content;
            let through = content.names.iter().find_map(|it| held.get(it)).cloned();
            let value = content.values.first().cloned().map(Some).or(through);
            if let (Some(value), false) = (value, held.contains_key(&flow.name)) {
                held.insert(flow.name.clone(), value);
            }
        }
        if held.len() == before {
            return held;
        }
    }
}

/// The value in this content, or the variable that holds one, in words.
fn named(content: &Content, held: &BTreeMap<String, Option<String>>) -> Option<String> {
    if let Some(value) = content.values.first() {
        return Some(format!("`{{{{ {value} }}}}`"));
    }
    let (name, value) = content.names.iter().find_map(|it| held.get_key_value(it))?;
    let name = if name == "@" { "an argument or what was read" } else { name };
    Some(match value {
        Some(value) => format!("`{name}`, which can hold `{{{{ {value} }}}}`,"),
        None => format!("`{name}`, which holds a value from outside,"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(command: &str) -> Option<String> {
        check(&Template::parse(command).unwrap(), &["N"]).err().map(|(message, _)| message)
    }

    #[test]
    fn plain_places_are_allowed() {
        for command in [
            "echo {{ item }}",
            "sort -u < {{ out }}/data.csv > {{ out }}/clean.csv",
            "a=$(cat {{ out }}) && echo \"$a\" {{ item }}",
            "echo \"$(cat {{ out }}/x)\" {{ item }}",
            "echo 'it is' {{ item }} \"so\"{{ item }}",
            "echo \\' {{ item }}",
            "echo \"a\\\"b\" {{ item }}",
            "echo ${HOME} {{ item }} $((1 + 2)) {{ item }}",
            "echo a#b {{ item }} # it's done\necho {{ item }}",
            "(cd {{ out }}; ls) | wc; f() { echo {{ item }}; }",
            "case {{ item }} in a) echo {{ item }};; esac",
            "echo ${x#y} ${#x} {{ item }} $((1 << 2)) {{ item }}",
            "docker ps --format {{ '{{.Names}}' }}",
            "x={{ item }}; echo \"$x\"; export Y={{ item }}; f() { local z={{ item }}; }",
            "n=$(wc -l < {{ item }}); echo $((n + 1))",
            "i=0; for f in {{ item }}/*; do i=$((i + 1)); cp \"$f\" {{ out }}/$i; done",
            "n={{ attempt }}; sleep $((n * 2)); exit {{ attempt }}",
            "[ -f {{ item }} ] && test {{ item }} = {{ params.x }} -o -r {{ item }}",
            "printf '%s %d\\n' {{ item }} 3 {{ item }} 4; printf '%-5.1f%%' 3; echo done >&2; echo {{ item }} 2>&1 >&2",
            "while read -r line; do t=$((t + line)); done < {{ item }}; echo \"$t\"",
            "if command -v convert; then convert {{ item }} {{ out }}/x.webp; else exit 1; fi",
            "set -e; set -- {{ item }} b; for x; do echo \"$x\"; done; {{ item }} --help",
            "{{ params.python }} tool.py {{ item }}; ./{{ item }}/run {{ item }}; . {{ inputs.a.dir }}/env.sh",
            "diff <(sort {{ item }}) {{ out }}/b; echo a[0-9] {{ item }}; cat {{ item }} | sed 's/[a-z]/x/'",
            "trap 'rm -rf \"$d\"' EXIT; d=$(mktemp -d); cd {{ out }} && tar -xf {{ item }}",
            "echo \"$N\" ${N:-none} ${N#a} {{ item }}; [ \"$N\" = a ]; sh -c {{ item }}",
            "{ echo {{ item }}; } | while read -r x; do echo \"$x\"; done; x=(a b)",
        ] {
            assert_eq!(refused(command), None, "{command}");
        }
    }

    /// A command, and a part of what is said of it.
    const DANGEROUS: &[(&str, &str)] = &[
        ("echo \"{{ item }}\"", "inside quotes"),
        ("echo '{{ item }}'", "inside quotes"),
        ("echo \"a $(echo \"{{ item }}\")\"", "inside quotes"),
        ("echo \"$(date) {{ item }}\"", "inside quotes"),
        ("echo \"$$(({{ item }}\"", "inside quotes"),
        ("echo ${X:-{{ item }}}", "inside `${ }`"),
        ("echo $(( {{ item }} + 1 ))", "arithmetic"),
        ("(( {{ item }} ))", "arithmetic"),
        ("echo $[ {{ item }} ]", "arithmetic"),
        ("echo `cat {{ item }}`", "backquote"),
        ("echo \"`cat {{ item }}`\"", "backquote"),
        ("cat <<EOF\n{{ item }}\nEOF", "here document"),
        ("true # {{ item }}", "comment"),
        ("# it's {{ item }}", "comment"),
        ("echo \\{{ item }}", "backslash"),
        ("echo ${{ item }}", "after a `$`"),
        ("echo $'it\\'s' {{ item }}", "after `$'`"),
        ("echo \"${x:-'}\" '} \" {{ item }} \"'", "a quote inside"),
        ("echo \\\n# it's {{ item }}", "comment"),
        ("echo $((a[1] + b[2] + {{ item }}))", "arithmetic"),
        ("echo \"$(case x in x) echo \"{{ item }}\";; esac)\"", "`case`"),
        ("echo hi >& {{ item }}.log", "`>&`"),
        ("cat <&{{ item }}", "`<&`"),
        ("echo hi >&\"$WINDLASS_ITEM\"", "`WINDLASS_ITEM`, which holds a value"),
        ("[[ {{ item }} -eq 1 ]]", "`[[ ]]`"),
        ("[[ -n a && ( -v {{ item }} ) ]]", "`[[ ]]`"),
        ("[[ $(cat {{ item }}) -eq 1 ]]", "`[[ ]]`"),
        ("[[ $N -eq 1 ]]", "`N`, which holds"),
        ("[[ N -gt 1 ]]", "`N`, which holds"),
        ("[ -v {{ item }} ]", "`test`"),
        ("test {{ item.a }} {{ item.b }}", "`test`"),
        ("printf -v {{ item }} x", "`printf`"),
        ("printf {{ item }}", "the format"),
        ("printf '%d' {{ item }}", "as a number"),
        ("printf '%s %*s' a {{ item }} b", "as a number"),
        ("printf '%s %d' a 1 b {{ item }}", "as a number"),
        ("echo x | read -r {{ item }}", "`read`"),
        ("echo x | command re\"ad\" {{ item }}", "`read`"),
        ("if \\read <(true) {{ item }}; then :; fi", "`read`"),
        ("declare {{ item }}", "`declare`"),
        ("typeset -i x={{ item }}", "`typeset`"),
        ("declare -i x; x={{ item }}", "`x`, which can hold `{{ item }}`"),
        ("declare $o x={{ item }}", "`declare`"),
        ("export {{ item }}", "`export`"),
        ("let x={{ item }}", "`let`"),
        ("let x=N", "`N`, which holds"),
        ("a[{{ item }}]=1", "subscript"),
        ("a[1|{{ item }}]=1", "subscript"),
        ("a=([{{ item }}]=1)", "array"),
        ("a=(x y) read {{ item }}", "`read`"),
        ("echo ${a[$N]}", "`N`, which holds"),
        ("echo ${a:N}", "`N`, which holds"),
        ("echo ${!N}", "`N`, which holds"),
        ("echo $((N + 1))", "`N`, which holds"),
        ("echo $[ $N ]", "`N`, which holds"),
        ("x={{ item }}; echo $((x + 1))", "`x`, which can hold `{{ item }}`"),
        ("x=$(basename {{ item }} .csv); y=\"a$x\"; (( y > 1 ))", "`y`, which can hold `{{ item }}`"),
        ("echo $(( $(cat {{ item }}) + 1 ))", "arithmetic"),
        ("echo $(( $(echo $N) ))", "`N`, which holds"),
        ("f() { echo $(($1)); }; f {{ item }}", "can hold `{{ item }}`"),
        ("echo {{ item }} | while read -r x; do echo $((x)); done", "`x`, which can hold"),
        ("for x in a {{ item }}; do echo $((x)); done", "`x`, which can hold"),
        ("eval {{ item }}", "`eval`"),
        ("eval \"$N\"", "`eval`"),
        ("trap {{ item }} EXIT", "`trap`"),
        ("alias x={{ item }}", "`alias`"),
        ("unset {{ item }}", "`unset`"),
        ("exit {{ item }}", "`exit`"),
        ("getopts {{ item }} x", "`getopts`"),
        ("mapfile -C {{ item }} x", "`mapfile`"),
        ("{{ item.a }} {{ item.b }}", "it could name `eval`"),
        ("x={{ item }}; $x {{ item }}", "it could name `eval`"),
        ("PS4={{ item }}; set -x", "`PS4`"),
        ("RANDOM={{ item }} true", "`RANDOM`"),
        ("set {{ item }} x", "`set`"),
        ("read @(a|b) {{ item }}", "a parenthesis"),
        ("x[ {{ item }} ]=1", "subscript"),
    ];

    #[test]
    fn dangerous_places_are_refused() {
        for (command, place) in DANGEROUS {
            let refused = refused(command).unwrap_or_else(|| panic!("{command} was let pass"));
            assert!(refused.contains(place), "{command}: {refused}");
        }
    }
}
