//! Files that were found damaged while a store was in use: the steps that made them can make them again.

use super::{error::Error, store::ArtifactStore};
use crate::model::ArtifactHash;
use crate::os::Unpoisoned;
use std::sync::{Arc, Mutex};

/// The damage that one user of a store met. Clones share it.
#[derive(Debug, Clone, Default)]
pub struct Damage(Arc<Mutex<Vec<ArtifactHash>>>);

impl Damage {
    /// Files that were missing, or were not what their hashes promise; each once.
    pub fn found(&self) -> Vec<ArtifactHash> {
        self.0.lock().unpoisoned().clone()
    }

    pub(super) fn note(&self, hash: ArtifactHash) {
        let mut found = self.0.lock().unpoisoned();
        if !found.contains(&hash) {
            found.push(hash);
        }
    }
}

impl ArtifactStore {
    /// The same store, which notes what is read from it and turns out to be damaged.
    pub fn noting(&self) -> (ArtifactStore, Damage) {
        let damage = Damage::default();
        (ArtifactStore { inner: self.inner.clone(), damage: Some(damage.clone()) }, damage)
    }

    pub(super) fn noted(&self, error: Error) -> Error {
        if let (Some(damage), Error::Corrupt { hash, .. } | Error::Missing { hash }) = (&self.damage, &error) {
            damage.note(*hash);
        }
        error
    }
}
