//! The table of settings, and the struct with their values.

use super::{
    alerts::Alerts,
    error::{Error, Result},
    folders::Folders,
    kind::{
        Addresses, Capacities, Compression, Durability, Levels, LogFormat, Names, Pools, Raw, Score, Secret, Servers,
        Setting,
    },
};
use crate::{
    model::{Bytes, Millis, WorkerLimits},
    os::ownership,
};
use std::{
    collections::BTreeMap,
    fmt, io,
    net::SocketAddr,
    path::{Path, PathBuf},
};

/// The name of the settings file in the home directory.
pub const FILE: &str = "windlass.toml";

/// Where a value came from, in ascending precedence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    Default,
    File { path: PathBuf, line: usize },
    Environment(String),
    Flag,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Origin::Default => f.write_str("default"),
            Origin::File { path, line } => write!(f, "{}:{line}", path.display()),
            Origin::Environment(name) => write!(f, "${name}"),
            Origin::Flag => f.write_str("flag"),
        }
    }
}

/// One line of `windlass settings`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    pub name: &'static str,
    /// The value for people. For a secret, only whether it is set.
    pub value: String,
    pub default: String,
    /// The kind of value, such as `duration`.
    pub kind: &'static str,
    pub doc: &'static str,
    pub variable: String,
    pub origin: Origin,
}

