//! When a workflow starts on its own, and with which items, as its file declares.

use super::recurrence::{Problem, Recurrence};
use crate::{
    decide::schedule::{CatchUp, Rule},
    model::{Millis, Timestamp},
};
use serde::{Deserialize, Serialize};

/// `schedule:` of a workflow file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Schedule {
    #[serde(flatten)]
    pub when: When,
    /// A name in the system's time zone database. None: the local zone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub zone: Option<String>,
    /// A firing can be this much later than its instant.
    #[serde(default)]
    pub jitter: Millis,
    #[serde(default)]
    pub catch_up: CatchUp,
    /// Older instants are not caught up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub within: Option<Millis>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum When {
    Cron(String),
    Every(Millis),
}

impl Schedule {
    /// The instants of the schedule. Intervals are counted from `anchor`.
    pub fn recurrence(&self, anchor: Timestamp) -> Result<Recurrence, Problem> {
        match &self.when {
            When::Cron(expression) => Recurrence::cron(expression, self.zone.as_deref()),
            When::Every(interval) => Recurrence::every(*interval, anchor),
        }
    }

    pub fn rule(&self) -> Rule {
        Rule { catch_up: self.catch_up, within: self.within }
    }

    /// A short description for people: `0 2 * * * (Europe/Berlin)`, `every 15m`.
    pub fn words(&self) -> String {
        match (&self.when, &self.zone) {
            (When::Cron(expression), Some(zone)) => format!("{expression} ({zone})"),
            (When::Cron(expression), None) => expression.clone(),
            (When::Every(interval), _) => format!("every {interval}"),
        }
    }
}

/// `items_from:` of a workflow file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ItemsFrom {
    List(Vec<String>),
    /// The files that match a pattern, sorted by name.
    Glob(String),
    /// A file with one item per line.
    File(String),
    /// The lines that a shell command prints.
    Command(String),
}
