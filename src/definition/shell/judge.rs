//! Judges which commands evaluate their arguments.

use super::{
    environment::danger_in_shell,
    prints,
    script::Script,
    word::{Content, READ, SPOT, Word, assigned, formatted, head, is_name, names_in},
};

/// Builtins that, in at least one shell, evaluate an argument as arithmetic or code.
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
/// Variables that a shell evaluates when they are set or used.
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
    "PROMPT",
    "PROMPT2",
    "PROMPT3",
    "PROMPT4",
    "PROMPT_COMMAND",
    "PS0",
    "PS1",
    "PS2",
    "PS3",
    "PS4",
    "RANDOM",
    "RPS1",
    "SAVEHIST",
    "SECONDS",
    "SHLVL",
    "SRANDOM",
    "TMOUT",
    "TRY_BLOCK_ERROR",
    "TRY_BLOCK_INTERRUPT",
    "UID",
    "ZLE_RPROMPT_INDENT",
];
/// Arrays that change the meaning of words in a shell.
const TABLES: &[&str] = &[
    "BASH_ALIASES",
    "BASH_CMDS",
    "aliases",
    "commands",
    "dis_aliases",
    "dis_functions",
    "functions",
    "galiases",
    "saliases",
];

const ARGUMENT: &str = "some shells run the content of a value there; compare with `case`, compute with `expr` or `awk`, \
                        or pass the value as an argument to your own script";
pub(super) const PROGRAM: &str = "to run a value as a program on purpose, write `sh -c {{ item }}`";
pub(super) const UNKNOWN: &str = "write the command as a list: `run: [\"{{ item.program }}\", ...]`";
const DECLARED: &str = "write `NAME={{ item }}` without options, or pass the value in a variable (`env:`)";
const FORMAT: &str = "write `printf '%s\\n' {{ item }}`";

impl Script {
    /// Records where a command evaluates one of its words, and which variables it sets.
    pub(super) fn judge(&mut self, words: &[Word]) {
        let begins = head(words).unwrap_or(words.len());
        self.before(words, begins);
        let Some(command) = words.get(begins) else { return };
        let arguments = &words[begins + 1..];
        let mut all = Content::default();
        for word in arguments {
            all.values.extend(word.content.values.iter().cloned());
            all.names.extend(word.content.names.iter().cloned());
        }
        let name = command.text.as_str();
        match name {
            _ if command.is_unknown() => {
                // Text that has been read is not read again.
                if !self.settles {
                    self.unnamed.push(words[begins..].to_vec());
                }
                self.unknown(command, &all);
            }
            _ if self.aliases.contains(name) => {
                let mut called = words[begins..].to_vec();
                called[0] = Word { text: SPOT.to_string(), content: Content::of(name), ..Word::default() };
                self.unnamed.push(called);
            }
            _ if self.functions.contains(name) => self.pass(arguments),
            "test" | "[" => self.test(arguments),
            "printf" => self.printf(arguments),
            "set" => {
                let options = arguments.iter().take_while(|it| it.text != "--");
                options.for_each(|it| self.argument(name, &it.content));
                let passed = arguments.iter().skip_while(|it| it.text.starts_with('-'));
                self.pass(&passed.cloned().collect::<Vec<Word>>());
            }
            "shift" => {
                self.shifts = true;
                self.evaluating(name, arguments);
            }
            "." | "source" => self.sourced(arguments),
            "cd" | "pushd" => {
                ["PWD", "OLDPWD"].iter().for_each(|it| self.gets(it, all.clone()));
            }
            "for" | "select" => self.each(arguments),
            _ if DECLARING.contains(&name) => self.declaration(name, arguments),
            _ if EVALUATING.contains(&name) => self.evaluating(name, arguments),
            _ => (),
        }
        self.interpreted(&words[begins..]);
        self.programmed(&words[begins..]);
        // The name of an unknown command is passed to `command_not_found_handle`.
        let mut received = all.clone();
        received.add(&command.content);
        received.texts.clear();
        if !received.is_empty() {
            self.gets("BASH_COMMAND", received.clone());
            self.gets("@", received);
        }
        if let Some(last) = words.last() {
            self.gets("_", last.with_text());
        }
        prints::printed(self, command, arguments, all);
    }

