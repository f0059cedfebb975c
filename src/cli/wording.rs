//! Times, counts and texts as people read them.

use crate::model::{Bytes, Millis, Timestamp};
use unicode_width::UnicodeWidthChar;

/// A length of time with at most two units: `1.2 s`, `3 m 20 s`, `5 h`, `2 d 4 h`.
pub fn duration(time: Millis) -> String {
    let seconds = time.0 / 1000;
    let two = |large: u64, large_unit: &str, small: u64, small_unit: &str| match small {
        0 => format!("{large} {large_unit}"),
        _ => format!("{large} {large_unit} {small} {small_unit}"),
    };
    match seconds {
        0 => format!("{} ms", time.0),
        1..10 => format!("{:.1} s", time.0 as f64 / 1000.0),
        10..60 => format!("{seconds} s"),
        60..3_600 => two(seconds / 60, "m", seconds % 60, "s"),
        3_600..86_400 => two(seconds / 3_600, "h", seconds % 3_600 / 60, "m"),
        _ => two(seconds / 86_400, "d", seconds % 86_400 / 3_600, "h"),
    }
}

/// When something was or will be, seen from `now`: `just now`, `3 m ago`, `in 20 s`.
pub fn relative(at: Timestamp, now: Timestamp) -> String {
    let coarse = |time: Millis| {
        let seconds = time.0 / 1000;
        match seconds {
            0..60 => format!("{seconds} s"),
            60..3_600 => format!("{} m", seconds / 60),
            3_600..86_400 => format!("{} h", seconds / 3_600),
            _ => format!("{} d", seconds / 86_400),
        }
    };
    match at.0 - now.0 {
        -999..=999 => "just now".to_string(),
        1_000.. => format!("in {}", coarse(at.since(now))),
        _ => format!("{} ago", coarse(now.since(at))),
    }
}

/// `1 run`, `2 runs`, `12,345 runs`.
pub fn count(number: u64, noun: &str) -> String {
    format!("{} {noun}{}", number_of(number), if number == 1 { "" } else { "s" })
}

/// A number with commas between thousands.
pub fn number_of(number: u64) -> String {
    let digits = number.to_string();
    let mut written = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            written.push(',');
        }
        written.push(digit);
    }
    written
}

/// A size with its unit.
pub fn size(bytes: u64) -> String {
    Bytes(bytes).to_string()
}

/// Text of others on one line, without anything that a terminal would obey.
pub fn plain(text: &str) -> String {
    let spaced = text.chars().map(|it| if matches!(it, '\n' | '\r' | '\t') { ' ' } else { it });
    spaced.filter(|it| !is_command(*it)).collect()
}

/// The same over several lines.
pub fn plain_lines(text: &str) -> String {
    text.chars().filter(|it| matches!(it, '\n' | '\t') || !is_command(*it)).collect()
}

/// Control characters, and those that turn the direction of the text around.
fn is_command(letter: char) -> bool {
    letter.is_control() || matches!(letter, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// How many columns a text takes on a terminal.
pub fn width(text: &str) -> usize {
    text.chars().map(|it| it.width().unwrap_or(0)).sum()
}

/// The beginning of a text in at most `most` columns; a cut is shown by `…`.
pub fn cut(text: &str, most: usize) -> String {
    if width(text) <= most {
        return text.to_string();
    }
    let mut kept = String::new();
    let mut taken = 1;
    for letter in text.chars() {
        taken += letter.width().unwrap_or(0);
        if taken > most {
            break;
        }
        kept.push(letter);
    }
    if most > 0 {
        kept.push('…');
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_take_at_most_two_units() {
        for (millis, text) in [
            (0, "0 ms"),
            (850, "850 ms"),
            (1_200, "1.2 s"),
            (59_999, "59 s"),
            (60_000, "1 m"),
            (200_000, "3 m 20 s"),
            (18_000_000, "5 h"),
            (187_200_000, "2 d 4 h"),
        ] {
            assert_eq!(duration(Millis(millis)), text);
        }
    }

    #[test]
    fn times_are_told_from_now() {
        let now = Timestamp(1_000_000_000);
        for (at, text) in [
            (now.0, "just now"),
            (now.0 - 999, "just now"),
            (now.0 - 3 * 60_000, "3 m ago"),
            (now.0 + 20_000, "in 20 s"),
            (now.0 - 200_000_000, "2 d ago"),
        ] {
            assert_eq!(relative(Timestamp(at), now), text);
        }
    }

    #[test]
    fn numbers_are_grouped_and_nouns_agree() {
        assert_eq!(count(1, "run"), "1 run");
        assert_eq!(count(0, "run"), "0 runs");
        assert_eq!(count(1_234_567, "chunk"), "1,234,567 chunks");
        assert_eq!(number_of(999), "999");
    }

    #[test]
    fn texts_of_others_cannot_steer_the_terminal() {
        assert_eq!(plain("a\x1b[31mb\nc\u{202e}d"), "a[31mb cd");
        assert_eq!(plain_lines("a\nb\x07"), "a\nb");
    }

    #[test]
    fn cuts_count_columns_not_characters() {
        assert_eq!(cut("abc", 3), "abc");
        assert_eq!(cut("abcd", 3), "ab…");
        assert_eq!(cut("漢字漢字", 5), "漢字…");
        assert_eq!(cut("abc", 0), "");
    }
}
