//! The part of a settings file that may move to another home with a backup.

use super::ENTRIES;
use toml::{Table, Value};

/// What is taken over: how work is paced, kept and logged. Everything else says who owns the home, who can reach it
/// or where it writes, so it is for the owner of the new home to say. A new setting stays behind until it is put here.
const PORTABLE: &[&str] = &[
    "durability",
    "pools",
    "heartbeat",
    "silent_after",
    "lock_ttl",
    "stop_timeout",
    "keep",
    "history_limit",
    "disk_reserve",
    "ballast",
    "compression.on",
    "compression.level",
    "compression.levels",
    "http.body",
    "worker.rss",
    "worker.fds",
    "worker.age",
    "database",
    "search.min_score",
    "parameters",
    "log.level",
    "log.format",
];

/// A settings file for another home.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ported {
    pub text: String,
    /// The settings that stayed behind, in the order of their names.
    pub dropped: Vec<String>,
}

/// Keeps what may move. Fails where the text is no TOML.
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

/// A vector database may be named by a path, which would be another home's.
fn leads_out(name: &str, value: &Value) -> bool {
    name == "database" && value.as_str().is_none_or(|it| it.contains('/') || it.ends_with(".db"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_says_who_may_reach_a_home_or_where_it_writes_stays_behind() {
        let text = "keep = \"9d\"\n\"artifact_dir\" = \"/a\"\n'api_token' = 'x'\nlisten = \"0.0.0.0:1\"\nread_open = true\n\
                    api_open = true\nhosts = [\"h\"]\ntrust_proxy_headers = [\"1.2.3.4\"]\nautostart = true\n\
                    secrets_dir = \"/s\"\ndatabase = \"/d/x.db\"\nembed.servers = { \"http://h\" = \"K\" }\nodd = 1\n\
                    [compression]\nlevel = 9\n[log]\nlevel = \"warn\"\n[pools]\nparse = 3\n";
        let ported = portable(text).unwrap();
        let all = [
            "api_open",
            "api_token",
            "artifact_dir",
            "autostart",
            "database",
            "embed.servers",
            "hosts",
            "listen",
            "odd",
            "read_open",
            "secrets_dir",
            "trust_proxy_headers",
        ];
        assert_eq!(ported.dropped, all);
        let kept: Table = ported.text.parse().unwrap();
        let wanted: Table =
            "keep = \"9d\"\ncompression.level = 9\nlog.level = \"warn\"\npools.parse = 3\n".parse().unwrap();
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
