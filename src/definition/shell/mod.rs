//! The quoting of values in shell commands, and the places where no quoting can be safe.
//!
//! A value becomes a word in single quotes. That is one word, and nothing in it is executed, exactly where a word may
//! begin or go on in plain shell text. `check` refuses every other place: inside quotes, comments, backquotes, here
//! documents, `${}` and arithmetic, and after a `\` or `$` that would change the meaning of our first quote.

use super::template::{Part, Template};

/// One shell word that stands for exactly this text, for every POSIX shell.
pub fn quote(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

/// Where the scanner is. Frames nest: `"$( "..." )"`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Frame {
    Single,
    Double,
    /// `${`
    Braces,
    /// `$[`
    Brackets,
    /// `$((` and `((`, one frame for each parenthesis
    Arithmetic,
    /// `$(`
    Substitution,
    /// A plain `(`
    Group,
}

/// Refuses a command in which a `{{ }}` stands where its value could be executed or split; says what would be right.
pub fn check(command: &Template) -> Result<(), (String, &'static str)> {
    let mut scan = Scan::default();
    for part in command.parts() {
        match part {
            Part::Text(text) => scan.read(text),
            Part::Expression(expression) => {
                if let Some((place, hint)) = scan.danger() {
                    return Err((format!("`{{{{ {expression} }}}}` stands {place}"), hint));
                }
                scan.last = 'x'; // a value is part of a word
                scan.word.clear();
            }
        }
    }
    Ok(())
}

const UNQUOTE: &str = "leave the quotes away: a value becomes one quoted word by itself";
const VARIABLE: &str = "pass the value in a variable (`env: { NAME: \"{{ ... }}\" }`) and use \"$NAME\"";

const BACKQUOTE: (&str, &str) = ("after a backquote", "write $( ) instead of backquotes");

struct Scan {
    frames: Vec<Frame>,
    /// The last character of plain text; a newline at the beginning.
    last: char,
    word: String,
    comment: bool,
    escaped: bool,
    /// From here on shells differ or the scanner could lose its place: where, and what to write instead.
    lost: Option<(&'static str, &'static str)>,
}

type Letters<'t> = std::iter::Peekable<std::str::Chars<'t>>;

impl Default for Scan {
    fn default() -> Scan {
        Scan { frames: Vec::new(), last: '\n', word: String::new(), comment: false, escaped: false, lost: None }
    }
}

impl Scan {
    fn danger(&self) -> Option<(&'static str, &'static str)> {
        if self.lost.is_some() {
            return self.lost;
        }
        if self.comment {
            return Some(("in a comment", "leave it away: a value with a newline would end the comment"));
        }
        match self.frames.last() {
            Some(Frame::Single | Frame::Double) => return Some(("inside quotes", UNQUOTE)),
            Some(Frame::Braces) => return Some(("inside `${ }`", VARIABLE)),
            Some(Frame::Arithmetic | Frame::Brackets) => return Some(("in an arithmetic expression", VARIABLE)),
            _ => (),
        }
        if self.escaped {
            return Some(("after a backslash", "leave the backslash away"));
        }
        (self.last == '$').then_some(("after a `$`", "write `{{ }}` without the `$`"))
    }

    fn read(&mut self, text: &str) {
        let mut letters = text.chars().peekable();
        while let Some(letter) = letters.next() {
            if std::mem::take(&mut self.escaped) {
                // A backslash before a newline joins the lines: what came before it still counts.
                self.last = if letter == '\n' { self.last } else { 'x' };
                continue;
            }
            match self.frames.last() {
                _ if self.comment => {
                    self.comment = letter != '\n';
                    self.last = letter;
                }
                Some(Frame::Single) => self.close_on(letter, '\''),
                Some(Frame::Double) => self.in_double(letter, &mut letters),
                _ => self.plain(letter, &mut letters),
            }
        }
    }

    fn close_on(&mut self, letter: char, end: char) {
        if letter == end {
            self.frames.pop();
            self.last = 'x';
        }
    }

    fn in_double(&mut self, letter: char, rest: &mut Letters<'_>) {
        match letter {
            '\\' => self.escaped = true,
            '`' => self.lose(BACKQUOTE),
            '$' => self.dollar(rest),
            _ => self.close_on(letter, '"'),
        }
    }

    fn plain(&mut self, letter: char, rest: &mut Letters<'_>) {
        self.read_word(letter);
        let top = self.frames.last().copied();
        match letter {
            '\\' => return self.escaped = true,
            '\'' if top == Some(Frame::Braces) => self.lose(("after a quote inside `${ }`", VARIABLE)),
            '\'' => self.frames.push(Frame::Single),
            '"' => self.frames.push(Frame::Double),
            '`' => self.lose(BACKQUOTE),
            '$' => return self.dollar(rest),
            '(' if rest.next_if_eq(&'(').is_some() => self.arithmetic(),
            '(' => self.frames.push(Frame::Group),
            ')' if matches!(top, Some(Frame::Group | Frame::Substitution | Frame::Arithmetic)) => _ = self.frames.pop(),
            '}' if top == Some(Frame::Braces) => _ = self.frames.pop(),
            ']' if top == Some(Frame::Brackets) => _ = self.frames.pop(),
            '<' if top != Some(Frame::Arithmetic) && rest.next_if_eq(&'<').is_some() => {
                self.lose(("after a here document (`<<`)", VARIABLE));
            }
            '#' if matches!(top, None | Some(Frame::Group | Frame::Substitution)) => {
                self.comment = self.last.is_whitespace() || ";&|()".contains(self.last);
            }
            _ => (),
        }
        self.last = letter;
    }

