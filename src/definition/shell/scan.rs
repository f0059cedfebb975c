//! Reads a command as shells do, to find where quotes, substitutions and expressions begin and end.
//!
//! Words are passed to `Script`, which judges whole commands.

use super::{
    frame::{DOCUMENT, Document, Frame, Letters, Place, VARIABLE},
    script::{COMPUTE, Redirect, Script},
    word::is_foreign,
};
use crate::definition::expression::Expression;

const UNQUOTE: &str = "remove the quotes: a value becomes one quoted word by itself";
const CONDITION: Place = ("inside `[[ ]]`, where shells compute with it", "write `[ ]` or `case`");
const HASH: Place =
    ("after a `#` that shells read differently", "write a blank or a newline before the `#`, or quote it");
const PARENTHESIS: Place = ("after a parenthesis that shells read differently", VARIABLE);

/// Represents a `)` after which a `#` begins a comment only in some shells.
const UNCLEAR: char = '\0';

#[derive(Default)]
pub(super) struct Scan {
    pub frames: Vec<Frame>,
    /// The last character of plain text; a newline at the beginning, and `x` after part of a word.
    pub last: char,
    /// The preceding letters, to detect `case`.
    word: String,
    pub comment: bool,
    pub escaped: bool,
    /// If set, values are refused from here on: the place, and what to write instead.
    lost: Option<Place>,
    /// If set, from here on it is also unknown which words are quoted.
    astray: Option<Place>,
    /// The text read since then.
    tail: String,
    /// The content of a `${ }`.
    pub braces: String,
    /// Here documents that begin at the next newline.
    pub documents: Vec<Document>,
    pub script: Script,
}

impl Scan {
    pub(super) fn new() -> Scan {
        Scan { last: '\n', script: Script::new(), ..Scan::default() }
    }

    /// Handles a `{{ }}`. Returns the problem if its value could be executed or split.
    pub(super) fn value(&mut self, expression: &Expression) -> Result<(), Place> {
        self.danger().map_or(Ok(()), Err)?;
        // A newline in the value could be taken for the one before the document.
        if !self.documents.is_empty() && is_foreign(expression) {
            return Err(DOCUMENT);
        }
        self.script.value(expression);
        self.last = 'x'; // a value is part of a word
        self.word.clear();
        Ok(())
    }

    /// Ends the scan and returns the commands.
    pub(super) fn end(mut self) -> Script {
        self.end_word();
        if let Some((place, hint)) = self.astray {
            self.script.unreadable(&self.tail, place, hint);
        }
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
        if let Some(Frame::Single | Frame::Double | Frame::Body) = self.frames.last() {
            return Some(("inside quotes", UNQUOTE));
        }
        // The output of a `$( )` inside is also evaluated as arithmetic.
        for frame in self.frames.iter().rev() {
            match frame {
                Frame::Braces(false) => return Some(("inside `${ }`", VARIABLE)),
                Frame::Braces(true) | Frame::Arithmetic(_) => return Some(("in an arithmetic expression", COMPUTE)),
                Frame::Brackets => return Some(("in an arithmetic expression or a subscript (`[`)", COMPUTE)),
                Frame::Condition | Frame::Nested => return Some(CONDITION),
                Frame::Array => return Some(("in an array", VARIABLE)),
                Frame::Pattern => return Some(PARENTHESIS),
                _ => (),
            }
        }
        if self.escaped {
            return Some(("after a backslash", "remove the backslash"));
        }
        (self.last == '$').then_some(("after a `$`", "write `{{ }}` without the `$`"))
    }

    pub(super) fn read(&mut self, text: &str) {
        if self.astray.is_some() {
            self.tail.push(' ');
            self.tail.push_str(text);
        }
        self.read_inner(text);
    }

    /// Reads a text that is the whole command, or part of it.
    pub fn read_inner(&mut self, text: &str) {
        let mut letters = text.chars().peekable();
        while let Some(letter) = letters.next() {
            self.script.computed(self.computes().then_some(letter));
            if letter == '\n' && !self.escaped && !self.documents.is_empty() {
                self.end_comment_and_word();
                self.read_documents(&mut letters);
            }
            if std::mem::take(&mut self.escaped) {
                // A backslash before a newline joins the lines, so the state before it still applies.
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
                Some(Frame::Double | Frame::Body) => self.in_double(letter, &mut letters),
                _ => self.plain(letter, &mut letters),
            }
        }
    }

