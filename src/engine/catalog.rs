//! Cached definitions and groups, which never change.

use super::error::Result;
use crate::{
    definition::Definition,
    model::{DefinitionId, GroupId},
    os::Unpoisoned,
    store::{Store, definition, group, group::GroupDetail},
};
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, OnceLock},
};

const REMEMBERED: usize = 256;

/// A definition with the version of each step.
#[derive(Debug)]
pub(super) struct Known {
    pub definition: Definition,
    pub step_hashes: Vec<[u8; 32]>,
}

impl Known {
    fn of(definition: Definition) -> Known {
        Known { step_hashes: definition.step_hashes(), definition }
    }
}

/// Definitions with one of their hooks as the last step, by the number of the hook. None: there is no such hook.
type Hooks = HashMap<(DefinitionId, usize), Option<Arc<Known>>>;

#[derive(Debug, Default)]
pub(super) struct Catalog {
    definitions: Mutex<HashMap<DefinitionId, Arc<Known>>>,
    groups: Mutex<HashMap<GroupId, Arc<GroupDetail>>>,
    hooks: Mutex<Hooks>,
    /// The definition of the alerts, once it is in the database.
    pub alerts: OnceLock<DefinitionId>,
}

impl Catalog {
    pub(super) fn definition(&self, store: &Store, id: DefinitionId) -> Result<Arc<Known>> {
        remember(&self.definitions, id, || {
            let stored = store.read(|tx| definition::of_id(tx, id))?;
            Ok(Arc::new(Known::of(Definition::from_stored(&stored.body, &stored.hash)?)))
        })
    }

    /// The definition with its hook `no` as the last step. None if there is no such hook.
    pub(super) fn hook(&self, store: &Store, id: DefinitionId, no: usize) -> Result<Option<Arc<Known>>> {
        remember(&self.hooks, (id, no), || {
            let known = self.definition(store, id)?;
            Ok(known.definition.with_hook(no).map(|it| Arc::new(Known::of(it))))
        })
    }

    pub(super) fn group(&self, store: &Store, id: GroupId) -> Result<Arc<GroupDetail>> {
        remember(&self.groups, id, || Ok(Arc::new(store.read(|tx| group::detail(tx, id))?)))
    }
}

fn remember<K: std::hash::Hash + Eq + Copy, V: Clone>(
    map: &Mutex<HashMap<K, V>>,
    key: K,
    read: impl FnOnce() -> Result<V>,
) -> Result<V> {
    if let Some(known) = map.lock().unpoisoned().get(&key) {
        return Ok(known.clone());
    }
    let value = read()?;
    let mut map = map.lock().unpoisoned();
    if map.len() >= REMEMBERED {
        map.clear();
    }
    map.insert(key, value.clone());
    Ok(value)
}
