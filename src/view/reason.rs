//! Turns the facts about a step into sentences: why it is in its state, and which command changes that.

use super::{
    below,
    disk::low_disk,
    error::Result,
    slot, stranger,
    wording::{count, duration, relative, wait_of},
    worker::dead_workers,
};
use crate::{
    engine::Engine,
    model::{
        GroupId, Holder, HolderKind, Millis, Otherwise, Rate, ResourceKey, Status, StepId, Timestamp, WaitKind,
        WorkerId, units_text,
    },
    store::read::{self, KeyFacts, Why},
};
use serde::Serialize;

/// Why a step does not run, or how it ended. `code` is a promise for programs, `text` is for people.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
#[schema(as = WhyReason)]
pub struct Reason {
    pub code: &'static str,
    pub text: String,
    /// The command that changes it.
    pub command: Option<String>,
}

/// Facts from outside the database.
#[derive(Debug, Clone)]
pub struct Seen {
    pub now: Timestamp,
    /// A disk with too little free space for steps to start, in words.
    pub disk_low: Option<String>,
    /// The process that holds the file of the step's key, if only that file blocks the step.
    pub file_holder: Option<String>,
    /// The program that has locked the vector database of the step's key without holding the key: what it has locked,
    /// and its name.
    pub database_locked: Option<String>,
    /// Dead workers that still have steps which no other worker has taken over.
    pub dead: Vec<WorkerId>,
}

/// Why a step does not run, or how it ended.
pub(super) fn reasons_of(engine: &Engine, step: StepId) -> Result<Vec<Reason>> {
    let why = engine.store().read(|tx| read::why(tx, step))?;
    Ok(reasons_for(engine, &why))
}

pub(super) fn reasons_for(engine: &Engine, why: &Why) -> Vec<Reason> {
    let locked = why.key.as_ref().filter(|it| it.file_only);
    let file_holder = locked.map(|it| engine.file_holder(&ResourceKey(it.name.clone())));
    let key = why.key.as_ref().filter(|_| !why.step.status.is_terminal());
    let database_locked = key.and_then(|it| stranger::of_database(engine, &ResourceKey(it.name.clone())));
    // A step that is not running and can't be claimed does not depend on a worker.
    let dead = match why.step.worker.is_some() || !why.takers.is_empty() {
        true => dead_workers(engine),
        false => Vec::new(),
    };
    let seen = Seen { now: engine.store().now(), disk_low: low_disk(engine), file_holder, database_locked, dead };
    let mut found = reasons(why, &seen);
    if found.iter().any(|it| it.code == "pool_full") {
        found.extend(slot::trap(engine).map(|(text, command)| reason("slot_trap", text, Some(command))));
    }
    found
}

/// Its run has not started. `full`: since so many others go side by side.
fn not_opened(group: GroupId, full: Option<i64>) -> Reason {
    match full {
        Some(most) => reason("at_most", below::full(group, most), Some(format!("windlass list runs {group}"))),
        None => reason("opening", format!("{group} is still being submitted"), None),
    }
}

fn reason(code: &'static str, text: impl Into<String>, command: Option<String>) -> Reason {
    Reason { code, text: text.into(), command }
}

/// A run below another can't be retried alone.
fn retry(why: &Why) -> String {
    why.above.map_or_else(|| format!("windlass retry {}", why.run), |step| format!("windlass retry {step}"))
}

/// Every reason that applies, the most important first. Never empty.
pub fn reasons(why: &Why, seen: &Seen) -> Vec<Reason> {
    let step = &why.step;
    let error = step.error.clone().unwrap_or_else(|| "it left no message".to_string());
    match step.status {
        Status::Completed => {
            let how = if step.cached { "completed from the cache" } else { "completed" };
            let when = step.ended.map(|it| format!(" {}", relative(it, seen.now))).unwrap_or_default();
            vec![reason("completed", format!("it {how}{when}"), None)]
        }
        Status::Failed => {
            let retry = Some(retry(why));
            let failed = reason("failed", format!("it failed after {}: {error}", attempts(step.attempts)), retry);
            let runs = why.children.as_ref().filter(|it| it.group.failed > 0);
            let runs = runs
                .map(|it| reason("failed_runs", below::failed(it), Some(format!("windlass why {}", it.group.group))));
            [Some(failed), runs].into_iter().flatten().collect()
        }
        Status::Cancelled => {
            let lost = why.unmet.iter().find(|it| it.status == Status::Failed);
            let text = match lost {
                Some(need) => format!("it was cancelled because {} ({}) failed", need.step, need.name),
                None => "it was cancelled".to_string(),
            };
            vec![reason("cancelled", text, Some(retry(why)))]
        }
        Status::Skipped => vec![reason("skipped", skipped(why), None)],
        Status::Running => vec![running(why, seen)].into_iter().chain(database_locked(seen)).collect(),
        Status::Waiting => vec![waits(why, seen)],
        Status::Pending | Status::Error => waiting(why, seen, &error),
    }
}

