//! Collects the templates of a step, a hook or a JSON value.

use super::{
    error::Result,
    template::Template,
    workflow::{Action, Env},
};

/// The templates in the action of a step or hook.
pub(super) fn action_templates(action: &Action, env: &Env, with: &serde_json::Value) -> Result<Vec<Template>> {
    let mut found: Vec<Template> = env.values().flatten().cloned().collect();
    match action {
        Action::Run(command) => found.extend_from_slice(command.templates()),
        Action::Wait(wait) => found.extend(wait.template().cloned()),
        Action::Uses(_) | Action::Worker { .. } | Action::Children(_) => (),
    }
    texts(with, &mut found)?;
    Ok(found)
}

/// Every text inside a JSON value, as a template.
pub(super) fn texts(value: &serde_json::Value, found: &mut Vec<Template>) -> Result<()> {
    match value {
        serde_json::Value::String(text) => found.push(Template::parse(text)?),
        serde_json::Value::Array(list) => list.iter().try_for_each(|it| texts(it, found))?,
        serde_json::Value::Object(map) => map.values().try_for_each(|it| texts(it, found))?,
        _ => (),
    }
    Ok(())
}
