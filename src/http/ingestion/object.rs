//! The objects of the ingestion API: the fields that its clients expect, in this order, `null` if unknown.

use crate::{
    model::{ArtifactHash, Status, Timestamp},
    store::{
        document_batch::Batch,
        document_uri::DocumentUri,
        records::{GroupRecord, HistoryRecord, RunRecord, StepRecord, Tally},
        sync_state::SyncState,
    },
    view::wording::count,
};
use serde::Serialize;
use serde_json::{Map, Value, json};
use utoipa::ToSchema;

/// ISO 8601 in UTC without an offset, as `datetime.isoformat()` of Python prints it: `2026-01-02T03:04:05.678000`.
pub fn date(at: Timestamp) -> String {
    let (days, millis) = (at.0.div_euclid(86_400_000), at.0.rem_euclid(86_400_000));
    let (year, month, day) = civil(days);
    let (seconds, fraction) = (millis / 1000, millis % 1000);
    let (hour, minute, second) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    let fraction = if fraction == 0 { String::new() } else { format!(".{fraction:03}000") };
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}{fraction}")
}

/// Days since 1970-01-01 to a date; Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms", `civil_from_days`.
fn civil(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    (year_of_era + era * 400 + i64::from(month <= 2), month, day)
}

fn seconds(from: Timestamp, to: Option<Timestamp>) -> Option<f64> {
    to.map(|to| to.since(from).0 as f64 / 1000.0)
}

/// `sha256-<hex>`
pub fn hash(sha256: &ArtifactHash) -> String {
    format!("sha256-{sha256}")
}

/// The digits of a hash, with any prefix removed.
pub fn digits(hash: &str) -> &str {
    hash.split_once(['-', ':']).map_or(hash, |it| it.1)
}

/// Parses a hash from a client. None if it is not one.
pub fn parse_hash(text: &str) -> Option<ArtifactHash> {
    digits(text.trim()).to_ascii_lowercase().parse().ok()
}

/// `512.00 B`, `1.50 MB`; units differ by a factor of 1024.
pub fn human(bytes: u64) -> String {
    let mut size = bytes as f64;
    for unit in ["B", "KB", "MB", "GB", "TB"] {
        if size < 1024.0 {
            return format!("{size:.2} {unit}");
        }
        size /= 1024.0;
    }
    format!("{size:.2} PB")
}

/// The result, for people.
#[derive(Debug, Serialize, ToSchema)]
pub struct Message {
    pub message: String,
}

#[derive(Debug, Serialize, ToSchema)]
pub struct BatchObject {
    pub id: i64,
    pub name: String,
    pub source: String,
    pub start_date: String,
    pub completed_date: Option<String>,
    #[schema(value_type = Object)]
    pub batch_params: Value,
    /// Seconds.
    pub duration: Option<f64>,
}

impl From<Batch> for BatchObject {
    fn from(it: Batch) -> BatchObject {
        BatchObject {
            id: it.id,
            name: it.name,
            source: it.source,
            start_date: date(it.created),
            completed_date: it.completed.map(date),
            batch_params: it.params,
            duration: seconds(it.created, it.completed),
        }
    }
}

#[derive(Debug, Serialize, ToSchema)]
pub struct DocumentUriObject {
    pub id: i64,
    /// `sha256-<hex>`
    pub doc_hash: String,
    pub uri: String,
    pub source: String,
    pub version: i64,
    pub batch_id: Option<i64>,
}

impl From<DocumentUri> for DocumentUriObject {
    fn from(it: DocumentUri) -> DocumentUriObject {
        DocumentUriObject {
            id: it.id,
            doc_hash: hash(&it.sha256),
            uri: it.uri,
            source: it.source,
            version: it.version,
            batch_id: it.batch,
        }
    }
}

