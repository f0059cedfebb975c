//! Which names a template may use, depending on its place.

use crate::definition::{expression::Expression, yaml::did_you_mean};

/// The problem, and a suggestion.
pub type Problem = (String, Option<String>);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// In a step; rendered when an attempt starts.
    Step,
    /// In a step that follows all runs of a group.
    Collect,
    /// Rendered at submit, before any attempt.
    Submit,
    /// In a hook; rendered when the hook runs.
    Hook,
}

#[derive(Debug, Clone, Copy)]
pub struct Scope<'a> {
    pub place: Place,
    /// The names of the steps that this one needs.
    pub needs: &'a [&'a str],
    /// The needed steps that store their values in files.
    pub in_files: &'a [&'a str],
    /// The needed steps that start runs of their own.
    pub with_children: &'a [&'a str],
    /// The declared variables.
    pub env: &'a [String],
    /// The declared variables that are made of values.
    pub foreign: &'a [&'a str],
}

impl Scope<'_> {
    /// A scope without earlier steps and variables.
    pub fn of(place: Place) -> Scope<'static> {
        Scope { place, needs: &[], in_files: &[], with_children: &[], env: &[], foreign: &[] }
    }

    pub fn check(&self, expression: &Expression) -> Result<(), Problem> {
        let root = || expression.to_string().split('.').next().unwrap_or_default().to_string();
        match expression {
            Expression::Item(_) if self.place == Place::Collect => {
                let hint = "these steps run once for all items: read `{{ inputs.runs }}`, a file with a line for each";
                Err(("`item` has no value in `collect`".into(), Some(hint.into())))
            }
            Expression::Item(_) | Expression::Params(_) | Expression::Literal(_) => Ok(()),
            _ if self.place == Place::Submit => {
                let hint = "this is rendered at submit: use `item` and `params`";
                Err((format!("`{}` has no value here", root()), Some(hint.into())))
            }
            Expression::Event | Expression::GroupFact(_) if self.place != Place::Hook => {
                let hint = "use `group`, `run`, `step` or `item`";
                Err((format!("`{expression}` has a value only in hooks"), Some(hint.into())))
            }
            Expression::Out
            | Expression::InputDir(_)
            | Expression::InputValue(..)
            | Expression::InputStatus(_)
            | Expression::InputChildren(_)
            | Expression::Token
                if self.place == Place::Hook =>
            {
                let hint = "a hook has `group`, `group.status`, `group.name`, `group.failed`, `group.total`, `group.reasons`, `run`, \
                            `step`, `event`, `item`, `params` and `env`";
                Err((format!("`{}` has no value in a hook", root()), Some(hint.into())))
            }
            Expression::InputDir(step)
            | Expression::InputValue(step, _)
            | Expression::InputStatus(step)
            | Expression::InputChildren(step)
                if !self.needs.contains(&step.as_str()) =>
            {
                let hint = match self.needs {
                    [] => "this step needs no other: list the step in `needs`".to_string(),
                    needs => format!("{} (or list it in `needs`)", did_you_mean(step, needs.iter().copied())),
                };
                Err((format!("`inputs.{step}` is not among the steps that this one needs"), Some(hint)))
            }
            Expression::InputChildren(step) if !self.with_children.contains(&step.as_str()) => {
                let message = format!("step `{step}` has no children: it has neither `for_each` nor `workflow`");
                Err((message, Some(format!("write {{{{ inputs.{step}.dir }}}} or {{{{ inputs.{step}.value }}}}"))))
            }
            Expression::InputValue(step, _) if self.in_files.contains(&step.as_str()) => {
                let hint = format!("read the file {{{{ inputs.{step}.dir }}}}/value");
                Err((format!("the value of step `{step}` is in a file"), Some(hint)))
            }
            Expression::Env(name) if !self.env.contains(name) => {
                let hint = match self.env {
                    [] => format!("declare it: `env: {{ {name}: ... }}`"),
                    env => did_you_mean(name, env.iter().map(String::as_str)),
                };
                Err((format!("`env.{name}` is not declared in `env:`"), Some(hint)))
            }
            _ => Ok(()),
        }
    }
}
