//! Tables `demand` and `demand_part`: the resources that steps take. Rows never change.

use crate::model::{DemandId, Millis, ResourceId, ResourceKind};
use crate::store::{
    error::Result,
    memory::{KnownDemand, KnownPart},
    tx::{ReadTx, WriteTx},
};
use std::sync::Arc;

/// The most demands that the writer caches.
pub(in crate::store) const REMEMBERED: usize = 10_000;

/// The parts of a demand, cached.
pub(in crate::store) fn known(tx: &WriteTx, id: DemandId) -> Result<Arc<KnownDemand>> {
    if let Some(known) = tx.memory().demands.get(&id) {
        return Ok(known.clone());
    }
    let known = Arc::new(KnownDemand { parts: parts(tx, id)? });
    let mut memory = tx.memory();
    if memory.demands.len() >= REMEMBERED {
        memory.demands.clear();
    }
    memory.demands.insert(id, known.clone());
    Ok(known)
}

pub(in crate::store) fn parts(tx: &ReadTx, id: DemandId) -> Result<Vec<KnownPart>> {
    tx.rows(PARTS, [id.0], |row| {
        let kind = ResourceKind::from_code(row.get(1)?).unwrap_or(ResourceKind::Counted);
        let per: Option<i64> = row.get(3)?;
        Ok(KnownPart {
            resource: ResourceId(row.get(0)?),
            kind,
            units: row.get(2)?,
            per: Millis(per.unwrap_or(0).max(0) as u64),
        })
    })
}

pub(in crate::store) const PARTS: &str = "SELECT p.resource_id, r.kind, p.units, p.per FROM demand_part p
   JOIN resource r ON r.id = p.resource_id WHERE p.demand_id = ?1 ORDER BY r.kind DESC, p.resource_id";