/// A step that holds no worker while it waits.
fn waits(why: &Why, seen: &Seen) -> Reason {
    let Some(it) = &why.waits else { return reason("next", "its wait has just ended", None) };
    let at = it.due.map(|due| relative(due, seen.now));
    let until = |what: &str| at.as_ref().map(|at| format!(" (it {what} {at})")).unwrap_or_default();
    let ends = match it.otherwise {
        Otherwise::Complete => until("completes"),
        Otherwise::Fail => until("fails"),
    };
    let text = format!("it waits for {}", wait_of(it));
    match it.kind {
        WaitKind::Time => reason("wait_time", format!("its wait ends {}", at.unwrap_or_default()), None),
        WaitKind::Approval => {
            reason("wait_approval", format!("{text}{ends}"), Some(format!("windlass approve {}", it.step)))
        }
        WaitKind::Signal => {
            let command = format!("windlass signal {} {}", it.group, it.signal);
            reason("wait_signal", format!("{text}{ends}"), Some(command))
        }
        WaitKind::Children => {
            let group = it.children.unwrap_or(it.group);
            reason(
                "wait_children",
                below::children(group, why.children.as_ref()),
                Some(format!("windlass why {group}")),
            )
        }
    }
}

fn skipped(why: &Why) -> String {
    match &why.skipped {
        Some(skip) => format!("it was skipped because its condition is false: {skip}"),
        None => "it was skipped because nothing that it follows failed".to_string(),
    }
}

fn attempts(number: i64) -> String {
    count(number.unsigned_abs(), "attempt")
}

fn running(why: &Why, seen: &Seen) -> Reason {
    let step = &why.step;
    let since = step.started.map(|it| format!(" for {}", duration(seen.now.since(it)))).unwrap_or_default();
    let on = step.worker.map(|it| format!(" on {it}")).unwrap_or_default();
    if let Some(dead) = step.worker.filter(|worker| seen.dead.contains(worker)) {
        let text = format!("its worker {dead} is dead; the next worker runs it again");
        return reason("worker_dead", text, Some("windlass worker --until-idle".to_string()));
    }
    match why.cancel_requested || why.group_cancelling {
        true => reason("stopping", format!("it is running{on}{since}, and is stopping"), None),
        false => reason("running", format!("it is running{on}{since}"), Some(format!("windlass logs {} -f", step.id))),
    }
}

