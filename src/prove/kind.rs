//! The step kind of drills. It logs its start and end in the side log, waits a little, leaves an artifact, and fails if
//! its item says so.

use super::{
    log::{HandlerEnd, Log, Record},
    workload::Item,
};
use crate::{
    artifact,
    engine::{StepContext, StepKind, StepResult},
    model::Outcome,
    os::clock::precise_now,
};
use std::{io, time::Duration};

/// How long a hook works.
const HOOK: Duration = Duration::from_millis(4);

pub struct Handler {
    pub log: Log,
    pub process: u32,
}

impl Handler {
    pub const NAME: &'static str = "windlass/prove";
}

impl StepKind for Handler {
    fn run(&self, cx: &StepContext) -> StepResult {
        let done = match cx.input.with.get("hook").and_then(|it| it.as_str()) {
            Some(event) => self.hook(cx, event),
            None => self.step(cx),
        };
        // The log could not be written, so nothing was promised: release the attempt.
        done.unwrap_or_else(|error| StepResult::ended(Outcome::Interrupted { reason: error.to_string() }))
    }

    /// It writes to the side log of its process.
    fn can_run_in_child(&self) -> bool {
        false
    }
}

impl Handler {
    fn hook(&self, cx: &StepContext, event: &str) -> io::Result<StepResult> {
        let input = cx.input;
        let step = Some(input.step).filter(|it| it.0 > 0);
        let (event, token) = (event.to_string(), input.token);
        cx.cancel.wait(HOOK);
        self.log.write(&Record::Hook { group: input.group, step, event, token, at: precise_now() })?;
        Ok(StepResult::succeeded(None))
    }

    fn step(&self, cx: &StepContext) -> io::Result<StepResult> {
        let input = cx.input;
        let (step, token) = (input.step, input.token);
        let item: Item = serde_json::from_value(input.item.clone())?;
        let flag = |name: &str| cx.input.with.get(name).is_some_and(|it| it.as_bool() == Some(true));
        if let Some(what) = bad_input(cx, &item) {
            self.log.write(&Record::BadInput { step, token, what: what.clone() })?;
            return Ok(StepResult::permanent("bad_input", what));
        }
        let key = cx.step.resource_key.is_some().then(|| item.key.clone());
        let (process, group, run) = (self.process, input.group, input.run);
        self.log.write(&Record::Start { process, group, run, step, token, key, at: precise_now() })?;
        let end = |end| self.log.write(&Record::End { step, token, end, at: precise_now() });
        if cx.cancel.wait(Duration::from_micros(item.sleep)).is_some() {
            end(HandlerEnd::Stopped)?;
            return Ok(StepResult::ended(Outcome::Cancelled));
        }
        if flag("doomed") && item.doomed {
            end(HandlerEnd::Failed)?;
            return Ok(StepResult::permanent("doomed", "its item says so"));
        }
        if flag("flaky") && input.attempt <= item.fail {
            end(HandlerEnd::Failed)?;
            return Ok(StepResult::retryable("flaky", "its item says so"));
        }
        let value = serde_json::json!({"step": step, "token": token});
        let mut result = StepResult::succeeded(Some(value));
        if flag("file") {
            match cx.artifacts.put_bytes(&item.content(&cx.step.name), "prove") {
                Ok(put) => {
                    result.files.push(("file".into(), put.artifact));
                    result.guards.push(put.guard);
                }
                Err(error) => {
                    end(HandlerEnd::Stopped)?;
                    return Err(io::Error::other(error.to_string()));
                }
            }
        }
        end(HandlerEnd::Done)?;
        Ok(result)
    }
}

/// The problem with the artifacts of the earlier steps, if any.
fn bad_input(cx: &StepContext, item: &Item) -> Option<String> {
    for (name, output) in &cx.input.inputs {
        for (_, file) in &output.files {
            match cx.artifacts.get_bytes(file) {
                Ok(bytes) if bytes == item.content(name) => {}
                Ok(_) => return Some(format!("the file of `{name}` is another one")),
                // An unreadable disk is not damage, and not what this drill tests.
                Err(artifact::Error::Io { .. }) => {}
                Err(error) => return Some(format!("the file of `{name}`: {error}")),
            }
        }
    }
    None
}
