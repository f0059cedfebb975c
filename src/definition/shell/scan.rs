//! Reads a command as shells do: where quotes, substitutions and expressions begin and end.
//!
//! Words are passed on to `Script`, which judges whole commands.

use super::script::{COMPUTE, Redirect, Script};
use crate::definition::expression::Expression;

/// Where the scanner is. Frames nest: `"$( "..." )"`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Frame {
    Single,
    Double,
    /// `${`; true where the shell computes in it, as in `${x:n}` and `${x[n]}`.
    Braces(bool),
    /// `$[`, and the subscript of `x[`
    Brackets,
    /// `$((` and `((`, one frame for each parenthesis
    Arithmetic,
    /// `$(`, `<(` and `>(`
    Substitution,
    /// A plain `(`
    Group,
    /// `[[`
    Condition,
    /// `(` inside `[[`
    Nested,
    /// `x=(`
    Array,
}

/// Where a value must not stand, and what to write instead.
type Place = (&'static str, &'static str);

const UNQUOTE: &str = "remove the quotes: a value becomes one quoted word by itself";
const VARIABLE: &str = "pass the value in a variable (`env: { NAME: \"{{ ... }}\" }`) and use \"$NAME\"";
const BACKQUOTE: Place = ("after a backquote", "write $( ) instead of backquotes");
const CONDITION: Place = ("inside `[[ ]]`, where shells compute with it", "write `[ ]` or `case`");
const HASH: Place =
    ("after a `#` that shells read differently", "write a blank or a newline before the `#`, or quote it");
const PARENTHESIS: Place = ("after a parenthesis that shells read differently", VARIABLE);

pub(super) struct Scan {
    frames: Vec<Frame>,
    /// The last character of plain text, a newline at the beginning; `x` behind what is part of a word.
    last: char,
    /// The letters before, to find `case`.
    word: String,
    comment: bool,
    escaped: bool,
    /// From here on shells differ or the scanner could lose its place: where, and what to write instead.
    lost: Option<Place>,
    /// The content of a `${ }`.
    braces: String,
    script: Script,
}

/// Stands for a `)` behind which a `#` begins a comment in some shells only.
const UNCLEAR: char = '\0';

type Letters<'t> = std::iter::Peekable<std::str::Chars<'t>>;

impl Scan {
    pub(super) fn new() -> Scan {
        Scan {
            frames: Vec::new(),
            last: '\n',
            word: String::new(),
            comment: false,
            escaped: false,
            lost: None,
            braces: String::new(),
            script: Script::new(),
        }
    }

    /// A `{{ }}` is here; the problem, if its value could be executed or split.
    pub(super) fn value(&mut self, expression: &Expression) -> Result<(), Place> {
        self.danger().map_or(Ok(()), Err)?;
        self.script.value(expression);
        self.last = 'x'; // a value is part of a word
        self.word.clear();
        Ok(())
    }

    /// The whole command, once it was read.
    pub(super) fn end(mut self) -> Script {
        self.end_word();
        self.script.end_command(false);
        self.script
    }

    fn danger(&self) -> Option<Place> {
        if self.lost.is_some() {
            return self.lost;
        }
        if self.comment {
            return Some(("in a comment", "remove it: a value with a newline would end the comment"));
        }
        if let Some(Frame::Single | Frame::Double) = self.frames.last() {
            return Some(("inside quotes", UNQUOTE));
        }
        // What a `$( )` in there prints is computed with as well.
        for frame in self.frames.iter().rev() {
            match frame {
                Frame::Braces(false) => return Some(("inside `${ }`", VARIABLE)),
                Frame::Braces(true) | Frame::Arithmetic => return Some(("in an arithmetic expression", COMPUTE)),
                Frame::Brackets => return Some(("in an arithmetic expression or a subscript (`[`)", COMPUTE)),
                Frame::Condition | Frame::Nested => return Some(CONDITION),
                Frame::Array => return Some(("in an array", VARIABLE)),
                _ => (),
            }
        }
        if self.escaped {
            return Some(("after a backslash", "remove the backslash"));
        }
        (self.last == '$').then_some(("after a `$`", "write `{{ }}` without the `$`"))
    }

