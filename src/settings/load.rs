//! Loading: defaults, then the file, the environment and the flags.

use super::{
    error::{Error, Result},
    kind::Raw,
    table::{ENTRIES, Entry, FILE, Origin, Settings, cores, variable},
};
use crate::{model::nearest, os::ownership};
use std::{io, path::Path};
use toml::{
    Spanned,
    de::{DeTable, DeValue},
};
use tracing_subscriber::EnvFilter;

/// The maximum number of events in memory. This many take about 500 MB.
const MOST_HISTORY: u64 = 1_000_000;

/// Variables with our prefix that are not settings: the home itself, and the variables of steps and workers.
const OTHER_VARIABLES: &[&str] = &[
    "WINDLASS_HOME",
    "WINDLASS_FDS",
    "WINDLASS_GROUP",
    "WINDLASS_RUN",
    "WINDLASS_STEP",
    "WINDLASS_ATTEMPT",
    "WINDLASS_TOKEN",
    "WINDLASS_ITEM",
    "WINDLASS_PARAMS",
    "WINDLASS_OUT",
    "WINDLASS_INPUTS",
    "WINDLASS_EVENT",
    "WINDLASS_GROUP_NAME",
    "WINDLASS_GROUP_STATUS",
    "WINDLASS_GROUP_FAILED",
    "WINDLASS_GROUP_TOTAL",
    "WINDLASS_GROUP_REASONS",
    "WINDLASS_URL",
];

/// Loads the settings of a home directory. A missing file counts as empty.
///
/// `environment` is the whole environment; `overrides` are flags as (name, value), with dots in the name, such as
/// `("pools.parse", "4")`.
pub fn load(
    home: &Path,
    environment: impl IntoIterator<Item = (String, String)>,
    overrides: &[(String, String)],
) -> Result<Settings> {
    let mut settings = Settings::defaults(home, cores());
    let path = home.join(FILE);
    match ownership::read_to_string(&path) {
        Ok(text) => settings.read_file(&path, &text)?,
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => (),
        Err(source) => return Err(Error::Io { action: "read", path, source }),
    }
    for (name, value) in environment {
        settings.read_variable(&name, &value)?;
    }
    for (name, value) in overrides {
        settings.read_flag(name, value)?;
    }
    settings.check()?;
    Ok(settings)
}

impl Settings {
    fn read_file(&mut self, path: &Path, text: &str) -> Result<()> {
        let table = DeTable::parse(text).map_err(|error| Error::File {
            path: path.to_path_buf(),
            line: line_of(text, error.span().map_or(0, |it| it.start)),
            message: error.message().to_string(),
            hint: None,
        })?;
        self.read_table(path, text, "", table.get_ref())
    }

    fn read_table(&mut self, path: &Path, text: &str, prefix: &str, table: &DeTable<'_>) -> Result<()> {
        for (key, value) in table {
            let name = format!("{prefix}{}", key.get_ref());
            let line = line_of(text, key.span().start);
            let refuse = |message: String, hint| Error::File { path: path.to_path_buf(), line, message, hint };
            let inner = as_table(value);
            match ENTRIES.iter().find(|it| it.name == name) {
                Some(entry) => {
                    (entry.read)(self, &Raw::Toml(value.get_ref()))
                        .map_err(|it| refuse(format!("`{name}`: {it}"), None))?;
                    self.origins.insert(entry.name, Origin::File { path: path.to_path_buf(), line });
                }
                None if inner.is_some() && ENTRIES.iter().any(|it| it.name.starts_with(&format!("{name}."))) => {
                    self.read_table(path, text, &format!("{name}."), inner.unwrap_or(table))?;
                }
                None => return Err(refuse(format!("unknown setting `{name}`"), Some(hint(&name)))),
            }
        }
        Ok(())
    }

    fn read_variable(&mut self, name: &str, value: &str) -> Result<()> {
        if !name.starts_with("WINDLASS_") || OTHER_VARIABLES.contains(&name) {
            return Ok(());
        }
        let Some(entry) = ENTRIES.iter().find(|it| variable(it.name) == name) else {
            let known: Vec<String> = ENTRIES.iter().map(|it| variable(it.name)).collect();
            let meant = nearest(name, known.iter().map(String::as_str)).map(str::to_string);
            self.unknown_variables.push((name.to_string(), meant));
            return Ok(());
        };
        // An invalid history limit means the default, and one above the maximum means the maximum.
        let limit = (entry.name == "history_limit").then(|| value.trim().parse::<u64>().unwrap_or(0).min(MOST_HISTORY));
        if value.is_empty() || limit == Some(0) {
            return Ok(());
        }
        let value = &limit.map_or(value.to_string(), |it| it.to_string());
        let refuse = |message| Error::Variable { name: name.to_string(), message };
        (entry.read)(self, &Raw::Text(value)).map_err(refuse)?;
        self.origins.insert(entry.name, Origin::Environment(name.to_string()));
        Ok(())
    }

