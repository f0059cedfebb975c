//! Texts with templates in them: commands, `with:` and variables.

use super::{
    Reader,
    scope::{Problem, Scope},
};
use crate::{
    definition::{
        error::Result,
        expression::Expression,
        shell,
        template::Template,
        templates::texts,
        workflow::{Action, Env},
        yaml::{Fields, Key, Node, Value},
    },
    settings::is_secret_file_name,
};
use std::collections::BTreeMap;

impl Reader<'_> {
    pub(super) fn template(&self, node: &Node, what: &str, scope: Scope<'_>) -> Result<Template> {
        let text = self.source.text(node, what)?;
        let template = self.at(node.line, Template::parse(&text))?;
        template.expressions().try_for_each(|it| scope.check(it)).map_err(|(message, hint)| {
            self.source.refuse(node.line, format!("`{what}`: {message}"), hint.as_deref())
        })?;
        if template.source().contains('\0') {
            return Err(self.source.refuse(node.line, format!("`{what}` contains NUL"), None));
        }
        Ok(template)
    }

    /// Adds file and line to a template error.
    pub(super) fn at<T>(&self, line: u64, result: Result<T>) -> Result<T> {
        result.map_err(|error| {
            let (message, hint) = (error.to_string(), error.hint().map(str::to_string));
            self.source.refuse(line, message, hint.as_deref())
        })
    }

    pub(super) fn with(&self, fields: &Fields<'_>, scope: Scope<'_>) -> Result<serde_json::Value> {
        let Some(node) = fields.get("with") else { return Ok(serde_json::Value::Null) };
        for (_, entry) in self.source.map(node, "with")? {
            let mut found = Vec::new();
            self.at(entry.line, texts(&entry.json(), &mut found))?;
            for expression in found.iter().flat_map(Template::expressions) {
                let refuse = |(message, hint): Problem| self.source.refuse(entry.line, message, hint.as_deref());
                scope.check(expression).map_err(refuse)?;
            }
        }
        Ok(node.json())
    }

    /// The variables, and the names of all declared ones.
    pub(super) fn env(&self, fields: &Fields<'_>) -> Result<(Env, Vec<String>)> {
        let mut env = BTreeMap::new();
        if let Some(node) = fields.get("env") {
            for (key, value) in self.source.map(node, "env")? {
                self.variable_name(key)?;
                if matches!(value.value, Value::Map(_)) {
                    continue;
                }
                let template = match value.value {
                    Value::Null => None,
                    _ => Some(self.at(value.line, Template::parse(&self.source.text(value, &key.name)?))?),
                };
                env.insert(key.name.clone(), template);
            }
        }
        let declared = env.keys().cloned().collect();
        Ok((env, declared))
    }

    /// The variables that are secrets: `TOKEN: { secret: GITHUB_TOKEN }`.
    pub(super) fn secrets(&self, fields: &Fields<'_>, action: &Action) -> Result<BTreeMap<String, String>> {
        let mut secrets = BTreeMap::new();
        let Some(node) = fields.get("env") else { return Ok(secrets) };
        for (key, value) in self.source.map(node, "env")?.iter().filter(|it| matches!(it.1.value, Value::Map(_))) {
            let named = self.source.fields(value, "a variable", &["secret"])?;
            let hint = "write `{ secret: NAME }`, with letters, digits, `_` and `-`";
            let node = named.get("secret");
            let node =
                node.ok_or_else(|| self.source.refuse(value.line, "the variable has no `secret`", Some(hint)))?;
            let name = self.source.text(node, "secret")?;
            if !is_secret_file_name(&name) {
                return Err(self.source.refuse(node.line, "this is not the name of a secret", Some(hint)));
            }
            if !matches!(action, Action::Run(_)) {
                let hint = "pass it to a worker with the worker's own `env`";
                return Err(self.source.refuse(node.line, "a secret in `env` works only with `run`", Some(hint)));
            }
            secrets.insert(key.name.clone(), name);
        }
        Ok(secrets)
    }

    pub(super) fn variable_name(&self, key: &Key) -> Result<()> {
        let begins = key.name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
        if begins && key.name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') {
            return Ok(());
        }
        let hint = "use letters, digits and `_`, and do not begin with a digit";
        Err(self.source.refuse(key.line, format!("`{}` is not a variable name", key.name), Some(hint)))
    }

    /// A variable may use what its step may use, except other variables, because variables have no order.
    pub(super) fn check_env(&self, fields: &Fields<'_>, env: &Env, scope: Scope<'_>) -> Result<()> {
        let line = fields.get("env").map_or(1, |it| it.line);
        let scope = Scope { env: &[], ..scope };
        for (name, template) in env.iter().filter_map(|(name, it)| Some((name, it.as_ref()?))) {
            let Some(danger) = shell::danger(name) else { continue };
            let mut values = template.expressions().filter(|it| shell::is_foreign(it));
            let found = values.find(|it| !(danger == shell::Danger::Finds && matches!(it, Expression::Params(_))));
            if let Some(value) = found {
                let message =
                    format!("`env`: `{{{{ {value} }}}}` is the value of the variable `{name}`, {}", danger.reason());
                return Err(self.source.refuse(line, message, Some(danger.hint())));
            }
        }
        let expressions = env.values().flatten().flat_map(Template::expressions);
        let checked = expressions.map(|it| scope.check(it)).collect::<std::result::Result<Vec<()>, _>>();
        checked
            .map(|_| ())
            .map_err(|(message, hint)| self.source.refuse(line, format!("`env`: {message}"), hint.as_deref()))
    }
}

/// The variables with values that others may choose.
pub(super) fn foreign(env: &Env) -> Vec<&str> {
    let is_foreign = |it: &Template| it.expressions().any(shell::is_foreign);
    env.iter().filter(|(_, it)| it.as_ref().is_some_and(is_foreign)).map(|(name, _)| name.as_str()).collect()
}
