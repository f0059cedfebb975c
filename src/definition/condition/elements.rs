//! The list of a `for_each`, in the expression language of conditions.

use super::{
    expression::{Expression, Kind, Wanted},
    facts::Facts,
    judge,
};
use serde_json::Value;

/// The list of a step.
pub type Elements = Expression<List>;

/// The result of a `for_each`: a list.
#[derive(Debug, Clone, PartialEq)]
pub struct List;

impl Kind for List {
    const NAME: &str = "a list";
    const EXAMPLE: &str = "inputs.split.value.pages";
    const RESULT: Wanted = Wanted::List;
}

impl Elements {
    /// The elements, or the problem if the result is not a list.
    pub fn judge(&self, facts: &Facts<'_>) -> Result<Vec<Value>, String> {
        match judge::judge_list(&self.root, facts)?.into_owned() {
            Value::Array(all) => Ok(all),
            other => Err(format!("it is {}, not a list", judge::kind(&other))),
        }
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
            ("item", Err("it is an object, not a list")),
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