    fn read_flag(&mut self, name: &str, value: &str) -> Result<()> {
        let refuse = |message: String, hint| Error::Flag { name: name.to_string(), message, hint };
        let (entry, value) = match ENTRIES.iter().find(|it| it.name == name) {
            Some(entry) => (entry, value.to_string()),
            None => match entry_of_map(name) {
                Some((entry, key)) => (entry, format!("{key}={value}")),
                None => return Err(refuse("is not known".to_string(), Some(hint(name)))),
            },
        };
        (entry.read)(self, &Raw::Text(&value)).map_err(|it| refuse(it, None))?;
        self.origins.insert(entry.name, Origin::Flag);
        Ok(())
    }

    /// Checks rules between settings. The error names the setting and its source.
    fn check(&self) -> Result<()> {
        let positive = [
            ("heartbeat", self.heartbeat.0),
            ("lock_ttl", self.lock_ttl.0),
            ("keep", self.keep.0),
            ("history_limit", self.history_limit),
        ];
        if let Some((name, _)) = positive.into_iter().find(|it| it.1 == 0) {
            return Err(self.refuse(name, "must be more than 0".into(), None));
        }
        if self.history_limit > MOST_HISTORY {
            return Err(self.refuse("history_limit", format!("must be at most {MOST_HISTORY}"), None));
        }
        if self.silent_after.0 < self.heartbeat.0.saturating_mul(3) {
            let message = format!("must be at least three heartbeats ({})", self.heartbeat);
            let hint = "a worker that is only slow would be declared dead".to_string();
            return Err(self.refuse("silent_after", message, Some(hint)));
        }
        if self.lock_ttl.0 < self.heartbeat.0.saturating_mul(3) {
            let message = format!("must be at least three heartbeats ({})", self.heartbeat);
            return Err(self.refuse("lock_ttl", message, None));
        }
        if !(1..=19).contains(&self.compression_level) {
            let hint = "to compress nothing, set `compression.on = false`".to_string();
            return Err(self.refuse("compression.level", "must be 1 to 19".into(), Some(hint)));
        }
        // A proxy need not identify itself, and the requests that it forwards can appear to come from this machine.
        let proxied =
            [("hosts", self.hosts.0.is_empty()), ("trust_proxy_headers", self.trust_proxy_headers.0.is_empty())];
        let opened = [("api_open", self.api_open), ("read_open", self.read_open)];
        if let (Some((proxy, _)), Some((open, _))) = (proxied.iter().find(|it| !it.1), opened.iter().find(|it| it.1)) {
            let message = format!("can't be combined with `{proxy}`: forwarded requests would need no token either");
            let hint = format!("unset `{open}` or `{proxy}`; clients behind a proxy send the token");
            return Err(self.refuse(open, message, Some(hint)));
        }
        if self.pools.0.values().all(|it| *it == 0) {
            return Err(self.refuse("pools", "no pool has a slot".into(), Some("set `*` to 1 or more".into())));
        }
        let filter = &self.log_level;
        if let Some(word) = filter.split(',').map(str::trim).find(|it| is_no_level(it)) {
            let hint = "`error`, `warn`, `info`, `debug`, `trace`, `off`, or a filter such as `windlass::engine=debug`";
            return Err(self.refuse("log.level", format!("`{word}` is not a level"), Some(hint.into())));
        }
        if let Err(error) = EnvFilter::try_new(filter) {
            return Err(self.refuse("log.level", error.to_string(), None));
        }
        Ok(())
    }

    fn refuse(&self, name: &str, message: String, hint: Option<String>) -> Error {
        match self.origin(name) {
            Origin::File { path, line } => Error::File { path, line, message: format!("`{name}`: {message}"), hint },
            Origin::Environment(variable) => Error::Variable { name: variable, message },
            Origin::Default | Origin::Flag => Error::Flag { name: name.to_string(), message, hint },
        }
    }
}

/// Whether the filter would take this word for a module name. A misspelt level would then silence the log.
fn is_no_level(directive: &str) -> bool {
    let levels = ["error", "warn", "info", "debug", "trace", "off", ""];
    let is_level = levels.iter().any(|it| directive.eq_ignore_ascii_case(it));
    !is_level && !directive.contains(['=', '[', ':']) && directive != "windlass" && directive.parse::<u8>().is_err()
}

