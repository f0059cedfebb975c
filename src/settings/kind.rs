//! The kinds of values of settings: how each is parsed and displayed.

use crate::model::{Bytes, CapacityOf, Millis, artifact::kind, nearest, resource::parse_units, units_text};
use std::{
    collections::BTreeMap,
    fmt,
    net::{IpAddr, SocketAddr},
    path::PathBuf,
};
use toml::de::DeValue;

/// An unparsed value.
pub(super) enum Raw<'a> {
    /// From a variable or a flag.
    Text(&'a str),
    Toml(&'a DeValue<'a>),
}

/// A kind of value.
pub(super) trait Setting: Sized {
    const KIND: &'static str;
    const IS_MAP: bool = false;

    fn read(raw: &Raw<'_>) -> Result<Self, String>;
    fn show(&self) -> String;

    /// Replaces this value with a newer one. A map merges the entries instead.
    fn accept(&mut self, newer: Self) {
        *self = newer;
    }
}

/// A setting with a fixed set of named values.
pub trait Choice: Copy + 'static {
    const KIND: &'static str;
    const NAMES: &'static [(&'static str, Self)];
}

/// What a commit survives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Durability {
    Full,
    Normal,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    Human,
    Json,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compression {
    On,
    Off,
}

impl Choice for Durability {
    const KIND: &'static str = "`full` or `normal`";
    const NAMES: &'static [(&'static str, Self)] = &[("full", Durability::Full), ("normal", Durability::Normal)];
}

impl Choice for LogFormat {
    const KIND: &'static str = "`human` or `json`";
    const NAMES: &'static [(&'static str, Self)] = &[("human", LogFormat::Human), ("json", LogFormat::Json)];
}

impl Choice for Compression {
    const KIND: &'static str = "`true` or `false`";
    const NAMES: &'static [(&'static str, Self)] = &[("true", Compression::On), ("false", Compression::Off)];
}

/// Slots by step type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pools(pub BTreeMap<String, usize>);

impl Pools {
    pub fn default_for(cores: usize) -> Pools {
        let places = [("parse", cores.max(1)), ("store", 1), ("*", cores.max(1))];
        Pools(places.map(|(name, size)| (name.to_string(), size)).into())
    }
}

/// Capacities of resources by name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Capacities(pub CapacityOf);

/// zstd levels by type of artifact.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Levels(pub BTreeMap<String, i64>);

/// The name of the API key for each server address; `None` if the server needs no key.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Servers(pub BTreeMap<String, Option<String>>);

/// Host names, in lower case.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Names(pub Vec<String>);

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Addresses(pub Vec<IpAddr>);

/// A cosine between 0 and 1.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Score(pub f64);

impl std::str::FromStr for Score {
    type Err = String;

    fn from_str(text: &str) -> Result<Score, String> {
        let number = text.parse().ok().filter(|it| (0.0..=1.0).contains(it));
        number.map(Score).ok_or_else(|| format!("`{text}` must be a number from 0 to 1"))
    }
}

impl fmt::Display for Score {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Text that is never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    pub fn new(text: impl Into<String>) -> Secret {
        Secret(text.into())
    }

    /// The secret itself, for the one place that needs it.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(hidden)")
    }
}

impl Raw<'_> {
    /// The value as text, as on a command line.
    pub(super) fn text(&self) -> Result<String, String> {
        match self {
            Raw::Text(text) => Ok(text.trim().to_string()),
            Raw::Toml(DeValue::String(text)) => Ok(text.to_string()),
            Raw::Toml(DeValue::Integer(number)) => Ok(number.as_str().replace('_', "")),
            Raw::Toml(DeValue::Float(number)) => Ok(number.as_str().replace('_', "")),
            Raw::Toml(DeValue::Boolean(value)) => Ok(value.to_string()),
            Raw::Toml(_) => Err("must be a single value".to_string()),
        }
    }

    /// The words of a list, or of text such as `a,b`.
    pub(super) fn words(&self) -> Result<Vec<String>, String> {
        match self {
            Raw::Toml(DeValue::Array(list)) => list.iter().map(|it| Raw::Toml(it.get_ref()).text()).collect(),
            _ => {
                let text = self.text()?;
                let words = text.split(',').map(str::trim).filter(|it| !it.is_empty() && *it != "none");
                Ok(words.map(str::to_string).collect())
            }
        }
    }

    /// The entries of a table of texts or numbers, or of a text such as `gpu=2,memory=12GiB`.
    fn pairs(&self, example: &str) -> Result<Vec<(String, String)>, String> {
        match self {
            Raw::Toml(DeValue::Table(table)) => {
                let text = |value| Raw::Toml(value).text();
                table.iter().map(|(key, value)| Ok((key.get_ref().to_string(), text(value.get_ref())?))).collect()
            }
            Raw::Toml(_) => Err(format!("must be a table such as `{example}`")),
            Raw::Text(text) => {
                let words = text.split(',').map(str::trim).filter(|it| !it.is_empty());
                let wrong = |it: &str| format!("`{it}` must have the form `gpu=2`");
                let pairs = words.map(|it| it.rsplit_once('=').ok_or_else(|| wrong(it)));
                pairs.map(|it| it.map(|(name, units)| (name.trim().to_string(), units.trim().to_string()))).collect()
            }
        }
    }

    /// The entries of a table, or of text such as `parse=4,store=1`.
    fn entries(&self) -> Result<Vec<(String, i64)>, String> {
        match self {
            Raw::Toml(DeValue::Table(table)) => {
                let number = |value| i64::read(&Raw::Toml(value));
                table.iter().map(|(key, value)| Ok((key.get_ref().to_string(), number(value.get_ref())?))).collect()
            }
            Raw::Toml(_) => Err("must be a table such as `{ parse = 4 }`".to_string()),
            Raw::Text(text) => text.split(',').filter(|it| !it.trim().is_empty()).map(entry).collect(),
        }
    }
}

