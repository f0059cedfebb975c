//! The step kinds. They read artifacts, leave artifacts, and report; none sees the engine database.

mod again;
mod chunk;
mod embed;
mod parse;
mod store;
mod validate;
mod writer;

pub use chunk::ChunkKind;
pub use embed::EmbedKind;
pub use parse::ParseKind;
pub use store::StoreKind;
pub use validate::ValidateKind;

use super::{
    item::{self, Item},
    parameters, source,
};
use crate::{
    artifact,
    decide::outcome::{CommandFacts, of_command},
    definition::{ParameterSet, digest},
    engine::{self, StepContext, StepInput, StepResult},
    model::{ArtifactRef, Bytes, KillIntent, Outcome},
    os::Shortage,
    vector,
};
use serde::de::DeserializeOwned;
use serde_json::json;
use std::io;

/// The text that a server embeds when there is no other, to learn the length of its vectors.
pub(super) const TRIAL_TEXT: &str = "windlass";

/// What a kind's work comes to: its result, or the outcome that ended it early.
type Work = Result<StepResult, Outcome>;

fn ended(work: Work) -> StepResult {
    work.unwrap_or_else(StepResult::ended)
}

/// Ends the work when the engine asks for it.
fn go_on(cx: &StepContext) -> Result<(), Outcome> {
    cx.cancel.intent().map_or(Ok(()), |intent| Err(stopped(intent)))
}

fn stopped(intent: KillIntent) -> Outcome {
    of_command(&CommandFacts { intent: Some(intent), ..CommandFacts::default() })
}

fn item_of(input: &StepInput) -> Result<Item, Outcome> {
    Item::of(input).ok_or_else(|| {
        let message = "no document to work on: the item is not one of `windlass ingest`, and no earlier step is a \
            `windlass/validate`";
        Outcome::permanent("no_item", message)
    })
}

/// The artifact that holds the content of an item whose documents are kept.
fn kept(item: &Item) -> ArtifactRef {
    // What is stored is found by its hash; how large it is on disk does not matter to a reader.
    ArtifactRef { hash: item.sha256, size: item.size, stored: 0 }
}

/// The URI of a local file with the content of the item, and see `ItemDocument::within`. Content that is kept as an artifact, compressed perhaps, is
/// written out into the work directory of the attempt.
fn readable(cx: &StepContext, item: &Item) -> Result<(String, Option<String>), Outcome> {
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
    Ok((source::uri(&absolute), Some(item::ANYWHERE.to_string())))
}

fn parameters_of(input: &StepInput) -> Result<ParameterSet, Outcome> {
    parameters::read(&input.params).map_err(|error| Outcome::permanent("parameters", with_hint(&error)))
}

/// What the result of a stage depends on: the version of its code, the content and how it is named, and the parameters up
/// to it. None: such results are not kept.
pub(super) fn cache_key(stage: &str, item: &Item, set: &ParameterSet) -> Option<[u8; 32]> {
    let version = match stage {
        "parse" => json!(parse::VERSION),
        "chunk" => json!([parse::VERSION, chunk::VERSION]),
        "embed" => {
            let embedder = parameters::embedder(set).ok()?;
            json!([parse::VERSION, chunk::VERSION, embed::VERSION, embedder.id()])
        }
        _ => return None,
    };
    let what = json!({
        "stage": stage,
        "version": version,
        "content": item.sha256,
        "name": item.name_key(),
        "config": hex::encode(set.config_hash_through(stage)),
    });
    Some(digest("windlass ingest 1", &what))
}

fn cache_key_of(stage: &str, input: &StepInput) -> Option<[u8; 32]> {
    cache_key(stage, &Item::of(input)?, &parameters::read(&input.params).ok()?)
}

