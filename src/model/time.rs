//! Times with their units in the type.

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::{fmt, ops, str::FromStr, time::Duration};

/// Wall-clock milliseconds since the Unix epoch. For due and display times only.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize, utoipa::ToSchema,
)]
#[serde(transparent)]
pub struct Timestamp(pub i64);

/// Milliseconds of a monotonic clock that stops during suspend; comparable only within one boot.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize, utoipa::ToSchema,
)]
#[serde(transparent)]
pub struct Monotonic(pub i64);

/// A length of time in milliseconds. Reads and prints `250ms`, `1.5s`, `10m`, `2h`, `30d`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Millis(pub u64);

impl Millis {
    pub const fn seconds(count: u64) -> Millis {
        Millis(count * 1000)
    }

    pub const fn minutes(count: u64) -> Millis {
        Millis(count * 60_000)
    }

    pub fn duration(self) -> Duration {
        Duration::from_millis(self.0)
    }
}

impl From<Duration> for Millis {
    fn from(duration: Duration) -> Millis {
        Millis(duration.as_millis().min(u128::from(u64::MAX)) as u64)
    }
}

impl ops::Add<Millis> for Timestamp {
    type Output = Timestamp;

    fn add(self, wait: Millis) -> Timestamp {
        Timestamp(self.0.saturating_add_unsigned(wait.0))
    }
}

impl ops::Add<Millis> for Monotonic {
    type Output = Monotonic;

    fn add(self, wait: Millis) -> Monotonic {
        Monotonic(self.0.saturating_add_unsigned(wait.0))
    }
}

impl Timestamp {
    /// The time from `earlier` to `self`, zero if the clock went backwards.
    pub fn since(self, earlier: Timestamp) -> Millis {
        Millis(self.0.saturating_sub(earlier.0).max(0) as u64)
    }
}

impl Monotonic {
    /// The time from `earlier` to `self`, zero if `earlier` is later.
    pub fn since(self, earlier: Monotonic) -> Millis {
        Millis(self.0.saturating_sub(earlier.0).max(0) as u64)
    }
}

const UNITS: &[(&str, u64)] = &[("ms", 1), ("s", 1000), ("m", 60_000), ("h", 3_600_000), ("d", 86_400_000)];

impl FromStr for Millis {
    type Err = String;

    fn from_str(text: &str) -> Result<Millis, String> {
        let bad = || format!("`{text}` is not a duration; write `250ms`, `30s`, `10m`, `2h` or `30d`");
        let split = text.find(|c: char| c.is_ascii_alphabetic()).ok_or_else(bad)?;
        let (number, unit) = text.split_at(split);
        let scale = UNITS.iter().find(|it| it.0 == unit).ok_or_else(bad)?.1;
        let value: f64 = number.trim().parse().map_err(|_| bad())?;
        if !value.is_finite() || value < 0.0 || value * scale as f64 > 1e15 {
            return Err(bad());
        }
        Ok(Millis((value * scale as f64).round() as u64))
    }
}

impl fmt::Display for Millis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (unit, scale) = UNITS.iter().rev().find(|it| self.0 >= it.1).unwrap_or(&UNITS[0]);
        let value = self.0 as f64 / *scale as f64;
        if self.0.is_multiple_of(*scale) {
            return write!(f, "{}{unit}", self.0 / scale);
        }
        let text = format!("{value:.3}");
        write!(f, "{}{unit}", text.trim_end_matches('0').trim_end_matches('.'))
    }
}

impl Serialize for Millis {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Millis {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Millis, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_read_and_print() {
        for (text, value) in
            [("250ms", 250), ("1.5s", 1500), ("10m", 600_000), ("2h", 7_200_000), ("30d", 2_592_000_000)]
        {
            assert_eq!(text.parse::<Millis>().unwrap(), Millis(value));
            assert_eq!(Millis(value).to_string(), text);
        }
        for text in ["", "5", "5 parsecs", "-1s", "nans", "1e300d"] {
            assert!(text.parse::<Millis>().is_err(), "{text}");
        }
    }
}
