//! Submits a plan as a group, finds interrupted groups, and removes documents whose files are gone.

use super::{plan::SyncPlan, report};
use crate::{
    definition::digest,
    engine::{self, Engine, LockWait, Submission},
    ingest::{error::Result, item::Item, parameters, removal, workflow},
    model::{GroupId, Holder},
    store::{
        document::{self, RunDocuments, Submitted},
        document_removal, group,
    },
};
use serde_json::json;
use std::path::Path;

/// The most rows that one transaction writes.
const SLICE: usize = 500;

/// Submits a plan as one group, with one run for each content. None: there is nothing to do.
///
/// The submission is idempotent: after a crash, or if two processes sync the same directory at the same time, the same
/// plan finds the existing group. The group is scoped, so a worker with its scope sees nothing else.
pub fn submit(engine: &Engine, plan: &SyncPlan) -> Result<Option<engine::Submitted>> {
    report::settle(engine, &plan.database)?;
    for slice in plan.refreshed.chunks(SLICE) {
        let (slice, database, source) =
            (slice.to_vec(), plan.database.to_string_lossy().into_owned(), plan.source.clone());
        engine.store().write(move |tx| document::refresh(tx, &database, &source, &slice))?;
    }
    parameters::note_server(&plan.params)?;
    if plan.runs.is_empty() {
        return Ok(None);
    }
    parameters::try_server(&plan.params, &plan.database)?;
    let items: Vec<String> = plan.runs.iter().map(|it| text(&it.item)).collect();
    let what = json!([hex::encode(plan.basis), plan.database, plan.source, plan.params.config, plan.force, items]);
    let key = format!("ingest:{}", hex::encode(digest("windlass sync 1", &what)));
    let submission = |key: String| -> Result<Submission> {
        Ok(Submission {
            params: plan.params.config.clone(),
            directory: engine.home().to_path_buf(),
            name: Some(format!("ingest into {}", plan.database.file_stem().unwrap_or_default().to_string_lossy())),
            key: Some(key),
            force: plan.force,
            scoped: true,
            documents: plan.rows.iter().map(|it| of_run(plan, it)).collect(),
            ..Submission::new(workflow::definition()?, items.clone())
        })
    };
    let mut submitted = engine.submit(submission(key.clone())?)?;
    // A group that was pruned did this work, and its results were removed since.
    while submitted.gone.is_some() {
        submitted = engine.submit(submission(format!("{key} after {}", submitted.group))?)?;
    }
    Ok(Some(submitted))
}

fn of_run(plan: &SyncPlan, documents: &[Submitted]) -> RunDocuments {
    let database = plan.database.to_string_lossy().into_owned();
    RunDocuments { database, source: plan.source.clone(), documents: documents.to_vec() }
}

/// Groups of this database that have not ended, oldest first. Process them before planning: their documents count as
/// being ingested and are not submitted again.
pub fn unfinished(engine: &Engine, database: &Path) -> Result<Vec<GroupId>> {
    let name = database.to_string_lossy();
    let id = workflow::definition()?.id;
    Ok(engine.store().read(|tx| document::unfinished_groups(tx, &id, &name))?)
}

/// Checks that the embedding server of a group, if it has one, responds.
pub fn try_server(engine: &Engine, group: GroupId) -> Result<()> {
    let detail = engine.store().read(|tx| group::detail(tx, group))?;
    let params = parameters::read(&detail.params)?;
    let database = params.config["store"]["path"].as_str().unwrap_or_default();
    parameters::try_server(&params, Path::new(database))
}

fn text(item: &Item) -> String {
    serde_json::to_value(item).unwrap_or_default().to_string()
}

/// Removes the documents whose files are gone, if the plan says so. Returns how many there were, and whether they are
/// out of the vector database. If its lock is held for longer than `wait`, they are no longer found, and are removed
/// when it is free.
pub fn prune(engine: &Engine, plan: &SyncPlan, holder: Holder, wait: LockWait) -> Result<(usize, bool)> {
    if !plan.prune || plan.removed.is_empty() {
        return Ok((0, true));
    }
    remove(engine, &plan.database, &plan.source, &plan.removed, holder, wait)
}

/// Deletes documents of a vector database: they are no longer found, and no run submitted so far stores them again. See
/// `prune`.
pub fn remove(
    engine: &Engine,
    database: &Path,
    source: &str,
    uris: &[String],
    holder: Holder,
    wait: LockWait,
) -> Result<(usize, bool)> {
    let name = database.to_string_lossy().into_owned();
    let mut known = 0;
    for slice in uris.chunks(SLICE) {
        let (database, source, slice) = (name.clone(), source.to_string(), slice.to_vec());
        known += engine.store().write(move |tx| document_removal::note(tx, &database, &source, &slice))?;
    }
    Ok((known, removal::finish_one(engine, &name, holder, wait)?))
}
