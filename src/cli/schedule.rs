use super::{
    context::Context,
    failure::{Exit, Failure, Result},
    paint::{Paint, status_paint},
    parameters,
    submit::note_if_nobody_works,
    table::{Cell, Table},
};
use crate::{
    assembly,
    definition::{KnownKinds, parse_file},
    engine::ScheduledWorkflow,
    model::{FiringState, Timestamp, nearest},
    os::regular_file,
    store::schedule::{self, FiringRow},
    view::{self, FiringView, ScheduleView, wording::count},
};
use clap_complete::engine::ArgValueCompleter;
use std::{fs, path::Path, path::PathBuf};

/// Start workflows on a schedule, or when files arrive: add, list, pause and run schedules
///
/// `windlass serve` and `windlass worker` fire them. The times are in the workflow file: `schedule: { cron: "0 2 * *
/// *", zone: Europe/Berlin }` or `schedule: { every: 15m }`. With `on: { files: /inbox, match: "*.pdf" }` instead, each
/// new or changed file starts a run.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Add the schedule or watched directory of a workflow file, or replace the one with the same name
    Add(Add),
    /// List the schedules, when each fires next, and its last firing
    List,
    /// Show a schedule: its next and most recent firings, and what it watches
    Show {
        /// The schedule
        #[arg(add = ArgValueCompleter::new(super::complete::schedules))]
        name: String,
    },
    /// Stop firing until the schedule is resumed
    Pause {
        /// The schedule
        #[arg(add = ArgValueCompleter::new(super::complete::schedules))]
        name: String,
    },
    /// Fire again, from now on
    Resume {
        /// The schedule
        #[arg(add = ArgValueCompleter::new(super::complete::schedules))]
        name: String,
    },
    /// Start the workflow now, regardless of its schedule; for a watched directory, with all files in it
    Run {
        /// The schedule
        #[arg(add = ArgValueCompleter::new(super::complete::schedules))]
        name: String,
    },
    /// Start the workflow for each past time at which it did not start
    Backfill {
        /// The schedule
        #[arg(add = ArgValueCompleter::new(super::complete::schedules))]
        name: String,
        /// The first time, such as `2026-11-01` or `2026-11-01T08:00:00+01:00`
        #[arg(long, value_name = "TIME", value_parser = moment)]
        from: Timestamp,
        /// The last time [default: now]
        #[arg(long, value_name = "TIME", value_parser = moment)]
        to: Option<Timestamp>,
    },
    /// Remove a schedule; the groups that it started stay
    Remove {
        /// The schedule
        #[arg(add = ArgValueCompleter::new(super::complete::schedules))]
        name: String,
    },
}

impl Command {
    /// The schedule that must be there.
    fn named(&self) -> Option<&str> {
        match self {
            Command::Add(_) | Command::List => None,
            Command::Show { name }
            | Command::Pause { name }
            | Command::Resume { name }
            | Command::Run { name }
            | Command::Backfill { name, .. }
            | Command::Remove { name } => Some(name),
        }
    }
}

/// Refuses a name that no schedule has, with the nearest that one has.
fn check_name(cx: &Context, name: &str) -> Result<()> {
    let all = cx.store()?.read(schedule::all)?;
    if all.iter().any(|it| it.name == name) {
        return Ok(());
    }
    let hint = match nearest(name, all.iter().map(|it| it.name.as_str())) {
        Some(near) => format!("did you mean `{near}`?"),
        None if all.is_empty() => "there are no schedules; add one with `windlass schedule add FILE`".to_string(),
        None => "`windlass schedule list` shows all of them".to_string(),
    };
    Err(Failure::not_found(format!("schedule `{name}` does not exist")).hint(hint))
}

#[derive(Debug, clap::Args)]
struct Add {
    /// The workflow file
    file: PathBuf,
    /// The name of the schedule [default: the workflow's id]
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    #[command(flatten)]
    params: parameters::Parameters,
    /// The directory in which commands start [default: that of the workflow file]
    #[arg(long, value_name = "DIR")]
    chdir: Option<PathBuf>,
    /// Higher priorities run first
    #[arg(long, default_value_t = 0, allow_negative_numbers = true, value_name = "N")]
    priority: i64,
    /// The share of its groups relative to others
    #[arg(long, default_value_t = 1, value_name = "N", value_parser = clap::value_parser!(i64).range(1..=1000))]
    weight: i64,
}

fn moment(text: &str) -> std::result::Result<Timestamp, String> {
    crate::definition::recurrence::moment(text)
        .ok_or_else(|| format!("`{text}` is not a time; write `2026-11-01` or `2026-11-01T08:00:00+01:00`"))
}

