//! What `ingest` prints: the plan, and the results.

use super::{
    context::Context,
    failure::Result,
    paint::Paint,
    wording::{count, number_of, place, plain, size},
};
use crate::{
    engine::Submitted,
    ingest::{
        fetch,
        sync::{DocumentOutcome, DocumentStatus, Ended, SyncPlan, SyncReport},
    },
    model::GroupId,
    os::process_stat,
};
use std::{collections::HashMap, time::Duration};

/// How many entries of one kind are listed individually.
const LINES: usize = 10;

/// A short summary of the plan, before the work begins.
pub fn plan(cx: &Context, plan: &SyncPlan) -> Result<()> {
    if cx.output.json {
        return cx.output.event(&serde_json::json!({
            "event": "plan", "database": plan.database, "source": plan.source, "new": plan.new.len(),
            "changed": plan.changed.len(), "unchanged": plan.unchanged, "unusable": plan.unusable.len(),
            "at_work": plan.at_work.len(), "unread": plan.unreadable.len(), "left_out": plan.left_out,
            "linked_outside": plan.linked_outside, "retry": plan.retry,
            "removed": plan.removed.len(), "prune": plan.prune, "runs": plan.runs.len(), "bytes": plan.bytes,
        }));
    }
    if !plan.is_empty() {
        cx.output.note(counts(plan));
    }
    problems(cx, plan);
    Ok(())
}

fn problems(cx: &Context, plan: &SyncPlan) {
    plan.warnings.iter().take(LINES).for_each(|it| cx.output.warn(plain(it)));
    for it in plan.unreadable.iter().take(LINES) {
        cx.output.warn(format!("can't read {}: {}", place(&it.uri), plain(&it.reason)));
    }
    if plan.unreadable.len() > LINES {
        cx.output.warn(format!("and {} more that can't be read", plan.unreadable.len() - LINES));
    }
    for it in plan.unusable.iter().take(LINES) {
        cx.output.note(format!("skipped: {}: {}", place(&it.uri), plain(&it.reason)));
    }
    if !plan.unusable.is_empty() {
        let skipped = number_of(plan.unusable.len() as u64);
        let how = match plan.retry.is_empty() {
            true => "change them, or ingest everything again with `--force`".to_string(),
            false => format!("{} or change them", retries(&plan.retry)),
        };
        cx.output.note(format!("{skipped} skipped: failed earlier and unchanged ({how})"));
    }
}

/// Commands that retry the first of these groups.
fn retries(groups: &[GroupId]) -> String {
    groups.iter().take(3).map(|it| format!("`windlass retry {it}`")).collect::<Vec<_>>().join(", ")
}

fn counts(plan: &SyncPlan) -> String {
    let mut parts = Vec::new();
    let mut part = |number: usize, what: &str| {
        if number > 0 {
            parts.push(format!("{} {what}", number_of(number as u64)));
        }
    };
    part(plan.new.len(), "new");
    part(plan.changed.len(), "changed");
    part(plan.unchanged as usize, "unchanged");
    part(plan.unusable.len(), "unusable");
    part(plan.at_work.len(), "in progress elsewhere");
    let fetched = plan.unreadable.iter().filter(|it| fetch::is_url(&it.uri)).count();
    part(fetched, "could not be fetched");
    part(plan.unreadable.len() - fetched, "could not be read");
    part(plan.left_out, "skipped (no reader for this kind of file)");
    part(plan.linked_outside, "skipped (links out of their directory; see `--follow-links`)");
    part(plan.removed.len(), if plan.prune { "gone" } else { "no longer there (`--prune` removes them)" });
    match parts.is_empty() {
        true => "no documents found".to_string(),
        false => format!("documents: {}", parts.join(", ")),
    }
}

/// A dry run: lists every document.
pub fn plan_in_full(cx: &Context, plan: &SyncPlan) -> Result<()> {
    if cx.output.json {
        return cx.output.document(plan);
    }
    let out = &cx.output;
    let line = |paint: Paint, what: &str, uri: &str, more: &str| {
        out.line(format!("{}  {}{more}", out.paint(paint, &format!("{what:<9}")), place(uri)))
    };
    for uri in &plan.new {
        line(Paint::Good, "new", uri, "")?;
    }
    for (uri, why) in &plan.changed {
        let why = serde_json::to_value(why).ok().and_then(|it| it.as_str().map(str::to_string)).unwrap_or_default();
        line(Paint::Warn, "changed", uri, &format!("  ({why})"))?;
    }
    for it in &plan.unusable {
        line(Paint::Dim, "unusable", &it.uri, &format!("  ({})", plain(&it.reason)))?;
    }
    for uri in &plan.at_work {
        line(Paint::Busy, "at work", uri, "")?;
    }
    for uri in &plan.removed {
        line(Paint::Bad, if plan.prune { "removed" } else { "gone" }, uri, "")?;
    }
    for it in &plan.unreadable {
        line(Paint::Bad, "unread", &it.uri, &format!("  ({})", plain(&it.reason)))?;
    }
    out.line(format!("{}; {} to read; nothing was written", counts(plan), size(plan.bytes)))?;
    let stages = ["validate", "parse", "chunk", "embed", "store"];
    let runs = |stage: &str| plan.runs.iter().filter(|it| it.steps.iter().any(|step| step.ends_with(stage))).count();
    let steps: Vec<String> = stages.iter().map(|it| format!("{it} {}", runs(it))).collect();
    if !plan.runs.is_empty() {
        out.line(format!("steps to run: {}", steps.join(", ")))?;
    }
    Ok(())
}

