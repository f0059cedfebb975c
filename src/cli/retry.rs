use super::{
    context::Context,
    failure::{Failure, Result},
    name::Name,
    submit::{read_workflow, workers},
    wording::{count, quoted},
};
use crate::{
    engine::{Engine, Retry},
    model::{DefinitionId, GroupId},
    store::{
        definition, group,
        read::{self, GroupFilter},
        step,
    },
};
use clap_complete::engine::ArgValueCompleter;
use std::path::{Path, PathBuf};

/// Retry the failed and cancelled steps of a group or a run, or one step
///
/// Retrying a step also retries the steps that were cancelled because of it. Completed steps stay completed. Attempts count
/// from 1 again.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Such as g12, r34 or s56
    #[arg(value_name = "ID", add = ArgValueCompleter::new(super::complete::work))]
    id: Name,
    /// Continue with this repaired workflow; step names, needs and types must be unchanged
    #[arg(long, value_name = "FILE")]
    with: Option<PathBuf>,
    /// Rerun a finished run, or every finished run of a group, from this step onward
    #[arg(long, value_name = "STEP")]
    from: Option<String>,
}

impl Args {
    pub fn run(self, cx: &Context) -> Result<()> {
        let definition = self.with.as_deref().map(|file| read_workflow(cx, file)).transpose()?.map(|it| it.0);
        let engine = cx.engine()?;
        let (group, used) = self.subject(engine)?;
        let changed = match (used, &self.with) {
            (Some(used), None) => changed_file(cx, engine, group, used)?,
            _ => None,
        };
        let how = Retry { definition, from: self.from };
        let (reopened, said) = match self.id {
            Name::Group(id) => (engine.retry_group_as(id, &how)?, format!("{id} is open again")),
            Name::Run(id) => {
                let steps = engine.retry_run_as(id, &how)?;
                (steps > 0, format!("{id}: {} will run again", count(steps as u64, "step")))
            }
            Name::Step(id) => {
                let steps = engine.retry_step_as(id, &how)?;
                (steps > 0, format!("{id}: {} will run again", count(steps as u64, "step")))
            }
            Name::Worker(_) => return Err(self.id.refused("retry", "retry a group, a run or a step")),
        };
        if !reopened && !cx.output.json && !matches!(self.id, Name::Group(_)) {
            return nothing(cx, self.id, group);
        }
        tell(cx, group, reopened, said, changed)
    }

    /// The group of the id, and its definition. None if the id does not exist; the retry then reports it.
    fn subject(&self, engine: &Engine) -> Result<(GroupId, Option<DefinitionId>)> {
        let store = engine.store();
        let (group, run) = match self.id {
            Name::Group(id) => {
                let detail = store.read(|tx| group::detail(tx, id))?;
                return Ok((id, Some(detail.definition)));
            }
            Name::Run(id) => (store.read(|tx| crate::store::run::group_of(tx, id))?, Some(id)),
            Name::Step(_) if self.from.is_some() => {
                return Err(Failure::usage("`--from` runs a whole run again: name the run or its group"));
            }
            Name::Step(id) => {
                let owners = store.read(|tx| step::owners(tx, id))?;
                (owners.map(|it| it.0), owners.map(|it| it.1))
            }
            Name::Worker(_) => (None, None),
        };
        let used = run.map(|run| store.read(|tx| definition::of_run(tx, run))).transpose()?;
        Ok((group.unwrap_or(GroupId(0)), used.and_then(|it| it.first().copied())))
    }
}

/// The workflow file, if it has changed since the submission. A file that can't be read from here counts as unchanged.
fn changed_file(cx: &Context, engine: &Engine, group: GroupId, used: DefinitionId) -> Result<Option<String>> {
    let read = |file: &Path| read_workflow(cx, file).ok().map(|it| it.0);
    let file = engine.changed_file(group, used, read)?;
    let here = cx.here()?;
    Ok(file.map(|it| it.strip_prefix(&here).unwrap_or(&it).to_string_lossy().into_owned()))
}

/// Explains that the run or step did not fail and was not cancelled. Failures elsewhere in its group have their own
/// command.
fn nothing(cx: &Context, id: Name, group: GroupId) -> Result<()> {
    let store = cx.store()?;
    let status = match id {
        Name::Run(run) => store.read(|tx| read::show_run(tx, run))?.run.status,
        Name::Step(step) => store.read(|tx| read::show_step(tx, step))?.step.status,
        Name::Group(_) | Name::Worker(_) => return Ok(()),
    };
    cx.output.line(format!("{id} is {}: there is nothing to retry in it", status.name().to_lowercase()))?;
    let filter = GroupFilter { before: Some(GroupId(group.0 + 1)), limit: 1, ..GroupFilter::default() };
    let rows = store.read(|tx| read::groups(tx, &filter))?;
    if rows.iter().any(|it| it.id == group && (it.failed > 0 || it.cancelled > 0)) {
        cx.output.note(format!("retry what failed in {group}: `windlass retry {group}`"));
    }
    Ok(())
}

fn tell(cx: &Context, group: GroupId, reopened: bool, said: String, changed: Option<String>) -> Result<()> {
    if cx.output.json {
        let done = serde_json::json!({"group": group, "reopened": reopened, "changed_file": changed});
        return cx.output.document(&done);
    }
    if let Some(file) = changed {
        let with = quoted(&file);
        cx.output.note(format!("{file} changed since {group} was submitted: retry with `--with {with}` to use it"));
    }
    if !reopened {
        return cx.output.line(format!("nothing in {group} failed or was cancelled"));
    }
    cx.output.line(said)?;
    if workers(cx)? == 0 {
        cx.output.note(format!("no worker is running: run it with `windlass run --resume {group}`"));
    }
    Ok(())
}
