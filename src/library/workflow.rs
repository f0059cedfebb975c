//! Workflows in Rust or YAML, and submissions of them.

use super::Result;
use crate::{
    definition::{self, Definition, KnownKinds},
    engine,
    model::Concurrency,
};
use serde_json::{Map, Value, json};
use std::{
    path::{Path, PathBuf},
    time::Duration,
};

/// The steps to run for each item. Steps can need each other.
///
/// A workflow is checked on submission, since the engine has to know the step kinds that it names.
#[derive(Debug, Clone)]
pub struct Workflow {
    text: String,
    source: String,
    file: Option<PathBuf>,
}

impl Workflow {
    /// A workflow in YAML, as described in `docs/workflows.md`. `source` names it in messages, for example with its
    /// file name.
    pub fn from_yaml(text: impl Into<String>, source: impl Into<String>) -> Workflow {
        Workflow { text: text.into(), source: source.into(), file: None }
    }

    /// A workflow in a YAML file. The paths of other workflows in it are relative to the file.
    ///
    /// # Errors
    ///
    /// The file can't be read.
    pub fn from_file(path: impl AsRef<Path>) -> std::io::Result<Workflow> {
        let file = std::fs::canonicalize(path.as_ref())?;
        let text = std::fs::read_to_string(&file)?;
        Ok(Workflow { text, source: path.as_ref().to_string_lossy().into_owned(), file: Some(file) })
    }

    /// A workflow that is built step by step.
    pub fn builder(id: &str) -> WorkflowBuilder {
        WorkflowBuilder {
            fields: Map::from_iter([("id".to_string(), id.into())]),
            steps: Vec::new(),
            collect: Vec::new(),
        }
    }

    pub(super) fn parse(&self, engine: &engine::Engine) -> Result<Definition> {
        let mut kinds = KnownKinds::new(engine.kinds().names());
        if let Some(file) = &self.file {
            kinds = kinds.of_file(file);
        }
        Ok(definition::parse(&self.text, &self.source, &kinds)?)
    }
}

/// Builds a [`Workflow`]. Every key of `docs/workflows.md` can be set; the most common ones have methods of their own.
#[derive(Debug, Clone)]
pub struct WorkflowBuilder {
    fields: Map<String, Value>,
    steps: Vec<Step>,
    collect: Vec<Step>,
}

impl WorkflowBuilder {
    /// A name for people.
    pub fn name(self, name: &str) -> WorkflowBuilder {
        self.set("name", name)
    }

    /// Adds a step. By default, a step needs the step before it.
    pub fn step(mut self, step: Step) -> WorkflowBuilder {
        self.steps.push(step);
        self
    }

    /// Adds a step that runs once after all runs of the group have ended. `{{ inputs.runs }}` is a file with their results.
    pub fn collect(mut self, step: Step) -> WorkflowBuilder {
        self.collect.push(step);
        self
    }

    /// Makes groups of workflows with the same name here run one after another: a group waits until the previous one
    /// has ended. The name can be a template with `params`.
    pub fn concurrency(self, name: &str, policy: Concurrency) -> WorkflowBuilder {
        self.set("concurrency", json!({"group": name, "policy": policy.name()}))
    }

    /// How many units there are of a resource that its steps take; `api:*` stands for all whose names begin with `api:`.
    pub fn capacity(mut self, resource: &str, units: u64) -> WorkflowBuilder {
        let all = self.fields.entry("capacity").or_insert_with(|| json!({}));
        all[resource] = written_units(resource, units);
        self
    }

    /// Sets any other key of a workflow, such as `params` or `hooks`.
    pub fn set(mut self, key: &str, value: impl Into<Value>) -> WorkflowBuilder {
        self.fields.insert(key.to_string(), value.into());
        self
    }

    /// Finishes the workflow.
    pub fn build(self) -> Workflow {
        let id = self.fields["id"].as_str().unwrap_or_default().to_string();
        // JSON is YAML, so the same parser checks built and hand-written workflows.
        Workflow { text: self.value().to_string(), source: id, file: None }
    }
}

