use super::{
    context::Context,
    failure::Result,
    list::worker_table,
    output::Paint,
    table::{Cell, Table},
    typed,
    wording::{count, number_of, relative, size},
};
use crate::{
    store::overview::Queues,
    view::{self, Problem, StatusView},
};

/// One screen: what runs, what waits and on what, workers, disk, and problems with the command that mends each
#[derive(Debug, clap::Args)]
pub struct Args {}

impl Args {
    pub fn run(self, cx: &Context) -> Result<()> {
        let mut status = view::status(cx.engine()?)?;
        for (name, meant) in &cx.settings()?.unknown_variables {
            let command = meant.as_ref().map(|it| format!("did you mean {it}?"));
            status.problems.push(Problem { text: format!("variable {name} is not known"), command });
        }
        match cx.output.json {
            true => cx.output.document(&status),
            false => show(cx, &status),
        }
    }
}

fn show(cx: &Context, facts: &StatusView) -> Result<()> {
    let (out, now) = (&cx.output, cx.now());
    let (home, free) = (facts.home.display(), size(facts.disk_free.0));
    out.line(format!("{}  {home}, {free} free", out.paint(Paint::Bold, "home")))?;
    let mut groups = Table::new(&["GROUP", "STATUS", ">RUNS", ">FAILED", "SINCE", "~NAME"]);
    for it in facts.groups.iter().chain(&facts.recent) {
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
    if !facts.problems.is_empty() {
        out.line(format!("\n{}", out.paint(Paint::Bad, "problems")))?;
    }
    for it in &facts.problems {
        out.line(format!("  {}", it.text))?;
        if let Some(command) = &it.command {
            out.line(format!("    {}", out.paint(Paint::Bold, &typed::command(command))))?;
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
