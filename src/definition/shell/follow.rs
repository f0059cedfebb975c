//! Follows values: from variable to variable, into command names, and into texts that are run later.

use super::{
    judge::UNKNOWN,
    scan::Scan,
    script::Script,
    word::{Content, PRINTED, READ, RETURNED, SPOT, Word, names_in},
};
use std::collections::{BTreeMap, BTreeSet};

/// Variables of every command that contain what others chose.
const OURS: [&str; 5] =
    ["WINDLASS_ITEM", "WINDLASS_PARAMS", "WINDLASS_INPUTS", "WINDLASS_GROUP_NAME", "WINDLASS_GROUP_REASONS"];

/// How many readings of one word are examined, and how deeply nested texts.
const READINGS: usize = 64;
const DEEPEST: usize = 3;

/// Where the content of a variable comes from.
#[derive(Debug, Clone)]
enum Origin {
    /// The value's expression, if it is in the command.
    Value(String),
    Outside,
    /// Printed by a program that could see values.
    Printed,
}

impl Origin {
    fn is_parameter(&self) -> bool {
        matches!(self, Origin::Value(value) if is_parameter(value))
    }
}

fn is_parameter(value: &str) -> bool {
    value == "params" || value.starts_with("params.")
}

/// The variables that may contain a value.
pub(super) struct Held(BTreeMap<String, Origin>);

impl Held {
    /// `guess` also counts what is merely possible: that a program prints what it sees, or that a text is the name of a
    /// variable.
    pub(super) fn new(script: &Script, variables: &[&str], guess: bool) -> Held {
        let roots = OURS.iter().chain(variables);
        let mut held: BTreeMap<String, Origin> = roots.map(|it| (it.to_string(), Origin::Outside)).collect();
        if guess {
            held.insert(PRINTED.into(), Origin::Printed);
        }
        loop {
            let mut changed = false;
            for flow in script.flows.iter() {
                let known = held.get(&flow.name);
                if known.is_some_and(|it| !it.is_parameter()) {
                    continue;
                }
                let content = &flow.content;
                let values = content.values.iter().map(|it| Origin::Value(it.clone()));
                let through = content.names.iter().filter_map(|it| held.get(it)).cloned();
                let named = content.texts.iter().filter(|_| guess).flat_map(|it| names_in(it));
                let named = named.filter_map(|it| held.get(&it).cloned());
                // Of several origins, one that is no parameter counts.
                let origins: Vec<Origin> = values.chain(through).chain(named).collect();
                let origin = origins.iter().find(|it| !it.is_parameter()).or(origins.first());
                if let Some(origin) = origin.filter(|it| known.is_none() || !it.is_parameter()) {
                    held.insert(flow.name.clone(), origin.clone());
                    changed = true;
                }
            }
            if !changed {
                return Held(held);
            }
        }
    }

