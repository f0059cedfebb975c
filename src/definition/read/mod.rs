//! Reads workflow YAML into a validated definition.

mod children;
mod concurrency;
mod flow;
mod hooks;
mod inner;
mod resources;
mod schedule;
mod scope;
mod step;
mod text;
mod wait;
mod watch;
mod way;

#[cfg(test)]
mod tests;

use super::{
    error::{Error, Result},
    graph::{self, Circle},
    schedule::{ItemsFrom, Schedule},
    template::Template,
    watch::{FileWatch, Trigger},
    workflow::{Definition, StepDefinition, WorkerDefinition},
    yaml::{self, Fields, Node, Source, Value, did_you_mean},
};
use crate::model::WorkerLimits;
use scope::{Place, Scope};
use std::{
    cell::Cell,
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
};
use way::Way;

/// The step kinds that `uses:` can name, and defaults from the settings.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct KnownKinds {
    names: BTreeSet<String>,
    worker_limits: WorkerLimits,
    /// The canonical path of the file that the workflow is read from.
    file: Option<PathBuf>,
}

impl KnownKinds {
    pub fn new<S: Into<String>>(names: impl IntoIterator<Item = S>) -> KnownKinds {
        KnownKinds { names: names.into_iter().map(Into::into).collect(), ..KnownKinds::default() }
    }

    /// Sets the default limits of worker processes.
    pub fn with_worker_limits(self, worker_limits: WorkerLimits) -> KnownKinds {
        KnownKinds { worker_limits, ..self }
    }

    /// Sets the file that a workflow is read from. Paths in the workflow are relative to it.
    pub fn of_file(self, path: &Path) -> KnownKinds {
        KnownKinds { file: Some(path.to_path_buf()), ..self }
    }

    pub fn contains(&self, name: &str) -> bool {
        self.names.contains(name)
    }

    fn names(&self) -> impl Iterator<Item = &str> + Clone {
        self.names.iter().map(String::as_str)
    }
}

const MOST_STEPS: usize = 1_000;
/// The limit for group names, because an unnamed group uses the title as its name.
const TITLE_BYTES: usize = 1 << 10;
const TOP: &[&str] = &[
    "id",
    "name",
    "steps",
    "collect",
    "hooks",
    "workers",
    "concurrency",
    "capacity",
    "alerts",
    "schedule",
    "items_from",
    "on",
];
const STEP: &[&str] = &[
    "name",
    "run",
    "uses",
    "worker",
    "handler",
    "needs",
    "type",
    "resource_key",
    "resources",
    "rate",
    "retries",
    "backoff",
    "timeout",
    "max_crashes",
    "with",
    "env",
    "permanent_exits",
    "cache",
    "cache_files",
    "limits",
    "unit",
    "background",
    "value",
    "when",
    "after",
    "allow_failure",
    "on_cancel",
    "approve",
    "wait",
    "wait_until",
    "signal",
    "for_each",
    "workflow",
    "at_most",
    "tolerate",
];

/// A workflow, and how its file says it starts automatically.
#[derive(Debug, Clone)]
pub struct WorkflowFile {
    pub definition: Definition,
    pub schedule: Option<Schedule>,
    pub items_from: Option<ItemsFrom>,
    pub on: Option<FileWatch>,
}

impl WorkflowFile {
    /// What starts it automatically.
    pub fn trigger(&self) -> Option<Trigger> {
        let files = self.on.clone().map(Trigger::Files);
        files.or_else(|| self.schedule.clone().map(Trigger::Times))
    }
}

/// Parses and validates a workflow. `file_name` is used only in messages.
pub fn parse(text: &str, file_name: &str, known: &KnownKinds) -> Result<Definition> {
    parse_file(text, file_name, known).map(|file| file.definition)
}

/// Like `parse`, but includes what is not part of the workflow itself.
pub fn parse_file(text: &str, file_name: &str, known: &KnownKinds) -> Result<WorkflowFile> {
    file_in(text, Way::begin(known.file.as_deref(), file_name, &Cell::new(0)), known)
}

