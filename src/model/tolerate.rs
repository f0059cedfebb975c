//! How many of the runs that a step waits for may fail before the step does.

use serde::{Deserialize, Serialize};
use std::{fmt, str::FromStr};

/// A number of runs, or a share of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Tolerate {
    Count(u64),
    /// From 0 to 100.
    Percent(u8),
}

impl Default for Tolerate {
    fn default() -> Tolerate {
        Tolerate::Count(0)
    }
}

impl Tolerate {
    /// How many of `all` may fail. A share is rounded down.
    pub fn of(self, all: u64) -> u64 {
        match self {
            Tolerate::Count(most) => most,
            Tolerate::Percent(share) => (u128::from(all) * u128::from(share) / 100) as u64,
        }
    }

    pub fn is_usual(&self) -> bool {
        *self == Tolerate::default()
    }
}

impl fmt::Display for Tolerate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Tolerate::Count(most) => write!(f, "{most}"),
            Tolerate::Percent(share) => write!(f, "{share}%"),
        }
    }
}

impl FromStr for Tolerate {
    type Err = String;

    fn from_str(text: &str) -> Result<Tolerate, String> {
        let wrong = || format!("`{text}` is neither a number such as `5` nor a share such as `5%`");
        let is_number = |it: &str| !it.is_empty() && it.chars().all(|it| it.is_ascii_digit());
        match text.strip_suffix('%').map(str::trim_end) {
            Some(share) if is_number(share) => match share.parse() {
                Ok(share @ 0..=100) => Ok(Tolerate::Percent(share)),
                _ => Err(format!("`{text}` is more than all of them: a share is at most `100%`")),
            },
            None if is_number(text) => text.parse().map(Tolerate::Count).map_err(|_| wrong()),
            _ => Err(wrong()),
        }
    }
}

impl TryFrom<String> for Tolerate {
    type Error = String;

    fn try_from(text: String) -> Result<Tolerate, String> {
        text.parse()
    }
}

impl From<Tolerate> for String {
    fn from(it: Tolerate) -> String {
        it.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_and_a_share_say_how_many_may_fail() {
        for (text, all, most) in [
            ("0", 10, 0),
            ("5", 10, 5),
            ("5", 3, 5),
            ("5%", 100, 5),
            ("5%", 99, 4),
            ("5%", 19, 0),
            ("0%", 1_000, 0),
            ("100%", 7, 7),
            ("50 %", 3, 1),
        ] {
            let tolerate: Tolerate = text.parse().unwrap();
            assert_eq!(tolerate.of(all), most, "{text} of {all}");
        }
        assert_eq!("5 %".parse::<Tolerate>().unwrap().to_string(), "5%");
        for wrong in ["", "%", "-1", "1.5", "101%", "999%", "five", "5%%", "+5"] {
            assert!(wrong.parse::<Tolerate>().is_err(), "{wrong}");
        }
    }
}
