//! The condition of a step (`when:`): an expression in a subset of CEL, the Common Expression Language.
//!
//! Size and depth are limited when it is parsed, and work when it is evaluated. It can loop only over lists and has no
//! side effects. Its values are JSON; integers and decimals mix in arithmetic and comparisons.

mod check;
mod elements;
mod facts;
mod formula;
mod judge;
mod parse;
mod problem;
mod scan;

use crate::definition::secret::{MASK, is_secret_name, masked};
pub use elements::Elements;
pub use facts::Facts;
pub use formula::Formula;
use parse::{InputField, Node, children, walk};
use problem::Problem;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

const MOST_BYTES: usize = 4 << 10;
/// The longest text of a value that is kept for people.
const MOST_SHOWN: usize = 200;

/// Evaluated once, when its step would start.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Condition {
    source: String,
    root: Node,
}

impl Condition {
    /// Parses a condition. Names of steps are not checked here; see `check`.
    pub fn parse(source: &str) -> Result<Condition, Problem> {
        let (source, root) = read(source, "a condition", "item.pages > 3")?;
        check::types(&root)?;
        Ok(Condition { source, root })
    }

    /// As written.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// Refuses the name of a step that is not among `needs`.
    pub fn check(&self, needs: &[&str]) -> Result<(), Problem> {
        check::inputs(&self.root, needs)
    }

    /// Whether it uses the item.
    pub fn asks_for_item(&self) -> bool {
        asks_for_item(&self.root)
    }

    /// The parameters without which it can't be evaluated. Parameters that it tests with `has` are not required.
    pub fn parameters(&self) -> Vec<String> {
        parameters(&self.root)
    }

    /// Whether the step runs, or the problem if that can't be decided.
    pub fn judge(&self, facts: &Facts<'_>) -> Result<bool, String> {
        match judge::judge(&self.root, facts)?.as_ref() {
            Value::Bool(it) => Ok(*it),
            other => Err(format!("it is {}, which is neither true nor false", judge::kind(other))),
        }
    }

    /// The value of each name, as written in the condition. For people: texts are shortened and secrets are masked.
    pub fn seen(&self, facts: &Facts<'_>) -> Map<String, Value> {
        let mut found = Map::new();
        let mut paths = Vec::new();
        paths_of(&self.root, &mut paths);
        for (mut path, mut node) in paths {
            let secret = is_secret_name(path.rsplit('.').next().unwrap_or_default());
            let value = loop {
                match judge::judge(&node, facts) {
                    Ok(_) if secret => break Some(MASK.into()),
                    Ok(value) => break Some(short(&masked(&value))),
                    Err(_) => (),
                }
                // For a missing field, its parent is shown.
                let Node::Select(of, _) = node else { break None };
                node = *of;
                path.truncate(path.rfind('.').unwrap_or(0));
            };
            if let Some(value) = value {
                found.insert(path, value);
            }
        }
        found
    }
}

impl TryFrom<String> for Condition {
    type Error = String;

    fn try_from(source: String) -> Result<Condition, String> {
        Condition::parse(&source).map_err(|it| it.0)
    }
}

impl From<Condition> for String {
    fn from(it: Condition) -> String {
        it.source
    }
}

/// Parses an expression. `what` and `example` are used in messages.
fn read(source: &str, what: &str, example: &str) -> Result<(String, Node), Problem> {
    let source = source.trim();
    if source.is_empty() {
        return Err((format!("{what} is missing"), Some(format!("write one such as `{example}`"))));
    }
    if source.contains("{{") {
        return Err((format!("{what} is written without `{{{{ }}}}`"), Some(format!("write `{example}`"))));
    }
    if source.len() > MOST_BYTES {
        return Err((format!("{what} may have {MOST_BYTES} bytes, this one has {}", source.len()), None));
    }
    Ok((source.to_string(), parse::parse(source)?))
}

fn asks_for_item(root: &Node) -> bool {
    let mut asks = false;
    walk(root, &mut |node| asks |= *node == Node::Name("item".into()));
    asks
}

fn parameters(root: &Node) -> Vec<String> {
    let (mut asked, mut guarded) = (Vec::new(), Vec::new());
    let params = Node::Name("params".into());
    walk(root, &mut |node| match node {
        Node::Select(of, name) if **of == params => asked.push(name.clone()),
        Node::Has(of, name) if **of == params => guarded.push(name.clone()),
        _ => (),
    });
    asked.retain(|it| !guarded.contains(it));
    asked
}

fn short(value: &Value) -> Value {
    let text = match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    match text.len() > MOST_SHOWN {
        false => value.clone(),
        true => crate::model::shortened(&text, MOST_SHOWN).to_string().into(),
    }
}

/// The longest field paths, each with its text.
fn paths_of(node: &Node, found: &mut Vec<(String, Node)>) {
    let path = match node {
        Node::Has(of, name) => path(&Node::Select(of.clone(), name.clone())),
        _ => path(node),
    };
    match path {
        Some(text) => {
            let node = match node {
                Node::Has(of, name) => Node::Select(of.clone(), name.clone()),
                other => other.clone(),
            };
            if found.iter().all(|it| it.0 != text) {
                found.push((text, node));
            }
        }
        None => children(node).into_iter().for_each(|it| paths_of(it, found)),
    }
}

fn path(node: &Node) -> Option<String> {
    match node {
        Node::Name(name) if matches!(name.as_str(), "item" | "params") => Some(name.clone()),
        Node::Input(step, InputField::Value) => Some(format!("inputs.{step}.value")),
        Node::Input(step, InputField::Status) => Some(format!("inputs.{step}.status")),
        Node::RunFailed => Some("run.failed".to_string()),
        Node::Select(of, name) => path(of).map(|of| format!("{of}.{name}")),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
