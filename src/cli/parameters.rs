//! The parameters of a submission: a set by its id, and single values over it.

use super::{
    context::Context,
    failure::{Failure, Result},
};
use crate::{
    definition::ParameterSet,
    ingest::{database_path, parameter_sets},
    model::nearest,
};
use serde_json::{Map, Value};
use std::path::Path;

pub use crate::ingest::parameter_sets::DIRECTORY;

#[derive(Debug, Clone, Default, clap::Args)]
pub struct Parameters {
    /// Set one parameter; dots reach inside, and the value is JSON if it can be read as JSON
    #[arg(long, value_name = "KEY=VALUE")]
    param: Vec<String>,
    /// A parameter set: its id (`windlass list params`), or a YAML file
    #[arg(long, value_name = "ID")]
    params: Option<String>,
}

impl Parameters {
    /// The parameters as templates see them.
    pub fn read(&self, cx: &Context) -> Result<Value> {
        let mut params = match &self.params {
            Some(id) => find(cx, id)?.config,
            None => Value::Object(Map::new()),
        };
        for assignment in &self.param {
            assign(&mut params, assignment)?;
        }
        // In a parameter set this is a vector database; its steps lock the file by this one path, however it was named.
        if self.params.is_some()
            && let Some(path) = params.pointer_mut("/store/path")
            && let Some(name) = path.as_str()
        {
            *path = database_path(&cx.settings()?.home, name)?.to_string_lossy().into();
        }
        Ok(params)
    }
}

fn assign(params: &mut Value, assignment: &str) -> Result<()> {
    let wrong = || Failure::usage(format!("`{assignment}` is not a parameter")).hint("write `--param depth=3`");
    let (name, text) = assignment.split_once('=').ok_or_else(wrong)?;
    let value = serde_json::from_str(text).unwrap_or_else(|_| Value::String(text.to_string()));
    let mut place = params;
    for part in name.split('.') {
        if part.trim().is_empty() {
            return Err(wrong());
        }
        if !place.is_object() {
            *place = Value::Object(Map::new());
        }
        place = &mut place[part];
    }
    *place = value;
    Ok(())
}

/// A parameter set by its id, or from a file.
pub fn find(cx: &Context, id: &str) -> Result<ParameterSet> {
    if id.contains('/') || id.ends_with(".yaml") || id.ends_with(".yml") {
        return Ok(parameter_sets::read(Path::new(id))?);
    }
    let home = &cx.settings()?.home;
    if let Some(found) = parameter_sets::find(home, id)? {
        return Ok(found.set);
    }
    let sets = all(cx)?;
    let failure = Failure::not_found(format!("no parameter set `{id}`"));
    Err(match nearest(id, sets.iter().map(|it| it.id.as_str())) {
        Some(meant) => failure.hint(format!("did you mean `{meant}`?")),
        None => failure.hint(format!("put {id}.yaml into {}", home.join(DIRECTORY).display())),
    })
}

/// Every parameter set of the home and the built-in one, by id.
pub fn all(cx: &Context) -> Result<Vec<ParameterSet>> {
    Ok(parameter_sets::all(&cx.settings()?.home)?.into_iter().map(|it| it.set).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn single_values_reach_inside_and_are_json_where_they_can_be() {
        let mut params = json!({"chunk": {"size": 400}});
        for assignment in ["chunk.size=512", "name=a b", "deep.er=[1]", "flag=true", "empty="] {
            assign(&mut params, assignment).unwrap();
        }
        assert_eq!(
            params,
            json!({"chunk": {"size": 512}, "name": "a b", "deep": {"er": [1]}, "flag": true, "empty": ""})
        );
        assert!(assign(&mut params, "size").is_err() && assign(&mut params, "a..b=1").is_err());
    }
}
