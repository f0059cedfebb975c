//! `windlass/validate`: checks that the content exists, is readable, is not too large and has not changed since it was
//! submitted.

use super::{
    Work,
    again::{self, Again},
    ended, go_on, kept, of_artifact, of_io, parameters_of,
};
use crate::{
    engine::{StepContext, StepKind, StepResult},
    ingest::{
        content::{self, Looked},
        file_uri,
        item::{DEFAULT_SOURCE, Item, ItemDocument},
        media_type, parameters,
    },
    model::{ArtifactHash, Bytes, Outcome},
    os::regular_file::{self, LinkOnTheWay, NotRegular},
};
use serde_json::{Value, json};
use std::{fs::File, io, path::Path};

pub struct ValidateKind;

impl StepKind for ValidateKind {
    fn run(&self, cx: &StepContext) -> StepResult {
        ended(validate(cx))
    }
}

fn validate(cx: &StepContext) -> Work {
    let set = parameters_of(cx.input)?;
    let largest = parameters::parse_options(&set).max_bytes;
    let item = match serde_json::from_value::<Item>(cx.input.item.clone()) {
        Ok(item) => item,
        Err(_) => from_path(cx, largest)?,
    };
    let mut reason = Outcome::permanent("no_item", "the item names no document");
    let mut changed = false;
    for document in &item.documents {
        go_on(cx)?;
        match look(cx, &item, document, largest) {
            Ok(media_type) => {
                let value = json!({ "item": item, "media_type": media_type, "uri": document.uri });
                return Ok(StepResult::succeeded(Some(value)));
            }
            // The content may be readable under another of its names.
            Err(Outcome::Failed { kind, .. }) if kind == "changed" => changed = true,
            Err(outcome @ Outcome::Failed { .. }) => reason = outcome,
            Err(outcome) => return Err(outcome),
        }
    }
    if !changed {
        return Err(reason);
    }
    let Again { item, file, guard } = again::read(cx, &item, largest)?;
    let media_type = look_at_kept(cx, &item, largest)?;
    let uri = &item.documents[0].uri;
    let mut result = StepResult::succeeded(Some(json!({ "item": item, "media_type": media_type, "uri": uri })));
    result.files.push(file);
    result.guards.push(guard);
    Ok(result)
}

/// The media type of the content, if this document still has it.
fn look(cx: &StepContext, item: &Item, document: &ItemDocument, largest: u64) -> Result<&'static str, Outcome> {
    if document.is_kept() {
        return look_at_kept(cx, item, largest);
    }
    let path = document.path().ok_or_else(|| {
        let message = format!("`{}` is not a file on this machine", document.uri);
        Outcome::permanent("not_a_file", message)
    })?;
    let looked = open_and_look(cx, &path, document.open(), largest)?;
    if looked.sha256 != item.sha256 {
        let message = format!("{} changed while it was being ingested", path.display());
        return Err(Outcome::permanent("changed", message));
    }
    media_type_of(&path, &looked)
}

fn open_and_look(cx: &StepContext, path: &Path, opened: io::Result<File>, largest: u64) -> Result<Looked, Outcome> {
    let what = format!("failed to read {}", path.display());
    let wrong = |error: io::Error| match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => {
            let message = format!("{} is gone; run the same command again", path.display());
            Outcome::permanent("gone", message)
        }
        _ if LinkOnTheWay::behind(&error).is_some() => Outcome::permanent("changed", error.to_string()),
        _ if NotRegular::behind(&error).is_some() => Outcome::permanent("not_a_file", error.to_string()),
        io::ErrorKind::PermissionDenied => Outcome::permanent("permission", format!("{what}: permission denied")),
        _ => of_io(&what, &error),
    };
    let file = opened.map_err(wrong)?;
    check_size(file.metadata().map_err(wrong)?.len(), largest)?;
    content::look(file, || cx.cancel.is_cancelled()).map_err(wrong)?.ok_or_else(|| match go_on(cx) {
        Err(stopped) => stopped,
        Ok(()) => Outcome::permanent("changed", format!("{} changes while it is being read", path.display())),
    })
}

fn check_size(size: u64, largest: u64) -> Result<(), Outcome> {
    if size <= largest {
        return Ok(());
    }
    let (size, largest) = (Bytes(size), Bytes(largest));
    let message = format!("too large: {size}, the limit is {largest}; raise `parse.max_bytes`");
    Err(Outcome::permanent("too_large", message))
}

/// Checks stored content. An artifact is only returned if it matches its hash.
fn look_at_kept(cx: &StepContext, item: &Item, largest: u64) -> Result<&'static str, Outcome> {
    check_size(item.size, largest)?;
    let mut reader = cx.artifacts.get(&kept(item)).map_err(of_artifact)?;
    let looked = content::look_at(&mut reader, item.size, || cx.cancel.is_cancelled());
    match looked.map_err(|error| of_io(&format!("failed to read the content stored as {}", item.sha256), &error))? {
        Some(looked) => media_type_of(Path::new(&item.name), &looked),
        None => go_on(cx).and(Err(Outcome::retryable("io", "failed to read the stored content to its end"))),
    }
}

fn media_type_of(path: &Path, looked: &Looked) -> Result<&'static str, Outcome> {
    Ok(media_type::detect(&looked.sample, &path.to_string_lossy()).name())
}

/// A plain item is the path of one document, relative to the directory in which the group was submitted.
fn from_path(cx: &StepContext, largest: u64) -> Result<Item, Outcome> {
    let Value::String(text) = &cx.input.item else {
        let message = "the item is neither a path nor a document of `windlass ingest`";
        return Err(Outcome::permanent("no_item", message));
    };
    let path = cx.input.directory.join(text);
    // A link stands for its current target.
    let absolute = path.canonicalize().unwrap_or_else(|_| path.clone());
    let looked = open_and_look(cx, &path, regular_file::open_without_links(&absolute), largest)?;
    let source = cx.input.params["source"].as_str().unwrap_or(DEFAULT_SOURCE).to_string();
    let name = absolute.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let document = ItemDocument { uri: file_uri::of(&absolute), file: None, within: None, metadata: Value::Null };
    let sha256: ArtifactHash = looked.sha256;
    Ok(Item { name, source, sha256, size: looked.size, documents: vec![document] })
}