fn waiting(why: &Why, seen: &Seen, error: &str) -> Vec<Reason> {
    let (step, group) = (&why.step, why.group);
    let mut found = Vec::new();
    if step.status == Status::Error {
        let failed = attempts(step.failures + step.crashes);
        // What its group waits for is reported below.
        let text = match why.group_waits_for.as_deref() == Some(error.strip_prefix("interrupted: ").unwrap_or(error)) {
            true => format!("{failed} failed"),
            false => format!("{failed} failed: {error}"),
        };
        found.push(reason("error", text, None));
    }
    if why.group_cancelling {
        found.push(reason("cancelling", format!("{group} is being cancelled"), None));
    }
    if let Some(it) = &why.group_behind {
        let text = format!("{group} waits for {}: both are in concurrency group `{}`", it.group, it.concurrency);
        found.push(reason("concurrency", text, Some(format!("windlass why {}", it.group))));
    } else if why.group_opening {
        found.push(not_opened(group, why.full));
    }
    if why.group_paused {
        let resume = Some(format!("windlass resume {group}"));
        let text = match &why.group_waits_for {
            Some(what) => format!("{group} is paused: {what}"),
            None => format!("{group} is paused"),
        };
        found.push(reason("group_paused", text, resume));
    }
    if why.type_paused {
        let resume = Some(format!("windlass resume {}", step.step_type));
        found.push(reason("type_paused", format!("the type `{}` is paused", step.step_type), resume));
    }
    for need in &why.unmet {
        let text = format!("it needs {} ({}), which is {}", need.step, need.name, need.status);
        found.push(reason("needs", text, Some(format!("windlass why {}", need.step))));
    }
    // It was released without using up an attempt, for example by a pool whose workers do not start, a full disk or a
    // lock. Once it is due, it is as ready as any other step, even after a retry.
    let put_off = step.status == Status::Pending && why.due.is_some() && seen.file_holder.is_none();
    let release_reason = step.error.as_deref().filter(|_| put_off);
    let release_reason = release_reason.map(|it| it.strip_prefix("interrupted: ").unwrap_or(it));
    // What its group waits for is already reported.
    if let Some(text) = release_reason.filter(|it| Some(*it) != why.group_waits_for.as_deref()) {
        found.push(reason("put_off", format!("it is deferred: {text}"), None));
    }
    if let Some(due) = why.due.filter(|it| it.0 > seen.now.0) {
        found.push(reason("due", format!("it is due {}", relative(due, seen.now)), None));
    }
    found.extend(why.key.as_ref().and_then(|it| key(it, why, seen)).into_iter().chain(lacks(why, seen)));
    found.extend(database_locked(seen));
    if why.unmet.is_empty() {
        let wanting = for_want_of_workers(why, seen);
        let stands = wanting.as_ref().is_some_and(|it| it.code == "no_worker");
        let paused = why.group_paused || why.type_paused;
        // Without a worker the queue does not move, and without the resource its rate means nothing.
        let slow = stands || why.lacks.is_some();
        let queue = why.ahead.as_ref().filter(|it| it.steps > 0 && !paused).map(|it| ahead(it, why.group, slow));
        match stands {
            true => found.extend(wanting.into_iter().chain(queue)),
            false => found.extend(queue.into_iter().chain(wanting)),
        }
    }
    let reserve = || Some("windlass settings disk_reserve".to_string());
    found.extend(seen.disk_low.as_ref().map(|text| reason("disk_low", text, reserve())));
    if found.iter().all(|it| it.code == "error") {
        found.push(reason("next", "not blocked: it starts in a moment", None));
    }
    found
}

fn key(key: &KeyFacts, why: &Why, seen: &Seen) -> Option<Reason> {
    if let Some(who) = &seen.file_holder {
        let text = format!("`{}` is locked by {who}: the step retries", key.name);
        return Some(reason("locked", text, Some("windlass locks".to_string())));
    }
    let own = Holder::step(why.step.id);
    if let Some(row) = key.holder.as_ref().filter(|it| it.holder != own) {
        let age = seen.now.since(row.acquired);
        let age = if age.0 < 1000 { String::new() } else { format!(" for {}", duration(age)) };
        let (who, command) = match row.holder.kind {
            HolderKind::Step => (format!("step s{}", row.holder.id), format!("windlass show s{}", row.holder.id)),
            HolderKind::Cli => (format!("a command (process {})", row.holder.id), "windlass locks".to_string()),
            HolderKind::Web => ("a web request".to_string(), "windlass locks".to_string()),
            HolderKind::Hook => (format!("hook {}", row.holder.id), "windlass locks".to_string()),
        };
        return Some(reason("locked", format!("`{}` is held by {who}{age}", key.name), Some(command)));
    }
    let head = key.head?;
    Some(reason("in_line", format!("{head} is ahead of it for `{}`", key.name), Some(format!("windlass why {head}"))))
}

/// The resource that is missing, and who has it.
fn lacks(why: &Why, seen: &Seen) -> Option<Reason> {
    let lacks = why.lacks.as_ref()?;
    let (it, name) = (&lacks.resource, &lacks.resource.name);
    let list = Some("windlass list resources".to_string());
    if let Some(per) = lacks.per {
        let rate = Rate { starts: lacks.units.unwrap_or(1), per: Millis(per.max(0) as u64) };
        let next = it.next.filter(|next| next.0 > seen.now.0);
        let next = next.map_or("in a moment".to_string(), |next| relative(next, seen.now));
        let allowed = format!("{} in {}", count(rate.starts as u64, "start"), duration(rate.per));
        return Some(reason("rate", format!("`{name}` allows {allowed}; the next is possible {next}"), list));
    }
    let needed = lacks.units.map_or("some".to_string(), |units| units_text(name, units));
    let (held, capacity) = (units_text(name, it.held), units_text(name, it.capacity));
    let mut text = format!("it needs {needed} of `{name}`: {held} of {capacity} are in use");
    if !it.holders.is_empty() {
        let shown: Vec<String> = it.holders.iter().take(3).map(|by| by.step.to_string()).collect();
        let more = if it.holders.len() > 3 { " and others" } else { "" };
        text.push_str(&format!(" by {}{more}", shown.join(", ")));
    }
    if let Some(first) = lacks.behind {
        text.push_str(&format!("; {first} has waited longer"));
    }
    Some(reason("resource", text, list))
}