#[derive(Debug, Serialize, ToSchema)]
pub struct RunObject {
    pub id: i64,
    pub workflow_definition_id: String,
    pub run_group_id: i64,
    pub batch_id: Option<i64>,
    /// `sha256-<hex>` of the document; the item itself for a run that works on none.
    pub doc_id: String,
    pub priority: i64,
    pub created_date: String,
    pub start_date: String,
    pub completed_date: Option<String>,
    pub status: String,
    pub status_date: String,
    pub status_message: Option<String>,
    #[schema(value_type = Object)]
    pub status_meta: Value,
    #[schema(value_type = Object)]
    pub run_params: Value,
    /// Seconds.
    pub duration: Option<f64>,
}

/// The longest item that is used as a `doc_id`.
const ITEM: usize = 256;

impl From<RunRecord> for RunObject {
    fn from(it: RunRecord) -> RunObject {
        // Clients expect a date even before the first step begins.
        let started = it.started.unwrap_or(it.created);
        let doc_id = match &it.content {
            Some(content) => hash(content),
            None => it.item.chars().take(ITEM).collect(),
        };
        let mut run_params = Map::new();
        if let Some(params) = &it.params {
            run_params.insert("param_id".into(), params.as_str().into());
        }
        run_params.insert("workflow_id".into(), it.definition.as_str().into());
        if let Some(source) = &it.source {
            run_params.insert("source".into(), source.as_str().into());
        }
        RunObject {
            id: it.id.0,
            workflow_definition_id: it.definition,
            run_group_id: it.group.0,
            batch_id: it.batch,
            doc_id,
            priority: it.priority,
            created_date: date(it.created),
            start_date: date(started),
            completed_date: it.ended.map(date),
            status: it.status.name().to_string(),
            status_date: date(it.ended.unwrap_or(started)),
            status_message: it.message,
            status_meta: json!({}),
            run_params: Value::Object(run_params),
            duration: seconds(started, it.ended),
        }
    }
}

#[derive(Debug, Serialize, ToSchema)]
pub struct StepObject {
    pub id: i64,
    pub workflow_run_id: i64,
    /// From 1.
    pub workflow_step_number: i64,
    pub workflow_step_name: String,
    pub step_config_id: i64,
    pub step_type: String,
    pub is_last_step: bool,
    pub created_date: String,
    pub priority: i64,
    pub start_date: Option<String>,
    pub status_date: String,
    pub completed_date: Option<String>,
    /// Attempts that failed so far.
    pub retry: i64,
    /// The maximum number of attempts.
    pub retries: i64,
    pub status: String,
    pub status_message: Option<String>,
    #[schema(value_type = Object)]
    pub status_meta: Value,
    pub worker_id: Option<String>,
    /// Seconds.
    pub duration: Option<f64>,
}

impl From<StepRecord> for StepObject {
    fn from(it: StepRecord) -> StepObject {
        StepObject {
            id: it.id.0,
            workflow_run_id: it.run.0,
            workflow_step_number: it.no + 1,
            workflow_step_name: it.name,
            step_config_id: it.definition,
            step_type: it.step_type.to_lowercase(),
            is_last_step: it.last,
            created_date: date(it.created),
            priority: it.priority,
            start_date: it.started.map(date),
            status_date: date(it.ended.or(it.started).unwrap_or(it.created)),
            completed_date: it.ended.map(date),
            retry: it.failures,
            retries: it.retries + 1,
            status: it.status.name().to_string(),
            status_message: it.message,
            status_meta: json!({}),
            worker_id: it.worker.map(|it| it.to_string()),
            duration: it.started.and_then(|started| seconds(started, it.ended)),
        }
    }
}

#[derive(Debug, Serialize, ToSchema)]
pub struct GroupObject {
    pub id: i64,
    pub name: Option<String>,
    pub workflow_definition_id: String,
    pub param_definition_id: Option<String>,
    pub batch_id: Option<i64>,
    pub created_date: String,
    pub start_date: String,
    pub completed_date: Option<String>,
    pub status: String,
    pub status_date: String,
    pub status_message: Option<String>,
    #[schema(value_type = Object)]
    pub status_meta: Value,
}

