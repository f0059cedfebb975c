//! `resources:`, `rate:` and `capacity:`: the shared resources that steps take.

use super::{
    error::{Error, Result},
    expression::Values,
    template::Template,
};
use crate::model::{CapacityOf, Rate, resource::parse_units};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// Units of a resource that a step takes while it runs. Both fields are rendered at submit, from `item` and `params`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Units {
    pub resource: Template,
    pub units: Template,
}

/// The most starts per interval of the steps that share this rate.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RateOf {
    pub name: Template,
    pub rate: Rate,
}

/// The resources and the rate that a step takes.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Takes {
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub units: Vec<Units>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rates: Vec<RateOf>,
}

/// The same, with names and numbers rendered for one item.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rendered {
    pub units: BTreeMap<String, i64>,
    pub rates: BTreeMap<String, Rate>,
}

/// The longest name of a resource, in bytes.
pub const NAME_BYTES: usize = 1 << 10;

impl Takes {
    pub fn is_empty(&self) -> bool {
        self.units.is_empty() && self.rates.is_empty()
    }

    pub fn templates(&self) -> impl Iterator<Item = &Template> {
        let units = self.units.iter().flat_map(|it| [&it.resource, &it.units]);
        units.chain(self.rates.iter().map(|it| &it.name))
    }

    /// The keys of a step in a workflow file, with their values.
    pub fn written(&self) -> Vec<(&'static str, Value)> {
        let units = self.units.iter().map(|it| (it.resource.source().to_string(), json!(it.units.source())));
        let rates = self.rates.iter().map(|it| (it.name.source().to_string(), json!(it.rate.to_string())));
        let written = [("resources", Value::Object(units.collect())), ("rate", Value::Object(rates.collect()))];
        written.into_iter().filter(|(_, value)| value.as_object().is_some_and(|it| !it.is_empty())).collect()
    }

    /// The resources of a step for one item. Units of the same resource add up.
    pub fn render(&self, values: &Values<'_>) -> Result<Rendered> {
        let mut rendered = Rendered::default();
        for it in &self.units {
            let name = name_of(&it.resource, values)?;
            let units = parse_units(&name, &it.units.render(values)?).map_err(|message| refuse(&it.units, message))?;
            if units > 0 {
                let sum = rendered.units.entry(name).or_insert(0);
                *sum += units;
            }
        }
        for it in &self.rates {
            let name = name_of(&it.name, values)?;
            if rendered.rates.insert(name.clone(), it.rate).is_some() {
                return Err(refuse(&it.name, format!("two rates of one step are named `{name}`")));
            }
        }
        Ok(rendered)
    }
}

/// `capacity` as in a workflow file. Whole MiB are written as a size, which every resource accepts when it is read
/// back.
pub fn written_capacity(of: &CapacityOf) -> Value {
    let units = |name: &str, units: i64| match units {
        _ if units > 0 && units % (1 << 20) == 0 => json!(format!("{}MiB", units >> 20)),
        _ if matches!(name, "memory" | "scratch") => json!(format!("{units}B")),
        _ => json!(units),
    };
    Value::Object(of.0.iter().map(|(name, count)| (name.clone(), units(name, *count))).collect())
}

fn name_of(template: &Template, values: &Values<'_>) -> Result<String> {
    let name = template.render(values)?;
    check_name(&name).map_err(|message| refuse(template, message))?;
    Ok(name)
}

/// Checks the name of a resource; on error, returns the problem.
pub fn check_name(name: &str) -> std::result::Result<(), String> {
    match name {
        _ if name.trim().is_empty() => Err("the name of a resource is empty".to_string()),
        _ if name.len() > NAME_BYTES => {
            Err(format!("the name of a resource may have {NAME_BYTES} bytes, this one has {}", name.len()))
        }
        _ if name.chars().any(char::is_control) => Err("the name of a resource has a control character".to_string()),
        _ if name.ends_with('*') => {
            Err(format!("`{name}` ends in `*`, which stands for several resources in `capacity` only"))
        }
        _ => Ok(()),
    }
}

fn refuse(template: &Template, message: String) -> Error {
    Error::Template { template: template.source().to_string(), message, hint: None }
}
