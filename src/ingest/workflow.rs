//! The built-in workflow. It is an ordinary file, so that users can copy and change it.

use crate::definition::{Definition, KnownKinds, Result, parse};

/// The workflow that `windlass ingest` submits, as YAML.
pub const WORKFLOW: &str = include_str!("../../examples/ingest.yaml");

/// The names of the step kinds that `ingest` registers, in the order in which documents pass through them.
pub const KINDS: [&str; 5] =
    ["windlass/validate", "windlass/parse", "windlass/chunk", "windlass/embed", "windlass/store"];

/// The workflow that `windlass ingest` submits, parsed.
pub fn definition() -> Result<Definition> {
    parse(WORKFLOW, "windlass/ingest", &KnownKinds::new(KINDS))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        definition::{Action, ParameterSet, Values},
        model::Millis,
    };
    use std::borrow::Cow;

    #[test]
    fn the_workflow_is_a_chain_of_all_kinds_that_asks_for_nothing_unknown() {
        let definition = definition().unwrap();
        assert_eq!(definition.id, "ingest");
        assert!(definition.is_chain());
        let uses: Vec<_> = definition.steps.iter().map(|it| it.action.clone()).collect();
        assert_eq!(uses, KINDS.map(|it| Action::Uses(it.to_string())));
        assert!(definition.steps.iter().all(|it| it.step_type == it.name && it.retries >= 2));
        assert!(definition.steps.iter().all(|it| it.timeout > Some(Millis::minutes(5)) || it.name == "parse"));
        definition.check_parameters(&ParameterSet::builtin().config).unwrap();
    }

    #[test]
    fn only_the_store_step_holds_the_key_of_the_database() {
        let definition = definition().unwrap();
        let params = ParameterSet::builtin().overlay(["store.path=/data/a b.db"]).unwrap().config;
        let values = Values { params: Some(Cow::Owned(params)), ..Values::default() };
        let key = |step: &str| {
            let step = definition.steps.iter().find(|it| it.name == step).unwrap();
            step.resource_key.as_ref().map(|it| it.render(&values).unwrap())
        };
        assert_eq!(key("store"), Some("vec:/data/a b.db".to_string()));
        assert!(["validate", "parse", "chunk", "embed"].iter().all(|it| key(it).is_none()));
    }
}
