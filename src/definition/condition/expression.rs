//! What conditions, lists and formulas share: an expression with its text.

use super::{
    check,
    facts::Facts,
    judge,
    parse::{self, InputField, Node, children, walk},
    problem::Problem,
};
use crate::definition::secret::{MASK, is_secret_name, masked};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::{fmt::Debug, marker::PhantomData};

/// The longest expression, in bytes.
pub(super) const MOST_BYTES: usize = 4 << 10;
/// The longest text of a value that is kept for people.
const MOST_SHOWN: usize = 200;

/// The results that an expression may have.
pub trait Kind: Debug + Clone + PartialEq {
    /// The name of such an expression in messages, with its article.
    const NAME: &str;
    const EXAMPLE: &str;
    const RESULT: Wanted;
}

/// The type of a result.
#[derive(Debug, Clone, Copy)]
pub enum Wanted {
    Truth,
    List,
    Any,
}

/// Evaluated once, when its step would start.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Expression<K: Kind> {
    source: String,
    pub(super) root: Node,
    kind: PhantomData<K>,
}

impl<K: Kind> Expression<K> {
    /// Parses an expression. Names of steps are not checked here; see `check`.
    pub fn parse(source: &str) -> Result<Expression<K>, Problem> {
        let (what, example) = (K::NAME, K::EXAMPLE);
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
        let root = parse::parse(source)?;
        match K::RESULT {
            Wanted::Truth => check::types(&root)?,
            Wanted::List => check::list(&root)?,
            Wanted::Any => drop(check::type_of(&root)?),
        }
        Ok(Expression { source: source.to_string(), root, kind: PhantomData })
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
        let mut asks = false;
        walk(&self.root, &mut |node| asks |= *node == Node::Name("item".into()));
        asks
    }

    /// The parameters without which it can't be evaluated. Parameters that it tests with `has` are not required.
    pub fn parameters(&self) -> Vec<String> {
        let (mut required, mut guarded) = (Vec::new(), Vec::new());
        let params = Node::Name("params".into());
        walk(&self.root, &mut |node| match node {
            Node::Select(of, name) if **of == params => required.push(name.clone()),
            Node::Has(of, name) if **of == params => guarded.push(name.clone()),
            _ => (),
        });
        required.retain(|it| !guarded.contains(it));
        required
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

impl<K: Kind> TryFrom<String> for Expression<K> {
    type Error = String;

    fn try_from(source: String) -> Result<Expression<K>, String> {
        Expression::parse(&source).map_err(|it| it.0)
    }
}

impl<K: Kind> From<Expression<K>> for String {
    fn from(it: Expression<K>) -> String {
        it.source
    }
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
