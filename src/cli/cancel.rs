use super::{context::Context, failure::Result, name::Name, wording::count};
use crate::store::cancel::Cancelled;
use clap_complete::engine::ArgValueCompleter;

/// Cancel a group, a run or a step
///
/// Waiting steps are cancelled immediately. Running steps get a request to stop, then TERM, then KILL.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Such as g12, r34 or s56
    #[arg(value_name = "ID", add = ArgValueCompleter::new(super::complete::work))]
    id: Name,
}

impl Args {
    pub fn run(self, cx: &Context) -> Result<()> {
        let engine = cx.engine()?;
        let (did, said) = match self.id {
            Name::Group(id) => {
                let new = engine.cancel_group(id)?;
                let end = engine.group_end(id)?;
                let said = match (new, end) {
                    (true, Some(_)) => format!("{id} is cancelled"),
                    (true, None) => format!("{id} is being cancelled; its running steps will stop"),
                    (false, Some(end)) => format!("{id} has already ended: {}", end.status),
                    (false, None) => format!("{id} is already being cancelled"),
                };
                (serde_json::json!({"group": id, "cancelled": new, "ended": end.is_some()}), said)
            }
            Name::Run(id) => of_steps("run", self.id, engine.cancel_run(id)?),
            Name::Step(id) => of_steps("step", self.id, engine.cancel_step(id)?),
            Name::Worker(_) => return Err(self.id.refused("cancel", "stop a worker with Ctrl-C or SIGTERM")),
        };
        match cx.output.json {
            true => cx.output.document(&did),
            false => cx.output.line(said),
        }
    }
}

fn of_steps(kind: &str, id: Name, cancelled: Cancelled) -> (serde_json::Value, String) {
    let mut parts = Vec::new();
    if cancelled.out > 0 {
        parts.push(format!("{} cancelled", count(cancelled.out as u64, "step")));
    }
    if cancelled.cancel_requested > 0 {
        parts.push(format!("{} stopping", count(cancelled.cancel_requested as u64, "running step")));
    }
    if parts.is_empty() {
        parts.push("nothing left to cancel".to_string());
    }
    let did = serde_json::json!({kind: id.number(), "cancelled": cancelled.out, "asked": cancelled.cancel_requested});
    (did, format!("{id}: {}", parts.join(", ")))
}
