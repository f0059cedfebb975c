//! Rereads a file that changed after it was submitted: as soon as it stops changing, or as it is after a short wait.
//! The content is stored as an artifact of the step, so that later steps read the same bytes.

use super::{go_on, of_artifact, of_io};
use crate::{
    engine::StepContext,
    ingest::{
        content,
        item::{Item, ItemDocument, KEPT},
    },
    model::{ArtifactRef, Bytes, Outcome, artifact::kind},
    os::regular_file::{LinkOnTheWay, NotRegular},
};
use std::{
    fs::{File, Metadata},
    io::{self, Seek},
    path::Path,
    time::{Duration, Instant},
};

/// The name of the step's file with the content.
const CONTENT: &str = "content";
/// A file that has not changed for this long is considered complete.
const STILL: Duration = Duration::from_millis(300);
/// A file that keeps changing is read after this time anyway.
const PATIENCE: Duration = Duration::from_secs(3);

/// The item with the current content of its file.
pub(super) struct Again {
    pub item: Item,
    pub file: (String, ArtifactRef),
    pub guard: crate::artifact::PutGuard,
}

/// Whether a document of the item still has its content.
pub(super) fn is_current(cx: &StepContext, item: &Item) -> bool {
    let same = |document: &ItemDocument| {
        let looked = document.open().and_then(|file| content::look(file, || cx.cancel.is_cancelled()));
        matches!(looked, Ok(Some(looked)) if looked.sha256 == item.sha256)
    };
    item.documents.iter().any(|it| it.is_kept() || same(it))
}

/// Reads the first document that still exists. The others stay in the item if they have the same new content.
pub(super) fn read(cx: &StepContext, item: &Item, largest: u64) -> Result<Again, Outcome> {
    let mut reason = Outcome::permanent("gone", format!("{} is gone; run the same command again", item.name));
    for document in &item.documents {
        let Some(path) = document.path() else { continue };
        match snapshot(cx, &path, document.open(), largest) {
            Ok((file, guard)) => {
                let documents = item.documents.iter().filter(|it| it.uri == document.uri || has(cx, it, &file));
                let kept =
                    |it: &ItemDocument| ItemDocument { file: Some(KEPT.to_string()), within: None, ..it.clone() };
                let documents = documents.map(kept).collect();
                let item = Item { sha256: file.hash, size: file.size, documents, ..item.clone() };
                return Ok(Again { item, file: (CONTENT.to_string(), file), guard });
            }
            Err(outcome @ Outcome::Failed { .. }) => reason = outcome,
            Err(outcome) => return Err(outcome),
        }
    }
    Err(reason)
}

fn has(cx: &StepContext, document: &ItemDocument, file: &ArtifactRef) -> bool {
    let looked = document.open().ok().and_then(|it| content::look(it, || cx.cancel.is_cancelled()).ok().flatten());
    looked.is_some_and(|it| it.sha256 == file.hash)
}

fn snapshot(
    cx: &StepContext,
    path: &Path,
    opened: io::Result<File>,
    largest: u64,
) -> Result<(ArtifactRef, crate::artifact::PutGuard), Outcome> {
    let wrong = |error: std::io::Error| of_io(&format!("failed to read {}", path.display()), &error);
    let mut file = match opened {
        Ok(file) => file,
        // A path that has become a link since it was submitted may lead anywhere.
        Err(error) if LinkOnTheWay::behind(&error).is_some() => {
            return Err(Outcome::permanent("changed", error.to_string()));
        }
        Err(error) if NotRegular::behind(&error).is_some() => {
            return Err(Outcome::permanent("not_a_file", error.to_string()));
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            let message = format!("{} is gone; run the same command again", path.display());
            return Err(Outcome::permanent("gone", message));
        }
        Err(error) => return Err(wrong(error)),
    };
    let begun = Instant::now();
    let mut seen = file.metadata().map_err(wrong)?;
    loop {
        if cx.cancel.wait(STILL).is_some() {
            go_on(cx)?;
        }
        let now = file.metadata().map_err(wrong)?;
        if is_same(&seen, &now) || begun.elapsed() >= PATIENCE {
            break;
        }
        seen = now;
    }
    if seen.len() > largest {
        let (size, largest) = (Bytes(seen.len()), Bytes(largest));
        let message = format!("too large: {size}, the limit is {largest}; raise `parse.max_bytes`");
        return Err(Outcome::permanent("too_large", message));
    }
    file.rewind().map_err(wrong)?;
    let put = cx.artifacts.put(std::io::Read::take(file, largest), kind::DOCUMENT).map_err(of_artifact)?;
    Ok((put.artifact, put.guard))
}

fn is_same(one: &Metadata, other: &Metadata) -> bool {
    one.len() == other.len() && content::modified(one) == content::modified(other)
}
