//! The inputs that a workflow requires: parameters, items and results of earlier steps.

use super::{
    condition::Condition,
    error::{Error, Result},
    expression::{Expression, Values},
    template::Template,
    templates::action_templates,
    wait::{Time, Wait},
    workflow::{Action, Definition, StepDefinition},
};

use std::collections::BTreeSet;

impl StepDefinition {
    /// The names of the steps that its templates refer to.
    pub fn inputs_required(&self) -> Result<Vec<String>> {
        let templates = action_templates(&self.action, &self.env, &self.with)?;
        let names = templates.iter().flat_map(Template::expressions).filter_map(|it| match it {
            Expression::InputDir(step)
            | Expression::InputValue(step, _)
            | Expression::InputStatus(step)
            | Expression::InputChildren(step) => Some(step.clone()),
            _ => None,
        });
        Ok(names.collect())
    }

    /// Whether a template of the step uses the directory of this earlier step.
    pub fn asks_for_dir(&self, step: &str) -> Result<bool> {
        let templates = action_templates(&self.action, &self.env, &self.with)?;
        let mut expressions = templates.iter().flat_map(Template::expressions);
        Ok(expressions.any(|it| matches!(it, Expression::InputDir(name) if name == step)))
    }

    /// The parameters without which its condition, its list or its time can't be evaluated.
    fn parameters_of_formulas(&self) -> Vec<String> {
        let mut required: Vec<String> = self.when.iter().flat_map(Condition::parameters).collect();
        match &self.action {
            Action::Children(children) => required.extend(children.each.iter().flat_map(|it| it.parameters())),
            Action::Wait(Wait::Until(Time::Formula(formula))) => required.extend(formula.parameters()),
            _ => {}
        }
        required
    }

    pub(super) fn templates(&self) -> Result<Vec<Template>> {
        let mut found = action_templates(&self.action, &self.env, &self.with)?;
        found.extend(self.resource_key.clone());
        found.extend(self.takes.templates().cloned());
        found.extend(self.cache_files.iter().flatten().cloned());
        Ok(found)
    }
}

impl Definition {
    /// Checks that `params` has every parameter that a template uses. Called at submit.
    pub fn check_parameters(&self, params: &serde_json::Value) -> Result<()> {
        let values = Values { params: Some(std::borrow::Cow::Borrowed(params)), ..Values::default() };
        for step in &self.steps {
            if let Action::Children(children) = &step.action {
                children.workflow.check_parameters(&with_parameters(params, &step.with))?;
            }
            if let Some(name) = step.parameters_of_formulas().into_iter().find(|it| params.get(it).is_none()) {
                let hint = format!(
                    "the condition, list or time of step `{}` needs it: set it with `--param`, or ask `has(params.{name})` first",
                    step.name
                );
                let key = format!("params.{name}");
                return Err(Error::Parameter { key, message: "it is missing".into(), hint: Some(hint) });
            }
        }
        if let Some(collect) = &self.collect {
            collect.check_parameters(params)?;
        }
        for (owner, template) in self.templates()? {
            for expression in template.expressions().filter(|it| matches!(it, Expression::Params(_))) {
                expression.value(&values).map_err(|message| {
                    let hint = Some(format!("{owner} needs it; set it with `--param` or a parameter set"));
                    Error::Parameter { key: expression.to_string(), message, hint }
                })?;
            }
        }
        Ok(())
    }

    /// The parameters that its templates and conditions read, in alphabetical order.
    pub fn parameters(&self) -> Result<Vec<String>> {
        let mut found = BTreeSet::new();
        for step in &self.steps {
            found.extend(step.parameters_of_formulas());
            if let Action::Children(children) = &step.action {
                let own = step.with.as_object();
                let inner = children.workflow.parameters()?.into_iter();
                found.extend(inner.filter(|it| own.is_none_or(|own| !own.contains_key(it))));
            }
        }
        if let Some(collect) = &self.collect {
            found.extend(collect.parameters()?);
        }
        for (_, template) in self.templates()? {
            found.extend(template.expressions().filter_map(|it| match it {
                Expression::Params(path) => path.first().cloned(),
                _ => None,
            }));
        }
        Ok(found.into_iter().collect())
    }

    /// Whether a template uses the item, so that a run without an item makes no sense.
    pub fn asks_for_item(&self) -> Result<bool> {
        let templates = self.templates()?;
        let mut expressions = templates.iter().flat_map(|(_, it)| it.expressions());
        let judged = self.steps.iter().any(|it| {
            it.when.as_ref().is_some_and(Condition::asks_for_item)
                || matches!(&it.action, Action::Wait(Wait::Until(Time::Formula(formula))) if formula.asks_for_item())
        });
        for step in &self.steps {
            let Action::Children(children) = &step.action else { continue };
            let asks = match &children.each {
                Some(each) => each.asks_for_item(),
                // The single child run has the item of this run.
                None => children.workflow.asks_for_item()?,
            };
            if asks {
                return Ok(true);
            }
        }
        Ok(judged || expressions.any(|it| matches!(it, Expression::Item(_))))
    }

    /// Every template, with its owner.
    fn templates(&self) -> Result<Vec<(String, Template)>> {
        let own = self.concurrency.iter().map(|it| ("`concurrency`".to_string(), it.group.clone()));
        let mut found: Vec<_> = own.collect();
        for step in &self.steps {
            let own = step.templates()?.into_iter().map(|it| (format!("step `{}`", step.name), it));
            found.extend(own);
        }
        for hook in self.hooks.values().flatten() {
            let own = action_templates(&hook.action, &hook.env, &hook.with)?;
            found.extend(own.into_iter().map(|it| (format!("hook `{}`", hook.name), it)));
        }
        Ok(found)
    }
}

/// The parameters of a child workflow: those of the parent, overridden by what the step sets in `with`.
pub fn with_parameters(params: &serde_json::Value, with: &serde_json::Value) -> serde_json::Value {
    let mut all = params.clone();
    if let (serde_json::Value::Object(all), serde_json::Value::Object(own)) = (&mut all, with) {
        all.extend(own.clone());
    }
    all
}
