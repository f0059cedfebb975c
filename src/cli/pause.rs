use super::{context::Context, failure::Result};
use crate::model::GroupId;
use clap_complete::engine::ArgValueCompleter;

/// Pause a group or a step type: running steps continue, no new ones start
#[derive(Debug, clap::Args)]
pub struct Args {
    /// A group such as g12, or a step type such as parse
    #[arg(add = ArgValueCompleter::new(super::complete::pausable))]
    target: String,
}

impl Args {
    pub fn run(self, cx: &Context) -> Result<()> {
        set(cx, &self.target, true)
    }
}

/// Pauses or resumes. A name like `g12` is a group; anything else is a step type.
pub fn set(cx: &Context, target: &str, paused: bool) -> Result<()> {
    let engine = cx.engine()?;
    let group = target.strip_prefix('g').filter(|it| it.parse::<i64>().is_ok()).and_then(|_| target.parse().ok());
    let changed = match (group, paused) {
        (Some(group), true) => engine.pause_group(group)?,
        (Some(group), false) => engine.resume_group(group)?,
        (None, _) => engine.pause_type(target, paused)?,
    };
    if cx.output.json {
        let group: Option<GroupId> = group;
        let kind = if group.is_some() { None } else { Some(target) };
        return cx.output.document(&serde_json::json!({
            "group": group, "type": kind, "paused": paused, "changed": changed,
        }));
    }
    cx.output.advice(match (paused, changed) {
        (true, true) => format!("{target} is paused; resume with `windlass resume {target}`"),
        (true, false) => format!("{target} is already paused"),
        (false, true) => format!("{target} resumed"),
        (false, false) => format!("{target} is not paused"),
    })
}