/// Reads a workflow that may be nested in others.
fn file_in(text: &str, way: Way<'_>, known: &KnownKinds) -> Result<WorkflowFile> {
    let root = yaml::read(text, way.name())?;
    let reader = Reader { source: Source { file: way.name() }, known, way, id: String::new(), collects: false };
    reader.workflow(&root)
}

/// Reads hooks by event, in YAML or JSON, as a definition without steps. None if there are no hooks. `file_name` is
/// used only in messages.
pub fn parse_alerts(text: &str, file_name: &str, known: &KnownKinds) -> Result<Option<Definition>> {
    let depth = Cell::new(0);
    let root = yaml::read(&format!("{{\"hooks\": {text}}}"), file_name)?;
    let way = Way::begin(None, file_name, &depth);
    let reader = Reader { source: Source { file: file_name }, known, way, id: String::new(), collects: false };
    let fields = reader.source.fields(&root, "`alerts`", &["hooks"])?;
    let hooks = reader.hooks(&fields, &BTreeMap::new())?;
    if hooks.is_empty() {
        return Ok(None);
    }
    Definition::new(ALERTS.into(), ALERTS.into(), Vec::new(), hooks, BTreeMap::new()).map(Some)
}

/// The id of the definition that holds the alerts. A workflow's id can't contain the slash.
const ALERTS: &str = "windlass/alerts";

/// Refuses what a command outside a workflow file can't use: earlier steps and variables.
pub fn check_alone(command: &Template) -> Result<()> {
    let scope = Scope::of(Place::Step);
    command.expressions().try_for_each(|it| scope.check(it)).map_err(|(message, hint)| Error::Template {
        template: command.source().to_string(),
        message,
        hint,
    })
}

struct Reader<'a> {
    source: Source<'a>,
    known: &'a KnownKinds,
    way: Way<'a>,
    /// The id of the workflow that is being read.
    id: String,
    /// Whether the steps of `collect:` are being read.
    collects: bool,
}

/// A step before its `needs` are resolved.
struct Draft<'n> {
    name: String,
    fields: Fields<'n>,
    line: u64,
    needs: Vec<usize>,
}

impl Draft<'_> {
    fn has_its_value_in_a_file(&self) -> bool {
        self.fields.get("value").is_some_and(|it| matches!(&it.value, Value::Text(text) if text == "file"))
    }
}

