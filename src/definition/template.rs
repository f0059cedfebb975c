//! Templates: text with `{{ }}` in it.

use super::{
    error::{Error, Result},
    expression::{Expression, Values},
    quote::quote,
};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;

/// A text with `{{ }}` in it, parsed once and rendered for every attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template {
    source: String,
    parts: Vec<Part>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Part {
    Text(String),
    Expression(Expression),
}

impl Template {
    /// Parses a template. Unknown names are refused here; `Scope` decides whether a step may use a known name.
    pub fn parse(source: &str) -> Result<Template> {
        let refuse =
            |message: String, hint: Option<String>| Error::Template { template: shorten(source), message, hint };
        let mut parts = Vec::new();
        let mut rest = source;
        while let Some(start) = rest.find("{{") {
            let (before, inside) = (&rest[..start], &rest[start + 2..]);
            let end = closing(inside).ok_or_else(|| {
                let hint = "close it with `}}`; to write `{{` itself, write {{ '{{' }}".to_string();
                refuse("`{{` is not closed".to_string(), Some(hint))
            })?;
            let expression = Expression::parse(&inside[..end]).map_err(|(message, hint)| refuse(message, hint))?;
            if !before.is_empty() {
                parts.push(Part::Text(before.to_string()));
            }
            parts.push(Part::Expression(expression));
            rest = &inside[end + 2..];
        }
        if !rest.is_empty() {
            parts.push(Part::Text(rest.to_string()));
        }
        Ok(Template { source: source.to_string(), parts })
    }

    /// A template made of these parts.
    pub(super) fn of(parts: Vec<Part>) -> Template {
        let source = parts.iter().map(|it| match it {
            Part::Text(text) => text.clone(),
            Part::Expression(expression) => format!("{{{{ {expression} }}}}"),
        });
        Template { source: source.collect(), parts }
    }

    pub fn source(&self) -> &str {
        &self.source
    }

    pub fn parts(&self) -> &[Part] {
        &self.parts
    }

    pub fn expressions(&self) -> impl Iterator<Item = &Expression> {
        self.parts.iter().filter_map(|part| match part {
            Part::Text(_) => None,
            Part::Expression(expression) => Some(expression),
        })
    }

    /// Replaces every `{{ }}` by its value, without quoting. Used for argument lists and variables.
    pub fn render(&self, values: &Values<'_>) -> Result<String> {
        self.render_with(values, |text| text)
    }

    /// Replaces every `{{ }}` by exactly one quoted shell word, or by part of a word if it touches other text.
    ///
    /// Only valid for a template that `shell::check` has accepted.
    pub fn shell_render(&self, values: &Values<'_>) -> Result<String> {
        self.render_with(values, |text| quote(&text))
    }

    /// Like `render`, but a template that consists of a single `{{ }}` keeps the type of its value.
    pub fn render_json(&self, values: &Values<'_>) -> Result<serde_json::Value> {
        match &self.parts[..] {
            [Part::Expression(expression)] => {
                expression.value(values).map(|it| it.into_owned()).map_err(|it| self.refuse(it))
            }
            _ => self.render(values).map(serde_json::Value::from),
        }
    }

    fn render_with(&self, values: &Values<'_>, quote: impl Fn(String) -> String) -> Result<String> {
        let mut rendered = String::with_capacity(self.source.len());
        for part in &self.parts {
            match part {
                Part::Text(text) => rendered.push_str(text),
                Part::Expression(expression) => {
                    let text = expression.text(values).map_err(|it| self.refuse(it))?;
                    rendered.push_str(&quote(text));
                }
            }
        }
        if rendered.contains('\0') {
            return Err(self.refuse("the value contains NUL, which arguments and variables can't".into()));
        }
        Ok(rendered)
    }

    fn refuse(&self, message: String) -> Error {
        Error::Template { template: shorten(&self.source), message, hint: None }
    }
}

/// Renders every text inside a JSON value. Keys are not rendered.
pub fn render_json(value: &serde_json::Value, values: &Values<'_>) -> Result<serde_json::Value> {
    use serde_json::Value;
    Ok(match value {
        Value::String(text) => Template::parse(text)?.render_json(values)?,
        Value::Array(list) => list.iter().map(|it| render_json(it, values)).collect::<Result<Value>>()?,
        Value::Object(map) => {
            let rendered = map.iter().map(|(key, it)| Ok((key.clone(), render_json(it, values)?)));
            Value::Object(rendered.collect::<Result<_>>()?)
        }
        other => other.clone(),
    })
}

/// The position of the closing `}}`. Braces inside quotes do not count.
fn closing(inside: &str) -> Option<usize> {
    let trimmed = inside.trim_start();
    let Some(quote) = trimmed.chars().next().filter(|it| matches!(it, '\'' | '"')) else {
        return inside.find("}}");
    };
    let begin = inside.len() - trimmed.len() + 1;
    let end = begin + inside[begin..].find(quote)? + 1;
    inside[end..].find("}}").map(|at| end + at)
}

