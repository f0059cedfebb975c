//! The files that name a state of a step. "How to add ... a state of a step" in CONTRIBUTING.md lists them, and they
//! must stay few.

use std::{collections::BTreeSet, path::PathBuf};
use windlass::model::StepState;

/// How many places a state may touch, including the schema.
const MOST: usize = 9;

/// The states that all others are compared with; they are named everywhere.
const BASIS: [StepState; 3] = [StepState::Open, StepState::Completed, StepState::Failed];

/// The problems, in words. `sources` are the files of `src/` without their unit tests.
pub fn wrong(contributing: &str, sources: &[(PathBuf, &str)]) -> Vec<String> {
    let listed = listed(contributing);
    let states = StepState::ALL.iter().filter(|state| !BASIS.contains(state));
    let mut used = BTreeSet::new();
    let mut wrong = Vec::new();
    for state in states {
        let files = naming(*state, sources);
        used.extend(files.clone());
        // The verb that enters and leaves it.
        let (own, others): (Vec<_>, Vec<_>) =
            files.iter().filter(|file| !listed.contains(*file)).partition(|file| file.starts_with("store/queue"));
        if own.len() > 1 {
            wrong.push(format!("{state:?} is named in more than one file of its own: {own:?}"));
        }
        wrong.extend(
            others.iter().map(|file| format!("{} names {state:?}; CONTRIBUTING.md does not list it", file.display())),
        );
        if files.len() + 1 > MOST {
            wrong.push(format!("{state:?} touches {} places and schema.sql; at most {MOST}: {files:?}", files.len()));
        }
    }
    let stale = listed.iter().filter(|file| !used.contains(*file));
    wrong.extend(stale.map(|file| format!("CONTRIBUTING.md lists {}, which names no such state", file.display())));
    wrong
}

/// The files that the section lists, relative to `src/`.
fn listed(contributing: &str) -> BTreeSet<PathBuf> {
    let section = contributing.split("**A state of a step.**").nth(1).expect("a section on states");
    let table = section.split("\n\n").find(|part| part.starts_with("| ")).expect("a table of files");
    let words = table.split('`').skip(1).step_by(2).filter(|word| word.ends_with(".rs"));
    words.map(PathBuf::from).collect()
}

/// The files that name a state: its variant, or the constant for its code.
fn naming(state: StepState, sources: &[(PathBuf, &str)]) -> BTreeSet<PathBuf> {
    let names = [format!("StepState::{state:?}"), format!("STEP_{}", state.name().to_uppercase())];
    let in_word = |letter: char| letter.is_alphanumeric() || letter == '_';
    let has = |text: &str, name: &String| {
        text.match_indices(name).any(|(at, _)| !text[at + name.len()..].starts_with(in_word))
    };
    let files = sources.iter().filter(|(_, text)| names.iter().any(|name| has(text, name)));
    files.map(|(path, _)| path.strip_prefix("src").unwrap().to_path_buf()).collect()
}
