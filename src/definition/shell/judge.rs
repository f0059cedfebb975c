//! Which commands evaluate their arguments.

use super::{
    prints,
    script::{Content, Flow, READ, SPOT, Script, Word, assigned, head, is_name, names_in},
};

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

const ARGUMENT: &str = "some shells run the content of a value there; compare with `case`, compute with `expr` or `awk`, \
                        or pass the value as an argument to your own script";
const PROGRAM: &str = "to run a value as a program on purpose, write `sh -c {{ item }}`";
const DECLARED: &str = "write `NAME={{ item }}` without options, or pass the value in a variable (`env:`)";
const FORMAT: &str = "write `printf '%s\\n' {{ item }}`";

impl Script {
    /// Notes where a command evaluates one of its words, and which variables it sets.
    pub(super) fn judge(&mut self, words: &[Word]) {
        let begins = head(words).unwrap_or(words.len());
        for (at, word) in words[..begins].iter().enumerate() {
            self.assignment(word);
            match word.text.as_str() {
                "function" => {
                    self.functions.extend(words.get(at + 1).map(|it| it.text.clone()));
                    self.defines = true;
                }
                "{" => {
                    let defines = std::mem::take(&mut self.defines);
                    self.bodies.push(defines);
                }
                "}" => _ = self.bodies.pop(),
                _ => (),
            }
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
            _ if command.is_open() => {
                self.unnamed.push(words[begins..].to_vec());
                self.unknown(command, &all);
            }
            _ if self.aliases.contains(name) => {
                let mut called = words[begins..].to_vec();
                called[0] = Word { text: SPOT.to_string(), content: Content::of(name), ..Word::default() };
                self.unnamed.push(called);
            }
            _ if self.functions.contains(name) => self.passed.push(arguments.to_vec()),
            "test" | "[" => self.test(arguments),
            "printf" => self.printf(arguments),
            "set" => {
                let options = arguments.iter().take_while(|it| it.text != "--");
                options.for_each(|it| self.argument(name, &it.content));
                let passed = arguments.iter().skip_while(|it| it.text.starts_with('-'));
                self.passed.push(passed.cloned().collect());
            }
            "." | "source" => self.sourced(arguments),
            "cd" | "pushd" => {
                ["PWD", "OLDPWD"]
                    .iter()
                    .for_each(|it| self.flows.push(Flow { name: it.to_string(), content: all.clone() }));
            }
            "for" | "select" => self.each(arguments),
            _ if DECLARING.contains(&name) => self.declaration(name, arguments),
            _ if EVALUATING.contains(&name) => self.evaluating(name, arguments),
            _ => (),
        }
        if !all.is_empty() {
            self.flows.push(Flow { name: "@".into(), content: all.clone() });
        }
        if let Some(last) = words.last() {
            self.flows.push(Flow { name: "_".into(), content: last.with_text() });
        }
        prints::printed(self, command, arguments, all);
    }

    /// What a program prints is code to `.`; a file that is named is the user's own choice.
    fn sourced(&mut self, arguments: &[Word]) {
        let Some(file) = arguments.iter().find(|it| it.text != "--") else { return };
        let place = "in the script that `.` or `source` runs".to_string();
        let stream = ["/dev/stdin", "/dev/fd/", "/proc/self/fd/"].iter().any(|it| file.text.starts_with(it));
        if file.process {
            self.run(file.content.clone(), place, PROGRAM);
        } else if stream {
            let mut content = Content::of("@");
            content.names.push(READ.into());
            self.run(content, place, PROGRAM);
        }
    }

    fn argument(&mut self, name: &str, content: &Content) {
        let place = format!("as an argument of `{name}`, which evaluates it");
        match name {
            "eval" | "trap" | "alias" => self.run(content.clone(), place, PROGRAM),
            _ => self.evaluated(content.clone(), place, ARGUMENT),
        }
    }

    fn assignment(&mut self, word: &Word) {
        let Some(name) = assigned(word) else { return };
        if SPECIAL.contains(&name) {
            let place = format!("as the value of `{name}`, which shells evaluate");
            self.run(word.content.clone(), place, "use a variable of another name");
            let text = word.text.split_once('=').map_or("", |it| it.1);
            self.codes.push((Word { text: text.to_string(), ..word.clone() }, true));
        }
        self.flows.push(Flow { name: name.to_string(), content: word.with_text() });
    }

    /// The command itself comes from a value: it could be `eval`, unless the value is behind a `/`.
    fn unknown(&mut self, command: &Word, arguments: &Content) {
        let chosen = command.content.values.iter().any(|it| !it.starts_with("params"));
        let open = arguments.values.len() + arguments.names.len() > 0;
        if open && (chosen || !command.content.names.is_empty()) && !command.text.contains('/') {
            let mut content = command.content.clone();
            content.values.retain(|it| !it.starts_with("params"));
            let place = "where it names a command that gets other values: it could name `eval`".to_string();
            self.run(content, place, "write the command as a list: `run: [\"{{ item.program }}\", ...]`");
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
        rest.iter().for_each(|it| content.add(&it.with_text()));
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
                        content.names.extend(names_in(&word.text));
                    }
                    let place = format!("as an argument of `{name}`, which can evaluate it");
                    self.evaluated(content, place, DECLARED);
                }
            }
        }
    }

    fn evaluating(&mut self, name: &str, arguments: &[Word]) {
        self.later(name, arguments);
        for word in arguments {
            self.argument(name, &word.content);
            // `let x`, and `read x` from what an earlier command prints.
            match name {
                "let" | "integer" | "float" | "nameref" | "repeat" | "exit" | "return" | "shift" | "break"
                | "continue" => names_in(&word.text).for_each(|it| self.computed_with(&it)),
                _ if is_name(&word.text) => self.reads(&word.text),
                _ => (),
            }
        }
        if matches!(name, "read" | "mapfile" | "readarray" | "getopts") {
            ["REPLY", "MAPFILE", "OPTARG"].iter().for_each(|it| self.reads(it));
        }
    }

    fn reads(&mut self, name: &str) {
        self.flow(name, "@");
        self.flow(name, READ);
    }

    /// Texts that become commands.
    fn later(&mut self, name: &str, arguments: &[Word]) {
        match name {
            "eval" => {
                let mut code = Word::default();
                for word in arguments {
                    code.text.push_str(&word.text);
                    code.text.push(' ');
                    code.content.add(&word.content);
                }
                self.codes.push((code, false));
            }
            "trap" => {
                let code = arguments.iter().find(|it| !it.text.starts_with('-'));
                self.codes.extend(code.map(|it| (it.clone(), false)));
            }
            "alias" => {
                for word in arguments {
                    let Some((name, text)) = word.text.split_once('=') else { continue };
                    let content = Word { text: format!("={text}"), ..word.clone() }.with_text();
                    self.aliases.insert(name.to_string());
                    self.flows.push(Flow { name: name.to_string(), content });
                }
            }
            _ => (),
        }
    }
}

impl Word {
    /// Its content, with its text or what is assigned by it, as far as that is written out.
    fn with_text(&self) -> Content {
        let mut content = self.content.clone();
        let text = match self.text.split_once('=') {
            Some((_, text)) if assigned(self).is_some() || self.text.starts_with('=') => text,
            _ => &self.text,
        };
        if !text.contains(SPOT) {
            content.texts.push(text.to_string());
        }
        content
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