fn shorten(source: &str) -> String {
    match source.char_indices().nth(80) {
        Some((at, _)) => format!("{}...", &source[..at]),
        None => source.to_string(),
    }
}

impl fmt::Display for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.source)
    }
}

impl Serialize for Template {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.source)
    }
}

impl<'de> Deserialize<'de> for Template {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Template, D::Error> {
        Template::parse(&String::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        definition::expression::Input,
        model::{GroupId, RunId, StepId, Token},
    };
    use serde_json::json;
    use std::{borrow::Cow, collections::BTreeMap};

    fn values() -> Values<'static> {
        let input = Input { dir: Some("/o/fetch".into()), value: Some(json!({"rows": [1, 2]})), ..Input::default() };
        Values {
            item: Some(Cow::Owned(json!({"name": "ü", "n": 3}))),
            params: Some(Cow::Owned(json!({"chunk": {"size": 400}, "none": null}))),
            out: Some("/o/here".into()),
            inputs: BTreeMap::from([("fetch".to_string(), input)]),
            group: Some(GroupId(1)),
            run: Some(RunId(2)),
            step: Some(StepId(3)),
            attempt: Some(4),
            token: Some(Token(5)),
            hook: None,
            env: BTreeMap::from([("HOST".to_string(), "h".to_string())]),
        }
    }

    #[test]
    fn every_name_renders() {
        for (source, rendered) in [
            ("plain", "plain"),
            ("", ""),
            ("{{item.name}}-{{ item.n }}", "ü-3"),
            ("{{ item }}", r#"{"name":"ü","n":3}"#),
            ("{{ params.chunk.size }} {{ params.none }}.", "400 ."),
            ("{{ out }}/x", "/o/here/x"),
            ("{{ inputs.fetch.dir }} {{ inputs.fetch.value.rows.1 }}", "/o/fetch 2"),
            ("{{ group }} {{ run }} {{ step }} {{ attempt }} {{ token }}", "g1 r2 s3 4 5"),
            ("{{ env.HOST }}", "h"),
            ("{{ '{{.Names}}' }}", "{{.Names}}"),
            ("}} and { {", "}} and { {"),
        ] {
            assert_eq!(Template::parse(source).unwrap().render(&values()).unwrap(), rendered, "{source}");
        }
    }

    #[test]
    fn a_wrong_name_is_refused_with_the_right_one() {
        for (source, hint) in [
            ("{{ itme }}", "did you mean `item`?"),
            (
                "{{ inputs.fetch.path }}",
                "write {{ inputs.STEP.dir }}, {{ inputs.STEP.value }} or {{ inputs.STEP.status }}",
            ),
            ("{{ out.dir }}", "write {{ out }}"),
            ("{{ env }}", "write {{ env.NAME }}"),
            ("{{ item", "close it with `}}`; to write `{{` itself, write {{ '{{' }}"),
            ("{{ params.a b }}", "write names with dots: {{ params.chunk.size }}"),
        ] {
            assert_eq!(Template::parse(source).unwrap_err().hint(), Some(hint), "{source}");
        }
    }

    #[test]
    fn a_missing_value_is_an_error_that_names_it() {
        for (source, message) in [
            ("{{ params.chunk.sise }}", "`params.chunk` has no `sise`; did you mean `size`?"),
            ("{{ item.name.x }}", "`item.name` has no fields, so no `x`"),
            ("{{ event }}", "`event` has no value here"),
            ("{{ inputs.other.dir }}", "`inputs.other.dir` has no value here"),
            ("{{ inputs.fetch.value.rows.9 }}", "`inputs.fetch.value.rows` has no `9`: it is a list of 2"),
        ] {
            let error = Template::parse(source).unwrap().render(&values()).unwrap_err();
            assert!(error.to_string().ends_with(message), "{error}");
        }
    }

    #[test]
    fn a_lone_expression_in_json_keeps_its_type() {
        let with = json!({"size": "{{ params.chunk.size }}", "name": "n{{ item.n }}", "list": ["{{ item.n }}", 7]});
        let rendered = render_json(&with, &values()).unwrap();
        assert_eq!(rendered, json!({"size": 400, "name": "n3", "list": [3, 7]}));
    }

    #[test]
    fn nul_is_refused() {
        let values = Values { item: Some(Cow::Owned(json!("a\0b"))), ..Values::default() };
        assert!(Template::parse("{{ item }}").unwrap().render(&values).is_err());
        assert!(Template::parse("echo {{ item }}").unwrap().shell_render(&values).is_err());
    }
}
