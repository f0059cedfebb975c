//! An expression with a text or another value as its result, in the expression language of conditions.

use super::{MOST_BYTES, check, facts::Facts, judge, parse, problem::Problem};
use parse::{Node, walk};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Evaluated once, when its step starts.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Formula {
    source: String,
    root: Node,
}

impl Formula {
    /// Parses an expression of any type. Names of steps are not checked here; see `check_text`.
    pub fn parse(source: &str) -> Result<Formula, Problem> {
        let source = source.trim();
        if source.is_empty() {
            return Err(("an expression is missing".into(), None));
        }
        if source.len() > MOST_BYTES {
            return Err((format!("an expression may have {MOST_BYTES} bytes, this one has {}", source.len()), None));
        }
        let root = parse::parse(source)?;
        check::type_of(&root)?;
        Ok(Formula { source: source.to_string(), root })
    }

    /// As written.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// Refuses the name of a step that is not among `needs`, and a result that can't be a text.
    pub fn check_text(&self, needs: &[&str]) -> Result<(), Problem> {
        check::text(&self.root)?;
        check::inputs(&self.root, needs)
    }

    /// Whether it uses the item.
    pub fn asks_for_item(&self) -> bool {
        let mut asks = false;
        walk(&self.root, &mut |node| asks |= *node == Node::Name("item".into()));
        asks
    }

    /// Its value, or the problem if there is none.
    pub fn value(&self, facts: &Facts<'_>) -> Result<Value, String> {
        Ok(judge::judge(&self.root, facts)?.into_owned())
    }
}

impl TryFrom<String> for Formula {
    type Error = String;

    fn try_from(source: String) -> Result<Formula, String> {
        Formula::parse(&source).map_err(|it| it.0)
    }
}

impl From<Formula> for String {
    fn from(it: Formula) -> String {
        it.source
    }
}
