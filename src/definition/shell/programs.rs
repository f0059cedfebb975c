//! Programs that read a text as code but are not shells: awk, sed, perl, python and similar, and options that name a
//! command.
//!
//! A value that is the whole text is run on purpose. A value that is only part of it would be read as code.

use super::{
    interpreters::applet,
    script::Script,
    word::{Content, READ, SPOT, Word},
};

/// Where a program reads code from.
struct Interpreter {
    /// A name that ends with `*` matches all names with this prefix.
    names: &'static [&'static str],
    /// Letters of options that are followed by code, in the same word or the next.
    code: &'static str,
    /// Letters of options that are followed by something else; `attached` ones only in the same word.
    other: &'static str,
    attached: &'static str,
    long: &'static [&'static str],
    /// Operands from this index on are code, unless an option in `instead` provided it.
    operand: Option<usize>,
    /// The number of operands that are code.
    operands: usize,
    instead: &'static str,
    /// All code is joined into one text.
    joins: bool,
    /// Whether it reads code from standard input if none is given.
    reads: bool,
}

const NONE: Interpreter = Interpreter {
    names: &[],
    code: "",
    other: "",
    attached: "",
    long: &[],
    operand: None,
    operands: 0,
    instead: "",
    joins: false,
    reads: false,
};

const INTERPRETERS: &[Interpreter] = &[
    Interpreter {
        names: &["awk", "gawk", "mawk", "nawk", "original-awk"],
        code: "e",
        other: "FvfiEl",
        long: &["--source"],
        operand: Some(0),
        operands: 1,
        instead: "efE",
        ..NONE
    },
    Interpreter {
        names: &["sed", "gsed", "ssed"],
        code: "e",
        other: "fl",
        attached: "i",
        long: &["--expression"],
        operand: Some(0),
        operands: 1,
        instead: "ef",
        ..NONE
    },
    Interpreter { names: &["perl*"], code: "eEMmF", attached: "iIxDCV", reads: true, ..NONE },
    Interpreter { names: &["python*", "pypy*"], code: "c", other: "mWX", reads: true, ..NONE },
    Interpreter { names: &["ruby*"], code: "e", other: "rICE", attached: "iFxKTW", reads: true, ..NONE },
    Interpreter {
        names: &["node", "nodejs", "bun", "deno"],
        code: "ep",
        other: "r",
        long: &["--eval", "--print"],
        reads: true,
        ..NONE
    },
    Interpreter { names: &["php*"], code: "rBRE", other: "cdfFSztT", long: &["--run"], reads: true, ..NONE },
    Interpreter { names: &["lua*"], code: "e", other: "l", reads: true, ..NONE },
    Interpreter { names: &["R", "Rscript", "gnuplot"], code: "e", reads: true, ..NONE },
    Interpreter { names: &["julia"], code: "eE", long: &["--eval", "--print"], reads: true, ..NONE },
    Interpreter { names: &["expect"], code: "c", reads: true, ..NONE },
    Interpreter { names: &["dc"], code: "e", other: "f", long: &["--expression"], reads: true, ..NONE },
    Interpreter { names: &["vi", "vim", "nvim", "ex", "view"], code: "c+", long: &["--cmd"], ..NONE },
    Interpreter { names: &["emacs"], long: &["--eval", "--execute"], ..NONE },
    Interpreter { names: &["psql"], code: "c", other: "dfhpUvLoPFRT", long: &["--command"], reads: true, ..NONE },
    Interpreter {
        names: &["mysql", "mariadb"],
        code: "e",
        other: "hPuDS",
        attached: "p",
        long: &["--execute", "--init-command"],
        reads: true,
        ..NONE
    },
    Interpreter { names: &["sqlite3"], long: &["-cmd"], operand: Some(1), operands: 99, reads: true, ..NONE },
    // Their operands are times.
    Interpreter { names: &["at", "batch"], other: "qftT", operand: Some(1), reads: true, ..NONE },
    // All words are joined and passed to a shell.
    Interpreter { names: &["watch"], other: "nq", operand: Some(0), operands: 99, instead: "x", joins: true, ..NONE },
];

