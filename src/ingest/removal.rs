//! Taking deleted documents out of the vector databases that hold them.

use super::error::Result;
use crate::{
    engine::{self, Engine, LockWait},
    model::{Holder, ResourceKey},
    store::document_removal,
    vector::{self, OpenOptions, VectorDb},
};
use std::path::Path;

/// Documents that one transaction takes out.
const SLICE: usize = 200;

/// Takes out what is noted as still to be removed, under the lock of each vector database. False: somebody else holds one
/// of them longer than `wait`; what is left is taken out next time.
pub fn finish(engine: &Engine, holder: Holder, wait: LockWait) -> Result<bool> {
    let mut all = true;
    for database in engine.store().read(document_removal::databases)? {
        all &= finish_one(engine, Path::new(&database), &database, holder, wait)?;
    }
    Ok(all)
}

fn finish_one(engine: &Engine, path: &Path, database: &str, holder: Holder, wait: LockWait) -> Result<bool> {
    let guard = match engine.hold_key(&ResourceKey(format!("vec:{database}")), holder, wait) {
        Ok(guard) => guard,
        Err(engine::Error::Locked { .. }) => return Ok(false),
        Err(error) => return Err(error.into()),
    };
    let mut db = match VectorDb::open_for_writing(path, &OpenOptions::default()) {
        Ok(db) => Some(db),
        Err(vector::Error::NotFound { .. }) => None,
        Err(error) => return Err(error.into()),
    };
    let epoch = db.as_mut().map(VectorDb::raise_epoch).transpose()?;
    loop {
        let pending = engine.store().read(|tx| document_removal::pending(tx, database, SLICE))?;
        if pending.is_empty() {
            return Ok(true);
        }
        if !guard.refresh()? {
            return Ok(false);
        }
        if let (Some(db), Some(epoch)) = (&mut db, epoch) {
            let documents: Vec<(&str, &str)> = pending.iter().map(|it| (it.source.as_str(), it.uri.as_str())).collect();
            db.remove_documents(epoch, &documents)?;
        }
        let database = database.to_string();
        engine.store().write(move |tx| document_removal::done(tx, &database, &pending))?;
    }
}
