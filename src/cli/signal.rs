use super::{
    approve::json, context::Context, failure::Result, locks::user_name, name::Name, submit::note_if_nobody_works,
    wording::count,
};
use crate::store::waiting::Signal;
use clap_complete::engine::ArgValueCompleter;
use serde_json::Value;

/// Send a signal to the steps of a group, or of one run, that wait for it
///
/// The signal is kept for steps that begin to wait for it later. Sending it again changes nothing; with another value,
/// it replaces the first value for the steps that have not received it yet.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// A group such as g12, or one run such as r34
    #[arg(value_name = "ID", add = ArgValueCompleter::new(super::complete::work))]
    id: Name,
    /// The name of the signal, as in `signal: NAME` of the workflow
    name: String,
    /// The value of the signal, as JSON; it becomes the value of the steps that waited
    #[arg(long, value_name = "JSON", value_parser = json)]
    value: Option<Value>,
    /// Who sends it [default: your user name]
    #[arg(long, value_name = "NAME")]
    by: Option<String>,
}

impl Args {
    pub fn run(self, cx: &Context) -> Result<()> {
        let engine = cx.engine()?;
        let (group, run) = match self.id {
            Name::Group(group) => (group, None),
            Name::Run(run) => (engine.group_of_run(run)?, Some(run)),
            other => return Err(other.refused("send a signal to", "name its group or its run")),
        };
        let by = self.by.unwrap_or_else(user_name);
        let signal = Signal { group, run, name: self.name, value: self.value, by, at: cx.now() };
        let sent = engine.signal(signal)?;
        if cx.output.json {
            return cx.output.document(&sent);
        }
        let (name, id) = (&sent.signal.name, self.id);
        let released = count(sent.released as u64, "step");
        let kept = "steps that come to wait for it later get it as well";
        cx.output.line(match (sent.changed, sent.replaced, sent.released) {
            (false, _, _) => format!("{id} already has `{name}`, from {}", sent.signal.by),
            (true, false, 0) => format!("{id} got `{name}`; no step waits for it yet, so it is kept"),
            (true, true, 0) => format!("{id} got `{name}` with another value, for steps that wait for it later"),
            (true, _, _) => format!("{id} got `{name}`: {released} continued; {kept}"),
        })?;
        if sent.released > 0 { note_if_nobody_works(cx) } else { Ok(()) }
    }
}