    /// The words before the command: assignments and reserved words.
    fn before(&mut self, words: &[Word], begins: usize) {
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
    }

    /// For `.`, the output of a program is code. A named file is the user's own choice.
    fn sourced(&mut self, arguments: &[Word]) {
        let Some(file) = arguments.iter().find(|it| it.text != "--") else { return };
        let place = "in the script that `.` or `source` runs".to_string();
        let name = file.text.rsplit('/').next().unwrap_or_default();
        let is_stream = name == "stdin" || (!name.is_empty() && name.bytes().all(|it| it.is_ascii_digit()));
        if file.process {
            self.codes.push((Word { content: file.content.clone(), ..Word::expanded("\0") }, false));
            self.run(file.content.clone(), place, PROGRAM);
        } else if is_stream {
            self.codes.push((Word { content: Content::of(READ), ..Word::expanded("\0") }, false));
            let mut content = Content::of("@");
            content.names.push(READ.into());
            self.run(content, place, PROGRAM);
        } else if name.contains(SPOT) {
            self.run(Content::of(READ), place, PROGRAM);
        }
    }

    /// The arguments of a function or of `set` become `$1`, or a command in `"$@"`.
    fn pass(&mut self, arguments: &[Word]) {
        let mut content = Content::default();
        for word in arguments {
            content.add(&word.content);
            content.texts.extend((!word.text.contains(SPOT)).then(|| word.text.clone()));
        }
        self.gets("@", content);
        self.passed.push(arguments.to_vec());
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
        let (target, text) = word.text.split_once('=').unwrap_or_default();
        if target.ends_with(['+', ']']) {
            self.appended.insert(name.to_string());
        }
        if TABLES.contains(&name) && (target.contains('[') || word.is_array) {
            let place = format!("in `{name}`, whose words shells run");
            self.run(word.content.clone(), place, PROGRAM);
            self.codes.push((Word { text: text.to_string(), ..word.clone() }, false));
        }
        self.sets(name, word.with_text());
    }

    /// Records that a variable gets this value, by an assignment or a builtin.
    pub(super) fn sets(&mut self, name: &str, content: Content) {
        if SPECIAL.contains(&name) {
            let place = format!("as the value of `{name}`, which shells evaluate");
            self.run(content.clone(), place, "use a variable of another name");
            let words = content.texts.iter().map(|it| Word { content: content.clone(), ..Word::expanded(it) });
            self.codes.extend(words.map(|it| (it, true)));
        }
        if let Some(danger) = danger_in_shell(name) {
            self.variable(danger, name, content.clone());
        }
        self.gets(name, content);
    }

    /// The command name comes from a value: it could be `eval`, unless the value follows a `/`.
    fn unknown(&mut self, command: &Word, arguments: &Content) {
        let mut content = command.content.clone();
        content.values.retain(|it| !it.starts_with("params"));
        if command.is_expanded() {
            content.add(arguments);
        }
        let open = command.is_expanded() || !arguments.is_empty();
        if open && !content.is_empty() && !command.text.contains('/') {
            let place = "where it names a command that gets other values: it could name `eval`".to_string();
            self.run(content, place, UNKNOWN);
        }
    }