fn as_table<'v, 'i>(value: &'v Spanned<DeValue<'i>>) -> Option<&'v DeTable<'i>> {
    value.get_ref().as_table()
}

/// `pools.parse` is the entry `parse` of the map `pools`.
fn entry_of_map(name: &str) -> Option<(&'static Entry, &str)> {
    let of = |entry: &'static Entry| {
        let key = name.strip_prefix(entry.name)?.strip_prefix('.')?;
        (entry.is_map && !key.is_empty()).then_some((entry, key))
    };
    ENTRIES.iter().find_map(of)
}

fn hint(name: &str) -> String {
    match nearest(name, ENTRIES.iter().map(|it| it.name)) {
        Some(known) => format!("did you mean `{known}`?"),
        None => "`windlass settings` lists all of them".to_string(),
    }
}

fn line_of(text: &str, offset: usize) -> usize {
    text.bytes().take(offset).filter(|it| *it == b'\n').count() + 1
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        model::{Bytes, Millis},
        settings::{Compression, Durability},
    };
    use std::fs;

    fn load_text(text: &str, environment: &[(&str, &str)], flags: &[(&str, &str)]) -> Result<Settings> {
        let home = tempfile::tempdir().unwrap();
        fs::write(home.path().join(FILE), text).unwrap();
        let owned = |pairs: &[(&str, &str)]| -> Vec<(String, String)> {
            pairs.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect()
        };
        load(home.path(), owned(environment), &owned(flags))
    }

    #[test]
    fn later_sources_outrank_earlier_ones_and_are_remembered() {
        let text = "heartbeat = \"3s\"\nkeep = \"7d\"\ndurability = \"normal\"\n[pools]\nparse = 3\n[compression]\nlevel = 9\n";
        let variables =
            [("WINDLASS_KEEP", "8d"), ("WINDLASS_POOLS", "store=2"), ("PATH", "/bin"), ("WINDLASS_RUN", "r1")];
        let it = load_text(text, &variables, &[("durability", "full"), ("pools.embed", "5")]).unwrap();
        assert_eq!(
            (it.heartbeat, it.keep, it.durability),
            (Millis::seconds(3), Millis(8 * 86_400_000), Durability::Full)
        );
        assert_eq!((it.compression, it.compression_level), (Compression::On, 9));
        let pools: Vec<_> = ["parse", "store", "embed"].iter().map(|name| it.pools.0[*name]).collect();
        assert_eq!(pools, [3, 2, 5]);
        assert!(matches!(it.origin("compression.level"), Origin::File { line: 7, .. }));
        assert_eq!(it.origin("keep"), Origin::Environment("WINDLASS_KEEP".into()));
        assert_eq!((it.origin("durability"), it.origin("listen")), (Origin::Flag, Origin::Default));
        assert_eq!(it.unknown_variables, []);
    }

    #[test]
    fn an_absent_file_gives_the_defaults() {
        let home = tempfile::tempdir().unwrap();
        let it = load(&home.path().join("not-yet"), [], &[]).unwrap();
        assert_eq!(it, Settings::defaults(&home.path().join("not-yet"), cores()));
        assert_eq!((it.disk_reserve, it.stop_timeout), (Bytes::mib(64), Millis::seconds(30)));
        assert_eq!(it.listen.to_string(), "127.0.0.1:8787");
    }

    #[test]
    fn what_is_wrong_is_refused_with_its_line_and_the_right_name() {
        for (text, line, message, hint) in [
            ("\nheartbeet = \"2s\"\n", 2, "unknown setting `heartbeet`", "did you mean `heartbeat`?"),
            (
                "[compression]\nlevle = 3\n",
                2,
                "unknown setting `compression.levle`",
                "did you mean `compression.level`?",
            ),
            ("[compresion]\nlevel = 3\n", 1, "unknown setting `compresion`", "compression"),
            ("quux = 1\n", 1, "unknown setting `quux`", "`windlass settings` lists all"),
            ("heartbeat = 2\n", 1, "`2` must be a duration such as `30s`", ""),
            ("durability = \"off\"\n", 1, "must be `full` or `normal`", ""),
            ("pools = 3\n", 1, "must be a table", ""),
            ("[log]\nlevel = \"warning\"\n", 2, "`warning` is not a level", "`warn`"),
            ("[log]\nlevel = \"windlass=quux\"\n", 2, "`log.level`", ""),
            ("[pools]\nparse = -1\n", 1, "0 to 4096 slots", ""),
            ("a = [\n", 1, "unclosed array", ""),
            ("heartbeat = \"20s\"\nsilent_after = \"30s\"\n", 2, "three heartbeats", "declared dead"),
            ("compression.level = 40\n", 1, "must be 1 to 19", "compression.on = false"),
            ("[compression]\nlevels = { parse = 10 }\n", 2, "`parse` is not a type of artifact; known: document", ""),
            ("[compression.levels]\nmarkdwn = 10\n", 1, "did you mean `markdown`?", ""),
            ("history_limit = 0\n", 1, "more than 0", ""),
            ("history_limit = 1000001\n", 1, "must be at most 1000000", ""),
            ("[listen]\nport = 1\n", 1, "single value", ""),
        ] {
            let error = load_text(text, &[], &[]).err().unwrap_or_else(|| panic!("{text} was read"));
            let said = error.to_string();
            assert!(said.contains(&format!("{FILE}:{line}: ")) && said.contains(message), "{text}: {said}");
            assert!(error.hint().unwrap_or_default().contains(hint), "{text}: {:?}", error.hint());
        }
        let error = load_text("", &[], &[("pool.parse", "4")]).unwrap_err();
        assert_eq!(error.to_string(), "setting `pool.parse`: is not known");
        let error = load_text("", &[("WINDLASS_LISTEN", "everywhere")], &[]).unwrap_err();
        assert!(error.to_string().starts_with("variable WINDLASS_LISTEN: `everywhere` must be an address"), "{error}");
    }

    #[test]
    fn a_mistyped_variable_is_reported_with_the_right_name() {
        let it = load_text("", &[("WINDLASS_DURABILTY", "normal")], &[]).unwrap();
        assert_eq!(it.unknown_variables, [("WINDLASS_DURABILTY".to_string(), Some("WINDLASS_DURABILITY".to_string()))]);
    }

    #[test]
    fn an_unusable_history_limit_in_the_environment_means_the_default() {
        for value in ["", "many", "0", "-5"] {
            assert_eq!(
                load_text("", &[("WINDLASS_HISTORY_LIMIT", value)], &[]).unwrap().history_limit,
                1_000,
                "{value}"
            );
        }
        for (value, limit) in [("50", 50), ("18446744073709551615", 1_000_000)] {
            assert_eq!(load_text("", &[("WINDLASS_HISTORY_LIMIT", value)], &[]).unwrap().history_limit, limit);
        }
    }

    #[test]
    fn secrets_are_never_shown() {
        let it = load_text("api_token = \"hunter2\"\n", &[], &[]).unwrap();
        assert_eq!(it.api_token.as_ref().unwrap().reveal(), "hunter2");
        let listed = it.list();
        assert_eq!(listed.iter().find(|it| it.name == "api_token").unwrap().value, "(set)");
        assert!(!format!("{it:?}{listed:?}").contains("hunter2"));
        let error = load_text("api_token = [\"hunter2\"]\n", &[], &[]).unwrap_err();
        assert!(!format!("{error} {error:?}").contains("hunter2"));
    }

    #[test]
    fn secrets_come_from_their_directory_only() {
        let home = tempfile::tempdir().unwrap();
        let it = Settings::defaults(home.path(), 1);
        assert!(it.secret("KEY").unwrap().is_none(), "no directory");
        fs::create_dir(home.path().join("secrets")).unwrap();
        fs::write(home.path().join("secrets/KEY"), "abc\n").unwrap();
        fs::write(home.path().join("outside"), "x").unwrap();
        assert_eq!(it.secret("KEY").unwrap().unwrap().reveal(), "abc");
        assert!(it.secret("OTHER").unwrap().is_none() && it.secret("../outside").unwrap().is_none());
    }

    #[test]
    fn every_setting_has_its_own_name_and_reads_its_own_default_back() {
        let mut it = Settings::defaults(Path::new("/h"), 4);
        for entry in ENTRIES.iter().filter(|it| it.name != "api_token") {
            let text = (entry.show)(&it);
            let text = if entry.is_map && text == "none" { String::new() } else { text };
            (entry.read)(&mut it, &Raw::Text(&text)).unwrap_or_else(|error| panic!("{}: {error}", entry.name));
            assert_eq!(ENTRIES.iter().filter(|other| variable(other.name) == variable(entry.name)).count(), 1);
        }
        assert_eq!(it, Settings::defaults(Path::new("/h"), 4));
    }
}
