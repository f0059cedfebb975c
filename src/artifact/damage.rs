//! Records the damaged files that are found while a store is in use, so that the steps that produced them can run
//! again.

use crate::model::ArtifactHash;
use crate::os::Unpoisoned;
use std::sync::{Arc, Mutex};

/// The damage found by one user of a store. Clones share it.
#[derive(Debug, Clone, Default)]
pub struct Damage(Arc<Mutex<Vec<ArtifactHash>>>);

impl Damage {
    /// The files that were missing or did not match their hashes, each once.
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
