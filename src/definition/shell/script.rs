//! The commands of a script, as far as they affect values: which of them evaluate a quoted word again, and into which
//! variables a value flows.
//!
//! Found by trying every builtin of dash, bash, busybox, zsh and mksh with words such as `a[$(command)]`.

use super::environment::Danger;
use super::word::{Content, READ, RETURNED, SPOT, Word, assigned, head, is_foreign, is_name, names_in};
use crate::definition::expression::Expression;
use std::collections::BTreeSet;

pub(super) const COMPUTE: &str =
    "shells run the content of a value here; compute with `expr` or `awk`, which get it only as an argument";

/// A place whose content a shell evaluates.
#[derive(Debug)]
pub(super) struct Use {
    pub content: Content,
    pub place: String,
    pub hint: &'static str,
    /// It is run directly, so the output of programs there is meant to be code.
    pub code: bool,
    /// Whether a parameter may be there: who submits may choose where programs are found.
    pub params: bool,
}

/// A variable and its contents.
#[derive(Debug)]
pub(super) struct Flow {
    pub name: String,
    pub content: Content,
}

#[derive(Debug, Default)]
struct Command {
    words: Vec<Word>,
    word: Option<Word>,
    redirect: Option<Redirect>,
}

/// The role of the next word in a redirection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Redirect {
    File,
    /// `>&` and `<&`
    Descriptor,
    /// `<<<`
    Text,
}

/// What the commands of a list may print.
#[derive(Debug, Default)]
struct Printed {
    /// Printed by pipelines that have ended.
    ended: Content,
    pipeline: Content,
}

#[derive(Debug, Default)]
pub(super) struct Script {
    /// One for the script, and one for each open `$( )` and `( )`.
    open: Vec<Command>,
    /// What the commands in each of them receive and might print.
    printed: Vec<Printed>,
    pub uses: Vec<Use>,
    pub flows: Vec<Flow>,
    computed: String,
    /// The output of the current command is piped to another.
    pub piped: bool,
    pub functions: BTreeSet<String>,
    pub aliases: BTreeSet<String>,
    /// Variables that are arrays.
    pub arrays: BTreeSet<String>,
    /// Variables that `+=` adds to.
    pub appended: BTreeSet<String>,
    /// Assignments by builtins such as `export`, which evaluate the value if the variable is an array.
    pub declared: Vec<(String, Content)>,
    /// Everything was read, and possible readings of it are being judged.
    pub settles: bool,
    /// A `shift` or similar moves the start of `"$@"`.
    pub shifts: bool,
    /// The next `{` opens the body of a function.
    pub defines: bool,
    /// For each open `{`: whether it is the body of a function.
    pub bodies: Vec<bool>,
    /// Commands whose names are known only after all assignments.
    pub unnamed: Vec<Vec<Word>>,
    /// The arguments of functions and `set`, which `"$@"` would run.
    pub passed: Vec<Vec<Word>>,
    /// Texts that another shell runs.
    pub programs: Vec<Word>,
    /// Code of other programs: the text, its place, and what to do instead.
    pub texts: Vec<(Word, String, &'static str)>,
    /// Texts that are run later, such as that of `trap`. True for texts that are only expanded, such as `PS4`.
    pub codes: Vec<(Word, bool)>,
}

impl Script {
    pub fn new() -> Script {
        Script { open: vec![Command::default()], printed: vec![Printed::default()], ..Script::default() }
    }

    fn command(&mut self) -> &mut Command {
        if self.open.is_empty() {
            self.open.push(Command::default());
        }
        let last = self.open.len() - 1;
        &mut self.open[last]
    }

    fn word(&mut self) -> &mut Word {
        self.command().word.get_or_insert_default()
    }

    pub fn letter(&mut self, letter: char, plain: bool) {
        let word = self.word();
        let is_plain = plain && word.plain == word.text.len();
        word.text.push(letter);
        if is_plain {
            word.plain = word.text.len();
        }
    }

    /// A quote opens, which starts a word even if it is empty.
    pub fn quoted(&mut self) {
        self.word();
    }

    pub fn value(&mut self, expression: &Expression) {
        let word = self.word();
        word.text.push(SPOT);
        if is_foreign(expression) {
            word.content.values.push(expression.to_string());
        }
    }

    /// The value of a variable, or something else known only to the shell.
    pub fn expansion(&mut self, name: Option<&str>) {
        let word = self.word();
        word.text.push(SPOT);
        word.content.names.extend(name.map(str::to_string));
    }

    /// The last expansion becomes separate words.
    pub fn spread(&mut self) {
        let word = self.word();
        word.spread.names.extend(word.content.names.last().cloned());
    }

    /// The default if a variable is not set, as in `${x:-text}`.
    pub fn otherwise(&mut self, text: &str) {
        self.word().content.texts.push(text.to_string());
    }

    /// The word is `name=(`.
    pub fn array(&mut self) {
        let word = self.word();
        word.is_array = true;
        let name = assigned(word).map(str::to_string);
        self.arrays.extend(name);
    }

