use super::{
    context::Context,
    failure::{Failure, Result},
    items,
    paint::Paint,
    parameters, serve,
    table::Table,
    wording::count,
};
use crate::{
    assembly,
    definition::{Action, Command, Definition, KnownKinds, Values, parse},
    engine::{Submission, Submitted, check_secrets},
    os::{process_stat, regular_file},
    store,
};
use std::{
    fs,
    path::{Path, PathBuf},
};

/// Submit a workflow without running it
///
/// A running `windlass worker` runs it; `windlass wait` waits for its end.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    what: What,
    /// Do not start the daemon, even if the setting `autostart` is on
    #[arg(long)]
    no_autostart: bool,
}

/// What to submit. Shared by `submit` and `run`.
#[derive(Debug, clap::Args)]
pub struct What {
    /// The workflow, a YAML file
    #[arg(value_name = "FILE", conflicts_with = "each")]
    file: Option<PathBuf>,
    /// Instead of a file: a shell command for each item, such as 'convert {{ item }} {{ item }}.webp'
    #[arg(long, value_name = "CMD")]
    each: Option<String>,
    #[command(flatten)]
    items: items::Items,
    #[command(flatten)]
    params: parameters::Parameters,
    /// The directory in which commands start [default: that of the workflow file, or the current one with `--each`]
    #[arg(long, value_name = "DIR")]
    chdir: Option<PathBuf>,
    /// A key that makes the submission idempotent: submitting it again creates no second group
    #[arg(long, value_name = "KEY")]
    key: Option<String>,
    /// Higher priorities run first
    #[arg(long, default_value_t = 0, allow_negative_numbers = true, value_name = "N")]
    priority: i64,
    /// The group's share relative to other groups: a group with weight 3 gets three times as many steps as one with
    /// weight 1
    #[arg(long, default_value_t = 1, value_name = "N", value_parser = clap::value_parser!(i64).range(1..=1000))]
    weight: i64,
    /// The name of the group [default: the workflow's name]
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// Run steps even if their results are cached
    #[arg(long)]
    force: bool,
    /// Show what would be submitted; write nothing
    #[arg(long)]
    dry_run: bool,
}

impl Args {
    pub fn run(self, cx: &Context) -> Result<()> {
        let Some(submission) = self.what.submission(cx)? else {
            return match cx.output.json {
                true => cx.output.document(&submitted(None, 0, workers(cx)?)),
                false => Ok(()),
            };
        };
        if self.what.dry_run {
            return plan(cx, &submission);
        }
        let runs = submission.items.len();
        let made = cx.engine()?.submit(submission)?;
        serve::autostart(cx, self.no_autostart)?;
        let working = workers(cx)?;
        if cx.output.json {
            return cx.output.document(&submitted(Some(made), runs, working));
        }
        cx.output.line(made.group.to_string())?;
        said(cx, made, runs);
        if made.gone.is_some() || made.skipped {
            return Ok(());
        }
        if working == 0 {
            return note_if_nobody_works(cx);
        }
        cx.output.note(format!("wait for it with `windlass wait {}`", made.group));
        Ok(())
    }
}

/// The `--json` form of a submission. None: there was nothing to submit.
fn submitted(made: Option<Submitted>, runs: usize, workers: usize) -> serde_json::Value {
    serde_json::json!({
        "group": made.map(|it| it.group), "new": made.is_some_and(|it| it.new), "runs": runs, "workers": workers,
        "gone": made.and_then(|it| it.gone), "skipped": made.is_some_and(|it| it.skipped),
    })
}

impl What {
    pub fn is_present(&self) -> bool {
        self.file.is_some() || self.each.is_some()
    }

    pub fn is_dry_run(&self) -> bool {
        self.dry_run
    }

    /// Reads the workflow, items and parameters, and refuses invalid ones. None if the list of items is empty, which is
    /// reported but not an error, as with `xargs`.
    pub fn submission(&self, cx: &Context) -> Result<Option<Submission>> {
        let (definition, beside, file) = self.definition(cx)?;
        let directory = match &self.chdir {
            None => beside,
            Some(dir) => match fs::canonicalize(dir).map_err(|error| Failure::io("start commands in", dir, error))? {
                dir if dir.is_dir() => dir,
                dir => return Err(Failure::usage(format!("{} is not a directory", dir.display()))),
            },
        };
        let items = match self.items.read()? {
            Some(items) => items,
            None if definition.asks_for_item()? => {
                let what = format!("the workflow `{}` needs items, but none were given", definition.id);
                return Err(Failure::usage(what).hint("give them with `--items A B ...` or `--items-from FILE`"));
            }
            None => vec![String::new()],
        };
        if definition.asks_for_item()? {
            warn_of_misplaced(cx, &items, &directory)?;
        }
        let params = self.params.read(cx)?;
        definition.check_parameters(&params)?;
        if items.is_empty() {
            cx.output.note(format!("no items in {}: nothing submitted", self.items.list()));
            return Ok(None);
        }
        let name = self.name.clone().or_else(|| self.each.as_ref().map(|it| super::wording::cut(it, 60)));
        Ok(Some(Submission {
            params,
            directory,
            file,
            name,
            priority: self.priority,
            weight: self.weight,
            key: self.key.clone(),
            force: self.force,
            ..Submission::new(definition, items)
        }))
    }

    /// The workflow, the directory in which its commands start, and its file.
    fn definition(&self, cx: &Context) -> Result<(Definition, PathBuf, Option<PathBuf>)> {
        if let Some(command) = &self.each {
            return Ok((Definition::of_command("each", command)?, cx.here()?, None));
        }
        let Some(file) = &self.file else {
            return Err(Failure::usage("no workflow was given")
                .hint("name a YAML file, or give a command with `--each 'CMD {{ item }}' --items A B`"));
        };
        let (definition, path) = read_workflow(cx, file)?;
        Ok((definition, path.parent().unwrap_or(Path::new("/")).to_path_buf(), Some(path)))
    }
}