impl From<GroupRecord> for GroupObject {
    fn from(it: GroupRecord) -> GroupObject {
        let message =
            (it.failed > 0).then(|| format!("{} of {} failed", it.failed, count(it.runs.max(0) as u64, "run")));
        GroupObject {
            id: it.id.0,
            name: Some(it.name),
            workflow_definition_id: it.definition,
            param_definition_id: it.params,
            batch_id: it.batch,
            created_date: date(it.created),
            start_date: date(it.created),
            completed_date: it.ended.map(date),
            status: it.status.name().to_string(),
            status_date: date(it.ended.unwrap_or(it.created)),
            status_message: message,
            status_meta: json!({}),
        }
    }
}

#[derive(Debug, Serialize, ToSchema)]
pub struct HistoryObject {
    /// Counted within the run, from 1.
    pub id: i64,
    pub event: String,
    pub handler_name: Option<String>,
    pub run_group_id: i64,
    pub workflow_run_id: i64,
    pub step_id: Option<i64>,
    pub start_date: String,
    pub completed_date: Option<String>,
    pub status: String,
    pub status_date: String,
    pub status_message: Option<String>,
    #[schema(value_type = Object)]
    pub status_meta: Value,
}

impl HistoryObject {
    pub fn new(id: i64, it: HistoryRecord) -> HistoryObject {
        HistoryObject {
            id,
            event: it.event.name().to_string(),
            handler_name: it.handler,
            run_group_id: it.group.0,
            workflow_run_id: it.run.0,
            step_id: it.step.map(|it| it.0),
            start_date: date(it.started),
            completed_date: it.ended.map(date),
            status: it.status.name().to_string(),
            status_date: date(it.ended.unwrap_or(it.started)),
            status_message: it.message,
            status_meta: json!({}),
        }
    }
}

#[derive(Debug, Serialize, ToSchema)]
pub struct SyncStateObject {
    pub source_id: String,
    pub last_commit_sha: String,
    pub last_sync_date: String,
    pub branch: String,
    #[schema(value_type = Object)]
    pub metadata: Map<String, Value>,
}

impl From<SyncState> for SyncStateObject {
    fn from(it: SyncState) -> SyncStateObject {
        SyncStateObject {
            source_id: it.source,
            last_commit_sha: it.commit_sha,
            last_sync_date: date(it.synced),
            branch: it.branch,
            metadata: it.metadata,
        }
    }
}

/// `{"PENDING": 0, "RUNNING": 1, ...}`: every status, including those without runs.
pub fn counts(tally: &Tally) -> Map<String, Value> {
    let known = Status::ALL.into_iter().filter(|it| *it != Status::Waiting);
    known.map(|it| (it.name().to_string(), tally.of(it).into())).collect()
}

/// Tenths of a second.
pub fn tenths(millis: f64) -> f64 {
    (millis / 100.0).round() / 10.0
}

/// Seconds with milliseconds.
pub fn in_seconds(millis: i64) -> f64 {
    millis.max(0) as f64 / 1000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_iso_without_an_offset_as_python_prints_them() {
        for (millis, text) in [
            (0, "1970-01-01T00:00:00"),
            (951_827_696_789, "2000-02-29T12:34:56.789000"),
            (1_767_225_599_001, "2025-12-31T23:59:59.001000"),
            (4_102_444_800_000, "2100-01-01T00:00:00"),
            (-1, "1969-12-31T23:59:59.999000"),
        ] {
            assert_eq!(date(Timestamp(millis)), text);
        }
    }

    #[test]
    fn a_hash_is_read_with_and_without_its_kind() {
        let hex = "ab".repeat(32);
        let upper = hex.to_uppercase();
        for text in [format!("sha256-{hex}"), format!("sha256:{hex}"), hex.clone(), upper] {
            assert_eq!(parse_hash(&text).map(|it| hash(&it)), Some(format!("sha256-{hex}")), "{text}");
        }
        assert_eq!(parse_hash("sha256-12"), None);
    }

    #[test]
    fn sizes_are_told_in_steps_of_1024() {
        for (bytes, text) in [(0, "0.00 B"), (1023, "1023.00 B"), (1536, "1.50 KB"), (5 << 40, "5.00 TB")] {
            assert_eq!(human(bytes), text);
        }
    }
}
