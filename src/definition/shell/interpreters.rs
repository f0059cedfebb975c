//! Other shells that a command starts. Our quoting does not protect a value inside a text that another shell parses.

use super::{
    environment::danger,
    judge::PROGRAM,
    options::is_runner,
    script::Script,
    word::{Content, READ, SPOT, Word, base},
    xargs,
};

const SHELLS: &[&str] = &[
    "ash", "bash", "csh", "dash", "elvish", "fish", "hush", "ksh", "ksh93", "lksh", "mksh", "nu", "oksh", "rbash",
    "rc", "sh", "tcsh", "xonsh", "yash", "zsh",
];
/// Programs that pass the text after their option `-c` to a shell.
const WITH_TEXT: &[&str] = &["flock", "runuser", "script", "scriptlive", "sg", "su"];
/// Options of `ssh` that take a value.
const SSH_OPTIONS: &str = "BbcDEeFIiJLlmOopQRSWw";

const TEXT: &str = "give the value to the text as an argument: `sh -c 'cp \"$1\" /x' sh {{ item }}`";
const REMOTE: &str = "send the value on standard input, and read it there";

impl Script {
    /// Records the texts that a command passes to another shell.
    pub(super) fn interpreted(&mut self, words: &[Word]) {
        let words = applet(words);
        let name = base(&words[0]);
        if matches!(name, "echo" | "printf" | "print") {
            return;
        }
        let mut found = false;
        for (at, word) in words.iter().enumerate().filter(|it| is_shell(it.1)) {
            let rest = &words[at + 1..];
            if let Some(code) = text_of(rest, true) {
                self.text(code);
                self.replaced(&words[..at], code);
                self.filled(&words[..at], code);
                found = true;
                continue;
            }
            let operand = rest.iter().find(|it| !it.text.starts_with(['-', '+']));
            if let Some(process) = operand.filter(|it| it.process) {
                self.run(process.content.clone(), reads(word), PROGRAM);
            }
            let is_read = operand.is_none_or(|it| it.text == "/dev/stdin") || rest.iter().any(|it| it.text == "-s");
            if is_read && (at == 0 || is_runner(name) || name == "ssh") {
                self.run(Content::of(READ), reads(word), PROGRAM);
                self.codes.push((Word { content: Content::of(READ), ..Word::expanded("\0") }, false));
            }
        }
        if !found && WITH_TEXT.contains(&name) {
            let attached = words.iter().find(|it| it.text.starts_with("--command="));
            text_of(&words[1..], false).into_iter().chain(attached).for_each(|it| self.text(it));
        }
        match name {
            "ssh" => self.remote(&words[1..]),
            "env" | "sudo" | "doas" => self.environment(&words[1..]),
            _ => (),
        }
    }

    fn text(&mut self, code: &Word) {
        // A text that is entirely one value is meant to be run.
        let is_whole = code.text.chars().all(|it| it == SPOT);
        if !is_whole {
            self.program(&code.content);
        }
        self.programs.push(code.clone());
    }

    pub(super) fn program(&mut self, content: &Content) {
        self.run(content.clone(), "in the text that another shell runs".to_string(), TEXT);
    }

    /// `xargs -I % sh -c '... % ...'`: its input is inserted into the text. `before` has the words before the code's
    /// program.
    pub(super) fn replaced(&mut self, before: &[Word], code: &Word) {
        for at in before.iter().enumerate().filter(|it| base(it.1) == "xargs").map(|it| it.0) {
            self.flow("@", READ);
            // A pattern known only at run time could be any.
            let stands = |it: &String| it.contains(SPOT) || code.text.contains(it.as_str());
            if xargs::patterns(&before[at + 1..]).iter().any(stands) {
                self.program(&Content::of(READ));
            }
        }
    }

    /// `find {{ item }} -exec perl -e '... {} ...'`: the names that are found are inserted into the text.
    pub(super) fn filled(&mut self, before: &[Word], text: &Word) {
        if !before.iter().any(|it| base(it) == "find") || !text.text.contains("{}") {
            return;
        }
        for word in before {
            self.run(word.content.clone(), "where `find` puts it into code as `{}`".to_string(), TEXT);
        }
    }

    /// All words after the host are one text for the remote shell.
    fn remote(&mut self, words: &[Word]) {
        let mut words = words.iter();
        while let Some(word) = words.next() {
            match word.text.strip_prefix('-') {
                Some(option) if option.len() == 1 && SSH_OPTIONS.contains(option) => _ = words.next(),
                Some(_) => (),
                None => break,
            }
        }
        let mut has_command = false;
        for word in words {
            has_command = true;
            self.run(word.content.clone(), "in the command that `ssh` gives to a shell".to_string(), REMOTE);
        }
        // Then it starts a shell there.
        if !has_command {
            self.run(Content::of(READ), "in what a shell reads that `ssh` starts".to_string(), PROGRAM);
        }
    }

    fn environment(&mut self, words: &[Word]) {
        for word in words {
            let Some((name, _)) = word.text.split_once('=') else { continue };
            self.gets(name, word.with_text());
            if let Some(danger) = danger(name) {
                self.variable(danger, &name.replace(SPOT, "..."), word.content.clone());
            }
        }
        let split = words.iter().position(|it| it.text.starts_with("-S") || it.text.starts_with("--split-string"));
        for word in split.into_iter().flat_map(|it| &words[it..]).take(2) {
            self.run(word.content.clone(), "in words that `env` splits".to_string(), TEXT);
        }
    }
}

/// Treats `busybox NAME` as NAME.
pub(super) fn applet(mut words: &[Word]) -> &[Word] {
    while let [first, rest @ ..] = words
        && matches!(base(first), "busybox" | "toybox")
        && !rest.is_empty()
    {
        words = rest;
    }
    words
}

fn is_shell(word: &Word) -> bool {
    let chosen = word.is_open() && word.content.names.iter().any(|it| it == "SHELL" || it == "BASH");
    chosen || SHELLS.contains(&base(word))
}

fn reads(shell: &Word) -> String {
    let name = if shell.is_open() { "$SHELL" } else { base(shell) };
    format!("in what `{name}` reads")
}

/// The word after the options, if one of them is `-c`. A shell accepts no options after other words.
fn text_of(words: &[Word], is_shell: bool) -> Option<&Word> {
    let mut is_text = false;
    let mut rest = words.iter();
    while let Some(word) = rest.next() {
        match word.text.strip_prefix(['-', '+']) {
            Some("-rcfile" | "-init-file") => _ = rest.next(),
            Some(long) if long.starts_with('-') => is_text |= long == "-command",
            Some(options) => {
                is_text |= options.contains('c');
                if options.ends_with(['o', 'O']) {
                    rest.next();
                }
            }
            // `su USER -c TEXT`, `flock FILE -c TEXT`
            None if is_text => return Some(word),
            None if is_shell => return None,
            None => (),
        }
    }
    None
}