impl Args {
    pub fn run(self, cx: &Context) -> Result<()> {
        if let Some(name) = self.command.as_ref().and_then(Command::named) {
            check_name(cx, name)?;
        }
        match self.command {
            None | Some(Command::List) => list(cx),
            Some(Command::Add(add)) => add.run(cx),
            Some(Command::Show { name }) => show(cx, &name),
            Some(Command::Pause { name }) => {
                let changed = cx.engine()?.pause_schedule(&name)?;
                said(cx, &name, changed, "paused", "is already paused")
            }
            Some(Command::Resume { name }) => {
                let changed = cx.engine()?.resume_schedule(&name)?;
                said(cx, &name, changed, "resumed", "is not paused")
            }
            Some(Command::Run { name }) => {
                let firing = cx.engine()?.run_schedule(&name)?;
                started(cx, &name, vec![firing])
            }
            Some(Command::Backfill { name, from, to }) => {
                let firings = cx.engine()?.backfill_schedule(&name, from, to.unwrap_or(cx.now()))?;
                started(cx, &name, firings)
            }
            Some(Command::Remove { name }) => {
                cx.engine()?.remove_schedule(&name)?;
                said(cx, &name, true, "removed", "")
            }
        }
    }
}

impl Add {
    fn run(self, cx: &Context) -> Result<()> {
        let path = fs::canonicalize(&self.file).map_err(|error| Failure::io("read", &self.file, error))?;
        let text = regular_file::read_to_string(&path).map_err(|error| Failure::io("read", &self.file, error))?;
        let known = KnownKinds::new(assembly::registry().names()).with_worker_limits(cx.settings()?.worker_limits());
        let known = known.of_file(&path);
        let file = parse_file(&text, &self.file.to_string_lossy(), &known)?;
        let Some(trigger) = file.trigger() else {
            let what = format!("{} has no `schedule` and no `on`", self.file.display());
            let hint = "add a line such as `schedule: { cron: \"0 2 * * *\" }` or `on: { files: /inbox }`";
            return Err(Failure::usage(what).hint(hint));
        };
        let beside = path.parent().unwrap_or(Path::new("/")).to_path_buf();
        let directory = match &self.chdir {
            Some(dir) => fs::canonicalize(dir).map_err(|error| Failure::io("enter", dir, error))?,
            None => beside,
        };
        let new = ScheduledWorkflow {
            name: self.name.unwrap_or_else(|| file.definition.id.clone()),
            definition: file.definition,
            trigger,
            items_from: file.items_from,
            params: self.params.read(cx)?,
            directory: text_of(&directory)?,
            file: text_of(&path)?,
            priority: self.priority,
            weight: self.weight,
        };
        let fresh = cx.engine()?.add_schedule(&new)?;
        let view = view::show_schedule(cx.engine()?, &new.name)?;
        if cx.output.json {
            return cx.output.document(&view);
        }
        let verb = if fresh { "added" } else { "replaced" };
        let next = view.next.map(|it| format!("; it fires next {}", cx.calendar(it))).unwrap_or_default();
        let watches = view.watch.as_ref().map(|it| format!("; it watches {}", it.directory)).unwrap_or_default();
        cx.output.advice(format!("{verb} schedule `{}`{next}{watches}", new.name))?;
        cx.output.note(match view.watch {
            Some(it) if it.watched => "each new or changed file starts a run",
            Some(_) => "`windlass serve` or `windlass worker` watches it while it runs",
            None => "`windlass serve` or `windlass worker` fires it while it runs",
        });
        Ok(())
    }
}

fn text_of(path: &Path) -> Result<String> {
    let text = path.to_str().map(str::to_string);
    text.ok_or_else(|| Failure::usage(format!("the name of {} is not UTF-8", path.display())))
}

fn said(cx: &Context, name: &str, changed: bool, done: &str, not: &str) -> Result<()> {
    if cx.output.json {
        return cx.output.document(&serde_json::json!({ "schedule": name, "changed": changed }));
    }
    let what = if changed { done } else { not };
    cx.output.advice(format!("schedule `{name}` {what}"))
}

