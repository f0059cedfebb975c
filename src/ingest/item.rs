//! An item of the ingest workflow: one content, and the documents that have it.

use super::file_uri::path_of;
use crate::{
    engine::StepInput,
    model::ArtifactHash,
    os::regular_file::{self, LinkOnTheWay},
    store::output::Output,
};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
};

/// The file of the parse step with the text of the document.
pub(super) const MARKDOWN: &str = "document.md";
/// The rest of the document: a `ParsedDocument` with empty `markdown`.
pub(super) const STRUCTURE: &str = "document.json";

/// The item of a run of the workflow. Documents with equal content share one.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Item {
    /// The file name of the first document, for people.
    pub name: String,
    /// The collection that the documents belong to.
    pub source: String,
    pub sha256: ArtifactHash,
    /// In bytes.
    pub size: u64,
    /// Never empty.
    pub documents: Vec<ItemDocument>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ItemDocument {
    pub uri: String,
    /// Where to read the content if not at `uri`: a `file://` URI, or [`KEPT`] if it is an artifact.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
    /// The directory, as a `file://` URI, that links in the file's path must not lead out of. `None`: no component of
    /// the path is a link.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub within: Option<String>,
    /// A JSON object, or null.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub metadata: Value,
}

impl ItemDocument {
    /// The file with the content; `None` if the URI is not that of a local file.
    pub fn path(&self) -> Option<PathBuf> {
        path_of(self.file.as_deref().unwrap_or(&self.uri))
    }

    /// The document's place for people: the path of its file, or its URI.
    pub fn place(&self) -> String {
        path_of(&self.uri).map_or_else(|| self.uri.clone(), |it| it.to_string_lossy().into_owned())
    }

    /// Opens the file at `path`, unless it has become a link that leads elsewhere.
    pub fn open(&self) -> io::Result<File> {
        open(self.file.as_deref().unwrap_or(&self.uri), self.within.as_deref())
    }

    /// Whether the engine itself stores the content, as an artifact under the hash of the item.
    pub fn is_kept(&self) -> bool {
        self.file.as_deref() == Some(KEPT)
    }

    /// The document's name for people if it has no title: its file name, or the end of its URI.
    pub fn name(&self) -> Option<String> {
        if let Some(path) = self.path() {
            return Some(path.file_name()?.to_string_lossy().into_owned());
        }
        name_of_uri(&self.uri)
    }
}

/// `ItemDocument::file` of a document whose content the engine stores as an artifact.
pub const KEPT: &str = "artifact:";

/// The field of the store step's result with the documents that it did not store: for each URI, what superseded it.
pub const SUPERSEDED: &str = "superseded";

/// The last part of a URI's path, such as `report.pdf` of `https://host/docs/report.pdf?v=2`.
pub fn name_of_uri(uri: &str) -> Option<String> {
    let path = uri.split(['?', '#']).next().unwrap_or_default();
    let path = path.split_once("://").map_or(path, |(_, rest)| rest.split_once('/').map_or("", |it| it.1));
    let last = path.trim_end_matches('/').rsplit('/').next().unwrap_or_default();
    (!last.is_empty()).then(|| last.to_string())
}

/// The default name of a collection.
pub const DEFAULT_SOURCE: &str = "default";

impl Item {
    /// The item of a step: with the content that an earlier step found, otherwise as submitted.
    pub fn of(input: &StepInput) -> Option<Item> {
        let said = |output: &Output| serde_json::from_value::<Item>(output.value.as_ref()?.get("item")?.clone()).ok();
        // The parser runs after the step that found the content.
        let found = output_with(input, MARKDOWN).and_then(said).or_else(|| input.inputs.values().find_map(said));
        found.or_else(|| serde_json::from_value(input.item.clone()).ok()).filter(|it| !it.documents.is_empty())
    }

    /// What the reader may depend on besides the content: the extension of the name, or a name without one.
    pub fn name_key(&self) -> String {
        name_key(Path::new(&self.name))
    }
}

/// See [`Item::name_key`].
pub fn name_key(path: &Path) -> String {
    match path.extension() {
        Some(ending) => format!(".{}", ending.to_string_lossy().to_lowercase()),
        None => path.file_name().unwrap_or_default().to_string_lossy().into_owned(),
    }
}

/// The output of the earlier step that produced a file of this name. Users can give their steps any names.
pub fn output_with<'a>(input: &'a StepInput, file: &str) -> Option<&'a Output> {
    input.inputs.values().find(|output| output.files.iter().any(|it| it.0 == file))
}

/// Opens the local file of a `file://` URI for reading. See [`ItemDocument::within`].
pub fn open(uri: &str, within: Option<&str>) -> io::Result<File> {
    let path = path_of(uri).ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, "not a local file"))?;
    let Some(within) = within else { return regular_file::open_without_links(&path) };
    let real = fs::canonicalize(&path)?;
    match path_of(within).is_some_and(|it| real.starts_with(it)) {
        true => regular_file::open_without_links(&real),
        false => Err(LinkOnTheWay::error(&path)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_uri_has_the_name_of_its_last_part() {
        for (uri, name) in [
            ("https://host/docs/a.pdf?v=2#x", Some("a.pdf")),
            ("https://host/docs/", Some("docs")),
            ("https://host", None),
            ("/plain/path.md", Some("path.md")),
            ("path.md", Some("path.md")),
            ("", None),
        ] {
            assert_eq!(name_of_uri(uri).as_deref(), name, "{uri}");
        }
    }

    #[test]
    fn names_that_are_read_alike_have_the_same_key() {
        for (one, other, same) in [
            ("a.md", "b.MD", true),
            ("a.md", "a.txt", false),
            ("Makefile", "x/Makefile", true),
            ("Makefile", "README", false),
        ] {
            assert_eq!(name_key(Path::new(one)) == name_key(Path::new(other)), same, "{one} {other}");
        }
    }
}
