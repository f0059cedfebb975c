//! What a step seems to read: the words of its templates that can name files.

use super::{
    expression::Expression,
    template::{Part, Template},
    workflow::{Action, Command, StepDefinition, texts},
};

impl StepDefinition {
    /// The words of its command, its `with:` and its variables, each a template of its own. What it writes to is left out.
    pub fn words(&self) -> Vec<Template> {
        let mut found = Vec::new();
        match &self.action {
            Action::Run(Command::Shell(template)) => found.extend(shell_words(template)),
            Action::Run(Command::Argv(words)) => found.extend(words.iter().cloned()),
            Action::Worker { .. } => found.push(item()),
            Action::Uses(_) => (),
        }
        if found.iter().any(|it| it.source().contains("WINDLASS_ITEM")) {
            found.push(item());
        }
        found.extend(self.env.values().flatten().cloned());
        // What can't be read was refused when the file was.
        let _ = texts(&self.with, &mut found);
        found
    }
}

fn item() -> Template {
    Template::of(vec![Part::Expression(Expression::Item(Vec::new()))])
}

/// The words of a shell command, roughly: quotes are taken away, operators divide.
fn shell_words(command: &Template) -> Vec<Template> {
    let mut words = Vec::new();
    let mut word: Vec<Part> = Vec::new();
    let mut text = String::new();
    let mut written = false;
    let mut end = |word: &mut Vec<Part>, text: &mut String, written: &mut bool| {
        if !text.is_empty() {
            word.push(Part::Text(std::mem::take(text)));
        }
        if !word.is_empty() {
            let word = Template::of(std::mem::take(word));
            if !std::mem::take(written) {
                words.push(word);
            }
        }
    };
    for part in command.parts() {
        match part {
            Part::Expression(expression) => {
                if !text.is_empty() {
                    word.push(Part::Text(std::mem::take(&mut text)));
                }
                word.push(Part::Expression(expression.clone()));
            }
            Part::Text(plain) => {
                for letter in plain.chars() {
                    match letter {
                        '\'' | '"' | '\\' => (),
                        '>' => {
                            end(&mut word, &mut text, &mut written);
                            written = true;
                        }
                        _ if letter.is_whitespace() || "<;&|()`=".contains(letter) => {
                            end(&mut word, &mut text, &mut written);
                            written &= letter.is_whitespace() || letter == '&';
                        }
                        _ => text.push(letter),
                    }
                }
            }
        }
    }
    end(&mut word, &mut text, &mut written);
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_words_of_a_command_are_what_it_can_read() {
        let command =
            "python3 model.py --in={{ item }} 'data/'{{ item.x }}.csv <names >> out.txt 2>{{ out }}/log; cat b";
        let command = Template::parse(command).unwrap();
        let words: Vec<String> = shell_words(&command).iter().map(|it| it.source().to_string()).collect();
        assert_eq!(
            words,
            ["python3", "model.py", "--in", "{{ item }}", "data/{{ item.x }}.csv", "names", "2", "cat", "b"]
        );
    }
}
