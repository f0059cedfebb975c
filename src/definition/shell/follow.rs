//! Where values go: from variable to variable, into names of commands, and into texts that are run later.

use super::{
    scan::Scan,
    script::{Content, PRINTED, READ, RETURNED, SPOT, Script, Word, names_in},
};
use std::collections::{BTreeMap, BTreeSet};

/// Variables of every command that hold what others chose.
const OURS: [&str; 3] = ["WINDLASS_ITEM", "WINDLASS_PARAMS", "WINDLASS_INPUTS"];

/// So many readings of one word are looked at, and texts in texts this deep.
const READINGS: usize = 32;
const DEEPEST: usize = 3;

/// Where the content of a variable comes from.
#[derive(Debug, Clone)]
enum Origin {
    /// The value's expression, if it is in the command.
    Value(String),
    Outside,
    /// It was printed by a program that could see values.
    Printed,
}

/// The variables that can hold a value.
pub(super) struct Held(BTreeMap<String, Origin>);

impl Held {
    /// `guess` counts what is only possible: that a program prints what it sees, that a text is the name of a variable.
    pub(super) fn new(script: &Script, variables: &[&str], guess: bool) -> Held {
        let roots = OURS.iter().chain(variables);
        let mut held: BTreeMap<String, Origin> = roots.map(|it| (it.to_string(), Origin::Outside)).collect();
        if guess {
            held.insert(PRINTED.into(), Origin::Printed);
        }
        loop {
            let before = held.len();
            for flow in script.flows.iter() {
                if held.contains_key(&flow.name) {
                    continue;
                }
                let content = &flow.content;
                let through = || content.names.iter().find_map(|it| held.get(it)).cloned();
                let named = || content.texts.iter().flat_map(|it| names_in(it)).find_map(|it| held.get(&it)).cloned();
                let value = content.values.first().map(|it| Origin::Value(it.clone()));
                let origin = value.or_else(through).or_else(|| if guess { named() } else { None });
                if let Some(origin) = origin {
                    held.insert(flow.name.clone(), origin);
                }
            }
            if held.len() == before {
                return Held(held);
            }
        }
    }

    /// The value in this content, or the variable that holds one, for people.
    pub(super) fn named(&self, content: &Content) -> Option<String> {
        if let Some(value) = content.values.first() {
            return Some(format!("`{{{{ {value} }}}}`"));
        }
        let (name, origin) = content.names.iter().find_map(|it| self.0.get_key_value(it))?;
        let name = match name.as_str() {
            PRINTED => return Some("the output of a program, which can be a value that it sees,".to_string()),
            "@" | READ => "an argument or a line that was read".to_string(),
            RETURNED => "the output of a function".to_string(),
            _ => format!("`{name}`"),
        };
        Some(match origin {
            Origin::Value(value) => format!("{name}, which can hold `{{{{ {value} }}}}`,"),
            Origin::Outside => format!("{name}, which holds a value from outside,"),
            Origin::Printed => format!("{name}, which can hold a value that a program printed,"),
        })
    }
}

impl Script {
    /// Judges what is known only at the end: commands whose names are in variables, and texts that are run later.
    pub(super) fn settle(&mut self, depth: usize) {
        for _ in 0..DEEPEST {
            self.piped = false;
            let unnamed = std::mem::take(&mut self.unnamed);
            let forwards = |it: &Vec<Word>| it[0].content.names.iter().any(|it| it == "@");
            if unnamed.iter().any(forwards) {
                std::mem::take(&mut self.passed).iter().for_each(|it| self.judge(it));
            }
            for words in unnamed {
                for text in self.readings(&words[0]) {
                    let command = text.split_whitespace().map(Word::expanded);
                    let command: Vec<Word> = command.chain(words[1..].iter().cloned()).collect();
                    self.judge(&command);
                }
            }
            for (code, is_prompt) in std::mem::take(&mut self.codes) {
                let mut texts = self.readings(&code);
                texts.push(code.text.replace(SPOT, "x"));
                for text in texts {
                    match is_prompt {
                        true => self.nested(&format!(": \"{text}\""), depth),
                        false => self.nested(&text, depth),
                    }
                }
            }
        }
    }

    fn nested(&mut self, text: &str, depth: usize) {
        if depth == DEEPEST {
            return;
        }
        let mut scan = Scan::new();
        scan.read(text);
        let mut inner = scan.end();
        inner.functions.extend(self.functions.iter().cloned());
        inner.settle(depth + 1);
        self.uses.extend(inner.uses);
        self.flows.extend(inner.flows);
    }

    /// What a word can be, with what is written out elsewhere in place of its expansions.
    fn readings(&self, word: &Word) -> Vec<String> {
        let texts = self.texts(&word.content);
        let mut found = vec![word.text.clone()];
        while found.iter().any(|it| it.contains(SPOT)) {
            let replaced = found.iter().flat_map(|it| texts.iter().map(|text| it.replacen(SPOT, text, 1)));
            found = replaced.take(READINGS).collect();
        }
        found
    }

    /// The texts in this content and in the variables that it names.
    fn texts(&self, content: &Content) -> Vec<String> {
        let mut texts = content.texts.clone();
        let mut seen = BTreeSet::new();
        let mut names: Vec<&str> = content.names.iter().map(String::as_str).collect();
        while let Some(name) = names.pop() {
            if !seen.insert(name) {
                continue;
            }
            for flow in self.flows.iter().filter(|it| it.name == name) {
                texts.extend(flow.content.texts.iter().cloned());
                names.extend(flow.content.names.iter().map(String::as_str));
            }
        }
        texts.retain(|it| !it.contains(SPOT));
        texts.sort();
        texts.dedup();
        texts
    }
}
