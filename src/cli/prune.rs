use super::{
    context::Context,
    failure::{Exit, Failure, Result},
    table::{Cell, Table},
    wording::{count, number_of, size},
};
use crate::{
    engine::{Prune, Pruned},
    model::{GroupId, Millis, Timestamp},
    os::signals::Signals,
    store::prune::{Outputs, Prunable},
};
use clap_complete::engine::ArgValueCompleter;
use std::cell::Cell as StdCell;

/// Remove old groups with their runs, logs and history
///
/// `windlass worker` does so automatically once an hour. Files that commands left in their output directory stay (see
/// `windlass show STEP --file`), and so do the intermediate results of current documents, unless `--outputs` is given.
/// Keys of `--key` are kept for ever.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Remove groups that ended longer ago than this, such as 7d [default: the setting `keep`]
    #[arg(long, value_name = "TIME", conflicts_with = "group")]
    keep: Option<Millis>,
    /// Only this group, whenever it ended; can be repeated
    #[arg(long, value_name = "GROUP", add = ArgValueCompleter::new(super::complete::groups))]
    group: Vec<GroupId>,
    /// Also remove the files of commands and the intermediate results of current documents
    #[arg(long)]
    outputs: bool,
    /// Show what would be removed
    #[arg(long)]
    dry_run: bool,
}

/// The most groups that a dry run lists.
const LISTED: usize = 1_000;

impl Args {
    pub fn run(self, cx: &Context) -> Result<()> {
        let keep = self.keep.unwrap_or(cx.settings()?.keep);
        let before = Timestamp(cx.now().0.saturating_sub_unsigned(keep.0));
        let outputs = if self.outputs { Outputs::Remove } else { Outputs::Keep };
        let what = Prune { before, groups: self.group, outputs };
        let engine = cx.engine()?;
        if self.dry_run {
            return show(cx, &engine.prunable(&what, LISTED)?);
        }
        let signals = Signals::install()?;
        let stopped = StdCell::new(false);
        let go_on = || {
            stopped.set(stopped.get() || signals.stop_requested());
            !stopped.get()
        };
        let pruned = engine.prune(&what, &go_on)?;
        tell(cx, &pruned)?;
        match signals.stop_signal() {
            Some(signal) if pruned.stopped => Err(stopped_by(signal)),
            _ => Ok(()),
        }
    }
}

fn stopped_by(signal: i32) -> Failure {
    let exit = if signal == libc::SIGINT { Exit::Interrupted } else { Exit::Terminated };
    Failure::new(exit, "stopped before everything was pruned").hint("run `windlass prune` again to continue")
}

fn show(cx: &Context, groups: &[Prunable]) -> Result<()> {
    let (runs, steps) = groups.iter().fold((0, 0), |sum, it| (sum.0 + it.runs, sum.1 + it.steps));
    if cx.output.json {
        let sum = serde_json::json!({"groups": groups, "runs": runs, "steps": steps});
        return cx.output.document(&sum);
    }
    if groups.is_empty() {
        cx.output.note("nothing is old enough to prune");
        return Ok(());
    }
    let mut table = Table::new(&["GROUP", "STATUS", ">RUNS", ">STEPS", "ENDED", "~NAME"]);
    for it in groups {
        table.row([
            it.id.to_string().into(),
            Cell::status(it.status),
            number_of(it.runs.max(0) as u64).into(),
            number_of(it.steps.max(0) as u64).into(),
            cx.when(it.ended).into(),
            it.name.as_str().into(),
        ]);
    }
    cx.output.table(&table)?;
    let all = count(groups.len() as u64, "group");
    cx.output.note(format!("{all} with {} would be removed; nothing was", count(steps.max(0) as u64, "step")));
    Ok(())
}

fn tell(cx: &Context, pruned: &Pruned) -> Result<()> {
    if cx.output.json {
        return cx.output.document(pruned);
    }
    let out = &cx.output;
    out.line(format!(
        "removed {} with {} and {}",
        count(pruned.groups, "group"),
        count(pruned.removed.runs, "run"),
        count(pruned.removed.steps, "step")
    ))?;
    if pruned.files > 0 {
        out.line(format!("removed {} ({})", count(pruned.files, "artifact"), size(pruned.file_bytes)))?;
    }
    if pruned.removed.kept > 0 {
        out.line(format!("kept the files of {}; remove them with `--outputs`", count(pruned.removed.kept, "step")))?;
    }
    let (before, after) = (pruned.bytes_before.max(0) as u64, pruned.bytes_after.max(0) as u64);
    if after < before {
        out.line(format!("the database shrank from {} to {}", size(before), size(after)))?;
    }
    if pruned.files_locked {
        out.note("the artifacts are locked by a backup or another prune: the next prune removes their files");
    }
    Ok(())
}
