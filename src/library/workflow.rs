//! Workflows in Rust or YAML, and submissions of them.

use super::Result;
use crate::{
    definition::{self, Definition, KnownKinds},
    engine,
    model::Concurrency,
};
use serde_json::{Map, Value, json};
use std::{path::PathBuf, time::Duration};

/// What is done with each item: steps, which may need each other.
///
/// It is checked when it is submitted: the kinds that it names are those of the engine.
#[derive(Debug, Clone)]
pub struct Workflow {
    text: String,
    source: String,
}

impl Workflow {
    /// A workflow in YAML, as `docs/workflows.md` describes it. `source` names it in messages: its file, for example.
    pub fn from_yaml(text: impl Into<String>, source: impl Into<String>) -> Workflow {
        Workflow { text: text.into(), source: source.into() }
    }

    /// A workflow of steps that are added one by one.
    pub fn builder(id: &str) -> WorkflowBuilder {
        WorkflowBuilder { fields: Map::from_iter([("id".to_string(), id.into())]), steps: Vec::new() }
    }

    pub(super) fn parse(&self, engine: &engine::Engine) -> Result<Definition> {
        let kinds = KnownKinds::new(engine.kinds().names());
        Ok(definition::parse(&self.text, &self.source, &kinds)?)
    }
}

/// Builds a [`Workflow`]. Every key of `docs/workflows.md` can be set; the commonest have functions of their own.
#[derive(Debug, Clone)]
pub struct WorkflowBuilder {
    fields: Map<String, Value>,
    steps: Vec<Step>,
}

impl WorkflowBuilder {
    /// A name for people.
    pub fn name(self, name: &str) -> WorkflowBuilder {
        self.set("name", name)
    }

    /// Adds a step. One that says nothing of what it needs needs the step before it.
    pub fn step(mut self, step: Step) -> WorkflowBuilder {
        self.steps.push(step);
        self
    }

    /// Groups of workflows with the same name here do not overlap: a group waits until the one before it has ended. The name may be a
    /// template over `params`.
    pub fn concurrency(self, name: &str, policy: Concurrency) -> WorkflowBuilder {
        self.set("concurrency", json!({"group": name, "policy": policy.name()}))
    }

    /// Sets any other key of a workflow, such as `params` or `hooks`.
    pub fn set(mut self, key: &str, value: impl Into<Value>) -> WorkflowBuilder {
        self.fields.insert(key.to_string(), value.into());
        self
    }

    /// The workflow.
    pub fn build(mut self) -> Workflow {
        let id = self.fields["id"].as_str().unwrap_or_default().to_string();
        let steps: Vec<Value> = self.steps.into_iter().map(|step| Value::Object(step.fields)).collect();
        self.fields.insert("steps".to_string(), steps.into());
        // JSON is YAML: what is built here and what people write are read by the same rules.
        Workflow { text: Value::Object(self.fields).to_string(), source: id }
    }
}

/// One step of a [`WorkflowBuilder`].
#[derive(Debug, Clone)]
pub struct Step {
    fields: Map<String, Value>,
}

impl Step {
    /// A step that runs a shell command. `{{ item }}` and its like are filled in, each as one quoted word.
    pub fn command(name: &str, command: &str) -> Step {
        Step { fields: Map::new() }.set("name", name).set("run", command)
    }

    /// A step of a kind in Rust, by the name it was [registered](super::Kinds::with) under.
    pub fn kind(name: &str, kind: &str) -> Step {
        Step { fields: Map::new() }.set("name", name).set("uses", kind)
    }

    /// A condition in a part of CEL, such as `item.pages > 3`: when it is false, the step is skipped.
    pub fn when(self, condition: &str) -> Step {
        self.set("when", condition)
    }

    /// Runs it when a step that it needs failed, or was cancelled by a failure; else it is skipped.
    pub fn after_failure(self) -> Step {
        self.set("after", "failure")
    }

    /// Runs it however the steps that it needs ended.
    pub fn after_any(self) -> Step {
        self.set("after", "always")
    }

    /// Its failure fails neither the run nor the steps that need it.
    pub fn allow_failure(self) -> Step {
        self.set("allow_failure", true)
    }

    /// Runs it although the group, the run or a step that it needs is cancelled. For steps that follow failures.
    pub fn run_on_cancel(self) -> Step {
        self.set("on_cancel", "run")
    }

