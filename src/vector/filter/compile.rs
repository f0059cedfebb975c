//! Compiles a filter to an SQL condition. User text never becomes part of the SQL: all of it is bound.

use super::condition::{Column, Comparison, Filter, FilterError, Literal, Node};
use rusqlite::types::Value;

impl Filter {
    /// A condition over `c` (chunk) and `d` (document). Appends its values to `values` and numbers its parameters
    /// accordingly.
    pub(in crate::vector) fn condition(&self, values: &mut Vec<Value>) -> String {
        condition(&self.root, values)
    }

    /// Like `condition`, for queries without chunks.
    pub(in crate::vector) fn condition_on_documents(&self, values: &mut Vec<Value>) -> Result<String, FilterError> {
        match has_page(&self.root) {
            true => Err(FilterError::PageOfDocument),
            false => Ok(self.condition(values)),
        }
    }
}

fn condition(node: &Node, values: &mut Vec<Value>) -> String {
    match node {
        Node::All(nodes) => joined(nodes, " AND ", values),
        Node::Any(nodes) => joined(nodes, " OR ", values),
        Node::Not(node) => format!("NOT {}", condition(node, values)),
        Node::Compare(column, comparison, literal) => {
            if *column == Column::Uri
                && let Literal::Text(text) = literal
            {
                return on_uri(*comparison, text, values);
            }
            let column = operand(column, values);
            let sign = sign(*comparison);
            let literal = match literal {
                Literal::Text(text) => bound(Value::Text(text.clone()), values),
                Literal::Number(number) => bound(Value::Real(*number), values),
            };
            // Comparing a missing value gives NULL. `IS TRUE` turns that into false, so that NOT works as expected.
            format!("(({column} {sign} {literal}) IS TRUE)")
        }
    }
}

/// Compares a URI both as stored and in its readable form: `file:///a/policy%203.md` is also `/a/policy 3.md`.
fn on_uri(comparison: Comparison, text: &str, values: &mut Vec<Value>) -> String {
    let (sign, text) = (sign(comparison), bound(Value::Text(text.to_string()), values));
    let word = if comparison == Comparison::NotEqual { "AND" } else { "OR" };
    format!("((d.uri {sign} {text}) IS TRUE {word} (readable_uri(d.uri) {sign} {text}) IS TRUE)")
}

fn joined(nodes: &[Node], word: &str, values: &mut Vec<Value>) -> String {
    let parts: Vec<String> = nodes.iter().map(|it| condition(it, values)).collect();
    format!("({})", parts.join(word))
}

fn operand(column: &Column, values: &mut Vec<Value>) -> String {
    match column {
        Column::Source => "d.source".into(),
        Column::Uri => "d.uri".into(),
        Column::Title => "d.title".into(),
        Column::MediaType => "d.media_type".into(),
        Column::Page => "c.page".into(),
        Column::Meta(key) => {
            let path = bound(Value::Text(format!("$.\"{key}\"")), values);
            format!("json_extract(d.metadata, {path})")
        }
    }
}

fn sign(comparison: Comparison) -> &'static str {
    match comparison {
        Comparison::Equal => "=",
        Comparison::NotEqual => "IS NOT",
        Comparison::Less => "<",
        Comparison::LessOrEqual => "<=",
        Comparison::Greater => ">",
        Comparison::GreaterOrEqual => ">=",
        Comparison::Like => "LIKE",
    }
}

fn bound(value: Value, values: &mut Vec<Value>) -> String {
    values.push(value);
    format!("?{}", values.len())
}

fn has_page(node: &Node) -> bool {
    match node {
        Node::All(nodes) | Node::Any(nodes) => nodes.iter().any(has_page),
        Node::Not(node) => has_page(node),
        Node::Compare(column, ..) => *column == Column::Page,
    }
}
