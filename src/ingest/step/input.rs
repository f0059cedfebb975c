//! The input of our steps: the item, the parameters, and the files of earlier steps.

use super::outcome::{of_artifact, of_engine, of_io, with_hint};
use crate::{
    definition::ParameterSet,
    engine::{StepContext, StepInput},
    ingest::{
        file_uri,
        item::{self, Item},
        parameters,
    },
    model::{ArtifactRef, Bytes, Outcome},
};
use serde::de::DeserializeOwned;

pub(super) fn item_of(input: &StepInput) -> Result<Item, Outcome> {
    Item::of(input).ok_or_else(|| {
        let message = "no document to work on: the item is not one of `windlass ingest`, and no earlier step is a \
            `windlass/validate`";
        Outcome::permanent("no_item", message)
    })
}

/// The artifact with the content of an item whose documents the engine stores.
pub(super) fn kept(item: &Item) -> ArtifactRef {
    // Stored content is found by its hash; its size on disk does not matter for reading.
    ArtifactRef { hash: item.sha256, size: item.size, stored: 0 }
}

/// The URI of a local file with the content of the item, and its `ItemDocument::within`. Content in an artifact, which
/// may be compressed, is written to the work directory of the attempt.
pub(super) fn readable(cx: &StepContext, item: &Item) -> Result<(String, Option<String>), Outcome> {
    let seen = cx.input.inputs.values().find_map(|it| it.value.as_ref()?.get("uri")?.as_str());
    let document = item.documents.iter().find(|it| Some(it.uri.as_str()) == seen).or(item.documents.first());
    let Some(document) = document else {
        return Err(Outcome::permanent("no_item", "the item names no document"));
    };
    if !document.is_kept() {
        return Ok((document.file.clone().unwrap_or_else(|| document.uri.clone()), document.within.clone()));
    }
    let dir = cx.work.create("content").map_err(of_engine)?;
    let path = dir.join("content");
    cx.artifacts.copy_to(&kept(item), &path).map_err(of_artifact)?;
    let absolute = std::path::absolute(&path).map_err(|error| of_io("failed to find the content", &error))?;
    Ok((file_uri::of(&absolute), Some(file_uri::ANYWHERE.to_string())))
}

pub(super) fn parameters_of(input: &StepInput) -> Result<ParameterSet, Outcome> {
    parameters::read(&input.params).map_err(|error| Outcome::permanent("parameters", with_hint(&error)))
}

/// Refuses a document that would need more than `parse.memory` of this process: `times` the size of each of these files
/// of earlier steps.
pub(super) fn check_memory(cx: &StepContext, set: &ParameterSet, files: &[(&str, u64)]) -> Result<(), Outcome> {
    let size = |name: &str| {
        let found = item::output_with(cx.input, name).and_then(|it| it.files.iter().find(|file| file.0 == name));
        found.map_or(0, |it| it.1.size)
    };
    let needed = Bytes(files.iter().map(|(name, times)| size(name).saturating_mul(*times)).sum());
    let (most, _) = parameters::parse_limits(set);
    if needed.0 <= most.0 {
        return Ok(());
    }
    let message = format!("its passages need {needed} of memory, the limit is {most}; raise `parse.memory` if needed");
    Err(Outcome::permanent("too_large", message))
}

/// Reads a JSON file of an earlier step.
pub(super) fn json_of<T: DeserializeOwned>(cx: &StepContext, file: &str) -> Result<T, Outcome> {
    let bytes = bytes_of(cx, file)?;
    serde_json::from_slice(&bytes)
        .map_err(|error| Outcome::permanent("input", format!("`{file}` of an earlier step can't be read: {error}")))
}

pub(super) fn bytes_of(cx: &StepContext, file: &str) -> Result<Vec<u8>, Outcome> {
    let found = item::output_with(cx.input, file).and_then(|output| output.files.iter().find(|it| it.0 == file));
    let Some((_, artifact)) = found else {
        return Err(Outcome::permanent("no_input", format!("no earlier step left a `{file}`")));
    };
    cx.artifacts.get_bytes(artifact).map_err(of_artifact)
}
