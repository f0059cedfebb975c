//! Programs that read a text as code but are not shells: awk, sed, perl, python and similar, and options that name a
//! command.
//!
//! A value that is the whole text is run on purpose. A value that is only part of it would be read as code.

use super::{
    interpreters::applet,
    options::{COMMAND, is_quoting, is_runner},
    script::Script,
    word::{Content, READ, SPOT, Word, base},
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
    /// Long options, with how many of the words after them are no operands.
    skipped: &'static [(&'static str, usize)],
    /// First operands that do not count.
    verbs: &'static [&'static str],
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
    skipped: &[],
    verbs: &[],
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
    Interpreter { names: &["julia", "elixir", "iex"], code: "eE", long: &["--eval", "--print"], reads: true, ..NONE },
    Interpreter { names: &["ghc", "runghc", "scala", "groovy", "clojure", "clj", "ocaml", "raku"], code: "e", ..NONE },
    Interpreter { names: &["erl"], long: &["-eval", "-run", "-s"], ..NONE },
    Interpreter { names: &["sbcl", "ecl", "clisp", "gosh"], long: &["--eval", "-eval"], reads: true, ..NONE },
    Interpreter { names: &["guile", "racket"], code: "ce", reads: true, ..NONE },
    Interpreter { names: &["tclsh*", "wish*", "jshell", "swipl", "m4"], reads: true, ..NONE },
    // They read commands whatever their operands are.
    Interpreter { names: &["ed", "lftp", "sftp", "sqlplus"], operand: Some(1), reads: true, ..NONE },
    Interpreter { names: &["octave", "mongosh", "mongo", "lein"], long: &["--eval", "-eval"], reads: true, ..NONE },
    Interpreter { names: &["matlab"], long: &["-batch", "-r"], ..NONE },
    Interpreter { names: &["maxima"], long: &["--batch-string"], reads: true, ..NONE },
    Interpreter { names: &["pwsh", "powershell"], code: "c", long: &["-Command", "-command"], reads: true, ..NONE },
    Interpreter { names: &["osascript"], code: "e", other: "l", reads: true, ..NONE },
    Interpreter {
        names: &["jq", "gojq", "jaq"],
        other: "fL",
        operand: Some(0),
        operands: 1,
        instead: "f",
        skipped: &[
            ("--arg", 2),
            ("--argjson", 2),
            ("--slurpfile", 2),
            ("--rawfile", 2),
            ("--indent", 1),
            ("--from-file", 1),
        ],
        ..NONE
    },
    Interpreter {
        names: &["yq"],
        other: "opIm",
        operand: Some(0),
        operands: 1,
        verbs: &["e", "ea", "eval", "eval-all"],
        ..NONE
    },
    Interpreter { names: &["duckdb"], code: "c", long: &["-cmd"], operand: Some(1), operands: 9, reads: true, ..NONE },
    Interpreter {
        names: &["clickhouse", "clickhouse-client", "clickhouse-local"],
        code: "q",
        long: &["--query"],
        ..NONE
    },
    Interpreter { names: &["cqlsh"], code: "e", other: "fkup", long: &["--execute"], reads: true, ..NONE },
    Interpreter { names: &["sqlcmd"], code: "qQ", other: "SUPdi", reads: true, ..NONE },
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

const CODE: &str = "pass the value in a variable (`env: { NAME: \"{{ ... }}\" }`) that the code reads from its environment \
                    (`ENVIRON[\"NAME\"]`, `$ENV{NAME}`, `os.environ[\"NAME\"]`), or as an argument of its own";
const RECIPE: &str = "pass the value in a variable (`env: { NAME: \"{{ ... }}\" }`), and use \"$$NAME\" in the recipe";
const DASHES: &str = "write `--` before the value";

impl Script {
    /// Records the texts that a command reads as code in a language other than shell.
    pub(super) fn programmed(&mut self, words: &[Word]) {
        let words = applet(words);
        let name = base(&words[0]).to_string();
        for (at, word) in words.iter().enumerate() {
            let Some(interpreter) = interpreter(base(word)) else { continue };
            let is_run = at == 0 || is_runner(&name);
            if !is_run && is_quoting(words, at) {
                continue;
            }
            // A program that is not known may start it; it may as well be a mere word, so that only options count.
            let unknown = Interpreter { operand: None, reads: false, ..*interpreter };
            let interpreter = if is_run { interpreter } else { &unknown };
            let (texts, has_text) = interpreter.texts(&words[at + 1..]);
            for text in &texts {
                self.code(base(word), text);
                self.replaced(&words[..at], text);
                self.filled(&words[..at], text);
            }
            if base(word).starts_with("perl") {
                self.perl_files(&words[at + 1..]);
            }
            if interpreter.reads && !has_text {
                self.run(Content::of(READ), format!("in what `{}` reads", base(word)), CODE);
            }
        }
        self.commands(&name, &words[1..]);
        self.joined(&name, &words[1..]);
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
        let mut rest = words;
        while let [first, behind @ ..] = rest {
            rest = match first.text.as_str() {
                "-C" | "-c" | "--git-dir" | "--work-tree" => behind.get(1..).unwrap_or_default(),
                text if text.starts_with('-') => behind,
                "config" => return self.git_config(behind),
                _ => return,
            };
        }
    }

    /// `git config alias.x VALUE`
    fn git_config(&mut self, words: &[Word]) {
        let mut operands = words.iter().filter(|it| !it.text.starts_with('-') && !matches!(it.text.as_str(), "set"));
        let Some(key) = operands.next() else { return };
        let is_data =
            key.text.starts_with("user.") || [".url", ".name", ".email"].iter().any(|it| key.text.ends_with(it));
        for word in operands.filter(|_| !is_data) {
            let place = format!("in the setting `{}` of `git`, which can be a command", key.text.replace(SPOT, "..."));
            self.run(word.content.clone(), place, COMMAND);
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
            if let Some((_, count)) = self.skipped.iter().find(|it| it.0 == word.text) {
                (0..*count).for_each(|_| _ = words.next());
                instead |= name == "--from-file";
                continue;
            }
            if operands == 0 && self.verbs.contains(&word.text.as_str()) {
                continue;
            }
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
        let has_text = !texts.is_empty() || instead || (operands > 0 && self.operand != Some(1));
        (texts, has_text)
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
