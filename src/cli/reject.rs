use super::{
    approve::{answer, step_of},
    context::Context,
    failure::Result,
    locks::user_name,
    name::Name,
};
use crate::model::Answer;
use clap_complete::engine::ArgValueCompleter;

/// Reject a step that waits for an approval
///
/// The step fails with the reason, like any other failed step: `windlass retry` asks again.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Such as s56; `windlass list waiting` shows what waits
    #[arg(value_name = "STEP", add = ArgValueCompleter::new(super::complete::approvals))]
    id: Name,
    /// Why
    #[arg(long, value_name = "TEXT")]
    reason: String,
    /// Who rejects it [default: your user name]
    #[arg(long, value_name = "NAME")]
    by: Option<String>,
}

impl Args {
    pub fn run(self, cx: &Context) -> Result<()> {
        let step = step_of(self.id, "reject")?;
        let by = self.by.unwrap_or_else(user_name);
        answer(cx, step, Answer { approved: false, by, at: None, value: None, reason: self.reason })
    }
}