/// Options that take a command as their value, by program and, for `git`, subcommand.
const COMMANDS: &[(&str, &[&str])] = &[
    ("tar", &["--checkpoint-action", "--to-command", "--use-compress-program", "-I", "--info-script", "-F"]),
    ("tar", &["--new-volume-script", "--rsh-command", "--rmt-command"]),
    ("rsync", &["-e", "--rsh", "--rsync-path"]),
    ("git", &["--exec", "-x", "--extcmd", "--upload-pack", "-u", "--receive-pack", "--open-files-in-pager", "-O"]),
    ("git", &["--tree-filter", "--index-filter", "--msg-filter", "--env-filter", "--commit-filter", "--parent-filter"]),
    ("split", &["--filter"]),
    ("sort", &["--compress-program"]),
    ("wget", &["--use-askpass"]),
    ("scp", &["-S"]),
    ("sftp", &["-S"]),
    ("zip", &["-TT", "--unzip-command"]),
    ("man", &["-P", "--pager"]),
    ("gdb", &["-ex", "--eval-command", "-iex"]),
    ("make", &["--eval"]),
    ("gmake", &["--eval"]),
    ("m4", &["-D", "--define"]),
];
/// Programs that start other programs given as arguments.
const RUNNERS: &[&str] = &[
    "busybox", "chroot", "doas", "docker", "env", "find", "flock", "ionice", "kubectl", "nice", "nohup", "parallel",
    "podman", "setsid", "stdbuf", "sudo", "taskset", "time", "timeout", "unshare", "xargs",
];

const CODE: &str = "pass the value in a variable (`env: { NAME: \"{{ ... }}\" }`) that the code reads from its environment \
                    (`ENVIRON[\"NAME\"]`, `$ENV{NAME}`, `os.environ[\"NAME\"]`), or as an argument of its own";
const COMMAND: &str = "write the command out, and pass the value in a variable (`env: { NAME: \"{{ ... }}\" }`)";
const RECIPE: &str = "pass the value in a variable (`env: { NAME: \"{{ ... }}\" }`), and use \"$$NAME\" in the recipe";
const DASHES: &str = "write `--` before the value";

impl Script {
    /// Records the texts that a command reads as code in a language other than shell.
    pub(super) fn programmed(&mut self, words: &[Word]) {
        let words = applet(words);
        let name = base(&words[0]).to_string();
        for (at, word) in words.iter().enumerate() {
            let Some(interpreter) = interpreter(base(word)) else { continue };
            if at > 0 && !RUNNERS.contains(&name.as_str()) {
                continue;
            }
            let (texts, is_given) = interpreter.texts(&words[at + 1..]);
            for text in &texts {
                self.code(base(word), text);
                self.replaced(&words[..at], text);
                self.filled(&words[..at], text);
            }
            if base(word).starts_with("perl") {
                self.perl_files(&words[at + 1..]);
            }
            if interpreter.reads && !is_given {
                self.run(Content::of(READ), format!("in what `{}` reads", base(word)), CODE);
            }
        }
        self.commands(&name, &words[1..]);
        match name.as_str() {
            "make" | "gmake" => self.made(&words[1..]),
            "parallel" => self.parallel(&words[1..]),
            "ssh" | "scp" | "sftp" | "rsync" | "env" | "vi" | "vim" | "nvim" | "ex" | "view" => {
                self.dashed(&name, &words[1..])
            }
            "git" => self.git(&words[1..]),
            _ => (),
        }
    }

    fn code(&mut self, name: &str, text: &Word) {
        let place = format!("in the code that `{name}` runs");
        if text.text.chars().any(|it| it != SPOT) {
            self.run(text.content.clone(), place.clone(), CODE);
        }
        self.texts.push((text.clone(), place, CODE));
    }

    /// `perl -n` and `-p` run a file name that begins or ends with `|`.
    fn perl_files(&mut self, words: &[Word]) {
        let flag = |letter: char| {
            let options = words.iter().filter_map(|it| it.text.strip_prefix('-'));
            let before =
                |it: &str| it.split(['e', 'E', 'M', 'm', 'F', 'i']).next().is_some_and(|it| it.contains(letter));
            options.into_iter().any(before)
        };
        let in_place = words
            .iter()
            .any(|it| it.text.starts_with("-i") || it.text.starts_with("-pi") || it.text.starts_with("-ni"));
        if in_place || !(flag('n') || flag('p')) {
            return;
        }
        for word in words.iter().filter(|it| it.text.starts_with(SPOT) || it.text.ends_with(SPOT)) {
            let place = "where `perl` takes a name with a `|` for a command".to_string();
            self.run(word.content.clone(), place, "let perl read the file as its standard input: `< {{ item }}`");
        }
    }

