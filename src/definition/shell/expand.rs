//! Expansions: `$`, backquotes, and here documents, which shells read separately from the surrounding text.

use super::{
    frame::{DOCUMENT, Document, Frame, Letters, Place, VARIABLE},
    scan::Scan,
    script::Redirect,
    word::{Content, names_in},
};

const BACKQUOTE: Place = ("after a backquote", "write $( ) instead of backquotes");
const QUOTE: Place = ("after a quote inside `${ }`", VARIABLE);
const DOLLAR: Place = ("after `$'`", "write the quotes without the `$`");

impl Scan {
    /// An expansion that starts with `$`, in plain text or in double quotes.
    pub fn dollar(&mut self, rest: &mut Letters<'_>) {
        self.last = '$';
        let quoted = matches!(self.frames.last(), Some(Frame::Double | Frame::Body));
        let Some(&next) = rest.peek() else { return };
        match next {
            '\'' if !quoted => self.dollar_quote(rest),
            '{' => {
                let many = rest.clone().take_while(|it| *it != '}').any(|it| it == '@');
                self.braces(rest);
                if many || !quoted {
                    self.script.spread();
                }
            }
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
                    Some(_) => self.arithmetic(false),
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
                if next == '@' || !quoted {
                    self.script.spread();
                }
            }
            _ => {
                let name = name_of(rest);
                if !name.is_empty() {
                    self.last = 'x';
                    self.named(&name);
                    if !quoted {
                        self.script.spread();
                    }
                }
            }
        }
    }

    /// The value of a variable is inserted here.
    pub fn named(&mut self, name: &str) {
        self.script.expansion(Some(name));
        if self.computes() {
            self.script.computed_with(name);
        }
    }

    /// `${`: the variable it names, and whether the shell does arithmetic or indirection in it.
    fn braces(&mut self, rest: &mut Letters<'_>) {
        rest.next();
        self.last = '{';
        if counted(rest) {
            return self.script.expansion(None);
        }
        let mut ahead = rest.clone();
        let through = ahead.next_if(|it| matches!(it, '!' | '(')).is_some();
        ahead.next_if_eq(&'#');
        let name = match ahead.next_if(|it| matches!(it, '@' | '*' | '0'..='9')) {
            Some(_) => "@".to_string(),
            None => name_of(&mut ahead),
        };
        let after = ahead.next();
        // Listing the keys of an array is not indirection.
        let is_keys = through && after == Some('[') && matches!(ahead.peek(), Some('@' | '*'));
        let through = through && !is_keys;
        let computes = through
            || (!is_keys && matches!(after, Some('[' | '@')))
            || (after == Some(':') && !matches!(ahead.peek(), Some('-' | '+' | '=' | '?')));
        let assigns = after == Some('=') || (after == Some(':') && ahead.peek() == Some(&'='));
        self.script.expansion(Some(&name));
        let text: String = ahead.take_while(|it| *it != '}').collect();
        if assigns && text.contains('$') {
            let mut content = Content::of("@");
            content.names.extend(names_in(&text));
            self.script.sets(&name, content);
        }
        self.script.shifts |= name == "@" && after == Some(':');
        if through {
            // It can be any word, so assume the worst.
            self.script.otherwise("eval");
        }
        if through || after == Some('@') || self.computes() {
            self.script.computed_with(&name);
        }
        if !through && after != Some('@') && computes {
            // The variable itself is not evaluated as arithmetic, only the offset or subscript.
            name.chars().for_each(|_| _ = rest.next());
        }
        self.frames.push(Frame::Braces(computes));
    }

    pub fn substitution(&mut self) {
        self.script.open_list();
        self.frames.push(Frame::Substitution);
    }

    /// Two parentheses open, so two must close.
    pub fn arithmetic(&mut self, is_command: bool) {
        self.frames.extend([Frame::Arithmetic(is_command), Frame::Arithmetic(false)]);
    }

    /// `$'`: if it contains a backslash, shells without this syntax end it elsewhere.
    fn dollar_quote(&mut self, rest: &mut Letters<'_>) {
        rest.next();
        self.lose(DOLLAR);
        self.script.quoted();
        while let Some(letter) = rest.next() {
            match letter {
                '\'' => return self.last = 'x',
                '\\' => {
                    if rest.next_if_eq(&'\'').is_some() {
                        self.stray(rest, DOLLAR);
                    }
                    self.script.expansion(None);
                }
                _ => self.literal(letter, false),
            }
        }
    }

    /// A `'` in `${ }`. Between double quotes, some shells read it as a letter and others as a quote.
    pub fn quote_in_braces(&mut self, rest: &mut Letters<'_>) {
        self.lose(QUOTE);
        if !self.frames.iter().any(|it| matches!(it, Frame::Double | Frame::Body)) {
            return self.frames.push(Frame::Single);
        }
        let mut ahead = rest.clone();
        match ahead.find(|it| "'}\"\\$`".contains(*it)) {
            Some('\'') => *rest = ahead,
            _ => self.stray(rest, QUOTE),
        }
    }

    /// Commands in backquotes, which a shell parses after removing their backslashes.
    pub fn backquote(&mut self, rest: &mut Letters<'_>) {
        self.lose(BACKQUOTE);
        let quoted = self.frames.iter().any(|it| matches!(it, Frame::Double | Frame::Body));
        let mut text = String::new();
        loop {
            match rest.next() {
                Some('`') => break,
                Some('\\') => match rest.next_if(|it| "`\\$".contains(*it)) {
                    Some(letter) => text.push(letter),
                    None => {
                        if quoted && rest.peek() == Some(&'"') {
                            self.stray(rest, BACKQUOTE);
                        }
                        text.push('\\');
                    }
                },
                Some(letter) => text.push(letter),
                None => {
                    self.stray(&text.chars().peekable(), BACKQUOTE);
                    break;
                }
            }
        }
        self.script.expansion(None);
        self.script.open_list();
        self.last = '\n';
        self.nest(Frame::Substitution, &text, rest, BACKQUOTE);
        self.last = 'x';
    }

    /// `<<`: the document begins after this line.
    pub fn document(&mut self, rest: &mut Letters<'_>) {
        let strips = rest.next_if_eq(&'-').is_some();
        let blanks = |it: &char| matches!(it, ' ' | '\t');
        while rest.next_if(blanks).is_some() {}
        let (mut end, mut is_quoted, mut is_clear) = (String::new(), false, true);
        while let Some(letter) = rest.next_if(|it| !" \t\n;|&<>()".contains(*it)) {
            match letter {
                '\'' | '"' => {
                    is_quoted = true;
                    end.extend(rest.by_ref().take_while(|it| *it != letter));
                }
                '\\' => {
                    is_quoted = true;
                    end.extend(rest.next());
                }
                _ => end.push(letter),
            }
            is_clear &= !"$`".contains(letter);
        }
        if end.is_empty() || !is_clear || end.contains(['\n', '\\', '$', '`']) {
            return self.stray(rest, DOCUMENT);
        }
        if !end.bytes().all(|it| it.is_ascii_alphanumeric() || it == b'_') {
            self.lose(DOCUMENT);
        }
        self.documents.push(Document { end, is_quoted, strips, depth: self.frames.len() });
    }

    /// Reads the here documents after the newline that starts them.
    pub fn read_documents(&mut self, rest: &mut Letters<'_>) {
        for document in std::mem::take(&mut self.documents) {
            let begins = match self.frames.last() {
                None | Some(Frame::Substitution | Frame::Group | Frame::Case) => self.frames.len() == document.depth,
                _ => false,
            };
            if !begins {
                return self.stray(rest, DOCUMENT);
            }
            self.comment = false;
            self.end_word();
            let text = self.document_text(&document, rest);
            self.script.redirect(Redirect::Text);
            self.script.quoted();
            match document.is_quoted {
                true => text.chars().for_each(|it| self.literal(it, false)),
                false => self.nest(Frame::Body, &text, rest, DOCUMENT),
            }
            self.script.end_word();
            self.last = '\n';
        }
    }

    fn document_text(&mut self, document: &Document, rest: &mut Letters<'_>) -> String {
        let mut text = String::new();
        loop {
            let mut line = String::new();
            let is_whole = loop {
                match rest.next() {
                    Some('\n') => break true,
                    Some(letter) => line.push(letter),
                    None => break false,
                }
            };
            let bare = if document.strips { line.trim_start_matches('\t') } else { &line };
            let is_end = bare == document.end;
            let is_joined = !document.is_quoted && text.ends_with("\\\n");
            if is_end && is_joined {
                self.stray(rest, DOCUMENT);
            }
            if is_end || !is_whole {
                // A value could come directly after the text.
                match (is_end, is_whole) {
                    (true, true) => (),
                    (true, false) => self.lose(DOCUMENT),
                    _ => self.stray(&line.chars().peekable(), DOCUMENT),
                }
                if !is_end {
                    text.push_str(bare);
                }
                return text;
            }
            text.push_str(bare);
            text.push('\n');
        }
    }
}

/// Reads the rest of a `${ }` whose result is always a number: a length, or what is left after everything but digits is
/// removed.
fn counted(rest: &mut Letters<'_>) -> bool {
    let mut ahead = rest.clone();
    let is_length = ahead.next_if_eq(&'#').is_some();
    let named = !name_of(&mut ahead).is_empty();
    let behind: String = ahead.by_ref().take_while(|it| *it != '}').collect();
    let is_number = match behind.as_str() {
        "" => is_length,
        "//[^0-9]/" | "//[!0-9]/" | "//[^0-9]" | "//[!0-9]" => !is_length,
        "//[^[:digit:]]/" | "//[![:digit:]]/" => !is_length,
        _ => false,
    };
    if named && is_number {
        *rest = ahead;
    }
    named && is_number
}

/// Reads the name of a variable, if there is one.
fn name_of(rest: &mut Letters<'_>) -> String {
    let mut name = String::new();
    while let Some(letter) = rest.next_if(|it| it.is_ascii_alphanumeric() || *it == '_') {
        name.push(letter);
    }
    name
}
