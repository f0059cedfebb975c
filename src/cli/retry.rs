use super::{context::Context, failure::Result, name::Name, submit::workers, wording::count};
use crate::{model::GroupId, store::read};
use clap_complete::engine::ArgValueCompleter;

/// Retry the failed and cancelled steps of a group or a run, or one step
///
/// Retrying a step also retries the steps that were cancelled because of it. Completed steps stay completed. Attempts count
/// from 1 again.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Such as g12, r34 or s56
    #[arg(value_name = "ID", add = ArgValueCompleter::new(super::complete::work))]
    id: Name,
}

impl Args {
    pub fn run(self, cx: &Context) -> Result<()> {
        let engine = cx.engine()?;
        let (group, reopened, said) = match self.id {
            Name::Group(id) => {
                let reopened = engine.retry_group(id)?;
                (id, reopened, format!("{id} is open again"))
            }
            Name::Run(id) => {
                let steps = engine.retry_run(id)?;
                let group = engine.store().read(|tx| read::show_run(tx, id))?.run.group;
                (group, steps > 0, format!("{id}: {} will run again", count(steps as u64, "step")))
            }
            Name::Step(id) => {
                let steps = engine.retry_step(id)?;
                let group = engine.store().read(|tx| read::show_step(tx, id))?.group;
                (group, steps > 0, format!("{id}: {} will run again", count(steps as u64, "step")))
            }
            Name::Worker(_) => return Err(self.id.refused("retry", "retry a group, a run or a step")),
        };
        tell(cx, group, reopened, said)
    }
}

fn tell(cx: &Context, group: GroupId, reopened: bool, said: String) -> Result<()> {
    if cx.output.json {
        return cx.output.document(&serde_json::json!({"group": group, "reopened": reopened}));
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