impl WorkflowBuilder {
    /// What a file would say.
    fn value(mut self) -> Value {
        let values = |steps: Vec<Step>| steps.into_iter().map(|it| Value::Object(it.fields)).collect::<Vec<Value>>();
        self.fields.insert("steps".to_string(), values(self.steps).into());
        if !self.collect.is_empty() {
            self.fields.insert("collect".to_string(), values(self.collect).into());
        }
        Value::Object(self.fields)
    }
}

/// One step of a [`WorkflowBuilder`].
#[derive(Debug, Clone)]
pub struct Step {
    fields: Map<String, Value>,
}

impl Step {
    /// A step that runs a shell command. `{{ item }}` and the like are filled in, each as one quoted word.
    pub fn command(name: &str, command: &str) -> Step {
        Step { fields: Map::new() }.set("name", name).set("run", command)
    }

    /// A step of a Rust step kind, by the name under which it was [registered](super::Kinds::with).
    pub fn kind(name: &str, kind: &str) -> Step {
        Step { fields: Map::new() }.set("name", name).set("uses", kind)
    }

    /// A step that runs another workflow, in a group of its own, and waits for its end. With [`Step::for_each`] it runs it for each
    /// element of a list.
    pub fn workflow(name: &str, workflow: WorkflowBuilder) -> Step {
        Step { fields: Map::new() }.set("name", name).set("workflow", workflow.value())
    }

    /// Runs the step once for each element of a list, an expression such as `inputs.split.value.pages`: each element is the `item`
    /// of a run in a group of its own, and the step ends with that.
    pub fn for_each(self, list: &str) -> Step {
        self.set("for_each", list)
    }

    /// How many of the runs of [`Step::for_each`] go side by side.
    pub fn at_most(self, runs: u32) -> Step {
        self.set("at_most", runs)
    }

    /// How many of the runs of [`Step::for_each`] may fail before the step does: a number such as `5`, or a share such as `5%`.
    pub fn tolerate(self, runs: &str) -> Step {
        self.set("tolerate", runs)
    }

    /// A step that asks a person a question, which can be a template, and waits without holding a slot. It completes when
    /// it is [approved](super::Engine::approve).
    pub fn approve(name: &str, ask: &str) -> Step {
        Step { fields: Map::new() }.set("name", name).set("approve", ask)
    }

    /// A step that waits without holding a slot.
    pub fn wait(name: &str, time: Duration) -> Step {
        Step { fields: Map::new() }.set("name", name).set("wait", format!("{}ms", time.as_millis()))
    }

    /// A step that waits for a [signal](super::Group::signal) to its group, without holding a slot.
    pub fn signal(name: &str, signal: &str) -> Step {
        Step { fields: Map::new() }.set("name", name).set("signal", signal)
    }

    /// Sets a condition in a subset of CEL, such as `item.pages > 3`. If it is false, the step is skipped.
    pub fn when(self, condition: &str) -> Step {
        self.set("when", condition)
    }

    /// Runs the step if a step that it needs failed, or was cancelled because of a failure; otherwise skips it.
    pub fn after_failure(self) -> Step {
        self.set("after", "failure")
    }

    /// Runs the step however the steps that it needs ended.
    pub fn after_any(self) -> Step {
        self.set("after", "always")
    }

    /// If the step fails, neither the run nor the steps that need it fail.
    pub fn allow_failure(self) -> Step {
        self.set("allow_failure", true)
    }

    /// Runs the step even if the group, the run or a step that it needs is cancelled. For steps that follow failures.
    pub fn run_on_cancel(self) -> Step {
        self.set("on_cancel", "run")
    }