    fn commands(&mut self, name: &str, words: &[Word]) {
        let options = COMMANDS.iter().filter(|it| it.0 == name).flat_map(|it| it.1);
        for option in options {
            for (at, word) in words.iter().enumerate() {
                let Some(rest) = word.text.strip_prefix(option) else { continue };
                let is_short = option.len() == 2;
                let found = match rest.strip_prefix('=') {
                    _ if rest.is_empty() => words.get(at + 1).cloned(),
                    Some(rest) => Some(Word { text: rest.to_string(), ..word.clone() }),
                    None if is_short => Some(Word { text: rest.to_string(), ..word.clone() }),
                    None => None,
                };
                if let Some(word) = found {
                    self.run(word.content.clone(), format!("in a command that `{name} {option}` runs"), COMMAND);
                }
            }
        }
    }

    /// A value is expanded by `make`, and then by the shells of its recipes.
    fn made(&mut self, words: &[Word]) {
        let mut words = words.iter();
        while let Some(word) = words.next() {
            match word.text.as_str() {
                "-C" | "-f" | "-I" | "-j" | "-l" | "-o" | "-W" => _ = words.next(),
                text if ["--directory=", "--file=", "-C", "-f"].iter().any(|it| text.starts_with(it)) => (),
                _ => self.run(word.content.clone(), "where `make` and its recipes expand it".to_string(), RECIPE),
            }
        }
    }

    /// The command of `parallel` is a shell text. Its arguments after `:::` are quoted, unless they are themselves
    /// commands.
    fn parallel(&mut self, words: &[Word]) {
        let ends = words.iter().position(|it| it.text.starts_with(":::")).unwrap_or(words.len());
        let place = || "in the command that `parallel` gives to a shell".to_string();
        const ARGUMENT: &str = "give the value behind `:::`, and write `{}` in the command";
        words[..ends].iter().for_each(|it| self.run(it.content.clone(), place(), ARGUMENT));
        let has_command = words[..ends].iter().any(|it| !it.text.starts_with('-'));
        if !has_command {
            words[ends..].iter().for_each(|it| self.run(it.content.clone(), place(), ARGUMENT));
            self.run(Content::of(READ), place(), ARGUMENT);
        }
    }

    /// A value that begins with a dash would be an option, and some options run a command.
    fn dashed(&mut self, name: &str, words: &[Word]) {
        const VALUED: &[(&str, &str)] = &[
            ("ssh", "BbcDEeFIiJLlmOopQRSWw"),
            ("scp", "cDFiJloPSX"),
            ("sftp", "BbcDFiJloPRSsX"),
            ("rsync", "efBTM"),
            ("env", "uC"),
            ("vi", "cTu"),
            ("vim", "cTu"),
            ("nvim", "cTu"),
        ];
        let valued = VALUED.iter().find(|it| it.0 == name).map_or("", |it| it.1);
        let mut words = words.iter();
        while let Some(word) = words.next() {
            match word.text.strip_prefix('-') {
                Some("-") => return,
                Some(option) if option.len() == 1 && valued.contains(option) => {
                    let value = words.next();
                    if option == "o" {
                        value.into_iter().for_each(|it| self.setting(name, &it.text, &it.content));
                    }
                }
                Some(option) => {
                    if let Some(setting) = option.strip_prefix('o') {
                        self.setting(name, setting, &word.content);
                    }
                }
                None if word.is_open() => {
                    let place = format!("where `{name}` takes what begins with a dash for an option, and can run it");
                    self.run(word.content.clone(), place, DASHES);
                }
                // After the host or the command, nothing is an option.
                None if matches!(name, "ssh" | "env") && !word.text.contains('=') => return,
                None => (),
            }
        }
    }

    /// `-o ProxyCommand=...`
    fn setting(&mut self, name: &str, text: &str, content: &Content) {
        let setting = text.split(['=', ' ']).next().unwrap_or_default().to_ascii_lowercase();
        if setting.contains("command") || setting.contains(SPOT) || setting == "match" {
            self.run(content.clone(), format!("in a command that `{name} -o` runs"), COMMAND);
        }
    }

