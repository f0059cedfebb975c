use super::{context::Context, failure::Result, locks::user_name, name::Name, submit::note_if_nobody_works};
use crate::{
    model::{Answer, StepId},
    store::answer::Answered,
};
use clap_complete::engine::ArgValueCompleter;
use serde_json::Value;

/// Approve a step that waits for an approval
///
/// The step completes, and the steps that need it start. The first answer counts; repeating it changes nothing.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Such as s56; `windlass list waiting` shows what waits
    #[arg(value_name = "STEP", add = ArgValueCompleter::new(super::complete::approvals))]
    id: Name,
    /// The value of the step, as JSON [default: who approved it and when]
    #[arg(long, value_name = "JSON", value_parser = json)]
    value: Option<Value>,
    /// A reason to record with the approval
    #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true)]
    reason: String,
    /// Who approves it [default: your user name]
    #[arg(long, value_name = "NAME")]
    by: Option<String>,
}

impl Args {
    pub fn run(self, cx: &Context) -> Result<()> {
        let step = step_of(self.id, "approve")?;
        let by = self.by.unwrap_or_else(user_name);
        answer(cx, step, Answer { approved: true, by, at: None, value: self.value, reason: self.reason })
    }
}

/// Sends the answer to the engine, and prints the result.
pub fn answer(cx: &Context, step: StepId, answer: Answer) -> Result<()> {
    let answered = cx.engine()?.answer(step, answer)?;
    if cx.output.json {
        return cx.output.document(&answered);
    }
    let Answered { run, changed, answer, .. } = &answered;
    let verb = if answer.approved { "approved" } else { "rejected" };
    cx.output.line(match (changed, answer.approved) {
        (true, true) => format!("{step} is approved; {run} continues"),
        (true, false) => format!("{step} is rejected: {}", answer.reason),
        (false, _) => format!("{step} was already {verb} by {}", answer.by),
    })?;
    if *changed { note_if_nobody_works(cx) } else { Ok(()) }
}

/// The step to answer.
pub fn step_of(id: Name, verb: &str) -> Result<StepId> {
    match id {
        Name::Step(step) => Ok(step),
        other => Err(other.refused(verb, "name one of its steps; `windlass list waiting` shows them")),
    }
}

/// Parses a JSON value from the command line.
pub fn json(text: &str) -> std::result::Result<Value, String> {
    serde_json::from_str(text).map_err(|_| format!("`{text}` is not JSON; a text needs its quotes: '\"{text}\"'"))
}