    /// The steps that must have ended before it.
    pub fn needs<'a>(self, steps: impl IntoIterator<Item = &'a str>) -> Step {
        let steps: Vec<&str> = steps.into_iter().collect();
        self.set("needs", steps)
    }

    /// What the step is given besides the item and the parameters: an object, whose texts may be templates.
    pub fn with(self, value: Value) -> Step {
        self.set("with", value)
    }

    /// How often it is tried again after a failure that may pass.
    pub fn retries(self, retries: u32) -> Step {
        self.set("retries", retries)
    }

    /// How long one attempt may take.
    pub fn timeout(self, timeout: Duration) -> Step {
        self.set("timeout", format!("{}ms", timeout.as_millis()))
    }

    /// Steps with the same key never run at the same time, in whichever process. May be a template.
    pub fn resource_key(self, key: &str) -> Step {
        self.set("resource_key", key)
    }

    /// Keeps its value, of any size, in the file `value` of its output directory, `{{ inputs.NAME.dir }}/value` for later steps.
    /// Without it a value has at most 64 KiB.
    pub fn value_in_file(self) -> Step {
        self.set("value", "file")
    }

    /// Sets any other key of a step, such as `env`, `limits` or `cache`.
    pub fn set(mut self, key: &str, value: impl Into<Value>) -> Step {
        self.fields.insert(key.to_string(), value.into());
        self
    }
}

/// Work to submit: a workflow and its items.
#[derive(Debug, Clone)]
pub struct Submission {
    workflow: Workflow,
    items: Vec<String>,
    params: Value,
    directory: PathBuf,
    name: Option<String>,
    key: Option<String>,
    priority: i64,
    weight: i64,
}

impl Submission {
    /// One run for each item. An item that is a JSON object has fields, which templates can name; any other is a text.
    pub fn new<I: Into<String>>(workflow: &Workflow, items: impl IntoIterator<Item = I>) -> Submission {
        Submission {
            workflow: workflow.clone(),
            items: items.into_iter().map(Into::into).collect(),
            params: json!({}),
            directory: PathBuf::from("."),
            name: None,
            key: None,
            priority: 0,
            weight: 1,
        }
    }

    /// Parameters, as an object.
    pub fn params(self, params: Value) -> Submission {
        Submission { params, ..self }
    }

    /// Where its commands start; the current directory unless said otherwise.
    pub fn directory(self, directory: impl Into<PathBuf>) -> Submission {
        Submission { directory: directory.into(), ..self }
    }

    /// A name for people.
    pub fn name(self, name: impl Into<String>) -> Submission {
        Submission { name: Some(name.into()), ..self }
    }

    /// Submitting the same work again with the same key gives the same group.
    pub fn key(self, key: impl Into<String>) -> Submission {
        Submission { key: Some(key.into()), ..self }
    }

    /// Higher goes first; 0 unless said otherwise.
    pub fn priority(self, priority: i64) -> Submission {
        Submission { priority, ..self }
    }

    /// Its share beside other groups of its priority, from 1 to 1000; 1 unless said otherwise. A group of weight 3 gets three times
    /// as many steps as one of weight 1 while both have steps to run.
    pub fn weight(self, weight: i64) -> Submission {
        Submission { weight, ..self }
    }

    pub(super) fn prepare(self, engine: &engine::Engine) -> Result<engine::Submission> {
        let definition = self.workflow.parse(engine)?;
        let directory = match self.directory.is_absolute() {
            true => self.directory,
            false => std::env::current_dir().map(|here| here.join(&self.directory)).unwrap_or(self.directory),
        };
        Ok(engine::Submission {
            params: self.params,
            directory,
            name: self.name,
            key: self.key,
            priority: self.priority,
            weight: self.weight,
            ..engine::Submission::new(definition, self.items)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::After;

    #[test]
    fn what_a_step_says_of_conditions_and_failure_is_read_as_in_a_file() {
        let tried = Step::command("try", "exit 1").when("size(item) > 3").allow_failure();
        let alarm = Step::command("alarm", "echo alarm").after_failure();
        let clean = Step::command("clean", "rm -rf work").needs(["try"]).after_any().run_on_cancel();
        let workflow = Workflow::builder("a").step(tried).step(alarm).step(clean).build();
        let read = definition::parse(&workflow.text, &workflow.source, &KnownKinds::default()).unwrap();
        let [tried, alarm, clean] = &read.steps[..] else { panic!("{read:?}") };
        assert_eq!(tried.when.as_ref().map(|it| it.source()), Some("size(item) > 3"));
        assert!(tried.allow_failure && clean.on_cancel_run);
        assert_eq!((alarm.after, clean.after, &clean.needs[..]), (After::Failure, After::Always, &[0][..]));
    }
}
