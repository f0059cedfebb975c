use super::{
    complete,
    context::Context,
    failure::{Failure, Result},
    list::{steps_took, worker_table},
    name::Name,
    output::Output,
    paint::{Paint, status_paint},
    show_file, suggestion,
    table::{Cell, Table},
    wording::{count, duration, plain, plain_lines, quoted},
    work::{item_name, show_kinds, took},
};
use crate::{
    definition::{MASK, yaml_text},
    model::{Answer, GroupId, RunId, Status, StepId, WorkerId},
    store::{
        attempt::Attempt,
        read::{self, GroupBelow},
    },
    view::{self, StepView, words::status_of_group},
};
use clap_complete::engine::ArgValueCompleter;
use serde_json::Value;

/// Show a group, a run, a step, a worker or a workflow definition in full
///
/// Name a definition by its id, its number such as d3, or the beginning of its hash: `windlass show nightly` prints it
/// as a workflow file. What looks like a secret is masked, in commands and in `env`.
///
/// `windlass show s5 --file data.csv > data.csv` fetches a file that a step left in its output directory, even if the
/// step has been pruned since.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Such as g12, r34, s56 or w7; or the id, number or hash of a definition
    #[arg(value_name = "ID", add = ArgValueCompleter::new(complete::anything))]
    id: String,
    /// Write this file of the step's output, such as data.csv, to stdout
    #[arg(long, value_name = "NAME", conflicts_with = "json")]
    file: Option<String>,
}

/// Shown for a step without output.
const NO_OUTPUT: &str = "none (completed without output)";

impl Args {
    pub fn run(self, cx: &Context) -> Result<()> {
        // A bare number is a mistake, not the name of a definition.
        let number = self.id.starts_with(|it: char| it.is_ascii_digit()) && self.id.parse::<i64>().is_ok();
        let name = match self.id.parse::<Name>() {
            Ok(name) => name,
            Err(message) if number => return Err(Failure::usage(message)),
            Err(_) if self.file.is_some() => return Err(only_steps()),
            Err(_) => return definition(cx, &self.id),
        };
        match (name, &self.file) {
            (Name::Step(id), Some(name)) => return show_file::to_stdout(cx, id, name),
            (_, Some(_)) => return Err(only_steps()),
            (_, None) => (),
        }
        match name {
            Name::Group(id) => group(cx, id),
            Name::Run(id) => run(cx, id),
            Name::Step(id) => step(cx, id),
            Name::Worker(id) => worker(cx, id),
        }
    }
}

fn only_steps() -> Failure {
    Failure::usage("only steps have files").hint("name a step, such as s56")
}

fn definition(cx: &Context, text: &str) -> Result<()> {
    let found = view::show_definition(cx.store()?, text)?;
    if cx.output.json {
        return cx.output.document(&found);
    }
    let (number, version) = (found.number.0, found.hash.get(..12).unwrap_or(&found.hash));
    cx.output.line(format!("# {} d{number}, version {version}, {}", plain(&found.id), cx.when(found.created)))?;
    cx.output.bytes(plain_lines(&yaml_text(&found.definition)).as_bytes())
}

fn line(out: &Output, name: &str, value: impl AsRef<str>) -> Result<()> {
    out.line(format!("  {name:<10} {}", plain(value.as_ref())))
}

