//! Definitions and groups that were read once: neither changes.

use super::error::Result;
use crate::{
    definition::Definition,
    model::{DefinitionId, GroupId},
    os::Unpoisoned,
    store::{Store, definition, group, group::GroupDetail},
};
use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
};

const REMEMBERED: usize = 256;

/// A definition with the version of each step.
#[derive(Debug)]
pub(super) struct Known {
    pub definition: Definition,
    pub step_hashes: Vec<[u8; 32]>,
}

#[derive(Debug, Default)]
pub(super) struct Catalog {
    definitions: Mutex<HashMap<DefinitionId, Arc<Known>>>,
    groups: Mutex<HashMap<GroupId, Arc<GroupDetail>>>,
}

impl Catalog {
    pub(super) fn definition(&self, store: &Store, id: DefinitionId) -> Result<Arc<Known>> {
        remember(&self.definitions, id, || {
            let stored = store.read(|tx| definition::of_id(tx, id))?;
            let definition = Definition::from_stored(&stored.body, &stored.hash)?;
            let step_hashes = definition.step_hashes();
            Ok(Known { definition, step_hashes })
        })
    }

    pub(super) fn group(&self, store: &Store, id: GroupId) -> Result<Arc<GroupDetail>> {
        remember(&self.groups, id, || Ok(store.read(|tx| group::detail(tx, id))?))
    }
}

fn remember<K: std::hash::Hash + Eq + Copy, V>(
    map: &Mutex<HashMap<K, Arc<V>>>,
    key: K,
    read: impl FnOnce() -> Result<V>,
) -> Result<Arc<V>> {
    if let Some(known) = map.lock().unpoisoned().get(&key) {
        return Ok(known.clone());
    }
    let value = Arc::new(read()?);
    let mut map = map.lock().unpoisoned();
    if map.len() >= REMEMBERED {
        map.clear();
    }
    map.insert(key, value.clone());
    Ok(value)
}