    /// The steps that must end before this one.
    pub fn needs<'a>(self, steps: impl IntoIterator<Item = &'a str>) -> Step {
        let steps: Vec<&str> = steps.into_iter().collect();
        self.set("needs", steps)
    }

    /// Additional input of the step besides the item and the parameters: an object whose strings can be templates.
    pub fn with(self, value: Value) -> Step {
        self.set("with", value)
    }

    /// How often to retry the step after a temporary failure.
    pub fn retries(self, retries: u32) -> Step {
        self.set("retries", retries)
    }

    /// The time limit of one attempt.
    pub fn timeout(self, timeout: Duration) -> Step {
        self.set("timeout", format!("{}ms", timeout.as_millis()))
    }

    /// Steps with the same key never run at the same time, in any process. The key can be a template.
    pub fn resource_key(self, key: &str) -> Step {
        self.set("resource_key", key)
    }

    /// Takes units of a resource while it runs, all that it asks for or none: it starts when they are free. For `memory` and `scratch`
    /// a unit is a byte. The name may be a template.
    pub fn resource(mut self, name: &str, units: u64) -> Step {
        let all = self.fields.entry("resources").or_insert_with(|| json!({}));
        all[name] = written_units(name, units);
        self
    }

    /// At most `starts` steps with this name start in any period of this length. The name may be a template.
    pub fn rate(mut self, name: &str, starts: u32, per: Duration) -> Step {
        let all = self.fields.entry("rate").or_insert_with(|| json!({}));
        all[name] = json!(format!("{starts}/{}ms", per.as_millis()));
        self
    }

    /// Keeps the step's value, of any size, in the file `value` of its output directory, which later steps read as `{{
    /// inputs.NAME.dir }}/value`. Without this, a value is limited to 64 KiB.
    pub fn value_in_file(self) -> Step {
        self.set("value", "file")
    }

    /// Sets any other key of a step, such as `env`, `limits` or `cache`.
    pub fn set(mut self, key: &str, value: impl Into<Value>) -> Step {
        self.fields.insert(key.to_string(), value.into());
        self
    }
}

/// As a workflow file has it: what counts bytes needs a unit.
fn written_units(resource: &str, units: u64) -> Value {
    match resource {
        "memory" | "scratch" => json!(format!("{units}B")),
        _ => json!(units),
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
    /// One run for each item. If an item is a JSON object, templates can name its fields; any other item is a string.
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

    /// The parameters, as an object.
    pub fn params(self, params: Value) -> Submission {
        Submission { params, ..self }
    }

    /// The working directory of its commands; by default, the current directory.
    pub fn directory(self, directory: impl Into<PathBuf>) -> Submission {
        Submission { directory: directory.into(), ..self }
    }

    /// A name for people.
    pub fn name(self, name: impl Into<String>) -> Submission {
        Submission { name: Some(name.into()), ..self }
    }

    /// Makes the submission idempotent: submitting the same work again with the same key returns the same group.
    pub fn key(self, key: impl Into<String>) -> Submission {
        Submission { key: Some(key.into()), ..self }
    }

    /// Groups with a higher priority go first. 0 by default.
    pub fn priority(self, priority: i64) -> Submission {
        Submission { priority, ..self }
    }

    /// Its share relative to other groups with the same priority, from 1 to 1000; 1 by default. A group with weight 3
    /// gets three times as many steps as one with weight 1, while both have steps to run.
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
    fn what_a_step_says_of_its_runs_is_read_as_in_a_file() {
        let inner = Workflow::builder("inner").step(Step::command("one", "echo {{ item }}"));
        let page = Step::command("page", "ocr {{ item }}").for_each("item.pages").at_most(4).tolerate("5%");
        let sub = Step::workflow("sub", inner).with(json!({"depth": 3}));
        let count = Step::command("count", "wc -l < {{ inputs.runs }}");
        let workflow = Workflow::builder("a").step(page).step(sub).collect(count).build();
        let read = definition::parse(&workflow.text, &workflow.source, &KnownKinds::default()).unwrap();
        let children = |no: usize| match &read.steps[no].action {
            definition::Action::Children(it) => (**it).clone(),
            other => panic!("{other:?}"),
        };
        assert_eq!((children(0).at_most, children(0).tolerate.to_string().as_str()), (Some(4), "5%"));
        assert!(children(0).inline && children(0).each.is_some());
        assert_eq!((children(1).workflow.id.as_str(), children(1).each), ("inner", None));
        assert_eq!(read.collect.map(|it| it.steps.len()), Some(1));
    }

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
