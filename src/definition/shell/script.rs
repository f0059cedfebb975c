//! The commands of a script, as far as it must be known what they do with a value: which of them evaluate a word again
//! although it was quoted, and into which variables a value flows.
//!
//! Found by trying every builtin of dash, bash, busybox, zsh and mksh with words such as `a[$(command)]`.

use crate::definition::expression::Expression;

/// The values and the variables that a word is made of.
#[derive(Debug, Clone, Default)]
pub(super) struct Content {
    /// Expressions of `{{ }}` whose values come from outside.
    pub values: Vec<String>,
    pub names: Vec<String>,
}

impl Content {
    fn is_empty(&self) -> bool {
        self.values.is_empty() && self.names.is_empty()
    }

    fn add(&mut self, other: &Content) {
        self.values.extend(other.values.iter().cloned());
        self.names.extend(other.names.iter().cloned());
    }
}

/// A place where shells evaluate what stands there.
#[derive(Debug)]
pub(super) struct Use {
    pub content: Content,
    pub place: String,
    pub hint: &'static str,
}

/// A variable, and what it is made of.
#[derive(Debug)]
pub(super) struct Flow {
    pub name: String,
    pub content: Content,
}

#[derive(Debug, Default)]
pub(super) struct Word {
    /// Without quotes; `SPOT` stands for each value and each expansion.
    pub text: String,
    /// How much of the beginning is written out without quotes.
    plain: usize,
    pub content: Content,
}

/// Stands for what is known only when the command runs.
pub(super) const SPOT: char = '\0';

#[derive(Debug, Default)]
struct Command {
    words: Vec<Word>,
    word: Option<Word>,
    /// The next word names the file of a redirection; true for `>&` and `<&`.
    redirect: Option<bool>,
}

#[derive(Debug)]
pub(super) struct Script {
    /// One for the script, and one for each `$( )` and `( )` that is open.
    open: Vec<Command>,
    /// What the commands of each of them are given, and might print.
    given: Vec<Content>,
    pub uses: Vec<Use>,
    pub flows: Vec<Flow>,
    computed: String,
}

impl Script {
    pub fn new() -> Script {
        Script {
            open: vec![Command::default()],
            given: vec![Content::default()],
            uses: Vec::new(),
            flows: Vec::new(),
            computed: String::new(),
        }
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

    /// A quote opens, so that there is a word, even an empty one.
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

    /// A variable's value stands here, or something else that only the shell knows.
    pub fn expansion(&mut self, name: Option<&str>) {
        let word = self.word();
        word.text.push(SPOT);
        word.content.names.extend(name.map(str::to_string));
    }

    /// A letter where the shell computes: the names there are variables, with and without `$`.
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
        let content = Content { values: Vec::new(), names: vec![name.to_string()] };
        self.evaluated(content, "in an arithmetic expression".into(), super::scan::COMPUTE);
    }

    pub fn evaluated(&mut self, content: Content, place: String, hint: &'static str) {
        if !content.is_empty() {
            self.uses.push(Use { content, place, hint });
        }
    }

    pub fn flow(&mut self, name: &str, from: &str) {
        let content = Content { values: Vec::new(), names: vec![from.to_string()] };
        self.flows.push(Flow { name: name.to_string(), content });
    }

