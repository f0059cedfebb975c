//! Quotes values in shell commands, and finds the places where quoting can't be safe.
//!
//! A value becomes a word in single quotes. It stays one word, and nothing in it is executed, only in plain shell text
//! where a word may begin or continue, and only if the command does not evaluate its words a second time. `check`
//! refuses every other place: `scan` knows quotes, comments, here documents and expressions, and `judge` knows the
//! commands that evaluate.

mod environment;
mod expand;
mod follow;
mod frame;
mod interpreters;
mod judge;
mod options;
mod prints;
mod programs;
mod scan;
mod script;
mod word;
mod xargs;

pub(super) use environment::{Danger, danger};
pub(super) use word::is_foreign;

use super::template::{Part, Template};
use follow::Held;
use scan::Scan;
use script::Script;
use word::Word;

/// The problem, and a suggestion.
pub type Problem = (String, &'static str);

/// Refuses a command in which a value could be executed or split, and suggests a correction.
///
/// `variables` are those in the command's `env:` that contain values.
pub fn check(command: &Template, variables: &[&str]) -> Result<(), Problem> {
    let mut scan = Scan::new();
    for part in command.parts() {
        match part {
            Part::Text(text) => scan.read(text),
            Part::Expression(expression) => scan
                .value(expression)
                .map_err(|(place, hint)| (format!("`{{{{ {expression} }}}}` is {place}"), hint))?,
        }
    }
    verdict(scan.end(), variables)
}

/// Refuses a list in which a value is part of a shell text, as in `[sh, -c, "cp {{ item }} /x"]`.
pub fn check_list(words: &[Template], variables: &[&str]) -> Result<(), Problem> {
    let words: Vec<Word> = words.iter().map(Word::of_template).collect();
    let mut script = Script::new();
    if !words.is_empty() {
        script.interpreted(&words);
        script.programmed(&words);
    }
    verdict(script, variables)
}

fn verdict(mut script: Script, variables: &[&str]) -> Result<(), Problem> {
    script.settle(0);
    let [certain, possible] = [false, true].map(|guess| Held::new(&script, variables, guess));
    for it in &script.uses {
        let held = if it.code { &certain } else { &possible };
        if let Some(what) = held.named(&it.content, it.params) {
            return Err((format!("{what} is {}", it.place), it.hint));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
