//! The status and progress of a group, a run or a step, for people: `PENDING (312 of 1,006 done, waiting for a worker)`.

use super::{
    reason::Reason,
    wording::{count, number_of},
    worker::WorkerView,
};
use crate::{
    decide::status,
    model::Status,
    store::read::{GroupRow, RunDetails, Waits},
};

/// `PENDING (half done, waiting)`, with the non-empty parts.
fn with_parts(status: Status, parts: &[String]) -> String {
    match parts.is_empty() {
        true => status.name().to_string(),
        false => format!("{} ({})", status.name(), parts.join(", ")),
    }
}

const NO_WORKER: &str = "waiting for a worker";

/// The status of a group for people, by the rule of `decide::status::shown`. `waits` is what it waits for.
pub fn status_of_group(group: &GroupRow, waits: Option<&str>) -> Status {
    status::shown(group.status, group.running > 0 && waits != Some(NO_WORKER))
}

/// What an open group waits for; `None` if it is just running.
pub fn waits(group: &GroupRow, workers: &[WorkerView]) -> Option<String> {
    let works = |it: &WorkerView| it.alive && it.row.scope.is_none_or(|scope| scope == group.id);
    let words = match group {
        _ if group.ended.is_some() => None,
        it if it.cancelling => Some("being cancelled"),
        it if it.building => Some("being submitted"),
        it if it.paused => Some("paused"),
        GroupRow { approvals: 1.., running: 0, waits, .. } => return Some(waits_for(waits)),
        GroupRow { waits_for: Some(other), .. } => return Some(format!("waiting for {other}")),
        // The steps of a dead worker still count as running.
        it if (it.type_paused.is_none() || it.running > 0) && !workers.iter().any(works) => Some(NO_WORKER),
        it if it.running > 0 => None,
        GroupRow { waiting: 1.., waits, .. } => return Some(waits_for(waits)),
        GroupRow { type_paused: Some(name), .. } => return Some(format!("the type `{name}` is paused")),
        _ => Some("waiting"),
    };
    words.map(str::to_string)
}

/// `2 steps wait for an approval, 1 for a signal`.
fn waits_for(waits: &Waits) -> String {
    let runs = if waits.children == 1 { "its runs" } else { "their runs" };
    let kinds =
        [(waits.approval, "an approval"), (waits.signal, "a signal"), (waits.time, "a time"), (waits.children, runs)];
    let words = kinds.into_iter().filter(|it| it.0 > 0).enumerate().map(|(no, (steps, what))| match no {
        0 => {
            format!("{} {} for {what}", count(steps.unsigned_abs(), "step"), if steps == 1 { "waits" } else { "wait" })
        }
        _ => format!("{} for {what}", number_of(steps.unsigned_abs())),
    });
    words.collect::<Vec<_>>().join(", ")
}

pub fn of_group(group: &GroupRow, workers: &[WorkerView]) -> String {
    let mut parts = Vec::new();
    let number = |it: i64| number_of(it.max(0) as u64);
    if group.ended.is_none() && group.ended_runs > 0 {
        parts.push(format!("{} of {} done", number(group.ended_runs), number(group.runs)));
    }
    if group.ended.is_none() && group.failed > 0 {
        parts.push(format!("{} failed", number(group.failed)));
    }
    let waits = waits(group, workers);
    let status = status_of_group(group, waits.as_deref());
    parts.extend(waits);
    with_parts(status, &parts)
}

/// `reasons` says why its first open step does not run.
pub fn of_run(run: &RunDetails, reasons: &[Reason]) -> String {
    let mut parts = Vec::new();
    if let Some(done @ 1..) = run.run.steps_done {
        parts.push(format!("{done} of {} steps done", run.run.step_count));
    }
    parts.extend(waits_of_step(run.run.status, reasons));
    with_parts(run.run.status, &parts)
}

/// `reasons` says why it does not run.
pub fn of_step(status: Status, reasons: &[Reason]) -> String {
    let parts: Vec<String> = waits_of_step(status, reasons).into_iter().collect();
    with_parts(status, &parts)
}

