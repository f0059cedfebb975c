//! `windlass/embed`: computes a vector for each passage. A passage whose text is already in the database keeps its
//! vector.

use super::{
    Work, cache_key_of, check_memory, chunk::CHUNKS, ended, go_on, json_of, of_artifact, of_io, of_vector,
    parameters_of, with_hint,
};
use crate::{
    definition::ParameterSet,
    embed::{self, Embedder},
    engine::{StepContext, StepInput, StepKind, StepResult},
    ingest::parameters::{self, TRIAL_TEXT},
    model::{Chunk, Millis, Outcome, artifact::kind},
    os::{Unpoisoned, threads},
    vector::{self, OpenOptions, TextHash, VectorDb},
};
use serde_json::json;
use std::{
    collections::HashMap,
    path::Path,
    sync::{
        Arc, Mutex,
        mpsc::{self, RecvTimeoutError},
    },
    time::Duration,
};

/// Little-endian f32: one row of the embedder's dimension per chunk, in order.
pub(super) const EMBEDDINGS: &str = "embeddings.bin";

/// How often to check for a cancel while waiting for a server.
const LOOK: Duration = Duration::from_millis(50);

/// After this many consecutive failures of a server, for any documents, everything that needs the server waits.
const OPENS: u32 = 3;
/// The kind of failure that opens the circuit.
const AWAY: &str = "embedder_away";
/// When a step that waits for a server is due again, after its group is resumed.
const PAUSE: Millis = Millis::seconds(1);

#[derive(Default)]
pub struct EmbedKind {
    circuit: Circuit,
}

/// Consecutive failures of each server.
#[derive(Default)]
struct Circuit(Mutex<HashMap<String, u32>>);

impl Circuit {
    /// Whether the server has now failed too often.
    fn is_open_after(&self, url: &str, failed: bool) -> bool {
        let mut servers = self.0.lock().unpoisoned();
        if !failed {
            servers.remove(url);
            return false;
        }
        let count = servers.entry(url.to_string()).or_default();
        *count = count.saturating_add(1);
        *count >= OPENS
    }
}

impl StepKind for EmbedKind {
    /// An unreachable server is not the document's fault: the attempt is released, and the group waits.
    fn run(&self, cx: &StepContext) -> StepResult {
        match embed(cx, &self.circuit) {
            Err(Outcome::Failed { kind, message, .. }) if kind == AWAY => StepResult {
                waits_for: Some(message.clone()),
                again: Some(PAUSE),
                ..StepResult::ended(Outcome::Interrupted { reason: message })
            },
            work => ended(work),
        }
    }

    fn cache_key(&self, input: &StepInput) -> Option<[u8; 32]> {
        cache_key_of("embed", input)
    }
}

fn embed(cx: &StepContext, circuit: &Circuit) -> Work {
    let set = parameters_of(cx.input)?;
    let embedder = parameters::embedder(&set).map_err(|error| Outcome::permanent("embedder", with_hint(&error)))?;
    check_memory(cx, &set, &[(CHUNKS, 3)])?;
    let chunks: Vec<Chunk> = json_of(cx, CHUNKS)?;
    let hashes: Vec<TextHash> = chunks.iter().map(|it| TextHash::of(&it.text)).collect();
    let Remembered { mut vectors, mut dimension } = remembered(&set, &*embedder, &hashes)?;
    let mut missing: Vec<usize> = Vec::new();
    for (at, hash) in hashes.iter().enumerate() {
        if !vectors.contains_key(hash) {
            vectors.insert(*hash, Vec::new());
            missing.push(at);
        }
    }
    for batch in missing.chunks(parameters::batch(&set)) {
        let texts = batch.iter().map(|at| chunks[*at].text.clone()).collect();
        let embedded = request(cx, circuit, &embedder, texts, &mut dimension)?;
        vectors.extend(batch.iter().map(|at| hashes[*at]).zip(embedded));
    }
    let dimension = match dimension {
        Some(dimension) => dimension,
        // There is no text yet, but a new database needs to know the length of its vectors.
        None => {
            request(cx, circuit, &embedder, vec![TRIAL_TEXT.to_string()], &mut dimension)?.first().map_or(0, Vec::len)
        }
    };
    let mut bytes = Vec::with_capacity(chunks.len() * dimension * 4);
    for vector in hashes.iter().filter_map(|it| vectors.get(it)) {
        bytes.extend(vector.iter().flat_map(|it| it.to_le_bytes()));
    }
    let put = cx.artifacts.put_bytes(&bytes, kind::EMBEDDINGS).map_err(of_artifact)?;
    let value = json!({
        "embedder": embedder.id(),
        "dimension": dimension,
        "chunks": chunks.len(),
        "embedded": missing.len(),
    });
    let mut result = StepResult::succeeded(Some(value));
    result.files.push((EMBEDDINGS.to_string(), put.artifact));
    result.guards.push(put.guard);
    Ok(result)
}

