//! Writes a worker process in the form of a workflow file.

use super::{
    secret::{MASK, is_secret_variable, masked},
    workflow::WorkerDefinition,
};
use serde_json::{Map, Value, json};

pub(super) fn written_worker(worker: &WorkerDefinition) -> Map<String, Value> {
    let mut all = Map::from_iter([("command".to_string(), masked(&json!(worker.command)))]);
    if worker.size != 1 {
        all.insert("size".into(), json!(worker.size));
    }
    // All limits are written, because missing ones would follow the settings of the home that reads the file.
    all.insert("limits".into(), json!(worker.limits));
    if let Some(time) = worker.start_timeout {
        all.insert("start_timeout".into(), json!(time));
    }
    if !worker.env.is_empty() {
        let shown = |name: &str, it: &String| json!(if is_secret_variable(name, it) { MASK } else { it });
        let masked =
            worker.env.iter().map(|(name, it)| (name.clone(), it.as_ref().map_or(Value::Null, |it| shown(name, it))));
        all.insert("env".into(), Value::Object(masked.collect()));
    }
    all
}
