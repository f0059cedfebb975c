use super::{
    context::Context,
    failure::{Failure, Result},
    group_end::exit_of,
    submit::{What, plan, said},
    work::{self, PoolArgs},
};
use crate::{
    engine::{Needs, Submission, Submitted, check_needs},
    model::GroupId,
};
use clap_complete::engine::ArgValueCompleter;

/// Submit a workflow and run it here until it ends
///
/// Ctrl-C stops after the running steps; continue with `windlass run --resume GROUP`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    what: What,
    /// Continue an interrupted group
    #[arg(long, value_name = "GROUP", add = ArgValueCompleter::new(super::complete::open_groups), conflicts_with_all = ["file", "each", "items", "items_from", "chdir", "key", "dry_run"])]
    resume: Option<GroupId>,
    #[command(flatten)]
    pools: PoolArgs,
}

impl Args {
    pub fn run(self, cx: &Context) -> Result<()> {
        // Checked before the submission, so that a mistake in them submits nothing.
        self.pools.pools_for_all(cx.settings()?)?;
        let group = match self.resume {
            Some(group) => {
                check_needs(Needs::Work)?;
                resume(cx, group)?
            }
            None if !self.what.is_present() => {
                return Err(Failure::usage("nothing to run: give a workflow file, `--each CMD` or `--resume GROUP`")
                    .hint("for instance `windlass run --each 'echo {{ item }}' --items a b`"));
            }
            None => {
                let Some(submission) = self.what.submission(cx)? else {
                    return match cx.output.json {
                        true => event(cx, None, 0),
                        false => Ok(()),
                    };
                };
                if self.what.is_dry_run() {
                    return plan(cx, &submission);
                }
                // Checked before the submission, because work that can't run should not be submitted.
                check_needs(Needs::Work)?;
                match submit(cx, submission)? {
                    Submitted { gone: Some(status), .. } => return exit_of([status].into_iter()),
                    Submitted { skipped: true, .. } => return Ok(()),
                    submitted => submitted.group,
                }
            }
        };
        work::until_ended(cx, group, &self.pools)
    }
}

/// Submits the group for this process alone at first. If the key was used before, returns the group of that submission.
fn submit(cx: &Context, submission: Submission) -> Result<Submitted> {
    let runs = submission.items.len();
    let engine = cx.engine()?;
    let submitted = engine.submit(Submission { scoped: true, ..submission })?;
    if !submitted.new && submitted.gone.is_none() && !submitted.skipped {
        engine.adopt(submitted.group)?;
    }
    if cx.output.json {
        event(cx, Some(submitted), runs)?;
    }
    said(cx, submitted, runs);
    Ok(submitted)
}

/// The `--json` form of a submission. None: there was nothing to submit.
fn event(cx: &Context, made: Option<Submitted>, runs: usize) -> Result<()> {
    cx.output.event(&serde_json::json!({
        "event": "submitted", "group": made.map(|it| it.group), "new": made.is_some_and(|it| it.new), "runs": runs,
        "gone": made.and_then(|it| it.gone), "skipped": made.is_some_and(|it| it.skipped),
    }))
}

fn resume(cx: &Context, group: GroupId) -> Result<GroupId> {
    let engine = cx.engine()?;
    match engine.group_end(group)? {
        Some(end) => cx.output.note(format!("{group} has ended: {}", end.status)),
        None => engine.adopt(group)?,
    }
    Ok(group)
}