fn group(cx: &Context, id: GroupId) -> Result<()> {
    let found = view::show_group(cx.store()?, id)?;
    if cx.output.json {
        return cx.output.document(&found);
    }
    let details = &found.details;
    let (out, now, it) = (&cx.output, cx.now(), &details.group);
    let words = out.paint(status_paint(status_of_group(it, found.waits.as_deref())), &found.words);
    out.line(format!("{id} {words}  {}", plain(&it.name)))?;
    line(out, "workflow", &it.definition)?;
    for used in &details.definitions {
        let runs = count(used.runs.max(0) as u64, "run");
        line(out, "", format!("{runs} under {} (d{})", used.definition, used.definition_id.0))?;
    }
    if let Some(name) = &it.concurrency {
        let behind = it.waits_for.map(|other| format!("; waits for {other}")).unwrap_or_default();
        line(out, "concurrency", format!("{name}{behind}"))?;
    }
    if let (Some(step), Some(parent)) = (it.parent_step, it.parent_group) {
        line(out, "part of", format!("{step} of {parent}"))?;
    }
    line(out, "created", cx.when(it.created))?;
    match it.ended {
        Some(ended) => {
            let worked = cx.store()?.read(|tx| read::worked(tx, id))?;
            line(out, "took", took(worked, ended.since(it.created)))?;
        }
        None => line(out, "runs for", duration(now.since(it.created)))?,
    }
    line(out, "directory", &details.directory)?;
    if details.params.as_object().is_some_and(|it| !it.is_empty()) {
        line(out, "params", details.params.to_string())?;
    }
    if it.paused {
        let what = it.paused_for.as_ref().map(|it| format!("{}; ", plain(it))).unwrap_or_default();
        line(out, "paused", suggestion::sentence(&format!("{what}resume with `windlass resume {id}`")))?;
    }
    let runs: Vec<String> = details.runs_by_status.iter().map(|(status, n)| format!("{n} {status}")).collect();
    let parts = if runs.is_empty() { String::new() } else { format!(" ({})", runs.join(", ")) };
    line(out, "runs", format!("{}{parts}", it.runs))?;
    allowed(out, details.allowed_failures)?;
    let mut table = Table::new(&["~  TYPE", "STATUS", ">STEPS"]);
    for it in &details.steps {
        table.row([format!("  {}", it.step_type).into(), Cell::status(it.status), it.count.to_string().into()]);
    }
    if !table.is_empty() {
        out.line("")?;
        out.table(&table)?;
    }
    tree(out, &details.below)?;
    if it.failed > 0 || !details.failed_hooks.is_empty() {
        out.line("")?;
    }
    for hook in &details.failed_hooks {
        let subject = match (hook.step, hook.run) {
            (Some(step), _) => format!(" of {step}"),
            (None, Some(run)) => format!(" of {run}"),
            (None, None) => String::new(),
        };
        let name = format!("hook {} ({}){subject}", plain(&hook.name), hook.event);
        let (mark, tries) = (out.paint(Paint::Bad, "failed"), count(hook.attempts.max(0) as u64, "attempt"));
        let ended = cx.when(hook.ended);
        out.line(format!("  {mark}  {name}, {ended}, after {tries}: {}", plain(&hook.detail)))?;
    }
    if let Some(hook) = details.failed_hooks.first() {
        let step = StepId(hook.id);
        out.note(format!("its output: `windlass logs {step}`; again: `windlass retry {step}`"));
    }
    show_kinds(cx, id, &found.failure_kinds)
}

/// The groups that steps of a group started, as a tree.
fn tree(out: &Output, below: &[GroupBelow]) -> Result<()> {
    if below.is_empty() {
        return Ok(());
    }
    out.line("")?;
    let mut table = Table::new(&["~  STEP", "GROUP", "STATUS", ">RUNS", ">FAILED"]);
    for it in below {
        let indent = "  ".repeat(it.depth.clamp(1, 20) as usize);
        let past = if it.past { " (earlier list)" } else { "" };
        table.row([
            format!("{indent}{} {}{past}", it.step, plain(&it.step_name)).into(),
            it.group.to_string().into(),
            Cell::status(it.status),
            if it.ended_runs == it.runs { it.runs.to_string() } else { format!("{}/{}", it.ended_runs, it.runs) }
                .into(),
            if it.failed > 0 { it.failed.to_string() } else { String::new() }.into(),
        ]);
    }
    out.table(&table)
}

/// `1 allowed failure`, if there are any.
fn allowed(out: &Output, failures: i64) -> Result<()> {
    match failures {
        0 => Ok(()),
        failures => line(out, "failures", count(failures.max(0) as u64, "allowed failure")),
    }
}

