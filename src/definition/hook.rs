//! A hook as a step, in a pool of its own.

use super::{
    webhook::{self, Webhook},
    workflow::{Action, Definition, HookDefinition, StepDefinition},
    written::written_hook,
};
use crate::model::HOOK_TYPE;
use serde_json::Value;
use std::collections::BTreeMap;

fn named(owner: String, action: &Action, env: &BTreeMap<String, String>, with: &Value) -> Vec<(String, String)> {
    let mut found: Vec<String> = env.values().cloned().collect();
    if matches!(action, Action::Uses(kind) if kind == webhook::KIND) {
        found.extend(Webhook::of(with).map(|it| it.secrets()).unwrap_or_default());
    }
    found.into_iter().map(|it| (owner.clone(), it)).collect()
}

impl HookDefinition {
    /// The result of a hook is never cached.
    fn as_step(&self) -> StepDefinition {
        let step = StepDefinition::new(&self.name, self.action.clone());
        StepDefinition {
            step_type: HOOK_TYPE.into(),
            retries: self.retries,
            backoff: self.backoff,
            timeout: self.timeout,
            max_crashes: self.max_crashes.unwrap_or(step.max_crashes),
            with: self.with.clone(),
            env: self.env.clone(),
            secrets: self.secrets.clone(),
            cache: Some(false),
            ..step
        }
    }
}

impl Definition {
    /// The names of the secrets that its steps and hooks need, each with its user.
    pub fn secrets(&self) -> Vec<(String, String)> {
        let step = |it: &StepDefinition| named(format!("step `{}`", it.name), &it.action, &it.secrets, &it.with);
        let hook = |it: &HookDefinition| named(format!("hook `{}`", it.name), &it.action, &it.secrets, &it.with);
        self.steps.iter().flat_map(step).chain(self.hooks.values().flatten().flat_map(hook)).collect()
    }

    /// One hook of `written`, numbered over all events in order; null if the number does not exist.
    pub fn written_hook(&self, no: usize) -> Value {
        self.hooks.values().flatten().nth(no).map_or(Value::Null, |it| Value::Object(written_hook(it)))
    }

    /// The definition with one of its hooks, numbered over all events in order, as its last step. None if it has no
    /// such hook.
    pub fn with_hook(&self, no: usize) -> Option<Definition> {
        let hook = self.hooks.values().flatten().nth(no)?;
        let mut with_hook = self.clone();
        with_hook.add_step(hook.as_step());
        Some(with_hook)
    }
}
