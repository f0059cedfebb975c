//! The expressions allowed between `{{` and `}}`, and the sources of their values.

use super::yaml::did_you_mean;
use crate::model::{GroupId, HookContext, RunId, StepId, Token};
use serde_json::Value;
use std::{borrow::Cow, collections::BTreeMap, fmt};

/// One name in a template. Paths are the keys after the dot; a number selects from a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Expression {
    Item(Vec<String>),
    Params(Vec<String>),
    Out,
    InputDir(String),
    InputValue(String, Vec<String>),
    InputStatus(String),
    /// A file with one line for each run that the step started.
    InputChildren(String),
    Group,
    /// A fact about the group of a hook's event.
    GroupFact(GroupFact),
    Run,
    Step,
    Attempt,
    Token,
    Event,
    Env(String),
    /// A quoted text. It is the way to write `{{` itself.
    Literal(String),
}

/// The facts that a hook can use about its group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GroupFact {
    Name,
    Status,
    Failed,
    Total,
    Reasons,
}

impl GroupFact {
    const ALL: [(GroupFact, &str); 5] = [
        (GroupFact::Name, "name"),
        (GroupFact::Status, "status"),
        (GroupFact::Failed, "failed"),
        (GroupFact::Total, "total"),
        (GroupFact::Reasons, "reasons"),
    ];

    fn name(self) -> &'static str {
        GroupFact::ALL.iter().find(|it| it.0 == self).map_or("", |it| it.1)
    }

    fn of(self, hook: &HookContext) -> Value {
        match self {
            GroupFact::Name => hook.name.as_str().into(),
            GroupFact::Status => hook.status.as_str().into(),
            GroupFact::Failed => hook.failed.into(),
            GroupFact::Total => hook.total.into(),
            GroupFact::Reasons => hook.reasons.as_str().into(),
        }
    }
}

/// The results of an earlier step.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Input {
    /// The directory with its output files.
    pub dir: Option<String>,
    /// Its result value. None if it ended without a value or did not complete; templates see null.
    pub value: Option<Value>,
    /// How it ended, such as `skipped`. `None`: it completed.
    pub status: Option<&'static str>,
    /// The file with one line for each run that it started.
    pub children: Option<String>,
}

/// The values of one attempt or hook, from which templates are rendered. A template can't use a value that is `None`.
#[derive(Debug, Clone, Default)]
pub struct Values<'a> {
    /// A JSON string for a plain item.
    pub item: Option<Cow<'a, Value>>,
    pub params: Option<Cow<'a, Value>>,
    /// The directory whose files become artifacts of the step.
    pub out: Option<Cow<'a, str>>,
    /// By step name.
    pub inputs: BTreeMap<String, Input>,
    pub group: Option<GroupId>,
    pub run: Option<RunId>,
    pub step: Option<StepId>,
    pub attempt: Option<u32>,
    pub token: Option<Token>,
    /// Only for hooks.
    pub hook: Option<Cow<'a, HookContext>>,
    /// The step's own declared variables.
    pub env: BTreeMap<String, String>,
}

/// The names that an expression can begin with.
pub const ROOTS: &[&str] =
    &["item", "params", "out", "inputs", "group", "run", "step", "attempt", "token", "event", "env"];

impl Expression {
    /// Parses the text between the braces. On error, returns the problem and a suggestion.
    pub fn parse(text: &str) -> Result<Expression, (String, Option<String>)> {
        let text = text.trim();
        if let Some(quote) = text.chars().next().filter(|it| matches!(it, '\'' | '"')) {
            let inner = text[1..].strip_suffix(quote).ok_or(("a quote is not closed".to_string(), None))?;
            return Ok(Expression::Literal(inner.to_string()));
        }
        let mut names = text.split('.').map(str::trim);
        let root = names.next().unwrap_or_default();
        let path: Vec<String> = names.map(str::to_string).collect();
        let fits = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-');
        if let Some(bad) = path.iter().find(|it| it.is_empty() || !it.chars().all(fits)) {
            return Err((
                format!("`{bad}` is not a name"),
                Some("write names with dots: {{ params.chunk.size }}".into()),
            ));
        }
        Expression::from_path(root, path)
    }

    fn from_path(root: &str, mut path: Vec<String>) -> Result<Expression, (String, Option<String>)> {
        let simple = |expression: Expression, path: &[String]| match path {
            [] => Ok(expression),
            _ => Err((format!("`{root}` has no fields"), Some(format!("write {{{{ {root} }}}}")))),
        };
        match root {
            "item" => Ok(Expression::Item(path)),
            "params" => Ok(Expression::Params(path)),
            "out" => simple(Expression::Out, &path),
            "group" if path.len() == 1 => match GroupFact::ALL.iter().find(|it| it.1 == path[0]) {
                Some((fact, _)) => Ok(Expression::GroupFact(*fact)),
                None => Err((
                    format!("`group.{}` is not known", path[0]),
                    Some(did_you_mean(&path[0], GroupFact::ALL.iter().map(|it| it.1))),
                )),
            },
            "group" => simple(Expression::Group, &path),
            "run" => simple(Expression::Run, &path),
            "step" => simple(Expression::Step, &path),
            "attempt" => simple(Expression::Attempt, &path),
            "token" => simple(Expression::Token, &path),
            "event" => simple(Expression::Event, &path),
            "env" if path.len() == 1 => Ok(Expression::Env(path.remove(0))),
            "env" => Err(("a variable's name is missing".into(), Some("write {{ env.NAME }}".into()))),
            "inputs" if path.len() == 2 && path[1] == "dir" => Ok(Expression::InputDir(path.remove(0))),
            "inputs" if path.len() >= 2 && path[1] == "value" => {
                Ok(Expression::InputValue(path.remove(0), path.split_off(1)))
            }
            "inputs" if path.len() == 2 && path[1] == "status" => Ok(Expression::InputStatus(path.remove(0))),
            "inputs" if path.len() == 1 && path[0] == "runs" => Ok(Expression::InputChildren(path.remove(0))),
            "inputs" if path.len() == 2 && path[1] == "children" => Ok(Expression::InputChildren(path.remove(0))),
            "inputs" => {
                let hint = "write {{ inputs.STEP.dir }}, {{ inputs.STEP.value }} or {{ inputs.STEP.status }}";
                Err((format!("`inputs.{}` is not known", path.join(".")), Some(hint.into())))
            }
            _ => Err((format!("`{root}` is not known here"), Some(did_you_mean(root, ROOTS.iter().copied())))),
        }
    }