    /// The value in this content, or the variable that contains one, for people; parameters only if they count.
    pub(super) fn named(&self, content: &Content, without_parameters: bool) -> Option<String> {
        if let Some(value) = content.values.iter().find(|it| !(without_parameters && is_parameter(it))) {
            return Some(format!("`{{{{ {value} }}}}`"));
        }
        let mut held = content.names.iter().filter_map(|it| self.0.get_key_value(it));
        let (name, origin) = held.find(|it| !(without_parameters && it.1.is_parameter()))?;
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
    /// Judges what is known only at the end: commands named by variables, and texts that are run later.
    pub(super) fn settle(&mut self, depth: usize) {
        self.settles = true;
        for (name, content) in std::mem::take(&mut self.declared) {
            if self.arrays.contains(&name) {
                let place = format!("as the value of `{name}`, which is an array and evaluated");
                self.evaluated(content, place, "set a variable of another name");
            }
        }
        for _ in 0..DEEPEST {
            self.piped = false;
            let unnamed = std::mem::take(&mut self.unnamed);
            if unnamed.iter().any(|it| self.reaches(&it[0].content, "@")) {
                self.settle_passed();
            }
            for words in unnamed {
                self.settle_unnamed(&words);
            }
            for word in std::mem::take(&mut self.programs) {
                let texts = self.readings(&word).unwrap_or_default();
                if texts.iter().any(|it| it.contains(SPOT) && it.chars().any(|it| it != SPOT)) {
                    self.program(&word.content);
                }
                self.codes.push((word, false));
            }
            for (word, place, hint) in std::mem::take(&mut self.texts) {
                let texts = self.readings(&word).unwrap_or_default();
                if texts.iter().any(|it| it.contains(SPOT) && it.chars().any(|it| it != SPOT)) {
                    self.run(word.content.clone(), place, hint);
                }
            }
            for (code, is_prompt) in std::mem::take(&mut self.codes) {
                let mut texts = self.readings(&code).unwrap_or_default();
                texts.push(code.text);
                for text in texts {
                    let text = text.replace(SPOT, "x");
                    match is_prompt {
                        true => self.nested(&format!(": \"{text}\""), depth),
                        false => self.nested(&text, depth),
                    }
                }
            }
        }
    }

    /// The passed words are a command; after a `shift`, also without the first words.
    fn settle_passed(&mut self) {
        for words in std::mem::take(&mut self.passed) {
            let last = if self.shifts { words.len() } else { words.len().min(1) };
            for from in 0..last {
                if from == 0 || !words[from].is_unknown() {
                    self.judge(&words[from..]);
                }
            }
        }
    }

    fn settle_unnamed(&mut self, words: &[Word]) {
        // What a lone `"$@"` runs was judged where it was passed.
        if words.len() == 1 && words[0].content.values.is_empty() && words[0].content.names == ["@"] {
            return;
        }
        let Some(texts) = self.readings(&words[0]) else {
            let mut content = Content::default();
            words.iter().for_each(|it| content.add(&it.content));
            return self.run(content, "where more than can be read names a command".into(), UNKNOWN);
        };
        // A script that sets IFS splits words at these characters.
        let separators = self.texts(&Content::of("IFS")).concat();
        for text in texts {
            let word = |it: &str| match it.contains(SPOT) {
                true => Word { content: words[0].content.clone(), ..Word::expanded(it) },
                false => Word::expanded(it),
            };
            let command: Vec<Word> = text
                .split(|it: char| it.is_whitespace() || separators.contains(it))
                .filter(|it| !it.is_empty())
                .map(word)
                .chain(words[1..].iter().cloned())
                .collect();
            // If the first word expands to nothing, the next one is the command.
            match text.is_empty() && command.first().is_some_and(Word::is_unknown) {
                true => self.settle_unnamed(&command),
                false => self.judge(&command),
            }
        }
    }

    /// Whether this content can contain a variable with this name.
    fn reaches(&self, content: &Content, name: &str) -> bool {
        self.behind(content).contains(name)
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

    /// The possible texts of a word, with each expansion replaced by known text, by nothing, or by a value. None if
    /// there are too many.
    fn readings(&self, word: &Word) -> Option<Vec<String>> {
        let mut texts = self.texts(&word.content);
        texts.extend([String::new(), SPOT.to_string()]);
        let mut pieces = word.text.split(SPOT);
        let mut found = BTreeSet::from([pieces.next().unwrap_or_default().to_string()]);
        for piece in pieces {
            found = found.iter().flat_map(|it| texts.iter().map(move |text| format!("{it}{text}{piece}"))).collect();
            if found.len() > READINGS {
                return None;
            }
        }
        Some(found.into_iter().collect())
    }

    /// The variables used in this content and, transitively, in their own contents.
    fn behind<'s>(&'s self, content: &'s Content) -> BTreeSet<&'s str> {
        let mut seen = BTreeSet::new();
        let mut names: Vec<&str> = content.names.iter().map(String::as_str).collect();
        while let Some(name) = names.pop() {
            if seen.insert(name) {
                let flows = self.flows.iter().filter(|it| it.name == name);
                names.extend(flows.flat_map(|it| it.content.names.iter().map(String::as_str)));
            }
        }
        seen
    }

    /// The texts in this content and in the variables that it uses.
    fn texts(&self, content: &Content) -> Vec<String> {
        let mut texts = content.texts.clone();
        for name in self.behind(content) {
            let flows = self.flows.iter().filter(|it| it.name == name);
            let own: Vec<&str> = flows.flat_map(|it| it.content.texts.iter().map(String::as_str)).collect();
            texts.extend(own.iter().map(|it| it.to_string()));
            // Appended text comes after the existing text.
            if self.appended.contains(name) {
                texts.extend([own.concat(), own.join(" ")]);
            }
        }
        // Texts built from other texts, as in `c=${c}al`. More than this is not examined anyway.
        let (made, whole): (Vec<_>, Vec<_>) = texts.iter().cloned().partition(|it| it.contains(SPOT));
        for text in made.iter().take(READINGS) {
            texts.extend(whole.iter().take(READINGS).map(|it| text.replacen(SPOT, it, 1)));
        }
        texts.sort();
        texts.dedup();
        texts
    }
}