    pub(super) fn read(&mut self, text: &str) {
        let mut letters = text.chars().peekable();
        while let Some(letter) = letters.next() {
            self.script.computed(self.computes().then_some(letter));
            if std::mem::take(&mut self.escaped) {
                // A backslash before a newline joins the lines: what came before it still counts.
                self.last = if letter == '\n' { self.last } else { 'x' };
                if letter != '\n' {
                    self.literal(letter, false);
                }
                continue;
            }
            match self.frames.last() {
                _ if self.comment => {
                    self.comment = letter != '\n';
                    self.last = letter;
                    if !self.comment {
                        self.separate(letter, &mut letters);
                    }
                }
                Some(Frame::Single) => self.in_single(letter),
                Some(Frame::Double) => self.in_double(letter, &mut letters),
                _ => self.plain(letter, &mut letters),
            }
        }
    }

    /// Whether a shell computes with the content here, so that it reads the named variables.
    fn computes(&self) -> bool {
        self.frames.iter().any(|it| matches!(it, Frame::Arithmetic | Frame::Brackets | Frame::Braces(true)))
    }

    /// A letter of the word that is being read, if it is one here.
    fn literal(&mut self, letter: char, plain: bool) {
        let around = self.frames.iter().rev().find(|it| !matches!(it, Frame::Single | Frame::Double));
        let is_word = !matches!(around, Some(Frame::Braces(_) | Frame::Arithmetic | Frame::Brackets | Frame::Array));
        if is_word {
            self.script.letter(letter, plain);
        }
    }

    fn in_single(&mut self, letter: char) {
        match letter {
            '\'' => self.close(),
            _ => self.literal(letter, false),
        }
    }

    fn close(&mut self) {
        self.frames.pop();
        self.last = 'x';
    }

    fn in_double(&mut self, letter: char, rest: &mut Letters<'_>) {
        match letter {
            '\\' => self.escaped = true,
            '`' => self.lose(BACKQUOTE),
            '$' => self.dollar(rest),
            '"' => self.close(),
            _ => self.literal(letter, false),
        }
    }

    fn plain(&mut self, letter: char, rest: &mut Letters<'_>) {
        self.read_word(letter);
        let top = self.frames.last().copied();
        match letter {
            '\\' => return self.escaped = true,
            '\'' if matches!(top, Some(Frame::Braces(_))) => self.lose(("after a quote inside `${ }`", VARIABLE)),
            '\'' | '"' => {
                self.script.quoted();
                self.frames.push(if letter == '"' { Frame::Double } else { Frame::Single });
            }
            '`' => self.lose(BACKQUOTE),
            '$' => return self.dollar(rest),
            '}' if matches!(top, Some(Frame::Braces(_))) => {
                self.frames.pop();
                let braces = std::mem::take(&mut self.braces);
                if let Some((_, text)) = braces.split_once(['-', '=', '+']) {
                    self.script.otherwise(text);
                }
            }
            _ if matches!(top, Some(Frame::Braces(_))) => self.braces.push(letter),
            '(' if top != Some(Frame::Array) && rest.next_if_eq(&'(').is_some() => self.arithmetic(),
            '(' => self.open(rest),
            ')' => return self.last = self.close_parenthesis(),
            '[' if top == Some(Frame::Brackets) || self.script.is_name() => {
                self.literal('[', true);
                self.frames.push(Frame::Brackets);
            }
            ']' if top == Some(Frame::Brackets) => {
                self.frames.pop();
                self.literal(']', true);
            }
            _ if matches!(top, Some(Frame::Arithmetic | Frame::Brackets)) => (),
            '#' if " \t\n;&|()".contains(self.last) => self.comment = true,
            '#' if self.last == UNCLEAR || self.last.is_whitespace() => self.lose(HASH),
            _ if top == Some(Frame::Array) => (),
            '<' | '>' => self.redirect(letter, rest),
            ' ' | '\t' => self.end_word(),
            '\n' | ';' | '|' | '&' => self.separate(letter, rest),
            _ => self.literal(letter, true),
        }
        self.last = letter;
    }

