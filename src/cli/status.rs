use super::{
    context::Context,
    failure::Result,
    list::{worker_json, worker_table},
    output::Paint,
    table::{Cell, Table},
    wording::{count, number_of, relative, size},
};
use crate::{
    model::{Bytes, Status},
    os::process_stat,
    store::{
        overview::{self, GroupFilter, GroupRow, Queues},
        worker::{self, WorkerRow},
    },
};
use serde::Serialize;

/// One screen: what runs, what waits and on what, workers, disk, and problems with the command that mends each
#[derive(Debug, clap::Args)]
pub struct Args {}

/// Groups that are shown.
const GROUPS: usize = 10;

#[derive(Debug, Serialize)]
struct Problem {
    text: String,
    command: Option<String>,
}

struct Facts {
    open: Vec<GroupRow>,
    recent: Vec<GroupRow>,
    queues: Queues,
    workers: Vec<WorkerRow>,
    disk: Bytes,
    disk_ok: bool,
}

impl Args {
    pub fn run(self, cx: &Context) -> Result<()> {
        let facts = facts(cx)?;
        let problems = problems(cx, &facts)?;
        if cx.output.json {
            let workers: Vec<_> = facts.workers.iter().map(worker_json).collect();
            return cx.output.document(&serde_json::json!({
                "home": cx.settings()?.home, "disk_free": facts.disk, "disk_ok": facts.disk_ok,
                "queues": facts.queues, "groups": facts.open, "recent": facts.recent, "workers": workers,
                "problems": problems,
            }));
        }
        show(cx, &facts, &problems)
    }
}

fn facts(cx: &Context) -> Result<Facts> {
    let engine = cx.engine()?;
    let (disk, disk_ok) = engine.disk();
    let store = engine.store();
    let newest = store.read(|tx| overview::groups(tx, &GroupFilter { limit: GROUPS, ..GroupFilter::default() }))?;
    let mut open = Vec::new();
    for status in [Status::Running, Status::Pending] {
        let filter = GroupFilter { status: Some(status), limit: GROUPS, before: None };
        open.extend(store.read(|tx| overview::groups(tx, &filter))?);
    }
    open.truncate(GROUPS);
    Ok(Facts {
        open,
        recent: newest.into_iter().filter(|it| it.ended.is_some()).take(5).collect(),
        queues: store.read(overview::queues)?,
        workers: store.read(worker::list)?,
        disk,
        disk_ok,
    })
}

fn problems(cx: &Context, facts: &Facts) -> Result<Vec<Problem>> {
    let mut found = Vec::new();
    let mut problem = |text: String, command: Option<String>| found.push(Problem { text, command });
    let alive = facts.workers.iter().filter(|it| process_stat::is_alive(&it.identity)).count();
    let ready: i64 = facts.queues.types.iter().map(|it| it.ready).sum();
    if !facts.disk_ok {
        let reserve = cx.settings()?.disk_reserve;
        let text = format!("only {} are free on the disk, and {reserve} are kept free: nothing starts", facts.disk);
        problem(text, Some("free some space, or lower `disk_reserve`".to_string()));
    }
    if ready > 0 && alive == 0 {
        let text = format!("{} could run, and no worker is running", count(ready.max(0) as u64, "step"));
        problem(text, Some("windlass worker".to_string()));
    }
    for it in facts.workers.iter().filter(|it| !process_stat::is_alive(&it.identity)) {
        let text = format!(
            "worker {} is dead; its {} go back as soon as a worker starts",
            it.id,
            count(it.running.max(0) as u64, "step")
        );
        problem(text, Some("windlass worker --until-idle".to_string()));
    }
    for it in facts.open.iter().filter(|it| it.paused) {
        problem(format!("{} is paused", it.id), Some(format!("windlass resume {}", it.id)));
    }
    for it in facts.queues.types.iter().filter(|it| it.paused) {
        problem(format!("the type `{}` is paused", it.step_type), Some(format!("windlass resume {}", it.step_type)));
    }
    for it in facts.recent.iter().filter(|it| it.status == Status::Failed) {
        let text = format!("{} failed: {} of {}", it.id, it.failed, count(it.runs.max(0) as u64, "run"));
        problem(text, Some(format!("windlass why {0}   (then: windlass retry {0})", it.id)));
    }
    for (name, meant) in &cx.settings()?.unknown_variables {
        let meant = meant.as_ref().map(|it| format!("did you mean {it}?"));
        problem(format!("variable {name} is not known"), meant);
    }
    Ok(found)
}

fn show(cx: &Context, facts: &Facts, problems: &[Problem]) -> Result<()> {
    let (out, now) = (&cx.output, cx.now());
    let home = cx.settings()?.home.display().to_string();
    out.line(format!("{}  {home}, {} free", out.paint(Paint::Bold, "home"), size(facts.disk.0)))?;
    let mut groups = Table::new(&["GROUP", "STATUS", ">RUNS", ">FAILED", "SINCE", "~NAME"]);
    for it in facts.open.iter().chain(&facts.recent) {
        groups.row([
            it.id.to_string().into(),
            Cell::status(it.status),
            format!("{}/{}", number_of(it.ended_runs.max(0) as u64), number_of(it.runs.max(0) as u64)).into(),
            if it.failed > 0 { it.failed.to_string() } else { String::new() }.into(),
            relative(it.created, now).into(),
            it.name.as_str().into(),
        ]);
    }
    let mut queues = Table::new(&["TYPE", ">RUNNING", ">READY", ">IN LINE", "STATE"]);
    for it in &facts.queues.types {
        let state = if it.paused { Cell::painted("paused", Paint::Warn) } else { "".into() };
        queues.row([
            it.step_type.as_str().into(),
            it.running.to_string().into(),
            it.ready.to_string().into(),
            it.in_line.to_string().into(),
            state,
        ]);
    }
    for table in [&groups, &queues] {
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
    if !problems.is_empty() {
        out.line(format!("\n{}", out.paint(Paint::Bad, "problems")))?;
    }
    for it in problems {
        out.line(format!("  {}", it.text))?;
        if let Some(command) = &it.command {
            out.line(format!("    {}", out.paint(Paint::Bold, command)))?;
        }
    }
    Ok(())
}

fn waits(cx: &Context, queues: &Queues) -> Result<()> {
    let mut parts = Vec::new();
    if queues.delayed > 0 {
        let next = queues.next_due.map(|it| format!(", the next {}", relative(it, cx.now()))).unwrap_or_default();
        parts.push(format!("{} wait for their time{next}", count(queues.delayed as u64, "step")));
    }
    if queues.parked > 0 {
        parts.push(format!("{} of paused groups wait", count(queues.parked as u64, "step")));
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
