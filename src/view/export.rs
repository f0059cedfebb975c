//! A whole group: its definition, its runs, their steps, and every attempt. Read a page at a time, since a group may have
//! a hundred thousand runs; so the export of a group that still runs is not of one moment.

use super::error::Result;
use crate::{
    model::{GroupId, RunId, StepId},
    store::{
        Store,
        attempt::{self, Attempt},
        definition, output,
        overview::{self, GroupDetails, RunFilter, RunRow, StepRow},
    },
};
use serde::Serialize;

/// What comes before the runs.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct ExportHead {
    pub group: GroupDetails,
    /// The definition in its canonical form.
    pub definition: serde_json::Value,
}

#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct ExportedRun {
    #[serde(flatten)]
    pub run: RunRow,
    pub steps: Vec<ExportedStep>,
}

#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct ExportedStep {
    #[serde(flatten)]
    pub step: StepRow,
    pub attempts_all: Vec<Attempt>,
    pub output: Option<serde_json::Value>,
    /// (name, SHA-256) of the files that it produced.
    pub files: Vec<(String, String)>,
}

/// A whole group as one document.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct Export {
    #[serde(flatten)]
    pub head: ExportHead,
    pub runs: Vec<ExportedRun>,
}

pub fn export_head(store: &Store, id: GroupId) -> Result<ExportHead> {
    Ok(store.read(|tx| {
        let group = overview::show_group(tx, id)?;
        let body = definition::body(tx, group.definition_id)?;
        Ok(ExportHead { definition: serde_json::from_str(&body).unwrap_or_default(), group })
    })?)
}

/// The next runs behind `after`, at most `limit`.
pub fn export_runs(store: &Store, id: GroupId, after: Option<RunId>, limit: usize) -> Result<Vec<ExportedRun>> {
    let filter = RunFilter { status: None, after, limit };
    Ok(store.read(|tx| {
        let runs = overview::runs(tx, id, &filter)?.into_iter();
        let whole = |run: RunRow| {
            let steps = overview::show_run(tx, run.id)?.steps.into_iter().map(|step| of_step(tx, step));
            Ok(ExportedRun { steps: steps.collect::<crate::store::Result<_>>()?, run })
        };
        runs.map(whole).collect::<crate::store::Result<_>>()
    })?)
}

fn of_step(tx: &crate::store::ReadTx, step: StepRow) -> crate::store::Result<ExportedStep> {
    let id: StepId = step.id;
    let (value, files) = match output::of_step(tx, id)? {
        Some(found) => (found.value, found.files),
        None => (None, Vec::new()),
    };
    let files = files.into_iter().map(|(name, file)| (name, file.hash.to_string())).collect();
    Ok(ExportedStep { attempts_all: attempt::of_step(tx, id)?, output: value, files, step })
}