fn entry(text: &str) -> Result<(String, i64), String> {
    let wrong = || format!("`{}` must have the form `parse=4`", text.trim());
    let (name, number) = text.rsplit_once('=').ok_or_else(wrong)?;
    Ok((name.trim().to_string(), number.trim().parse().map_err(|_| wrong())?))
}

impl<C: Choice + PartialEq> Setting for C {
    const KIND: &'static str = <C as Choice>::KIND;

    fn read(raw: &Raw<'_>) -> Result<C, String> {
        let text = raw.text()?;
        let found = C::NAMES.iter().find(|it| it.0 == text);
        found.map(|it| it.1).ok_or_else(|| format!("`{text}` must be {}", <C as Choice>::KIND))
    }

    fn show(&self) -> String {
        C::NAMES.iter().find(|it| it.1 == *self).map_or("", |it| it.0).to_string()
    }
}

impl Setting for bool {
    const KIND: &'static str = "`true` or `false`";

    fn read(raw: &Raw<'_>) -> Result<bool, String> {
        match raw.text()?.as_str() {
            "true" | "1" | "yes" | "on" => Ok(true),
            "false" | "0" | "no" | "off" => Ok(false),
            other => Err(format!("`{other}` must be `true` or `false`")),
        }
    }

    fn show(&self) -> String {
        self.to_string()
    }
}

/// Implements `Setting` for kinds that implement `FromStr` and `Display`.
macro_rules! plain {
    ($($type:ty, $kind:literal;)+) => {$(
        impl Setting for $type {
            const KIND: &'static str = $kind;

            fn read(raw: &Raw<'_>) -> Result<$type, String> {
                let text = raw.text()?;
                text.parse::<$type>().map_err(|_| format!("`{text}` must be {}", $kind))
            }

            fn show(&self) -> String {
                self.to_string()
            }
        }
    )+};
}

plain! {
    u64, "a whole number";
    i64, "a whole number";
    Millis, "a duration such as `30s`";
    Bytes, "a size such as `64MiB`";
    String, "a text";
    Score, "a number from 0 to 1";
    SocketAddr, "an address such as `127.0.0.1:8787`";
}

impl<T: Setting> Setting for Option<T> {
    const KIND: &'static str = T::KIND;

    fn read(raw: &Raw<'_>) -> Result<Option<T>, String> {
        match raw.text()?.as_str() {
            "none" | "" => Ok(None),
            _ => T::read(raw).map(Some),
        }
    }

    fn show(&self) -> String {
        self.as_ref().map_or("none".to_string(), T::show)
    }
}

impl Setting for PathBuf {
    const KIND: &'static str = "a path";

    fn read(raw: &Raw<'_>) -> Result<PathBuf, String> {
        raw.text().map(PathBuf::from)
    }

    fn show(&self) -> String {
        self.display().to_string()
    }
}

impl Setting for Secret {
    const KIND: &'static str = "a secret";

    fn read(raw: &Raw<'_>) -> Result<Secret, String> {
        raw.text().map(Secret)
    }

    fn show(&self) -> String {
        "(set)".to_string()
    }
}

impl Setting for Pools {
    const KIND: &'static str = "a table of sizes";
    const IS_MAP: bool = true;

    fn read(raw: &Raw<'_>) -> Result<Pools, String> {
        let sized = |(name, size): (String, i64)| match usize::try_from(size) {
            Ok(size) if size <= 4_096 && !name.is_empty() => Ok((name, size)),
            _ => Err(format!("pool `{name}` must have 0 to 4096 slots")),
        };
        raw.entries()?.into_iter().map(sized).collect::<Result<_, _>>().map(Pools)
    }

    fn show(&self) -> String {
        show_map(&self.0)
    }

    fn accept(&mut self, newer: Pools) {
        self.0.extend(newer.0);
    }
}

impl Setting for Capacities {
    const KIND: &'static str = "a table of numbers or sizes";
    const IS_MAP: bool = true;

