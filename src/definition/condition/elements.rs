//! The list of a `for_each`, in the expression language of conditions.

use super::{Condition, Facts, Problem, asks_for_item, check, judge, parameters, parse::Node, read};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Evaluated once, when its step starts.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Elements {
    source: String,
    root: Node,
}

impl Elements {
    /// Parses a list. Names of steps are not checked here; see `check`.
    pub fn parse(source: &str) -> Result<Elements, Problem> {
        let (source, root) = read(source, "a list", "inputs.split.value.pages")?;
        check::list(&root)?;
        Ok(Elements { source, root })
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

    /// The parameters without which it can't be evaluated.
    pub fn parameters(&self) -> Vec<String> {
        parameters(&self.root)
    }

    /// The elements, or the problem if the result is not a list.
    pub fn judge(&self, facts: &Facts<'_>) -> Result<Vec<Value>, String> {
        match judge::judge_list(&self.root, facts)?.into_owned() {
            Value::Array(all) => Ok(all),
            other => Err(format!("it is {}, which is no list", judge::kind(&other))),
        }
    }

    /// The values of the names in it, for people. See `Condition::seen`.
    pub fn seen(&self, facts: &Facts<'_>) -> serde_json::Map<String, Value> {
        Condition { source: self.source.clone(), root: self.root.clone() }.seen(facts)
    }
}

impl TryFrom<String> for Elements {
    type Error = String;

    fn try_from(source: String) -> Result<Elements, String> {
        Elements::parse(&source).map_err(|it| it.0)
    }
}

impl From<Elements> for String {
    fn from(it: Elements) -> String {
        it.source
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use std::{borrow::Cow, collections::BTreeMap};

    #[test]
    fn a_list_is_judged_and_what_is_none_is_refused() {
        let facts = Facts {
            item: Cow::Owned(json!({"pages": [1, 2]})),
            params: Cow::Owned(json!({"n": "3"})),
            inputs: BTreeMap::from([("split".to_string(), (json!({"names": ["a", "b"]}), "completed"))]),
            run_failed: false,
        };
        for (source, list) in [
            ("item.pages", Ok(json!([1, 2]))),
            (
                "inputs.split.value.names.map(it, {\"name\": it, \"of\": item.pages[0]})",
                Ok(json!([{"name": "a", "of": 1}, {"name": "b", "of": 1}])),
            ),
            ("[]", Ok(json!([]))),
            ("item", Err("it is an object, which is no list")),
            ("inputs.split.value.pages", Err("there is no field `pages`")),
        ] {
            let judged = Elements::parse(source).unwrap().judge(&facts);
            match (judged, list) {
                (Ok(judged), Ok(list)) => assert_eq!(Value::Array(judged), list, "{source}"),
                (Err(judged), Err(said)) => assert!(judged.contains(said), "{source}: {judged}"),
                (judged, _) => panic!("{source}: {judged:?}"),
            }
        }
        for (source, said) in [
            ("3", "takes a list, this is a number"),
            ("item.pages == [1]", "takes a list, this is true or false"),
            ("{{ item.pages }}", "without `{{ }}`"),
            (" ", "a list is missing"),
        ] {
            let (refused, _) = Elements::parse(source).unwrap_err();
            assert!(refused.contains(said), "{source}: {refused}");
        }
    }
}