    /// The value, or the problem if there is none.
    pub fn value<'v>(&self, values: &'v Values<'_>) -> Result<Cow<'v, Value>, String> {
        let number = |number: Option<i64>| number.map(|it| Cow::Owned(Value::from(it)));
        let text = |text: Option<&str>| text.map(|it| Cow::Owned(Value::from(it)));
        let found = match self {
            Expression::Item(path) => values.item.as_deref().map(|it| walk("item", it, path)).transpose()?,
            Expression::Params(path) => values.params.as_deref().map(|it| walk("params", it, path)).transpose()?,
            Expression::InputValue(step, path) => {
                let input = values.inputs.get(step);
                // A step that did not complete has no fields, so a path into it is not an error.
                let path = if input.is_some_and(|it| it.status.is_some()) { &[][..] } else { path };
                let value = input.map(|it| it.value.as_ref().unwrap_or(&Value::Null));
                value.map(|it| walk(&format!("inputs.{step}.value"), it, path)).transpose()?
            }
            Expression::InputDir(step) => text(values.inputs.get(step).and_then(|it| it.dir.as_deref())),
            Expression::InputStatus(step) => {
                text(Some(values.inputs.get(step).and_then(|it| it.status).unwrap_or("completed")))
            }
            Expression::InputChildren(step) => text(values.inputs.get(step).and_then(|it| it.children.as_deref())),
            Expression::Out => text(values.out.as_deref()),
            Expression::Group => text(values.group.map(|it| it.to_string()).as_deref()),
            Expression::GroupFact(fact) => values.hook.as_deref().map(|it| Cow::Owned(fact.of(it))),
            Expression::Run => text(values.run.map(|it| it.to_string()).as_deref()),
            Expression::Step => text(values.step.map(|it| it.to_string()).as_deref()),
            Expression::Attempt => number(values.attempt.map(i64::from)),
            Expression::Token => number(values.token.map(|it| it.0)),
            Expression::Event => text(values.hook.as_deref().map(|it| it.event.as_str())),
            Expression::Env(name) => text(values.env.get(name).map(String::as_str)),
            Expression::Literal(literal) => text(Some(literal)),
        };
        found.ok_or_else(|| format!("`{self}` has no value here"))
    }

    /// The value as text: strings unchanged, null as the empty string, everything else as compact JSON.
    pub fn text(&self, values: &Values<'_>) -> Result<String, String> {
        Ok(match self.value(values)?.as_ref() {
            Value::String(text) => text.clone(),
            Value::Null => String::new(),
            other => other.to_string(),
        })
    }
}

fn walk<'v>(whole: &str, value: &'v Value, path: &[String]) -> Result<Cow<'v, Value>, String> {
    let mut here = value;
    let mut said = whole.to_string();
    for name in path {
        let next = match here {
            Value::Object(map) => map.get(name),
            Value::Array(list) => name.parse::<usize>().ok().and_then(|at| list.get(at)),
            _ => None,
        };
        here = next.ok_or_else(|| missing(&said, here, name))?;
        said = format!("{said}.{name}");
    }
    Ok(Cow::Borrowed(here))
}

fn missing(said: &str, here: &Value, name: &str) -> String {
    match here {
        Value::Object(map) if map.is_empty() => format!("`{said}` has no `{name}`: it is empty"),
        Value::Object(map) => {
            format!("`{said}` has no `{name}`; {}", did_you_mean(name, map.keys().map(String::as_str)))
        }
        Value::Array(list) => format!("`{said}` has no `{name}`: it is a list of {}", list.len()),
        Value::Null => format!("`{said}` is null, so it has no `{name}`"),
        _ => format!("`{said}` has no fields, so no `{name}`"),
    }
}

impl fmt::Display for Expression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = |path: &[String]| path.iter().map(|it| format!(".{it}")).collect::<String>();
        match self {
            Expression::Item(names) => write!(f, "item{}", path(names)),
            Expression::Params(names) => write!(f, "params{}", path(names)),
            Expression::Out => f.write_str("out"),
            Expression::InputDir(step) => write!(f, "inputs.{step}.dir"),
            Expression::InputValue(step, names) => write!(f, "inputs.{step}.value{}", path(names)),
            Expression::InputChildren(step) => write!(f, "inputs.{step}.children"),
            Expression::InputStatus(step) => write!(f, "inputs.{step}.status"),
            Expression::Group => f.write_str("group"),
            Expression::GroupFact(fact) => write!(f, "group.{}", fact.name()),
            Expression::Run => f.write_str("run"),
            Expression::Step => f.write_str("step"),
            Expression::Attempt => f.write_str("attempt"),
            Expression::Token => f.write_str("token"),
            Expression::Event => f.write_str("event"),
            Expression::Env(name) => write!(f, "env.{name}"),
            Expression::Literal(text) => write!(f, "'{text}'"),
        }
    }
}