    fn read(raw: &Raw<'_>) -> Result<Capacities, String> {
        let sized = |(name, units): (String, String)| match name.is_empty() {
            true => Err("a resource has no name".to_string()),
            false => parse_units(&name, &units).map(|units| (name, units)),
        };
        raw.pairs("{ gpu = 2, memory = \"12GiB\" }")?
            .into_iter()
            .map(sized)
            .collect::<Result<_, _>>()
            .map(CapacityOf)
            .map(Capacities)
    }

    fn show(&self) -> String {
        let shown: BTreeMap<String, String> =
            self.0.0.iter().map(|(name, units)| (name.clone(), units_text(name, *units))).collect();
        show_map(&shown)
    }

    fn accept(&mut self, newer: Capacities) {
        self.0.0.extend(newer.0.0);
    }
}

impl Setting for Levels {
    const KIND: &'static str = "a table of levels";
    const IS_MAP: bool = true;

    fn read(raw: &Raw<'_>) -> Result<Levels, String> {
        let checked = |(name, level): (String, i64)| match level {
            _ if !kind::ALL.contains(&name.as_str()) => Err(match nearest(&name, kind::ALL) {
                Some(meant) => format!("`{name}` is not a type of artifact; did you mean `{meant}`?"),
                None => format!("`{name}` is not a type of artifact; known: {}", kind::ALL.join(", ")),
            }),
            0..=19 => Ok((name, level)),
            _ => Err(format!("the level of `{name}` must be 0 to 19")),
        };
        raw.entries()?.into_iter().map(checked).collect::<Result<_, _>>().map(Levels)
    }

    fn show(&self) -> String {
        show_map(&self.0)
    }

    fn accept(&mut self, newer: Levels) {
        self.0.extend(newer.0);
    }
}

impl Setting for Servers {
    const KIND: &'static str = "a table of names of keys";
    const IS_MAP: bool = true;

    fn read(raw: &Raw<'_>) -> Result<Servers, String> {
        let pairs: Vec<(String, String)> = match raw {
            Raw::Toml(DeValue::Table(table)) => {
                let name = |value| Raw::Toml(value).text();
                let pairs = table.iter().map(|(key, value)| Ok((key.get_ref().to_string(), name(value.get_ref())?)));
                pairs.collect::<Result<_, String>>()?
            }
            Raw::Toml(_) => return Err("must be a table such as `{ \"http://127.0.0.1:11434\" = \"\" }`".to_string()),
            Raw::Text(text) => {
                let words = text.split(',').map(str::trim).filter(|it| !it.is_empty());
                let pairs = words.map(|it| it.rsplit_once('=').unwrap_or((it, "")));
                pairs.map(|(address, key)| (address.to_string(), key.to_string())).collect()
            }
        };
        let checked = |(address, key): (String, String)| match address.contains("://") {
            true => Ok((address, Some(key).filter(|it| !it.is_empty()))),
            false => Err(format!("`{address}` must be the address of a server, such as `http://127.0.0.1:11434`")),
        };
        pairs.into_iter().map(checked).collect::<Result<_, _>>().map(Servers)
    }

    fn show(&self) -> String {
        let entries: Vec<String> =
            self.0.iter().map(|(address, key)| format!("{address} = {}", key.as_deref().unwrap_or("no key"))).collect();
        if entries.is_empty() { "none".to_string() } else { entries.join(", ") }
    }

    fn accept(&mut self, newer: Servers) {
        self.0.extend(newer.0);
    }
}

impl Setting for Names {
    const KIND: &'static str = "a list of names";

    fn read(raw: &Raw<'_>) -> Result<Names, String> {
        let fits = |name: &String| name.chars().all(|it| it.is_ascii_alphanumeric() || matches!(it, '.' | '-' | '_'));
        let words = raw.words()?;
        match words.iter().find(|it| !fits(it)) {
            Some(wrong) => Err(format!("`{wrong}` must be a host name, without a port")),
            None => Ok(Names(words.iter().map(|it| it.to_lowercase()).collect())),
        }
    }

    fn show(&self) -> String {
        show_list(&self.0)
    }
}

impl Setting for Addresses {
    const KIND: &'static str = "a list of addresses";

    fn read(raw: &Raw<'_>) -> Result<Addresses, String> {
        let address = |it: &String| it.parse().map_err(|_| format!("`{it}` must be an address such as `127.0.0.1`"));
        raw.words()?.iter().map(address).collect::<Result<_, _>>().map(Addresses)
    }

    fn show(&self) -> String {
        show_list(&self.0)
    }
}

fn show_list<T: fmt::Display>(list: &[T]) -> String {
    let words: Vec<String> = list.iter().map(T::to_string).collect();
    if words.is_empty() { "none".to_string() } else { words.join(", ") }
}

fn show_map<T: fmt::Display>(map: &BTreeMap<String, T>) -> String {
    let entries: Vec<String> = map.iter().map(|(name, value)| format!("{name} = {value}")).collect();
    if entries.is_empty() { "none".to_string() } else { entries.join(", ") }
}
