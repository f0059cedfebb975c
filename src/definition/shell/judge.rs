//! Which commands evaluate their arguments.

use super::script::{Content, Flow, SPOT, Script, Word, assigned, head, is_name};

/// Builtins that compute with an argument, or take it for code, in at least one shell.
const EVALUATING: &[&str] = &[
    "alias",
    "bind",
    "break",
    "bye",
    "compgen",
    "complete",
    "continue",
    "coproc",
    "emulate",
    "enable",
    "eval",
    "exit",
    "fc",
    "float",
    "functions",
    "getopts",
    "history",
    "integer",
    "let",
    "logout",
    "mapfile",
    "nameref",
    "print",
    "private",
    "read",
    "readarray",
    "repeat",
    "return",
    "sched",
    "shift",
    "trap",
    "ulimit",
    "unset",
    "vared",
    "wait",
    "zparseopts",
];
/// Builtins whose arguments are assignments.
const DECLARING: &[&str] = &["declare", "export", "local", "readonly", "typeset"];
/// Variables whose value a shell evaluates when it is set or used.
const SPECIAL: &[&str] = &[
    "BASH_ENV",
    "COLUMNS",
    "EGID",
    "ENV",
    "ERRNO",
    "EUID",
    "FUNCNEST",
    "GID",
    "HISTCMD",
    "HISTSIZE",
    "KEYTIMEOUT",
    "LINENO",
    "LINES",
    "LISTMAX",
    "MAILCHECK",
    "OPTIND",
    "PPID",
    "PROMPT_COMMAND",
    "PS0",
    "PS1",
    "PS2",
    "PS4",
    "RANDOM",
    "RPS1",
    "SAVEHIST",
    "SECONDS",
    "SRANDOM",
    "TMOUT",
    "UID",
];
/// Those of them that are evaluated when a shell finds them in its environment.
pub(in crate::definition) const SPECIAL_IN_ENV: &[&str] = &["BASH_ENV", "ENV", "PROMPT_COMMAND", "PS0", "PS1", "PS4"];

const ARGUMENT: &str = "some shells run what stands in a value there; compare with `case`, compute with `expr` or `awk`, \
                        or give the value to a script of its own as an argument";
const PROGRAM: &str = "to run a value as a program on purpose, write `sh -c {{ item }}`";
const DECLARED: &str = "write `NAME={{ item }}` without options, or pass the value in a variable (`env:`)";
const FORMAT: &str = "write `printf '%s\\n' {{ item }}`";

impl Script {
    /// Notes where a command evaluates one of its words, and which variables it sets.
    pub(super) fn judge(&mut self, words: &[Word]) {
        let begins = head(words).unwrap_or(words.len());
        for word in &words[..begins] {
            self.assignment(word);
        }
        let Some(command) = words.get(begins) else { return };
        let arguments = &words[begins + 1..];
        let mut all = Content::default();
        for word in arguments {
            all.values.extend(word.content.values.iter().cloned());
            all.names.extend(word.content.names.iter().cloned());
        }
        let name = command.text.as_str();
        match name {
            _ if command.is_open() => self.unknown(command, &all),
            "test" | "[" => self.test(arguments),
            "printf" => self.printf(arguments),
            "set" => {
                let options = arguments.iter().take_while(|it| it.text != "--");
                options.for_each(|it| self.argument(name, &it.content));
            }
            "for" | "select" => self.each(arguments),
            _ if DECLARING.contains(&name) => self.declaration(name, arguments),
            _ if EVALUATING.contains(&name) => self.evaluating(name, arguments),
            _ => (),
        }
        self.give(&all);
    }

    fn argument(&mut self, name: &str, content: &Content) {
        let hint = if matches!(name, "eval" | "trap" | "alias") { PROGRAM } else { ARGUMENT };
        self.evaluated(content.clone(), format!("as an argument of `{name}`, which evaluates it"), hint);
    }

    fn assignment(&mut self, word: &Word) {
        let Some(name) = assigned(word) else { return };
        if SPECIAL.contains(&name) {
            let place = format!("as the value of `{name}`, which shells evaluate");
            self.evaluated(word.content.clone(), place, "use a variable of another name");
        }
        self.flows.push(Flow { name: name.to_string(), content: word.content.clone() });
    }