    /// Between two commands, except inside `[[ ]]` and `x=( )`.
    fn separate(&mut self, letter: char, rest: &mut Letters<'_>) {
        if self.frames.last() == Some(&Frame::Array) {
            return;
        }
        self.end_word();
        if letter == '&' && rest.next_if_eq(&'>').is_some() {
            return self.redirect('>', rest);
        }
        if !matches!(self.frames.last(), Some(Frame::Condition | Frame::Nested)) {
            self.script.end_command(letter == '|' && rest.peek() != Some(&'|'));
        }
    }

    fn end_word(&mut self) {
        let in_condition = self.frames.last() == Some(&Frame::Condition);
        let word = self.script.end_word().map(str::to_string);
        match word.as_deref() {
            Some("[[") if !in_condition && self.script.at_head() => self.frames.push(Frame::Condition),
            Some("]]") if in_condition => {
                self.frames.pop();
                self.script.end_condition();
            }
            _ => (),
        }
    }

    fn redirect(&mut self, letter: char, rest: &mut Letters<'_>) {
        if self.frames.last() == Some(&Frame::Condition) && self.script.is_end_of_condition() {
            self.end_word();
        }
        if matches!(self.frames.last(), Some(Frame::Condition | Frame::Nested)) {
            return self.end_word();
        }
        match rest.peek() {
            Some('<') if letter == '<' => {
                rest.next();
                self.lose(("after a here document (`<<`)", VARIABLE));
                match rest.next_if_eq(&'<') {
                    Some(_) => self.script.redirect(Redirect::Text),
                    None => self.script.here = true,
                }
            }
            Some('(') => {
                rest.next();
                self.script.process();
                self.substitution();
            }
            Some('&') => {
                rest.next();
                self.script.redirect(Redirect::Descriptor);
            }
            _ => {
                rest.next_if(|it| matches!(it, '>' | '|'));
                self.script.redirect(Redirect::File);
            }
        }
    }

    /// A `(` that is not the first of two.
    fn open(&mut self, rest: &mut Letters<'_>) {
        match self.frames.last() {
            Some(Frame::Condition | Frame::Nested) => self.frames.push(Frame::Nested),
            Some(Frame::Arithmetic | Frame::Brackets) => self.frames.push(Frame::Arithmetic),
            Some(Frame::Array) => self.frames.push(Frame::Array),
            _ if self.script.is_assignment() => self.frames.push(Frame::Array),
            _ => {
                // The name of a function comes before `()`; anything else there is a pattern of one shell or another.
                match rest.peek() {
                    Some(')') if self.script.is_argument() => self.script.define(),
                    _ if self.script.is_argument() => self.lose(PARENTHESIS),
                    _ => (),
                }
                self.script.end_command(false);
                self.script.open_list();
                self.frames.push(Frame::Group);
            }
        }
    }

    /// Says what the parenthesis is to a `#` behind it: an operator, part of a word, or not the same in all shells.
    fn close_parenthesis(&mut self) -> char {
        let computes = matches!(self.frames.last(), Some(Frame::Arithmetic | Frame::Brackets | Frame::Array));
        if !computes {
            self.end_word();
        }
        match self.frames.last() {
            Some(Frame::Group) => {
                self.script.close_list(false, false);
                self.frames.pop();
                ')'
            }
            Some(Frame::Substitution) => {
                self.frames.pop();
                let computes = self.computes();
                self.script.close_list(true, computes);
                'x'
            }
            Some(Frame::Arithmetic | Frame::Nested | Frame::Array) => {
                self.frames.pop();
                UNCLEAR
            }
            // The end of a pattern of `case`.
            None => {
                self.script.end_command(false);
                ')'
            }
            _ => UNCLEAR,
        }
    }

