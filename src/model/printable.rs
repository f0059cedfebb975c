//! Escapes characters in untrusted text that would control a terminal or forge a log line.

use std::borrow::Cow;

/// Escapes every character that would control a terminal, start a new line or reverse the writing direction: an escape
/// character becomes `\u{1b}`.
pub fn printable(text: &str) -> Cow<'_, str> {
    shown(text, |it| it == '\n' || steers(it))
}

/// Like `printable`, but keeps line breaks and tabs.
pub fn printable_lines(text: &str) -> Cow<'_, str> {
    shown(text, |it| !matches!(it, '\n' | '\t') && steers(it))
}

/// The same JSON with such characters written as JSON escapes. They can only occur inside its strings.
pub fn printable_json(json: &str) -> Cow<'_, str> {
    let hides = |it: char| steers(it) && !matches!(it, '\n' | '\t' | '\r');
    if !json.contains(hides) {
        return Cow::Borrowed(json);
    }
    let mut kept = String::with_capacity(json.len() + 16);
    for letter in json.chars() {
        match hides(letter) {
            true => {
                for unit in letter.encode_utf16(&mut [0; 2]) {
                    kept.push_str(&format!("\\u{unit:04x}"));
                }
            }
            false => kept.push(letter),
        }
    }
    Cow::Owned(kept)
}

/// Control characters, direction marks, separators that some programs treat as line ends, and invisible characters,
/// which can make one name look like another. Joiners are allowed, because several languages and emoji need them.
pub fn steers(letter: char) -> bool {
    letter.is_control()
        || matches!(letter, '\u{200b}' | '\u{2060}'..='\u{2064}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}')
        || matches!(letter, '\u{e0000}'..='\u{e0fff}' | '\u{115f}' | '\u{1160}' | '\u{3164}' | '\u{ffa0}')
        || matches!(letter, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}' | '\u{2029}')
        || matches!(letter, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

fn shown(text: &str, hides: impl Fn(char) -> bool) -> Cow<'_, str> {
    if !text.contains(&hides) {
        return Cow::Borrowed(text);
    }
    let mut kept = String::with_capacity(text.len() + 16);
    for letter in text.chars() {
        match hides(letter) {
            true => kept.extend(letter.escape_default()),
            false => kept.push(letter),
        }
    }
    Cow::Owned(kept)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_would_steer_a_terminal_is_shown() {
        assert_eq!(printable("a\x1b[31mb\nc\u{202e}d\u{9b}2J\x7f"), "a\\u{1b}[31mb\\nc\\u{202e}d\\u{9b}2J\\u{7f}");
        assert_eq!(printable_lines("a\n\tb\x07\r"), "a\n\tb\\u{7}\\r");
        assert_eq!(printable("a\u{200b}b\u{e0041}\u{feff}"), "a\\u{200b}b\\u{e0041}\\u{feff}");
        assert!(matches!(printable("ü 漢字 🙂 \u{a0} 👩\u{200d}🔧 می\u{200c}خواهم"), Cow::Borrowed(_)));
        assert_eq!(printable_json("{\"a\": \"\u{9b}\u{2066}\x7f\"}\n"), "{\"a\": \"\\u009b\\u2066\\u007f\"}\n");
        let hidden = printable_json("{\"a\": \"\u{e0041}\"}").into_owned();
        assert_eq!(serde_json::from_str::<serde_json::Value>(&hidden).unwrap()["a"], "\u{e0041}");
        assert!(hidden.is_ascii());
    }
}