    /// Whether a `(` after the current word begins a pattern, as in `@(a|b)`.
    pub fn is_pattern(&self) -> bool {
        let Some(command) = self.open.last() else { return false };
        let Some(word) = &command.word else { return false };
        word.text.ends_with(['@', '!', '+', '*', '?']) && !(word.text == "!" && head(&command.words).is_none())
    }

    /// Shells may read this text in unknown ways, so values named in it are refused.
    pub fn unreadable(&mut self, text: &str, place: &str, hint: &'static str) {
        let mut content = Content::default();
        content.names.extend(names_in(text));
        let behind = || text.split('$').skip(1).map(|it| it.trim_start_matches(['{', '#', '!']));
        let reads = |it: &String| matches!(it.as_str(), "read" | "mapfile" | "readarray" | "select" | "source");
        if content.names.iter().any(reads) {
            content.names.push(READ.into());
        }
        if behind().any(|it| it.starts_with(['@', '*']) || it.starts_with(|it: char| it.is_ascii_digit())) {
            content.names.push("@".into());
        }
        self.evaluated(content, place.to_string(), hint);
    }

    /// A `<( )`.
    pub fn process(&mut self) {
        self.expansion(None);
        self.word().process = true;
    }

    /// The last word is the name of a function, and its body follows.
    pub fn define(&mut self) {
        self.end_word();
        let words = std::mem::take(&mut self.command().words);
        let (name, before) = match words.as_slice() {
            [before @ .., name] => (name.text.clone(), before.to_vec()),
            [] => return,
        };
        self.functions.insert(name);
        self.defines = true;
        if !before.is_empty() {
            self.judge(&before);
        }
    }

    /// A letter in an arithmetic context: names there are variables, with or without `$`.
    pub fn computed(&mut self, letter: Option<char>) {
        match letter.filter(|it| it.is_ascii_alphanumeric() || *it == '_') {
            Some(letter) => self.computed.push(letter),
            None if self.computed.is_empty() => (),
            None => {
                let name = std::mem::take(&mut self.computed);
                self.computed_with(&name);
            }
        }
    }

    pub fn computed_with(&mut self, name: &str) {
        let content = Content::of(name);
        self.evaluated(content, "in an arithmetic expression".into(), COMPUTE);
    }

    pub fn evaluated(&mut self, content: Content, place: String, hint: &'static str) {
        if !content.is_empty() {
            self.uses.push(Use { content, place, hint, code: false, params: false });
        }
    }

    /// Like `evaluated`, for a place where a whole command is allowed.
    pub fn run(&mut self, content: Content, place: String, hint: &'static str) {
        if !content.is_empty() {
            self.uses.push(Use { content, place, hint, code: true, params: false });
        }
    }

    /// A variable of the environment that is more than data gets this content.
    pub fn variable(&mut self, danger: Danger, name: &str, content: Content) {
        if !content.is_empty() {
            let place = format!("as the value of `{name}`, {}", danger.reason());
            let params = danger == Danger::Finds;
            self.uses.push(Use { content, place, hint: danger.hint(), code: true, params });
        }
    }

    pub fn gets(&mut self, name: &str, content: Content) {
        self.flows.push(Flow { name: name.to_string(), content });
    }

    pub fn flow(&mut self, name: &str, from: &str) {
        self.gets(name, Content::of(from));
    }

    pub fn is_name(&self) -> bool {
        let word = self.open.last().and_then(|it| it.word.as_ref());
        // `{x[...]}>` is a redirection.
        let name = |it: &Word| is_name(it.text.strip_prefix('{').unwrap_or(&it.text));
        word.is_some_and(|it| it.is_plain() && name(it))
    }

    /// Whether the word so far is `]]`.
    pub fn is_end_of_condition(&self) -> bool {
        self.open.last().and_then(|it| it.word.as_ref()).is_some_and(|it| it.is_plain() && it.text == "]]")
    }

    /// Whether the word so far is `name=`.
    pub fn is_assignment(&self) -> bool {
        let word = self.open.last().and_then(|it| it.word.as_ref());
        word.is_some_and(|it| it.text.ends_with('=') && assigned(it).is_some())
    }

    /// Whether a command has begun, so that the next text is one of its words.
    pub fn is_argument(&self) -> bool {
        let Some(command) = self.open.last() else { return false };
        let head = head(&command.words).map(|at| command.words[at].text.as_str());
        command.word.is_some() || head.is_some_and(|it| !matches!(it, "case" | "for" | "select" | "function"))
    }

    /// Whether the last word is where a command begins.
    pub fn at_head(&self) -> bool {
        self.open.last().is_some_and(|it| head(&it.words) == it.words.len().checked_sub(1))
    }

    /// Whether only reserved words precede the last word.
    pub fn before_head(&self) -> bool {
        self.open.last().is_some_and(|it| head(&it.words).is_none())
    }

