//! Exports a whole group: its definition, its runs, their steps and every attempt. A group may have a hundred thousand
//! runs, so this reads page by page. The export of a group that is still running is therefore not a consistent
//! snapshot.

use super::{
    error::Result,
    show::{GroupView, show_group},
};
use crate::{
    definition::masked,
    model::{GroupId, RunId, Status, StepId, Timestamp},
    store::{
        Store,
        attempt::{self, Attempt},
        definition, output,
        read::{self, RunFilter, RunResult, RunRow, StepRow},
    },
};
use serde::Serialize;

/// The part before the runs.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct ExportHead {
    pub group: GroupView,
    /// The definition in its canonical form. Values in `env` and anything that looks like a secret are masked.
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
    /// (name, target) of the symbolic links among them.
    pub links: Vec<(String, String)>,
}

/// A whole group as one document.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct Export {
    #[serde(flatten)]
    pub head: ExportHead,
    pub runs: Vec<ExportedRun>,
}

pub fn export_head(store: &Store, id: GroupId) -> Result<ExportHead> {
    let group = show_group(store, id)?;
    let body = store.read(|tx| definition::body(tx, group.details.definition_id))?;
    Ok(ExportHead { definition: masked(&serde_json::from_str(&body).unwrap_or_default()), group })
}

/// The next runs after `after`, at most `limit`.
pub fn export_runs(store: &Store, id: GroupId, after: Option<RunId>, limit: usize) -> Result<Vec<ExportedRun>> {
    let filter = RunFilter { status: None, after, limit };
    Ok(store.read(|tx| {
        let runs = read::runs(tx, id, &filter)?.into_iter();
        let whole = |run: RunRow| {
            let steps = read::show_run(tx, run.id)?.steps.into_iter().map(|step| of_step(tx, step));
            Ok(ExportedRun { steps: steps.collect::<crate::store::Result<_>>()?, run })
        };
        runs.map(whole).collect::<crate::store::Result<_>>()
    })?)
}

fn of_step(tx: &crate::store::ReadTx, step: StepRow) -> crate::store::Result<ExportedStep> {
    let id: StepId = step.id;
    let output::Output { value, files, links, .. } = output::of_step(tx, id)?.unwrap_or_default();
    let files = files.into_iter().map(|(name, file)| (name, file.hash.to_string())).collect();
    Ok(ExportedStep { attempts_all: attempt::of_step(tx, id)?, output: value, files, links, step })
}

/// The result of a run, for tables and scripts. Steps are named. A value that is too large to be kept is missing.
#[derive(Debug, Clone, Serialize)]
pub struct Outcome {
    pub run: RunId,
    pub item: String,
    pub status: Status,
    pub ended: Option<Timestamp>,
    pub reason: Option<String>,
    /// The status of each step.
    pub steps: serde_json::Map<String, serde_json::Value>,
    /// The value of each step that has one.
    pub values: serde_json::Map<String, serde_json::Value>,
}

/// The names of the steps of a group, in the order of its workflow.
pub fn step_names(store: &Store, id: GroupId) -> Result<Vec<String>> {
    Ok(store.read(|tx| read::step_names(tx, id))?)
}

/// The results of the next runs after `after`, at most `limit`. `names` are the names of the group's steps.
pub fn outcomes(
    store: &Store,
    id: GroupId,
    names: &[String],
    after: Option<RunId>,
    limit: usize,
) -> Result<Vec<Outcome>> {
    let results = store.read(|tx| read::results(tx, id, after, limit))?;
    let outcome = |RunResult { run, steps: results }: RunResult| {
        let (mut steps, mut values) = (serde_json::Map::new(), serde_json::Map::new());
        for (name, (status, value)) in names.iter().zip(results) {
            steps.insert(name.clone(), status.name().into());
            values.extend(value.map(|it| (name.clone(), it)));
        }
        let RunRow { id: run, item, status, ended, reason, .. } = run;
        Outcome { run, item, status, ended, reason, steps, values }
    };
    Ok(results.into_iter().map(outcome).collect())
}