/// Embeds one batch. All vectors have the same length, which the first answer stores in `dimension`.
fn request(
    cx: &StepContext,
    circuit: &Circuit,
    embedder: &Arc<dyn Embedder>,
    texts: Vec<String>,
    dimension: &mut Option<usize>,
) -> Result<Vec<Vec<f32>>, Outcome> {
    go_on(cx)?;
    let count = texts.len();
    let embedded = match embedder.server() {
        None => all(&**embedder, &texts),
        Some(_) => {
            let embedder = embedder.clone();
            meanwhile(cx, move || all(&*embedder, &texts))?
        }
    };
    if let Some(server) = embedder.server() {
        let failed = embedded.as_ref().err().filter(|it| it.is_retryable());
        if let (true, Some(error)) = (circuit.is_open_after(&server.url, failed.is_some()), failed) {
            let hint = error.hint().map(|it| format!("; {it}")).unwrap_or_default();
            return Err(Outcome::retryable(AWAY, format!("{error}{hint}")));
        }
    }
    let embedded = embedded.map_err(of_embed)?;
    let length = embedded.first().map(Vec::len);
    let expected = *dimension.get_or_insert(length.unwrap_or_default());
    if embedded.len() != count || embedded.iter().any(|it| it.len() != expected) {
        let got = length.unwrap_or_default();
        return Err(of_embed(embed::Error::Dimension { model: embedder.id().to_string(), expected, got }));
    }
    Ok(embedded)
}

fn all(embedder: &dyn Embedder, texts: &[String]) -> embed::Result<Vec<Vec<f32>>> {
    embedder.embed(&texts.iter().map(String::as_str).collect::<Vec<_>>())
}

fn of_embed(error: embed::Error) -> Outcome {
    let retryable = error.is_retryable();
    let message = with_hint(&error.into());
    match retryable {
        true => Outcome::retryable("embedder", message),
        false => Outcome::permanent("embedder", message),
    }
}

/// Calls the server in a separate thread, so that a cancel or a stop need not wait for it.
fn meanwhile<T: Send + 'static>(cx: &StepContext, work: impl FnOnce() -> T + Send + 'static) -> Result<T, Outcome> {
    let (done, waiting) = mpsc::channel();
    let asking = threads::start("windlass-embed", move || {
        // If the step was cancelled, nothing is waiting for the answer.
        let _ = done.send(work());
    });
    asking.map_err(|error| of_io("no thread available for the embedding server", &error))?;
    loop {
        match waiting.recv_timeout(LOOK) {
            Ok(answer) => return Ok(answer),
            Err(RecvTimeoutError::Timeout) => go_on(cx)?,
            Err(RecvTimeoutError::Disconnected) => {
                return Err(Outcome::retryable("embedder", "the request to the embedding server was interrupted"));
            }
        }
    }
}

/// The embedding cache: the database's vectors for these texts, if the same embedder made them.
struct Remembered {
    vectors: HashMap<TextHash, Vec<f32>>,
    /// The length of the vectors, if known.
    dimension: Option<usize>,
}

fn remembered(set: &ParameterSet, embedder: &dyn Embedder, hashes: &[TextHash]) -> Result<Remembered, Outcome> {
    let path = Path::new(set.config["store"]["path"].as_str().unwrap_or_default());
    let dimension = embedder.dimension();
    let fits = |db: &VectorDb| db.embedder() == embedder.id() && dimension.is_none_or(|it| it == db.dimension());
    let db = match VectorDb::open(path, &OpenOptions::default()) {
        Ok(db) if fits(&db) => db,
        // The store step reports the error.
        Ok(_) | Err(vector::Error::NotFound { .. }) => return Ok(Remembered { vectors: HashMap::new(), dimension }),
        Err(error) => return Err(of_vector(error)),
    };
    let found = db.vectors_for(hashes).map_err(of_vector)?;
    let vectors = hashes.iter().copied().zip(found).filter_map(|(hash, vector)| Some((hash, vector?))).collect();
    Ok(Remembered { vectors, dimension: Some(db.dimension()) })
}