    /// Whether a shell evaluates the content here as arithmetic, and thus reads the named variables.
    pub fn computes(&self) -> bool {
        self.frames.iter().any(|it| matches!(it, Frame::Arithmetic(_) | Frame::Brackets | Frame::Braces(true)))
    }

    /// Handles a letter that may belong to the current word.
    pub fn literal(&mut self, letter: char, plain: bool) {
        match self.frames.iter().rev().find(|it| !matches!(it, Frame::Single | Frame::Double)) {
            Some(Frame::Braces(_)) => self.braces.push(letter),
            Some(Frame::Arithmetic(_) | Frame::Brackets) => (),
            Some(Frame::Array | Frame::Pattern) => self.script.letter(letter, false),
            _ => self.script.letter(letter, plain),
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
            '`' => self.backquote(rest),
            '$' => self.dollar(rest),
            '"' if self.frames.last() == Some(&Frame::Double) => self.close(),
            _ => self.literal(letter, false),
        }
    }

    fn plain(&mut self, letter: char, rest: &mut Letters<'_>) {
        self.read_word(letter);
        let top = self.frames.last().copied();
        match letter {
            '\\' => return self.escaped = true,
            '\'' if matches!(top, Some(Frame::Braces(_))) => self.quote_in_braces(rest),
            '\'' | '"' => {
                self.script.quoted();
                self.frames.push(if letter == '"' { Frame::Double } else { Frame::Single });
            }
            '`' => return self.backquote(rest),
            '$' => return self.dollar(rest),
            '}' if matches!(top, Some(Frame::Braces(_))) => {
                self.frames.pop();
                let braces = std::mem::take(&mut self.braces);
                if let Some((_, text)) = braces.split_once(['-', '=', '+']) {
                    self.script.otherwise(text);
                }
            }
            _ if matches!(top, Some(Frame::Braces(_))) => self.braces.push(letter),
            '(' if !matches!(top, Some(Frame::Array | Frame::Pattern)) && rest.next_if_eq(&'(').is_some() => {
                let inner =
                    matches!(top, Some(Frame::Condition | Frame::Nested | Frame::Arithmetic(_) | Frame::Brackets));
                self.arithmetic(!inner);
            }
            '(' => self.open(rest),
            ')' => return self.last = self.close_parenthesis(),
            _ if top == Some(Frame::Pattern) => self.literal(letter, false),
            '[' if top == Some(Frame::Brackets) || self.script.is_name() || self.at_element(rest) => {
                self.literal('[', true);
                self.frames.push(Frame::Brackets);
            }
            ']' if top == Some(Frame::Brackets) => {
                self.frames.pop();
                self.literal(']', true);
            }
            _ if matches!(top, Some(Frame::Arithmetic(_) | Frame::Brackets)) => (),
            '#' if " \t\n;&|()".contains(self.last) => self.comment = true,
            '#' if self.last == UNCLEAR || self.last.is_whitespace() => self.stray(rest, HASH),
            '\n' if top == Some(Frame::Array) => self.literal(' ', false),
            _ if top == Some(Frame::Array) => self.literal(letter, false),
            '<' | '>' => self.redirect(letter, rest),
            ' ' | '\t' => self.end_word(),
            '\n' | ';' | '|' | '&' => self.separate(letter, rest),
            _ => self.literal(letter, true),
        }
        self.last = letter;
    }

    /// Whether an element of `x=( )` begins here. It can begin with its subscript.
    fn at_element(&self, rest: &Letters<'_>) -> bool {
        let mut behind = rest.clone().skip_while(|it| *it != ']').skip(1);
        self.frames.last() == Some(&Frame::Array)
            && " \t\n(".contains(self.last)
            && behind.next().is_none_or(|it| matches!(it, '=' | '+' | ']'))
    }

    /// Separates two commands, except inside `[[ ]]` and `x=( )`.
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

    pub fn end_word(&mut self) {
        let in_condition = self.frames.last() == Some(&Frame::Condition);
        let word = self.script.end_word().map(str::to_string);
        match word.as_deref() {
            Some("[[") if !in_condition && self.script.at_head() => self.frames.push(Frame::Condition),
            Some("]]") if in_condition => {
                self.frames.pop();
                self.script.end_condition();
            }
            Some("case") if self.script.at_head() => self.frames.push(Frame::Case),
            Some("esac") if self.frames.last() == Some(&Frame::Case) && self.script.before_head() => {
                _ = self.frames.pop()
            }
            _ => (),
        }
    }

