//! The step cache: a result that may be taken again.

use super::{attempt::Task, worker::Shared};
use crate::{
    definition::{Action, digest},
    model::OutputId,
    store::{output, step_cache},
};
use serde_json::json;

/// Under which key the result of a step is remembered; None where it is not.
///
/// Built-in kinds know best what they depend on. Commands have effects, so they are remembered only with `cache: true`,
/// by what they do, their parameters, their item and what their predecessors left.
pub(super) fn key(shared: &Shared, task: &Task) -> Option<[u8; 32]> {
    let step = &task.known.definition.steps[task.row.no];
    if step.cache == Some(false) {
        return None;
    }
    if let Action::Uses(name) = &step.action {
        return shared.engine.kinds.get(name)?.cache_key(&task.input);
    }
    if step.cache != Some(true) {
        return None;
    }
    let inputs: serde_json::Map<_, _> = task
        .input
        .inputs
        .iter()
        .map(|(name, output)| {
            let files: Vec<_> = output.files.iter().map(|(name, file)| json!([name, file.hash])).collect();
            (name.clone(), json!({"value": output.value, "files": files}))
        })
        .collect();
    let what = json!({
        "step": hex::encode(task.known.step_hashes[task.row.no]),
        "params": task.input.params,
        "item": task.input.item,
        "directory": task.input.directory,
        "inputs": inputs,
    });
    Some(digest("windlass step cache 1", &what))
}

/// The remembered output, if all its files are still there.
pub(super) fn find(shared: &Shared, key: &[u8; 32]) -> Option<OutputId> {
    let store = &shared.engine.store;
    let found = store.read(|tx| {
        let Some(id) = step_cache::find(tx, key)? else { return Ok(None) };
        Ok(output::get(tx, id)?.map(|it| (id, it)))
    });
    let (id, output) = found.ok().flatten()?;
    if output.files.iter().all(|(_, file)| shared.engine.artifacts.contains(&file.hash)) {
        return Some(id);
    }
    let key = *key;
    // A file is missing: the step runs again and the entry is replaced.
    let _ = store.write(move |tx| step_cache::forget(tx, &key));
    None
}
