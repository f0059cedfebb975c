//! Waits that hold no worker: for a person, a time or a signal.

use super::{condition::Formula, error::Result, expression::Values, template::Template};
use crate::model::{Millis, Otherwise};
use serde::{Deserialize, Serialize};

/// What a step waits for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Wait {
    /// A person who approves or rejects.
    Approve {
        /// The question.
        ask: Template,
        #[serde(default)]
        limit: WaitLimit,
    },
    /// A duration, counted from the start of the step.
    For(Template),
    /// A point in time.
    Until(Time),
    /// A signal sent to its group or run.
    Signal {
        name: String,
        #[serde(default)]
        limit: WaitLimit,
    },
}

/// A time that is known only when the step starts.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Time {
    /// As a template.
    Text(Template),
    /// As an expression that gives its text.
    Formula(Formula),
}

/// How long a step waits at most, and what happens then.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct WaitLimit {
    /// None: no limit.
    pub within: Option<Millis>,
    pub otherwise: Otherwise,
}

impl Default for WaitLimit {
    fn default() -> WaitLimit {
        WaitLimit { within: None, otherwise: Otherwise::Fail }
    }
}

impl Wait {
    /// Its key in a workflow file.
    pub fn key(&self) -> &'static str {
        match self {
            Wait::Approve { .. } => "approve",
            Wait::For(_) => "wait",
            Wait::Until(_) => "wait_until",
            Wait::Signal { .. } => "signal",
        }
    }

    /// The word in a workflow file for what happens when the time is up.
    pub fn otherwise_word(&self, otherwise: Otherwise) -> &'static str {
        match (self, otherwise) {
            (Wait::Approve { .. }, Otherwise::Complete) => "approve",
            (Wait::Approve { .. }, Otherwise::Fail) => "reject",
            (_, Otherwise::Complete) => "continue",
            (_, Otherwise::Fail) => "fail",
        }
    }

    /// Its template, if it has one.
    pub fn template(&self) -> Option<&Template> {
        match self {
            Wait::Approve { ask: template, .. } | Wait::For(template) | Wait::Until(Time::Text(template)) => {
                Some(template)
            }
            Wait::Until(Time::Formula(_)) | Wait::Signal { .. } => None,
        }
    }

    /// Its template, rendered.
    pub fn render(&self, values: &Values<'_>) -> Result<Option<String>> {
        self.template().map(|it| it.render(values)).transpose()
    }

    /// For people, with the values that are known so far.
    pub fn shown(&self, values: &Values<'_>) -> String {
        let text = match self {
            Wait::Until(Time::Formula(formula)) => formula.source().to_string(),
            Wait::Signal { name, .. } => name.clone(),
            Wait::Approve { ask: it, .. } | Wait::For(it) | Wait::Until(Time::Text(it)) => {
                it.shown(values, str::to_string)
            }
        };
        format!("{}: {text}", self.key())
    }

    /// As in a workflow file.
    pub fn written(&self) -> serde_json::Value {
        let limited = |first: (&str, &str), limit: &WaitLimit| match limit.within {
            None if first.0 == "name" => serde_json::json!(first.1),
            None => serde_json::json!({first.0: first.1}),
            Some(within) => {
                let otherwise = self.otherwise_word(limit.otherwise);
                serde_json::json!({first.0: first.1, "within": within, "otherwise": otherwise})
            }
        };
        match self {
            Wait::Approve { ask, limit } => limited(("ask", ask.source()), limit),
            Wait::For(template) | Wait::Until(Time::Text(template)) => template.source().into(),
            Wait::Until(Time::Formula(formula)) => formula.source().into(),
            Wait::Signal { name, limit } => limited(("name", name), limit),
        }
    }
}