    fn git(&mut self, words: &[Word]) {
        let mut before =
            words.iter().take_while(|it| it.text.starts_with('-') || it.text.contains('=') || it.is_open());
        while let Some(word) = before.next() {
            let setting = match word.text.as_str() {
                "-c" => before.next().map(|it| (it.text.clone(), it)),
                text => text.strip_prefix("-c").map(|it| (it.to_string(), word)),
            };
            if let Some((text, word)) = setting.filter(|it| !it.0.starts_with("user.")) {
                let key = text.split('=').next().unwrap_or_default();
                let place = format!("in the setting `{}` of `git`, which can be a command", key.replace(SPOT, "..."));
                self.run(word.content.clone(), place, COMMAND);
            }
        }
        let verb = words.iter().position(|it| {
            matches!(
                it.text.as_str(),
                "clone" | "fetch" | "pull" | "push" | "ls-remote" | "archive" | "rebase" | "grep"
            )
        });
        let dashes = words.iter().position(|it| it.text == "--").unwrap_or(words.len());
        for word in verb.iter().flat_map(|it| &words[*it + 1..dashes.max(*it + 1)]).filter(|it| it.is_open()) {
            let place = "where `git` takes what begins with a dash for an option, and can run it".to_string();
            self.run(word.content.clone(), place, DASHES);
        }
        if let Some(at) = words.iter().position(|it| it.text == "foreach") {
            words[at + 1..].iter().for_each(|it| self.code("git submodule foreach", it));
        }
    }
}

impl Interpreter {
    /// The words that are code, without an option in the same word; and whether there is any code, or a file with it.
    fn texts(&self, words: &[Word]) -> (Vec<Word>, bool) {
        let (mut texts, mut operands, mut instead) = (Vec::new(), 0, false);
        let mut only_operands = false;
        let mut words = words.iter();
        while let Some(word) = words.next() {
            // The end of `find -exec`.
            if matches!(word.text.as_str(), ";" | "+") {
                break;
            }
            if word.text == "--" {
                only_operands = true;
                continue;
            }
            let name = word.text.split('=').next().unwrap_or_default();
            if self.long.contains(&name) {
                instead = true;
                match word.text.split_once('=') {
                    Some((_, text)) => texts.push(Word { text: text.to_string(), ..word.clone() }),
                    None => texts.extend(words.next().cloned()),
                }
                continue;
            }
            match word.text.strip_prefix('-') {
                Some(options) if !only_operands && !options.is_empty() && !options.starts_with('-') => {
                    instead |= self.short(options, word, &mut words, &mut texts);
                }
                Some(long) if !only_operands && !long.is_empty() => instead |= long.starts_with("-file"),
                _ if word.text.starts_with('+') && self.code.contains('+') => texts.push(word.clone()),
                _ => {
                    let first = self.operand.filter(|_| !instead);
                    if first.is_some_and(|it| (it..it + self.operands).contains(&operands)) {
                        texts.push(word.clone());
                    }
                    operands += 1;
                    // Everything after a script belongs to the script.
                    if self.operand.is_none() {
                        break;
                    }
                }
            }
        }
        if self.joins && texts.len() > 1 {
            let mut joined = Word::default();
            for word in &texts {
                joined.text.push_str(&word.text);
                joined.text.push(' ');
                joined.content.add(&word.content);
            }
            texts = vec![joined];
        }
        let is_given = !texts.is_empty() || instead || (operands > 0 && self.operand != Some(1));
        (texts, is_given)
    }

    /// Reads `-abc`. Returns whether one of the options replaces the operand.
    fn short<'w>(
        &self,
        options: &str,
        word: &Word,
        words: &mut impl Iterator<Item = &'w Word>,
        texts: &mut Vec<Word>,
    ) -> bool {
        let mut instead = false;
        for (at, letter) in options.char_indices() {
            let rest = &options[at + letter.len_utf8()..];
            instead |= self.instead.contains(letter);
            // `node -pe CODE`
            if self.code.contains(letter) && (rest.is_empty() || !rest.chars().all(|it| self.code.contains(it))) {
                match rest.is_empty() {
                    true => texts.extend(words.next().cloned()),
                    false => texts.push(Word { text: rest.to_string(), ..word.clone() }),
                }
                return instead;
            }
            if self.other.contains(letter) {
                if rest.is_empty() {
                    words.next();
                }
                // `python -m MODULE`
                return instead || letter == 'm';
            }
            if self.attached.contains(letter) {
                return instead;
            }
        }
        instead
    }
}

fn interpreter(name: &str) -> Option<&'static Interpreter> {
    let is_it = |it: &&str| match it.strip_suffix('*') {
        Some(begins) => {
            name.strip_prefix(begins).is_some_and(|it| it.bytes().all(|it| matches!(it, b'0'..=b'9' | b'.')))
        }
        None => *it == name,
    };
    INTERPRETERS.iter().find(|it| it.names.iter().any(is_it))
}

fn base(word: &Word) -> &str {
    word.text.rsplit('/').next().unwrap_or_default()
}
