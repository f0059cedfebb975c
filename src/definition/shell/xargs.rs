//! The options of `xargs` that insert its input into the words of its command.

use super::word::Word;

/// Letters of options that take a value, in the same word or the next: GNU, busybox and BSD.
const VALUED: &str = "adEILnPsJRS";
/// Letters of options that take a value only in the same word.
const ATTACHED: &str = "eil";
const LONG: &[&str] = &[
    "arg-file",
    "delimiter",
    "eof",
    "exit",
    "help",
    "interactive",
    "max-args",
    "max-chars",
    "max-lines",
    "max-procs",
    "no-run-if-empty",
    "null",
    "open-tty",
    "process-slot-var",
    "replace",
    "show-limits",
    "verbose",
    "version",
];
const LONG_VALUED: &[&str] = &["arg-file", "delimiter", "max-args", "max-chars", "max-procs", "process-slot-var"];
/// The default text that is replaced.
const BRACES: &str = "{}";

/// The texts that are replaced by input, from the words after `xargs`.
pub(super) fn patterns(words: &[Word]) -> Vec<String> {
    let mut patterns = Vec::new();
    let mut words = words.iter().map(|it| it.text.as_str());
    while let Some(word) = words.next() {
        match word.strip_prefix('-') {
            // The command begins here.
            None | Some("" | "-") => break,
            Some(long) if long.starts_with('-') => {
                let (name, value) = long[1..].split_once('=').map_or((&long[1..], None), |it| (it.0, Some(it.1)));
                let meant: Vec<&str> = LONG.iter().copied().filter(|it| it.starts_with(name)).collect();
                if meant == ["replace"] {
                    patterns.push(value.unwrap_or(BRACES).to_string());
                } else if value.is_none() && meant.iter().any(|it| LONG_VALUED.contains(it)) {
                    words.next();
                }
            }
            Some(letters) => {
                let Some(at) = letters.find(|it| VALUED.contains(it) || ATTACHED.contains(it)) else { continue };
                let (letter, attached) = letters[at..].split_at(1);
                let value = match attached {
                    "" if VALUED.contains(letter) => words.next(),
                    attached => Some(attached),
                };
                match letter {
                    "I" => patterns.push(value.unwrap_or_default().to_string()),
                    "i" => patterns.push(value.filter(|it| !it.is_empty()).unwrap_or(BRACES).to_string()),
                    _ => (),
                }
            }
        }
    }
    patterns
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_read_as_xargs_reads_them() {
        for (words, expected) in [
            ("-I % sh", &["%"][..]),
            ("-I% sh", &["%"]),
            ("-rI% sh", &["%"]),
            ("-0I % sh", &["%"]),
            ("-0rn1 -I % sh", &["%"]),
            ("-i sh", &["{}"]),
            ("-ri% sh", &["%"]),
            ("--replace sh", &["{}"]),
            ("--replace=% sh", &["%"]),
            ("--rep=% sh", &["%"]),
            ("--r sh", &["{}"]),
            ("--null --max-procs 2 --replace=@ sh", &["@"]),
            ("--max-a 2 -I@ sh", &["@"]),
            ("-d I -P 2 sh -I %", &[]),
            ("-dI sh", &[]),
            ("-n 1 -- -I %", &[]),
            ("-L 1 sh -i", &[]),
        ] {
            let words: Vec<Word> = words.split(' ').map(Word::written).collect();
            assert_eq!(patterns(&words), expected, "{words:?}");
        }
    }
}
