//! The one place that registers step kinds and builds an engine from settings.
//!
//! May import: everything on the floors below. Never: has behaviour of its own.

use crate::{
    artifact::{self, ArtifactOptions, ArtifactStore, Ballast},
    definition::{self, Definition, KnownKinds},
    embed,
    engine::{self, Engine, Registry},
    model::Kind,
    observe::Metrics,
    os::{clock::SystemClock, error_kind::kind_of, file_system, ownership, private},
    settings::{self, JudgedHome, Settings},
    store::{self, Store, elsewhere::IssuedNumbers},
};
use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
};

/// The engine database in the home directory.
pub const DATABASE: &str = "engine.db";

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Settings(#[from] settings::Error),
    #[error(transparent)]
    Home(#[from] file_system::Error),
    #[error("a restore into {} was interrupted, so this home can't be used", path.display())]
    Unfinished { path: PathBuf },
    #[error(
        "the engine database {} {}, but this home has {}: the database was lost",
        path.display(), if *missing { "is missing" } else { "is empty (0 bytes)" }, traces.join(" and ")
    )]
    DatabaseLost { path: PathBuf, missing: bool, traces: Vec<&'static str> },
    #[error("failed to make the home directory {}", path.display())]
    Create { path: PathBuf, source: io::Error },
    #[error(transparent)]
    Store(#[from] store::Error),
    #[error(transparent)]
    Artifact(#[from] artifact::Error),
    #[error("the setting `alerts` is wrong")]
    Alerts(#[source] definition::Error),
}

pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// The kind of the error.
    pub fn kind(&self) -> Kind {
        match self {
            Error::Settings(error) => error.kind(),
            Error::Home(error) => error.kind(),
            Error::Unfinished { .. } | Error::DatabaseLost { .. } => Kind::Failed,
            Error::Create { source, .. } => kind_of(source),
            Error::Store(error) => error.kind(),
            Error::Artifact(error) => error.kind(),
            Error::Alerts(error) => error.kind(),
        }
    }

    /// What the user should do next, if known.
    pub fn hint(&self) -> Option<String> {
        match self {
            Error::Settings(error) => error.hint(),
            Error::Home(error) => error.hint(),
            Error::Unfinished { .. } => Some("restore again with `windlass restore FILE`".to_string()),
            Error::DatabaseLost { .. } => Some(
                "restore a backup with `windlass restore FILE --force`, or move the home directory away to start with an \
                 empty one"
                    .to_string(),
            ),
            Error::Create { .. } => Some("name another directory with `--home DIR`".to_string()),
            Error::Store(error) => error.hint().map(str::to_string),
            Error::Artifact(error) => error.hint().map(str::to_string),
            Error::Alerts(error) => error.hint().map(|it| it.to_string()),
        }
    }
}

/// Creates the home directory if it does not exist, accessible only to its owner. Refuses a home that belongs to
/// another user in whole or in part, and a network file system.
pub fn prepare_home(settings: &Settings) -> Result<()> {
    judged_home(settings).map(drop)
}

fn judged_home(settings: &Settings) -> Result<JudgedHome> {
    let found = settings::check_home(&settings.home)?;
    file_system::refuse_network_file_system(&settings.home)?;
    if settings.home.join(settings::UNFINISHED_RESTORE).exists() {
        return Err(Error::Unfinished { path: settings.home.clone() });
    }
    let failed = |source| Error::Create { path: settings.home.clone(), source };
    private::create_dir_all(&settings.home).map_err(failed)?;
    match found {
        Some(judged) => Ok(judged),
        // It was created a moment ago, in a directory that may belong to another user.
        None => settings::check_home(&settings.home)?.ok_or_else(|| failed(io::ErrorKind::NotADirectory.into())),
    }
}

/// Opens the engine database, creating it at first use. On a full disk, the ballast makes space for that.
pub fn store(settings: &Settings) -> Result<Store> {
    let judged = judged_home(settings)?;
    let opened = open_store(settings)?;
    // SQLite opens its files by path.
    judged.confirm()?;
    Ok(opened)
}

fn open_store(settings: &Settings) -> Result<Store> {
    refuse_lost_database(settings)?;
    let durability = match settings.durability {
        settings::Durability::Full => store::Durability::Full,
        settings::Durability::Normal => store::Durability::Normal,
    };
    let home = settings.home.clone();
    let issued = IssuedNumbers::new(move |engine, databases| {
        [engine::numbers_in(&home, engine), newest_runs(&home, engine, databases)].concat()
    });
    let path = settings.home.join(DATABASE);
    let fair_after = settings.fair_after;
    let options = store::Options { durability, fair_after, issued: Some(issued), ..store::Options::new(path) };
    let ballast = Ballast::new(&settings.home.join(Ballast::NAME), settings.ballast, settings.disk_reserve);
    loop {
        match Store::open(&options, Arc::new(SystemClock)) {
            // Even reading needs some space next to the database; the ballast is for such cases.
            Err(store::Error::DiskFull { .. }) if ballast.give_up()? => {}
            opened => return Ok(opened?),
        }
    }
}

/// The newest runs that vector databases know of. Without the feature for documents there are none.
#[cfg(feature = "ingest")]
use crate::ingest::newest_runs;
#[cfg(not(feature = "ingest"))]
fn newest_runs(_home: &Path, _engine: &str, _databases: &[PathBuf]) -> Vec<store::elsewhere::FoundNumber> {
    Vec::new()
}

/// Refuses to create an empty database if the home shows that there was one before: artifact files, vector databases,
/// or a log with commits.
fn refuse_lost_database(settings: &Settings) -> Result<()> {
    let path = settings.home.join(DATABASE);
    let length = path.metadata().map(|it| it.len()).ok();
    if length.is_some_and(|it| it > 0) {
        return Ok(());
    }
    let mut traces = Vec::new();
    // A directory outside of the home may also belong to another home.
    let artifacts = settings.artifact_dir();
    if artifacts.starts_with(&settings.home)
        && holds(&artifacts, |it| it.path().is_dir() && holds(&it.path(), |_| true))
    {
        traces.push("artifacts");
    }
    let vectors = |it: &fs::DirEntry| it.path().extension().is_some_and(|it| it == "db") && has_content(it);
    if holds(&settings.home.join("vectors"), vectors) {
        traces.push("vector databases");
    }
    if holds(&settings.home, |it| it.file_name() == "engine.db-wal" && has_content(it)) {
        traces.push("a log with commits");
    }
    match traces.is_empty() {
        true => Ok(()),
        false => Err(Error::DatabaseLost { path, missing: length.is_none(), traces }),
    }
}

fn has_content(entry: &fs::DirEntry) -> bool {
    entry.metadata().is_ok_and(|it| it.len() > 0)
}

fn holds(dir: &Path, wanted: impl Fn(&fs::DirEntry) -> bool) -> bool {
    fs::read_dir(dir).is_ok_and(|entries| entries.flatten().any(|it| wanted(&it)))
}

/// Builds the engine of a home: its database, its artifacts and all step kinds.
pub fn engine(settings: &Settings, metrics: Arc<dyn Metrics>) -> Result<Engine> {
    engine_with(settings, registry(), metrics)
}

/// Like `engine`, with additional step kinds: start with `registry()` and register them.
pub fn engine_with(settings: &Settings, kinds: Registry, metrics: Arc<dyn Metrics>) -> Result<Engine> {
    embed::use_keys(embed::Keys::of(settings));
    let store = store(settings)?;
    ownership::check_place(&settings.artifact_dir()).map_err(settings::Error::from)?;
    let artifacts =
        ArtifactStore::open(&settings.artifact_dir(), ArtifactOptions::from(settings), &engine::process_tag())?;
    let alerts = alerts(settings, &kinds)?;
    let options = engine::Options {
        alerts,
        secrets: settings.secrets_dir(),
        heartbeat: settings.heartbeat,
        silent_after: settings.silent_after,
        lock_ttl: settings.lock_ttl,
        disk_reserve: settings.disk_reserve,
        ballast: settings.ballast,
        keep: settings.keep,
        resources: settings.resources.0.clone(),
        learn: settings.learn,
        ..engine::Options::new(&settings.home)
    };
    Ok(Engine::new(store, artifacts, kinds, options, metrics))
}

/// The hooks that the settings have for every workflow.
fn alerts(settings: &Settings, kinds: &Registry) -> Result<Option<Arc<Definition>>> {
    if settings.alerts.0.is_empty() {
        return Ok(None);
    }
    let text = serde_json::Value::Object(settings.alerts.0.clone()).to_string();
    let known = KnownKinds::new(kinds.names());
    Ok(definition::parse_alerts(&text, settings::FILE, &known).map_err(Error::Alerts)?.map(Arc::new))
}

/// Every step kind by name.
pub fn registry() -> Registry {
    let mut kinds = Registry::default();
    engine::kind::register(&mut kinds);
    #[cfg(feature = "ingest")]
    crate::ingest::register(&mut kinds);
    kinds
}