    /// The patterns of a `case` end in a `)` that closes nothing, so inside `$( )` the scanner would lose its place.
    fn read_word(&mut self, letter: char) {
        if letter.is_ascii_alphabetic() {
            return self.word.push(letter);
        }
        if self.word == "case" && self.frames.contains(&Frame::Substitution) {
            self.lose(("after a `case` inside `$( )`", VARIABLE));
        }
        self.word.clear();
    }

    /// What follows a `$`, in plain text and in double quotes.
    fn dollar(&mut self, rest: &mut Letters<'_>) {
        self.last = '$';
        let quoted = self.frames.last() == Some(&Frame::Double);
        match rest.peek() {
            Some('\'') if !quoted => self.lose(("after `$'`", "write the quotes without the `$`")),
            // `$$(` is the process id and a parenthesis.
            Some('$' | '#' | '?' | '!' | '@' | '*' | '-') => {
                rest.next();
                self.last = 'x';
            }
            Some('{') => self.open(Frame::Braces, rest),
            Some('[') => self.open(Frame::Brackets, rest),
            Some('(') => {
                rest.next();
                self.last = '(';
                match rest.next_if_eq(&'(') {
                    Some(_) => self.arithmetic(),
                    None => self.frames.push(Frame::Substitution),
                }
            }
            _ => (),
        }
    }

    fn open(&mut self, frame: Frame, rest: &mut Letters<'_>) {
        self.last = rest.next().unwrap_or('$');
        self.frames.push(frame);
    }

    /// Two parentheses open, so that two close.
    fn arithmetic(&mut self) {
        self.frames.extend([Frame::Arithmetic, Frame::Arithmetic]);
    }

    fn lose(&mut self, why: (&'static str, &'static str)) {
        self.lost.get_or_insert(why);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(command: &str) -> Option<String> {
        check(&Template::parse(command).unwrap()).err().map(|(message, _)| message)
    }

    #[test]
    fn plain_places_are_allowed() {
        for command in [
            "echo {{ item }}",
            "sort -u < {{ out }}/data.csv > {{ out }}/clean.csv",
            "a=$(cat {{ out }}) && echo \"$a\" {{ item }}",
            "echo \"$(cat {{ out }}/x)\" {{ item }}",
            "echo 'it is' {{ item }} \"so\"{{ item }}",
            "echo \\' {{ item }}",
            "echo \"a\\\"b\" {{ item }}",
            "echo ${HOME} {{ item }} $((1 + 2)) {{ item }}",
            "echo a#b {{ item }} # it's done\necho {{ item }}",
            "(cd {{ out }}; ls) | wc; f() { echo {{ item }}; }",
            "case {{ item }} in a) echo {{ item }};; esac",
            "echo ${x#y} ${#x} {{ item }} $((1 << 2)) {{ item }}",
            "docker ps --format {{ '{{.Names}}' }}",
        ] {
            assert_eq!(refused(command), None, "{command}");
        }
    }

    #[test]
    fn dangerous_places_are_refused() {
        for (command, place) in [
            ("echo \"{{ item }}\"", "inside quotes"),
            ("echo '{{ item }}'", "inside quotes"),
            ("echo \"a $(echo \"{{ item }}\")\"", "inside quotes"),
            ("echo \"$(date) {{ item }}\"", "inside quotes"),
            ("echo \"$$(({{ item }}\"", "inside quotes"),
            ("echo ${X:-{{ item }}}", "inside `${ }`"),
            ("echo $(( {{ item }} + 1 ))", "arithmetic"),
            ("(( {{ item }} ))", "arithmetic"),
            ("echo $[ {{ item }} ]", "arithmetic"),
            ("echo `cat {{ item }}`", "backquote"),
            ("echo \"`cat {{ item }}`\"", "backquote"),
            ("cat <<EOF\n{{ item }}\nEOF", "here document"),
            ("true # {{ item }}", "comment"),
            ("# it's {{ item }}", "comment"),
            ("echo \\{{ item }}", "backslash"),
            ("echo ${{ item }}", "after a `$`"),
            ("echo $'it\\'s' {{ item }}", "after `$'`"),
            ("echo \"${x:-'}\" '} \" {{ item }} \"'", "a quote inside"),
            ("echo \\\n# it's {{ item }}", "comment"),
            ("echo $((a[1] + b[2] + {{ item }}))", "arithmetic"),
            ("echo \"$(case x in x) echo \"{{ item }}\";; esac)\"", "`case`"),
        ] {
            let refused = refused(command).unwrap_or_else(|| panic!("{command} was let pass"));
            assert!(refused.contains(place), "{command}: {refused}");
        }
    }
}