fn ahead(ahead: &read::Ahead, own: GroupId, stands: bool) -> Reason {
    reason("queue", slot::queue(ahead, own, stands), Some("windlass status".to_string()))
}

fn database_locked(seen: &Seen) -> Option<Reason> {
    let text = seen.database_locked.as_ref()?;
    Some(reason("locked", format!("{text}, which must end its transaction"), Some("windlass status".to_string())))
}

fn for_want_of_workers(why: &Why, seen: &Seen) -> Option<Reason> {
    let step_type = &why.step.step_type;
    // A dead worker's slots don't count.
    let (takers, without): (Vec<_>, Vec<_>) =
        why.takers.iter().filter(|taker| !seen.dead.contains(&taker.worker)).partition(|it| it.size > 0);
    if takers.is_empty() {
        let mut text = format!("no worker takes steps of type `{step_type}`");
        if let Some(it) = without.first() {
            text.push_str(&format!(": pool `{}` of {} has no slots", it.pool, it.worker));
        }
        return Some(reason("no_worker", text, Some(format!("windlass run --resume {}", why.group))));
    }
    let full = takers.iter().all(|it| it.running >= it.size);
    let pools: Vec<String> = takers
        .iter()
        .map(|it| format!("all slots of pool `{}` are busy ({} of {} on {})", it.pool, it.running, it.size, it.worker))
        .collect();
    (why.ready && why.lacks.is_none() && full)
        .then(|| reason("pool_full", pools.join("; "), Some("windlass list workers".to_string())))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        model::{GroupId, RunId, StepId},
        store::read::{Ahead, GroupAhead, StepNeed, StepRow, Taker},
    };

    const NOW: Seen =
        Seen { now: Timestamp(1_000_000), disk_low: None, file_holder: None, database_locked: None, dead: Vec::new() };

    fn waiting_step() -> Why {
        let step = StepRow {
            id: StepId(56),
            no: 1,
            name: "clean".into(),
            step_type: "clean".into(),
            status: Status::Pending,
            attempts: 0,
            failures: 0,
            crashes: 0,
            worker: None,
            started: None,
            ended: None,
            cached: false,
            error: None,
        };
        Why {
            step,
            run: RunId(34),
            group: GroupId(12),
            unmet: vec![],
            due: None,
            ready: true,
            ahead: None,
            group_paused: false,
            group_waits_for: None,
            group_cancelling: false,
            group_opening: false,
            group_behind: None,
            type_paused: false,
            key: None,
            waits: None,
            lacks: None,
            above: None,
            children: None,
            full: None,
            takers: vec![Taker { worker: WorkerId(7), pool: "*".into(), size: 2, running: 0 }],
            skipped: None,
            cancel_requested: false,
        }
    }

    fn codes(why: &Why) -> Vec<&'static str> {
        reasons(why, &NOW).iter().map(|it| it.code).collect()
    }

    #[test]
    fn each_fact_becomes_its_reason() {
        type Change = fn(&mut Why);
        let table: [(Change, &str); 9] = [
            (|_| (), "next"),
            (|it| it.group_paused = true, "group_paused"),
            (|it| it.type_paused = true, "type_paused"),
            (|it| it.due = Some(Timestamp(1_240_000)), "due"),
            (
                |it| {
                    (it.step.error, it.due) = (Some("interrupted: worker `py` exited".into()), Some(Timestamp(0)));
                },
                "put_off",
            ),
            (|it| it.step.error = Some("exit code 7".into()), "next"),
            (|it| it.takers.clear(), "no_worker"),
            (|it| it.takers[0].running = 2, "pool_full"),
            (
                |it| it.unmet = vec![StepNeed { step: StepId(55), name: "fetch".into(), status: Status::Running }],
                "needs",
            ),
        ];
        for (change, code) in table {
            let mut why = waiting_step();
            change(&mut why);
            assert_eq!(codes(&why), [code]);
        }
    }

    #[test]
    fn a_queue_that_stands_still_has_no_rate_and_comes_last() {
        let ahead = Ahead {
            steps: 2,
            more: false,
            groups: vec![GroupAhead { group: GroupId(12), steps: 2 }],
            per_minute: Some(60.0),
        };
        let mut why = Why { ahead: Some(ahead), ..waiting_step() };
        assert!(reasons(&why, &NOW)[0].text.contains("it starts in about 2.0 s"), "{:?}", reasons(&why, &NOW));
        why.takers[0].size = 0;
        let found = reasons(&why, &NOW);
        assert_eq!(codes(&why), ["no_worker", "queue"]);
        assert_eq!(found[0].text, "no worker takes steps of type `clean`: pool `*` of w7 has no slots");
        assert!(!found[1].text.contains("rate"), "{found:?}");
        why.group_paused = true;
        assert_eq!(codes(&why), ["group_paused", "no_worker"]);
        (why.group_paused, why.type_paused, why.takers[0].size) = (false, true, 2);
        assert_eq!(codes(&why), ["type_paused"]);
    }

    #[test]
    fn who_holds_the_file_of_a_key_is_named() {
        let mut why = waiting_step();
        why.step.error = Some("interrupted: `k` is locked by process 3 (cp)".into());
        why.key = Some(KeyFacts { name: "k".into(), holder: None, file_only: true, head: None });
        let found = reasons(&why, &Seen { file_holder: Some("process 4 (rsync)".into()), ..NOW });
        assert_eq!(found.len(), 1, "{found:?}");
        assert_eq!(
            (found[0].code, found[0].text.as_str()),
            ("locked", "`k` is locked by process 4 (rsync): the step retries")
        );
    }

    #[test]
    fn an_error_that_will_be_tried_again_says_when() {
        let mut why = waiting_step();
        why.step.status = Status::Error;
        why.step.failures = 2;
        why.step.error = Some("exit code 7".into());
        why.due = Some(Timestamp(1_240_000));
        let found = reasons(&why, &NOW);
        assert_eq!(found[0].text, "2 attempts failed: exit code 7");
        assert_eq!(found[1].text, "it is due in 4 m");
    }

    #[test]
    fn an_ended_step_says_how() {
        let mut why = waiting_step();
        why.step.status = Status::Failed;
        why.step.attempts = 3;
        why.step.error = Some("exit code 7".into());
        let found = reasons(&why, &NOW);
        assert_eq!(found[0].text, "it failed after 3 attempts: exit code 7");
        assert_eq!(found[0].command.as_deref(), Some("windlass retry r34"));
        why.above = Some(StepId(5));
        assert_eq!(reasons(&why, &NOW)[0].command.as_deref(), Some("windlass retry s5"));
    }

    /// The codes in this file are exactly those that docs/json.md promises.
    #[test]
    fn the_page_on_json_has_every_code_and_no_other() {
        let own = include_str!("reason.rs").split("#[cfg(test)]").next().unwrap();
        let codes: std::collections::BTreeSet<&str> = own
            .split("reason(")
            .skip(1)
            .filter_map(|it| it.trim_start().strip_prefix('"')?.split('"').next())
            .collect();
        let page = include_str!("../../docs/json.md");
        let listed = page.split("Codes of reasons (`why`): ").nth(1).unwrap().split(".\n").next().unwrap();
        let listed: std::collections::BTreeSet<&str> = listed.split('`').skip(1).step_by(2).collect();
        assert_eq!(codes, listed);
        assert!(codes.len() > 10, "{codes:?}");
    }

    #[test]
    fn a_dead_worker_runs_nothing_and_holds_no_slot() {
        let seen = Seen { dead: vec![WorkerId(7)], ..NOW };
        let mut why = waiting_step();
        why.takers[0].running = 2;
        assert_eq!(reasons(&why, &NOW)[0].code, "pool_full");
        assert_eq!(reasons(&why, &seen)[0].code, "no_worker");
        (why.step.status, why.step.worker, why.ready) = (Status::Running, Some(WorkerId(7)), false);
        assert_eq!(reasons(&why, &NOW)[0].code, "running");
        let found = &reasons(&why, &seen)[0];
        assert_eq!(
            (found.code, found.text.as_str()),
            ("worker_dead", "its worker w7 is dead; the next worker runs it again")
        );
    }
}
