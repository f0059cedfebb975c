//! Interprets parameter sets for the stages.

use super::{
    chunk::ChunkOptions,
    docling::Docling,
    error::{Error, Result},
    parse_options::ParseOptions,
};
use crate::{
    definition::{PARAMETERS, ParameterSet},
    embed::{self, Embedder, Server},
    model::{Bytes, Millis},
    os::file_system,
    vector::{self, OpenOptions, VectorDb},
};
use serde_json::Value;
use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

/// The directory of a home's vector databases.
const VECTORS: &str = "vectors";

/// The text to embed when only the length of the vectors is needed.
pub(super) const TRIAL_TEXT: &str = "windlass";

/// The time limit for trying a server.
const TRIAL: Millis = Millis::seconds(10);

/// Reads the parameters of a group. Missing ones get their built-in values; unknown keys may belong to others and are
/// ignored.
pub fn read(params: &Value) -> Result<ParameterSet> {
    let mut changes = Vec::new();
    for it in PARAMETERS {
        let text = match &params[it.stage][it.key] {
            Value::Null => continue,
            Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        changes.push(format!("{}.{}={text}", it.stage, it.key));
    }
    Ok(ParameterSet::builtin().overlay(changes)?)
}

/// Refuses parameters with which no document could be ingested.
pub fn check(set: &ParameterSet) -> Result<()> {
    chunk_options(set).check()?;
    if let Some(server) = docling(set) {
        server.check()?;
    }
    embedder(set).map(drop)
}

/// Requests one vector from the embedder's server, if it has one. Fails before any work if the server is unreachable or
/// no document could be embedded. A busy server is accepted, because it may have time later.
pub fn try_server(set: &ParameterSet, database: &Path) -> Result<()> {
    let Some(mut server) = server(set) else { return Ok(()) };
    note_server(set)?;
    server.timeout = server.timeout.min(TRIAL);
    let embedder = embed::served(server, None)?;
    match embedder.embed(&[TRIAL_TEXT]) {
        Ok(vectors) => check_database(database, embedder.id(), vectors.first().map(Vec::len)).map(drop),
        Err(error) if error.is_retryable() && !matches!(error, embed::Error::Away { .. }) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// Whether the embedding server of the parameters answers; `None` if they name none.
pub fn is_served(set: &ParameterSet) -> Option<bool> {
    let mut server = server(set)?;
    server.timeout = server.timeout.min(TRIAL);
    let answer = embed::served(server, None).and_then(|it| it.embed(&[TRIAL_TEXT]));
    Some(answer.is_ok())
}

/// Records that the user sends texts to the embedder's server, if there is one, so that a search may use it too.
pub fn note_server(set: &ParameterSet) -> Result<()> {
    match server(set) {
        Some(server) => Ok(embed::pair(&server.url, server.key.as_deref())?),
        None => Ok(()),
    }
}

/// Opens the vector database for reading, if it exists, and checks that it was made with this embedder. `dimension` is
/// `None` if only the embedder's server knows it.
pub fn check_database(database: &Path, embedder: &str, dimension: Option<usize>) -> Result<Option<VectorDb>> {
    let db = match VectorDb::open(database, &OpenOptions::default()) {
        Ok(db) => db,
        Err(vector::Error::NotFound { .. }) => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    if db.embedder() == embedder && dimension.is_none_or(|it| it == db.dimension()) {
        return Ok(Some(db));
    }
    Err(Error::Vector(vector::Error::Embedder {
        path: database.to_path_buf(),
        recorded: db.embedder().to_string(),
        recorded_dimension: db.dimension(),
        requested: embedder.to_string(),
        requested_dimension: dimension,
    }))
}

/// The docling-serve of the parameters, if any.
pub fn docling(set: &ParameterSet) -> Option<Docling> {
    let url = set.config["parse"]["url"].as_str().filter(|_| set.config["parse"]["backend"] == "docling")?;
    Some(Docling { url: url.to_string(), time: parse_limits(set).1 })
}

/// How documents are read.
pub fn parse_options(set: &ParameterSet) -> ParseOptions {
    let parse = &set.config["parse"];
    let default = ParseOptions::default();
    ParseOptions {
        max_bytes: parse["max_bytes"].as_u64().unwrap_or(default.max_bytes),
        max_text: parse["max_text"].as_u64().map_or(default.max_text, |it| it as usize),
        salvage: parse["salvage"].as_bool().unwrap_or(default.salvage),
        ..default
    }
}

/// The memory and the time that one document may take.
pub fn parse_limits(set: &ParameterSet) -> (Bytes, Millis) {
    let parse = &set.config["parse"];
    let memory = parse["memory"].as_u64().map_or(Bytes(1 << 30), Bytes);
    let time = parse["timeout"].as_str().and_then(|it| it.parse().ok()).unwrap_or(Millis::minutes(2));
    (memory, time)
}

pub fn chunk_options(set: &ParameterSet) -> ChunkOptions {
    let default = ChunkOptions::default();
    let count = |key: &str, default: u32| {
        set.config["chunk"][key].as_u64().map_or(default, |it| it.min(u64::from(u32::MAX)) as u32)
    };
    ChunkOptions {
        size: count("size", default.size),
        overlap: count("overlap", default.overlap),
        max: count("max", default.max),
    }
}

/// The embedder of the parameters.
pub fn embedder(set: &ParameterSet) -> Result<Arc<dyn Embedder>> {
    let embed = &set.config["embed"];
    if let Some(server) = server(set) {
        return Ok(embed::served(server, None)?);
    }
    let embedder = embed::by_name(embed["model"].as_str().unwrap_or("static"))?;
    match embed["dimensions"].as_u64() {
        Some(requested) if embedder.dimension().is_some_and(|it| requested != it as u64) => {
            let there = embedder.dimension().unwrap_or_default();
            let what = format!("`{}` has {there} dimensions, not {requested}", embedder.id());
            Err(Error::refused(what, "remove `embed.dimensions`"))
        }
        _ => Ok(embedder),
    }
}

/// The embedding server of the parameters, if any.
pub fn server(set: &ParameterSet) -> Option<Server> {
    let embed = &set.config["embed"];
    let text = |key: &str| embed[key].as_str().map(str::to_string);
    Some(Server {
        url: text("url")?,
        model: text("model").unwrap_or_default(),
        dimensions: embed["dimensions"].as_u64().map(|it| it as usize),
        key: text("key"),
        timeout: text("timeout").and_then(|it| it.parse().ok()).unwrap_or(Millis::minutes(1)),
    })
}

/// How many texts to embed between two checks of the cancel token.
pub fn batch(set: &ParameterSet) -> usize {
    set.config["embed"]["batch"].as_u64().unwrap_or(64).max(1) as usize
}

/// The parameters of an ingest group: the set, with the canonical path of the database.
pub fn for_database(set: &ParameterSet, database: &Path) -> Result<ParameterSet> {
    let Some(path) = database.to_str() else {
        let what = format!("the path {} of the vector database is not UTF-8", database.display());
        return Err(Error::refused(what, "choose another name"));
    };
    let mut set = set.clone();
    set.config["store"]["path"] = path.into();
    Ok(set)
}

/// The file of a vector database. A plain name such as `default` stands for `vectors/NAME.db` in the home; anything
/// with a slash or the extension `.db` is a path. The result is absolute, has no symbolic links in its existing part,
/// and is on a local file system. It is meant for writing: another user's file is refused.
pub fn database_path(home: &Path, name: &str) -> Result<PathBuf> {
    let written = match is_path(name) {
        true => PathBuf::from(name),
        false if name.is_empty() || name.starts_with('.') => {
            return Err(Error::refused(
                format!("`{name}` can't be the name of a vector database"),
                "use letters, or a path with a slash",
            ));
        }
        false => home.join(VECTORS).join(format!("{name}.db")),
    };
    let path = canonical(&written).map_err(|source| Error::Io { action: "resolve", path: written.clone(), source })?;
    if let Ok(there) = fs::metadata(&path)
        && !there.is_file()
    {
        let what =
            format!("{} is {}", path.display(), if there.is_dir() { "a directory" } else { "not a regular file" });
        return Err(Error::refused(what, "give the path of a file, such as `./docs.db`"));
    }
    vector::refuse_other_owners(&path)?;
    file_system::refuse_network_file_system(path.parent().unwrap_or(&path))?;
    Ok(path)
}

/// Like `database_path`, for a name that is stored in a parameter set or a setting. Refuses a relative path, which
/// would mean a different file in each working directory.
pub fn kept_database_path(home: &Path, name: &str) -> Result<PathBuf> {
    if is_path(name) && Path::new(name).is_relative() {
        let what = format!("the relative path `{name}` means a different vector database in each working directory");
        return Err(Error::refused(what, "write a name such as `docs`, which is in the home, or an absolute path"));
    }
    database_path(home, name)
}

/// The parameter with which a set reaches beyond its home, if any: a server that receives documents, a key that is sent
/// to it, or a vector database outside of the home.
pub fn reaches_beyond(home: &Path, set: &ParameterSet) -> Option<&'static str> {
    for (name, stage, key) in
        [("parse.url", "parse", "url"), ("embed.url", "embed", "url"), ("embed.key", "embed", "key")]
    {
        if !set.config[stage][key].is_null() {
            return Some(name);
        }
    }
    let path = set.config["store"]["path"].as_str().unwrap_or_default();
    let own = || {
        let (found, vectors) = (kept_database_path(home, path).ok()?, canonical(&home.join(VECTORS)).ok()?);
        Some(found.parent() == Some(&vectors) && found.extension().is_some_and(|it| it == "db"))
    };
    (is_path(path) && own() != Some(true)).then_some("store.path")
}

/// The parameter with which a set allows a document more memory, time or text than `most` does, if any.
pub fn raises_limit(set: &ParameterSet, most: &ParameterSet) -> Option<&'static str> {
    let limits = |set: &ParameterSet| {
        let (options, (memory, time)) = (parse_options(set), parse_limits(set));
        [
            ("parse.memory", memory.0),
            ("parse.timeout", time.0),
            ("parse.max_bytes", options.max_bytes),
            ("parse.max_text", options.max_text as u64),
        ]
    };
    limits(set).into_iter().zip(limits(most)).find(|(it, most)| it.1 > most.1).map(|it| it.0.0)
}

fn is_path(name: &str) -> bool {
    name.contains('/') || name.ends_with(".db")
}

/// The absolute path. The longest existing part has no symbolic links.
fn canonical(path: &Path) -> std::io::Result<PathBuf> {
    let absolute = std::path::absolute(path)?;
    let mut missing = Vec::new();
    let mut existing = absolute.as_path();
    loop {
        match fs::canonicalize(existing) {
            Ok(found) => return Ok(missing.iter().rev().fold(found, |path, name| path.join(name))),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                let (Some(name), Some(parent)) = (existing.file_name(), existing.parent()) else { return Err(error) };
                missing.push(name.to_os_string());
                existing = parent;
            }
            Err(error) => return Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use std::os::unix::fs::symlink;

    #[test]
    fn parameters_of_a_group_are_read_as_the_set_they_came_from() {
        let set =
            ParameterSet::builtin().overlay(["chunk.size=300", "parse.memory=64MiB", "embed.model=hash"]).unwrap();
        let mut params = set.config.clone();
        params["note"] = json!("of somebody else");
        let read = read(&params).unwrap();
        assert_eq!(read.config, set.config);
        assert_eq!(read.config_hash_through("embed"), set.config_hash_through("embed"));
        assert_eq!(chunk_options(&read).size, 300);
        assert_eq!(parse_limits(&read), (Bytes::mib(64), Millis::minutes(2)));
        assert_eq!(embedder(&read).unwrap().id(), "hash:v1");
        assert_eq!(super::read(&json!({})).unwrap().config, ParameterSet::builtin().config);
        assert!(super::read(&json!({"chunk": {"size": "many"}})).is_err());
    }

    #[test]
    fn what_can_not_work_is_refused_before_any_work() {
        let builtin = ParameterSet::builtin();
        assert!(check(&builtin).is_ok());
        for change in ["chunk.overlap=300", "embed.model=unheard-of", "embed.dimensions=3", "embed.url=http://h:1"] {
            let error = check(&builtin.overlay([change]).unwrap()).unwrap_err();
            assert!(error.hint().is_some(), "{change}: {error}");
        }
    }

    #[test]
    fn one_database_has_one_path() {
        let dir = tempfile::tempdir().unwrap();
        let home = dir.path().canonicalize().unwrap();
        assert_eq!(database_path(&home, "notes").unwrap(), home.join("vectors/notes.db"));
        std::fs::create_dir(home.join("real")).unwrap();
        symlink(home.join("real"), home.join("link")).unwrap();
        let through = |name: &str| database_path(&home, home.join(name).to_str().unwrap()).unwrap();
        assert_eq!(through("link/a.db"), home.join("real/a.db"));
        std::fs::write(home.join("real/a.db"), "").unwrap();
        symlink(home.join("real/a.db"), home.join("b.db")).unwrap();
        assert_eq!(through("b.db"), home.join("real/a.db"));
        assert_eq!(through("link/new/c.db"), home.join("real/new/c.db"));
        assert!(database_path(&home, "").is_err() && database_path(&home, home.to_str().unwrap()).is_err());
        assert!(database_path(&home, "/dev/null").is_err());
        assert_eq!(kept_database_path(&home, "notes").unwrap(), home.join("vectors/notes.db"));
        for relative in ["notes.db", "./notes", "../../x", "~/x.db"] {
            assert!(kept_database_path(&home, relative).is_err(), "{relative}");
        }
    }

    #[test]
    fn what_reaches_beyond_the_home_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let home = dir.path().canonicalize().unwrap();
        std::fs::create_dir(home.join(VECTORS)).unwrap();
        std::fs::write(home.join("elsewhere.db"), "").unwrap();
        symlink(home.join("elsewhere.db"), home.join("vectors/link.db")).unwrap();
        let own = format!("store.path={}/vectors/own.db", home.display());
        let up = format!("store.path={}/vectors/../engine.db", home.display());
        let link = format!("store.path={}/vectors/link.db", home.display());
        for (change, beyond) in [
            ("chunk.size=300", None),
            ("store.path=notes", None),
            (own.as_str(), None),
            (up.as_str(), Some("store.path")),
            (link.as_str(), Some("store.path")),
            ("store.path=/etc/passwd", Some("store.path")),
            ("store.path=../x", Some("store.path")),
            ("store.path=x.db", Some("store.path")),
            ("parse.url=http://127.0.0.1:1", Some("parse.url")),
            ("embed.url=http://127.0.0.1:1", Some("embed.url")),
            ("embed.key=HOME", Some("embed.key")),
        ] {
            let set = ParameterSet::builtin().overlay([change]).unwrap();
            assert_eq!(reaches_beyond(&home, &set), beyond, "{change}");
        }
    }
}
