//! `windlass/chunk`: cuts the text into passages.

use super::{Work, bytes_of, cache_key_of, check_memory, ended, go_on, json_of, of_artifact, parameters_of};
use crate::{
    engine::{StepContext, StepInput, StepKind, StepResult},
    ingest::{
        chunk::{CHUNKS_MAX, chunk},
        item::{MARKDOWN, STRUCTURE},
        parameters,
    },
    model::{Chunk, Outcome, ParsedDocument, artifact::kind},
};
use serde_json::json;

/// A JSON list of `Chunk`s.
pub(super) const CHUNKS: &str = "chunks.json";

pub struct ChunkKind;

impl StepKind for ChunkKind {
    fn run(&self, cx: &StepContext) -> StepResult {
        ended(cut(cx))
    }

    fn cache_key(&self, input: &StepInput) -> Option<[u8; 32]> {
        cache_key_of("chunk", input)
    }
}

fn cut(cx: &StepContext) -> Work {
    let set = parameters_of(cx.input)?;
    // Memory for the text, its copies in chunks and their JSON, and the outline and its JSON.
    check_memory(cx, &set, &[(MARKDOWN, 4), (STRUCTURE, 4)])?;
    let options = parameters::chunk_options(&set);
    options.check().map_err(|error| Outcome::permanent("parameters", error.to_string()))?;
    let mut document: ParsedDocument = json_of(cx, STRUCTURE)?;
    document.markdown = String::from_utf8(bytes_of(cx, MARKDOWN)?)
        .map_err(|_| Outcome::permanent("input", format!("`{MARKDOWN}` of an earlier step is not UTF-8")))?;
    go_on(cx)?;
    let chunks = chunk(&document, &options);
    go_on(cx)?;
    if chunks.len() > CHUNKS_MAX {
        let message = format!("more than {CHUNKS_MAX} passages; split the document, or raise `chunk.size`");
        return Err(Outcome::permanent("too_large", message));
    }
    let value = json!({ "chunks": chunks.len(), "tokens": chunks.iter().map(|it| u64::from(it.tokens)).sum::<u64>() });
    let text = to_json(&chunks)?;
    let put = cx.artifacts.put_bytes(&text, kind::JSON).map_err(of_artifact)?;
    let mut result = StepResult::succeeded(Some(value));
    result.files.push((CHUNKS.to_string(), put.artifact));
    result.guards.push(put.guard);
    Ok(result)
}

fn to_json(chunks: &[Chunk]) -> Result<Vec<u8>, Outcome> {
    serde_json::to_vec(chunks).map_err(|error| Outcome::permanent("chunks", error.to_string()))
}
