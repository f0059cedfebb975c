//! The resources that the steps of a submission take, and the capacities that it declares. Rendered at submit, so they
//! never change.

use super::{
    Engine,
    error::{Error, Result},
    item::item_value,
};
use crate::{
    decide::resource::capacity,
    definition::{Action, Definition, Rendered, StepDefinition, Values},
    model::{Capacity, CapacityOf, CapacitySource, ResourceId, units_text},
    os::{disk_space, machine},
    store::capacity::{self as stored, NewDemand},
};
use serde_json::Value;
use std::{borrow::Cow, collections::BTreeMap};

/// The most resources whose capacities one transaction changes.
const SLICE: usize = 500;
const MEMORY: &str = "memory";

/// The capacities for the steps of one definition.
pub(super) struct Reserve<'a> {
    engine: &'a Engine,
    definition: &'a Definition,
    /// The capacities to apply by name, each with whether it differs from the one in force.
    known: BTreeMap<String, (Capacity, bool)>,
}

impl<'a> Reserve<'a> {
    pub fn new(engine: &'a Engine, definition: &'a Definition) -> Reserve<'a> {
        Reserve { engine, definition, known: BTreeMap::new() }
    }

    /// Whether any step takes anything.
    pub fn is_needed(&self) -> bool {
        self.definition.steps.iter().any(|it| !it.takes.is_empty() || self.learns(it))
    }

    /// Whether the step's use is measured, which requires that it runs in processes of its own.
    fn learns(&self, step: &StepDefinition) -> bool {
        self.engine.options.learn && !matches!(step.action, Action::Uses(_))
    }

    /// What each step takes for an item. Refuses more than the capacity.
    pub fn demands(&mut self, item: &str, params: &Value) -> Result<Vec<Option<NewDemand>>> {
        if !self.is_needed() {
            return Ok(Vec::new());
        }
        let value = item_value(item);
        let values =
            Values { item: Some(Cow::Borrowed(&value)), params: Some(Cow::Borrowed(params)), ..Values::default() };
        let definition = self.definition;
        let mut demands = Vec::with_capacity(definition.steps.len());
        for step in &definition.steps {
            let rendered = step.takes.render(&values)?;
            demands.push(self.demand(step, rendered)?);
        }
        Ok(demands)
    }

    fn demand(&mut self, step: &StepDefinition, rendered: Rendered) -> Result<Option<NewDemand>> {
        let mut demand = NewDemand { rates: rendered.rates, ..NewDemand::default() };
        for (name, units) in rendered.units {
            let (capacity, new) = self.capacity(&name)?;
            if units > capacity.units {
                let (requested, there) = (units_text(&name, units), units_text(&name, capacity.units));
                let says = match capacity.source {
                    CapacitySource::Default => String::new(),
                    source => format!(", as {} says", source.words()),
                };
                let what =
                    format!("step `{}` needs {requested} of `{name}`, but its capacity is {there}{says}", step.name);
                let hint =
                    "ask for less, or raise it with `capacity:` in the workflow or `[resources]` in the settings";
                return Err(Error::refused(what, Some(hint)));
            }
            if new {
                demand.capacities.insert(name.clone(), capacity);
            }
            demand.units.insert(name, Some(units));
        }
        if self.learns(step) && !demand.units.contains_key(MEMORY) {
            let (capacity, new) = self.capacity(MEMORY)?;
            if new {
                demand.capacities.insert(MEMORY.to_string(), capacity);
            }
            demand.units.insert(MEMORY.to_string(), None);
        }
        Ok(Some(demand).filter(|it| !it.is_empty()))
    }

    fn capacity(&mut self, name: &str) -> Result<(Capacity, bool)> {
        if let Some(known) = self.known.get(name) {
            return Ok(*known);
        }
        let before = self.engine.store.read(|tx| stored::capacity_of(tx, name))?;
        let new = self.engine.capacity_of(name, self.definition.capacity.get(name), before);
        self.known.insert(name.to_string(), (new, before != Some(new)));
        Ok((new, before != Some(new)))
    }
}

impl Engine {
    fn capacity_of(&self, name: &str, workflow: Option<i64>, before: Option<Capacity>) -> Capacity {
        let settings: &CapacityOf = &self.options.resources;
        capacity(settings.get(name), workflow, self.machine_has(name), before)
    }

    /// The units that the machine itself has of a resource: bytes of memory, bytes of disk, and processors.
    fn machine_has(&self, name: &str) -> Option<i64> {
        let bytes = match name {
            MEMORY => machine::memory()?,
            "scratch" => disk_space::size(&self.options.home).ok()?,
            "cpu" => return i64::try_from(machine::processors()).ok(),
            _ => return None,
        };
        i64::try_from(bytes.0).ok()
    }

    /// Applies the capacities of the settings and the machine to existing resources. Writes nothing if none differs.
    pub(super) fn configure_resources(&self) -> Result<()> {
        let mut after = ResourceId(0);
        loop {
            let known = self.store.read(|tx| stored::capacities(tx, after, SLICE))?;
            let Some((last, ..)) = known.last() else { return Ok(()) };
            after = *last;
            let changed: Vec<(ResourceId, Capacity)> = known
                .iter()
                .map(|(id, name, before)| (*id, *before, self.capacity_of(name, None, Some(*before))))
                .filter(|(_, before, new)| before != new)
                .map(|(id, _, new)| (id, new))
                .collect();
            if !changed.is_empty() {
                self.store.write(move |tx| stored::configure(tx, &changed))?;
            }
        }
    }
}