impl Reader<'_> {
    fn workflow(self, root: &Node) -> Result<WorkflowFile> {
        let fields = self.source.fields(root, "a workflow", TOP)?;
        let Some(node) = fields.get("id") else {
            return Err(self.source.refuse(root.line, "`id` is missing", Some("add a line such as `id: nightly`")));
        };
        let id = self.source.name(node, "id")?;
        let reader = Reader { id: id.clone(), collects: false, ..self };
        let name = fields.get("name").map(|it| reader.title(it)).transpose()?.unwrap_or_else(|| id.clone());
        let workers = reader.workers(&fields)?;
        let Some(node) = fields.get("steps") else {
            return Err(reader.source.refuse(root.line, "`steps` is missing", Some("a workflow has at least one")));
        };
        let steps = reader.steps(node, &workers)?;
        let hooks = reader.hooks(&fields, &workers)?;
        let mut definition = Definition::new(id, name, steps, hooks, workers)?;
        definition.collect = fields.get("collect").map(|it| reader.collect(it, &definition.workers)).transpose()?;
        definition.concurrency = reader.concurrency(&fields)?;
        if let Some(node) = fields.get("alerts") {
            definition.alerts = reader.source.bool(node, "alerts")?;
        }
        definition.capacity = reader.capacity(&fields)?;
        definition.share_capacity();
        Ok(WorkflowFile {
            definition,
            schedule: reader.schedule(&fields)?,
            items_from: reader.items_from(&fields)?,
            on: reader.on(&fields)?,
        })
    }

    /// The title that people see; it is also the default name of its groups.
    fn title(&self, node: &Node) -> Result<String> {
        let title = self.source.text(node, "name")?;
        if title.len() <= TITLE_BYTES {
            return Ok(title);
        }
        let message = format!("the name of a workflow may have {TITLE_BYTES} bytes, this one has {}", title.len());
        Err(self.source.refuse(node.line, message, Some("comments are the place for long texts")))
    }

    fn steps(&self, node: &Node, workers: &BTreeMap<String, WorkerDefinition>) -> Result<Vec<StepDefinition>> {
        let nodes = self.source.list(node, "steps")?;
        if nodes.is_empty() || nodes.len() > MOST_STEPS {
            let message = format!("a workflow has 1 to {MOST_STEPS} steps, this one has {}", nodes.len());
            return Err(self.source.refuse(node.line, message, None));
        }
        self.count_steps(node.line, nodes.len())?;
        let mut drafts: Vec<Draft<'_>> = Vec::with_capacity(nodes.len());
        for step in nodes {
            let draft = self.draft(step)?;
            if let Some(other) = drafts.iter().find(|it| it.name == draft.name) {
                let message = format!("two steps are named `{}`, the first in line {}", draft.name, other.line);
                return Err(self.source.refuse(draft.line, message, Some("give each step its own name")));
            }
            drafts.push(draft);
        }
        self.resolve_needs(&mut drafts)?;
        let needs: Vec<Vec<usize>> = drafts.iter().map(|it| it.needs.clone()).collect();
        let ordered = graph::order(&needs).map_err(|circle| self.refuse_circle(&drafts, &circle))?;
        let mut place = vec![0; drafts.len()];
        ordered.iter().enumerate().for_each(|(at, step)| place[*step] = at);
        ordered.iter().map(|at| self.step(&drafts, *at, &place, workers)).collect()
    }

    fn draft<'n>(&self, node: &'n Node) -> Result<Draft<'n>> {
        let fields = self.source.fields(node, "a step", STEP)?;
        let named = fields.get("name");
        let named = named.ok_or_else(|| self.source.refuse(node.line, "the step has no `name`", None))?;
        let name = self.source.name(named, "step name")?;
        if self.collects && name == "runs" {
            let hint = "`inputs.runs` is what the runs of the group have left";
            return Err(self.source.refuse(named.line, "a step in `collect` can't be named `runs`", Some(hint)));
        }
        if name.contains('.') {
            let hint = "templates write `inputs.STEP.dir`, so use `_` or `-` instead of the dot";
            return Err(self.source.refuse(named.line, format!("step name `{name}` has a dot"), Some(hint)));
        }
        Ok(Draft { name, fields, line: node.line, needs: Vec::new() })
    }

    fn resolve_needs(&self, drafts: &mut [Draft<'_>]) -> Result<()> {
        let names: Vec<String> = drafts.iter().map(|it| it.name.clone()).collect();
        for (at, draft) in drafts.iter_mut().enumerate() {
            let Some(node) = draft.fields.get_or_null("needs") else {
                draft.needs = at.checked_sub(1).into_iter().collect();
                continue;
            };
            let listed = match &node.value {
                Value::Null => &[],
                Value::List(nodes) => &nodes[..],
                _ => std::slice::from_ref(node),
            };
            for need in listed {
                let name = self.source.text(need, "needs")?;
                let Some(found) = names.iter().position(|it| *it == name) else {
                    let hint = did_you_mean(&name, names.iter().map(String::as_str));
                    let message = format!("step `{}` needs `{name}`, which is not a step", draft.name);
                    return Err(self.source.refuse(need.line, message, Some(&hint)));
                };
                if !draft.needs.contains(&found) {
                    draft.needs.push(found);
                }
            }
        }
        Ok(())
    }

    fn refuse_circle(&self, drafts: &[Draft<'_>], Circle(path): &Circle) -> Error {
        let closed = path.iter().chain(path.first());
        let names: Vec<&str> = closed.map(|it| drafts[*it].name.as_str()).collect();
        let line = path.first().map_or(1, |it| drafts[*it].line);
        let hint = "take one of these names out of a `needs`";
        self.source.refuse(line, format!("steps need each other in a circle: {}", names.join(" -> ")), Some(hint))
    }
}
