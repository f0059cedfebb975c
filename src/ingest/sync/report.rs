//! The outcomes of a group's documents.

use crate::{
    engine::Engine,
    ingest::{
        error::Result,
        item::{Item, SUPERSEDED},
        ocr,
    },
    model::{DocumentState, GroupId, REMARK, RunId},
    store::document::{self, GroupRun, RunEnd, Settled, Unsettled},
};
use serde::Serialize;
use serde_json::Value;
use std::{collections::HashSet, path::Path};

/// The most rows that one transaction reads or writes.
const SLICE: usize = 200;

/// The results of one or more groups.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct SyncReport {
    pub stored: u64,
    /// Stored, but with nothing to index.
    pub empty: u64,
    pub failed: u64,
    pub cancelled: u64,
    /// Not stored, because a newer version was submitted or the document was deleted in the meantime.
    pub superseded: u64,
    /// Not finished yet.
    pub open: u64,
    /// Chunks of the stored documents.
    pub chunks: u64,
    /// Passages that had to be embedded. The vectors of the others were cached.
    pub embedded: u64,
    /// Bytes read; equal contents count once.
    pub bytes: u64,
    pub documents: Vec<DocumentOutcome>,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct DocumentOutcome {
    pub uri: String,
    pub run: RunId,
    pub status: DocumentStatus,
    pub chunks: u64,
    /// Why it failed or is empty, or the warnings of its reader.
    pub reason: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum DocumentStatus {
    Stored,
    Empty,
    Failed,
    Cancelled,
    Superseded,
    Open,
}

/// Records and returns the results of the documents in these groups. Safe to repeat; groups may still be running.
#[cfg(any(test, feature = "internals"))]
pub fn finish(engine: &Engine, database: &Path, groups: &[GroupId]) -> Result<SyncReport> {
    settle(engine, database)?;
    let mut report = SyncReport::default();
    for group in groups {
        report.append(of_group(engine, *group, &HashSet::new())?);
    }
    Ok(report)
}

/// The recorded results of the documents of a group, except those of the runs in `but`.
pub(super) fn of_group(engine: &Engine, group: GroupId, but: &HashSet<RunId>) -> Result<SyncReport> {
    let mut report = SyncReport::default();
    for_each_run(engine, group, |run| {
        if !but.contains(&run.run) {
            report.add(run);
        }
    })?;
    Ok(report)
}

/// The runs of a group that have ended.
pub(super) fn ended_runs(engine: &Engine, group: GroupId) -> Result<HashSet<RunId>> {
    let mut ended = HashSet::new();
    for_each_run(engine, group, |run| {
        if run.end.is_some() {
            ended.insert(run.run);
        }
    })?;
    Ok(ended)
}

fn for_each_run(engine: &Engine, group: GroupId, mut take: impl FnMut(&GroupRun)) -> Result<()> {
    let mut after = RunId(0);
    loop {
        let runs = engine.store().read(|tx| document::runs_of_group(tx, group, after, SLICE))?;
        let Some(last) = runs.last() else { return Ok(()) };
        after = last.run;
        runs.iter().for_each(&mut take);
    }
}

/// Records the outcomes of all documents of a database whose runs have ended. Safe to repeat.
pub fn settle(engine: &Engine, database: &Path) -> Result<()> {
    let database = database.to_string_lossy();
    for_each_end(engine, &database, |ends| Ok(engine.store().write(move |tx| document::settle(tx, &ends))?))
}

/// Passes on the outcomes of documents whose runs have ended, in slices.
pub(super) fn for_each_end(
    engine: &Engine,
    database: &str,
    mut take: impl FnMut(Vec<Settled>) -> Result<()>,
) -> Result<()> {
    let mut after = 0;
    loop {
        let found = engine.store().read(|tx| document::unsettled(tx, database, after, SLICE))?;
        let Some(last) = found.last() else { return Ok(()) };
        after = last.row;
        take(found.into_iter().map(settled).collect())?;
    }
}

fn settled(it: Unsettled) -> Settled {
    let (mut state, mut reason) = state_of(&it.end);
    let mut content = None;
    if let Some(read) = read_as(&it.end) {
        match read.documents.iter().any(|document| document.uri == it.uri) {
            true => content = Some((read.sha256, read.size)),
            false => (state, reason) = (DocumentState::AskRun, CHANGED.to_string()),
        }
    }
    Settled { row: it.row, uri: it.uri, run: it.run, state, reason, content }
}

/// The item with the content that was finally read. A file that changed in the meantime was read again.
fn read_as(end: &RunEnd) -> Option<Item> {
    let item = end.values.iter().rev().find_map(|it| it.get("item"))?;
    serde_json::from_value(item.clone()).ok()
}

const CHANGED: &str = "it changed while it was being ingested";

impl SyncReport {
    pub(super) fn append(&mut self, other: SyncReport) {
        self.stored += other.stored;
        self.empty += other.empty;
        self.failed += other.failed;
        self.cancelled += other.cancelled;
        self.superseded += other.superseded;
        self.open += other.open;
        self.chunks += other.chunks;
        self.embedded += other.embedded;
        self.bytes += other.bytes;
        self.documents.extend(other.documents);
    }

    /// Leaves out these documents.
    pub(super) fn forget(&mut self, uris: &HashSet<&str>) {
        let (gone, kept) =
            std::mem::take(&mut self.documents).into_iter().partition(|it| uris.contains(it.uri.as_str()));
        self.documents = kept;
        let gone: Vec<DocumentOutcome> = gone;
        for it in gone {
            *self.counter(it.status) -= 1;
            self.chunks -= it.chunks;
        }
    }

    fn add(&mut self, run: &GroupRun) {
        let Ok(item) = serde_json::from_str::<Item>(&run.item) else { return };
        let (status, reason) = status_of(run.end.as_ref());
        let noted = |name| run.end.as_ref().and_then(|it| count(it, name)).unwrap_or(0);
        let superseded = run.end.as_ref().and_then(|it| it.values.last()).map_or(&Value::Null, |it| &it[SUPERSEDED]);
        if status != DocumentStatus::Open {
            self.bytes += item.size;
        }
        self.embedded += noted("embedded");
        let read = run.end.as_ref().and_then(read_as);
        for it in item.documents {
            let lost = read.as_ref().is_some_and(|read| read.documents.iter().all(|document| document.uri != it.uri));
            let (status, reason) =
                if lost { (DocumentStatus::Failed, CHANGED.to_string()) } else { (status, reason.clone()) };
            let (status, reason) = match superseded[it.uri.as_str()].as_str() {
                Some(by) => (DocumentStatus::Superseded, by.to_string()),
                None => (status, reason),
            };
            let chunks = if status == DocumentStatus::Stored { noted("chunks") } else { 0 };
            *self.counter(status) += 1;
            self.chunks += chunks;
            self.documents.push(DocumentOutcome { uri: it.uri, run: run.run, status, chunks, reason });
        }
    }

    fn counter(&mut self, status: DocumentStatus) -> &mut u64 {
        match status {
            DocumentStatus::Stored => &mut self.stored,
            DocumentStatus::Empty => &mut self.empty,
            DocumentStatus::Failed => &mut self.failed,
            DocumentStatus::Cancelled => &mut self.cancelled,
            DocumentStatus::Superseded => &mut self.superseded,
            DocumentStatus::Open => &mut self.open,
        }
    }
}

fn status_of(end: Option<&RunEnd>) -> (DocumentStatus, String) {
    let Some(end) = end else { return (DocumentStatus::Open, String::new()) };
    let (state, reason) = state_of(end);
    let status = match state {
        _ if end.cancelled => DocumentStatus::Cancelled,
        DocumentState::Stored => DocumentStatus::Stored,
        DocumentState::Empty => DocumentStatus::Empty,
        DocumentState::AskRun | DocumentState::Unusable => DocumentStatus::Failed,
    };
    (status, reason)
}

/// The last number that a step recorded under this name.
fn count(end: &RunEnd, name: &str) -> Option<u64> {
    end.values.iter().rev().find_map(|it| it[name].as_u64())
}

/// The state of the documents of an ended run, and the reason.
fn state_of(end: &RunEnd) -> (DocumentState, String) {
    if end.failed {
        let failure = end.failure.as_ref().unwrap_or(&Value::Null);
        let state = if is_for_good(failure) { DocumentState::Unusable } else { DocumentState::AskRun };
        let reason = failure["reason"].as_str().or(failure["message"].as_str()).unwrap_or("failed");
        return (state, reason.to_string());
    }
    if end.cancelled {
        return (DocumentState::AskRun, "cancelled".to_string());
    }
    let last = end.values.last().unwrap_or(&Value::Null);
    if last[SUPERSEDED].is_object() && last["documents"] == 0 {
        return (DocumentState::AskRun, last[REMARK].as_str().unwrap_or_default().to_string());
    }
    let warnings = end.values.iter().filter_map(|it| it["warnings"].as_array()).flatten();
    let warnings: Vec<&str> = warnings.filter_map(Value::as_str).take(5).collect();
    match count(end, "chunks") {
        Some(0) => (DocumentState::Empty, warnings.join("; ")),
        _ => (DocumentState::Stored, warnings.join("; ")),
    }
}

/// Failures caused by the environment and not by the document.
const PASSING: [&str; 10] = [
    "changed",
    "gone",
    "permission",
    "not_startable",
    "unlocked",
    "database",
    "embedder",
    "docling",
    "unknown_kind",
    "parameters",
];

/// Whether the same bytes and parameters would fail again: the document itself caused a permanent failure, or crashed
/// its parser too often.
fn is_for_good(failure: &Value) -> bool {
    let outcome = &failure["outcome"];
    let kind = outcome["kind"].as_str().unwrap_or_default();
    match outcome["outcome"].as_str() {
        // A document that needs OCR can be read once OCR is installed.
        Some("failed") if kind == "needs_ocr" => ocr::installed().is_none(),
        Some("failed") => outcome["retryable"] == false && !PASSING.contains(&kind),
        Some("crashed") => true,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Millis, Outcome};
    use serde_json::json;

    fn failed(outcome: &Outcome) -> RunEnd {
        let failure = json!({"outcome": outcome, "message": outcome.to_string()});
        RunEnd { failed: true, failure: Some(failure), ..RunEnd::default() }
    }

    #[test]
    fn only_what_the_document_itself_did_makes_it_unusable() {
        let crashed = Outcome::Crashed { signal: Some(9), message: "crashed".to_string() };
        let table = [
            (Outcome::permanent("encrypted", "a password is needed"), DocumentState::Unusable),
            (Outcome::permanent("parse_timeout", "took longer"), DocumentState::Unusable),
            (crashed, DocumentState::Unusable),
            (Outcome::permanent("changed", "changed"), DocumentState::AskRun),
            (Outcome::permanent("gone", "gone"), DocumentState::AskRun),
            (Outcome::retryable("io", "disk"), DocumentState::AskRun),
            (Outcome::TimedOut { after: Millis(1) }, DocumentState::AskRun),
        ];
        for (outcome, state) in table {
            let (found, reason) = state_of(&failed(&outcome));
            assert_eq!(found, state, "{outcome:?}");
            assert_eq!(reason, outcome.to_string());
        }
        let cancelled = RunEnd { cancelled: true, ..RunEnd::default() };
        assert_eq!(state_of(&cancelled).0, DocumentState::AskRun);
        assert_eq!(status_of(Some(&cancelled)).0, DocumentStatus::Cancelled);
    }

    #[test]
    fn a_document_without_chunks_is_empty_and_says_why() {
        let values = vec![json!({"warnings": ["page 1 has no text"]}), json!({"chunks": 0})];
        let end = RunEnd { values, ..RunEnd::default() };
        assert_eq!(state_of(&end), (DocumentState::Empty, "page 1 has no text".to_string()));
        let end = RunEnd { values: vec![json!({"chunks": 3})], ..RunEnd::default() };
        assert_eq!(state_of(&end), (DocumentState::Stored, String::new()));
    }

    #[test]
    fn documents_with_one_content_are_counted_one_by_one() {
        let item = json!({
            "name": "a.md", "source": "default", "sha256": "0".repeat(64), "size": 7,
            "documents": [{"uri": "file:///a.md"}, {"uri": "file:///b.md"}],
        });
        let values = vec![json!({"embedded": 2, "chunks": 3}), json!({"chunks": 3})];
        let end = RunEnd { values, ..RunEnd::default() };
        let mut report = SyncReport::default();
        report.add(&GroupRun { run: RunId(1), item: item.to_string(), end: Some(end) });
        assert_eq!((report.stored, report.chunks, report.embedded, report.bytes), (2, 6, 2, 7));
        report.add(&GroupRun { run: RunId(2), item: item.to_string(), end: None });
        assert_eq!((report.open, report.documents.len()), (2, 4));
        assert_eq!(report.documents[1].uri, "file:///b.md");
    }
}