    fn end_comment_and_word(&mut self) {
        self.comment = false;
        if !matches!(self.frames.last(), Some(Frame::Single | Frame::Double | Frame::Body)) {
            self.end_word();
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
                match rest.next_if_eq(&'<') {
                    Some(_) => {
                        self.lose(DOCUMENT);
                        self.script.redirect(Redirect::Text);
                    }
                    None => self.document(rest),
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

    /// A single `(`.
    fn open(&mut self, rest: &mut Letters<'_>) {
        match self.frames.last() {
            Some(Frame::Condition | Frame::Nested) => self.frames.push(Frame::Nested),
            Some(Frame::Arithmetic(_) | Frame::Brackets) => self.frames.push(Frame::Arithmetic(false)),
            Some(Frame::Array) => self.frames.push(Frame::Array),
            Some(Frame::Pattern) => self.frames.push(Frame::Pattern),
            _ if self.script.is_assignment() => {
                self.script.array();
                self.frames.push(Frame::Array);
            }
            _ if self.script.is_pattern() => {
                self.lose(PARENTHESIS);
                self.frames.push(Frame::Pattern);
            }
            _ => {
                // A function name comes before `()`. Anything else there is a pattern in some shell. Without a name,
                // zsh runs the function with the words after its body.
                match rest.peek() {
                    Some(')') if self.script.is_argument() => self.script.define(),
                    Some(')') => self.stray(rest, PARENTHESIS),
                    _ if self.script.is_argument() => self.stray(rest, PARENTHESIS),
                    _ => (),
                }
                self.script.end_command(false);
                self.script.open_list();
                self.frames.push(Frame::Group);
            }
        }
    }

    /// Returns how the parenthesis affects a following `#`: as an operator, as part of a word, or differently in
    /// different shells.
    fn close_parenthesis(&mut self) -> char {
        let computes =
            matches!(self.frames.last(), Some(Frame::Arithmetic(_) | Frame::Brackets | Frame::Array | Frame::Pattern));
        if !computes {
            self.end_word();
        }
        match self.frames.last() {
            Some(Frame::Group) => {
                self.script.close_list(false, false, false);
                self.frames.pop();
                ')'
            }
            Some(Frame::Substitution) => {
                self.frames.pop();
                let computes = self.computes();
                let spreads = !matches!(self.frames.last(), Some(Frame::Double | Frame::Body));
                self.script.close_list(true, spreads, computes);
                'x'
            }
            Some(Frame::Arithmetic(is_command)) => {
                let is_command = *is_command;
                self.frames.pop();
                if is_command {
                    self.script.end_command(false);
                }
                UNCLEAR
            }
            Some(Frame::Nested | Frame::Array | Frame::Pattern) => {
                self.frames.pop();
                UNCLEAR
            }
            // The end of a pattern of `case`.
            None | Some(Frame::Case) => {
                self.script.end_command(false);
                ')'
            }
            _ => UNCLEAR,
        }
    }

    /// The patterns of a `case` end with a `)` that closes nothing, so inside `( )` the scanner would lose track.
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

    pub fn lose(&mut self, why: Place) {
        self.lost.get_or_insert(why);
    }

    /// Shells read the rest differently, so values named there are refused as well.
    pub fn stray(&mut self, rest: &Letters<'_>, why: Place) {
        self.lose(why);
        self.astray.get_or_insert(why);
        self.tail.push(' ');
        self.tail.extend(rest.clone());
    }

    /// Reads a nested text, which must end in the frame in which it began.
    pub fn nest(&mut self, frame: Frame, text: &str, rest: &Letters<'_>, why: Place) {
        let (depth, astray) = (self.frames.len(), self.astray.is_some());
        self.frames.push(frame);
        self.read_inner(text);
        self.end_comment_and_word();
        let ends = self.frames.len() == depth + 1 && self.frames.last() == Some(&frame) && !self.escaped;
        self.escaped = false;
        if !ends || (self.astray.is_some() && !astray) {
            self.stray(rest, why);
            self.tail.push_str(text);
        }
        if self.frames.len() > depth && frame == Frame::Substitution {
            self.frames.truncate(depth + 1);
            self.close_parenthesis();
        }
        self.frames.truncate(depth);
    }
}
