//! Times and counts as people read them, on every face.

use crate::model::{Millis, Timestamp};

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

/// A word as a shell reads it back.
pub fn quoted(word: &str) -> String {
    let is_plain = |it: char| it.is_ascii_alphanumeric() || "/._-+=:,@%".contains(it);
    match !word.is_empty() && word.chars().all(is_plain) {
        true => word.to_string(),
        false => format!("'{}'", word.replace('\'', r"'\''")),
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
    fn a_path_is_quoted_only_where_a_shell_needs_it() {
        assert_eq!(quoted("/tmp/home-1"), "/tmp/home-1");
        assert_eq!(quoted("/my home/it's"), r"'/my home/it'\''s'");
    }
}
