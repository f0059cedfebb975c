//! `windlass/store`: writes to the vector database, one transaction per document.

use super::{
    Work, bytes_of, check_memory, chunk::CHUNKS, embed::EMBEDDINGS, ended, go_on, item_of, json_of, of_vector,
    parameters_of, with_hint, writer::Writers,
};
use crate::{
    engine::{StepContext, StepInput, StepKind, StepResult},
    ingest::{
        item::MARKDOWN,
        item::{Item, SUPERSEDED, output_with},
        parameters,
    },
    model::{Chunk, HEADING_MAX, Outcome, REMARK, RunId, shortened},
    os::{Clock, SystemClock},
    store::{
        self, Store,
        backup::engine_id,
        document::{self, Superseded},
    },
    vector::{ChunkRow, DocumentRow, Origin, Stored, TextHash},
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

#[derive(Default)]
pub struct StoreKind {
    writers: Writers,
}

impl StepKind for StoreKind {
    fn run(&self, cx: &StepContext) -> StepResult {
        ended(store(cx, &self.writers))
    }

    /// Finds the superseded documents of the item. The step holds the lock of the vector database. A deletion is
    /// committed first and removes documents under the same lock, so the result stays true until the write.
    fn look_up(&self, input: &StepInput, store: &Store) -> store::Result<Value> {
        let Some(item) = Item::of(input) else { return Ok(Value::Null) };
        let database = input.params["store"]["path"].as_str().unwrap_or_default();
        let facts = store.read(|tx| {
            let mut superseded = BTreeMap::new();
            for it in &item.documents {
                if let Some(by) = document::superseded(tx, database, &item.source, &it.uri, input.run)? {
                    superseded.insert(it.uri.clone(), by.to_string());
                }
            }
            Ok(Facts { engine: engine_id(tx)?, superseded })
        })?;
        Ok(serde_json::to_value(&facts).unwrap_or_default())
    }
}

/// Facts from the engine database at the beginning of the step.
#[derive(Default, Serialize, Deserialize)]
struct Facts {
    /// The engine that numbers the runs.
    engine: String,
    /// By URI, for people.
    superseded: BTreeMap<String, String>,
}

fn store(cx: &StepContext, writers: &Writers) -> Work {
    let set = parameters_of(cx.input)?;
    let path = locked_path(cx, set.config["store"]["path"].as_str().unwrap_or_default())?;
    let embedder = parameters::embedder(&set).map_err(|error| Outcome::permanent("embedder", with_hint(&error)))?;
    let item = item_of(cx.input)?;
    let mut facts: Facts = serde_json::from_value(cx.input.looked_up.clone()).unwrap_or_default();
    if item.documents.iter().all(|it| facts.superseded.contains_key(&it.uri)) {
        return Ok(StepResult::succeeded(Some(result(&item, 0, &facts.superseded, &path))));
    }
    check_memory(cx, &set, &[(CHUNKS, 3), (EMBEDDINGS, 2)])?;
    let chunks: Vec<Chunk> = json_of(cx, CHUNKS)?;
    let vectors = floats(&bytes_of(cx, EMBEDDINGS)?);
    let noted = output_with(cx.input, EMBEDDINGS).and_then(|it| it.value.as_ref()?["dimension"].as_u64());
    let dimension = embedder.dimension().or(noted.map(|it| it as usize)).unwrap_or_default();
    if dimension == 0 || vectors.len() != chunks.len() * dimension {
        let message = "the embeddings of an earlier step do not fit its chunks";
        return Err(Outcome::permanent("input", message));
    }
    let rows: Vec<ChunkRow<'_>> = chunks
        .iter()
        .zip(vectors.chunks_exact(dimension))
        .map(|(chunk, vector)| ChunkRow { chunk, text_hash: TextHash::of(&chunk.text), vector })
        .collect();
    let server = embedder.server().and_then(|it| serde_json::to_value(it).ok());
    let opened = writers.open(&path, embedder.id(), dimension, server.as_ref(), &set.config["chunk"]);
    let mut writer = opened.map_err(of_vector)?;
    let parsed = Parsed::of(cx);
    let origin = Origin { engine: &facts.engine, run: cx.input.run.0 };
    let mut late = BTreeMap::new();
    for document in item.documents.iter().filter(|it| !facts.superseded.contains_key(&it.uri)) {
        go_on(cx)?;
        // The name stands in for a missing title.
        let name = shortened(&document.name().unwrap_or_else(|| item.name.clone()), HEADING_MAX);
        // The title from the metadata takes precedence.
        let chosen = document.metadata["title"].as_str().map(|it| shortened(it, HEADING_MAX));
        let row = DocumentRow {
            source: &item.source,
            uri: &document.uri,
            title: Some(chosen.as_deref().or(parsed.title.as_deref()).unwrap_or(&name)),
            sha256: item.sha256,
            media_type: &parsed.media_type,
            metadata: if document.metadata.is_null() { &parsed.no_metadata } else { &document.metadata },
            now: SystemClock.wall(),
        };
        let stored = writer.db.replace_document_from(writer.epoch, &origin, &row, &rows).map_err(of_vector)?;
        if let Stored::Superseded(run) = stored {
            late.insert(document.uri.clone(), Superseded::By(RunId(run)).to_string());
        }
    }
    writers.keep(writer);
    facts.superseded.append(&mut late);
    Ok(StepResult::succeeded(Some(result(&item, rows.len(), &facts.superseded, &path))))
}

/// The result: what was stored, and what was not because it is superseded.
fn result(item: &Item, chunks: usize, superseded: &BTreeMap<String, String>, path: &Path) -> Value {
    let stored = item.documents.len() - superseded.len();
    let mut value = json!({ "chunks": chunks, "documents": stored, "database": path });
    if let Some(by) = superseded.values().next() {
        value[REMARK] = match (stored, item.documents.len()) {
            (0, _) => by.as_str().into(),
            (_, all) => format!("{} of {all} documents {by}", superseded.len()).into(),
        };
        value[SUPERSEDED] = json!(superseded);
    }
    value
}

/// The path of the database, if the lock that the engine holds for this step is the lock of that file.
fn locked_path(cx: &StepContext, path: &str) -> Result<PathBuf, Outcome> {
    let refuse = |message: String| Err(Outcome::permanent("unlocked", message));
    if cx.lock.is_none() {
        return refuse("a `windlass/store` step needs `resource_key: \"vec:{{ params.store.path }}\"`".to_string());
    }
    match parameters::database_path(&cx.input.home, path) {
        Ok(canonical) if canonical == Path::new(path) => Ok(canonical),
        Ok(canonical) => refuse(format!("`store.path` is `{path}`; write `{}`", canonical.display())),
        Err(error) => refuse(with_hint(&error)),
    }
}

/// What the parser found.
struct Parsed {
    title: Option<String>,
    media_type: String,
    no_metadata: Value,
}

impl Parsed {
    fn of(cx: &StepContext) -> Parsed {
        let value = output_with(cx.input, MARKDOWN).and_then(|it| it.value.clone()).unwrap_or_default();
        let text = |key: &str| value[key].as_str().map(str::to_string);
        let media_type = text("media_type").unwrap_or_else(|| "application/octet-stream".to_string());
        Parsed { title: text("title"), media_type, no_metadata: json!({}) }
    }
}

fn floats(bytes: &[u8]) -> Vec<f32> {
    bytes.chunks_exact(4).map(|it| f32::from_le_bytes([it[0], it[1], it[2], it[3]])).collect()
}