fn waits_of_step(status: Status, reasons: &[Reason]) -> Option<String> {
    if !matches!(status, Status::Pending | Status::Waiting | Status::Error) {
        return None;
    }
    // The reason of its last failure is shown elsewhere.
    let reason = reasons.iter().find(|it| it.code != "error" && it.code != "put_off")?;
    Some(match reason.code {
        "group_paused" => "paused".to_string(),
        "no_worker" => "waiting for a worker".to_string(),
        "next" => "about to start".to_string(),
        "pool_full" => "waiting for its turn".to_string(),
        _ => {
            let text = reason.text.strip_prefix("it is ").or(reason.text.strip_prefix("it "));
            text.unwrap_or(&reason.text).to_string()
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{GroupId, ProcessIdentity, Timestamp, WorkerId};
    use crate::store::worker::WorkerRow;

    fn group() -> GroupRow {
        GroupRow {
            parent_group: None,
            parent_step: None,
            id: GroupId(5),
            name: "pack".into(),
            definition: "pack".into(),
            status: Status::Running,
            runs: 1_006,
            ended_runs: 312,
            failed: 0,
            cancelled: 0,
            running: 0,
            waiting: 0,
            approvals: 0,
            waits: Waits::default(),
            paused: false,
            cancelling: false,
            building: false,
            scoped: true,
            epoch: 1,
            priority: 0,
            weight: 1,
            created: Timestamp(0),
            ended: None,
            paused_for: None,
            concurrency: None,
            waits_for: None,
            type_paused: None,
        }
    }

    fn worker(scope: Option<GroupId>, alive: bool) -> WorkerView {
        let identity = ProcessIdentity {
            pid: 1,
            start_time: None,
            boot_id: String::new(),
            pid_namespace: None,
            time_namespace: None,
        };
        let (pools, processes) = (serde_json::json!({"*": 1}), serde_json::json!([]));
        let row = WorkerRow {
            id: WorkerId(1),
            identity,
            version: String::new(),
            pools,
            scope,
            registered: Timestamp(0),
            running: 0,
            processes,
        };
        WorkerView { row, alive }
    }

    #[test]
    fn a_group_says_how_far_it_is_and_what_it_waits_for() {
        type Change = fn(&mut GroupRow);
        let table: [(Change, &str); 13] = [
            (
                |it| {
                    (it.status, it.approvals, it.waiting) = (Status::Waiting, 2, 4);
                    it.waits = Waits { approval: 2, signal: 1, children: 1, time: 0 };
                },
                "WAITING (312 of 1,006 done, 2 steps wait for an approval, 1 for a signal, 1 for its runs)",
            ),
            (
                |it| {
                    (it.status, it.waiting, it.waits) = (Status::Waiting, 1, Waits { children: 1, ..Waits::default() });
                },
                "WAITING (312 of 1,006 done, waiting for a worker)",
            ),
            (
                |it| (it.status, it.waiting, it.waits_for) = (Status::Waiting, 1, Some(GroupId(4))),
                "WAITING (312 of 1,006 done, waiting for g4)",
            ),
            (|_| (), "PENDING (312 of 1,006 done, waiting for a worker)"),
            (|it| it.ended_runs = 0, "PENDING (waiting for a worker)"),
            (|it| it.running = 2, "RUNNING (312 of 1,006 done)"),
            (|it| (it.running, it.paused) = (2, true), "RUNNING (312 of 1,006 done, paused)"),
            (|it| it.type_paused = Some("pack".into()), "PENDING (312 of 1,006 done, the type `pack` is paused)"),
            (|it| (it.running, it.type_paused) = (2, Some("pack".into())), "RUNNING (312 of 1,006 done)"),
            (|it| (it.failed, it.cancelling) = (3, true), "PENDING (312 of 1,006 done, 3 failed, being cancelled)"),
            (|it| (it.ended_runs, it.waits_for) = (0, Some(GroupId(4))), "PENDING (waiting for g4)"),
            (|it| (it.ended_runs, it.building) = (0, true), "PENDING (being submitted)"),
            (|it| (it.status, it.ended) = (Status::Failed, Some(Timestamp(1))), "FAILED"),
        ];
        for (change, words) in table {
            let mut group = group();
            change(&mut group);
            let workers = if group.running > 0 { vec![worker(None, true)] } else { vec![] };
            assert_eq!(of_group(&group, &workers), words);
        }
        let cut_off = GroupRow { running: 2, ..group() };
        assert_eq!(of_group(&cut_off, &[worker(None, false)]), "PENDING (312 of 1,006 done, waiting for a worker)");
    }

    #[test]
    fn only_a_living_worker_that_takes_the_group_counts() {
        for (scope, alive, waits_for) in [
            (None, true, "waiting"),
            (Some(GroupId(5)), true, "waiting"),
            (Some(GroupId(6)), true, "waiting for a worker"),
            (None, false, "waiting for a worker"),
        ] {
            assert_eq!(waits(&group(), &[worker(scope, alive)]).as_deref(), Some(waits_for), "{scope:?} {alive}");
        }
    }
}
