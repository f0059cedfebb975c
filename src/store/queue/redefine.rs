//! Gives a run another definition with the same steps, and its steps the resource keys of that definition.

use crate::model::{DefinitionId, RunId, StepId};
use crate::store::{
    capacity::{self, NewDemand},
    error::{Error, Result},
    memory::KnownShape,
    params::params,
    resource_key, step,
    tx::WriteTx,
};
use std::sync::Arc;

/// Gives a run the definition, if there is one. Returns its first step and its old and new shapes.
pub(in crate::store) fn redefine(
    tx: &WriteTx,
    run: RunId,
    definition: Option<DefinitionId>,
) -> Result<(StepId, Arc<KnownShape>, Arc<KnownShape>)> {
    let (old, first) = step::definition_of_run(tx, run)?.ok_or_else(|| Error::not_found(run))?;
    let before = tx.memory().shape(tx, old)?;
    let Some(new) = definition.filter(|it| *it != old) else { return Ok((first, before.clone(), before)) };
    let shape = tx.memory().shape(tx, new)?;
    let steps =
        |it: &KnownShape| it.shape.steps.iter().map(|it| (it.step_type.clone(), it.needs.clone())).collect::<Vec<_>>();
    if steps(&before) != steps(&shape) {
        return Err(Error::conflict(format!("{run} has other steps than the new workflow")));
    }
    tx.execute("UPDATE run SET definition_id = ?2 WHERE id = ?1", params![run.0, new.0])?;
    Ok((first, before, shape))
}

/// The resources that each step of a run takes.
#[derive(Debug, Clone, Default)]
pub struct Takes {
    /// The rendered resource key.
    pub keys: Vec<Option<String>>,
    /// The resources by step; empty if no step takes any.
    pub demands: Vec<Option<NewDemand>>,
}

/// Sets the resources of reopened steps, before the steps are placed.
pub(in crate::store) fn set_keys(tx: &WriteTx, first: StepId, again: &[usize], takes: Option<&Takes>) -> Result<()> {
    let Some(takes) = takes else { return Ok(()) };
    for &no in again {
        let demand = capacity::of_step(tx, &takes.demands, no)?.map(|it| it.0);
        let key = match takes.keys.get(no) {
            Some(Some(key)) => Some(resource_key::intern(tx, key)?.0),
            _ => None,
        };
        let id = first.0 + no as i64;
        tx.execute("UPDATE step SET key_id = ?2, demand_id = ?3 WHERE id = ?1", params![id, key, demand])?;
    }
    Ok(())
}
