//! API keys by name, from the environment or else from the secrets directory. A key is sent only to a server that the
//! user has paired it with, in the settings or by submitting work with both. A database can't pair them.

use super::{Error, Result, Server, server::address};
use crate::{
    os::{FileLock, Unpoisoned, ownership},
    settings::{self, Secret, Settings},
};
use serde::{Deserialize, Serialize};
use std::{
    collections::BTreeMap,
    env,
    io::{self, Write},
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard},
    time::{Duration, Instant},
};

/// The file in the home directory that records pairs from submissions. Backups exclude it.
const FILE: &str = "embed.paired";
const PATIENCE: Duration = Duration::from_secs(10);
/// The maximum number of remembered pairs. The oldest are dropped.
const MOST: usize = 1_000;

/// Where to look for keys and their servers.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Keys {
    /// The directory with one file per secret.
    secrets: PathBuf,
    /// The pairs in the settings: for each server address, the name of a key or none.
    servers: BTreeMap<String, Option<String>>,
    /// The home, which stores the pairs from submissions. `None` keeps them in this process only.
    home: Option<PathBuf>,
}

impl Keys {
    pub fn of(settings: &Settings) -> Keys {
        Keys {
            secrets: settings.secrets_dir(),
            servers: settings.embed_servers.0.clone(),
            home: Some(settings.home.clone()),
        }
    }
}

/// The user sends texts to this server, with this key or none.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Pair {
    server: String,
    key: Option<String>,
}

#[derive(Default)]
struct Known {
    keys: Keys,
    /// The newest last.
    here: Vec<Pair>,
}

static KNOWN: Mutex<Option<Known>> = Mutex::new(None);

fn known() -> MutexGuard<'static, Option<Known>> {
    KNOWN.lock().unpoisoned()
}

/// Sets where to look for keys from now on. Keys are read when needed and never stored.
pub fn use_keys(keys: Keys) {
    known().get_or_insert_default().keys = keys;
}

/// Where this process looks for keys, to pass on to a child.
pub fn keys() -> Keys {
    known().as_ref().map(|it| it.keys.clone()).unwrap_or_default()
}

/// Records that the user sends texts to this server with this key, or without one. Call it for submitted work, never
/// for content of a database.
pub fn pair(url: &str, key: Option<&str>) -> Result<()> {
    let pair = Pair { server: address(url), key: key.map(str::to_string) };
    let newest = |pairs: &[Pair]| pairs.iter().rev().find(|it| it.server == pair.server) == Some(&pair);
    let home = {
        let mut known = known();
        let known = known.get_or_insert_default();
        if !newest(&known.here) {
            known.here.push(pair.clone());
        }
        known.keys.home.clone()
    };
    let Some(home) = home.filter(|it| it.is_dir()) else { return Ok(()) };
    if newest(&noted(&home)) {
        return Ok(());
    }
    note(&home, &pair).map_err(|source| Error::Note { path: home.join(FILE), source })
}

fn note(home: &Path, pair: &Pair) -> io::Result<()> {
    let lock = FileLock::exclusive_until(&home.join(format!("{FILE}.lock")), Instant::now() + PATIENCE)?;
    let _lock = lock.ok_or(io::ErrorKind::TimedOut)?;
    let mut pairs = noted(home);
    pairs.retain(|it| it != pair);
    pairs.push(pair.clone());
    pairs.drain(..pairs.len().saturating_sub(MOST));
    let mut file = tempfile::NamedTempFile::with_prefix_in(format!("{FILE}."), home)?;
    file.write_all(&serde_json::to_vec_pretty(&pairs)?)?;
    file.as_file().sync_all()?;
    file.persist(home.join(FILE)).map_err(|error| error.error)?;
    Ok(())
}

fn noted(home: &Path) -> Vec<Pair> {
    let text = ownership::read(&home.join(FILE)).unwrap_or_default();
    serde_json::from_slice(&text).unwrap_or_default()
}

/// All pairs, the newest last. Pairs from the settings come after all others.
fn pairs() -> Vec<Pair> {
    let (keys, here) = known().as_ref().map(|it| (it.keys.clone(), it.here.clone())).unwrap_or_default();
    let mut pairs = keys.home.as_deref().map(noted).unwrap_or_default();
    pairs.extend(here);
    pairs.extend(keys.servers.into_iter().map(|(url, key)| Pair { server: address(&url), key }));
    pairs
}

/// The paired key of the server at this address. `None` if the user has never named the server.
pub fn paired(url: &str) -> Option<Option<String>> {
    let server = address(url);
    pairs().into_iter().rev().find(|it| it.server == server).map(|it| it.key)
}

/// The key of a server. Fails if the two are not paired, or if the key does not exist.
pub(super) fn find(server: &Server, name: &str) -> Result<Secret> {
    let wanted = Pair { server: address(&server.url), key: Some(name.to_string()) };
    if !pairs().contains(&wanted) {
        return Err(Error::Unpaired { url: server.url.clone(), name: name.to_string() });
    }
    let said = env::var(name).ok().filter(|it| !it.trim().is_empty());
    if let Some(text) = said {
        return Ok(Secret::new(text.trim()));
    }
    let secret = settings::secret_in(&keys().secrets, name).ok().flatten().filter(|it| !it.reveal().is_empty());
    secret.ok_or_else(|| Error::Key { url: server.url.clone(), name: name.to_string() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_goes_only_to_the_server_that_the_user_paired_it_with() {
        let home = tempfile::tempdir().unwrap();
        std::fs::create_dir(home.path().join("secrets")).unwrap();
        std::fs::write(home.path().join("secrets/MY_KEY"), "k\n").unwrap();
        let servers = BTreeMap::from([("http://set:1".to_string(), Some("MY_KEY".to_string()))]);
        let keys =
            || Keys { secrets: home.path().join("secrets"), servers: servers.clone(), home: Some(home.path().into()) };
        use_keys(keys());
        let ask = |url: &str, key: &str| {
            let server = Server {
                url: url.into(),
                model: "m".into(),
                dimensions: None,
                key: None,
                timeout: crate::model::Millis(1),
            };
            find(&server, key).map(|it| it.reveal().to_string()).map_err(|it| it.to_string())
        };
        assert_eq!(ask("http://set:1/v1", "MY_KEY").unwrap(), "k");
        for (url, key) in [("http://set:2", "MY_KEY"), ("http://set:1", "OTHER"), ("http://evil:1", "MY_KEY")] {
            assert!(ask(url, key).unwrap_err().contains("is not sent to"), "{url} {key}");
        }
        assert_eq!(paired("http://own:1"), None);
        pair("http://own:1/", Some("MY_KEY")).unwrap();
        pair("http://plain:1", None).unwrap();
        // Another process of this home knows it too.
        *known() = None;
        assert!(ask("http://own:1", "MY_KEY").is_err());
        use_keys(keys());
        assert_eq!(ask("http://own:1/v1", "MY_KEY").unwrap(), "k");
        assert_eq!((paired("http://own:1"), paired("http://plain:1/v1/")), (Some(Some("MY_KEY".into())), Some(None)));
        assert!(ask("http://plain:1", "MY_KEY").is_err());
    }
}
