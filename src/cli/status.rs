use super::{
    context::Context,
    failure::Result,
    list::{named_group, resource_table, worker_table},
    paint::Paint,
    suggestion,
    table::{Cell, Table},
    wording::{count, number_of, plain, size},
};
use crate::{
    daemon::{
        claim::{Holder, is_held},
        files::Phase,
    },
    model::Timestamp,
    store::read::{Queues, Waits},
    view::{self, DaemonView, DiskView, ListedGroup, Problem, StatusView, words::status_of_group},
};
use std::path::Path;

/// Show running and waiting work, workers, disk, and each problem with the command that fixes it
#[derive(Debug, clap::Args)]
pub struct Args {}

impl Args {
    pub fn run(self, cx: &Context) -> Result<()> {
        let mut status = view::status(cx.engine()?, daemon(&cx.settings()?.home))?;
        for (name, meant) in &cx.settings()?.unknown_variables {
            let command = meant.as_ref().map(|it| format!("did you mean {it}?"));
            status.problems.push(Problem { text: format!("unknown variable {name}"), command });
        }
        match cx.output.json {
            true => cx.output.document(&status),
            false => show(cx, &status),
        }
    }
}

/// The daemon of this home, according to its lock and files.
fn daemon(home: &Path) -> Option<DaemonView> {
    if !is_held(home).unwrap_or(false) {
        return None;
    }
    let holder = Holder::of(home);
    let phase = match holder.info.as_ref().map(|it| it.phase) {
        Some(Phase::Starting) => "starting",
        Some(Phase::Stopping) => "stopping",
        Some(Phase::Ready) | None => "ready",
    };
    let (since, version) = (holder.info.as_ref().map(|it| it.since), holder.info.as_ref().map(|it| it.version.clone()));
    Some(DaemonView { pid: holder.pid, http: holder.http, since, version, phase })
}

/// `ready at http://127.0.0.1:8787, process 12, since 3 m ago`
fn daemon_line(cx: &Context, daemon: &DaemonView) -> String {
    let mut line = daemon.phase.to_string();
    if let Some(http) = &daemon.http {
        line.push_str(&format!(" at http://{}", plain(http)));
    }
    if let Some(pid) = daemon.pid {
        line.push_str(&format!(", process {pid}"));
    }
    if let Some(since) = daemon.since {
        line.push_str(&format!(", since {}", cx.when(since)));
    }
    line
}

/// `/data/windlass, 2.0 GiB free; artifacts in /big, 40.0 MiB free`
fn disks(facts: &StatusView) -> String {
    let disk = |it: &DiskView| match it.holds {
        "home" => format!("{}, {} free", it.dir.display(), size(it.free.0)),
        holds => format!("{holds} in {}, {} free", it.dir.display(), size(it.free.0)),
    };
    facts.disks.iter().map(disk).collect::<Vec<_>>().join("; ")
}

fn show(cx: &Context, facts: &StatusView) -> Result<()> {
    let out = &cx.output;
    out.line(format!("{}    {}", out.paint(Paint::Bold, "home"), disks(facts)))?;
    let daemon = facts.daemon.as_ref().map(|it| daemon_line(cx, it));
    let daemon = daemon.unwrap_or_else(|| "no daemon is running".to_string());
    out.line(format!("{}  {daemon}", out.paint(Paint::Bold, "daemon")))?;
    let mut groups = Table::new(&["GROUP", "STATUS", ">RUNS", ">FAILED", "?SINCE", "~NAME"]);
    for ListedGroup { row: it, waits, .. } in facts.groups.iter().chain(&facts.recent) {
        groups.row([
            it.id.to_string().into(),
            Cell::status(status_of_group(it, waits.as_deref())),
            format!("{}/{}", number_of(it.ended_runs.max(0) as u64), number_of(it.runs.max(0) as u64)).into(),
            if it.failed > 0 { it.failed.to_string() } else { String::new() }.into(),
            cx.when(it.created).into(),
            named_group(&it.name, waits.as_deref()).into(),
        ]);
    }
    let mut queues = Table::new(&["~TYPE", ">RUNNING", ">READY", ">PAUSED", ">BLOCKED", "?STATE"]);
    for it in &facts.queues.types {
        let state = if it.paused { Cell::painted("paused", Paint::Warn) } else { "".into() };
        queues.row([
            it.step_type.as_str().into(),
            it.running.to_string().into(),
            it.ready.to_string().into(),
            it.on_hold.to_string().into(),
            it.in_line.to_string().into(),
            state,
        ]);
    }
    let resources = resource_table(cx, &facts.resources);
    for table in [&groups, &queues, &resources] {
        if !table.is_empty() {
            out.line("")?;
            out.table(table)?;
        }
    }
    waits(cx, &facts.queues)?;
    if !facts.workers.is_empty() {
        out.line("")?;
        out.table(&worker_table(cx, &facts.workers))?;
    }
    if groups.is_empty() {
        out.note("\nnothing yet: begin with `windlass ingest PATH`, or `windlass run FILE`");
    }
    if !facts.problems.is_empty() {
        out.line(format!("\n{}", out.paint(Paint::Bad, "problems")))?;
    }
    for it in &facts.problems {
        out.line(format!("  {}", it.text))?;
        if let Some(command) = &it.command {
            out.line(format!("    {}", out.paint(Paint::Bold, &suggestion::command(command))))?;
        }
    }
    Ok(())
}