fn run(cx: &Context, id: RunId) -> Result<()> {
    let found = view::show_run(cx.engine()?, id)?;
    if cx.output.json {
        return cx.output.document(&found);
    }
    let details = &found.details;
    let (out, now, it) = (&cx.output, cx.now(), &details.run);
    out.line(format!("{id} {}  of {}", out.paint(status_paint(it.status), &found.words), it.group))?;
    line(out, "workflow", &details.definition)?;
    if !it.item.is_empty() {
        line(out, "item", &it.item)?;
    }
    if let Some(ended) = it.ended {
        line(out, "ended", cx.when(ended))?;
    }
    allowed(out, it.allowed_failures)?;
    if let Some(remark) = &it.remark {
        line(out, "remark", remark)?;
    }
    if let Some(output) = &details.output {
        line(out, "output", output.to_string())?;
    }
    out.line("")?;
    let mut table = Table::new(&["  STEP", "~NAME", "STATUS", "?>TRIES", "?>TOOK", "~ERROR"]);
    for it in &details.steps {
        let status = if it.cached { Cell::painted("CACHED", Paint::Good) } else { Cell::status(it.status) };
        table.row([
            format!("  {}", it.id).into(),
            it.name.as_str().into(),
            status,
            it.attempts.to_string().into(),
            steps_took(it, now).into(),
            it.error.as_deref().unwrap_or("").into(),
        ]);
    }
    out.table(&table)
}

fn step(cx: &Context, id: StepId) -> Result<()> {
    let found = match view::show_step(cx.engine()?, id) {
        Err(view::Error::Store(crate::store::Error::NotFound { .. })) => return show_file::pruned(cx, id),
        found => found?,
    };
    if cx.output.json {
        return cx.output.document(&found);
    }
    let details = &found.details;
    let (out, it) = (&cx.output, &details.step);
    let words = out.paint(status_paint(it.status), &plain(&found.words));
    out.line(format!("{id} {words}  {} of {} of {}", plain(&it.name), details.run, details.group))?;
    facts(cx, &found)?;
    for attempt in &details.attempts_all {
        show_attempt(cx, attempt)?;
    }
    if !it.status.is_terminal() || it.error.is_some() {
        out.note(format!("why: `windlass why {id}`; its output: `windlass logs {id}`"));
    }
    Ok(())
}

/// The group that a step started.
fn started(out: &Output, children: Option<&read::Children>) -> Result<()> {
    let Some(it) = children.map(|it| &it.group) else { return Ok(()) };
    let failed = if it.failed > 0 { format!(", {} failed", it.failed) } else { String::new() };
    let runs = count(it.runs.unsigned_abs(), "run");
    line(out, "children", format!("{} {}, {} of {runs}{failed}", it.group, it.status, it.ended_runs))
}

fn facts(cx: &Context, found: &StepView) -> Result<()> {
    let details = &found.details;
    let (out, now, it) = (&cx.output, cx.now(), &details.step);
    line(out, "type", &it.step_type)?;
    if let Some(command) = &found.command {
        let name = if details.attempts_all.is_empty() { "runs" } else { "ran" };
        // Later lines are aligned below the first.
        for (at, text) in command.trim_end().lines().enumerate() {
            line(out, if at == 0 { name } else { "" }, text)?;
        }
    }
    if !found.variables.is_empty() {
        let env = &found.step_definition["env"];
        let text = |name: &str| match &env[name] {
            Value::String(text) if text != MASK => quoted(text),
            _ => MASK.to_string(),
        };
        let masked: Vec<String> = found.variables.iter().map(|it| format!("{it}={}", text(it))).collect();
        line(out, "env", masked.join(" "))?;
    }
    line(out, "workflow", format!("{}  (d{})", details.definition, details.definition_id.0))?;
    if !details.item.is_empty() {
        line(out, "item", item_name(&details.item))?;
    }
    if !it.status.is_terminal() && details.due.0 > now.0 {
        line(out, "due", cx.when(details.due))?;
    }
    if let Some(key) = &details.key {
        line(out, "key", key)?;
    }
    if !details.needs.is_empty() {
        let needs: Vec<String> =
            details.needs.iter().map(|it| format!("{} {} {}", it.step, it.name, it.status)).collect();
        line(out, "needs", needs.join(", "))?;
    }
    started(out, found.children.as_ref())?;
    match &details.output {
        Some(output) => line(out, "output", output.to_string())?,
        None if it.status == Status::Completed && details.files.is_empty() => line(out, "output", NO_OUTPUT)?,
        None => (),
    }
    if !details.files.is_empty() {
        line(
            out,
            "files",
            suggestion::sentence(&format!(
                "{} (`windlass show {} --file {}`)",
                count(details.files.len() as u64, "file"),
                it.id,
                details.files.first().map(|it| quoted(&it.0)).unwrap_or_default()
            )),
        )?;
        for (name, hash) in details.files.iter().take(20) {
            out.line(format!("             {}  {}", &hash[..hash.len().min(12)], plain(name)))?;
        }
    }
    for (name, target) in details.links.iter().take(20) {
        out.line(format!("             {:12}  {} -> {}", "link", plain(name), plain(target)))?;
    }
    Ok(())
}

