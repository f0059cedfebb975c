//! What a step waits for that started runs of its own, in words.

use super::wording::count;
use crate::{
    model::{GroupId, shortened},
    store::read,
};

/// Bytes of an item in a sentence.
const ITEM_BYTES: usize = 60;

/// `3 of 10 runs in g13 have not ended: r15 (a.pdf), r16 (b.pdf), r17 (c.pdf)`.
pub(super) fn children(group: GroupId, facts: Option<&read::Children>) -> String {
    let Some(it) = facts else { return format!("it waits for its runs in {group}") };
    let (runs, open) = (it.group.runs, it.group.runs - it.group.ended_runs);
    let named = |it: &read::OpenRun| match shortened(&it.item, ITEM_BYTES).trim() {
        "" => it.run.to_string(),
        item => format!("{} ({item})", it.run),
    };
    let mut first = it.first.iter().map(named).collect::<Vec<_>>().join(", ");
    if open > it.first.len() as i64 {
        first.push_str(", ...");
    }
    let failed = if it.group.failed > 0 { format!("; {} failed", it.group.failed) } else { String::new() };
    let runs = count(runs.unsigned_abs(), "run");
    format!(
        "it waits for its runs: {open} of {runs} in {group} {} not ended{failed}: {first}",
        if open == 1 { "has" } else { "have" }
    )
}

/// Why a step failed that started runs is said by its group.
pub(super) fn failed(it: &read::Children) -> String {
    let runs = count(it.group.failed.unsigned_abs(), "run");
    format!("{runs} failed in {}; see why", it.group.group)
}

/// Its run has not started, since so many others of its group are open.
pub(super) fn full(group: GroupId, most: i64) -> String {
    let most = count(most.unsigned_abs(), "open run");
    format!("{group} has {most}, and `at_most` allows no more")
}