/// One line of the table.
pub(super) struct Entry {
    pub(super) name: &'static str,
    pub(super) kind: &'static str,
    pub(super) doc: &'static str,
    /// Shown instead of the default value if that depends on the machine; otherwise empty.
    #[cfg_attr(not(any(test, feature = "internals")), allow(dead_code))]
    pub(super) default_text: &'static str,
    /// Whether it is a map, so that `name.key` sets one of its entries.
    pub(super) is_map: bool,
    pub(super) read: fn(&mut Settings, &Raw<'_>) -> std::result::Result<(), String>,
    pub(super) show: fn(&Settings) -> String,
}

macro_rules! settings {
    ($($field:ident: $type:ty = $default:expr, $name:literal $(as $text:literal)?, $doc:literal;)+) => {
        /// All settings with their values. Use `load` to create it.
        #[derive(Debug, Clone, PartialEq)]
        pub struct Settings {
            /// The directory with the database, the artifacts and the settings file.
            pub home: PathBuf,
            $(#[doc = $doc] pub $field: $type,)+
            /// Variables that look like settings but are not, each with the setting that was probably meant.
            pub unknown_variables: Vec<(String, Option<String>)>,
            pub(super) origins: BTreeMap<&'static str, Origin>,
        }

        impl Settings {
            /// Every setting at its default, on a machine with this many cores.
            pub fn defaults(home: &Path, cores: usize) -> Settings {
                let made: Settings = Settings {
                    home: home.to_path_buf(),
                    $($field: { let default: fn(usize) -> $type = $default; default(cores) },)+
                    unknown_variables: Vec::new(),
                    origins: BTreeMap::new(),
                };
                made
            }
        }

        pub(super) const ENTRIES: &[Entry] = &[$(Entry {
            name: $name,
            kind: <$type as Setting>::KIND,
            doc: $doc,
            default_text: concat!($($text)?),
            is_map: <$type as Setting>::IS_MAP,
            read: |settings, raw| {
                settings.$field.accept(<$type as Setting>::read(raw)?);
                Ok(())
            },
            show: |settings| settings.$field.show(),
        },)+];
    };
}

settings! {
    durability: Durability = |_| Durability::Full, "durability",
        "`full`: acknowledged work survives a power cut. `normal`: a power cut may lose the newest commits, but corrupts nothing.";
    pools: Pools = Pools::default_for, "pools" as "parse = cores, store = 1, * = cores",
        "How many steps of each type run at once (slots). `*` runs every type without a pool of its own; 0 runs none here. `hooks` runs hooks: 2 unless set.";
    resources: Capacities = |_| Capacities::default(), "resources" as "the machine's `memory`, `cpu` and `scratch`",
        "How many units there are of resources that steps share. `api:*` stands for all names that begin with `api:`. Outranks the `capacity` of workflows.";
    fair_after: Millis = |_| Millis::seconds(30), "fair_after",
        "How long a step waits at the head of the line for a resource before no other step takes that resource first.";
    learn: bool = |_| false, "learn",
        "Whether steps that name no `memory` reserve what earlier steps of their type used: the 95th percentile of the last 200 attempts, and a tenth.";
    heartbeat: Millis = |_| Millis::seconds(2), "heartbeat",
        "How often a worker records a heartbeat.";
    silent_after: Millis = |_| Millis::seconds(30), "silent_after",
        "How long a worker may be stopped or hung before other workers take over its steps.";
    lock_ttl: Millis = |_| Millis::seconds(60), "lock_ttl",
        "How long a resource lock lasts without a refresh.";
    stop_timeout: Millis = |_| Millis::seconds(30), "stop_timeout",
        "How long running steps may continue after a stop is requested.";
    keep: Millis = |_| Millis(30 * 86_400_000), "keep",
        "How long finished groups are kept. Workers and the daemon remove older ones once an hour; `windlass prune` does so at once.";
    history_limit: u64 = |_| 1_000, "history_limit",
        "How many recent events are kept in memory for the page and the API, at most 1000000.";
    artifact_dir: Option<PathBuf> = |_| None, "artifact_dir" as "`artifacts` in the home directory",
        "The directory for artifacts, for example on a larger disk.";
    output_limit: Option<Bytes> = |_| Some(Bytes::mib(10 << 10)), "output_limit",
        "The total size of the files that one step may leave in `$WINDLASS_OUT`, including holes. `none`: no limit.";
    disk_reserve: Bytes = |_| Bytes::mib(64), "disk_reserve",
        "How much disk space always stays free: below it no step is claimed and nothing is written.";
    ballast: Bytes = |_| Bytes::mib(16), "ballast",
        "The size of a file that is released when the disk is full, so that running work can finish. 0: no file.";
    compression: Compression = |_| Compression::On, "compression.on",
        "Whether artifacts are compressed (with zstd, where that saves space).";
    compression_level: i64 = |_| 3, "compression.level",
        "The zstd level, 1 (fast) to 19 (small).";
    compression_levels: Levels = |_| Levels::default(), "compression.levels" as "none",
        "Levels for single types of artifacts: `document` (uploads), `markdown`, `json`, `embeddings`, `output` (files of steps); 0 leaves a type uncompressed.";
    listen: SocketAddr = |_| SocketAddr::from(([127, 0, 0, 1], 8787)), "listen",
        "The address of the page and the API. On other addresses than loopback, every request needs the token.";
    api_token: Option<Secret> = |_| None, "api_token" as "created at first start",
        "The token for the page and the API. It is safer in a file in the secrets directory.";
    api_open: bool = |_| false, "api_open",
        "Whether the compatible API works without the token on loopback.";
    read_open: bool = |_| false, "read_open",
        "Whether every user of this machine can read without the token on loopback. Changes still need the token.";
    hosts: Names = |_| Names::default(), "hosts",
        "Host names for the page and the API behind a reverse proxy, in addition to this machine's addresses and `localhost`.";
    trust_proxy_headers: Addresses = |_| Addresses::default(), "trust_proxy_headers",
        "Addresses of proxies whose `X-Forwarded-User` is trusted: the user that it names has full access.";
    http_body: Bytes = |_| Bytes::mib(64), "http.body",
        "The maximum size of a request body.";
    autostart: bool = |_| false, "autostart",
        "Whether `submit`, `ingest --detach` and `ui` start the daemon if it is not running.";
    secrets_dir: Option<PathBuf> = |_| None, "secrets_dir" as "`secrets` in the home directory",
        "A directory with one file for each secret; read only if it exists.";
    worker_rss: Option<Bytes> = |_| WorkerLimits::default().rss, "worker.rss",
        "The memory at which windlass replaces a worker process. `none`: no limit.";
    worker_fds: Option<u64> = |_| WorkerLimits::default().fds, "worker.fds",
        "The number of open files at which windlass replaces a worker process. `none`: no limit.";
    worker_age: Option<Millis> = |_| WorkerLimits::default().age, "worker.age",
        "The age at which windlass replaces a worker process. `none`: no limit.";
    database: String = |_| "default".to_string(), "database",
        "The default vector database of `ingest` and `search`.";
    search_min_score: Option<Score> = |_| None, "search.min_score" as "depends on the embedder",
        "The minimum cosine of a passage that contains no word of the query; a search omits passages below it. 0: no minimum.";
    parameters: String = |_| "default".to_string(), "parameters",
        "The default parameter set.";
    embed_servers: Servers = |_| Servers::default(), "embed.servers" as "none",
        "Addresses of embedding servers, each with the name of its API key (or an empty string): the servers that a search of a vector database from elsewhere may use, and that a restored group may send a key to.";
    alerts: Alerts = |_| Alerts::default(), "alerts" as "none",
        "Hooks for every workflow, by event, as a workflow file has them: `[[alerts.group_failed]]`. A workflow with `alerts: false` has none.";
    watch: Folders = |_| Folders::default(), "watch",
        "Folders that the daemon keeps in vector databases: `[[watch]]` with `path`, `db`, and if wanted `prune`, `source`, `params`, `glob`, `hidden`.";
    log_level: String = |_| "info".to_string(), "log.level",
        "The log level: `error`, `warn`, `info`, `debug`, `trace`, or a filter such as `windlass::engine=debug`.";
    log_format: LogFormat = |_| LogFormat::Human, "log.format",
        "`human` or `json`, one event per line on stderr.";
}

impl Settings {
    /// Every setting with its value and origin, in the order of the reference.
    pub fn list(&self) -> Vec<Listed> {
        let defaults = Settings::defaults(&self.home, cores());
        let listed = |entry: &Entry| Listed {
            name: entry.name,
            value: (entry.show)(self),
            default: (entry.show)(&defaults),
            kind: entry.kind,
            doc: entry.doc,
            variable: variable(entry.name),
            origin: self.origin(entry.name),
        };
        ENTRIES.iter().map(listed).collect()
    }

    /// Where the value of this setting came from.
    pub fn origin(&self, name: &str) -> Origin {
        self.origins.get(name).cloned().unwrap_or(Origin::Default)
    }

    pub fn worker_limits(&self) -> WorkerLimits {
        WorkerLimits { rss: self.worker_rss, fds: self.worker_fds, age: self.worker_age }
    }

    pub fn artifact_dir(&self) -> PathBuf {
        self.artifact_dir.clone().unwrap_or_else(|| self.home.join("artifacts"))
    }

    /// A secret from the secrets directory, without trailing line breaks. `None` if the directory or the file does not
    /// exist.
    pub fn secret(&self, name: &str) -> Result<Option<Secret>> {
        secret_in(&self.secrets_dir(), name)
    }

    /// The secrets directory, which may not exist.
    pub fn secrets_dir(&self) -> PathBuf {
        self.secrets_dir.clone().unwrap_or_else(|| self.home.join("secrets"))
    }
}

/// See [`Settings::secret`].
pub fn secret_in(directory: &Path, name: &str) -> Result<Option<Secret>> {
    let is_name = !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-'));
    if !is_name || !directory.is_dir() {
        return Ok(None);
    }
    let path = directory.join(name);
    match ownership::read_through_link(&path) {
        Ok(text) => Ok(Some(Secret::new(text.trim_end_matches(['\r', '\n'])))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(Error::Io { action: "read", path, source }),
    }
}

/// The environment variable of a setting: `compression.level` is `WINDLASS_COMPRESSION_LEVEL`.
pub(super) fn variable(name: &str) -> String {
    format!("WINDLASS_{}", name.replace('.', "_").to_uppercase())
}

pub(super) fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, |it| it.get())
}