    /// The patterns of a `case` end in a `)` that closes nothing, so inside `( )` the scanner would lose its place.
    fn read_word(&mut self, letter: char) {
        if letter.is_ascii_alphabetic() {
            return self.word.push(letter);
        }
        let inside = self.frames.iter().any(|it| matches!(it, Frame::Substitution | Frame::Group));
        if self.word == "case" && inside {
            self.lose(("after a `case` inside `( )`", VARIABLE));
        }
        self.word.clear();
    }

    /// What follows a `$`, in plain text and in double quotes.
    fn dollar(&mut self, rest: &mut Letters<'_>) {
        self.last = '$';
        let quoted = self.frames.last() == Some(&Frame::Double);
        let Some(&next) = rest.peek() else { return };
        match next {
            '\'' if !quoted => self.lose(("after `$'`", "write the quotes without the `$`")),
            '{' => self.braces(rest),
            '[' => {
                rest.next();
                self.last = '[';
                self.frames.push(Frame::Brackets);
            }
            '(' => {
                rest.next();
                self.last = '(';
                self.script.expansion(None);
                match rest.next_if_eq(&'(') {
                    Some(_) => self.arithmetic(),
                    None => self.substitution(),
                }
            }
            // `$$(` is the process id and a parenthesis.
            '$' | '#' | '?' | '!' | '-' => {
                rest.next();
                self.last = 'x';
                self.script.expansion(None);
            }
            '@' | '*' | '0'..='9' => {
                rest.next();
                self.last = 'x';
                self.named("@");
            }
            _ => {
                let name = name_of(rest);
                if !name.is_empty() {
                    self.last = 'x';
                    self.named(&name);
                }
            }
        }
    }

    /// The value of a variable is here.
    fn named(&mut self, name: &str) {
        self.script.expansion(Some(name));
        if self.computes() {
            self.script.computed_with(name);
        }
    }

    /// `${`: which variable it names, and whether the shell computes in it or looks through it.
    fn braces(&mut self, rest: &mut Letters<'_>) {
        rest.next();
        self.last = '{';
        let mut ahead = rest.clone();
        let through = ahead.next_if(|it| matches!(it, '!' | '(')).is_some();
        ahead.next_if_eq(&'#');
        let name = match ahead.next_if(|it| matches!(it, '@' | '*' | '0'..='9')) {
            Some(_) => "@".to_string(),
            None => name_of(&mut ahead),
        };
        let after = ahead.next();
        let computes = through
            || matches!(after, Some('[' | '@'))
            || (after == Some(':') && !matches!(ahead.peek(), Some('-' | '+' | '=' | '?')));
        let assigns = after == Some('=') || (after == Some(':') && ahead.peek() == Some(&'='));
        self.script.expansion(Some(&name));
        if assigns && ahead.take_while(|it| *it != '}').any(|it| it == '$') {
            self.script.flow(&name, "@");
        }
        if through || after == Some('@') {
            self.script.computed_with(&name);
        } else if computes {
            // The variable that is cut or picked from is not computed with.
            name.chars().for_each(|_| _ = rest.next());
        }
        self.frames.push(Frame::Braces(computes));
    }

    fn substitution(&mut self) {
        self.script.open_list();
        self.frames.push(Frame::Substitution);
    }

    /// Two parentheses open, so that two close.
    fn arithmetic(&mut self) {
        self.frames.extend([Frame::Arithmetic, Frame::Arithmetic]);
    }

    fn lose(&mut self, why: Place) {
        self.lost.get_or_insert(why);
    }
}

/// Takes the name of a variable, if one is here.
fn name_of(rest: &mut Letters<'_>) -> String {
    let mut name = String::new();
    while let Some(letter) = rest.next_if(|it| it.is_ascii_alphanumeric() || *it == '_') {
        name.push(letter);
    }
    name
}
