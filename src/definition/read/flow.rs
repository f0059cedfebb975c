//! When a step runs: its condition, and its behaviour after a failure or on cancellation.

use super::Reader;
use crate::{
    definition::{
        condition::Condition,
        error::Result,
        workflow::StepDefinition,
        yaml::{Fields, Node},
    },
    model::After,
};

impl Reader<'_> {
    /// `when`, `after`, `allow_failure` and `on_cancel`. `needed` has the names of the steps that it needs.
    pub(super) fn flow(&self, fields: &Fields<'_>, step: &mut StepDefinition, needed: &[&str]) -> Result<()> {
        if let Some(node) = fields.get("when") {
            step.when = Some(self.condition(node, needed)?);
        }
        if let Some(node) = fields.get("after") {
            step.after = self.after(node, step)?;
        }
        if let Some(node) = fields.get("allow_failure") {
            step.allow_failure = self.source.bool(node, "allow_failure")?;
        }
        if let Some(node) = fields.get("on_cancel") {
            step.on_cancel_run = self.on_cancel(node, step)?;
        }
        Ok(())
    }

    fn condition(&self, node: &Node, needed: &[&str]) -> Result<Condition> {
        let text = self.source.text(node, "when")?;
        let read = Condition::parse(&text).and_then(|it| it.check(needed).map(|()| it));
        read.map_err(|(message, hint)| self.source.refuse(node.line, format!("`when`: {message}"), hint.as_deref()))
    }

    fn after(&self, node: &Node, step: &StepDefinition) -> Result<After> {
        let text = self.source.text(node, "after")?;
        let after = match text.as_str() {
            "success" => return Ok(After::Success),
            "failure" => After::Failure,
            "always" => After::Always,
            other => {
                let hint = "write `success`, `failure` or `always`";
                return Err(self.source.refuse(node.line, format!("unknown value `{other}` of `after`"), Some(hint)));
            }
        };
        if step.needs.is_empty() {
            let message = format!("`after: {text}` in a step that needs no other");
            return Err(self.source.refuse(node.line, message, Some("list the steps that it follows in `needs`")));
        }
        Ok(after)
    }

    fn on_cancel(&self, node: &Node, step: &StepDefinition) -> Result<bool> {
        let (message, hint) = match self.source.text(node, "on_cancel")?.as_str() {
            "cancel" => return Ok(false),
            "run" if step.after == After::Success => (
                "`on_cancel: run` in a step that follows success".to_string(),
                "add `after: always` or `after: failure`",
            ),
            "run" => return Ok(true),
            other => (format!("unknown value `{other}` of `on_cancel`"), "write `run` or `cancel`"),
        };
        Err(self.source.refuse(node.line, message, Some(hint)))
    }
}
