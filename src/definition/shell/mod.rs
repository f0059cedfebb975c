//! The quoting of values in shell commands, and the places where no quoting can be safe.
//!
//! A value becomes a word in single quotes. That is one word, and nothing in it is executed, exactly where a word may
//! begin or continue in plain shell text, and where the command does not evaluate its words a second time. `check` refuses
//! every other place: `scan` knows quotes, comments, here documents and expressions, `judge` the commands that evaluate.

mod follow;
mod judge;
mod prints;
mod scan;
mod script;

pub(super) use judge::SPECIAL_IN_ENV;
pub(super) use script::is_foreign;

use super::template::{Part, Template};
use follow::Held;
use scan::Scan;

/// What is wrong, and what would be right.
pub type Problem = (String, &'static str);

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
                .map_err(|(place, hint)| (format!("`{{{{ {expression} }}}}` is {place}"), hint))?,
        }
    }
    let mut script = scan.end();
    script.settle(0);
    let [certain, possible] = [false, true].map(|guess| Held::new(&script, variables, guess));
    for it in &script.uses {
        let held = if it.code { &certain } else { &possible };
        if let Some(what) = held.named(&it.content) {
            return Err((format!("{what} is {}", it.place), it.hint));
        }
    }
    Ok(())
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
            "(true)#it's\necho {{ item }}; f()# it's\n{ echo {{ item }}; }; case a in a)#it's\n echo {{ item }};; esac",
            "echo $(date)#x {{ item }}; echo \"$(true)#'\" {{ item }}",
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

    #[test]
    fn what_people_write_every_day_is_allowed() {
        for command in [
            r#"n=$(wc -l < {{ item }}); [ "$n" -gt 3 ]"#,
            r#"n=$(nproc); [[ $n -gt 2 ]] && echo {{ item }}"#,
            r#"[[ $(id -u) -eq 0 ]] || echo {{ item }}"#,
            r#"s=$(date +%s); gzip {{ item }}; e=$(date +%s); echo $((e - s))"#,
            r#"n=$(find {{ item }} -type f | wc -l); echo $((n + 1))"#,
            r#"n=$(docker ps -q | wc -l); (( n > 3 ))"#,
            r#"n=$(grep -c x < {{ item }}); echo $((n + 1))"#,
            r#"n=$(git rev-list --count HEAD); [[ $n -gt 1 ]]"#,
            r#"$PYTHON tool.py {{ item }}; "$HOME/bin/tool" {{ item }}; ${CC:-gcc} -c {{ item }}"#,
            r#"run() { echo "+ $*"; "$@"; }; run gzip {{ item }}; run test -f {{ item }}"#,
            r#"cmd="rm -f"; $cmd {{ item }}"#,
            r#"eval "$(ssh-agent -s)"; ssh-add {{ item }}"#,
            r#"source <(kubectl completion bash); echo {{ item }}"#,
            r#". ./env.sh; echo {{ item }}"#,
            r#"trap 'echo "$N"; kill $!' EXIT INT; echo {{ item }}"#,
            r#"[[ $(git status --porcelain) = "" ]] && echo {{ item }}"#,
            r#"[[ -n $(./prog) && 3 -gt 2 ]] && echo {{ item }}"#,
            r#"x=$(./prog {{ item }}); [ "$x" = ok ]"#,
            r#"for i in $(seq 1 3); do echo $((i)) {{ item }}; done"#,
            r#"count() { wc -l < f; }; gzip {{ item }}; n=$(count); echo $((n + 1))"#,
            r#"t=$(mktemp); ./prog > "$t"; while read -r n; do s=$((s + n)); done < "$t"; echo $s"#,
            r#"echo {{ item }} | tee log; if [ $? -ne 0 ]; then exit 1; fi"#,
            r#"w=$(tput cols); echo $((w - 2)) {{ item }}"#,
            r#"PS4='+ $LINENO: '; set -x; gzip {{ item }}"#,
            r#"exec 3>log; exec {fd}>log2; echo {{ item }} >&3"#,
            r#"i=0; while [ $i -lt 3 ]; do curl -sf {{ item }} && break; i=$((i+1)); done"#,
            r#"[[ $N =~ ^a ]] && echo "${BASH_REMATCH[0]}""#,
            r#"[[ $N == a* && $i -lt 3 ]] && echo {{ item }}"#,
            r#"n=$(stat -c %s file); echo $((n / 1024)); echo {{ item }}"#,
            r#"r=$(curl -s -o /dev/null -w '%{http_code}' http://localhost); [[ $r -eq 200 ]]"#,
            r#"case {{ item }} in *.gz) n=$(zcat < {{ item }} | wc -l);; *) n=0;; esac; echo $((n))"#,
            r#"p=$(which python3); $p x.py {{ item }}"#,
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
        ("echo $(true)#'\n{{ item }}'", "inside quotes"),
        ("echo $(date)#\"v\n{{ item }} \"", "inside quotes"),
        ("x=$((1+1))#\"\nrm -f {{ item }}; echo \"", "`#`"),
        ("echo <(true)#'\n{{ item }}'", "inside quotes"),
        ("a=(1)#'\n{{ item }}'", "`#`"),
        ("((1))#'\n{{ item }}'", "`#`"),
        ("echo x\r#'\n{{ item }}'", "`#`"),
        ("echo x\u{b}#'\n{{ item }}'", "`#`"),
        ("echo x\u{c}#'\n{{ item }}'", "`#`"),
        ("echo x\u{85}#'\n{{ item }}'", "`#`"),
        ("echo x\u{a0}#'\n{{ item }}'", "`#`"),
        ("echo x\u{2003}#'\n{{ item }}'", "`#`"),
        ("echo x\u{2028}#'\n{{ item }}'", "`#`"),
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
        (r#"n=$(printenv WINDLASS_ITEM); if [[ $n -gt 3 ]]; then :; fi"#, "`[[ ]]`"),
        (r#"n=$(python3 -c 'import os; print(os.environ["WINDLASS_ITEM"])'); echo $((n))"#, "arithmetic"),
        (r#"echo {{ item }}; echo $((_))"#, "arithmetic"),
        (r#". <(echo {{ item }})"#, "`.`"),
        (r#"source <(printenv WINDLASS_ITEM)"#, "`.`"),
        (r#"e=eval; $e {{ item }}"#, "`eval`"),
        (r#"t=test; $t -v {{ item }}"#, "`test`"),
        (r#"v=WINDLASS_ITEM; echo $((v))"#, "arithmetic"),
        (r#"exec {a[$WINDLASS_ITEM]}>/dev/null"#, "arithmetic"),
        (r#"[[ $WINDLASS_ITEM =~ (.*) ]]; echo $((BASH_REMATCH[1]))"#, "arithmetic"),
        (r#"trap 'echo $((WINDLASS_ITEM))' EXIT"#, "arithmetic"),
        (r#"eval 'echo $((WINDLASS_ITEM))'"#, "arithmetic"),
        (r#"c='echo $((WINDLASS_ITEM))'; eval "$c""#, "arithmetic"),
        (r#"PS4='$((WINDLASS_ITEM))'; set -x; :"#, "arithmetic"),
        (r#"n=$(./prog); echo $((n))"#, "arithmetic"),
        (r#"n=$(./prog); printf -v "$n" x"#, "`printf`"),
        (r#"n=$(env | sed -n 's/^WINDLASS_ITEM=//p'); (( n > 1 ))"#, "arithmetic"),
        (r#"n=$(awk 'BEGIN{print ENVIRON["WINDLASS_ITEM"]}'); let n+=1"#, "arithmetic"),
        (r#"n=$(perl -e 'print $ENV{WINDLASS_ITEM}'); eval "$n""#, "`eval`"),
        (r#"eval "$(printenv WINDLASS_ITEM)""#, "`eval`"),
        (r#"f() { printenv WINDLASS_ITEM; }; n=$(f); echo $((n))"#, "arithmetic"),
        (r#"printenv WINDLASS_ITEM | while read -r x; do echo $((x)); done"#, "arithmetic"),
        (r#"read -r x < <(printenv WINDLASS_ITEM); echo $((x))"#, "arithmetic"),
        (r#"read -r x <<< "$WINDLASS_ITEM"; echo $((x))"#, "arithmetic"),
        ("read -r x <<E\n$WINDLASS_ITEM\nE\necho $((x))", "arithmetic"),
        (r#"read -r <<< "$N"; echo $((REPLY))"#, "arithmetic"),
        (r#"a=ev; b=al; $a$b {{ item }}"#, "`eval`"),
        (r#"${x:-eval} {{ item }}"#, "`eval`"),
        (r#"$(echo eval) {{ item }}"#, "`eval`"),
        (r#"for e in eval; do $e {{ item }}; done"#, "`eval`"),
        (r#"set -- eval; "$1" {{ item }}"#, "`eval`"),
        (r#"set -- eval {{ item }}; "$@""#, "`eval`"),
        (r#"f() { "$@"; }; f eval {{ item }}"#, "`eval`"),
        ("alias e=eval\ne {{ item }}", "`eval`"),
        (r#"command $e {{ item }}; e=eval"#, "`eval`"),
        (r#"cd {{ item }}; x=${PWD##*/}; echo $((x))"#, "arithmetic"),
        (r#"e='builtin eval'; $e "$N""#, "`eval`"),
        (r#"printenv WINDLASS_ITEM | . /dev/stdin"#, "`.`"),
        (r#"[[ $(printenv WINDLASS_ITEM) -gt 3 ]]"#, "`[[ ]]`"),
        (r#"declare -i n; n=$(printenv WINDLASS_ITEM)"#, "`declare`"),
        (r#"a[$(printenv WINDLASS_ITEM)]=1"#, "arithmetic"),
        (r#"echo ${x:$(printenv WINDLASS_ITEM)}"#, "arithmetic"),
        (r#"test -v "$(printenv WINDLASS_ITEM)""#, "`test`"),
        (r#"unset "$(printenv WINDLASS_ITEM)""#, "`unset`"),
        (r#"name=WINDLASS_ITEM; eval "echo \$(($name))""#, "arithmetic"),
        (r#"echo $(( $(tr '\0' '\n' < /proc/self/environ) ))"#, "arithmetic"),
        (r#"n=$(cat /proc/self/environ); echo $((n))"#, "arithmetic"),
    ];

    #[test]
    fn dangerous_places_are_refused() {
        for (command, place) in DANGEROUS {
            let refused = refused(command).unwrap_or_else(|| panic!("{command} was let pass"));
            assert!(refused.contains(place), "{command}: {refused}");
        }
    }
}
