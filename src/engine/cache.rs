//! The step cache: results that can be reused.

use super::{cache_files, children, state::WorkerState, task::Task};
use crate::{
    definition::{Action, digest},
    model::OutputId,
    os::CancelToken,
    store::{output, step_cache},
};
use serde_json::json;
use std::env;

/// Variables that every command inherits and can depend on.
const ALWAYS: [&str; 3] = ["PATH", "HOME", "LANG"];

/// The key under which the result of a step is cached. None if it is not cached.
///
/// Built-in kinds know their own dependencies. Commands have side effects, so they are cached only with `cache: true`,
/// by their definition, parameters, item, the results of their predecessors, the variables passed on to them, and the
/// content of their `cache_files`. None also if one of these files is missing.
pub(super) fn key(state: &WorkerState, task: &Task, cancel: &CancelToken) -> Option<[u8; 32]> {
    let step = &task.known.definition.steps[task.row.no];
    if step.cache == Some(false) {
        return None;
    }
    if let Action::Uses(name) = &step.action {
        return state.engine.kinds.get(name)?.cache_key(&task.input);
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
            let mut left = json!({"value": output.value, "files": files});
            if !output.links.is_empty() {
                left["links"] = json!(output.links);
            }
            (name.clone(), left)
        })
        .collect();
    // The step's hash covers the templates of variables; this covers the values in them.
    let worker = match &step.action {
        Action::Worker { worker, .. } => task.known.definition.workers.get(worker),
        _ => None,
    };
    let passed_on = step.env.iter().filter(|it| it.1.is_none()).map(|it| it.0.as_str());
    let passed_on =
        passed_on.chain(worker.iter().flat_map(|it| &it.env).filter(|it| it.1.is_none()).map(|it| it.0.as_str()));
    let variables: serde_json::Map<_, _> = passed_on
        .chain(ALWAYS)
        .map(|name| (name.to_string(), env::var_os(name).map(|it| it.to_string_lossy().into_owned()).into()))
        .collect();
    let input = &task.input;
    let files = cache_files::content(step, &input.item, &input.params, &input.directory, cancel)?;
    let mut what = json!({
        "variables": variables,
        "files": files,
        "step": hex::encode(task.known.step_hashes[task.row.no]),
        "params": task.input.params,
        "item": task.input.item,
        "directory": task.input.directory,
        "inputs": inputs,
    });
    if !task.children.is_empty() {
        what["children"] = json!(children::hash(&state.engine, task.children.values().copied()).ok()?);
    }
    if !input.unfinished.is_empty() {
        what["unfinished"] = json!(input.unfinished);
    }
    Some(digest("windlass step cache 2", &what))
}

/// The key, recomputed after the step has run. None if its files have changed in the meantime, because the result then
/// matches neither version.
pub(super) fn confirm(
    state: &WorkerState,
    task: &Task,
    before: Option<[u8; 32]>,
    cancel: &CancelToken,
) -> Option<[u8; 32]> {
    let step = &task.known.definition.steps[task.row.no];
    match step.cache_files.as_deref() {
        None | Some([]) => before,
        Some(_) => before.filter(|it| key(state, task, cancel).as_ref() == Some(it)),
    }
}

/// The cached output, if all its files still exist.
pub(super) fn find(state: &WorkerState, key: &[u8; 32]) -> Option<OutputId> {
    let store = &state.engine.store;
    let found = store.read(|tx| {
        let Some(id) = step_cache::find(tx, key)? else { return Ok(None) };
        Ok(output::get(tx, id)?.map(|it| (id, it)))
    });
    let (id, output) = found.ok().flatten()?;
    if output.files.iter().all(|(_, file)| state.engine.artifacts.contains(&file.hash)) {
        return Some(id);
    }
    let key = *key;
    // A file is missing, so the step runs again and the entry is replaced.
    let _ = store.write(move |tx| step_cache::forget(tx, &key));
    None
}
