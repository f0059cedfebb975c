//! Words of a script and their contents.

use crate::definition::{
    expression::Expression,
    template::{Part, Template},
};

/// The values and variables that a word contains.
#[derive(Debug, Clone, Default)]
pub(super) struct Content {
    /// `{{ }}` expressions with values from outside.
    pub values: Vec<String>,
    pub names: Vec<String>,
    /// Literal texts that may be the name of a command or variable.
    pub texts: Vec<String>,
}

impl Content {
    /// The content of the variable with this name.
    pub fn of(name: &str) -> Content {
        Content { names: vec![name.to_string()], ..Content::default() }
    }

    pub fn is_empty(&self) -> bool {
        self.values.is_empty() && self.names.is_empty()
    }

    pub fn add(&mut self, other: &Content) {
        self.values.extend(other.values.iter().cloned());
        self.names.extend(other.names.iter().cloned());
        self.texts.extend(other.texts.iter().cloned());
    }
}

#[derive(Debug, Clone, Default)]
pub(super) struct Word {
    /// Without quotes; `SPOT` replaces each value and each expansion.
    pub text: String,
    /// The length of the unquoted literal prefix.
    pub plain: usize,
    pub content: Content,
    /// It is a `name=( )`.
    pub is_array: bool,
    /// The part that a shell splits into any number of words.
    pub spread: Content,
    /// It is a `<( )`.
    pub process: bool,
}

/// Replaces what is known only at run time.
pub(super) const SPOT: char = '\0';

/// Pseudo-variables: what `read` can take from a pipe or here document, what functions print, and what is printed by a
/// program that can see values in its environment.
pub(super) const READ: &str = "|";
pub(super) const RETURNED: &str = "()";
pub(super) const PRINTED: &str = "$()";

impl Word {
    /// A word that is not parsed by a shell.
    pub fn of_template(template: &Template) -> Word {
        let mut word = Word::default();
        for part in template.parts() {
            match part {
                Part::Text(text) => word.text.push_str(text),
                Part::Expression(expression) => {
                    word.text.push(SPOT);
                    if is_foreign(expression) {
                        word.content.values.push(expression.to_string());
                    }
                }
            }
        }
        word
    }

    /// Its content together with its literal text, or the literal text that it assigns.
    pub fn with_text(&self) -> Content {
        let mut content = self.content.clone();
        let text = match self.text.split_once('=') {
            Some((_, text)) if assigned(self).is_some() || self.text.starts_with('=') => text,
            _ => &self.text,
        };
        let is_part = self.is_array || self.text.contains("]=") || self.text.contains("+=");
        if is_part || text.chars().any(|it| it != SPOT) {
            content.texts.push(text.to_string());
        }
        content
    }

    pub fn written(text: &str) -> Word {
        Word { text: text.to_string(), plain: text.len(), ..Word::default() }
    }

    /// The result of an expansion, which is never a reserved word or an assignment.
    pub fn expanded(text: &str) -> Word {
        Word { text: text.to_string(), ..Word::default() }
    }

    /// Whether the beginning of the word is known only at run time.
    pub fn is_open(&self) -> bool {
        self.text.starts_with(SPOT)
    }

    /// Whether the command that it names is known only at run time.
    pub fn is_unknown(&self) -> bool {
        self.text.contains(SPOT) || self.is_expanded()
    }

    /// Whether it contains a `{a,b}`, which becomes several words.
    pub fn is_expanded(&self) -> bool {
        self.text.starts_with('{') && (self.text.contains(',') || self.text.contains(".."))
    }

    pub fn is_plain(&self) -> bool {
        self.plain == self.text.len()
    }
}

/// Whether another person could have chosen the value. Our own names, numbers and paths can't be code.
pub(in crate::definition) fn is_foreign(expression: &Expression) -> bool {
    match expression {
        Expression::Item(_) | Expression::Params(_) | Expression::InputValue(..) | Expression::Env(_) => true,
        Expression::Out
        | Expression::InputDir(_)
        | Expression::InputStatus(_)
        | Expression::InputChildren(_)
        | Expression::Literal(_) => false,
        Expression::Group | Expression::Run | Expression::Step => false,
        // Reasons quote the output of commands, and users choose names.
        Expression::GroupFact(_) => true,
        Expression::Attempt | Expression::Token | Expression::Event => false,
    }
}

/// The name of a program without its directory.
pub(super) fn base(word: &Word) -> &str {
    word.text.rsplit('/').next().unwrap_or_default()
}

/// The text that `printf` makes from a format.
pub(super) fn formatted(text: &str) -> String {
    ["%s", "%b", "%q", "%d"].iter().fold(text.to_string(), |text, it| text.replace(it, "\0"))
}

/// The names in a text, of variables or anything else.
pub(super) fn names_in(text: &str) -> impl Iterator<Item = String> + '_ {
    text.split(|it: char| !(it.is_ascii_alphanumeric() || it == '_')).filter(|it| is_name(it)).map(str::to_string)
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

/// The word that determines what a command does: after assignments, reserved words, and programs that only start
/// another command.
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
            // With `-v` it only looks up the command.
            "command" if words.get(at + 1).is_some_and(|it| matches!(it.text.as_str(), "-v" | "-V")) => return None,
            "exec" if words.get(at + 1).is_some_and(|it| it.text == "-a") => 3,
            "command" | "builtin" | "exec" => 1 + options(at + 1),
            _ => return Some(at),
        };
    }
}