/// Reads a workflow file. Also returns its canonical path.
pub fn read_workflow(cx: &Context, file: &Path) -> Result<(Definition, PathBuf)> {
    let path = fs::canonicalize(file).map_err(|error| Failure::io("read", file, error))?;
    let text = regular_file::read_to_string(&path).map_err(|error| Failure::io("read", file, error))?;
    let kinds = assembly::registry();
    let known = KnownKinds::new(kinds.names()).with_worker_limits(cx.settings()?.worker_limits()).of_file(&path);
    Ok((parse(&text, &file.to_string_lossy(), &known)?, path))
}

/// Warns if an item is a file relative to the current directory, but not relative to the directory in which commands
/// start.
fn warn_of_misplaced(cx: &Context, items: &[String], directory: &Path) -> Result<()> {
    let here = cx.here()?;
    if fs::canonicalize(&here).is_ok_and(|it| it == directory) {
        return Ok(());
    }
    let misplaced = |it: &&String| {
        let path = Path::new(it);
        !it.is_empty() && path.is_relative() && here.join(path).exists() && !directory.join(path).exists()
    };
    // If files are misplaced, usually the first ones already are.
    if let Some(item) = items.iter().take(1_000).find(misplaced) {
        cx.output.warn(format!(
            "`{item}` exists here, but not in {}, where commands start: add `--chdir .`, or give absolute paths",
            directory.display()
        ));
    }
    Ok(())
}

/// Prints the result of a submission.
pub fn said(cx: &Context, submitted: Submitted, runs: usize) {
    let group = submitted.group;
    if submitted.skipped {
        cx.output.note(format!("nothing submitted: {group} of the same concurrency group has not ended"));
        return;
    }
    match (submitted.new, submitted.gone) {
        (true, _) => {
            cx.output.note(format!("submitted {group} with {}", count(runs as u64, "run")));
            let before = cx.store().ok().and_then(|it| it.read(|tx| store::concurrency::before(tx, group)).ok());
            if let Some(first) = before.unwrap_or_default().first() {
                cx.output.note(format!("{group} waits for {first}: both are in one concurrency group"));
            }
        }
        (false, None) => cx.output.note(format!("{group} was submitted before with this key")),
        (false, Some(status)) => {
            cx.output.note(format!("{group} was submitted before with this key, ended {status}, and was pruned since"));
        }
    }
}

/// The number of live workers.
pub fn workers(cx: &Context) -> Result<usize> {
    let rows = cx.store()?.read(store::worker::list)?;
    Ok(rows.iter().filter(|it| process_stat::is_alive(&it.identity)).count())
}

/// Says so if no worker is running.
pub fn note_if_nobody_works(cx: &Context) -> Result<()> {
    if workers(cx)? == 0 {
        cx.output.note("no worker is running: start one with `windlass worker`");
    }
    Ok(())
}

/// Shows what would be submitted.
pub fn plan(cx: &Context, submission: &Submission) -> Result<()> {
    let definition = &submission.definition;
    check_secrets(&cx.settings()?.secrets_dir(), definition.secrets())?;
    let runs = submission.items.len();
    if cx.output.json {
        let steps: Vec<_> = definition
            .steps
            .iter()
            .map(|it| {
                let needs: Vec<&str> = it.needs.iter().map(|need| definition.steps[*need].name.as_str()).collect();
                serde_json::json!({"name": it.name, "type": it.step_type, "needs": needs, "action": action(&it.action)})
            })
            .collect();
        return cx.output.document(&serde_json::json!({
            "workflow": definition.id, "name": definition.name, "version": hex::encode(definition.hash()),
            "directory": submission.directory, "params": submission.params, "priority": submission.priority,
            "weight": submission.weight,
            "items": submission.items, "steps": steps,
        }));
    }
    let steps = runs * definition.steps.len();
    cx.output.line(format!(
        "{}: {} of {}, {} in all; nothing was written",
        cx.output.paint(Paint::Bold, &definition.name),
        count(runs as u64, "run"),
        count(definition.steps.len() as u64, "step"),
        count(steps as u64, "step"),
    ))?;
    let mut table = Table::new(&["STEP", "TYPE", "~NEEDS", "~WHAT"]);
    for it in &definition.steps {
        let needs: Vec<&str> = it.needs.iter().map(|need| definition.steps[*need].name.as_str()).collect();
        table.row([
            it.name.as_str().into(),
            it.step_type.as_str().into(),
            needs.join(", ").into(),
            action(&it.action).into(),
        ]);
    }
    cx.output.table(&table)?;
    let shown = submission.items.iter().take(5);
    for item in shown.filter(|it| !it.is_empty()) {
        cx.output.line(format!("item  {}", super::wording::cut(&super::wording::plain(item), 100)))?;
    }
    if runs > 5 {
        cx.output.line(format!("and {} more", count((runs - 5) as u64, "item")))?;
    }
    Ok(())
}

fn action(action: &Action) -> String {
    match action {
        Action::Run(Command::Shell(template)) => template.source().to_string(),
        Action::Run(Command::Argv(argv)) => argv.iter().map(|it| it.source()).collect::<Vec<_>>().join(" "),
        Action::Uses(kind) => format!("uses {kind}"),
        Action::Worker { worker, handler } => format!("worker {worker}, handler {handler}"),
        Action::Wait(wait) => wait.shown(&Values::default()),
        Action::Children(children) => children.shown(),
    }
}
