//! From a plan to a group; groups that were interrupted; and the removal of what is gone.

use super::{plan::SyncPlan, report, verdict::params_hash};
use crate::{
    definition::digest,
    engine::{Engine, LockWait, Submission, Submitted},
    ingest::{error::Result, item::Item, parameters, workflow},
    model::{GroupId, Holder, ResourceKey, RunId},
    store::{
        document::{self, DocumentRow, DocumentState},
        group,
    },
    vector::{self, OpenOptions, VectorDb},
};
use serde_json::json;
use std::{collections::HashMap, path::Path};

/// Rows that one transaction writes at most.
const SLICE: usize = 500;

/// Submits what the plan says: one group, one run for each content. None: there is nothing to do.
///
/// The group is idempotent for what the plan was made from: after a crash, or when two processes sync the same directory at
/// the same time, the same plan finds the group that is there. It is scoped: a worker with its scope sees nothing else.
pub fn submit(engine: &Engine, plan: &SyncPlan) -> Result<Option<Submitted>> {
    report::settle(engine, &plan.database)?;
    write_rows(engine, plan, &plan.refreshed)?;
    if plan.runs.is_empty() {
        return Ok(None);
    }
    parameters::try_server(&plan.params, &plan.database)?;
    let items: Vec<String> = plan.runs.iter().map(|it| text(&it.item)).collect();
    let what = json!([hex::encode(plan.basis), plan.database, plan.source, plan.params.config, plan.force, items]);
    let submission = Submission {
        params: plan.params.config.clone(),
        directory: engine.home().to_path_buf(),
        name: Some(format!("ingest into {}", plan.database.file_stem().unwrap_or_default().to_string_lossy())),
        key: Some(format!("ingest:{}", hex::encode(digest("windlass sync 1", &what)))),
        force: plan.force,
        scoped: true,
        ..Submission::new(workflow::definition()?, items)
    };
    let submitted = engine.submit(submission)?;
    let mut runs = HashMap::new();
    for_each_item(engine, submitted.group, |slice| {
        runs.extend(slice.into_iter().map(|(run, item)| (item, run)));
        Ok(())
    })?;
    let mut rows = Vec::new();
    for (planned, documents) in plan.runs.iter().zip(&plan.rows) {
        let run = runs.get(&text(&planned.item)).copied();
        rows.extend(documents.iter().map(|it| DocumentRow { run, ..it.clone() }));
    }
    write_rows(engine, plan, &rows)?;
    Ok(Some(submitted))
}

/// Groups that were submitted for this database and have not ended, oldest first. Work them off before you plan: their
/// documents count as being at work, and are not submitted again.
///
/// A crash may have come between a group and the rows of its documents: the rows are made up for here.
pub fn unfinished(engine: &Engine, database: &Path) -> Result<Vec<GroupId>> {
    let name = database.to_string_lossy().into_owned();
    let id = workflow::definition()?.id;
    let groups = engine.store().read(|tx| document::unfinished_groups(tx, &id, &name))?;
    for group in &groups {
        make_up_rows(engine, &name, *group)?;
    }
    Ok(groups)
}

fn make_up_rows(engine: &Engine, database: &str, group: GroupId) -> Result<()> {
    let detail = engine.store().read(|tx| group::detail(tx, group))?;
    let params = parameters::read(&detail.params)?;
    for_each_item(engine, group, |slice| {
        let mut by_source: HashMap<String, Vec<DocumentRow>> = HashMap::new();
        for (run, text) in slice {
            let Ok(item) = serde_json::from_str::<Item>(&text) else { continue };
            let rows = item.documents.iter().map(|it| DocumentRow {
                uri: it.uri.clone(),
                sha256: item.sha256,
                size: item.size,
                mtime: 0,
                params: params_hash(&params, Some(&it.metadata)),
                run: Some(run),
                state: DocumentState::AskRun,
                reason: String::new(),
            });
            by_source.entry(item.source.clone()).or_default().extend(rows);
        }
        for (source, rows) in by_source {
            for rows in rows.chunks(SLICE) {
                let (rows, database, source) = (rows.to_vec(), database.to_string(), source.clone());
                engine.store().write(move |tx| document::insert_missing(tx, &database, &source, &rows))?;
            }
        }
        Ok(())
    })
}

fn for_each_item(
    engine: &Engine,
    group: GroupId,
    mut take: impl FnMut(Vec<(RunId, String)>) -> Result<()>,
) -> Result<()> {
    let mut after = RunId(0);
    loop {
        let slice = engine.store().read(|tx| document::items_of_group(tx, group, after, SLICE))?;
        let Some(last) = slice.last() else { return Ok(()) };
        after = last.0;
        take(slice)?;
    }
}

fn text(item: &Item) -> String {
    serde_json::to_value(item).unwrap_or_default().to_string()
}

fn write_rows(engine: &Engine, plan: &SyncPlan, rows: &[DocumentRow]) -> Result<()> {
    let database = plan.database.to_string_lossy();
    for slice in rows.chunks(SLICE) {
        let (slice, database, source) = (slice.to_vec(), database.to_string(), plan.source.clone());
        engine.store().write(move |tx| document::upsert(tx, &database, &source, &slice))?;
    }
    Ok(())
}

/// Removes the documents whose files are gone, if the plan says so, under the lock of the vector database. How many there
/// were. When it is interrupted, the rest is removed next time.
pub fn prune(engine: &Engine, plan: &SyncPlan, holder: Holder, wait: LockWait) -> Result<usize> {
    if !plan.prune || plan.removed.is_empty() {
        return Ok(0);
    }
    let database = plan.database.to_string_lossy();
    let guard = engine.hold_key(&ResourceKey(format!("vec:{database}")), holder, wait)?;
    let mut db = match VectorDb::open_for_writing(&plan.database, &OpenOptions::default()) {
        Ok(db) => Some(db),
        Err(vector::Error::NotFound { .. }) => None,
        Err(error) => return Err(error.into()),
    };
    let epoch = db.as_mut().map(VectorDb::raise_epoch).transpose()?;
    let mut removed = 0;
    for slice in plan.removed.chunks(SLICE) {
        // Forced away: somebody else writes now, and the epoch would refuse us anyway.
        if !guard.refresh()? {
            break;
        }
        if let (Some(db), Some(epoch)) = (&mut db, epoch) {
            let documents: Vec<(&str, &str)> = slice.iter().map(|uri| (plan.source.as_str(), uri.as_str())).collect();
            db.remove_documents(epoch, &documents)?;
        }
        let (uris, database, source) = (slice.to_vec(), database.to_string(), plan.source.clone());
        removed += engine.store().write(move |tx| document::remove(tx, &database, &source, &uris))?;
    }
    Ok(removed)
}
