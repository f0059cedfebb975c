//! Documents that arrive as bytes (an upload, a URL, stdin) and not as local files. The engine stores them.

use super::{
    error::{Error, Result},
    file_uri, item,
    media_type::{self},
};
use crate::{
    artifact::{ArtifactStore, Incoming, Put},
    engine::Engine,
    model::artifact::kind,
    store::document_uri::{self, DocumentUri, NewDocument},
};
use serde_json::Value;
use std::{
    io::{self, Read},
    path::{Path, PathBuf},
};

/// The properties of a document besides its bytes.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct UploadedDocument {
    pub source: String,
    pub uri: String,
    /// The name of the file, if given.
    pub file_name: Option<String>,
    /// The media type, if given.
    pub media_type: Option<String>,
    /// A JSON object; null if not given.
    pub metadata: Value,
    pub etag: Option<String>,
    pub batch: Option<i64>,
}

/// Starts storing a document piece by piece.
pub fn receive(artifacts: &ArtifactStore) -> Result<Incoming> {
    artifacts.receive(kind::DOCUMENT).map_err(|error| Error::Engine(error.into()))
}

/// Stores everything that the reader returns, up to `largest` bytes.
pub fn receive_all(artifacts: &ArtifactStore, mut reader: impl Read, largest: u64, what: &str) -> Result<Put> {
    let mut incoming = receive(artifacts)?;
    let mut block = vec![0; 256 << 10];
    loop {
        let count = match reader.read(&mut block) {
            Ok(0) => break,
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(source) => return Err(Error::Io { action: "read", path: PathBuf::from(what), source }),
        };
        if incoming.size() + count as u64 > largest {
            let largest = crate::model::Bytes(largest);
            return Err(Error::refused(format!("{what} is larger than {largest}"), "raise `parse.max_bytes`"));
        }
        incoming.write(&block[..count]).map_err(|error| Error::Engine(error.into()))?;
    }
    incoming.finish().map_err(|error| Error::Engine(error.into()))
}

/// Registers a document whose bytes are already stored. A known document keeps its id and its batch.
pub fn take(engine: &Engine, put: Put, uploaded: UploadedDocument) -> Result<DocumentUri> {
    let name = name_of(&uploaded);
    let type_said = uploaded.media_type.is_some();
    let media_type = uploaded.media_type.unwrap_or_else(|| media_type::detect(&[], &name).name().to_string());
    let new = NewDocument {
        source: uploaded.source,
        uri: uploaded.uri,
        file: put.artifact,
        media_type,
        name,
        type_said,
        etag: uploaded.etag,
        metadata: (!uploaded.metadata.is_null()).then_some(uploaded.metadata),
        batch: uploaded.batch,
    };
    let document = engine.store().write(move |tx| document_uri::put(tx, &new))?;
    // The row is committed, so no sweep removes the file from here on.
    drop(put.guard);
    Ok(document)
}

/// A name that implies the type: from the URI, or else from the file name. If it has no extension, one is added for the
/// media type.
pub(super) fn name_of(uploaded: &UploadedDocument) -> String {
    let of_uri = item::name_of_uri(&uploaded.uri).map(|it| decoded(&it));
    let names = [of_uri, uploaded.file_name.clone()];
    let plain = |name: &String| Path::new(name).file_name().map(|it| it.to_string_lossy().into_owned());
    let mut names = names.iter().flatten().filter_map(plain);
    let first = names.next().unwrap_or_else(|| "document".to_string());
    let known = |name: &String| media_type::is_usual_name(Path::new(name));
    if known(&first) {
        return first;
    }
    if let Some(other) = names.find(known) {
        return other;
    }
    match uploaded.media_type.as_deref().and_then(media_type::called) {
        Some(format) if format.upload => format!("{first}.{}", format.ending()),
        _ => first,
    }
}

/// Decodes `%20` and the like. A name that is not UTF-8 stays unchanged.
fn decoded(text: &str) -> String {
    file_uri::path_of(&format!("file:///{text}"))
        .and_then(|it| it.to_str().map(|it| it.trim_start_matches('/').to_string()))
        .unwrap_or_else(|| text.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_document_gets_a_name_that_tells_its_type() {
        for (uri, file, media_type, name) in [
            ("docs/a.md", None, None, "a.md"),
            ("https://host/a%20b.pdf?x=1", Some("z.txt"), None, "a b.pdf"),
            ("id-17", Some("report.docx"), None, "report.docx"),
            ("id-17", Some("blob"), Some("text/markdown; charset=utf-8"), "id-17.md"),
            ("id-17", None, Some("binary/octet-stream"), "id-17"),
            ("", None, None, "document"),
            ("..", Some("../../x.md"), None, "x.md"),
        ] {
            let uploaded = UploadedDocument {
                uri: uri.to_string(),
                file_name: file.map(str::to_string),
                media_type: media_type.map(str::to_string),
                ..UploadedDocument::default()
            };
            assert_eq!(name_of(&uploaded), name, "{uploaded:?}");
        }
    }
}