    /// The command itself comes from a value: it could be `eval`, unless the value is behind a `/`.
    fn unknown(&mut self, command: &Word, arguments: &Content) {
        let chosen = command.content.values.iter().any(|it| !it.starts_with("params"));
        let open = arguments.values.len() + arguments.names.len() > 0;
        if open && (chosen || !command.content.names.is_empty()) && !command.text.contains('/') {
            let mut content = command.content.clone();
            content.values.retain(|it| !it.starts_with("params"));
            let place = "where it names a command that is given other values: it could name `eval`".to_string();
            self.evaluated(content, place, "write the command as a list: `run: [\"{{ item.program }}\", ...]`");
        }
    }

    /// `test` looks into the variable that is named after `-v`.
    fn test(&mut self, arguments: &[Word]) {
        for (before, word) in arguments.iter().zip(arguments.iter().skip(1)) {
            let unknown = before.is_open() && (before.content.values.len() + before.content.names.len()) > 0;
            if unknown || matches!(before.text.as_str(), "-v" | "-R" | "-t") {
                let place = "in `test` where it can be the name of a variable".to_string();
                self.evaluated(word.content.clone(), place, "put an operator between the values: `[ {{ item }} = a ]`");
            }
        }
    }

    fn printf(&mut self, mut arguments: &[Word]) {
        let place = |what: &str| format!("{what} of `printf`, which evaluates it");
        while let [first, rest @ ..] = arguments {
            match first.text.as_str() {
                "--" => arguments = rest,
                "-v" => {
                    let [name, rest @ ..] = rest else { return };
                    self.evaluated(name.content.clone(), place("as a variable"), FORMAT);
                    arguments = rest;
                }
                _ => break,
            }
        }
        let [format, values @ ..] = arguments else { return };
        self.evaluated(format.content.clone(), place("in the format"), FORMAT);
        let kinds = match format.text.contains(SPOT) {
            true => vec![true],
            false => computes(&format.text),
        };
        // The format is used again for what is left over.
        let numbers = values.iter().zip(kinds.iter().cycle()).filter(|it| *it.1);
        numbers.for_each(|it| self.evaluated(it.0.content.clone(), place("as a number"), FORMAT));
    }

    /// `for name in ...`
    fn each(&mut self, words: &[Word]) {
        let [name, rest @ ..] = words else { return };
        let mut content = Content::default();
        for word in rest {
            content.values.extend(word.content.values.iter().cloned());
            content.names.extend(word.content.names.iter().cloned());
        }
        if rest.is_empty() {
            content.names.push("@".into());
        }
        self.flows.push(Flow { name: name.text.clone(), content });
    }

    fn declaration(&mut self, name: &str, arguments: &[Word]) {
        let harmless = |it: &Word| !it.is_open() && it.text.chars().skip(1).all(|it| "gprx".contains(it));
        let mut options = arguments.iter().filter(|it| it.text.starts_with(['-', '+', SPOT]));
        let odd = options.any(|it| !harmless(it));
        for word in arguments {
            match assigned(word) {
                Some(_) if !odd => self.assignment(word),
                _ => {
                    let mut content = word.content.clone();
                    if odd {
                        let letters = |it: char| it.is_ascii_alphanumeric() || it == '_';
                        content.names.extend(word.text.split(|it| !letters(it)).map(str::to_string));
                    }
                    let place = format!("as an argument of `{name}`, which can evaluate it");
                    self.evaluated(content, place, DECLARED);
                }
            }
        }
    }

    fn evaluating(&mut self, name: &str, arguments: &[Word]) {
        for word in arguments {
            self.argument(name, &word.content);
            // `let x`, and `read x` from what an earlier command prints.
            match name {
                "let" | "integer" | "float" | "nameref" | "repeat" | "exit" | "return" | "shift" | "break"
                | "continue" => {
                    let letters = |it: char| it.is_ascii_alphanumeric() || it == '_';
                    word.text.split(|it| !letters(it)).filter(|it| is_name(it)).for_each(|it| self.computed_with(it));
                }
                _ if is_name(&word.text) => self.flow(&word.text, "@"),
                _ => (),
            }
        }
    }
}

/// Of each argument that a format of `printf` asks for, whether it is a number.
fn computes(format: &str) -> Vec<bool> {
    let mut kinds = Vec::new();
    for spec in format.replace("%%", "").split('%').skip(1) {
        let mut letters = spec.chars();
        let kind = letters.find(|it| {
            kinds.extend((*it == '*').then_some(true));
            !matches!(it, '-' | '+' | '#' | '.' | ' ' | '*' | '0'..='9')
        });
        kinds.push(!matches!(kind, Some('s' | 'b' | 'q' | 'c' | 'Q')));
    }
    kinds
}