pub fn submitted(cx: &Context, submitted: Submitted, runs: usize) -> Result<()> {
    match cx.output.json {
        true => cx.output.event(&serde_json::json!({
            "event": "submitted", "group": submitted.group, "new": submitted.new, "runs": runs, "gone": submitted.gone,
            "skipped": submitted.skipped,
        })),
        false => {
            super::submit::said(cx, submitted, runs);
            Ok(())
        }
    }
}

/// The results, the speed, and what to do next. `search` is the command that searches the database.
pub fn report(cx: &Context, ended: &Ended, search: &str, took: Duration) -> Result<()> {
    let Ended { plan, groups, retry, removed, report, .. } = ended;
    let removed = *removed;
    let out = &cx.output;
    if out.json {
        return out.event(&serde_json::json!({
            "event": "ended", "groups": groups, "database": plan.database, "removed": removed, "report": report,
            "seconds": took.as_secs_f64(), "peak_rss_bytes": process_stat::peak_rss_bytes(),
            "database_bytes": database_size(plan),
        }));
    }
    reasons(cx, report, DocumentStatus::Failed)?;
    if !retry.is_empty() {
        out.note(format!("retry: {}, then the same command", retries(retry)));
    }
    reasons(cx, report, DocumentStatus::Empty)?;
    let mut parts = vec![format!("{} stored", count(report.stored, "document"))];
    let mut part = |number: u64, what: &str| {
        if number > 0 {
            parts.push(format!("{} {what}", number_of(number)));
        }
    };
    part(report.empty, "empty");
    part(report.failed, "failed");
    part(report.cancelled, "cancelled");
    part(report.superseded, "superseded");
    part(report.open, "still at work");
    part(plan.unchanged, "unchanged");
    part(removed as u64, "removed");
    let chunks = format!("{} ({} embedded)", count(report.chunks, "chunk"), number_of(report.embedded));
    out.line(match groups.is_empty() {
        true if removed == 0 && !plan.unreadable.is_empty() => counts(plan),
        true if removed == 0 => format!("nothing to do: {}", counts(plan)),
        true => format!("{} removed", count(removed as u64, "document")),
        false => format!("{}; {chunks} from {}", parts.join(", "), size(report.bytes)),
    })?;
    if !groups.is_empty() {
        out.line(pace(plan, report, took))?;
    }
    if report.stored > 0 || plan.unchanged > 0 {
        out.note(format!("next: `{search}`"));
    }
    Ok(())
}

/// One line for each reason behind this status: the document if it is the only one, otherwise the number of documents.
fn reasons(cx: &Context, report: &SyncReport, status: DocumentStatus) -> Result<()> {
    let (paint, mark, rest) = match status {
        DocumentStatus::Failed => (Paint::Bad, "failed", "more"),
        _ => (Paint::Warn, "empty ", "more without text"),
    };
    let (mark, kinds) = (cx.output.paint(paint, mark), kinds(report, status));
    for (first, more) in kinds.iter().take(LINES) {
        let (uri, reason) = (place(&first.uri), plain(&first.reason));
        let show = match status {
            DocumentStatus::Failed => format!("`windlass show {}`", first.run),
            _ => String::new(),
        };
        cx.output.advice(match (more, show.as_str()) {
            (0, "") => format!("{mark}  {uri}: {reason}"),
            (0, show) => format!("{mark}  {uri}: {reason}  ({show})"),
            (more, show) => {
                let (all, others) = (count(more + 1, "document"), number_of(*more));
                let show = if show.is_empty() { String::new() } else { format!("; {show}") };
                format!("{mark}  {all}: {reason}  ({uri}, and {others} more{show})")
            }
        })?;
    }
    match kinds.iter().skip(LINES).map(|it| it.1 + 1).sum::<u64>() {
        0 => Ok(()),
        left => cx.output.line(format!("and {} {rest}", number_of(left))),
    }
}

/// The documents of one status, grouped by reason: the first document, and how many more there are.
fn kinds(report: &SyncReport, status: DocumentStatus) -> Vec<(&DocumentOutcome, u64)> {
    let mut kinds: Vec<(&DocumentOutcome, u64)> = Vec::new();
    let mut known: HashMap<&str, usize> = HashMap::new();
    for it in report.documents.iter().filter(|it| it.status == status) {
        match known.get(it.reason.as_str()) {
            Some(at) => kinds[*at].1 += 1,
            None => {
                known.insert(&it.reason, kinds.len());
                kinds.push((it, 0));
            }
        }
    }
    kinds
}

/// Rate, memory and size: `1.2 s: 9.3 documents/s, 1.3 MiB/s; peak memory 58.1 MiB; database 1.1 MiB`.
fn pace(plan: &SyncPlan, report: &SyncReport, took: Duration) -> String {
    let seconds = took.as_secs_f64().max(0.001);
    let documents = (report.stored + report.empty + report.failed) as f64 / seconds;
    let bytes = size((report.bytes as f64 / seconds) as u64);
    let mut text = format!("{seconds:.1} s: {documents:.1} documents/s, {bytes}/s");
    if let Some(peak) = process_stat::peak_rss_bytes() {
        text.push_str(&format!("; peak memory {}", size(peak)));
    }
    if let Some(bytes) = database_size(plan) {
        text.push_str(&format!("; database {}", size(bytes)));
    }
    text
}

/// The size of the vector database and its write-ahead log on disk, in bytes. It comes from file metadata, because only
/// SQLite opens the files.
fn database_size(plan: &SyncPlan) -> Option<u64> {
    let mut log = plan.database.clone().into_os_string();
    log.push("-wal");
    let log = std::fs::metadata(log).map_or(0, |it| it.len());
    std::fs::metadata(&plan.database).ok().map(|it| it.len() + log)
}