fn waits(cx: &Context, queues: &Queues) -> Result<()> {
    let mut parts = delayed(queues, cx.now(), |at| cx.when(at));
    parts.extend(waiting(&queues.waiting));
    if queues.on_hold > 0 {
        let are = if queues.on_hold == 1 { "is" } else { "are" };
        parts.push(format!("{} {are} paused", count(queues.on_hold as u64, "step")));
    }
    if queues.hooks_waiting + queues.hooks_running > 0 {
        let hooks = count((queues.hooks_waiting + queues.hooks_running) as u64, "hook");
        parts.push(format!("{hooks} due or running"));
    }
    match parts.is_empty() {
        true => Ok(()),
        false => cx.output.line(format!("\n{}", parts.join("; "))),
    }
}

/// Steps that wait and hold no worker.
fn waiting(waits: &Waits) -> Vec<String> {
    let kinds = [
        (waits.approval, "for an approval (`windlass list waiting`)"),
        (waits.signal, "for a signal"),
        (waits.time, "for a time"),
        (waits.children, if waits.children == 1 { "for its runs" } else { "for their runs" }),
    ];
    let words = |(steps, what): (i64, &str)| {
        format!("{} {} {what}", count(steps.unsigned_abs(), "step"), if steps == 1 { "waits" } else { "wait" })
    };
    kinds.into_iter().filter(|it| it.0 > 0).map(words).collect()
}

/// Steps that wait for a retry, and those among them that will then still be paused.
fn delayed(queues: &Queues, now: Timestamp, when: impl Fn(Timestamp) -> String) -> Vec<String> {
    let (paused, free) = (queues.delayed_on_hold, queues.delayed - queues.delayed_on_hold);
    // The earliest time is that of all these steps together.
    let due = queues.next_due.filter(|_| paused == 0 || free == 0);
    let mut parts = Vec::new();
    if free > 0 {
        let next = due.map(|it| match free {
            1 => format!(", {}", when(it)),
            _ => format!(", the next {}", when(it)),
        });
        let (steps, are) = (count(free as u64, "step"), if free == 1 { "is" } else { "are" });
        parts.push(format!("{steps} {are} waiting to be retried{}", next.unwrap_or_default()));
    }
    if paused > 0 {
        let (steps, are) = (count(paused as u64, "step"), if paused == 1 { "is" } else { "are" });
        let were = match (due, paused) {
            (Some(it), 1) if it.0 <= now.0 => format!("was due {} and ", when(it)),
            (Some(it), _) if it.0 <= now.0 => format!("were due {} and ", when(it)),
            (Some(it), _) => format!("{are} due {} and ", when(it)),
            (None, _) => String::new(),
        };
        parts.push(format!("{steps} {were}{are} paused"));
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_that_wait_for_their_time_are_told_in_sentences() {
        let table = [
            (0, 0, 0, ""),
            (1, 0, 11_000, "1 step is waiting to be retried, in 11 s"),
            (3, 0, 11_000, "3 steps are waiting to be retried, the next in 11 s"),
            (3, 3, -13_000, "3 steps were due 13 s ago and are paused"),
            (1, 1, -13_000, "1 step was due 13 s ago and is paused"),
            (2, 2, 13_000, "2 steps are due in 13 s and are paused"),
            (3, 1, 13_000, "2 steps are waiting to be retried; 1 step is paused"),
        ];
        for (delayed, delayed_on_hold, due, said) in table {
            let now = Timestamp(1_000_000);
            let queues =
                Queues { delayed, delayed_on_hold, next_due: Some(Timestamp(now.0 + due)), ..Queues::default() };
            let parts = super::delayed(&queues, now, |at| view::wording::relative(at, now));
            assert_eq!(parts.join("; "), said);
        }
    }
}
