//! The files that a step seems to read, by the words of its templates.

use super::{
    expression::Expression,
    template::{Part, Template},
    templates::texts,
    workflow::{Action, Command, StepDefinition},
};

impl StepDefinition {
    /// The words of its command, its `with:` and its variables, each as a template. Files that the command writes to
    /// are left out.
    pub fn words(&self) -> Vec<Named> {
        let mut found = Vec::new();
        match &self.action {
            Action::Run(Command::Shell(template)) => found.extend(shell_words(template)),
            Action::Run(Command::Argv(words)) => {
                let named = |(at, it): (usize, &Template)| Named { word: it.clone(), is_program: at == 0 };
                found.extend(words.iter().enumerate().map(named));
            }
            Action::Worker { .. } => found.push(Named::of(item())),
            Action::Uses(_) | Action::Wait(_) | Action::Children(_) => (),
        }
        if found.iter().any(|it| it.word.source().contains("WINDLASS_ITEM")) {
            found.push(Named::of(item()));
        }
        let mut others: Vec<Template> = self.env.values().flatten().cloned().collect();
        // An unreadable template would already have been refused in the file.
        let _ = texts(&self.with, &mut others);
        found.extend(others.into_iter().map(Named::of));
        found
    }
}

/// A word that may name a file.
pub struct Named {
    pub word: Template,
    /// Whether it is the first word of a command.
    pub is_program: bool,
}

impl Named {
    fn of(word: Template) -> Named {
        Named { word, is_program: false }
    }
}

fn item() -> Template {
    Template::of(vec![Part::Expression(Expression::Item(Vec::new()))])
}

/// An approximate split of a shell command into words: quotes are removed and operators separate words.
fn shell_words(command: &Template) -> Vec<Named> {
    let mut words = Words { begins: true, ..Words::default() };
    for part in command.parts() {
        match part {
            Part::Expression(expression) => {
                words.end_text();
                words.word.push(Part::Expression(expression.clone()));
            }
            Part::Text(plain) => plain.chars().for_each(|it| words.letter(it)),
        }
    }
    words.end('\n');
    words.found
}

#[derive(Default)]
struct Words {
    found: Vec<Named>,
    word: Vec<Part>,
    text: String,
    /// The word is the target of a `>`.
    written: bool,
    /// The word is the source of a `<`.
    read: bool,
    /// The word is the first of a command, or follows only words that may precede a command.
    begins: bool,
    /// The word is the value of an assignment.
    assigned: bool,
}

impl Words {
    fn letter(&mut self, letter: char) {
        match letter {
            '\'' | '"' | '\\' => (),
            '>' => {
                self.end(letter);
                self.written = true;
            }
            _ if letter.is_whitespace() || "<;&|()`=".contains(letter) => {
                self.end(letter);
                self.written &= letter.is_whitespace() || letter == '&';
            }
            _ => self.text.push(letter),
        }
    }

    fn end_text(&mut self) {
        if !self.text.is_empty() {
            self.word.push(Part::Text(std::mem::take(&mut self.text)));
        }
    }

    /// Ends a word at this letter.
    fn end(&mut self, letter: char) {
        const BEFORE: &[&str] = &[
            "!", "{", "command", "do", "elif", "else", "env", "exec", "if", "nohup", "then", "time", "until", "while",
        ];
        self.end_text();
        if !self.word.is_empty() {
            let word = Template::of(std::mem::take(&mut self.word));
            let aside = self.written || self.read;
            let is_before = self.assigned || letter == '=' || BEFORE.contains(&word.source());
            let is_program = self.begins && !aside && !is_before;
            self.begins &= aside || is_before;
            if !self.written {
                self.found.push(Named { word, is_program });
            }
            (self.written, self.read) = (false, false);
        }
        self.assigned = letter == '=' && self.begins;
        match letter {
            '<' => self.read = true,
            ';' | '|' | '(' | '`' | '\n' => (self.begins, self.read) = (true, false),
            // Not the `&` of `>&`.
            '&' if !self.written => (self.begins, self.read) = (true, false),
            _ => (),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_words_of_a_command_are_what_it_can_read() {
        let command =
            "python3 model.py --in={{ item }} 'data/'{{ item.x }}.csv <names >> out.txt 2>{{ out }}/log; cat b";
        let command = Template::parse(command).unwrap();
        let words = shell_words(&command);
        let texts: Vec<&str> = words.iter().map(|it| it.word.source()).collect();
        assert_eq!(
            texts,
            ["python3", "model.py", "--in", "{{ item }}", "data/{{ item.x }}.csv", "names", "2", "cat", "b"]
        );
    }

    #[test]
    fn the_words_where_commands_begin_are_programs() {
        for (command, programs) in [
            ("/a/x /b; /c | /d && /e", &["/a/x", "/c", "/d", "/e"][..]),
            ("A=/b /c /d; if ! /e < /f; then /g; fi", &["/c", "/e", "/g", "fi"]),
            ("< /a /b 2>&1 /c\n/d > /e /f", &["/b", "/d"]),
            ("x=$(/a /b); (/c)", &["/a", "/c"]),
        ] {
            let words = shell_words(&Template::parse(command).unwrap());
            let found: Vec<&str> = words.iter().filter(|it| it.is_program).map(|it| it.word.source()).collect();
            assert_eq!(found, programs, "{command}");
        }
    }
}