/// Refuses a document of which this process would have to hold more than `parse.memory`: `times` the size of each of these
/// files of earlier steps.
fn check_memory(cx: &StepContext, set: &ParameterSet, files: &[(&str, u64)]) -> Result<(), Outcome> {
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

/// Reads a JSON file that an earlier step left.
fn json_of<T: DeserializeOwned>(cx: &StepContext, file: &str) -> Result<T, Outcome> {
    let bytes = bytes_of(cx, file)?;
    serde_json::from_slice(&bytes)
        .map_err(|error| Outcome::permanent("input", format!("`{file}` of an earlier step can't be read: {error}")))
}

fn bytes_of(cx: &StepContext, file: &str) -> Result<Vec<u8>, Outcome> {
    let found = item::output_with(cx.input, file).and_then(|output| output.files.iter().find(|it| it.0 == file));
    let Some((_, artifact)) = found else {
        return Err(Outcome::permanent("no_input", format!("no earlier step left a `{file}`")));
    };
    cx.artifacts.get_bytes(artifact).map_err(of_artifact)
}

/// Work that ends for want of room was done for nothing.
fn no_room(reason: String) -> Outcome {
    Outcome::NoRoom { reason, in_vain: true }
}

fn of_artifact(error: artifact::Error) -> Outcome {
    match &error {
        // Nobody's fault: the attempt is given back.
        error if error.shortage().is_some() => no_room(with_cause(error)),
        _ => Outcome::retryable("artifact", with_cause(&error)),
    }
}

fn of_engine(error: engine::Error) -> Outcome {
    match error {
        engine::Error::Artifact(error) => of_artifact(error),
        other => other.no_room(false).unwrap_or_else(|| Outcome::retryable("io", with_cause(&other))),
    }
}

fn of_vector(error: vector::Error) -> Outcome {
    use vector::Error;
    let message = match error.hint() {
        Some(hint) => format!("{}; {hint}", with_cause(&error)),
        None => with_cause(&error),
    };
    match error {
        Error::DiskFull { .. } => no_room(message),
        error if Shortage::behind(&error).is_some() => no_room(message),
        Error::Fenced { .. } => Outcome::retryable("fenced", message),
        Error::Busy { .. } | Error::Io { .. } | Error::Sql { .. } => Outcome::retryable("database", message),
        _ => Outcome::permanent("database", message),
    }
}

fn of_io(what: &str, error: &io::Error) -> Outcome {
    match Shortage::of_start(error) {
        Some(_) => no_room(format!("{what}: {error}")),
        None => Outcome::retryable("io", format!("{what}: {error}")),
    }
}

fn with_hint(error: &super::Error) -> String {
    match error.hint() {
        Some(hint) => format!("{}; {hint}", with_cause(error)),
        None => with_cause(error),
    }
}

/// The message with the messages below it: a person sees one line.
fn with_cause(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let more = error.to_string();
        if !text.ends_with(&more) {
            text = format!("{text}: {more}");
        }
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::ArtifactHash;

    #[test]
    fn what_is_short_for_the_moment_fails_no_document() {
        let path = || std::path::PathBuf::from("py");
        for short in [Shortage::Descriptors, Shortage::Memory, Shortage::Threads, Shortage::Disk] {
            let pool =
                of_engine(engine::Error::Io { action: "open the worker pool", path: path(), source: short.as_error() });
            let file = of_artifact(artifact::Error::Io { action: "open", path: path(), source: short.as_error() });
            let thread = of_io("there is no thread", &short.as_error());
            for outcome in [pool, file, thread] {
                assert!(matches!(outcome, Outcome::NoRoom { .. }), "{outcome:?}");
            }
        }
        let database = vector::Error::Io { action: "open", path: path(), source: Shortage::Descriptors.as_error() };
        assert!(matches!(of_vector(database), Outcome::NoRoom { .. }));
        let broken = of_io("odd", &io::Error::from_raw_os_error(libc::EIO));
        assert!(matches!(broken, Outcome::Failed { retryable: true, .. }));
    }

    #[test]
    fn a_result_is_taken_again_only_where_nothing_it_depends_on_has_changed() {
        let item = |byte: u8, name: &str| Item {
            name: name.to_string(),
            source: "default".to_string(),
            sha256: ArtifactHash([byte; 32]),
            size: 1,
            documents: Vec::new(),
        };
        let keys = |item: &Item, change: &[&str]| {
            let set = ParameterSet::builtin().overlay(change).unwrap();
            ["parse", "chunk", "embed"].map(|stage| cache_key(stage, item, &set).unwrap())
        };
        let base = keys(&item(1, "a.md"), &[]);
        assert!(base[0] != base[1] && base[1] != base[2]);
        let same = |other: [[u8; 32]; 3]| [0, 1, 2].map(|at| base[at] == other[at]);
        assert_eq!(same(keys(&item(1, "other.md"), &["store.path=elsewhere"])), [true; 3]);
        assert_eq!(same(keys(&item(2, "a.md"), &[])), [false; 3], "other content");
        assert_eq!(same(keys(&item(1, "a.txt"), &[])), [false; 3], "read as another type");
        assert_eq!(same(keys(&item(1, "a.md"), &["parse.memory=2GiB"])), [false; 3]);
        assert_eq!(same(keys(&item(1, "a.md"), &["chunk.size=200"])), [true, false, false]);
        assert_eq!(same(keys(&item(1, "a.md"), &["embed.model=hash"])), [true, true, false]);
        assert_eq!(cache_key("store", &item(1, "a.md"), &ParameterSet::builtin()), None);
    }
}
