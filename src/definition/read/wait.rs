//! Reads a step that waits for a person, a time or a signal.

use super::{Reader, scope::Scope};
use crate::{
    definition::{
        condition::Formula,
        error::Result,
        expression::Expression,
        recurrence::moment,
        template::Template,
        wait::{Time, Wait, WaitLimit},
        yaml::{Fields, Node, Value},
    },
    model::{Millis, Otherwise},
};

/// The keys that make a step wait.
pub(super) const WAITS: [&str; 4] = ["approve", "wait", "wait_until", "signal"];
/// The other keys that such a step may have.
const BESIDE: &[&str] = &["name", "needs", "type", "when", "after", "allow_failure"];

impl Reader<'_> {
    /// What a step waits for. None if it has none of the keys.
    pub(super) fn wait(&self, fields: &Fields<'_>, scope: Scope<'_>) -> Result<Option<Wait>> {
        let mut written = WAITS.iter().filter_map(|key| Some((*key, fields.get(key)?)));
        let Some((key, node)) = written.next() else { return Ok(None) };
        for other in super::STEP.iter().filter(|it| **it != key && !BESIDE.contains(it)) {
            if let Some(at) = fields.get_or_null(other) {
                let message = format!("`{other}` does not work with `{key}`: the step runs nothing");
                return Err(self.source.refuse(at.line, message, Some("put the rest into a step of its own")));
            }
        }
        let wait = match key {
            "approve" => self.approve(node, scope)?,
            "wait" => self.wait_for(node, scope)?,
            "wait_until" => Wait::Until(self.wait_until(node, scope)?),
            _ => self.signal(node)?,
        };
        // Such a step has no directory, and no input files are prepared for it.
        let is_file = |it: &&Expression| matches!(it, Expression::Out | Expression::InputDir(_));
        let file = wait.template().and_then(|it: &Template| it.expressions().find(is_file).map(|it| it.to_string()));
        match file {
            Some(it) => {
                let hint = "use `item`, `params` and `inputs.STEP.value`";
                Err(self.source.refuse(node.line, format!("`{key}`: `{it}` has no value here"), Some(hint)))
            }
            None => Ok(Some(wait)),
        }
    }

    fn approve(&self, node: &Node, scope: Scope<'_>) -> Result<Wait> {
        let hint = Some("write `approve: { ask: \"Publish it?\" }`");
        let (ask, limit) = match &node.value {
            Value::Map(_) => {
                let fields = self.source.fields(node, "`approve`", &["ask", "within", "otherwise"])?;
                let ask =
                    fields.get("ask").ok_or_else(|| self.source.refuse(node.line, "`approve` has no `ask`", hint))?;
                (ask, self.wait_limit(&fields, ["approve", "reject"])?)
            }
            _ => (node, WaitLimit::default()),
        };
        let ask = self.template(ask, "ask", scope)?;
        match ask.source().trim().is_empty() {
            true => Err(self.source.refuse(node.line, "`ask` is empty: say what is to be approved", hint)),
            false => Ok(Wait::Approve { ask, limit }),
        }
    }

    fn wait_for(&self, node: &Node, scope: Scope<'_>) -> Result<Wait> {
        let template = self.template(node, "wait", scope)?;
        if template.expressions().next().is_none() {
            self.source.unit::<Millis>(node, "wait")?;
        }
        Ok(Wait::For(template))
    }

    fn wait_until(&self, node: &Node, scope: Scope<'_>) -> Result<Time> {
        let text = self.source.text(node, "wait_until")?;
        if text.contains("{{") || moment(&text).is_some() {
            return Ok(Time::Text(self.template(node, "wait_until", scope)?));
        }
        let read = Formula::parse(&text).and_then(|it| it.check_text(scope.needs).map(|()| it));
        let formula = read.map_err(|(message, hint)| {
            let usual = "write a time such as `2026-12-24T08:00`, a template, or an expression such as `item.at`";
            self.source.refuse(node.line, format!("`wait_until`: {message}"), Some(hint.as_deref().unwrap_or(usual)))
        })?;
        Ok(Time::Formula(formula))
    }

    fn signal(&self, node: &Node) -> Result<Wait> {
        let (name, limit) = match &node.value {
            Value::Map(_) => {
                let fields = self.source.fields(node, "`signal`", &["name", "within", "otherwise"])?;
                let hint = Some("write `signal: { name: uploaded }`");
                let name =
                    fields.get("name").ok_or_else(|| self.source.refuse(node.line, "`signal` has no `name`", hint))?;
                (name, self.wait_limit(&fields, ["continue", "fail"])?)
            }
            _ => (node, WaitLimit::default()),
        };
        Ok(Wait::Signal { name: self.source.name(name, "signal")?, limit })
    }

    /// `words`: the key for a step that completes when the time is up, and the key for one that fails.
    fn wait_limit(&self, fields: &Fields<'_>, words: [&str; 2]) -> Result<WaitLimit> {
        let within = fields.get("within").map(|it| self.source.unit::<Millis>(it, "within")).transpose()?;
        if let (Some(Millis(0)), Some(node)) = (within, fields.get("within")) {
            let hint = Some("remove `within` to wait without a limit");
            return Err(self.source.refuse(node.line, "a `within` of 0 leaves no time for an answer", hint));
        }
        let Some(node) = fields.get("otherwise") else {
            return Ok(WaitLimit { within, otherwise: Otherwise::Fail });
        };
        if within.is_none() {
            let hint = Some("add `within: 7d`, after which it counts");
            return Err(self.source.refuse(node.line, "`otherwise` without `within` never comes", hint));
        }
        let word = self.source.text(node, "otherwise")?;
        let otherwise = match words.iter().position(|it| *it == word) {
            Some(0) => Otherwise::Complete,
            Some(_) => Otherwise::Fail,
            None => {
                let hint = format!("write `{}` or `{}`", words[1], words[0]);
                let message = format!("unknown value `{word}` of `otherwise`");
                return Err(self.source.refuse(node.line, message, Some(&hint)));
            }
        };
        Ok(WaitLimit { within, otherwise })
    }
}
