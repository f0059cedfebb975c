//! Documents that are not files on this machine: a URL, or stdin.

use super::options::{SyncOptions, Unreadable};
use crate::{
    artifact::Put,
    engine::Engine,
    ingest::{
        error::{Error, Result},
        fetch::{self, FetchLimits},
        parameters,
        source::SourceFile,
        upload::{self, UploadedDocument},
    },
    model::Timestamp,
    store::artifact,
};
use std::{
    error::Error as _,
    io,
    path::{Path, PathBuf},
};

/// Where a document comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// `http://...`
    Url(String),
    Stdin,
}

impl Place {
    /// The meaning of a path argument that is not a file.
    pub fn of(path: &Path) -> Option<Place> {
        match path.to_str()? {
            "-" => Some(Place::Stdin),
            text if fetch::is_url(text) => Some(Place::Url(text.to_string())),
            _ => None,
        }
    }
}

/// Receives every path in the options that is not a file. An unreachable URL does not stop the others.
pub fn receive_all(engine: &Engine, options: &mut SyncOptions) -> Result<()> {
    let places: Vec<Place> = options.paths.iter().filter_map(|path| Place::of(path)).collect();
    options.paths.retain(|path| Place::of(path).is_none());
    for place in places {
        match (receive(engine, options, &place), place) {
            (Ok(file), _) => options.received.push(file),
            (Err(error), Place::Url(uri)) => {
                let cause = error.source().map(|cause| format!(": {cause}")).unwrap_or_default();
                let reason = format!("{error}{cause}");
                options.unreadable.push(Unreadable { uri, reason });
            }
            (Err(error), Place::Stdin) => return Err(error),
        }
    }
    Ok(())
}

/// Receives and stores a document. A dry run does not keep it.
fn receive(engine: &Engine, options: &SyncOptions, place: &Place) -> Result<SourceFile> {
    let size = parameters::parse_options(&options.params).max_bytes;
    let (put, uri, media_type, etag) = match place {
        Place::Url(url) => {
            let limits = FetchLimits { size, ..FetchLimits::default() };
            let fetched = fetch::fetch(engine.artifacts(), url, &limits)?;
            (fetched.put, url.clone(), fetched.media_type, fetched.etag)
        }
        Place::Stdin => {
            let put = upload::receive_all(engine.artifacts(), io::stdin().lock(), size, "stdin")?;
            // The same text is the same document, whoever sends it.
            let uri = format!("stdin:sha256-{}", put.artifact.hash);
            (put, uri, None, None)
        }
    };
    let title = options.title.as_ref().filter(|_| *place == Place::Stdin);
    let metadata = title.map(|it| serde_json::json!({ "title": it }));
    let document = UploadedDocument {
        source: options.source.clone(),
        uri,
        media_type,
        etag,
        metadata: metadata.clone().unwrap_or_default(),
        ..UploadedDocument::default()
    };
    let name = upload::name_of(&document);
    let file = SourceFile {
        path: PathBuf::from(name),
        uri: document.uri.clone(),
        size: put.artifact.size,
        modified: None::<Timestamp>,
        mtime: 0,
        within: None,
        metadata,
        kept: Some(put.artifact.hash),
    };
    match options.dry_run {
        false => upload::take(engine, put, document).map(drop)?,
        true => forget(engine, put)?,
    }
    Ok(file)
}

/// A dry run leaves nothing behind.
fn forget(engine: &Engine, put: Put) -> Result<()> {
    let hash = put.artifact.hash;
    drop(put.guard);
    let used = |hash: &_| engine.store().read(|tx| artifact::find(tx, hash)).map_or(true, |it| it.is_some());
    engine.artifacts().remove(&[hash], used).map(drop).map_err(|error| Error::Engine(error.into()))
}
