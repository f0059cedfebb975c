//! Tips for command-line errors. Each tip is tried before it is shown, and dropped if it does not work.

use clap::{
    Error,
    builder::StyledStr,
    error::{ContextKind, ContextValue, ErrorKind},
};

/// The most words with a leading dash that are examined.
const WORDS: usize = 100;

/// The error with a tip that works, if there is one. `parse` parses a whole command line.
pub fn tried<T>(mut error: Error, words: &[String], parse: impl Fn(&[String]) -> Result<T, Error>) -> Error {
    let Some((at, word)) = unknown(&error, words) else { return error };
    let trailing = [&words[..at], &["--".to_string()], &words[at..]].concat();
    if parse(&trailing).is_ok() {
        return error;
    }
    error.remove(ContextKind::Suggested);
    let mut fixed = words.to_vec();
    for _ in 0..WORDS {
        match parse(&fixed) {
            Ok(_) => {
                let option = option_before(words, at).unwrap_or_default();
                let tip = format!("to pass '{word}' as a value of '{option}', use '{option}={word}'");
                error.insert(ContextKind::Suggested, ContextValue::StyledStrs(vec![StyledStr::from(tip)]));
                return error;
            }
            Err(next) => match unknown(&next, &fixed).and_then(|(at, _)| attached(&fixed, at)) {
                Some(next) => fixed = next,
                None => return error,
            },
        }
    }
    error
}

/// The word that the parser does not know, and its position.
fn unknown(error: &Error, words: &[String]) -> Option<(usize, String)> {
    let Some(ContextValue::String(word)) = error.get(ContextKind::InvalidArg) else { return None };
    let is_it = |it: &String| it == word || it.strip_prefix(word.as_str()).is_some_and(|rest| rest.starts_with('='));
    // For `-xyz` the parser reports the first letter.
    let begins = |it: &String| it.starts_with(word.as_str()) && !it.starts_with("--");
    let at = words.iter().position(is_it).or_else(|| words.iter().position(begins))?;
    (error.kind() == ErrorKind::UnknownArgument).then(|| (at, words[at].clone()))
}

/// The command line with the word at `at` as the value of the option before it.
fn attached(words: &[String], at: usize) -> Option<Vec<String>> {
    let option = option_before(words, at)?;
    let before = if words[at - 1] == option { at - 1 } else { at };
    let mut attached = words[..before].to_vec();
    attached.push(format!("{option}={}", words[at]));
    // Further values would be taken for arguments of the command.
    if words.get(at + 1).is_some_and(|it| !it.starts_with('-')) {
        attached.push(option);
    }
    attached.extend(words[at + 1..].iter().cloned());
    Some(attached)
}

fn option_before(words: &[String], at: usize) -> Option<String> {
    let option = words[..at].iter().rfind(|it| it.starts_with("--"))?;
    Some(option.split('=').next().unwrap_or(option).to_string())
}
