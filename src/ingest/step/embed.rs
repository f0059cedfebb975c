//! `windlass/embed`: a vector for each passage. Passages whose text the database holds already keep their vectors.

use super::{
    Work, cache_key_of, chunk::CHUNKS, ended, go_on, json_of, of_artifact, of_vector, parameters_of, with_hint,
};
use crate::{
    definition::ParameterSet,
    embed::Embedder,
    engine::{StepContext, StepInput, StepKind, StepResult},
    ingest::parameters,
    model::{Chunk, Outcome},
    vector::{self, OpenOptions, TextHash, VectorDb},
};
use serde_json::json;
use std::{collections::HashMap, path::Path};

/// Raised whenever the same chunk is embedded otherwise than before, by the same embedder.
pub(super) const VERSION: u32 = 1;
/// Little-endian f32: a row of the embedder's dimension for each chunk, in order.
pub(super) const EMBEDDINGS: &str = "embeddings.bin";

pub struct EmbedKind;

impl StepKind for EmbedKind {
    fn run(&self, cx: &StepContext) -> StepResult {
        ended(embed(cx))
    }

    fn cache_key(&self, input: &StepInput) -> Option<[u8; 32]> {
        cache_key_of("embed", input)
    }
}

fn embed(cx: &StepContext) -> Work {
    let set = parameters_of(cx.input)?;
    let embedder = parameters::embedder(&set).map_err(|error| Outcome::permanent("embedder", with_hint(&error)))?;
    let chunks: Vec<Chunk> = json_of(cx, CHUNKS)?;
    let hashes: Vec<TextHash> = chunks.iter().map(|it| TextHash::of(&it.text)).collect();
    let mut vectors = remembered(&set, &*embedder, &hashes)?;
    let mut missing: Vec<usize> = Vec::new();
    for (at, hash) in hashes.iter().enumerate() {
        if !vectors.contains_key(hash) {
            vectors.insert(*hash, Vec::new());
            missing.push(at);
        }
    }
    for batch in missing.chunks(parameters::batch(&set)) {
        go_on(cx)?;
        let texts: Vec<&str> = batch.iter().map(|at| chunks[*at].text.as_str()).collect();
        let embedded = embedder.embed(&texts).map_err(|error| Outcome::retryable("embedder", error.to_string()))?;
        if embedded.len() != texts.len() || embedded.iter().any(|it| it.len() != embedder.dimension()) {
            let message = format!("`{}` answered with vectors of another number or length", embedder.id());
            return Err(Outcome::retryable("embedder", message));
        }
        vectors.extend(batch.iter().map(|at| hashes[*at]).zip(embedded));
    }
    let mut bytes = Vec::with_capacity(chunks.len() * embedder.dimension() * 4);
    for vector in hashes.iter().filter_map(|it| vectors.get(it)) {
        bytes.extend(vector.iter().flat_map(|it| it.to_le_bytes()));
    }
    let put = cx.artifacts.put_bytes(&bytes, "embeddings").map_err(of_artifact)?;
    let value = json!({
        "embedder": embedder.id(),
        "dimension": embedder.dimension(),
        "chunks": chunks.len(),
        "embedded": missing.len(),
    });
    let mut result = StepResult::succeeded(Some(value));
    result.files.push((EMBEDDINGS.to_string(), put.artifact));
    result.guards.push(put.guard);
    Ok(result)
}

/// The embedding cache: what the database holds for these texts, if it was made by the same embedder.
fn remembered(
    set: &ParameterSet,
    embedder: &dyn Embedder,
    hashes: &[TextHash],
) -> Result<HashMap<TextHash, Vec<f32>>, Outcome> {
    let path = Path::new(set.config["store"]["path"].as_str().unwrap_or_default());
    let db = match VectorDb::open(path, &OpenOptions::default()) {
        Ok(db) if db.embedder() == embedder.id() && db.dimension() == embedder.dimension() => db,
        // The store step says what is wrong with it.
        Ok(_) | Err(vector::Error::NotFound { .. }) => return Ok(HashMap::new()),
        Err(error) => return Err(of_vector(error)),
    };
    let found = db.vectors_for(hashes).map_err(of_vector)?;
    Ok(hashes.iter().copied().zip(found).filter_map(|(hash, vector)| Some((hash, vector?))).collect())
}
