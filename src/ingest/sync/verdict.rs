//! Decides, from values alone, what to do with one document.

use crate::{
    definition::{ParameterSet, digest},
    model::{ArtifactHash, DocumentState},
    store::document::Known,
};
use serde::Serialize;
use serde_json::{Value, json};

/// The current state of a file.
#[derive(Debug, Clone, Copy)]
pub(super) struct Now {
    pub sha256: ArtifactHash,
    /// See [`params_hash`].
    pub params: [u8; 32],
}

/// Why a document is ingested again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Why {
    /// Its content has changed.
    Content,
    /// The parameters or its metadata have changed.
    Parameters,
    /// The vector database does not have it, or has other content for it.
    Missing,
    /// It failed earlier in a way that a retry may fix, or was cancelled.
    Failed,
    /// `force` was requested.
    Forced,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    New,
    Changed(Why),
    Unchanged,
    /// Failed permanently with the same content and parameters.
    Unusable,
    /// A run with the same content and parameters is open.
    AtWork,
}

/// `stored` is its content in the vector database.
pub(super) fn judge(known: Option<&Known>, stored: Option<&ArtifactHash>, now: &Now, force: bool) -> Verdict {
    let Some(Known { row, running, .. }) = known else { return Verdict::New };
    let same_content = row.sha256 == now.sha256;
    if same_content && row.params == now.params && *running {
        return Verdict::AtWork;
    }
    if !same_content {
        return Verdict::Changed(Why::Content);
    }
    if force {
        return Verdict::Changed(Why::Forced);
    }
    if row.params != now.params {
        return Verdict::Changed(Why::Parameters);
    }
    match row.state {
        DocumentState::Unusable => Verdict::Unusable,
        DocumentState::AskRun => Verdict::Changed(Why::Failed),
        DocumentState::Stored | DocumentState::Empty if stored != Some(&now.sha256) => Verdict::Changed(Why::Missing),
        DocumentState::Stored | DocumentState::Empty => Verdict::Unchanged,
    }
}

/// A hash of everything besides its content that determines the stored form of a document: the parameters and its
/// sidecar file.
///
/// The path of the vector database is not included: each database has its own records, and a home may move.
pub(in crate::ingest) fn params_hash(set: &ParameterSet, metadata: Option<&Value>) -> [u8; 32] {
    let mut set = set.clone();
    if let Some(path) = set.config.pointer_mut("/store/path") {
        *path = Value::Null;
    }
    match metadata {
        None | Some(Value::Null) => set.hash(),
        Some(metadata) => digest("windlass document 1", &json!([hex::encode(set.hash()), metadata])),
    }
}

/// The time of a file, if it can be relied on later. On file systems with coarse times, a file that changed within two
/// seconds before it was read may change again with the same time and size. In that case returns 0, which means "read
/// it next time".
pub(super) fn remembered_time(mtime: i64, read_at_millis: i64) -> i64 {
    const RACY: i64 = 2_000_000_000;
    let age = read_at_millis.saturating_mul(1_000_000).saturating_sub(mtime);
    if age < RACY { 0 } else { mtime }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        model::{RunId, Timestamp},
        store::document::DocumentRow,
    };
    use DocumentState::{AskRun, Empty, Stored, Unusable};

    fn known(content: u8, params: u8, state: DocumentState, running: bool) -> Known {
        let row = DocumentRow {
            uri: "file:///a".into(),
            sha256: ArtifactHash([content; 32]),
            size: 1,
            mtime: 1,
            params: [params; 32],
            run: Some(RunId(1)),
            state,
            reason: String::new(),
        };
        Known { row, running, updated: Timestamp(0) }
    }

    #[test]
    fn each_document_has_one_verdict() {
        use Verdict::{AtWork, Changed, New, Unchanged};
        let now = Now { sha256: ArtifactHash([1; 32]), params: [1; 32] };
        let (same, other) = (Some(ArtifactHash([1; 32])), Some(ArtifactHash([2; 32])));
        let table = [
            (None, None, New, New),
            (None, same, New, New),
            (Some(known(1, 1, Stored, false)), same, Unchanged, Changed(Why::Forced)),
            (Some(known(1, 1, Empty, false)), same, Unchanged, Changed(Why::Forced)),
            (Some(known(1, 1, Stored, false)), None, Changed(Why::Missing), Changed(Why::Forced)),
            (Some(known(1, 1, Stored, false)), other, Changed(Why::Missing), Changed(Why::Forced)),
            (Some(known(1, 1, Unusable, false)), None, Verdict::Unusable, Changed(Why::Forced)),
            (Some(known(1, 2, Unusable, false)), None, Changed(Why::Parameters), Changed(Why::Forced)),
            (Some(known(2, 1, Unusable, false)), None, Changed(Why::Content), Changed(Why::Content)),
            (Some(known(2, 1, Stored, false)), other, Changed(Why::Content), Changed(Why::Content)),
            (Some(known(1, 2, Stored, false)), same, Changed(Why::Parameters), Changed(Why::Forced)),
            (Some(known(1, 1, AskRun, false)), None, Changed(Why::Failed), Changed(Why::Forced)),
            (Some(known(1, 1, AskRun, true)), None, AtWork, AtWork),
            (Some(known(2, 1, AskRun, true)), None, Changed(Why::Content), Changed(Why::Content)),
            (Some(known(1, 2, AskRun, true)), None, Changed(Why::Parameters), Changed(Why::Forced)),
        ];
        for (known, stored, plain, forced) in table {
            assert_eq!(judge(known.as_ref(), stored.as_ref(), &now, false), plain, "{known:?} {stored:?}");
            assert_eq!(judge(known.as_ref(), stored.as_ref(), &now, true), forced, "{known:?} {stored:?} forced");
        }
    }

    #[test]
    fn a_time_is_remembered_only_when_a_later_change_would_show() {
        let second = 1_000_000_000;
        for (mtime, read_at, remembered) in [
            (10 * second, 12_000, 10 * second),
            (10 * second, 11_999, 0),
            (10 * second, 10_000, 0),
            (20 * second, 10_000, 0),
            (0, 10_000, 0),
            (i64::MIN, 10_000, i64::MIN),
        ] {
            assert_eq!(remembered_time(mtime, read_at), remembered, "{mtime} {read_at}");
        }
    }

    #[test]
    fn metadata_counts_as_a_parameter() {
        let set = ParameterSet::builtin();
        let plain = params_hash(&set, None);
        let ann = params_hash(&set, Some(&json!({"author": "Ann"})));
        assert!(plain != ann && ann != params_hash(&set, Some(&json!({"author": "Bob"}))));
        assert_eq!(plain, params_hash(&set.overlay(["chunk.size=400"]).unwrap(), None));
        assert_ne!(plain, params_hash(&set.overlay(["chunk.size=300"]).unwrap(), None));
    }
}
