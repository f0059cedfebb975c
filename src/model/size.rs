//! Sizes in bytes, with binary units for people.

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::{fmt, str::FromStr};

/// A number of bytes. Reads `512`, `64KiB`, `1.5GiB`, `10MB`; prints with binary units.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Bytes(pub u64);

impl Bytes {
    pub const fn mib(count: u64) -> Bytes {
        Bytes(count << 20)
    }
}

const BINARY: &[(&str, u64)] = &[("B", 1), ("KiB", 1 << 10), ("MiB", 1 << 20), ("GiB", 1 << 30), ("TiB", 1 << 40)];
const DECIMAL: &[(&str, u64)] =
    &[("", 1), ("kB", 1_000), ("MB", 1_000_000), ("GB", 1_000_000_000), ("TB", 1_000_000_000_000)];

impl FromStr for Bytes {
    type Err = String;

    fn from_str(text: &str) -> Result<Bytes, String> {
        let bad = || format!("`{text}` is not a size; write `512`, `64KiB`, `10MiB` or `1GiB`");
        let split = text.find(|c: char| c.is_ascii_alphabetic()).unwrap_or(text.len());
        let (number, unit) = text.split_at(split);
        let known = BINARY.iter().chain(DECIMAL).find(|it| it.0.eq_ignore_ascii_case(unit));
        let scale = known.ok_or_else(bad)?.1;
        let value: f64 = number.trim().parse().map_err(|_| bad())?;
        if !value.is_finite() || value < 0.0 || value * scale as f64 > 9e18 {
            return Err(bad());
        }
        Ok(Bytes((value * scale as f64).round() as u64))
    }
}

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (unit, scale) = BINARY.iter().rev().find(|it| self.0 >= it.1).unwrap_or(&BINARY[0]);
        if self.0.is_multiple_of(*scale) {
            return write!(f, "{} {unit}", self.0 / scale);
        }
        write!(f, "{:.1} {unit}", self.0 as f64 / *scale as f64)
    }
}

impl Serialize for Bytes {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u64(self.0)
    }
}

/// A number counts bytes; text is parsed, with or without a unit.
impl<'de> Deserialize<'de> for Bytes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Bytes, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Form {
            Number(u64),
            Text(String),
        }
        match Form::deserialize(deserializer)? {
            Form::Number(count) => Ok(Bytes(count)),
            Form::Text(text) => text.parse().map_err(serde::de::Error::custom),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_read_and_print() {
        for (text, value) in [("1 GiB", 1u64 << 30), ("64 KiB", 65_536), ("512 B", 512), ("1.5 MiB", 1_572_864)] {
            assert_eq!(text.replace(' ', "").parse::<Bytes>().unwrap(), Bytes(value));
            assert_eq!(Bytes(value).to_string(), text);
        }
        assert_eq!("10MB".parse::<Bytes>().unwrap(), Bytes(10_000_000));
        for text in ["", "many", "-1KiB", "5 parsecs"] {
            assert!(text.parse::<Bytes>().is_err(), "{text}");
        }
    }
}
