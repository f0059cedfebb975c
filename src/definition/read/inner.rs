//! `workflow:` of a step: a nested workflow.

use super::{Reader, file_in};
use crate::{
    definition::{
        error::Result,
        workflow::Definition,
        yaml::{Node, Value},
    },
    os::regular_file,
};
use std::{fs, path::PathBuf};

/// The deepest nesting of workflows.
const MOST_DEPTH: usize = 8;
/// The most steps of a workflow, including nested workflows.
const MOST_STEPS_IN_ALL: usize = 10_000;

impl Reader<'_> {
    /// Adds to the number of steps of the workflow that is being read.
    pub(super) fn count_steps(&self, line: u64, steps: usize) -> Result<()> {
        let all = self.way.steps.get().saturating_add(steps);
        self.way.steps.set(all);
        match all > MOST_STEPS_IN_ALL {
            true => {
                let message = format!("with all workflows in it, this one has more than {MOST_STEPS_IN_ALL} steps");
                Err(self.source.refuse(
                    line,
                    message,
                    Some("make the list longer instead: `for_each` takes any length"),
                ))
            }
            false => Ok(()),
        }
    }

    /// Refuses a workflow that is nested too deeply.
    pub(super) fn check_depth(&self, line: u64, name: &str) -> Result<()> {
        if self.way.depth < MOST_DEPTH {
            return Ok(());
        }
        let message =
            format!("workflows are at most {MOST_DEPTH} levels deep in each other: {} -> {name}", self.way.names());
        Err(self.source.refuse(line, message, None))
    }

    /// The value of `workflow:`: the path of a file, or an inline workflow.
    pub(super) fn inner_workflow(&self, node: &Node, owner: &str) -> Result<Definition> {
        if let Value::Map(_) = &node.value {
            self.check_depth(node.line, owner)?;
            let way = self.way.inside(None, owner);
            let reader = Reader { way, id: String::new(), ..*self };
            return Ok(reader.workflow(node)?.definition);
        }
        let text = self.source.text(node, "workflow")?;
        let Some(directory) = self.way.directory() else {
            let hint = "write the workflow itself: `workflow: { id: ..., steps: [...] }`";
            let message = format!("`workflow: {text}` names a file, but this workflow does not come from one");
            return Err(self.source.refuse(node.line, message, Some(hint)));
        };
        let unreadable = |error: std::io::Error| {
            let hint = format!("the path is relative to {}", directory.display());
            self.source.refuse(node.line, format!("`workflow`: {text} can't be read: {error}"), Some(&hint))
        };
        let path: PathBuf = fs::canonicalize(directory.join(&text)).map_err(unreadable)?;
        if self.way.all().iter().any(|it| it.file == Some(&path)) {
            let message = format!("a workflow contains itself: {} -> {text}", self.way.names());
            return Err(self.source.refuse(node.line, message, Some("take one of these out of a `workflow:`")));
        }
        self.check_depth(node.line, &text)?;
        let content = regular_file::read_to_string(&path).map_err(unreadable)?;
        let way = self.way.inside(Some(&path), &text);
        Ok(file_in(&content, way, self.known)?.definition)
    }
}
