//! The part of a settings file that may move to another home with a backup.

use super::table::ENTRIES;
use toml::{Table, Value};

/// The settings that are kept: no value of theirs can harm the machine. All others say who owns the home, who can reach
/// it, where it writes or how many resources it may use, and only the owner of the new home may decide that. A new
/// setting is dropped unless it is listed here.
const PORTABLE: &[&str] = &[
    "durability",
    "compression.on",
    "compression.level",
    "compression.levels",
    "database",
    "search.min_score",
    "parameters",
    "log.format",
];

/// A settings file for another home.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ported {
    pub text: String,
    /// The dropped settings, sorted by name.
    pub dropped: Vec<String>,
}

/// Keeps the portable settings. Fails if the text is not TOML.
pub fn portable(text: &str) -> Result<Ported, String> {
    let table: Table = text.parse().map_err(|error: toml::de::Error| error.message().to_string())?;
    let mut dropped = Vec::new();
    let kept = kept("", table, &mut dropped);
    dropped.sort();
    let rest = toml::to_string(&kept).map_err(|error| error.to_string())?;
    let mut text = String::from("# Written by `windlass restore`.\n");
    dropped
        .iter()
        .for_each(|it| text.push_str(&format!("# Removed, since it belongs to another home: {}\n", it.escape_debug())));
    text.push_str(&rest);
    Ok(Ported { text, dropped })
}

fn kept(prefix: &str, table: Table, dropped: &mut Vec<String>) -> Table {
    let mut kept_here = Table::new();
    for (key, value) in table {
        let name = format!("{prefix}{key}");
        let is_group = ENTRIES.iter().any(|it| it.name.starts_with(&format!("{name}.")));
        match value {
            Value::Table(inner) if is_group && !ENTRIES.iter().any(|it| it.name == name) => {
                let inner = kept(&format!("{name}."), inner, dropped);
                if !inner.is_empty() {
                    kept_here.insert(key, Value::Table(inner));
                }
            }
            value if PORTABLE.contains(&name.as_str()) && !leads_out(&name, &value) => {
                kept_here.insert(key, value);
            }
            _ => dropped.push(name),
        }
    }
    kept_here
}

/// Whether the value is a path: a vector database named by path would belong to another home.
fn leads_out(name: &str, value: &Value) -> bool {
    name == "database" && value.as_str().is_none_or(|it| it.contains('/') || it.ends_with(".db"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_says_who_may_reach_a_home_where_it_writes_or_what_it_takes_stays_behind() {
        let text = "keep = \"9d\"\n\"artifact_dir\" = \"/a\"\n'api_token' = 'x'\nlisten = \"0.0.0.0:1\"\nread_open = true\n\
                    api_open = true\nhosts = [\"h\"]\ntrust_proxy_headers = [\"1.2.3.4\"]\nautostart = true\n\
                    secrets_dir = \"/s\"\ndatabase = \"/d/x.db\"\nembed.servers = { \"http://h\" = \"K\" }\nodd = 1\n\
                    ballast = \"1TiB\"\ndisk_reserve = 0\n[http]\nbody = \"1TiB\"\n\
                    [compression]\nlevel = 9\n[log]\nlevel = \"trace\"\nformat = \"json\"\n[pools]\nparse = 3000\n";
        let ported = portable(text).unwrap();
        let all = [
            "api_open",
            "api_token",
            "artifact_dir",
            "autostart",
            "ballast",
            "database",
            "disk_reserve",
            "embed.servers",
            "hosts",
            "http.body",
            "keep",
            "listen",
            "log.level",
            "odd",
            "pools",
            "read_open",
            "secrets_dir",
            "trust_proxy_headers",
        ];
        assert_eq!(ported.dropped, all);
        let kept: Table = ported.text.parse().unwrap();
        let wanted: Table = "compression.level = 9\nlog.format = \"json\"\n".parse().unwrap();
        assert_eq!(kept, wanted);
        assert!(portable("a = [").is_err());
        assert_eq!(portable("").unwrap().dropped, Vec::<String>::new());
    }

    #[test]
    fn every_portable_setting_is_a_setting() {
        for name in PORTABLE {
            assert!(ENTRIES.iter().any(|it| it.name == *name), "{name}");
        }
    }
}
