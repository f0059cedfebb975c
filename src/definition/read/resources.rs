//! `resources:`, `rate:` and `capacity:`.

use super::{
    Reader,
    scope::{Place, Scope},
};
use crate::{
    definition::{
        error::Result,
        resources::{RateOf, Takes, Units, check_name},
        template::Template,
        yaml::{Fields, Key, Node, Value},
    },
    model::{CapacityOf, Rate, resource::parse_units},
};

const EXAMPLE: &str = "write `resources: { gpu: 1, memory: 12GiB }`";

impl Reader<'_> {
    pub(super) fn takes(&self, fields: &Fields<'_>) -> Result<Takes> {
        let mut takes = Takes::default();
        if let Some(node) = fields.get("resources") {
            for (key, value) in self.entries(node, "resources", EXAMPLE)? {
                takes.units.push(self.units(key, value)?);
            }
        }
        if let Some(node) = fields.get("rate") {
            let hint = "write `rate: { NAME: 60/1m }`; steps with the same name count together";
            for (key, value) in self.entries(node, "rate", hint)? {
                let rate = self.source.unit::<Rate>(value, "rate")?;
                takes.rates.push(RateOf { name: self.resource_name(key)?, rate });
            }
        }
        Ok(takes)
    }

    fn entries<'n>(&self, node: &'n Node, what: &str, hint: &str) -> Result<&'n [(Key, Node)]> {
        match &node.value {
            Value::Map(entries) => Ok(entries),
            _ => Err(self.source.refuse(node.line, format!("`{what}` must be a mapping"), Some(hint))),
        }
    }

    fn units(&self, key: &Key, value: &Node) -> Result<Units> {
        let resource = self.resource_name(key)?;
        let units = self.template(value, "resources", Scope::of(Place::Submit))?;
        if is_literal(&units) {
            // The valid unit depends on the resource, if its name is already known.
            parse_units(resource.source(), units.source())
                .map_err(|message| self.source.refuse(value.line, format!("`resources`: {message}"), None))?;
        }
        Ok(Units { resource, units })
    }

    /// The name of a resource: a template that may use `item` and `params`.
    fn resource_name(&self, key: &Key) -> Result<Template> {
        let template = self.at(key.line, Template::parse(&key.name))?;
        let scope = Scope::of(Place::Submit);
        template.expressions().try_for_each(|it| scope.check(it)).map_err(|(message, hint)| {
            self.source.refuse(key.line, format!("`{}`: {message}", key.name), hint.as_deref())
        })?;
        if is_literal(&template) {
            check_name(&key.name).map_err(|message| self.source.refuse(key.line, message, None))?;
        }
        Ok(template)
    }

    pub(super) fn capacity(&self, fields: &Fields<'_>) -> Result<CapacityOf> {
        let mut of = CapacityOf::default();
        let Some(node) = fields.get("capacity") else { return Ok(of) };
        for (key, value) in self.entries(node, "capacity", "write `capacity: { gpu: 2, \"api:*\": 4 }`")? {
            let refuse = |line, message: String, hint| Err(self.source.refuse(line, message, hint));
            if key.name.contains("{{") {
                let hint = "write `api:*` for all resources whose names begin with `api:`";
                return refuse(key.line, "`capacity` takes no template".to_string(), Some(hint));
            }
            if let Err(message) = check_name(key.name.strip_suffix('*').unwrap_or(&key.name))
                && key.name != "*"
            {
                return refuse(key.line, message, None);
            }
            let units = parse_units(&key.name, &self.source.text(value, "capacity")?);
            match units {
                Ok(0) => {
                    let message = format!("a capacity of 0 of `{}` lets no step start", key.name);
                    return refuse(value.line, message, Some("write 1 or more"));
                }
                Ok(units) => drop(of.0.insert(key.name.clone(), units)),
                Err(message) => return refuse(value.line, format!("`capacity`: {message}"), None),
            }
        }
        Ok(of)
    }
}

fn is_literal(template: &Template) -> bool {
    template.expressions().next().is_none()
}
