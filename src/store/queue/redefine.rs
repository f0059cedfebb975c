//! A run gets another definition of the same steps, and its steps the resource keys that this one gives them.

use crate::model::{DefinitionId, RunId, StepId};
use crate::store::{
    error::{Error, Result},
    memory::KnownShape,
    params::params,
    resource_key, step,
    tx::WriteTx,
};
use std::sync::Arc;

/// Gives a run the definition, if there is one. Returns its first step, and its shapes before and from now on.
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

/// The resource keys of steps that are opened again, before they are put in place.
pub(in crate::store) fn set_keys(
    tx: &WriteTx,
    first: StepId,
    again: &[usize],
    keys: Option<&Vec<Option<String>>>,
) -> Result<()> {
    let Some(keys) = keys else { return Ok(()) };
    for &no in again {
        let key = match keys.get(no) {
            Some(Some(key)) => Some(resource_key::intern(tx, key)?.0),
            _ => None,
        };
        tx.execute("UPDATE step SET key_id = ?2 WHERE id = ?1", params![first.0 + no as i64, key])?;
    }
    Ok(())
}
