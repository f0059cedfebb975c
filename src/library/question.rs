//! Steps that wait for people and signals, and the answers to them.

use super::{Engine, Group, Result};
use crate::{
    model::{Answer, StepId, WaitKind},
    store::{
        read::{self, WaitingFilter},
        waiting::Signal,
    },
};
use serde_json::Value;

/// How many questions to read at a time.
const PAGE: usize = 1_000;

/// A step that waits for an approval.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Question {
    /// Its number; `s56` in the output of the command.
    pub step: StepId,
    /// The item of its run.
    pub item: String,
    /// The question.
    pub ask: String,
}

impl Group {
    /// The steps of this group that wait for an approval, in the order of the items.
    ///
    /// # Errors
    ///
    /// The database can't be read.
    pub fn questions(&self) -> Result<Vec<Question>> {
        let mut found = Vec::new();
        let mut after = None;
        loop {
            let filter = WaitingFilter { kind: Some(WaitKind::Approval), group: Some(self.id), after, limit: PAGE };
            let page = self.engine.store().read(|tx| read::waiting(tx, &filter))?;
            after = page.last().map(|it| it.wait.step);
            let last = page.len() < PAGE;
            found.extend(page.into_iter().map(|it| Question {
                step: it.wait.step,
                item: it.item,
                ask: it.wait.detail.ask,
            }));
            if last {
                return Ok(found);
            }
        }
    }

    /// Sends a signal to the steps of this group that wait for it, now or later. Returns false if the same signal had
    /// already been sent.
    ///
    /// # Errors
    ///
    /// The group has ended, none of its steps waits for a signal with this name, or the value is larger than 64 KiB.
    pub fn signal(&self, name: &str, value: Option<Value>, by: &str) -> Result<bool> {
        let engine = &self.engine;
        let (group, at) = (self.id, engine.store().now());
        let signal = Signal { group, run: None, name: name.to_string(), value, by: by.to_string(), at };
        Ok(engine.signal(signal)?.changed)
    }
}

impl Engine {
    /// Approves a step that waits for an approval. `value` becomes the value of the step. Returns false if the step had
    /// already got the same answer.
    ///
    /// # Errors
    ///
    /// The step does not wait for an approval, or has already got another answer.
    pub fn approve(&self, step: StepId, by: &str, value: Option<Value>) -> Result<bool> {
        let answer = Answer { approved: true, by: by.to_string(), at: None, value, reason: String::new() };
        Ok(self.inner.answer(step, answer)?.changed)
    }

    /// Rejects a step that waits for an approval. The step fails with the reason. Returns false if the step had already
    /// got the same answer.
    ///
    /// # Errors
    ///
    /// The step does not wait for an approval, has already got another answer, or `reason` is empty.
    pub fn reject(&self, step: StepId, by: &str, reason: &str) -> Result<bool> {
        let answer = Answer { approved: false, by: by.to_string(), at: None, value: None, reason: reason.to_string() };
        Ok(self.inner.answer(step, answer)?.changed)
    }
}