/// Prints one attempt: its outcome, and the death certificate if its process died.
pub fn show_attempt(cx: &Context, attempt: &Attempt) -> Result<()> {
    let (out, now) = (&cx.output, cx.now());
    let took = duration(attempt.ended.unwrap_or(now).since(attempt.started));
    let outcome = attempt.outcome.unwrap_or("running");
    let paint = match outcome {
        "succeeded" | "cached" => Paint::Good,
        "running" => Paint::Busy,
        "interrupted" | "cancelled" => Paint::Warn,
        _ => Paint::Bad,
    };
    let reason = attempt.detail.as_ref().and_then(|it| crate::store::attempt::reason(&it.to_string()));
    let prefix = format!("{outcome}: ");
    // A success needs no reason.
    let reason = reason.filter(|it| it != outcome);
    let reason = reason.map(|it| format!(": {}", plain(it.strip_prefix(&prefix).unwrap_or(&it)))).unwrap_or_default();
    out.line(format!(
        "  attempt {} on {}, {}, {took}: {}{reason}",
        attempt.no,
        attempt.worker,
        cx.when(attempt.started),
        out.paint(paint, outcome)
    ))?;
    if let Some(words) = attempt.detail.as_ref().and_then(answered) {
        out.line(format!("    {}", plain(&words)))?;
    }
    let certificate = attempt.detail.as_ref().map_or(&Value::Null, |it| &it["certificate"]);
    for (name, value) in certificate.as_object().into_iter().flatten() {
        match (name.as_str(), value) {
            ("last_lines", Value::String(text)) => {
                for line in text.lines() {
                    out.line(out.paint(Paint::Dim, &format!("    | {}", plain(line))))?;
                }
            }
            // The reason already includes it.
            ("exit", _) => (),
            ("peak_rss", Value::Number(bytes)) => {
                let size = super::wording::size(bytes.as_u64().unwrap_or(0));
                out.line(format!("    peak memory {size}"))?;
            }
            ("cpu", Value::String(time)) => out.line(format!("    CPU time {}", plain(time)))?,
            ("remarks", Value::Array(remarks)) => {
                for remark in remarks.iter().filter_map(Value::as_str) {
                    out.line(format!("    {}", plain(remark)))?;
                }
            }
            (_, Value::String(text)) => out.line(format!("    {name} {}", plain(text)))?,
            (_, other) => out.line(format!("    {name} {}", plain(&other.to_string())))?,
        }
    }
    Ok(())
}

/// Who answered a step that waited. The reason of a rejection already says it.
fn answered(detail: &Value) -> Option<String> {
    let answer = serde_json::from_value::<Answer>(detail["answer"].clone()).ok().filter(|it| it.approved);
    let question = detail["asked"].as_str().map(|it| format!(" ({it})")).unwrap_or_default();
    let signal = || {
        let (name, by) = (detail["signal"]["name"].as_str()?, detail["signal"]["by"].as_str()?);
        Some(format!("signal `{name}` from {by}"))
    };
    answer.map(|it| format!("{}{question}", it.words())).or_else(signal)
}

fn worker(cx: &Context, id: WorkerId) -> Result<()> {
    let all = view::workers(cx.store()?)?.workers;
    let Some(found) = all.into_iter().find(|it| it.row.id == id) else {
        return Err(Failure::not_found(format!("{id} is not running")).hint("see `windlass list workers`"));
    };
    match cx.output.json {
        true => cx.output.document(&found),
        false => cx.output.table(&worker_table(cx, &[found])),
    }
}
