//! Counted resources: how many units there are, and how often steps may start.

use super::{Bytes, CapacitySource, Millis};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::{collections::BTreeMap, fmt, str::FromStr};

/// How many units of a resource there are, and who says so.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Capacity {
    pub units: i64,
    pub source: CapacitySource,
}

/// Resources whose units are bytes by their nature.
const IN_BYTES: [&str; 2] = ["memory", "scratch"];

/// A number of units, for people: of memory as a size, else as it is.
pub fn units_text(resource: &str, units: i64) -> String {
    match u64::try_from(units) {
        Ok(bytes) if IN_BYTES.contains(&resource) || bytes >= 1 << 20 => Bytes(bytes).to_string(),
        _ => units.to_string(),
    }
}

/// Reads a number of units: `2`, or a size such as `12GiB`. Memory and scratch space take a size only.
///
/// # Errors
/// A sentence that says what would be right.
pub fn parse_units(resource: &str, text: &str) -> Result<i64, String> {
    let text = text.trim();
    if let Ok(units) = text.parse::<i64>() {
        return match units {
            0 => Ok(0),
            ..0 => Err(format!("`{text}` units of `{resource}` are less than none")),
            _ if IN_BYTES.contains(&resource) => {
                Err(format!("`{resource}: {text}` needs a unit; write a size such as `512MiB` or `12GiB`"))
            }
            _ if units > MOST_UNITS => Err(format!("`{text}` units of `{resource}` are more than {MOST_UNITS}")),
            _ => Ok(units),
        };
    }
    let bytes: Option<Bytes> = text.ends_with(|c: char| c.is_ascii_alphabetic()).then(|| text.parse().ok()).flatten();
    let bytes = bytes.ok_or_else(|| {
        format!("`{text}` is not a number of units of `{resource}`; write a whole number, or a size such as `12GiB`")
    })?;
    Ok(i64::try_from(bytes.0).map_or(MOST_UNITS, |it| it.min(MOST_UNITS)))
}

/// Sums of it fit into 64 bits.
pub const MOST_UNITS: i64 = 1 << 52;

/// At most `starts` starts in each `per`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    pub starts: i64,
    pub per: Millis,
}

/// The most starts that a window may count: each has a row.
pub const MOST_STARTS: i64 = 10_000;

impl FromStr for Rate {
    type Err = String;

    /// Reads `60/1m`: so many starts in each such time.
    fn from_str(text: &str) -> Result<Rate, String> {
        let wrong = || format!("`{text}` is not a rate; write `60/1m` for at most 60 starts in each minute");
        let (starts, per) = text.split_once('/').ok_or_else(wrong)?;
        let starts: i64 = starts.trim().parse().map_err(|_| wrong())?;
        let per = per.trim();
        // `60/m` is what people write first.
        let per = if per.starts_with(|c: char| c.is_ascii_alphabetic()) { format!("1{per}") } else { per.to_string() };
        let per: Millis = per.parse().map_err(|_| wrong())?;
        match () {
            () if starts < 1 => Err(format!("`{text}` allows no start; write at least `1/{per}`")),
            () if starts > MOST_STARTS => {
                Err(format!("`{text}`: a window counts at most {MOST_STARTS} starts; write a shorter one"))
            }
            () if per.0 == 0 || per.0 > 366 * 86_400_000 => {
                Err(format!("`{text}`: the window of a rate is between 1ms and 366d"))
            }
            () => Ok(Rate { starts, per }),
        }
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.starts, self.per)
    }
}

impl Serialize for Rate {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&format!("{}/{}ms", self.starts, self.per.0))
    }
}

impl<'de> Deserialize<'de> for Rate {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Rate, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

/// Capacities by the name of the resource; a name that ends in `*` stands for all that begin so.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct CapacityOf(pub BTreeMap<String, i64>);

impl CapacityOf {
    /// The capacity of a resource: its own entry, else that of the longest beginning that fits.
    pub fn get(&self, resource: &str) -> Option<i64> {
        if let Some(own) = self.0.get(resource) {
            return Some(*own);
        }
        let beginnings = self.0.iter().filter_map(|(name, units)| Some((name.strip_suffix('*')?, *units)));
        let fitting = beginnings.filter(|it| resource.starts_with(it.0));
        fitting.max_by_key(|it| it.0.len()).map(|it| it.1)
    }

