//! A step that starts runs of its own: one for each element of a list, or one of another workflow.

use super::condition::Elements;
use crate::model::Tolerate;
use serde::{Deserialize, Serialize};

/// What such a step starts. `W` is a workflow.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ChildrenOf<W> {
    /// The source of the list. None: one run, for the item of the step's own run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub each: Option<Each>,
    /// The workflow run for each element. It is stored in full, because the file that it came from may change later.
    pub workflow: W,
    /// The step itself defines the action for each element; the workflow has one step with the same name.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub inline: bool,
    /// The most runs at the same time. None: limited only by free slots.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at_most: Option<u32>,
    /// How many runs may fail before the step fails.
    #[serde(default, skip_serializing_if = "Tolerate::is_usual")]
    pub tolerate: Tolerate,
}

/// Where a list comes from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Each {
    /// An expression.
    List(Elements),
    /// A file of an earlier step: `inputs.STEP.files["NAME"]`.
    File { step: String, name: String },
}

impl Each {
    /// Parses a `for_each` value. On error, returns the problem and a suggestion.
    pub fn parse(source: &str) -> Result<Each, (String, Option<String>)> {
        match file(source.trim()) {
            Some((step, name)) if name.is_empty() => {
                Err((format!("the name of the file of step `{step}` is empty"), Some(hint(&step))))
            }
            Some((step, name)) => Ok(Each::File { step, name }),
            None if of_step(source.trim()).is_some_and(|(_, rest)| rest.starts_with(".files")) => {
                let message = format!("`{}` is not a file of an earlier step", source.trim());
                Err((message, Some(hint("split"))))
            }
            None => Elements::parse(source).map(Each::List),
        }
    }

    /// As written in a workflow file.
    pub fn source(&self) -> String {
        match self {
            Each::List(list) => list.source().to_string(),
            Each::File { step, name } => format!("{}.files[{}]", input(step), serde_json::json!(name)),
        }
    }

    /// Refuses the name of a step that is not among `needs`.
    pub fn check(&self, needs: &[&str]) -> Result<(), (String, Option<String>)> {
        match self {
            Each::List(list) => list.check(needs),
            Each::File { step, .. } if needs.contains(&step.as_str()) => Ok(()),
            Each::File { step, .. } => {
                let hint = "list the step in `needs`".to_string();
                Err((format!("`inputs.{step}` is not among the steps that this one needs"), Some(hint)))
            }
        }
    }

    pub fn asks_for_item(&self) -> bool {
        matches!(self, Each::List(list) if list.asks_for_item())
    }

    /// The parameters without which the list can't be evaluated.
    pub fn parameters(&self) -> Vec<String> {
        match self {
            Each::List(list) => list.parameters(),
            Each::File { .. } => Vec::new(),
        }
    }
}

fn hint(step: &str) -> String {
    format!("write `inputs.{step}.files[\"list.txt\"]`: a text file, or a file of JSON lines that ends in `.jsonl`")
}

fn input(step: &str) -> String {
    match step.chars().all(|it| it.is_ascii_alphanumeric() || it == '_') {
        true => format!("inputs.{step}"),
        false => format!("inputs[{}]", serde_json::json!(step)),
    }
}

/// The step and file name in `inputs.STEP.files["NAME"]` or `inputs["STEP"].files["NAME"]`.
fn file(source: &str) -> Option<(String, String)> {
    let (step, rest) = of_step(source)?;
    let (name, rest) = quoted(rest.strip_prefix(".files")?)?;
    rest.is_empty().then_some((step, name))
}

/// The step in `inputs.STEP`, and the rest of the text.
fn of_step(source: &str) -> Option<(String, &str)> {
    let rest = source.strip_prefix("inputs")?;
    let (step, rest) = match rest.strip_prefix('.') {
        Some(rest) => {
            let (step, rest) = rest.split_at(rest.find('.')?);
            (step.trim().to_string(), rest)
        }
        None => quoted(rest)?,
    };
    let fits = |it: char| it.is_alphanumeric() || matches!(it, '_' | '-');
    (!step.is_empty() && step.chars().all(fits)).then_some((step, rest))
}

/// The text in `["TEXT"]` or `['TEXT']` at the start, and the rest.
fn quoted(text: &str) -> Option<(String, &str)> {
    let inner = text.trim_start().strip_prefix('[')?.trim_start();
    let quote = inner.chars().next().filter(|it| matches!(it, '"' | '\''))?;
    let inner = &inner[1..];
    let end = inner.find(quote)?;
    let rest = inner[end + 1..].trim_start().strip_prefix(']')?;
    let name = &inner[..end];
    match quote == '"' && name.contains('\\') {
        true => Some((serde_json::from_str(&format!("\"{name}\"")).ok()?, rest)),
        false => Some((name.to_string(), rest)),
    }
}

impl TryFrom<String> for Each {
    type Error = String;

    fn try_from(source: String) -> Result<Each, String> {
        Each::parse(&source).map_err(|it| it.0)
    }
}

impl From<Each> for String {
    fn from(it: Each) -> String {
        it.source()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_of_a_step_is_told_from_an_expression() {
        for (source, step, name) in [
            ("inputs.split.files[\"pages.txt\"]", "split", "pages.txt"),
            (" inputs.split.files['a b/c.jsonl'] ", "split", "a b/c.jsonl"),
            ("inputs[\"to-split\"].files[ \"x\" ]", "to-split", "x"),
        ] {
            let each = Each::parse(source).unwrap();
            assert_eq!(each, Each::File { step: step.into(), name: name.into() }, "{source}");
            assert_eq!(Each::parse(&each.source()).unwrap(), each, "{source}");
        }
        for source in ["item.files", "inputs.split.value.files", "inputs.a.value + inputs.b.value"] {
            assert!(matches!(Each::parse(source), Ok(Each::List(_))), "{source}");
        }
        for source in
            ["inputs.split.files", "inputs.split.files[pages]", "inputs.split.files[\"\"]", "inputs.a.files[\"x\"][0]"]
        {
            assert!(Each::parse(source).is_err(), "{source}");
        }
    }
}