fn started(cx: &Context, name: &str, rows: Vec<FiringRow>) -> Result<()> {
    let engine = cx.engine()?;
    let firings =
        rows.into_iter().map(|it| view::firing_view(engine, it)).collect::<std::result::Result<Vec<_>, _>>()?;
    let failed = firings.iter().filter(|it| it.state == FiringState::Failed).count();
    if cx.output.json {
        cx.output.document(&serde_json::json!({ "schedule": name, "firings": firings }))?;
    } else {
        if firings.is_empty() {
            cx.output.note("no time of the schedule lies there");
        }
        for it in &firings {
            cx.output.line(format!("{}  {}", cx.calendar(it.instant), outcome(it)))?;
        }
    }
    match failed {
        0 if firings.iter().any(started_now) && !cx.output.json => note_if_nobody_works(cx),
        0 => Ok(()),
        _ => Err(Failure::new(Exit::WorkFailed, format!("{} of `{name}` failed", count(failed as u64, "firing")))),
    }
}

/// Whether it started a group, or lists the items of one.
fn started_now(firing: &FiringView) -> bool {
    firing.group.is_some() && !firing.skipped()
}

fn outcome(firing: &FiringView) -> String {
    if firing.skipped() {
        return firing.detail.clone();
    }
    let group = firing.group.map(|it| format!(" {it}")).unwrap_or_default();
    let detail = if firing.detail.is_empty() { String::new() } else { format!(": {}", firing.detail) };
    match firing.state {
        FiringState::Collecting if firing.group.is_none() => "notes its files".to_string(),
        FiringState::Collecting => format!("lists its items ({})", group.trim()),
        state => format!("{}{group}{detail}", state.words()),
    }
}

fn list(cx: &Context) -> Result<()> {
    let found = view::schedules(cx.engine()?)?;
    if cx.output.json {
        return cx.output.document(&found);
    }
    if found.schedules.is_empty() {
        cx.output.note("no schedules; add one with `windlass schedule add FILE`");
        return Ok(());
    }
    let mut table = Table::new(&["~NAME", "TIMES", "NEXT", "LAST", "PROBLEM"]);
    for it in &found.schedules {
        let next = match (it.paused, it.next) {
            (true, _) => Cell::painted("paused", Paint::Warn),
            (false, Some(next)) => cx.when(next).into(),
            (false, None) if it.watch.as_ref().is_some_and(|it| it.watched) => "on files".into(),
            (false, None) if it.watch.is_some() => Cell::painted("not watched", Paint::Warn),
            (false, None) => Cell::painted("never", Paint::Bad),
        };
        let last = match it.firings.first() {
            None => "".into(),
            Some(last) => match (last.group, last.status) {
                _ if last.skipped() => "skipped".into(),
                (Some(group), Some(status)) => {
                    Cell::painted(format!("{group} {}", status.name().to_lowercase()), status_paint(status))
                }
                _ => last.state.words().into(),
            },
        };
        table.row([
            it.name.clone().into(),
            it.times.clone().into(),
            next,
            last,
            Cell::painted(&it.problem, Paint::Bad),
        ]);
    }
    cx.output.table(&table)
}

fn show(cx: &Context, name: &str) -> Result<()> {
    let it = view::show_schedule(cx.engine()?, name)?;
    if cx.output.json {
        return cx.output.document(&it);
    }
    head(cx, &it)?;
    for next in &it.upcoming {
        cx.output.line(format!("  next   {}", cx.calendar(*next)))?;
    }
    for last in &it.firings {
        let status = last.status.filter(|_| !last.skipped());
        let status = status.map(|it| format!(" {}", cx.output.paint(status_paint(it), it.name())));
        cx.output.line(format!(
            "  fired  {}  {}{}",
            cx.calendar(last.instant),
            outcome(last),
            status.unwrap_or_default()
        ))?;
    }
    Ok(())
}

fn head(cx: &Context, it: &ScheduleView) -> Result<()> {
    let paused = if it.paused { ", paused" } else { "" };
    cx.output.line(format!("{}  {}{paused}", cx.output.paint(Paint::Bold, &it.name), it.times))?;
    let file = if it.file.is_empty() { String::new() } else { format!(" in {}", it.file) };
    cx.output.line(format!("  starts {}{file}", it.workflow))?;
    if let Some(watch) = &it.watch {
        let known = count(watch.known as u64, "file");
        let by = if watch.watched { "a process watches" } else { "no process watches: start `windlass serve`" };
        cx.output.line(format!("  files  {known} known; each starts once unchanged for {}; {by}", watch.settled))?;
    }
    if it.missed > 0 {
        cx.output.line(format!("  missed {}", count(it.missed as u64, "time")))?;
    }
    if !it.problem.is_empty() {
        cx.output.line(format!("  {}", cx.output.paint(Paint::Bad, &it.problem)))?;
    }
    Ok(())
}
