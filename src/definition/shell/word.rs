//! Words of a script, and what they are made of.

use crate::definition::{
    expression::Expression,
    template::{Part, Template},
};

/// The values and the variables that a word is made of.
#[derive(Debug, Clone, Default)]
pub(super) struct Content {
    /// Expressions of `{{ }}` whose values come from outside.
    pub values: Vec<String>,
    pub names: Vec<String>,
    /// What is written out, where that may be the name of a command or of a variable.
    pub texts: Vec<String>,
}

impl Content {
    /// What a variable of this name holds.
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
    /// Without quotes; `SPOT` stands for each value and each expansion.
    pub text: String,
    /// How much of the beginning is written out without quotes.
    pub plain: usize,
    pub content: Content,
    /// It is a `name=( )`.
    pub is_array: bool,
    /// What a shell makes several words of, or none.
    pub spread: Content,
    /// It is a `<( )`.
    pub process: bool,
}

/// Stands for what is known only when the command runs.
pub(super) const SPOT: char = '\0';

/// Names of what no variable holds: what `read` can take from a pipe or a here document, what functions print, and what
/// a program prints that can see the values of its environment.
pub(super) const READ: &str = "|";
pub(super) const RETURNED: &str = "()";
pub(super) const PRINTED: &str = "$()";

impl Word {
    /// A word that no shell reads.
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

    /// Its content, with its text or what is assigned by it, as far as that is written out.
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

    /// What an expansion became: no reserved word and no assignment.
    pub fn expanded(text: &str) -> Word {
        Word { text: text.to_string(), ..Word::default() }
    }

    /// Whether it is known only when the command runs what the word begins with.
    pub fn is_open(&self) -> bool {
        self.text.starts_with(SPOT)
    }

    /// Whether it is known only then which command the word names.
    pub fn is_unknown(&self) -> bool {
        self.text.contains(SPOT) || self.is_expanded()
    }

    /// Whether `{a,b}` becomes several words.
    pub fn is_expanded(&self) -> bool {
        self.text.starts_with('{') && (self.text.contains(',') || self.text.contains(".."))
    }

    pub fn is_plain(&self) -> bool {
        self.plain == self.text.len()
    }
}

/// Whether another person could have chosen the value. Our own names, numbers and paths are no code.
pub(in crate::definition) fn is_foreign(expression: &Expression) -> bool {
    match expression {
        Expression::Item(_) | Expression::Params(_) | Expression::InputValue(..) | Expression::Env(_) => true,
        Expression::Out
        | Expression::InputDir(_)
        | Expression::InputStatus(_)
        | Expression::InputChildren(_)
        | Expression::Literal(_) => false,
        Expression::Group | Expression::Run | Expression::Step => false,
        // Reasons quote what commands printed, and names are chosen by users.
        Expression::GroupFact(_) => true,
        Expression::Attempt | Expression::Token | Expression::Event => false,
    }
}

/// What `printf` makes of a format.
pub(super) fn formatted(text: &str) -> String {
    ["%s", "%b", "%q", "%d"].iter().fold(text.to_string(), |text, it| text.replace(it, "\0"))
}

/// The names in a text, of variables or of anything else.
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
