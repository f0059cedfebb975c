//! `for_each:` and `workflow:` of a step, and `collect:` of a workflow.

use super::{Draft, Reader};
use crate::{
    definition::{
        children::Each,
        error::Result,
        workflow::{Action, Children, Definition, StepDefinition, WorkerDefinition},
        yaml::{Fields, Node, Value},
    },
    model::Tolerate,
};
use std::collections::BTreeMap;

/// Keys that describe a single run. They belong to the steps of the other workflow.
const OF_A_RUN: &[&str] = &[
    "handler",
    "resource_key",
    "retries",
    "backoff",
    "timeout",
    "max_crashes",
    "env",
    "permanent_exits",
    "cache",
    "cache_files",
    "limits",
    "unit",
    "background",
    "value",
];

impl Draft<'_> {
    /// Whether it starts runs of its own.
    pub(super) fn has_children(&self) -> bool {
        self.fields.get("for_each").is_some() || self.fields.get("workflow").is_some()
    }
}

impl Reader<'_> {
    /// The action of a step with `workflow:`.
    pub(super) fn sub_workflow(&self, name: &str, fields: &Fields<'_>, node: &Node) -> Result<Action> {
        if let Some(other) = ["run", "uses", "worker"].into_iter().find_map(|it| fields.get(it).map(|_| it)) {
            let message = format!("step `{name}` has both `workflow` and `{other}`");
            return Err(self.source.refuse(node.line, message, Some("keep one of them")));
        }
        for key in OF_A_RUN {
            if let Some(node) = fields.get(key) {
                let hint = "write it at the steps of that workflow";
                let message = format!("`{key}` has no effect beside `workflow`");
                return Err(self.source.refuse(node.line, message, Some(hint)));
            }
        }
        let workflow = self.inner_workflow(node, name)?;
        if workflow.concurrency.is_some() {
            let hint =
                "move `concurrency` to the outermost workflow: this one could wait for the workflow that it is part of";
            let message = format!("the workflow `{}` has `concurrency`, so it can't be a part of another", workflow.id);
            return Err(self.source.refuse(node.line, message, Some(hint)));
        }
        let children = Children { each: None, workflow, inline: false, at_most: None, tolerate: Tolerate::default() };
        Ok(Action::Children(Box::new(children)))
    }

    /// Reads `for_each`, `at_most` and `tolerate`. A step that defines the action for each element itself is converted:
    /// it starts runs of a workflow with that one step.
    pub(super) fn for_each(
        &self,
        fields: &Fields<'_>,
        step: StepDefinition,
        needed: &[&str],
        workers: &BTreeMap<String, WorkerDefinition>,
    ) -> Result<StepDefinition> {
        let Some(node) = fields.get("for_each") else {
            for key in ["at_most", "tolerate"] {
                if let Some(node) = fields.get(key) {
                    let message = format!("`{key}` works only with `for_each`");
                    return Err(self.source.refuse(node.line, message, None));
                }
            }
            return Ok(step);
        };
        let each = self.each(node, needed)?;
        let at_most = fields.get("at_most").map(|it| self.at_most(it)).transpose()?;
        let tolerate = fields.get("tolerate").map(|it| self.source.unit(it, "tolerate")).transpose()?;
        let (inline, workflow) = match step.action {
            Action::Children(children) => (false, children.workflow),
            _ => {
                self.check_depth(node.line, &step.name)?;
                self.count_steps(node.line, 1)?;
                (true, self.inline(&step, workers)?)
            }
        };
        let tolerate = tolerate.unwrap_or_default();
        let children = Children { each: Some(each), workflow, inline, at_most, tolerate };
        let StepDefinition { name, needs, step_type, when, after, allow_failure, on_cancel_run, with, .. } = step;
        let outer = StepDefinition::new(&name, Action::Children(Box::new(children)));
        let with = if inline { serde_json::Value::Null } else { with };
        Ok(StepDefinition { needs, step_type, when, after, allow_failure, on_cancel_run, with, ..outer })
    }

    /// The workflow of one step that runs for each element.
    fn inline(&self, step: &StepDefinition, workers: &BTreeMap<String, WorkerDefinition>) -> Result<Definition> {
        let inner = StepDefinition { needs: Vec::new(), ..StepDefinition::clone(step) }.without_flow();
        let used = match &inner.action {
            Action::Worker { worker, .. } => workers.get_key_value(worker),
            _ => None,
        };
        let workers = used.map(|(name, it)| (name.clone(), it.clone())).into_iter().collect();
        let id = format!("{}.{}", self.id, step.name);
        Definition::new(id.clone(), id, vec![inner], BTreeMap::new(), workers)
    }

    /// The steps of `collect:`, as a workflow of their own.
    pub(super) fn collect(&self, node: &Node, workers: &BTreeMap<String, WorkerDefinition>) -> Result<Box<Definition>> {
        let reader = Reader { id: self.id.clone(), collects: true, ..*self };
        let steps = reader.steps(node, workers)?;
        let is_used = |name: &String| {
            steps.iter().any(|it| matches!(&it.action, Action::Worker { worker, .. } if worker == name))
        };
        let used: BTreeMap<_, _> =
            workers.iter().filter(|it| is_used(it.0)).map(|(name, it)| (name.clone(), it.clone())).collect();
        let id = format!("{}.collect", self.id);
        let mut collect = Definition::new(id.clone(), id, steps, BTreeMap::new(), used)?;
        collect.collects = true;
        Ok(Box::new(collect))
    }

    fn each(&self, node: &Node, needed: &[&str]) -> Result<Each> {
        if let Value::List(_) = &node.value {
            let list = node.json();
            let hint = format!("write it as a text: `for_each: '{list}'`");
            return Err(self.source.refuse(node.line, "`for_each` must be an expression", Some(&hint)));
        }
        let text = self.source.text(node, "for_each")?;
        let read = Each::parse(&text).and_then(|it| it.check(needed).map(|()| it));
        read.map_err(|(message, hint)| self.source.refuse(node.line, format!("`for_each`: {message}"), hint.as_deref()))
    }

    fn at_most(&self, node: &Node) -> Result<u32> {
        match self.source.count(node, "at_most", 1_000_000)? {
            0 => Err(self.source.refuse(node.line, "with `at_most: 0` nothing would ever run", None)),
            most => Ok(most as u32),
        }
    }
}