    /// `test` evaluates the variable named after `-v`.
    fn test(&mut self, arguments: &[Word]) {
        for word in arguments {
            let place = "in `test` without quotes, where it can become operators".to_string();
            let spread = if word.is_expanded() { &word.content } else { &word.spread };
            self.evaluated(spread.clone(), place, "write it in quotes: `[ \"$NAME\" = a ]`");
        }
        for (before, word) in arguments.iter().zip(arguments.iter().skip(1)) {
            let operator = before.text.trim_start_matches(['-', '!']);
            if operator.starts_with(SPOT) || matches!(before.text.as_str(), "-v" | "-R" | "-t") {
                let place = "in `test` where it can be the name of a variable".to_string();
                self.subscript(word);
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
                    self.printed_to(&name.text, &name.content, rest);
                    arguments = rest;
                }
                text if text.starts_with("-v") => {
                    self.printed_to(&text[2..], &first.content, rest);
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
        // The format is reused for the remaining arguments.
        let numbers = values.iter().zip(kinds.iter().cycle()).filter(|it| *it.1);
        numbers.for_each(|it| self.evaluated(it.0.content.clone(), place("as a number"), FORMAT));
    }

    /// `printf -v name`
    fn printed_to(&mut self, name: &str, chosen: &Content, printed: &[Word]) {
        self.evaluated(chosen.clone(), "as a variable of `printf`, which evaluates it".to_string(), FORMAT);
        self.subscript(&Word::expanded(name));
        let mut content = Content::default();
        printed.iter().for_each(|it| content.add(&it.with_text()));
        content.texts.iter_mut().for_each(|it| *it = formatted(it));
        self.sets(name.split('[').next().unwrap_or_default(), content);
    }

    /// A variable written as `x[i]` in quotes: the shell evaluates the subscript as arithmetic.
    fn subscript(&mut self, word: &Word) {
        let Some((_, inside)) = word.text.split_once('[') else { return };
        names_in(inside).for_each(|it| self.computed_with(&it));
    }

    /// `for name in ...`
    fn each(&mut self, words: &[Word]) {
        let [name, rest @ ..] = words else { return };
        let mut content = Content::default();
        rest.iter().for_each(|it| content.add(&it.with_text()));
        if rest.is_empty() {
            content.names.push("@".into());
        }
        self.sets(&name.text, content);
    }

    fn declaration(&mut self, name: &str, arguments: &[Word]) {
        let harmless = |it: &Word| !it.is_open() && it.text.chars().skip(1).all(|it| "gprx".contains(it));
        let mut options = arguments.iter().filter(|it| it.text.starts_with(['-', '+', SPOT]));
        let odd = options.any(|it| !harmless(it));
        for word in arguments {
            match assigned(word) {
                Some(name) if !odd => {
                    if !word.is_array {
                        self.declared.push((name.to_string(), word.content.clone()));
                    }
                    self.assignment(word);
                }
                _ => {
                    let mut content = word.content.clone();
                    if odd {
                        content.names.extend(names_in(&word.text));
                        let name = word.text.split(['=', '+', '[']).next().unwrap_or_default();
                        self.arrays.insert(name.to_string());
                    }
                    self.subscript(word);
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
            // `let x`, and `read x` of the output of an earlier command.
            match name {
                "let" | "integer" | "float" | "nameref" | "repeat" | "exit" | "return" | "shift" | "break"
                | "continue" => names_in(&word.text).for_each(|it| self.computed_with(&it)),
                _ => {
                    let target = word.text.split('[').next().unwrap_or_default();
                    if is_name(target) {
                        self.reads(target);
                    }
                }
            }
            if matches!(name, "unset" | "read" | "mapfile" | "readarray" | "getopts" | "wait" | "private") {
                self.subscript(word);
            }
            if matches!(name, "read" | "mapfile" | "readarray") {
                self.arrays.insert(word.text.clone());
            }
        }
        if matches!(name, "read" | "mapfile" | "readarray" | "getopts") {
            ["REPLY", "MAPFILE", "OPTARG"].iter().for_each(|it| self.reads(it));
        }
    }

    fn reads(&mut self, name: &str) {
        self.flow(name, "@");
        self.sets(name, Content::of(READ));
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
            "compgen" => self.codes.extend(arguments.iter().map(|it| (it.clone(), true))),
            "mapfile" | "readarray" => {
                let calls = arguments.iter().zip(arguments.iter().skip(1)).filter(|it| it.0.text.ends_with('C'));
                self.codes.extend(calls.map(|it| (it.1.clone(), false)));
            }
            "trap" => {
                let code = arguments.iter().find(|it| !it.text.starts_with('-'));
                self.codes.extend(code.map(|it| (it.clone(), false)));
            }
            "alias" => {
                for word in arguments {
                    let Some((name, text)) = word.text.split_once('=') else { continue };
                    let content = Word { text: format!("={text}"), ..word.clone() }.with_text();
                    self.codes.push((Word { content: word.content.clone(), ..Word::expanded(text) }, false));
                    self.aliases.insert(name.to_string());
                    self.gets(name, content);
                }
            }
            _ => (),
        }
    }
}

/// For each argument of a `printf` format: whether it must be a number.
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