    pub fn is_name(&self) -> bool {
        let word = self.open.last().and_then(|it| it.word.as_ref());
        word.is_some_and(|it| it.plain == it.text.len() && is_name(&it.text))
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

    /// Whether a command has begun, so that what comes now is one of its words.
    pub fn is_argument(&self) -> bool {
        let Some(command) = self.open.last() else { return false };
        let head = head(&command.words).map(|at| command.words[at].text.as_str());
        command.word.is_some() || head.is_some_and(|it| !matches!(it, "case" | "for" | "select" | "function"))
    }

    /// Whether the last word is where a command begins.
    pub fn at_head(&self) -> bool {
        self.open.last().is_some_and(|it| head(&it.words) == it.words.len().checked_sub(1))
    }

    /// Ends a word; its text, if it is one of a command and written out without quotes.
    pub fn end_word(&mut self) -> Option<&str> {
        let command = self.command();
        let word = command.word.take()?;
        if let Some(duplicates) = command.redirect.take() {
            if duplicates {
                let place = "after `>&` or `<&`, which expands it twice in some shells".to_string();
                self.evaluated(word.content, place, "write `> FILE 2>&1`");
            }
            return None;
        }
        command.words.push(word);
        let last = self.open.last()?.words.last()?;
        (last.plain == last.text.len()).then_some(last.text.as_str())
    }

    /// A redirection begins. A number before it is the descriptor.
    pub fn redirect(&mut self, duplicates: bool) {
        let command = self.command();
        let number = |it: &Word| !it.text.is_empty() && it.text.bytes().all(|it| it.is_ascii_digit());
        if command.word.as_ref().is_some_and(number) {
            command.word = None;
        }
        self.end_word();
        self.command().redirect = Some(duplicates);
    }

    pub fn end_command(&mut self) {
        self.end_word();
        let words = std::mem::take(&mut self.command().words);
        self.command().redirect = None;
        if !words.is_empty() {
            self.judge(&words);
        }
    }

    /// `]]`: some of its operators compute.
    pub fn end_condition(&mut self) {
        let words = std::mem::take(&mut self.command().words);
        let operators = ["-eq", "-ne", "-lt", "-le", "-gt", "-ge", "-v", "-R", "-t"];
        if words.iter().any(|it| operators.contains(&it.text.as_str())) {
            let mut content = Content::default();
            for word in &words {
                content.add(&word.content);
                content.names.push(word.text.clone());
            }
            self.evaluated(content, "inside `[[ ]]` with an operator that computes".into(), "write `[ ]` or `case`");
        }
        // Redirections may follow.
        self.command().words.push(Word::written("fi"));
    }

    pub fn open_list(&mut self) {
        self.open.push(Command::default());
        self.given.push(Content::default());
    }

    /// A `)`. What a `$( )` prints becomes part of the word that it stands in.
    pub fn close_list(&mut self, is_word: bool, computes: bool) {
        self.end_command();
        self.open.pop();
        let given = self.given.pop().unwrap_or_default();
        if let Some(outer) = self.given.last_mut() {
            outer.add(&given);
        }
        if is_word {
            self.word().content.add(&given);
        }
        if computes {
            self.evaluated(given, "in an arithmetic expression".into(), super::scan::COMPUTE);
        }
    }

    /// Notes what the arguments of a command are made of: what it prints, and what is read from that, is made of it, too.
    pub fn give(&mut self, content: &Content) {
        if content.is_empty() {
            return;
        }
        if let Some(given) = self.given.last_mut() {
            given.add(content);
        }
        self.flows.push(Flow { name: "@".into(), content: content.clone() });
    }
}

impl Word {
    fn written(text: &str) -> Word {
        Word { text: text.to_string(), plain: text.len(), content: Content::default() }
    }

    /// Whether it is known only when the command runs what the word begins with.
    pub fn is_open(&self) -> bool {
        self.text.starts_with(SPOT)
    }

    fn is_plain(&self) -> bool {
        self.plain == self.text.len()
    }
}

/// Whether somebody else could have chosen the value. Names and numbers of ours, and our own paths, are no code.
pub(in crate::definition) fn is_foreign(expression: &Expression) -> bool {
    match expression {
        Expression::Item(_) | Expression::Params(_) | Expression::InputValue(..) | Expression::Env(_) => true,
        Expression::Out | Expression::InputDir(_) | Expression::Literal(_) => false,
        Expression::Group | Expression::Run | Expression::Step => false,
        Expression::Attempt | Expression::Token | Expression::Event => false,
    }
}

pub(super) fn is_name(text: &str) -> bool {
    let first = text.chars().next();
    first.is_some_and(|it| it.is_ascii_alphabetic() || it == '_')
        && text.chars().all(|it| it.is_ascii_alphanumeric() || it == '_')
}

/// The variable that a word assigns to: `name=...`, `name+=...` or `name[...]=...`.
pub(super) fn assigned(word: &Word) -> Option<&str> {
    let (name, _) = word.text.get(..word.plain)?.split_once('=')?;
    let name = name.strip_suffix('+').unwrap_or(name);
    let name = name.strip_suffix("[]").unwrap_or(name);
    is_name(name).then_some(name)
}

/// The word that says what a command does: behind assignments, reserved words and what only starts another command.
pub(super) fn head(words: &[Word]) -> Option<usize> {
    const RESERVED: &[&str] = &[
        "if",
        "then",
        "elif",
        "else",
        "fi",
        "do",
        "done",
        "while",
        "until",
        "esac",
        "!",
        "{",
        "}",
        "time",
        "noglob",
        "nocorrect",
        "-",
    ];
    let mut at = 0;
    loop {
        let word = words.get(at)?;
        let options = |from: usize| words[from..].iter().take_while(|it| it.text.starts_with('-')).count();
        at += match word.text.as_str() {
            _ if assigned(word).is_some() => 1,
            "time" if word.is_plain() => 1 + options(at + 1),
            "function" if word.is_plain() => 2,
            text if word.is_plain() && RESERVED.contains(&text) => 1,
            // With `-v` it only looks for the command.
            "command" if words.get(at + 1).is_some_and(|it| matches!(it.text.as_str(), "-v" | "-V")) => return None,
            "exec" if words.get(at + 1).is_some_and(|it| it.text == "-a") => 3,
            "command" | "builtin" | "exec" => 1 + options(at + 1),
            _ => return Some(at),
        };
    }
}
