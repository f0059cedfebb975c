//! The parameters of a submission: a set, overridden by single values.

use super::{
    context::Context,
    failure::{Failure, Result},
};
use crate::{
    definition::ParameterSet,
    ingest::{database_path, parameter_sets},
    model::{nearest, number::keep_digits},
};
use clap_complete::engine::ArgValueCompleter;
use serde_json::{Map, Value};
use std::path::Path;

pub use crate::ingest::parameter_sets::DIRECTORY;

#[derive(Debug, Clone, Default, clap::Args)]
pub struct Parameters {
    /// Set one parameter to a string, exactly as typed; dots separate nested keys. `KEY:=JSON` sets a number, a list, true or null
    #[arg(long, value_name = "KEY=TEXT")]
    param: Vec<String>,
    /// A parameter set: its id (`windlass list params`), or a YAML file
    #[arg(long, value_name = "ID", add = ArgValueCompleter::new(super::complete::parameter_sets))]
    params: Option<String>,
}

impl Parameters {
    /// The parameters, as templates see them.
    pub fn read(&self, cx: &Context) -> Result<Value> {
        let mut params = match &self.params {
            Some(id) => find(cx, id)?.config,
            None => Value::Object(Map::new()),
        };
        for assignment in &self.param {
            assign(&mut params, assignment)?;
        }
        // In a parameter set this is a vector database. Its steps lock the file by this one path, whatever name was
        // used.
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
    let Some((name, text)) = assignment.split_once('=') else {
        let said = format!("parameter `{assignment}` has no `=`");
        return Err(Failure::usage(said).hint(format!("write `--param {assignment}=TEXT`")));
    };
    let (name, value) = match name.strip_suffix(':') {
        None => (name, Value::from(text)),
        Some(name) => (name, json(name, text)?),
    };
    let mut place = params;
    for part in name.split('.') {
        if part.trim().is_empty() {
            let said = format!("`{name}` is not a valid parameter name");
            return Err(Failure::usage(said).hint("write `--param depth=3` or `--param chunk.size=3`"));
        }
        if !place.is_object() {
            *place = Value::Object(Map::new());
        }
        place = &mut place[part];
    }
    *place = value;
    Ok(())
}

/// The value of `name:=text`. A number that would lose digits stays a string.
fn json(name: &str, text: &str) -> Result<Value> {
    serde_json::from_slice(&keep_digits(text.as_bytes())).map_err(|error| {
        let said = format!("the value of parameter `{name}` is not JSON: {error}");
        Failure::usage(said).hint(format!("for a string write `--param {name}={text}`, without the colon"))
    })
}

/// Finds a parameter set by id, or reads it from a file.
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

/// All parameter sets of the home and the built-in one, sorted by id.
pub fn all(cx: &Context) -> Result<Vec<ParameterSet>> {
    Ok(parameter_sets::all(&cx.settings()?.home)?.into_iter().map(|it| it.set).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_parameter_is_the_text_that_was_typed() {
        let mut params = json!({"chunk": {"size": 400}});
        for text in ["6063e25", "1.10", "123456789012345678901", "true", "null", "01", "a b", "[1]", "", "x=y", " 7 "] {
            assign(&mut params, &format!("v={text}")).unwrap();
            assert_eq!(params["v"], json!(text));
        }
        for (typed, value) in [
            ("chunk.size:=512", json!(512)),
            ("deep.er:=[1, {\"a\": null}]", json!([1, {"a": null}])),
            ("flag:=true", json!(true)),
            ("id:=123456789012345678901", json!("123456789012345678901")),
        ] {
            assign(&mut params, typed).unwrap();
            let name = typed.split(":=").next().unwrap().replace('.', "/");
            assert_eq!(params.pointer(&format!("/{name}")), Some(&value), "{typed}");
        }
    }

    #[test]
    fn what_is_no_parameter_is_refused_with_what_is_missing() {
        for (typed, said, hint) in [
            ("size", "parameter `size` has no `=`", "write `--param size=TEXT`"),
            ("a..b=1", "`a..b` is not a valid parameter name", "--param depth=3"),
            ("=1", "`` is not a valid parameter name", "--param depth=3"),
            ("n:=many", "parameter `n` is not JSON", "write `--param n=many`"),
        ] {
            let refused = assign(&mut json!({}), typed).unwrap_err();
            assert!(refused.message.unwrap().contains(said) && refused.hint.unwrap().contains(hint), "{typed}");
        }
    }
}