    /// Adds what another one says of resources of which this one says nothing.
    pub fn add(&mut self, other: &CapacityOf) {
        let new: Vec<_> = other.0.iter().filter(|it| self.get(it.0).is_none()).collect();
        self.0.extend(new.into_iter().map(|(name, units)| (name.clone(), *units)));
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_here_outranks_what_is_added() {
        let of = |all: &[(&str, i64)]| CapacityOf(all.iter().map(|it| (it.0.to_string(), it.1)).collect());
        for (own, other, both) in [
            (of(&[]), of(&[("gpu", 2), ("api:*", 4)]), of(&[("gpu", 2), ("api:*", 4)])),
            (of(&[("gpu", 1)]), of(&[("gpu", 2), ("cpu", 3)]), of(&[("gpu", 1), ("cpu", 3)])),
            (of(&[("api:*", 1)]), of(&[("api:x", 2), ("api:y*", 3), ("a*", 4)]), of(&[("api:*", 1), ("a*", 4)])),
            (of(&[("api:x", 1)]), of(&[("api:*", 2)]), of(&[("api:x", 1), ("api:*", 2)])),
        ] {
            let mut found = own.clone();
            found.add(&other);
            assert_eq!(found.0, both.0, "{own:?} and {other:?}");
        }
    }

    #[test]
    fn units_are_numbers_or_sizes() {
        for (resource, text, units) in [
            ("gpu", "2", Ok(2)),
            ("gpu", " 0 ", Ok(0)),
            ("vram", "8GiB", Ok(8 << 30)),
            ("memory", "512MiB", Ok(512 << 20)),
            ("memory", "0", Ok(0)),
            ("memory", "12", Err("needs a unit")),
            ("gpu", "-1", Err("less than none")),
            ("gpu", "many", Err("whole number, or a size")),
            ("gpu", "1.5", Err("whole number, or a size")),
            ("gpu", "99999999999999999", Err("more than")),
        ] {
            match (parse_units(resource, text), units) {
                (Ok(found), Ok(units)) => assert_eq!(found, units, "{resource}: {text}"),
                (Err(found), Err(part)) => assert!(found.contains(part), "{resource}: {text}: {found}"),
                (found, _) => panic!("{resource}: {text} gave {found:?}"),
            }
        }
    }

    #[test]
    fn rates_are_read_and_written_back() {
        for (text, starts, per) in
            [("60/1m", 60, 60_000), ("5/s", 5, 1_000), ("1 / 90s", 1, 90_000), ("3/1h", 3, 3_600_000)]
        {
            let rate: Rate = text.parse().unwrap();
            assert_eq!((rate.starts, rate.per.0), (starts, per), "{text}");
            let written = serde_json::to_string(&rate).unwrap();
            assert_eq!(serde_json::from_str::<Rate>(&written).unwrap(), rate);
            assert_eq!(rate.to_string().parse::<Rate>().unwrap(), rate);
        }
        for (text, part) in [
            ("60", "not a rate"),
            ("x/1m", "not a rate"),
            ("0/1m", "no start"),
            ("1/0s", "between"),
            ("20000/1m", "shorter"),
        ] {
            let error = text.parse::<Rate>().unwrap_err();
            assert!(error.contains(part), "{text}: {error}");
        }
    }

    #[test]
    fn the_longest_beginning_counts_and_an_own_entry_before_it() {
        let of = CapacityOf(
            [("api:*", 4), ("api:x*", 2), ("api:xyz", 9), ("*", 7)].map(|(name, n)| (name.to_string(), n)).into(),
        );
        for (name, units) in [("api:a", 4), ("api:xa", 2), ("api:xyz", 9), ("gpu", 7)] {
            assert_eq!(of.get(name), Some(units), "{name}");
        }
        assert_eq!(CapacityOf::default().get("gpu"), None);
    }
}
