//! Parses and validates workflows and parameter sets in YAML; templates and their quoting.
//!
//! May import: `model`, `decide`, `settings`. Never: reads the database or runs anything.

mod canonical;
pub mod catalog;
mod children;
mod concurrency;
mod condition;
mod difference;
mod error;
mod expression;
mod graph;
mod hook;
mod inner;
mod parameters;
mod quote;
mod read;
mod reads;
pub mod recurrence;
mod required;
mod resources;
pub mod schedule;
mod secret;
mod shell;
mod template;
mod templates;
mod unquoted;
mod wait;
pub mod watch;
pub mod webhook;
mod workflow;
mod written;
mod written_worker;
mod yaml;
mod yaml_text;

pub use canonical::{canonical_json, digest};
pub use children::Each;
pub use condition::{Condition, Facts, Formula};
pub use error::{Error, Result};
pub use expression::{Expression, Input, Values};
pub use parameters::{BUILTIN_PARAMETERS, ParameterSet, STAGES};
pub use parameters::{PARAMETERS, Parameter};
pub use read::{KnownKinds, WorkflowFile, parse, parse_alerts, parse_file};
pub use reads::Named;
pub use required::with_parameters;
pub use resources::Rendered;
pub use secret::{MASK, is_secret_name, is_secret_variable, masked, masked_text};
pub use template::{Part, Template, render_json};
pub use wait::{Time, Wait, WaitLimit};
pub use workflow::{
    Action, Background, Children, Command, Definition, Env, HookDefinition, StepDefinition, StepLimits, Unit,
    ValueForm, WorkerDefinition, is_as_stored,
};
pub use written::{shown_json, variables};
pub use yaml_text::yaml_text;
