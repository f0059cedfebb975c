//! The wording of times and counts for people, in every output.

use crate::{
    model::{Millis, Timestamp, WaitKind},
    store::waiting::Waiting,
};

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

/// A time with its date. `offset` is in seconds east of UTC, `None` for UTC itself: `2026-11-29 08:30:00Z`, `2026-11-29
/// 14:00:00+05:30`.
pub fn absolute(at: Timestamp, offset: Option<i64>) -> String {
    let seconds = at.0.div_euclid(1_000) + offset.unwrap_or(0);
    let (day, of_day) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
    // Years begin in March, and 400 of them have 146,097 days (Howard Hinnant, `civil_from_days`).
    let shifted = day + 719_468;
    let (era, of_era) = (shifted.div_euclid(146_097), shifted.rem_euclid(146_097));
    let year = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    let (date, month) = (of_year - (153 * month + 2) / 5 + 1, if month < 10 { month + 3 } else { month - 9 });
    let year = era * 400 + year + i64::from(month <= 2);
    let (hour, minute, second) = (of_day / 3_600, of_day / 60 % 60, of_day % 60);
    let zone = match offset {
        None => "Z".to_string(),
        Some(offset) => {
            let sign = if offset < 0 { '-' } else { '+' };
            format!("{sign}{:02}:{:02}", offset.abs() / 3_600, offset.abs() / 60 % 60)
        }
    };
    format!("{year:04}-{month:02}-{date:02} {hour:02}:{minute:02}:{second:02}{zone}")
}

/// Quotes a word for the shell, if necessary.
pub fn quoted(word: &str) -> String {
    let is_plain = |it: char| it.is_ascii_alphanumeric() || "/._-+=:,@%".contains(it);
    match !word.is_empty() && word.chars().all(is_plain) {
        true => word.to_string(),
        false => format!("'{}'", word.replace('\'', r"'\''")),
    }
}

/// What a step waits for: the signal `uploaded`.
pub fn wait_of(it: &Waiting) -> String {
    match it.kind {
        WaitKind::Time => "a time".to_string(),
        WaitKind::Approval => format!("an approval: {}", it.detail.ask),
        WaitKind::Signal => format!("the signal `{}`", it.signal),
        WaitKind::Children => format!("its runs in {}", it.children.unwrap_or(it.group)),
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
    fn moments_have_their_date() {
        for (millis, offset, text) in [
            (0, None, "1970-01-01 00:00:00Z"),
            (-1, None, "1969-12-31 23:59:59Z"),
            (951_782_400_000, None, "2000-02-29 00:00:00Z"),
            (1_772_236_799_999, None, "2026-02-27 23:59:59Z"),
            (4_107_542_400_000, None, "2100-03-01 00:00:00Z"),
            (0, Some(19_800), "1970-01-01 05:30:00+05:30"),
            (0, Some(-12_600), "1969-12-31 20:30:00-03:30"),
        ] {
            assert_eq!(absolute(Timestamp(millis), offset), text);
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
