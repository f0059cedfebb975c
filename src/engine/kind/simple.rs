//! Kinds for tests, measurements and pauses.

use crate::{
    engine::step_kind::{StepContext, StepKind, StepResult},
    model::{Millis, Outcome},
};

/// Does nothing.
pub(super) struct Noop;

impl StepKind for Noop {
    fn run(&self, _cx: &StepContext) -> StepResult {
        StepResult::succeeded(None)
    }
}

/// Waits for `with: { for: 2s }`; one second by default.
pub(super) struct Sleep;

impl StepKind for Sleep {
    fn run(&self, cx: &StepContext) -> StepResult {
        let time = match cx.input.with.get("for").map(|it| it.as_str().unwrap_or_default().parse::<Millis>()) {
            None => Millis::seconds(1),
            Some(Ok(time)) => time,
            Some(Err(error)) => {
                return StepResult::permanent("with", format!("`with: for` of windlass/sleep: {error}"));
            }
        };
        match cx.cancel.wait(time.duration()) {
            None => StepResult::succeeded(None),
            Some(_) => StepResult::ended(Outcome::Cancelled),
        }
    }
}

/// Fails with `with: { message: ..., retryable: true }`. With `mode: abort` it takes its process down, as a crash in a
/// library would, to show what happens to such a step.
pub(super) struct Fail;

impl StepKind for Fail {
    fn run(&self, cx: &StepContext) -> StepResult {
        if cx.input.with.get("mode").and_then(|it| it.as_str()) == Some("abort") {
            std::process::abort();
        }
        let message = cx.input.with.get("message").and_then(|it| it.as_str()).unwrap_or("failed as asked");
        match cx.input.with.get("retryable").and_then(|it| it.as_bool()).unwrap_or(false) {
            true => StepResult::retryable("asked", message),
            false => StepResult::permanent("asked", message),
        }
    }
}
