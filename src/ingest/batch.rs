//! Processes a batch of documents that the engine keeps: one group, with one run for each distinct content.

use super::{
    error::{Error, Result},
    item::{Item, ItemDocument, KEPT},
    parameters, sync,
    sync::{plan::DOCUMENTS_OF_RUN, verdict::params_hash},
};
use crate::{
    definition::{Definition, ParameterSet},
    engine::{self, Engine, Submission},
    model::{ArtifactHash, GroupId, RunId},
    store::{
        self, ReadTx,
        batch_group::{self, OfBatch},
        document::{self, RunDocuments, Submitted},
        document_batch,
        document_uri::{self, DocumentUri},
    },
};
use serde_json::Value;
use std::path::Path;

/// How to process a batch or a single content.
#[derive(Debug, Clone)]
pub struct Start {
    pub batch: i64,
    pub definition: Definition,
    pub params: ParameterSet,
    /// The vector database to use if the parameters name none: the setting `database`.
    pub database: String,
    pub priority: i64,
    pub name: Option<String>,
    pub which: Which,
}

/// Which contents get a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Which {
    /// All contents of the batch.
    All,
    /// Contents whose current form has not been processed with the same workflow and parameters by any group of the
    /// batch. A document that changed back to older content, a copy under another URI, and new metadata all count as
    /// new.
    New,
    One(ArtifactHash),
}

/// The group that processes a batch, and the number of runs added.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Started {
    pub group: GroupId,
    pub runs: usize,
    pub first_run: Option<RunId>,
}

/// The number of documents to read at a time.
const SLICE: usize = 500;

/// How often to try a submission if a document is deleted in the meantime.
const TRIES: usize = 20;

/// Submits a group for the documents of a batch. Fails before doing any work if the documents could not be stored.
pub fn start(engine: &Engine, start: &Start) -> Result<Started> {
    for _ in 1..TRIES {
        match start_once(engine, start) {
            Err(Error::Engine(engine::Error::Store(store::Error::DocumentGone))) => {}
            other => return other,
        }
    }
    start_once(engine, start)
}

fn start_once(engine: &Engine, start: &Start) -> Result<Started> {
    parameters::check(&start.params)?;
    let builtin = ParameterSet::builtin();
    let named = start.params.config["store"]["path"].as_str().unwrap_or_default();
    let is_builtin = builtin.config["store"]["path"] == *named;
    let name = if is_builtin { start.database.as_str() } else { named };
    let database = parameters::kept_database_path(engine.home(), name)?;
    let params = parameters::for_database(&start.params, &database)?;
    let embedder = parameters::embedder(&params)?;
    parameters::check_database(&database, embedder.id(), embedder.dimension())?;
    sync::settle(engine, &database)?;
    let alike =
        engine.store().read(|tx| batch_group::alike(tx, start.batch, &start.definition.id, &start.params.id))?;
    let changed = engine.store().read(|tx| document_batch::changed(tx, start.batch))?;
    let mut items = Items::default();
    for document in wanted(engine, start)? {
        items.add(document);
    }
    if let (Which::One(content), true) = (&start.which, items.items.is_empty()) {
        return Err(store::Error::not_found(format!("document {content}")).into());
    }
    if start.which == Which::New {
        items.retain_new(engine, &alike, &database, &params)?;
        if let (true, Some(group)) = (items.items.is_empty(), alike.first()) {
            let (group, batch) = (*group, start.batch);
            engine.store().write(move |tx| document_batch::nothing_new(tx, batch, changed))?;
            return Ok(Started { group, runs: 0, first_run: None });
        }
    }
    parameters::try_server(&params, &database)?;
    let documents = items.items.iter().map(|it| of_run(&database, &params, it)).collect();
    let texts: Vec<String> =
        items.items.iter().map(|it| serde_json::to_value(it).unwrap_or_default().to_string()).collect();
    let submitted = engine.submit(Submission {
        params: params.config.clone(),
        directory: engine.home().to_path_buf(),
        name: start.name.clone().or_else(|| Some(format!("batch {}", start.batch))),
        priority: start.priority,
        of_batch: Some(OfBatch { batch: start.batch, params: start.params.id.clone() }),
        documents,
        ..Submission::new(start.definition.clone(), texts)
    })?;
    Ok(Started { group: submitted.group, runs: items.items.len(), first_run: submitted.first_run })
}

fn wanted(engine: &Engine, start: &Start) -> Result<Vec<DocumentUri>> {
    if let Which::One(content) = &start.which {
        return Ok(engine.store().read(|tx| document_uri::of_content(tx, content))?);
    }
    let (mut all, mut after) = (Vec::new(), None);
    loop {
        let page = engine.store().read(|tx| document_uri::of_batch(tx, start.batch, after, SLICE))?;
        let Some(last) = page.last() else { return Ok(all) };
        after = Some((last.sha256, last.id));
        all.extend(page);
    }
}

/// One item per combination of content and source, since a document is stored under its source.
#[derive(Default)]
struct Items {
    items: Vec<Item>,
}

impl Items {
    /// Adds a document. The documents must arrive sorted by content.
    fn add(&mut self, document: DocumentUri) {
        let metadata = if document.metadata == serde_json::json!({}) { Value::Null } else { document.metadata };
        let entry = ItemDocument { uri: document.uri, file: Some(KEPT.to_string()), within: None, metadata };
        let mut same = self.items.iter_mut().rev().take_while(|it| it.sha256 == document.sha256);
        match same.find(|it| it.source == document.source) {
            Some(item) if item.documents.len() < DOCUMENTS_OF_RUN => item.documents.push(entry),
            _ => self.items.push(Item {
                name: document.name,
                source: document.source,
                sha256: document.sha256,
                size: document.size,
                documents: vec![entry],
            }),
        }
    }

    /// Keeps items without a run in these groups, and items last submitted with other content or parameters.
    fn retain_new(
        &mut self,
        engine: &Engine,
        groups: &[GroupId],
        database: &Path,
        params: &ParameterSet,
    ) -> Result<()> {
        let database = database.to_string_lossy();
        let is_noted = |tx: &ReadTx, item: &Item| {
            for it in &item.documents {
                let noted = document::submitted_as(tx, &database, &item.source, &it.uri)?;
                if noted != Some((item.sha256, params_hash(params, Some(&it.metadata)))) {
                    return Ok(false);
                }
            }
            batch_group::has_run(tx, groups, &item.sha256)
        };
        let mut kept = Vec::new();
        for items in std::mem::take(&mut self.items).chunks(SLICE) {
            let known =
                engine.store().read(|tx| items.iter().map(|it| is_noted(tx, it)).collect::<store::Result<Vec<_>>>())?;
            kept.extend(items.iter().zip(known).filter(|it| !it.1).map(|it| it.0.clone()));
        }
        self.items = kept;
        Ok(())
    }
}

/// The rows for the documents of a run, identical to those of `windlass ingest` for files.
fn of_run(database: &Path, params: &ParameterSet, item: &Item) -> RunDocuments {
    let document = |it: &ItemDocument| Submitted {
        uri: it.uri.clone(),
        sha256: item.sha256,
        size: item.size,
        mtime: 0,
        params: params_hash(params, Some(&it.metadata)),
    };
    RunDocuments {
        database: database.to_string_lossy().into_owned(),
        source: item.source.clone(),
        documents: item.documents.iter().map(document).collect(),
    }
}