    /// Ends a word. Returns its text if it is part of a command and unquoted.
    pub fn end_word(&mut self) -> Option<&str> {
        let command = self.command();
        let word = command.word.take()?;
        match command.redirect.take() {
            None => (),
            Some(Redirect::Descriptor) => {
                let place = "after `>&` or `<&`, which expands it twice in some shells".to_string();
                self.evaluated(word.content, place, "write `> FILE 2>&1`");
                return None;
            }
            Some(redirect) => {
                // This file contains the environment.
                if word.text.starts_with("/proc/") && word.text.ends_with("/environ") {
                    self.flow(READ, "WINDLASS_ITEM");
                    let printed = self.printed.last_mut();
                    printed.into_iter().for_each(|it| it.pipeline.names.push("WINDLASS_ITEM".into()));
                }
                if redirect == Redirect::Text || word.process {
                    if let Some(printed) = self.printed.last_mut() {
                        printed.pipeline.add(&word.with_text());
                    }
                    self.gets(READ, word.with_text());
                }
                return None;
            }
        }
        command.words.push(word);
        let last = self.open.last()?.words.last()?;
        (last.plain == last.text.len()).then_some(last.text.as_str())
    }

    /// A redirection begins. A preceding number is the descriptor.
    pub fn redirect(&mut self, kind: Redirect) {
        let command = self.command();
        let number = |it: &Word| {
            let named = it.text.strip_prefix('{').and_then(|it| it.strip_suffix('}')).is_some_and(is_name);
            named || (!it.text.is_empty() && it.text.bytes().all(|it| it.is_ascii_digit()))
        };
        if command.word.as_ref().is_some_and(number) {
            command.word = None;
        }
        self.end_word();
        self.command().redirect = Some(kind);
    }

    /// Ends a command. `piped`: its output goes to the next one.
    pub fn end_command(&mut self, piped: bool) {
        self.end_word();
        let words = std::mem::take(&mut self.command().words);
        self.command().redirect = None;
        if !words.is_empty() {
            self.piped = piped;
            self.judge(&words);
        }
        let Some(printed) = self.printed.last_mut() else { return };
        if counts(&words) {
            printed.pipeline = Content::default();
        }
        if !piped {
            printed.ended.add(&std::mem::take(&mut printed.pipeline));
        }
    }

    /// `]]`: some operators of the condition do arithmetic.
    pub fn end_condition(&mut self) {
        let words = std::mem::take(&mut self.command().words);
        for (at, word) in words.iter().enumerate() {
            let before = at.checked_sub(1).and_then(|it| words.get(it));
            let beside: Vec<&Word> = match word.text.as_str() {
                "-eq" | "-ne" | "-lt" | "-le" | "-gt" | "-ge" => before.into_iter().chain(words.get(at + 1)).collect(),
                "-v" | "-R" | "-t" => words.get(at + 1).into_iter().collect(),
                "=~" => {
                    let matched = before.into_iter().chain(words.get(at + 1));
                    let mut content = Content::default();
                    matched.for_each(|it| content.add(&it.content));
                    for name in ["BASH_REMATCH", "MATCH", "match"] {
                        self.flows.push(Flow { name: name.into(), content: content.clone() });
                    }
                    continue;
                }
                _ => continue,
            };
            let mut content = Content::default();
            for word in beside {
                content.add(&word.content);
                content.names.extend(names_in(&word.text));
            }
            self.evaluated(content, "inside `[[ ]]` with an operator that computes".into(), "write `[ ]` or `case`");
        }
        // Redirections may follow.
        self.command().words.push(Word::written("fi"));
    }

    pub fn open_list(&mut self) {
        self.open.push(Command::default());
        self.printed.push(Printed::default());
    }

    /// A `)`. The output of a `$( )` becomes part of its word.
    pub fn close_list(&mut self, is_word: bool, spreads: bool, computes: bool) {
        self.end_command(false);
        self.open.pop();
        let printed = self.printed.pop().unwrap_or_default().ended;
        if let Some(outer) = self.printed.last_mut() {
            outer.pipeline.add(&printed);
        }
        if is_word {
            self.word().content.add(&printed);
        }
        if spreads {
            self.word().spread.add(&printed);
        }
        if computes {
            self.evaluated(printed, "in an arithmetic expression".into(), COMPUTE);
        }
    }

    /// Records what a command can print, so that text read from it counts as made of that.
    pub fn give(&mut self, content: &Content) {
        if let Some(printed) = self.printed.last_mut() {
            printed.pipeline.add(content);
        }
        if self.bodies.contains(&true) {
            self.flows.push(Flow { name: RETURNED.into(), content: content.clone() });
        }
        if self.piped {
            self.flows.push(Flow { name: READ.into(), content: content.clone() });
        }
    }
}

/// Whether everything that a command prints is a number, whatever its input.
fn counts(words: &[Word]) -> bool {
    let Some(at) = head(words) else { return false };
    let (options, others): (Vec<&Word>, Vec<&Word>) = words[at + 1..].iter().partition(|it| it.text.starts_with('-'));
    match words[at].text.as_str() {
        "wc" => others.is_empty(),
        "grep" => others.len() == 1 && options.iter().any(|it| it.text.contains('c') && !it.text.starts_with("--")),
        _ => false,
    }
}
